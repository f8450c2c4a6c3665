"""Words for tooltips and labels: shapes, value summaries, short names."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from minigrad.graph import Tensor

from .text import shorten


def shape_text(shape: Sequence[int], dtype: object) -> str:
    return f"shape {tuple(shape)}, {dtype}"


def value_text(value: np.ndarray | None) -> str:
    """One line on an array's values."""
    if value is None or not value.size:
        return "no values"
    if value.size == 1:
        return f"value {value.reshape(-1)[0]:.6g}"
    if value.size <= 4:
        return "values " + ", ".join(f"{v:.4g}" for v in value.reshape(-1).tolist())
    with np.errstate(all="ignore"):
        broken = int(value.size - np.isfinite(value).sum())
        text = f"values {value.min():.4g} .. {value.max():.4g}, mean {value.mean():.4g}"
    return text + (f", {broken} not finite" if broken else "")


def number_text(value: np.ndarray | None) -> str:
    """The value if it is a single number, for a second line of a label."""
    if value is None or value.size != 1:
        return ""
    return f"{value.reshape(-1)[0]:.4g}".replace("-", "−")


def norm_line(norm: float | None) -> str:
    return "" if norm is None else f"gradient norm {norm:.6g}"


def lines(*parts: str) -> str:
    return "\n".join(part for part in parts if part)


def name_list(names: Sequence[str], most: int = 3) -> str:
    """ "W, U, b", or "W_i, W_f, … (12)" for many."""
    short = [shorten(name, 14) for name in names]
    if len(short) <= most + 1:
        return ", ".join(short)
    return ", ".join(short[:most]) + f", … ({len(short)})"


def tensor_text(t: Tensor) -> str:
    return shape_text(t.shape, t.dtype)
