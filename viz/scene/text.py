"""Text for pictures: subscripts, hostile labels made harmless, and how wide a line will be.

Graphviz has to be given labels it cannot misread.
Its own ``escape`` lets entities, control characters, lone surrogates and very long tokens through.
``clean`` followed by ``quote`` held for thousands of hostile labels.
"""

from __future__ import annotations

import re
import unicodedata

LIMIT = 400  # characters of a label; tooltips may be longer
_DIGITS = str.maketrans("0123456789+-=()nt", "₀₁₂₃₄₅₆₇₈₉₊₋₌₍₎ₙₜ")
_RAISED = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
_NEWLINES = re.compile(r"\r\n|\r|\x0b|\x0c|\x85|\u2028|\u2029")
# C0 and C1 controls except newline, surrogates, noncharacters: no XML may hold them.
_FORBIDDEN = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_BLANK = re.compile(r"[^\S\n]*")
# Helvetica's advance widths, thousandths of the font size (Adobe font metrics).
_BY_WIDTH = {
    191: "'",
    222: "ijl",
    260: "|",
    278: " !,./:;[\\]Ift",
    333: "()-`r",
    334: "{}",
    355: '"',
    389: "*",
    469: "^",
    500: "Jcksvxyz",
    556: "#$?_Labdeghnopqu",
    584: "+<=>~",
    611: "FTZ",
    667: "&ABEKPSVXY",
    722: "CDHNRUw",
    778: "GOQ",
    833: "Mm",
    889: "%",
    944: "W",
    1015: "@",
}
_WIDTHS = {ch: wide for wide, group in _BY_WIDTH.items() for ch in group}
_WIDTHS |= (
    dict.fromkeys("₀₁₂₃₄₅₆₇₈₉₊₋ₙₜ⁰¹²³⁴⁵⁶⁷⁸⁹", 370)
    | dict.fromkeys("…—", 1000)
    | {"·": 278, "−": 584, "×": 584}
)


def subscript(base: str, index: int | str) -> str:
    """``x`` and 12 -> ``x₁₂``; ``h_j`` style where common fonts have no such subscript."""
    text = str(index)
    lowered = text.translate(_DIGITS)
    return base + lowered if len(set(text) & set(lowered)) == 0 else f"{base}_{text}"


def raised(name: str) -> str:
    """``c_1`` -> ``c¹``: room for a step below."""
    head, _, number = name.rpartition("_")
    return head + number.translate(_RAISED) if head and number.isdecimal() else name


def clean(text: str, limit: int = LIMIT) -> str:
    """``text`` cut to ``limit`` characters; what XML or Graphviz cannot carry becomes U+FFFD."""
    text = _NEWLINES.sub("\n", text.replace("\t", " "))
    text = _FORBIDDEN.sub("\ufffd", text)
    if len(text) > limit:
        text = text[: limit - 1] + "…"
    # Graphviz segfaults (wheel 2.0) on labels that begin with a newline, and collapses blank lines.
    return "\n".join("\u00a0" if _BLANK.fullmatch(line) else line for line in text.split("\n"))


def quote(text: str, limit: int = LIMIT) -> str:
    """``text`` as a quoted DOT string that Graphviz shows literally."""
    text = clean(text, limit).replace("&", "&amp;")
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def shorten(text: str, length: int) -> str:
    """The first line of ``text``, cut in the middle to at most ``length`` characters."""
    line = " ".join(text.split())
    if len(line) <= length:
        return line
    keep = length - 1
    return line[: (keep + 1) // 2] + "…" + line[len(line) - keep // 2 :]


def broken(text: str, most: int = 14, lines: int = 3) -> str:
    """``text`` whole, on a few lines of about ``most`` characters; cut only where it must be."""
    rows = [""]
    for word in shorten(text, most * lines).split():
        if rows[-1] and len(rows[-1]) + 1 + len(word) > most and len(rows) < lines:
            rows.append("")
        rows[-1] = f"{rows[-1]} {word}".strip()
    return "\n".join(shorten(row, 2 * most) for row in rows)


def width(text: str, size: float) -> float:
    """An estimate of the width of the widest line of ``text`` in Helvetica; size, width: points."""
    return max((_line(line) for line in text.split("\n")), default=0.0) * size / 1000


def _line(line: str) -> int:
    return sum(_WIDTHS.get(ch) or _other(ch) for ch in line)


def _other(ch: str) -> int:
    if unicodedata.combining(ch):
        return 0
    return 1000 if unicodedata.east_asian_width(ch) in "WF" else 600
