"""Where a gradient went, in words: which steps it reached, at which it vanished or exploded."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..scene.scene import norm_text
from .model import FAINT


def story(
    norms: np.ndarray,
    names: Sequence[str],
    chosen: int,
    loss: str,
    unit: str = "step",
    below: np.ndarray | None = None,
) -> list[str]:
    """Sentences on |d loss / d h|, one norm per node, against its value where the loss is taken.

    below: (N,) the nodes that the chosen one depends on at all; the others are not spoken of.
    """
    source = float(norms[chosen])
    others = [k for k in range(len(norms)) if k != chosen and (below is None or below[k])]
    if not np.isfinite(norms).all():
        broken = np.flatnonzero(~np.isfinite(norms)).tolist()
        return [
            f"The gradient of {loss} is not finite at {_listed(broken, names, unit)}: it exploded."
        ]
    if source == 0:
        return [
            f"{loss} sends out no gradient at all: its derivative is exactly zero at its own "
            f"{unit}."
        ]
    if not others:
        return [
            f"There is only one {unit}, so the gradient of {loss} ({norm_text(source)}) has "
            "nowhere to vanish."
        ]
    part = norms / source
    gone = [k for k in others if part[k] < FAINT]
    grown = [k for k in others if part[k] > 1 / FAINT]
    faint = min(others, key=lambda k: part[k])
    where = f"{unit} {faint + 1} ({_quoted(names[faint])})"
    sentences = []
    if gone:
        sentences.append(
            f"The gradient of {loss} vanished at {_listed(gone, names, unit)}: there it is below "
            f"a thousandth of the {norm_text(source)} at {unit} {chosen + 1}, where the loss is. "
            f"The faintest is {where}: {norm_text(float(norms[faint]))}, "
            f"{_ratio(float(part[faint]))}."
        )
    else:
        sentences.append(
            f"No {unit}'s gradient vanished: that of {loss} is faintest at {where}: "
            f"{norm_text(float(norms[faint]))}, "
            f"{_ratio(float(part[faint]))} at {unit} {chosen + 1}, where the loss is."
        )
    if grown:
        sentences.append(
            f"It grew more than a thousandfold at {_listed(grown, names, unit)}: it is exploding."
        )
    return sentences


def hiding(norms: np.ndarray, total: np.ndarray, loss: str, unit: str = "step") -> str:
    """What the gradient of all losses would have shown; "" unless it hides the fading of one."""
    fall, level = _span(norms), _span(total)
    if fall < 30 or level > fall / 10:
        return ""
    return (
        f"The gradient of all losses together hides this fading: it varies only {_fold(level)} "
        f"from {unit} to {unit}, where that of {loss} alone varies {_fold(fall)}, because every "
        f"{unit} also has a loss of its own nearby."
    )


def rate(norms: np.ndarray) -> float | None:
    """By what factor the norm changes per step back in time, in the geometric mean.

    None where that says nothing.
    """
    if len(norms) < 3 or not (np.isfinite(norms).all() and norms[0] > 0 and norms[-1] > 0):
        return None
    return float((norms[0] / norms[-1]) ** (1 / (len(norms) - 1)))


def _span(norms: np.ndarray) -> float:
    positive = norms[np.isfinite(norms) & (norms > 0)]
    return float(positive.max() / positive.min()) if positive.size else 1.0


def _fold(factor: float) -> str:
    if factor < 1e6:
        return f"{factor:.1f}-fold" if factor < 10 else f"{factor:,.0f}-fold"
    return f"{factor:.0e}-fold".replace("+0", "").replace("+", "")


def _ratio(part: float) -> str:
    if part == 0:
        return "exactly zero"
    if part >= 1:
        return f"{part:.1f} times that" if part < 100 else f"{part:,.0f} times that"
    if part >= 1e-4:
        return f"{100 * part:.2g}% of that"
    return f"one part in {1 / part:,.0f} of that" if part > 1e-9 else f"{part:.0e} times that"


def _listed(rows: Sequence[int], names: Sequence[str], unit: str) -> str:
    """ "steps 1 to 3 and 5"; a single one with its name."""
    if len(rows) == 1:
        return f"{unit} {rows[0] + 1} ({_quoted(names[rows[0]])})"
    runs: list[list[int]] = []
    for k in rows:
        if runs and k == runs[-1][-1] + 1:
            runs[-1].append(k)
        else:
            runs.append([k])
    parts = [f"{run[0] + 1}" if len(run) == 1 else f"{run[0] + 1} to {run[-1] + 1}" for run in runs]
    if len(parts) > 6:
        return f"{len(rows)} {unit}s (from {rows[0] + 1} to {rows[-1] + 1})"
    return f"{unit}s " + (
        parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
    )


def _quoted(name: str) -> str:
    return f"“{name if len(name) <= 40 else name[:39] + '…'}”"
