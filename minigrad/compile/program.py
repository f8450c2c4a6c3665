"""A block compiled for some projections of it: its kernels.

Sizes and structures are no part of a `Program`; a `Runner` binds it to them.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from ..graph import Tensor
from ..kernels import cache, gemm, stages
from ..recur import Block, Via, domain_kinds
from .emit import Description
from .language import Unsupported
from .lower import Lowering
from .pieces import Course
from .plan import Plan

ELEMENT = 8.0  # multiply-adds of a product in the time of an elementwise op on one element


class Program:
    """The kernels for interior tensors of a block: `rows` per node, `sums` over the nodes.

    inputs  : the row nodes of its arguments.
    numbers : which argument a placeholder stands for.
    entries : of its runners' tables, what is the same in all and the rules of the rest
              (see `table.Table`); None before the first.
    """

    entries: Any = None

    def __init__(
        self,
        block: Block,
        wires: Any,
        vias: Sequence[Via],
        rows: tuple[Tensor, ...],
        sums: tuple[Tensor, ...],
        added: tuple[Tensor, ...],
        course: Course,
    ):
        self.low = Lowering(block, wires, vias, rows, sums)
        self.plan = Plan(self.low, added, course)
        self.text = Description(self.plan)
        self.inputs = [r for r in self.plan.order if r.op == "in"]
        self.numbers = {ph: k for k, ph in enumerate(block.inputs)}
        self.dtype = np.dtype(self.low.real)
        self.module = cache.load(self.text.source(self.low.real), "block")
        self.common = stages.kernels(self.low.real)
        self.lists = {
            name: np.array(rows, np.int64).reshape(-1, stages.LISTS[name])
            for name, rows in self.text.lists.items()
        }
        self.gemm = gemm.kernels(self.low.real)
        self.flops = 2.0 * sum(m.depth * m.columns for m in self.plan.matrices) + 2.0 * sum(
            o.left.size * o.width for o in self.plan.outers
        )
        self.flops += 2.0 * sum(r.tensor.work for r in self.plan.moved if r.op == "nest")
        self.flops += ELEMENT * sum(r.size for s in self.plan.segments.values() for r in s.nodes)

    @cached_property
    def words(self) -> str:
        """What was hoisted, packed and deferred, in words."""
        plan = self.plan
        lines = []
        for b in plan.bundles:
            for (stage, _), products in b.products.items():
                when = ("before the loop", "at every level", "after the loop")[stage]
                for p in products:
                    lines.append(f"  product {p.matrix.depth} x {p.matrix.columns} {when}, "
                                 f"packed from {len(p.matrix.blocks)} matrices")  # fmt: skip
        for o in plan.outers:
            sums = ", with column sums" if o.want_sums else ""
            lines.append(
                f"  weight gradient {o.left.size} x {o.width}: stacked rows, one product{sums}"
            )
        for r in plan.moved:
            if r.op != "part":
                when = ("before the loop", "at every level", "after the loop")[plan.stage[r]]
                what = f"{len(r.args)} moved" if r.op == "move" else f"{r.tensor.kernel} loops"
                lines.append(f"  tensor of {r.size} elements {when}: {what}")
        for m, n in dict.fromkeys(self.low.grids.values()):
            lines.append(f"  tensors of {m} x {n} elements looped over as a grid")
        if plan.ring:
            sizes = ", ".join(str(r.size) for r in plan.ring)
            lines.append(f"  state of {sizes} elements kept for two levels at a time")
        for (stage, _), s in plan.segments.items():
            when = ("before the loop", "at every level", "after the loop")[stage]
            lines.append(
                f"  {len(s.nodes)} elementwise ops fused {when}, {len(s.stores)} results stored"
            )
        return "\n".join(lines)


def program_for(
    block: Block,
    wires: Any,
    vias: Sequence[Via],
    rows: tuple[Tensor, ...],
    sums: tuple[Tensor, ...],
    added: tuple[Tensor, ...],
    course: Course,
) -> Program:
    """The program of a block, made once.

    added: those of `rows` that are only ever added up in a table; course: see `Plan`.

    Raises `Unsupported` (kept as well) where there is no code.
    """
    key = ("program", rows, sums, added, course, domain_kinds(vias), wires)
    if key not in block.cache:
        try:
            block.cache[key] = Program(block, wires, vias, rows, sums, added, course)
        except Unsupported as why:  # its words alone: an exception holds on to frames
            block.cache[key] = why.args
    if isinstance(block.cache[key], tuple):
        raise Unsupported(*block.cache[key])
    return block.cache[key]
