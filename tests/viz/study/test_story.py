"""What the gradient did, in words: they agree with the numbers."""

from __future__ import annotations

import numpy as np
import pytest

from viz.study.findings import summary
from viz.study.model import FAINT
from viz.study.story import hiding, rate, story

from .studies import CASES, studied

NAMES = ["a", "b", "c", "d"]


def test_story_of_a_vanished_gradient():
    first = story(np.array([1e-9, 1e-8, 0.5, 1.0]), NAMES, 3, "L4")[0]
    assert "vanished at steps 1 to 2" in first and "step 1 (“a”): 1.0e-9" in first


def test_story_of_one_that_reaches_everywhere():
    (only,) = story(np.array([0.3, 0.2, 0.5, 1.0]), NAMES, 3, "L4")
    assert only.startswith("No step's gradient vanished") and "20% of that at step 4" in only


def test_story_of_odd_ones():
    assert "exploding" in " ".join(story(np.array([9e5, 1.0, 1.0, 1.0]), NAMES, 3, "L4"))
    assert "not finite" in story(np.array([np.inf, 1.0, 1.0, 1.0]), NAMES, 3, "L4")[0]
    assert "no gradient at all" in story(np.zeros(4), NAMES, 3, "L4")[0]
    assert "only one step" in story(np.ones(1), NAMES[:1], 0, "L1")[0]
    assert "exactly zero" in story(np.array([0.0, 1.0, 1.0, 1.0]), NAMES, 3, "L4")[0]


def test_story_speaks_only_of_what_the_loss_depends_on():
    below = np.array([True, True, True, False])
    (only,) = story(np.array([0.5, 0.5, 1.0, 0.0]), NAMES, 2, "L3", "node", below)
    assert only.startswith("No node's gradient vanished")


def test_the_total_is_named_where_it_hides_the_fading():
    fading = np.array([1e-6, 1e-4, 1e-2, 1.0])
    assert "1.7-fold" in hiding(fading, np.array([1.0, 1.2, 1.7, 1.0]), "L4")
    assert hiding(fading, fading, "L4") == ""
    assert rate(fading) == pytest.approx(0.01)
    assert rate(np.array([0.0, 1.0, 1.0])) is None


@pytest.mark.parametrize(("text", "cell"), CASES)
def test_the_summary_says_what_the_numbers_say(text, cell):
    study = studied(text, cell, steps=30)
    norms, chosen = study.after.norms["h"], study.task.chosen
    vanished = (norms < FAINT * norms[chosen]).any()
    assert ("vanished at" in summary(study)[0]) == vanished
