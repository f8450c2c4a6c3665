"""How each library writes each op: the table of spellings, a row an op.

A spelling is a template over the operands, {0} {1} ... as they are, {x} and {y} in brackets where
something is appended to them, or a function of the node and its operands.
Written for NumPy, it holds for JAX and torch with their prefix, unless the row says otherwise;
"" says that there is none.  Infix operators are those of `manners.text`, shared with `expr`.
Nothing here asks a `Primitive` what it computes: the texts are an oracle for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..graph import Tensor
from ..manners.text import ADDS, FORMS, MULTIPLIES, NEGATES, WHOLE, Part, _bracket, _matrices

Spelling = str | Callable[[Tensor, Sequence[Part], str], str]
INFIX = frozenset([
    "subtract", "multiply", "divide", "negative", "pow", "square", "equal", "not_equal", "less",
    "less_equal", "greater", "greater_equal",
])  # fmt: skip
PREFIX = {"numpy": "np.", "jax": "jnp.", "torch": "torch."}
MANY = 50  # terms of a sum that is written with +
SILENT = frozenset(["identity", "checked"])  # their operand


@dataclass(frozen=True)
class Spelt:
    """An op's spellings; None: NumPy's, with the library's prefix."""

    numpy: Spelling
    jax: Spelling | None = None
    torch: Spelling | None = None

    def of(self, library: str) -> Spelling:
        own = {"numpy": None, "jax": self.jax, "torch": self.torch}[library]
        if own is None and isinstance(self.numpy, str):
            own = self.numpy.replace("np.", PREFIX[library])
        if not isinstance(own, str):
            return own or self.numpy
        return own.replace("axis=", "dim=") if library == "torch" else own


# -- what a template may name ----------------------------------------------------------------------


def axes(t: Tensor) -> list[int]:
    """The axes of an op on one operand, counted from the front."""
    given = t.attrs["axis"]
    ndim = t.inputs[0].ndim
    return sorted(a % ndim for a in (given if isinstance(given, tuple) else (given,)))


def _context(t: Tensor) -> dict[str, Any]:
    """{axis}: ", axis=1", or nothing for all axes; {k}: one axis; and the op's own attributes."""
    found: dict[str, Any] = dict(t.attrs)
    if "axis" in t.attrs and t.inputs[0].ndim:
        over = axes(t)
        whole = len(over) == t.inputs[0].ndim and t.op.name not in ("argmax", "argmin")
        inner = over[0] if len(over) == 1 else tuple(over)
        found |= {"k": over[0], "over": tuple(over), "axis": "" if whole else f", axis={inner}"}
    elif "axis" in t.attrs:
        found |= {"k": 0, "axis": ""}
    return found


def filled(spelling: Spelling, t: Tensor, parts: Sequence[Part], library: str) -> str:
    if not isinstance(spelling, str):
        return spelling(t, parts, library)
    words = [p for p, _ in parts]
    tight = [_bracket(p, WHOLE, False) for p in parts[:2]]
    named = dict(zip("xy", tight, strict=False))
    text = spelling.format(*words, **{**_context(t), **named, "all": ", ".join(words)})
    return text.replace("axis=", "dim=") if library == "torch" else text


def dtype_text(dtype: np.dtype, library: str) -> str:
    return PREFIX[library] + ("bool" if dtype.kind == "b" and library == "torch" else
                              "bool_" if dtype.kind == "b" else dtype.name)  # fmt: skip


def tuple_text(shape: Sequence[int]) -> str:
    return str(tuple(shape))


def shape_text(shape: Sequence[int]) -> str:
    return str(tuple(shape)) if len(shape) != 1 else str(shape[0])


# -- movement --------------------------------------------------------------------------------------


def _permuted(t: Tensor, parts: Sequence[Part], library: str) -> str:
    base = _bracket(parts[0], WHOLE, False)
    order = tuple(a % t.ndim for a in t.attrs["axes"])
    if order == (1, 0):
        return f"{base}.T"
    if library == "torch":
        return f"{base}.permute({', '.join(map(str, order))})"
    return f"{base}.transpose({', '.join(map(str, order))})"


def bounds(t: Tensor) -> list[tuple[int, int, int]]:
    """The slice of every axis as (start, count, step)."""
    shape = t.attrs.get("shape", t.inputs[0].shape)
    found = []
    for b, n in zip(t.attrs["index"], shape, strict=True):
        rows = range(*slice(*b).indices(n))
        found.append((rows.start, len(rows), rows.step))
    return found


def keys(t: Tensor, shape: Sequence[int]) -> tuple[list[str], list[int]]:
    """The slices of every axis as text, ascending, and the axes that are then to be turned."""
    texts, turned = [], []
    for axis, ((start, count, step), n) in enumerate(zip(bounds(t), shape, strict=True)):
        if step < 0:
            turned.append(axis)
            start, step = start + (count - 1) * step if count else 0, -step
        stop = start + (count - 1) * step + 1 if count else start
        text = f"{start or ''}:{stop if stop < n and count < n else ''}" if count else ":0"
        texts.append(text + (f":{step}" if step != 1 and count > 1 else ""))
        if count == 1 and step != 1:
            texts[-1] = f"{start}:{start + 1}"
    return texts, turned


def _key(texts: Sequence[str]) -> str:
    some = list(texts)
    while len(some) > 1 and some[-1] == ":":
        some.pop()
    return ", ".join(some)


def _sliced(t: Tensor, parts: Sequence[Part], library: str) -> str:
    base = _bracket(parts[0], WHOLE, False)
    texts, turned = keys(t, t.inputs[0].shape)
    text = base if set(texts) == {":"} else f"{base}[{_key(texts)}]"
    if not turned:
        return text
    if library == "torch":
        return f"torch.flip({text}, {tuple(turned)})"
    back = ["::-1" if axis in turned else ":" for axis in range(t.ndim)]
    return f"{text}[{_key(back)}]"


def _placed(t: Tensor, parts: Sequence[Part], library: str) -> str:
    texts, turned = keys(t, t.attrs["shape"])
    value, np_ = parts[0][0], PREFIX[library]
    if turned:
        flip = tuple(turned)
        value = f"{np_}flip({value}, {flip})"
    if library != "torch" and all(step in (1, -1) for _, _, step in bounds(t)):
        width = [
            (min(start, start + (count - 1) * step) if count else 0, count)
            for start, count, step in bounds(t)
        ]
        pads = tuple(
            (a, n - a - c) for (a, c), n in zip(width, t.attrs["shape"], strict=True)
        )
        return f"{np_}pad({value}, {pads})"
    index = ", ".join(
        "slice({}, {}, {})".format(*[p or None for p in (*text.split(":"), "")[:3]])
        for text in texts
    )
    return f"place({value}, ({index},), {tuple(t.attrs['shape'])})"


def _reshaped(t: Tensor, parts: Sequence[Part], library: str) -> str:
    base = _bracket(parts[0], WHOLE, False)
    old, new = [n for n in t.inputs[0].shape if n != 1], [n for n in t.shape if n != 1]
    if old == new and t.inputs[0].shape == tuple(new) and t.ndim > len(new) and new:
        index = ["None" if n == 1 else ":" for n in t.shape]
        while index[-1] == ":":
            index.pop()
        return f"{base}[{', '.join(index)}]"
    return f"{base}.reshape({shape_text(t.shape) if t.ndim < 2 else str(t.shape)[1:-1]})"


def _joined(t: Tensor, parts: Sequence[Part], library: str) -> str:
    name = {"numpy": "np.concatenate", "jax": "jnp.concatenate", "torch": "torch.cat"}[library]
    axis = t.attrs["axis"] % t.ndim
    along = f", {'dim' if library == 'torch' else 'axis'}={axis}" if axis else ""
    return f"{name}([{', '.join(p for p, _ in parts)}]{along})"


# -- sums, products, order -------------------------------------------------------------------------


def summed(t: Tensor, parts: Sequence[Part], library: str) -> str:
    text = filled("{0}{axis}", t, parts, library)
    small = t.dtype.kind in "iu" and t.dtype.itemsize < 8
    kept = f", dtype={dtype_text(t.dtype, library)}" if small else ""
    return f"{PREFIX[library]}{t.op.name}({text}{kept})"


def _product(t: Tensor, parts: Sequence[Part], library: str) -> str:
    over = axes(t) if t.inputs[0].ndim else []
    if library != "torch" or len(over) in (0, 1, t.inputs[0].ndim):
        return summed(t, parts, library)
    text = parts[0][0]
    for k in reversed(over):
        text = f"torch.prod({text}, dim={k})"
    return text


def _running(name: str) -> Spelling:
    def spelled(t: Tensor, parts: Sequence[Part], library: str) -> str:
        np_, word = PREFIX[library], "dim" if library == "torch" else "axis"
        (k,), x = axes(t), parts[0][0]
        small = t.dtype.kind in "iu" and t.dtype.itemsize < 8
        kept = f", dtype={dtype_text(t.dtype, library)}" if small else ""
        if t.attrs["reverse"]:
            flipped = f"{np_}flip({x}, ({k},))"
            return f"{np_}flip({np_}{name}({flipped}, {word}={k}{kept}), ({k},))"
        return f"{np_}{name}({x}, {word}={k}{kept})"

    return spelled


def contraction(t: Tensor, parts: Sequence[Part], prefix: str) -> Part:
    """A matrix product where it is one, else `einsum`."""
    subs, out = t.attrs["subs"], t.attrs["out"]
    if len(subs) == 2:
        for a, b in ((0, 1), (1, 0)):
            sa, sb = subs[a], subs[b]
            if len(sa) == len(sb) == 1 and out == sa + sb:
                return f"{prefix}outer({parts[a][0]}, {parts[b][0]})", WHOLE
            plain = len(sa) < 3 and len(sb) < 3 or sa[:-2] == ""
            pair = _matrices(sa, sb, out) if plain and sa and sb else None
            if pair:
                words = []
                for k, turn, need in zip((a, b), pair, (MULTIPLIES, NEGATES), strict=True):
                    tight = _bracket(parts[k], WHOLE if turn else need, False)
                    words.append(f"{tight}.T" if turn else tight)
                return " @ ".join(words), MULTIPLIES
    text = ", ".join([f'"{",".join(subs)}->{out}"', *(p for p, _ in parts)])
    return f"{prefix}einsum({text})", WHOLE


def _cast(t: Tensor, parts: Sequence[Part], library: str) -> str:
    how = "to" if library == "torch" else "astype"
    return f"{_bracket(parts[0], WHOLE, False)}.{how}({dtype_text(t.dtype, library)})"


def _taken(t: Tensor, parts: Sequence[Part], library: str) -> str:
    return f"{_bracket(parts[0], WHOLE, False)}[{_as_index(t, parts, library)}]"


def _scattered(t: Tensor, parts: Sequence[Part], library: str) -> str:
    return f"scatter({parts[0][0]}, {_as_index(t, parts, library)}, {t.attrs['size']})"


def _as_index(t: Tensor, parts: Sequence[Part], library: str) -> str:
    """torch reads bytes as a mask."""
    whole = t.inputs[1].dtype == np.int64 or library != "torch"
    return parts[1][0] if whole else f"{_bracket(parts[1], WHOLE, False)}.long()"


def _broadcast(t: Tensor, parts: Sequence[Part], library: str) -> str:
    return f"{PREFIX[library]}broadcast_to({parts[0][0]}, {t.shape})"


# -- the table -------------------------------------------------------------------------------------


def same(numpy: str, torch: str | None = None, jax: str | None = None) -> Spelt:
    """A function of one name and all operands."""
    return Spelt(
        f"{numpy}({{all}})", jax and f"{jax}({{all}})", torch and f"{torch}({{all}})"
    )


TABLE: dict[str, Spelt] = {
    name: same(f"np.{name}") for name in (
        "abs", "ceil", "cos", "cosh", "exp", "expm1", "floor", "isfinite", "isinf", "isnan", "log",
        "log10", "log1p", "log2", "logical_and", "logical_not", "logical_or", "logical_xor",
        "maximum", "minimum", "nextafter", "remainder", "round", "signbit", "sin", "sinh",
        "sqrt", "tan", "tanh", "trunc", "where", "floor_divide", "hypot", "copysign", "logaddexp",
        "bitwise_and", "bitwise_or", "bitwise_xor",
    )
} | {
    name: same(f"np.arc{name[1:]}", f"torch.{name}")
    for name in ("acos", "acosh", "asin", "asinh", "atan", "atanh")
} | {
    "atan2": same("np.arctan2", "torch.atan2"),
    "bitwise_left_shift": same("np.left_shift", "torch.bitwise_left_shift"),
    "bitwise_right_shift": same("np.right_shift", "torch.bitwise_right_shift"),
    "bitwise_invert": same("np.invert", "torch.bitwise_not"),
    "cbrt": same("np.cbrt", "cbrt"),
    "relu": Spelt("np.maximum({0}, 0)", torch="torch.relu({0})"),
    "stop_gradient": Spelt("{0}", "lax.stop_gradient({0})", "{x}.detach()"),
    "absorb": Spelt("absorb({0}, {1})"),
    "xlogy": Spelt("xlogy({0}, {1})", torch="torch.xlogy({0}, {1})"),
    "sigmoid": Spelt("sigmoid({0})", "jax.nn.sigmoid({0})", "torch.sigmoid({0})"),
    "softplus": Spelt("np.logaddexp({0}, 0.0)", torch="softplus({0})"),
    "erf": Spelt("erf({0})", "jax.scipy.special.erf({0})", "torch.erf({0})"),
    "sinc": Spelt(lambda t, parts, library: (
        f"sinc({parts[0][0]}, {t.attrs['order']})" if t.attrs["order"]
        else f"{PREFIX[library]}sinc({parts[0][0]})"
    )),
    "astype": Spelt(_cast), "reshape": Spelt(_reshaped), "broadcast_to": Spelt(_broadcast),
    "permute_dims": Spelt(_permuted), "slice": Spelt(_sliced), "place": Spelt(_placed),
    "concat": Spelt(_joined), "take": Spelt(_taken), "scatter": Spelt(_scattered),
    "sum": Spelt(summed), "prod": Spelt(_product),
    "max": Spelt("np.max({0}{axis})", torch="torch.amax({0}{axis})"),
    "any": Spelt("np.any({0}{axis})"), "all": Spelt("np.all({0}{axis})"),
    "norm": Spelt("norm({0}, {over})"),
    "argmax": Spelt("np.argmax({0}, axis={k})"), "argmin": Spelt("np.argmin({0}, axis={k})"),
    "cumulative_sum": Spelt(_running("cumsum")), "cumulative_prod": Spelt(_running("cumprod")),
    "linear_recurrence": Spelt("linear_recurrence({0}, {1}, {k}, {reverse})"),
    "last_maximum": Spelt("last_maximum({0}, {k})"),
    "argsort": Spelt(
        "argsort({0}, {k}, {descending})",
        "jnp.argsort({0}, axis={k}, stable=True, descending={descending})",
        "torch.argsort({0}, dim={k}, stable=True, descending={descending})",
    ),
    "searchsorted": Spelt(
        "np.searchsorted({0}, {1}, side={side!r})", torch="searchsorted({0}, {1}, {side!r})"
    ),
    "sign": same("np.sign", "sign"),
}  # fmt: skip


@dataclass(frozen=True)
class Library:
    """A library (or language) that a graph is printed for.

    row      : op -> its spelling, or None.
    imports  : the first lines, each with the pattern in the text that needs it ("": always).
    words    : how loops, functions and assignments are written.
    helpers  : functions of ours by name; those that a text calls are printed before it.
    spelled  : (node, operands, library) -> what is written for an ordinary node.
    shape    : a shape as text.
    literals : which ops take plain numbers beside arrays.
    reserved : what no variable may be called.
    """

    name: str
    row: Callable[[str], Any]
    imports: tuple[tuple[str, str], ...]
    words: dict[str, Any]
    helpers: dict[str, str]
    spelled: Callable[[Tensor, Sequence[Part], Library], Part]
    shape: Callable[[Sequence[int]], str]
    literals: Callable[[str], bool] = lambda name: True
    reserved: frozenset[str] = frozenset()

    def dtype(self, dtype: np.dtype) -> str:
        return dtype_text(dtype, self.name) if self.name in PREFIX else ""


def spelled(t: Tensor, parts: Sequence[Part], library: Library) -> Part:
    """What a Python library writes for an ordinary node."""
    name, prefix = t.op.name, PREFIX[library.name]
    if name == "add":
        if len(parts) > MANY:  # Python reads no chain of thousands
            return f"sum([{', '.join(text for text, _ in parts)}])", WHOLE
        first, *rest = parts
        terms = [_bracket(first, ADDS, False), *(_bracket(p, MULTIPLIES, False) for p in rest)]
        text = terms[0]
        for (_, binds), term in zip(rest, terms[1:], strict=True):
            minus = binds == NEGATES and term.startswith("-")  # to add -x is to subtract x
            text += f" - {term[1:]}" if minus else f" + {term}"
        return text, ADDS
    if name in INFIX:
        form = FORMS[name][0]
        words = [_bracket(p, n, False) for p, n in zip(parts, form.needs, strict=True)]
        return form.text.format(*words), form.binds
    if name == "einsum":
        return contraction(t, parts, prefix)
    row = library.row(name)
    assert row is not None
    return filled(row, t, parts, library.name), WHOLE


COMMON = frozenset([*INFIX, *SILENT, "add", "einsum"])  # what `spelled` knows without a row
