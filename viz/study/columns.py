"""A text as columns of cells: what stands between them, which sign is the decimal one, the names.

Below `corpus` (which asks whether a text is a table) and `table` (which makes numbers of it).
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from recurrent.data import MISSING, NUMBER

DELIMITERS = ("\t", ";", "|", ",", " ")  # a comma may be a decimal sign as well
SPOKEN = {",": "commas", "\t": "tabs", ";": "semicolons", "|": "bars", " ": "spaces"}
SAMPLE = 200  # lines that are looked at to find out
_COMMA = re.compile(r"[+-]?\d+,\d+(?:[eE][-+]?\d+)?")
_POINT = re.compile(r"[+-]?\d*\.\d+(?:[eE][-+]?\d+)?")
_THOUSANDS = re.compile(r"[+-]?\d{1,3}(?:,\d{3})+")


@dataclass(frozen=True)
class Format:
    """How a table is written.  delimiter: "" where there is one column."""

    delimiter: str
    decimal: str
    width: int


@dataclass(frozen=True)
class Columns:
    """A table's cells as texts, a list a column; "" in a blank row.

    names  : none twice; from the header, or "column 1", ...
    lines  : the line of the file that each row begins at.
    header : whether there was one.
    """

    names: list[str]
    cells: list[list[str]]
    lines: list[int]
    header: bool
    format: Format


def number(cell: str, decimal: str) -> float | None:
    """The number that a cell says, or None; infinite ones are none."""
    plain = cell if decimal == "." else cell.replace(".", "?").replace(",", ".")
    if not NUMBER.fullmatch(plain) or "i" in plain.lower():
        return None
    value = float(plain)
    return value if abs(value) != float("inf") else None


def missing(cell: str) -> bool:
    return cell in MISSING or cell in ("-", "--", "–", "NaT", "n.a.", ".")


def form(text: str, wide: bool = False) -> Format | None:
    """How a table is written, if the text is one: rows of equal width with a column of numbers.

    wide: any rows of cells will do, also such as hold no numbers.
    """
    lines = _lines(text)
    if len(lines) < (2 if wide else 3):
        return None
    if (one := _one(lines)) is not None:
        return one
    best: tuple[float, Format] | None = None
    for mark in DELIMITERS:
        rows = [row for _, row in _rows(lines, mark) if row]
        if not rows:
            continue
        width, count = Counter(map(len, rows)).most_common(1)[0]
        share = count / len(rows)
        if width < 2 or share < 0.9:
            continue
        decimal = _decimal((c for row in rows for c in row), mark)
        body = [row for row in rows[1:] if len(row) == width]
        numeric = [_mostly([row[k] for row in body], decimal) for k in range(width)]
        if not (all(numeric) if mark == " " else any(numeric) or wide):
            continue
        if best is None or share > best[0]:
            best = share, Format(mark, decimal, width)
    return best[1] if best else None


def _one(lines: list[str]) -> Format | None:
    """One column of numbers, if that is what it is: a comma then is a decimal sign."""
    body = [c.strip().strip('"') for c in lines[1:]]
    first = lines[0].strip().strip('"')
    for decimal in ".,":
        known = [number(c, decimal) for c in body if not missing(c)]
        if decimal == "," and (number(first.split(",")[0], ".") is not None or "," in first):
            continue  # as good as two columns of whole numbers
        if len(known) > 1 and None not in known:
            return Format("", decimal, 1)
    return None


def _lines(text: str) -> list[str]:
    start = text[:50_000]
    lines = start.split("\n")[: -1 if len(text) > len(start) else None]
    kept = [line for line in lines if line.strip() and not line.startswith("#")]
    return kept[:SAMPLE]


def _rows(lines: Iterable[str], delimiter: str) -> list[tuple[int, list[str]]]:
    """(line, cells) of every row; blank rows have none."""
    if delimiter in ("", " "):
        cut = [[line.strip().strip('"')] if not delimiter else line.split() for line in lines]
        return [(k + 1, row if any(row) else []) for k, row in enumerate(cut)]
    reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=delimiter != "\t")
    rows, before = [], 0
    try:
        for row in reader:
            cells = [cell.strip() for cell in row]
            rows.append((before + 1, cells if any(cells) else []))
            before = reader.line_num
    except csv.Error as error:
        raise ValueError(f"line {reader.line_num} cannot be read as a table: {error}") from None
    return rows


def _decimal(cells: Iterable[str], delimiter: str) -> str:
    """The decimal sign: a comma where cells have one, none has a point and thousands are none."""
    found = list(cells)
    commas = [c for c in found if _COMMA.fullmatch(c)]
    points = any(_POINT.fullmatch(c) for c in found)
    thousands = delimiter == "," and all(_THOUSANDS.fullmatch(c) for c in commas)
    return "," if commas and not points and not thousands else "."


def _mostly(cells: list[str], decimal: str) -> bool:
    """Whether more than half of what is not missing is numbers."""
    known = [number(c, decimal) is not None for c in cells if not missing(c)]
    return 2 * sum(known) > len(known)


def split(text: str, how: Format) -> Columns:
    """The cells of a table.  Lines that start with # above its first row are remarks.

    Raises ValueError for a row of another width, naming its line.
    """
    lines = io.StringIO(text, newline="").read().replace("\r\n", "\n").replace("\r", "\n")
    rows = _rows(lines.splitlines(keepends=bool(how.delimiter.strip())), how.delimiter)
    while rows and (not rows[0][1] or rows[0][1][0].startswith("#")):
        rows.pop(0)
    while rows and not rows[-1][1]:
        rows.pop()
    for line, row in rows:
        if row and len(row) != how.width:
            cells = f"{len(row)} cell{'s' if len(row) != 1 else ''}"
            raise ValueError(f"line {line} has {cells} where other rows have {how.width}")
    body = [row for _, row in rows[1:] if row]
    first = rows[0][1] if rows else []
    strange = [
        not missing(c) and number(c, how.decimal) is None
        and bool(body) and _mostly([row[k] for row in body], how.decimal)
        for k, c in enumerate(first)
    ]  # fmt: skip
    # of words alone, the first row is a header too
    header = (
        any(strange)
        or bool(first)
        and all(number(c, how.decimal) is None and not missing(c) for c in first)
    )
    names = _distinct(first if header else [""] * how.width)
    kept = rows[header:]
    columns = [[row[k] if row else "" for _, row in kept] for k in range(how.width)]
    return Columns(names, columns, [line for line, _ in kept], header, how)


def _distinct(names: list[str]) -> list[str]:
    """Names of columns: none empty, none twice."""
    found: list[str] = []
    for k, name in enumerate(names):
        base = " ".join(name.split()) or f"column {k + 1}"
        count = 2
        name = base
        while name in found:
            name, count = f"{base} ({count})", count + 1
        found.append(name)
    return found
