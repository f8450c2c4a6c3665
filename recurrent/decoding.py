"""Decoding outside of the graph: the most likely token, a sampled one, or the best of many beams.

The encoder runs once, or a language model reads what is to be continued.
Then one step of the decoder, compiled, is called for all sequences
(and beams: they are rows of the batch) until each has said its end token.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

import minigrad as mg
from minigrad import pytrees

from . import options
from .patterns import ManyToMany, zeros_of
from .seq2seq import EncoderDecoder, Params

__all__ = ["Hypothesis", "beam_search", "greedy", "sample"]


class Hypothesis(NamedTuple):
    """A decoded sequence without its end token.

    log_probability : of it, in nats, the end token included.
    """

    tokens: list[int]
    log_probability: float


Net = EncoderDecoder | ManyToMany


def greedy(
    net: Net, params: Params, xs: Any, *, first: int | None, end: int | None, steps: int,
    lengths: Sequence[int] | None = None,
) -> list[Hypothesis]:  # fmt: skip
    """The most likely token at every step: one hypothesis per source.

    net   : an `encoder_decoder`;
            or a language model, `ManyToMany` over tokens, which goes on where xs end.
    xs    : (S, B) source tokens or (S, B, I), with `lengths` one per source;
            of a language model tokens (S, B), also with S = 0.
    first : the token read at step 0; of a language model in front of xs, or None for none.
    end   : the token that ends a sequence; of a language model also None: it has no end.
    steps : at most so many.

    Raises TypeError for what is neither of these nets;
    ValueError for a net without target tokens, a first or end token that is none of them,
    steps that are no positive integer, or sources that do not fit.
    """
    return _follow(net, params, xs, first, end, steps, lengths, lambda log_p: log_p.argmax(axis=-1))


def sample(
    net: Net, params: Params, xs: Any, *, first: int | None, end: int | None, steps: int,
    rng: np.random.Generator, temperature: float = 1.0, lengths: Sequence[int] | None = None,
) -> list[Hypothesis]:  # fmt: skip
    """A sequence drawn from the model for each source, by the Gumbel-max trick with `rng`'s noise.

    temperature : logits are divided by it; its limit 0 is `greedy`.

    The other arguments are those of `greedy`.

    Raises what `greedy` raises, ValueError for a temperature that is not positive,
    and TypeError for an rng that is no Generator.
    """
    options.number("sample", "temperature", temperature, lambda t: t > 0, "positive")
    options.generator("sample", rng)

    def choose(log_p: np.ndarray) -> np.ndarray:
        return (log_p / temperature + rng.gumbel(size=log_p.shape)).argmax(axis=-1)

    return _follow(net, params, xs, first, end, steps, lengths, choose)


def beam_search(
    net: Net, params: Params, xs: Any, *, first: int | None, end: int | None, steps: int,
    width: int, lengths: Sequence[int] | None = None, length_penalty: float = 0.0,
) -> list[list[Hypothesis]]:  # fmt: skip
    """Each source's hypotheses, the best first, from the `width` likeliest prefixes at every step.

    length_penalty : they are ranked by log p / ((5 + length) / 6) ** length_penalty,
                     the end token counted (Wu et al. 2016, equation 14).

    The other arguments are those of `greedy`, which this is with width=1.
    Hypotheses that did not end within `steps` are cut off there.

    Raises what `greedy` raises, and ValueError for a width that is no positive integer
    or a length_penalty that is no number below 100.
    """
    width = options.size("beam_search", "width", width, kind="at least 1")
    length_penalty = options.number(
        "beam_search", "length_penalty", length_penalty, lambda p: abs(p) < 100, "a number"
    )
    step, source, start = _begin("beam_search", net, params, xs, first, end, steps, lengths)
    batch, end = len(start), -1 if end is None else end
    source = _rows(source, np.repeat(np.arange(batch), width))
    carry = source.pop("start")
    score = np.full((batch, width), -np.inf)
    score[:, 0] = 0  # the beams start equal: only one of them counts
    done = np.zeros((batch, width), bool)
    said = np.full((batch, width, 0), end)
    token = np.repeat(start, width)
    for _ in range(steps):
        log_p, carry = step(params, source, carry, token)
        log_p = np.asarray(log_p, np.float64).reshape(batch, width, -1)
        only_end = np.where(np.arange(log_p.shape[-1]) == end, 0.0, -np.inf)
        total = score[..., None] + np.where(done[..., None], only_end, log_p)
        vocabulary = total.shape[-1]
        flat = total.reshape(batch, -1)
        best = np.argsort(-flat, axis=-1, kind="stable")[:, :width]
        parent, choice = best // vocabulary, best % vocabulary
        row = np.arange(batch)[:, None]
        score = flat[row, best]
        said = np.concatenate([said[row, parent], choice[..., None]], axis=-1)
        done = done[row, parent] | (choice == end)
        carry = _rows(carry, (row * width + parent).ravel())
        token = choice.ravel()
        if done.all():
            break
    found = []
    for b in range(batch):
        ranked = []
        for k in np.flatnonzero(score[b] > -np.inf):
            h = Hypothesis(_until(said[b, k], end), float(score[b, k]))
            length = len(h.tokens) + bool(done[b, k])
            ranked.append((h.log_probability / ((5 + length) / 6) ** length_penalty, k, h))
        found.append([h for _, _, h in sorted(ranked, key=lambda r: (-r[0], r[1]))])
    return found


def _begin(
    who: str, net: Net, params: Params, xs: Any, first: int | None, end: int | None, steps: int,
    lengths: Any,
) -> tuple[Callable, Params, np.ndarray]:  # fmt: skip
    """The compiled step, what it reads of the sources, and the token (B,) that each begins with."""
    if not isinstance(net, Net):
        raise TypeError(
            f"{who}: net must be an encoder_decoder or a ManyToMany; got {options.shown(net)}"
        )
    model = isinstance(net, ManyToMany)
    tokens = net.tokens if isinstance(net, ManyToMany) else net.target_tokens
    if tokens is None:
        why = "reads no tokens" if model else "has real-valued targets; net.free runs on its own"
        raise ValueError(f"{who}: {net!r} {why}")
    for name, token in (("first", first), ("end", end)):
        if token is None and model:
            continue
        if token is None or not options.whole(token) or not 0 <= token < tokens:
            raise ValueError(
                f"{who}: {name} must be a token 0..{tokens - 1}; got {options.shown(token)}"
            )
    options.size(who, "steps", steps, kind="at least 1")
    if isinstance(net, ManyToMany):
        return _continued(who, net, params, xs, first, lengths)
    source = mg.evaluate(net.encode(params, xs, lengths))
    return net.compiled_step, source, np.full(len(source["context"]), first)


def _continued(
    who: str, net: ManyToMany, params: Params, xs: Any, first: int | None, lengths: Any
) -> tuple[Callable, Params, np.ndarray]:
    """As `_begin`: a language model behind all tokens but the last of each beginning."""
    if net.outputs != net.tokens or not hasattr(net.cell, "zero_state"):
        raise ValueError(
            f"{who}: {net!r} is no language model: a cell is needed, that reads forwards and "
            "answers with as many numbers as there are tokens"
        )
    given = options.array(who, "xs", xs)
    if given.ndim != 2 or given.dtype.kind not in "iu" and given.size or not given.shape[1]:
        raise ValueError(
            f"{who}: xs must be tokens (S, B) that a language model continues; got "
            f"{options.shown(given)}"
        )
    given = given.astype(np.int64)
    count = options.lengths(who, lengths, len(given), given.shape[1])
    if first is not None:
        given = np.concatenate([np.full((1, given.shape[1]), first), given])
        count = count + 1
    if not count.all():
        raise ValueError(f"{who}: without first every one of xs needs a token to go on from")
    start = zeros_of(net.cell, options.part(who, params, "cell"), given.shape[1])
    if len(given) > 1:
        before = (count - 1).tolist()
        start = mg.evaluate(net.run(params, given[:-1], before, carry=start)[0])
    last = given[count - 1, np.arange(given.shape[1])]
    return net.compiled_step, {"start": start}, last


def _follow(
    net: Net, params: Params, xs: Any, first: int | None, end: int | None, steps: int,
    lengths: Any, choose: Callable[[np.ndarray], np.ndarray],
) -> list[Hypothesis]:  # fmt: skip
    """One sequence per source, each next token chosen from the log-probabilities."""
    step, source, token = _begin("decoding", net, params, xs, first, end, steps, lengths)
    carry, batch, end = source.pop("start"), len(token), -1 if end is None else end
    done = np.zeros(batch, bool)
    total, said = np.zeros(batch), []
    for _ in range(steps):
        log_p, carry = step(params, source, carry, token)
        token = np.where(done, end, choose(log_p))
        total += np.where(done, 0.0, log_p[np.arange(batch), token])
        done |= token == end
        said.append(token)
        if done.all():
            break
    rows = np.array(said).T
    return [Hypothesis(_until(row, end), float(p)) for row, p in zip(rows, total, strict=True)]


def _until(tokens: np.ndarray, end: int) -> list[int]:
    at = np.flatnonzero(tokens == end)
    return tokens[: at[0] if len(at) else None].tolist()


def _rows(tree: Any, rows: np.ndarray) -> Any:
    return pytrees.tree_map(lambda a: a[rows], tree)
