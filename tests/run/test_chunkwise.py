"""Recurrences with checkpoints in NumPy: what is computed again, what is held, what is kept."""

import tracemalloc

import numpy as np
import pytest

import minigrad as mg
import recurrent as rc
from minigrad.run import chunkwise
from minigrad.structure import Structure
from minigrad.testing.laws import close

RNG = np.random.default_rng(0)
CELL = rc.LSTM(2, 3)
PARAMS = CELL.init(0)


def loss_of(params, xs, **how):
    (h, _), _ = rc.unroll(CELL, params, xs, **how)
    return mg.sum(mg.square(h))


@pytest.fixture
def counted(monkeypatch):
    """The chunks that were run."""
    runs = []
    execute = chunkwise.execute

    def counting(block, structure, *rest):
        runs.append((block.name, structure.n))
        return execute(block, structure, *rest)

    monkeypatch.setattr(chunkwise, "execute", counting)
    return runs


def test_the_way_back_computes_chunks_again(counted):
    p = mg.tensors(PARAMS)
    loss = loss_of(p, RNG.standard_normal((7, 2)), checkpoint=2)
    mg.evaluate([loss, mg.grad(loss, p)])
    forward = [n for name, n in counted if name == "LSTM"]
    assert forward == [2, 2, 2, 1, 2, 2, 2]  # the last is at hand when the way back begins
    assert [n for name, n in counted if name == "LSTM'"] == [1, 2, 2, 2]


@pytest.mark.parametrize("every", [7, 100])
def test_one_chunk_is_no_chunk(counted, every):
    p = mg.tensors(PARAMS)
    loss = loss_of(p, RNG.standard_normal((7, 2)), checkpoint=every)
    mg.evaluate([loss, mg.grad(loss, p)])
    assert not counted


def test_only_what_was_read_stays_on_the_graph():
    p = mg.tensors(PARAMS)
    _, ys = rc.unroll(CELL, p, RNG.standard_normal((6, 2)), checkpoint=2)
    loss = mg.sum(mg.square(ys))
    g = mg.grad(loss, p)
    mg.evaluate([loss, g])
    r = ys.inputs[0]
    assert all(q._value is None for q in r.attrs["projections"].values())
    wanted = mg.evaluate(rc.unroll(CELL, p, r.inputs[-1])[1])
    close(mg.evaluate(ys), wanted, 1e-14)  # read later: whole


def test_memory_is_a_part_of_all():
    p, xs = mg.tensors(rc.LSTM(2, 8).init(0)), RNG.standard_normal((64, 100, 2))

    def peak(**how):
        (h, _), _ = rc.unroll(rc.LSTM(2, 8), p, xs, **how)
        loss = mg.sum(mg.square(h))
        g = mg.grad(loss, p)
        tracemalloc.start()
        mg.evaluate([loss, g])
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    peak(), peak(checkpoint=8)  # what blocks keep is counted here
    assert 2 * peak(checkpoint=8) < peak()


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("every", [1, 3, 50])
def test_ragged_with_empty_sequences_and_one_thread_of_derivatives_more(reverse, every):
    how = {"lengths": [4, 0, 7, 1], "reverse": reverse}
    xs = mg.asarray(RNG.standard_normal((7, 4, 2)))
    p = mg.tensors(PARAMS)

    def results(**more):
        carry, ys = rc.unroll(CELL, p, xs, **how, **more)
        loss = mg.sum(mg.sin(ys)) + mg.sum(mg.square(carry[1]))
        g = mg.grad(loss, (p, xs))
        second = mg.grad(mg.sum(mg.square(g[0]["W_f"])) + mg.sum(mg.sin(g[1])), (p, xs))
        third = mg.grad(mg.sum(mg.sin(second[1])), xs)
        return carry, ys, loss, g, second, third, mg.contributions(loss, p["W_f"])

    close(mg.evaluate(results(checkpoint=every)), mg.reference(results()), 1e-11)


def test_states_that_other_recurrences_read_in_between():
    """A second net over the first, cut alike and otherwise, and one without checkpoints."""
    top = rc.GRU(3, 2)
    p, q = mg.tensors(PARAMS), mg.tensors(top.init(1))
    xs = mg.asarray(RNG.standard_normal((6, 2, 2)))

    def results(low=None, high=None):
        _, ys = rc.unroll(CELL, p, xs, checkpoint=low)
        _, zs = rc.unroll(top, q, ys, checkpoint=high)
        loss = mg.sum(mg.square(zs)) + mg.sum(ys[2])
        return loss, mg.grad(loss, (p, q, xs)), mg.state_gradients(loss, ys)

    wanted = mg.reference(results())
    for low, high in ((2, 2), (2, 3), (2, None), (None, 4)):
        close(mg.evaluate(results(low, high)), wanted, 1e-12)


def test_a_table_that_a_chunk_reads_in_part():
    """An Index as input (a memory per sequence) and a start per sequence."""
    def cell(p, h, x):
        return mg.tanh(h @ p + x[0] + x[1]), mg.sum(x[1] * h)

    s = Structure.chain([3, 0, 4])
    t = mg.tensors({
        "p": RNG.standard_normal((2, 2)), "x": RNG.standard_normal((7, 2)),
        "m": RNG.standard_normal((3, 2)), "h": RNG.standard_normal((3, 2)),
    })  # fmt: skip

    def results(every):
        x = (t["x"], mg.Indexed(t["m"], s.component))
        states, ys = mg.recur(cell, s, initial=t["h"], shared=t["p"], inputs=x, checkpoint=every)
        loss = mg.sum(mg.sin(states)) + mg.sum(mg.square(ys))
        return states, ys, mg.grad(loss, t)

    close(mg.evaluate(results(2)), mg.reference(results(None)), 1e-13)
