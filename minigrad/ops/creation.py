"""Tensors made from a shape, bounds, or another library's array: `zeros`, `eye`, `arange`, ..."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..graph import Tensor, constant
from .arrays import asarray, check_device
from .broadcast import broadcast_to
from .table import FLOAT, ArrayLike, dtype_of, integer_of, literal, number_of, shape_of

__all__ = [
    "arange", "empty", "empty_like", "eye", "from_dlpack", "full", "full_like", "ones", "ones_like",
    "zeros", "zeros_like",
]  # fmt: skip


def from_dlpack(x: Any, /, *, device: Any = None, copy: bool | None = None) -> Tensor:
    """A Tensor with the numbers of any array on the CPU that speaks DLPack, copied.

    Raises TypeError for what does not, ValueError for another device or copy=False.
    """
    check_device("from_dlpack", device)
    if isinstance(x, Tensor):
        return x
    try:
        array = np.from_dlpack(x)
    except (AttributeError, BufferError, TypeError, RuntimeError) as error:
        raise TypeError(f"from_dlpack: {type(x).__name__} is not to be read: {error}") from None
    return asarray(array, copy=copy)


def empty(shape: int | Sequence[int], *, dtype: Any = FLOAT, device: Any = None) -> Tensor:
    """Zeros of this shape, float64 unless told: a Tensor never shows what memory held.

    Raises ValueError for a negative length, TypeError for what is no length or dtype.
    """
    check_device("empty", device)
    return zeros(shape, dtype=dtype)


def zeros(shape: int | Sequence[int], *, dtype: Any = FLOAT, device: Any = None) -> Tensor:
    """A Tensor of this shape (an int: a vector) filled with 0; float64 unless told.

    Raises ValueError for a negative length, TypeError for what is no length or dtype.
    """
    check_device("zeros", device)
    return constant(np.zeros(shape_of("zeros", shape), dtype_of("zeros", dtype, FLOAT)))


def ones(shape: int | Sequence[int], *, dtype: Any = FLOAT, device: Any = None) -> Tensor:
    """A Tensor of this shape (an int: a vector) filled with 1; float64 unless told.

    Raises ValueError for a negative length, TypeError for what is no length or dtype.
    """
    check_device("ones", device)
    return constant(np.ones(shape_of("ones", shape), dtype_of("ones", dtype, FLOAT)))


def full(
    shape: int | Sequence[int], fill_value: ArrayLike, *, dtype: Any = None, device: Any = None
) -> Tensor:
    """A Tensor of this shape filled with one number; a 0-d Tensor keeps its gradient.

    Of the number's dtype (int64, float64 or bool) unless told.

    Raises ValueError for a negative length, or a value that does not broadcast to the shape;
    TypeError for what is no length, number or dtype.
    """
    check_device("full", device)
    shape = shape_of("full", shape)
    if isinstance(fill_value, Tensor):
        value = asarray(fill_value, dtype=dtype)
        return broadcast_to(value, shape)
    value = constant(fill_value, None if dtype is None else dtype_of("full", dtype))
    known: Any = value.numpy()
    return broadcast_to(value, shape) if value.shape else constant(np.full(shape, known))


def full_like(
    x: ArrayLike, /, fill_value: ArrayLike, *, dtype: Any = None, device: Any = None
) -> Tensor:
    """A Tensor with the shape and dtype of x, filled with one number or 0-d Tensor.

    Raises ValueError for a value that does not broadcast to the shape, TypeError for no numbers.
    """
    check_device("full_like", device)
    x = asarray(x)
    kind = x.dtype if dtype is None else dtype_of("full_like", dtype)
    weak = type(fill_value) in (bool, int, float)
    value = literal(fill_value, kind) if weak else asarray(fill_value, dtype=kind)
    return broadcast_to(value, x.shape)  # one number, not x.size of them


def empty_like(x: ArrayLike, /, *, dtype: Any = None, device: Any = None) -> Tensor:
    """Zeros with the shape and dtype of x.

    Raises TypeError for what is no numbers.
    """
    return full_like(x, 0, dtype=dtype, device=device)


def zeros_like(x: ArrayLike, /, *, dtype: Any = None, device: Any = None) -> Tensor:
    """A Tensor with the shape and dtype of x, filled with 0.

    Raises TypeError for what is no numbers.
    """
    return full_like(x, 0, dtype=dtype, device=device)


def ones_like(x: ArrayLike, /, *, dtype: Any = None, device: Any = None) -> Tensor:
    """A Tensor with the shape and dtype of x, filled with 1.

    Raises TypeError for what is no numbers.
    """
    return full_like(x, 1, dtype=dtype, device=device)


def arange(
    start: Any, /, stop: Any = None, step: Any = 1, *, dtype: Any = None, device: Any = None
) -> Tensor:
    """start, start + step, ... before stop; one argument: 0, 1, ... before it.

    A vector, int64 if all are integers, else float64, unless told.

    Raises ValueError for a step of 0, or what is no finite number;
    TypeError for a floating-point Tensor, whose gradient would be lost.
    """
    check_device("arange", device)
    start, stop, step = (
        int(x) if isinstance(x, bool) else _known("arange", x) for x in (start, stop, step)
    )
    if stop is None:
        start, stop = 0, start
    try:
        start, stop, step = (number_of("arange", "", x) for x in (start, stop, step))
    except ValueError:
        step = 0
    if step == 0 or not abs((stop - start) / step) < 2**48:
        raise ValueError(
            "arange: start, stop and step are finite numbers, and step is not 0; got "
            f"{start!r}, {stop!r} and {step!r}"
        )
    kind = None if dtype is None else dtype_of("arange", dtype)
    return constant(np.arange(start, stop, step, dtype=kind))


def eye(
    n_rows: int, n_cols: int | None = None, /, *, k: int = 0, dtype: Any = FLOAT, device: Any = None
) -> Tensor:
    """Ones on the k-th diagonal (above the main one if k > 0), zeros elsewhere.

    (n_rows, n_cols), n_cols as many as n_rows unless told; float64 unless told.

    Raises ValueError for a negative length, TypeError for what is no length or dtype.
    """
    check_device("eye", device)
    rows, columns = shape_of("eye", (n_rows, n_rows if n_cols is None else n_cols))
    diagonal = integer_of("eye", "k", k)
    return constant(np.eye(rows, columns, diagonal, dtype_of("eye", dtype, FLOAT)))


def _known(who: str, x: Any) -> Any:
    """A number given as an integer Tensor, read: how many there are depends on it."""
    if isinstance(x, Tensor) and x.dtype.kind == "f":
        raise TypeError(
            f"{who}: a bound that is a floating-point Tensor would lose its gradient; give a "
            f"number, or use mg.linspace(a, b, n), which keeps it"
        )
    return x.item() if isinstance(x, Tensor) else x
