"""The table of verdicts, the report as text, and the names of mistakes."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad.testing import check_grads
from minigrad.testing.checking.verdicts import (
    Finding,
    GradientError,
    Location,
    Mistake,
    Report,
    Verdict,
    diagnose,
)

E = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 10.0]])


def test_the_table():
    assert [v.words for v in Verdict if not v.ok] == ["non-deterministic", "wrong"]
    assert [v.words for v in Verdict if not v.conclusive] == [
        "too little precision",
        "ill-conditioned",
    ]
    assert Verdict.WRONG == "wrong" and Verdict.WRONG != "kink" and str(Verdict.KINK) == "kink"
    assert len({v.severity for v in Verdict}) == len(Verdict)


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (1.001 * E, "factor 1.001"), (2 * E, "factor 2"), (-E, "sign: it is the negative"),
        (E.T, "transposed"), (0 * E, "missing term: it is zero where it should not be"),
        (E[::-1, ::-1], "reversed"), (E * np.nan, "not finite: NaN where the slope is finite"),
        (E[0], "missing unbroadcast: shape (3,) for an input of shape (3, 3)"),
        (E + np.eye(3), ""), (E, "factor 1"),
    ],
)  # fmt: skip
def test_mistakes_are_named(found, words):
    assert diagnose(Mistake(found, E)) == words


def test_mistakes_that_need_more_than_the_gradient():
    ct = np.arange(12.0).reshape(4, 3)
    assert "one slice of axis 0" in diagnose(Mistake(ct[0], ct.sum(0), ct))
    other = [("swapped: it is the gradient by b", E + np.eye(3))]
    assert "by b" in diagnose(Mistake(E + np.eye(3), E, None, other))
    axes = diagnose(Mistake(E.reshape(3, 1, 3).swapaxes(0, 2), E.reshape(3, 1, 3)))
    assert axes == "transposed: its axes come as (2, 1, 0)"


def _report(*verdicts):
    made = [
        Finding(f"x{k}", "rev", 1, v, "complex step", 1e-3, 1e-15, 1e-9)
        for k, v in enumerate(verdicts)
    ]
    return Report("f", made)


def test_the_worst_verdict_is_the_reports():
    report = _report(Verdict.CORRECT, Verdict.ILL, Verdict.KINK)
    assert report.verdict is Verdict.ILL and report.ok and not report.conclusive
    report = _report(Verdict.CORRECT, Verdict.WRONG, Verdict.ILL)
    assert report.verdict is Verdict.WRONG and not report.ok
    assert _report().verdict is Verdict.CORRECT


def test_the_report_is_a_table_with_everything_undecided_in_words():
    report = _report(Verdict.CORRECT, Verdict.ILL)
    report.notes.append("a remark")
    text = str(report)
    for part in ("x0", "x1", "complex step", "1.0e-09", "tolerance", "ill-conditioned", "a remark"):
        assert part in text


def test_the_error_says_what_where_and_how_much():
    report = _report(Verdict.WRONG)
    worst = report.findings[0]
    worst.element, worst.found, worst.expected, worst.diagnosis = (1, 2), 2.5, 5.0, "factor 0.5"
    report.location = Location(
        "sin", "s", ((3,),), "file.py:3: y = sin(x)", worst, "in LSTM", "at row 2"
    )
    text = str(GradientError(report))
    for part in (
        "x0[1, 2]",
        "wrong",
        "factor 0.5",
        "2.5",
        "expected 5",
        "1.0e-15",
        "sin",
        "file.py:3",
        "at row 2",
    ):
        assert part in text
    worst.expected = (1.0, 2.0)
    assert "between 1 and 2" in str(GradientError(report))


# -- messages --------------------------------------------------------------------------------------


def message(f, *args, **options):
    with pytest.raises(GradientError) as caught:
        check_grads(f, *args, **options)
    return str(caught.value), caught.value


def halved(x):
    """Wrong by another factor at each element."""
    op = mg.primitive("halved", numpy=lambda z: np.sin(z), vjp=lambda g, y, z: g * mg.cos(z / 2))
    return op(x)


def test_one_number_has_no_factor():
    x = np.array([0.3, 1.1, -0.4])
    _, error = message(lambda x: mg.sum(halved(x)), x)
    tangent = next(f for f in error.report.findings if f.mode == "fwd")
    assert tangent.verdict is Verdict.WRONG and tangent.diagnosis == ""
    double = mg.primitive("double", numpy=np.sin, vjp=lambda g, y, z: 2 * g * mg.cos(z))
    _, error = message(lambda x: double(x), x)  # three outputs agree on it
    assert {f.diagnosis for f in error.report.findings} == {"factor 2"}
    _, error = message(lambda x: double(x), np.array(0.3))  # or it is the whole gradient
    assert {f.diagnosis for f in error.report.findings} == {"factor 2"}


def test_messages_fit_in_100_columns_and_name_each_input_once():
    names = [f"parameter_{k}" for k in range(6)]
    p = {name: np.full((2, 2), 0.1 * k + 0.3) for k, name in enumerate(names)}
    text, _ = message(lambda p: mg.sum(sum(halved(v) for v in p.values())), p)
    lines = text.splitlines()
    assert all(len(x) <= 100 for x in lines if "recorded at" not in x)
    also = [x.split()[3] for x in lines if x.startswith("  also:")]
    assert len(also) == len(set(also)) == 3 and "  and by 2 more" in lines
    assert lines[0].split()[3] not in also
    assert "gradient by its input z" in text


def test_notes_come_once():
    op = mg.primitive(
        "odd", numpy=lambda x: np.sign(x) * np.sin(np.abs(x)), vjp=lambda g, y, x: g * mg.cos(x)
    )
    report = check_grads(lambda x: op(op(x)), np.array([0.7, -1.2]), order=2)
    assert len(report.notes) == len(set(report.notes)) == 1


def test_a_kink_says_where():
    report = check_grads(lambda a, b: mg.maximum(a, b), np.ones(2), np.array([1.0, 2.0]))
    assert report.verdict is Verdict.KINK and report.notes == ["at a kink: a[0] = b[0] in maximum"]
    report = check_grads(lambda x: mg.abs(x), np.array([[1.0, 0.0], [0.0, 2.0]]))
    assert report.notes == ["at a kink: x[0, 1] = 0 in abs, and 1 more"]
    report = check_grads(lambda x: mg.sum(mg.max(2 * x)), np.array([1.0, 3.0, 3.0]))
    assert report.notes == ["at a kink: max at [1], and 1 more"]


def test_ties_say_what_the_shares_sum_to_and_which_inputs_moved():
    def rule(g, y, a, b):
        return g * (a >= b), g * (b >= a)

    greedy = mg.primitive("maximum", numpy=np.maximum, vjp=rule)
    a, b = np.array([1.0, -0.5, 3.0]), np.array([1.0, 2.0, 3.0])
    text, error = message(lambda a, b: mg.sum(greedy(a, b)), a, b)
    assert "by a and b together" in text
    assert "tie: the shares of tied values sum to 2, not 1" in error.location.finding.diagnosis
    unknown = mg.primitive("greedy", numpy=np.maximum, vjp=rule)  # not known to have ties
    _, error = message(lambda a, b: mg.sum(unknown(a, b)), a, b)
    assert "tie: the shares of tied values sum to 2, not 1" in error.location.finding.diagnosis
