"""The methods of a Tensor: NumPy's, as a table from their names to the functions they record.

`t.sum(axis=0)` is `np.sum(t, axis=0)`, with the arguments of the methods of `ndarray`.
Those that write into an array have no counterpart: `manners.spellings` says what to write instead.
Attached to `Tensor` when `minigrad` is imported.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from inspect import Parameter, Signature, signature
from typing import Any

import numpy as np

from .. import ops
from ..graph import Tensor
from . import calls
from . import functions as f
from .interop import FUNCTIONS
from .namespace import real

_Method = Callable[..., Any]


def _reshape(t: Tensor, *shape: Any, order: str = "C", copy: bool | None = None) -> Tensor:
    """The same elements at another shape: t.reshape(2, 3), or t.reshape((2, -1))."""
    if not shape:
        raise TypeError("t.reshape: give the new shape, as in t.reshape(2, -1)")
    return calls.reshape(t, shape[0] if len(shape) == 1 else shape, order)


def _transpose(t: Tensor, *axes: Any) -> Tensor:
    """The axes in another order: t.transpose(1, 0) or t.transpose((1, 0)); reversed unless told."""
    order = axes[0] if len(axes) == 1 and not isinstance(axes[0], (int, np.integer)) else axes
    return FUNCTIONS[np.transpose](t, order if order is not None and len(order) else None)


def _flatten(t: Tensor, order: str = "C") -> Tensor:
    """The elements as a vector."""
    return calls.ravel(t, order)


def _copy(t: Tensor, order: str = "C") -> Tensor:
    """Itself: a Tensor is immutable, and needs no copy."""
    return t


def _astype(
    t: Tensor, dtype: Any, order: str = "K", casting: str = "unsafe", subok: bool = True,
    copy: bool = True,
) -> Tensor:  # fmt: skip
    """As another dtype; a float cast to a float passes its gradient on.

    casting : what NumPy allows: "unsafe" (everything), "same_kind", "safe", "equiv" or "no".
    """
    if not np.can_cast(t.dtype, dtype, casting):  # type: ignore[arg-type]
        raise TypeError(f"t.astype: {t.dtype} does not become {dtype} by casting={casting!r}")
    return ops.astype(t, dtype)


# NumPy's functions of the same name, and arguments.
OF_NUMPY = """all any argmax argmin argpartition argsort choose clip cumprod cumsum diagonal dot max
    mean min nonzero prod ravel repeat round searchsorted squeeze std sum swapaxes take trace
    var""".split()
METHODS: dict[str, _Method] = {name: FUNCTIONS[getattr(np, name)] for name in OF_NUMPY} | {
    "astype": _astype, "conj": real, "conjugate": real, "copy": _copy, "flatten": _flatten,
    "ptp": f.ptp, "reshape": _reshape, "transpose": _transpose,
    "compress": lambda t, condition, axis=None: calls.compress(condition, t, axis),
}  # fmt: skip
PROPERTIES: dict[str, Callable[[Tensor], Any]] = {
    "real": real, "imag": ops.zeros_like, "itemsize": lambda t: t.dtype.itemsize,
    "nbytes": lambda t: t.size * t.dtype.itemsize,
}  # fmt: skip
DUNDERS: dict[str, _Method] = {
    "__divmod__": f.divmod, "__rdivmod__": lambda t, other: f.divmod(other, t),
    "__round__": lambda t, decimals=None: f.around(t, decimals or 0),
}  # fmt: skip
OTHERS = {"dim": "axis", "dims": "axis", "keepdim": "keepdims", "unbiased": "ddof"}


def _method(name: str, ours: _Method) -> _Method:
    """`ours` as a method, which says its arguments where they do not fit."""
    given = signature(ours)
    first, *more = given.parameters.values()
    plain = Signature([Parameter("self", Parameter.POSITIONAL_ONLY), *more])

    @wraps(ours)
    def method(*args: Any, **kwargs: Any) -> Any:
        if kwargs.get("out", name) is None:
            del kwargs["out"]
        try:
            plain.bind(*args, **kwargs)
        except TypeError as error:
            hints = [f"{OTHERS[k]}= for {k}=" for k in kwargs if k in OTHERS]
            if "out" in kwargs:
                hints.append("no out=: a Tensor is immutable")
            says = "; " + ", ".join(hints) if hints else ""
            raise TypeError(
                f"t.{name}{_shown(plain)}: {error}{says}"
            ) from None
        return ours(*args, **kwargs)

    method.__name__, method.__qualname__ = name, f"Tensor.{name}"
    method.__signature__ = plain  # type: ignore[attr-defined]
    if name in OF_NUMPY or not ours.__doc__:
        method.__doc__ = f"`numpy.{name}` of this Tensor, recorded; arguments as of ndarray."
    return method


def _shown(s: Signature) -> str:
    """The arguments as a caller sees them."""
    return str(s.replace(parameters=list(s.parameters.values())[1:]))


def _property(name: str, ours: Callable[[Tensor], Any]) -> property:
    return property(ours, doc=f"As `ndarray.{name}`.")


for _name, _ours in (METHODS | DUNDERS).items():
    setattr(Tensor, _name, _method(_name, _ours))
for _name, _ours in PROPERTIES.items():
    setattr(Tensor, _name, _property(_name, _ours))
