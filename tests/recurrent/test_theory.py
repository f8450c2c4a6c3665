"""Baselines and theory: windows, unshared parameters, Turing machines run exactly."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
import recurrent as rc
from docs.parameter_sharing import train
from minigrad.testing.laws import close

from .checks import against, laws, random_params

LENGTHS = [None, (4, 2, 0)]

# -- windows ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("lengths", LENGTHS)
@pytest.mark.parametrize("span", [1, 3, 6])
def test_windows_against_torch(span, lengths):
    torch = pytest.importorskip("torch")
    net = rc.TimeDelay(2, 3, span)

    def oracle(t):
        p, x = t["p"], t["x"]
        rows = []
        for at in range(4):
            total = p["b"] + sum(x[at - k] @ p[f"W_{k}"] for k in range(span) if at >= k)
            ended = torch.tensor([lengths is not None and at >= n for n in lengths or (4, 4, 4)])
            rows.append(torch.where(ended[:, None], 0.0, torch.tanh(total)))
        return torch.stack(rows)

    arrays = {"p": random_params(net, 1), "x": np.random.default_rng(0).standard_normal((4, 3, 2))}
    against(oracle, lambda t: net(t["p"], t["x"], lengths), arrays, 1e-10)
    laws(lambda t: net(t["p"], t["x"], lengths), arrays)


def test_what_lies_further_back_than_the_span_cannot_be_seen():
    net, x = rc.TimeDelay(2, 3, 3), mg.asarray(np.random.default_rng(0).standard_normal((6, 2)))
    ys = net(random_params(net, 0), x)
    assert ys.shape == (6, 3)
    for t in range(6):
        reach = np.abs(mg.evaluate(mg.grad(mg.sum(ys[t]), x))).sum(axis=1) > 0
        assert reach.tolist() == [max(0, t - 2) <= k <= t for k in range(6)]


def test_with_a_span_of_one_it_is_the_rnn_without_memory():
    net, x = rc.TimeDelay(2, 3, 1), np.random.default_rng(0).standard_normal((4, 3, 2))
    p = random_params(net, 0)
    rnn = {"W": p["W_0"], "U": np.zeros((3, 3)), "b": p["b"]}
    close(mg.evaluate(net(p, x)), mg.evaluate(rc.unroll(rc.RNN(2, 3), rnn, x)[1]), 1e-14)


# -- unshared --------------------------------------------------------------------------------------


@pytest.mark.parametrize("lengths", LENGTHS)
def test_unshared_against_torch(lengths):
    torch = pytest.importorskip("torch")
    net = rc.Unshared(rc.RNN(2, 3), 5)
    assert {k: v.shape for k, v in net.init(0).items()} == {
        "W": (5, 2, 3),
        "U": (5, 3, 3),
        "b": (5, 3),
    }

    def oracle(t):
        p, h, rows = t["p"], torch.zeros(3, 3, dtype=torch.float64), []
        for at in range(4):
            h = torch.tanh(t["x"][at] @ p["W"][at] + h @ p["U"][at] + p["b"][at])
            ended = torch.tensor([lengths is not None and at >= n for n in lengths or (4, 4, 4)])
            rows.append(torch.where(ended[:, None], 0.0, h))
        return torch.stack(rows)

    arrays = {"p": random_params(net, 1), "x": np.random.default_rng(0).standard_normal((4, 3, 2))}
    against(oracle, lambda t: net(t["p"], t["x"], lengths), arrays, 1e-10)
    laws(lambda t: net(t["p"], t["x"], lengths), arrays)


@pytest.mark.parametrize("cell", [rc.LSTM(2, 3), rc.GRU(2, 3)], ids=str)
def test_equal_parameters_at_every_step_are_shared_ones(cell):
    p, x = random_params(cell, 0), np.random.default_rng(0).standard_normal((4, 3, 2))
    repeated = {k: np.repeat(v[None], 4, axis=0) for k, v in p.items()}
    t, u = mg.tensors(repeated), mg.tensors(p)
    ys, shared = rc.Unshared(cell, 4)(t, x), rc.unroll(cell, u, x)[1]
    close(mg.evaluate(ys), mg.evaluate(shared), 1e-13)
    per_step = mg.evaluate(mg.grad(mg.sum(mg.square(ys)), t))
    together = mg.evaluate(mg.grad(mg.sum(mg.square(shared)), u))
    close({k: v.sum(axis=0) for k, v in per_step.items()}, together, 1e-12)


@pytest.mark.long
def test_sharing_carries_over_to_another_order_of_the_words():
    """The Saints beat the Panthers last night, and last night, the Saints beat the Panthers."""
    shared, unshared = ([train(m, s) for s in range(3)] for m in ("shared", "unshared"))
    assert all(r["learnt"] == 7 for r in [*shared, *unshared])
    assert all(s["asked"] >= 5 and u["asked"] <= 3 for s, u in zip(shared, unshared, strict=True))
    assert unshared[0]["parameters"] == 7 * shared[0]["parameters"]


# -- Turing machines -------------------------------------------------------------------------------


def test_binary_increment_is_exact():
    machine = rc.binary_increment()
    net = rc.TuringNet(machine)
    numbers = [*range(70), 2**14 - 1, 2**13]
    found = net.run([f"{n:b}" for n in numbers], 45)
    assert found == [("done", f"{n + 1:b}") for n in numbers]


def test_palindromes_are_exact():
    net = rc.TuringNet(rc.palindromes())
    words = ["".join(w) for n in range(8) for w in itertools.product("ab", repeat=n)]
    words += ["abababa" + "abababa"[::-1], "ab" * 7]
    states = [state for state, _ in net.run(words, 180)]
    assert states == ["yes" if w == w[::-1] else "no" for w in words]


@pytest.mark.parametrize(
    ("machine", "tape"), [(rc.binary_increment(), "1011"), (rc.palindromes(), "abba")]
)
def test_every_single_move_is_that_of_the_machine(machine, tape):
    net = rc.TuringNet(machine)
    _, hs = rc.unroll(net.cell, net.params(), None, net.encode(tape), steps=90)
    hs = mg.evaluate(hs)
    for moves in range(1, 31):
        assert net.decode(hs[3 * moves - 1]) == machine.run(tape, moves)
    stacks = hs[2::3, [net.number["stack", s + w] for s in "lr" for w in "LRS"]]
    np.testing.assert_array_equal(stacks * net.base**20 % 1, 0)  # few digits: nothing was rounded


@settings(max_examples=5)
@given(st.integers(0, 2**20))
def test_random_machines(seed):
    rng = np.random.default_rng(seed)
    states, symbols = "pqr", " 01"
    moves = {
        (s, a): tuple(str(rng.choice(list(of))) for of in (states, symbols, "LRS"))
        for s in states
        for a in symbols
        if rng.random() < 0.9
    }  # fmt: skip
    machine = rc.TuringMachine(moves, "p")
    tapes = ["", "0", "01", "110", "0101"]
    net = rc.TuringNet(machine)
    for steps in (1, 5, 12):
        assert net.run(tapes, steps) == [machine.run(t, steps) for t in tapes]


def test_two_symbols_take_base_four_and_compiled_is_the_same():
    machine = rc.TuringMachine({("go", "1"): ("go", "1", "R")}, "go")
    net = rc.TuringNet(machine)
    assert (net.base, net.capacity) == (4, 25)
    tape = "1" * 25
    assert net.run([tape], 25) == [("go", tape)]
    f = mg.function(lambda p, h: rc.unroll(net.cell, p, None, h, steps=60)[0])
    assert net.decode(f(net.params(), net.encode(tape))) == ("go", tape)


def test_what_a_float_cannot_hold_is_noticed():
    writer = rc.TuringNet(rc.TuringMachine({("a", " "): ("a", "1", "R")}, "a"))
    assert writer.run([""], 25) == [("a", "1" * 25)]
    for moves in (26, 27, 60):
        with pytest.raises(OverflowError, match="machine wrote more than 25 symbols"):
            writer.run([""], moves)


def test_the_saturated_cell_obeys_the_laws():
    cell = rc.SaturatedRNN(4)
    arrays = {"p": random_params(cell, 0), "h": np.random.default_rng(0).random((2, 4))}
    laws(lambda t: rc.unroll(cell, t["p"], None, t["h"], steps=3), arrays)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: rc.TuringMachine({("a", "1"): ("a", "1", "X")}, "a"), "moves must map"),
        (lambda: rc.TuringNet(rc.binary_increment()).encode("12"), "tape must be at most 16"),
        (lambda: rc.TuringNet(rc.binary_increment()).encode("1" * 17), "got 17"),
        (lambda: rc.TuringNet(rc.palindromes()).decode(np.zeros(57)), "between two moves"),
        (lambda: rc.TimeDelay(2, 3, 0), "TimeDelay: span must be a positive integer; got 0"),
        (lambda: rc.TimeDelay(2, 3, 1)({}, np.ones(3)), r"TimeDelay: xs must be \(T, B, I\)"),
        (lambda: rc.TimeDelay(2, 3, 1)({}, np.ones((3, 2)), [4]), "is 4; there are 3 time steps"),
        (lambda: rc.Unshared(rc.RNN(2, 3), 0), "Unshared: steps must be a positive integer"),
        (
            lambda: rc.Unshared(rc.RNN(2, 3), 2)({}, np.ones((3, 2))),
            "xs has 3 steps; there are parameters for 2",
        ),
    ],
)  # fmt: skip
def test_what_does_not_fit(call, message):
    with pytest.raises(ValueError, match=message):
        call()
