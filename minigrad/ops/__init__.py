"""Array functions and their primitives, under their array-API names.

`table` holds the rows; `arrays`, `broadcast` and `creation` bring operands in.
One file per kind of op follows: `elementwise` and `functions`, `movement`, `indexing`,
`arranging`, `order`, `reduce`, `cumulative`, `contract`.
`custom` takes a user's own op.  `operators` gives them to `Tensor`.
Each file lists its public functions in `__all__`:
they are the functions of `minigrad`, which has no list of its own.
"""

from . import (
    arranging,
    arrays,
    broadcast,
    contract,
    creation,
    cumulative,
    elementwise,
    functions,
    indexing,
    movement,
    operators,
    order,
    reduce,
    table,
)
from .arranging import *
from .arrays import *
from .broadcast import *
from .contract import *
from .creation import *
from .cumulative import *
from .elementwise import *
from .functions import *
from .indexing import *
from .movement import *
from .order import *
from .reduce import *

__all__: list[str] = []
__all__ += arranging.__all__
__all__ += arrays.__all__
__all__ += broadcast.__all__
__all__ += contract.__all__
__all__ += creation.__all__
__all__ += cumulative.__all__
__all__ += elementwise.__all__
__all__ += functions.__all__
__all__ += indexing.__all__
__all__ += movement.__all__
__all__ += order.__all__
__all__ += reduce.__all__

table.PUBLIC.update(__all__)
globals().update({name: table.named(globals()[name]) for name in __all__})
