"""The table of verdicts, the report as text, and the names of mistakes."""

from __future__ import annotations

import numpy as np
import pytest

from minigrad.testing.verdicts import (
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
