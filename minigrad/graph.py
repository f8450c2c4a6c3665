"""The computation graph: one node type, one table row per primitive, iterative traversal.

This module sits at the bottom.
It knows what a `Tensor` (a node) and a `Primitive` (a row of rules) are,
how to record a node (`bind`), how to walk a graph without recursion (`toposort`),
and how to copy a part of it with some nodes exchanged (`rebuild`).
It computes nothing: the operators of `Tensor` are filled in by `ops`,
values come from `evaluate`, derivatives from `autodiff`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from . import sites

Shape = tuple[int, ...]


@dataclass(frozen=True, eq=False, slots=True)
class Primitive:
    """One row of the rule table.

    name   : what a drawing and an error message call it.
    kind   : "leaf", "elementwise", "reduction", "contraction", "movement" or "recur".
             How many rows of a recurrence are computed at once,
             and what a compiler may fuse, depends on the kind only.
    shape  : `shape(*inputs, **attrs) -> (shape, dtype)`; raises ValueError or TypeError in words.
    numpy  : `numpy(*arrays, **attrs) -> array`, the meaning of the op.
    vjp    : `vjp(ct, node, wanted) -> one cotangent (or None) per input`, in recorded ops;
             None where the derivative is zero everywhere it exists.
    rows   : `rows(n, node, attrs) -> attrs` for n rows at once, row axis first; None: unchanged.
    cheap  : recomputed rather than saved for a backward pass.
    linear : linear in its inputs together, so a sum over nodes may be pushed through it.
    collect: how the cotangents that reach one node are combined; None: as a sum.
             A node that has it may receive some whatever its dtype: its results are other nodes.
    own    : `own(attrs) -> attrs` of a copy of a node, where some attributes are each node's own.
    scalar : the op on one element, as an expression of the code generator's functions;
             None: unknown there.
    """

    name: str
    kind: str
    shape: Callable[..., tuple[Shape, np.dtype]]
    numpy: Callable[..., Any]
    vjp: Callable[..., Sequence[Tensor | None]] | None = None
    rows: Callable[..., dict[str, Any]] | None = None
    cheap: bool = False
    linear: bool = False
    collect: Callable[[list], Any] | None = None
    own: Callable[[dict[str, Any]], dict[str, Any]] | None = None
    scalar: str | None = None

    def __repr__(self) -> str:
        return f"<primitive {self.name}>"


def _no_rule(*_: Any, **__: Any) -> Any:
    raise TypeError("a leaf has no rule")


CONSTANT = Primitive("constant", "leaf", _no_rule, _no_rule)  # a read-only snapshot of an array
INPUT = Primitive("input", "leaf", _no_rule, _no_rule)  # a placeholder of a trace: no value yet
IDENTITY = Primitive(
    "identity", "elementwise", lambda x: (x.shape, x.dtype), lambda x: x,
    lambda ct, node, wanted: [ct], cheap=True, linear=True, scalar="x",
)  # fmt: skip


@dataclass(eq=False, slots=True)
class Trace:
    """A function being traced: leaves made meanwhile are its own, any other is captured."""

    name: str


_trace: ContextVar[Trace | None] = ContextVar("trace", default=None)  # of this thread or task


class Tensor:
    """A node of the graph: an array known by how it is computed.  Immutable; hashed by identity.

    op, inputs, attrs  : the primitive, the nodes it reads, its static attributes.
    shape, dtype, name : known as soon as the node is recorded; the name is optional.

    The value is computed when it is first read (`numpy()`, `float`, `print`, ...) and kept.
    `manners.reading` gives a Tensor these methods, `ops.operators` its operators.
    Setting an attribute raises AttributeError; reading a value inside a trace raises TypeError.
    """

    __slots__ = ("op", "inputs", "attrs", "shape", "dtype", "name", "site", "_value", "__weakref__")
    op: Primitive
    inputs: tuple[Tensor, ...]
    attrs: dict[str, Any]
    shape: Shape
    dtype: np.dtype
    name: str | None
    site: sites.Site | None
    _value: Any

    def __init__(
        self, op: Primitive, inputs: Any = None, attrs: Any = None, shape: Any = (),
        dtype: Any = None, name: str | None = None, value: Any = None,
        site: sites.Site | None = None,
    ) -> None:  # fmt: skip
        if inputs is None:
            raise TypeError(
                "a Tensor is made by mg.asarray(values), mg.tensors(tree) or what computes one"
            )
        put = object.__setattr__
        put(self, "op", op)
        put(self, "inputs", inputs)
        put(self, "attrs", attrs)
        put(self, "shape", shape)
        put(self, "dtype", dtype)
        put(self, "name", name)
        put(self, "site", sites.here(2) if site is None else site)
        put(self, "_value", value)

    def __setattr__(self, key: str, value: Any) -> None:
        raise AttributeError(
            f"a Tensor is immutable; {key!r} cannot be set (t.named(...) gives a named copy)"
        )

    __hash__ = object.__hash__

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    def named(self, name: str) -> Tensor:
        """The same node under another name (drawings, errors and `expr` show it)."""
        t = bind(IDENTITY, self) if self.op is INPUT else self  # a placeholder is itself alone
        return Tensor(t.op, t.inputs, t.attrs, t.shape, t.dtype, name, t._value, t.site)

    if TYPE_CHECKING:  # given by `ops.operators`, `manners.reading` and `manners.methods`
        def _op(self, *args: Any, **options: Any) -> Tensor: ...
        def _value_of(self, *args: Any) -> Any: ...
        def numpy(self) -> np.ndarray: ...
        def __iter__(self) -> Iterator[Tensor]: ...
        def __len__(self) -> int: ...
        def __float__(self) -> float: ...
        def __index__(self) -> int: ...

        __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = _op
        __rtruediv__ = __pow__ = __rpow__ = __matmul__ = __rmatmul__ = __neg__ = __abs__ = _op
        __lt__ = __le__ = __gt__ = __ge__ = __getitem__ = _op
        item = tolist = __array__ = _value_of
        all = any = argmax = argmin = argsort = astype = clip = compress = conj = cumprod = _op
        cumsum = diagonal = dot = flatten = max = mean = min = prod = ptp = ravel = repeat = _op
        reshape = round = searchsorted = squeeze = std = sum = swapaxes = take = trace = _op
        copy = transpose = var = __round__ = _op
        T = mT = property(_op)


def where_recorded(t: Tensor) -> str:
    """'file.py:12: h = tanh(a)', the user's line that recorded `t`; '' when there is none."""
    return sites.line(t.site) if t.site is not None else ""


def bind(op: Primitive, *inputs: Tensor, **attrs: Any) -> Tensor:
    """Record one node.

    Wrong shapes and dtypes are refused here, naming the op and what it was given.
    """
    try:
        shape, dtype = op.shape(*inputs, **attrs)
    except (ValueError, TypeError) as error:
        given = ", ".join(
            f"{t.name + ': ' if t.name else ''}{t.dtype}{list(t.shape)}" for t in inputs
        )
        raise type(error)(f"{op.name}({given}): {error}{sites.running()}") from None
    return Tensor(op, inputs, attrs, shape, dtype)


def refuse_mask(value: Any) -> None:
    if isinstance(value, np.ndarray) and hasattr(value, "mask"):  # np.ma is imported when asked for
        raise TypeError("a masked array would lose its mask; give its .data, and the mask apart")


def constant(value: Any, dtype: Any = None, name: str | None = None) -> Tensor:
    """A leaf holding a read-only snapshot of `value`: the caller's array may change later."""
    refuse_mask(value)
    try:
        array = np.array(value, dtype=dtype, order="C")
    except (TypeError, ValueError, OverflowError) as error:
        raise type(error)(f"no array of numbers, a {type(value).__name__}: {error}") from None
    if array.dtype.kind not in "fiub" or array.dtype.itemsize > 8:
        raise TypeError(
            f"a Tensor holds floats, integers or booleans; got {array.dtype} "
            f"({type(value).__name__}: {str(value)[:60]!r})"
        )
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    array.flags.writeable = False
    return Tensor(CONSTANT, (), {"trace": _trace.get()}, array.shape, array.dtype, name, array)


def placeholder(
    shape: Shape, dtype: np.dtype, name: str | None, trace: Trace | None = None
) -> Tensor:
    """A leaf without a value: an input of a traced function."""
    return Tensor(INPUT, (), {"trace": trace}, tuple(shape), np.dtype(dtype), name)


def trace_call(trace: Trace, f: Callable[..., Any], *args: Any) -> Any:
    """Call `f` with `trace` as the innermost trace, of this thread (or asyncio task) alone."""
    before = _trace.get()
    try:
        _trace.set(trace)
        return f(*args)
    finally:
        _trace.set(before)


def toposort(
    outputs: Iterable[Tensor], stop: Callable[[Tensor], bool] | None = None
) -> list[Tensor]:
    """Every node the outputs depend on, inputs before users; iterative.

    Inputs of a `stop` node are skipped.
    """
    done: set[Tensor] = set()
    begun: set[Tensor] = set()  # their inputs lie above them on the stack
    order: list[Tensor] = []
    stack = list(outputs)[::-1]
    while stack:
        t = stack[-1]
        if t in done:
            stack.pop()
        elif t in begun or not t.inputs or stop is not None and stop(t):
            stack.pop()
            done.add(t)
            order.append(t)
        else:
            begun.add(t)
            stack.extend(t.inputs[::-1])
    return order


def rebuild(outputs: Sequence[Tensor], swap: Mapping[Tensor, Tensor]) -> list[Tensor]:
    """The outputs with the nodes in `swap` exchanged; what does not depend on them stays itself."""
    new: dict[Tensor, Tensor] = dict(swap)
    for t in toposort(outputs, stop=new.__contains__):
        if t in new:
            continue
        inputs = [new[i] for i in t.inputs]
        same = all(a is b for a, b in zip(inputs, t.inputs, strict=True))
        new[t] = t if same else copied(t, inputs)
    return [new[t] for t in outputs]


def copied(t: Tensor, inputs: Iterable[Tensor], site: sites.Site | None = None) -> Tensor:
    """The node on other inputs of the same shapes; recorded where `t` was, or there."""
    attrs = t.op.own(t.attrs) if t.op.own else t.attrs
    return Tensor(t.op, tuple(inputs), attrs, t.shape, t.dtype, t.name, site=site or t.site)
