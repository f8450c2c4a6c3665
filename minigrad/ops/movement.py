"""Movement: the same elements elsewhere.

In dual pairs, each the vjp of the other:
slice/place, concat/slices, and permutations with their inverses.
What rearranges by several of them (`roll`, `tile`, `pad`, ...) is in `arranging`.
"""

from __future__ import annotations

import builtins
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ..graph import Shape, Tensor, bind
from . import arrays
from .arrays import asarray, promoted
from .broadcast import reshape
from .table import ArrayLike, axes_of, axis_of, integers_of, movement_row

__all__ = [
    "concat", "expand_dims", "matrix_transpose", "moveaxis", "permute_dims", "split", "squeeze",
    "stack", "unstack",
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


# slices as data: they hash on every Python
Bounds = tuple[tuple[int | None, int | None, int | None], ...]


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
    "concat", _concat_shape, _concat_numpy, vjp=_concat_vjp,
    rows=lambda n, node, a: {**a, "rows": n},
)  # fmt: skip


def permute_dims(x: ArrayLike, /, axes: Sequence[int]) -> Tensor:
    """The axes in another order: axis k of the result is axis axes[k] of x.

    Raises ValueError for what is no permutation of the axes, TypeError for what are no integers.
    """
    t = asarray(x)
    axes = integers_of("permute_dims", "axes", axes)
    if not all(-t.ndim <= a < t.ndim for a in axes):
        raise ValueError(f"permute_dims: axes {axes} are out of range for shape {t.shape}")
    axes = tuple(a - t.ndim if a >= 0 else a for a in axes)
    return t if axes == tuple(range(-t.ndim, 0)) else bind(PERMUTE, t, axes=axes)


def matrix_transpose(x: ArrayLike, /) -> Tensor:
    """The last two axes exchanged: (..., i, j) -> (..., j, i).

    Raises ValueError for fewer than two axes.
    """
    t = asarray(x)
    if t.ndim < 2:
        raise ValueError(f"matrix_transpose: needs at least two axes; got shape {t.shape}")
    return permute_dims(t, (*range(t.ndim - 2), -1, -2))


def transpose(t: Tensor) -> Tensor:
    return permute_dims(t, tuple(reversed(range(t.ndim))))


def moveaxis(
    x: ArrayLike, source: int | Sequence[int], destination: int | Sequence[int], /
) -> Tensor:
    """The axes `source` moved to the places `destination`, the others in order.

    An int or a sequence each.
    Raises ValueError for an axis that is not there, is named twice, or has no place.
    """
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
    """New axes of length 1, at the places `axis` (an int or several) of the result.

    Raises IndexError for a place that is not there, ValueError for one given twice.
    """
    t = asarray(x)
    given = axis if isinstance(axis, (tuple, list)) else (axis,)
    ndim = t.ndim + len(given)
    wanted = integers_of("expand_dims", "axes", given)
    if not all(-ndim <= a < ndim for a in wanted):  # IndexError, says the array API standard
        raise IndexError(f"expand_dims: axis {axis} is out of range for shape {t.shape}")
    places = {a % ndim for a in wanted}
    if len(places) < len(given):
        raise ValueError(f"expand_dims: an axis is given twice in {axis} for shape {t.shape}")
    old = iter(t.shape)
    return reshape(t, tuple(1 if k in places else next(old) for k in range(ndim)))


def squeeze(x: ArrayLike, /, axis: Any = None) -> Tensor:
    """Without the given axes, which must have length 1 (None: all such axes).

    Raises ValueError for an axis that is not there, or is longer.
    """
    t = asarray(x)
    axes = axes_of(
        "squeeze", t, axis if axis is not None else [k for k, n in enumerate(t.shape) if n == 1]
    )
    if any(t.shape[a] != 1 for a in axes):
        raise ValueError(f"squeeze: an axis of {axis} is not 1 long in shape {t.shape}")
    return reshape(t, tuple(n for k, n in enumerate(t.shape) if k - t.ndim not in axes))


# -- joining and taking apart ----------------------------------------------------------------------


def _several(who: str, arrays: Any) -> list[Any]:
    """One or more arrays, of a list, a tuple, or along the first axis of one."""
    no_list = not isinstance(arrays, Iterable) or isinstance(arrays, (str, bytes, Mapping))
    if no_list or getattr(arrays, "shape", None) == ():
        raise TypeError(f"{who}: needs a list of arrays; got {str(arrays)[:80]!r}")
    given = list(arrays)
    if not given:
        raise ValueError(f"{who}: needs at least one array")
    return given


def concat(arrays: Sequence[ArrayLike], /, *, axis: int | None = 0) -> Tensor:
    """The arrays joined along an axis they have (None: flattened first); dtypes promote.

    Raises ValueError for no arrays, shapes that do not fit, or such an axis; TypeError for no list.
    """
    arrays = _several("concat", arrays)
    xs = promoted(*arrays)
    if axis is None:
        xs, axis = [reshape(x, -1) for x in xs], 0
    axis = axis_of("concat", xs[0], axis)
    return xs[0] if len(xs) == 1 else bind(CONCAT, *xs, axis=axis)


def stack(arrays: Sequence[ArrayLike], /, *, axis: int = 0) -> Tensor:
    """The arrays, all of one shape, joined along a new axis; dtypes promote.

    Also for numbers, where NumPy's people write np.array([t, 1.0]): that reads the values of
    Tensors, and their gradients are lost.

    Raises ValueError for no arrays or different shapes, IndexError for an axis that is not there,
    TypeError for no list.
    """
    xs = [asarray(x) for x in _several("stack", arrays)]
    for k, x in enumerate(xs):
        if x.shape != xs[0].shape:
            raise ValueError(f"stack: operand {k} has shape {x.shape}, operand 0 has {xs[0].shape}")
    return concat([expand_dims(x, axis=axis) for x in xs], axis=axis)


def bounds_on(axis: int, ndim: int, bounds: tuple[Any, Any, Any]) -> tuple[Any, ...]:
    """A slice of one axis, counted from the end, and all of the others."""
    return tuple(bounds if k - ndim == axis else (None, None, None) for k in range(ndim))


def part(
    x: Tensor, axis: int, start: int | None, stop: int | None, step: int | None = None
) -> Tensor:
    """x[start:stop:step] along one axis, counted from the end."""
    return bind(SLICE, x, index=bounds_on(axis, x.ndim, (start, stop, step)))


def split(
    x: ArrayLike, indices_or_sections: int | Sequence[int], /, *, axis: int = 0
) -> list[Tensor]:
    """x cut along an axis: into that many equal parts, or before each of the given positions.

    A position below 0 counts from the end, one past the end gives an empty part.

    Raises ValueError for an axis that is not there, or that does not fall into equal parts;
    TypeError for what are no integers.
    """
    t = asarray(x)
    axis = axis_of("split", t, axis)
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
    return [part(t, axis, a, b) for a, b in zip([None, *cuts], [*cuts, None], strict=True)]


def unstack(x: ArrayLike, /, *, axis: int = 0) -> tuple[Tensor, ...]:
    """The slices of x along `axis`, without that axis: the inverse of `stack`.

    Raises ValueError for an axis that is not there.
    """
    t = asarray(x)
    axis = axis_of("unstack", t, axis)
    return tuple(squeeze(part(t, axis, k, k + 1), axis) for k in range(t.shape[axis]))


arrays.joined = stack  # what `asarray` does with a list of Tensors
