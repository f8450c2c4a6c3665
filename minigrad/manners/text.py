"""Expressions as text: `expr(t)` for a terminal, `latex(t)` for a page.

Named tensors are shown by their names, so a cell reads as it was written; what gets long is elided.
 Casts, broadcasts and other movement that says nothing are left out.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ..graph import CONSTANT, INPUT, Tensor, toposort
from ..recur import PROJ, RECUR

LONGEST = 300  # characters of a part that is still shown
SILENT = frozenset(["broadcast_to", "astype", "checked", "identity", "reshape", "stop_gradient"])


class Form(NamedTuple):
    """How an op is written: a template over its operands, and how tightly it binds (higher:
    tighter)."""

    plain: str
    tex: str
    binds: int = 9


FORMS = {
    "add": Form("{} + {}", "{} + {}", 1),
    "subtract": Form("{} - {}", "{} - {}", 1),
    "multiply": Form("{} * {}", r"{} \odot {}", 2),
    "absorb": Form("{} * {}", r"{} \odot {}", 2),
    "divide": Form("{} / {}", r"\frac{{{}}}{{{}}}", 2),
    "negative": Form("-{}", "-{}", 3),
    "pow": Form("{} ** {}", "{}^{{{}}}", 4),
    "square": Form("{} ** 2", "{}^{{2}}", 4),
    "exp": Form("exp({})", r"e^{{{}}}"),
    "log": Form("log({})", r"\log\left({}\right)"),
    "tanh": Form("tanh({})", r"\tanh\left({}\right)"),
    "sigmoid": Form("sigmoid({})", r"\sigma\left({}\right)"),
    "sqrt": Form("sqrt({})", r"\sqrt{{{}}}"),
    "abs": Form("abs({})", r"\left|{}\right|"),
    "sum": Form("sum({})", r"\sum {}"),
    "floor": Form("floor({})", r"\left\lfloor {} \right\rfloor"),
    "ceil": Form("ceil({})", r"\left\lceil {} \right\rceil"),
    "equal": Form("{} == {}", "{} = {}", 0),
    "not_equal": Form("{} != {}", r"{} \neq {}", 0),
    "less": Form("{} < {}", "{} < {}", 0),
    "less_equal": Form("{} <= {}", r"{} \leq {}", 0),
    "greater": Form("{} > {}", "{} > {}", 0),
    "greater_equal": Form("{} >= {}", r"{} \geq {}", 0),
} | {
    name: Form(f"{name}({{}})", rf"\{tex}\left({{}}\right)")
    for name, tex in {
        "sin": "sin", "cos": "cos", "tan": "tan", "sinh": "sinh", "cosh": "cosh",
        "asin": "arcsin", "acos": "arccos", "atan": "arctan",
    }.items()
}  # fmt: skip
CALLS = frozenset(
    name for name, form in FORMS.items() if form.plain.endswith("({})")
)  # own brackets


def expr(t: Tensor) -> str:
    """The expression that computes `t`, in Python's notation."""
    return _written(t, tex=False)


def latex(t: Tensor) -> str:
    r"""The expression that computes `t`, for LaTeX's math mode; products by element are \odot."""
    return _written(t, tex=True)


def _written(root: Tensor, tex: bool) -> str:
    if not isinstance(root, Tensor):
        raise TypeError(f"an expression is written for a Tensor, not for a {type(root).__name__}")
    text: dict[Tensor, tuple[str, int]] = {}
    stop = _stops_at(root)
    for t in toposort([root], stop=stop):
        if stop(t):
            text[t] = (_leaf(t, tex), 9)
            continue
        parts = [text[i] for i in t.inputs]
        words, binds = _node(t, parts, tex)
        text[t] = (words, binds) if len(words) <= LONGEST else (_elided(t, tex), 9)
    return text[root][0]


def _stops_at(root: Tensor) -> Any:
    def stop(t: Tensor) -> bool:
        return t.op in (CONSTANT, INPUT, PROJ, RECUR) or (t is not root and t.name is not None)

    return stop


def _leaf(t: Tensor, tex: bool) -> str:
    if t.name is not None:
        head, _, tail = t.name.rpartition("_")
        return f"{head}_{{{tail}}}" if tex and head else t.name
    if t.op is CONSTANT and t.size == 1:
        return f"{t._value.item():.6g}"
    if t.op is PROJ:
        name = t.inputs[0].name or "recur"
        return rf"\mathrm{{{name}}}(\ldots)" if tex else f"{name}(...)"
    shape = "x".join(map(str, t.shape))
    return rf"[{shape}]" if tex else f"<{shape}>"


def _elided(t: Tensor, tex: bool) -> str:
    return rf"\mathrm{{{t.op.name}}}(\ldots)".replace("_", r"\_") if tex else f"{t.op.name}(...)"


def _node(t: Tensor, parts: list[tuple[str, int]], tex: bool) -> tuple[str, int]:
    name = t.op.name
    if name in SILENT:
        return parts[0]
    if name == "einsum" and len(parts) == 2:
        subs, out = t.attrs["subs"], t.attrs["out"]
        if len(set(subs[0]) & set(subs[1])) == 1 and out:
            a, b = (_bracket(p, 2, tex) for p in parts)
            return (f"{a} {b}" if tex else f"{a} @ {b}"), 2
    form = FORMS.get(name)
    if form is None or (len(parts) != form.plain.count("{}") and name != "add"):
        inside = ", ".join(p for p, _ in parts)
        call = name.replace("_", r"\_")
        return (rf"\mathrm{{{call}}}\left({inside}\right)" if tex else f"{name}({inside})"), 9
    if name == "add":
        return " + ".join(p for p, _ in parts), 1
    free = name in CALLS or (tex and name == "divide")
    level = form.binds + (name in ("subtract", "divide", "pow", "square"))
    first = level if name in ("pow", "square") else form.binds
    words = [
        p if free else _bracket((p, b), level if k else first, tex)
        for k, (p, b) in enumerate(parts)
    ]
    return (form.tex if tex else form.plain).format(*words), form.binds


def _bracket(part: tuple[str, int], level: int, tex: bool) -> str:
    words, binds = part
    if binds >= level:
        return words
    return rf"\left({words}\right)" if tex else f"({words})"
