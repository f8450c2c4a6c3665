"""The scale of the gradient norms in a picture: what widths and colours mean."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from numbers import Real
from typing import Any

from .checks import fields
from .text import shorten

DECADES = 12  # a wider range of norms would leave no visible difference in width


@dataclass(frozen=True)
class Legend:
    """What the widths of the backward edges mean.

    norms: samples, largest first.  clipped: whether smaller ones share the last width.
    vanished, nonfinite: whether these styles occur.
    keys: (kind, text) of the other signs that are explained.

    Raises ValueError for a sample that is not positive and finite.
    """

    title: str = ""
    norms: tuple[float, ...] = ()
    clipped: bool = False
    vanished: bool = False
    nonfinite: bool = False
    keys: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        fields(self, str, "title")
        fields(self, tuple, "norms")
        for norm in self.norms:
            if not isinstance(norm, Real) or not 0 < norm < math.inf:
                raise ValueError(
                    f"Legend: the norms shown must be positive and finite; got {norm!r}"
                )


def norm_text(norm: float) -> str:
    """A norm in at most seven characters: ``3.2e-04``, ``0.41``, ``0``, ``nan``."""
    if norm == 0 or not math.isfinite(norm):
        return {True: "0"}.get(norm == 0, str(norm))
    if 0.01 <= norm < 1000:
        return f"{norm:.2g}" if norm < 100 else f"{norm:.0f}"
    mantissa, exponent = f"{norm:.1e}".split("e")
    return f"{mantissa}e{int(exponent)}"


def legend_for(
    norms: Iterable[float | None], title: str, scale: tuple[float, float] | None = None
) -> Legend:
    """The legend of these gradient norms: up to five decades that span the positive finite ones.

    scale: the smallest and largest norm instead, so that pictures can be compared.
    """
    known = [norm for norm in norms if norm is not None]
    positive = [norm for norm in known if math.isfinite(norm) and norm > 0]
    ticks: tuple[float, ...] = ()
    clipped = False
    if scale is not None:
        span = math.log10(scale[0] / scale[1])
        ticks = tuple(scale[1] * 10 ** (span * k / 4) for k in range(4)) + (scale[0],)
        clipped = any(norm < scale[0] for norm in positive)
    elif positive:
        high = math.ceil(math.log10(max(positive)) - 1e-9)
        low = min(math.floor(math.log10(min(positive)) + 1e-9), high - 1)
        clipped, low = low < high - DECADES, max(low, high - DECADES)
        stride = math.ceil((high - low) / 4)
        # Counted down from the largest, so the widest stroke of the picture is always explained.
        decades = range(high, low - stride, -stride)
        ticks = tuple(10.0 ** min(max(d, -307), 308) for d in decades)
    return Legend(
        title=title,
        norms=ticks,
        clipped=clipped,
        vanished=any(norm == 0 for norm in known),
        nonfinite=any(not math.isfinite(norm) for norm in known),
    )


def shading_of(norms: Iterable[float | None]) -> Legend:
    """The scale of the shades of boxes, from their smallest to their largest norm."""
    known = [norm for norm in norms if norm is not None]
    positive = [norm for norm in known if math.isfinite(norm) and norm > 0]
    low, high = min(positive, default=1.0), max(positive, default=1.0)
    return legend_for(known, "", (low, high) if low < high else None)


def shading_key(shading: Legend) -> tuple[str, str]:
    """What the shades of boxes mean, with the norms of the lightest and the darkest."""
    ends = [norm_text(norm) for norm in (*shading.norms[-1:], *shading.norms[:1])]
    span = f", {ends[0]} to {ends[1]}" if ends else ""
    return "sensitivity", "box: norm of the gradient with regard to it" + span


def gradient_legend(name: str | None, edges: Iterable[Any], more: Iterable[float] = ()) -> Legend:
    """The legend of the gradient of the scalar ``name`` that edges carry.  more: of tracks."""
    norms = [*(e.norm for e in edges if e.kind == "backward"), *more]
    return legend_for(norms, f"gradient norm  ‖∂{shorten(name or 'output', 12)}/∂·‖")
