"""A traced function as compiled blocks: its graph rewritten, its recurrences bound to programs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Any

import numpy as np

from ..chunks import chunks_of, cut
from ..graph import CONSTANT, INPUT, Tensor, toposort
from ..kernels.threads import count
from ..ops.broadcast import RESHAPE
from ..recur import PROJ, RECUR, Block, Via, parts_of
from ..rewrite.whole import whole
from ..run.chunkwise import in_numpy
from ..run.reference import demand, unheld
from ..sites import nobodys
from ..structure import Structure
from .chunked import Chunked, in_words
from .lane import Lane, Step
from .language import Unsupported
from .layout import Layout, layout_of
from .lower import able
from .memory import Pool
from .pieces import Course
from .program import Program, program_for
from .results import plain, settled, varying
from .runner import Runner
from .table import received

WIDE = 12  # rows of a level and thread, from which on products are as fast as with more
LARGE = 256  # elements of a tensor per node, from which on memory is what it costs
KEPT = 4  # runners of one place that serve other traces
LONG = 8  # rows of a component, from which on sums by component are small beside them


class Compiled:
    """The steps that run a trace, and the lane that calls them.

    Arguments as in `ways.way_of`.
    """

    def __init__(
        self, leaves: Sequence[Any], inputs: Sequence[tuple[int, Tensor]], outputs: Sequence[Any],
        pools: dict[int, Pool], donated: Collection[int] = (),
    ):  # fmt: skip
        with nobodys():
            rest = iter(whole([t for t in outputs if isinstance(t, Tensor)], able))
        outputs = [next(rest) if isinstance(t, Tensor) else t for t in outputs]
        self.runners: list[Runner] = []
        self.notes: list[Callable[[], str]] = []
        steps, known, loose = self._schedule([t for t in outputs if isinstance(t, Tensor)], pools)
        pool = pools.setdefault(-1, Pool())  # the lane's own
        self.lane = Lane(leaves, inputs, steps, outputs, known, donated, loose, pool)
        self.recurrences = sum(bool(s.asked) for s in steps)
        self.ops = sum(not s.asked and s.t.op is not RESHAPE for s in steps)
        self.lane.forget()
        self.express = self.lane.run

    def _schedule(
        self, outputs: list[Tensor], pools: dict[int, Pool]
    ) -> tuple[list[Step], dict[Tensor, Any], set[Tensor]]:
        """The steps; the values that no argument reaches; the rows that are computed again where
        they are read."""
        order = toposort(outputs)
        needed, demands = demand(order, outputs)
        moving = varying(order)
        steps: list[Step] = []
        number = 0
        for t in order:
            if t not in needed or t not in moving or t.op in (INPUT, CONSTANT, PROJ):
                continue
            if t.op is RECUR:
                steps.append(self._recur(t, demands[t], pools.setdefault(number, Pool())))
                number += 1
            else:
                steps.append(Step(t))
        loose = unheld([t for t in order if t in needed], set(outputs))
        return steps, settled(order, needed, moving), loose

    def _recur(self, r: Tensor, asked: list[Tensor], pool: Pool) -> Step:
        block, structure, vias = r.attrs["block"], r.attrs["structure"], r.attrs["vias"]
        leaving = [(p.attrs["ref"], p.attrs["via"].kind == "shared") for p in asked]
        between = cut(structure)
        per_row = tuple(dict.fromkeys(ref for ref, summed in leaving if not summed))
        summed = tuple(dict.fromkeys(ref for ref, summed in leaving if summed))
        added: tuple[Tensor, ...] = ()
        course = Course(LARGE)
        if not between:
            added, course = _added(asked, layout_of(structure)), _course(layout_of(structure))
        try:
            program = program_for(block, structure.wires, vias, per_row, summed, added, course)
        except Unsupported as why:
            how = f"runs in NumPy, level by level, because there is no code for {why}"
            self.notes.append(partial(_note, block, structure, how))
            return Step(r, asked, None, in_numpy(r, asked, plain) if between else None)
        how = f"compiled for {program.dtype}\n{program.words}"
        self.notes.append(partial(_note, block, structure, how))
        if between:
            return Step(r, asked, None, Chunked(program, r, asked, pool))
        self.runners.append(_runner(program, r, asked, pool))
        return Step(r, asked, self.runners[-1])

    def take_workspace(self) -> None:
        """Make ours again what another trace may have worked with."""
        for runner in self.runners:
            runner.take_pool()
        self.lane.take_tables()

    def run(self, leaves: Sequence[Any], given: Sequence[Any]) -> list[Any]:
        results = self.lane.run(leaves, given)
        assert results is not None, "arguments of another trace"
        return results

    def explain(self) -> str:
        """In words: what is compiled and how, and what runs op by op."""
        names = self.lane.by_numpy
        words = f", {len(names)} of them in NumPy: {', '.join(sorted(set(names)))}"
        items = sum(len(s.items) for s in self.lane.segments)
        lists = sum(s.schedule is not None for s in self.lane.segments)
        native = "one native list" if lists == 1 else f"{lists} native lists"
        between = f", with {items} steps of Python" if items else ""
        return "\n".join([
            f"{self.recurrences} recurrences and {self.ops} other ops{words if names else ''}",
            *(note() for note in self.notes),
            *([self.lane.donation.explain()] if self.lane.donation.count else []),
            f"called through {native}{between}",
        ])  # fmt: skip


def _note(block: Block, structure: Structure, how: str) -> str:
    cuts = f", {in_words(chunks_of(structure))}" if cut(structure) else ""
    return f"{block.name} over {structure}{cuts}: {how}"


def _runner(program: Program, r: Tensor, asked: Sequence[Tensor], pool: Pool) -> Runner:
    """A runner of its own; or that of an earlier trace, where nothing of it has changed (as in an
    optimiser's rules, whatever the lengths).  The lane that runs writes what its table holds."""
    _, structure, vias = parts_of(r)
    layout, ways = layout_of(structure), [*vias, *(p.attrs["via"] for p in asked)]
    own = len(structure.src) or any(via.rows is not None for via in ways)
    if own or any(received(x, layout) is not None for x in r.inputs):
        return Runner(program, layout, vias, pool, asked, r.inputs)
    key = program, structure, count()
    found = pool.runners.get(key) or Runner(program, layout, vias, pool, asked)
    pool.runners[key] = found
    while len(pool.runners) > KEPT:
        del pool.runners[next(iter(pool.runners))]
    return found


def _course(layout: Layout) -> Course:
    """What plans are told of a structure; wide where a thread has many rows at each of several
    levels, all of which have their inputs."""
    slots, levels = list(layout.slots.values()), len(layout.ranges)
    dense = all(slot.shift is not None for slot in slots)
    wide = levels > 1 and dense and layout.n >= WIDE * levels * count()
    # Backwards, a short sequence begins at a later level, among rows that do have a source.
    begin = int(layout.ranges[0, 1] - layout.ranges[0, 0]) if levels else 0
    chain = dense and len(slots) == 1 and len(slots[0].source) == layout.n - begin
    return Course(LARGE, wide, chain, layout.n >= LONG * layout.components)


def _added(asked: Sequence[Tensor], layout: Layout) -> tuple[Tensor, ...]:
    """What leaves by one Index alone, where each row of the table belongs to one component:
    no two threads add to it, and whoever does goes level by level."""
    ways: dict[Tensor, list[Via]] = {}
    for p in asked:
        ways.setdefault(p.attrs["ref"], []).append(p.attrs["via"])
    return tuple(
        ref for ref, vias in ways.items()
        if len(vias) == 1 and vias[0].kind == "index" and _apart(vias[0], layout)
    )  # fmt: skip


def _apart(via: Via, layout: Layout) -> bool:
    numbers = layout.to_rows(via.rows)
    used = numbers >= 0
    owner = np.zeros(via.size, np.int64)
    owner[numbers[used]] = layout.component[used]
    return bool((owner[numbers[used]] == layout.component[used]).all())
