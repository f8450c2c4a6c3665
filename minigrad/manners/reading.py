"""The manners of a Tensor: reading its value, as a number, an array, text or a truth.

Reading computes what has not been computed yet (`evaluate`);
inside a trace there is nothing to read, and the error says what to do instead.
`repr` alone never computes.
The methods of `Readable` are given to `Tensor` when this module is imported.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from types import FrameType
from typing import TYPE_CHECKING, Any

import numpy as np

from ..graph import Tensor
from ..run.evaluate import evaluate

VERSIONS = ("2021.12", "2022.12", "2023.12", "2024.12")  # of the array API standard, newest last


NAMESPACE: Any = None  # of the array API's functions: the package hands itself in


def _testing(caller: FrameType) -> bool:
    return caller.f_globals.get("__name__", "").startswith("numpy.testing")


def _refuse_nested(caller: FrameType | None) -> None:
    """Refuse to be read by a function of NumPy's.

    Of a Tensor it would have recorded ours, so it was given a list of Tensors,
    whose values alone it takes, and the gradient would be lost.

    Python's own frames are all there is to see:
    NumPy's functions in C (np.array, ufuncs), called with a list of Tensors,
    look as if the user had read one; of 0-d ones `_warn_of_list` can tell.
    """
    name = None
    while caller is not None and caller.f_globals.get("__name__", "").startswith("numpy."):
        if _testing(caller):
            return
        name, caller = caller.f_code.co_qualname, caller.f_back
    if name is not None:
        raise TypeError(
            f"np.{name}: a Tensor inside a list, or given to a function of NumPy's that knows "
            "arrays only, would be read and lose its gradient. Join the list first, as in "
            "mg.mean(mg.asarray([a, b])); to compute with the values, give t.numpy()"
        )


_seen: tuple[Any, ...] = ()  # the last 0-d Tensor that was read as an array: by which instruction


def _warn_of_list(t: Any, caller: FrameType) -> None:
    """Say that NumPy reads a 0-d Tensor inside a list, np.array([t, 1.0]): its gradient is lost.

    There alone one and the same instruction of the caller's asks for an array and for a number.
    """
    if _seen == (id(t), caller.f_code, caller.f_lasti):
        warnings.warn(
            "np.array of a list reads the Tensors in it, without their gradients: write "
            "mg.stack([...]), or t.numpy() to say that the values are meant",
            stacklevel=3,
        )


class Readable:
    """What every Tensor can do; it has no fields of its own."""

    __slots__ = ()

    if TYPE_CHECKING:
        op: Any
        shape: tuple[int, ...]
        dtype: np.dtype
        name: str | None
        size: int
        _value: Any

        def __getitem__(self, key: Any) -> Tensor: ...

    def numpy(self) -> np.ndarray:
        """The value as a read-only NumPy array; computed once.  Raises TypeError inside a trace."""
        if self._value is None:
            evaluate(self)
        return self._value

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        global _seen
        caller = sys._getframe(1)
        _refuse_nested(caller)
        if not self.shape and copy is None and not _testing(caller):
            _seen = id(self), caller.f_code, caller.f_lasti
        if copy is False and dtype is not None and np.dtype(dtype) != self.dtype:
            raise ValueError(
                f"a {self.dtype} Tensor cannot be seen as {np.dtype(dtype)} without a copy"
            )
        return np.array(self.numpy(), dtype=dtype, copy=True if copy else None)

    def __array_namespace__(self, *, api_version: str | None = None) -> Any:
        """The module `minigrad`: its functions are those of the array API standard."""
        if api_version not in (None, *VERSIONS):
            raise ValueError(
                f"array API version {api_version!r} is not known here; {', '.join(VERSIONS)} are"
            )
        return NAMESPACE

    @property
    def device(self) -> str:
        return "cpu"

    def to_device(self, device: Any, /, *, stream: Any = None) -> Any:
        """Itself: there is only the device "cpu", without streams."""
        if not isinstance(device, str) or device != "cpu" or stream is not None:
            raise ValueError(
                f"a Tensor is on the device 'cpu', which has no streams; got {device!r}, {stream!r}"
            )
        return self

    def __dlpack__(
        self, *, stream: Any = None, max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None, copy: bool | None = None,
    ) -> Any:  # fmt: skip
        """The value for another array library, without its gradient.

        A copy, because a consumer may write into it; copy=False hands out the read-only value,
        which a consumer must accept as such (DLPack 1.0).
        """
        if stream is not None:
            raise BufferError(f"a Tensor is on the CPU, which has no streams; got {stream!r}")
        if dl_device not in (None, self.__dlpack_device__()):
            raise BufferError(f"a Tensor is on the CPU, (1, 0); device {dl_device} was asked for")
        if copy is not False:
            return np.array(self.numpy()).__dlpack__()
        old_numpy = np.lib.NumpyVersion(np.__version__) < "2.1.0"
        if max_version is None or max_version < (1, 0) or old_numpy:
            raise BufferError(
                "the value of a Tensor is read-only, which DLPack before 1.0 and NumPy before 2.1 "
                "cannot say; leave out copy=False"
            )
        return self.numpy().__dlpack__(max_version=max_version)

    def __dlpack_device__(self) -> tuple[int, int]:
        return 1, 0

    def item(self) -> Any:
        if self.size != 1:
            raise ValueError(
                f"item() needs a Tensor with one element; this one has shape {self.shape}"
            )
        return self.numpy().item()

    def tolist(self) -> Any:
        return self.numpy().tolist()

    def __float__(self) -> float:
        if _seen:
            _warn_of_list(self, sys._getframe(1))
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __complex__(self) -> complex:
        return complex(self.item())

    def __index__(self) -> int:
        if not np.issubdtype(self.dtype, np.integer):
            raise TypeError(f"only an integer Tensor is an index; this one is {self.dtype}")
        return int(self.item())

    def __bool__(self) -> bool:
        if self.size != 1:
            raise ValueError(
                f"the truth of a Tensor of shape {self.shape} is ambiguous; use mg.any or mg.all"
            )
        return bool(self.numpy())

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("a 0-d Tensor has no len()")
        return self.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        if not self.shape:
            raise TypeError("a 0-d Tensor cannot be iterated over")
        return (self[i] for i in range(self.shape[0]))

    def __contains__(self, item: Any) -> bool:
        return bool((self.numpy() == np.asarray(item)).any())

    def __setitem__(self, key: Any, value: Any) -> None:
        raise TypeError(
            "a Tensor is immutable: t[i] = v has no gradient; use mg.where(mask, v, t) or mg.concat"
        )

    def __repr__(self) -> str:
        named = f"{self.name}: " if self.name else ""
        if self._value is not None and self.op.kind != "recur":
            text = np.array2string(self._value, precision=4, threshold=12, separator=", ")
            return f"Tensor({named}{text}, {self.dtype})"
        return f"Tensor({named}{self.op.name}, shape={self.shape}, {self.dtype})"

    def __str__(self) -> str:
        return str(self.numpy())

    def __format__(self, spec: str) -> str:
        value = self.numpy().reshape(())[()] if self.size == 1 else self.numpy()
        return format(value, spec) if spec else str(value)


for _name, _member in vars(Readable).items():
    if callable(_member) or isinstance(_member, property):
        setattr(Tensor, _name, _member)
