"""Movement: the same elements elsewhere.  In dual pairs, each the vjp of the other: slice/place,
concat/slices, and permutations with their inverses.

The functions below record a few of these (and `reshape`, `broadcast_to`, `take`): a `roll` is two
slices joined, a `tile` a broadcast between two reshapes, a `pad` of zeros one `place`.
"""

from __future__ import annotations

import builtins
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..graph import CONSTANT, Shape, Tensor, bind
from .arrays import asarray, promoted
from .broadcast import broadcast_to, reshape
from .table import ArrayLike, axes_of, integers_of, movement_row

__all__ = [
    "broadcast_arrays", "concat", "expand_dims", "flip", "matrix_transpose", "meshgrid", "moveaxis",
    "pad", "permute_dims", "repeat", "roll", "split", "squeeze", "stack", "tile", "unstack",
]  # fmt: skip


def _permute_shape(x: Tensor, axes: tuple[int, ...]) -> tuple[Shape, np.dtype]:
    if sorted(axes) != list(range(-x.ndim, 0)):
        raise ValueError(f"axes {axes} are not a permutation of the {x.ndim} axes")
    return tuple(x.shape[a] for a in axes), x.dtype


def _permute_numpy(x: Any, axes: tuple[int, ...]) -> Any:
    return np.transpose(x, (*range(x.ndim - len(axes)), *axes))


def _inverse(axes: tuple[int, ...]) -> tuple[int, ...]:
    n = len(axes)
    return tuple(int(k) - n for k in np.argsort([a + n for a in axes]))


Bounds = tuple[
    tuple[int | None, int | None, int | None], ...
]  # slices as data: they hash on every Python


def _slices(index: Bounds) -> tuple[Any, ...]:
    return (..., *(slice(*bounds) for bounds in index))


def _slice_shape(x: Tensor, index: Bounds) -> tuple[Shape, np.dtype]:
    lengths = [len(range(*slice(*b).indices(n))) for b, n in zip(index, x.shape, strict=True)]
    return tuple(lengths), x.dtype


def _place_numpy(x: Any, index: Bounds, shape: Shape) -> Any:
    whole = np.zeros(x.shape[: x.ndim - len(index)] + shape, x.dtype)
    whole[_slices(index)] = x
    return whole


def _concat_shape(*xs: Tensor, axis: int) -> tuple[Shape, np.dtype]:
    def rest(t: Tensor) -> Shape:
        return t.shape[:axis] + t.shape[t.ndim + axis + 1 :]

    for k, x in enumerate(xs):
        if x.ndim != xs[0].ndim or rest(x) != rest(xs[0]):
            raise ValueError(
                f"operand {k} of shape {x.shape} does not join {xs[0].shape} along axis {axis}"
            )
    shape = list(xs[0].shape)
    shape[axis] = builtins.sum(x.shape[axis] for x in xs)
    return tuple(shape), xs[0].dtype


def _concat_numpy(*xs: Any, axis: int, rows: int | None = None) -> Any:
    if rows is not None:  # operands all rows share get a row axis first
        ndim = builtins.max(np.ndim(x) for x in xs)
        xs = tuple(
            x if np.ndim(x) == ndim else np.broadcast_to(x, (rows, *np.shape(x))) for x in xs
        )
    return np.concatenate(xs, axis=axis)


def _concat_vjp(ct: Tensor, node: Tensor, wanted: Sequence[bool]) -> list[Tensor | None]:
    axis, grads, start = node.attrs["axis"], [], 0
    for x, want in zip(node.inputs, wanted, strict=True):
        bounds: list[Any] = [(None, None, None)] * x.ndim
        bounds[axis] = (start, start + x.shape[axis], None)
        grads.append(bind(SLICE, ct, index=tuple(bounds)) if want else None)
        start += x.shape[axis]
    return grads  # type: ignore[return-value]


PERMUTE = movement_row(
    "permute_dims", _permute_shape, _permute_numpy,
    lambda g, y, x, axes: permute_dims(g, _inverse(axes)), rows=None,
)  # fmt: skip
SLICE = movement_row(
    "slice", _slice_shape, lambda x, index: x[_slices(index)],
    lambda g, y, x, index: bind(PLACE, g, index=index, shape=x.shape), rows=None,
)  # fmt: skip
PLACE = movement_row(
    "place", lambda x, index, shape: (shape, x.dtype), _place_numpy,
    lambda g, y, x, index, shape: bind(SLICE, g, index=index), rows=None,
)  # fmt: skip
CONCAT = movement_row(
    "concat",
    _concat_shape,
    _concat_numpy,
    vjp=_concat_vjp,
    rows=lambda n, node, a: {**a, "rows": n},
)


def permute_dims(x: ArrayLike, /, axes: Sequence[int]) -> Tensor:
    """The axes in another order."""
    t = asarray(x)
    axes = integers_of("permute_dims", "axes", axes)
    if not all(-t.ndim <= a < t.ndim for a in axes):
        raise ValueError(f"permute_dims: axes {axes} are out of range for shape {t.shape}")
    axes = tuple(a - t.ndim if a >= 0 else a for a in axes)
    return t if axes == tuple(range(-t.ndim, 0)) else bind(PERMUTE, t, axes=axes)


def matrix_transpose(x: ArrayLike, /) -> Tensor:
    """The last two axes exchanged."""
    t = asarray(x)
    if t.ndim < 2:
        raise ValueError(f"matrix_transpose: needs at least two axes; got shape {t.shape}")
    return permute_dims(t, (*range(t.ndim - 2), -1, -2))


def transpose(t: Tensor) -> Tensor:
    return permute_dims(t, tuple(reversed(range(t.ndim))))


def moveaxis(
    x: ArrayLike, source: int | Sequence[int], destination: int | Sequence[int], /
) -> Tensor:
    """The axes `source` moved to the places `destination`, the others in order; an int or a
    sequence each."""
    t = asarray(x)
    here, there = (
        [axes_of("moveaxis", t, a)[0] for a in (p if isinstance(p, (tuple, list)) else (p,))]
        for p in (source, destination)
    )
    if len(here) != len(there) or len(set(here)) < len(here) or len(set(there)) < len(there):
        raise ValueError(
            f"moveaxis: source {source} and destination {destination} must name as many axes, "
            "each once"
        )
    order = [k for k in range(-t.ndim, 0) if k not in here]
    for place, axis in sorted(zip(there, here, strict=True)):
        order.insert(place + t.ndim, axis)
    return permute_dims(t, order)


def expand_dims(x: ArrayLike, /, axis: int | Sequence[int] = 0) -> Tensor:
    """New axes of length 1, at the places `axis` (an int or several) of the result."""
    t = asarray(x)
    given = axis if isinstance(axis, (tuple, list)) else (axis,)
    ndim = t.ndim + len(given)
    places = {operator.index(a) % ndim for a in given if -ndim <= a < ndim}
    if len(places) < len(given):
        raise ValueError(
            f"expand_dims: axis {axis} is out of range or given twice for shape {t.shape}"
        )
    old = iter(t.shape)
    return reshape(t, tuple(1 if k in places else next(old) for k in range(ndim)))


def squeeze(x: ArrayLike, /, axis: Any = None) -> Tensor:
    """Without the given axes, which must have length 1 (None: all such axes)."""
    t = asarray(x)
    axes = axes_of(
        "squeeze", t, axis if axis is not None else [k for k, n in enumerate(t.shape) if n == 1]
    )
    if any(t.shape[a] != 1 for a in axes):
        raise ValueError(f"squeeze: an axis of {axis} is not 1 long in shape {t.shape}")
    return reshape(t, tuple(n for k, n in enumerate(t.shape) if k - t.ndim not in axes))


# -- joining and taking apart ----------------------------------------------------------------------


def concat(arrays: Sequence[ArrayLike], /, *, axis: int | None = 0) -> Tensor:
    """The arrays joined along an axis they have (None: flattened first)."""
    if not len(arrays):
        raise ValueError("concat: needs at least one array")
    xs = promoted(*arrays)
    if axis is None:
        xs, axis = [reshape(x, -1) for x in xs], 0
    (axis,) = axes_of("concat", xs[0], axis)
    return xs[0] if len(xs) == 1 else bind(CONCAT, *xs, axis=axis)


def stack(arrays: Sequence[ArrayLike], /, *, axis: int = 0) -> Tensor:
    """The arrays, all of one shape, joined along a new axis."""
    xs = [asarray(x) for x in arrays]
    if not xs:
        raise ValueError("stack: needs at least one array")
    for k, x in enumerate(xs):
        if x.shape != xs[0].shape:
            raise ValueError(f"stack: operand {k} has shape {x.shape}, operand 0 has {xs[0].shape}")
    return concat([expand_dims(x, axis=axis) for x in xs], axis=axis)


def _part(t: Tensor, axis: int, start: int | None, stop: int | None, step: int = 1) -> Tensor:
    """A slice of one axis, counted from the end."""
    bounds: list[Any] = [(None, None, None)] * t.ndim
    bounds[axis] = (start, stop, step)
    return bind(SLICE, t, index=tuple(bounds))


def split(
    x: ArrayLike, indices_or_sections: int | Sequence[int], /, *, axis: int = 0
) -> list[Tensor]:
    """x cut along an axis: into that many equal parts, or before each of the given positions (a
    position below 0 counts from the end, one past the end gives an empty part)."""
    t = asarray(x)
    (axis,) = axes_of("split", t, axis)
    n = t.shape[axis]
    cuts = list(integers_of("split", "the number of parts or the positions", indices_or_sections))
    if not np.ndim(indices_or_sections):
        (parts,) = cuts
        if parts < 1 or n % parts:
            raise ValueError(
                f"split: axis {axis} of shape {t.shape} does not fall into {parts} equal parts; "
                "give the positions to cut at"
            )
        cuts = [n // parts * k for k in range(1, parts)]
    return [_part(t, axis, a, b) for a, b in zip([None, *cuts], [*cuts, None], strict=True)]


def unstack(x: ArrayLike, /, *, axis: int = 0) -> tuple[Tensor, ...]:
    """The slices of x along `axis`, without that axis: the inverse of `stack`."""
    t = asarray(x)
    (axis,) = axes_of("unstack", t, axis)
    return tuple(squeeze(_part(t, axis, k, k + 1), axis) for k in range(t.shape[axis]))


# -- turning and repeating -------------------------------------------------------------------------


def flip(x: ArrayLike, /, *, axis: Any = None) -> Tensor:
    """Reversed along `axis` (None: all axes)."""
    t = asarray(x)
    axes = axes_of("flip", t, axis)
    step = tuple((None, None, -1 if k - t.ndim in axes else None) for k in range(t.ndim))
    return bind(SLICE, t, index=step) if axes else t


def roll(
    x: ArrayLike, /, shift: int | Sequence[int], *, axis: int | Sequence[int] | None = None
) -> Tensor:
    """x moved on by `shift` places along `axis`, what leaves at the end entering at the start.

    A tuple of axes takes one shift or as many; an axis given twice is moved twice.  None: the flat
    array is moved, and takes the shape of x again.
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
        t = concat([_part(t, k, at, None), _part(t, k, None, at)], axis=k) if at else t
    return t


def tile(x: ArrayLike, repetitions: int | Sequence[int], /) -> Tensor:
    """x repeated as a whole, `repetitions[k]` times along axis k; the shorter of shape and
    repetitions gets ones in front."""
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
    """Each element of `axis` (None: of the flat array) repeated: `repeats` times, or `repeats[k]`
    times the k-th.

    Several repeats make the length depend on their values, which must be known now: an array or a
    constant Tensor.
    """
    t = asarray(x)
    if axis is None:
        t, axis = reshape(t, -1), 0
    (axis,) = axes_of("repeat", t, axis)
    many = repeats
    if isinstance(repeats, Tensor):
        if repeats.op is not CONSTANT:
            raise TypeError(
                f"repeat: repeats of shape {repeats.shape} are computed, so the result's shape "
                "would depend on values; give an array"
            )
        many = repeats._value
    many, n = np.asarray(many), t.shape[axis]
    if many.dtype.kind not in "iu" or many.ndim > 1 or many.size not in (1, n):
        raise ValueError(
            f"repeat: repeats must be one integer or {n} of them (axis {axis} of shape {t.shape}); "
            f"got {many.dtype} of shape {many.shape}"
        )
    if many.size and many.min() < 0:
        raise ValueError(f"repeat: repeats must not be negative; got {many.min()}")
    if many.size != 1:
        from .indexing import take

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
    mode            : "constant"; or what the border repeats: "edge" the outermost element,
                      "reflect" and "symmetric" the mirror image without and with it, "wrap" the
                      other side.
    constant_values : shaped as pad_width; may be a Tensor, whose gradient is the border's.
    """
    t = asarray(x)
    if mode not in PAD_MODES:
        raise ValueError(f"pad: mode must be one of {', '.join(PAD_MODES)}; got {mode!r}")
    try:
        widths = np.broadcast_to(np.asarray(pad_width), (t.ndim, 2))
    except ValueError:
        raise ValueError(
            f"pad: widths {pad_width} do not fit shape {t.shape}; give (before, after) per axis"
        ) from None
    if widths.size and (widths.dtype.kind not in "iu" or widths.min() < 0):
        raise ValueError(f"pad: widths must be integers from 0 on; got {pad_width}")
    if mode != "constant":
        return _pad_by_rows(t, widths, mode)
    if not isinstance(constant_values, Tensor) and not np.any(constant_values):
        shape = tuple(n + int(a) + int(b) for n, (a, b) in zip(t.shape, widths, strict=True))
        index = tuple((int(a), int(a) + n, None) for n, (a, _) in zip(t.shape, widths, strict=True))
        return t if shape == t.shape else bind(PLACE, t, index=index, shape=shape)
    border = broadcast_to(asarray(constant_values, dtype=t.dtype), (t.ndim, 2))
    for k, width in enumerate(widths.tolist()):
        walls = []
        for side in (0, 1):
            value = _part(_part(border, -2, k, k + 1), -1, side, side + 1)
            shape = (*t.shape[:k], width[side], *t.shape[k + 1 :])
            walls.append(broadcast_to(reshape(value, ()), shape))
        t = concat([walls[0], t, walls[1]], axis=k) if any(width) else t
    return t


def _pad_by_rows(t: Tensor, widths: Any, mode: str) -> Tensor:
    from .indexing import take

    for k, width in enumerate(widths):
        if width.any():
            if not t.shape[k]:
                raise ValueError(f"pad: mode {mode!r} has nothing to repeat in shape {t.shape}")
            t = take(t, np.pad(np.arange(t.shape[k]), width, mode=mode), axis=k)  # type: ignore
    return t


def broadcast_arrays(*arrays: ArrayLike) -> list[Tensor]:
    """The arrays, each broadcast to the one shape they have together; dtypes stay."""
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
    """The coordinates of a grid, one Tensor per vector: with indexing "ij" the k-th varies along
    axis k; with "xy" the first two axes are exchanged."""
    if indexing not in ("xy", "ij"):
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
