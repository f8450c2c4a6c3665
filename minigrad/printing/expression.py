"""`expr`: a graph as one expression in Python's notation.

What is written is what a reader of Python would write: operators, `softmax(x)`, `x[0]`, `W.T`.
With `exact=True` nothing is left out, and Python reads the text as the same graph.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from .. import linalg, ops
from ..graph import CONSTANT, INPUT, Primitive, Tensor, bind
from ..linalg.matrices import PRIMITIVES
from ..manners.text import COMPARES, FORMS, MULTIPLIES, NEGATES, WHOLE, _axes, _matrices
from ..ops.broadcast import BROADCAST, RESHAPE
from ..ops.table import TABLE, name_of_ours
from ..recur import PROJ, RECUR
from .names import Names, identifier
from .standins import (
    choices,
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
    value_of,
)
from .through import through_time, through_words, unrolled
from .writer import (
    AS_IT,
    SILENT,
    Number,
    Spelled,
    Writer,
    Written,
    added,
    by_form,
    state_name,
)

__all__ = ["ExpressionText", "expr"]

PUBLIC: dict[str, Any] = {name: getattr(ops, name) for name in ops.__all__}
ROWS = 8  # numbers of rows that are written out
RESERVED = frozenset({*PUBLIC, "linalg", "ops", "nan", "inf"})


class OpsByName:
    """`ops.name(x, axis=-1)` records that primitive, as it stands in the table."""

    def __getattr__(self, name: str) -> Callable[..., Tensor]:
        op = TABLE.get(name) or PRIMITIVES.get(name)
        if op is None:
            raise AttributeError(f"there is no op {name!r}")
        return _recorder(op)


def _recorder(op: Primitive) -> Callable[..., Tensor]:
    def record(*xs: Any, **attrs: Any) -> Tensor:
        if "dtype" in attrs:
            attrs["dtype"] = np.dtype(attrs["dtype"])
        return bind(op, *map(ops.asarray, xs), **attrs)

    return record


class ExpressionText(str):
    """An expression as text.

    names : what the names in it are: Tensors, functions of minigrad, `linalg`,
            and `ops`, whose functions record one op each, also those that only rules need.
    """

    names: dict[str, Any]


def expr(t: Tensor, *, exact: bool = False) -> ExpressionText:
    """The expression that computes `t`, in Python's notation.

    Named Tensors are shown by their names; `t` itself is shown by what it is.
    What gets long is left out from below: `sum(exp(...))`.
    What has no name and is neither one number nor a few whole ones is shown by its shape, `<3x4>`,
    a result of a recurrence by its name inside; the gradient of a parameter of a recurrence is a
    sum over time, with the product of the steps' Jacobians.
    Casts are left out, and so is a transpose of a transpose; products that only rules of
    derivatives need (`absorb`, `absorbing_matmul`) are written `*` and `@`.

    exact : nothing is left out, and the text is Python for this graph:
            `mg.same(eval(text, text.names), t)`.
            Names that are no identifiers, or are taken, are changed for that.
            (Python itself reads some 200 brackets within each other at most.)

    Raises TypeError for what is no Tensor;
    of exact texts ValueError for what a recurrence computes, which no expression does
    (write `mg.unfold(t, expand=True)`), and for more than a million characters.
    """
    if not isinstance(t, Tensor):
        raise TypeError(f"an expression is written for a Tensor, not for a {type(t).__name__}")
    writer = (_Exact if exact else _Plain)(t)
    text = ExpressionText(writer.written())
    text.names = writer.names
    return text


class _Plain(Writer):
    """Python for a reader."""

    loose = True

    def __init__(self, root: Tensor) -> None:
        super().__init__(root)
        self.names: dict[str, Any] = {"nan": np.nan, "inf": np.inf, "linalg": linalg, **PUBLIC}
        self.names["ops"] = OpsByName()

    def written(self) -> str:
        """Of a long sum over the steps of a loop the formula, not its first terms."""
        text = super().written()
        found = unrolled(self.root) if "..." in text and not self.exact else None
        return through_words(found) if found else text

    # -- leaves ------------------------------------------------------------------------------------

    def leaf(self, t: Tensor) -> Written:
        if t.name is not None:
            self.names.setdefault(t.name, t)
            return Written(t.name, WHOLE)
        if t.op is CONSTANT and t.size == 1:
            return self.number(t._value.item())
        if t.op is PROJ:
            return Written(t.attrs["ref"].name or "...", WHOLE)
        if t.op is CONSTANT and t.ndim == 1 and 0 < t.size <= ROWS and t.dtype.kind in "iu":
            return Written(str(t._value.tolist()), WHOLE)
        return Written(f"<{'x'.join(map(str, t.shape))}>", WHOLE)

    def number(self, value: Any) -> Written:
        text = str(value) if isinstance(value, (bool, int)) else f"{value:.6g}"
        return Written(text, NEGATES if text.startswith("-") else WHOLE)

    def bare(self, t: Tensor) -> Tensor:
        return peeled(t)

    # -- nodes -------------------------------------------------------------------------------------

    def spelled(self, t: Tensor) -> Spelled:
        if name_of_ours(t.op) in SILENT:
            return _silent(t.inputs[0])
        name = name_of_ours(t.op) or ""
        if name == "einsum":
            return _product(t)
        if name in ("reshape", "take") and (row := row_of(t)):
            return Spelled(f"{{}}[{row[1]}]", WHOLE, (WHOLE,), (row[0],))
        if name == "permute_dims" and t.ndim == 2:
            x, turn = turned(t.inputs[0], True)
            if x is not t.inputs[0]:
                return Spelled("{}.T", WHOLE, (WHOLE,), (x,)) if turn else _silent(x)
        if t.op is PRIMITIVES["absorbing_matmul"]:
            return Spelled("{} @ {}", MULTIPLIES, (MULTIPLIES, NEGATES), t.inputs)
        if name in FORMS and all(number_in(x, shaped=True) is not None for x in t.inputs):
            return by_form(FORMS[name][0], next(choices(t.inputs, True)))
        for said in self._candidates(t):
            if self._holds(t, said):
                return said
        return self._otherwise(t)

    def _candidates(self, t: Tensor) -> Iterator[Spelled]:
        yield from _made(t)
        name = name_of_ours(t.op) or ""
        if name in SPECIAL:
            yield from SPECIAL[name](t)
        if name in FORMS:
            form = FORMS[name][0]
            for operands in choices(t.inputs, bare=self.loose):
                yield by_form(form, operands)
        if name == "add" and len(t.inputs) == 2:
            for operands in choices(t.inputs, bare=self.loose):
                yield added(operands)
        yield from _calls(t, name, bare=self.loose)

    def _holds(self, t: Tensor, said: Spelled) -> bool:
        """Whether Python, reading it, records this node."""
        places = [f"_{k}" for k in range(len(said.operands))]
        values = {p: value_of(x) for p, x in zip(places, said.operands, strict=True)}
        code = said.text.format(*places)
        space = {**self.names, **values}
        return records(t, lambda: eval(code, space), said.operands, self.loose)  # noqa: S307

    def _otherwise(self, t: Tensor) -> Spelled:
        """What Python would record as something near, or not at all."""
        wide = t.op.kind == "elementwise"
        name, xs = t.op.name, [(peeled if wide else plain)(x) for x in t.inputs]
        if t.op is PROJ:
            return self._projected(t)
        rows = _jacobian(t) if t.op is RESHAPE else None
        if rows is not None:
            return rows
        ours = name_of_ours(t.op)
        if ours == "add":
            return added([choices([x], True).__next__()[0] for x in t.inputs])
        if ours in FORMS:
            return by_form(FORMS[name][0], next(choices(t.inputs, True)))
        if ours == "reshape" and [n for n in t.shape if n != 1] == [
            n for n in t.inputs[0].shape if n != 1
        ]:
            return _silent(t.inputs[0])
        return _called(name, xs, _settings(t))

    def _projected(self, t: Tensor) -> Spelled:
        rows = _jacobian(t)
        if rows is not None:
            return rows
        found = through_time(t)
        if found:
            return Spelled("{}", WHOLE, (0,), (through_words(found),))
        step = step_of(t)
        if step is not None and t is self.root:
            return Spelled("{}", COMPARES, (0,), (_Plain(step).written(),))
        said = self.leaf(t) if state_name(t) else self.elided(t)
        return Spelled("{}", WHOLE, (0,), (said.text,))


class _Exact(_Plain):
    """Python for this graph."""

    exact = True
    loose = False

    def __init__(self, root: Tensor) -> None:
        super().__init__(root)
        self.taken = Names(RESERVED)
        self.called: dict[Tensor, str] = {}

    def ends(self, t: Tensor) -> bool:
        return t.op in (CONSTANT, INPUT) or t is not self.root and t.name is not None

    def leaf(self, t: Tensor) -> Written:
        if t.op is CONSTANT and t.name is None:
            return Written(_array(t._value), WHOLE)
        if t not in self.called:
            self.called[t] = self.taken.fresh(identifier(t.name or "x"))
            self.names[self.called[t]] = t
        return Written(self.called[t], WHOLE)

    def number(self, value: Any) -> Written:
        text = repr(value)
        return Written(text, NEGATES if text.startswith("-") else WHOLE)

    def spelled(self, t: Tensor) -> Spelled:
        for said in self._candidates(t):
            if self._holds(t, said):
                return said
        return self._otherwise(t)

    def _otherwise(self, t: Tensor) -> Spelled:
        if t.op in (PROJ, RECUR):
            raise ValueError(
                "expr: a recurrence has no expression; write that of mg.unfold(t, expand=True), "
                "or print its loop by mg.source"
            )
        settings = [f"{key}={_value(value)}" for key, value in t.attrs.items()]
        if name_of_ours(t.op) or PRIMITIVES.get(t.op.name) is t.op:
            return _called(f"ops.{t.op.name}", t.inputs, settings)
        name = next((n for n, f in self.names.items() if getattr(f, "op", None) is t.op), None)
        if name is None:
            name = self.taken.fresh(identifier(t.op.name))
            self.names[name] = recorder = _recorder(t.op)
            recorder.op = t.op  # type: ignore[attr-defined]
        return _called(name, t.inputs, settings)


def _silent(x: Tensor) -> Spelled:
    return Spelled("{}", AS_IT, (0,), (plain(x),))


# -- spellings -------------------------------------------------------------------------------------


def _called(name: str, operands: Sequence[Any], settings: Sequence[str]) -> Spelled:
    inside = ", ".join(["{}"] * len(operands) + [s.replace("{", "{{").replace("}", "}}")
                                                 for s in settings])  # fmt: skip
    return Spelled(f"{name}({inside})", WHOLE, (0,) * len(operands), tuple(operands))


def _calls(t: Tensor, name: str, bare: bool) -> Iterator[Spelled]:
    """The public function of that name, with the fewest settings first."""
    matrices = PRIMITIVES.get(t.op.name) is t.op and t.op.name in linalg.__all__
    home = f"linalg.{t.op.name}" if matrices else name if name in PUBLIC else None
    if home is None or t.op in (PROJ, RECUR):
        return
    whole = [f"{key}={_value(value)}" for key, value in t.attrs.items()]
    elementwise = t.op.kind == "elementwise"
    for settings in ([], whole) if matrices else (_settings(t), whole):
        ways = choices(t.inputs, bare) if elementwise else [t.inputs]
        for operands in ways:
            yield _called(home, operands, settings)


def _settings(t: Tensor) -> list[str]:
    """What the op does beside its operands, as keyword arguments; what is usual left out."""
    found = []
    for key, value in t.attrs.items():
        if key == "axis":
            value = _axes(value, t.inputs[0].ndim) if t.inputs[0].ndim else None
            along = t.op.name in ("argmax", "argmin", "cumulative_sum", "cumulative_prod")
            value = 0 if value is None and along and t.inputs[0].ndim else value
        if value is not None and value is not False and not (key == "order" and value == 0):
            found.append(f"{key}={_value(value)}")
    return found


def _value(value: Any) -> str:
    return repr(value.name) if isinstance(value, np.dtype) else repr(value)


def _array(value: Any) -> str:
    """An array written out."""
    array = np.asarray(value)
    if not array.size:
        return f"zeros({array.shape}, dtype={array.dtype.name!r})"
    text = repr(array.tolist())
    usual = np.array(array.tolist()).dtype
    more = "" if usual == array.dtype else f", dtype={array.dtype.name!r}"
    return f"asarray({text}{more})"


def _made(t: Tensor) -> Iterator[Spelled]:
    for name, x, options in made_of(t):
        yield _called(name, [x], [f"{key}={value!r}" for key, value in options.items()])


def _jacobian(t: Tensor) -> Spelled | None:
    found = jacobian_of(t)
    if found is None:
        return None
    return _called("stack", [], [f"[{_Plain(found.row).written()} for e in eye({found.n})]"])


def _reshaped(t: Tensor) -> Iterator[Spelled]:
    x = t.inputs[0]
    if x.op.kind == "reduction" and x.name is None and "axis" in x.attrs:
        for said in (_settings(x), []):
            yield _called(x.op.name, x.inputs, [*said, "keepdims=True"])
    yield from _indexed(t)


def _indexed(t: Tensor) -> Iterator[Spelled]:
    found = index_of(t)
    if found:
        x, keys = found
        yield Spelled(f"{{}}[{key_text(keys)}]", WHOLE, (WHOLE,), (x,))


def _turned(t: Tensor) -> Iterator[Spelled]:
    x, axes = t.inputs[0], t.attrs["axes"]
    if axes == tuple(range(-1, -t.ndim - 1, -1)):
        yield Spelled("{}.T", WHOLE, (WHOLE,), (x,))
    if t.ndim > 2 and axes == (*range(-t.ndim, -2), -1, -2):
        yield Spelled("{}.mT", WHOLE, (WHOLE,), (x,))
    if name_of_ours(x.op) == "take" and x.name is None:
        table = x.inputs[0]
        table = table.inputs[0] if name_of_ours(table.op) == "permute_dims" else table
        for axis in range(1, table.ndim):
            yield _called("take", (table, x.inputs[1]), [f"axis={axis}"])
    yield _called("permute_dims", [x], [f"axes={tuple(a % t.ndim for a in axes)}"])


def _joined(t: Tensor) -> Iterator[Spelled]:
    inside = ", ".join(["{}"] * len(t.inputs))
    axis = t.attrs["axis"] % t.ndim
    if all(x.op is RESHAPE and x.name is None for x in t.inputs):
        parts = [x.inputs[0] for x in t.inputs]
        more = f", axis={axis}" if axis else ""
        yield Spelled(f"stack([{inside}]{more})", WHOLE, (0,) * len(parts), tuple(parts))
    yield Spelled(f"concat([{inside}], axis={axis})", WHOLE, (0,) * len(t.inputs), t.inputs)


def _einsum(t: Tensor) -> Iterator[Spelled]:
    if len(t.inputs) == 2:
        xs = t.inputs
        for a, b in (xs, xs[::-1]):
            yield Spelled("{} @ {}", MULTIPLIES, (MULTIPLIES, NEGATES), (a, b))
            if a.ndim == b.ndim == 1:
                yield _called("outer", (a, b), [])
    text = f"{','.join(t.attrs['subs'])}->{t.attrs['out']}"
    inside = ", ".join([repr(text), *["{}"] * len(t.inputs)])
    yield Spelled(f"einsum({inside})", WHOLE, (0,) * len(t.inputs), t.inputs)


def _product(t: Tensor) -> Spelled:
    """A product of matrices where it is one, with transposes; else the call."""
    *_, call = _einsum(t)
    subs, out = t.attrs["subs"], t.attrs["out"]
    if len(subs) != 2:
        return call
    for a, b in ((0, 1), (1, 0)):
        pair = _matrices(subs[a], subs[b], out)
        if pair:
            (x, first), (y, last) = turned(t.inputs[a], pair[0]), turned(t.inputs[b], pair[1])
            sides = ["{}.T" if turn else "{}" for turn in (first, last)]
            needs = (WHOLE if first else MULTIPLIES, WHOLE if last else NEGATES)
            return Spelled(" @ ".join(sides), MULTIPLIES, needs, (x, y))
        if len(subs[a]) == len(subs[b]) == 1 and out == subs[a] + subs[b]:
            return _called("outer", (t.inputs[a], t.inputs[b]), [])
    return call


def _taken(t: Tensor) -> Iterator[Spelled]:
    yield Spelled("{}[{}]", WHOLE, (WHOLE, 0), t.inputs)


def _placed(t: Tensor) -> Iterator[Spelled]:
    widths = []
    for (start, stop, step), n in zip(t.attrs["index"], t.attrs["shape"], strict=True):
        rows = range(*slice(start, stop, step).indices(n))
        widths.append((rows.start, n - rows.start - len(rows)))
    yield _called("pad", t.inputs, [str(tuple(widths))])


def _repeated(t: Tensor) -> Iterator[Spelled]:
    x, shape = t.inputs[0], t.attrs["shape"]
    if x.op is CONSTANT and x.name is None and x.size == 1 and not x.ndim:
        value = x._value.item()
        dtype = "" if x.dtype == np.float64 else f", dtype={x.dtype.name!r}"
        for number in (Number(int(value)),) if value == value and abs(value) < 1e15 else ():
            yield Spelled(f"full({shape}, {{}}{dtype})", WHOLE, (0,), (number,))
        yield Spelled(f"full({shape}, {{}}{dtype})", WHOLE, (0,), (Number(value),))
    if t.op is BROADCAST:
        yield _called("broadcast_to", [x], [f"shape={shape}"])


def _cast(t: Tensor) -> Iterator[Spelled]:
    yield _called("astype", t.inputs, [repr(t.dtype.name)])


SPECIAL: dict[str, Callable[[Tensor], Iterator[Spelled]]] = {
    "astype": _cast,
    "reshape": _reshaped, "slice": _indexed, "permute_dims": _turned, "concat": _joined,
    "einsum": _einsum, "take": _taken, "place": _placed, "broadcast_to": _repeated,
}  # fmt: skip
