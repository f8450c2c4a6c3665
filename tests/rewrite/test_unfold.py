"""`unfold`: one call per node, in order, with the same values and gradients."""

import numpy as np
import pytest

import minigrad as mg
import recurrent as rc
from minigrad.graph import toposort
from minigrad.recur import RECUR, parts_of
from minigrad.structure import SINGLE
from minigrad.testing.laws import close

RNG = np.random.default_rng(0)


def recurrences(*outputs):
    return [t for t in toposort(outputs) if t.op is RECUR]


def test_unfold_writes_out_one_call_per_node():
    cell = rc.LSTM(2, 3)
    _, ys = rc.unroll(cell, mg.tensors(cell.init(0)), RNG.standard_normal((5, 2)))
    folded = recurrences(ys)
    calls = recurrences(mg.unfold(ys))
    assert len(folded) == 1 and len(calls) == 5
    assert all(parts_of(r).structure is SINGLE for r in calls)
    assert not recurrences(mg.unfold(ys, expand=True))
    plain = mg.asarray(2.0) * 3
    assert mg.unfold({"a": [plain]})["a"][0] is plain


def test_unfolding_two_layers_keeps_their_order():
    low, top = rc.GRU(2, 3), rc.RNN(3, 2)
    p, q = mg.tensors(low.init(0)), mg.tensors(top.init(1))
    _, ys = rc.unroll(low, p, RNG.standard_normal((3, 2, 2)), lengths=[3, 1])
    _, zs = rc.unroll(top, q, ys, lengths=[3, 1], reverse=True)
    loss = mg.sum(zs**2)
    g = mg.grad(loss, (p, q))
    assert len(recurrences(mg.unfold(loss))) == 8
    close(mg.evaluate(mg.unfold((loss, g))), mg.evaluate((loss, g)), 1e-13)


@pytest.mark.parametrize("expand", [False, True])
def test_what_is_truncated_stays_so_when_unfolded(expand):
    rng = np.random.default_rng(0)
    kept = [True, True, False, True]
    structure = mg.Structure.chain(5).truncated(kept)
    t = mg.tensors({"p": rng.normal(size=(2, 2)), "x": rng.normal(size=(5, 2))})
    states, _ = mg.recur(
        lambda p, h, x: (mg.tanh(h @ p + x), h), structure, initial=np.zeros((1, 2)),
        shared=t["p"], inputs=t["x"],
    )  # fmt: skip
    loss = mg.sum(states[-1])
    wanted = mg.evaluate(mg.grad(loss, t))
    assert not wanted["x"][:3].any() and wanted["x"][3:].all()
    found = mg.evaluate(mg.grad(mg.unfold(loss, expand=expand), t))
    for name, value in wanted.items():
        np.testing.assert_allclose(found[name], value, atol=1e-14)
