"""What lowering speaks and stages are cut from: rows of vectors, and sums of them over the nodes.

A `Row` is one vector (or one number) per structure node, known by how it is computed; a `Sum` goes
over the nodes.  `lower` writes it, `plan` reads it, `emit` says it in kernels' terms.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ..ops.scalar import TOTAL
from ..ops.table import TABLE

LOGIC = frozenset("logical_and logical_or logical_xor logical_not".split())
MASKS = LOGIC.union(
    "equal not_equal less less_equal greater greater_equal isnan isinf isfinite signbit".split()
)
CHEAP = (
    frozenset(
        "add subtract multiply absorb divide negative square relu abs sign maximum minimum where "
        "identity "
        "stop_gradient cast".split()
    )
    | MASKS
)
FOLDS = ("sum", "prod", "max")  # over the whole vector
REPEATED = ("down", "across")  # a vector along one axis of a grid: read from memory, in the loop
AXES = ("sum_down", "sum_along")  # over one axis of a grid: there when the loop is through
REDUCED = (*FOLDS, *AXES)
MOVED = ("move", "nest", "part")  # not in the fused loops: read from memory, made by a step
CAST = "where(x, 1.0, 0.0)"  # a truth value as a number


class Unsupported(Exception):
    """A block (or a part of it) that the compiler has no code for; the text says which op and
    why.
    """


@dataclass(eq=False)
class Row:
    """One vector of `size` elements (1: a number) per structure node.

    op: an elementwise op (a user's own: its expression), one of FOLDS over the vector, or
        in     an argument by row          slot   the state that arrives
        vec    a shared vector             const  a number in the code
        matmul args[0] times a shared matrix      z   the sum of products and shared vectors
        move   elements of the args               nest  loops over the axes of one or two args
        part   args[0] from element `tensor` on: a view

    and of a vector that is a grid of m x n elements, `tensor` (m, n):
        down      element (i, j) is args[0][i]     across     element (i, j) is args[0][j]
        sum_down  [j]: the sum of (i, j) over i    sum_along  [i]: the sum of (i, j) over j
    """

    op: str
    args: tuple[Row, ...]
    size: int
    # in, vec: the block's tensor; slot: its key; const, part: the number; matmul: the matrix;
    # move, nest: what `tensors` says of it; of a grid: (m, n)
    tensor: Any = None
    transposed: bool = False  # matmul: the matrix is stored (outputs, inputs)
    prods: tuple[Row, ...] = ()  # z
    vecs: tuple[Row, ...] = ()  # z

    def __repr__(self) -> str:
        return f"<{self.op}[{self.size}]>"

    @property
    def scalar(self) -> str:
        """The op on one element."""
        known = TABLE.get(self.op)
        own = {"cast": CAST, "add": TOTAL}.get(self.op)
        return own or (self.op if known is None else str(known.scalar))


@dataclass
class Sum:
    """A sum over the nodes: of an outer product ("outer": left, right), of a vector ("column":
    left), or a linear op applied to such sums ("linear": tensor, parts)."""

    how: str
    left: Any = None  # a Row
    right: Any = None
    flip: bool = False
    tensor: Any = None
    parts: list[Any] = field(default_factory=list)


def reads(r: Row) -> tuple[Row, ...]:
    """What a node is computed from, products' operands included."""
    return r.args if r.op != "z" else (*(p.args[0] for p in r.prods), *r.vecs)


def topological(roots: Sequence[Row]) -> list[Row]:
    """All nodes below the roots, arguments first; iterative."""
    done: dict[Row, None] = {}
    stack = list(roots)[::-1]
    while stack:
        r = stack[-1]
        waiting = [a for a in reads(r) if a not in done] if r not in done else []
        if waiting:
            stack += waiting[::-1]
        else:
            done[stack.pop()] = None
    return list(done)
