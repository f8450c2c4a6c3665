"""Statistics: averages, spreads, order statistics and covariances, and those that leave out NaN.

NumPy's names and arguments; `axis` is an int, a tuple, or None for all axes.
Integers and booleans use float64 where a result is a fraction.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ... import ops
from ...graph import Tensor
from ...ops.movement import part
from ...ops.table import FLOAT, ArrayLike, axes_of, axis_of, choice_of, flag_of, number_of
from .elementary import floating

__all__ = [
    "average", "corrcoef", "cov", "median", "nancumprod", "nancumsum", "nanmax", "nanmean",
    "nanmedian", "nanmin", "nanpercentile", "nanprod", "nanquantile", "nanstd", "nansum", "nanvar",
    "percentile", "ptp", "quantile",
]  # fmt: skip


# -- without NaN -----------------------------------------------------------------------------------


def _filled(a: ArrayLike, value: float) -> Tensor:
    t = ops.asarray(a)
    return ops.where(ops.isnan(t), value, t) if t.dtype.kind == "f" else t


def _count(t: Tensor, axis: Any, keepdims: bool = False) -> Tensor:
    """How many are no NaN, in the dtype of t."""
    return ops.sum(ops.astype(ops.logical_not(ops.isnan(t)), t.dtype), axis=axis, keepdims=keepdims)


def nansum(a: ArrayLike, axis: Any = None, dtype: Any = None, *, keepdims: bool = False) -> Tensor:
    """The sum of what is no NaN over `axis`; of nothing: 0.

    dtype as in `sum`.
    Raises ValueError for an axis that is not there or is given twice.
    """
    return ops.sum(_filled(a, 0.0), axis=axis, dtype=dtype, keepdims=keepdims)


def nanprod(a: ArrayLike, axis: Any = None, dtype: Any = None, *, keepdims: bool = False) -> Tensor:
    """The product of what is no NaN over `axis`; of nothing: 1.

    dtype as in `prod`.
    Raises ValueError for an axis that is not there or is given twice.
    """
    return ops.prod(_filled(a, 1.0), axis=axis, dtype=dtype, keepdims=keepdims)


def _flat_if_none(a: ArrayLike, axis: int | None) -> Tensor:
    return ops.reshape(a, -1) if axis is None else ops.asarray(a)


def nancumsum(a: ArrayLike, axis: int | None = None, dtype: Any = None) -> Tensor:
    """The running sums along an axis (None: of the flat array), NaN as 0.

    dtype as in `cumulative_sum`.
    Raises ValueError for an axis that is not there, TypeError for several.
    """
    t = _filled(_flat_if_none(a, axis), 0.0)
    return ops.cumulative_sum(t, axis=0 if axis is None else axis, dtype=dtype)


def nancumprod(a: ArrayLike, axis: int | None = None, dtype: Any = None) -> Tensor:
    """The running products along an axis (None: of the flat array), NaN as 1.

    dtype as in `cumulative_prod`.
    Raises ValueError for an axis that is not there, TypeError for several.
    """
    t = _filled(_flat_if_none(a, axis), 1.0)
    return ops.cumulative_prod(t, axis=0 if axis is None else axis, dtype=dtype)


def _nan_extreme(best: Any, least: float, a: ArrayLike, axis: Any, keepdims: bool) -> Tensor:
    t = ops.asarray(a)
    if t.dtype.kind != "f":
        return best(t, axis=axis, keepdims=keepdims)
    found = best(_filled(t, least), axis=axis, keepdims=keepdims)
    none = ops.all(ops.isnan(t), axis=axis, keepdims=keepdims)
    return ops.where(none, np.nan, found)


def nanmax(a: ArrayLike, axis: Any = None, *, keepdims: bool = False) -> Tensor:
    """The maximum of what is no NaN over `axis`; of NaN alone: NaN.  Ties share the gradient.

    Raises ValueError for an axis that is not there or is given twice, and for no elements.
    """
    return _nan_extreme(ops.max, -np.inf, a, axis, keepdims)


def nanmin(a: ArrayLike, axis: Any = None, *, keepdims: bool = False) -> Tensor:
    """The minimum of what is no NaN over `axis`; of NaN alone: NaN.  Ties share the gradient.

    Raises ValueError for an axis that is not there or is given twice, and for no elements.
    """
    return _nan_extreme(ops.min, np.inf, a, axis, keepdims)


def nanmean(a: ArrayLike, axis: Any = None, dtype: Any = None, *, keepdims: bool = False) -> Tensor:
    """The mean of what is no NaN over `axis`; of nothing: NaN.

    dtype as in `mean`.
    Raises ValueError for an axis that is not there or is given twice.
    """
    t = floating(a if dtype is None else ops.astype(a, dtype))
    return ops.divide(nansum(t, axis, keepdims=keepdims), _count(t, axis, keepdims))


def nanvar(
    a: ArrayLike, axis: Any = None, *, ddof: float = 0, keepdims: bool = False,
    correction: float | None = None,
) -> Tensor:  # fmt: skip
    """The variance of what is no NaN over `axis`; of no more than `ddof` elements: NaN.

    ddof : by how much their number is reduced; `correction` is another name for it.

    Raises ValueError for an axis that is not there or is given twice, or a ddof that is no number.
    """
    t, less = floating(a), float(number_of("nanvar", "ddof", correction or ddof))
    off = ops.square(ops.subtract(t, nanmean(t, axis, keepdims=True)))
    n = ops.subtract(_count(t, axis, keepdims), less)
    total = ops.sum(ops.where(ops.isnan(t), 0.0, off), axis=axis, keepdims=keepdims)
    enough = ops.greater(n, 0)
    return ops.where(enough, ops.divide(total, ops.where(enough, n, 1.0)), np.nan)


def nanstd(
    a: ArrayLike, axis: Any = None, *, ddof: float = 0, keepdims: bool = False,
    correction: float | None = None,
) -> Tensor:  # fmt: skip
    """The root of `nanvar`; of equal numbers: 0 with slope 0.

    Raises what `nanvar` raises.
    """
    v = nanvar(a, axis, ddof=ddof, keepdims=keepdims, correction=correction)
    return ops.where(ops.equal(v, 0), 0.0, ops.sqrt(v))


# -- order statistics ------------------------------------------------------------------------------


def _lined_up(name: str, a: ArrayLike, axis: Any) -> tuple[Tensor, tuple[int, ...]]:
    """The axes flattened to one, which is the last; and the shape with 1 in their places."""
    t = floating(a)
    axes = axes_of(name, t, axis)
    rest = [k for k in range(-t.ndim, 0) if k not in axes]
    kept = tuple(1 if k - t.ndim in axes else n for k, n in enumerate(t.shape))
    flat = ops.permute_dims(t, (*rest, *axes))
    return ops.reshape(flat, (*(t.shape[k] for k in rest), _size(t, axes))), kept


def _size(t: Tensor, axes: tuple[int, ...]) -> int:
    return math.prod(t.shape[a] for a in axes)


def _middle(name: str, a: ArrayLike, axis: Any, keepdims: bool, skip: bool) -> Tensor:
    """The median, of all or of what is no NaN."""
    t, kept = _lined_up(name, a, axis)
    n = t.shape[-1]
    if not n:
        found = ops.full(t.shape[:-1], np.nan, dtype=t.dtype)
    elif skip:
        ordered = ops.sort(t)
        count = ops.astype(_count(t, -1, True), np.int64)
        lower, upper = (
            ops.take_along_axis(ordered, ops.clip(k, 0, n - 1), axis=-1)
            for k in (ops.floor_divide(ops.subtract(count, 1), 2), ops.floor_divide(count, 2))
        )
        found = ops.squeeze(ops.mean(ops.stack([lower, upper]), axis=0), axis=-1)
    else:
        ordered = ops.sort(t)
        found = ops.mean(part(ordered, -1, (n - 1) // 2, n // 2 + 1), axis=-1)
        found = ops.where(ops.any(ops.isnan(t), axis=-1), np.nan, found)
    return ops.reshape(found, kept) if flag_of(name, "keepdims", keepdims) else found


def median(a: ArrayLike, axis: Any = None, *, keepdims: bool = False) -> Tensor:
    """The middle of the sorted elements over `axis`, or the mean of the two in the middle.

    With a NaN among them, or of no elements: NaN.
    Raises ValueError for an axis that is not there or is given twice.
    """
    return _middle("median", a, axis, keepdims, False)


def nanmedian(a: ArrayLike, axis: Any = None, *, keepdims: bool = False) -> Tensor:
    """The median of what is no NaN over `axis`; of nothing: NaN.

    Raises ValueError for an axis that is not there or is given twice.
    """
    return _middle("nanmedian", a, axis, keepdims, True)


# Where a quantile q of n sorted elements lies, from 0 (Hyndman and Fan 1996, with NumPy's names).
_Place = Callable[[Tensor, Any], Tensor]


def _between(alpha: float, beta: float) -> _Place:
    return lambda q, n: n * q + (alpha + q * (1 - alpha - beta)) - 1


PLACES: dict[str, _Place] = {
    "linear": lambda q, n: (n - 1) * q, "lower": lambda q, n: ops.floor((n - 1) * q),
    "higher": lambda q, n: ops.ceil((n - 1) * q), "nearest": lambda q, n: ops.round((n - 1) * q),
    "midpoint": lambda q, n: (ops.floor((n - 1) * q) + ops.ceil((n - 1) * q)) * 0.5,
    "interpolated_inverted_cdf": _between(0, 1), "hazen": _between(0.5, 0.5),
    "weibull": _between(0, 0), "median_unbiased": _between(1 / 3, 1 / 3),
    "normal_unbiased": _between(3 / 8, 3 / 8),
}  # fmt: skip


def _quantile(
    name: str, a: ArrayLike, q: ArrayLike, axis: Any, method: str, keepdims: bool, skip: bool,
    whole: float = 1.0,
) -> Tensor:  # fmt: skip
    """`whole`: what q is a part of."""
    choice_of(name, "method", method, tuple(PLACES))
    t, kept = _lined_up(name, a, axis)
    share, n = floating(q), t.shape[-1]
    if type(q) in (int, float):  # weak, as everywhere
        share = ops.astype(share, t.dtype)
    known = share._value
    if known is not None and not ((known >= 0) & (known <= whole)).all():
        raise ValueError(f"{name}: q lies in [0, {whole:g}]; got {q!r}")
    t = ops.astype(t, np.result_type(t.dtype, share.dtype))
    share = ops.astype(share, t.dtype)
    share = share if whole == 1 else ops.divide(share, whole)
    wanted = ops.reshape(share, (share.size, *(1,) * t.ndim))  # q before all other axes
    if not n:
        found = ops.full((share.size, *t.shape[:-1], 1), np.nan, dtype=t.dtype)
    else:
        count = _count(t, -1, True) if skip else ops.asarray(float(n), dtype=t.dtype)
        place = ops.clip(PLACES[method](wanted, count), 0, ops.maximum(count - 1, 0))
        place = ops.broadcast_to(place, (share.size, *t.shape[:-1], 1))
        found = _interpolated(ops.sort(t), place, count)
        if not skip:
            bad = ops.any(ops.isnan(t), axis=-1, keepdims=True)
            found = ops.where(bad, np.nan, found)
    if n and method in ("lower", "higher", "nearest"):  # an element, in its own dtype
        found = ops.astype(found, ops.asarray(a).dtype)
    shape = kept if flag_of(name, "keepdims", keepdims) else t.shape[:-1]
    return ops.reshape(found, (*share.shape, *shape))


def _interpolated(ordered: Tensor, place: Tensor, count: Tensor) -> Tensor:
    """Elements at fractional places of the last axis, of which the first `count` matter.

    ordered : (..., n).     place : (q, ..., 1).
    """
    low = ops.floor(ops.stop_gradient(place))
    share = ops.subtract(place, low)
    first, end = ops.astype(low, np.int64), ops.astype(ops.maximum(count - 1, 0), np.int64)
    below, above = (
        ops.take_along_axis(ops.expand_dims(ordered, axis=0), k, axis=-1)
        for k in (first, ops.minimum(first + 1, end))
    )
    gap = ops.subtract(above, below)
    found = ops.where(  # from the nearer one, as NumPy rounds
        ops.less(share, 0.5), ops.add(below, ops.multiply(gap, share)),
        ops.subtract(above, ops.multiply(gap, ops.subtract(1, share))),
    )  # fmt: skip
    lost = ops.logical_and(ops.equal(share, 0), ops.isinf(gap))  # 0 times an infinite gap
    return ops.where(lost, below, found)


def quantile(
    a: ArrayLike, q: ArrayLike, axis: Any = None, *, method: str = "linear", keepdims: bool = False
) -> Tensor:
    """The elements that shares q of the others lie below, over `axis`: q.shape + what is left.

    q      : numbers in [0, 1].
    method : how to interpolate: "linear", "lower", "higher", "nearest", "midpoint", "hazen",
             "weibull", "median_unbiased", "normal_unbiased", "interpolated_inverted_cdf"
             (Hyndman and Fan 1996).

    With a NaN among the elements, or of none: NaN.
    Raises ValueError for a q outside, another method, or an axis that is not there.
    """
    return _quantile("quantile", a, q, axis, method, keepdims, False)


def nanquantile(
    a: ArrayLike, q: ArrayLike, axis: Any = None, *, method: str = "linear", keepdims: bool = False
) -> Tensor:
    """`quantile` of what is no NaN; of nothing: NaN.

    Raises what `quantile` raises.
    """
    return _quantile("nanquantile", a, q, axis, method, keepdims, True)


def percentile(
    a: ArrayLike, q: ArrayLike, axis: Any = None, *, method: str = "linear", keepdims: bool = False
) -> Tensor:
    """`quantile` at q / 100: q in [0, 100].

    Raises what `quantile` raises.
    """
    return _quantile("percentile", a, q, axis, method, keepdims, False, 100.0)


def nanpercentile(
    a: ArrayLike, q: ArrayLike, axis: Any = None, *, method: str = "linear", keepdims: bool = False
) -> Tensor:
    """`percentile` of what is no NaN; of nothing: NaN.

    Raises what `quantile` raises.
    """
    return _quantile("nanpercentile", a, q, axis, method, keepdims, True, 100.0)


# -- averages and spreads --------------------------------------------------------------------------


def ptp(a: ArrayLike, axis: Any = None, *, keepdims: bool = False) -> Tensor:
    """The maximum minus the minimum over `axis` ("peak to peak"); ties share the gradient.

    Raises ValueError for an axis that is not there or is given twice, and for no elements.
    """
    t = ops.asarray(a)
    return ops.subtract(
        ops.max(t, axis=axis, keepdims=keepdims), ops.min(t, axis=axis, keepdims=keepdims)
    )


def average(
    a: ArrayLike, axis: Any = None, weights: ArrayLike | None = None, returned: bool = False, *,
    keepdims: bool = False,
) -> Any:  # fmt: skip
    """The weighted mean over `axis`: sum(a * weights) / sum(weights).

    weights  : shaped as a, or as its `axis` alone; None: the mean.
    returned : True: the sums of the weights too, as a second Tensor.

    Weights that sum to 0 give NaN or inf.
    Raises ValueError for weights that do not fit, or an axis that is not there.
    """
    t = floating(a)
    if weights is None:
        w = ops.ones_like(t)
        found = ops.mean(t, axis=axis, keepdims=keepdims)
    else:
        w = ops.asarray(weights)
        if w.shape != t.shape:
            axes = None if axis is None else axis if isinstance(axis, tuple) else (axis,)
            places = [axis_of("average", t, k) for k in axes] if axes is not None else []
            if not places or w.shape != tuple(t.shape[k] for k in places):
                raise ValueError(
                    f"average: weights of shape {w.shape} are neither those of {t.shape} nor of "
                    f"its axis {axis}"
                )
            order = sorted(range(len(places)), key=places.__getitem__)
            w = ops.permute_dims(w, order)
            w = ops.reshape(
                w, tuple(n if k - t.ndim in places else 1 for k, n in enumerate(t.shape))
            )
        w = ops.broadcast_to(ops.astype(w, np.result_type(w.dtype, t.dtype)), t.shape)
        total = ops.sum(w, axis=axis, keepdims=keepdims)
        found = ops.divide(
            ops.sum(ops.multiply(t, w), axis=axis, keepdims=keepdims), total
        )
    if flag_of("average", "returned", returned):
        return found, ops.broadcast_to(ops.sum(w, axis=axis, keepdims=keepdims), found.shape)
    return found


def cov(
    m: ArrayLike, y: ArrayLike | None = None, rowvar: bool = True, bias: bool = False,
    ddof: int | None = None, fweights: ArrayLike | None = None, aweights: ArrayLike | None = None,
) -> Tensor:  # fmt: skip
    """The covariances of variables, one a row with an observation a column: (k, k).

    y        : more variables, joined below m.
    rowvar   : False: variables are columns.
    ddof     : by how much the number of observations is reduced; 1, or 0 if `bias`, unless told.
    fweights : how often each observation came.     aweights : how much each one counts.

    In float64.  One variable gives a number.
    Raises ValueError for more than two axes, or weights that do not fit.
    """
    def rows(x: ArrayLike) -> Tensor:
        t = ops.astype(x, FLOAT)
        if t.ndim > 2:
            raise ValueError(f"cov: needs a vector or a matrix; got shape {t.shape}")
        t = t if t.ndim == 2 else ops.reshape(t, (1, t.size))
        return t if flag_of("cov", "rowvar", rowvar) or t.shape[0] == 1 else t.mT

    t = rows(m) if y is None else ops.concat([rows(m), rows(y)], axis=0)
    less = float(number_of("cov", "ddof", int(not flag_of("cov", "bias", bias)) if ddof is None
                           else ddof))  # fmt: skip
    w: Tensor | None = None
    for name, given in (("fweights", fweights), ("aweights", aweights)):
        if given is not None:
            one = ops.astype(given, FLOAT)
            if one.shape != (t.shape[1],):
                raise ValueError(
                    f"cov: {name} must be ({t.shape[1]},), one an observation; got {one.shape}"
                )
            w = one if w is None else ops.multiply(w, one)
    if w is None:
        off = ops.subtract(t, ops.mean(t, axis=1, keepdims=True))
        product, n = ops.matmul(off, off.mT), ops.asarray(float(t.shape[1]) - less)
    else:
        total = ops.sum(w)
        off = ops.subtract(t, average(t, axis=1, weights=w, keepdims=True))
        product = ops.matmul(ops.multiply(off, w), off.mT)
        extra = 1.0 if aweights is None else ops.divide(ops.sum(ops.multiply(w, aweights)), total)
        n = ops.subtract(total, ops.multiply(extra, less))
    n = ops.where(ops.less(n, 0), 0.0, n)
    return ops.squeeze(ops.divide(product, ops.astype(n, product.dtype)))


def corrcoef(x: ArrayLike, y: ArrayLike | None = None, rowvar: bool = True) -> Tensor:
    """Pearson's correlations of variables, one a row with an observation a column: (k, k).

    y      : more variables, joined below x.
    rowvar : False: variables are columns.

    A variable that does not vary gives NaN.
    Raises ValueError for more than two axes.
    """
    c = cov(x, y, rowvar)
    if not c.ndim:
        return ops.divide(c, c)
    spread = ops.sqrt(ops.diagonal(c))
    return ops.divide(ops.divide(c, ops.expand_dims(spread, axis=1)), spread)
