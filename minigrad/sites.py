"""The user's line: where in their program a node was recorded, or an error arose.

A place is kept as (code, instruction), which costs nothing; it becomes a file and a line only when
it is shown.
"""

from __future__ import annotations

import linecache
import sys
from types import CodeType

Site = tuple[CodeType, int]
OURS = ("minigrad", "recurrent", "viz")  # packages whose frames are never "the user's line"


def here(depth: int = 1) -> Site | None:
    """The innermost running frame that is not ours, `depth` frames out or further."""
    frame = sys._getframe(depth)
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        if module.partition(".")[0] not in OURS:
            return frame.f_code, frame.f_lasti
        frame = frame.f_back  # type: ignore[assignment]
    return None


def line(site: Site) -> str:
    """'file.py:12: h = tanh(a)'."""
    code, lasti = site
    lines = list(code.co_positions())
    number = (lines[lasti // 2][0] if lasti // 2 < len(lines) else None) or code.co_firstlineno
    text = linecache.getline(code.co_filename, number).strip()
    return f"{code.co_filename}:{number}" + (f": {text}" if text else "")


def running() -> str:
    """' (at file.py:12: h = tanh(a))' for an error: the line of the user that is running now."""
    site = here(2)
    return f" (at {line(site)})" if site is not None else ""
