"""Lines of a program: indented, broken within brackets where they get long, with comments."""

from __future__ import annotations

from collections.abc import Iterator
from textwrap import wrap

WIDTH = 99


def broken(text: str, indent: str) -> Iterator[str]:
    """A line in as many as it needs; it is broken behind a comma or an operator in brackets.

    Where brackets are fewest, in the second half of the width.
    """
    line, depth = indent + text, 0
    while len(line) > WIDTH:
        at, depth = _break(line, len(line) - len(line.lstrip()), depth)
        if not at:
            break
        yield line[:at].rstrip()
        line = indent + "    " + line[at:]
    yield line


def _break(line: str, start: int, depth: int) -> tuple[int, int]:
    """Where to break before the width (0: nowhere), and how many brackets are open there."""
    quote, found, fewest = "", (0, depth), 99
    for k, c in enumerate(line):
        if k >= WIDTH and found[0]:
            break
        if quote:
            quote = "" if c == quote else quote
        elif c in "\"'":
            quote = c
        elif c in "([{":
            depth += 1
        elif c in ")]}":
            depth -= 1
        elif c == " " and depth and k > start and line[k - 1] in ",+-*@":
            if depth <= fewest or k < WIDTH // 2:
                found, fewest = (k + 1, depth), depth
    return found


class Lines:
    """The lines of a program so far."""

    def __init__(self, comment: str, end: str) -> None:
        self.comment, self.end = comment, end
        self.lines: list[str] = []
        self.depth = 0

    def line(self, text: str, note: str = "") -> None:
        indent = "    " * self.depth
        remark = f"  {self.comment} {note}" if note else ""
        if len(indent + text + remark) <= WIDTH:
            self.lines.append(indent + text + remark)
            return
        if note:
            self.remark(note)
        self.lines += broken(text, indent)

    def remark(self, note: str) -> None:
        """A comment, in as many lines as it needs."""
        before = "    " * self.depth + self.comment + " "
        self.lines += [before + part for part in wrap(note, max(WIDTH - len(before), 40))]

    def blank(self) -> None:
        if self.lines and self.lines[-1]:
            self.lines.append("")

    def open(self, text: str, note: str = "") -> None:
        self.line(text, note)
        self.depth += 1

    def close(self) -> None:
        self.depth -= 1
        if self.end:
            self.lines.append("    " * self.depth + self.end)
