"""Euclidean norms that neither overflow nor underflow."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def row_norms(values: np.ndarray) -> np.ndarray:
    """Euclidean norms of the rows of (N, ...), safe from overflow and underflow."""
    flat = np.abs(np.asarray(values, np.float64).reshape(len(values), -1))
    largest = flat.max(axis=1, initial=0.0)
    scale = np.where((largest > 0) & np.isfinite(largest), largest, 1.0)
    with np.errstate(all="ignore"):
        return scale * np.sqrt(np.square(flat / scale[:, None]).sum(axis=1))


def norm(value: np.ndarray) -> float:
    """The Euclidean norm of all elements."""
    return float(row_norms(np.asarray(value).reshape(1, -1))[0])


def together(norms: Sequence[np.ndarray]) -> np.ndarray | None:
    """Norms of parts joined to the norm of the whole, elementwise; None for no parts."""
    return row_norms(np.stack(norms, axis=-1)) if norms else None
