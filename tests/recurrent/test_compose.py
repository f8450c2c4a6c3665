"""Deep cells and nets in both directions: laws 1 to 3 and 6, plain loops, and torch."""

import numpy as np
import optree
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
import recurrent as rc
from minigrad.testing.laws import close

from .checks import against, laws, loss_of, random_params

DEEP = {
    "stack": rc.stack(rc.RNN(3, 4), rc.LSTM(4, 2), rc.GRU(2, 3)),
    "input": rc.deep_input(rc.GRU(5, 4), [3, 6]),
    "transition": rc.deep_transition(rc.RNN(3, 4), [5]),
    "no shortcut": rc.deep_transition(rc.LSTM(3, 4), shortcut=False),
    "output": rc.deep_output(rc.LSTM(3, 4), [5, 2]),
    "all four": rc.deep_output(
        rc.stack(
            rc.deep_input(rc.deep_transition(rc.LSTM(4, 2), [3]), [3]),
            rc.deep_transition(rc.ProjectedLSTM(2, 4, 3)),
        ),
        [2],
    ),
    "transition of a stack": rc.deep_transition(rc.stack(rc.RNN(3, 2), rc.LSTM(2, 3))),
}
LENGTHS = [3, 0, 4]


def arguments(net, seed, carry=True):
    rng = np.random.default_rng(seed)
    args = {"p": random_params(net, seed), "x": rng.standard_normal((4, 3, net.input_size))}
    if carry:
        args["s"] = optree.tree_map(
            lambda z: rng.standard_normal((3, z.shape[1])), net.zero_state()
        )
    return args


# -- depth -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", DEEP)
def test_laws_of_deep_cells(name):
    cell = DEEP[name]

    @given(st.integers(0, 2**20), st.booleans())
    def check(seed, reverse):
        def run(t):
            return rc.unroll(cell, t["p"], t["x"], t["s"], lengths=LENGTHS, reverse=reverse)

        laws(run, arguments(cell, seed), seed)

    check()


@pytest.mark.parametrize("name", DEEP)
def test_deep_cells_are_cells(name):
    """Sizes, names, seeds; ragged equals a loop over each sequence; compiled code for every op."""
    cell = DEEP[name]
    assert cell.input_size == 3 and len(cell.state_names) == len(
        optree.tree_leaves(cell.zero_state())
    )
    same, other = cell.init(1), cell.init(2)
    close(cell.init(1), same, 0)
    leaves = optree.tree_leaves(same)
    assert any((a != b).any() for a, b in zip(leaves, optree.tree_leaves(other), strict=True))
    args = arguments(cell, 4)
    t = mg.tensors(args)
    final, ys = rc.unroll(cell, t["p"], t["x"], t["s"], lengths=LENGTHS)
    assert ys.shape == (4, 3, cell.output_size)
    for b, length in enumerate(LENGTHS):
        state = optree.tree_map(lambda s, b=b: s[b], t["s"])
        for k in range(length):
            state, y = cell(t["p"], state, t["x"][k, b])
            close(*mg.evaluate((ys[k, b], y)), 1e-13)
        close(*mg.evaluate((optree.tree_map(lambda s, b=b: s[b], final), state)), 1e-13)
    text = mg.function(lambda p, x: rc.unroll(cell, p, x)[1]).explain(args["p"], args["x"])
    assert "no code" not in text


@pytest.mark.parametrize("lengths", [None, LENGTHS])
def test_a_stack_is_its_layers_one_after_the_other(lengths):
    cells = rc.LSTM(3, 4), rc.GRU(4, 2), rc.ProjectedLSTM(2, 5, 3)
    deep, layers = rc.stack(*cells), rc.layered(*cells)
    t = mg.tensors(arguments(deep, 2))

    def results(final, ys):
        return final, ys, mg.grad(loss_of((final, ys)), t)

    together = rc.unroll(deep, t["p"], t["x"], t["s"], lengths=lengths)
    ys, finals = t["x"], []
    for k, cell in enumerate(cells):
        final, ys = rc.unroll(cell, t["p"][f"layer{k}"], ys, t["s"][k], lengths=lengths)
        finals.append(final)
    one_by_one = tuple(finals), ys
    as_net = layers(t["p"], t["x"], lengths, t["s"])
    a, b, c = mg.evaluate([results(*r) for r in (together, one_by_one, as_net)])
    close(b, a, 1e-12)
    close(c, a, 1e-12)


def test_a_stack_of_cells_of_ones_own():
    """With no more than init, zero_state and sizes."""

    class Leaky:
        input_size = hidden_size = 3

        def init(self, seed):
            return {"a": np.full(3, 0.9)}

        def zero_state(self, dtype):
            return np.zeros((1, 3), dtype)

        def __call__(self, p, h, x):
            h = p["a"] * h + (1 - p["a"]) * x
            return h, h

    deep = rc.stack(rc.LSTM(2, 3), Leaky(), Leaky())
    args = {"p": deep.init(0), "x": np.random.default_rng(0).standard_normal((4, 3, 2))}
    laws(lambda t: rc.unroll(deep, t["p"], t["x"], lengths=LENGTHS), args)
    masks = rc.dropout_masks(deep, np.random.default_rng(0), 3, 0.5, 0.5)
    rc.unroll(rc.Dropout(deep), args["p"], args["x"], memory=masks)


def torch_run(cell, t):
    """The deep RNNs of Pascanu et al. 2014 in torch, for a whole batch."""
    import torch

    def rnn(p, h, x):
        return torch.tanh(x @ p["W"] + h @ p["U"] + p["b"])

    p, h, ys = t["p"], t["s"], []
    for x in t["x"]:
        if cell == "input":
            q = p["input"]
            x = torch.tanh(torch.tanh(x @ q["W_0"] + q["b_0"]) @ q["W_1"] + q["b_1"])
            h = y = rnn(p["cell"], h, x)
        elif cell == "output":
            q, h = p["output"], rnn(p["cell"], h, x)
            y = torch.tanh(h @ q["W_0"] + q["b_0"]) @ q["W_1"] + q["b_1"]
        else:
            q, m = p["transition"], rnn(p["cell"], h, x)
            m = torch.tanh(m @ q["W_0"] + q["b_0"])
            h = y = torch.tanh(m @ q["W_1"] + q["b_1"] + (h @ q["S"] if "S" in q else 0))
        ys.append(y)
    return h, torch.stack(ys)


@pytest.mark.parametrize(
    ("place", "cell"),
    [
        ("input", rc.deep_input(rc.RNN(5, 4), [3, 6])),
        ("output", rc.deep_output(rc.RNN(3, 4), [5, 2])),
        ("transition", rc.deep_transition(rc.RNN(3, 4), [5])),
        ("transition", rc.deep_transition(rc.RNN(3, 4), [5], shortcut=False)),
    ],
)
def test_deep_rnns_against_torch(place, cell):
    pytest.importorskip("torch", reason="torch is not installed: no independent gradients")
    against(
        lambda t: torch_run(place, t),
        lambda t: rc.unroll(cell, t["p"], t["x"], t["s"]),
        arguments(cell, 3),
        1e-11,
    )


# -- directions ------------------------------------------------------------------------------------

NETS = {
    "both": rc.bidirectional(rc.GRU(3, 4)),
    "different": rc.bidirectional(rc.LSTM(3, 4), rc.RNN(3, 2)),
    "lookahead 0": rc.bidirectional(rc.GRU(3, 2), lookahead=0),
    "lookahead 1": rc.bidirectional(rc.LSTM(3, 2), lookahead=1),
    "lookahead 2": rc.bidirectional(rc.RNN(3, 2), rc.GRU(3, 3), lookahead=2),
    "layers": rc.layered(
        rc.bidirectional(rc.RNN(3, 2)), rc.GRU(4, 3), rc.over_time(rc.RNN(3, 2), reverse=True)
    ),
}
RAGGED = st.lists(st.integers(0, 4), min_size=1, max_size=3)


@pytest.mark.parametrize("name", NETS)
def test_laws_of_nets(name):
    net = NETS[name]

    @given(st.integers(0, 2**20), st.one_of(st.none(), RAGGED))
    def check(seed, lengths):
        rng = np.random.default_rng(seed)
        batch = 2 if lengths is None else len(lengths)
        args = {"p": random_params(net, seed), "x": rng.standard_normal((4, batch, 3))}
        laws(lambda t: net(t["p"], t["x"], lengths), args, seed)

    check()


def the_loop(net, p, xs):
    """Both directions of one sequence (T, I), in a plain loop; with lookahead afresh for each t."""

    def run(cell, theta, inputs):
        state, ys = optree.tree_map(lambda z: mg.asarray(z[0]), cell.zero_state()), []
        for x in inputs:
            state, y = cell(theta, state, x)
            ys.append(y)
        return state, ys

    rows = [xs[k] for k in range(len(xs))]
    last, forward = run(net.cell, p["forward"], rows)
    reach = len(rows) if net.lookahead is None else net.lookahead
    windows = [
        run(net.backward_cell, p["backward"], rows[t : t + reach + 1][::-1])
        for t in range(len(rows))
    ]
    ys = [mg.concat([f, w[-1]]) for f, (_, w) in zip(forward, windows, strict=True)]
    return (last, windows[0][0]), mg.stack(ys)


@pytest.mark.parametrize("name", [n for n in NETS if n != "layers"])
def test_directions_are_the_loop(name):
    """Values and gradients.

    One sequence without a batch axis, and a ragged batch padded with NaN.
    """
    net, rng = NETS[name], np.random.default_rng(1)
    xs = rng.standard_normal((5, 3, 3))
    lengths = [2, 5, 0]
    for b, length in enumerate(lengths):
        xs[length:, b] = np.nan
    t = mg.tensors({"p": random_params(net, 2), "x": xs})
    finals, ys = net(t["p"], t["x"], lengths)
    assert ys.shape == (5, 3, net.output_size)
    loss, wanted = mg.asarray(0.0), mg.asarray(0.0)
    for b, length in enumerate(lengths):
        assert not ys[length:, b].numpy().any()
        if not length:
            zero = mg.evaluate(optree.tree_map(lambda s, b=b: s[b], finals))
            assert not any(a.any() for a in optree.tree_leaves(zero))
            continue
        mine = optree.tree_map(lambda s, b=b: s[b], finals), ys[:length, b]
        plain = the_loop(net, t["p"], t["x"][:length, b])
        alone = net(t["p"], t["x"][:length, b])
        a, b, c = mg.evaluate((mine, plain, alone))
        close(a, b, 1e-12)
        close(c, b, 1e-12)
        loss, wanted = loss + loss_of(mine), wanted + loss_of(plain)
    close(*mg.evaluate((mg.grad(loss, t), mg.grad(wanted, t))), 1e-12)


def test_enough_lookahead_is_all_of_it():
    cell, xs = rc.LSTM(3, 4), np.random.default_rng(0).standard_normal((5, 2, 3))
    whole = rc.bidirectional(cell)
    p, carry = whole.init(0), 2 * ((np.full((2, 4), 0.3), np.full((2, 4), -0.2)),)
    wanted = mg.evaluate(whole(p, xs, [5, 3], carry))
    close(mg.evaluate(rc.bidirectional(cell, lookahead=4)(p, xs, [5, 3], carry)), wanted, 1e-13)


def test_lookahead_sees_so_far_and_no_further():
    net = rc.bidirectional(rc.GRU(2, 3), lookahead=2)
    t = mg.tensors({"p": net.init(0), "x": np.random.default_rng(0).standard_normal((7, 2))})
    _, ys = net(t["p"], t["x"])
    for k in range(7):
        g = mg.grad(mg.sum(ys[k]), t["x"]).numpy()
        assert g[: k + 3].any(axis=1).all() and not g[k + 3 :].any()


@pytest.mark.parametrize("name", NETS)
def test_nets_are_compiled(name):
    net = NETS[name]
    step = mg.function(lambda p, x: net(p, x)[1])
    p, xs = net.init(0), np.random.default_rng(0).standard_normal((4, 2, 3))
    assert "no code" not in step.explain(p, xs)
    close(step(p, xs), net(p, xs)[1].numpy(), 1e-12)


@pytest.mark.parametrize("net", [NETS["both"], NETS["lookahead 1"], NETS["layers"]], ids=str)
@pytest.mark.parametrize(("time", "batch"), [(0, 2), (3, 0), (0, 0)])
def test_no_steps_and_no_sequences(net, time, batch):
    finals, ys = mg.evaluate(net(net.init(0), np.zeros((time, batch, 3))))
    assert ys.shape == (time, batch, net.output_size) and not ys.any()
    assert all(s.shape[0] == batch for s in optree.tree_leaves(finals))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: rc.stack(), "stack: give at least one cell"),
        (
            lambda: rc.stack(rc.RNN(3, 4), rc.RNN(3, 4)),
            "stack: layer 0 gives 4 numbers but layer 1 reads input_size=3",
        ),
        (
            lambda: rc.layered(NETS["both"], rc.RNN(3, 4)),
            "layered: layer 0 gives 8 numbers but layer 1 reads input_size=3",
        ),
        (
            lambda: rc.deep_input(rc.RNN(3, 4), []),
            "deep_input: layers must be a list of at least 1 sizes; got []",
        ),
        (
            lambda: rc.deep_output(rc.RNN(3, 4), [2, 0]),
            "deep_output: layers[1] must be a positive integer; got 0",
        ),
        (
            lambda: rc.bidirectional(rc.RNN(3, 4), rc.RNN(2, 4)),
            "bidirectional: backward_cell has input_size=2; both cells read the same inputs, of "
            "size 3",
        ),
        (
            lambda: rc.bidirectional(rc.RNN(3, 4), lookahead=-1),
            "bidirectional: lookahead must be None or a number of steps, at least 0; got -1",
        ),
        (
            lambda: NETS["both"](NETS["both"].init(0), np.ones((4, 2, 5))),
            "unroll: xs must be (T, B, 3) or (T, 3) for GRU(3, 4); got shape (4, 2, 5)",
        ),
        (
            lambda: NETS["both"](NETS["both"].init(0), np.ones((4, 2, 3)), carry=np.ones((3, 4))),
            "bidirectional: carry must be a pair of states, of the cell that reads forwards and of "
            "the one that reads backwards; got ndarray",
        ),
        (
            lambda: (n := NETS["lookahead 1"])(
                n.init(0), np.ones((4, 2, 3)), carry=((np.ones((2, 2)),) * 2, np.ones((2, 2)))
            ),
            "bidirectional: carry must have the shapes (('B', 2), ('B', 2)) for LSTM(3, 2); got "
            "(2, 2)",
        ),
        (
            lambda: rc.unroll(
                c := DEEP["stack"], c.init(0) | {"layer1": rc.GRU(4, 2).init(0)}, np.ones((4, 2, 3))
            ),
            "unroll: params['layer1']['W_i'] is missing; stack(RNN(3, 4), LSTM(4, 2), GRU(2, 3)) "
            "needs ['U_f', 'U_g', 'U_i', 'U_o', 'W_f', 'W_g', 'W_i', 'W_o', 'b_f', 'b_g', 'b_i', "
            "'b_o']",
        ),
        (
            lambda: rc.unroll(
                DEEP["input"], rc.deep_input(rc.GRU(6, 4), [3, 6]).init(0), np.ones((4, 2, 3))
            ),
            "unroll: params['cell']['W_r'] has shape (6, 4); deep_input(GRU(5, 4), [3, 6]) needs "
            "(5, 4)",
        ),
        (
            lambda: rc.unroll(c := DEEP["stack"], c.init(0), np.ones((4, 3)), carry=np.ones(4)),
            "unroll: carry must have the shapes (('B', 4), (('B', 2), ('B', 2)), ('B', 3)) for "
            "stack(RNN(3, 4), LSTM(4, 2), GRU(2, 3)); got (4,)",
        ),
        (
            lambda: rc.stack(rc.RNN(3, 4), mg.tanh),
            f"stack: layer 1 must be a cell with init, zero_state, input_size and output_size; got "
            f"{mg.tanh!r}",
        ),
        (
            lambda: NETS["layers"](NETS["layers"].init(0), np.ones((4, 2, 3)), carry=(None,)),
            "layered: carry has 1 parts; it must have one per layer, 3",
        ),
        (
            lambda: (c := rc.deep_transition(rc.deep_output(rc.RNN(3, 4), [4])))(
                c.init(0), np.zeros(4), np.ones(3)
            ),
            "deep_transition: the output of deep_output(RNN(3, 4), [4]) is no part of its state; "
            "wrap the cell itself, and put deep_output and the like around the result",
        ),
    ],
)
def test_what_does_not_fit_is_said(make, message):
    with pytest.raises(ValueError) as caught:
        make()
    assert str(caught.value) == message
