"""A cell of one's own put to all laws, over several structures: `check_cell`, and its report."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import optree

from ...structure import Structure
from ...tracing import name_of
from ..examples.problems import KNOT, Problem, Recipe, edges_recipe
from .recurrences import LAWS


@dataclass(frozen=True)
class LawResult:
    """One law on one structure: broken (the error says how), or held, or not applicable (why)."""

    law: str
    structure: str
    error: str | None = None
    why_not: str | None = None
    seconds: float = 0.0


@dataclass
class LawReport:
    """What `check_cell` found; prints as a table, a row per law and a column per structure."""

    cell: str
    results: list[LawResult] = field(default_factory=list)

    @property
    def broken(self) -> list[LawResult]:
        return [r for r in self.results if r.error is not None]

    @property
    def ok(self) -> bool:
        return not self.broken

    def __str__(self) -> str:
        columns = list(dict.fromkeys(r.structure for r in self.results))
        names = list(dict.fromkeys(r.law for r in self.results))
        words = {
            (r.law, r.structure): "BROKEN" if r.error is not None else "-" if r.why_not else "holds"
            for r in self.results
        }
        wide = max([len(n) for n in names] + [3])
        lines = [f"laws of {self.cell}: {len(self.broken)} broken" if self.broken else
                 f"laws of {self.cell}: all hold"]  # fmt: skip
        lines.append("  ".join(["law".ljust(wide), *(c.ljust(8) for c in columns)]).rstrip())
        for name in names:
            row = [words.get((name, c), "").ljust(max(8, len(c))) for c in columns]
            lines.append("  ".join([name.ljust(wide), *row]).rstrip())
        lines += [f"- {r.law} on {r.structure}: {r.why_not}" for r in self.results if r.why_not]
        lines += [f"{r.law} on {r.structure}: {r.error}" for r in self.broken]
        return "\n".join(lines)


class LawBroken(AssertionError):
    """A cell breaks a law; `.report` has all results."""

    def __init__(self, report: LawReport) -> None:
        super().__init__(str(report))
        self.report = report


def structures_for(slots: int) -> dict[str, Recipe]:
    """Small structures for a cell with that many slots: what shows the mistakes that are made."""
    if slots == 1:
        double = [(0, 1, 0), (0, 2, 0), (0, 3, 0), (1, 3, 0), (3, 4, 0), (3, 4, 0)]
        return {
            "chain": Recipe("chain", (3,)),
            "ragged": Recipe("chain", ([3, 0, 1, 2],)),
            "reversed": Recipe("chain", ([2, 3],), {"reverse": True}),
            "dag": edges_recipe(6, double),  # sums over edges, fan-out, a double edge, a lone node
        }
    leaves: list[list[int]] = [[] for _ in range(slots)]
    rows = [*leaves, list(range(slots)), [slots], []]  # an inner node, one above it, a lone leaf
    found = {"forest": Recipe("forest", (rows,), {"slots": slots})}
    if slots == 2:
        found |= {"grid": Recipe("grid", ((2, 3),)), "dag": KNOT}
    return found


def check_cell(
    cell: Callable[..., tuple[Any, Any]], *, params: Any = None, carry: Any = None, x: Any = None,
    input_size: int | None = None, slots: int | None = None, seed: int = 0,
    structures: Mapping[str, Recipe | Structure] | None = None,
    laws: Mapping[str, Callable[[Problem], str | None]] = LAWS, raises: bool = True,
) -> LawReport:  # fmt: skip
    """Put a cell `f(params, carry, x) -> (carry, y)` to all laws, over several structures.

    params     : a pytree of arrays, used as it is;
                 default: `cell.init(seed)`, moved by 0.1 at random so that no zero hides a mistake.
    carry      : the state of one node, a pytree of arrays, used as it is;
                 default: a random one shaped as `cell.zero_state()`, whose first axis counts rows.
    x          : the input of one node, a pytree of arrays:
                 floats are moved at random from node to node, integers stay.
    input_size : or vectors of that length (default: `cell.input_size`);
                 without either the cell gets None.
    slots      : states that the carry holds (a tuple, if several); default: `cell.arity`, or 1.
    structures : by name, in place of `structures_for(slots)`.
    laws       : in place of `LAWS`.

    All floats become float64.
    Returns a LawReport; raises LawBroken naming law, structure and numbers where one is broken
    (with `raises=False` only the report says so).
    Other errors of the cell come through with a note saying where.
    """
    name = name_of(cell)
    rng = np.random.default_rng(seed)
    slots = int(getattr(cell, "arity", 1)) if slots is None else slots
    if params is None and hasattr(cell, "init"):
        params = _moved(_double(cell.init(seed)), 0.1, rng)
    if carry is not None:
        initial = optree.tree_map(lambda a: np.asarray(a)[None], _double(carry))
    elif hasattr(cell, "zero_state"):
        initial = _moved(_double(cell.zero_state()), 0.5, rng)
    else:
        raise TypeError(
            f"check_cell: {name} has no zero_state(); give carry=, the state of one node, such as "
            "np.zeros(hidden_size) or a tuple of arrays"
        )
    size = getattr(cell, "input_size", None) if input_size is None else input_size
    one = np.zeros(int(size)) if x is None and size is not None else x
    chosen = structures_for(slots) if structures is None else structures
    report = LawReport(name)
    for kind, recipe in chosen.items():
        s = recipe.build() if isinstance(recipe, Recipe) else recipe
        if not isinstance(s, Structure):
            raise TypeError(f"check_cell: structures[{kind!r}] must be a mg.Structure; got {s!r}")
        if s.slots != slots:
            raise ValueError(
                f"check_cell: structures[{kind!r}] has {s.slots} slots and the cell {slots}; give "
                "slots= or another structure"
            )
        rows = optree.tree_map(lambda a, n=s.n: np.repeat(np.asarray(a)[None], n, 0), _double(one))
        inputs = _moved(rows, 0.7, rng)
        problem = Problem(s, cell, params, initial, inputs, kind=kind)
        for law, holds in laws.items():
            report.results.append(_judged(law, holds, problem))
    if raises and report.broken:
        raise LawBroken(report)
    return report


def _judged(law: str, holds: Callable[[Problem], str | None], problem: Problem) -> LawResult:
    start, error, why_not = time.perf_counter(), None, None
    try:
        why_not = holds(problem)
    except AssertionError as broken:
        error = str(broken).strip() or repr(broken)
    except Exception as other:
        other.add_note(f"while the law {law} was checked on the structure {problem.kind!r}")
        raise
    return LawResult(law, problem.kind, error, why_not, time.perf_counter() - start)


def _double(tree: Any) -> Any:
    arrays = optree.tree_map(np.asarray, tree)
    return optree.tree_map(lambda a: a.astype(np.float64) if a.dtype.kind == "f" else a, arrays)


def _moved(tree: Any, by: float, rng: np.random.Generator) -> Any:
    return optree.tree_map(
        lambda a: a + by * rng.standard_normal(a.shape) if a.dtype.kind == "f" else a, tree
    )
