"""Known rows of recurrences with checkpoints leave and enter by themselves: the same numbers."""

import numpy as np
import pytest

import minigrad as mg
import recurrent as rc
from minigrad.graph import toposort
from minigrad.recur import PROJ, RECUR, ROW
from minigrad.rewrite.picked import picked
from minigrad.testing.laws import close

RNG = np.random.default_rng(0)
CELL = rc.RNN(2, 3)
P = mg.tensors(CELL.init(0))
XS = mg.asarray(RNG.standard_normal((6, 4, 2)))

READ = {
    "last states": lambda carry, ys: mg.sum(mg.square(carry)),
    "last and last": lambda carry, ys: mg.sum(mg.square(carry)) + mg.sum(mg.sin(ys[-1])),
    "a step": lambda carry, ys: mg.sum(mg.square(ys[2])),
    "a row": lambda carry, ys: mg.sum(mg.square(ys[2, 1])),
    "steps from the end": lambda carry, ys: mg.sum(mg.square(ys[::-3, 1:3])),
    "a step twice": lambda carry, ys: mg.sum(mg.square(mg.take(ys, [1, 1, 4])[0])) + mg.sum(ys[1]),
}


def by_row(outputs):
    """What leaves and what enters recurrences as a whole, of the states' size."""
    order = toposort(outputs)
    read = {x for t in order if t.op is not RECUR for x in t.inputs}
    fed = {x for t in order if t.op is RECUR for x in t.inputs}
    leaving = [t for t in read if t.op is PROJ and t.attrs["via"] is ROW]
    return leaving, [x for x in fed if x.op is not PROJ and x.shape == (24, 3)]


@pytest.mark.parametrize("read", READ)
@pytest.mark.parametrize("lengths", [None, [6, 0, 3, 0]])
def test_the_same_numbers(read, lengths):
    carry, ys = rc.unroll(CELL, P, XS, lengths=lengths, checkpoint=2)
    loss = READ[read](carry, ys)
    g = mg.grad(loss, P)
    second = mg.grad(mg.sum(mg.square(g["W"])), P)
    outputs = [loss, *g.values(), *second.values()]
    found = picked(outputs)
    close(mg.reference(found), mg.reference(outputs), 1e-13)
    close(mg.evaluate(found), mg.reference(outputs), 1e-13)


@pytest.mark.parametrize("read", [r for r in READ if "twice" not in r])
def test_nothing_is_whole_any_more(read):
    loss = READ[read](*rc.unroll(CELL, P, XS, checkpoint=2))
    outputs = [loss, *mg.grad(loss, P).values()]
    assert all(by_row(outputs))
    assert by_row(picked(outputs)) == ([], [])


def test_rows_of_empty_sequences_come_twice():
    carry, _ = rc.unroll(CELL, P, XS, lengths=[6, 0, 3, 0], checkpoint=2)
    loss = mg.sum(mg.square(carry))
    assert not any(by_row(picked([loss, *mg.grad(loss, P).values()])))


def test_without_checkpoints_the_graph_is_as_it_was():
    carry, _ = rc.unroll(CELL, P, XS)
    outputs = [mg.sum(carry), carry]
    assert picked(outputs) == outputs


def test_more_than_half_stays_whole():
    _, ys = rc.unroll(CELL, P, XS, checkpoint=2)
    most = mg.sum(ys[1:])
    assert picked([most])[0] is most
