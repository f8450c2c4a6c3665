"""Random small recurrences: structures of every kind, cells built from random ops, and their
inputs.

Everything is drawn from one integer through NumPy, so that a failing example shrinks to a small
seed and a
kind of structure, and is built again from these two.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hypothesis import strategies as st

import minigrad as mg


def _chain(rng: np.random.Generator) -> mg.Structure:
    return mg.Structure.chain(int(rng.integers(1, 6)))


def _ragged(rng: np.random.Generator) -> mg.Structure:
    lengths = rng.integers(0, 5, size=rng.integers(1, 5))
    return mg.Structure.chain([*lengths.tolist(), 2], reverse=bool(rng.integers(2)))


def children_of_random_trees(rng: np.random.Generator, n: int, arity: int = 2) -> list[list[int]]:
    """A forest over n rows: each row becomes the child of a later one with a free place, or a
    root."""
    children: list[list[int]] = [[] for _ in range(n)]
    for row in range(n - 1):
        later = [p for p in range(row + 1, n) if len(children[p]) < arity]
        if later and rng.random() < 0.85:
            children[int(rng.choice(later))].append(row)
    for row in children:
        rng.shuffle(row)
    return children


def _forest(rng: np.random.Generator) -> mg.Structure:
    n = int(rng.integers(3, 9))
    children = children_of_random_trees(rng, n)
    children[n - 1] = (
        children[n - 1] or [n - 2] if not any(n - 2 in c for c in children) else children[n - 1]
    )
    return mg.Structure.forest(children, slots=2)


def _grid(rng: np.random.Generator) -> mg.Structure:
    return mg.Structure.grid([(3, 3), (2, 4), (1, 3)][int(rng.integers(3))])


def dag() -> mg.Structure:
    """Fan-out 3 (row 0), two edges of one slot into one row, one edge twice, an isolated row (5),
    two slots."""
    edges = [
        (0, 1, 0),
        (0, 2, 0),
        (0, 3, 1),
        (1, 3, 0),
        (2, 3, 0),
        (3, 4, 0),
        (3, 4, 0),
        (1, 4, 1),
        (6, 4, 1),
    ]
    source, target, slot = zip(*edges, strict=True)
    return mg.Structure.edges(7, source, target, slot)


def _dag(rng: np.random.Generator) -> mg.Structure:
    if rng.random() < 0.4:
        return dag()
    n, count = int(rng.integers(3, 8)), int(rng.integers(2, 12))
    place = rng.permutation(n)
    ends = np.sort(rng.integers(0, n, size=(count, 2)), axis=1)
    ends = ends[ends[:, 0] != ends[:, 1]]
    return mg.Structure.edges(
        n, place[ends[:, 0]], place[ends[:, 1]], rng.integers(0, 2, size=len(ends))
    )


STRUCTURES: dict[str, Callable[[np.random.Generator], mg.Structure]] = {
    "chain": _chain, "ragged": _ragged, "forest": _forest, "grid": _grid, "dag": _dag,
}  # fmt: skip
KINDS = tuple(STRUCTURES)


# -- cells -----------------------------------------------------------------------------------------

STEPS: dict[str, Callable[..., Any]] = {
    "tanh": lambda p, a, b, k: mg.tanh(a),
    "sigmoid": lambda p, a, b, k: mg.sigmoid(a),
    "sin": lambda p, a, b, k: mg.sin(a),
    "exp": lambda p, a, b, k: mg.exp(-mg.square(a)),
    "root": lambda p, a, b, k: mg.sqrt(mg.square(a) + 1),
    "gate": lambda p, a, b, k: mg.sigmoid(a) * b,
    "product": lambda p, a, b, k: a * b,
    "difference": lambda p, a, b, k: a - 2 * b,
    "quotient": lambda p, a, b, k: a / (1.5 + mg.square(b)),
    "matrix": lambda p, a, b, k: a @ p[f"M{k}"],
    "scale": lambda p, a, b, k: a * p["gain"] + p["bias"],
    "norm": lambda p, a, b, k: (a - mg.mean(a)) / mg.sqrt(mg.mean(mg.square(a)) + 0.3),
    "softmax": lambda p, a, b, k: mg.softmax(a, axis=-1),
    "outer": lambda p, a, b, k: mg.sum(mg.outer(a, b) * p["M0"], axis=0),
    "rotate": lambda p, a, b, k: mg.concat([a[1:], b[:1]]),
    "reverse": lambda p, a, b, k: a[::-1],
    "gather": lambda p, a, b, k: a[np.array([0, 0, 1])[: p["gain"].shape[0]]] + b,
    "dot": lambda p, a, b, k: mg.vecdot(a, b) * a,
    "parameter": lambda p, a, b, k: mg.exp(p["bias"]) * a,
}


@dataclass(eq=False)
class RandomCell:
    """cell(shared, carry, x) of random steps; equal seeds make equal programs, never the same
    object."""

    program: list[tuple[str, int, int, int]]
    slots: int
    leaves: int
    width: int
    name: str = "random cell"
    state_names: tuple[str, ...] = field(default=("a", "b"))

    def __call__(self, p: Any, carry: Any, x: Any) -> tuple[Any, Any]:
        slots = carry if self.slots > 1 else (carry,)
        states = [leaf for s in slots for leaf in (s if self.leaves > 1 else (s,))]
        pool = [x @ p["W"], *(mg.tanh(s) @ p[f"U{k}"] for k, s in enumerate(states)), *states]
        for step, a, b, k in self.program:
            pool.append(STEPS[step](p, pool[a % len(pool)], pool[-1 - b % len(pool)], k))
        total = pool[0]
        for t in pool[1:]:
            total = total + t
        new = (mg.tanh(total), 0.5 * mg.sin(total) + 0.5 * mg.tanh(pool[-1]))
        return (new if self.leaves > 1 else new[0]), {"y": total * pool[-1], "z": mg.sum(pool[-1])}

    def params(self, inputs: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        w = self.width
        shapes = {"W": (inputs, w), "M0": (w, w), "M1": (w, w), "gain": (w,), "bias": (w,)}
        shapes |= {f"U{k}": (w, w) for k in range(self.slots * self.leaves)}
        return {name: 0.5 * rng.standard_normal(shape) for name, shape in shapes.items()}


def random_cell(rng: np.random.Generator, slots: int) -> RandomCell:
    names = sorted(STEPS)
    program = [
        (
            names[int(rng.integers(len(names)))],
            *(int(v) for v in rng.integers(0, 8, 2)),
            int(rng.integers(2)),
        )
        for _ in range(int(rng.integers(1, 6)))
    ]
    return RandomCell(program, slots, int(rng.integers(1, 3)), int(rng.integers(2, 4)))


# -- problems --------------------------------------------------------------------------------------


@dataclass(eq=False)
class Problem:
    """A recurrence to run, as arrays; `record` makes its graph."""

    structure: mg.Structure
    cell: RandomCell
    shared: dict[str, np.ndarray]
    initial: Any  # an array, or a tuple of two: leading axis 1, or one row per component
    inputs: np.ndarray
    weights: np.ndarray  # (4, N): how much each node's states and outputs count in the loss
    seed: int

    def tensors(self) -> dict[str, Any]:
        return mg.tensors({"shared": self.shared, "initial": self.initial, "inputs": self.inputs})

    def run(self, t: dict[str, Any]) -> tuple[Any, Any]:
        return mg.recur(
            self.cell, self.structure, initial=t["initial"], shared=t["shared"], inputs=t["inputs"]
        )

    def loss(self, states: Any, outputs: Any) -> mg.Tensor:
        """A scalar that weighs every node differently and is not linear."""
        leaves = states if isinstance(states, tuple) else (states,)
        total = mg.sum(outputs["z"] * self.weights[3]) + mg.sum(
            mg.sin(outputs["y"]) * self.weights[2][:, None]
        )
        for k, s in enumerate(leaves):
            total = total + mg.sum(mg.square(s) * self.weights[k][:, None]) + mg.sum(s)
        return total


def make_problem(kind: str, seed: int) -> Problem:
    rng = np.random.default_rng(seed)
    structure = STRUCTURES[kind](rng)
    cell = random_cell(rng, structure.slots)
    rows = structure.components if rng.random() < 0.7 else 1
    initial = tuple(0.5 * rng.standard_normal((rows, cell.width)) for _ in range(cell.leaves))
    return Problem(
        structure, cell, cell.params(2, rng), initial if cell.leaves > 1 else initial[0],
        rng.standard_normal((structure.n, 2)), rng.standard_normal((4, structure.n)), seed,
    )  # fmt: skip


def problems(kind: str) -> st.SearchStrategy[Problem]:
    return st.builds(make_problem, st.just(kind), st.integers(0, 2**20))
