"""Tensors from arrays and numbers: `asarray`, `astype` and the creation functions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..graph import Tensor, bind, constant
from .table import FLOAT, ArrayLike, per_input, row, shape_of

__all__ = [
    "arange", "asarray", "astype", "empty", "eye", "from_dlpack", "full", "linspace", "ones",
    "zeros",
]  # fmt: skip


ASTYPE = row(
    "astype", "elementwise", lambda x, dtype: (x.shape, dtype),
    lambda x, dtype: np.asarray(x).astype(dtype),
    per_input(lambda g, y, a, dtype: astype(g, a.dtype) if a.dtype.kind == "f" else None),
    cheap=True, linear=True,
)  # fmt: skip


def check_device(who: str, device: Any) -> None:
    if device not in (None, "cpu"):
        raise ValueError(f"{who}: a Tensor is on the device 'cpu', the only one; got {device!r}")


def asarray(
    obj: ArrayLike, /, *, dtype: Any = None, name: str | None = None, device: Any = None,
    copy: bool | None = None,
) -> Tensor:  # fmt: skip
    """A Tensor from an array, a (nested list of) number(s) or a Tensor (cast or renamed if asked).

    Floats, integers and booleans of at most 64 bits.  An array is always copied, so that mutating
    it later changes nothing, and copy=False is refused for one; a Tensor is immutable and never
    needs a copy.  device: None or "cpu".
    """
    check_device("asarray", device)
    if isinstance(obj, Tensor):
        t = obj if dtype is None or obj.dtype == np.dtype(dtype) else astype(obj, dtype)
        return t if name is None or t.name == name else t.named(name)
    if copy is False:
        raise ValueError(
            "asarray: copy=False: a Tensor holds a copy of an array, for the array could change; "
            "leave copy out"
        )
    if holds_tensor(obj):
        from .movement import stack

        t = stack([asarray(x) for x in obj])
        return asarray(t, dtype=dtype, name=name)
    return constant(obj, dtype, name)


def holds_tensor(obj: Any) -> bool:
    """Whether a Tensor is in the nested list: as an array of numbers it would lose its gradient."""
    if isinstance(obj, (list, tuple)):
        kinds = set(map(type, obj))  # a look at each element's type is what takes the time
        return Tensor in kinds or bool(kinds & {list, tuple}) and any(map(holds_tensor, obj))
    return isinstance(obj, np.ndarray) and obj.dtype == object and holds_tensor(obj.tolist())


def astype(x: ArrayLike, dtype: Any, /, *, copy: bool = True, device: Any = None) -> Tensor:
    """x as another dtype; a float cast to a float passes its gradient on.  `copy` changes nothing:
    a Tensor is immutable."""
    check_device("astype", device)
    x, dtype = asarray(x), np.dtype(dtype)
    if dtype.kind not in "fiub" or dtype.itemsize > 8:
        raise TypeError(f"astype: a Tensor holds floats, integers or booleans; got {dtype}")
    return x if x.dtype == dtype else bind(ASTYPE, x, dtype=dtype)


def from_dlpack(x: Any, /, *, device: Any = None, copy: bool | None = None) -> Tensor:
    """A Tensor with the numbers of any array on the CPU that speaks DLPack, copied."""
    check_device("from_dlpack", device)
    return x if isinstance(x, Tensor) else asarray(np.from_dlpack(x), copy=copy)


def promoted(*xs: ArrayLike) -> list[Tensor]:
    tensors = [asarray(x) for x in xs]
    dtype = np.result_type(*(t.dtype for t in tensors))
    return [astype(t, dtype) for t in tensors]


# -- creation --------------------------------------------------------------------------------------


def empty(shape: int | Sequence[int], *, dtype: Any = FLOAT, device: Any = None) -> Tensor:
    """Zeros: a Tensor never shows what memory happened to hold."""
    check_device("empty", device)
    return zeros(shape, dtype=dtype)


def zeros(shape: int | Sequence[int], *, dtype: Any = FLOAT, device: Any = None) -> Tensor:
    """A Tensor of this shape (an int: a vector) filled with 0; float64 unless told."""
    check_device("zeros", device)
    return constant(np.zeros(shape_of("zeros", shape), dtype))


def ones(shape: int | Sequence[int], *, dtype: Any = FLOAT, device: Any = None) -> Tensor:
    """A Tensor of this shape (an int: a vector) filled with 1; float64 unless told."""
    check_device("ones", device)
    return constant(np.ones(shape_of("ones", shape), dtype))


def full(
    shape: int | Sequence[int], fill_value: ArrayLike, *, dtype: Any = None, device: Any = None
) -> Tensor:
    """A Tensor of this shape filled with one number, of its dtype (int64, float64 or bool) unless
    told; a 0-d Tensor keeps its gradient."""
    check_device("full", device)
    shape = shape_of("full", shape)
    if isinstance(fill_value, Tensor):
        from .broadcast import broadcast_to

        value = asarray(fill_value, dtype=dtype)
        return broadcast_to(value, shape)
    return constant(np.full(shape, fill_value, dtype))


def arange(
    start: Any, /, stop: Any = None, step: Any = 1, *, dtype: Any = None, device: Any = None
) -> Tensor:
    """start, start + step, ... before stop; one argument: 0, 1, ... before it.  int64 if all are
    integers, else float64, unless told."""
    check_device("arange", device)
    start, stop, step = (_known("arange", x) for x in (start, stop, step))
    if stop is None:
        start, stop = 0, start
    if any(np.ndim(x) or not np.isfinite(x) for x in (start, stop, step)) or step == 0:
        raise ValueError(
            "arange: start, stop and step are finite numbers, and step is not 0; got "
            f"{start!r}, {stop!r} and {step!r}"
        )
    return constant(np.arange(start, stop, step, dtype=dtype))


def eye(
    n_rows: int, n_cols: int | None = None, /, *, k: int = 0, dtype: Any = FLOAT, device: Any = None
) -> Tensor:
    """Ones on the k-th diagonal (above the main one if k > 0), zeros elsewhere."""
    check_device("eye", device)
    rows, columns = shape_of("eye", (n_rows, n_rows if n_cols is None else n_cols))
    return constant(np.eye(rows, columns, k, dtype))


def linspace(
    start: Any, stop: Any, /, num: int, *, dtype: Any = None, device: Any = None,
    endpoint: bool = True,
) -> Tensor:  # fmt: skip
    """num evenly spaced numbers from start to stop, without stop if not `endpoint`; float64 unless
    told."""
    check_device("linspace", device)
    start, stop = (_known("linspace", x) for x in (start, stop))
    (size,) = shape_of("linspace", num)
    return constant(np.linspace(start, stop, size, endpoint=endpoint, dtype=dtype))


def _known(who: str, x: Any) -> Any:
    """A number given as an integer Tensor, read: how many there are depends on it."""
    if isinstance(x, Tensor) and x.dtype.kind == "f":
        raise TypeError(
            f"{who}: a bound that is a floating-point Tensor would lose its gradient; give a "
            f"number, or scale what {who} gives, as in a + (b - a) * mg.linspace(0, 1, n)"
        )
    return x.item() if isinstance(x, Tensor) else x
