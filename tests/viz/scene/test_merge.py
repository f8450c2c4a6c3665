"""Drawings compared: each keeps what it shows, all have one scale."""

import numpy as np
import pytest

import minigrad as mg
import recurrent as rc
import viz
from viz.scene.style import edge_style

from ..test_random import check

XS = np.random.default_rng(0).standard_normal((5, 2))


def drawn(cell, view="unfolded"):
    _, ys = rc.unroll(cell, mg.tensors(cell.init(0)), XS)
    loss = mg.sum(ys[-1] ** 2).named("L")
    return viz.draw(loss, view=view, grad=loss)


@pytest.mark.parametrize("view", ["unfolded", "folded", "cell", "ops", "tree"])
def test_each_keeps_what_it_shows(view):
    ones = [drawn(rc.RNN(2, 3), view), drawn(rc.LSTM(2, 3), view)]
    both = viz.compare(*ones, names=["a", "b"])
    for what in ("nodes", "edges", "clusters", "tracks"):
        parts = [item for one in ones for item in getattr(one.scene, what)]
        found = getattr(both.scene, what)
        assert len(found) == len(parts)
        if what != "clusters":
            assert [item.norm for item in found] == [item.norm for item in parts]
    if view == "unfolded":
        check(both)
    assert set(both.layout.boxes) == {n.id for n in both.scene.nodes}


def test_equal_norms_are_equally_wide():
    small, large = drawn(rc.LSTM(2, 3)), drawn(rc.RNN(2, 3))
    both = viz.compare(small, large).scene
    norms = [e.norm for e in both.edges if e.kind == "backward"]
    assert both.legend.norms[0] >= max(norms) and both.legend.norms[-1] <= min(filter(None, norms))
    widths = [edge_style(e, both.legend).width for e in both.edges if e.kind == "backward"]
    order = np.argsort(norms)
    assert (np.diff(np.array(widths)[order][np.sort(norms) > 0]) >= -1e-9).all()
    assert both.title == "LSTM: 5 steps;  gradient of L   |   RNN: 5 steps;  gradient of L"


@pytest.mark.parametrize(("error", "made", "message"), [
    (ValueError, lambda d: viz.compare(d), "at least two drawings; got 1"),
    (TypeError, lambda d: viz.compare(d, d.scene), "needs Drawings"),
    (ValueError, lambda d: viz.compare(d, drawn(rc.RNN(2, 3), "ops")), "one view; got unfolded, o"),
    (ValueError, lambda d: viz.compare(d, d, names=["a"]), "1 names were given for 2 drawings"),
    (TypeError, lambda d: viz.compare(d, d, names=[1, 2]), "names must be a list of texts"),
    (TypeError, lambda d: viz.compare(d, d, title=1), "title must be text or None"),
])  # fmt: skip
def test_what_cannot_be_compared(error, made, message):
    with pytest.raises(error, match=message):
        made(drawn(rc.RNN(2, 3)))
