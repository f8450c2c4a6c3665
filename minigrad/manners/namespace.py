"""What makes `minigrad` a namespace of the Python array API standard, beside its functions.

Dtypes, constants, questions about dtypes, and what `minigrad` says of itself.
Code written against the standard asks an array for its namespace,
`xp = x.__array_namespace__()`, and calls `xp.exp(x)`:
with a Tensor it is recorded, and has a gradient.

What the standard has and Tensors have not: complex numbers, a mask that is computed,
and assignment, `x[i] = v`.
Results whose shape depends on values (`unique_values`, `nonzero`) are there outside of a trace.
"""

from __future__ import annotations

import builtins
import math
from typing import Any, NamedTuple

import numpy as np

from ..graph import Tensor
from ..ops.arrays import asarray, check_device
from ..ops.creation import zeros_like
from ..ops.table import ArrayLike
from .reading import VERSIONS

__all__ = [
    "__array_api_version__", "__array_namespace_info__", "bool", "can_cast", "conj", "e", "finfo",
    "float32", "float64", "iinfo", "imag", "inf", "int16", "int32", "int64", "int8", "isdtype",
    "nan", "newaxis", "pi", "real", "result_type", "uint16", "uint32", "uint64", "uint8",
]  # fmt: skip

__array_api_version__ = VERSIONS[-1]
e, inf, nan, pi, newaxis = math.e, math.inf, math.nan, math.pi, None

bool = np.dtype("bool")
int8, int16, int32, int64 = (np.dtype(f"int{n}") for n in (8, 16, 32, 64))
uint8, uint16, uint32, uint64 = (np.dtype(f"uint{n}") for n in (8, 16, 32, 64))
float32, float64 = np.dtype("float32"), np.dtype("float64")

_KINDS = {
    "bool": (bool,),
    "signed integer": (int8, int16, int32, int64),
    "unsigned integer": (uint8, uint16, uint32, uint64),
    "real floating": (float32, float64),
    "complex floating": (),
}
_KINDS["integral"] = _KINDS["signed integer"] + _KINDS["unsigned integer"]
_KINDS["numeric"] = _KINDS["integral"] + _KINDS["real floating"]


def _of_kind(who: str, kind: Any) -> tuple[np.dtype, ...]:
    kinds = kind if isinstance(kind, tuple) else (kind,)
    unknown = [k for k in kinds if k not in _KINDS]
    if unknown:
        raise ValueError(f"{who}: a kind is one of {', '.join(_KINDS)}; got {unknown[0]!r}")
    return tuple(dtype for k in kinds for dtype in _KINDS[k])


# -- questions about dtypes ------------------------------------------------------------------------


class FloatInfo(NamedTuple):
    """The limits of a floating-point dtype, as the array API names them."""

    bits: int
    eps: float
    max: float
    min: float
    smallest_normal: float
    dtype: np.dtype


class IntInfo(NamedTuple):
    """The limits of an integer dtype, as the array API names them."""

    bits: int
    max: int
    min: int
    dtype: np.dtype


def _dtype(x: Any) -> np.dtype:
    if isinstance(x, (Tensor, np.ndarray, np.generic)):
        return x.dtype
    try:
        return np.dtype(x)
    except (TypeError, ValueError, RecursionError):
        raise TypeError(f"neither a dtype nor an array: {str(x)[:80]!r}") from None


def finfo(type: Any, /) -> FloatInfo:
    """The limits of a floating-point dtype, or of the dtype of an array.

    Raises TypeError for any other dtype.
    """
    dtype = _dtype(type)
    if dtype.kind != "f":
        raise TypeError(f"finfo: needs a floating-point dtype; got {dtype}; use iinfo for integers")
    i = np.finfo(dtype)
    eps, top, low, normal = (float(x) for x in (i.eps, i.max, i.min, i.smallest_normal))
    return FloatInfo(i.bits, eps, top, low, normal, dtype)


def iinfo(type: Any, /) -> IntInfo:
    """The limits of an integer dtype, or of the dtype of an array.

    Raises TypeError for any other dtype.
    """
    dtype = _dtype(type)
    if dtype.kind not in "iu":
        raise TypeError(f"iinfo: needs an integer dtype; got {dtype}; use finfo for floats")
    i = np.iinfo(dtype)
    return IntInfo(i.bits, int(i.max), int(i.min), dtype)


def isdtype(dtype: Any, kind: Any) -> builtins.bool:
    """Whether a dtype is another dtype, of a kind, or any of a tuple of these.

    kind : "bool", "integral", "real floating", ... as the array API names them.

    Raises ValueError for another kind, TypeError for what is no dtype.
    """
    kinds = kind if isinstance(kind, tuple) else (kind,)
    mine = _dtype(dtype)
    return any(
        mine in _of_kind("isdtype", k) if isinstance(k, str) else mine == _dtype(k) for k in kinds
    )


def can_cast(from_: Any, to: Any, /) -> builtins.bool:
    """Whether a dtype (or the dtype of an array) becomes another without losing anything.

    Raises TypeError for what is no dtype.
    """
    return np.can_cast(_dtype(from_), _dtype(to))


def result_type(*arrays_and_dtypes: Any) -> np.dtype:
    """The dtype that arrays, dtypes and (weakly) Python numbers have together.

    Raises ValueError for none, TypeError for what is no dtype of numbers.
    """
    if not arrays_and_dtypes:
        raise ValueError("result_type: needs at least one array or dtype")
    numbers = (int, float)  # a Python bool is an int
    given = [x if isinstance(x, numbers) else _dtype(x) for x in arrays_and_dtypes]
    for dtype in given:
        if isinstance(dtype, np.dtype) and dtype.kind not in "fiubc":
            raise TypeError(f"result_type: {dtype} is no dtype of numbers")
    return np.result_type(*given)


# -- complex numbers, of which there are only the real ones ----------------------------------------


def conj(x: ArrayLike, /) -> Tensor:
    """x itself: every number is real.

    Raises TypeError for what is no numbers.
    """
    return asarray(x)


def real(x: ArrayLike, /) -> Tensor:
    """x itself: every number is real.

    Raises TypeError for what is no numbers.
    """
    return asarray(x)


def imag(x: ArrayLike, /) -> Tensor:
    """Zeros in the shape of x: every number is real.

    Raises TypeError for what is no numbers.
    """
    return zeros_like(x)


# -- what the namespace says of itself -------------------------------------------------------------


class __array_namespace_info__:
    """`minigrad.__array_namespace_info__()` of the array API: capabilities, dtypes, devices."""

    def capabilities(self) -> dict[str, Any]:
        """Boolean indexing: by a mask known when recorded (an array or a constant Tensor).

        Shapes that depend on values (`nonzero`, `unique_values`) only outside of a trace.
        """
        return {"boolean indexing": True, "data-dependent shapes": True, "max dimensions": 64}

    def default_device(self) -> str:
        return "cpu"

    def devices(self) -> list[str]:
        return ["cpu"]

    def default_dtypes(self, *, device: Any = None) -> dict[str, np.dtype]:
        check_device("default_dtypes", device)
        return {"real floating": float64, "integral": int64, "indexing": int64}

    def dtypes(self, *, device: Any = None, kind: Any = None) -> dict[str, np.dtype]:
        check_device("dtypes", device)
        found = _of_kind("dtypes", ("bool", "numeric") if kind is None else kind)
        return {dtype.name: dtype for dtype in found}
