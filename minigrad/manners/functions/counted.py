"""What has a shape that depends on values: positions that are not 0, and what is there once.

The positions are data: they are read when the call is recorded, so there are none inside a trace,
and they do not change when the graph is evaluated again.
Values are taken by them, and keep their gradients.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ... import ops
from ...graph import Tensor
from ...ops.table import ArrayLike, flag_of

__all__ = ["nonzero", "unique_all", "unique_counts", "unique_inverse", "unique_values"]


class UniqueAll(NamedTuple):
    """What `unique_all` gives, as the array API names it."""

    values: Tensor
    indices: Tensor
    inverse_indices: Tensor
    counts: Tensor


class UniqueCounts(NamedTuple):
    """What `unique_counts` gives, as the array API names it."""

    values: Tensor
    counts: Tensor


class UniqueInverse(NamedTuple):
    """What `unique_inverse` gives, as the array API names it."""

    values: Tensor
    inverse_indices: Tensor


def _read(name: str, t: Tensor) -> np.ndarray:
    try:
        return t.numpy()
    except TypeError as error:
        raise TypeError(f"{name}: the shape of the result depends on values, and {error}") from None


def nonzero(x: ArrayLike, /) -> tuple[Tensor, ...]:
    """The positions of elements that are not 0 (NaN is not), in C order: int64, one vector an axis.

    Raises ValueError for a number, TypeError inside a trace, where there are no values to read.
    """
    t = ops.asarray(x)
    if not t.ndim:
        raise ValueError("nonzero: a number has no positions; write mg.reshape(x, 1) first")
    return tuple(ops.asarray(k) for k in np.nonzero(_read("nonzero", t)))


def found_once(name: str, x: ArrayLike, equal_nan: bool = False) -> UniqueAll:
    """The sorted elements, once each, with all that is known of them."""
    t = ops.asarray(x)
    _, first, inverse, counts = np.unique(
        _read(name, t), return_index=True, return_inverse=True, return_counts=True,
        equal_nan=flag_of(name, "equal_nan", equal_nan),
    )  # fmt: skip
    values = ops.take(ops.reshape(t, -1), first)
    inverse = inverse.reshape(t.shape)
    return UniqueAll(values, *(ops.asarray(k, dtype=np.int64) for k in (first, inverse, counts)))


def unique_all(x: ArrayLike, /) -> UniqueAll:
    """The sorted elements of x, once each: (values, indices, inverse_indices, counts).

    values[k] is the flat x at indices[k], its first place; values[inverse_indices] is x.
    The gradient of a value goes to its first place.  Every NaN is one of its own.

    Raises TypeError inside a trace, where there are no values to read.
    """
    return found_once("unique_all", x)


def unique_counts(x: ArrayLike, /) -> UniqueCounts:
    """The sorted elements of x, once each, and how often they are there: (values, counts).

    The gradient of a value goes to its first place.  Every NaN is one of its own.

    Raises TypeError inside a trace, where there are no values to read.
    """
    found = found_once("unique_counts", x)
    return UniqueCounts(found.values, found.counts)


def unique_inverse(x: ArrayLike, /) -> UniqueInverse:
    """The sorted elements of x, once each, and where they stand: (values, inverse_indices).

    values[inverse_indices] is x.
    The gradient of a value goes to its first place.  Every NaN is one of its own.

    Raises TypeError inside a trace, where there are no values to read.
    """
    found = found_once("unique_inverse", x)
    return UniqueInverse(found.values, found.inverse_indices)


def unique_values(x: ArrayLike, /) -> Tensor:
    """The sorted elements of x, once each, as a vector.

    The gradient of a value goes to its first place.  Every NaN is one of its own.

    Raises TypeError inside a trace, where there are no values to read.
    """
    return found_once("unique_values", x).values


def unique(
    ar: Any, return_index: bool = False, return_inverse: bool = False,
    return_counts: bool = False, *, equal_nan: bool = True,
) -> Any:  # fmt: skip
    """`numpy.unique` of the flat array."""
    found = found_once("unique", ar, equal_nan)
    wanted = (True, return_index, return_inverse, return_counts)
    asked = tuple(t for t, want in zip(found, wanted, strict=True) if want)
    return asked if len(asked) > 1 else asked[0]
