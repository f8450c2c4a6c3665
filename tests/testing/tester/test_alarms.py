"""The soundness command, thinned: correct expressions raise no alarm, wrong rules make it fail."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import settings

import minigrad as mg
from minigrad.ops.table import TABLE
from minigrad.testing import Verdict, check_grads
from minigrad.testing.__main__ import main
from minigrad.testing.checking.judge import Judge
from minigrad.testing.tester import alarms

pytestmark = pytest.mark.long  # the tester itself, at work

NUMBER = max(40, settings.default.max_examples)


@pytest.mark.parametrize(
    "options",
    [{}, {"specials": True}, {"order": 2}, {"dtype": np.float32}],
    ids=["default", "specials", "order 2", "float32"],
)
def test_correct_expressions_raise_no_alarm(options):
    found = alarms.run(NUMBER, seed=7, **options)
    assert found.number == NUMBER == sum(found.verdicts.values())
    assert not found.false, found
    assert len(found.undecided) <= 0.05 * NUMBER, found


def test_expressions_are_counted_once():
    texts = [repr(e) for e in alarms._distinct(600, 0, False, np.float64)]
    assert len(texts) == len(set(texts)) == 600 > alarms.BATCH


def test_a_wrong_rule_makes_the_command_fail(capsys):
    assert main(["alarms", "--number", "30", "--seed", "3"]) == 0
    assert "30 expressions" in capsys.readouterr().out
    op = TABLE["multiply"]
    right = op.vjp
    object.__setattr__(op, "vjp", lambda ct, node, wanted: [ct, ct])
    try:
        assert main(["alarms", "--number", "30", "--seed", "3"]) == 1
    finally:
        object.__setattr__(op, "vjp", right)
    out = capsys.readouterr().out
    assert "# a false alarm" in out and "check_grads(f, x0" in out and "wrong" in out


def test_too_many_undecided_make_the_command_fail(monkeypatch):
    monkeypatch.setattr(Verdict.CORRECT, "conclusive", False)
    assert main(["alarms", "--number", "5"]) == 1


def test_the_script_of_an_alarm_runs():
    (e,) = alarms._distinct(1, 5, False, np.float64)
    exec(alarms.script(e, 2), {})


# -- what the command found ------------------------------------------------------------------------

TINY = np.array([1e-310, 1e-30, 1.0])


@pytest.mark.parametrize(
    ("f", "x"),
    [
        (mg.sqrt, TINY),
        (mg.log10, TINY),
        (lambda x: mg.pow(x, x), TINY[1:]),
        (lambda x: x**1, np.array([0.0, -1e300, 1.0])),
        (mg.abs, np.array([0.0, 1e300, -3.0])),
        (mg.floor, np.array([0.25, 1e300, -1e30])),
        (lambda x: mg.copysign(x, x), np.array([0.0, -0.5, 2.0])),
        (lambda x: mg.remainder(x[1], x[0]), np.array([4e-17, 0.3])),
        (lambda x: mg.logaddexp(x, 2 * x), np.array([1e300, -3.0])),
        (lambda x: mg.sum(mg.cos(mg.abs(x))), np.array([0.0, 1000.0, -0.7])),
        (lambda x: mg.acos(x[::-1]), np.array([1e-310, 1.0])),
    ],
)
def test_hard_points_raise_no_alarm(f, x):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert check_grads(f, x).conclusive


@pytest.mark.parametrize("at", [1e-310, 1e-30, 1e-7, 1.0, 1e7, 1e30, 1e300])
@pytest.mark.parametrize("factor", [1.001, -1.0, 0.0])
def test_wrong_rules_are_found_at_hard_points(at, factor):
    op = mg.primitive(
        "scaled", numpy=lambda x: 3 * np.abs(x), vjp=lambda g, y, x: 3 * factor * g * mg.sign(x)
    )
    with pytest.raises(AssertionError, match="wrong"):
        check_grads(op, np.array([0.7, at, -1.2]))
    if at > 1e-300:  # the range of doubles ends
        with pytest.raises(AssertionError, match="wrong"):
            check_grads(lambda x: op(x), np.array(at))


@pytest.mark.parametrize("guard", ["distrusted", "confirm"])
def test_an_oracle_that_errs_alone_raises_no_alarm(monkeypatch, guard):
    """A complex step of 1/8 is wrong; each of two guards is enough, and without both it alarms."""
    steps = {"long double": -3, "float64": -3}
    monkeypatch.setattr("minigrad.testing.checking.oracles.STEPS", steps)
    other = {"distrusted": ("confirm", lambda self: None),
             "confirm": ("distrusted", lambda self: False)}[guard]  # fmt: skip
    monkeypatch.setattr(Judge, *other)
    assert check_grads(mg.exp, np.array([0.3, -1.2]), modes="rev").ok
    monkeypatch.setattr(Judge, "confirm", lambda self: None)
    monkeypatch.setattr(Judge, "distrusted", lambda self: False)
    with pytest.raises(AssertionError, match="wrong"):
        check_grads(mg.exp, np.array([0.3, -1.2]), modes="rev")
