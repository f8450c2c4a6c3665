"""NumPy's functions that are made of others of ours, with NumPy's names and calling conventions.

Each is a composition of recorded ops, so its derivatives of any order are theirs,
and it can be drawn, mapped and compiled like what it is made of.
One file per kind: `elementary` goes element by element, `shapes` arranges,
`along` runs and ranks along an axis, `statistics` sums up, `calculus` is numerical analysis,
`counted` has results whose shape depends on values.
Each file lists its public functions in `__all__`: they are functions of `minigrad`.
`manners.interop` records them where NumPy's are called on a Tensor.
"""

from ...ops import table
from . import along, calculus, counted, elementary, shapes, statistics
from .along import *
from .calculus import *
from .counted import *
from .elementary import *
from .shapes import *
from .statistics import *

__all__: list[str] = []
__all__ += along.__all__
__all__ += calculus.__all__
__all__ += counted.__all__
__all__ += elementary.__all__
__all__ += shapes.__all__
__all__ += statistics.__all__

table.PUBLIC.update(__all__)
globals().update({name: table.named(globals()[name], __name__) for name in __all__})
