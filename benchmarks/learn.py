"""python -m benchmarks learn: seeded training runs on the classic tasks, as a table.

Every task is a function `task(size)` that trains a model, measures it on data it has not seen (the
Tree-LSTM: on what it was to fit) and returns `Result`s.  `FULL` are the sizes of the literature,
`SHORT` those of tests/test_learn.py.  Everything is float32 and drawn from one seed.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import optree

import minigrad as mg
import recurrent as rc

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


class Result(NamedTuple):
    """One line of the table.

    wanted : what `value` must reach, as in '< 0.01'; "-": shown only.
    """

    task: str
    model: str
    measure: str
    value: float
    wanted: str
    steps: int
    seconds: float

    @property
    def reached(self) -> bool:
        if self.wanted == "-":
            return True
        sign, limit = self.wanted.split()
        return self.value < float(limit) if sign == "<" else self.value > float(limit)


# -- training --------------------------------------------------------------------------------------


class Training:
    """Adam on one compiled function, which gives the loss and its gradients together."""

    def __init__(self, loss: Callable[..., Any], params: Any, rate: float, clip: float = 1.0):
        def step(params: Any, *batch: Any) -> Any:
            value, more = loss(params, *batch)
            return value, mg.grad(value, params), more

        self.step, self.clip, self.rate = mg.function(step), clip, rate
        self.optimizer = mg.optim.adam(rate)
        self.params = optree.tree_map(lambda a: np.asarray(a, np.float32), params)
        self.state = self.optimizer.init(self.params)
        self.average, self.steps, self.start = np.inf, 0, time.perf_counter()

    def __call__(self, *batch: Any) -> Any:
        """One step; keeps a running average of the loss, and returns what else the loss gave."""
        value, grads, more = self.step(self.params, *batch)
        grads = mg.optim.clip_by_global_norm(grads, self.clip)
        self.params, self.state = self.optimizer.update(self.params, grads, self.state)
        value = float(value)
        self.average = value if self.steps == 0 else 0.95 * self.average + 0.05 * value
        self.steps += 1
        return more

    def slow_down(self, part: float) -> None:
        """Go on with `part` of the learning rate that was asked for."""
        self.optimizer = mg.optim.adam(self.rate * part)

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self.start


def remembering(cell: rc.LSTM, params: Any, span: int, seed: int) -> Any:
    """Gate biases for memories of up to `span` steps (Tallec and Ollivier 2018, "chrono"):
    b_f = log(uniform(1, span - 1)), b_i = -b_f."""
    b = np.log(np.random.default_rng(seed).uniform(1, span - 1, cell.hidden_size))
    return {**params, "b_f": b, "b_i": -b}


def initial(net: Any, span: int | None = None) -> Any:
    params = net.init(0)
    if span is not None and isinstance(net.cell, rc.LSTM):
        params["cell"] = remembering(net.cell, params["cell"], span, 0)
    return params


# -- long memories: the adding problem, temporal order, copying ------------------------------------


def adding_batch(rng: np.random.Generator, span: int, batch: int) -> tuple[Any, Any]:
    """The adding problem (Hochreiter and Schmidhuber 1997): xs (T, B, 2), a number and a mark.

    Two steps, one in each half, are marked.
    ys (B, 1): the sum of the marked numbers.  Answering 1 has an error of 0.167.
    """
    xs = np.zeros((span, batch, 2), np.float32)
    xs[..., 0] = rng.random((span, batch))
    row = np.arange(batch)
    marked = rng.integers(0, span // 2, batch), rng.integers(span // 2, span, batch)
    for at in marked:
        xs[at, row, 1] = 1
    return xs, sum(xs[at, row, :1] for at in marked)


def adding(span: int, hidden: int, steps: int, enough: float) -> Iterator[Result]:
    for kind, wanted in ((rc.LSTM, "< 0.01"), (rc.RNN, "> 0.1")):
        rng = np.random.default_rng(0)
        net = rc.ManyToOne(kind(2, hidden), 1)

        def loss(p: Any, xs: Any, ys: Any, net: Any = net) -> Any:
            return rc.mean_squared_error(net(p, xs), ys), None

        train = Training(loss, initial(net, span), 0.005 if kind is rc.LSTM else 0.001)
        while train.steps < steps and train.average > enough:
            train(*adding_batch(rng, span, 32))
        xs, ys = adding_batch(rng, span, 1000)
        error = float(np.mean((mg.function(net)(train.params, xs) - ys) ** 2))
        yield Result(
            f"adding, T={span}", kind.name, "MSE", error, wanted, train.steps, train.seconds
        )


def order_batch(rng: np.random.Generator, span: int, batch: int) -> tuple[Any, Any]:
    """The temporal order problem (Hochreiter and Schmidhuber 1997, task 6a): tokens (T, B).

    Distractors 0-3, and at one step of the second tenth and one of the sixth an X or Y (4, 5).
    Labels (B,): which of XX, XY, YX, YY.
    """
    xs = rng.integers(0, 4, (span, batch))
    first, second = rng.integers(0, 2, (2, batch))
    for symbol, place in ((first, 0.1), (second, 0.5)):
        at = rng.integers(int(place * span), int((place + 0.1) * span) + 1, batch)
        xs[at, np.arange(batch)] = 4 + symbol
    return xs, 2 * first + second


def temporal_order(span: int, hidden: int, steps: int, enough: float) -> Iterator[Result]:
    rng = np.random.default_rng(0)
    net = rc.ManyToOne(rc.LSTM(8, hidden), 4, tokens=6)
    train = Training(
        lambda p, xs, ys: (rc.cross_entropy(net(p, xs), ys), None), initial(net, span), 0.005
    )
    while train.steps < steps and train.average > enough:
        train(*order_batch(rng, span, 32))
    xs, ys = order_batch(rng, span, 1000)
    right = np.mean(mg.function(net)(train.params, xs).argmax(axis=-1) == ys)
    yield Result(
        f"temporal order, T={span}", "LSTM", "accuracy", float(right), "> 0.95", train.steps,
        train.seconds,
    )  # fmt: skip


def copy_batch(
    rng: np.random.Generator, span: int, batch: int, symbols: int, kinds: int = 8
) -> tuple[Any, Any]:
    """Tokens (symbols + T + symbols, B): symbols 1-8, T blanks of which the last is the signal 9,
    blanks while they are to be repeated; labels (symbols, B) (Arjovsky et al. 2016)."""
    labels = rng.integers(0, kinds, (symbols, batch))
    xs = np.zeros((span + 2 * symbols, batch), np.int64)
    xs[:symbols] = labels + 1
    xs[symbols + span - 1] = kinds + 1
    return xs, labels


def copying(
    span: int, symbols: int, hidden: int, steps: int, enough: float, rnn: bool = True
) -> Iterator[Result]:
    """The cross-entropy of the symbols to repeat (chance: log 8 = 2.08 nats), after a curriculum.

    The delay grows by a quarter whenever the average loss is below 0.3,
    and is T in the last third of the steps in any case.

    The RNN comes with recurrent weights drawn as usual, uniform(-1, 1) / sqrt(hidden),
    and with the orthogonal ones of `rc.RNN`, which keep what they were told (Henaff et al. 2016).
    """
    runs = [("LSTM", rc.LSTM, "< 0.1")]
    if rnn:
        runs += [("RNN, uniform U", rc.RNN, "> 2.0"), ("RNN, orthogonal", rc.RNN, "-")]
    for name, kind, wanted in runs:
        rng = np.random.default_rng(0)
        net = rc.ManyToMany(kind(10, hidden), 8, tokens=10)

        def loss(p: Any, xs: Any, ys: Any, net: Any = net) -> Any:
            return rc.cross_entropy(net(p, xs)[-symbols:], ys), None

        params = initial(net)
        if name == "RNN, uniform U":
            u = np.random.default_rng(1).uniform(-1, 1, (hidden, hidden))
            params["cell"]["U"] = u / np.sqrt(hidden)
        train, delay = Training(loss, params, 0.004), 1
        while train.steps < steps and not (delay == span and train.average < enough):
            train(*copy_batch(rng, delay, 32, symbols))
            if train.average < 0.3 and delay < span:
                delay, train.average = min(span, delay + max(1, delay // 4)), 0.5
            if train.steps > 2 * steps // 3:
                delay = span
        batch = copy_batch(rng, span, 500, symbols)
        nats = float(mg.function(loss)(train.params, *batch)[0])
        yield Result(
            f"copy memory, T={span}", name, "nats/symbol", nats, wanted, train.steps, train.seconds
        )


# -- text ------------------------------------------------------------------------------------------


def characters(
    text: str, held_out: str, hidden: int, epochs: int, wanted: str, batch: int = 32,
    rate: float = 0.004,
) -> Iterator[Result]:  # fmt: skip
    """A language model of characters, on streams that carry the state from piece to piece.

    Measured on text that comes after what it was trained on.
    """
    vocabulary = sorted(set(text + held_out))
    number = {c: k for k, c in enumerate(vocabulary)}
    net = rc.ManyToMany(rc.LSTM(32, hidden), len(vocabulary), tokens=len(vocabulary))

    def loss(p: Any, xs: Any, ys: Any, carry: Any) -> Any:
        carry, logits = net.run(p, xs, carry=carry)
        return rc.cross_entropy(logits, ys), carry

    def streams(text: str, batch: int) -> np.ndarray:
        tokens = np.array([number[c] for c in text])
        return tokens[: len(tokens) // batch * batch].reshape(batch, -1).T

    train, data, piece = Training(loss, initial(net), rate), streams(text, batch), 50
    nothing = np.zeros((batch, hidden), np.float32)
    pieces = range(0, len(data) - piece, piece)
    for epoch in range(epochs):
        carry: Any = (nothing, nothing)
        for k, at in enumerate(pieces):  # the rate falls to nothing
            train.slow_down(1 - (epoch + k / len(pieces)) / epochs)
            carry = train(data[at : at + piece], data[at + 1 : at + piece + 1], carry)
    spent, tokens = train.seconds, streams(held_out, 1)
    nothing = nothing[:1]
    nats = float(mg.function(loss)(train.params, tokens[:-1], tokens[1:], (nothing, nothing))[0])
    yield Result(
        f"characters, {len(text) // 1000} KB", "LSTM", "nats/char", nats, wanted, train.steps, spent
    )


# -- trees -----------------------------------------------------------------------------------------


def sentiment(trees: list, hidden: int, steps: int) -> Iterator[Result]:
    """A Tree-LSTM (Tai et al. 2015) learns all phrases' labels by heart; measured at the roots."""
    vocabulary = sorted({w for tree in trees for w in tree.words()})
    number = {w: k for k, w in enumerate(vocabulary)}
    rng, cell = np.random.default_rng(0), rc.TreeLSTM(hidden, hidden)
    params = {
        "E": 0.3 * rng.standard_normal((len(vocabulary), hidden)),
        "cell": cell.init(0),
        "V": 0.1 * rng.standard_normal((hidden, 5)),
        "c": np.zeros(5),
    }

    def logits(p: Any, words: Any, s: Any) -> Any:
        _, hs = rc.fold(cell, p["cell"], s, mg.take(p["E"], words))
        return hs @ p["V"] + p["c"]

    def loss(p: Any, words: Any, labels: Any, s: Any) -> Any:
        z = logits(p, words, s)
        phrases = rc.tree_cross_entropy(z, labels)
        return phrases + rc.tree_cross_entropy(z, labels, rows=rc.roots(s)), None

    batches = []
    for at in range(0, len(trees), 25):
        some = trees[at : at + 25]
        words = np.array([number[w] for tree in some for w in tree.words()])
        labels = np.array([int(n.label) for tree in some for n in tree.postorder()])
        batches.append((words, labels, rc.structure(some)))
    train = Training(loss, params, 0.005)
    predict, right = mg.function(logits), 0.0
    while train.steps < steps and right <= 0.97:
        for batch in batches:
            train(*batch)
        hits = []
        for words, labels, s in batches:
            rows = rc.roots(s)
            hits += (predict(train.params, words, s)[rows].argmax(-1) == labels[rows]).tolist()
        right = float(np.mean(hits))
    yield Result(
        f"{len(trees)} sentiment trees", "Tree-LSTM", "root accuracy", right, "> 0.95",
        train.steps, train.seconds,
    )  # fmt: skip


# -- attention -------------------------------------------------------------------------------------


def digits_batch(rng: np.random.Generator, longest: int, batch: int) -> tuple[Any, Any, Any, list]:
    """Strings of digits (T, B), of all lengths 1 to `longest` in turn.

    What the decoder reads and is to say (T + 1, B):
    the string from its end, 10 in front and behind; and the lengths.
    """
    lengths = np.arange(batch) % longest + 1
    xs = rng.integers(0, 10, (longest, batch))
    ys = np.full((longest + 2, batch), 10)
    for b, n in enumerate(lengths):
        ys[1 : n + 1, b] = xs[:n, b][::-1]
    return xs, ys[:-1], ys[1:], lengths.tolist()


def reversal(longest: int, hidden: int, steps: int, wanted: str) -> Iterator[Result]:
    """Strings of digits, said backwards by greedy decoding: which part is right as a whole."""
    rng = np.random.default_rng(0)
    net = rc.encoder_decoder(
        rc.GRU(16, hidden), rc.GRU(16, hidden), source_tokens=11, target_tokens=11,
        attention="general",
    )  # fmt: skip

    def loss(p: Any, xs: Any, ys_in: Any, ys: Any, lengths: list) -> Any:
        ends = [n + 1 for n in lengths]
        return rc.cross_entropy(net(p, xs, ys_in, lengths, ends), ys, lengths=ends), None

    train = Training(loss, initial(net), 0.005)
    for k in range(steps):
        train.slow_down(1 - k / steps)
        train(*digits_batch(rng, longest, 4 * longest))
    xs, _, ys, lengths = digits_batch(rng, longest, 500)
    said = rc.greedy(net, train.params, xs, first=10, end=10, steps=longest + 1, lengths=lengths)
    right = np.mean(
        [h.tokens == ys[:n, b].tolist() for b, (h, n) in enumerate(zip(said, lengths, strict=True))]
    )
    yield Result(
        f"reversing 1-{longest} digits", "GRU + attention", "strings right", float(right), wanted,
        train.steps, train.seconds,
    )  # fmt: skip


# -- parsing --------------------------------------------------------------------------------------


def parsing(sentences: int, epochs: int) -> Iterator[Result]:
    """A greedy parser of a small language (`parse_grammar`), on 200 new sentences."""
    from .parse_grammar import run

    start = time.perf_counter()
    f1 = run(sentences=sentences, epochs=epochs)["f1"]
    yield Result(
        "greedy parser", "recursive net", "bracket F1", f1, "> 0.95", epochs * sentences // 20,
        time.perf_counter() - start,
    )  # fmt: skip


# -- the table -------------------------------------------------------------------------------------


def _text(start: int, size: int) -> str:
    return (DATA / "tinyshakespeare.txt").read_text()[start : start + size]


def _trees(count: int) -> list:
    return list(rc.read_brackets((DATA / "sst_dev.ptb").read_text()))[:count]


FULL: dict[str, Callable[[], Iterator[Result]]] = {
    "adding": lambda: adding(span=100, hidden=64, steps=5000, enough=0.003),
    "order": lambda: temporal_order(span=100, hidden=32, steps=5000, enough=0.01),
    "copy": lambda: copying(span=50, symbols=10, hidden=64, steps=25_000, enough=0.05),
    "characters": lambda: characters(_text(0, 100_000), _text(100_000, 20_000), 256, 8, "< 2.0"),
    "trees": lambda: sentiment(_trees(200), hidden=48, steps=2000),
    "parsing": lambda: parsing(sentences=400, epochs=5),
    "reversal": lambda: reversal(longest=10, hidden=64, steps=1200, wanted="> 0.99"),
}
NEEDS = {"characters": DATA / "tinyshakespeare.txt", "trees": DATA / "sst_dev.ptb"}


def main(names: list[str]) -> None:
    """Run the tasks whose name contains one of `names` (none: all), and print the table."""
    print(
        f"{'task':24} {'model':16} {'measure':14} {'value':>8}  {'wanted':8} {'steps':>6} {'s':>6}"
    )
    for name, run in FULL.items():
        if names and not any(n in name for n in names):
            continue
        if name in NEEDS and not NEEDS[name].exists():
            print(f"{name:24} skipped: there is no {NEEDS[name]}")
            continue
        for r in run():
            print(
                f"{r.task:24} {r.model:16} {r.measure:14} {r.value:8.4f}  {r.wanted:8} "
                f"{r.steps:6d} {r.seconds:6.1f}{'' if r.reached else '  NOT REACHED'}",
                flush=True,
            )


if __name__ == "__main__":
    main(sys.argv[1:])
