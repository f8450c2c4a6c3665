"""Tensors from arrays and numbers: `asarray` and `astype`."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..graph import Tensor, bind, constant
from . import analytic
from .table import ArrayLike, dtype_of, per_input, row

__all__ = ["asarray", "astype"]


ASTYPE = row(
    "astype", "elementwise", lambda x, dtype: (x.shape, dtype),
    lambda x, dtype: np.asarray(x).astype(dtype),
    per_input(lambda g, y, a, dtype: astype(g, a.dtype) if a.dtype.kind == "f" else None),
    cheap=True, linear=True, analytic=analytic.cast, wide=analytic.cast,
)  # fmt: skip


joined: Any = None  # how a list of Tensors is one: `movement.stack`, which stands above, says so


def check_device(who: str, device: Any) -> None:
    if device is not None and not (isinstance(device, str) and device == "cpu"):
        raise ValueError(f"{who}: a Tensor is on the device 'cpu', the only one; got {device!r}")


def asarray(
    obj: ArrayLike, /, *, dtype: Any = None, name: str | None = None, device: Any = None,
    copy: bool | None = None,
) -> Tensor:  # fmt: skip
    """A Tensor from an array, a (nested list of) number(s) or a Tensor (cast or renamed if asked).

    Floats, integers and booleans of at most 64 bits; the shape and dtype NumPy gives, unless told.
    An array is always copied, so that mutating it later changes nothing, and copy=False is refused.
    A Tensor is immutable and never needs a copy.
    device : None or "cpu".

    Raises TypeError for what holds no numbers or no such dtype;
    ValueError for copy=False with an array, another device, or lists of unequal lengths.
    """
    check_device("asarray", device)
    if isinstance(obj, Tensor):
        t = obj if dtype is None or obj.dtype == dtype_of("asarray", dtype) else astype(obj, dtype)
        return t if name is None or t.name == name else t.named(name)
    if copy is False:
        raise ValueError(
            "asarray: copy=False: a Tensor holds a copy of an array, for the array could change; "
            "leave copy out"
        )
    if holds_tensor(obj):
        try:
            return asarray(joined([asarray(x) for x in obj]), dtype=dtype, name=name)
        except RecursionError:
            raise _endless() from None
    return constant(obj, None if dtype is None else dtype_of("asarray", dtype), name)


def _endless() -> ValueError:
    return ValueError("asarray: a list that contains itself, or is nested too deep")


def holds_tensor(obj: Any, depth: int = 0) -> bool:
    """Whether a Tensor is in the nested list: as an array of numbers it would lose its gradient."""
    if isinstance(obj, (list, tuple)):
        if depth > 64:  # axes that an array can have
            raise _endless()
        kinds = set(map(type, obj))  # a look at each element's type is what takes the time
        return Tensor in kinds or (
            bool(kinds & {list, tuple}) and any(holds_tensor(x, depth + 1) for x in obj)
        )
    return isinstance(obj, np.ndarray) and obj.dtype == object and holds_tensor(obj.tolist(), depth)


def astype(x: ArrayLike, dtype: Any, /, *, copy: bool = True, device: Any = None) -> Tensor:
    """x as another dtype, any shape; a float cast to a float passes its gradient on.

    `copy` changes nothing: a Tensor is immutable.
    Raises TypeError for what is no dtype of floats, integers or booleans of at most 64 bits.
    """
    check_device("astype", device)
    x, dtype = asarray(x), dtype_of("astype", dtype)
    return x if x.dtype == dtype else bind(ASTYPE, x, dtype=dtype)


def promoted(*xs: ArrayLike) -> list[Tensor]:
    tensors = [asarray(x) for x in xs]
    dtype = np.result_type(*(t.dtype for t in tensors))
    return [astype(t, dtype) for t in tensors]
