"""What the recurrences of a page's program read of each other, and where that puts them in time.

A decoder stands behind its encoder, a layer above the one that it reads; what all steps of one
are given alike, as a memory is, is no input of any step.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

MOST_SOURCES = 3  # steps that an input is named by


class Between:
    """What the steps of a program read of the steps of other units.

    calls  : of each unit its steps, {step: (the cell, the lines of its arguments)}.
    direct : of each line the calls that it is computed from, not through other calls.
    """

    def __init__(self, main: Sequence[Sequence[Any]]):
        self.main = main
        self.direct: list[frozenset[int]] = []
        self.calls: dict[int, dict[int, tuple[int, list[int]]]] = {}
        for k, (kind, *parts) in enumerate(main):
            if kind == "call":
                number, args, unit, step = parts
                self.calls.setdefault(unit, {})[step] = number, args
                self.direct.append(frozenset([k]))
                continue
            refs = parts[0] if kind in ("stack", "sum") else parts[1] if kind == "op" else parts[:1]
            refs = [] if kind in ("leaf", "zeros") else refs
            self.direct.append(frozenset().union(*(self.direct[r] for r in refs)))

    def others(self, unit: int, line: int) -> list[tuple[int, int]]:
        """The steps of other units that a line is computed from: (unit, step)."""
        places = sorted(tuple(self.main[call][3:]) for call in self.direct[line])
        return [(other, step) for other, step in places if other != unit]

    def alike(self, unit: int) -> set[int]:
        """The places of the arguments that are one and the same for all steps."""
        rows = [args for _, args in self.calls.get(unit, {}).values()]
        return {k for k, lines in enumerate(zip(*rows, strict=True)) if len(set(lines)) == 1}

    def in_time(self, units: Sequence[dict[str, Any]]) -> int:
        """Where each unit stands: `start`, the column of its first step, and `level`, from below.

        A unit that reads another's step at every step of its own stands above it; one that reads
        another in any other way begins when that has ended.
        Returns the number of columns.
        """
        for k, unit in enumerate(units):
            read: set[int] = set()  # units
            by_step: dict[int, set[int]] = {}  # of another: its steps that are read in the same
            alike = self.alike(k)
            for step, (_, args) in self.calls.get(k, {}).items():
                for arg, line in enumerate(args):
                    for other, at in self.others(k, line):
                        read.add(other)
                        # Of one step all arguments are alike: it is above what it reads as it is.
                        one = len(self.calls[k]) == 1 and self.main[line][0] == "out"
                        if at == step and (one or arg not in alike):
                            by_step.setdefault(other, set()).add(step)
            start, level = 0, 0
            for other in sorted(o for o in read if o < k):
                below = units[other]
                same = unit["steps"] == below["steps"] == len(by_step.get(other, ()))
                start = max(start, below["start"] + (0 if same else below["steps"]))
                level = max(level, below["level"] + 1 if same else 0)
            taken = {
                u["level"] for u in units[:k]
                if u["start"] < start + unit["steps"] and start < u["start"] + u["steps"]
            }  # fmt: skip
            while level in taken:
                level += 1
            unit |= {"start": start, "level": level}
        return max(u["start"] + u["steps"] for u in units)

    def read(
        self, cells: Sequence[dict[str, Any]], units: Sequence[dict[str, Any]]
    ) -> dict[str, list[Any]]:
        """{joins, reads, sources} for the page.

        joins : [unit, step, place of the argument, unit, step], where a state begins with what
                one step of another unit gave at another time (see `_begins`).
        reads : arguments that all steps are given alike, as a memory: the line, the unit, a name,
                the unit (`of`) whose steps are its rows, and whether it is `flat`, without rows.
        sources : [unit, step, place, [[unit, step], ...]], of any other argument that is computed
                  from a few steps.
        """
        joins, reads, sources = [], [], []
        for unit, calls in self.calls.items():
            alike = self.alike(unit)
            for step, (number, args) in calls.items():
                for arg, line in enumerate(args):
                    given, before = cells[number]["inputs"][arg], self.others(unit, line)
                    several = len(calls) > 1 or len(given["shape"]) > 1  # one vector is an input
                    memory = bool(before) if given["shared"] else arg in alike and several
                    if memory and step == min(calls) and given["shape"]:
                        reads.append({
                            "line": line, "unit": unit, "name": given["name"].lstrip("0123456789."),
                            "of": before[0][0] if before else None, "flat": len(given["shape"]) < 2,
                        })  # fmt: skip
                    if memory or given["shared"] or not before or self.main[line][0] == "out":
                        continue
                    (other, at) = before[0]
                    apart = units[other]["start"] + at != units[unit]["start"] + step
                    if apart and self._begins(unit, step, arg):
                        joins.append([unit, step, arg, other, at])
                    elif len(before) <= MOST_SOURCES:
                        sources.append([unit, step, arg, before])
        return {"joins": joins, "reads": reads, "sources": sources}

    def _begins(self, unit: int, step: int, arg: int) -> bool:
        """Whether an argument is computed from one step of another unit, in this step alone, as
        the state is that a decoder begins with."""
        lines = {t: args[arg] for t, (_, args) in self.calls[unit].items()}
        if len(self.others(unit, lines[step])) != 1:
            return False
        return all(t == step or not self.others(unit, line) for t, line in lines.items())
