"""Shipped cells: parameters, zero states, names; one node, a batch and a loop agree."""

import numpy as np
import optree
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
import recurrent as rc
from minigrad.compile import runner
from minigrad.kernels import threads
from minigrad.testing.laws import close
from recurrent.cells import kinds

from .checks import against, laws, random_params

CELLS = [  # every class, in every variant, whose x is one vector
    cell for kind in kinds("chain", "tree", "grid") if not hasattr(kind, "word_inputs")
    for cell in kind.examples(3, 4)
]  # fmt: skip
IDS = [f"{type(c).__name__}{k}" for k, c in enumerate(CELLS)]


def carry_of(cell, batch, rng):
    def state():
        leaves = tuple(rng.standard_normal((*batch, n)) for n in cell.state_sizes)
        return leaves if len(leaves) > 1 else leaves[0]

    arity = getattr(cell, "arity", 1)
    return tuple(state() for _ in range(arity)) if arity > 1 else state()


def test_every_class_of_cells_is_public_and_says_what_it_is():
    assert len({k.title for k in kinds()}) == len(kinds()) >= 20
    for kind in kinds():
        assert kind.__name__ in rc.__all__, f"{kind.__name__} is missing in its file's __all__"
        assert kind.equation and kind.examples() and kind.__doc__
    mine = type("Mine", (rc.RNN,), {"equation": "h' = h"})
    assert mine not in kinds(), "a user's class is not one of the package's"


@pytest.mark.parametrize("cell", CELLS, ids=IDS)
def test_init_is_seeded_named_and_float64(cell):
    p, again, other = cell.init(3), cell.init(3), cell.init(4)
    assert list(p) == list(cell.shapes())
    for name, a in p.items():
        assert a.dtype == np.float64 and a.shape == cell.shapes()[name]
        np.testing.assert_array_equal(a, again[name])
        assert isinstance(name, str) and a.flags.writeable
    assert any((p[n] != other[n]).any() for n in p)
    for n, a in p.items():
        if n.startswith("U") and a.shape[0] == a.shape[1] and not isinstance(cell, rc.EchoState):
            close(a @ a.T, np.eye(len(a)), 1e-12)
        if n.startswith("b"):
            assert (a == (n in cell.ones)).all()
    assert set(cell.ones) <= set(p)


@pytest.mark.parametrize("cell", CELLS, ids=IDS)
@pytest.mark.parametrize("batch", [(5,), (2, 3)])
def test_with_leading_batch_axes_a_cell_is_itself_at_each_row(cell, batch):
    """The law that makes a plain Python loop and `recur` agree: x @ W and axis=-1 only."""
    rng = np.random.default_rng(0)
    p, x, carry = cell.init(0), rng.standard_normal((*batch, 3)), carry_of(cell, batch, rng)
    state, y = cell(mg.tensors(p), mg.tensors(carry), mg.asarray(x))
    for at in np.ndindex(batch):
        one = optree.tree_map(lambda a, at=at: mg.asarray(a[at]), carry)
        s, v = cell(mg.tensors(p), one, mg.asarray(x[at]))
        here = optree.tree_map(lambda a, at=at: a[at], mg.evaluate((state, y)))
        close(mg.evaluate((s, v)), here, 1e-14)


@pytest.mark.parametrize("cell", CELLS, ids=IDS)
def test_zero_states(cell):
    zero = cell.zero_state(np.float32)
    leaves = zero if isinstance(zero, tuple) else (zero,)
    assert len(leaves) == len(cell.state_names)
    for a, n in zip(leaves, cell.state_sizes, strict=True):
        assert a.shape == (1, n) and a.dtype == np.float32 and not a.any()


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
        (
            lambda: rc.RNN(2, 3, recurrent="zero"),
            "RNN: recurrent must be 'orthogonal' or 'identity'; got 'zero'",
        ),
        (
            lambda: rc.JordanRNN(2, 3, output="relu"),
            "JordanRNN: output must be 'identity', 'tanh' or 'sigmoid'; got 'relu'",
        ),
        (
            lambda: rc.JordanRNN(2, 3, 0),
            "JordanRNN: output_size must be a positive integer; got 0",
        ),
        (
            lambda: rc.ProjectedLSTM(2, 3, 0),
            "ProjectedLSTM: proj_size must be a positive integer; got 0",
        ),
        (lambda: rc.LeakyRNN(2, 3, 0), "LeakyRNN: leak must be in (0, 1]; got 0"),
        (
            lambda: rc.EchoState(2, 3, spectral_radius=-1),
            "EchoState: spectral_radius must be positive; got -1",
        ),
        (lambda: rc.EchoState(2, 3, density=0), "EchoState: density must be in (0, 1]; got 0"),
    ],
)
def test_sizes_are_checked(make, message):
    with pytest.raises(ValueError) as caught:
        make()
    assert str(caught.value) == message


# -- laws and oracles ------------------------------------------------------------------------------

VARIANTS = {
    f"{kind.__name__}{options or ''}": cell
    for kind in kinds("chain")
    for options, cell in zip(kind.variants, kind.examples(3, 4), strict=True)
}
LENGTHS = [3, 0, 4]


def unrolled(cell, reverse=False):
    def run(t):
        return rc.unroll(cell, t["p"], t["x"], t["s"], lengths=LENGTHS, reverse=reverse)

    return run


def arguments(cell, seed):
    """Random parameters, inputs (4, 3, I) and first states."""
    rng = np.random.default_rng(seed)
    first = optree.tree_map(lambda z: rng.standard_normal((3, z.shape[1])), cell.zero_state())
    return {
        "p": random_params(cell, seed),
        "x": rng.standard_normal((4, 3, cell.input_size)),
        "s": first,
    }


@pytest.mark.parametrize("name", VARIANTS)
def test_laws(name):
    """Compiled, evaluated, unfolded and the reference agree; <u, Jv> == <J^T u, v>."""
    cell = VARIANTS[name]

    @given(st.integers(0, 2**20), st.booleans())
    def check(seed, reverse):
        laws(unrolled(cell, reverse), arguments(cell, seed), seed)

    check()


@pytest.mark.parametrize("name", VARIANTS)
def test_compiled_code_knows_every_op(name):
    cell = VARIANTS[name]
    f = mg.function(lambda p, x: rc.unroll(cell, p, x)[1])
    assert "no code" not in f.explain(cell.init(0), np.ones((2, 3, 3)))


@pytest.mark.parametrize("name", VARIANTS)
def test_single_precision_with_any_number_of_threads(name, monkeypatch):
    """float32 throughout, close to the reference; the same bits for 1, 2 and 3 threads."""
    cell = VARIANTS[name]
    args = optree.tree_map(lambda a: a.astype(np.float32), arguments(cell, 3))

    def step(t):
        out = unrolled(cell)(t)
        return out, mg.vjp(out, t, optree.tree_map(mg.ones_like, out))

    wanted = optree.tree_leaves(mg.reference(step(mg.tensors(args))))
    monkeypatch.setattr(runner, "SPLIT", 0)
    bits = set()
    for count in (1, 2, 3):
        monkeypatch.setattr(threads, "count", lambda n=count: n)
        found = optree.tree_leaves(mg.function(step)(args))
        bits.add(b"".join(a.tobytes() for a in found))
        for a, b in zip(found, wanted, strict=True):
            assert a.dtype == b.dtype == np.float32
            np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-4)
    assert len(bits) == 1


@pytest.mark.parametrize("name", VARIANTS)
def test_ragged_is_the_loop_over_each_sequence(name):
    """Laws 2 and 3: values and gradients of a ragged batch, whose padding is NaN.

    Against a Python loop over each sequence on its own.
    """
    cell = VARIANTS[name]
    arrays = arguments(cell, 5)
    for b, length in enumerate(LENGTHS):
        arrays["x"][length:, b] = np.nan
    t = mg.tensors(arrays)
    final, ys = rc.unroll(cell, t["p"], t["x"], t["s"], lengths=LENGTHS)
    finals, rows = [], []
    for b, length in enumerate(LENGTHS):
        state = optree.tree_map(lambda s, b=b: s[b], t["s"])
        column = []
        for k in range(length):
            state, y = cell(t["p"], state, t["x"][k, b])
            column.append(y)
        column += [mg.zeros(cell.output_size)] * (4 - length)
        finals.append(state)
        rows.append(mg.stack(column))
    plain = optree.tree_map(lambda *s: mg.stack(s), *finals), mg.stack(rows, axis=1)

    def results(final, ys):
        loss = sum(mg.sum(mg.sin(leaf)) for leaf in optree.tree_leaves((final, ys)))
        return final, ys, mg.grad(loss, t)

    close(*mg.evaluate((results(final, ys), results(*plain))), 1e-12)


# -- one step of every cell in torch, written out on its own ---------------------------------------
# A step is (cell, p, state, x) -> (state, y); `gate(p, g, x, h)` is what goes into gate g.


def gate(p, g, x, h):
    return x @ p[f"W_{g}"] + h @ p[f"U_{g}"] + p[f"b_{g}"]


def into(p, x, h):
    return x @ p["W"] + h @ p["U"] + p["b"]


def torch_rnn(cell, p, h, x):
    z = into(p, x, h)
    h = z.clamp(min=0) if cell.nonlinearity == "relu" else z.tanh()
    return h, h


def torch_jordan(cell, p, state, x):
    y = into(p, x, state).tanh() @ p["V"] + p["c"]
    y = y if cell.output_size == 4 else y.tanh()  # the variant with another size has tanh there
    return y, y


def torch_leaky(cell, p, h, x):
    h = h + cell.leak * (into(p, x, h).tanh() - h)
    return h, h


def torch_gru(cell, p, h, x):
    r, z = (gate(p, g, x, h).sigmoid() for g in "rz")
    if cell.reset_after:
        n = (x @ p["W_n"] + p["b_n"] + r * (h @ p["U_n"] + p["c_n"])).tanh()
    else:
        n = gate(p, "n", x, r * h).tanh()
    h = n + z * (h - n)
    return h, h


def torch_mgu(cell, p, h, x):
    f = gate(p, "f", x, h).sigmoid()
    h = h + f * (gate(p, "n", x, f * h).tanh() - h)
    return h, h


def torch_min_gru(cell, p, h, x):
    z = (x @ p["W_z"] + p["b_z"]).sigmoid()
    h = h + z * (x @ p["W_n"] + p["b_n"] - h)
    return h, h


def torch_lstm(cell, p, state, x):
    h, c = state
    i, f, o = (gate(p, g, x, h).sigmoid() for g in "ifo")
    c = f * c + i * gate(p, "g", x, h).tanh()
    h = o * c.tanh()
    return (h, c), h


def torch_original(cell, p, state, x):
    h, c = state
    c = c + gate(p, "i", x, h).sigmoid() * gate(p, "g", x, h).tanh()
    h = gate(p, "o", x, h).sigmoid() * c.tanh()
    return (h, c), h


def torch_coupled(cell, p, state, x):
    h, c = state
    g, f = gate(p, "g", x, h).tanh(), gate(p, "f", x, h).sigmoid()
    c, h = g + f * (c - g), gate(p, "o", x, h).sigmoid()
    h = h * c.tanh()
    return (h, c), h


def torch_peephole(cell, p, state, x):
    h, c = state
    i, f = ((gate(p, g, x, h) + p[f"p_{g}"] * c).sigmoid() for g in "if")
    c = f * c + i * gate(p, "g", x, h).tanh()
    h = (gate(p, "o", x, h) + p["p_o"] * c).sigmoid() * c.tanh()
    return (h, c), h


def torch_projected(cell, p, state, x):
    (m, c), _ = torch_lstm(cell, p, state, x)
    return (m @ p["V"], c), m @ p["V"]


def torch_layer_norm(cell, p, state, x):
    def norm(v):
        return (v - v.mean()) / (v.var(unbiased=False) + 1e-5).sqrt()

    h, c = state
    i, f, o, g = (
        p[f"r_{k}"] * norm(x @ p[f"W_{k}"]) + p[f"s_{k}"] * norm(h @ p[f"U_{k}"]) + p[f"b_{k}"]
        for k in "ifog"
    )
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    h = o.sigmoid() * (p["r_c"] * norm(c) + p["b_c"]).tanh()
    return (h, c), h


TORCH = {
    rc.RNN: torch_rnn, rc.JordanRNN: torch_jordan, rc.LeakyRNN: torch_leaky,
    rc.EchoState: torch_leaky, rc.GRU: torch_gru, rc.MGU: torch_mgu, rc.MinGRU: torch_min_gru,
    rc.LSTM: torch_lstm, rc.OriginalLSTM: torch_original, rc.CoupledLSTM: torch_coupled,
    rc.PeepholeLSTM: torch_peephole, rc.ProjectedLSTM: torch_projected,
    rc.LayerNormLSTM: torch_layer_norm,
}  # fmt: skip


def test_every_cell_over_chains_has_an_oracle():
    assert set(TORCH) == set(kinds("chain")), "a new cell wants its step in torch here"


@pytest.mark.parametrize("name", VARIANTS)
def test_values_and_gradients_against_torch(name):
    torch = pytest.importorskip("torch", reason="torch is not installed: no independent gradients")
    cell = VARIANTS[name]

    def theirs(t):
        rows, finals = [], []
        for b in range(3):
            state, column = optree.tree_map(lambda s, b=b: s[b], t["s"]), []
            for k in range(4):
                if k < LENGTHS[b]:
                    state, y = TORCH[type(cell)](cell, t["p"], state, t["x"][k, b])
                    column.append(y)
                else:
                    column.append(torch.zeros(cell.output_size, dtype=torch.float64))
            finals.append(state)
            rows.append(torch.stack(column))
        return optree.tree_map(lambda *s: torch.stack(s), *finals), torch.stack(rows, dim=1)

    against(theirs, unrolled(cell), arguments(cell, 3), 1e-11)


def test_special_cases():
    """An unleaky leaky RNN is the RNN; peepholes of 0 and a projection by I are the LSTM."""
    arrays = arguments(rc.LSTM(3, 4), 1)
    p = arrays["p"]
    wanted = mg.evaluate(unrolled(rc.LSTM(3, 4))(arrays))
    arrays["p"] = p | {f"p_{g}": np.zeros(4) for g in "ifo"}
    close(mg.evaluate(unrolled(rc.PeepholeLSTM(3, 4))(arrays)), wanted, 1e-14)
    arrays["p"] = p | {"V": np.eye(4)}
    close(mg.evaluate(unrolled(rc.ProjectedLSTM(3, 4, 4))(arrays)), wanted, 1e-14)
    arrays = arguments(rc.RNN(3, 4), 1)
    wanted = mg.evaluate(unrolled(rc.RNN(3, 4))(arrays))
    close(mg.evaluate(unrolled(rc.LeakyRNN(3, 4, 1))(arrays)), wanted, 1e-14)
    arrays["p"] |= {"V": np.eye(4), "c": np.zeros(4)}
    close(mg.evaluate(unrolled(rc.JordanRNN(3, 4))(arrays)), wanted, 1e-14)


def test_an_identity_relu_network_remembers_what_it_was_given():
    p = rc.RNN(3, 4, "relu", recurrent="identity").init(0)
    np.testing.assert_array_equal(p["U"], np.eye(4))
    carry, _ = rc.unroll(rc.RNN(3, 4, "relu"), p, np.zeros((50, 3)), np.arange(4.0))
    assert carry.tolist() == [0, 1, 2, 3]


# -- reservoirs ------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("density", [0.05, 1.0])
def test_a_reservoir_has_its_spectral_radius_and_density(density, seed):
    cell = rc.EchoState(2, 30, spectral_radius=0.8, density=density, input_scale=0.1)
    p = cell.init(seed)
    assert np.abs(np.linalg.eigvals(p["U"])).max() == pytest.approx(0.8)
    assert abs((p["U"] != 0).mean() - density) < 0.06
    assert np.abs(p["W"]).max() <= 0.1 and not p["b"].any()


def test_a_reservoir_without_a_cycle_is_given_one():
    p = rc.EchoState(1, 2, density=1e-9).init(0)
    assert np.abs(np.linalg.eigvals(p["U"])).max() == pytest.approx(0.9)


def test_an_echo_state_network_recalls_past_inputs():
    rng = np.random.default_rng(0)
    u = rng.uniform(-0.5, 0.5, 600)
    cell = rc.EchoState(1, 100, input_scale=0.3)
    ys = rc.unroll(cell, cell.init(0), u[:, None])[1].numpy()
    past = np.stack([np.roll(u, k) for k in (1, 5)], axis=1)
    readout = rc.ridge_readout(ys[50:400], past[50:400], 1e-8)
    found = ys[400:] @ readout["V"] + readout["c"]
    error = ((found - past[400:]) ** 2).mean(axis=0) / u.var()
    assert (error < 1e-3).all(), error


def test_ridge_is_the_normal_equation():
    rng = np.random.default_rng(1)
    y, d = rng.standard_normal((4, 5, 3)), rng.standard_normal((4, 5, 2))
    found = rc.ridge_readout(y, d, 0.7)
    a = np.concatenate([y.reshape(20, 3), np.ones((20, 1))], axis=1)
    w = np.linalg.solve(a.T @ a + 0.7 * np.diag([1, 1, 1, 0]), a.T @ d.reshape(20, 2))
    close(found, {"V": w[:3], "c": w[3]}, 1e-12)
    with pytest.raises(ValueError, match=r"must have the leading axes of ys, \(4, 5, 'D'\)"):
        rc.ridge_readout(y, d[:3])
    with pytest.raises(ValueError, match="ridge must be at least 0; got -1"):
        rc.ridge_readout(y, d, -1)
    with pytest.raises(ValueError, match="ys has no rows"):
        rc.ridge_readout(y[:0], d[:0])
