"""Random recurrences: structures of every kind, cells made of random steps, and their inputs.

What is random is asked of a `Source`, one small integer at a time.
A `Seeded` source answers from a seed, for `make_problem`;
the source in `strategies` asks Hypothesis, so that a failing example shrinks choice by choice.
A random cell is a list of lines of Python,
and a `Problem` prints as the script that builds and runs it.
"""

from __future__ import annotations

import linecache
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Protocol, TypeVar

import numpy as np
import optree

from ...graph import Tensor
from ...io import tensors
from ...ops.elementwise import square
from ...ops.functions import sin
from ...ops.reduce import sum as total_of
from ...structure import Structure
from ...tracing import recur

T = TypeVar("T")


class Source(Protocol):
    """Where choices come from; the first possibility is the simplest, to which examples shrink."""

    def integer(self, least: int, most: int) -> int:
        """A number from `least` to `most`, both included."""

    def times(self, least: int, most: int) -> Iterable[int]:
        """0, 1, 2, ...: between `least` and `most` of them."""

    def later(self, count: int) -> Later:
        """So many choices at once, to be used later."""


class Seeded:
    """Choices from a seed, through NumPy."""

    def __init__(self, seed: Any) -> None:
        self.rng = np.random.default_rng(seed)

    def integer(self, least: int, most: int) -> int:
        return int(self.rng.integers(least, most + 1))

    def times(self, least: int, most: int) -> Iterable[int]:
        return range(self.integer(least, most))

    def later(self, count: int) -> Later:
        return Later(self.rng.integers(0, 256, count).tolist())


class Later:
    """Choices made before what they are for was known: any number does for any range.

    They are always equally many, so whatever is made of them, those behind keep their meaning.
    """

    def __init__(self, given: Iterable[int]) -> None:
        self.rest = [*given][::-1]

    def integer(self, least: int, most: int) -> int:
        return least + (self.rest.pop() if self.rest else 0) % (most - least + 1)

    def times(self, least: int, most: int, odds: int = 5) -> Iterator[int]:
        for k in range(most):
            if k >= least and not self.integer(0, odds):
                return
            yield k

    def span(self) -> AbstractContextManager[None]:
        return nullcontext()

    def later(self, count: int) -> Later:
        return Later([self.integer(0, 255) for _ in range(count)])


def choice(source: Source, items: Sequence[T]) -> T:
    return items[source.integer(0, len(items) - 1)]


class Printed:
    """Shown as its `repr` where Hypothesis reports a failing example, on lines of its own."""

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        text = repr(self)
        printer.text(f"\n{text}\n" if "\n" in text else text)


# -- functions made of text ------------------------------------------------------------------------

_numbers = count(1)


def function_of(text: str, name: str, what: str) -> Callable[..., Any]:
    """The function `name` that `text` defines; errors and drawings can show its lines."""
    file = f"<{what} {next(_numbers)}>"
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    from ... import ops

    names: dict[str, Any] = {"mg": ops, "np": np, "__name__": file}
    exec(compile(text, file, "exec"), names)
    return names[name]


# -- structures ------------------------------------------------------------------------------------


@dataclass(frozen=True, repr=False)
class Recipe(Printed):
    """How a structure is made: a constructor of `Structure` and its arguments."""

    make: str
    args: tuple[Any, ...]
    options: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        given = [*map(repr, self.args), *(f"{k}={v!r}" for k, v in self.options.items())]
        return f"mg.Structure.{self.make}({', '.join(given)})"

    def build(self) -> Structure:
        return getattr(Structure, self.make)(*self.args, **self.options)


def _chain(source: Source) -> Recipe:
    return Recipe("chain", (source.integer(1, 5),))


def _lengths(source: Source) -> list[int]:
    """At least one sequence of more than one step, so that something recurs."""
    return [source.integer(0, 4) for _ in source.times(1, 4)] + [2]


def _ragged(source: Source) -> Recipe:
    return Recipe("chain", (_lengths(source),))


def _reversed(source: Source) -> Recipe:
    return Recipe("chain", (_lengths(source),), {"reverse": True})


def random_children(source: Source, n: int, arity: int = 2) -> list[list[int]]:
    """A forest over n rows, for `Structure.forest`.

    Each row becomes the child of a later one with a free place, or a root; children in any order.
    """
    children: list[list[int]] = [[] for _ in range(n)]
    for row in range(n - 1):
        free = [p for p in range(row + 1, n) if len(children[p]) < arity]
        at = source.integer(0, 6)
        if free and at < 6:
            own = children[free[at % len(free)]]
            own.insert(source.integer(0, len(own)), row)
    return children


def _forest(source: Source) -> Recipe:
    n = 3 + len([*source.times(0, 5)])
    return Recipe("forest", (random_children(source, n),), {"slots": 2})


def _grid(source: Source) -> Recipe:
    return Recipe("grid", ((source.integer(1, 3), source.integer(2, 4)),))


def _dag(source: Source) -> Recipe:
    """Any edges between rows in any order, of two slots, some of them twice."""
    n = source.integer(3, 7)
    edges: list[tuple[int, int, int]] = []
    rest, place = list(range(n)), []
    while rest:
        place.append(rest.pop(source.integer(0, len(rest) - 1)))
    for _ in source.times(1, 11):
        if edges and source.integer(0, 5) == 5:
            edges.append(edges[-1])
        else:
            a = source.integer(0, n - 2)
            edges.append((place[a], place[source.integer(a + 1, n - 1)], source.integer(0, 1)))
    return edges_recipe(n, edges)


def edges_recipe(n: int, edges: Sequence[tuple[int, int, int]]) -> Recipe:
    """A Recipe from (source, target, slot) triples."""
    return Recipe("edges", (n, *([e[k] for e in edges] for k in range(3))))


# Fan-out 3 (row 0), two edges of one slot into one row, one edge twice, an isolated row (5).
KNOT = edges_recipe(
    7,
    [(0, 1, 0), (0, 2, 0), (0, 3, 1), (1, 3, 0), (2, 3, 0), (3, 4, 0), (3, 4, 0), (1, 4, 1),
     (6, 4, 1)],
)  # fmt: skip

RECIPES: dict[str, Callable[[Source], Recipe]] = {
    "chain": _chain, "ragged": _ragged, "reversed": _reversed, "forest": _forest, "grid": _grid,
    "dag": _dag,
}  # fmt: skip
KINDS = tuple(RECIPES)


# -- cells -----------------------------------------------------------------------------------------

STEPS = {  # of two earlier vectors a, b of one width, parameters p, and k = 0 or 1
    "tanh": "mg.tanh({a})",
    "sigmoid": "mg.sigmoid({a})",
    "sin": "mg.sin({a})",
    "product": "{a} * {b}",
    "difference": "{a} - 2 * {b}",
    "gate": "mg.sigmoid({a}) * {b}",
    "matrix": '{a} @ p["M{k}"]',
    "scale": '{a} * p["gain"] + p["bias"]',
    "parameter": 'mg.exp(p["bias"]) * {a}',
    "exp": "mg.exp(-mg.square({a}))",
    "root": "mg.sqrt(mg.square({a}) + 1)",
    "quotient": "{a} / (1.5 + mg.square({b}))",
    "norm": "({a} - mg.mean({a})) / mg.sqrt(mg.mean(mg.square({a})) + 0.3)",
    "softmax": "mg.softmax({a}, axis=-1)",
    "dot": "mg.vecdot({a}, {b}) * {a}",
    "outer": 'mg.sum(mg.outer({a}, {b}) * p["M0"], axis=0)',
    "reverse": "{a}[::-1]",
    "rotate": "mg.concat([{a}[1:], {b}[:1]])",
    "gather": "{a}[np.array([0, 0, 1])[:{width}]] + {b}",
}
Step = tuple[str, int, int, int]  # a name in STEPS, which vectors (counted back), which matrix


@dataclass(eq=False, repr=False)
class RandomCell(Printed):
    """cell(p, carry, x) -> (carry, y) of random steps; prints as its Python.

    The carry has `slots` states of `leaves` vectors of length `width`;
    y is a vector "y" and a number "z".
    Equal steps make equal programs, but never the same object.
    """

    steps: Sequence[Step]
    slots: int = 1
    leaves: int = 1
    width: int = 2
    name: str = "random cell"
    state_names: tuple[str, ...] = ("a", "b")

    def __post_init__(self) -> None:
        self.text = self._text()
        self._run = function_of(self.text, "cell", "random cell")

    def __repr__(self) -> str:
        return self.text

    def __call__(self, p: Any, carry: Any, x: Any) -> tuple[Any, Any]:
        return self._run(p, carry, x)

    def _text(self) -> str:
        names = [f"s{k}" for k in range(self.slots * self.leaves)]
        groups = [names[k : k + self.leaves] for k in range(0, len(names), self.leaves)]
        slots = [f"({', '.join(g)})" if self.leaves > 1 else g[0] for g in groups]
        lines = [f"{', '.join(slots) if self.slots > 1 else slots[0].strip('()')} = carry"]
        lines += ['v0 = x @ p["W"]']
        lines += [f'v{k + 1} = mg.tanh({s}) @ p["U{k}"]' for k, s in enumerate(names)]
        pool = [f"v{k}" for k in range(len(names) + 1)] + names
        for step, a, b, k in self.steps:
            new = f"v{len(pool) - len(names)}"
            operands = {"a": pool[-1 - a % len(pool)], "b": pool[b % len(pool)]}
            lines.append(f"{new} = {STEPS[step].format(**operands, k=k, width=self.width)}")
            pool.append(new)
        last = pool[-1]
        lines.append(f"total = {' + '.join(pool)}")
        new = f"mg.tanh(total), 0.5 * mg.sin(total) + 0.5 * mg.tanh({last})"
        state = f"({new})" if self.leaves > 1 else "mg.tanh(total)"
        lines.append(f'return {state}, {{"y": total * {last}, "z": mg.sum({last})}}')
        return "\n    ".join(["def cell(p, carry, x):", *lines]) + "\n"

    def shapes(self, inputs: int) -> dict[str, tuple[int, ...]]:
        w = self.width
        recurrent = {f"U{k}": (w, w) for k in range(self.slots * self.leaves)}
        return {
            "W": (inputs, w), "M0": (w, w), "M1": (w, w), "gain": (w,), "bias": (w,), **recurrent,
        }  # fmt: skip

    def params(self, inputs: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        return {k: 0.5 * rng.standard_normal(s) for k, s in self.shapes(inputs).items()}


def random_cell(source: Source, slots: int = 1) -> RandomCell:
    """At most five steps of the table, over one or two state vectors of two or three numbers."""
    names, steps = list(STEPS), []
    for _ in source.times(1, 5):
        name = choice(source, names)
        steps.append((name, source.integer(0, 7), source.integer(0, 7), source.integer(0, 1)))
    return RandomCell(steps, slots, source.integer(1, 2), source.integer(2, 3))


# -- problems --------------------------------------------------------------------------------------


@dataclass(eq=False, repr=False)
class Problem(Printed):
    """A recurrence to run, as arrays; `run` makes its graph.

    initial : a pytree of arrays with leading axis 1, or one row per component of the structure.
    inputs  : a pytree of arrays with a row per node, or None.
    rows    : which weights of the loss each node has (default: its own),
              so that a part of a problem is weighed as in the whole; -1: none.
    """

    structure: Structure
    cell: Callable[..., Any]
    shared: Any
    initial: Any
    inputs: Any
    seed: Any = 0
    rows: np.ndarray | None = None
    kind: str = ""
    recipe: Recipe | None = None

    def __repr__(self) -> str:
        return self.script

    @property
    def script(self) -> str:
        """What builds and runs this problem: paste it into Python."""
        imports = ["import minigrad as mg", "import numpy as np", ""]
        known = isinstance(self.cell, RandomCell)
        first = ["", *str(self.cell).splitlines(), ""] if known else ["", f"# cell: {self.cell!r}"]
        s = self.structure
        structure = self.recipe or edges_recipe(
            s.n, [*zip(s.src.tolist(), s.dst.tolist(), s.slot.tolist(), strict=True)]
        )
        arrays = [f"{k} = {source_of(getattr(self, k))}" for k in ("shared", "initial", "inputs")]
        run = "mg.recur(cell, structure, initial=initial, shared=shared, inputs=inputs)"
        return "\n".join(
            [*imports, *first, f"structure = {structure}", *arrays, f"print(mg.evaluate({run}))"]
        )

    def arrays(self) -> dict[str, Any]:
        return {"shared": self.shared, "initial": self.initial, "inputs": self.inputs}

    def tensors(self) -> dict[str, Any]:
        return tensors(self.arrays())

    def run(self, t: Mapping[str, Any], checkpoint: int | None = None) -> tuple[Any, Any]:
        return recur(
            self.cell, self.structure, initial=t["initial"], shared=t["shared"], inputs=t["inputs"],
            checkpoint=checkpoint,
        )  # fmt: skip

    def loss(self, states: Any, outputs: Any) -> Any:
        """A scalar that weighs every node differently and is not linear."""
        n = self.structure.n
        rows = np.arange(n) if self.rows is None else self.rows
        most = int(rows.max(initial=-1)) + 1
        total: Any = 0.0
        inner = optree.tree_leaves(states)
        for number, leaf in enumerate([*inner, *optree.tree_leaves(outputs)]):
            if not isinstance(leaf, Tensor) or leaf.dtype.kind != "f":
                continue
            weights = np.random.default_rng([7, number]).standard_normal(most + 1)
            weights[-1] = 0.0
            per_node = weights[rows].reshape(n, *(1,) * (leaf.ndim - 1)).astype(leaf.dtype)
            term = square(leaf) + leaf if number < len(inner) else sin(leaf)
            total = total + total_of(term * per_node)
        return total


def source_of(tree: Any) -> str:
    """Python that makes a pytree of arrays; floats keep every bit (NaN, infinities too)."""
    if isinstance(tree, Mapping):
        return "{" + ", ".join(f"{k!r}: {source_of(v)}" for k, v in tree.items()) + "}"
    if isinstance(tree, (tuple, list)):
        inner = "".join(f"{source_of(v)}, " for v in tree)
        return f"({inner.strip()})" if isinstance(tree, tuple) else f"[{inner.rstrip(', ')}]"
    if not isinstance(tree, (np.ndarray, np.generic, Tensor)):
        return repr(tree)
    array = np.asarray(tree)
    values = repr(array.tolist()).replace("nan", "np.nan").replace("inf", "np.inf")
    dtype = "" if array.dtype in (np.float64, np.bool_) else f', "{array.dtype}"'
    if array.size == 0 and array.shape != (0,):
        return f'np.zeros({array.shape}, "{array.dtype}")'
    return f"np.array({values}{dtype})"


def random_problem(source: Source, kind: str) -> Problem:
    """A random cell over a random structure of one of `KINDS`, with arrays in two digits."""
    recipe = RECIPES[kind](source)
    structure = recipe.build()
    cell = random_cell(source, structure.slots)
    rows = 1 if source.integer(0, 2) == 0 else structure.components
    seed = source.integer(0, 2**16)
    rng = np.random.default_rng(seed)
    shared = {k: np.round(a, 2) for k, a in cell.params(2, rng).items()}
    initial = [np.round(rng.standard_normal((rows, cell.width)) / 2, 2) for _ in range(cell.leaves)]
    return Problem(
        structure, cell, shared, tuple(initial) if cell.leaves > 1 else initial[0],
        np.round(rng.standard_normal((structure.n, 2)), 2), seed, kind=kind, recipe=recipe,
    )  # fmt: skip


def make_problem(kind: str, seed: int) -> Problem:
    """The same as `random_problem`, all from one seed."""
    return random_problem(Seeded(seed), kind)
