r"""`latex`: a graph as a formula, for LaTeX's math mode, as a page would print it.

Products by element are \odot, of matrices nothing; W^\top is a transpose, \delta x^\top an outer
product, and what is neither is written with indices.  A Jacobian is a matrix, and a gradient
through time the sum over steps with the product of the steps' Jacobians.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from .. import ops
from ..graph import CONSTANT, Tensor, placeholder, rebuild, toposort
from ..linalg.matrices import PRIMITIVES
from ..manners.text import ADDS, COMPARES, FORMS, MULTIPLIES, NEGATES, RAISES, WHOLE, _axes
from ..ops.broadcast import RESHAPE
from ..ops.table import name_of_ours
from ..recur import PROJ
from ..sites import rule_of
from .letters import matrix, symbol, verbatim
from .standins import (
    index_of,
    jacobian_of,
    key_text,
    made_of,
    number_in,
    peeled,
    plain,
    records,
    row_of,
    step_of,
    turned,
)
from .through import through_formula, through_time, unrolled
from .writer import (
    AS_IT,
    LONGEST,
    SILENT,
    Number,
    Spelled,
    Writer,
    Written,
    added,
    by_form,
    state_name,
)

__all__ = ["latex"]

JOINED = NEGATES  # how a product without a sign binds: tighter than \odot
MATRIX = 4  # rows and columns of a matrix that is written out
WORDS = {  # functions by their mathematical names
    "relu": "relu", "erf": "erf", "acosh": "arcosh", "asinh": "arsinh", "atanh": "artanh",
    "softplus": "softplus", "sign": "sgn", "softmax": "softmax", "log_softmax": r"log\,softmax",
    "logsumexp": r"log\,sum\,exp", "mean": "mean", "var": "var", "std": "std", "trunc": "trunc",
    "round": "round", "stop_gradient": "sg",
}  # fmt: skip
FUNCTIONS = {name: rf"\mathrm{{{word}}}" for name, word in WORDS.items()} | {
    "max": r"\max", "min": r"\min", "maximum": r"\max", "minimum": r"\min", "prod": r"\prod",
    "argmax": r"\arg\max", "argmin": r"\arg\min", "log1p": None, "expm1": None,
}  # fmt: skip
TEX: dict[str, tuple[str, int, tuple[int, ...]]] = {
    "log1p": (r"\log\left(1 + {}\right)", WHOLE, (MULTIPLIES,)),
    "expm1": (r"e^{{{}}} - 1", ADDS, (COMPARES,)),
    "log2": (r"\log_{{2}}\left({}\right)", WHOLE, (COMPARES,)),
    "log10": (r"\log_{{10}}\left({}\right)", WHOLE, (COMPARES,)),
    "cbrt": (r"\sqrt[3]{{{}}}", WHOLE, (COMPARES,)),
    "negative": ("-{}", ADDS, (MULTIPLIES,)),
    "logical_and": (r"{} \wedge {}", COMPARES, (WHOLE, WHOLE)),
    "logical_or": (r"{} \vee {}", COMPARES, (WHOLE, WHOLE)),
    "logical_xor": (r"{} \oplus {}", COMPARES, (WHOLE, WHOLE)),
    "logical_not": (r"\neg {}", RAISES, (WHOLE,)),
    "hypot": (r"\sqrt{{{}^{{2}} + {}^{{2}}}}", WHOLE, (WHOLE, WHOLE)),
    "remainder": (r"{} \,\mathrm{{mod}}\, {}", MULTIPLIES, (NEGATES, NEGATES)),
    "floor_divide": (r"\left\lfloor \frac{{{}}}{{{}}} \right\rfloor", WHOLE, (0, 0)),
}


MATRICES: dict[str, tuple[str, int, tuple[int, ...]]] = {
    "inv": (r"{}^{{-1}}", RAISES, (WHOLE,)),
    "solve": (r"{}^{{-1}} {}", JOINED, (WHOLE, JOINED)),
    "det": (r"\det\left({}\right)", WHOLE, (COMPARES,)),
    "log_of_det": (r"\log\left|\det\left({}\right)\right|", WHOLE, (COMPARES,)),
    "expm": (r"\exp\left({}\right)", WHOLE, (COMPARES,)),
    "pinv": (r"{}^{{+}}", RAISES, (WHOLE,)),
    "absorbing_matmul": ("{} {}", JOINED, (JOINED, JOINED)),
}


class Latex(str):
    """A formula for LaTeX's math mode, which a notebook sets."""

    def _repr_latex_(self) -> str:
        return f"$\\displaystyle {self}$"


def latex(t: Tensor) -> Latex:
    r"""The expression that computes `t`, for LaTeX's math mode.

    Products by element are \odot, and of matrices nothing stands between; vectors are columns,
    W h and \delta x^\top, unless the graph has x W; sums of products that are neither have indices.
    A Jacobian of `mg.jacobian` is a bmatrix of its rows, e_i the unit vectors.
    The gradient of a parameter of a recurrence, or of a loop written out, is

        \sum_k \frac{\partial L}{\partial h_T} \prod_{j > k} \frac{\partial h_j}{\partial h_{j-1}}
        \frac{\partial^{+} h_k}{\partial W}

    (Pascanu et al. 2013), with \partial^{+} for the immediate derivative, L for what was
    differentiated, and a sum over all states that have a part of their own in it.  Where W reaches
    an output y of the steps beside the state, \partial L / \partial y_k \, \partial^{+} y_k /
    \partial W is added at every step.
    Casts are left out, as is what gets long, from below: \mathrm{exp}(\ldots).

    It needs amsmath where there are matrices and cases (`where`); all else reads in Matplotlib.
    Raises TypeError for what is no Tensor.
    """
    if not isinstance(t, Tensor):
        raise TypeError(f"an expression is written for a Tensor, not for a {type(t).__name__}")
    return Latex(_Tex(t).written())


class _Tex(Writer):
    """LaTeX for a reader."""

    longest = 2 * LONGEST  # with its commands
    brackets = (r"\left(", r"\right)")
    inside, between = r"\ldots", r"\cdots"

    def __init__(self, root: Tensor, rows: bool | None = None) -> None:
        super().__init__(root)
        order = toposort([root])
        self.rows = _are_rows(order) if rows is None else rows
        names = {t.name for t in order if t.name}
        self.short = Counter(name.rpartition(".")[2] for name in names)

    # -- leaves ------------------------------------------------------------------------------------

    def leaf(self, t: Tensor) -> Written:
        name = t.name if t.op is not PROJ else t.name or t.attrs["ref"].name
        if name is not None:
            last = name.rpartition(".")[2]
            return Written(symbol(last if last and self.short[last] == 1 else name), WHOLE)
        if t.op is CONSTANT and t.size == 1:
            return self.number(t._value.item())
        if t.op is CONSTANT and 0 < t.ndim < 3 and t.size and max(t.shape) <= MATRIX:
            rows = [[self.number(v).text for v in row] for row in np.atleast_2d(t._value).tolist()]
            return Written(matrix([" & ".join(row) for row in rows]), WHOLE)
        shape = r" \times ".join(map(str, t.shape))
        return Written(rf"\left[{shape}\right]", WHOLE)

    def number(self, value: Any) -> Written:
        if isinstance(value, bool):
            return Written(rf"\mathrm{{{value}}}", WHOLE)
        text = f"{value:.6g}"
        if "n" in text:
            text = text.replace("nan", r"\mathrm{NaN}").replace("inf", r"\infty")
        digits, e, power = text.partition("e")
        if e:
            sign = "-" if digits.startswith("-") else ""
            tens = f"10^{{{int(power)}}}"
            text = sign + tens if digits.strip("-") == "1" else rf"{digits} \cdot {tens}"
        return Written(text, ADDS if text.startswith("-") else MULTIPLIES if e else WHOLE)

    def bare(self, t: Tensor) -> Tensor:
        return peeled(t)

    def function(self, name: str) -> str:
        return verbatim(name)

    # -- nodes -------------------------------------------------------------------------------------

    def spelled(self, t: Tensor) -> Spelled:
        name = name_of_ours(t.op)
        if PRIMITIVES.get(t.op.name) is t.op and t.op.name in MATRICES:
            return Spelled(*MATRICES[t.op.name], t.inputs)
        if name in SILENT:
            return Spelled("{}", AS_IT, (0,), (plain(t.inputs[0]),))
        if t.op is PROJ:
            return self._projected(t)
        if t.op.kind == "elementwise" or t.op is RESHAPE:
            for call in made_of(t):
                made = partial(getattr(ops, call.name), call.operand, **call.options)
                if records(t, made, [call.operand], True):
                    return _function(call.name, [call.operand], call.options.get("axis"))
        if name in SPECIAL:
            found = SPECIAL[name](self, t)
            if found is not None:
                return found
        elementwise = t.op.kind == "elementwise"
        xs = [_operand(x) if elementwise else plain(x) for x in t.inputs]
        if name in TEX:
            return Spelled(*TEX[name], tuple(xs))
        if name in FORMS:
            return by_form(FORMS[name][1], xs)
        return _function(t.op.name, xs, *_over(t))

    def _projected(self, t: Tensor) -> Spelled:
        rows = _jacobian(self, t)
        if rows is not None:
            return rows
        found = through_time(t)
        if found:
            return Spelled("{}", ADDS, (0,), (through_formula(found, symbol),), True)
        step = step_of(t)
        if step is not None and t is self.root:
            return Spelled("{}", COMPARES, (0,), (_Tex(step, self.rows).written(),))
        said = self.leaf(t) if state_name(t) else self.elided(t)
        return Spelled("{}", WHOLE, (0,), (said.text,))

    def _said(self, said: Spelled, done: dict[Tensor, Written]) -> Written:
        piece = super()._said(said, done)
        text = piece.text.replace(" + -", " - ").replace(r"} \mathrm{", r"} \, \mathrm{")
        return piece._replace(text=text)


# -- spellings -------------------------------------------------------------------------------------


def _operand(x: Tensor) -> Any:
    """As it is written: a number, or without being repeated."""
    value = number_in(x, shaped=True)
    return peeled(x) if value is None else Number(value)


def _is_number(x: Any) -> bool:
    return isinstance(x, Number)


def _single(x: Any) -> bool:
    """A number, or what has no axes: a factor in front."""
    return _is_number(x) or x.ndim == 0


def _function(name: str, operands: Sequence[Any], axis: Any = None, more: str = "") -> Spelled:
    word = FUNCTIONS.get(name) or verbatim(name)
    below = "" if axis is None else rf"_{{\mathrm{{axis}}\,{axis}}}"
    inside = ", ".join(["{}"] * len(operands)) + more.replace("{", "{{").replace("}", "}}")
    text = (word + below).replace("{", "{{").replace("}", "}}")
    return Spelled(
        rf"{text}\left({inside}\right)", WHOLE, (0,) * len(operands), tuple(operands)
    )


def _over(t: Tensor) -> tuple[Any, str]:
    """The axis of an op, None for all; and its other settings."""
    axis, found = None, []
    for key, value in t.attrs.items():
        if key == "axis" and t.inputs[0].ndim:
            axis = _axes(value, t.inputs[0].ndim)
        elif key not in ("axis", "shape", "index") and value not in (None, False, 0):
            text = value.name if isinstance(value, np.dtype) else str(value)
            found.append(", " + verbatim(f"{key}={text:.40}"))
    return axis, "".join(found)


def _times(w: _Tex, t: Tensor) -> Spelled | None:
    a, b = (_operand(x) for x in t.inputs)
    if _single(b) and not _single(a) or _is_number(b) and not _is_number(a):
        a, b = b, a
    if _is_number(b):
        return Spelled(r"{} \cdot {}", MULTIPLIES, (MULTIPLIES, NEGATES), (a, b))
    if _is_number(a) and a.value == -1:
        return Spelled("-{}", ADDS, (MULTIPLIES,), (b,))
    if _is_number(a) and a.value < 0:
        return Spelled(r"-{} \, {}", ADDS, (MULTIPLIES, NEGATES), (Number(-a.value), b))
    if _single(a) and not w.ends(b) and name_of_ours(b.op) in ("multiply", "absorb"):
        if any(number_in(x, shaped=True) is not None for x in b.inputs):  # 1/2 2 x is misread
            return Spelled(r"{} \cdot {}", MULTIPLIES, (MULTIPLIES, MULTIPLIES), (a, b))
    if _single(a):
        return Spelled(r"{} \, {}", MULTIPLIES, (MULTIPLIES, NEGATES), (a, b))
    return Spelled(r"{} \odot {}", MULTIPLIES, (MULTIPLIES, MULTIPLIES), (a, b))


def _plus(w: _Tex, t: Tensor) -> Spelled:
    found = unrolled(t) if t is w.root else None
    if found:
        return Spelled("{}", ADDS, (0,), (through_formula(found, symbol),), True)
    xs = [_operand(x) for x in t.inputs]
    if len(xs) == 2 and isinstance(xs[1], Tensor) and not w.ends(xs[1]):
        if name_of_ours(xs[1].op) == "negative":
            return Spelled("{} - {}", ADDS, (ADDS, MULTIPLIES), (xs[0], peeled(xs[1].inputs[0])))
    return added(xs)._replace(needs=(ADDS,) * len(added(xs).operands))


def _sum(w: _Tex, t: Tensor) -> Spelled:
    axis, _ = _over(t)
    below = "" if axis is None else rf"_{{{{\mathrm{{{{axis}}}}\,{axis}}}}}"
    return Spelled(rf"\sum{below} {{}}", MULTIPLIES, (MULTIPLIES,), (plain(t.inputs[0]),), True)


def _scaled(w: _Tex, t: Tensor) -> Spelled | None:
    """-(x / n) as -\\frac{x}{n}: a minus above the line belongs in front."""
    a, b = (_operand(x) for x in t.inputs)
    if isinstance(a, Tensor) and name_of_ours(a.op) == "negative" and not w.ends(a):
        return Spelled(r"-\frac{{{}}}{{{}}}", ADDS, (0, 0), (peeled(a.inputs[0]), b))
    return None


def _power(w: _Tex, t: Tensor) -> Spelled | None:
    a, b = (_operand(x) for x in t.inputs)
    if _is_number(b) and b.value == 0.5:
        return Spelled(r"\sqrt{{{}}}", WHOLE, (0,), (a,))
    return None


def _exp(w: _Tex, t: Tensor) -> Spelled | None:
    """What has fractions or more floors of its own is too small in an exponent."""
    x = peeled(t.inputs[0])
    if w.ends(x) or x.op.name in ("negative", "multiply", "square", "add", "subtract", "einsum"):
        return None
    return Spelled(r"\exp\left({}\right)", WHOLE, (0,), (x,))


def _cases(w: _Tex, t: Tensor) -> Spelled:
    c, a, b = (_operand(x) for x in t.inputs)
    return Spelled(
        r"\begin{{cases}} {} & \mathrm{{if}}\ {} \\ {} & \mathrm{{otherwise}} \end{{cases}}",
        COMPARES, (0, 0, 0), (a, c, b),
    )  # fmt: skip


def _permuted(w: _Tex, t: Tensor) -> Spelled | None:
    axes = t.attrs["axes"]
    if t.ndim == 2:
        x, turn = turned(t.inputs[0], True)
        if not turn:
            return Spelled("{}", AS_IT, (0,), (plain(x),))
        return Spelled(r"{}^{{\top}}", RAISES, (WHOLE,), (x,))
    if axes == (*range(-t.ndim, -2), -1, -2):
        return Spelled(r"{}^{{\top}}", RAISES, (WHOLE,), (t.inputs[0],))
    order = ",".join(str(a % t.ndim) for a in axes)
    return Spelled(rf"{{}}^{{{{\left({order}\right)}}}}", RAISES, (WHOLE,), (t.inputs[0],))


def _indexed(w: _Tex, t: Tensor) -> Spelled | None:
    if t.op is RESHAPE:
        rows = _jacobian(w, t)
        if rows is not None:
            return rows
    if row := row_of(t):
        return Spelled(rf"{{}}\left[{row[1]}\right]", WHOLE, (WHOLE,), (row[0],))
    found = index_of(t)
    if found is None:
        return None
    x, keys = found
    if t.op is RESHAPE and x is t.inputs[0] and all(k in (":", "None", "0") for k in keys):
        return Spelled("{}", AS_IT, (0,), (plain(x),))  # axes of length 1 say nothing
    keys = [k for k in keys if k != "None"]
    return Spelled(rf"{{}}\left[{key_text(keys)}\right]", WHOLE, (WHOLE,), (x,))


def _repeated(w: _Tex, t: Tensor) -> Spelled:
    """Where it is no operand of an elementwise op, which would repeat it by itself."""
    value, shape = number_in(t, shaped=True), r" \times ".join(map(str, t.shape))
    if value is None:
        word = rf"\mathrm{{{{broadcast}}}}_{{{{{shape}}}}}\left({{}}\right)"
        return Spelled(word, WHOLE, (0,), (plain(t.inputs[0]),))
    ones = rf"\mathbf{{{{{int(value == 1)}}}}}_{{{{{shape}}}}}"
    if value in (0, 1):
        return Spelled(ones, WHOLE, (), ())
    ones = ones.replace("0", "1", 1)
    sign, number = ("-", Number(-value)) if value < 0 else ("", Number(value))
    binds = ADDS if sign else MULTIPLIES
    return Spelled(rf"{sign}{{}} \, {ones}", binds, (MULTIPLIES,), (number,))


def _rows_of(w: _Tex, t: Tensor) -> Spelled | None:
    """Joined matrices as one."""
    axis, xs = t.attrs["axis"] % t.ndim, list(t.inputs)
    if t.ndim > 2 or len(xs) > 2 * MATRIX:
        return _function("concat", xs, axis)
    xs = [x.inputs[0] if x.op is RESHAPE and x.name is None else x for x in xs]
    between = r" & " if axis == 1 or t.ndim == 1 and w.rows else r" \\ "
    inside = between.join(["{}"] * len(xs))
    return Spelled(
        rf"\begin{{{{bmatrix}}}} {inside} \end{{{{bmatrix}}}}", WHOLE, (0,) * len(xs), tuple(xs)
    )


def _placed(w: _Tex, t: Tensor) -> Spelled | None:
    """A number in one place of a vector of zeros: its multiple of a unit vector."""
    x, index, (n, *more) = plain(t.inputs[0]), t.attrs["index"], t.attrs["shape"]
    if more or x.size != 1 or n == 1:
        return None
    unit, sign = rf"e_{{{{{range(*slice(*index[0]).indices(n)).start + 1}}}}}", ""
    while x.name is None and (x.op is RESHAPE or name_of_ours(x.op) == "negative"):
        sign = sign if x.op is RESHAPE else "" if sign else "-"
        x = plain(x.inputs[0])
    if number_in(x) == 1:
        return Spelled(sign + unit, ADDS if sign else WHOLE, (), ())
    binds = ADDS if sign else MULTIPLIES
    return Spelled(rf"{sign}{{}} \, {unit}", binds, (MULTIPLIES,), (peeled(x),))


def _taken(w: _Tex, t: Tensor) -> Spelled:
    if row := row_of(t):
        return Spelled(rf"{{}}\left[{row[1]}\right]", WHOLE, (WHOLE,), (row[0],))
    return Spelled(r"{}\left[{}\right]", WHOLE, (WHOLE, 0), t.inputs)


# -- products --------------------------------------------------------------------------------------


def _are_rows(order: Sequence[Tensor]) -> bool:
    """Whether the graph has vectors as rows, x W; where it has W x as well, they are columns."""
    found = set()
    for t in order:
        if name_of_ours(t.op) == "einsum" and rule_of(t.site) is None and len(t.inputs) == 2:
            a, b = t.attrs["subs"]
            if (len(a), len(b)) == (1, 2) and a == b[0]:
                found.add("rows")
            if (len(a), len(b)) == (2, 1) and b == a[1]:
                found.add("columns")
    return found == {"rows"}


def _product(w: _Tex, t: Tensor) -> Spelled:
    subs, out, xs = t.attrs["subs"], t.attrs["out"], [plain(x) for x in t.inputs]
    if len(subs) == 2 and all(len(set(s)) == len(s) <= 2 for s in subs):
        found = _of_matrices(w, subs, out, xs, rule_of(t.site) is None)
        if found is not None:
            return found
    return _with_indices(w, subs, out, xs)


def _of_matrices(
    w: _Tex, subs: Sequence[str], out: str, xs: Sequence[Tensor], forward: bool
) -> Spelled | None:
    common = set(subs[0]) & set(subs[1])
    kinds = len(subs[0]), len(subs[1])
    if kinds == (1, 1):
        if out == "" and common:
            return Spelled(r"{} \cdot {}", MULTIPLIES, (NEGATES, NEGATES), tuple(xs))
        if len(out) != 2 or common:
            return None
        pair = (0, 1) if out == subs[0] + subs[1] else (1, 0)
        return _side_by_side([(xs[pair[0]], w.rows), (xs[pair[1]], not w.rows)])
    if len(common) != 1 or common & set(out) or len(out) != sum(kinds) - 2:
        return None
    (c,) = common
    if kinds == (2, 2):
        first = 0 if out[0] in subs[0] else 1
        a, b = first, 1 - first
        return _side_by_side([(xs[a], subs[a][1] != c), (xs[b], subs[b][0] != c)])
    if 0 in kinds:
        return None
    m, v = (0, 1) if kinds == (2, 1) else (1, 0)
    row = v == 0 if forward else w.rows
    if row:
        return _side_by_side([(xs[v], False), (xs[m], subs[m][0] != c)])
    return _side_by_side([(xs[m], subs[m][1] != c), (xs[v], False)])


def _side_by_side(parts: Sequence[tuple[Tensor, bool]]) -> Spelled:
    """Factors, each perhaps transposed."""
    parts = [turned(x, turn) for x, turn in parts]
    words = " ".join(r"{}^{{\top}}" if turn else "{}" for _, turn in parts)
    needs = tuple(WHOLE if turn else JOINED for _, turn in parts)
    return Spelled(words, JOINED, needs, tuple(x for x, _ in parts))


def _with_indices(w: _Tex, subs: Sequence[str], out: str, xs: Sequence[Tensor]) -> Spelled:
    r"""\sum_{j} a_{ij} \, b_{jk}."""
    used = list(dict.fromkeys("".join((out, *subs))))
    names = dict(zip(used, "ijklmnpqrstuvabcdefgh" + "xyz" * len(used), strict=False))
    over = [names[c] for c in used if c not in out]
    factors = []
    for sub in subs:
        index = "".join(names[c] for c in sub)
        factors.append(rf"\left[{{}}\right]_{{{{{index}}}}}" if sub else "{}")
    head = rf"\sum_{{{{{','.join(over)}}}}} " if over else ""
    needs = tuple(0 if sub else NEGATES for sub in subs)
    return Spelled(head + r" \, ".join(factors), MULTIPLIES, needs, tuple(xs), bool(over))


# -- Jacobians -------------------------------------------------------------------------------------


def _jacobian(w: _Tex, t: Tensor) -> Spelled | None:
    """The vjps of all unit vectors, below each other."""
    found = jacobian_of(t)
    if found is None:
        return None
    row, unit, n = found
    numbers = [1, 2, None, n] if n > MATRIX else list(range(1, n + 1))
    rows = []
    for k in numbers:
        if k is None:
            rows.append(r"\vdots")
            continue
        (one,) = rebuild([row], {unit: placeholder(unit.shape, unit.dtype, f"e_{k}")})
        text = _Tex(one, w.rows).written()
        turned = one.ndim == 1 and not w.rows  # a vjp is a column there
        rows.append(rf"\left({text}\right)^{{\top}}" if turned else text)
    return Spelled("{}", WHOLE, (0,), (matrix(rows),))


SPECIAL: dict[str, Callable[[_Tex, Tensor], Spelled | None]] = {
    "add": _plus, "multiply": _times, "absorb": _times, "sum": _sum, "divide": _scaled,
    "pow": _power, "exp": _exp, "where": _cases, "permute_dims": _permuted, "slice": _indexed,
    "reshape": _indexed, "concat": _rows_of, "take": _taken, "place": _placed, "einsum": _product,
    "broadcast_to": _repeated,
}  # fmt: skip
