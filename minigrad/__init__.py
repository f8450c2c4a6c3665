"""minigrad: record a computation as a graph, differentiate it, run it, over sequences and trees."""

from . import interop, optim, pickling
from .autodiff import grad, hessian, jacobian, jvp, vjp
from .custom import primitive
from .evaluate import evaluate, reference
from .graph import Primitive, Tensor
from .io import load, save, tensors
from .ops import (
    abs,
    add,
    arange,
    argmax,
    asarray,
    astype,
    broadcast_to,
    clip,
    concat,
    cos,
    cross_entropy,
    divide,
    einsum,
    equal,
    exp,
    expand_dims,
    eye,
    flip,
    full,
    full_like,
    greater,
    greater_equal,
    less,
    less_equal,
    linspace,
    log,
    log1p,
    log_softmax,
    logical_and,
    logical_not,
    logical_or,
    logsumexp,
    matmul,
    matrix_transpose,
    max,
    maximum,
    mean,
    min,
    minimum,
    moveaxis,
    multiply,
    negative,
    not_equal,
    ones,
    ones_like,
    outer,
    permute_dims,
    power,
    relu,
    reshape,
    scatter,
    sigmoid,
    sign,
    sin,
    softmax,
    sqrt,
    square,
    squeeze,
    stack,
    stop_gradient,
    subtract,
    sum,
    take,
    tanh,
    tensordot,
    vecdot,
    where,
    zeros,
    zeros_like,
)  # fmt: skip
from .structure import Structure
from .text import expr, latex
from .tracing import Indexed, recur
from .transforms import block, contributions, state_gradients, unfold, vmap


def __getattr__(name: str):  # the compiler is loaded when it is first asked for
    if name == "function":
        from .compile.function import function

        return function
    raise AttributeError(f"module 'minigrad' has no attribute {name!r}")
