"""All RNN, LSTM and GRU cases of the ONNX standard, and ours run by onnx's reference evaluator."""

from __future__ import annotations

import inspect
import warnings

import numpy as np
import pytest

import minigrad as mg
import recurrent as rc
from minigrad.testing.laws import close

from ..recurrent.checks import random_params

onnx = pytest.importorskip("onnx", reason="onnx is not installed: its node cases are not run")

INPUTS = ("X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P")


def cases():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # other operators' cases overflow while they are made
        from onnx.backend.test.case.node import collect_testcases

        needed = inspect.signature(collect_testcases).parameters
        found = collect_testcases(*[None] * len(needed))
    single = [c for c in found if len(c.model.graph.node) == 1]
    return {c.name: c for c in single if c.model.graph.node[0].op_type in ("RNN", "LSTM", "GRU")}


CASES = cases()


def run(net, params, given, attributes):
    """An ONNX operator: inputs by their names in the standard, outputs Y, Y_h and Y_c."""
    ways = 2 if attributes.get("direction") == "bidirectional" else 1
    layout = attributes.get("layout", 0)
    swap = (lambda a: np.swapaxes(a, 0, 1)) if layout else (lambda a: a)
    start = [swap(given[n]) for n in ("initial_h", "initial_c") if n in given]
    carry = None
    if start:
        each = [tuple(s[w] for s in start) for w in range(ways)]
        each = [e if len(e) > 1 else e[0] for e in each]
        carry = tuple(each) if ways > 1 else each[0]
    xs, lengths = swap(given["X"]), given.get("sequence_lens")
    if hasattr(net, "zero_state"):
        net = rc.over_time(net)
    final, ys = mg.evaluate(net(params, xs, lengths, carry))
    states = [s if isinstance(s, tuple) else (s,) for s in (final if ways > 1 else (final,))]
    time, batch, _ = ys.shape
    y = np.moveaxis(ys.reshape(time, batch, ways, -1), 2, 1)
    finals = [np.stack(leaf) for leaf in zip(*states, strict=True)]
    if layout:
        return [np.moveaxis(y, 2, 0), *map(swap, finals)]
    return [y, *finals]


def test_there_are_eighteen_cases():
    assert len(CASES) == 18


@pytest.mark.parametrize("name", CASES)
def test_cases_of_the_standard(name):
    case = CASES[name]
    (node,) = case.model.graph.node
    for arrays, wanted in case.data_sets:
        places = [n for n in node.input if n]
        by_name = dict(zip(places, arrays, strict=True))
        given = {INPUTS[k]: by_name[n] for k, n in enumerate(node.input) if n}
        op_type, tensors, attributes = rc.onnx_node(node, by_name)
        net, params = rc.from_onnx(op_type, tensors, **attributes)
        found = run(net, params, given, attributes)
        shown = [a for a, n in zip(found, node.output, strict=False) if n]
        for a, b in zip(shown, wanted, strict=True):
            assert a.shape == b.shape and a.dtype == b.dtype
            np.testing.assert_allclose(a, b, rtol=case.rtol, atol=case.atol)
        again = rc.from_onnx(*(back := rc.to_onnx(net, params))[:2], **back[2])
        assert repr(again[0]) == repr(net)
        close(again[1], params, 0)


NETS = {
    "rnn": rc.RNN(3, 4),
    "relu": rc.over_time(rc.RNN(3, 4, "relu"), reverse=True),
    "gru": rc.GRU(3, 4),
    "gru before": rc.bidirectional(rc.GRU(3, 4, reset_after=False)),
    "lstm": rc.bidirectional(rc.LSTM(3, 4)),
    "peephole": rc.PeepholeLSTM(3, 4),
    "two activations": rc.bidirectional(rc.RNN(3, 4, "relu"), rc.RNN(3, 4)),
}


@pytest.mark.parametrize("name", NETS)
def test_ours_come_back(name):
    net = NETS[name]
    params = random_params(net, 1)
    op_type, tensors, attributes = rc.to_onnx(net, params)
    again, same = rc.from_onnx(op_type, tensors, **attributes)
    assert repr(again) == repr(net)
    close(same, params, 0)


@pytest.mark.parametrize("name", ["rnn", "gru", "gru before", "lstm", "peephole"])
def test_ours_in_onnx(name):
    """Checked by onnx and run by its reference evaluator, in one direction and float32."""
    from onnx import TensorProto, helper
    from onnx.reference import ReferenceEvaluator

    net = getattr(NETS[name], "cell", NETS[name])
    params = {k: v.astype(np.float32) for k, v in random_params(net, 2).items()}
    op_type, tensors, attributes = rc.to_onnx(net, params)
    names = ["X", "W", "R", "B", "", "", "", "P"] if "P" in tensors else ["X", "W", "R", "B"]
    node = helper.make_node(op_type, names, ["Y", "Y_h"], **attributes)
    x = np.random.default_rng(3).standard_normal((5, 2, 3)).astype(np.float32)

    def info(name, shape):
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    inputs = [info(n, a.shape) for n, a in ({"X": x} | tensors).items()]
    outputs = [info("Y", [None] * 4), info("Y_h", [None] * 3)]
    graph = helper.make_graph([node], "one", inputs, outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    wanted = ReferenceEvaluator(model).run(None, {"X": x, **tensors})
    found = run(net, params, {"X": x}, attributes)
    for a, b in zip(found, wanted, strict=False):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
