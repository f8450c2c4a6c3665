"""Random programs of the fuzzer: they run, hold every kind, and shrink to nothing much."""

from collections import Counter

import numpy as np
import pytest

import minigrad as mg
from minigrad.testing.tester import cases, cells, structures
from minigrad.testing.tester.cases import random_case
from minigrad.testing.tester.choices import Choices
from minigrad.testing.tester.fuzz import choices_of
from minigrad.testing.tester.worker import program_of

KINDS = {
    *structures.STRUCTURES, *cells.RULES, *cases.FORMS, *(f"initial {k}" for k in cases.INITIAL),
    *(f"input {k}" for k in cases.ENTER), "float32", "float64", "two recurrences", "head",
    "planted", "truncated", "checkpoint", "unread leaf", "state untouched", "state swapped",
    "state shared", "state constant", "state zeros", "state input",
}  # fmt: skip


def test_every_kind_is_made():
    found = Counter()
    for number in range(600):
        found.update(random_case(choices_of(0, number)).kinds)
    assert set(found) >= KINDS, KINDS - set(found)
    assert min(found[k] for k in KINDS) >= 5, found


@pytest.mark.parametrize("seed", range(40))
def test_programs_run(seed):
    scope = program_of(random_case(choices_of(1, seed)))
    for args in scope["calls"]:
        scope["step"](*mg.tensors(args))


def test_choices_replay_and_the_least_is_small():
    choices = choices_of(0, 3)
    case = random_case(choices)
    assert random_case(Choices(choices.made)) == case
    assert all(0 <= a <= b <= len(choices.made) for a, b in choices.spans)
    least = random_case(Choices())
    assert least.calls == 1 and len(least.text) < 900
    assert Choices(rng=np.random.default_rng(0)).integer(3, 3) == 3
