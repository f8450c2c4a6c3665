"""Shipped cells: parameters, zero states, names; one node, a batch and a loop agree."""

import numpy as np
import pytest

import minigrad as mg
import recurrent as rc

from ..laws import close

CELLS = [
    rc.RNN(3, 4),
    rc.RNN(3, 4, "relu"),
    rc.LSTM(3, 4),
    rc.GRU(3, 4),
    rc.GRU(3, 4, reset_after=False),
    rc.RecursiveNet(3, 4),
    rc.TreeLSTM(3, 4),
    rc.RecursiveNet(3, 4, arity=1),
    rc.TreeLSTM(3, 4, arity=3),
]
IDS = [f"{type(c).__name__}{k}" for k, c in enumerate(CELLS)]
ARITY = {id(c): getattr(c, "arity", 1) for c in CELLS}


def carry_of(cell, batch, rng):
    def state():
        leaves = tuple(rng.standard_normal((*batch, 4)) for _ in cell.state_names)
        return leaves if len(leaves) > 1 else leaves[0]

    arity = getattr(cell, "arity", 1)
    return tuple(state() for _ in range(arity)) if arity > 1 else state()


@pytest.mark.parametrize("cell", CELLS, ids=IDS)
def test_init_is_seeded_named_and_float64(cell):
    p, again, other = cell.init(3), cell.init(3), cell.init(4)
    assert list(p) == list(cell.shapes())
    for name, a in p.items():
        assert a.dtype == np.float64 and a.shape == cell.shapes()[name]
        np.testing.assert_array_equal(a, again[name])
        assert isinstance(name, str) and a.flags.writeable
    assert any((p[n] != other[n]).any() for n in p)
    square = [a for n, a in p.items() if n.startswith("U")]
    for u in square:
        close(u @ u.T, np.eye(4), 1e-12)
    assert not p[next(n for n in p if n.startswith("b"))].any() or "b_f" in p
    if "b_f" in p:
        assert (p["b_f"] == 1).all() and not p["b_i"].any()


@pytest.mark.parametrize("cell", CELLS, ids=IDS)
@pytest.mark.parametrize("batch", [(5,), (2, 3)])
def test_with_leading_batch_axes_a_cell_is_itself_at_each_row(cell, batch):
    """The law that makes a plain Python loop and `recur` agree: x @ W and axis=-1 only."""
    rng = np.random.default_rng(0)
    p, x, carry = cell.init(0), rng.standard_normal((*batch, 3)), carry_of(cell, batch, rng)
    state, y = cell(mg.tensors(p), mg.tensors(carry), mg.asarray(x))
    for at in np.ndindex(batch):
        import optree

        one = optree.tree_map(lambda a, at=at: mg.asarray(a[at]), carry)
        s, v = cell(mg.tensors(p), one, mg.asarray(x[at]))
        here = optree.tree_map(lambda a, at=at: a[at], mg.evaluate((state, y)))
        close(mg.evaluate((s, v)), here, 1e-14)


@pytest.mark.parametrize("cell", CELLS, ids=IDS)
def test_zero_states(cell):
    zero = cell.zero_state(np.float32)
    leaves = zero if isinstance(zero, tuple) else (zero,)
    assert len(leaves) == len(cell.state_names)
    assert all(a.shape == (1, 4) and a.dtype == np.float32 and not a.any() for a in leaves)


def test_formulas_at_known_numbers():
    """One unit, all weights written out."""
    s = lambda v: 1 / (1 + np.exp(-v))  # noqa: E731
    one = lambda v: np.array([[v]])  # noqa: E731
    b = lambda v: np.array([v])  # noqa: E731
    p = {f"W_{g}": one(w) for g, w in zip("ifog", (0.1, 0.2, 0.3, 0.4), strict=True)}
    p |= {f"U_{g}": one(w) for g, w in zip("ifog", (0.5, -0.6, 0.7, -0.8), strict=True)}
    p |= {f"b_{g}": b(w) for g, w in zip("ifog", (0.01, 0.02, 0.03, 0.04), strict=True)}
    (h, c), y = rc.LSTM(1, 1)(p, (mg.asarray([0.5]), mg.asarray([-0.4])), mg.asarray([2.0]))
    i, f, o = s(0.2 + 0.25 + 0.01), s(0.4 - 0.3 + 0.02), s(0.6 + 0.35 + 0.03)
    cell = f * -0.4 + i * np.tanh(0.8 - 0.4 + 0.04)
    assert c.item() == pytest.approx(cell) and h.item() == y.item() == pytest.approx(
        o * np.tanh(cell)
    )

    p = {"W": one(2.0), "U": one(-1.0), "b": b(0.5)}
    h, y = rc.RNN(1, 1)(p, mg.asarray([0.3]), mg.asarray([0.1]))
    assert h.item() == y.item() == pytest.approx(np.tanh(0.2 - 0.3 + 0.5))


def test_gates_are_named_in_the_graph():
    from minigrad.graph import toposort

    cell = rc.LSTM(2, 3)
    (h, c), _ = cell(cell.init(0), (mg.zeros(3), mg.zeros(3)), mg.ones(2))
    assert {"i", "f", "o", "g", "c", "h"} <= {t.name for t in toposort([h, c])}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: rc.RNN(0, 3), "RNN: input_size must be a positive integer; got 0"),
        (lambda: rc.LSTM(2, 2.5), "LSTM: hidden_size must be a positive integer; got 2.5"),
        (lambda: rc.GRU("2", 3), "GRU: input_size must be a positive integer; got '2'"),
        (lambda: rc.TreeLSTM(2, 3, arity=0), "TreeLSTM: arity must be a positive integer; got 0"),
        (lambda: rc.RNN(2, 3, "gelu"), "RNN: activation must be 'tanh' or 'relu'; got 'gelu'"),
    ],
)
def test_sizes_are_checked(make, message):
    with pytest.raises(ValueError) as caught:
        make()
    assert str(caught.value) == message
