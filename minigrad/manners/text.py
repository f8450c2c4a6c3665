"""Expressions as text: `expr(t)` for a terminal, `latex(t)` for a page.

Named tensors are shown by their names, so a cell reads as it was written;
what gets long is elided.
Casts, broadcasts and other movement that says nothing are left out.
Brackets stand where Python, reading the text, would otherwise group it in another way.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from ..graph import CONSTANT, INPUT, Tensor, toposort
from ..recur import PROJ, RECUR

LONGEST = 300  # characters of a part that is still shown
SILENT = frozenset(["broadcast_to", "astype", "checked", "identity", "stop_gradient"])
COMPARES, ADDS, MULTIPLIES, NEGATES, RAISES, WHOLE = range(6)  # how tightly, as in Python


class Form(NamedTuple):
    """How an op is written.

    A template over its operands, how tightly that binds,
    and how tightly each operand must bind to stand without brackets.
    """

    text: str
    binds: int
    needs: tuple[int, ...]


def _sides(plain: str, tex: str, binds: int, *needs: int) -> tuple[Form, Form]:
    return Form(plain, binds, needs), Form(tex, binds, needs)


def _call(plain: str, tex: str, binds: int = WHOLE) -> tuple[Form, Form]:
    """Operands within brackets of its own."""
    return Form(plain, WHOLE, (COMPARES,)), Form(tex, binds, (COMPARES,))


FORMS: dict[str, tuple[Form, Form]] = {  # (plain, tex)
    "subtract": _sides("{} - {}", "{} - {}", ADDS, ADDS, MULTIPLIES),
    "multiply": _sides("{} * {}", r"{} \odot {}", MULTIPLIES, MULTIPLIES, NEGATES),
    "absorb": _sides("{} * {}", r"{} \odot {}", MULTIPLIES, MULTIPLIES, NEGATES),
    "divide": (
        Form("{} / {}", MULTIPLIES, (MULTIPLIES, NEGATES)),
        Form(r"\frac{{{}}}{{{}}}", RAISES, (COMPARES, COMPARES)),
    ),
    "negative": _sides("-{}", "-{}", NEGATES, NEGATES),
    "pow": (
        Form("{} ** {}", RAISES, (WHOLE, NEGATES)), Form("{}^{{{}}}", RAISES, (WHOLE, COMPARES))
    ),
    "square": _sides("{} ** 2", "{}^{{2}}", RAISES, WHOLE),
    "exp": _call("exp({})", r"e^{{{}}}", RAISES),
    "log": _call("log({})", r"\log\left({}\right)"),
    "tanh": _call("tanh({})", r"\tanh\left({}\right)"),
    "sigmoid": _call("sigmoid({})", r"\sigma\left({}\right)"),
    "sqrt": _call("sqrt({})", r"\sqrt{{{}}}"),
    "abs": _call("abs({})", r"\left|{}\right|"),
    "floor": _call("floor({})", r"\left\lfloor {} \right\rfloor"),
    "ceil": _call("ceil({})", r"\left\lceil {} \right\rceil"),
    "equal": _sides("{} == {}", "{} = {}", COMPARES, ADDS, ADDS),
    "not_equal": _sides("{} != {}", r"{} \neq {}", COMPARES, ADDS, ADDS),
    "less": _sides("{} < {}", "{} < {}", COMPARES, ADDS, ADDS),
    "less_equal": _sides("{} <= {}", r"{} \leq {}", COMPARES, ADDS, ADDS),
    "greater": _sides("{} > {}", "{} > {}", COMPARES, ADDS, ADDS),
    "greater_equal": _sides("{} >= {}", r"{} \geq {}", COMPARES, ADDS, ADDS),
} | {
    name: _call(f"{name}({{}})", rf"\{tex}\left({{}}\right)")
    for name, tex in {
        "sin": "sin", "cos": "cos", "tan": "tan", "sinh": "sinh", "cosh": "cosh",
        "asin": "arcsin", "acos": "arccos", "atan": "arctan",
    }.items()
}  # fmt: skip
Part = tuple[str, int]  # an operand's text, and how tightly it binds


def expr(t: Tensor) -> str:
    """The expression that computes `t`, in Python's notation.

    Raises TypeError for what is no Tensor.
    """
    return _written(t, tex=False)


class Latex(str):
    """A formula for LaTeX's math mode, which a notebook sets."""

    def _repr_latex_(self) -> str:
        return f"$\\displaystyle {self}$"


def latex(t: Tensor) -> str:
    r"""The expression that computes `t`, for LaTeX's math mode; products by element are \odot.

    Raises TypeError for what is no Tensor.
    """
    return Latex(_written(t, tex=True))


def _written(root: Tensor, tex: bool) -> str:
    if not isinstance(root, Tensor):
        raise TypeError(f"an expression is written for a Tensor, not for a {type(root).__name__}")
    text: dict[Tensor, Part] = {}
    stop = _stops_at(root)
    for t in toposort([root], stop=stop):
        if stop(t):
            words = _leaf(t, tex)
            text[t] = words, NEGATES if words.startswith("-") else WHOLE
            continue
        words, binds = _node(t, text, tex)
        text[t] = (words, binds) if len(words) <= LONGEST else (_elided(t, tex), WHOLE)
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
        value = t._value.item()
        return str(value) if isinstance(value, bool) else f"{value:.6g}"
    if t.op is PROJ:
        name = t.inputs[0].name or "recur"
        return rf"\mathrm{{{name}}}(\ldots)" if tex else f"{name}(...)"
    shape = "x".join(map(str, t.shape))
    return rf"[{shape}]" if tex else f"<{shape}>"


def _elided(t: Tensor, tex: bool) -> str:
    return rf"{_verbatim(t.op.name)}(\ldots)" if tex else f"{t.op.name}(...)"


def _node(t: Tensor, text: dict[Tensor, Part], tex: bool) -> Part:
    name, parts = t.op.name, [text[i] for i in t.inputs]
    if name in SILENT:
        return parts[0]
    if name in SPECIAL:
        found = SPECIAL[name](t, text, tex)
        if found is not None:
            return found
    if name in FORMS and len(parts) == len(FORMS[name][tex].needs):
        form = FORMS[name][tex]
        words = [_bracket(p, need, tex) for p, need in zip(parts, form.needs, strict=True)]
        return form.text.format(*words), form.binds
    return _called(name, [p for p, _ in parts], _settings(t), tex)


def _called(name: str, operands: list[str], settings: list[str], tex: bool) -> Part:
    inside = ", ".join([*operands, *(_verbatim(x) if tex else x for x in settings)])
    return (rf"{_verbatim(name)}\left({inside}\right)" if tex else f"{name}({inside})"), WHOLE


def _verbatim(words: str) -> str:
    return r"\mathrm{" + words.replace("_", r"\_").replace(" ", r"\ ") + "}"


def _settings(t: Tensor) -> list[str]:
    """What the op does beside its operands, as keyword arguments."""
    found = []
    for key, value in t.attrs.items():
        if key == "axis" and t.op.kind == "reduction":
            value = _axes(value, t.inputs[0].ndim)
        if value is not None and value is not False and not (key == "order" and value == 0):
            found.append(f"{key}={value!r:.40}")
    return found


def _axes(axis: Any, ndim: int) -> Any:
    """Axes counted from the front, one as a number; None: all of them."""
    axes = tuple(a % ndim for a in (axis if isinstance(axis, tuple) else (axis,)))
    return None if axes == tuple(range(ndim)) else axes[0] if len(axes) == 1 else axes


def _add(t: Tensor, text: dict[Tensor, Part], tex: bool) -> Part:
    first, *rest = (text[i] for i in t.inputs)
    words = [_bracket(first, ADDS, tex), *(_bracket(p, MULTIPLIES, tex) for p in rest)]
    return " + ".join(words), ADDS


def _sum(t: Tensor, text: dict[Tensor, Part], tex: bool) -> Part | None:
    if not tex:
        return None
    axes = _axes(t.attrs["axis"], t.inputs[0].ndim)
    below = "" if axes is None else rf"_{{\mathrm{{axis}}\,{axes}}}"
    return rf"\sum{below} {_bracket(text[t.inputs[0]], MULTIPLIES, tex)}", ADDS


def _einsum(t: Tensor, text: dict[Tensor, Part], tex: bool) -> Part:
    """A matrix product where it is one, with transposes; else the call."""
    subs, out = t.attrs["subs"], t.attrs["out"]
    if len(subs) == 2:
        for a, b in ((0, 1), (1, 0)):
            pair = _matrices(subs[a], subs[b], out)
            if pair:
                sides = zip((a, b), pair, (MULTIPLIES, NEGATES), strict=True)
                words = [
                    _bracket(_turned(text[t.inputs[k]], tex) if turn else text[t.inputs[k]], n, tex)
                    for k, turn, n in sides
                ]
                return (" " if tex else " @ ").join(words), MULTIPLIES
    spec = f"{','.join(subs)}->{out}"
    operands = [text[i][0] for i in t.inputs]
    return _called("einsum", [_verbatim(spec) if tex else repr(spec), *operands], [], tex)


def _matrices(a: str, b: str, out: str) -> tuple[bool, bool] | None:
    """Whether each operand is transposed in a @ b, if that is what it is."""
    common = set(a) & set(b)
    if len(common) != 1 or len(set(a)) < len(a) or len(set(b)) < len(b) or len(b) > 2:
        return None
    (c,) = common
    turns = a[-1] != c, b[0] != c
    if out != a.replace(c, "") + b.replace(c, "") or (turns[0] and len(a) > 2):
        return None
    return turns


def _turned(part: Part, tex: bool) -> Part:
    return _bracket(part, WHOLE, tex) + (r"^{\top}" if tex else ".T"), RAISES if tex else WHOLE


def _permuted(t: Tensor, text: dict[Tensor, Part], tex: bool) -> Part | None:
    return _turned(text[t.inputs[0]], tex) if t.ndim == 2 else None


def _sliced(t: Tensor, text: dict[Tensor, Part], tex: bool) -> Part:
    return _indexed(text[t.inputs[0]], t, (), tex)


def _indexed(part: Part, t: Tensor, dropped: tuple[int, ...], tex: bool) -> Part:
    """x[1:, 0]: the slice `t` of a part, the axes `dropped` by a number."""
    keys = []
    for axis, (start, stop, step) in enumerate(t.attrs["index"]):
        ends = ["" if x is None else str(x) for x in (start, stop)]
        key = ":".join(ends) + ("" if step in (None, 1) else f":{step}")
        keys.append(str(start) if axis in dropped else key)
    while keys and keys[-1] == ":":
        keys.pop()
    inside = ", ".join(keys) or ":"
    base = _bracket(part, WHOLE, tex)
    return (rf"{base}\left[{inside}\right]" if tex else f"{base}[{inside}]"), WHOLE


def _reshaped(t: Tensor, text: dict[Tensor, Part], tex: bool) -> Part | None:
    """Axes of length 1 say nothing; but x[0] is a slice without its axis."""
    x = t.inputs[0]
    if [n for n in t.shape if n != 1] != [n for n in x.shape if n != 1]:
        return None
    if x.op.name == "slice" and x.name is None and x.inputs[0] in text:
        bounds = x.attrs["index"]
        single = tuple(
            k for k, (a, b, _) in enumerate(bounds) if None not in (a, b) and b - a == 1
        )
        if tuple(n for k, n in enumerate(x.shape) if k not in single) == t.shape:
            return _indexed(text[x.inputs[0]], x, single, tex)
    return text[x]


def _joined(t: Tensor, text: dict[Tensor, Part], tex: bool) -> Part:
    inside = ", ".join(text[i][0] for i in t.inputs)
    words = rf"\left[{inside}\right]" if tex else f"[{inside}]"
    return _called("concat", [words], [f"axis={t.attrs['axis'] % t.ndim}"], tex)


SPECIAL: dict[str, Callable[[Tensor, dict[Tensor, Part], bool], Part | None]] = {
    "add": _add, "sum": _sum, "einsum": _einsum, "permute_dims": _permuted, "slice": _sliced,
    "reshape": _reshaped, "concat": _joined,
}  # fmt: skip


def _bracket(part: Part, need: int, tex: bool) -> str:
    words, binds = part
    if binds >= need:
        return words
    return rf"\left({words}\right)" if tex else f"({words})"
