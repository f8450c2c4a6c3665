"""From a plan to the source of its kernels: the plan as plain data.

A `Description` numbers everything a plan reads into entries of one table of int64
(addresses, strides in bytes, lengths) and writes the stages down as tuples.
Their text is what the cache hashes; `kernels.stages` turns it into vector code.
No sizes and no cell appear in it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..kernels.stages import LISTS
from .language import AXES, CHEAP, FOLDS, REDUCED, REPEATED, Row
from .passes import computed_again, spills, turns
from .pieces import Segment
from .plan import Plan

# Rows of a grid side by side, as the sums over them would wait for each other; of long code fewer.
AT_ONCE, FEWER = 4, 2


class Entries:
    """Names of table entries and their numbers, in order of first use."""

    def __init__(self) -> None:
        self.number: dict[Any, int] = {}

    def __call__(self, *name: Any) -> int:
        return self.number.setdefault(name, len(self.number))


class Description:
    """A plan as data.

    stages, gather : nested tuples of numbers and op names: the text of the block's own kernels.
    here           : by stage, the places of rows that pass: of those at hand there is memory only.
    ring           : what goes round from level to level: how many rows a level has at most, how far
                     away a row's source is, the places of ports, the places of slots.
    lists          : what kernels that all blocks share go through: arrays of entries' numbers,
                     by the names that `kernels.stages` gives their columns.
    """

    def __init__(self, plan: Plan):
        self.plan, self.entry = plan, Entries()
        e = self.entry
        for name in (
            "product",
            "pack",
            "pack_transposed",
            "weight_gradient",
            "ranges",
            "zeros",
            "work",
            "infinite",
            "skipping",
            "nodes",
        ):
            e(name)
        for name in LISTS:  # its address and its length
            e("list", name)
            e("count", name)
        self.length: dict[int, int] = {}
        self.scratch: dict[Row, None] = {}
        self.infinite: dict[int, None] = {}  # matrices to be looked over: not all rows need them
        self.stages = tuple(self._stage(s) for s in range(3))
        self.here = tuple(
            tuple(self.place(r) for r, s in plan.passing.items() if s == stage)
            for stage in range(3)
        )
        self.ring: tuple = ()
        if plan.ring:
            ports = tuple(self.place(r) for r in dict.fromkeys(plan.ring.values()))
            slots = tuple(self.place(r) for r in plan.ring)
            self.ring = (self.entry("level"), self.entry("shift"), ports, slots)
        self.gather = tuple(self._gather(key, ph_size) for key, ph_size in self._slot_sizes())
        self.lists: dict[str, list[tuple[int, ...]]] = {name: [] for name in LISTS}
        for m in plan.matrices:
            self._matrix(m)
        for b in plan.bundles:
            self._bias(b)
        self.lists["outers"] = [self._outer(o) for o in plan.outers]

    def source(self, real: str) -> str:
        """The module that `cache.load` compiles: the stages in which something happens."""
        own = [
            text for stage, text in zip(self.stages, _STAGES, strict=True)
            if stage or (text is _STAGES[1] and self.gather)
        ]  # fmt: skip
        head = _HEAD.format(
            real=real, stages=self.stages, here=self.here, ring=self.ring, gather=self.gather
        )
        return "".join([head, *own])

    # -- addresses -------------------------------------------------------------------------------

    def size(self, n: int) -> int:
        return self.entry("length", self.length.setdefault(n, len(self.length)))

    def place(self, r: Row) -> tuple[int, int]:
        """Entries of a row node's base address and row stride."""
        return self.entry("base", r), self.entry("stride", r)

    def _slot_sizes(self) -> list[tuple[tuple[int, int], Row]]:
        slots = {r.tensor: r for r in self.plan.order if r.op == "slot"}
        return sorted(slots.items(), key=lambda t: t[0])

    # -- stages ------------------------------------------------------------------------------------

    def _stage(self, stage: int) -> tuple:
        steps: list[tuple] = []
        for place in self.plan.places(stage):
            for b in self.plan.bundles:
                for p in b.products.get(place, ()):
                    steps.append(("product", self._product(p, place)))
            for r in self.plan.moved:
                if r.op != "part" and self.plan.home(r) == place:
                    steps += [("call", *call) for call in self._tensor(r)]
            segment = self.plan.segments.get(place)
            if segment is not None:
                steps.append(("rows", self._rows(segment)))
            for r in self.plan.added:
                if self.plan.home(r) == place:
                    names = [self.entry(what, r) for what in ("numbers", "sum", "sum_stride")]
                    steps.append(("add", (*self.place(r), self.size(r.size), *names)))
        return tuple(steps)

    def _product(self, p: Any, place: tuple[int, int]) -> tuple:
        number = self.plan.matrices.index(p.matrix)
        a, lda = self.place(p.operand)
        c, ldc = self.place(p.bundle.zs[0])
        bundle = self.plan.bundles.index(p.bundle)
        cin = (self.entry("bias", bundle), -1) if p.first else (c, ldc)
        sizes = self.entry("depth", number), self.entry("columns", number)
        return (
            a, lda, self.entry("packed", number), c, ldc, *cin, *sizes,
            *self._limits(p, number, place, bundle),
        )  # fmt: skip

    def _tensor(self, r: Row) -> list[tuple]:
        """Calls of kernels for tensors: (kernel, bases and strides, ...), and which of the bases
        are of tables: (number of the argument, entry of its jumps)."""
        to, kernel = self.place(r), self.entry("tensors", r)
        if r.op == "nest":
            places = [*map(self.place, r.args), self.fixed("ones")][:2]
            jumps = [*map(self.jump, r.args), None][:2]
            if r.tensor.swap:
                places, jumps = places[::-1], jumps[::-1]
            (a, b), tables = places, [(2 * k, j) for k, j in enumerate(jumps) if j is not None]
            return [((kernel, *a, *b, *to, self.entry("loops", r)), tuple(tables))]
        found = []
        for k, source in reversed([*enumerate([*r.args, None])]):
            if r.tensor.runs[k]:
                place = self.fixed("zeros") if source is None else self.place(source)
                jump = None if source is None else self.jump(source)
                runs = self.entry("runs", r, k), self.entry("run_count", r, k)
                found.append(((kernel, *place, *to, *runs), () if jump is None else ((0, jump),)))
        return found

    def jump(self, r: Row) -> int | None:
        """The entry of where each row lies, if `r` is looked up in a table."""
        return self.entry("jumps", r) if r in self.plan.looked_up else None

    def fixed(self, name: str) -> tuple[int, int]:
        """Numbers that are always the same, for all rows."""
        return self.entry(name), self.entry("none")

    def _limits(
        self, p: Any, number: int, place: tuple[int, int], bundle: int
    ) -> tuple[str, int, int, int]:
        """Where a product need not run.

        ("rows", first, last), ("levels", flags, 0) or ("all", 0, 0).
        Last comes the matrix to ask whether that may be (-1: none):
        where a row is left out because its operand is zero, the matrix must be finite,
        as 0 * inf is NaN.
        """
        if p.operand.op == "in" and place[0] != 1:
            self.infinite[number] = None
            return ("rows", self.entry("low", p.operand), self.entry("high", p.operand), number)
        if place[0] == 2:
            return ("rows", self.entry("low_out", bundle), self.entry("high_out", bundle), -1)
        if place[0] == 1 and p.operand.op == "slot":
            self.infinite[number] = None
            return ("levels", self.entry("bare"), 0, number)
        if place[0] == 1 and self.plan.feeds_edges_only(p.bundle):
            return ("levels", self.entry("silent"), 0, -1)
        return ("all", 0, 0, -1)

    def _rows(self, segment: Segment) -> tuple:
        """A fused loop over rows as data.

        ((scalar code, ((length, loop code, folds, sums, at once), ...)), ...), tail.

        A pass ends where a reduction must be known, or a vector must lie in memory to be repeated.
        Of a grid the length is one of its axes; `sums` are those along one of them.
        Numbers of a row live through all its passes, vectors within one:
        those needed later are computed again where that is cheap, else written and read back.
        """
        turn = turns(segment.nodes, self.plan.stored)
        spilled = spills(segment.nodes, turn)
        self.scratch.update(dict.fromkeys(r for r in spilled if r not in self.plan.stored))
        late = [r for r in segment.columns if r in turn and r.op in AXES]
        last = max((turn[r] + (r in late) for r in turn), default=0)
        passes: list[_Pass] = [_Pass(self) for _ in range(1 + last)]
        number: dict[Row, int] = {}
        known: set[Row] = set()  # numbers that are there by now
        for p, step in enumerate(passes):
            for r in [x for x in segment.nodes if turn[x] == p]:
                if r.op in REPEATED and r not in segment.stores and r not in segment.columns:
                    continue  # loaded where it is read
                step.compute(r, number, known, turn)
                if r.op in REDUCED:
                    continue
                if r in self.plan.stored and r in segment.stores or r in spilled:
                    step.code(r).append(
                        ("put" if r.size == 1 else "store", number[r], *self.place(r))
                    )
                if r in segment.columns and r.size != 1:
                    step.code(r).append(self._column(r, number[r]))
            for r in [x for x in late if turn[x] == p - 1]:
                step.bring(r, r.size, number, known, turn)
                step.code(r).append(self._column(r, number[r]))
            known |= {r for r in turn if r.op in FOLDS and turn[r] == p}
        tail: list[tuple] = []
        for r in dict.fromkeys((*segment.stores, *segment.columns)):  # each once: it adds
            if r not in turn:  # a leaf that leaves as it is
                passes[0].bring(r, r.size, number, known, turn)
            if r in segment.stores and (r.op in FOLDS or r not in turn):
                target = passes[0].code(r) if r not in turn else tail
                target.append(("put" if r.size == 1 else "store", number[r], *self.place(r)))
            if r in segment.columns and (r.size == 1 or r not in turn):
                target = passes[0].code(r) if r not in turn and r.size != 1 else tail
                target.append(self._column(r, number[r]))
        return tuple(step.data() for step in passes), tuple(tail)

    def _load(self, r: Row, v: int) -> tuple:
        if r.op == "const":
            return ("const", v, r.tensor)
        kind = r.op if r.op in REPEATED else "scalar" if r.size == 1 else "load"
        (r,) = r.args if r.op in REPEATED else (r,)
        base, stride = self.place(r)
        if (jump := self.jump(r)) is not None:
            return (f"{kind}_by", v, base, stride, jump)
        return (kind + ("_shared" if r.op == "vec" else ""), v, base, stride)

    def _column(self, r: Row, v: int) -> tuple:
        kind = "column" if r.size != 1 else "column_scalar"
        place = self.entry("sums", r), self.entry("sums_stride", r)
        if r in self.plan.by_component:
            return "column_by", v, *place, self.entry("component")
        return kind, v, *place

    # -- around the stages -------------------------------------------------------------------------

    def _gather(self, key: tuple[int, int], r: Row) -> tuple:
        slot, leaf = key
        base, stride = self.place(r)
        ports = self.entry("ports", key, 0)
        for p in range(1, 2 * self.ports_of(slot)):
            self.entry("ports", key, p)
        names = [self.entry(what, slot) for what in ("dense", "first", "source", "port")]
        return (base, stride, self.size(r.size), ports, *names)

    def ports_of(self, slot: int) -> int:
        """How many ports an edge into the slot may name; some may send nothing of a leaf."""
        return 1 + max((p for p, s in self.plan.low.wires if s == slot), default=0)

    def _matrix(self, m: Any) -> None:
        number = self.plan.matrices.index(m)
        first = len(self.lists["blocks"])
        for k in range(len(m.blocks) if len(m.blocks) > 1 else 0):
            self.lists["blocks"].append(
                tuple(self.entry(w, number, k) for w in ("from", "from_ld", "rows", "cols", "to"))
            )  # one block alone is packed from where it lies
        whole = ("whole", "whole_ld", "depth", "columns", "packed")
        self.lists["matrices"].append((
            *(self.entry(w, number) for w in whole), int(m.transposed),
            int(number in self.infinite), first, len(self.lists["blocks"]),
        ))  # fmt: skip

    def _bias(self, b: Any) -> None:
        self.entry("bias", self.plan.bundles.index(b))
        for z in b.zs:
            first = len(self.lists["vectors"])
            for v in z.vecs:
                single = int(z.size > 1 and v.size == 1)
                self.lists["vectors"].append((self.entry("base", v), single))
            at, length = self.entry("bias_at", z), self.size(z.size)
            self.lists["biases"].append((at, length, first, len(self.lists["vectors"])))

    def _outer(self, o: Any) -> tuple:
        number = self.plan.outers.index(o)
        a, lda = self.place(o.left)
        d, ldd = self.place(o.rights[0])
        names = (
            "outer_first", "outer_nodes", "outer_rows", "outer_columns", "outer", "outer_ld",
            "outer_sums",
        )  # fmt: skip
        return (a, lda, d, ldd, *(self.entry(n, number) for n in names))


class _Pass:
    """The code of one pass.

    Numbers first, then a loop over the lanes for every length that occurs.
    """

    def __init__(self, description: Description):
        self.of = description
        self.scalars: list[tuple] = []
        self.loops: dict[int, _Loop] = {}
        self.ready: dict[int, set[Row]] = {}

    def code(self, r: Row) -> list[tuple]:
        return self.scalars if r.size == 1 else self.loop(r.size).code

    def loop(self, length: int) -> _Loop:
        return self.loops.setdefault(length, _Loop())

    def _value(self, r: Row, number: dict[Row, int]) -> None:
        """Code for an op whose operands are there."""
        v = number.setdefault(r, len(number))
        if r.op in REPEATED:
            self.loop(r.size).grid = r.tensor
            self.code(r).append(self.of._load(r, v))
        else:
            self.code(r).append((r.scalar, v, *(number[a] for a in r.args)))
        if r.size != 1 and r.op not in (*CHEAP, *REPEATED):
            self.loop(r.size).cheap = False

    def compute(self, r: Row, number: dict, known: set[Row], turn: dict[Row, int]) -> None:
        """Code for `r`, after code that brings what it reads."""
        length = r.args[0].size if r.op in REDUCED else r.size
        for a in r.args if r.op not in REPEATED else ():
            self.bring(a, length, number, known, turn)
        if r.op in FOLDS:
            v = number.setdefault(r, len(number))
            self.loop(length).folds.append((r.op, v, number[r.args[0]]))
            return
        if r.op in AXES:
            self.loop(length).grid = r.tensor
            self.loop(length).sums.append((r.op, number[r.args[0]], *self.of.place(r)))
            return
        self._value(r, number)
        if r.size == 1:
            known.add(r)
        else:
            self.ready.setdefault(length, set()).add(r)

    def bring(
        self, r: Row, length: int, number: dict, known: set[Row], turn: dict[Row, int]
    ) -> None:
        """Make `r` available in this pass: loaded, computed again, or there already."""
        stack = [r]
        while stack:
            a = stack[-1]
            if a in known or a in self.ready.get(length, ()):
                stack.pop()
                continue
            if a in turn and computed_again(a, turn):
                ready = known | self.ready.get(length, set())
                missing = [b for b in a.args if b not in ready and a.op not in REPEATED]
                if missing:
                    stack += missing
                    continue
                self._value(a, number)
            else:
                v = number.setdefault(a, len(number))
                self.code(a).append(self.of._load(a, v))
            stack.pop()
            if a.size == 1:
                known.add(a)
            else:
                self.ready.setdefault(length, set()).add(a)

    def data(self) -> tuple:
        size, loops = self.of.size, []
        for n, loop in self.loops.items():
            length = size(n) if loop.grid is None else (size(loop.grid[0]), size(loop.grid[1]))
            parts = tuple(loop.code), tuple(loop.folds), tuple(loop.sums)
            loops.append((length, *parts, AT_ONCE if loop.cheap else FEWER))
        return tuple(self.scalars), tuple(loops)


@dataclass
class _Loop:
    """The code for every vector of a row; reductions of all, and along one axis of a grid.

    cheap: little code, so that there may be several copies of it.
    """

    code: list[tuple] = field(default_factory=list)
    folds: list[tuple] = field(default_factory=list)
    sums: list[tuple] = field(default_factory=list)
    grid: tuple[int, int] | None = None
    cheap: bool = True


_HEAD = '''"""Stages of one block; generated from its plan by minigrad.compile.emit."""

from minigrad.kernels import stages
from minigrad.kernels.native import kernel
from minigrad.kernels.vectors import REALS

REAL = REALS["{real}"]
STAGES = {stages}
HERE = {here}
RING = {ring}
GATHER = {gather}
'''
_STAGES = (
    '''

@kernel
def pre(k, table, start, stop):
    stages.chunks_kernel(k, REAL, STAGES[0], HERE[0], table, start, stop)
''',
    '''

@kernel
def core(k, table, start, stop):
    stages.levels_kernel(k, REAL, STAGES[1], HERE[1], RING, GATHER, table, start, stop)
''',
    '''

@kernel
def post(k, table, start, stop):
    stages.chunks_kernel(k, REAL, STAGES[2], HERE[2], table, start, stop)
''',
)
