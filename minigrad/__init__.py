"""minigrad: record a computation as a graph, differentiate it, run it, over sequences and trees."""

import sys
from importlib import import_module
from types import ModuleType

from . import linalg, optim
from .autodiff import grad, jvp, vjp
from .graph import Primitive, Tensor
from .interior import interior
from .io import load, save, tensors
from .manners import interop, methods, pickling, reading, spellings
from .manners.functions import *
from .manners.namespace import *
from .ops import *
from .ops.custom import primitive
from .per_node import contributions, state_gradients, state_jacobians
from .printing import html
from .rewrite.same import same
from .rewrite.simplify import simplify
from .rewrite.unfold import unfold
from .run.evaluate import evaluate
from .run.reference import reference
from .structure import Structure
from .symbols import nodes, substitute, symbol
from .tracing import Indexed, recur
from .transforms import block, hessian, hvp, jacobian, vmap

grad, vjp, jvp = spellings.of_results(grad), spellings.of_results(vjp), spellings.of_results(jvp)
jacobian, hessian = spellings.of_results(jacobian), spellings.of_results(hessian)
__version__ = "0.1.0"  # pyproject.toml reads it here
_MODULES = ("linalg", "optim", "testing")  # that are public; all others are inside the engine
_LATER = {  # what is loaded when it is asked for: the compiler, the printers, the testing kit
    "function": ".compile.function", "show": ".printing.show", "source": ".printing.source",
    "expr": ".printing.expression", "latex": ".printing.latex", "testing": ".testing",
}  # fmt: skip

reading.NAMESPACE = sys.modules[__name__]


def __dir__() -> list[str]:
    """The public names: the modules inside the engine are not among them."""
    inside = {n for n, v in globals().items() if isinstance(v, ModuleType) and n not in _MODULES}
    return sorted({*globals(), *_LATER} - inside - {"ModuleType", "import_module"})


def __getattr__(name: str):
    if name not in _LATER:
        raise spellings.missing(__name__, name, __dir__())
    module = import_module(_LATER[name], __name__)
    return module if name == "testing" else getattr(module, name)


for _name, _module in list(globals().items()):
    if isinstance(_module, ModuleType) and _name not in ("sys", *_MODULES):
        _module.__class__ = spellings.Internal
