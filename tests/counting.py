"""Work, counted: what no busy machine changes."""

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any


def calls(f: Callable[[], Any]) -> int:
    """How many functions are called while f() runs, those of C included."""
    count = 0

    def look(frame: FrameType, event: str, _: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(look)
    try:
        f()
    finally:
        sys.setprofile(before)
    return count
