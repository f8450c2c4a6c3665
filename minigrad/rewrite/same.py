"""`same`: whether two graphs compute the same thing, in the same way or by algebra."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import static
from ..arguments import tensor_leaves
from ..graph import Tensor, toposort
from .formulas import equal_as_formulas
from .written import numbered

__all__ = ["same"]


def same(a: Any, b: Any, *, algebra: bool = False) -> bool:
    """Whether two pytrees of Tensors are the same expressions, whatever their nodes are called.

    The same ops with the same attributes on the same operands in the same order,
    recurrences over equal structures included; how often a part is written out does not matter.
    A leaf that both are computed from stands for itself, unless it is a number in a formula;
    of others, numbers and arrays are the same with the same bits (shape and dtype included),
    and what has no value in the same places.
    Nothing is computed, and nothing rearranged: `x + y` is not `y + x`.

    algebra : also what follows by algebra, as of a derivative and the one written by hand:
              sums and products in any order and multiplied out, quotients, powers,
              exponentials and what is made of them (`sigmoid`, `tanh`, `softplus`, `softmax`,
              `logsumexp`), choices, sums along axes.
              Then symbols stand for themselves, and a True says that both are equal, to rounding,
              wherever both are finite numbers on the way as written
              (`sqrt(x) ** 2` is `x`; `sqrt(x ** 2)` is not).
              A False says that no such rule was found.

    Raises TypeError for a leaf that is no Tensor.
    """
    left, spec = tensor_leaves("same", "a", a)
    right, other = tensor_leaves("same", "b", b)
    if static.spec_key(spec) != static.spec_key(other) or len(left) != len(right):
        return False
    if algebra:
        return equal_as_formulas(left, right)
    shared = set(toposort(left)) & set(toposort(right))
    book: dict[Any, int] = {}
    return _classes(left, shared, book) == _classes(right, shared, book)


def _classes(outputs: Sequence[Tensor], shared: set[Tensor], book: dict[Any, int]) -> list[int]:
    known = numbered(toposort(outputs), shared, book)
    return [known[t] for t in outputs]
