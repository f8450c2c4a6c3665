"""Running a compiled block: buffers, the table of addresses, and who does what on which thread.

A `Program` is a block compiled for some projections: sizes and structures are not part of it.  A
`Runner` is a program bound to one structure and one set of shapes, with workspace that is kept
between calls.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from ..graph import Tensor, toposort
from ..kernels import cache, gemm, glue, threads
from ..kernels.glue import address
from ..kernels.stages import BLOCK
from ..ops.indexing import add_rows
from ..recur import PROJ, ROW, Block, Via, domain_kinds
from ..run.reference import compute
from ..structure import Structure
from .emit import Description
from .layout import Layout, layout_of
from .lower import Lowering, Row, Sum, Unsupported, reads
from .plan import Plan

# Multiply-adds below which a second thread costs more than it brings; -1: threads always share.
SPLIT = float(os.environ.get("MINIGRAD_SPLIT", "2e7"))


class Program:
    """The kernels for the interior tensors `rows` (per node) and `sums` (over the nodes) of a
    block.
    """

    def __init__(
        self,
        block: Block,
        wires: Any,
        vias: Sequence[Via],
        rows: tuple[Tensor, ...],
        sums: tuple[Tensor, ...],
    ):
        self.low = Lowering(block, wires, vias, rows, sums)
        self.plan = Plan(self.low)
        self.text = Description(self.plan)
        self.dtype = np.dtype(self.low.real)
        self.module = cache.load(self.text.source(self.low.real), "block")
        self.gemm = gemm.kernels(self.low.real)
        self.flops = 2.0 * sum(m.depth * m.columns for m in self.plan.matrices) + 2.0 * sum(
            o.left.size * o.width for o in self.plan.outers
        )

    def explain(self) -> str:
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
) -> Program:
    """The program of a block, made once; raises `Unsupported` (kept as well) where there is no
    code.
    """
    key = ("program", rows, sums, domain_kinds(vias), wires)
    if key not in block.cache:
        try:
            block.cache[key] = Program(block, wires, vias, rows, sums)
        except Unsupported as why:  # its words alone: an exception holds on to frames
            block.cache[key] = why.args
    if isinstance(block.cache[key], tuple):
        raise Unsupported(*block.cache[key])
    return block.cache[key]


class Pool:
    """Workspace shared by the runners that stand at one place in the traces of a function: only one
    runs at a time.
    """

    def __init__(self) -> None:
        self.memory = np.zeros(0, np.uint8)
        self.owner: Any = None  # who wrote last


class Arena:
    """Pieces of a pool, each on cache lines of its own; grows the pool where it is too small."""

    def __init__(self, pool: Pool):
        self.pool, self.used = pool, 0

    def array(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        dtype = np.dtype(dtype)
        size = int(np.prod(shape)) * dtype.itemsize
        room = -(-size // 64) * 64  # whole lines: `glue.zero` writes whole words
        memory = self.pool.memory
        start = self.used + -(address(memory) + self.used) % 64
        if start + size > len(
            memory
        ):  # earlier pieces stay where they are, in the memory they hold on to
            self.pool.memory = memory = np.zeros(max(2 * len(memory), room + 4096), np.uint8)
            start = -address(memory) % 64
        self.used = start + room
        return memory[start : start + size].view(dtype).reshape(shape)


class Runner:
    """A program on one structure.  `run` takes the arguments of the recurrence and returns its
    projections.
    """

    def __init__(
        self,
        program: Program,
        structure: Structure,
        vias: Sequence[Via],
        pool: Pool,
        projections: Sequence[Tensor] = (),
        args: Sequence[Tensor] = (),
    ):
        self.program, self.vias, self.pool = program, vias, pool
        self.layout: Layout = layout_of(structure)
        self.n = structure.n
        low, plan = program.low, program.plan
        self.inputs = {r.tensor: r for r in plan.order if r.op == "in"}
        self.numbers = {ph: k for k, ph in enumerate(low.block.inputs)}
        self.threads = threads.count() if program.flops * self.n > SPLIT else 1
        self.parts = self.layout.parts(self.threads)
        self.skipping = any(via.rows is not None for via in vias) or any(
            a.shift is None for a in self.layout.slots.values()
        )  # rows whose operand is zero may be left out, where the matrices are finite
        self._limit(projections, args)
        self.arena = Arena(pool)
        self.blank: list[
            np.ndarray
        ] = []  # what must be zero, should another runner have used the pool
        self._buffers()
        self._fill()
        self.sequence = Schedule(self.phases(), self.threads)

    def _limit(self, projections: Sequence[Tensor], args: Sequence[Tensor]) -> None:
        """Which rows have an operand other than zero, and which are read: ranges of places."""
        plan, low = self.program.plan, self.program.low
        self.limits: dict[Row, tuple[int, int]] = {}
        self.infinite = np.zeros(len(plan.matrices) + 1, np.int64)  # 1: the matrix is not finite
        self.bare = self.layout.bare if self.skipping else np.zeros_like(self.layout.bare)
        if self.skipping:
            for ph, r in self.inputs.items():
                via = self.vias[self.numbers[ph]]
                if via.rows is not None:
                    self.limits[r] = _extent(self.layout.to_rows(via.rows) >= 0)
                elif args and (first := received(args[self.numbers[ph]], self.layout)) is not None:
                    self.limits[r] = _extent(first[1:] > first[:-1])
        wanted: dict[Row, list[Via]] = {}
        for p in projections:
            if p.attrs["ref"] in low.rows:
                wanted.setdefault(low.rows[p.attrs["ref"]], []).append(p.attrs["via"])
        read = {a for r in plan.order for a in reads(r)} | plan.summed()
        self.out_limits: list[tuple[int, int]] = []
        for b in plan.bundles:
            vias = [v for z in b.zs for v in wanted.get(z, [ROW])]
            if any(v.rows is None for v in vias) or any(z in read for z in b.zs):
                self.out_limits.append((0, self.n))
                continue
            used = np.any([self.layout.to_rows(v.rows) >= 0 for v in vias], axis=0)
            self.out_limits.append(_extent(used))

    def _outer_limits(self, number: int) -> tuple[int, int]:
        """Rows of a product of stacked rows: where its left side is not zero."""
        o = self.program.plan.outers[number]
        return self.limits.get(o.left, (0, self.n))

    # -- memory ------------------------------------------------------------------------------------

    def _buffers(self) -> None:
        program, plan, low = self.program, self.program.plan, self.program.low
        dtype, size = program.dtype, program.dtype.itemsize
        self.value: dict[Row, np.ndarray] = {}  # (n, size) of every stored row node
        self.whole: dict[
            Row, tuple[np.ndarray, int]
        ] = {}  # with the padding rows around, and how many
        self.dense: dict[int, Any] = {
            slot: None if plan.gathered else self.layout.slots[slot].shift
            for slot in {s for s, _ in low.slots}
        }
        pad = max((abs(shift) for shift in self.dense.values() if shift is not None), default=0)
        ports = set(low.ports.values())

        def area(members: Sequence[Row]) -> None:
            width = sum(r.size for r in members)
            around = pad if ports & set(members) else 0
            # Rows of a power of two bytes fall onto few cache sets: one line more spreads them.
            line = 64 // size
            padded = -(-width // line) * line + (
                line if width * size % 4096 == 0 and width > line else 0
            )
            padded = padded if width > line else width
            whole = self.arena.array((self.n + 2 * around, padded), dtype)
            if around:
                self.blank += [whole[:around], whole[self.n + around :]]
            at = 0
            for r in members:
                columns = whole[:, at : at + r.size]
                self.whole[r] = columns, around
                self.value[r] = columns[around : around + self.n]
                at += r.size

        for a in plan.areas:
            if all(r.op != "slot" or self._copied(r) for r in a.members):
                area(a.members)
        for r in plan.stored:
            if r not in self.value:
                area([r])
        for r in plan.order:
            if r.op == "slot" and r not in self.value:
                if self._copied(r):
                    area([r])
                else:
                    self.value[r] = self._shifted(r)
        self.scratch = {
            r: [self.arena.array((r.size,), dtype) for _ in range(self.threads)]
            for r in program.text.scratch
            if r not in self.value
        }
        self.packed = [
            self.arena.array((gemm.packed_size(m.depth, m.columns, size),), dtype)
            for m in plan.matrices
        ]
        self.joined: list[Any] = [
            self.arena.array((m.columns, m.depth) if m.transposed else (m.depth, m.columns), dtype)
            if len(m.blocks) > 1 else None
            for m in plan.matrices
        ]  # fmt: skip
        self.bias = [self.arena.array((b.area.width,), dtype) for b in plan.bundles]
        self.outer: list[Any] = [
            self.arena.array((o.left.size, o.width), dtype) for o in plan.outers
        ]
        self.outer_sums: list[Any] = [
            self.arena.array((o.width,), dtype) if o.want_sums else None for o in plan.outers
        ]
        chunks = -(-self.n // BLOCK)
        self.columns = {
            r: self.arena.array((chunks, r.size), dtype)
            for rows in plan.columns.values()
            for r in rows
        }
        widest = max((o.width for o in plan.outers), default=1)
        work = max((gemm.work_size(o.left.size, o.width, size) for o in plan.outers), default=1)
        self.zeros = self.zeroed((widest,))
        self.work = [self.arena.array((work,), dtype) for _ in range(self.threads)]
        self.indexed = {
            r: self.arena.array((self.n, r.size), dtype)
            for ph, r in self.inputs.items() if self.vias[self.numbers[ph]].kind == "index"
        }  # fmt: skip

    def _copied(self, slot: Row) -> bool:
        return self.dense[slot.tensor[0]] is None

    def _shifted(self, slot: Row) -> np.ndarray:
        """A slot read in place: the port's rows, moved by the distance between levels."""
        number, leaf = slot.tensor
        port = self.program.low.ports.get((0, leaf))
        shift = self.dense[number]
        if port is None or port not in self.whole:
            return self.zeroed((self.n, slot.size))  # nothing ever arrives
        whole, around = self.whole[port]
        return whole[around - shift : around - shift + self.n]

    # -- the table ---------------------------------------------------------------------------------

    def _fill(self) -> None:
        program = self.program
        number = program.text.entry.number
        self.table = np.zeros((self.threads, len(number)), np.int64)
        self.of_input: list[tuple[int, int, Row]] = []
        self.of_shared: list[
            tuple[int, Tensor, bool, int]
        ] = []  # entry, tensor, transposed, entry of its stride
        for name, entry in number.items():
            self.table[:, entry] = self._entry(name, entry)
        for row, each in self.scratch.items():  # every thread has rows outside of the loop
            self.table[:, number["base", row]] = [address(own) for own in each]
        ranges = number["ranges",]
        for k, part in enumerate(self.parts):
            self.table[k, ranges] = address(part)
        for k, part in enumerate(self.work):
            self.table[k, number["work",]] = address(part)
        self.kernels = program.module
        self.tables = [address(row) for row in self.table]
        self._rests()

    def _rests(self) -> None:
        """Column sums that come with a product of some rows only: the other rows' part, row by
        row."""
        self.rest = [
            (k, a, b)
            for k, o in enumerate(self.program.plan.outers) if o.want_sums
            for a, b in ((0, self._outer_limits(k)[0]), (self._outer_limits(k)[1], self.n)) if a < b
        ]  # fmt: skip
        rows = []
        for k, a, b in self.rest:
            o, sums = self.program.plan.outers[k], self.outer_sums[k]
            d = self.value[o.rights[0]]  # stored here: else its sums would not come along
            start = address(d) + a * d.strides[0]
            rows.append([start, d.strides[0], address(sums), 0, b - a, o.width, 1])
        self.rests = np.array(rows, np.int64).reshape(-1, glue.COPY)

    def _entry(self, name: tuple, entry: int) -> int:
        program, plan = self.program, self.program.plan
        what, *rest = name
        if what in ("product", "pack", "pack_transposed", "weight_gradient"):
            return getattr(program.gemm, what).address
        if what in ("base", "stride"):
            return self._row_entry(what, rest[0], entry)
        if what == "length":
            return next(size for size, k in program.text.length.items() if k == rest[0])
        if what in ("from", "from_ld", "rows", "cols", "to"):
            return self._block_entry(what, rest[0], rest[1], entry)
        if what in ("whole", "whole_ld") and self.joined[rest[0]] is None:
            tensor, flip, _, _ = plan.matrices[rest[0]].blocks[0]
            turned = flip != plan.matrices[rest[0]].transposed
            if what == "whole":
                self.of_shared.append(
                    (entry, tensor, turned, program.text.entry.number["whole_ld", rest[0]])
                )
            return 0
        if what in ("dense", "first", "source", "port"):
            arrivals = self.layout.slots[rest[0]]
            return (
                int(self.dense[rest[0]] is not None)
                if what == "dense"
                else address(getattr(arrivals, what))
            )
        if what == "ports":
            (slot, leaf), k = rest
            port = self.value.get(program.low.ports.get((k // 2, leaf)))  # type: ignore[arg-type]
            if port is None:
                return address(self.zeros_for(leaf)) if k % 2 == 0 else 0
            return address(port) if k % 2 == 0 else port.strides[0]
        simple: dict[str, Any] = {
            "ranges": lambda: 0,
            "work": lambda: 0,
            "zeros": lambda: address(self.zeros),
            "infinite": lambda: address(self.infinite),
            "skipping": lambda: int(self.skipping),
            "nodes": lambda: self.n,
            "low": lambda r: self.limits.get(r, (0, self.n))[0],
            "high": lambda r: self.limits.get(r, (0, self.n))[1],
            "low_out": lambda b: self.out_limits[b][0],
            "high_out": lambda b: self.out_limits[b][1],
            "bare": lambda: address(self.bare),
            "silent": lambda: address(self.layout.silent),
            "outer_first": lambda o: self._outer_limits(o)[0],
            "outer_nodes": lambda o: self._outer_limits(o)[1] - self._outer_limits(o)[0],
            "bias": lambda b: address(self.bias[b]),
            "bias_at": self._bias_at,
            "depth": lambda m: plan.matrices[m].depth,
            "columns": lambda m: plan.matrices[m].columns,
            "packed": lambda m: address(self.packed[m]),
            "whole": lambda m: address(self.joined[m]),
            "whole_ld": lambda m: self.joined[m].strides[0],
            "outer_rows": lambda o: plan.outers[o].left.size,
            "outer_columns": lambda o: plan.outers[o].width,
            "outer": lambda o: address(self.outer[o]),
            "outer_ld": lambda o: self.outer[o].strides[0],
            "outer_sums": lambda o: (
                0 if self.outer_sums[o] is None else address(self.outer_sums[o])
            ),
            "sums": lambda r: address(self.columns[r]),
            "sums_stride": lambda r: self.columns[r].strides[0],
        }
        return simple[what](*rest)

    def zeros_for(self, leaf: int) -> np.ndarray:
        size = max(
            r.size for r in self.program.plan.order if r.op == "slot" and r.tensor[1] == leaf
        )
        return self.zeroed((size,))

    def zeroed(self, shape: tuple[int, ...]) -> np.ndarray:
        self.blank.append(self.arena.array(shape, self.program.dtype))
        return self.blank[-1]

    def _row_entry(self, what: str, r: Row, entry: int) -> int:
        if r.op == "in" and r not in self.indexed:
            if what == "base":
                stride = self.program.text.entry.number.get(("stride", r), -1)
                self.of_input.append((entry, stride, r))
            return 0
        if r.op == "vec":
            if what == "base":
                self.of_shared.append((entry, r.tensor, False, -1))
            return 0
        if r in self.scratch:
            return 0
        array = self.indexed[r] if r in self.indexed else self.value[r]
        return address(array) if what == "base" else array.strides[0]

    def _block_entry(self, what: str, m: int, k: int, entry: int) -> int:
        matrix = self.program.plan.matrices[m]
        tensor, flip, depth_at, column_at = matrix.blocks[k]
        turned = flip != matrix.transposed
        if what == "from":
            number = self.program.text.entry.number
            self.of_shared.append((entry, tensor, turned, number["from_ld", m, k]))
        if what in ("from", "from_ld"):
            return 0
        shape = tensor.shape[::-1] if turned else tensor.shape
        if what in ("rows", "cols"):
            return shape[what == "cols"]
        joined = self.joined[m]
        at = (column_at, depth_at) if matrix.transposed else (depth_at, column_at)
        return address(joined[at[0] :, at[1] :])

    def _bias_at(self, z: Row) -> int:
        number = next(k for k, b in enumerate(self.program.plan.bundles) if z in set(b.zs))
        zs = self.program.plan.bundles[number].zs
        at = sum(r.size for r in zs[: zs.index(z)])
        return address(self.bias[number][at:])

    # -- a call ------------------------------------------------------------------------------------

    def run(self, args: Sequence[Any], projections: Sequence[Tensor]) -> list[Any]:
        """The values of the projections: arrays, or `Rows` in this runner's order for those by
        row.
        """
        self.take_pool()
        keep = self._bind(args)
        self.sequence.run()
        del keep
        return [self._leave(p) for p in projections]

    def _bind(self, args: Sequence[Any]) -> list[Any]:
        """Write the addresses of this call's arguments into the table; returns what must stay
        alive.
        """
        table, dtype, keep = self.table, self.program.dtype, []
        for entry, stride, r in self.of_input:
            rows = by_place(args[self.numbers[r.tensor]], self.layout)
            rows = rows.reshape(self.n, r.size)
            if rows.dtype != dtype or (r.size > 1 and rows.strides[1] != dtype.itemsize):
                rows = np.ascontiguousarray(rows, dtype)
            keep.append(rows)
            table[:, entry] = address(rows)
            if stride >= 0:
                table[:, stride] = rows.strides[0]
        for r, buffer in self.indexed.items():
            k = self.numbers[r.tensor]
            index = self.layout.to_rows(self.vias[k].rows)
            values = np.asarray(args[k])
            values = values.reshape(len(values), r.size)
            if len(values):
                np.take(values, index, axis=0, out=buffer, mode="clip")
            buffer[index < 0] = 0
        shared = self._shared(args)
        for entry, tensor, turned, stride in self.of_shared:
            value = shared[tensor]
            if stride >= 0:
                value = np.ascontiguousarray(value.T if turned else value, dtype)
                table[:, stride] = value.strides[0]
            else:
                value = np.ascontiguousarray(value, dtype).reshape(-1)
            keep.append(value)
            table[:, entry] = address(value)
        return keep

    def _shared(self, args: Sequence[Any]) -> dict[Tensor, np.ndarray]:
        """The values of the shared tensors that the stages read; those computed in the block by
        NumPy.
        """
        values: dict[Tensor, Any] = {}
        for t in self.program.low.shared:
            k = self.numbers.get(t)
            if k is not None:
                values[t] = args[k]
            elif t._value is not None:
                values[t] = t._value
            else:
                values[t] = shared_value(t, self.numbers, args)
        return values

    def take_pool(self) -> None:
        """Make zero again what must be, should another runner have worked in the pool since."""
        if self.pool.owner is not self:
            self.pool.owner = None  # should an interrupt come before all is zero
            for piece in self.blank:
                piece.fill(0)
            self.pool.owner = self

    def phases(self) -> list[list[list[tuple[int, int, int, int]]]]:
        """What to call, phase after phase: for each thread (kernel, table, from, to)."""
        plan, tables = self.program.plan, self.tables
        clear = [a for a in (*self.columns.values(), *self.outer_sums) if a is not None and a.size]
        zero = glue.kernels().zero.address
        first: list[list[tuple[int, int, int, int]]] = [[] for _ in range(self.threads)]
        for k, a in enumerate(clear):
            first[k % self.threads].append((zero, address(a), -(-a.nbytes // 8), 0))
        for k in range(max(len(plan.matrices), 1)):
            prepare = self.kernels.prepare.address
            first[k % self.threads].append((prepare, tables[k % self.threads], k, k + 1))
        found = [first]
        for stage, name in ((0, "pre"), (1, "core"), (2, "post")):
            gathers = stage == 1 and any(self.dense[slot] is None for slot in self.dense)
            if (plan.places(stage) or gathers) and self.n:
                work = self._levels() if stage == 1 else self._shares(stage)
                f = getattr(self.kernels, name).address
                found.append([[(f, tables[k], a, b)] for k, (a, b) in enumerate(work)])
        if plan.outers:
            f = self.kernels.outers.address
            found.append([[(f, tables[k], k, self.threads)] for k in range(self.threads)])
            if self.rest:
                copy = getattr(glue.kernels(), f"copy_{self.program.dtype}").address
                found.append([[(copy, address(self.rests), 0, len(self.rests))]])
        return found

    def _shares(self, stage: int) -> list[tuple[int, int]]:
        """Each thread's rows of a stage outside the loop; whole chunks where column sums are kept
        by chunk."""
        unit = BLOCK if any(place[0] == stage for place in self.program.plan.columns) else 8
        share = -(-self.n // (self.threads * unit)) * unit
        cuts = [(k * share, min(self.n, (k + 1) * share)) for k in range(self.threads)]
        return [c for c in cuts if c[0] < c[1]]

    def _levels(self) -> list[tuple[int, int]]:
        return [(0, len(self.layout.ranges))] * len(self.parts)

    # -- what leaves -------------------------------------------------------------------------------

    def _leave(self, p: Tensor) -> Any:
        ref, via = p.attrs["ref"], p.attrs["via"]
        if via.kind == "shared":
            return np.array(self._sum(self.program.low.sums[ref]), self.program.dtype).reshape(
                ref.shape
            )
        value = self._rows(self.program.low.rows[ref]).reshape(self.n, *ref.shape)
        if via.kind == "row":
            return Rows(value, self.layout)
        index = self.layout.to_rows(via.rows)
        used = index >= 0
        return add_rows(via.size, index[used], value[used])

    def _rows(self, r: Row) -> np.ndarray:
        return self.indexed[r] if r in self.indexed else self.value[r]

    def _sum(self, s: Sum) -> np.ndarray:
        plan = self.program.plan
        if s.how == "outer":
            outer, at = plan.outer_at[s.left, s.right]
            value = self.outer[plan.outers.index(outer)][:, at : at + s.right.size]
            return value.T if s.flip else value
        if s.how == "column":
            if s.left in plan.column_at:
                outer, at = plan.column_at[s.left]
                return self.outer_sums[plan.outers.index(outer)][at : at + s.left.size]
            return self.columns[s.left].sum(axis=0, dtype=self.program.dtype)
        parts = [
            self._sum(part).reshape(i.shape)
            for part, i in zip(s.parts, s.tensor.inputs, strict=True)
        ]
        return s.tensor.op.numpy(*parts, **s.tensor.attrs)


def received(t: Tensor, layout: Layout) -> np.ndarray | None:
    """Where `t` is what a recurrence with this layout received in a slot: the first edge of each
    row.

    (Rows without an edge are zero there.)
    """
    if t.op is not PROJ or t.attrs["via"].kind != "row":
        return None
    block, other = t.inputs[0].attrs["block"], layout_of(t.inputs[0].attrs["structure"])
    for (slot, _), ph in block.slots.items():
        if ph is t.attrs["ref"] and other.n == layout.n and other.key == layout.key:
            arrivals = other.slots[slot]
            return arrivals.first if arrivals.shift is None else None
    return None


def _extent(used: np.ndarray) -> tuple[int, int]:
    """The smallest range that holds all places in use."""
    at = np.flatnonzero(used)
    return (int(at[0]), int(at[-1]) + 1) if len(at) else (0, 0)


class Schedule:
    """Phases of native calls as one call per thread."""

    def __init__(self, phases: list[list[list[tuple[int, int, int, int]]]], parties: int):
        lists: list[list[tuple[int, int, int, int]]] = [[] for _ in range(parties)]
        meetings = 0
        for number, phase in enumerate(phases):
            if number and parties > 1:
                meetings += 1
                for calls in lists:
                    calls.append((0, meetings, parties, 0))
            for k, calls in enumerate(phase):
                lists[k].extend(calls)
        if parties > 1:  # the caller waits for all at the end, nobody for the caller
            lists[0].append((0, meetings + 1, parties, 0))
            for calls in lists[1:]:
                calls.append((0, 0, 0, 0))
        self.lists = [glue.calls(calls) for calls in lists]
        self.arrived = np.zeros(8, np.int64)
        self.work = [
            (address(calls), len(calls), address(self.arrived), glue.sched_yield())
            for calls in self.lists
        ]
        self.call = glue.kernels().sequence.run
        self.begin = partial(self.arrived.fill, 0)

    def run(self) -> None:
        if len(self.work) == 1:
            self.call(*self.work[0])
        else:
            threads.together(self.begin, self.call, self.work)


class Rows:
    """Values by node in the order of a layout's places; `user()` in the order of the structure's
    rows.
    """

    def __init__(self, values: np.ndarray, layout: Layout):
        self.values, self.layout = values, layout

    def user(self) -> np.ndarray:
        return self.layout.to_user(self.values)

    def take(self, index: np.ndarray) -> np.ndarray:
        """Some of the user's rows, without putting all in order."""
        at = index if self.layout.order is None else self.layout.place[index]
        return self.values[at]


def by_place(value: Any, layout: Layout) -> np.ndarray:
    if isinstance(value, Rows):
        if value.layout is layout or value.layout.key == layout.key:
            return value.values
        value = value.user()
    return layout.to_rows(value)


def shared_value(t: Tensor, numbers: dict[Tensor, int], args: Sequence[Any]) -> np.ndarray:
    """A shared tensor computed inside the block (a transposed weight, a joined bias)."""
    env: dict[Tensor, Any] = {}
    for u in toposort([t]):
        if u in numbers:
            env[u] = args[numbers[u]]
        else:
            env[u] = u._value if u._value is not None else compute(u, env)
    return env[t]
