"""What optimisers are, and what is given to them, checked: numbers, pytrees, states."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from .. import pytrees
from ..graph import Tensor
from ..ops.arrays import asarray, astype
from ..run.evaluate import evaluate


class Optimizer(NamedTuple):
    """init(params) -> state;  update(params, grads, state) -> (params, state).

    Nothing is changed in place; parameters keep their shapes and dtypes.

    Raises ValueError for grads or a state that are not structured and shaped as the parameters,
    TypeError for parameters that are not floating-point, or a state that is none.
    """

    init: Callable[[Any], Any]
    update: Callable[[Any, Any, Any], tuple[Any, Any]]


# -- what is given, checked ------------------------------------------------------------------------


def is_number(x: Any) -> bool:
    return isinstance(x, (int, float, np.integer, np.floating)) and not isinstance(x, bool)


def number(who: str, name: str, value: Any, holds: Callable[[float], bool], must: str) -> None:
    if not is_number(value):
        raise TypeError(f"{who}: {name} must be a number; got {shown(value)}")
    if not (math.isfinite(value) and holds(value)):
        raise ValueError(f"{who}: {name} must be {must}; got {value}")


def positive(who: str, **values: Any) -> None:
    for name, value in values.items():
        number(who, name, value, lambda x: x > 0, "positive")


def fraction(who: str, **values: Any) -> None:
    for name, value in values.items():
        number(who, name, value, lambda x: 0 <= x < 1, "at least 0 and less than 1")


def flags_of(who: str, name: str, values: Sequence[Any]) -> list[bool]:
    for value in values:
        if not isinstance(value, (bool, np.bool_)):
            raise TypeError(f"{who}: {name} must be True or False; got {shown(value)}")
    return [bool(value) for value in values]


def rate(who: str, lr: Any) -> None:
    """A positive number, or a scalar Tensor: recorded, it may have a gradient."""
    if isinstance(lr, Tensor):
        if lr.shape != () or lr.dtype.kind != "f":
            raise TypeError(
                f"{who}: lr as a Tensor is a floating-point scalar; got {lr.dtype} of shape "
                f"{lr.shape}"
            )
    else:
        positive(who, lr=lr)


def shown(value: Any) -> str:
    if isinstance(value, (Tensor, np.ndarray)):
        return f"an array of shape {value.shape}"
    return f"a {type(value).__name__}, {value!r:.40}"


def leaves_of(
    who: str, like: Any, recorded: bool, **trees: Any
) -> tuple[list[list[Any]], Callable[[Sequence[Any]], Any]]:
    """The leaves of several pytrees, which are structured and shaped as the first of them.

    As arrays or (recorded) Tensors; and what puts such leaves together again.
    """
    paths, _, spec = pytrees.tree_flatten_with_path(like)
    convert: Callable[[Any], Any] = asarray if recorded else np.asarray
    found: list[list[Any]] = []
    for name, tree in trees.items():
        leaves, own = pytrees.tree_flatten(tree)
        if own != spec:
            raise ValueError(
                f"{who}: {name} are not structured as params; they are {own}, params are {spec}"
            )
        arrays: list[Any] = [convert(x) for x in (leaves if recorded else read(leaves))]
        for path, x, p in zip(paths, arrays, found[0] if found else arrays, strict=True):
            at = f"{name}[{']['.join(map(repr, path))}]" if path else name
            if x.dtype.kind != "f":
                raise TypeError(f"{who}: {at} is {x.dtype}; only floating-point arrays are trained")
            if x.shape != p.shape:
                raise ValueError(f"{who}: {at} has shape {x.shape}, its parameter {p.shape}")
        found.append(arrays)
    return found, lambda leaves: pytrees.tree_unflatten(spec, leaves)


def holds_tensor(*trees: Any) -> bool:
    return any(isinstance(x, Tensor) for tree in trees for x in pytrees.tree_leaves(tree))


def read(leaves: list[Any]) -> list[Any]:
    """Arrays, the Tensors among them evaluated together."""
    return evaluate(leaves) if holds_tensor(leaves) else leaves


def parts_of(who: str, state: Any, count: int) -> Any:
    if not isinstance(state, (tuple, list)) or len(state) != count:
        raise TypeError(
            f"{who}: state is what init or update returned, a tuple of {count}; got {shown(state)}"
        )
    return state


def cast(x: Any, like: Any) -> Any:
    """An array or a number in the dtype of `like`; a number stays one where it is written there."""
    if isinstance(x, Tensor):
        return astype(x, like.dtype)
    return x if type(x) is float and isinstance(like, Tensor) else np.asarray(x, like.dtype)


def zeros(who: str, params: Any) -> Any:
    (leaves,), joined = leaves_of(who, params, holds_tensor(params), params=params)
    return joined([np.zeros_like(p) for p in leaves])


def next_of(step: Any) -> tuple[Any, Any]:
    """The number of this update and of the next one, as an array or a Tensor."""
    step = step if isinstance(step, Tensor) else np.asarray(step)
    if step.dtype.kind not in "iu" or step.shape != ():
        raise TypeError(f"the number of an update is an integer; the state holds {shown(step)}")
    return step, step + np.asarray(1)
