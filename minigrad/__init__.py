"""minigrad: record a computation as a graph, differentiate it, run it, over sequences and trees."""

import sys

from . import optim
from .autodiff import grad, jvp, vjp
from .graph import Primitive, Tensor
from .io import load, save, tensors
from .manners import interop, pickling, reading
from .manners.namespace import *
from .manners.text import expr, latex
from .ops import *
from .ops.custom import primitive
from .per_node import contributions, state_gradients
from .printing.show import show
from .printing.source import source
from .rewrite.unfold import unfold
from .run.evaluate import evaluate
from .run.reference import reference
from .structure import Structure
from .tracing import Indexed, recur
from .transforms import block, hessian, jacobian, vmap

reading.NAMESPACE = sys.modules[__name__]


def __getattr__(name: str):  # the compiler and the testing kit are loaded when asked for
    if name == "function":
        from .compile.function import function

        return function
    if name == "testing":
        from importlib import import_module

        return import_module(".testing", __name__)
    raise AttributeError(f"module 'minigrad' has no attribute {name!r}")
