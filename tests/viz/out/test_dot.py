"""What Graphviz is given: arrows whose curve does not turn back at its end."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
import recurrent as rc
import viz
from viz.layout.geometry import Path
from viz.out import dot
from viz.scene.style import EdgeStyle

from ...counting import examples

places = st.tuples(*[st.integers(-400, 400).map(float)] * 2)


def points_of(pos):
    """The tip of an arrow, and the points of its curve."""
    numbers = [tuple(map(float, p.split(","))) for p in pos.removeprefix("e,").split(" ")]
    return np.array(numbers[0]), np.array(numbers[1:])


def goes_on(pos):
    """Whether the curve's end lies between its last control point and the tip."""
    tip, curve = points_of(pos)
    return (tip - curve[-1]) @ (curve[-1] - curve[-2]) > 0


@settings(max_examples=examples(100))
@given(start=places, first=places, last=places, length=st.floats(1, 60), turn=st.floats(0, 6.28),
       width=st.floats(0.3, 9), arrow=st.floats(0.3, 2))  # fmt: skip
def test_short_and_thick_arrows_go_on(start, first, last, length, turn, width, arrow):
    tip = (last[0] + length * np.cos(turn), last[1] + length * np.sin(turn))
    style = EdgeStyle("#000000", width=width, arrow=arrow)
    assert goes_on(dot._spline(Path((start, first, last, tip)), style)["pos"].strip('"'))


@pytest.mark.parametrize("view", ["unfolded", "folded", "ops"])
def test_arrows_of_a_drawing_go_on(view):
    net = rc.bidirectional(rc.GRU(2, 3), rc.LSTM(2, 3))
    ys = net(mg.tensors(net.init(0)), np.random.default_rng(0).standard_normal((6, 2)))[1]
    loss = mg.sum(ys[2] ** 2)
    text = viz.draw(loss, view=view, grad=loss).dot
    found = re.findall(r'pos="(e,[^"!]*)', text)
    assert len(found) > 8 and all(map(goes_on, found))
