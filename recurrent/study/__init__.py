"""rc.study: where a gradient goes, how a state propagates, and every way to compute a gradient.

`ledger` splits a gradient by the uses of its parameters,
`propagation` follows a perturbation through the steps of a cell, or the edges of trees,
`gradient` computes one gradient by every algorithm that the literature has for it
(`compare` sets them side by side, `stream` runs those that need no end),
`newton` solves all steps of a recurrence at once.
"""

from . import algorithms as _algorithms
from . import comparison as _comparison
from . import ledger as _ledger
from . import newton as _newton
from . import propagation as _propagation
from . import stream as _stream
from . import tree_propagation as _tree_propagation
from .algorithms import *
from .comparison import *
from .ledger import *
from .newton import *
from .propagation import *
from .stream import *
from .tree_propagation import *

__all__ = [
    name
    for module in (
        _algorithms, _comparison, _ledger, _newton, _propagation, _stream, _tree_propagation,
    )
    for name in module.__all__
]
