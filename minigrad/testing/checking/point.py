"""What an oracle sees of a function: how to run it, and where."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Arrays = list[Any]


@dataclass(eq=False)
class Point:
    """A function of several arrays at one point, as an oracle sees it.

    at(xs) -> all outputs as one vector; xs real or, where `analytic`, complex.
    xs: the inputs in `dtype`, in which slopes are computed.    y: at(xs).
    ties: whether an operand sits on a branch point; gaps(xs): the distances of those operands.
    """

    at: Callable[[Arrays], Any]
    xs: Arrays
    y: Any
    dtype: np.dtype
    analytic: bool
    ties: bool = False
    gaps: Callable[[Arrays], Any] | None = None
    y_native: Any = None  # y as computed in the recorded types
    finite: bool = True  # the inputs and every value on the way
    places: str = ""  # of the ties, in words
    eps: float = 0.0  # of `at`, where coarser than that of dtype
