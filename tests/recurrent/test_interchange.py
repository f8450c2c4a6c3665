"""State dicts and ONNX weights without their libraries: what fits, and what is refused."""

import numpy as np
import pytest

import minigrad as mg
import recurrent as rc
from minigrad.testing.laws import close

from .checks import random_params

ROUND = {
    "rnn": rc.RNN(3, 4),
    "lstm": rc.LSTM(3, 4),
    "gru": rc.GRU(3, 4),
    "projected": rc.ProjectedLSTM(3, 4, 2),
    "stack": rc.stack(rc.LSTM(3, 4), rc.LSTM(4, 4)),
    "layers": rc.layered(rc.bidirectional(rc.GRU(3, 4)), rc.bidirectional(rc.GRU(8, 4))),
}


@pytest.mark.parametrize("name", ROUND)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_there_and_back(name, dtype, tmp_path):
    import optree

    net = ROUND[name]
    params = optree.tree_map(lambda a: a.astype(dtype), random_params(net, 0))
    state = rc.to_torch(net, params)
    again, same = rc.from_torch(state)
    assert repr(again) == repr(net)
    close(same, params, 0)
    assert all(a.dtype == dtype for a in optree.tree_leaves(same))
    mg.save(tmp_path / "it.safetensors", state)
    close(rc.from_torch(tmp_path / "it.safetensors")[1], params, 0)
    for a in state.values():
        a += 1  # nothing is shared with the state dict
    close(same, params, 0)


def test_gates_lie_in_torchs_order_and_two_biases_add_up():
    """One unit: every number is seen where it belongs."""
    column = lambda *v: np.array(v, float)[:, None]  # noqa: E731
    state = {
        "weight_ih_l0": column(1, 2, 3, 4),
        "weight_hh_l0": column(5, 6, 7, 8),
        "bias_ih_l0": np.array([10.0, 20, 30, 40]),
        "bias_hh_l0": np.array([0.1, 0.2, 0.3, 0.4]),
    }
    _, p = rc.from_torch(state)
    assert {k: v.item() for k, v in p.items()} == {
        "W_i": 1, "W_f": 2, "W_g": 3, "W_o": 4, "U_i": 5, "U_f": 6, "U_g": 7, "U_o": 8,
        "b_i": 10.1, "b_f": 20.2, "b_g": 30.3, "b_o": 40.4,
    }  # fmt: skip
    three = {k: v[:3] for k, v in state.items()}
    _, p = rc.from_torch(three)
    assert [p[f"b_{g}"].item() for g in "rzn"] == [10.1, 20.2, 30] and p["c_n"].item() == 0.3
    onnx = {
        "W": state["weight_ih_l0"][None], "R": state["weight_hh_l0"][None],
        "B": np.array([[10.0, 20, 30, 40, 0.1, 0.2, 0.3, 0.4]]), "P": np.array([[1.0, 2, 3]]),
    }  # fmt: skip
    _, p = rc.from_onnx("LSTM", onnx)
    assert [p[f"W_{g}"].item() for g in "iofg"] == [1, 2, 3, 4]
    assert [p[f"b_{g}"].item() for g in "iofg"] == [10.1, 20.2, 30.3, 40.4]
    assert [p[f"p_{g}"].item() for g in "iof"] == [1, 2, 3]


def state_of(net=None, **changes):
    net = net or rc.LSTM(3, 4)
    state = rc.to_torch(net, random_params(net, 0)) | changes
    return {k: v for k, v in state.items() if v is not None}


def weights(op_type="LSTM", **changes):
    net = {"LSTM": rc.PeepholeLSTM, "GRU": rc.GRU, "RNN": rc.RNN}[op_type](3, 4)
    tensors = rc.to_onnx(net, random_params(net, 0))[1] | changes
    return {k: v for k, v in tensors.items() if v is not None}


def test_a_net_of_one_direction_is_its_cell():
    net, params = ROUND["stack"], random_params(ROUND["stack"], 0)
    for same in (rc.over_time(net), rc.layered(*net.cells)):
        close(rc.to_torch(same, params), rc.to_torch(net, params), 0)


Z = np.zeros
LAYERS = ROUND["layers"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: rc.from_torch(state_of(weight_xh_l0=Z(3))),
            "from_torch: weight_xh_l0 is no tensor of nn.RNN, nn.LSTM or nn.GRU; theirs are",
        ),
        (
            lambda: rc.from_torch(state_of(weight_hh_l0=Z((17, 4)))),
            "from_torch: weight_hh_l0 has shape (17, 4); expected (4, 4) for RNN or (12, 4) for "
            "GRU or (16, 4) for LSTM",
        ),
        (
            lambda: rc.from_torch(state_of(weight_ih_l0=Z((12, 3)))),
            "from_torch: weight_ih_l0 has shape (12, 3); expected (16, 3)",
        ),
        (
            lambda: rc.from_torch(state_of(bias_hh_l0=None)),
            "from_torch: bias_hh_l0 is missing; expected shape (16,)",
        ),
        (
            lambda: rc.from_torch(state_of(bias_hh_l0=Z(16, int))),
            "from_torch: bias_hh_l0 holds int64; expected floating-point numbers",
        ),
        (
            lambda: rc.from_torch(state_of(LAYERS, weight_ih_l1_reverse=Z((12, 4)))),
            "from_torch: weight_ih_l1_reverse has shape (12, 4); expected (12, 8)",
        ),
        (
            lambda: rc.from_torch(state_of(LAYERS, bias_ih_l0_reverse=None)),
            "from_torch: bias_ih_l0_reverse is missing; expected shape (12,)",
        ),
        (
            lambda: rc.from_torch(state_of(weight_hr_l0=Z((2, 4)))),
            "from_torch: weight_hr_l0 has shape (2, 4); expected (4, 4)",
        ),
        (
            lambda: rc.from_torch(state_of(ROUND["projected"], weight_hr_l0=Z((3, 4)))),
            "from_torch: weight_hr_l0 has shape (3, 4); expected (2, 4)",
        ),
        (lambda: rc.from_torch({}), "from_torch: weight_hh_l0 is missing; expected a matrix"),
        (
            lambda: rc.from_torch(state_of(), prefix="rnn."),
            "from_torch: weight_hh_l0 is missing; expected a matrix",
        ),
        (
            lambda: rc.from_torch(state_of(rc.RNN(3, 4)), nonlinearity="gelu"),
            "RNN: activation must be 'tanh' or 'relu'; got 'gelu'",
        ),
        (
            lambda: rc.to_torch(rc.LSTM(3, 4), rc.LSTM(3, 5).init(0)),
            "to_torch: W_i is (3, 5); LSTM(3, 4) has W_i (3, 4)",
        ),
        (
            lambda: rc.to_torch(rc.LSTM(3, 4), rc.GRU(3, 4).init(0)),
            "to_torch: W_i is missing; LSTM(3, 4) has W_i (3, 4)",
        ),
        (
            lambda: rc.to_torch(rc.RNN(3, 4), rc.RNN(3, 4).init(0) | {"V": Z(2)}),
            "to_torch: V is no parameter of RNN(3, 4): it has W, U, b",
        ),
        (
            lambda: rc.to_torch(ROUND["stack"], {"layer0": rc.LSTM(3, 4).init(0)}),
            "to_torch: params have no layer1, which stack(LSTM(3, 4), LSTM(4, 4)) needs",
        ),
        (
            lambda: rc.to_torch(rc.MGU(3, 4), rc.MGU(3, 4).init(0)),
            "to_torch: MGU(3, 4) has no counterpart there",
        ),
        (
            lambda: rc.to_torch(c := rc.GRU(3, 4, reset_after=False), c.init(0)),
            "to_torch: GRU(3, 4) in layer 0 is not what torch has",
        ),
        (
            lambda: rc.to_torch(c := rc.stack(rc.LSTM(3, 4), rc.LSTM(4, 5)), c.init(0)),
            "to_torch: LSTM(4, 5) in layer 1 is not what torch has",
        ),
        (
            lambda: rc.to_torch(rc.LSTM(3, 4), rc.LSTM(3, 4).init(0), bias=False),
            "to_torch: bias=False but the biases of layer 0 are not 0",
        ),
        (
            lambda: rc.from_onnx("Elman", {}),
            "from_onnx: op_type must be RNN, LSTM or GRU; got 'Elman'",
        ),
        (
            lambda: rc.from_onnx("GRU", weights()),
            "from_onnx: P is no weight of GRU: W, R, B",
        ),
        (
            lambda: rc.from_onnx("LSTM", weights(W=Z((1, 15, 3)))),
            "from_onnx: W has shape (1, 15, 3); expected (1, 4 * hidden_size, input_size)",
        ),
        (
            lambda: rc.from_onnx("LSTM", weights(R=None)),
            "from_onnx: R is missing; expected shape (1, 16, 4)",
        ),
        (
            lambda: rc.from_onnx("LSTM", weights(B=Z((1, 16)))),
            "from_onnx: B has shape (1, 16); expected (1, 32)",
        ),
        (
            lambda: rc.from_onnx("LSTM", weights(), hidden_size=5),
            "from_onnx: W has shape (1, 16, 3); expected (1, 20, 3)",
        ),
        (
            lambda: rc.from_onnx("LSTM", weights(), direction="bidirectional"),
            "from_onnx: W has shape (1, 16, 3); expected (2, 16, 3)",
        ),
        (
            lambda: rc.from_onnx("LSTM", weights(), direction="sideways"),
            "from_onnx: direction must be forward, reverse or bidirectional; got 'sideways'",
        ),
        (
            lambda: rc.from_onnx("LSTM", weights(), input_forget=1),
            "from_onnx: attribute input_forget=1 has no counterpart here",
        ),
        (
            lambda: rc.from_onnx("LSTM", weights(), clip=2.0),
            "from_onnx: attribute clip=2.0 has no counterpart here",
        ),
        *(
            (
                lambda given=given: rc.from_onnx("LSTM", weights(), **given),
                f"from_onnx: attribute {next(iter(given))}={next(iter(given.values()))!r} has no c",
            )
            for given in ({"clip": 0.0}, {"clip": 0}, {"whatever": 0}, {"input_forget": False})
        ),
        (lambda: rc.from_onnx("LSTM", weights(), layout="x"), "from_onnx: layout must be 0 or 1"),
        (
            lambda: rc.from_onnx("GRU", weights("GRU"), linear_before_reset=0.5),
            "from_onnx: linear_before_reset must be 0 or 1; got 0.5",
        ),
        (
            lambda: rc.from_onnx("LSTM", weights(), hidden_size="4"),
            "from_onnx: hidden_size must be a positive integer; got '4'",
        ),
        (lambda: rc.from_onnx("LSTM", weights(), activations=5), "from_onnx: activations=5"),
        (lambda: rc.from_onnx("LSTM", [1]), "from_onnx: tensors must be a dict of arrays"),
        (lambda: rc.from_onnx("LSTM", {"W": "x"}), "from_onnx: W must be numbers; got 'x'"),
        (lambda: rc.from_onnx(["LSTM"], {}), "from_onnx: op_type must be RNN, LSTM or GRU"),
        (lambda: rc.from_torch(5), "from_torch: state must be a dict of arrays"),
        (lambda: rc.from_torch({1: np.ones(2)}), "from_torch: the names of tensors are texts"),
        (lambda: rc.from_torch({"weight_ih_l0": "x"}), "from_torch: weight_ih_l0 must be numbers"),
        (lambda: rc.from_torch({}, prefix=None), "from_torch: prefix must be a text"),
        (lambda: rc.to_torch(ROUND["stack"], [1]), "to_torch: params must be a dict"),
        (lambda: rc.to_onnx(5, {}), "to_onnx: 5 has no counterpart there"),
        (
            lambda: rc.from_onnx("GRU", weights("GRU"), activations=["Relu", "Tanh"]),
            "from_onnx: activations=['Relu', 'Tanh']; expected ['Sigmoid', 'Tanh'] for each",
        ),
        (
            lambda: rc.to_onnx(ROUND["projected"], ROUND["projected"].init(0)),
            "to_onnx: ProjectedLSTM(3, 4, 2) is not what one operator of ONNX computes",
        ),
        (
            lambda: rc.to_onnx(ROUND["stack"], ROUND["stack"].init(0)),
            "to_onnx: stack(LSTM(3, 4), LSTM(4, 4)) is not what one operator of ONNX computes",
        ),
    ],
)
def test_what_does_not_fit_is_named(make, message):
    with pytest.raises((TypeError, ValueError)) as caught:
        make()
    assert str(caught.value).startswith(message), str(caught.value)


def test_a_missing_or_damaged_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no file"):
        rc.from_torch(tmp_path / "none.safetensors")
    (tmp_path / "bad.safetensors").write_bytes(b"nothing of the kind")
    with pytest.raises(ValueError, match="not a whole safetensors file"):
        rc.from_torch(tmp_path / "bad.safetensors")


def test_a_node_whose_weights_are_not_there():
    class Node:
        op_type, input, attribute = "GRU", ["X", "weights", "R"], []

    with pytest.raises(ValueError, match="W of the GRU node is the tensor 'weights', which is not"):
        rc.onnx_node(Node, {"R": Z((1, 12, 4))})
