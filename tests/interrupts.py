"""Interrupts at chosen places: what a signal handler that raises does, without a clock.

Python runs signal handlers between two steps of its own:
where a function is entered, behind a call, where a loop turns back.
`points` counts the calls that a function of ours makes
and `interrupt` raises at one of them, before it is made.
"""

import dis
import sys
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import minigrad

OURS = str(Path(minigrad.__file__).parent)
CALLS = ("CALL", "CALL_FUNCTION_EX", "CALL_KW", "CALL_METHOD")
_offsets: dict[CodeType, set[int]] = {}


class Interrupt(BaseException):
    """Like KeyboardInterrupt, and nobody else's."""


def _calls(code: CodeType) -> set[int]:
    """Offsets of calls, but for those by which `with` leaves: none of Python's looks is before."""
    if code not in _offsets:
        steps = [i for i in dis.get_instructions(code) if i.opname not in ("PRECALL", "CACHE")]
        leaving = ["LOAD_CONST"] * 3
        _offsets[code] = {
            i.offset
            for k, i in enumerate(steps)
            if i.opname in CALLS
            and not ([s.opname for s in steps[k - 3 : k]] == leaving
                     and all(s.argval is None for s in steps[k - 3 : k]))
        }  # fmt: skip
    return _offsets[code]


def _run(f: Callable[[], Any], at: int | None) -> int:
    seen = 0

    def look(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal seen
        if not frame.f_code.co_filename.startswith(OURS):
            return None
        frame.f_trace_opcodes = True
        if event == "opcode" and frame.f_lasti in _calls(frame.f_code):
            seen += 1
            if seen - 1 == at:
                raise Interrupt
        return look

    before = sys.gettrace()
    sys.settrace(look)
    try:
        f()
    finally:
        sys.settrace(before)
    return seen


def points(f: Callable[[], Any]) -> int:
    """How many calls f() makes in our package's own lines."""
    return _run(f, None)


def interrupt(f: Callable[[], Any], at: int) -> bool:
    """Run f() with an interrupt before its call number `at`; whether it came out of f."""
    try:
        _run(f, at)
    except Interrupt:
        return True
    return False
