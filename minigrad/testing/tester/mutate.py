"""Mutation testing: derivative rules are made wrong on purpose, and `check_grads` must notice.

One at a time.  It is the test of the tester.

    python -m minigrad.testing mutate                  every mutant; a table rule x mutation
    python -m minigrad.testing mutate --only tanh      the mutants whose name contains "tanh"
    python -m minigrad.testing mutate --suite          also what this project's tests notice

A *mutant* is one wrong rule: a primitive, one of its inputs, and a `Change`,
a function from the right cotangent to a wrong one.
Most changes fit every rule (a sign, a factor 1.001, a shifted index, a slope read elsewhere).
`SLIPS` holds those that fit one rule only
(ties, a missing unbroadcast, a formula from memory),
and `FAULTS` those of the engine around the rules
(a lost use of a tensor, slots and ports swapped).

A mutant is *equivalent*, no mistake at all,
if its cotangents are the right ones at every use of the rule in the samples,
for several draws of inputs and cotangents.
That is computed (`_differs`), never decided by hand.
All others change a derivative:
the samples that reach the rule are checked until one check fails,
and the mutant is *caught*, or it is *missed*.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import optree

import minigrad as mg

from ...autodiff import backward, differentiable
from ...graph import Primitive, Tensor, toposort
from ...ops.table import TABLE
from ...recur import PROJ, RECUR, parts_of
from ..checking.verdicts import GradientError
from ..examples.samples import SAMPLES, Sample, primitives
from .faults import FAULTS, Patch
from .mutations import DETACHED, MUTATIONS, SLIPS, Change, Rule, Site
from .options import at_least, check_at_least

__all__ = ["Mutant", "Fate", "Survey", "mutants", "run"]

DRAWS = 6  # random inputs and cotangents per sample when two rules are compared
TRIES = 2  # draws of each sample's inputs that a mutant is checked on before it counts as missed
SAMPLED = 12  # samples that a mutant is checked on and compared at, or all those of its own op


# -- mutants ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Mutant:
    """One wrong rule.  `name` finds it again: "tanh[0]: sign"."""

    rule: str
    input: str
    mutation: str
    patch: Callable[[], Patch] = field(compare=False, repr=False)
    change: Change | None = field(default=None, compare=False, repr=False)

    @property
    def order(self) -> int:
        """Of the derivative that it changes."""
        return 2 if self.mutation == DETACHED else 1

    @property
    def name(self) -> str:
        return f"{self.rule}[{self.input}]: {self.mutation}"

    @contextmanager
    def planted(self) -> Iterator[None]:
        """The rule is wrong inside the `with`.  Blocks keep their pullbacks: record afresh."""
        old: Patch = []
        try:
            for owner, key, value in self.patch():
                old.append((owner, key, getattr(owner, key)))
                _put(owner, key, value)
            yield
        finally:
            for owner, key, value in reversed(old):
                _put(owner, key, value)


def _put(owner: Any, key: str, value: Any) -> None:
    if isinstance(owner, Primitive):  # frozen
        object.__setattr__(owner, key, value)
    else:
        setattr(owner, key, value)


RULES: dict[str, Primitive] = {**TABLE, "recur": RECUR, "proj": PROJ}


def _place(node: Tensor, k: int) -> str:
    """Which of a rule's inputs: its number, or for a recurrence how it enters."""
    return parts_of(node).vias[k].kind if node.op is RECUR else str(min(k, 2))


def _mutated(right: Rule, place: str, change: Change) -> Rule:
    def rule(ct: Any, node: Tensor, wanted: Sequence[bool]) -> list:
        found = list(right(ct, node, wanted))
        if node.op is PROJ:
            return [(node, _changed(_Single(ct, node), change))]
        for k, g in enumerate(found):
            if g is not None and _place(node, k) == place:
                found[k] = _changed(Site(right, ct, node, wanted, k), change)
        return found

    return rule


class _Single(Site):
    """A projection: its rule hands the cotangent on as it is, paired with the node."""

    def __init__(self, ct: Tensor, node: Tensor) -> None:
        super().__init__(lambda ct, node, wanted: [ct], ct, node, [True], 0)


def _changed(s: Site, change: Change) -> Any:
    g = change(s)
    if g is None:
        return s.g
    return g if g.dtype == s.g.dtype else mg.astype(g, s.g.dtype)


def _rule_mutant(name: str, place: str, mutation: str, change: Change) -> Mutant:
    op = RULES[name]

    def patch() -> Patch:
        assert op.vjp is not None
        return [(op, "vjp", _mutated(op.vjp, place, change))]

    return Mutant(name, place, mutation, patch, change)


def mutants(only: str | None = None) -> list[Mutant]:
    """Every mutant whose change applies to some use of its rule in the samples.

    only : those whose name contains this.
    """
    found: list[Mutant] = []
    for name, op in RULES.items():
        if op.vjp is None:
            continue
        changes = MUTATIONS | SLIPS.get(name, {})
        sites: dict[str, list[Site]] = {}
        for t, ct in _uses_of(name):
            for s in _sites(t, ct):
                sites.setdefault(_place(t, s.k), []).append(s)
        found += [
            _rule_mutant(name, place, mutation, change)
            for place, uses in sites.items()
            for mutation, change in changes.items()
            if any(change(s) is not None for s in uses)
        ]
    for part, faults in FAULTS.items():
        found += [Mutant(part, "", mutation, patch) for mutation, patch in faults.items()]
    return [m for m in found if only is None or only in m.name]


# -- the oracle of equivalence ---------------------------------------------------------------------

_reach: dict[Sample, set[str]] = {}


def samples_for(rule: str) -> list[Sample]:
    """The samples a rule's mutants are checked on: its own first, then others that reach it."""
    if not _reach:
        _reach.update({s: primitives(_recorded(s, 0)[1]) for s in SAMPLES})
    if rule in FAULTS:
        return [s for s in SAMPLES if s.op == "recur" or s.label in ("with itself", "of many")]
    reaching = [s for s in SAMPLES if rule in _reach[s]]
    reaching.sort(key=lambda s: s.op != rule)
    return reaching[: max(SAMPLED, sum(s.op == rule for s in reaching))]


def _recorded(sample: Sample, seed: int) -> tuple[list[Tensor], list[Tensor]]:
    inputs = [mg.asarray(a) for a in sample.draw(seed)]
    return inputs, [t for t in optree.tree_leaves(sample(*inputs)) if t.dtype.kind == "f"]


def _uses_of(rule: str, seed: int = 0) -> Iterator[tuple[Tensor, Any]]:
    """Nodes of a primitive in its samples, each with a random cotangent."""
    for sample in samples_for(rule):
        rng = np.random.default_rng([seed, 1])
        outputs = _recorded(sample, seed)[1]
        order = toposort(outputs)
        for t in order:
            if t.op.name != rule:
                continue
            if t.op is RECUR:  # what its rule is given: one cotangent per projection
                asked = [p for p in order if p.op is PROJ and p.inputs[0] is t]
                yield t, [(p, mg.asarray(rng.standard_normal(p.shape))) for p in asked]
            else:
                yield t, mg.asarray(rng.standard_normal(t.shape), dtype=t.dtype)


def _sites(t: Tensor, ct: Any) -> list[Site]:
    """One per input to which the rule gives a cotangent."""
    if t.op is PROJ:
        return [_Single(ct, t)]
    wanted = [differentiable(x) for x in t.inputs]
    assert t.op.vjp is not None
    found = t.op.vjp(ct, t, wanted)
    return [Site(t.op.vjp, ct, t, wanted, k) for k, g in enumerate(found) if g is not None]


def _cotangents(mutant: Mutant, seed: int) -> Iterator[tuple[list, list]]:
    """(right, mutated) cotangents at the uses of a rule; of a fault, gradients of whole samples."""
    if mutant.rule in FAULTS:
        for sample in samples_for(mutant.rule):
            whole = _gradient(sample, seed)
            with mutant.planted():
                yield whole, _gradient(sample, seed)
        return
    for t, ct in _uses_of(mutant.rule, seed):
        wanted = [differentiable(x) for x in t.inputs]
        assert t.op.vjp is not None
        right: list[Any] = list(t.op.vjp(ct, t, wanted))
        with mutant.planted():
            wrong: list[Any] = list(t.op.vjp(ct, t, wanted))
        if t.op is PROJ:
            right, wrong = [g for _, g in right], [g for _, g in wrong]
        pairs = [(a, b) for a, b in zip(right, wrong, strict=True) if a is not None]
        right, wrong = [a for a, _ in pairs], [b for _, b in pairs]
        if mutant.order == 2:
            xs = [x for x in t.inputs if x.dtype.kind == "f"]
            weights = [mg.asarray(np.cos(np.arange(g.size)).reshape(g.shape)) for g in right]
            right, wrong = (_pulled(cts, xs, weights) for cts in (right, wrong))
        yield right, wrong


def _pulled(cts: list, xs: list, weights: list) -> list[Tensor]:
    """By the operands, also those that a rule's cotangents do not depend on."""
    found = backward(cts, weights, xs)
    return [found[x] if x in found else mg.zeros_like(x) for x in xs]


def _gradient(sample: Sample, seed: int) -> list[Tensor]:
    inputs, outputs = _recorded(sample, seed)
    rng = np.random.default_rng([seed, 1])
    return mg.vjp(outputs, inputs, [mg.asarray(rng.standard_normal(t.shape)) for t in outputs])


def _differs(mutant: Mutant) -> bool:
    """Whether the mutated rule ever gives another cotangent than the right one."""
    return any(
        not _agree(a, b)
        for seed in range(DRAWS)
        for both in _cotangents(mutant, seed)
        for a, b in zip(*mg.evaluate(both), strict=True)
    )


def _agree(a: Any, b: Any) -> bool:
    scale = max(1.0, float(np.abs(a[np.isfinite(a)]).max(initial=0)))
    return a.shape == b.shape and np.allclose(a, b, rtol=0, atol=1e-13 * scale, equal_nan=True)


# -- the run ---------------------------------------------------------------------------------------

CAUGHT, MISSED, EQUIVALENT, CRASHED = "caught", "missed", "equivalent", "crashed"
MARKS = {CAUGHT: ".", MISSED: "M", EQUIVALENT: "=", CRASHED: "!"}


@dataclass(frozen=True)
class Fate:
    """What became of a mutant; `why`: the sample that caught it, or the error it crashed with."""

    mutant: Mutant
    verdict: str
    why: str = ""
    suite: str = ""


@dataclass
class Survey:
    """All fates.  `rate`: the share of the mutants that change a derivative that were caught."""

    fates: list[Fate] = field(default_factory=list)

    def of(self, verdict: str) -> list[Fate]:
        return [o for o in self.fates if o.verdict == verdict]

    @property
    def changing(self) -> int:
        """Mutants that change a derivative."""
        return len(self.fates) - len(self.of(EQUIVALENT))

    @property
    def rate(self) -> float:
        return len(self.of(CAUGHT)) / self.changing if self.changing else float("nan")

    def __str__(self) -> str:
        rows = dict.fromkeys((o.mutant.rule, o.mutant.input) for o in self.fates)
        known = {(o.mutant.rule, o.mutant.input, o.mutant.mutation): o for o in self.fates}
        general = [m for m in MUTATIONS if any(o.mutant.mutation == m for o in self.fates)]
        lines = [f"{n:>3}  {m}" for n, m in enumerate(general, 1)]
        lines.append("  ".join(f"{mark} {verdict}" for verdict, mark in MARKS.items()))
        head = " ".join(f"{n:>2}" for n in range(1, len(general) + 1))
        lines += ["", f"{'rule':<24}{head}  and"]
        for rule, place in rows:
            cells = [known.get((rule, place, m)) for m in general]
            marks = "  ".join(MARKS[o.verdict] if o else " " for o in cells)
            own = [o for o in self.fates if (o.mutant.rule, o.mutant.input) == (rule, place)]
            rest = [f"{MARKS[o.verdict]} {o.mutant.mutation}" for o in own
                    if o.mutant.mutation not in MUTATIONS]  # fmt: skip
            name = f"{rule}[{place}]" if place else rule
            lines.append(f"{name:<24} {marks}  {'; '.join(rest)}".rstrip())
        lines.append("")
        for verdict in (MISSED, CRASHED):
            lines += [f"{verdict}: {o.mutant.name} {o.why}".rstrip() for o in self.of(verdict)]
        same = self.of(EQUIVALENT)
        lines += [f"equivalent: {o.mutant.name} ({o.why})" for o in same]
        judged = [o for o in self.fates if o.suite]
        if judged:
            seen = sum(o.suite == CAUGHT for o in judged)
            lines += [f"not seen by the suite: {o.mutant.name}" for o in judged
                      if o.suite != CAUGHT]  # fmt: skip
            lines.append(f"the suite caught {seen} of {len(judged)} mutants it was run on")
        lines.append(
            f"{len(self.fates)} mutants, {len(same)} equivalent; of {self.changing} that change "
            f"a derivative {len(self.of(CAUGHT))} were caught: {100 * self.rate:.2f} %"
        )
        return "\n".join(lines)


def run(
    only: str | None = None, *, seed: int = 0, every: int = 1, suite: bool = False,
    check: Callable[..., Any] | None = None, samples: int | None = None,
) -> Survey:  # fmt: skip
    """Make the rules wrong one by one and let `check` find out; returns a Survey.

    only    : mutants whose name contains this.
    every   : only each such one (a thinned run).
    seed    : of the samples' inputs.
    samples : at most so many per mutant.
    check   : check(f, *arrays) raising GradientError where a gradient is wrong;
              by default `check_grads` with its default settings.
              Given order=2 for the one mutation that leaves first derivatives right.
    suite   : also run this project's tests on each mutant (seconds each); needs a checkout.

    Raises ValueError if `check` fails on right rules: what it catches would mean nothing;
    and if there is no mutant of that name.
    """
    check_at_least("mutate.run", 1, every=every, samples=samples)
    check_at_least("mutate.run", 0, seed=seed)
    if check is None:
        from ..checking.check import check_grads

        check = check_grads
    report = Survey()
    trusted: set[tuple[Sample, int, int]] = set()
    named = mutants(only)
    if not named:
        raise ValueError(f"mutate.run: no mutant's name contains {only!r}; one is 'tanh[0]: sign'")
    for mutant in named[seed % every :: every]:
        if not _differs(mutant):
            report.fates.append(Fate(mutant, EQUIVALENT, SAME))
            continue
        verdict, why = MISSED, ""
        uses = samples_for(mutant.rule)[:samples]
        for sample, draw in ((s, draw) for draw in range(seed, seed + TRIES) for s in uses):
            key = (sample, draw, mutant.order)
            if key not in trusted:
                _must_pass(check, *key)
                trusted.add(key)
            with mutant.planted():
                verdict, why = _verdict(check, *key)
            if verdict != MISSED:
                break
        judged = _suite(mutant) if suite else ""
        report.fates.append(Fate(mutant, verdict, why, judged))
    return report


SAME = f"no cotangent differs at any use in the samples, {DRAWS} draws"


def _verdict(check: Callable[..., Any], sample: Sample, seed: int, order: int) -> tuple[str, str]:
    more = {} if order == 1 else {"order": order}
    try:
        check(sample.call, *sample.draw(seed), **more)
    except GradientError:
        return CAUGHT, repr(sample)
    except Exception as error:  # a wrong rule is to be reported, not to break the check
        return CRASHED, f"{sample!r}: {type(error).__name__}: {error}"
    return MISSED, ""


def _must_pass(check: Callable[..., Any], sample: Sample, seed: int, order: int) -> None:
    verdict, why = _verdict(check, sample, seed, order)
    if verdict != MISSED:
        raise ValueError(f"mutate: the check fails on {sample!r} where every rule is right: {why}")


# -- the suite -------------------------------------------------------------------------------------

TESTS = (
    "tests/test_ops.py", "tests/test_autodiff.py", "tests/test_recur.py", "tests/test_laws.py",
    "tests/oracle/test_torch.py", "tests/oracle/test_opinfo.py",
)  # of which none uses `check_grads`  # fmt: skip
ASKED = 10  # added to pytest's exit code, 0 or 1: a Python that breaks ends with 1 as well


def _suite(mutant: Mutant) -> str:
    """A fresh Python plants the mutant and runs the tests until one fails."""
    root = Path(__file__).resolve().parents[3]
    if not (root / "tests").is_dir():
        raise FileNotFoundError(f"--suite needs a checkout: there is no tests folder in {root}")
    command = [sys.executable, "-m", "minigrad.testing", "mutate", "--plant", mutant.name, *TESTS]
    done = subprocess.run(command, cwd=root, capture_output=True, timeout=600)
    return {ASKED: MISSED, ASKED + 1: CAUGHT}.get(done.returncode, CRASHED)


def _plant(name: str, tests: Sequence[str]) -> int:
    import pytest

    (mutant,) = [m for m in mutants() if m.name == name]
    with mutant.planted():
        quiet = ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # minigrad is imported already
        return ASKED + pytest.main(["-x", "-q", "-p", "no:cacheprovider", *quiet, *tests])


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--only", metavar="NAME", help="mutants whose name contains this")
    parser.add_argument("--seed", type=at_least(0), default=0, help="of the samples' inputs")
    parser.add_argument(
        "--every", type=at_least(1), default=1, metavar="N", help="only each Nth mutant"
    )
    parser.add_argument("--suite", action="store_true", help="also what the tests notice")
    parser.add_argument("--plant", metavar="NAME", help=argparse.SUPPRESS)
    parser.add_argument("tests", nargs="*", help=argparse.SUPPRESS)


def main(given: argparse.Namespace) -> int:
    """The command; its exit code is 0 when at least 98 % were caught."""
    if given.plant:
        return _plant(given.plant, given.tests)
    report = run(given.only, seed=given.seed, every=given.every, suite=given.suite)
    print(report)
    return 0 if report.rate >= 0.98 else 1
