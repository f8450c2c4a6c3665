"""What a check may say about a gradient, and why: the table of verdicts, the report, the error.

Nothing here computes a slope.
`diagnose` compares a wrong gradient with the true one
and names the mistake where the two are related in a way that mistakes make.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from html import escape
from itertools import permutations
from textwrap import wrap
from typing import Any

import numpy as np

from ...run.places import Place

AT = "recorded at "  # what a quoted line of code comes after




class Verdict(Enum):
    """(words, passes, conclusive, severity).

    The worst of several verdicts is that of highest severity.
    """

    CORRECT = ("correct", True, True, 0)
    KINK = ("kink", True, True, 1)  # a one-sided slope, or a mixture of them, as it may be
    SINGULAR = ("singular", True, True, 2)  # the true slope is infinite, or there is none
    IMPRECISE = ("too little precision", True, False, 3)  # the type's rounding hides 1 part in 1000
    ILL = ("ill-conditioned", True, False, 4)  # the oracle's error, or the gradient's, is too large
    RANDOM = ("non-deterministic", False, True, 5)
    WRONG = ("wrong", False, True, 6)

    def __init__(self, words: str, ok: bool, conclusive: bool, severity: int) -> None:
        self.words, self.ok, self.conclusive, self.severity = words, ok, conclusive, severity

    def __str__(self) -> str:
        return self.words

    def __eq__(self, other: object) -> bool:
        return self is other or self.words == other

    __hash__ = Enum.__hash__


@dataclass
class Finding:
    """One quantity compared: the gradient by one input, in one mode, at one order.

    error: |found - expected| at the worst element.   estimate: the oracle's own error there.
    element: where in the input (None: along a random direction, or nothing to compare).
    """

    input: str
    mode: str
    order: int
    verdict: Verdict
    oracle: str
    error: float = 0.0
    estimate: float = 0.0
    tolerance: float = 0.0
    element: tuple[int, ...] | None = None
    found: float | None = None
    expected: Any = None
    diagnosis: str = ""

    def __str__(self) -> str:
        at = "" if not self.element else f"[{', '.join(map(str, self.element))}]"
        name = {"rev": "gradient", "fwd": "tangent"}.get(self.mode, self.mode)
        text = f"{name} by {self.input}{at}: {self.verdict}"
        if self.diagnosis:
            text += f" ({self.diagnosis})"
        if self.found is not None:
            text += (
                f"; found {_number(self.found)}, expected {_number(self.expected)} "
                f"by {self.oracle}, error estimate {self.estimate:.1e}"
            )
        return text


@dataclass
class Location:
    """The first op whose own rule is wrong.

    op, name, shapes, line: the op, its node's name, its operands' shapes, the user's line.
    places: the recurrences it lies in, outermost first.
    rule  : the op whose rule recorded it, if it is wrong in a rule of that; else "".
    """

    op: str
    name: str | None
    shapes: tuple
    line: str
    finding: Finding | None
    places: tuple[Place, ...] = ()
    rule: str = ""
    node: Any = None

    def __str__(self) -> str:
        named = f" {self.name!r}" if self.name else ""
        shapes = ", ".join(str(s) for s in self.shapes)
        text = f"the rule of {self.op}{named}, given {shapes}"
        text += f", in the rule of {self.rule}" if self.rule else ""
        text += "".join(f", at {place}" for place in reversed(self.places))
        text += f"\n{AT}{self.line}" if self.line else ""
        return text + (f"\n{self.finding}" if self.finding else "")


@dataclass
class Report:
    """What was compared and what came of it.  `verdict` is the worst; `ok`: nothing is wrong;
    `conclusive`: nothing was left undecided; print it for a table."""

    name: str
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    location: Location | None = None

    def note(self, words: str) -> None:
        """Add a note, once."""
        if words not in self.notes:
            self.notes.append(words)

    @property
    def worst(self) -> Finding | None:
        return max(self.findings, key=lambda f: f.verdict.severity, default=None)

    @property
    def verdict(self) -> Verdict:
        return self.worst.verdict if self.worst else Verdict.CORRECT

    @property
    def ok(self) -> bool:
        return all(f.verdict.ok for f in self.findings)

    @property
    def conclusive(self) -> bool:
        return all(f.verdict.conclusive for f in self.findings)

    def __str__(self) -> str:
        head = ("input", "order", "mode", "verdict", "oracle", "error", "estimate", "tolerance")
        rows = [head] + [
            (f.input, str(f.order), f.mode, f.verdict.words, f.oracle,
             *(f"{x:.1e}" for x in (f.error, f.estimate, f.tolerance)))
            for f in self.findings
        ]  # fmt: skip
        widths = [max(len(row[k]) for row in rows) for k in range(len(head))]
        lines = ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) for row in rows]
        lines = [f"gradients of {self.name}: {self.verdict}", *(f"  {x.rstrip()}" for x in lines)]
        lines += [_folded(f, "  ") for f in self.findings if f.found is not None or f.diagnosis]
        lines += [_folded(f"located: {self.location}", "  ")] if self.location else []
        return "\n".join(lines + [_folded(f"note: {n}", "  ") for n in self.notes])

    def _repr_html_(self) -> str:
        """The same for a notebook: the verdict, a row an input, and what else is to be said."""
        heads = ("input", "order", "mode", "verdict", "oracle", "error", "estimate", "tolerance")
        cells = [
            [f.input, f.order, f.mode, f.verdict.words, f.oracle,
             *(f"{x:.1e}" for x in (f.error, f.estimate, f.tolerance))]
            for f in self.findings
        ]  # fmt: skip
        head = "".join(f'<th scope="col" style="text-align:left">{h}</th>' for h in heads)
        body = "".join(
            "<tr>" + "".join(f'<td style="text-align:left">{escape(str(c))}</td>' for c in row)
            + "</tr>" for row in cells
        )  # fmt: skip
        said = [str(f) for f in self.findings if f.found is not None or f.diagnosis]
        said += [f"located: {self.location}"] if self.location else []
        said += [f"note: {n}" for n in self.notes]
        mark = "✓" if self.ok and self.conclusive else "✗" if not self.ok else "?"
        more = "".join(f"<pre>{escape(x)}</pre>" for x in said)
        return (
            f"<div><p>{mark} gradients of <b>{escape(self.name)}</b>: {escape(str(self.verdict))}"
            f"</p><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}</div>"
        )


class GradientError(AssertionError):
    """A gradient is wrong, or a function is not deterministic.

    Its words name the input, the numbers and, where it was found, the op at fault.
    report, location : everything that was found; where the fault lies, or None.
    """

    def __init__(self, report: Report) -> None:
        self.report, self.location = report, report.location
        worst = report.worst
        others: dict[str, Finding] = {}  # each input once, as its gradient has it
        for f in report.findings:
            if worst is not None and not f.verdict.ok and f.input != worst.input:
                others.setdefault(f.input, f)
        told = sorted(others.values(), key=lambda f: not f.diagnosis)  # named mistakes first
        lines = [_folded(f"{report.name}: {worst}", "")]
        lines += [_folded(f"located: {report.location}", "  ")] if report.location else []
        lines += [_folded(f"also: {f}", "  ") for f in told[:3]]
        lines += [f"  and by {len(told) - 3} more"] if len(told) > 3 else []
        super().__init__("\n".join(lines + [_folded(f"note: {n}", "  ") for n in report.notes]))


# -- what kind of mistake --------------------------------------------------------------------------


@dataclass
class Mistake:
    """A wrong gradient beside the true one, and what may explain it.

    found, expected: arrays of the input's shape.    cotangent: that of the output.
    others: what else the gradient might have been: (in words, array).
    """

    found: Any
    expected: Any
    cotangent: Any = None
    others: Sequence[tuple[str, Any]] = ()


def _close(a: Any, b: Any) -> bool:
    if np.shape(a) != np.shape(b):
        return False
    a, b = np.asarray(a, float), np.asarray(b, float)
    scale = max(np.abs(b).max(initial=0), np.abs(a).max(initial=0))
    return bool(scale > 0 and np.all(np.abs(a - b) <= 1e-6 * scale))


def _shape(m: Mistake) -> str:
    found, expected = np.shape(m.found), np.shape(m.expected)
    if found == expected:
        return ""
    return f"missing unbroadcast: shape {found} for an input of shape {expected}"


def _nonfinite(m: Mistake) -> str:
    if np.isfinite(m.found).all():
        return ""
    bad = "NaN" if np.isnan(m.found).any() else "inf"
    return f"not finite: {bad} where the slope is finite"


def _zero(m: Mistake) -> str:
    zero = not np.any(m.found) and np.any(m.expected)
    return "missing term: it is zero where it should not be" if zero else ""


def _factor(m: Mistake) -> str:
    found, expected = np.ravel(m.found).astype(float), np.ravel(m.expected).astype(float)
    at = np.abs(expected).argmax() if expected.size else 0
    if not expected.size or expected[at] == 0:
        return ""
    c = found[at] / expected[at]
    if not _close(found, c * expected) or np.count_nonzero(expected) < 1:
        return ""
    return "sign: it is the negative" if abs(c + 1) < 1e-6 else f"factor {c:.6g}"


def _transposed(m: Mistake) -> str:
    n = np.ndim(m.expected)
    if 2 <= n <= 4:
        for axes in list(permutations(range(n)))[1:]:
            if _close(m.found, np.transpose(m.expected, axes)):
                return "transposed" if n == 2 else f"transposed: its axes come as {axes}"
    return ""


def _reversed(m: Mistake) -> str:
    return "reversed" if np.ndim(m.found) and _close(m.found, np.flip(m.expected)) else ""


def _unbroadcast(m: Mistake) -> str:
    """One copy's cotangent, or their mean, where the sum over the copies is due."""
    ct = m.cotangent
    if ct is None or np.size(ct) <= np.size(m.expected):
        return ""
    for axis in range(np.ndim(ct)):
        for k in (0, -1):
            if np.shape(ct)[axis] and _close(np.ravel(m.found), np.ravel(np.take(ct, k, axis))):
                return f"missing unbroadcast: one slice of axis {axis} instead of the sum"
    return ""


def _other(m: Mistake) -> str:
    for words, array in m.others:
        if _close(m.found, array):
            return words
    return ""


MISTAKES: tuple[Callable[[Mistake], str], ...] = (
    _shape, _nonfinite, _zero, _factor, _transposed, _unbroadcast, _other, _reversed,
)  # fmt: skip


def diagnose(m: Mistake) -> str:
    """The first mistake of the table that explains the difference; '' when none does."""
    with np.errstate(all="ignore"):
        return next((words for rule in MISTAKES if (words := rule(m))), "")


def _folded(text: Any, indent: str) -> str:
    """With lines of at most 100 columns, but for quoted lines of code."""
    lines, inner = [], indent
    for line in str(text).splitlines():
        folded = [inner + line] if line.startswith(AT) else wrap(
            line, 100, initial_indent=inner, subsequent_indent=indent + 4 * " ",
            break_long_words=False, break_on_hyphens=False,
        )  # fmt: skip
        lines += folded
        inner = indent + 2 * " "
    return "\n".join(lines)


def _number(x: Any) -> str:
    if isinstance(x, tuple):
        return f"between {_number(x[0])} and {_number(x[1])}"
    return f"{float(x):.10g}"
