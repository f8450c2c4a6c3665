"""What constructors and functions are given is checked in one place, nonsense refused in words."""

from functools import partial
from inspect import signature

import numpy as np
import pytest

import minigrad as mg
import recurrent as rc
from recurrent.cells import kinds

RNN = rc.RNN(2, 3)
RNG, OUT = np.random.default_rng(0), rc.ManyToOne(RNN, 1).init(0)
SIZES = [0, -1, 2.0, True, "3", None, np.nan, [2]]
TWO_SIZES = [kind for kind in kinds() if "input_size" in signature(kind).parameters]


@pytest.mark.parametrize("kind", TWO_SIZES)
@pytest.mark.parametrize("bad", SIZES, ids=repr)
def test_sizes(kind, bad):
    make = partial(kind, **kind.variants[0])
    for what, given in (("input_size", (bad, 2)), ("hidden_size", (2, bad))):
        with pytest.raises(ValueError, match=f"{what} must be a positive integer; got"):
            make(*given)
    assert make(np.int64(2), 3).hidden_size == 3


NOT_A_CELL = [5, "lstm", mg.tanh, rc.LSTM, {"a": 1}]


@pytest.mark.parametrize("bad", NOT_A_CELL, ids=lambda x: getattr(x, "__name__", str(x)))
@pytest.mark.parametrize(
    "make",
    [
        rc.stack, rc.over_time, rc.bidirectional, lambda c: rc.bidirectional(RNN, c), rc.layered,
        rc.Hold, rc.SelfFeeding, rc.Dropout, rc.Zoneout, lambda c: rc.deep_input(c, [2]),
        lambda c: rc.deep_output(c, [2]), rc.deep_transition, lambda c: rc.Unshared(c, 2),
        lambda c: rc.ManyToMany(c, 2), lambda c: rc.ManyToOne(c, 2),
        lambda c: rc.OneToMany(c, 2, 2), lambda c: rc.dropout_masks(c, RNG, 2),
        lambda c: rc.zoneout_masks(c, RNG, 2, 2, 0.1),
        lambda c: rc.encoder_decoder(c, RNN, outputs=2),
        lambda c: rc.encoder_decoder(RNN, c, outputs=2),
    ],
)  # fmt: skip
def test_cells(make, bad):
    with pytest.raises(ValueError, match="must be a cell with init"):
        make(bad)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: rc.GRU(2, 3, reset_after=1), "GRU: reset_after must be True or False; got 1"),
        (lambda: rc.RNN(2, 3, "sin"), "RNN: activation must be 'tanh' or 'relu'; got 'sin'"),
        (lambda: rc.RNN(2, 3, ["tanh"]), "RNN: activation must be 'tanh' or 'relu'; got a list"),
        (lambda: rc.JordanRNN(2, 3, True), "JordanRNN: output_size must be a positive integer"),
        (lambda: rc.ProjectedLSTM(2, 3, 1.5), "ProjectedLSTM: proj_size must be a positive"),
        (lambda: rc.LeakyRNN(2, 3, np.nan), r"LeakyRNN: leak must be in \(0, 1\]; got nan"),
        (lambda: rc.LeakyRNN(2, 3, "a"), r"LeakyRNN: leak must be in \(0, 1\]; got 'a'"),
        (lambda: rc.EchoState(2, 3, np.inf), "spectral_radius must be positive; got inf"),
        (lambda: rc.EchoState(2, 3, input_scale=None), "input_scale must be at least 0; got None"),
        (lambda: rc.TreeLSTM(2, 3, True), "TreeLSTM: arity must be a positive integer; got True"),
        (lambda: rc.TimeDelay(2, 3, 1.0), "TimeDelay: span must be a positive integer; got 1.0"),
        (lambda: rc.Unshared(RNN, "2"), "Unshared: steps must be a positive integer; got '2'"),
        (lambda: rc.over_time(RNN, 1), "over_time: reverse must be True or False; got 1"),
        (lambda: rc.bidirectional(RNN, lookahead=True), "at least 0; got True"),
        (lambda: rc.deep_input(RNN, [True]), r"layers\[0\] must be a positive integer; got True"),
        (lambda: rc.deep_transition(RNN, [], 0), "shortcut must be True or False; got 0"),
        (lambda: rc.ManyToOne(RNN, 2, pool=None), "pool must be 'last' or 'mean'; got None"),
        (lambda: rc.OneToMany(RNN, 2, 2, start=1), "OneToMany: start must be True or False; got 1"),
        (lambda: rc.encoder_decoder(RNN, RNN, outputs=True), "outputs must be a positive integer"),
        (lambda: rc.encoder_decoder(RNN, RNN, outputs=2, attention=1), "attention must be one of"),
        (lambda: rc.dropout_masks(RNN, RNG, 2, np.nan), r"inputs must be in \[0, 1\); got nan"),
        (lambda: rc.dropout_masks(RNN, 0, 2), "rng must be a generator, np.random.default_rng"),
        (lambda: rc.dropout_masks(RNN, RNG, 2, dtype=int), "dtype must be a floating-point dtype"),
        (lambda: RNN.init("a"), "RNN.init: seed must be an integer of at least 0; got 'a'"),
        (lambda: rc.stack(RNN).init(-1), "init: seed must be an integer of at least 0; got -1"),
        (lambda: RNN.zero_state("x"), "RNN.zero_state: dtype must be a floating-point dtype"),
        (lambda: rc.parse(rc.ScoringNet(2, 3), {}, np.ones((2, 2)), beam=True), "beam must be"),
        (lambda: rc.parse(rc.ScoringNet(2, 3), {}, []), "parse: there are no sentences"),
        (lambda: rc.within(3, [1.5], 1), "within: lengths must be 1 integers, one per sequence"),
    ],
)  # fmt: skip
def test_options(call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call()


def test_the_arguments_of_unroll_in_another_order():
    p, x = RNN.init(0), np.ones((4, 2, 2))
    for call in (
        lambda: rc.unroll(p, RNN, x), lambda: rc.unroll(x, RNN, p), lambda: rc.unroll(x, p, RNN)
    ):  # fmt: skip
        with pytest.raises(TypeError, match=r"the order is unroll\(cell, params, xs\)"):
            call()
    with pytest.raises(ValueError, match=r"params\['W'\] is missing"):
        rc.unroll(RNN, x, p)
    with pytest.raises(TypeError, match=r"the order is unroll\(cell, params, xs\).*got <function"):
        rc.unroll(lambda p, h, x: (h, x), p, lambda: 0, np.zeros(3))


def test_one_sequence_with_a_matrix_per_step():
    def cell(p, h, x):
        return h + mg.sum(x), mg.sum(x)

    x = np.arange(12.0).reshape(2, 2, 3)
    for bad in (np.zeros(()), np.zeros(4)):
        with pytest.raises(ValueError, match=r"One sequence with a matrix per step has.*1, I, J"):
            rc.unroll(cell, {}, x, bad)
    with pytest.raises(ValueError, match=r"put in an axis of length 1: \(T, 1, I, J\)"):
        rc.unroll(lambda p, h, x: (h, h), {}, {"m": x, "v": x[:, 0]}, np.zeros(3))
    h, ys = rc.unroll(cell, {}, x[:, None], np.zeros(1))
    assert h.tolist() == [66.0] and ys.tolist() == [[15.0], [51.0]]


@pytest.mark.parametrize(
    "use",
    [
        lambda p, x, n: rc.unroll(RNN, p, x, lengths=n)[1],
        lambda p, x, n: rc.over_time(RNN)(p, x, n)[1],
        lambda p, x, n: rc.mean_squared_error(2 * x, x, lengths=n),
        lambda p, x, n: rc.ManyToOne(RNN, 1)({**OUT, "cell": p}, x, n),
    ],
)
def test_lengths_that_are_only_known_when_the_function_runs(use):
    p, x = RNN.init(0), RNG.standard_normal((4, 2, 2))
    f = mg.function(use)
    for n in ([4, 2], [1, 0]):
        wanted = mg.reference(use(*mg.tensors((p, x)), n))
        np.testing.assert_allclose(f(p, x, np.array(n)), wanted, atol=1e-13)
    assert len(f.traces) == 1


@pytest.mark.parametrize(
    "use",
    [
        lambda x, n: rc.bidirectional(RNN, lookahead=1)(
            {"forward": RNN.init(0), "backward": RNN.init(1)}, x, n
        ),
        lambda x, n: rc.TimeDelay(2, 2, 2)(rc.TimeDelay(2, 2, 2).init(0), x, n),
    ],
)
def test_lengths_that_must_be_known(use):
    with pytest.raises(TypeError, match="must be known while it is traced.*as a list or tuple"):
        mg.function(use)(np.ones((4, 2, 2)), np.array([4, 2]))


def test_lengths_as_a_list_inside_a_function():
    p, x = RNN.init(0), np.ones((4, 2, 2))
    f = mg.function(lambda p, x, n: rc.unroll(RNN, p, x, lengths=n)[1])
    for n in ([4, 2], [1, 3]):
        wanted = mg.reference(rc.unroll(RNN, p, x, lengths=np.array(n))[1])
        np.testing.assert_allclose(f(p, x, n), wanted, atol=1e-14)
