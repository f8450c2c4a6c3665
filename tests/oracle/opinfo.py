"""Which torch op is which of ours: the table that `test_opinfo` walks.

One entry per torch OpInfo we share, keyed "name" or "name/variant".
An entry is a function with torch's signature that calls ours with the array API's
(dim: axis, keepdim: keepdims, unbiased: correction)
and returns what torch returns, a Tensor or a tuple of them.
Samples outside our contract are named by rules, each with its reason.
Nothing here imports torch:
what torch differentiates arrives as a Tensor, other tensors as NumPy arrays, dtypes as NumPy's.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import minigrad as mg

Rule = tuple[str, Callable[..., bool]]  # (reason, does it hold for these arguments?)


@dataclass(frozen=True)
class Op:
    """run  : torch's arguments -> our result or results, in torch's order.
    names: our functions behind it; an error has to name one of them, or the shape or the axis.
    but  : the samples that are left out, and why.
    """

    run: Callable[..., Any]
    names: tuple[str, ...]
    but: tuple[Rule, ...] = ()


OPS: dict[str, Op] = {}


def _op(keys: str, names: str, *but: Rule) -> Callable[[Callable], Callable]:
    """Enter the function below under each of the keys."""

    def enter(run: Callable) -> Callable:
        for key in keys.split():
            OPS[key] = Op(run, tuple(names.split()), but)
        return run

    return enter


def _size(x: Any) -> tuple[int, ...]:
    return tuple(np.shape(x)) if not isinstance(x, mg.Tensor) else x.shape


def _all_if_empty(dim: Any) -> Any:
    """torch's empty tuple of axes means all of them, as None does."""
    return (tuple(dim) or None) if isinstance(dim, (tuple, list)) else dim


# -- rules that several ops share ------------------------------------------------------------------


def _numbers_axis(x: Any, *args: Any, dim: Any = None, **_: Any) -> bool:
    named = dim is not None and dim != ()
    return _size(x) == () and (named or any(type(a) is int or a == (0,) for a in args))


SCALAR: Rule = ("torch lets 0 and -1 name an axis of a 0-d tensor", _numbers_axis)


# -- elementwise -----------------------------------------------------------------------------------

SAME = """abs acos acosh asin asinh atan atan2 atanh ceil copysign cos cosh erf exp expm1 floor
    floor_divide hypot isfinite isinf isnan log log10 log1p log2 logaddexp logical_and logical_not
    logical_or logical_xor matmul maximum minimum nextafter outer positive pow reciprocal remainder
    round sigmoid sign signbit sin sinc sinh sqrt square tan tanh trunc xlogy"""
RENAMED = {
    "neg": "negative", "mul": "multiply", "true_divide": "divide", "float_power": "pow",
    "div/no_rounding_mode": "divide", "sgn": "sign", "clamp_min": "maximum", "clamp": "clip",
    "clamp_max": "minimum", "max/binary": "maximum", "min/binary": "minimum", "eq": "equal",
    "ne": "not_equal", "lt": "less", "le": "less_equal", "gt": "greater", "ge": "greater_equal",
    "mm": "matmul", "bmm": "matmul", "mv": "matmul", "mT": "matrix_transpose", "view": "reshape",
    "nn.functional.relu": "relu", "nn.functional.silu": "silu", "permute": "permute_dims",
    "nn.functional.logsigmoid": "log_sigmoid", "reshape": "reshape", "movedim": "moveaxis",
    "broadcast_to": "broadcast_to",
}  # fmt: skip


def _positional(name: str) -> Callable[..., Any]:
    return lambda *args: getattr(mg, name)(*args)


for _key, _name in {**{n: n for n in SAME.split()}, **RENAMED}.items():
    OPS[_key] = Op(_positional(_name), (_name,))


def _with_alpha(name: str) -> Callable[..., Any]:
    def run(x: Any, y: Any, alpha: Any = None) -> Any:
        return getattr(mg, name)(x, y if alpha is None else mg.multiply(y, alpha))

    return run


OPS["add"] = Op(_with_alpha("add"), ("add",))
OPS["sub"] = Op(_with_alpha("subtract"), ("subtract",))


@_op("rsub", "subtract")
def _rsub(x, y, alpha=None):
    return mg.subtract(y, x if alpha is None else mg.multiply(x, alpha))


def _reflected(method: str) -> Callable[..., Any]:
    return lambda x, y: getattr(mg.asarray(x), method)(y)


for _key, _method, _name in (
    ("add", "add", "add"), ("sub", "sub", "subtract"), ("mul", "mul", "multiply"),
    ("div", "truediv", "divide"), ("mod", "mod", "remainder"), ("pow", "pow", "pow"),
    ("matmul", "matmul", "matmul"),
):  # fmt: skip
    OPS[f"__r{_key}__"] = Op(_reflected(f"__r{_method}__"), (_name,))


@_op("div/floor_rounding div/trunc_rounding", "floor divide trunc")
def _div(x, y, rounding_mode):
    return {"floor": mg.floor_divide, "trunc": lambda a, b: mg.trunc(mg.divide(a, b))}[
        rounding_mode
    ](x, y)


@_op("round/decimals_0", "round")
def _round(x, decimals):
    return mg.round(x)


@_op("nn.functional.softplus", "softplus")
def _softplus(x, beta, threshold):
    """torch continues with the straight line where beta * x > threshold."""
    return mg.where(x * beta > threshold, x, mg.softplus(x * beta) / beta)


@_op("nn.functional.gelu", "gelu")
def _gelu(x, approximate="none"):
    return mg.gelu(x, approximate={"none": False, "tanh": True}.get(approximate, approximate))


@_op("nn.functional.hardtanh", "clip")
def _hardtanh(x, min_val=-1.0, max_val=1.0):
    return mg.clip(x, min_val, max_val)


@_op("nn.functional.relu6", "clip")
def _relu6(x):
    return mg.clip(x, 0.0, 6.0)


@_op("rsqrt", "reciprocal sqrt")
def _rsqrt(x):
    return mg.reciprocal(mg.sqrt(x))


@_op("exp2", "pow")
def _exp2(x):
    return mg.pow(2.0, x)


@_op("frac", "trunc")
def _frac(x):
    return x - mg.trunc(x)


@_op("nan_to_num", "nan_to_num")
def _nan_to_num(x, nan=0.0, posinf=None, neginf=None):
    return mg.nan_to_num(x, nan=nan, posinf=posinf, neginf=neginf)


@_op("where", "where")
def _where(x, condition, other):
    return mg.where(condition, x, other)


@_op("masked_fill", "where")
def _masked_fill(x, mask, value):
    return mg.where(mask, value, x)


# -- reductions ------------------------------------------------------------------------------------


def _reduction(name: str) -> Callable[..., Any]:
    def run(x: Any, dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Any:
        return getattr(mg, name)(x, axis=_all_if_empty(dim), keepdims=keepdim)

    return run


for _key, _name in {
    "sum": "sum", "prod": "prod", "mean": "mean", "amax": "max", "amin": "min", "all": "all",
    "any": "any", "argmax": "argmax", "argmin": "argmin", "logsumexp": "logsumexp",
    "count_nonzero": "count_nonzero",
}.items():  # fmt: skip
    OPS[_key] = Op(_reduction(_name), (_name,), (SCALAR,))
OPS["max/reduction_no_dim"] = Op(_reduction("max"), ("max",))
OPS["min/reduction_no_dim"] = Op(_reduction("min"), ("min",))


def _with_position(name: str) -> Callable[..., Any]:
    def run(x: Any, dim: int, keepdim: bool = False) -> Any:
        pair = getattr(mg, name), getattr(mg, f"arg{name}")
        return tuple(f(x, axis=dim, keepdims=keepdim) for f in pair)

    return run


OPS["max/reduction_with_dim"] = Op(_with_position("max"), ("max",), (SCALAR,))
OPS["min/reduction_with_dim"] = Op(_with_position("min"), ("min",), (SCALAR,))


@_op("aminmax", "min max", SCALAR)
def _aminmax(x, dim=None, keepdim=False):
    return tuple(f(x, axis=dim, keepdims=keepdim) for f in (mg.min, mg.max))


def _spread(*names: str) -> Callable[..., Any]:
    """var and std: `unbiased` is torch's older spelling of the correction; both default to 1."""

    def run(x, dim=None, unbiased=None, keepdim=False, correction=None):
        if isinstance(dim, bool):
            dim, unbiased = None, dim
        if correction is None:
            correction = 1 if unbiased is None else int(unbiased)
        dim = _all_if_empty(dim)
        if len(names) == 1:
            return getattr(mg, names[0])(x, axis=dim, correction=correction, keepdims=keepdim)
        spread = getattr(mg, names[0])(x, axis=dim, correction=correction, keepdims=keepdim)
        return spread, mg.mean(x, axis=dim, keepdims=keepdim)

    return run


for _key in ("var", "std"):
    for _variant in ("", "/unbiased"):
        OPS[_key + _variant] = Op(_spread(_key), (_key,))
        OPS[f"{_key}_mean{_variant}"] = Op(_spread(_key, "mean"), (_key, "mean"))


@_op("cumsum", "cumulative_sum", SCALAR)
def _cumsum(x, dim, dtype=None):
    return mg.cumulative_sum(x, axis=dim)


@_op("cumprod", "cumulative_prod", SCALAR)
def _cumprod(x, dim, dtype=None):
    return mg.cumulative_prod(x, axis=dim)


@_op("diff", "diff")
def _diff(x, n=1, dim=-1, prepend=None, append=None):
    return mg.diff(x, n=n, axis=dim, prepend=prepend, append=append)


def _is_matrix_norm(x: Any, ord: Any = None, dim: Any = None, **_: Any) -> bool:
    axes = len(dim) if isinstance(dim, (tuple, list)) else len(_size(x)) if dim is None else 1
    return ord not in (None, "fro") and axes == 2


MATRIX: Rule = ("matrix norms other than Frobenius's are not in minigrad", _is_matrix_norm)


@_op("linalg.norm linalg.norm/subgradients_at_zero", "norm", MATRIX)
def _linalg_norm(x, ord=None, dim=None, keepdim=False):
    p = 2 if ord in (None, "fro") else ord
    return mg.norm(x, axis=dim, keepdims=keepdim, ord=p)


@_op("linalg.vector_norm", "norm", SCALAR)
def _vector_norm(x, ord=2, dim=None, keepdim=False):
    return mg.norm(x, axis=_all_if_empty(dim), keepdims=keepdim, ord=ord)


@_op("norm", "norm", SCALAR)
def _norm(x, p=2, dim=None, keepdim=False):
    return mg.norm(x, axis=_all_if_empty(dim), keepdims=keepdim, ord=2 if p == "fro" else p)


OPS["norm/fro"] = OPS["norm/inf"] = Op(_norm, ("norm",))


def _along(name: str) -> Callable[..., Any]:
    return lambda x, dim, dtype=None: getattr(mg, name)(x, axis=dim)


for _name in ("softmax", "log_softmax"):
    for _variant in ("", "/with_dtype"):
        OPS[_name + _variant] = Op(_along(_name), (_name,), (SCALAR,))


@_op("nn.functional.softmin nn.functional.softmin/with_dtype", "softmax", SCALAR)
def _softmin(x, dim, dtype=None):
    return mg.softmax(-x, axis=dim)


def _other_entropy(x: Any, target: Any, reduction: str = "mean", **more: Any) -> bool:
    return bool(more) or np.asarray(target).dtype.kind not in "iu"


LABELS: Rule = ("cross_entropy has no weights, smoothing or ignored labels", _other_entropy)


@_op("nn.functional.cross_entropy", "cross_entropy", LABELS)
def _cross_entropy(x, target, reduction="mean"):
    logits = mg.moveaxis(x, 1, -1) if len(x.shape) > 1 else x
    each = mg.cross_entropy(logits, target)
    return {"none": lambda t: t, "sum": mg.sum, "mean": mg.mean}[reduction](each)


# -- contractions ----------------------------------------------------------------------------------


@_op("linalg.vecdot", "vecdot")
def _vecdot(x, y, dim=-1):
    return mg.vecdot(x, y, axis=dim)


@_op("linalg.cross", "cross")
def _linalg_cross(x, y, dim=-1):
    return mg.cross(x, y, axis=dim)


@_op("cross", "cross")
def _cross(x, y, dim=None):
    """Without dim, along the first axis of length 3."""
    axis = x.shape.index(3) if dim is None else dim
    return mg.cross(x, y, axis=axis - len(x.shape) * (axis >= 0))  # ours are counted from the end


@_op("dot vdot", "einsum")
def _dot(x, y):
    """einsum stretches an axis of length 1, as torch's einsum does and torch's dot does not."""
    return mg.vecdot(x, y) if len(x.shape) == len(y.shape) == 1 else mg.einsum("i,i->", x, y)


@_op("inner", "tensordot multiply")
def _inner(x, y):
    return mg.tensordot(x, y, axes=((-1,), (-1,))) if x.shape and y.shape else mg.multiply(x, y)


def _unequal_lengths(x: Any, y: Any, dims: Any) -> bool:
    pairs = () if isinstance(dims, int) else zip(*dims, strict=True)
    return any(x.shape[i] != y.shape[j] for i, j in pairs)


@_op("tensordot", "tensordot", ("torch broadcasts contracted axes of length 1", _unequal_lengths))
def _tensordot(x, y, dims):
    return mg.tensordot(x, y, axes=dims if isinstance(dims, int) else tuple(map(tuple, dims)))


def _dots_dropped(xs: Any, text: str) -> bool:
    return "..." in text and "->" in text and "..." not in text.split("->")[1]


@_op("einsum", "einsum", ("torch sums over a '...' left out of the output", _dots_dropped))
def _einsum(xs, text):
    return mg.einsum(text, *xs)


@_op("linalg.multi_dot", "matmul")
def _multi_dot(xs):
    return functools.reduce(mg.matmul, xs)


@_op("nn.functional.linear", "matmul add")
def _linear(x, weight, bias=None):
    y = mg.matmul(x, weight.T)
    return y if bias is None else mg.add(y, bias)


@_op("diagonal", "diagonal moveaxis")
def _diagonal(x, offset=0, dim1=0, dim2=1):
    return mg.diagonal(mg.moveaxis(x, (dim1, dim2), (-2, -1)), offset=offset)


@_op("linalg.diagonal", "diagonal moveaxis")
def _linalg_diagonal(x, offset=0, dim1=-2, dim2=-1):
    return _diagonal(x, offset, dim1, dim2)


@_op("diag", "diagonal", ("no op of ours puts a vector on a diagonal", lambda x, *_: x.ndim == 1))
def _diag(x, offset=0):
    return mg.diagonal(x, offset=offset)


@_op("trace", "trace")
def _trace(x):
    return mg.trace(x)


@_op("tril", "tril")
def _tril(x, k=0):
    return mg.tril(x, k=k)


@_op("triu", "triu")
def _triu(x, k=0):
    return mg.triu(x, k=k)


# -- movement --------------------------------------------------------------------------------------


@_op("T", "permute_dims")
def _t(x):
    return x.T


@_op("t", "matrix_transpose")
def _transpose_2d(x):
    return mg.matrix_transpose(x) if len(x.shape) == 2 else x


@_op("transpose", "permute_dims", SCALAR)
def _transpose(x, a, b):
    order = list(range(len(x.shape)))
    order[a], order[b] = order[b], order[a]
    return mg.permute_dims(x, tuple(order))


@_op("expand", "broadcast_to")
def _expand(x, shape):
    own = (None,) * (len(shape) - len(x.shape)) + tuple(x.shape)
    return mg.broadcast_to(x, tuple(m if n == -1 else n for n, m in zip(shape, own, strict=True)))


@_op("expand_as", "broadcast_to")
def _expand_as(x, like):
    return mg.broadcast_to(x, like.shape)


@_op("reshape_as view_as", "reshape")
def _reshape_as(x, like):
    return mg.reshape(x, like.shape)


@_op("ravel", "reshape")
def _ravel(x):
    return mg.reshape(x, (-1,))


@_op("flatten", "reshape")
def _flatten(x, start_dim=0, end_dim=-1):
    n = len(x.shape)
    if not n:
        return mg.reshape(x, (1,))
    first, last = start_dim % n, end_dim % n
    return mg.reshape(
        x, (*x.shape[:first], math.prod(x.shape[first : last + 1]), *x.shape[last + 1 :])
    )


@_op("unflatten", "reshape")
def _unflatten(x, dim, sizes):
    k = dim % len(x.shape)
    return mg.reshape(x, (*x.shape[:k], *sizes, *x.shape[k + 1 :]))


@_op("unsqueeze", "expand_dims")
def _unsqueeze(x, dim):
    return mg.expand_dims(x, axis=dim)


def _long_axis(x: Any, dim: Any = None) -> bool:
    dims = () if dim is None else dim if isinstance(dim, tuple) else (dim,)
    return any(x.shape[a] != 1 for a in dims)


LONGER: Rule = ("torch's squeeze leaves longer axes alone, the array API refuses them", _long_axis)


@_op("squeeze squeeze/multiple", "squeeze", SCALAR, LONGER)
def _squeeze(x, dim=None):
    return mg.squeeze(x, axis=dim)


@_op("meshgrid/variadic_tensors", "meshgrid")
def _meshgrid(*xs, indexing="ij"):
    return mg.meshgrid(*_at_least(xs, 1), indexing=indexing)


@_op("meshgrid/list_of_tensors", "meshgrid")
def _meshgrid_of_list(xs, indexing="ij"):
    return _meshgrid(*xs, indexing=indexing)


@_op("broadcast_tensors", "broadcast_arrays")
def _broadcast_tensors(*xs):
    return mg.broadcast_arrays(*xs)


@_op("cat", "concat", ("torch's cat skips empty vectors whatever the other shapes are",
     lambda xs, *_, **__: len({len(x.shape) for x in xs}) > 1))  # fmt: skip
def _cat(xs, dim=0):
    return mg.concat(xs, axis=dim)


@_op("stack", "stack")
def _stack(xs, dim=0):
    return mg.stack(xs, axis=dim)


def _at_least(xs: Sequence[Any], front: int, back: int = 0) -> list[Any]:
    """The arrays with axes of length 1 put in front, and then behind, as torch's *stack do."""
    out = []
    for x in xs:
        shape = (1,) * (front - len(x.shape)) + tuple(x.shape)
        out.append(mg.reshape(x, shape + (1,) * (front + back - len(shape))))
    return out


@_op("hstack", "concat")
def _hstack(xs):
    xs = _at_least(xs, 1)
    return mg.concat(xs, axis=1 if xs and xs[0].ndim > 1 else 0)


@_op("vstack", "concat")
def _vstack(xs):
    return mg.concat(_at_least(xs, 2), axis=0)


@_op("dstack", "concat")
def _dstack(xs):
    return mg.concat(_at_least(xs, 2, 1), axis=2)


@_op("column_stack", "concat")
def _column_stack(xs):
    return mg.concat([x if len(x.shape) > 1 else mg.reshape(x, (-1, 1)) for x in xs], axis=1)


@_op("unbind", "unstack")
def _unbind(x, dim=0):
    return tuple(mg.unstack(x, axis=dim))


def _cut(x: Any, places: Any, dim: int) -> Any:
    return tuple(mg.split(x, places, axis=dim))


@_op("split split/list_args split_with_sizes unsafe_split", "split")
def _split(x, sizes, dim=0):
    n = x.shape[dim]
    places = range(sizes, n, sizes) if isinstance(sizes, int) else np.cumsum(sizes)[:-1]
    return _cut(x, [int(p) for p in places], dim)


@_op("chunk unsafe_chunk", "split")
def _chunk(x, chunks, dim=0):
    return _split(x, -(-x.shape[dim] // chunks), dim)


@_op("tensor_split", "split")
def _tensor_split(x, sections, dim=0):
    if np.ndim(sections):
        return _cut(x, [int(p) for p in np.asarray(sections)], dim)
    n, k = x.shape[dim], int(sections)
    return _cut(x, [j * (n // k) + min(j, n % k) for j in range(1, k)], dim)


@_op("hsplit", "split")
def _hsplit(x, sections):
    return _cut(x, _places(sections), 1 if len(x.shape) > 1 else 0)


@_op("vsplit", "split")
def _vsplit(x, sections):
    return _cut(x, _places(sections), 0)


@_op("dsplit", "split")
def _dsplit(x, sections):
    return _cut(x, _places(sections), 2)


def _places(sections: Any) -> Any:
    return list(sections) if isinstance(sections, tuple) else sections


@_op("flip", "flip")
def _flip(x, dims):
    return mg.flip(x, axis=dims)


@_op("fliplr", "flip")
def _fliplr(x):
    return mg.flip(x, axis=1)


@_op("flipud", "flip")
def _flipud(x):
    return mg.flip(x, axis=0)


@_op("roll", "roll", SCALAR)
def _roll(x, shifts, dims=None):
    return mg.roll(x, shifts, axis=_all_if_empty(dims))


@_op("tile", "tile")
def _tile(x, dims):
    return mg.tile(x, dims)


@_op("repeat", "tile")
def _repeat(x, sizes):
    return mg.tile(x, sizes)


@_op("repeat_interleave", "repeat")
def _repeat_interleave(x, repeats, dim=None, output_size=None):
    return mg.repeat(x, repeats, axis=dim)


def _negative_pad(x: Any, pad: Sequence[int], *_: Any, **__: Any) -> bool:
    return min(pad, default=0) < 0


@_op("constant_pad_nd", "pad", ("a negative width crops in torch", _negative_pad))
def _constant_pad(x, pad, value=0.0):
    """torch lists (before, after) from the last axis backwards."""
    pairs = [(pad[k], pad[k + 1]) for k in range(0, len(pad), 2)]
    widths = [(0, 0)] * (len(x.shape) - len(pairs)) + pairs[::-1]
    return mg.pad(x, widths, constant_values=value)


@_op("nn.functional.pad/constant", "pad", ("a negative width crops in torch", _negative_pad))
def _pad(x, pad, mode="constant", value=0.0):
    return _constant_pad(x, pad, value)


# -- indexing and order ----------------------------------------------------------------------------


@_op("__getitem__", "index take")
def _getitem(x, key):
    return x[key]


@_op("narrow", "slice moveaxis")
def _narrow(x, dim, start, length):
    front = mg.moveaxis(x, dim, 0)
    if np.ndim(start) == 0:
        start = int(start) + front.shape[0] * (start < 0)
    return mg.moveaxis(front[start : start + length], 0, dim)


@_op("select", "index moveaxis")
def _select(x, dim, index):
    return mg.moveaxis(x, dim, 0)[index]


@_op("masked_select", "index mask")
def _masked_select(x, mask):
    shape = np.broadcast_shapes(_size(x), _size(mask))
    return mg.broadcast_to(x, shape)[np.broadcast_to(mask, shape)]


@_op("index_select", "take", SCALAR)
def _index_select(x, dim, index):
    return mg.take(x, index, axis=dim)


@_op("take", "take")
def _take(x, index):
    return mg.take(mg.reshape(x, (-1,)), index, axis=0)


@_op("nn.functional.embedding", "take")
def _embedding(weight, index):
    return mg.take(weight, index, axis=0)


def _other_rank(x: Any, dim: Any, index: Any, **_: Any) -> bool:
    return len(x.shape) != index.ndim


@_op("gather", "take_along_axis", SCALAR, ("torch lets an empty index have any rank", _other_rank))
def _gather(x, dim, index, sparse_grad=False):
    """torch's index may be shorter than x along the other axes."""
    if len(x.shape) == index.ndim:  # else ours says so
        k = dim % index.ndim
        x = x[tuple(slice(None) if a == k else slice(n) for a, n in enumerate(index.shape))]
    return mg.take_along_axis(x, index, axis=dim)


@_op("take_along_dim", "take_along_axis")
def _take_along_dim(x, index, dim=None):
    if dim is None:
        x, index, dim = mg.reshape(x, (-1,)), np.reshape(index, -1), 0
    return mg.take_along_axis(x, index, axis=dim)


NUMBER: Rule = (SCALAR[0], lambda x, *_, **__: _size(x) == ())  # whose default is the last axis


@_op("sort", "sort argsort", NUMBER)
def _sort(x, dim=-1, descending=False, stable=False):
    how = {"axis": dim, "descending": descending}
    return mg.sort(x, **how), mg.argsort(x, **how)


@_op("argsort", "argsort", NUMBER)
def _argsort(x, dim=-1, descending=False, stable=False):
    return mg.argsort(x, axis=dim, descending=descending)


@_op("msort", "sort")
def _msort(x):
    return mg.sort(x, axis=0)


def _rows_of_tables(table: Any, x: Any, **_: Any) -> bool:
    return np.ndim(table) != 1


ROWS: Rule = ("searchsorted looks in one vector, not in one per row", _rows_of_tables)


@_op("searchsorted", "searchsorted", ROWS)
def _searchsorted(table, x, right=False, side=None, out_int32=False, sorter=None):
    found = mg.searchsorted(table, x, side="right" if right or side == "right" else "left",
                            sorter=sorter)  # fmt: skip
    return mg.astype(found, np.int32) if out_int32 else found


@_op("bucketize", "searchsorted")
def _bucketize(x, table, right=False, out_int32=False):
    return _searchsorted(table, x, right, out_int32=out_int32)


# -- creation (values and errors; nothing to differentiate) ----------------------------------------


@_op("arange", "arange")
def _arange(start, end=None, step=1, dtype=None):
    return mg.arange(start, end, step, dtype=dtype)


SINGLE: Rule = ("torch's default float is float32", lambda *_, dtype=None: dtype is None)


@_op("linspace", "linspace", SINGLE)
def _linspace(start, end, steps, dtype=None):
    return mg.linspace(start, end, steps, dtype=dtype)


@_op("zeros_like", "zeros_like")
def _zeros_like(x, dtype=None):
    return mg.zeros_like(x, dtype=dtype)


@_op("ones_like", "ones_like")
def _ones_like(x, dtype=None):
    return mg.ones_like(x, dtype=dtype)


@_op("full_like", "full_like")
def _full_like(x, fill_value, dtype=None):
    return mg.full_like(x, fill_value, dtype=dtype)


@_op("eye", "eye")
def _eye(*sizes, dtype=None):
    return mg.eye(*sizes, dtype=dtype or np.float32)


# -- where we differ, and why ----------------------------------------------------------------------

DIFFERS: dict[str, tuple[Rule, ...]] = {  # by op: conventions of gradients torch does not share
    "nextafter": (("nextafter counts as a rounding: its slope is 0", lambda *_: True),),
}
ALLOWED: dict[str, dict[str, str]] = {  # by op: part of torch's message -> why we accept the call
    "arange": {"inconsistent with step sign": "a range that ends before it starts is empty"},
    "diag": {"1D or 2D": "diagonal works on stacks of matrices"},
    "linalg.cross": {"same number of dimensions": "the other axes broadcast"},
    "linspace": {"0-dimensional start": "arrays of starts and stops, as in NumPy"},
    "masked_fill": {"0-dimensional value": "the value broadcasts"},
    "mean": {
        "Input dtype must be": "integers are averaged as float64",
        "Optional dtype must be": "mean has no dtype=",
    },
    "narrow": {
        "0-dim integral": "True and False are numbers to Python's slices",
        "start out of range": "slices clip", "exceeds dimension": "slices clip",
        "length must be non-negative": "slices clip",
    },
    "nn.functional.embedding": {"must be 2-D": "take works on any number of axes"},
    "nn.functional.hardtanh": {"cannot be greater": "the upper bound wins, as in NumPy"},
    "trace": {"expected a matrix": "trace works on stacks of matrices"},
    "roll": {"must align": "several shifts along one axis add up, as in NumPy"},
    "t": {"expects a tensor with <= 2": "matrix_transpose works on batches"},
}  # fmt: skip
