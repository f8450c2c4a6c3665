"""Recurrences with checkpoints, compiled: as the reference, in the memory of one chunk."""

import numpy as np
import optree
import pytest

import minigrad as mg
import recurrent as rc
from minigrad.compile import runner
from minigrad.kernels import threads
from minigrad.structure import Structure
from minigrad.testing.examples.problems import KNOT
from minigrad.testing.laws import close

RNG = np.random.default_rng(0)
LSTM, TREE = rc.LSTM(2, 3), rc.TreeLSTM(2, 3)
FOREST = [[], [], [0, 1], [], [2, 3], [], [4, 5], [], [], [7, 8]]


def unrolled(every, lengths=None, reverse=False):
    """An LSTM over a batch: values, gradients, the ledger, gradients by states."""

    def f(p, xs, start):
        carry, ys = rc.unroll(
            LSTM, p, xs, carry=start, lengths=lengths, reverse=reverse, checkpoint=every
        )
        loss = mg.sum(mg.sin(ys)) + mg.sum(mg.square(carry[1]))
        g = mg.grad(loss, (p, xs, start))
        return carry, ys, g, mg.contributions(loss, p["W_f"]), mg.state_gradients(loss, ys)

    return f


@pytest.mark.parametrize("lengths", [None, [4, 0, 7, 1], [0, 0, 0, 0]])
@pytest.mark.parametrize("reverse", [False, True])
def test_an_lstm_as_the_reference(lengths, reverse):
    p = LSTM.init(0)
    xs = RNG.standard_normal((7, 4, 2))
    start = tuple(RNG.standard_normal((4, 3)) for _ in range(2))
    wanted = mg.reference(unrolled(None, lengths, reverse)(*mg.tensors((p, xs, start))))
    for every in (1, 3, 50):
        f = mg.function(unrolled(every, lengths, reverse))
        close(f(p, xs, start), wanted, 1e-10, f"checkpoint={every}")
        close(f(p, xs, start), wanted, 1e-10, "again")


def over(structure, every, slots):
    def cell(p, states, x):
        states = states if slots > 1 else (states,)
        total = x @ p["U"] + p["b"]
        for k, h in enumerate(states):
            total = total + h @ p[f"W{k}"]
        h = mg.tanh(total)
        return h, h * x[0]

    def f(p, start, xs):
        states, ys = mg.recur(
            cell, structure, initial=start, shared=p, inputs=xs, checkpoint=every
        )
        loss = mg.sum(mg.sin(states)) + mg.sum(mg.square(ys))
        g = mg.grad(loss, (p, start, xs))
        second = mg.grad(mg.sum(mg.square(g[2])), (p, xs))
        return states, ys, loss, g, second, mg.jvp(loss, xs, mg.sin(xs))

    return f


STRUCTURES = {
    "chain": Structure.chain(7), "ragged": Structure.chain([3, 0, 5, 1]),
    "reversed": Structure.chain([3, 0, 5, 1], reverse=True),
    "forest": Structure.forest(FOREST), "grid": Structure.grid((3, 4)), "dag": KNOT.build(),
    "truncated": Structure.chain([6, 4]).truncated(np.arange(8) % 3 > 0),
}  # fmt: skip


@pytest.mark.parametrize("name", STRUCTURES)
def test_any_structure_as_the_reference(name):
    s = STRUCTURES[name]
    p = {f"W{k}": RNG.standard_normal((3, 3)) / 2 for k in range(s.slots)}
    p |= {"U": RNG.standard_normal((2, 3)), "b": RNG.standard_normal(3)}
    start, xs = RNG.standard_normal((1, 3)), RNG.standard_normal((s.n, 2))
    wanted = mg.reference(over(s, None, s.slots)(*mg.tensors((p, start, xs))))
    for every in (1, 2, 5):
        found = mg.function(over(s, every, s.slots))(p, start, xs)
        close(found, wanted, 1e-10, f"checkpoint={every}")


def test_a_slot_that_no_edge_of_a_chunk_enters_is_zero():
    """The ghosts that enter another slot lie where it is read."""
    def f(p, x):
        states, _ = mg.recur(
            lambda p, carry, x: (carry[1] * p + x, None), Structure.forest([[], [], [1], [2, 0]]),
            initial=np.zeros((1, 2)), shared=p, inputs=x, checkpoint=1,
        )  # fmt: skip
        return states, mg.grad(mg.sum(mg.sin(states)), (p, x))

    p, x = RNG.standard_normal(2), RNG.standard_normal((4, 2))
    close(mg.function(f)(p, x), mg.reference(f(*mg.tensors((p, x)))), 1e-13)


def step(every, lengths=None):
    def f(p, xs):
        carry, _ = rc.unroll(LSTM, p, xs, lengths=lengths, checkpoint=every)
        loss = mg.sum(mg.square(carry[0]))
        return loss, mg.grad(loss, p)

    return f


def workspace(f):
    """Bytes that a function keeps between its calls."""
    (traced,) = f.traces.values()
    lane = traced.way.lane
    return sum(len(p.memory) for p in f.pools.values()) + sum(
        a.nbytes for a in lane.alive if isinstance(a, np.ndarray)
    )


def single(tree):
    return optree.tree_map(lambda a: a.astype(np.float32), tree)


def test_the_workspace_is_that_of_a_chunk():
    p, xs = single(LSTM.init(0)), single(RNG.standard_normal((512, 8, 2)))
    whole, cut = mg.function(step(None)), mg.function(step(16))
    close(cut(p, xs), whole(p, xs), 1e-4)
    assert 10 * workspace(cut) < workspace(whole)
    said = cut.explain(p, xs)
    assert "in 32 chunks of at most 128 nodes: the states of 248 nodes are kept" in said
    assert "chunks" not in whole.explain(p, xs)


def test_the_same_bits_for_any_number_of_threads(monkeypatch):
    monkeypatch.setattr(runner, "SPLIT", -1.0)
    p, xs = LSTM.init(0), RNG.standard_normal((9, 5, 2))
    results = []
    for number in (1, 2, 3):
        monkeypatch.setattr(threads, "count", lambda number=number: number)
        f = mg.function(step(2, [9, 0, 4, 7, 2]))
        results += [optree.tree_leaves(f(p, xs)) for _ in range(2)]
    for other in results[1:]:
        assert [a.tobytes() for a in other] == [a.tobytes() for a in results[0]]


def test_traces_take_turns_in_one_workspace():
    """Ghosts of a trace with longer chunks lie where another needs zeros."""
    p = LSTM.init(0)
    f = mg.function(step(3))
    batches = [RNG.standard_normal((t, b, 2)) for t, b in ((7, 3), (4, 5), (12, 2))]
    wanted = [mg.reference(step(None)(*mg.tensors((p, xs)))) for xs in batches]
    for k in (0, 1, 2, 0, 2, 1, 1, 0):
        close(f(p, batches[k]), wanted[k], 1e-11)


def test_nan_stays_where_it_is():
    p, xs = LSTM.init(0), RNG.standard_normal((6, 2, 2))
    xs[3, 1] = np.nan

    def f(every):
        return lambda p, xs: (lambda ys: (ys, mg.grad(mg.sum(ys[2]), p)))(
            rc.unroll(LSTM, p, xs, checkpoint=every)[1]
        )

    wanted = mg.reference(f(None)(*mg.tensors((p, xs))))
    close(mg.function(f(2))(p, xs), wanted, 1e-11)


def test_tokens_are_looked_over_before_chunks_read_them():
    """An embedding inside the cell: the row of a token that there is not is refused, not read."""
    def cell(p, h, token):
        h = mg.tanh(h @ p["W"] + mg.take(p["E"], token))
        return h, h

    p = {"W": RNG.standard_normal((3, 3)), "E": RNG.standard_normal((5, 3))}

    def f(p, tokens):
        states, _ = mg.recur(
            cell, Structure.chain(6), initial=np.zeros((1, 3)), shared=p, inputs=tokens,
            checkpoint=2,
        )  # fmt: skip
        loss = mg.sum(mg.square(states))
        return loss, mg.grad(loss, p)

    compiled, tokens = mg.function(f), np.array([0, 4, 1, 1, 3, 2])
    close(compiled(p, tokens), mg.reference(f(*mg.tensors((p, tokens)))), 1e-11)
    for wrong in (5, -6):
        with pytest.raises(IndexError):
            compiled(p, np.array([0, 4, 1, wrong, 3, 2]))


def test_a_cell_without_code_runs_in_chunks_too():
    def cell(p, h, x):
        h = mg.tanh(mg.sort(h) * p + x)
        return h, h

    def f(p, xs):
        states, _ = mg.recur(
            cell, Structure.chain([4, 3]), initial=np.zeros((1, 3)), shared=p, inputs=xs,
            checkpoint=2,
        )  # fmt: skip
        loss = mg.sum(mg.square(states))
        return loss, mg.grad(loss, (p, xs))

    p, xs = RNG.standard_normal(3), RNG.standard_normal((7, 3))
    compiled = mg.function(f)
    close(compiled(p, xs), mg.reference(f(*mg.tensors((p, xs)))), 1e-12)
    assert "in 2 chunks" in compiled.explain(p, xs) and "no code for" in compiled.explain(p, xs)


def test_a_language_model_whose_loss_is_part_of_the_net():
    """Head and loss are fused into the chunks: nothing but sums leaves them."""
    def f(p, xs, labels):
        _, ys = rc.unroll(LSTM, p["cell"], xs, checkpoint=4)
        loss = mg.mean(rc.cross_entropy(ys @ p["head"], labels))
        return loss, mg.grad(loss, p)

    p = {"cell": LSTM.init(0), "head": RNG.standard_normal((3, 5))}
    xs, labels = RNG.standard_normal((10, 3, 2)), RNG.integers(0, 5, (10, 3))
    compiled = mg.function(f)
    close(compiled(p, xs, labels), mg.reference(f(*mg.tensors((p, xs, labels)))), 1e-10)
    said = compiled.explain(p, xs, labels)
    assert said.startswith("2 recurrences") and "LSTM + rows" in said and "in 3 chunks" in said


def test_rows_of_a_compiled_recurrence_read_by_one_without_code():
    """What the way there computes in kernels, the way back may read in NumPy, chunk by chunk."""

    def cell(p, states, x):
        a, b = states
        v = mg.cumulative_prod(1 + 0.1 * b)
        return (mg.sigmoid(a + v), v), v

    def step(start, w):
        _, y = mg.recur(cell, Structure.chain(5), initial=start, inputs=None, checkpoint=2)
        return y, mg.vjp(y, start, w)

    # The slope of a product of one number joins nothing with nothing: there is no code for that.
    args = (RNG.standard_normal((1, 1)), np.zeros((1, 1))), RNG.standard_normal((5, 1))
    f = mg.function(step)
    for _ in range(2):
        close(f(*args), mg.reference(step(*mg.tensors(args))), 1e-12)
    assert "there is no code" in f.explain(*args) and "compiled for" in f.explain(*args)
