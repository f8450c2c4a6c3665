"""`minigrad draw FILE.py:FUNCTION`: call a function, draw what it returns, save the drawing.

Whatever the user can get wrong is an `InputError`, as in `minigrad check`.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import optree

import minigrad as mg
from minigrad.graph import Tensor

from ..animate import SUFFIXES as PLAYED
from ..animate import Animation, animate
from ..draw import SUFFIXES, Drawing
from ..draw import draw as drawn
from ..out.moving import MEDIA
from ..page.frame import GENERATOR
from ..study.corpus import InputError
from .check import arguments, find, told


def draw(options: argparse.Namespace) -> list[str]:
    """What to print."""
    module, f, name = find(options.function)
    out = options.out or Path(f"{name}.svg" if options.animate else f"{name}.html")
    known = PLAYED if options.animate else (*SUFFIXES, ".gif")
    if out.suffix.lower() not in known:
        raise InputError(f"--out {str(out)!r}: the suffix must be one of {', '.join(known)}")
    if options.out is None and out.exists() and not _ours(out):
        raise InputError(f"{str(out)!r} is there and no drawing of ours; choose a name with --out")
    args = arguments(module, f, name, options.args, options.seed)
    try:
        given = [mg.asarray(x) if isinstance(x, np.ndarray) else x for x in args]
        made = f(*_named(f, given))
        plays = options.animate or out.suffix.lower() == ".gif"
        ready = isinstance(made, (Drawing, Animation))
        drawing = made if ready else _drawing(made, name, options, plays)
        if plays and isinstance(drawing, Drawing):
            raise InputError(f"{name} returned a drawing, which stands still: viz.animate plays")
        where = drawing.save(out)
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"{error.strerror or error}: {str(out)!r}") from None
    except Exception as error:
        raise InputError(f"{name} could not be drawn: {told(error, module.__name__)}") from None
    return [*drawing.summary().splitlines(), f"Open {where.resolve()}"]


def _drawing(
    made: Any, name: str, options: argparse.Namespace, plays: bool
) -> Drawing | Animation:  # fmt: skip
    """Of Tensors, with the gradient of the first scalar among them, unless told otherwise."""
    leaves: list[Any] = optree.tree_leaves(made)
    wrong = next((x for x in leaves if not isinstance(x, Tensor)), None)
    if not leaves or wrong is not None:
        what = "nothing" if not leaves else f"a {type(wrong).__name__}"
        raise InputError(
            f"{name} returned {what}: return Tensors (in any nesting), or a drawing of viz.draw"
        )
    scalars = [t for t in leaves if t.shape == () and t.dtype.kind == "f"]
    grad = scalars[0] if scalars and not options.no_grad and options.view != "tree" else None
    if plays and grad is None:
        raise InputError(
            f"{name} cannot be played: an animation is of a gradient; return a scalar loss "
            "(without --no-grad, in another view than tree)"
        )
    make = animate if plays else drawn
    return make(
        made, options.view, grad, max_steps=options.max_steps, measure=options.measure
    )  # fmt: skip


def _named(f: Any, given: Any) -> Any:
    """Arguments that are Tensors without a name, called as the function calls them."""
    code = getattr(f, "__code__", None)
    names = code.co_varnames[: code.co_argcount] if code is not None else ()
    return [
        x.named(names[k]) if isinstance(x, Tensor) and x.name is None and k < len(names) else x
        for k, x in enumerate(given)
    ]


def _ours(path: Path) -> bool:
    if not path.is_file():
        return False
    with open(path, encoding="utf-8", errors="replace") as file:
        head = file.read(2000)
    return GENERATOR in head or MEDIA in head
