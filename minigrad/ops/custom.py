"""A user's own op: `primitive` makes a function that records it like any of ours."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..graph import Primitive, Shape, Tensor, bind
from .arrays import asarray
from .broadcast import operands
from .scalar import operands_of
from .table import DECLARED, ArrayLike


def primitive(
    name: str,
    *,
    shape: Callable[..., Any] | None = None,
    numpy: Callable[..., Any],
    vjp: Callable[..., Any] | None,
    kind: str = "elementwise",
    scalar: str | None = None,
) -> Callable[..., Tensor]:
    """A new op, as a function of Tensors or arrays (and keyword attributes, which are static).

    name   : what drawings and errors call it.
    shape  : shape(*inputs, **attrs) -> the result's shape, or (shape, dtype);
             the inputs have `.shape` and `.dtype`.
             None (elementwise only): that of the inputs, which are broadcast and promoted first.
    numpy  : numpy(*arrays, **attrs) -> array: the meaning.
    vjp    : vjp(ct, out, *inputs, **attrs) -> one cotangent per input (None: not differentiable),
             written in recorded ops, so that it can be differentiated again;
             for one input the bare cotangent will do.
             None: the derivative is zero.
    kind   : "elementwise", or any other word for an op that looks at whole arrays,
             which is run row by row inside a recurrence.
    scalar : the op on one element as an expression of x (and y, z), such as "x * sigmoid(x)",
             for `mg.function` to compile;
             without it a recurrence that uses the op runs in NumPy.

    Tensors that use it pickle by its name: the process that loads them declares it first.

    Raises TypeError for what is no word, function or expression,
    ValueError for a whole op without a shape rule, and where `scalar` is not such an expression.
    Later ValueError where `numpy` computes another shape than the shape rule says,
    or `vjp` returns the wrong number of cotangents or one of another shape.
    """
    if not isinstance(name, str) or not name:
        raise ValueError(f"primitive: name must be a word; got {name!r}")
    if not isinstance(kind, str):
        raise TypeError(f"primitive {name}: kind is a word, such as 'elementwise'; got {kind!r}")
    for what, f, must in (("shape", shape, False), ("numpy", numpy, True), ("vjp", vjp, False)):
        if not callable(f) and (must or f is not None):
            raise TypeError(f"primitive {name}: {what} must be a function; got {f!r}")
    if scalar is not None and not isinstance(scalar, str):
        raise TypeError(f"primitive {name}: scalar is an expression as text; got {scalar!r}")
    if shape is None and kind != "elementwise":
        raise ValueError(f"primitive {name}: an op of kind {kind!r} needs a shape rule")

    if scalar is not None:
        if kind != "elementwise":
            raise ValueError(f"primitive {name}: scalar is for elementwise ops, not {kind!r}")
        if not operands_of(scalar):  # which refuses what the compiler does not know
            raise ValueError(f"primitive {name}: scalar {scalar!r} reads no operand x")

    def shape_rule(*inputs: Tensor, **attrs: Any) -> tuple[Shape, np.dtype]:
        attrs.pop("rows", None)
        found = (inputs[0].shape, inputs[0].dtype) if shape is None else shape(*inputs, **attrs)
        if len(found) == 2 and isinstance(found[0], (tuple, list)):
            return tuple(found[0]), np.dtype(found[1])
        return tuple(found), inputs[0].dtype

    def vjp_rule(ct: Tensor, node: Tensor, wanted: Sequence[bool]) -> Sequence[Tensor | None]:
        assert vjp is not None
        found = vjp(ct, node, *node.inputs, **node.attrs)
        one = found is None or isinstance(found, (Tensor, np.ndarray, float))
        given = (found,) if one else found
        if not isinstance(given, (tuple, list)):
            raise TypeError(
                f"the vjp of {name} returned a {type(found).__name__}; it returns a Tensor, or a "
                "tuple with one for every input (None: no gradient)"
            )
        if len(given) != len(node.inputs):
            raise ValueError(
                f"the vjp of {name} returned {len(given)} cotangents for {len(node.inputs)} inputs"
            )
        return [None if g is None else asarray(g) for g in given]

    whole = kind != "elementwise"
    op = Primitive(  # of those that look at whole arrays nothing more is known than of a reduction
        name, "reduction" if whole else kind, shape_rule, _by_row(numpy) if whole else numpy,
        vjp_rule if vjp is not None else None, rows=_row_attrs if whole else None, scalar=scalar,
    )  # fmt: skip
    DECLARED[name] = op

    def record(*inputs: ArrayLike, **attrs: Any) -> Tensor:
        if scalar is not None and operands_of(scalar) > len(inputs):
            raise TypeError(f"{name}: scalar {scalar!r} reads more than {len(inputs)} operand(s)")
        tensors = [asarray(x) for x in inputs] if whole else operands(name, *inputs)
        return bind(op, *tensors, **attrs)

    record.__name__ = record.__qualname__ = name
    record.__doc__ = numpy.__doc__
    return record


def _row_attrs(n: int, node: Tensor, attrs: dict[str, Any]) -> dict[str, Any]:
    none = np.zeros((0, *node.shape), node.dtype)  # the result where there are no rows
    return {**attrs, "rows": (n, tuple(t.ndim for t in node.inputs), none)}


def _by_row(f: Callable[..., Any]) -> Callable[..., Any]:
    """`f`, once per row where operands come with a row axis in front."""

    def run(*arrays: Any, rows: tuple[int, Any, Any] | None = None, **attrs: Any) -> Any:
        if rows is None:
            return f(*arrays, **attrs)
        n, ndims, none = rows
        if not n:
            return none
        split = [(a, np.ndim(a) > d) for a, d in zip(arrays, ndims, strict=True)]
        return np.stack([f(*(a[k] if own else a for a, own in split), **attrs) for k in range(n)])

    return run
