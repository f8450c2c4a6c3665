"""Encoder and decoder: a sequence to a sequence of another length, with or without attention.

The encoder reads the source into a memory, a row per step, and a context:
its last output, or of a net (both directions) the mean of its outputs (Sennrich et al. 2017).
The decoder reads what came before (teacher forcing), or its own choices (`free`),
and the source by

    start="tanh"        s_0 = tanh(context W + b)           (Cho et al. 2014)
    start="copy"        s_0 = the encoder's last state      (Sutskever et al. 2014)
    every_step=True     x_t = [x_t; context]                (Cho et al. 2014)
    attention=...       x_t or y_t with a context of its own for each step, see `attend`

Decoding with an end token, outside of the graph, is in `decoding`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import pytrees

from . import options
from .losses import within
from .masking import kept, lengths_of
from .missing import output_size
from .patterns import (
    apply_linear,
    average,
    embed,
    last,
    linear,
    matrix,
    start_of,
    start_params,
    steps,
    zeros_of,
)
from .sequences import unroll

__all__ = ["attend", "encoder_decoder"]

Params = dict[str, Any]
ATTENTION = (None, "additive", "dot", "general")
WHO = "encoder_decoder"


def encoder_decoder(
    encoder: Any, decoder: Any, *, target_tokens: int | None = None, outputs: int | None = None,
    source_tokens: int | None = None, start: str | None = "tanh", every_step: bool = False,
    attention: str | None = None, attention_size: int | None = None,
) -> EncoderDecoder:  # fmt: skip
    """A net from sequences to sequences; give `init`, call it as `EncoderDecoder` says.

    encoder, decoder : cells (the encoder may be a net).
                       The decoder's input_size is that of a target step,
                       plus the encoder's output size with every_step,
                       and once more with additive attention.
    target_tokens    : the number of target tokens, which are embedded.
    outputs          : or the length of a step of a real-valued target series.
    source_tokens    : the number of source tokens; None: the source is a series of vectors.
    start            : "tanh", "copy" or None (zeros), as at the head of this module.
    every_step       : whether the decoder reads the context at every step.
    attention        : None, "additive" (Bahdanau et al. 2015),
                       "dot" or "general" (Luong et al. 2015).
    attention_size   : A, of the additive score (default: decoder.hidden_size).

    Raises ValueError for what is no cell or no such choice, or naming the sizes that do not fit.
    """
    return EncoderDecoder(
        encoder, decoder, target_tokens, outputs, source_tokens, start, every_step, attention,
        attention_size,
    )  # fmt: skip


def attend(query: Any, kind: str, params: Params, source: Params) -> tuple[mg.Tensor, mg.Tensor]:
    """(context, weights) of a query s over the memory h_1..h_S of its sequence:

        score_j = tanh(s W + h_j U) v        additive (Bahdanau et al. 2015); h_j U are the keys
        score_j = s . h_j                    dot (Luong et al. 2015)
        score_j = s W . h_j                  general (Luong et al. 2015)
        a = softmax(score) over the steps of the sequence,   context = sum_j a_j h_j

    query  : (..., H).
    params : W and v (additive), W (general), none (dot).
    source : memory (..., S, M), keys (..., S, A),
             mask (..., S), true (or above 0.5) where there is a step.

    What stands at a masked step is never looked at.
    Where all are masked there is nothing to attend to, and weights, context and gradients are 0
    (as in PyTorch's scaled_dot_product_attention).

    Returns (..., M) and (..., S).

    Raises ValueError naming the entry of params or source that is missing or does not fit.
    """
    options.choice("attend", "kind", kind, ATTENTION[1:])
    entries = {"additive": ("W", "v"), "dot": (), "general": ("W",)}[kind]
    p = options.entries("attend", "params", params, entries)
    read = ("memory", "mask", "keys") if kind == "additive" else ("memory", "mask")
    given = options.entries("attend", "source", source, read)
    q, memory, mask = mg.asarray(query), given["memory"], given["mask"]
    if memory.ndim < 2 or mask.shape[-1:] != memory.shape[-2:-1]:
        raise ValueError(
            "attend: memory must be (..., S, M) and mask (..., S); got shapes "
            f"{memory.shape} and {mask.shape}"
        )
    inside = mg.expand_dims(mg.greater(mask, 0.5), axis=-1)
    kept = {k: mg.where(inside, given[k], 0) for k in read if k != "mask"}
    return _attend(q, kind, p, {**kept, "mask": mask})


def _attend(query: Any, kind: str, params: Params, source: Params) -> tuple[mg.Tensor, mg.Tensor]:
    """`attend` to a memory whose masked steps hold nothing but numbers."""
    memory = source["memory"]
    if kind == "additive":
        hidden = mg.tanh(mg.expand_dims(query @ params["W"], axis=-2) + source["keys"])
        score = hidden @ params["v"]
    else:
        s = query @ params["W"] if kind == "general" else query
        score = mg.squeeze(memory @ mg.expand_dims(s, axis=-1), axis=-1)
    inside = mg.greater(source["mask"], 0.5)
    low = mg.where(_some(source["mask"]), -np.inf, 0.0)  # with no step at all, softmax is finite
    score = mg.where(inside, score, mg.astype(low, score.dtype))
    weights = mg.where(inside, mg.softmax(score, axis=-1), 0).named("attention")
    context = mg.squeeze(mg.expand_dims(weights, axis=-2) @ memory, axis=-2)
    return context.named("context"), weights


def _some(mask: Any) -> mg.Tensor:
    """(..., 1) whether any step is there."""
    number = mg.astype(mask, float) if mask.dtype.kind == "b" else mask
    return mg.greater(mg.max(number, axis=-1, keepdims=True), 0.5)


class DecoderCell:
    """The decoder at one step, with its readout: cell(params, s, x) -> (s', logits).

    without attention   s', y = cell(s, x),        logits = y V + c
    additive            c = attend(h of s),        s', y = cell(s, [x; c]),   logits = [y; c] V + c
    dot, general        s', y = cell(s, x),        c = attend(y),
                        logits = tanh([c; y] W) V + c
    With attention, x is the pair (x, the memory of the sequence).
    """

    def __init__(self, cell: Any, attention: str | None):
        self.cell, self.attention = cell, attention
        self.state_names = getattr(cell, "state_names", ())
        self.name = f"{attention + ' ' if attention else ''}decoder {getattr(cell, 'name', '')}"

    def __call__(self, params: Params, carry: Any, x: Any) -> tuple[Any, Any]:
        if self.attention is None:
            carry, y = self.cell(params["cell"], carry, x)
            return carry, apply_linear(params["out"], y)
        x, source = x
        p = params["attention"]
        if self.attention == "additive":
            c, _ = _attend(pytrees.tree_leaves(carry)[0], "additive", p, source)
            carry, y = self.cell(params["cell"], carry, mg.concat([x, c], axis=-1))
            return carry, apply_linear(params["out"], mg.concat([y, c], axis=-1))
        carry, y = self.cell(params["cell"], carry, x)
        c, _ = _attend(y, self.attention, p, source)
        y = mg.tanh(mg.concat([c, y], axis=-1) @ p["combine"])
        return carry, apply_linear(params["out"], y)


class FreeRunning:
    """The decoder reading its own choices: x_t = what is given where forced_t, else choice_{t-1}.

    The choice is argmax(logits + noise), a token that is embedded (Gumbel noise: a sample),
    or the output itself for a real-valued series.
    State (the decoder's, the choice as an input).
    """

    name = "free-running decoder"

    def __init__(self, net: EncoderDecoder):
        self.net = net

    def __call__(self, params: Params, carry: Any, x: Any) -> tuple[Any, Any]:
        (given, forced, noise), source = x
        state, own = carry
        x_t = mg.where(mg.greater(forced, 0.5), given, own)
        state, logits = self.net.one_step(params, state, x_t, source)
        if self.net.target_tokens is None:
            return (state, logits), (logits, logits)
        token = mg.argmax(logits if noise is None else logits + noise, axis=-1)
        return (state, mg.take(params["E"], token)), (logits, token)


class EncoderDecoder:
    """What `encoder_decoder` returns: net.init(seed) and

    net(params, xs, ys_in, lengths=None, target_lengths=None) -> logits (T, B, outputs)

    xs             : (S, B) source tokens or (S, B, I).
    ys_in          : (T, B) target tokens or (T, B, D), shifted by one:
                     what the decoder reads at each step.
    lengths        : 1 to S, one per sequence.
    target_lengths : 0 to T, independent of the source's.  Logits behind the end are 0.

    Raises ValueError naming the argument whose shape or tokens do not fit.
    """

    def __init__(
        self, encoder: Any, decoder: Any, target_tokens: int | None, outputs: int | None,
        source_tokens: int | None, start: str | None, every_step: bool, attention: str | None,
        attention_size: int | None,
    ) -> None:  # fmt: skip
        needs = "input_size", "init"
        options.cell_like(WHO, encoder, needs, "encoder")
        options.cell_like(WHO, decoder, (*needs, "hidden_size", "zero_state"), "decoder")
        if not isinstance(attention, (str, type(None))) or attention not in ATTENTION:
            raise ValueError(
                f"{WHO}: attention must be one of {ATTENTION}; got {options.shown(attention)}"
            )
        options.choice(WHO, "start", start, ("tanh", "copy", None))
        every_step = options.flag(WHO, "every_step", every_step)
        if (target_tokens is None) == (outputs is None):
            raise ValueError(
                f"{WHO}: give target_tokens= (a target of tokens) or outputs= (of numbers)"
            )
        self.target_tokens, self.source_tokens = target_tokens, source_tokens
        given = outputs if target_tokens is None else target_tokens
        what = "outputs" if target_tokens is None else "target_tokens"
        self.outputs = options.size(WHO, what, given)
        self.encoder, self.decoder = encoder, decoder
        self.start, self.every_step, self.attention = start, every_step, attention
        self.attention_size = decoder.hidden_size if attention_size is None else attention_size
        self.memory_size = output_size(encoder)
        self.cell, self.free_cell = DecoderCell(decoder, attention), FreeRunning(self)
        self._check()

    def __repr__(self) -> str:
        how = f", attention={self.attention!r}" if self.attention else ""
        return f"encoder_decoder({self.encoder!r}, {self.decoder!r}{how})"

    def _check(self) -> None:
        sizes = {"outputs": self.outputs, "attention_size": self.attention_size}
        if self.source_tokens is not None:
            sizes["source_tokens"] = self.source_tokens
        options.sizes(WHO, **sizes)
        if not (self.start or self.every_step or self.attention):
            raise ValueError(f"{WHO}: without start, every_step or attention nothing is read")
        contexts = self.every_step + (self.attention == "additive")
        size = self.decoder.input_size - contexts * self.memory_size
        if size < 1 or (self.target_tokens is None and size != self.outputs):
            step = "its embedding" if self.target_tokens else f"outputs={self.outputs}"
            raise ValueError(
                f"{WHO}: decoder.input_size must be {step} + {contexts} x the encoder's output "
                f"size {self.memory_size}; got {self.decoder.input_size}"
            )
        self.embedding = size
        if self.attention == "dot" and output_size(self.decoder) != self.memory_size:
            raise ValueError(
                f"{WHO}: dot attention needs equal output sizes; the encoder has "
                f"{self.memory_size}, the decoder {output_size(self.decoder)}; use 'general'"
            )
        if self.start == "copy":
            shapes = [
                [np.shape(z) for z in pytrees.tree_leaves(c.zero_state())]
                if hasattr(c, "zero_state") else None
                for c in (self.encoder, self.decoder)
            ]  # fmt: skip
            if shapes[0] != shapes[1]:
                raise ValueError(
                    f"{WHO}: start='copy' needs equal states; the encoder's is {shapes[0]}, the "
                    f"decoder's {shapes[1]}; use 'tanh'"
                )

    def init(self, seed: int = 0) -> Params:
        """Fresh float64 parameters: encoder, cell (the decoder's) and out,
        and where there are such: source_E and E (embeddings), start, attention.
        """
        rng = np.random.default_rng([options.seed(f"{WHO}: init", seed), 4])
        size, queries = self.memory_size, output_size(self.decoder)
        params: Params = {"encoder": self.encoder.init(seed), "cell": self.decoder.init(seed + 1)}
        if self.source_tokens is not None:
            table = rng.standard_normal((self.source_tokens, self.encoder.input_size))
            params["source_E"] = 0.5 * table
        if self.target_tokens is not None:
            params["E"] = 0.5 * rng.standard_normal((self.target_tokens, self.embedding))
        if self.start == "tanh":
            params["start"] = start_params(self.decoder, size, [seed, 5])
        if self.attention == "additive":
            first = pytrees.tree_leaves(self.decoder.zero_state())[0].shape[-1]
            params["attention"] = {
                "W": matrix(rng, first, self.attention_size),
                "U": matrix(rng, size, self.attention_size),
                "v": matrix(rng, self.attention_size, 1)[:, 0],
            }
        elif self.attention:
            params["attention"] = {"combine": matrix(rng, size + queries, queries)}
            if self.attention == "general":
                params["attention"]["W"] = matrix(rng, queries, size)
        read = queries + size if self.attention == "additive" else queries
        params["out"] = linear(rng, read, self.outputs)
        return params

    # -- the source --------------------------------------------------------------------------------

    def encode(self, params: Params, xs: Any, lengths: Sequence[int] | None = None) -> Params:
        """What the decoder reads of the source, every leaf with the batch first.

        start (its first state), context (B, M),
        and with attention memory (B, S, M), mask (B, S), keys (B, S, A).

        Raises ValueError for sources whose shape does not fit, an empty one,
        or a missing parameter.
        """
        options.part(WHO, params, "encoder"), options.part(WHO, params, "out")
        options.part(WHO, params, "cell")
        if self.source_tokens is not None:
            xs = embed(WHO, "xs", options.part(WHO, params, "source_E"), xs, (2,))
        xs = options.tensor(WHO, "xs", xs)
        if xs.ndim != 3 or xs.shape[2] != self.encoder.input_size or 0 in xs.shape[:2]:
            raise ValueError(
                f"{WHO}: xs must be (S, B, {self.encoder.input_size}) or tokens (S, B), with S and "
                f"B of at least 1; got shape {xs.shape}"
            )
        span, batch = xs.shape[:2]
        ends: Any = None if lengths is None else lengths_of(WHO, lengths, span, batch, least=1)
        inside = within(span, ends, batch, WHO)
        if isinstance(inside, np.ndarray) and not inside[0].all():
            raise ValueError(
                f"{WHO}: lengths[{np.flatnonzero(~inside[0])[0]}] is 0; a source has at least one "
                "step"
            )
        final, memory = steps(self.encoder, params["encoder"], xs, ends)
        context = last if hasattr(self.encoder, "zero_state") else average
        source: Params = {"context": context(memory, ends)}
        if self.start == "copy":
            source["start"] = final
        elif self.start == "tanh":
            theta = options.part(WHO, params, "start")
            source["start"] = start_of(self.decoder, theta, source["context"])
        else:
            zeros = zeros_of(self.decoder, params["cell"], batch)
            source["start"] = pytrees.tree_map(mg.asarray, zeros)
        if self.attention:
            memory = kept(inside, memory)  # what a net of one's own leaves there is not read either
            source["memory"] = mg.permute_dims(memory, (1, 0, 2))
            source["mask"] = mg.asarray(inside.T.astype(memory.dtype))
        if self.attention == "additive":
            source["keys"] = source["memory"] @ options.part(WHO, params, "attention", "U")
        return source

    # -- the target --------------------------------------------------------------------------------

    def __call__(
        self, params: Params, xs: Any, ys_in: Any, lengths: Sequence[int] | None = None,
        target_lengths: Sequence[int] | None = None,
    ) -> mg.Tensor:  # fmt: skip
        source = self.encode(params, xs, lengths)
        x = self._with_context(self._targets(params, ys_in, source), source)
        read = {k: source[k] for k in ("memory", "mask", "keys") if k in source}
        theta = {k: params[k] for k in ("cell", "attention", "out") if k in params}
        _, logits = unroll(
            self.cell, theta, x, source["start"], target_lengths, memory=read or None
        )
        return logits

    def free(
        self, params: Params, xs: Any, first: Any, steps: int,
        lengths: Sequence[int] | None = None, noise: Any = None, forced: Any = None,
    ) -> tuple[mg.Tensor, mg.Tensor]:  # fmt: skip
        """Free running, in the graph: (logits, choices).

        logits (T, B, outputs), choices tokens (T, B), or the series again.

        first  : what the decoder reads at step 0: one token, or tokens (B,), or a vector (B, D);
                 or with `forced` all steps, (T, B) or (T, B, D).
        noise  : (T, B, outputs) added to the logits before the choice;
                 Gumbel noise makes it a sample from the model.
        forced : (T, B) booleans: read `first` there, else the own choice:
                 scheduled sampling (Bengio et al. 2015).  Step 0 is always forced.

        Raises ValueError naming the argument whose shape does not fit.
        """
        source = self.encode(params, xs, lengths)
        batch = source["context"].shape[0]
        if options.whole(steps) and steps < 0:
            raise ValueError(f"{WHO}: steps must not be negative; got {steps}")
        steps = options.size(WHO, "steps", steps, 0)
        given = options.tensor(WHO, "first", first)
        if forced is None:
            inner = () if self.target_tokens is not None else (self.outputs,)
            given = mg.broadcast_to(given, (steps, batch, *inner))
            forced = np.zeros((steps, batch), bool)
        dtype = given.dtype if given.dtype.kind == "f" else source["context"].dtype
        force = options.array(WHO, "forced", forced).astype(dtype)
        if force.shape != (steps, batch):
            raise ValueError(
                f"{WHO}: forced must be ({steps}, {batch}), a flag per step; got {force.shape}"
            )
        force[:1] = 1
        if noise is not None and mg.asarray(noise).shape != (steps, batch, self.outputs):
            raise ValueError(
                f"{WHO}: noise must be ({steps}, {batch}, {self.outputs}); got "
                f"{mg.asarray(noise).shape}"
            )
        x = self._targets(params, given, source)
        own = mg.zeros((batch, self.embedding), dtype=x.dtype)
        theta = {k: params[k] for k in ("cell", "attention", "out", "E") if k in params}
        _, (logits, choices) = unroll(
            self.free_cell, theta, (x, force[..., None], noise), (source["start"], own),
            memory={k: v for k, v in source.items() if k != "start"},
        )  # fmt: skip
        return logits, choices

    def one_step(self, params: Params, carry: Any, x: Any, source: Params) -> tuple[Any, mg.Tensor]:
        """(carry, logits) of the decoder for the input x (..., D): at one node, or with a batch."""
        x = self._with_context(x, source)
        return self.cell(params, carry, (x, source) if self.attention else x)

    def read_token(
        self, params: Params, source: Params, carry: Any, token: Any
    ) -> tuple[mg.Tensor, Any]:
        """(log-probabilities (B, V) of the next token, carry) after reading tokens (B,)."""
        x = embed(WHO, "token", params["E"], token, (1,))
        carry, logits = self.one_step(params, carry, x, source)
        return mg.log_softmax(logits), carry

    @cached_property
    def compiled_step(self) -> Any:
        """`read_token`, compiled once for this net."""
        return mg.function(self.read_token)

    def _targets(self, params: Params, ys_in: Any, source: Params) -> mg.Tensor:
        batch = source["context"].shape[0]
        y = options.tensor(WHO, "ys_in", ys_in)
        if self.target_tokens is not None:
            y = embed(WHO, "ys_in", options.part(WHO, params, "E"), ys_in, (2,))
        if y.ndim != 3 or y.shape[1:] != (batch, self.embedding):
            raise ValueError(
                f"{WHO}: ys_in must be (T, {batch}, {self.embedding}), or tokens (T, {batch}), for "
                f"{batch} sources; got shape {mg.asarray(ys_in).shape}"
            )
        return y

    def _with_context(self, x: mg.Tensor, source: Params) -> mg.Tensor:
        """x, or [x; context] with every_step."""
        if not self.every_step:
            return x
        c = source["context"]
        return mg.concat([x, mg.broadcast_to(c, (*x.shape[:-1], c.shape[-1]))], axis=-1)
