"""rc.study: where a gradient goes, how a state propagates, and every way to compute a gradient.

`ledger` splits a gradient by the uses of its parameters,
`propagation` follows a perturbation through the steps of a cell,
`gradient` computes one gradient by every algorithm that the literature has for it,
`newton` solves all steps of a recurrence at once.
"""

from .ledger import Ledger, ledger
from .propagation import Propagation, propagation

__all__ = ["Ledger", "Propagation", "ledger", "propagation"]
