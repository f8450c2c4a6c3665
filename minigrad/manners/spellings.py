"""The spellings of other libraries, each with ours: what is said of a name that does not exist.

`loss.backward()`, `mg.nn`, `mg.concatenate`, `rc.Linear` raise AttributeError, as any missing name,
so that `hasattr`, pickle and NumPy's protocols see what they expect;
the error names our way in one line (`SPELLINGS`, one table), or the names that are near.
`answering` makes the `__getattr__` of a module; that of `Tensor` is set when this is imported.
Modules inside the engine that pose as functions (`mg.compile(f)`) are `Internal`: not listed,
and told apart when called.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from difflib import get_close_matches
from functools import wraps
from inspect import signature
from types import ModuleType
from typing import Any, NoReturn, TypeVar

from ..graph import Tensor

_GRAD = "mg.grad(loss, params), which returns the gradients: nothing is stored on a Tensor"
_IMMUTABLE = "a Tensor is immutable; make a new one"
_RANDOM = "randomness stays outside the graph: np.random.default_rng(seed), then mg.asarray"
_STATIC = "mg.asarray(t.numpy()) (a fresh constant), or mg.stop_gradient(t)"
_FUNCTION = "mg.function(f)"
_CELL = "a dense layer is one line, x @ p['W'] + p['b']; rc has the recurrent cells"
_VALUES = "the shape depends on values: take it of t.numpy()"
_HERE = "there is one device, the CPU; mg.function(f) compiles for it"
_LOSSES = "mg.cross_entropy(logits, labels), or written out, as in mg.mean(mg.square(y - target))"

# Place -> names as others have them -> our way.
SPELLINGS: dict[str, dict[str, str]] = {
    "Tensor": {
        # torch, tinygrad, MyGrad
        "backward": f"write {_GRAD}",
        "grad grad_fn requires_grad requires_grad_ retain_grad is_leaf register_hook zero_grad":
            f"write {_GRAD}",
        "detach no_grad": f"write {_STATIC}",
        "view view_as reshape_as": "write t.reshape(shape)",
        "unsqueeze": "write mg.expand_dims(t, axis=k), or t[:, None]",
        "permute": "write t.transpose(1, 0, 2), or mg.permute_dims(t, axes)",
        "t": "write t.T", "adjoint H mH": "write t.mT",
        "expand expand_as broadcast": "write mg.broadcast_to(t, shape)",
        "cpu cuda gpu to_host": _HERE, "to": "write t.astype(dtype); " + _HERE,
        "type": "read t.dtype, or write t.astype(dtype)",
        "float": "write t.astype(mg.float32)", "double": "write t.astype(mg.float64)",
        "int long": "write t.astype(mg.int64)", "bool": "write t.astype(mg.bool)",
        "half bfloat16": "there is float64 and float32: t.astype(mg.float32)",
        "contiguous realize clone tensor data": "a Tensor has one layout and never changes: use t, "
            "or t.numpy()",
        "numel nelement element_size": "read t.size", "dim ndimension": "read t.ndim",
        "eq ne lt gt le ge": "write t == other, t < other, ...",
        "abs absolute": "write mg.abs(t)", "add sub mul div neg matmul mm bmm mv pow":
            "write the operator: t + u, t - u, t * u, t / u, -t, t @ u, t ** 2",
        "exp log log1p expm1 sqrt square sin cos tan tanh sigmoid relu softplus erf floor ceil "
        "sign softmax log_softmax logsumexp norm where tril triu flip roll tile sinh cosh "
        "reciprocal rsqrt isnan isinf isfinite gelu silu":
            "it is a function: mg.exp(t), mg.tanh(t), ... (or np.exp(t))",
        "gather index_select": "write mg.take_along_axis(t, indices, axis=k), or mg.take(t, rows)",
        "scatter scatter_ scatter_add scatter_add_ index_add":
            "write mg.put_along_axis or mg.add_along_axis(t, indices, values, axis=k)",
        "masked_fill masked_fill_ masked_select": "write mg.where(mask, value, t)",
        "chunk tensor_split": "write mg.array_split(t, n)", "unbind": "write mg.unstack(t)",
        "cat": "write mg.concat([t, u])", "stack": "write mg.stack([t, u])",
        "topk": "write mg.topk(t, k)", "cumulative_sum": "write t.cumsum(axis)",
        "add_ sub_ mul_ div_ zero_ fill_ copy_ clamp_ uniform_ normal_ relu_":
            f"{_IMMUTABLE}: t = t + u, ...",
        "clamp": "write t.clip(low, high)", "unfold": "take windows: mg.take(t, rows)",
        # JAX, TensorFlow
        "at": "a Tensor is immutable; t.at[i].set(v) is mg.where(mask, v, t), or "
              "mg.put_along_axis(t, indices, v, axis=k)",
        "block_until_ready": "values are there when they are read: t.numpy()",
        "assign assign_add set_value": f"{_IMMUTABLE}: t = t + u, ...",
        "eval run": "write t.numpy(), or mg.evaluate([t, u]) for many",
        "get_shape": "read t.shape",
        # NumPy: what writes into an array, or has no meaning without memory
        "sort": "NumPy's sorts in place; write mg.sort(t, axis=-1), or np.sort(t)",
        "partition": "NumPy's sorts in place; write np.partition(t, k)",
        "fill": f"{_IMMUTABLE}: mg.full_like(t, value)",
        "put itemset setfield": f"{_IMMUTABLE}: mg.put_along_axis(t, indices, values, axis=None)",
        "resize": f"{_IMMUTABLE}: t.reshape(shape), or np.resize(t, shape)",
        "setflags byteswap newbyteorder flags strides base ctypes getfield":
            "a Tensor shows no memory; its value is t.numpy(), a read-only array",
        "flat": "write t.ravel()", "unique": "write mg.unique_values(t)",
        "tobytes tofile dump dumps": "write t.numpy().tobytes(), or mg.save(path, tree)",
        "median quantile nanmean nansum": "it is a function: mg.median(t, axis), ...",
    },
    "minigrad": {
        # differentiation
        "value_and_grad": "the loss is a Tensor beside its gradient: loss, mg.grad(loss, params)",
        "elementwise_grad holomorphic_grad": "write mg.grad(mg.sum(y), x)",
        "jacfwd jacrev autograd": "write mg.grad(loss, params) or mg.jacobian(y, x): of results, "
            "not of functions",
        "make_vjp linearize linear_transpose pullback": "write mg.vjp(outputs, inputs, cotangents)",
        "make_jvp deriv": "write mg.jvp(outputs, inputs, tangents)",
        "make_hvp hessian_vector_product": "write mg.jvp(mg.grad(loss, x), x, v)",
        "GradientTape no_grad enable_grad set_grad_enabled inference_mode tape record":
            "nothing is taped: every Tensor knows how it is computed; write mg.grad(loss, params)",
        "backward": f"write {_GRAD}", "detach stop_grad": "write mg.stop_gradient(t)",
        "custom_vjp custom_jvp custom_gradient defvjp Function":
            "write mg.primitive(name, shape=..., numpy=..., vjp=...)",
        "checkpoint remat": "see mg.recur: `python -c 'help(minigrad.recur)'`",
        # running
        "jit pjit njit": f"write {_FUNCTION}",
        "eval compute session Session": "write t.numpy(), or mg.evaluate(tree) for many",
        "scan fori_loop while_loop map_fn lax": "write mg.recur(cell, structure, "
            "initial=...), or rc.unroll(cell, params, xs) of `import recurrent as rc`",
        "cond switch": "write mg.where(condition, x, y)",
        "pmap shard_map": f"{_FUNCTION} uses the threads there are; mg.vmap maps over examples",
        "vectorize": "write mg.vmap(f)", "make_jaxpr": f"write {_FUNCTION}"
            ".graph(*args), or mg.expr(t)",
        # making
        "array tensor as_tensor constant convert_to_tensor asanyarray ascontiguousarray Variable "
        "Parameter placeholder from_numpy ndarray Value":
            "write mg.asarray(values), or mg.tensors(tree) for a tree of them",
        "random rand randn randint uniform normal PRNGKey manual_seed seed": _RANDOM,
        "nn layers keras Module Linear Dense Sequential functional F":
            "recurrent nets are in `import recurrent as rc`; " + _CELL,
        "LSTM GRU RNN": "write rc.LSTM(input_size, hidden_size) of `import recurrent as rc`",
        "losses mse_loss nll_loss MSELoss CrossEntropyLoss": _LOSSES,
        "Adam adam SGD sgd optimizer optimizers optimisers": "write mg.optim.adam(lr)",
        "numpy np jnp": "NumPy's own functions take Tensors: import numpy as np, np.tanh(t)",
        "identity": "write mg.eye(n)", "logspace geomspace": "write np.logspace(t, u, n)",
        "device cuda devices to_device set_default_device": _HERE,
        "dtype set_default_dtype float": "give dtype=, as in mg.asarray(x, dtype=mg.float32)",
        "long": "write mg.int64", "double": "write mg.float64", "float16 bfloat16 half complex64 "
            "complex128 complex": "there are float64 and float32, integers and bool",
        # functions by other names
        "concatenate cat hcat vcat": "write mg.concat([a, b], axis=0)",
        "transpose permute": "write mg.permute_dims(t, axes), t.T or t.transpose(1, 0)",
        "ravel flatten view": "write mg.reshape(t, -1), or t.ravel()",
        "unsqueeze": "write mg.expand_dims(t, axis=k)", "amax": "write mg.max(t, axis=k)",
        "amin": "write mg.min(t, axis=k)", "absolute": "write mg.abs(t)",
        "power": "write mg.pow(x, y), or x ** y", "mod": "write mg.remainder(x, y)",
        "true_divide div": "write mg.divide(x, y), or x / y", "mul": "write mg.multiply(x, y)",
        "sub": "write mg.subtract(x, y)", "neg": "write mg.negative(x)",
        "arcsin": "write mg.asin(x)", "arccos": "write mg.acos(x)", "arctan": "write mg.atan(x)",
        "arctan2": "write mg.atan2(y, x)", "arcsinh": "write mg.asinh(x)",
        "arccosh": "write mg.acosh(x)", "arctanh": "write mg.atanh(x)",
        "cumsum": "write mg.cumulative_sum(t, axis=k), or t.cumsum(k)",
        "cumprod": "write mg.cumulative_prod(t, axis=k), or t.cumprod(k)",
        "dot mm bmm mv": "write x @ y, or mg.vecdot(x, y)", "vdot": "write mg.vecdot(x, y)",
        "clamp": "write mg.clip(t, low, high)", "rsqrt": "write 1 / mg.sqrt(t)",
        "ln": "write mg.log(x)", "logistic expit": "write mg.sigmoid(x)",
        "reduce_sum": "write mg.sum(t, axis=k)", "reduce_mean": "write mg.mean(t)",
        "reduce_max": "write mg.max(t)", "radians": "write mg.deg2rad(x)",
        "degrees": "write mg.rad2deg(x)", "rint fix": "write mg.round(x), or mg.trunc(x)",
        "invert bitwise_not": "write ~x", "left_shift": "write x << n", "right_shift":
            "write x >> n", "matvec vecmat": "write W @ x",
        "gather index_select": "write mg.take_along_axis(t, indices, axis=k), or mg.take(t, rows)",
        "scatter_add index_add segment_sum bincount": "write mg.scatter(values, rows, size), or "
            "mg.add_along_axis(t, indices, values, axis=k)",
        "put fill_diagonal index_update dynamic_update_slice": "write mg.put_along_axis("
            "t, indices, values, axis=k), or mg.where(mask, v, t)",
        "masked_fill": "write mg.where(mask, value, t)", "unbind": "write mg.unstack(t)",
        "chunk": "write mg.array_split(t, n)", "one_hot": "write mg.equal(labels[..., None], "
            "np.arange(n)), or index with the labels",
        "block_diag": "write np.block([[a, b], [c, d]])", "trapz": "write mg.trapezoid(y, x)",
        "unique": "write mg.unique_values(t)", "argwhere flatnonzero": "write mg.nonzero(t)",
        "histogram": _VALUES,
        "leaky_relu elu swish": "written out: mg.where(x > 0, x, 0.01 * x); mg.silu(x) is swish",
        "batch_norm layer_norm dropout": "written out, or in a cell: rc.LayerNormLSTM, rc.Dropout",
        "tree tree_map tree_util pytree": "any nested dict, list or tuple is one: optree.tree_map",
        "load_state_dict state_dict": "write mg.save(path, params) and mg.load(path)",
        "gradcheck check_grads": "write mg.testing.check_grads(f, *args)",
        "draw plot make_dot": "write viz.draw(t), of `import viz`",
    },
    "minigrad.optim": {
        "Adam": "write optim.adam(lr)", "SGD Momentum": "write optim.sgd(lr)",
        "step zero_grad apply_updates apply_gradients minimize param_groups":
            "write params, state = opt.update(params, grads, state)",
        "lr_scheduler StepLR CosineAnnealingLR schedule": "write optim.scheduled(optim.adam, "
            "optim.cosine(lr, steps)), or optim.step_decay",
        "clip_grad_norm clip_grad_norm_ clip_by_norm clip": "write "
            "optim.clip_by_global_norm(grads, most)",
        "chain": "call one after the other: grads = optim.clip_by_global_norm(grads, 1.0)",
    },
    "recurrent": {
        "Linear Dense Affine Conv1d Conv2d MLP Sequential ReLU Module BatchNorm LayerNorm": _CELL,
        "Embedding embed embedding": "rows of a table are taken: mg.take(params['E'], tokens)",
        "RNNCell SimpleRNN ElmanRNN Elman": "write rc.RNN(input_size, hidden_size): a cell",
        "LSTMCell": "write rc.LSTM(input_size, hidden_size): a cell",
        "GRUCell": "write rc.GRU(input_size, hidden_size): a cell",
        "scan dynamic_rnn run apply forward": "write carry, ys = rc.unroll(cell, params, xs)",
        "BiLSTM Bidirectional BiRNN": "write rc.bidirectional(cell, cell)",
        "Seq2Seq EncoderDecoder Encoder Decoder": "write rc.encoder_decoder(...)",
        "Attention MultiHeadAttention attention": "write rc.attend(...)",
        "StackedRNN StackedLSTM Stack": "write rc.stack(cell, cell)",
        "pad_sequence pad_packed_sequence pack_padded_sequence pack_sequence":
            "write rc.pad(sequences), and rc.unroll(cell, params, xs, lengths=lengths)",
        "DataLoader Dataset loader": "write rc.batches(...)",
        "NaryTreeLSTM BinaryTreeLSTM": "write rc.TreeLSTM(input_size, hidden_size, arity=2)",
        "RecNN RecursiveNN RvNN": "write rc.RecursiveNet(...)",
        "Adam optim": "write mg.optim.adam(lr), of `import minigrad as mg`",
        "mse_loss": "write rc.mean_squared_error(...)",
        "CrossEntropyLoss NLLLoss": "write rc.cross_entropy(...)",
    },
    "viz": {
        "plot show render make_dot graph view display draw_graph visualize":
            "write viz.draw(outputs), and .save('x.svg')",
        "save savefig export": "write viz.draw(outputs).save('x.svg')",
        "summary": "write viz.draw(outputs).summary()",
    },
}  # fmt: skip

# Modules inside the engine, called as if they were functions.
CALLED = {
    "compile": _FUNCTION, "run": "mg.evaluate(t)", "graph": f"{_FUNCTION}.graph(*args)",
    "structure": "mg.Structure", "pytrees": "optree.tree_map", "lazy": "mg.asarray: all is lazy",
    "transforms": "mg.vmap", "tracing": "mg.recur", "static": f"{_FUNCTION}: bool, str, None and "
    "cells are static", "rewrite": "mg.unfold(outputs)",
}  # fmt: skip

_BY_NAME = {
    place: {name: way for names, way in table.items() for name in names.split()}
    for place, table in SPELLINGS.items()
}


def missing(place: str, name: str, known: Iterable[str]) -> AttributeError:
    """The error of a name that does not exist: our way, or the names that are near."""
    what = "a Tensor" if place == "Tensor" else f"module {place!r}"
    text = f"{what} has no attribute {name!r}"
    way = None if name.startswith("_") else _BY_NAME[place].get(name)
    if place == "minigrad" and name in CALLED:  # not loaded yet
        way = f"write {CALLED[name]}"
    if way:
        return AttributeError(f"{text}: {way}")
    if name.startswith("_"):  # protocols ask; nobody reads the answer
        return AttributeError(text)
    lower = {n.lower(): n for n in known if not n.startswith("_")}
    near = [lower[n] for n in get_close_matches(name.lower(), lower, n=3, cutoff=0.65)]
    return AttributeError(f"{text}; near it are {', '.join(near)}" if near else text)


def answering(place: str, known: Callable[[], Iterable[str]]) -> Callable[[str], NoReturn]:
    """The `__getattr__` of a module, whose public names are `known()`."""

    def __getattr__(name: str) -> NoReturn:
        raise missing(place, name, known())

    return __getattr__


F = TypeVar("F", bound=Callable[..., Any])


def of_results(f: F) -> F:
    """`f`, which differentiates results; given a function, as in other libraries, it says so."""
    name = f.__name__
    inputs = ", ".join(list(signature(f).parameters)[1:])

    @wraps(f)
    def called(*args: Any, **kwargs: Any) -> Any:
        if args and callable(args[0]):
            raise TypeError(
                f"{name}: takes what was computed, not a function: y = f(x), then "
                f"mg.{name}(y, {inputs})"
            )
        return f(*args, **kwargs)

    return called  # type: ignore[return-value]


class Internal(ModuleType):
    """A module of the engine: to import from, not to call."""

    def __call__(self, *args: Any, **kwargs: Any) -> NoReturn:
        name = self.__name__.rpartition(".")[2]
        way = CALLED.get(name)
        raise TypeError(
            f"{self.__name__} is a module inside the engine, no function"
            + (f"; write {way}" if way else "; the public functions are those in dir(minigrad)")
        )


def _of_tensor(self: Tensor, name: str) -> NoReturn:
    raise missing("Tensor", name, dir(type(self)))


def _set(self: Tensor, name: str, value: Any) -> None:
    way = _BY_NAME["Tensor"].get(name)
    raise AttributeError(
        f"a Tensor is immutable; {name!r} cannot be set: "
        + (way or "t.named(...) gives a named copy")
    )


Tensor.__getattr__ = _of_tensor  # type: ignore[attr-defined]
Tensor.__setattr__ = _set  # type: ignore[method-assign, assignment]
