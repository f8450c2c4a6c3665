"""A table that `minigrad study` was given, as series of numbers: rows in order, a vector each.

Columns are recognised as numbers, the time, an index, constant ones, words; what is left out is
said in notes.  Whatever makes it unfit to be trained on is an `InputError`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..scene.text import shorten
from .columns import SPOKEN, Columns, form, missing, number, split
from .corpus import Corpus, Given, InputError

MOST_ROWS = 100_000
MOST_COLUMNS = 100  # of numbers
LEAST_ROWS = 3
FEW_CLASSES = 10  # different whole numbers of a target that count as classes
_DATE = re.compile(
    r"(\d{4}-\d{1,2}(-\d{1,2})?|\d{4}[/.]\d{1,2}[/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4})"
    r"([ T]\d{1,2}:\d{2}(:\d{2}([.,]\d+)?)?\s?(am|pm)?(Z|[+-]\d\d:?\d\d)?)?"
    r"|\d{1,2}:\d{2}(:\d{2}([.,]\d+)?)?\s?(am|pm)?",
    re.I,
)
_ISO = re.compile(r"\d{4}-\d\d(-\d\d)?([ T]\d\d:\d\d.*)?|\d\d:\d\d(:\d\d.*)?")
TIMES = {
    "date", "time", "timestamp", "datetime", "day", "week", "month", "quarter", "year", "hour",
    "minute", "second", "seconds", "t", "datum", "zeit", "jahr", "monat", "tag",
}  # fmt: skip
INDEXES = {"", "index", "id", "no", "nr", "row", "step", "#", "n", "unnamed: 0"}


@dataclass(frozen=True)
class Asked:
    """What the command line says of a table: names of columns."""

    columns: tuple[str, ...] = ()
    target: str = ""
    series: str = ""


@dataclass(frozen=True)
class Table:
    """Series of numbers.

    names   : of the D columns that are read.
    values  : (T, D) float64, NaN where missing; the series stand one after another.
    labels  : (T,) what a row is called: its time, or its number.
    spans   : (first row, row behind the last) of every series.
    called  : the names of the series, as many; [""] of the only one.
    target  : the column that is to be predicted; "" for all of them.
    classes : of a target of classes, which is then none of `names`; else empty.
    answers : (T,) the class of every row, -1 where it is missing; of no use without classes.
    """

    names: list[str]
    values: np.ndarray
    labels: list[str]
    spans: list[tuple[int, int]]
    called: list[str]
    target: str
    classes: list[str]
    answers: np.ndarray

    @property
    def outputs(self) -> list[int]:
        """Which columns of `names` are predicted; none of them where classes are."""
        if self.classes:
            return []
        return [self.names.index(self.target)] if self.target else list(range(len(self.names)))


def tabular(what: Given, asked: Asked) -> Corpus:
    """The table in what was given, as a corpus of kind "table"."""
    how = form(what.text) or form(what.text, wide=True)
    if how is None:
        raise InputError(
            f"{what.source} is no table: a table has rows of numbers apart by commas, semicolons, "
            "tabs or spaces, at least three; to study its words give --as text"
        )
    try:
        found = split(what.text, how)
    except ValueError as error:
        raise InputError(
            f"{what.source}: {error}; mend that line (a cell that holds the delimiter stands in "
            "double quotes), or give --as text to study its words"
        ) from None
    notes = [*what.notes, _read_as(what.source, found)]
    table = _Reader(what.source, found, asked, notes).table()
    title = f"{what.source.removeprefix('the file ')}: {', '.join(table.names)}"
    return Corpus("table", what.source, title, notes=notes, form="table", table=table)


def _read_as(source: str, found: Columns) -> str:
    count, mark = len(found.names), found.format.delimiter
    columns = "one column" if count == 1 else f"{count} columns apart by {SPOKEN[mark]}"
    head = "with a header" if found.header else "without a header"
    comma = ", with commas as decimal signs" if found.format.decimal == "," else ""
    return (
        f"{source[:1].upper()}{source[1:]} was read as a table: {len(found.lines):,} rows, "
        f"{columns}, {head}{comma}."
    )


class _Reader:
    """Columns of texts turned into a `Table`, with `notes` on what was seen."""

    def __init__(self, source: str, found: Columns, asked: Asked, notes: list[str]) -> None:
        self.source, self.found, self.asked, self.notes = source, found, asked, notes
        self.decimal = found.format.decimal
        if len(found.lines) > MOST_ROWS:
            notes.append(f"Only its first {MOST_ROWS:,} rows of {len(found.lines):,} are used.")
        self.rows = list(range(min(len(found.lines), MOST_ROWS)))
        self.cells = dict(zip(found.names, found.cells, strict=True))
        for option, names in (
            ("--columns", asked.columns), ("--target", (asked.target,)),
            ("--series", (asked.series,)),
        ):  # fmt: skip
            for name in names:
                if name and name not in self.cells:
                    raise InputError(
                        f"{option} {name!r}: {source} has no such column; it has "
                        f"{_listed(found.names)}"
                    )
        if asked.series and asked.series in (asked.target, *asked.columns):
            raise InputError(f"--series {asked.series!r} names the series, so it is not predicted")

    def table(self) -> Table:
        called, spans = self._series()
        numbers = self._numbers()
        time = self._time(numbers)
        if time and self._backwards(time, numbers, spans):
            self.rows = [k for a, b in spans for k in reversed(self.rows[a:b])]
            self.notes.append(
                f"The rows stood newest first, by {time}: they are read the other way round."
            )
        classes, answers = self._classes(numbers)
        left = {self.asked.series, *([self.asked.target] if classes else [])}
        names = [n for n in numbers if n not in left and n != time]
        if len(names) > MOST_COLUMNS:
            self.notes.append(f"Only the first {MOST_COLUMNS} of {len(names)} columns are read.")
            names = names[:MOST_COLUMNS]
            if self.asked.target and not classes and self.asked.target not in names:
                names[-1] = self.asked.target
        if not names:
            other = f" besides the target {self.asked.target!r}" if classes else ""
            raise InputError(
                f"{self.source} has no column of numbers{other} to read; to study its words give "
                "--as text"
            )
        self._blank()
        values = np.array([[numbers[n][k] for n in names] for k in self.rows], float)
        values = values.reshape(len(self.rows), len(names))
        if len(self.rows) < LEAST_ROWS:
            count = len(self.rows)
            raise InputError(
                f"{self.source} has {count} row{'s' if count != 1 else ''} of numbers, and to "
                f"learn what comes next takes at least {LEAST_ROWS}: give it more rows"
            )
        if max(b - a for a, b in spans) < LEAST_ROWS:
            raise InputError(
                f"--series {self.asked.series!r}: none of the {len(spans)} series has the "
                f"{LEAST_ROWS} rows that it takes to learn what comes next"
            )
        return Table(
            names, values, self._labels(time, spans), spans, called, self.asked.target, classes,
            np.array([answers[k] for k in self.rows], np.int64),
        )  # fmt: skip

    # -- which columns are what --------------------------------------------------------------------

    def _numbers(self) -> dict[str, list[float]]:
        """The columns of numbers, NaN where missing; cells that are none are spoken of."""
        found, words, empty = {}, [], []
        for name, cells in self.cells.items():
            if name == self.asked.series:
                continue
            known = {k: c for k in self.rows if not missing(c := cells[k])}
            values = {k: number(c, self.decimal) for k, c in known.items()}
            strange = [k for k, v in values.items() if v is None]
            if not known:
                empty.append(name)
            elif 2 * len(strange) >= len(known):
                words.append(name)
            else:
                found[name] = [v if (v := values.get(k)) is not None else np.nan
                               for k in range(len(cells))]  # fmt: skip
                if strange and name != self.asked.target:
                    self._strange(name, cells, strange)
        wanted = self.asked.columns
        if wanted and (bad := [n for n in wanted if n not in found]):
            raise InputError(
                f"--columns {bad[0]!r}: that column holds no numbers but cells such as "
                f"{self._example(bad[0])!r}; choose others"
            )
        kept = {n for n in (*wanted, self.asked.target) if n} if wanted else set(found)
        times = [n for n in words if self._dated(n)]
        words = [n for n in words if n not in (*times, self.asked.target)]
        for names, why in ((words, "holds no numbers"), (empty, "is empty")):
            if names is words and names:
                why += f" (but cells such as {self._example(names[0])!r})"
            if names and not (why == "is empty" and all(n.startswith("column ") for n in names)):
                self.notes.append(left_out(names, why))
        if not found:
            cell = self._example(words[0]) if words else ""
            said = f": its cells are such as {cell!r}" if cell else ""
            raise InputError(
                f"{self.source} has no column of numbers{said} (a thousands separator or a unit in "
                "a cell makes it none); to study its words give --as text"
            )
        return {n: v for n, v in found.items() if n in kept}

    def _example(self, name: str) -> str:
        cells = self.cells[name]
        return shorten(next((c for k in self.rows if not missing(c := cells[k])), ""), 30)

    def _strange(self, name: str, cells: list[str], strange: list[int]) -> None:
        first, more = strange[0], len(strange) - 1
        others = f" and {more:,} other cell{'s' if more > 1 else ''} of it" if more else ""
        self.notes.append(
            f"{shorten(cells[first], 30)!r} in line {self.found.lines[first]} of column {name}"
            f"{others} is no number, so taken as missing."
        )

    def _dated(self, name: str) -> bool:
        """Whether a column of words is the time: dates by their look, or by its name."""
        cells = [c for k in self.rows if not missing(c := self.cells[name][k])]
        dates = sum(_DATE.fullmatch(c) is not None for c in cells)
        return bool(cells) and (2 * dates > len(cells) or name.lower() in TIMES)

    def _time(self, numbers: dict[str, list[float]], tell: bool = True) -> str:
        """The column that says when, or which row it is; it is no number to learn."""
        asked = (self.asked.target, self.asked.series, *self.asked.columns)
        for name in self.cells:
            if name not in numbers and name not in asked and self._dated(name):
                if tell:
                    self.notes.append(
                        f"The column {name} is taken for the time: it names the rows."
                    )
                return name
        for place, name in enumerate(self.cells):
            if name not in numbers or name in asked or len(numbers) == 1:
                continue
            column = np.array([numbers[name][k] for k in self.rows])
            at = np.flatnonzero(~np.isnan(column))
            steps = np.diff(column[at]) / np.diff(at)  # a row
            whole = bool((column[at] % 1 == 0).all())
            runs = len(steps) > 1 and (bool((steps > 0).all()) or bool((steps < 0).all()))
            plain = runs and bool((steps == steps[0]).all())
            listed = name.lower() in INDEXES or place == 0
            if plain and whole and listed or runs and name.lower() in TIMES:
                if tell:
                    self.notes.append(
                        f"The column {name} counts the rows or is the time, so it names them and "
                        "is not learnt (to learn it, name it in --columns)."
                    )
                return name
        return ""

    def _backwards(
        self, time: str, numbers: dict[str, list[float]], spans: list[tuple[int, int]]
    ) -> bool:
        """Whether time runs back in every series, where its order can be told."""
        back = []
        for a, b in spans:
            rows = self.rows[a:b]
            if time in numbers:
                at: list = [numbers[time][k] for k in rows]
            else:
                at = [self.cells[time][k] for k in rows if self.cells[time][k]]
                if not all(_ISO.fullmatch(c) for c in at):
                    return False
            if len(at) > 1:
                pairs = list(zip(at, at[1:], strict=False))
                if not self.asked.series and any(x == y for x, y in pairs) and time not in numbers:
                    self._several(time)
                    return False
                if not (all(x <= y for x, y in pairs) or all(x >= y for x, y in pairs)):
                    self.notes.append(
                        f"The rows are not in the order of {time}; they are taken as they stand."
                    )
                    return False
                back.append(at[0] > at[-1])
        return bool(back) and all(back)

    def _several(self, time: str) -> None:
        words = [n for n in self.cells if n != time and n != self.asked.target]
        kinds = {n: len(set(self.cells[n])) for n in words}
        one = next((n for n in words if 1 < kinds[n] <= len(self.rows) // 3), "")
        hint = f"; if {one} says which series a row is of, give --series {one!r}" if one else ""
        self.notes.append(f"Several rows have the same {time}: they are read as one series{hint}.")

    def _classes(self, numbers: dict[str, list[float]]) -> tuple[list[str], list[int]]:
        """(classes, answers by row) of the target; none where it is a number to predict."""
        name = self.asked.target
        none = [-1] * len(self.found.lines)
        if not name:
            return [], none
        cells = self.cells[name]
        known = [cells[k] for k in self.rows if not missing(cells[k])]
        if name in numbers:
            said = {k: v for k in self.rows if (v := numbers[name][k]) == v}
            values = set(said.values())
            whole = all(v.is_integer() for v in values)
            if not (whole and len(values) <= FEW_CLASSES and len(known) >= 3 * len(values)):
                return [], none
            if not set(numbers) - {name, self.asked.series, self._time(numbers, tell=False)}:
                return [], none  # it is told from its own past, as a number
            classes = [f"{v:g}" for v in sorted(values)]
            texts = {k: f"{v:g}" for k, v in said.items()}
        else:
            classes = sorted(set(known))
            texts = {k: cells[k] for k in self.rows if not missing(cells[k])}
        if len(classes) < 2:
            raise InputError(
                f"--target {name!r}: "
                + (f"all its rows say {classes[0]!r}" if classes else "the column is empty")
                + ", so there is nothing to tell apart; choose another column"
            )
        if len(classes) > max(20, len(known) // 3):
            raise InputError(
                f"--target {name!r}: its {len(known):,} cells hold {len(classes):,} different "
                "words, too many to be classes; choose another column"
            )
        return classes, [classes.index(texts[k]) if k in texts else -1 for k in range(len(cells))]

    # -- which rows --------------------------------------------------------------------------------

    def _series(self) -> tuple[list[str], list[tuple[int, int]]]:
        """(names, spans) of the series; puts the rows of each together."""
        name = self.asked.series
        if not name:
            return [""], [(0, len(self.rows))]
        groups: dict[str, list[int]] = {}
        for k in self.rows:
            if self.cells[name][k]:
                groups.setdefault(self.cells[name][k], []).append(k)
        self.rows = [k for rows in groups.values() for k in rows]
        ends = np.cumsum([0, *map(len, groups.values())]).tolist()
        self.notes.append(f"{len(groups):,} series, by the column {name}, each in its own order.")
        return list(groups), list(zip(ends, ends[1:], strict=False))

    def _blank(self) -> None:
        blank = sum(not any(cells[k] for cells in self.found.cells) for k in self.rows)
        if blank:
            rows = "1 blank row is a step" if blank == 1 else f"{blank:,} blank rows are steps"
            self.notes.append(f"{rows} at which nothing was observed.")

    def _labels(self, time: str, spans: list[tuple[int, int]]) -> list[str]:
        if time:
            cells = self.cells[time]
            return [cells[k] or f"row {k + 1}" for k in self.rows]
        return [f"row {k - a + 1}" for a, b in spans for k in range(a, b)]


def left_out(names: Sequence[str], why: str) -> str:
    if len(names) == 1:
        return f"Left out: the column {names[0]}, which {why}."
    plural = why.replace("holds", "hold").replace("is ", "are ")
    return f"Left out: the columns {_listed(names)}, which {plural}."


def _listed(names: Sequence[str]) -> str:
    shown = [shorten(n, 24) for n in names[:12]]
    return ", ".join(shown) + (f" and {len(names) - 12} more" if len(names) > 12 else "")
