"""Work, counted: what no busy machine changes, and how much of it a profile wants."""

import sys
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any

import pytest
from hypothesis import settings

from minigrad.testing.plugin import PROFILES


def examples(number: int) -> int:
    """So many of Hypothesis's examples in the profile ci, half of them in dev, more in thorough."""
    return max(2, round(number * settings.default.max_examples / PROFILES["ci"]))


def some(values: Sequence[Any], count: int) -> list[Any]:
    """For `parametrize`: the first `count` of the values, the others marked slow."""
    return [*values[:count], *(pytest.param(v, marks=pytest.mark.slow) for v in values[count:])]


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
