"""The table that kernels read: one int64 per entry of a `Description`, one row per thread.

Entries are named (what, *of).
RULES says for every `what` what stands there:
addresses, strides in bytes, lengths, ranges of rows.
What only a call knows, the arguments' addresses, it writes itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..graph import Tensor
from ..kernels import tensors
from ..kernels.glue import address
from ..recur import PROJ, ROW, Via, parts_of
from .language import Row, reads
from .layout import Layout, layout_of
from .memory import Buffers
from .program import Program


class Limits:
    """Which rows have an operand other than zero, and which are read: ranges of places.

    A row whose operand is zero may be left out of a product where the matrix is finite.
    """

    def __init__(
        self, program: Program, layout: Layout, vias: Sequence[Via],
        projections: Sequence[Tensor], args: Sequence[Tensor],
    ):  # fmt: skip
        self.program, self.layout = program, layout
        self.all = (0, layout.n)
        self.skipping = any(via.rows is not None for via in vias) or any(
            a.shift is None for a in layout.slots.values()
        )
        self.bare = layout.bare if self.skipping else np.zeros_like(layout.bare)
        self.of_input: dict[Row, tuple[int, int]] = {}
        for r in program.inputs if self.skipping else ():
            k = program.numbers[r.tensor]
            if vias[k].rows is not None:
                self.of_input[r] = _extent(layout.to_rows(vias[k].rows) >= 0)
            elif args and (first := received(args[k], layout)) is not None:
                self.of_input[r] = _extent(first[1:] > first[:-1])
        self.of_bundle = self._of_bundles(projections)

    def _of_bundles(self, projections: Sequence[Tensor]) -> list[tuple[int, int]]:
        plan, rows = self.program.plan, self.program.low.rows
        wanted: dict[Row, list[Via]] = {}
        for p in projections:
            if p.attrs["ref"] in rows:
                wanted.setdefault(rows[p.attrs["ref"]], []).append(p.attrs["via"])
        read = {a for r in plan.order for a in reads(r)} | plan.summed()
        found = []
        for b in plan.bundles:
            vias = [v for z in b.zs for v in wanted.get(z, [ROW])]
            if any(v.rows is None for v in vias) or any(z in read for z in b.zs):
                found.append(self.all)
            else:
                used = np.any([self.layout.to_rows(v.rows) >= 0 for v in vias], axis=0)
                found.append(_extent(used))
        return found

    def operand(self, r: Row) -> tuple[int, int]:
        return self.of_input.get(r, self.all)

    def outer(self, number: int) -> tuple[int, int]:
        """Rows of a product of stacked rows: where its left side is not zero."""
        return self.operand(self.program.plan.outers[number].left)


def received(t: Tensor, layout: Layout) -> np.ndarray | None:
    """Where `t` is what a recurrence with this layout received in a slot.

    The first edge of each row.  (Rows without an edge are zero there.)
    """
    if t.op is not PROJ or t.attrs["via"] is not ROW:
        return None
    block, structure, _ = parts_of(t.inputs[0])
    other = layout_of(structure)
    for (slot, _), ph in block.slots.items():
        if ph is t.attrs["ref"] and other.n == layout.n and other.key == layout.key:
            arrivals = other.slots[slot]
            return arrivals.first if arrivals.shift is None else None
    return None


def _extent(used: np.ndarray) -> tuple[int, int]:
    """The smallest range that holds all places in use."""
    at = np.flatnonzero(used)
    return (int(at[0]), int(at[-1]) + 1) if len(at) else (0, 0)


class Table:
    """The entries' values; `array`: (threads, entries) int64.

    rows      : the address of each thread's row of it.
    of_input  : (entry of the address, entry of the stride or -1, row node): arguments by row.
    of_table  : (entry of the address, of the stride, of the jumps, row node): arguments that are
                looked up in a table where it lies.
    of_shared : (entry of the address, tensor, transposed, entry of the stride or -1):
                vectors, and matrices where the kernels read them from where they lie.
    """

    def __init__(
        self, program: Program, layout: Layout, buffers: Buffers, limits: Limits,
        parts: Sequence[np.ndarray], threads: int,
    ):  # fmt: skip
        self.program, self.plan, self.layout = program, program.plan, layout
        self.buffers, self.limits = buffers, limits
        self.number = program.text.entry.number
        self.lengths = {k: size for size, k in program.text.length.items()}
        self.infinite = np.zeros(len(self.plan.matrices) + 1, np.int64)  # 1: not finite
        self.of_input: list[tuple[int, int, Row]] = []
        self.of_table: list[tuple[int, int, int, Row]] = []
        self.of_shared: list[tuple[int, Tensor, bool, int]] = []
        if program.entries is None:
            program.entries = self._entries()
        same, rest = program.entries
        row = same.copy()
        for rule, of, entry in rest:
            row[entry] = rule(self, *of)
        self.array = np.array([row] * threads, np.int64)
        for r, own in (*buffers.scratch.items(), *buffers.passing.items()):
            self._each("base", r, arrays=own)
        self._each("ranges", arrays=parts)
        self._each("work", arrays=buffers.work)
        self.rows = [address(row) for row in self.array]

    def _entries(self) -> tuple[list[int], list[tuple[Callable[..., int], list[Any], int]]]:
        """What is the same for every runner of the program, and the rules of all other entries."""
        row, rest = [0] * len(self.number), []
        for (what, *of), entry in self.number.items():
            if what in OF_PROGRAM:
                row[entry] = RULES[what](self, *of)
            else:
                rest.append((RULES[what], of, entry))
        return row, rest

    def _each(self, *name: Any, arrays: Sequence[np.ndarray]) -> None:
        """Every thread's own array."""
        for k, own in enumerate(arrays):
            self.array[k, self.number[name]] = address(own)

    # -- rules of more than a line -----------------------------------------------------------------

    def base(self, r: Row) -> int:
        if r.op == "in" and r not in self.buffers.indexed:
            entry, stride = self.number["base", r], self.number.get(("stride", r), -1)
            if r in self.buffers.jumps:
                self.of_table.append((entry, stride, self.number["jumps", r], r))
            else:
                self.of_input.append((entry, stride, r))
        elif r.op == "vec":
            self.of_shared.append((self.number["base", r], r.tensor, False, -1))
        lies = self._lies(r)
        return 0 if lies is None else address(lies)

    def stride(self, r: Row) -> int:
        lies = self._lies(r)
        if r in self.buffers.passing:
            lies = self.buffers.passing[r][0]
        return 0 if lies is None else lies.strides[0]

    def _lies(self, r: Row) -> np.ndarray | None:
        """The rows of a node, where they are the runner's and the same for all threads."""
        given = r.op == "vec" or (r.op == "in" and r not in self.buffers.indexed)
        own = r in self.buffers.scratch or r in self.buffers.passing
        return None if given or own else self.buffers.rows(r)

    def port(self, key: tuple[int, int], k: int) -> int:
        """The address (k even) and stride (k odd) of what a port sends to a leaf of a slot."""
        leaf = key[1]
        sent = self.buffers.value.get(self.program.low.ports.get((k // 2, leaf)))  # type: ignore[arg-type]
        if k % 2:
            return 0 if sent is None else sent.strides[0]
        return address(self._nothing(leaf) if sent is None else sent)

    def _nothing(self, leaf: int) -> np.ndarray:
        slots = (r for r in self.plan.order if r.op == "slot" and r.tensor[1] == leaf)
        return self.buffers.zeroed(max(r.size for r in slots))

    def whole(self, m: int) -> int:
        """A matrix that is packed from where it lies: joined from blocks, or the caller's own."""
        joined = self.buffers.joined[m]
        if joined is not None:
            return address(joined)
        self._given("whole", "whole_ld", m)
        return 0

    def block(self, m: int, k: int) -> int:
        self._given("from", "from_ld", m, k)
        return 0

    def _given(self, base: str, stride: str, m: int, k: int = 0) -> None:
        """A block of a matrix is written by every call."""
        of = (m,) if base == "whole" else (m, k)
        tensor, turned = self._turned(m, k)
        entry = self.number[(base, *of)]
        self.of_shared.append((entry, tensor, turned, self.number[(stride, *of)]))

    def _turned(self, m: int, k: int) -> tuple[Tensor, bool]:
        """A block of a matrix, and whether it lies the other way round than the whole."""
        tensor, flip, _, _ = self.plan.matrices[m].blocks[k]
        return tensor, flip != self.plan.matrices[m].transposed

    def shape(self, m: int, k: int) -> tuple[int, ...]:
        tensor, turned = self._turned(m, k)
        return tensor.shape[::-1] if turned else tensor.shape

    def target(self, m: int, k: int) -> int:
        """Where a block goes in the joined matrix."""
        matrix, joined = self.plan.matrices[m], self.buffers.joined[m]
        _, _, depth_at, column_at = matrix.blocks[k]
        row, column = (column_at, depth_at) if matrix.transposed else (depth_at, column_at)
        return address(joined[row:, column:])

    def bias_at(self, z: Row) -> int:
        number = next(k for k, b in enumerate(self.plan.bundles) if z in b.zs)
        zs = self.plan.bundles[number].zs
        return address(self.buffers.bias[number][sum(r.size for r in zs[: zs.index(z)]) :])


def _kernel(name: str) -> Callable[[Table], int]:
    return lambda t: getattr(t.program.gemm, name).address


# What depends neither on a structure nor on where a runner works.
OF_PROGRAM = {
    "product", "pack", "pack_transposed", "weight_gradient", "ranges", "work", "none", "list",
    "count", "length", "tensors", "depth", "columns", "from_ld", "rows", "cols", "outer_rows",
    "outer_columns",
}  # fmt: skip
RULES: dict[str, Callable[..., int]] = {
    # kernels
    "product": _kernel("product"),
    "pack": _kernel("pack"),
    "pack_transposed": _kernel("pack_transposed"),
    "weight_gradient": _kernel("weight_gradient"),
    # one for all; 0: every thread's own
    "ranges": lambda t: 0,
    "work": lambda t: 0,
    "zeros": lambda t: address(t.buffers.zeros),
    "ones": lambda t: address(t.buffers.ones),
    "none": lambda t: 0,
    "infinite": lambda t: address(t.infinite),
    "skipping": lambda t: int(t.limits.skipping),
    "nodes": lambda t: t.layout.n,
    "list": lambda t, name: address(t.program.lists[name]),
    "count": lambda t, name: len(t.program.lists[name]),
    "bare": lambda t: address(t.limits.bare),
    "silent": lambda t: address(t.layout.silent),
    "length": lambda t, k: t.lengths[k],
    # row nodes
    "base": Table.base,
    "stride": Table.stride,
    "numbers": lambda t, r: address(t.buffers.added[r][1]),
    "sum": lambda t, r: address(t.buffers.added[r][0]),
    "sum_stride": lambda t, r: t.buffers.added[r][0].strides[0],
    "jumps": lambda t, r: address(t.buffers.jumps[r]),
    "component": lambda t: address(t.layout.component),
    "level": lambda t: t.buffers.at_hand[1],
    "shift": lambda t: next(iter(t.buffers.dense.values())),
    "low": lambda t, r: t.limits.operand(r)[0],
    "high": lambda t, r: t.limits.operand(r)[1],
    "sums": lambda t, r: address(t.buffers.columns[r]),
    "sums_stride": lambda t, r: t.buffers.columns[r].strides[0],
    # slots
    "dense": lambda t, slot: int(t.buffers.dense[slot] is not None),
    "first": lambda t, slot: address(t.layout.slots[slot].first),
    "source": lambda t, slot: address(t.layout.slots[slot].source),
    "port": lambda t, slot: address(t.layout.slots[slot].port),
    "ports": Table.port,
    # tensors of more axes
    "tensors": lambda t, r: tensors.kernel(
        t.program.low.real, r.tensor.kernel if r.op == "nest" else "move"
    ).address,
    "loops": lambda t, r: address(t.buffers.loops[r]),
    "runs": lambda t, r, k: address(t.buffers.runs[r, k]),
    "run_count": lambda t, r, k: len(t.buffers.runs[r, k]),
    # matrices and their blocks
    "depth": lambda t, m: t.plan.matrices[m].depth,
    "columns": lambda t, m: t.plan.matrices[m].columns,
    "packed": lambda t, m: address(t.buffers.packed[m]),
    "whole": Table.whole,
    "whole_ld": lambda t, m: 0 if t.buffers.joined[m] is None else t.buffers.joined[m].strides[0],
    "from": Table.block,
    "from_ld": lambda t, m, k: 0,
    "rows": lambda t, m, k: t.shape(m, k)[0],
    "cols": lambda t, m, k: t.shape(m, k)[1],
    "to": Table.target,
    # bundles of accumulators
    "low_out": lambda t, b: t.limits.of_bundle[b][0],
    "high_out": lambda t, b: t.limits.of_bundle[b][1],
    "bias": lambda t, b: address(t.buffers.bias[b]),
    "bias_at": Table.bias_at,
    # products of stacked rows
    "outer_first": lambda t, o: t.limits.outer(o)[0],
    "outer_nodes": lambda t, o: t.limits.outer(o)[1] - t.limits.outer(o)[0],
    "outer_rows": lambda t, o: t.plan.outers[o].left.size,
    "outer_columns": lambda t, o: t.plan.outers[o].width,
    "outer": lambda t, o: address(t.buffers.outer[o]),
    "outer_ld": lambda t, o: t.buffers.outer[o].strides[0],
    "outer_sums": lambda t, o: 0 if (a := t.buffers.outer_sums[o]) is None else address(a),
}
