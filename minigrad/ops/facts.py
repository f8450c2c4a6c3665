"""What is known of ops and functions beside their rules, each stated where it is declared.

Read by those who treat all ops alike and know none by name:
the checks of gradients (`testing.checking.tape`),
what draws samples and random expressions (`testing.examples`),
and NumPy's door (`manners.interop`).
So a new op needs nothing but its row.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..graph import Primitive

Meaning = Callable[..., Any]  # of arrays and static attributes, as `Primitive.numpy`


@dataclass(frozen=True)
class Facts:
    """Of a primitive.

    analytic: its meaning on complex numbers, where a piecewise op takes the branch of the real part
              (`analytic` has those); None: it is given none.
    branch  : branch(*operands, **attrs) -> numbers that are 0
              where the op may have a kink, a jump or an infinite slope;
          None: there is no such place.
    held    : documented to be a constant to every derivative.
    wide    : its meaning on wider floats than 64 bits, where `numpy` would round to these.
    """

    analytic: Meaning | None = None
    branch: Meaning | None = None
    held: bool = False
    wide: Meaning | None = None


@dataclass(frozen=True)
class Elementwise:
    """Of a function of arrays that broadcast.

    ufunc  : the function of NumPy that records it, or None.
    domains: per operand, where it is smooth by a margin, in the words of
             `testing.examples.domains`; none: nothing is drawn for it.
    smooth : it has a derivative that is not zero everywhere.
    """

    ufunc: np.ufunc | None
    domains: tuple[str, ...]
    smooth: bool


FACTS: dict[Primitive, Facts] = {}
ELEMENTWISE: dict[str, Elementwise] = {}  # by the name of the function
UNKNOWN = Facts()


def facts_of(op: Primitive) -> Facts:
    """Of a row of ours; a user's op, whatever its name, has no facts."""
    return FACTS.get(op, UNKNOWN)


def state(op: Primitive, *, analytic: bool | Meaning | None = None, **more: Any) -> None:
    """State the facts of a primitive.

    analytic : True where `numpy` itself takes complex numbers,
               as it does in every linear op and contraction;
               an op without a rule is constant between its jumps, so that its real part decides.
    """
    if analytic is None and (op.linear or op.kind == "contraction"):
        analytic = True
    if analytic is None and op.vjp is None and not more.get("held"):
        analytic = on_real(op.numpy)
    FACTS[op] = Facts(op.numpy if analytic is True else analytic or None, **more)


def on_real(f: Meaning) -> Meaning:
    """`f` of the real parts."""
    return lambda *xs, **attrs: f(*[np.real(x) for x in xs], **attrs)


def elementwise(*domains: str, ufunc: np.ufunc | None = None) -> Callable[[Any], Any]:
    """Decorates an elementwise function that is made of ops, or declares its row itself."""

    def declared(f: Callable[..., Any]) -> Callable[..., Any]:
        ELEMENTWISE[f.__name__] = Elementwise(ufunc, domains, smooth=True)
        return f

    return declared
