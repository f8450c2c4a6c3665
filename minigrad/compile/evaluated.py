"""A traced function run by the evaluator, in NumPy: where nothing can be compiled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..graph import Tensor, toposort
from ..ops.broadcast import RESHAPE
from ..recur import PROJ, RECUR
from ..run.chunkwise import run_cut
from ..run.reference import demand, run
from .results import fresh, settled, varying


class Evaluated:
    """The graph as it was traced, op by op and recurrences level by level.  why: in words."""

    def __init__(self, inputs: Sequence[tuple[int, Tensor]], outputs: Sequence[Any], why: str):
        self.inputs, self.outputs, self.why = inputs, outputs, why
        self.recorded = list(dict.fromkeys(t for t in outputs if isinstance(t, Tensor)))
        order = toposort(self.recorded)
        needed, _ = demand(order, self.recorded)
        moving = varying(order)
        self.known = settled(order, needed, moving)
        self.ops = [t.op for t in order if t in needed and t in moving and t.inputs]

    def express(self, leaves: Sequence[Any]) -> None:
        return None

    def take_workspace(self) -> None:
        pass

    def run(self, leaves: Sequence[Any], given: Sequence[Any]) -> list[Any]:
        known = self.known | {ph: leaves[k] for k, ph in self.inputs}
        values = run(self.recorded, run_cut, given=known)
        taken = set(map(id, known.values()))
        return [fresh(values[t], t, taken) if isinstance(t, Tensor) else t for t in self.outputs]

    def explain(self) -> str:
        count = sum(op is RECUR for op in self.ops)
        names = [op.name for op in self.ops if op not in (RECUR, PROJ, RESHAPE)]
        named = f": {', '.join(sorted(set(names)))}" if names else ""
        return "\n".join([
            f"runs by mg.evaluate, in NumPy: {self.why}",
            f"{count} recurrences, level by level, and {len(names)} other ops, one by one{named}",
        ])  # fmt: skip
