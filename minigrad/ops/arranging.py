"""What turns and repeats: `flip`, `roll`, `tile`, `repeat`, `pad`, `meshgrid`, `linspace`.

Each records a few of the primitives of `movement`, `broadcast` and `indexing`:
a `roll` is two slices joined, a `tile` a broadcast between two reshapes,
a `pad` of zeros one `place`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..graph import CONSTANT, Tensor, bind, constant
from .arrays import asarray, astype, check_device
from .broadcast import broadcast_to, operands, reshape
from .elementwise import add, divide, multiply, subtract
from .indexing import take
from .movement import PLACE, SLICE, concat, expand_dims, part
from .table import ArrayLike, axes_of, axis_of, dtype_of, flag_of, integers_of, shape_of

__all__ = [
    "broadcast_arrays", "flip", "linspace", "meshgrid", "pad", "repeat", "roll", "tile",
]  # fmt: skip


def flip(x: ArrayLike, /, *, axis: Any = None) -> Tensor:
    """Reversed along `axis` (None: all axes), an int or several; the shape of x.

    Raises ValueError for an axis that is not there.
    """
    t = asarray(x)
    axes = axes_of("flip", t, axis)
    step = tuple((None, None, -1 if k - t.ndim in axes else None) for k in range(t.ndim))
    return bind(SLICE, t, index=step) if axes else t


def roll(
    x: ArrayLike, /, shift: int | Sequence[int], *, axis: int | Sequence[int] | None = None
) -> Tensor:
    """x moved on by `shift` places along `axis`, what leaves at the end entering at the start.

    A tuple of axes takes one shift or as many; an axis given twice is moved twice.
    None: the flat array is moved, and takes the shape of x again.

    Raises ValueError for an axis that is not there, or another number of shifts than axes;
    TypeError for a shift that is no integer.
    """
    t = asarray(x)
    if axis is None:
        return reshape(roll(reshape(t, -1), shift, axis=0), t.shape)
    axes = [axes_of("roll", t, a)[0] for a in (axis if isinstance(axis, (tuple, list)) else [axis])]
    try:
        pairs = np.broadcast_arrays(np.asarray(shift), np.asarray(axes))
    except ValueError:
        raise ValueError(f"roll: shift {shift} and axis {axis} must be as many, or one") from None
    if pairs[0].dtype.kind not in "iu" or pairs[0].ndim != 1:
        raise TypeError(f"roll: shift must be an integer or a tuple of them; got {shift!r}")
    for by, k in zip(pairs[0].tolist(), pairs[1].tolist(), strict=True):
        at = -by % t.shape[k] if t.shape[k] else 0
        t = concat([part(t, k, at, None), part(t, k, None, at)], axis=k) if at else t
    return t


def tile(x: ArrayLike, repetitions: int | Sequence[int], /) -> Tensor:
    """x repeated as a whole, `repetitions[k]` times along axis k.

    The shorter of shape and repetitions gets ones in front.
    Raises ValueError for negative repetitions, TypeError for what are no integers.
    """
    t = asarray(x)
    times = list(integers_of("tile", "repetitions", repetitions))
    if any(n < 0 for n in times):
        raise ValueError(f"tile: repetitions must not be negative; got {repetitions}")
    times = [1] * (t.ndim - len(times)) + times
    shape = (1,) * (len(times) - t.ndim) + t.shape
    y = reshape(t, tuple(n for size in shape for n in (1, size)))
    y = broadcast_to(y, tuple(n for pair in zip(times, shape, strict=True) for n in pair))
    return reshape(y, tuple(r * n for r, n in zip(times, shape, strict=True)))


def repeat(x: ArrayLike, repeats: ArrayLike, /, *, axis: int | None = None) -> Tensor:
    """Each element of `axis` repeated: `repeats` times, or `repeats[k]` times the k-th.

    axis : None: of the flat array.
    Several repeats make the length depend on their values,
    which must be known now: an array or a constant Tensor.

    Raises ValueError for an axis that is not there,
    or repeats that are not one integer from 0 on, or as many as the axis is long;
    TypeError for repeats that are computed.
    """
    t = asarray(x)
    if axis is None:
        t, axis = reshape(t, -1), 0
    axis = axis_of("repeat", t, axis)
    many = repeats
    if isinstance(repeats, Tensor):
        if repeats.op is not CONSTANT:
            raise TypeError(
                f"repeat: repeats of shape {repeats.shape} are computed, so the result's shape "
                "would depend on values; give an array"
            )
        many = repeats._value
    many, n = asarray(many).numpy(), t.shape[axis]
    if many.dtype.kind not in "iu" or many.ndim > 1 or many.size not in (1, n):
        raise ValueError(
            f"repeat: repeats must be one integer or {n} of them (axis {axis} of shape {t.shape}); "
            f"got {many.dtype} of shape {many.shape}"
        )
    if many.size and many.min() < 0:
        raise ValueError(f"repeat: repeats must not be negative; got {many.min()}")
    if many.size != 1:
        return take(t, np.repeat(np.arange(n), many), axis=axis)
    times, k = int(many.item()), axis + t.ndim
    y = broadcast_to(expand_dims(t, axis=k + 1), (*t.shape[: k + 1], times, *t.shape[k + 1 :]))
    return reshape(y, (*t.shape[:k], n * times, *t.shape[k + 1 :]))


PAD_MODES = ("constant", "edge", "reflect", "symmetric", "wrap")


def pad(
    x: ArrayLike, pad_width: Any, /, mode: str = "constant", *, constant_values: ArrayLike = 0
) -> Tensor:
    """x with a border, as `numpy.pad`.

    pad_width       : (before, after) for each axis, one such pair for all, or one int for all.
    mode            : "constant"; or what the border repeats:
                      "edge" the outermost element,
                      "reflect" and "symmetric" the mirror image without and with it,
                      "wrap" the other side.
    constant_values : shaped as pad_width; may be a Tensor, whose gradient is the border's.

    Raises ValueError for widths that are no integers from 0 on or do not fit the shape,
    another mode, or one that has nothing to repeat.
    """
    t = asarray(x)
    if not isinstance(mode, str) or mode not in PAD_MODES:
        raise ValueError(f"pad: mode must be one of {', '.join(PAD_MODES)}; got {mode!r}")
    try:
        widths = np.broadcast_to(asarray(pad_width).numpy(), (t.ndim, 2))
    except (TypeError, ValueError):
        raise ValueError(
            f"pad: widths {pad_width} do not fit shape {t.shape}; give (before, after) per axis"
        ) from None
    if widths.size and (widths.dtype.kind not in "iu" or widths.min() < 0):
        raise ValueError(f"pad: widths must be integers from 0 on; got {pad_width}")
    if mode != "constant":
        return _pad_by_rows(t, widths, mode)
    known = not isinstance(constant_values, Tensor)
    if known and not asarray(constant_values).numpy().any():
        shape = tuple(n + int(a) + int(b) for n, (a, b) in zip(t.shape, widths, strict=True))
        index = tuple((int(a), int(a) + n, None) for n, (a, _) in zip(t.shape, widths, strict=True))
        return t if shape == t.shape else bind(PLACE, t, index=index, shape=shape)
    border = broadcast_to(asarray(constant_values, dtype=t.dtype), (t.ndim, 2))
    for k, width in enumerate(widths.tolist()):
        walls = []
        for side in (0, 1):
            value = part(part(border, -2, k, k + 1), -1, side, side + 1)
            shape = (*t.shape[:k], width[side], *t.shape[k + 1 :])
            walls.append(broadcast_to(reshape(value, ()), shape))
        t = concat([walls[0], t, walls[1]], axis=k) if any(width) else t
    return t


def _pad_by_rows(t: Tensor, widths: Any, mode: str) -> Tensor:
    for k, width in enumerate(widths):
        if width.any():
            if not t.shape[k]:
                raise ValueError(f"pad: mode {mode!r} has nothing to repeat in shape {t.shape}")
            t = take(t, np.pad(np.arange(t.shape[k]), width, mode=mode), axis=k)  # type: ignore
    return t


def broadcast_arrays(*arrays: ArrayLike) -> list[Tensor]:
    """The arrays, each broadcast to the one shape they have together; dtypes stay.

    Raises ValueError for shapes that do not broadcast.
    """
    xs = [asarray(x) for x in arrays]
    try:
        shape = np.broadcast_shapes(*(x.shape for x in xs))
    except ValueError:
        shapes = " and ".join(str(x.shape) for x in xs)
        raise ValueError(
            f"broadcast_arrays: shapes {shapes} do not broadcast to one shape"
        ) from None
    return [broadcast_to(x, shape) for x in xs]


def meshgrid(*arrays: ArrayLike, indexing: str = "xy") -> list[Tensor]:
    """The coordinates of a grid, one Tensor per vector.

    indexing : "ij": the k-th varies along axis k; "xy": the first two axes are exchanged.

    Raises ValueError for another indexing, or an operand that is no vector.
    """
    if not isinstance(indexing, str) or indexing not in ("xy", "ij"):
        raise ValueError(f"meshgrid: indexing must be 'xy' or 'ij'; got {indexing!r}")
    xs = [asarray(x) for x in arrays]
    for k, x in enumerate(xs):
        if x.ndim > 1:
            raise ValueError(f"meshgrid: operand {k} must be a vector; got shape {x.shape}")
    places = list(range(len(xs)))
    if indexing == "xy":
        places[:2] = places[1::-1]
    lines = [
        reshape(x, tuple(-1 if k == place else 1 for k in range(len(xs))))
        for x, place in zip(xs, places, strict=True)
    ]
    return broadcast_arrays(*lines) if lines else []


def linspace(
    start: ArrayLike, stop: ArrayLike, /, num: int, *, dtype: Any = None, device: Any = None,
    endpoint: bool = True,
) -> Tensor:  # fmt: skip
    """num evenly spaced numbers from start to stop, without stop if not `endpoint`.

    A vector, or (num, ...) between arrays, which broadcast; float64 unless told.
    Bounds that are Tensors keep their gradient.

    Raises ValueError for a negative num, TypeError for what is no number.
    """
    check_device("linspace", device)
    sizes = shape_of("linspace", num)
    if len(sizes) != 1:
        raise ValueError(f"linspace: num is one number; got {num!r}")
    kind = None if dtype is None else dtype_of("linspace", dtype)
    closed, (n,) = flag_of("linspace", "endpoint", endpoint), sizes
    if not any(isinstance(x, Tensor) and x.dtype.kind == "f" for x in (start, stop)):
        first, last = (asarray(x).numpy() for x in (start, stop))
        return constant(np.linspace(first, last, n, endpoint=closed, dtype=kind))
    a, b = operands("linspace", start, stop, float_only=True)
    steps = asarray(np.arange(n, dtype=a.dtype).reshape((n,) + (1,) * a.ndim))
    gaps = n - closed
    each = divide(subtract(b, a), gaps) if gaps > 0 else subtract(b, a)
    y = add(multiply(steps, each), a)
    if closed and n > 1:  # exactly, not up to rounding
        y = concat([part(y, -y.ndim, None, -1), expand_dims(b, axis=0)])
    return y if kind is None else astype(y, kind)
