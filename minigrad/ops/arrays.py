"""Tensors from arrays and numbers: `asarray`, `astype` and the creation functions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..graph import Tensor, bind, constant
from .table import FLOAT, ArrayLike, per_input, row

__all__ = [
    "arange", "asarray", "astype", "eye", "full", "linspace", "ones", "zeros",
]  # fmt: skip


ASTYPE = row(
    "astype", "elementwise", lambda x, dtype: (x.shape, dtype),
    lambda x, dtype: np.asarray(x).astype(dtype),
    per_input(lambda g, y, a, dtype: astype(g, a.dtype) if a.dtype.kind == "f" else None),
    cheap=True, linear=True,
)  # fmt: skip


def asarray(obj: ArrayLike, *, dtype: Any = None, name: str | None = None) -> Tensor:
    """A Tensor from an array, a (nested list of) number(s) or a Tensor (cast or renamed if asked).

    Floats, integers and booleans of at most 64 bits.  The array is copied: mutating it later
    changes nothing.
    """
    if isinstance(obj, Tensor):
        t = obj if dtype is None or obj.dtype == np.dtype(dtype) else astype(obj, dtype)
        return t if name is None or t.name == name else t.named(name)
    if isinstance(obj, (list, tuple)) and any(isinstance(x, Tensor) for x in obj):
        from .movement import stack

        t = stack([asarray(x) for x in obj])
        return asarray(t, dtype=dtype, name=name)
    return constant(obj, dtype, name)


def astype(x: ArrayLike, dtype: Any, /) -> Tensor:
    """x as another dtype; a float cast to a float passes its gradient on."""
    x, dtype = asarray(x), np.dtype(dtype)
    if dtype.kind not in "fiub" or dtype.itemsize > 8:
        raise TypeError(f"astype: a Tensor holds floats, integers or booleans; got {dtype}")
    return x if x.dtype == dtype else bind(ASTYPE, x, dtype=dtype)


def promoted(*xs: ArrayLike) -> list[Tensor]:
    tensors = [asarray(x) for x in xs]
    dtype = np.result_type(*(t.dtype for t in tensors))
    return [astype(t, dtype) for t in tensors]


# -- creation --------------------------------------------------------------------------------------


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
