"""An elementwise op as other ops, by the formula of its row, where a library has no word for it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from .. import ops
from ..graph import Primitive, Tensor
from ..ops.scalar import FUNCTIONS, compute

CALLED = {"differs": "not_equal", "rint": "round"}  # functions of formulas that ops call otherwise


def has_formula(op: Primitive) -> bool:
    """Whether a formula says what an op computes by others."""
    return op.scalar is not None and op.name not in re.findall(r"[a-z_0-9]+", op.scalar)


def written_out(op: Primitive, given: Sequence[Tensor]) -> Tensor:
    """The formula for operands whose shapes broadcast, as a graph of other ops.

    Of the shape and dtype that these make of it: `op` itself may say another dtype.
    """
    assert op.scalar is not None
    functions = {name: getattr(ops, CALLED.get(name, name)) for name in FUNCTIONS}
    return compute(op.scalar, functions, given)
