"""Array functions and their primitives: one table row per op, then the functions that record them.

Array functions carry their array-API names.  Three habits keep the rows short: elementwise operands
are made equal in shape and dtype by explicit `broadcast_to` and `astype` nodes (so unbroadcasting
is just their rule); axes are stored counted from the end (so a leading row axis changes nothing);
movement comes in dual pairs
(broadcast_to/sum, slice/place, take/scatter).  `einsum` is the only contraction.

Conventions: integers and booleans enter floating-point functions as float64; 0 * inf is 0 in a
             derivative
where the incoming cotangent is exactly 0 (`absorb`), so `where(x > 0, sqrt(x), 0)` has gradient 0
at 0.
"""

from __future__ import annotations

import builtins
import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .graph import Primitive, Shape, Tensor, bind, constant
from .sites import running

ArrayLike = Any  # a Tensor, an array, a (nested list of) Python number(s)
FLOAT = np.dtype(np.float64)
BOOL = np.dtype(np.bool_)
TABLE: dict[str, Primitive] = {}  # every primitive by name


# -- rows ------------------------------------------------------------------------------------------


def per_input(*rules: Callable[..., Tensor | None] | None) -> Callable[..., list[Tensor | None]]:
    """A vjp rule from one function `(ct, out, *inputs, **attrs)` per input; None: that input has no
    gradient."""

    def vjp(ct: Tensor, node: Tensor, wanted: Sequence[bool]) -> list[Tensor | None]:
        return [
            rule(ct, node, *node.inputs, **node.attrs) if want and rule else None
            for rule, want in zip(rules, wanted, strict=True)
        ]

    return vjp


def _row(name: str, kind: str, shape: Any, numpy: Any, vjp: Any = None, **more: Any) -> Primitive:
    TABLE[name] = Primitive(name, kind, shape, numpy, vjp, **more)
    return TABLE[name]


def _same(*xs: Tensor, **_: Any) -> tuple[Shape, np.dtype]:
    return xs[0].shape, xs[0].dtype


def _numbers(*xs: Tensor) -> tuple[Shape, np.dtype]:
    if xs[0].dtype == BOOL:
        raise TypeError("booleans are not subtracted or negated; use ~, != or mg.astype")
    return _same(*xs)


def _truth(*xs: Tensor) -> tuple[Shape, np.dtype]:
    return xs[0].shape, BOOL


def _elementwise(name: str, numpy: Any, *rules: Any, shape: Any = _same, **more: Any) -> Primitive:
    return _row(name, "elementwise", shape, numpy, per_input(*rules) if rules else None, **more)


def _sum_arrays(*xs: Any) -> Any:
    total = xs[0]
    for x in xs[1:]:
        total = total + x
    return total


def _absorb(a: Any, b: Any) -> Any:
    return np.where(a == 0, a, a * b)  # a == 0 keeps a's dtype and zero


def _sigmoid(x: Any) -> Any:
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + e), e / (1 + e))


def _power_base(ct: Tensor, y: Tensor, a: Tensor, b: Tensor) -> Tensor:
    slope = multiply(b, power(a, subtract(b, 1)))
    return absorb(ct, where(equal(b, 0), zeros_like(b), slope))  # x ** 0 has slope 0 even at x = 0


def _power_exponent(ct: Tensor, y: Tensor, a: Tensor, b: Tensor) -> Tensor:
    return absorb(ct, where(equal(a, 0), zeros_like(a), multiply(y, log(a))))


def _pick(ct: Tensor, mask: Tensor) -> Tensor:
    return where(mask, ct, zeros_like(ct))


def _tie(ct: Tensor, wins: Tensor, a: Tensor, b: Tensor) -> Tensor:
    return multiply(ct, where(equal(a, b), full_like(ct, 0.5), astype(wins, ct.dtype)))


ADD = _row(
    "add", "elementwise", _same, _sum_arrays, lambda ct, node, wanted: [ct] * len(wanted),
    cheap=True, linear=True, scalar="add",
)  # n-ary: also the sum of several cotangents  # fmt: skip
SUBTRACT = _elementwise(
    "subtract", np.subtract, lambda g, y, a, b: g, lambda g, y, a, b: negative(g),
    shape=_numbers, cheap=True, linear=True, scalar="sub",
)  # fmt: skip
MULTIPLY = _elementwise(
    "multiply", np.multiply, lambda g, y, a, b: multiply(g, b), lambda g, y, a, b: multiply(g, a),
    cheap=True, scalar="mul",
)  # fmt: skip
ABSORB = _elementwise(
    "absorb", _absorb, lambda g, y, a, b: absorb(g, b), lambda g, y, a, b: absorb(g, a),
    cheap=True, scalar="absorb",
)  # fmt: skip
DIVIDE = _elementwise(
    "divide", np.divide, lambda g, y, a, b: absorb(g, divide(1, b)),
    lambda g, y, a, b: absorb(negative(g), divide(y, b)), cheap=True, scalar="div",
)  # fmt: skip
NEGATIVE = _elementwise(
    "negative", np.negative, lambda g, y, a: negative(g),
    shape=_numbers, cheap=True, linear=True, scalar="neg",
)  # fmt: skip
POWER = _elementwise("power", np.power, _power_base, _power_exponent)
EXP = _elementwise("exp", np.exp, lambda g, y, a: absorb(g, y), scalar="exp")
LOG = _elementwise("log", np.log, lambda g, y, a: absorb(g, divide(1, a)), scalar="log")
LOG1P = _elementwise(
    "log1p", np.log1p, lambda g, y, a: absorb(g, divide(1, add(a, 1))), scalar="log1p"
)
SQRT = _elementwise("sqrt", np.sqrt, lambda g, y, a: absorb(g, divide(0.5, y)), scalar="sqrt")
SQUARE = _elementwise(
    "square", np.square, lambda g, y, a: multiply(g, multiply(2, a)), cheap=True, scalar="square"
)
SIN = _elementwise("sin", np.sin, lambda g, y, a: multiply(g, cos(a)), scalar="sin")
COS = _elementwise("cos", np.cos, lambda g, y, a: multiply(g, negative(sin(a))), scalar="cos")
TANH = _elementwise(
    "tanh", np.tanh, lambda g, y, a: multiply(g, subtract(1, square(y))), scalar="tanh"
)
SIGMOID = _elementwise(
    "sigmoid", _sigmoid, lambda g, y, a: multiply(g, multiply(y, subtract(1, y))), scalar="sigmoid"
)
RELU = _elementwise(
    "relu", lambda x: np.maximum(x, 0), lambda g, y, a: _pick(g, greater(a, 0)), scalar="relu"
)
ABS = _elementwise("abs", np.abs, lambda g, y, a: multiply(g, sign(a)), scalar="abs")
SIGN = _elementwise("sign", np.sign, scalar="sign")
MAXIMUM = _elementwise(
    "maximum", np.maximum, lambda g, y, a, b: _tie(g, greater(a, b), a, b),
    lambda g, y, a, b: _tie(g, greater(b, a), a, b), scalar="maximum",
)  # fmt: skip
MINIMUM = _elementwise(
    "minimum", np.minimum, lambda g, y, a, b: _tie(g, less(a, b), a, b),
    lambda g, y, a, b: _tie(g, less(b, a), a, b), scalar="minimum",
)  # fmt: skip
WHERE = _elementwise(
    "where", np.where, None, lambda g, y, c, a, b: _pick(g, c),
    lambda g, y, c, a, b: where(c, zeros_like(g), g),
    shape=lambda c, a, b: (a.shape, a.dtype), cheap=True, scalar="where",
)  # fmt: skip
IDENTITY = _elementwise(
    "identity", lambda x: x, lambda g, y, a: g, cheap=True, linear=True, scalar="identity"
)
STOP = _elementwise("stop_gradient", lambda x: x, cheap=True, scalar="identity")
ASTYPE = _elementwise(
    "astype", lambda x, dtype: np.asarray(x).astype(dtype),
    lambda g, y, a, dtype: astype(g, a.dtype) if a.dtype.kind == "f" else None,
    shape=lambda x, dtype: (x.shape, dtype), cheap=True, linear=True,
)  # fmt: skip
EQUAL = _elementwise("equal", np.equal, shape=_truth, cheap=True, scalar="equal")
NOT_EQUAL = _elementwise("not_equal", np.not_equal, shape=_truth, cheap=True, scalar="not_equal")
LESS = _elementwise("less", np.less, shape=_truth, cheap=True, scalar="less")
LESS_EQUAL = _elementwise(
    "less_equal", np.less_equal, shape=_truth, cheap=True, scalar="less_equal"
)
GREATER = _elementwise("greater", np.greater, shape=_truth, cheap=True, scalar="greater")
GREATER_EQUAL = _elementwise(
    "greater_equal", np.greater_equal, shape=_truth, cheap=True, scalar="greater_equal"
)
LOGICAL_AND = _elementwise("logical_and", np.logical_and, shape=_truth, cheap=True, scalar="and")
LOGICAL_OR = _elementwise("logical_or", np.logical_or, shape=_truth, cheap=True, scalar="or")
LOGICAL_NOT = _elementwise("logical_not", np.logical_not, shape=_truth, cheap=True, scalar="not")


def _reduced(x: Tensor, axis: tuple[int, ...]) -> tuple[Shape, np.dtype]:
    keep = [n for k, n in enumerate(x.shape) if k - x.ndim not in axis]
    return tuple(keep), x.dtype


def _reduced_max(x: Tensor, axis: tuple[int, ...]) -> tuple[Shape, np.dtype]:
    if any(x.shape[a] == 0 for a in axis):
        raise ValueError("the maximum of no elements is not defined")
    return _reduced(x, axis)


def _spread(y: Tensor, x: Tensor, axis: tuple[int, ...]) -> Tensor:
    """A reduction's result (or cotangent) back at the shape of its operand."""
    kept = tuple(1 if k - x.ndim in axis else n for k, n in enumerate(x.shape))
    return broadcast_to(reshape(y, kept), x.shape)


def _max_vjp(g: Tensor, y: Tensor, x: Tensor, axis: tuple[int, ...]) -> Tensor:
    wins = astype(
        equal(x, _spread(y, x, axis)), x.dtype
    )  # ties share the gradient: weights sum to 1
    share = divide(wins, _spread(bind(SUM, wins, axis=axis), x, axis))
    return multiply(_spread(g, x, axis), stop_gradient(share))


def _np_sum(x: Any, axis: tuple[int, ...]) -> Any:
    return np.sum(x, axis=axis, dtype=x.dtype)


SUM = _row(
    "sum",
    "reduction",
    _reduced,
    _np_sum,
    per_input(lambda g, y, x, axis: _spread(g, x, axis)),
    linear=True,
)
MAX = _row(
    "max", "reduction", _reduced_max, lambda x, axis: np.max(x, axis=axis), per_input(_max_vjp)
)
ARGMAX = _row(
    "argmax", "reduction", lambda x, axis: (_reduced_max(x, (axis,))[0], np.dtype(np.int64)),
    lambda x, axis: np.argmax(x, axis=axis),
)  # fmt: skip


def _einsum_shape(*xs: Tensor, subs: tuple[str, ...], out: str) -> tuple[Shape, np.dtype]:
    sizes: dict[str, int] = {}
    for k, (x, sub) in enumerate(zip(xs, subs, strict=True)):
        if len(sub) != x.ndim:
            raise ValueError(
                f"operand {k} has {x.ndim} axes but its subscripts {sub!r} name {len(sub)}"
            )
        for letter, n in zip(sub, x.shape, strict=True):
            if sizes.setdefault(letter, n) != n:
                raise ValueError(
                    f"axis {letter!r} is {sizes[letter]} long in one operand and {n} in operand {k}"
                )
    return tuple(sizes[c] for c in out), xs[0].dtype


def _einsum_numpy(*xs: Any, subs: tuple[str, ...], out: str) -> Any:
    if len(xs) == 2:
        return contract(xs[0], xs[1], subs[0], subs[1], out)
    return np.einsum(f"{','.join(subs)}->{out}", *xs, optimize=len(xs) > 2)


def contract(a: Any, b: Any, sa: str, sb: str, out: str) -> Any:
    """Two operands through BLAS: both brought to (batch, free, contracted), one `matmul`, letters
    put in order."""
    a, sa = _diagonals(a, sa)
    b, sb = _diagonals(b, sb)
    a, sa = _sum_out(a, sa, sb + out)
    b, sb = _sum_out(b, sb, sa + out)
    batch = [c for c in sa if c in sb and c in out]
    inner = [c for c in sa if c in sb and c not in out]
    left = [c for c in sa if c not in sb]
    right = [c for c in sb if c not in sa]
    size = dict(zip(sa + sb, np.shape(a) + np.shape(b), strict=True))
    if (
        not inner and not batch and not left
    ):  # a scalar times an array, and so on: no product to speak of
        return np.einsum(f"{sa},{sb}->{out}", a, b)

    def matrix(x: Any, sub: str, *groups: list[str]) -> Any:
        x = np.transpose(x, [sub.index(c) for group in groups for c in group])
        return x.reshape(
            [size[c] for c in batch] + [_product(size[c] for c in g) for g in groups[1:]]
        )

    y = np.matmul(matrix(a, sa, batch, left, inner), matrix(b, sb, batch, inner, right))
    y = y.reshape([size[c] for c in (*batch, *left, *right)])
    return np.transpose(y, [(*batch, *left, *right).index(c) for c in out])


def _product(sizes: Any) -> int:
    total = 1
    for n in sizes:
        total *= n
    return total


def _diagonals(x: Any, sub: str) -> tuple[Any, str]:
    if len(set(sub)) < len(sub):
        once = "".join(dict.fromkeys(sub))
        return np.einsum(f"{sub}->{once}", x), once
    return x, sub


def _sum_out(x: Any, sub: str, used: str) -> tuple[Any, str]:
    lone = tuple(k for k, c in enumerate(sub) if c not in used)
    return (x.sum(axis=lone), "".join(c for c in sub if c in used)) if lone else (x, sub)


def _einsum_vjp(ct: Tensor, node: Tensor, wanted: Sequence[bool]) -> list[Tensor | None]:
    subs, out = node.attrs["subs"], node.attrs["out"]
    grads: list[Tensor | None] = []
    for k, (x, want) in enumerate(zip(node.inputs, wanted, strict=True)):
        if not want:
            grads.append(None)
            continue
        others = [(s, t) for j, (s, t) in enumerate(zip(subs, node.inputs, strict=True)) if j != k]
        known = set(out).union(*(s for s, _ in others))
        once = "".join(dict.fromkeys(subs[k]))
        reach = "".join(c for c in once if c in known)
        g = bind(
            EINSUM, ct, *(t for _, t in others), subs=(out, *(s for s, _ in others)), out=reach
        )
        size = dict(zip(subs[k], x.shape, strict=True))
        if (
            reach != once
        ):  # a letter summed out of this operand alone: its cotangent is constant along it
            g = reshape(g, tuple(size[c] if c in reach else 1 for c in once))
            g = broadcast_to(g, tuple(size[c] for c in once))
        if once != subs[k]:  # a repeated letter reads a diagonal: put the cotangent back on it
            eyes = [(a, b) for a, b in _repeats(subs[k])]
            fresh, renamed = _fresh_letters(subs[k])
            mask = [eye(size[a], dtype=x.dtype) for a, _ in eyes]
            pairs = tuple(renamed[b] + a for a, b in eyes)
            g = bind(EINSUM, g, *mask, subs=(once, *pairs), out=fresh)
        grads.append(g)
    return grads


def _repeats(sub: str) -> list[tuple[str, int]]:
    """(letter, position) of every second or later occurrence in `sub`."""
    return [(c, k) for k, c in enumerate(sub) if c in sub[:k]]


def _fresh_letters(sub: str) -> tuple[str, dict[int, str]]:
    free = iter(c for c in LETTERS if c not in sub)
    renamed = {k: next(free) for _, k in _repeats(sub)}
    return "".join(renamed.get(k, c) for k, c in enumerate(sub)), renamed


LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMOPQRSTUVWXYZ"  # N is the row axis of a recurrence
EINSUM = _row("einsum", "contraction", _einsum_shape, _einsum_numpy, _einsum_vjp)


# Movement: attrs mention lengths, so each row also says what they become with a row axis in front.


def _movement(
    name: str, shape: Any, numpy: Any, *rules: Any, rows: Any, vjp: Any = None
) -> Primitive:
    vjp = vjp or (per_input(*rules) if rules else None)
    return _row(name, "movement", shape, numpy, vjp, rows=rows, cheap=True, linear=True)


def _reshape_shape(x: Tensor, shape: Shape) -> tuple[Shape, np.dtype]:
    if _product(shape) != x.size:
        raise ValueError(f"{x.size} elements of shape {x.shape} do not fill shape {shape}")
    return shape, x.dtype


def _broadcast_shape(x: Tensor, shape: Shape) -> tuple[Shape, np.dtype]:
    try:
        fits = np.broadcast_shapes(x.shape, shape) == shape
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(f"shape {x.shape} does not broadcast to {shape}")
    return shape, x.dtype


def _unbroadcast(g: Tensor, y: Tensor, x: Tensor, shape: Shape) -> Tensor:
    pad = len(shape) - x.ndim
    axis = tuple(
        k - len(shape) for k, n in enumerate(shape) if k < pad or (x.shape[k - pad] == 1 and n != 1)
    )
    return reshape(bind(SUM, g, axis=axis), x.shape) if axis else reshape(g, x.shape)


def _broadcast_numpy(x: Any, shape: Shape, own: int | None = None) -> Any:
    if own is not None:  # with a row axis: pad after it, not before it
        x = np.reshape(x, x.shape[:1] + (1,) * (len(shape) - 1 - own) + x.shape[1:])
    return np.broadcast_to(x, shape)


def _permute_shape(x: Tensor, axes: tuple[int, ...]) -> tuple[Shape, np.dtype]:
    if sorted(axes) != list(range(-x.ndim, 0)):
        raise ValueError(f"axes {axes} are not a permutation of the {x.ndim} axes")
    return tuple(x.shape[a] for a in axes), x.dtype


def _permute_numpy(x: Any, axes: tuple[int, ...]) -> Any:
    return np.transpose(x, (*range(x.ndim - len(axes)), *axes))


def _inverse(axes: tuple[int, ...]) -> tuple[int, ...]:
    n = len(axes)
    return tuple(int(k) - n for k in np.argsort([a + n for a in axes]))


Bounds = tuple[
    tuple[int | None, int | None, int | None], ...
]  # slices as data: they hash on every Python


def _slices(index: Bounds) -> tuple[Any, ...]:
    return (..., *(slice(*bounds) for bounds in index))


def _slice_shape(x: Tensor, index: Bounds) -> tuple[Shape, np.dtype]:
    lengths = [len(range(*slice(*b).indices(n))) for b, n in zip(index, x.shape, strict=True)]
    return tuple(lengths), x.dtype


def _place_numpy(x: Any, index: Bounds, shape: Shape) -> Any:
    whole = np.zeros(x.shape[: x.ndim - len(index)] + shape, x.dtype)
    whole[_slices(index)] = x
    return whole


def _concat_shape(*xs: Tensor, axis: int) -> tuple[Shape, np.dtype]:
    def rest(t: Tensor) -> Shape:
        return t.shape[:axis] + t.shape[t.ndim + axis + 1 :]

    for k, x in enumerate(xs):
        if x.ndim != xs[0].ndim or rest(x) != rest(xs[0]):
            raise ValueError(
                f"operand {k} of shape {x.shape} does not join {xs[0].shape} along axis {axis}"
            )
    shape = list(xs[0].shape)
    shape[axis] = builtins.sum(x.shape[axis] for x in xs)
    return tuple(shape), xs[0].dtype


def _concat_numpy(*xs: Any, axis: int, rows: int | None = None) -> Any:
    if rows is not None:  # operands all rows share get a row axis first
        ndim = builtins.max(np.ndim(x) for x in xs)
        xs = tuple(
            x if np.ndim(x) == ndim else np.broadcast_to(x, (rows, *np.shape(x))) for x in xs
        )
    return np.concatenate(xs, axis=axis)


def _concat_vjp(ct: Tensor, node: Tensor, wanted: Sequence[bool]) -> list[Tensor | None]:
    axis, grads, start = node.attrs["axis"], [], 0
    for x, want in zip(node.inputs, wanted, strict=True):
        bounds: list[Any] = [(None, None, None)] * x.ndim
        bounds[axis] = (start, start + x.shape[axis], None)
        grads.append(bind(SLICE, ct, index=tuple(bounds)) if want else None)
        start += x.shape[axis]
    return grads  # type: ignore[return-value]


def _take_shape(x: Tensor, index: Tensor) -> tuple[Shape, np.dtype]:
    if index.dtype.kind not in "iu":
        raise TypeError(f"row numbers must be integers, not {index.dtype}")
    if not x.shape:
        raise ValueError("a 0-d Tensor has no rows to take")
    return index.shape + x.shape[1:], x.dtype


def _scatter_shape(x: Tensor, index: Tensor, size: int) -> tuple[Shape, np.dtype]:
    if index.dtype.kind not in "iu" or x.shape[: index.ndim] != index.shape:
        raise ValueError(
            f"the first axes of {x.shape} must be those of the row numbers, {index.shape}"
        )
    return (size, *x.shape[index.ndim :]), x.dtype


def _check_rows(index: Any, size: int) -> None:
    if index.size and (index.min() < -size or index.max() >= size):
        raise IndexError(
            f"row {index.max() if index.max() >= size else index.min()} of a table with {size} rows"
        )


def _take_numpy(x: Any, index: Any, rows: tuple[int, int, int] | None = None) -> Any:
    """Rows of x.  With `rows` = (n, ndim of x, ndim of index) either operand may have a row axis in
    front."""
    if rows is None:
        _check_rows(index, x.shape[0])
        return np.take(x, index, axis=0)
    n, ndim, _ = rows
    if x.ndim == ndim:
        _check_rows(index, x.shape[0])
        return np.take(x, index, axis=0)
    _check_rows(index, x.shape[1])
    if index.ndim == rows[2]:
        return np.take(x, index, axis=1)
    at = np.arange(n).reshape(n, *(1,) * (index.ndim - 1))
    return x[at, index]


def _scatter_numpy(x: Any, index: Any, size: int, rows: tuple[int, int, int] | None = None) -> Any:
    """zeros(size, ...) with the rows of x added at `index`: the dual of take."""
    if rows is None:
        _check_rows(index, size)
        return add_rows(size, index.reshape(-1), x.reshape((index.size,) + x.shape[index.ndim :]))
    n, ndim, k = rows
    x = x if x.ndim > ndim else np.broadcast_to(x, (n, *x.shape))
    index = index if index.ndim > k else np.broadcast_to(index, (n, *index.shape))
    _check_rows(index, size)
    flat = (
        index % size + size * np.arange(n).reshape(n, *(1,) * (index.ndim - 1)) if size else index
    )
    tail = x.shape[index.ndim :]
    return add_rows(n * size, flat.reshape(-1), x.reshape((index.size, *tail))).reshape(
        n, size, *tail
    )


def add_rows(size: int, index: Any, rows: Any) -> Any:
    """zeros(size, ...) plus `rows`, each at its `index`; rows that share an index are summed in row
    order."""
    total = np.zeros((size, *rows.shape[1:]), rows.dtype)
    if not index.size or not rows.size:
        return total
    index = np.where(index < 0, index + size, index)
    if np.bincount(index, minlength=size).max() == 1:
        total[index] = rows
        return total
    order = np.argsort(index, kind="stable")
    sorted_index = index[order]
    starts = np.flatnonzero(np.r_[True, sorted_index[1:] != sorted_index[:-1]])
    total[sorted_index[starts]] = np.add.reduceat(rows[order], starts, axis=0)
    return total


def _gather_rows(n: int, node: Tensor, attrs: dict[str, Any]) -> dict[str, Any]:
    return {**attrs, "rows": (n, node.inputs[0].ndim, node.inputs[1].ndim)}


RESHAPE = _movement(
    "reshape", _reshape_shape, lambda x, shape: np.reshape(x, shape),
    lambda g, y, x, shape: reshape(g, x.shape), rows=lambda n, node, a: {"shape": (n, *a["shape"])},
)  # fmt: skip
BROADCAST = _movement(
    "broadcast_to", _broadcast_shape, _broadcast_numpy, _unbroadcast,
    rows=lambda n, node, a: {"shape": (n, *a["shape"]), "own": node.inputs[0].ndim},
)  # fmt: skip
PERMUTE = _movement(
    "permute_dims", _permute_shape, _permute_numpy,
    lambda g, y, x, axes: permute_dims(g, _inverse(axes)), rows=None,
)  # fmt: skip
SLICE = _movement(
    "slice", _slice_shape, lambda x, index: x[_slices(index)],
    lambda g, y, x, index: bind(PLACE, g, index=index, shape=x.shape), rows=None,
)  # fmt: skip
PLACE = _movement(
    "place", lambda x, index, shape: (shape, x.dtype), _place_numpy,
    lambda g, y, x, index, shape: bind(SLICE, g, index=index), rows=None,
)  # fmt: skip
CONCAT = _movement(
    "concat",
    _concat_shape,
    _concat_numpy,
    vjp=_concat_vjp,
    rows=lambda n, node, a: {**a, "rows": n},
)
TAKE = _movement(
    "take", _take_shape, _take_numpy, lambda g, y, x, index: scatter(g, index, x.shape[0]), None,
    rows=_gather_rows,
)  # fmt: skip
SCATTER = _movement(
    "scatter", _scatter_shape, _scatter_numpy,
    lambda g, y, x, index, size: bind(TAKE, g, index), None, rows=_gather_rows,
)  # fmt: skip


# -- creation --------------------------------------------------------------------------------------


def asarray(obj: ArrayLike, *, dtype: Any = None, name: str | None = None) -> Tensor:
    """A Tensor from an array, a (nested list of) number(s) or a Tensor (cast or renamed if asked).

    Floats, integers and booleans of at most 64 bits.  The array is copied: mutating it later
    changes nothing.
    """
    if isinstance(obj, Tensor):
        t = obj if dtype is None or obj.dtype == np.dtype(dtype) else astype(obj, dtype)
        return t if name is None or t.name == name else t.named(name)
    if isinstance(obj, (list, tuple)) and any(isinstance(x, Tensor) for x in obj):
        t = stack([asarray(x) for x in obj])
        return asarray(t, dtype=dtype, name=name)
    return constant(obj, dtype, name)


def zeros(shape: int | Sequence[int], *, dtype: Any = FLOAT) -> Tensor:
    return constant(np.zeros(shape, dtype))


def ones(shape: int | Sequence[int], *, dtype: Any = FLOAT) -> Tensor:
    return constant(np.ones(shape, dtype))


def full(shape: int | Sequence[int], fill_value: Any, *, dtype: Any = None) -> Tensor:
    return constant(np.full(shape, fill_value, dtype))


def arange(start: Any, /, stop: Any = None, step: Any = 1, *, dtype: Any = None) -> Tensor:
    return constant(
        np.arange(start, dtype=dtype) if stop is None else np.arange(start, stop, step, dtype=dtype)
    )


def eye(n_rows: int, n_cols: int | None = None, /, *, k: int = 0, dtype: Any = FLOAT) -> Tensor:
    return constant(np.eye(n_rows, n_cols, k, dtype))


def linspace(
    start: float, stop: float, /, num: int, *, dtype: Any = None, endpoint: bool = True
) -> Tensor:
    return constant(np.linspace(start, stop, num, endpoint=endpoint, dtype=dtype))


def full_like(x: ArrayLike, /, fill_value: Any, *, dtype: Any = None) -> Tensor:
    x = asarray(x)
    return broadcast_to(
        constant(fill_value, dtype or x.dtype), x.shape
    )  # one number, not x.size of them


def zeros_like(x: ArrayLike, /, *, dtype: Any = None) -> Tensor:
    return full_like(x, 0, dtype=dtype)


def ones_like(x: ArrayLike, /, *, dtype: Any = None) -> Tensor:
    return full_like(x, 1, dtype=dtype)


# -- elementwise -----------------------------------------------------------------------------------


def operands(op: str, *xs: ArrayLike, float_only: bool = False) -> list[Tensor]:
    """The operands as Tensors of one dtype (NumPy promotion, Python numbers weak) and one shape."""
    tensors = [x for x in xs if isinstance(x, Tensor)]
    if len(tensors) == len(xs):
        first = tensors[0]
        if all(t.shape == first.shape and t.dtype == first.dtype for t in tensors[1:]) and (
            not float_only or first.dtype.kind == "f"
        ):
            return tensors
    weak = [type(x) in (bool, int, float) for x in xs]
    arrays = [
        x if w or isinstance(x, Tensor) else asarray(x) for x, w in zip(xs, weak, strict=True)
    ]
    try:
        dtype = np.result_type(*(x if w else x.dtype for x, w in zip(arrays, weak, strict=True)))
    except OverflowError as error:
        raise TypeError(f"{op}: {error}") from None
    if float_only and dtype.kind != "f":
        dtype = FLOAT
    try:
        shape = np.broadcast_shapes(
            *(() if w else x.shape for x, w in zip(arrays, weak, strict=True))
        )
    except ValueError:
        shapes = " and ".join(str(() if w else x.shape) for x, w in zip(arrays, weak, strict=True))
        at = running()
        raise ValueError(f"{op}: shapes {shapes} do not broadcast to one shape{at}") from None
    out = []
    for x, w in zip(arrays, weak, strict=True):
        try:
            t = constant(x, dtype) if w else x if x.dtype == dtype else astype(x, dtype)
        except OverflowError as error:
            raise OverflowError(f"{op}: {error}") from None
        out.append(t if t.shape == shape else broadcast_to(t, shape))
    return out


def _unary(op: Primitive, doc: str, float_only: bool = True) -> Callable[[ArrayLike], Tensor]:
    def f(x: ArrayLike, /) -> Tensor:
        return bind(op, *operands(op.name, x, float_only=float_only))

    f.__name__ = f.__qualname__ = op.name
    f.__doc__ = f"{doc}, elementwise; any shape."
    return f


def _binary(
    op: Primitive, doc: str, float_only: bool = False, cast: Any = None
) -> Callable[[ArrayLike, ArrayLike], Tensor]:
    def f(x1: ArrayLike, x2: ArrayLike, /) -> Tensor:
        pair = operands(op.name, x1, x2, float_only=float_only)
        return bind(op, *(pair if cast is None else [astype(t, cast) for t in pair]))

    f.__name__ = f.__qualname__ = op.name
    f.__doc__ = f"{doc}, elementwise; shapes broadcast, dtypes promote as in NumPy."
    return f


add = _binary(ADD, "x1 + x2")
subtract = _binary(SUBTRACT, "x1 - x2")
multiply = _binary(MULTIPLY, "x1 * x2")
divide = _binary(DIVIDE, "x1 / x2", float_only=True)
absorb = _binary(ABSORB, "x1 * x2, and 0 wherever x1 is exactly 0 (the product of singular rules)")
maximum = _binary(
    MAXIMUM, "The larger of x1 and x2 (NaN propagates; at a tie each gets half the gradient)"
)
minimum = _binary(
    MINIMUM, "The smaller of x1 and x2 (NaN propagates; at a tie each gets half the gradient)"
)
equal = _binary(EQUAL, "x1 == x2")
not_equal = _binary(NOT_EQUAL, "x1 != x2")
less = _binary(LESS, "x1 < x2")
less_equal = _binary(LESS_EQUAL, "x1 <= x2")
greater = _binary(GREATER, "x1 > x2")
greater_equal = _binary(GREATER_EQUAL, "x1 >= x2")
logical_and = _binary(LOGICAL_AND, "x1 and x2", cast=BOOL)
logical_or = _binary(LOGICAL_OR, "x1 or x2", cast=BOOL)
negative = _unary(NEGATIVE, "-x", float_only=False)
abs = _unary(ABS, "|x|, with slope 0 at 0", float_only=False)
sign = _unary(SIGN, "The sign of x", float_only=False)
square = _unary(SQUARE, "x * x", float_only=False)
relu = _unary(RELU, "max(x, 0), with slope 0 at 0", float_only=False)
identity = _unary(IDENTITY, "x itself, as a node of its own", float_only=False)
exp = _unary(EXP, "e ** x")
log = _unary(LOG, "The natural logarithm")
log1p = _unary(LOG1P, "log(1 + x)")
sqrt = _unary(SQRT, "The square root")
sin = _unary(SIN, "The sine")
cos = _unary(COS, "The cosine")
tanh = _unary(TANH, "The hyperbolic tangent")
sigmoid = _unary(SIGMOID, "1 / (1 + e ** -x), without overflow")
stop_gradient = _unary(STOP, "x, as a constant to every derivative", float_only=False)


def power(x1: ArrayLike, x2: ArrayLike, /) -> Tensor:
    """x1 ** x2, elementwise.  x ** 0 has slope 0; the derivative by the exponent is 0 at base 0,
    NaN below 0."""
    if type(x2) is int and x2 == 2:
        return square(x1)
    a, b = operands("power", x1, x2)
    if a.dtype.kind != "f" and not isinstance(x2, Tensor) and np.any(np.asarray(x2) < 0):
        a, b = operands(
            "power", x1, x2, float_only=True
        )  # integers to a negative power are fractions
    return bind(POWER, a, b)


def logical_not(x: ArrayLike, /) -> Tensor:
    """not x, elementwise."""
    return bind(LOGICAL_NOT, astype(x, BOOL))


def where(condition: ArrayLike, x1: ArrayLike, x2: ArrayLike, /) -> Tensor:
    """x1 where the condition holds, else x2; the side not taken gets gradient exactly 0.  Shapes
    broadcast."""
    a, b = operands("where", x1, x2)
    c = astype(condition, BOOL)
    try:
        shape = np.broadcast_shapes(c.shape, a.shape)
    except ValueError:
        raise ValueError(
            f"where: shapes {c.shape} and {a.shape} do not broadcast to one shape"
        ) from None
    return bind(WHERE, *(broadcast_to(t, shape) for t in (c, a, b)))


def clip(x: ArrayLike, /, min: ArrayLike = None, max: ArrayLike = None) -> Tensor:
    """x kept within [min, max]; exactly at a bound the slope is 1/2 (a tie of maximum or
    minimum)."""
    t = asarray(x)
    t = t if min is None else maximum(t, min)
    return t if max is None else minimum(t, max)


def astype(x: ArrayLike, dtype: Any, /) -> Tensor:
    """x as another dtype; a float cast to a float passes its gradient on."""
    x, dtype = asarray(x), np.dtype(dtype)
    if dtype.kind not in "fiub" or dtype.itemsize > 8:
        raise TypeError(f"astype: a Tensor holds floats, integers or booleans; got {dtype}")
    return x if x.dtype == dtype else bind(ASTYPE, x, dtype=dtype)


def add_n(xs: Sequence[Tensor]) -> Tensor:
    """The sum of several Tensors of one shape and dtype, as one node."""
    return xs[0] if len(xs) == 1 else bind(ADD, *xs)


# -- reductions ------------------------------------------------------------------------------------


def _axes(op: str, x: Tensor, axis: int | Sequence[int] | None) -> tuple[int, ...]:
    """Axes as a sorted tuple counted from the end."""
    if axis is None:
        return tuple(range(-x.ndim, 0))
    try:
        given = [operator.index(a) for a in (axis if isinstance(axis, (tuple, list)) else (axis,))]
    except TypeError:
        raise TypeError(f"{op}: an axis is an integer; got {axis!r}") from None
    for a in given:
        if not -x.ndim <= a < x.ndim:
            raise ValueError(f"{op}: axis {a} is out of range for shape {x.shape}")
    out = tuple(sorted(a - x.ndim if a >= 0 else a for a in given))
    if len(set(out)) < len(out):
        raise ValueError(f"{op}: an axis is given twice in {axis}")
    return out


def _kept(y: Tensor, x: Tensor, axis: tuple[int, ...], keepdims: bool) -> Tensor:
    if not keepdims:
        return y
    return reshape(y, tuple(1 if k - x.ndim in axis else n for k, n in enumerate(x.shape)))


def sum(x: ArrayLike, /, *, axis: Any = None, keepdims: bool = False) -> Tensor:
    """The sum over `axis` (an int, a tuple, or None for all).  Booleans and small integers sum as
    int64."""
    t = asarray(x)
    if t.dtype.kind in "iub" and t.dtype.itemsize < 8:
        t = astype(t, np.uint64 if t.dtype.kind == "u" else np.int64)
    axes = _axes("sum", t, axis)
    return _kept(bind(SUM, t, axis=axes) if axes else t, t, axes, keepdims)


def mean(x: ArrayLike, /, *, axis: Any = None, keepdims: bool = False) -> Tensor:
    """The arithmetic mean over `axis`; of no elements: NaN."""
    t = asarray(x)
    t = t if t.dtype.kind == "f" else astype(t, FLOAT)
    n = _product(t.shape[a] for a in _axes("mean", t, axis))
    total = sum(t, axis=axis, keepdims=keepdims)
    return multiply(total, 1.0 / n) if n else divide(total, 0.0)


def max(x: ArrayLike, /, *, axis: Any = None, keepdims: bool = False) -> Tensor:
    """The maximum over `axis`; NaN propagates; equal maxima share the gradient."""
    t = asarray(x)
    axes = _axes("max", t, axis)
    return _kept(bind(MAX, t, axis=axes) if axes else t, t, axes, keepdims)


def min(x: ArrayLike, /, *, axis: Any = None, keepdims: bool = False) -> Tensor:
    """The minimum over `axis`; NaN propagates; equal minima share the gradient."""
    return negative(max(negative(x), axis=axis, keepdims=keepdims))


def argmax(x: ArrayLike, /, *, axis: int | None = -1) -> Tensor:
    """The position of the first maximum along one axis (None: of the flat array), as int64."""
    t = asarray(x)
    if axis is None:
        t, axis = reshape(t, -1), -1
    (axis,) = _axes("argmax", t, axis)
    return bind(ARGMAX, t, axis=axis)


def logsumexp(x: ArrayLike, /, *, axis: Any = None, keepdims: bool = False) -> Tensor:
    """log(sum(exp(x))) over `axis`, without overflow; of all -inf: -inf (with gradient 0)."""
    t = asarray(x)
    t = t if t.dtype.kind == "f" else astype(t, FLOAT)
    _axes("logsumexp", t, axis)
    top = stop_gradient(max(t, axis=axis, keepdims=True))
    top = where(less(abs(top), np.inf), top, zeros_like(top))  # inf - inf is NaN
    total = sum(exp(subtract(t, top)), axis=axis, keepdims=True)
    total = add(where(equal(total, 0), -np.inf, log(total)), top)  # log 0 has an infinite slope
    return total if keepdims else reshape(total, sum(t, axis=axis).shape)


def softmax(x: ArrayLike, /, *, axis: int = -1) -> Tensor:
    """exp(x) / sum(exp(x)) along `axis`."""
    t = asarray(x)
    _axes("softmax", t, axis)
    e = exp(subtract(t, stop_gradient(max(t, axis=axis, keepdims=True))))
    return divide(e, sum(e, axis=axis, keepdims=True))


def log_softmax(x: ArrayLike, /, *, axis: int = -1) -> Tensor:
    """x - logsumexp(x) along `axis`."""
    t = asarray(x)
    _axes("log_softmax", t, axis)
    shifted = subtract(t, stop_gradient(max(t, axis=axis, keepdims=True)))
    return subtract(shifted, log(sum(exp(shifted), axis=axis, keepdims=True)))


def cross_entropy(logits: ArrayLike, labels: ArrayLike) -> Tensor:
    """-log softmax(logits)[label]: logits (..., C), integer labels (...) from 0 to C-1; result
    (...), in nats."""
    z, y = asarray(logits), asarray(labels)
    if y.dtype.kind not in "iu" or y.shape != z.shape[:-1]:
        raise ValueError(
            f"cross_entropy: labels must be integers of shape {z.shape[:-1]} for logits of shape "
            f"{z.shape}; "
            f"got {y.dtype} of shape {y.shape}"
        )
    if (
        y._value is not None
        and y.size
        and not (0 <= y._value.min() and y._value.max() < z.shape[-1])
    ):
        raise ValueError(
            f"cross_entropy: labels must lie in 0..{z.shape[-1] - 1}; got {y._value.ravel()[:8]}"
        )
    hot = equal(expand_dims(y, axis=-1), np.arange(z.shape[-1], dtype=y.dtype))
    return negative(sum(_pick(log_softmax(z), hot), axis=-1))


# -- contractions ----------------------------------------------------------------------------------


def einsum(subscripts: str, *operands: ArrayLike) -> Tensor:
    """`numpy.einsum` with explicit or implicit output, without "..."; at least one operand."""
    text = subscripts.replace(" ", "")
    left, arrow, out = text.partition("->")
    subs = tuple(left.split(","))
    if "." in text or "N" in text or not all(c.isalpha() for s in (*subs, out) for c in s):
        raise ValueError(
            f"einsum: subscripts are letters other than N, without '...'; got {subscripts!r}"
        )
    if len(subs) != len(operands):
        raise ValueError(
            f"einsum: {subscripts!r} names {len(subs)} operands, {len(operands)} were given"
        )
    if not arrow:
        out = "".join(sorted(c for c in set(left) - {","} if left.count(c) == 1))
    if len(set(out)) < len(out) or not set(out) <= set(left):
        raise ValueError(
            f"einsum: each output letter of {subscripts!r} must be an input letter, once"
        )
    return bind(EINSUM, *_promoted(*operands), subs=subs, out=out)


def _promoted(*xs: ArrayLike) -> list[Tensor]:
    tensors = [asarray(x) for x in xs]
    dtype = np.result_type(*(t.dtype for t in tensors))
    return [astype(t, dtype) for t in tensors]


def matmul(x1: ArrayLike, x2: ArrayLike, /) -> Tensor:
    """The matrix product: (..., i, k) @ (..., k, j); a 1-D operand is a row on the left, a column
    on the right."""
    a, b = _promoted(x1, x2)
    if not a.ndim or not b.ndim:
        raise ValueError(
            f"matmul: operands need at least one axis; got shapes {a.shape} and {b.shape}"
        )
    if a.shape[-1] != b.shape[-2 if b.ndim > 1 else 0]:
        raise ValueError(
            f"matmul: the inner lengths of {a.shape} @ {b.shape} differ{running()}"
        )
    la, lb = a.ndim - 2, b.ndim - 2
    batch = LETTERS[3 : 3 + builtins.max(la, lb, 0)]
    if la > 0 and lb > 0:  # einsum letters do not broadcast: make the batch axes equal
        try:
            shape = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
        except ValueError:
            raise ValueError(
                f"matmul: batch axes of {a.shape} @ {b.shape} do not broadcast{running()}"
            ) from None
        batch = LETTERS[3 : 3 + len(shape)]
        a, b, la, lb = (
            broadcast_to(a, shape + a.shape[-2:]),
            broadcast_to(b, shape + b.shape[-2:]),
            len(shape),
            len(shape),
        )
    ba, bb = batch[len(batch) - builtins.max(la, 0) :], batch[len(batch) - builtins.max(lb, 0) :]
    sa, oa = (ba + "ab", "a") if a.ndim > 1 else ("b", "")
    sb, ob = (bb + "bc", "c") if b.ndim > 1 else ("b", "")
    return bind(EINSUM, a, b, subs=(sa, sb), out=(ba if la >= lb else bb) + oa + ob)


def vecdot(x1: ArrayLike, x2: ArrayLike, /, *, axis: int = -1) -> Tensor:
    """The sum of x1 * x2 along one axis."""
    return sum(multiply(x1, x2), axis=axis)


def outer(x1: ArrayLike, x2: ArrayLike, /) -> Tensor:
    """The outer product of two vectors."""
    a, b = _promoted(x1, x2)
    if a.ndim != 1 or b.ndim != 1:
        raise ValueError(f"outer: needs two vectors; got shapes {a.shape} and {b.shape}")
    return einsum("i,j->ij", a, b)


def tensordot(
    x1: ArrayLike, x2: ArrayLike, /, *, axes: int | tuple[Sequence[int], Sequence[int]] = 2
) -> Tensor:
    """Contract `axes` (a number: the last ones of x1 with the first ones of x2; or two lists) of x1
    and x2."""
    a, b = _promoted(x1, x2)
    if isinstance(axes, int):
        if not 0 <= axes <= builtins.min(a.ndim, b.ndim):
            raise ValueError(f"tensordot: {axes} axes cannot be contracted in {a.shape}, {b.shape}")
        axes = (range(a.ndim - axes, a.ndim), range(axes))
    sa, sb = list(LETTERS[: a.ndim]), list(LETTERS[a.ndim : a.ndim + b.ndim])
    ia = [_axes("tensordot", a, i)[0] for i in axes[0]]
    ib = [_axes("tensordot", b, j)[0] for j in axes[1]]
    if [a.shape[i] for i in ia] != [b.shape[j] for j in ib]:
        raise ValueError(f"tensordot: axes {ia} of {a.shape} do not pair with {ib} of {b.shape}")
    for i, j in zip(ia, ib, strict=True):
        sb[j] = sa[i]
    out = [c for c in (*sa, *sb) if not (c in sa and c in sb)]
    return bind(EINSUM, a, b, subs=("".join(sa), "".join(sb)), out="".join(out))


# -- movement --------------------------------------------------------------------------------------


def reshape(x: ArrayLike, /, shape: int | Sequence[int]) -> Tensor:
    """The same elements in C order at another shape; one -1 is worked out."""
    t = asarray(x)
    new = [operator.index(n) for n in (shape if isinstance(shape, (tuple, list)) else (shape,))]
    if new.count(-1) > 1 or any(n < -1 for n in new):
        raise ValueError(
            f"reshape: shape {tuple(new)} may hold one -1 and no other negative length"
        )
    if -1 in new:
        rest = _product(n for n in new if n != -1)
        if rest and t.size % rest:
            raise ValueError(
                f"reshape: {t.size} elements of shape {t.shape} do not fill {tuple(new)}"
            )
        new[new.index(-1)] = t.size // rest if rest else 0
    return t if tuple(new) == t.shape else bind(RESHAPE, t, shape=tuple(new))


def broadcast_to(x: ArrayLike, /, shape: Sequence[int]) -> Tensor:
    """x repeated to `shape` by NumPy's rule."""
    t = asarray(x)
    return t if t.shape == tuple(shape) else bind(BROADCAST, t, shape=tuple(shape))


def permute_dims(x: ArrayLike, /, axes: Sequence[int]) -> Tensor:
    """The axes in another order."""
    t = asarray(x)
    axes = tuple(operator.index(a) for a in axes)
    if not all(-t.ndim <= a < t.ndim for a in axes):
        raise ValueError(f"permute_dims: axes {axes} are out of range for shape {t.shape}")
    axes = tuple(a - t.ndim if a >= 0 else a for a in axes)
    return t if axes == tuple(range(-t.ndim, 0)) else bind(PERMUTE, t, axes=axes)


def matrix_transpose(x: ArrayLike, /) -> Tensor:
    """The last two axes exchanged."""
    t = asarray(x)
    if t.ndim < 2:
        raise ValueError(f"matrix_transpose: needs at least two axes; got shape {t.shape}")
    return permute_dims(t, (*range(t.ndim - 2), -1, -2))


def _transpose(t: Tensor) -> Tensor:
    return permute_dims(t, tuple(reversed(range(t.ndim))))


def moveaxis(x: ArrayLike, source: int, destination: int, /) -> Tensor:
    """One axis moved to another place, the others in order."""
    t = asarray(x)
    (here,), (there,) = _axes("moveaxis", t, source), _axes("moveaxis", t, destination)
    order = [k for k in range(-t.ndim, 0) if k != here]
    order.insert(there + t.ndim, here)
    return permute_dims(t, order)


def expand_dims(x: ArrayLike, /, *, axis: int = 0) -> Tensor:
    """A new axis of length 1 at place `axis` of the result."""
    t = asarray(x)
    if not -t.ndim - 1 <= axis <= t.ndim:
        raise ValueError(f"expand_dims: axis {axis} is out of range for shape {t.shape}")
    k = axis % (t.ndim + 1)
    return reshape(t, (*t.shape[:k], 1, *t.shape[k:]))


def squeeze(x: ArrayLike, /, axis: Any = None) -> Tensor:
    """Without the given axes, which must have length 1 (None: all such axes)."""
    t = asarray(x)
    axes = _axes(
        "squeeze", t, axis if axis is not None else [k for k, n in enumerate(t.shape) if n == 1]
    )
    if any(t.shape[a] != 1 for a in axes):
        raise ValueError(f"squeeze: an axis of {axis} is not 1 long in shape {t.shape}")
    return reshape(t, tuple(n for k, n in enumerate(t.shape) if k - t.ndim not in axes))


def concat(arrays: Sequence[ArrayLike], /, *, axis: int = 0) -> Tensor:
    """The arrays joined along an axis they have."""
    if not len(arrays):
        raise ValueError("concat: needs at least one array")
    xs = _promoted(*arrays)
    (axis,) = _axes("concat", xs[0], axis)
    return xs[0] if len(xs) == 1 else bind(CONCAT, *xs, axis=axis)


def stack(arrays: Sequence[ArrayLike], /, *, axis: int = 0) -> Tensor:
    """The arrays, all of one shape, joined along a new axis."""
    xs = [asarray(x) for x in arrays]
    if not xs:
        raise ValueError("stack: needs at least one array")
    for k, x in enumerate(xs):
        if x.shape != xs[0].shape:
            raise ValueError(f"stack: operand {k} has shape {x.shape}, operand 0 has {xs[0].shape}")
    return concat([expand_dims(x, axis=axis) for x in xs], axis=axis)


def flip(x: ArrayLike, /, *, axis: Any = None) -> Tensor:
    """Reversed along `axis` (None: all axes)."""
    t = asarray(x)
    axes = _axes("flip", t, axis)
    step = tuple((None, None, -1 if k - t.ndim in axes else None) for k in range(t.ndim))
    return bind(SLICE, t, index=step) if axes else t


def take(x: ArrayLike, indices: ArrayLike, /, *, axis: int = 0) -> Tensor:
    """The rows of `axis` numbered by the integer array `indices`; a row taken twice gets both
    gradients."""
    t, index = asarray(x), asarray(indices)
    (k,) = _axes("take", t, axis)
    if index._value is not None:
        try:
            _check_rows(index._value, t.shape[k])
        except IndexError as error:
            raise IndexError(f"take: {error} (shape {t.shape}, axis {axis})") from None
    if k == -t.ndim:
        return bind(TAKE, t, index)
    k += t.ndim
    front = permute_dims(t, (k, *range(k), *range(k + 1, t.ndim)))
    y = bind(TAKE, front, index)
    n = index.ndim
    return permute_dims(y, (*range(n, n + k), *range(n), *range(n + k, y.ndim)))


def scatter(x: ArrayLike, indices: ArrayLike, size: int, /) -> Tensor:
    """zeros(size, ...) with the rows of x added at the rows `indices`: the dual of `take` along
    axis 0."""
    index = asarray(indices)
    if index._value is not None and index.dtype.kind in "iu":
        try:
            _check_rows(index._value, size)
        except IndexError as error:
            raise IndexError(f"scatter: {error}") from None
    return bind(SCATTER, asarray(x), index, size=size)


def _getitem(t: Tensor, key: Any) -> Tensor:
    """Basic indexing (views), one integer or boolean array (a NumPy mask is resolved now), or
    both."""
    keys = list(key) if isinstance(key, tuple) else [key]
    keys = [np.asarray(k, None if k else int) if isinstance(k, list) else k for k in keys]
    if any(isinstance(k, Tensor) and k.dtype == BOOL for k in keys):
        raise TypeError(
            "a Tensor mask would make the shape depend on values; use mg.where(mask, x, 0)"
        )
    _check_masks(t, keys)
    keys = [k for key in keys for k in (np.nonzero(key) if _is_mask(key) else (key,))]
    used = _count(keys)
    if used > t.ndim:
        raise IndexError(f"too many indices for shape {t.shape}: {len(keys)} were given")
    if not any(k is Ellipsis for k in keys):
        keys.append(Ellipsis)
    at = next(n for n, k in enumerate(keys) if k is Ellipsis)
    keys[at : at + 1] = [slice(None)] * (t.ndim - used)
    arrays = [
        n for n, k in enumerate(keys)
        if isinstance(k, Tensor) and k.dtype.kind in "iu" or isinstance(k, np.ndarray) and k.ndim
    ]  # fmt: skip
    basic = [slice(None) if n in arrays else k for n, k in enumerate(keys)]
    y = _basic(t, basic)
    if not arrays:
        return y
    if len(arrays) > 1:
        return _joint_take(y, basic, [(n, keys[n]) for n in arrays])
    place = _count(basic[: arrays[0]], out=True)
    return take(y, keys[arrays[0]], axis=place)


def _is_mask(key: Any) -> bool:
    return isinstance(key, np.ndarray) and key.dtype == BOOL


def _check_masks(t: Tensor, keys: Sequence[Any]) -> None:
    """A mask must have the lengths of the axes it selects from."""
    widths = [k.ndim if _is_mask(k) else int(not (k is None or k is Ellipsis)) for k in keys]
    for n, key in enumerate(keys):
        if _is_mask(key):
            behind = any(k is Ellipsis for k in keys[:n])
            axis = t.ndim - builtins.sum(widths[n:]) if behind else builtins.sum(widths[:n])
            if t.shape[axis : axis + key.ndim] != key.shape:
                raise IndexError(f"a mask of shape {key.shape} does not fit shape {t.shape}")


def _count(keys: Sequence[Any], out: bool = False) -> int:
    """How many axes the keys use up (or, with `out`, make)."""
    hidden = (lambda k: isinstance(k, (int, np.integer))) if out else (lambda k: k is None)
    return builtins.sum(1 for k in keys if k is not Ellipsis and not hidden(k))


def _basic(t: Tensor, keys: Sequence[Any]) -> Tensor:
    bounds, shape, axis = [], [], 0
    for k in keys:
        if k is None:
            shape.append(1)
            continue
        n = t.shape[axis]
        if isinstance(k, slice):
            bounds.append((k.start, k.stop, k.step))
            shape.append(len(range(*k.indices(n))))
        else:
            if isinstance(k, (bool, np.bool_)) or not hasattr(k, "__index__"):
                raise TypeError(
                    "an index of a Tensor is an integer, a slice, None, ... or an integer or "
                    f"boolean array; got {k!r}"
                )
            i = operator.index(k)
            if not -n <= i < n:
                raise IndexError(f"index {i} is out of range for axis {axis} of shape {t.shape}")
            i %= n
            bounds.append((i, i + 1, None))
        axis += 1
    whole = all(
        b in ((None, None, None), (0, n, None)) for b, n in zip(bounds, t.shape, strict=True)
    )
    y = t if whole else bind(SLICE, t, index=tuple(bounds))
    return reshape(y, tuple(shape))


def _joint_take(y: Tensor, basic: Sequence[Any], arrays: Sequence[tuple[int, Any]]) -> Tensor:
    """Several index arrays on neighbouring axes: flatten those axes and take along the flat one."""
    places = [_count(basic[:n], out=True) for n, _ in arrays]
    if places != list(range(places[0], places[0] + len(places))):
        raise IndexError(
            "several index arrays must stand side by side; use mg.take along one axis at a time"
        )
    sizes = [y.shape[p] for p in places]
    flat: Any = 0
    for (_, k), n in zip(arrays, sizes, strict=True):
        if isinstance(k, Tensor):  # a row that does not exist must not become another one's
            outside = logical_or(less(k, -n), greater_equal(k, n))
            k = where(outside, _product(sizes), where(less(k, 0), k + n, k))
        else:
            _check_rows(k, n)
            k = np.where(k < 0, k + n, k)
        flat = flat * n + k
    y = reshape(y, (*y.shape[: places[0]], _product(sizes), *y.shape[places[-1] + 1 :]))
    return take(y, flat, axis=places[0])


# -- the operators of Tensor -----------------------------------------------------------------------


def _swapped(f: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return lambda self, other: f(other, self)


def _guarded(f: Callable[..., Tensor]) -> Callable[..., Any]:
    """An operator that leaves operands it does not know (a str, a dict) to Python's own
    TypeError."""

    def method(self: Tensor, other: Any) -> Any:
        if isinstance(other, (str, bytes, dict, set)) or other is None:
            return NotImplemented
        return f(self, other)

    return method


for _name, _f in {
    "add": add, "sub": subtract, "mul": multiply, "truediv": divide, "pow": power, "matmul": matmul,
}.items():  # fmt: skip
    setattr(Tensor, f"__{_name}__", _guarded(_f))
    setattr(Tensor, f"__r{_name}__", _guarded(_swapped(_f)))
def _on_booleans(symbol: str, f: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """&, | and ~ mean logic, so integers (bits, to NumPy) are refused."""

    def g(*xs: ArrayLike) -> Tensor:
        tensors = [asarray(x) for x in xs]
        for t in tensors:
            if t.dtype != BOOL:
                raise TypeError(
                    f"{symbol} joins booleans; got {t.dtype}. Compare first, as in (t > 0)"
                )
        return f(*tensors)

    return g


for _name, _f in {
    "lt": less, "le": less_equal, "gt": greater, "ge": greater_equal, "eq": equal, "ne": not_equal,
    "and": _on_booleans("&", logical_and), "rand": _on_booleans("&", logical_and),
    "or": _on_booleans("|", logical_or), "ror": _on_booleans("|", logical_or),
}.items():  # fmt: skip
    setattr(Tensor, f"__{_name}__", _guarded(_f))
for _name, _g in {
    "neg": negative, "abs": abs, "invert": _on_booleans("~", logical_not),
}.items():  # fmt: skip
    setattr(Tensor, f"__{_name}__", _g)
Tensor.__getitem__ = _getitem  # type: ignore[method-assign, assignment]
Tensor.T = property(_transpose)  # type: ignore[assignment]
Tensor.mT = property(matrix_transpose)  # type: ignore[assignment]
