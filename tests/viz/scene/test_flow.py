"""What depends on what, found by sets, against the nonzeros of the Jacobian."""

import numpy as np
import pytest

import minigrad as mg
import viz
from viz.scene.flow import Rows, bits_of

from ..graphs import backward, chain, leaf

N = 4
rng = np.random.default_rng(0)
W = mg.asarray(rng.normal(size=(2, 3)), name="W")
INDEX = np.array([[2, 0], [2, 3]])
CASES = {
    "slice": lambda y: y[1:3],
    "step back": lambda y: y[::-2],
    "row": lambda y: y[-1],
    "take": lambda y: mg.take(y, INDEX),
    "reshape": lambda y: mg.reshape(y, (2, 4)),
    "transpose": lambda y: y.T,
    "broadcast": lambda y: mg.broadcast_to(y[:, None], (N, 3, 2)),
    "concat": lambda y: mg.concat([y[2:], y[:1]]),
    "elementwise": lambda y: mg.tanh(y[1:]) * y[:-1],
    "sum of rows": lambda y: mg.sum(y, axis=0),
    "sum of columns": lambda y: mg.sum(y, axis=1),
    "squared norm": lambda y: mg.sum(y * y, axis=-1),
    "product": lambda y: y @ W,
    "product from the left": lambda y: mg.asarray(np.tril(np.ones((N, N)))) @ y,
    "all pairs": lambda y: y @ y.T,
    "outer": lambda y: mg.einsum("i,j->ij", y[0], y[2]),
    "order of letters": lambda y: mg.einsum("ni,ij->jn", y, W),
    "running sum": lambda y: mg.cumulative_sum(y, axis=0),
    "running product": lambda y: mg.cumulative_prod(y, axis=0),
    "running the other way": lambda y: mg.grad(mg.sum(mg.cumulative_prod(y, axis=0)), y),
    "products of rows": lambda y: mg.prod(y, axis=1),
    "norms of rows": lambda y: mg.norm(y, axis=1),
    "sorted rows": lambda y: mg.sort(y, axis=1),
    "diagonal": lambda y: mg.diagonal(y @ W),
    "nothing": lambda y: W * 2.0,
}


@pytest.mark.parametrize("f", CASES.values(), ids=CASES)
def test_rows_are_those_of_the_jacobian(f):
    _, ys, _ = chain(N)
    out = f(ys)
    table = np.array([1 << k for k in range(N)], object).reshape(N, 1)

    def seed(t):
        return np.broadcast_to(table, t.shape) if t is ys else None

    found = Rows(seed)(out)
    if found is None:
        found = np.zeros(out.shape, object)
    if f is CASES["nothing"]:  # mg.jacobian refuses a node that the output is not computed from
        depends = np.zeros((*out.shape, N), bool)
    else:
        jacobian = np.asarray(mg.evaluate(mg.jacobian(out, ys)))
        depends = np.abs(jacobian).sum(axis=-1) > 0
    for place in np.ndindex(out.shape):
        rows = set(np.flatnonzero(depends[place]).tolist())
        seen = set(bits_of(int(found[place])))
        assert rows <= seen, f"{place} depends on rows {rows}, drawn are {seen}"
        # A product is followed operand by operand: a zero of one is not looked at.
        if f is not CASES["product from the left"]:
            assert rows == seen


def test_an_edge_between_layers_carries_what_its_maker_gets_back():
    _, below, _ = chain(N, seed=1)
    _, ys, _ = chain(N, inputs=mg.tanh(below * 3.0))
    loss = mg.sum(mg.square(ys[N - 1]))
    scene = viz.draw(loss, grad=loss).scene
    lane = {n.id: n.lane for n in scene.nodes}
    between = [e.norm for e in backward(scene)["cell", "cell"] if lane[e.source] != lane[e.target]]
    # What the layer below gets back as results, not what it passes on among its own states.
    expected = mg.evaluate(mg.grad(loss_of_rows(below), ROWS))
    np.testing.assert_allclose(np.sort(between), np.sort(np.linalg.norm(expected, axis=1)))


ROWS = leaf(np.random.default_rng(9), N, 2, name="rows")


def loss_of_rows(below):
    """The upper layer alone, reading ``below`` plus a zero leaf that catches its gradient."""
    shifted = mg.stop_gradient(below - ROWS) + ROWS
    _, ys, _ = chain(N, inputs=mg.tanh(shifted * 3.0))
    return mg.sum(mg.square(ys[N - 1]))
