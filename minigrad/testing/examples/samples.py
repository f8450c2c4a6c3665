"""Sample calls of every differentiable array function.

What the tests of all ops, the mutation tester and random testing draw from.

One table, `SAMPLES`.
A `Sample` names the public function (or, for primitives that only rules record, the primitive),
calls it, and says of each argument its shape and its domain:
where the function is smooth by a margin, so that differences across it mean something.
`draw(seed)` gives the same arrays for the same seed.
Samples marked `kink` sit exactly at a tie or a corner
where a convention is stated (`minigrad.ops.elementwise`).

Elementwise functions are sampled from what is stated where they are declared (`ops.facts`);
for the others the samples stand here.
A new primitive with a rule must be reached by one,
and a new public function must have one or be in `WITHOUT_DERIVATIVE`:
`tests/ops/test_every_op.py` sees to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import minigrad as mg

from ... import ops
from ...graph import Shape, Tensor, bind, toposort
from ...ops.elementwise import absorb
from ...ops.facts import ELEMENTWISE
from ...ops.table import TABLE
from ...recur import RECUR, parts_of
from .domains import DOMAINS, Rng

__all__ = ["SAMPLES", "WITHOUT_DERIVATIVE", "Arg", "Sample", "primitives", "samples_of"]

# -- a call and its arguments ----------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Arg:
    """An argument: a shape and a domain, or exact values (a point where a convention is stated)."""

    shape: Shape
    domain: str = "any"
    values: Any = None

    def draw(self, rng: Rng) -> np.ndarray:
        if self.values is not None:
            return np.array(self.values, float)
        return np.asarray(DOMAINS[self.domain].draw(rng, self.shape), float)


@dataclass(frozen=True, eq=False)
class Sample:
    """A call of the op named `op`.

    label : what is special about it.          call : a function of as many Tensors as `args`.
    kink  : at a tie or a corner, where the derivative is a convention.
    """

    op: str
    label: str
    call: Callable[..., Any]
    args: tuple[Arg, ...]
    kink: bool = False

    def __repr__(self) -> str:
        return f"{self.op}[{self.label}]"

    def __call__(self, *tensors: Any) -> Any:
        return self.call(*tensors)

    def draw(self, seed: int = 0) -> tuple[np.ndarray, ...]:
        """Fresh float64 arrays for the arguments; the same for the same seed."""
        rng = np.random.default_rng([seed, *map(ord, repr(self))])
        return tuple(arg.draw(rng) for arg in self.args)


def real(*shape: int) -> Arg:
    return Arg(shape)


def of(domain: str, *shape: int) -> Arg:
    return Arg(shape, domain)


def at(*values: Any) -> Arg:
    array = np.array(values, float)
    return Arg(array.shape, values=array)


# -- elementwise -----------------------------------------------------------------------------------

SHAPES: dict[int, dict[str, list[Shape]]] = {  # by the number of operands
    1: {"square": [(3, 3)], "0-d": [()], "empty": [(2, 0)]},
    2: {
        "square": [(3, 3), (3, 3)], "column and row": [(3, 1), (1, 3)], "rows": [(2, 3), (3,)],
        "0-d": [(), ()], "empty": [(2, 0), (1, 1)],
    },
}  # fmt: skip


def _elementwise() -> Iterator[Sample]:
    """Of every function with a derivative, from what is stated where it is declared."""
    for name, f in ELEMENTWISE.items():
        if f.smooth and f.domains and name in ops.__all__:
            for label, shapes in SHAPES[len(f.domains)].items():
                args = tuple(Arg(s, d) for s, d in zip(shapes, f.domains, strict=True))
                yield Sample(name, label, getattr(mg, name), args)


MASK = np.array([[True, False, True], [False, False, True], [True, True, False]])


def _choices() -> Iterator[Sample]:
    def s(op: str, label: str, call: Any, *args: Arg, kink: bool = False) -> Sample:
        return Sample(op, label, call, args, kink)

    yield s("where", "both sides", lambda a, b: mg.where(MASK, a, b), real(3, 3), real(3, 3))
    yield s("where", "rows", lambda a, b: mg.where(MASK, a, b), real(3), real(3, 1))
    yield s("where", "by value", lambda a: mg.where(a > 0, mg.sin(a), a * a), of("not zero", 3, 3))
    yield s("where", "guard", lambda a: mg.where(a > 0, mg.sqrt(a), 0.0), at(-1.0, 0.0, 4.0),
            kink=True)  # fmt: skip
    yield s("clip", "numbers", lambda a: mg.clip(a, -1, 1), of("not whole", 3, 3))
    yield s("clip", "arrays", mg.clip, of("not whole", 3, 3), at(-1.0, -2.0, 0.0), at(1.0))
    yield s("clip", "lower", lambda a: mg.clip(a, min=0), of("not whole", 4))
    yield s("gelu", "approximate", lambda a: mg.gelu(a, approximate=True), real(3, 3))
    yield s("pow", "squared", lambda a: a**2, real(3, 3))
    yield s("pow", "cubed", lambda a: a**3, real(3, 3))
    yield s("pow", "of a base", lambda a: 2.0**a, real(2, 3))
    yield s("pow", "at 0", lambda a: mg.pow(a, 3.0) + mg.pow(a, 1.0), at(0.0, -2.0), kink=True)
    yield s("multiply", "with itself", lambda a: a * a, real(3, 3))
    yield s("add", "of many", lambda a, b: a + b + a * b + a, real(3, 3), real(3, 3))
    yield s("add", "n at once", lambda a, b, c: bind(TABLE["add"], a, b, c), *[real(2, 2)] * 3)
    yield s("absorb", "smooth", absorb, of("not zero", 3, 3), of("not zero", 3, 3))
    yield s("absorb", "0-d", absorb, of("not zero"), of("not zero"))
    yield s("identity", "of a name", lambda a: mg.tanh(a).named("h") * a, real(3, 3))
    for k in range(1, 4):
        yield s("sinc", f"derivative {k}", lambda a, k=k: bind(TABLE["sinc"], a, order=k), real(4))
    yield s("sinc", "at 0", mg.sinc, at(0.0, 1e-3, 0.5))
    yield s("tanh", "far out", mg.tanh, at(30.0, -30.0, 0.0))
    yield s("sigmoid", "far out", mg.sigmoid, at(30.0, -30.0, 0.0))
    yield s("softplus", "far out", mg.softplus, at(30.0, -30.0, 0.0))
    yield s("logaddexp", "far apart", mg.logaddexp, at(30.0, -30.0, 1.0), at(-30.0, 30.0, 1.0))
    yield s("astype", "single and back", lambda a: mg.astype(mg.astype(a, "f4"), "f8"), real(3, 3))
    yield s("astype", "single", lambda a: mg.astype(a, "f4"), real(3, 3))
    yield s("abs", "at 0", mg.abs, at(0.0, -1.0, 0.0), kink=True)
    yield s("relu", "at 0", mg.relu, at(0.0, -1.0, 2.0), kink=True)
    for name in ("maximum", "minimum"):
        f = getattr(mg, name)
        yield s(name, "ties", f, at(1.0, 2.0, 2.0), at(1.0, 2.0, 3.0), kink=True)
        yield s(name, "ties of rows", f, at([1.0, 2.0], [2.0, 1.0]), at(1.0, 1.0), kink=True)
        yield s(name, "with itself", lambda a, f=f: f(a, a), at(3.0, -1.0), kink=True)
    yield s("clip", "at the bounds", lambda a: mg.clip(a, 0.0, 1.0), at(0.0, 0.5, 1.0), kink=True)
    yield s("hypot", "origin", mg.hypot, at(0.0, 3.0), at(0.0, 4.0), kink=True)


# -- movement and indexing -------------------------------------------------------------------------


def _bound(name: str, **attrs: Any) -> Callable[..., Tensor]:
    """A primitive recorded as a rule records it."""
    return lambda *xs: bind(TABLE[name], *xs, **attrs)


ROWS = np.array([2, 0, 2, 1])


def _movements() -> Iterator[Sample]:
    def s(op: str, label: str, call: Any, *args: Arg) -> Sample:
        return Sample(op, label, call, args)

    yield s("reshape", "3-d", lambda a: mg.reshape(a, (2, 2, 3)), real(3, 4))
    yield s("reshape", "square", lambda a: mg.reshape(a, (9,)), real(3, 3))
    yield s("reshape", "empty", lambda a: mg.reshape(a, (3, 0)), real(0, 2))
    yield s("reshape", "to 0-d", lambda a: mg.reshape(a, ()), real(1, 1))
    yield s("broadcast_to", "rows", lambda a: mg.broadcast_to(a, (4, 3, 3)), real(3, 3))
    yield s("broadcast_to", "column", lambda a: mg.broadcast_to(a, (3, 3)), real(3, 1))
    yield s("broadcast_to", "inner", lambda a: mg.broadcast_to(a, (2, 3, 2)), real(2, 1, 2))
    yield s("broadcast_to", "of 0-d", lambda a: mg.broadcast_to(a, (2, 2)), real())
    yield s("broadcast_to", "empty", lambda a: mg.broadcast_to(a, (0, 3)), real(1, 3))
    yield s("permute_dims", "3-d", lambda a: mg.permute_dims(a, (2, 0, 1)), real(2, 3, 4))
    yield s("permute_dims", "cube", lambda a: mg.permute_dims(a, (2, 0, 1)), real(2, 2, 2))
    yield s("permute_dims", "negative", lambda a: mg.permute_dims(a, (-1, 0, 1)), real(3, 3, 3))
    yield s("matrix_transpose", "square", mg.matrix_transpose, real(3, 3))
    yield s("matrix_transpose", "batch", mg.matrix_transpose, real(2, 3, 2))
    yield s("matrix_transpose", "empty", mg.matrix_transpose, real(2, 0))
    yield s("moveaxis", "3-d", lambda a: mg.moveaxis(a, 0, -1), real(2, 3, 4))
    yield s("expand_dims", "inner", lambda a: mg.expand_dims(a, axis=1), real(2, 3))
    yield s("expand_dims", "0-d", mg.expand_dims, real())
    yield s("squeeze", "all", mg.squeeze, real(1, 3, 1))
    yield s("squeeze", "one", lambda a: mg.squeeze(a, axis=-1), real(1, 3, 1))
    yield s("concat", "rows", lambda a, b: mg.concat([a, b]), real(2, 3), real(1, 3))
    yield s("concat", "square", lambda a, b: mg.concat([a, b], axis=1), real(3, 3), real(3, 3))
    yield s("concat", "with itself", lambda a, b: mg.concat([a, b, a]), real(2), real(2))
    yield s("concat", "empty", lambda a, b: mg.concat([a, b]), real(0, 2), real(2, 2))
    yield s("stack", "inner", lambda a, b: mg.stack([a, b], axis=1), real(2, 3), real(2, 3))
    yield s("stack", "0-d", lambda a, b: mg.stack([a, b, a]), real(), real())
    yield s("flip", "all", mg.flip, real(3, 3))
    yield s("flip", "one", lambda a: mg.flip(a, axis=0), real(2, 3))
    yield s("split", "parts", lambda a: mg.split(a, 2, axis=1), real(3, 4))
    yield s("split", "places", lambda a: mg.split(a, [1, 1, -1]), real(4))
    yield s("unstack", "inner", lambda a: mg.unstack(a, axis=1), real(3, 3))
    yield s("roll", "flat", lambda a: mg.roll(a, 2), real(3, 3))
    yield s("roll", "two axes", lambda a: mg.roll(a, (1, -1), axis=(0, 1)), real(3, 3))
    yield s("tile", "matrix", lambda a: mg.tile(a, (2, 1, 2)), real(2, 2))
    yield s("tile", "0-d", lambda a: mg.tile(a, 3), real())
    yield s("repeat", "flat", lambda a: mg.repeat(a, 2), real(2, 2))
    yield s("repeat", "unevenly", lambda a: mg.repeat(a, [2, 0, 3], axis=1), real(3, 3))
    yield s("pad", "zeros", lambda a: mg.pad(a, ((1, 0), (0, 2))), real(2, 2))
    for mode in ("edge", "reflect", "wrap"):
        yield s("pad", mode, lambda a, m=mode: mg.pad(a, ((1, 1), (2, 0)), m), real(3, 3))
    yield s("linspace", "of Tensors", lambda a, b: mg.linspace(a, b, 4), real(2, 1), real(3))
    yield s("meshgrid", "two", mg.meshgrid, real(2), real(3))
    yield s("meshgrid", "by index", lambda a, b: mg.meshgrid(a, b, indexing="ij"), real(3), real(3))
    yield s("broadcast_arrays", "three", mg.broadcast_arrays, real(3, 1), real(3), real())
    yield s("full", "of a number", lambda a: mg.full((2, 3), a), real())
    yield s("full_like", "of a number", lambda a, b: mg.full_like(a, b) * a, real(2, 3), real())
    yield s("slice", "steps", lambda a: a[1:, ::-2], real(3, 4))
    yield s("slice", "one row", lambda a: a[1], real(3, 3))
    yield s("slice", "nothing", lambda a: a[:0], real(3, 2))
    corner = ((1, 3, None), (None, None, 2))
    yield s("place", "corner", _bound("place", index=corner, shape=(3, 4)), real(2, 2))
    back = ((None, None, -1),)
    yield s("place", "backwards", _bound("place", index=back, shape=(4,)), real(4))
    yield s("take", "twice", lambda a: mg.take(a, ROWS), real(3, 3))
    yield s("take", "axis", lambda a: mg.take(a, [[2, -1], [0, 2]], axis=1), real(2, 3))
    yield s("take", "nothing", lambda a: mg.take(a, np.zeros(0, int)), real(3))
    yield s("take", "pairs", lambda a: a[[0, 2, 0], [1, 1, 1]], real(3, 3))
    yield s("take", "mask", lambda a: a[MASK], real(3, 3))
    yield s("take", "arrays apart", lambda a: a[ROWS % 2, :, ROWS], real(2, 2, 3))
    pick = np.array([[2, 0, 2], [1, 1, 0], [0, 2, 1]])
    yield s("take_along_axis", "last", lambda a: mg.take_along_axis(a, pick), real(3, 3))
    yield s("take_along_axis", "rows", lambda a: mg.take_along_axis(a, pick[:2], axis=0),
            real(3, 3))  # fmt: skip
    yield s("scatter", "twice", lambda a: mg.scatter(a, ROWS, 4), real(4, 3))
    yield s("scatter", "2-d rows", lambda a: mg.scatter(a, [[0, 1], [1, 1]], 2), real(2, 2, 2))


# -- reductions and contractions -------------------------------------------------------------------

AXES = {
    "all": {}, "rows": {"axis": 0}, "last, kept": {"axis": -1, "keepdims": True},
    "two": {"axis": (0, 2)}, "two, kept": {"axis": (-1, 0), "keepdims": True},
}  # fmt: skip


def _reductions() -> Iterator[Sample]:
    def s(op: str, label: str, call: Any, *args: Arg, kink: bool = False) -> Sample:
        return Sample(op, label, call, args, kink)

    for name, domain in REDUCTIONS.items():
        f = getattr(mg, name)
        for label, how in AXES.items():
            yield s(name, label, lambda a, f=f, how=how: f(a, **how), of(domain, 2, 3, 2))
        yield s(name, "square", lambda a, f=f: f(a, axis=1), of(domain, 3, 3))
        yield s(name, "0-d", f, of(domain))
        yield s(name, "of nothing wide", lambda a, f=f: f(a, axis=0), of(domain, 2, 0))
    yield s("sum", "empty", lambda a: mg.sum(a, axis=-1), real(2, 0))
    for name in ("cumulative_sum", "cumulative_prod"):
        f = getattr(mg, name)
        yield s(name, "vector", f, real(4))
        yield s(name, "square", lambda a, f=f: f(a, axis=0), real(3, 3))
        yield s(name, "cube", lambda a, f=f: f(a, axis=1), real(2, 3, 2))
        yield s(name, "from the start", lambda a, f=f: f(a, axis=-1, include_initial=True),
                real(2, 3))  # fmt: skip
        yield s(name, "empty", lambda a, f=f: f(a, axis=1), real(2, 0))
        yield s(name, "backwards", _bound(name, axis=-1, reverse=True), real(2, 3))
    for zeros in ([2.0, 0.0, 3.0], [0.0, 0.0, 4.0]):
        yield s("cumulative_prod", f"of {zeros}", mg.cumulative_prod, at(*zeros))
        yield s("prod", f"of {zeros}", mg.prod, at(*zeros))
    for back in (False, True):
        yield s("linear_recurrence", f"backwards: {back}", _bound(
            "linear_recurrence", axis=-1, reverse=back), real(3, 3), real(3, 3))  # fmt: skip
    yield s("linear_recurrence", "rows", _bound("linear_recurrence", axis=-2, reverse=False),
            real(4, 2), real(4, 2))  # fmt: skip
    yield s("prod", "empty", lambda a: mg.prod(a, axis=-1), real(2, 0))
    for order in (1, 3, 2.5, np.inf, -np.inf):
        yield s("norm", f"of order {order}", lambda a, p=order: mg.norm(a, axis=-1, ord=p),
                of("distinct, positive", 3, 3))  # fmt: skip
    yield s("norm", "at 0", lambda a: mg.norm(a, axis=-1), at([0.0, 0.0], [3.0, 4.0]), kink=True)
    yield s("std", "of equal numbers", mg.std, at(2.0, 2.0, 2.0), kink=True)
    for name in ("var", "std"):
        f = getattr(mg, name)
        yield s(name, "unbiased", lambda a, f=f: f(a, axis=0, correction=1), of("distinct", 3, 3))
    yield s("diff", "square", mg.diff, real(3, 3))
    yield s("diff", "twice", lambda a: mg.diff(a, n=2, axis=0), real(4, 2))
    yield s("diff", "joined", lambda a, b: mg.diff(a, prepend=b, append=b), real(2, 3), real(2, 1))
    for down in (False, True):
        yield s("sort", f"square, descending: {down}", lambda a, d=down: mg.sort(a, descending=d),
                of("distinct", 3, 3))  # fmt: skip
    yield s("sort", "rows", lambda a: mg.sort(a, axis=0), of("distinct", 3, 2))
    yield s("sort", "ties", mg.sort, at(2.0, 1.0, 2.0), kink=True)
    for name in ("max", "min"):
        f = getattr(mg, name)
        yield s(name, "ties", f, at(2.0, 2.0, 1.0, 1.0), kink=True)
        yield s(name, "ties by row", lambda a, f=f: f(a, axis=1),
                at([1.0, 1.0, 1.0], [2.0, 3.0, 3.0], [2.0, 2.0, 3.0]), kink=True)  # fmt: skip
    for name in ("softmax", "log_softmax"):
        f = getattr(mg, name)
        yield s(name, "square", f, real(3, 3))
        yield s(name, "rows", lambda a, f=f: f(a, axis=0), real(2, 3))
    labels = np.array([2, 0, 1])
    yield s("cross_entropy", "square", lambda z: mg.cross_entropy(z, labels), real(3, 3))
    yield s("cross_entropy", "one", lambda z: mg.cross_entropy(z, 1), real(4))


REDUCTIONS = {
    "logsumexp": "any", "max": "distinct", "mean": "any", "min": "distinct", "norm": "any",
    "prod": "any", "sum": "any", "var": "any",
}  # fmt: skip


def _contractions() -> Iterator[Sample]:
    def s(op: str, label: str, call: Any, *args: Arg) -> Sample:
        return Sample(op, label, call, args)

    for label, a, b in (
        ("square", (3, 3), (3, 3)), ("oblong", (2, 3), (3, 4)), ("row", (3,), (3, 3)),
        ("column", (3, 3), (3,)), ("dot", (3,), (3,)), ("batch", (2, 3, 3), (2, 3, 3)),
        ("one batch", (2, 2, 3), (3, 3)), ("batches broadcast", (2, 1, 2, 3), (2, 3, 2)),
        ("empty inside", (2, 0), (0, 2)), ("empty outside", (0, 3), (3, 2)),
    ):  # fmt: skip
        yield s("matmul", label, mg.matmul, real(*a), real(*b))
    for subs, shapes in (
        ("ij,jk->ik", [(3, 3), (3, 3)]), ("ij,kj->ki", [(2, 3), (4, 3)]), ("ii->i", [(3, 3)]),
        ("ii", [(3, 3)]), ("ij->j", [(3, 3)]), ("ij->ji", [(3, 3)]), ("i,j->ij", [(3,), (3,)]),
        ("i,ij,j", [(3,), (3, 3), (3,)]), ("iji,j->ij", [(3, 3, 3), (3,)]),
        ("ij,k->i", [(2, 3), (4,)]), (",i->i", [(), (3,)]), ("ij,ij", [(3, 3), (3, 3)]),
    ):  # fmt: skip
        yield s("einsum", subs, lambda *xs, k=subs: mg.einsum(k, *xs), *[real(*n) for n in shapes])
    yield s("einsum", "with itself", lambda a: mg.einsum("ij,jk->ik", a, a), real(3, 3))
    yield s("vecdot", "square", mg.vecdot, real(3, 3), real(3, 3))
    yield s("vecdot", "axis", lambda a, b: mg.vecdot(a, b, axis=0), real(3, 2), real(3, 1))
    for name in ("diagonal", "trace"):
        f = getattr(mg, name)
        yield s(name, "square", f, real(3, 3))
        yield s(name, "above", lambda a, f=f: f(a, offset=1), real(2, 2, 4))
        yield s(name, "below", lambda a, f=f: f(a, offset=-1), real(3, 2))
    for name in ("tril", "triu"):
        f = getattr(mg, name)
        yield s(name, "square", f, real(3, 3))
        yield s(name, "oblong", lambda a, f=f: f(a, k=1), real(2, 2, 4))
    yield s("cross", "square", mg.cross, real(3, 3), real(3, 3))
    yield s("cross", "columns", lambda a, b: mg.cross(a, b, axis=0), real(3, 2), real(3, 1))
    yield s("einsum", "...", lambda a, b: mg.einsum("...ij,jk->...ik", a, b), real(2, 2, 3),
            real(3, 2))  # fmt: skip
    yield s("outer", "vectors", mg.outer, real(3), real(2))
    yield s("tensordot", "one", lambda a, b: mg.tensordot(a, b, axes=1), real(3, 3), real(3, 3))
    yield s("tensordot", "lists", lambda a, b: mg.tensordot(a, b, axes=([0, 1], [1, 0])),
            real(3, 3, 2), real(3, 3))  # fmt: skip


# -- blocks and recurrences ------------------------------------------------------------------------
# The cells are made inside the calls: a block keeps its pullbacks, and a new cell has none.


def _children(n: int) -> list[list[int]]:
    return [[], [], [1, 0], [], [2, 3]][:n]


def _rnn(shared: Any, carry: Any, x: Any) -> Any:
    h = mg.tanh(shared[0] @ carry + shared[1] @ x)
    return h, h * x


def _chain(w: Any, u: Any, h: Any, xs: Any) -> Any:
    cell = lambda shared, carry, x: _rnn(shared, carry, x)  # noqa: E731
    return mg.recur(cell, mg.Structure.chain([3, 1]), initial=h, shared=(w, u), inputs=xs)


def _two_slots(structure: Callable[[], mg.Structure]) -> Callable[..., Any]:
    def call(w: Any, u: Any, h: Any, xs: Any) -> Any:
        def cell(shared: Any, carry: Any, x: Any) -> Any:
            a, b = shared
            state = mg.tanh(a @ carry[0] + b @ carry[1] + x)
            return state, mg.sum(state * state)

        return mg.recur(cell, structure(), initial=h, shared=(w, u), inputs=xs)

    return call


def _dag() -> mg.Structure:
    """Fan-out, two edges of one slot into one row, one edge twice, an isolated row, two slots."""
    edges = [(0, 1, 0), (0, 2, 0), (0, 2, 1), (1, 3, 0), (2, 3, 0), (1, 3, 1), (1, 3, 1)]
    return mg.Structure.edges(5, *zip(*edges, strict=True))


GATES = ("i", "f", "g", "o")


def _lstm(*args: Any) -> Any:
    """Named gates: arguments are one recurrent matrix per gate, then the state and the inputs."""
    *weights, h, c, xs = args

    def cell(shared: Any, carry: Any, x: Any) -> Any:
        h, c = carry
        i, f, g, o = (w @ h + x for w in shared)
        c = mg.sigmoid(f) * c + mg.sigmoid(i) * mg.tanh(g)
        h = mg.sigmoid(o) * mg.tanh(c)
        return (h, c), h

    chain = mg.Structure.chain(3)
    return mg.recur(cell, chain, initial=(h, c), shared=tuple(weights), inputs=xs)


def _recurrences() -> Iterator[Sample]:
    def s(label: str, call: Any, *args: Arg) -> Sample:
        return Sample("recur", label, call, args)

    matrices = (of("inside one", 2, 2), of("inside one", 2, 2))
    yield s("ragged chains", _chain, *matrices, real(2, 2), real(4, 2))
    forest, grid = lambda: mg.Structure.forest(_children(5)), lambda: mg.Structure.grid((2, 3))
    yield s("forest", _two_slots(forest), *matrices, real(1, 2), real(5, 2))
    yield s("grid", _two_slots(grid), *matrices, real(1, 2), real(6, 2))
    yield s("dag", _two_slots(_dag), *matrices, real(1, 2), real(5, 2))
    gates = [of("inside one", 2, 2)] * len(GATES)
    yield s("lstm", _lstm, *gates, real(1, 2), real(1, 2), real(3, 2))
    yield s("block", lambda a, b: mg.block(lambda x, y: (mg.tanh(x @ y), x * y))(a, b),
            real(2, 2), real(2, 2))  # fmt: skip
    yield s("vmap", lambda a, b: mg.vmap(lambda x, y: mg.sin(x @ y), in_axes=(0, None))(a, b),
            real(3, 2), real(2, 2))  # fmt: skip
    rows = [1, 1, -1, 0]
    table = lambda w, h, t: mg.recur(  # noqa: E731
        lambda shared, carry, x: (mg.tanh(shared * carry + x), x * carry),
        mg.Structure.chain(4), initial=h, shared=w, inputs=mg.Indexed(t, rows),
    )  # fmt: skip
    yield s("table", table, real(2), real(1, 2), real(2, 2))


SAMPLES: tuple[Sample, ...] = (
    *_elementwise(), *_choices(), *_movements(), *_reductions(), *_contractions(), *_recurrences(),
)  # fmt: skip

WITHOUT_DERIVATIVE = frozenset(
    """all any arange argmax argmin argsort asarray checked count_nonzero empty empty_like eye
    from_dlpack ones ones_like searchsorted zeros zeros_like""".split()
) | {name for name, f in ELEMENTWISE.items() if not f.smooth and name in ops.__all__}
# creation, comparison, counting, rounding: zero or no derivative


# -- what a sample reaches -------------------------------------------------------------------------


def primitives(outputs: Sequence[Tensor]) -> set[str]:
    """Names of the primitives in the graph of `outputs`, blocks of recurrences included."""
    found: set[str] = set()
    waiting, seen = [list(outputs)], set()
    while waiting:
        for t in toposort(waiting.pop()):
            found.add(t.op.name)
            if t.op is RECUR and (block := parts_of(t).block) not in seen:
                seen.add(block)
                waiting.append(list(block.nodes))
    return found


def samples_of(name: str) -> list[Sample]:
    """The samples of a public function, or of a primitive of that name."""
    return [s for s in SAMPLES if s.op == name]
