"""The patterns of sequence models: one to many, many to one, and an answer at every step.

Each is a cell unrolled, and a linear readout of its output: y_t = h_t V + c.
Inputs are vectors, or tokens with `tokens=` their number, which the net embeds.
A series with missing observations is given as a pair (values, observed) to a cell of `missing`;
several objects, each with a series of its own, to `per_object`.
Unaligned sequences are in `seq2seq`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import pytrees

from .losses import within
from .masking import at_ends, checked_once, kept, lengths_of
from .missing import output_size
from .options import array, cell_like, choice, flag, function, part, shown, sizes, tensor
from .options import seed as checked_seed
from .sequences import unroll

__all__ = ["ManyToMany", "ManyToOne", "OneToMany", "per_object"]

Params = dict[str, Any]


def matrix(rng: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    """(rows, columns), uniform as in Glorot and Bengio 2010."""
    bound = np.sqrt(6 / (rows + columns))
    return rng.uniform(-bound, bound, (rows, columns))


def linear(rng: np.random.Generator, inputs: int, outputs: int) -> Params:
    """The parameters of `apply_linear`: V (inputs, outputs) and c (outputs,)."""
    return {"V": matrix(rng, inputs, outputs), "c": np.zeros(outputs)}


def apply_linear(params: Params, h: Any) -> mg.Tensor:
    """h V + c."""
    return h @ params["V"] + params["c"]


def embed(who: str, what: str, table: Any, tokens: Any, ndims: tuple[int, ...]) -> mg.Tensor:
    """The rows of the embedding `table` (tokens, size) for integers of shape (T, B) or (T,)."""
    t = tensor(who, what, tokens)
    if t.dtype.kind not in "iu" or t.ndim not in ndims:
        raise ValueError(
            f"{who}: {what} must be integer tokens of shape {' or '.join(map(_axes, ndims))}; got "
            f"{t.dtype} of shape {t.shape}"
        )
    table = mg.asarray(table)
    return mg.take(table, mg.checked(t, 0, len(table), what=f"{who}: the tokens in {what}"))


def _axes(ndim: int) -> str:
    return ("()", "(T,)", "(T, B)", "(T, B, I)")[ndim]


class Pattern:
    """A cell, a readout to `outputs` numbers, and an embedding if the inputs are `tokens`."""

    def __init__(self, cell: Any, outputs: int, tokens: int | None = None) -> None:
        who = type(self).__name__
        cell_like(who, cell)
        sizes(who, outputs=outputs, **({} if tokens is None else {"tokens": tokens}))
        self.cell, self.outputs, self.tokens = cell, int(outputs), tokens

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.cell!r}, {self.outputs})"

    def init(self, seed: int = 0) -> Params:
        """Fresh float64 parameters: cell, out (V, c), and E (tokens, size) with `tokens`."""
        rng = np.random.default_rng([checked_seed(type(self).__name__, seed), 1])
        params = {"cell": self.cell.init(seed)}
        params["out"] = linear(rng, output_size(self.cell), self.outputs)
        if self.tokens is not None:
            params["E"] = 0.5 * rng.standard_normal((self.tokens, self.embedding))
        return params

    @property
    def embedding(self) -> int:
        """The length of a token's vector."""
        return self.cell.input_size

    def parts(self, params: Params) -> tuple[Any, Any]:
        """The cell's parameters, and the readout's."""
        who = type(self).__name__
        for name, shape in (("V", (output_size(self.cell), self.outputs)), ("c", (self.outputs,))):
            given = tensor(who, f"params['out'][{name!r}]", part(who, params, "out", name))
            if given.shape != shape:
                raise ValueError(
                    f"{who}: params['out'][{name!r}] has shape {given.shape}; {self!r} needs "
                    f"{shape}"
                )
        return part(who, params, "cell"), params["out"]

    def read(self, params: Params, xs: Any) -> Any:
        """The inputs of the cell: vectors as they are, tokens embedded, masks as 0 and 1."""
        who = type(self).__name__
        if self.tokens is not None and xs is not None:
            xs = embed(who, "xs", part(who, params, "E"), xs, (1, 2))
        leaves = [mg.asarray(x) for x in pytrees.tree_leaves(xs)]
        if leaves and leaves[0].shape[-1:] != (self.embedding,):
            raise ValueError(
                f"{who}: xs must have {self.embedding} numbers per step for {self.cell!r}; got "
                f"shape {leaves[0].shape}"
            )
        for t in leaves:
            if t.ndim > 2 and not t.shape[1]:
                raise ValueError(
                    f"{who}: the batch is empty: xs has shape {t.shape}; (T, B, I) with B of at "
                    "least 1 is needed"
                )
        floats = (t.dtype for t in leaves if t.dtype.kind == "f")
        dtype = next(floats, np.dtype(float))
        return pytrees.tree_map(lambda x: _numbers(x, dtype), xs)


class ManyToMany(Pattern):
    """Aligned many-to-many: an answer at every step (tagging, language models, filtering):

        h_t = cell(h_{t-1}, x_t),   y_t = h_t V + c

    cell : a cell, or a net that gives an output per step.

    net(params, xs, lengths=None, carry=None) -> ys (T, B, outputs), 0 behind a sequence's end;
    for xs (T, I) or tokens (T,): (T, outputs).

    Raises ValueError for what is no cell, or a number of outputs or tokens that is none;
    when called, for parameters, xs or lengths that do not fit, or a token that is none of them.
    """

    def __call__(
        self, params: Params, xs: Any, lengths: Sequence[int] | None = None, carry: Any = None
    ) -> mg.Tensor:
        return self.run(params, xs, lengths, carry)[1]

    def run(
        self, params: Params, xs: Any, lengths: Sequence[int] | None = None, carry: Any = None
    ) -> tuple[Any, mg.Tensor]:
        """(carry, ys): also each sequence's last state, for the next piece of a long series."""
        theta, out = self.parts(params)
        xs = self.read(params, xs)
        lengths = checked_once("ManyToMany", lengths, xs)
        carry, hs = steps(self.cell, theta, xs, lengths, carry)
        ys = apply_linear(out, hs)
        return carry, ys if lengths is None else _only(ys, lengths)

    def read_token(
        self, params: Params, source: Params, carry: Any, token: Any
    ) -> tuple[mg.Tensor, Any]:
        """(log-probabilities (B, V) of the next token, carry) after reading tokens (B,)."""
        carry, ys = self.run(params, mg.expand_dims(token, axis=0), carry=carry)
        return mg.log_softmax(ys[0]), carry

    @cached_property
    def compiled_step(self) -> Any:
        """`read_token`, compiled once for this net: what `greedy`, `sample` ... call."""
        return mg.function(self.read_token)


class ManyToOne(Pattern):
    """Many-to-one: one answer for a sequence (classification, regression), from its last output:

        h_t = cell(h_{t-1}, x_t),   y = h_T V + c

    pool : "last", or "mean" over the sequence's steps:
           for a net that reads in both directions, half of whose last output has seen one step.

    net(params, xs, lengths=None) -> (B, outputs), or (outputs,) for one sequence.
    An empty sequence has h_T = 0.

    Raises ValueError for what is no cell, or a number of outputs or tokens that is none;
    when called, for parameters, xs or lengths that do not fit, or a token that is none of them.
    """

    def __init__(
        self, cell: Any, outputs: int, tokens: int | None = None, pool: str = "last"
    ) -> None:
        super().__init__(cell, outputs, tokens)
        self.pool = choice("ManyToOne", "pool", pool, ("last", "mean"))

    def __call__(self, params: Params, xs: Any, lengths: Sequence[int] | None = None) -> mg.Tensor:
        theta, out = self.parts(params)
        xs = self.read(params, xs)
        lengths = checked_once("ManyToOne", lengths, xs)
        _, hs = steps(self.cell, theta, xs, lengths)
        pooled = last(hs, lengths) if self.pool == "last" else average(hs, lengths)
        return apply_linear(out, pooled)


class OneToMany(Pattern):
    """One-to-many: a sequence from a vector, as a caption from an image (Vinyals et al. 2015):

        start=True:       s_0 = tanh(v W + b)      every part of the first state
        every_step=True:  h_t = cell(h_{t-1}, [x_t; v]),   y_t = h_t V + c

    The cell's input_size is that of x_t (the embedding of a token),
    plus vector_size with every_step.

    net(params, vectors (B, vector_size), xs, lengths=None) -> (T, B, outputs).
    xs are the tokens or vectors that came before (teacher forcing), or None with steps=T.

    Raises ValueError for what is no cell, neither start nor every_step,
    or a number of outputs or tokens that is none;
    when called, for parameters, xs or lengths that do not fit, or a token that is none of them.
    """

    def __init__(
        self, cell: Any, vector_size: int, outputs: int, tokens: int | None = None,
        start: bool = True, every_step: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(cell, outputs, tokens)
        who = "OneToMany"
        sizes("OneToMany", vector_size=vector_size)
        start, every_step = flag(who, "start", start), flag(who, "every_step", every_step)
        if not (start or every_step):
            raise ValueError("OneToMany: the vector enters by start=True, every_step=True or both")
        self.vector_size, self.start, self.every_step = int(vector_size), start, every_step
        if every_step and cell.input_size < self.vector_size + (tokens is not None):
            raise ValueError(
                "OneToMany: with every_step the cell reads [x; vector]: its input_size must be the "
                f"size of x plus {self.vector_size}; got {cell.input_size}"
            )

    @property
    def embedding(self) -> int:
        return self.cell.input_size - self.vector_size * self.every_step

    def init(self, seed: int = 0) -> Params:
        params = super().init(seed)
        if self.start:
            params["start"] = start_params(self.cell, self.vector_size, [seed, 2])
        return params

    def __call__(
        self, params: Params, vectors: Any, xs: Any = None, lengths: Sequence[int] | None = None,
        steps: int | None = None,
    ) -> mg.Tensor:  # fmt: skip
        v = mg.asarray(vectors)
        if v.ndim != 2 or v.shape[1] != self.vector_size or not len(v):
            raise ValueError(
                f"OneToMany: vectors must be (B, {self.vector_size}) with B of at least 1; got "
                f"shape {v.shape}"
            )
        theta, out = self.parts(params)
        if self.start:
            carry = start_of(self.cell, part("OneToMany", params, "start"), v)
        else:
            carry = zeros_of(self.cell, theta, len(v))
        xs = self.read(params, xs)
        if xs is None and steps is None:
            raise ValueError("OneToMany: without xs give the number of steps")
        one = isinstance(xs, mg.Tensor)
        if xs is not None and not (one and xs.ndim == 3 and xs.shape[1] == len(v)):
            raise ValueError(
                f"OneToMany: xs must be (T, {len(v)}, I), or tokens (T, {len(v)}), for {len(v)} "
                f"vectors; got {xs.shape if one else shown(xs)}"
            )
        if self.every_step:
            xs = at_every_step(xs, v, (steps or 0) if xs is None else len(xs))
        _, hs = unroll(self.cell, theta, xs, carry, lengths, steps=steps)
        ys = apply_linear(out, hs)
        return ys if lengths is None else _only(ys, lengths)


def _numbers(x: Any, dtype: Any) -> mg.Tensor:
    """A mask given as booleans, as 0 and 1."""
    t = mg.asarray(x)
    return mg.astype(t, dtype) if t.dtype.kind == "b" else t


# -- what the patterns are made of -----------------------------------------------------------------


def steps(
    cell: Any, params: Params, xs: Any, lengths: Sequence[int] | None = None, carry: Any = None
) -> tuple[Any, mg.Tensor]:
    """(carry, outputs per step) of a cell, unrolled, or of a net called on whole sequences."""
    if hasattr(cell, "zero_state"):
        return unroll(cell, params, xs, carry, lengths)
    return cell(params, xs, lengths=lengths)


def last(hs: mg.Tensor, lengths: Sequence[int] | None = None) -> mg.Tensor:
    """Each sequence's output at its last step: (T, B, H) -> (B, H); of an empty sequence 0."""
    time, *rest = hs.shape
    if not time:
        return mg.zeros(rest, dtype=hs.dtype)
    if lengths is None:
        return hs[-1]
    if len(rest) == 1:
        return last(mg.expand_dims(hs, axis=1), lengths)[0]
    batch = rest[0]
    given = lengths_of("last", lengths, time, batch)
    if isinstance(given, mg.Tensor):
        return at_ends(hs, given)
    rows = np.where(given > 0, given - 1, 0) * batch + np.arange(batch)
    return kept(given > 0, mg.take(mg.reshape(hs, (time * batch, *rest[1:])), rows))


def average(hs: mg.Tensor, lengths: Sequence[int] | None = None) -> mg.Tensor:
    """The mean of each sequence's outputs over its steps: (T, B, H) -> (B, H)."""
    if lengths is None:
        return mg.sum(hs, axis=0) / max(len(hs), 1)
    batch = hs.shape[1] if hs.ndim > 2 else 1
    given = lengths_of("average", lengths, len(hs), batch)
    count = mg.astype(mg.maximum(given, 1), hs.dtype)
    return mg.sum(hs, axis=0) / (count[:, None] if hs.ndim > 2 else count)


def _only(ys: mg.Tensor, lengths: Sequence[int]) -> mg.Tensor:
    """0 behind each sequence's end, as `unroll` has it."""
    batch = ys.shape[1] if ys.ndim > 2 else 1
    return kept(within(len(ys), lengths, batch).reshape(ys.shape[:-1]), ys)


def start_params(cell: Any, size: int, seed: Any) -> list[Params]:
    """Parameters of `start_of`: an affine map from a vector for each part of the state."""
    rng = np.random.default_rng(seed)
    parts = pytrees.tree_leaves(cell.zero_state(np.float64))
    return [linear(rng, size, part.shape[-1]) for part in parts]


def start_of(cell: Any, params: list[Params], vectors: Any) -> Any:
    """A first state from a vector: s_0 = tanh(v V + c) for every part of the state (Cho 2014)."""
    spec = pytrees.tree_structure(cell.zero_state(np.float64))
    return pytrees.tree_unflatten(spec, [mg.tanh(apply_linear(p, vectors)) for p in params])


def zeros_of(cell: Any, params: Any, batch: int) -> Any:
    """A cell's zero state in the dtype of its parameters, a row per sequence."""
    dtype = np.result_type(*(mg.asarray(p).dtype for p in pytrees.tree_leaves(params)))
    return pytrees.tree_map(lambda z: np.repeat(z, batch, axis=0), cell.zero_state(dtype))


def at_every_step(xs: Any, vectors: mg.Tensor, time: int) -> mg.Tensor:
    """[x_t; v]: the vectors (B, M) behind the inputs (T, B, I) of each step, or alone."""
    repeated = mg.broadcast_to(vectors, (time, *vectors.shape))
    return repeated if xs is None else mg.concat([xs, repeated], axis=-1)


def per_object(net: Any, params: Params, xs: Any, lengths: Any = None) -> mg.Tensor:
    """A net over several objects at once, each a sequence of its own (tracking): shared weights.

    net     : net(params, xs, lengths=None), such as `ManyToOne`.
    xs      : leaves (T, B, K, ...), K objects in each of B scenes.
    lengths : (B, K) or None.

    Returns what the net gives for B * K sequences, with the axes (B, K) in place of the batch.

    Raises ValueError for xs or lengths of other shapes, TypeError for what is no net or no numbers.
    """
    function("per_object", "net", net, "net(params, xs, lengths=None)")
    leaves = [tensor("per_object", "xs", x) for x in pytrees.tree_leaves(xs)]
    shapes = {x.shape[:3] for x in leaves}
    if len(shapes) != 1 or len(next(iter(shapes))) < 3:
        raise ValueError(
            f"per_object: xs must be (T, B, K, ...), the same for all leaves; got {sorted(shapes)}"
        )
    time, scenes, objects = shapes.pop()
    if lengths is not None:
        given = array("per_object", "lengths", lengths)
        if given.shape != (scenes, objects):
            raise ValueError(
                f"per_object: lengths must be ({scenes}, {objects}), one per object; got "
                f"{given.shape}"
            )
        lengths = given.ravel()

    def flat(x: Any) -> mg.Tensor:
        t = mg.asarray(x)
        return mg.reshape(t, (time, scenes * objects, *t.shape[3:]))

    ys = net(params, pytrees.tree_map(flat, xs), lengths)
    at = ys.shape.index(scenes * objects, ys.ndim - 2)
    return mg.reshape(ys, (*ys.shape[:at], scenes, objects, *ys.shape[at + 1 :]))
