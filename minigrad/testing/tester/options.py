"""Numbers given on the command line, checked where they are read."""

from __future__ import annotations

import argparse
from collections.abc import Callable


def at_least(least: int) -> Callable[[str], int]:
    """For `type=` of an argument: an integer of at least that much, or an error in words."""

    def read(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = least - 1
        if number < least:
            raise argparse.ArgumentTypeError(f"an integer of at least {least}, not {text!r}")
        return number

    return read


def check_at_least(who: str, least: int, **given: int | None) -> None:
    """The same for a function's arguments (None: not given); raises ValueError naming the first."""
    for name, number in given.items():
        if number is not None and (not isinstance(number, int) or number < least):
            raise ValueError(
                f"{who}: {name} must be an integer of at least {least}; got {number!r}"
            )
