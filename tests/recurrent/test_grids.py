"""Grids and lattices: the laws, naive loops as oracles, what they are with one axis or reading."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
import recurrent as rc
from minigrad.testing.laws import close

from .checks import against, laws, random_params

GRID_CELLS = [rc.MDRNN(2, 3), rc.MDLSTM(2, 3), rc.MDLSTM(2, 2, dims=3), rc.TreeLSTM(2, 3)]


@pytest.mark.parametrize("cell", GRID_CELLS, ids=str)
def test_laws_on_grids(cell):
    @settings(max_examples=2)
    @given(st.integers(0, 2**20))
    def check(seed):
        rng = np.random.default_rng(seed)
        extent = rng.integers(1, 4, size=cell.arity)
        batch = (2,) if rng.random() < 0.5 else ()
        back = tuple(a for a in range(cell.arity) if rng.random() < 0.5)
        arrays = {
            "p": random_params(cell, seed),
            "x": rng.standard_normal((*batch, *extent, 2)),
        }
        laws(lambda t: rc.sweep(cell, t["p"], t["x"], reverse=back), arrays, seed)

    check()


def naive_sweep(torch, p, x, step, zero):
    """step(states back along the two axes, x) in reading order: the loop the papers write."""
    height, width = x.shape[:2]
    done = {}
    for r in range(height):
        for c in range(width):
            back = [done.get((r - 1, c), zero), done.get((r, c - 1), zero)]
            done[r, c] = step(back, x[r, c])
    return lambda k: torch.stack([done[r, c][k] for r in range(height) for c in range(width)])


@pytest.mark.parametrize("extent", [(3, 4), (1, 3), (2, 1)])
def test_grids_against_torch(extent):
    torch = pytest.importorskip("torch")
    zero = torch.zeros(3, dtype=torch.float64)
    x = np.random.default_rng(0).standard_normal((*extent, 2))

    def rnn(t):
        p = t["p"]

        def step(back, x):
            total = x @ p["W"] + back[0][0] @ p["U_0"] + back[1][0] @ p["U_1"] + p["b"]
            return (torch.tanh(total),)

        return naive_sweep(torch, p, t["x"], step, (zero,))(0).reshape(*extent, 3)

    def lstm(t):
        p = t["p"]

        def step(back, x):
            (h0, c0), (h1, c1) = back

            def gate(g):
                return x @ p[f"W_{g}"] + h0 @ p[f"U_{g}_0"] + h1 @ p[f"U_{g}_1"] + p[f"b_{g}"]

            i = torch.sigmoid(gate("i") + p["p_i_0"] * c0 + p["p_i_1"] * c1)
            f0 = torch.sigmoid(gate("f_0") + p["p_f_0"] * c0)
            f1 = torch.sigmoid(gate("f_1") + p["p_f_1"] * c1)
            c = i * torch.tanh(gate("u")) + f0 * c0 + f1 * c1
            return torch.sigmoid(gate("o") + p["p_o"] * c) * torch.tanh(c), c

        return naive_sweep(torch, p, t["x"], step, (zero, zero))(0).reshape(*extent, 3)

    for cell, oracle in ((rc.MDRNN(2, 3), rnn), (rc.MDLSTM(2, 3), lstm)):
        arrays = {"p": random_params(cell, 1), "x": x}
        against(oracle, lambda t, c=cell: rc.sweep(c, t["p"], t["x"])[1], arrays, 1e-10)


def test_several_grids_are_each_alone():
    cell, x = rc.MDLSTM(2, 3), np.random.default_rng(0).standard_normal((3, 2, 4, 2))
    p = random_params(cell, 0)
    together = mg.evaluate(rc.sweep(cell, p, x)[1])
    for k in range(3):
        close(together[k], mg.evaluate(rc.sweep(cell, p, x[k])[1]), 1e-14)


@pytest.mark.parametrize("back", [(0,), (1,), (0, 1)])
def test_sweeping_back_is_sweeping_what_is_flipped(back):
    cell, x = rc.MDRNN(2, 3), np.random.default_rng(0).standard_normal((3, 4, 2))
    p = random_params(cell, 0)
    found = mg.evaluate(rc.sweep(cell, p, x, reverse=back)[1])
    flipped = mg.evaluate(rc.sweep(cell, p, np.flip(x, back))[1])
    close(found, np.flip(flipped, back), 1e-14)


def test_with_one_axis_it_is_the_sequence():
    """Law 4."""
    x = np.random.default_rng(0).standard_normal((5, 2))
    p = random_params(rc.MDRNN(2, 3, dims=1), 0)
    ys = rc.unroll(rc.RNN(2, 3), {"W": p["W"], "U": p["U_0"], "b": p["b"]}, x)[1]
    close(mg.evaluate(rc.sweep(rc.MDRNN(2, 3, dims=1), p, x)[1]), mg.evaluate(ys), 1e-14)
    p = random_params(rc.MDLSTM(2, 3, dims=1), 0)
    for peep in ("p_i_0", "p_f_0", "p_o"):
        p[peep][:] = 0
    same = {}
    for ours, theirs in (("i", "i"), ("f_0", "f"), ("u", "g"), ("o", "o")):
        same |= {f"W_{theirs}": p[f"W_{ours}"], f"U_{theirs}": p[f"U_{ours}_0"]}
        same[f"b_{theirs}"] = p[f"b_{ours}"]
    ys = rc.unroll(rc.LSTM(2, 3), same, x)[1]
    close(mg.evaluate(rc.sweep(rc.MDLSTM(2, 3, dims=1), p, x)[1]), mg.evaluate(ys), 1e-14)


def test_every_corner_sees_the_whole_grid():
    net = rc.Multidirectional(rc.MDLSTM(2, 3))
    p = net.init(0)
    assert sorted(p) == ["forward", "reverse_0", "reverse_01", "reverse_1"]
    x = mg.asarray(np.random.default_rng(0).standard_normal((3, 4, 2)))
    ys = net(p, x)
    assert ys.shape == (3, 4, 12)
    for place in ((0, 0), (1, 2), (2, 3)):
        reach = np.abs(mg.evaluate(mg.grad(mg.sum(ys[place]), x))).sum(axis=-1)
        assert (reach > 0).all()
    one = np.abs(mg.evaluate(mg.grad(mg.sum(ys[1, 2][:3]), x))).sum(axis=-1)
    assert (one[:2, :3] > 0).all() and not one[2:].any() and not one[:, 3:].any()


def test_multidirectional_laws():
    net = rc.Multidirectional(rc.MDRNN(2, 2))
    x = np.random.default_rng(0).standard_normal((2, 3, 2))
    laws(lambda t: net(t["p"], t["x"]), {"p": random_params(net, 0), "x": x})


# -- lattices --------------------------------------------------------------------------------------

#        0 -a-> 1 -b-> 2 -c-> 3,  0 -ab-> 2,  1 -bc-> 3: three readings of one text
ARCS = [(0, 1, "a"), (1, 2, "b"), (2, 3, "c"), (0, 2, "ab"), (1, 3, "bc")]
SCORES = [0.7, 0.4, 1.0, 0.3, 0.6]


def test_the_arcs_of_a_lattice():
    s = rc.lattice(ARCS, SCORES)
    edges = sorted(zip(s.src.tolist(), s.dst.tolist(), strict=True))
    assert edges == [(0, 1), (0, 4), (1, 2), (3, 2)] and s.sinks.tolist() == [2, 4]
    assert s.words == ["a", "b", "c", "ab", "bc"]
    np.testing.assert_allclose(s.share, [1, 1 / 0.7, 1 / 0.7, 1, 1 / 0.7])


@pytest.mark.parametrize("cell", [rc.RNN(2, 3), rc.GRU(2, 3), rc.LSTM(2, 3)], ids=str)
def test_lattice_laws(cell):
    @settings(max_examples=2)
    @given(st.integers(0, 2**20))
    def check(seed):
        rng = np.random.default_rng(seed)
        ends = np.sort(rng.integers(0, 5, (6, 2)), axis=1)
        arcs = [(int(a), int(b) + 1, "w") for a, b in ends]
        s = rc.lattice(arcs, rng.random(6) + 0.1)
        arrays = {"p": random_params(cell, seed), "x": rng.standard_normal((6, 2))}
        laws(lambda t: rc.run_lattice(cell, t["p"], s, t["x"]), arrays, seed)

    check()


@pytest.mark.parametrize("scores", [None, SCORES])
def test_lattices_against_torch(scores):
    torch = pytest.importorskip("torch")
    cell, x = rc.GRU(2, 3, reset_after=False), np.random.default_rng(0).standard_normal((5, 2))
    weight = np.ones(5) if scores is None else scores

    def oracle(t):
        p, done = t["p"], {}
        for k in (0, 3, 1, 4, 2):  # arcs in topological order
            before = [m for m in done if ARCS[m][1] == ARCS[k][0]]
            total = sum(weight[m] for m in before)
            h = sum((weight[m] / total * done[m] for m in before), torch.zeros(3).double())
            x = t["x"][k]
            r, z = (torch.sigmoid(x @ p[f"W_{g}"] + h @ p[f"U_{g}"] + p[f"b_{g}"]) for g in "rz")
            n = torch.tanh(x @ p["W_n"] + (r * h) @ p["U_n"] + p["b_n"])
            done[k] = (1 - z) * n + z * h
        return torch.stack([done[k] for k in range(5)])

    s = rc.lattice(ARCS, scores)
    arrays = {"p": random_params(cell, 1), "x": x}
    against(oracle, lambda t: rc.run_lattice(cell, t["p"], s, t["x"])[1], arrays, 1e-10)


def test_a_lattice_with_one_reading_is_the_sequence():
    """Law 4; where it starts matters as well."""
    cell, x = rc.LSTM(2, 3), np.random.default_rng(0).standard_normal((4, 2))
    p, start = random_params(cell, 0), (np.full((1, 3), 0.3), np.full((1, 3), -0.2))
    s = rc.lattice([(k, k + 1, "w") for k in range(4)], [0.5, 0.1, 2.0, 1.0])
    (h, c), ys = rc.run_lattice(cell, p, s, x, start)
    wanted = rc.unroll(cell, p, x, tuple(a[0] for a in start))
    close(mg.evaluate((h[-1], c[-1])), mg.evaluate(wanted[0]), 1e-14)
    close(mg.evaluate(ys), mg.evaluate(wanted[1]), 1e-14)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: rc.lattice([]), "there are no arcs"),
        (lambda: rc.lattice([(0, 1)]), r"arc 0 must be \(start, end, word\)"),
        (lambda: rc.lattice([(0, 1.5, "a")]), "arc 0 must be"),
        (lambda: rc.lattice([(0, 1, "a"), (2, 2, "b")]), "arc 1 starts and ends at 2"),
        (lambda: rc.lattice([(0, 1, "a"), (1, 0, "b")]), "cycle"),
        (lambda: rc.lattice([(0, 1, "a")], [0.0]), "scores must be 1 positive numbers"),
        (lambda: rc.lattice([(0, 1, "a")], [1.0, 2.0]), "scores must be 1 positive numbers"),
        (
            lambda: rc.run_lattice(rc.RNN(2, 3), {}, rc.lattice(ARCS), np.ones((4, 2))),
            r"the lattice has 5 arcs but xs has shape \(4, 2\)",
        ),
        (
            lambda: rc.sweep(rc.MDRNN(2, 3), {}, np.ones((4, 2))),
            r"sweep: xs must have 2 axes and I, or B in front of these; got shape \(4, 2\)",
        ),
        (
            lambda: rc.sweep(rc.MDRNN(2, 3), {}, np.ones((4, 2, 2)), reverse=(2,)),
            r"reverse must name axes 0 to 1; got \(2,\)",
        ),
    ],
)
def test_what_does_not_fit(call, message):
    with pytest.raises(ValueError, match=message):
        call()
