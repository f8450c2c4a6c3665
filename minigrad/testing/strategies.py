"""Hypothesis strategies for what minigrad computes with: arrays, expressions, cells, structures.

Import this module where tests are written (`pip install hypothesis`);
nothing else in minigrad needs it.
Examples are drawn choice by choice and shrink to something small that can be printed:
expressions, cells and problems print as scripts that run.

    from hypothesis import given
    from minigrad.testing import check_grads, strategies as mgst

    @given(mgst.expressions())
    def test_gradients(e):
        check_grads(e.f, *e.args)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st

from ..graph import Tensor
from ..ops.arrays import asarray
from ..structure import Structure
from ..transforms import block
from .examples.expressions import RULES, Expression, random_expression
from .examples.problems import (
    KINDS,
    RECIPES,
    Later,
    Printed,
    Problem,
    RandomCell,
    Recipe,
    random_cell,
    random_problem,
)
from .tester.cases import Case, random_case

__all__ = [
    "KINDS", "RULES", "arrays", "blocks", "cells", "expressions", "layouts", "problems",
    "programs", "sequences", "shapes", "structures", "tensors", "trees",
]  # fmt: skip


class Drawn:
    """A `Source` (see `problems`) whose choices Hypothesis makes, and shrinks."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw

    def integer(self, least: int, most: int) -> int:
        return self.draw(st.integers(least, most))

    def times(self, least: int, most: int, odds: int = 5) -> Iterator[int]:
        """Every turn begins with a choice, and one more ends them, also after the last possible.

        So whatever turn is taken out, the choices behind it keep their meaning.
        """
        for k in range(most):
            if k >= least and not self.draw(st.integers(0, odds)):  # "no more" is the simplest
                return
            yield k
        if most > least:
            self.draw(st.integers(0, 0))

    def span(self) -> AbstractContextManager[None]:
        return nullcontext()  # Hypothesis knows itself what belongs together

    def later(self, count: int) -> Later:
        return Later(self.draw(st.binary(min_size=count, max_size=count)))


@st.composite
def _from(draw: st.DrawFn, make: Callable[..., Any], *args: Any) -> Any:
    return make(Drawn(draw), *args)


# -- arrays ----------------------------------------------------------------------------------------


def shapes(
    min_dims: int = 0, max_dims: int = 3, min_side: int = 0, max_side: int = 4
) -> st.SearchStrategy[tuple[int, ...]]:
    """Shapes, of scalars and of empty arrays too."""
    return st.lists(
        st.integers(min_side, max_side), min_size=min_dims, max_size=max_dims
    ).map(tuple)  # fmt: skip


def _values(dtype: np.dtype, low: float, high: float) -> st.SearchStrategy:
    if dtype.kind == "b":
        return st.booleans()
    if dtype.kind in "iu":
        return st.integers(max(int(low), 0) if dtype.kind == "u" else int(low), int(high))
    eighths = st.integers(int(np.ceil(low * 8)), int(np.floor(high * 8))).map(lambda k: k / 8)
    width: Any = dtype.itemsize * 8
    ends = [float(np.asarray(v, dtype)) for v in (low, high)]
    other = st.floats(*ends, width=width, allow_subnormal=False)
    return eighths | other


def _specials(dtype: np.dtype, wanted: dict[str, bool]) -> list[Any]:
    if dtype.kind == "b":
        return []
    found: dict[str, list[Any]]
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        found = {"zeros": [0], "extremes": [info.max, info.min]}
    else:
        f = np.finfo(dtype)
        found = {
            "zeros": [0.0, -0.0],
            "infinities": [np.inf, -np.inf],
            "nans": [np.nan],
            "subnormals": [f.smallest_subnormal, -f.smallest_subnormal, f.tiny / 2],
            "extremes": [f.max, f.min, f.tiny, -f.tiny, f.max**0.5, f.tiny**0.5, 1000.0, -1000.0],
        }
    return [dtype.type(v) for name, vs in found.items() if wanted[name] for v in vs]


@st.composite
def arrays(
    draw: st.DrawFn, shape: Any = None, dtype: Any = np.float64, *, zeros: bool = True,
    ties: bool = True, infinities: bool = True, nans: bool = True, subnormals: bool = True,
    extremes: bool = True, odd_layouts: bool = True, low: float = -5.0, high: float = 5.0,
) -> np.ndarray:  # fmt: skip
    """Arrays as they trip up gradients.

    shape       : a tuple, a strategy of tuples, or None for any (0-d and empty ones too).
    dtype       : of floats, integers or booleans, or a strategy of dtypes.
    zeros       : 0 and -0 are planted; False: no element is 0.
    ties        : some elements are made equal; False: all elements differ.
    infinities, nans, subnormals: are planted.
    extremes    : the largest and smallest numbers, their roots, and +-1000 (which overflows exp).
    odd_layouts : reversed, strided, transposed and read-only memory.
    low, high   : the range of all other elements.

    With all specials off: distinct ordinary numbers.  Examples shrink to multiples of 1/8.
    """
    chosen = np.dtype(draw(dtype) if isinstance(dtype, st.SearchStrategy) else dtype)
    if chosen.kind not in "fiub" or chosen.itemsize > 8:
        raise ValueError(f"arrays: dtype must be of floats, integers or booleans; got {chosen}")
    given = shapes() if shape is None else shape
    dims = tuple(draw(given) if isinstance(given, st.SearchStrategy) else given)
    wanted = {
        "zeros": zeros, "infinities": infinities, "nans": nans, "subnormals": subnormals,
        "extremes": extremes,
    }  # fmt: skip
    ordinary = _values(chosen, low, high)
    if chosen.kind != "b" and not zeros:
        ordinary = ordinary.filter(lambda v: v != 0)
    planted = _specials(chosen, wanted)
    element = ordinary if not planted else st.one_of(ordinary, ordinary, st.sampled_from(planted))
    size = int(np.prod(dims))
    unique = not ties and chosen.kind != "b"
    values = draw(st.lists(element, min_size=size, max_size=size, unique=unique))
    a = np.array(values, chosen).reshape(dims)
    if ties and size > 1:
        flat = a.reshape(-1)
        for _ in Drawn(draw).times(0, 2):
            i, j = (draw(st.integers(0, size - 1)) for _ in range(2))
            flat[i] = flat[j]
    return draw(layouts(a)) if odd_layouts else a


@st.composite
def layouts(draw: st.DrawFn, a: np.ndarray) -> np.ndarray:
    """The same array in other memory: contiguous, reversed, strided, Fortran order, read-only."""
    kind = draw(st.sampled_from(["plain", "reversed", "strided", "transposed", "read-only"]))
    if kind == "reversed":
        back: Any = (..., *(slice(None, None, -1) for _ in a.shape))
        return np.array(a[back])[back]
    if kind == "strided":
        wide = np.full(tuple(2 * n + 1 for n in a.shape), 7, a.dtype)  # what lies between
        between: Any = (..., *(slice(1, None, 2) for _ in a.shape))
        view = wide[between]
        view[...] = a
        return view
    if kind == "transposed":
        return np.array(a, order="F")  # asfortranarray gives a number an axis
    if kind == "read-only":
        a = a.copy()
        a.flags.writeable = False
    return a


def tensors(shape: Any = None, dtype: Any = np.float64, **options: Any) -> st.SearchStrategy[Any]:
    """Tensors holding `arrays(...)` (the same arguments)."""
    return arrays(shape, dtype, **options).map(asarray)


# -- expressions, blocks, cells --------------------------------------------------------------------


def expressions(
    *, most: int = 6, dtype: Any = np.float64, specials: bool = False,
    only: Sequence[str] | None = None,
) -> st.SearchStrategy[Expression]:  # fmt: skip
    """Random well-typed expressions: `.f` takes arrays or Tensors like `.args`; prints as a script.

    most     : how many lines at most.
    specials : False: every op where it is smooth, away from kinks, values below 100,
               so that a gradient check decides.
               True: zeros, ties, infinities, NaN, overflow anywhere.
    only     : names in `RULES`, the table of ops; add rows to it for ops of your own.
    """
    return _from(random_expression, most, dtype, specials, only)


@dataclass(frozen=True, repr=False)
class BlockExample(Printed):
    """A traced function `f` (one `call` node per use), and `args` for it."""

    f: Callable[..., Tensor]
    expression: Expression

    @property
    def args(self) -> tuple[np.ndarray, ...]:
        return self.expression.args

    def __repr__(self) -> str:
        return self.expression.script.replace("def f(", "@mg.block\ndef f(", 1)


def blocks(**options: Any) -> st.SearchStrategy[BlockExample]:
    """Random expressions as blocks: `.f` is `mg.block` of it.  Options as for `expressions`."""
    return expressions(**options).map(lambda e: BlockExample(block(lambda *args: e.f(*args)), e))


def cells(slots: int = 1) -> st.SearchStrategy[RandomCell]:
    """Random cells `cell(p, carry, x) -> (carry, y)`, made of lines of Python and printed so.

    `.params(input_size, rng)` gives parameters,
    `.leaves` vectors of `.width` numbers each are the state of one of the `slots`.
    """
    return _from(random_cell, slots)


# -- structures and data on them -------------------------------------------------------------------


def structures(kind: str | None = None) -> st.SearchStrategy[Structure]:
    """Structures of one of `KINDS`, or of any.

    Chains, ragged and reversed batches of them (empty sequences too), forests, grids,
    and DAGs with several slots, double edges, fan-out and isolated nodes.
    """
    return _recipes(kind).map(Recipe.build)


def _recipes(kind: str | None) -> st.SearchStrategy[Recipe]:
    if kind is not None and kind not in RECIPES:
        raise ValueError(f"structures: kind must be one of {', '.join(KINDS)}; got {kind!r}")
    one = [_from(RECIPES[k]) for k in (KINDS if kind is None else [kind])]
    return st.one_of(one)


def problems(kind: str | None = None) -> st.SearchStrategy[Problem]:
    """A random cell over a random structure of one of `KINDS` (or of any).

    With parameters, first states and inputs: what the `laws` take.  Prints as a script.
    """
    _recipes(kind)
    return st.one_of([_from(random_problem, k) for k in (KINDS if kind is None else [kind])])


def programs() -> st.SearchStrategy[Case]:
    """Whole programs, as the fuzzer runs them.

    Random cells over random structures, and a graph that runs and differentiates them.

    `.text` is Python with public names only: it defines `step`, for `mg.function`,
    and `calls`, a list of arguments for it (arrays, a Structure, sizes).
    Prints as that text.
    """
    return _from(random_case)


@dataclass(frozen=True)
class Ragged:
    """Sequences of different lengths, padded: xs is (T, B, *features), lengths is (B,)."""

    lengths: list[int]
    xs: np.ndarray

    def each(self) -> list[np.ndarray]:
        """The sequences without padding, (length, *features) each."""
        return [self.xs[:n, b] for b, n in enumerate(self.lengths)]

    def rows(self) -> np.ndarray:
        """One row per step, sequence after sequence: the inputs of `Structure.chain(lengths)`."""
        return np.concatenate([*self.each(), self.xs[:0, 0]])


@st.composite
def sequences(
    draw: st.DrawFn, features: int | tuple[int, ...] = 2, *, most: int = 4, longest: int = 5,
    padding: float = 0.0, **options: Any,
) -> Ragged:  # fmt: skip
    """Batches of 1 to `most` sequences of 0 to `longest` steps, at least one step in all.

    features: the shape of one step.   padding: what stands behind a sequence's end.
    Other options as for `arrays`, specials being off where they are not asked for.
    """
    lengths = draw(st.lists(st.integers(0, longest), min_size=1, max_size=most).filter(any))
    one = (features,) if isinstance(features, int) else tuple(features)
    plain = dict.fromkeys(("infinities", "nans", "subnormals", "extremes", "odd_layouts"), False)
    rows = draw(arrays((sum(lengths), *one), **{**plain, **options}))
    xs = np.full((max(lengths), len(lengths), *one), padding, rows.dtype)
    start = 0
    for b, n in enumerate(lengths):
        xs[:n, b] = rows[start : start + n]
        start += n
    return Ragged(lengths, xs)


def trees(words: Sequence[str] = ("a", "b", "c"), arity: int = 2) -> st.SearchStrategy[Any]:
    """Trees as nested tuples with words at the leaves, of up to `arity` children a node.

    `recurrent` reads them as they are; they shrink to two words.
    """

    def node(inner: Any) -> Any:
        return st.lists(inner, min_size=2, max_size=arity).map(tuple)

    return node(st.recursive(st.sampled_from(list(words)), node, max_leaves=6))
