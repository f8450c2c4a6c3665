"""How a traced function is run: by compiled blocks, or by `evaluate` where there is no compiler.

The one place that decides.  A way has
`express(leaves)`: the results, or None where it does not know that they belong to its trace;
`run(leaves, given)`, of arguments that do, as arrays in C order, and as they were given;
`take_workspace()`, to be called before `run` if another trace ran last;
`explain()`.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Sequence
from typing import Any

from ..graph import Tensor
from ..kernels import compiler
from ..rewrite.once import inlined
from ..sites import distance
from .evaluated import Evaluated

REMEDY = "To compile, install Numba and the llvmlite that belongs to it: pip install -U numba"


class CompilerWarning(UserWarning):
    """Nothing is compiled, so it takes longer.  Results are not affected."""


_warned: list[str] = []


def way_of(
    leaves: Sequence[Any], inputs: Sequence[tuple[int, Tensor]], outputs: Sequence[Any],
    pools: dict[int, Any], donated: Collection[int] = (),
) -> Any:  # fmt: skip
    """The way of a trace.

    inputs  : (position among the leaves of the arguments, placeholder).
    outputs : the leaves of the result, Tensors and what is static.
    pools   : workspace of the function, which its traces share.
    donated : positions of leaves whose memory may be used for results; the evaluator uses none.
    """
    if compiler.failure() is None:
        try:
            from .compiled import Compiled  # importing it needs llvmlite

            return Compiled(leaves, inputs, outputs, pools, donated)
        except compiler.CompilerMissing:  # Numba is there, and breaks when it is used
            pass
    why = f"{compiler.failure()}. {REMEDY}"
    if not _warned:
        _warned.append(why)
        warnings.warn(
            f"mg.function runs by mg.evaluate, which gives the same values and takes longer: {why}",
            CompilerWarning, stacklevel=distance(),
        )  # fmt: skip
    return Evaluated(inputs, inlined(outputs), why)
