"""recurrent: recurrent and recursive networks as small compositions over `minigrad.recur`.

Each file lists its public names in `__all__`:
they are the names of `recurrent`, which has no list of its own.
"""

from minigrad.manners.spellings import answering as _answering

from . import (
    baselines,
    cells,
    compose,
    data,
    decoding,
    directions,
    dynamics,
    grids,
    interchange,
    losses,
    lstms,
    metrics,
    missing,
    parsing,
    patterns,
    regularize,
    reservoir,
    seq2seq,
    sequences,
    study,
    theory,
    tree_cells,
    treebank,
    trees,
)
from .baselines import *
from .cells import *
from .compose import *
from .data import *
from .decoding import *
from .directions import *
from .dynamics import *
from .grids import *
from .interchange import *
from .losses import *
from .lstms import *
from .metrics import *
from .missing import *
from .parsing import *
from .patterns import *
from .regularize import *
from .reservoir import *
from .seq2seq import *
from .sequences import *
from .theory import *
from .tree_cells import *
from .treebank import *
from .trees import *

__all__: list[str] = []
__all__ += baselines.__all__
__all__ += cells.__all__
__all__ += compose.__all__
__all__ += data.__all__
__all__ += decoding.__all__
__all__ += directions.__all__
__all__ += dynamics.__all__
__all__ += grids.__all__
__all__ += interchange.__all__
__all__ += losses.__all__
__all__ += lstms.__all__
__all__ += metrics.__all__
__all__ += missing.__all__
__all__ += parsing.__all__
__all__ += patterns.__all__
__all__ += regularize.__all__
__all__ += reservoir.__all__
__all__ += seq2seq.__all__
__all__ += sequences.__all__
__all__ += theory.__all__
__all__ += tree_cells.__all__
__all__ += treebank.__all__
__all__ += trees.__all__

__getattr__ = _answering(__name__, lambda: __all__)
