"""Tensors pickle as flat lists of nodes.

Any depth, identities kept, recurrences and their blocks included.
"""

import copy
import pickle
import subprocess
import sys

import numpy as np
import optree
import pytest

import minigrad as mg
import recurrent as rc
from minigrad.graph import toposort
from minigrad.manners import pickling
from minigrad.recur import PROJ, parts_of
from minigrad.testing.examples.problems import KINDS, make_problem
from minigrad.testing.laws import LAWS, close, record

PROTOCOLS = range(2, pickle.HIGHEST_PROTOCOL + 1)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_graph_comes_back_with_names_and_identities(protocol):
    a = mg.asarray([1.0, 2.0], name="a")
    b = mg.tanh(a).named("b")
    loss = mg.sum(b * b + a)
    back = pickle.loads(pickle.dumps({"loss": loss, "again": loss, "a": a, "b": b}, protocol))
    assert back["loss"] is back["again"] and back["loss"] is not loss
    assert (back["a"].name, back["b"].name) == ("a", "b")
    assert back["b"].inputs[0] is back["a"]
    close(mg.evaluate(mg.grad(back["loss"], back["a"])), mg.evaluate(mg.grad(loss, a)), 0.0)
    with pytest.raises(ValueError, match="read-only"):
        back["a"].numpy()[0] = 3.0


@pytest.mark.parametrize("kind", KINDS)
def test_recurrences_and_their_gradients_come_back(kind):
    problem = make_problem(kind, 11)
    t, states, outputs, loss = record(problem)
    everything = (t, states, outputs, loss, mg.grad(loss, t))
    t2, states2, outputs2, loss2, grads2 = pickle.loads(pickle.dumps(everything))
    close(mg.evaluate((states2, outputs2, loss2, grads2)), mg.evaluate(everything[1:]), 0.0)
    close(
        mg.evaluate(mg.grad(loss2, t2)), mg.evaluate(grads2), 0.0
    )  # differentiated again, after the trip
    close(mg.reference(loss2), mg.evaluate(loss), 1e-12)
    unfolded = mg.unfold(loss2)
    close(mg.evaluate(unfolded), mg.evaluate(loss), 1e-12)
    for p in toposort([loss2]):
        if p.op is PROJ:
            nodes = parts_of(p.inputs[0]).block
            assert p.attrs["ref"] in set(
                toposort([*nodes.outputs, *nodes.ports.values(), *nodes.inputs])
            )
            key = p.attrs["ref"], p.attrs["via"]
            assert p.inputs[0].attrs["projections"].get(key) is p


def test_calls_stay_calls():
    f = mg.block(lambda a: mg.tanh(a) * 2)
    back = pickle.loads(pickle.dumps(f(mg.asarray([1.0]))))
    assert (
        mg.unfold(back) is back
    )  # a call over the one-node structure is not a recurrence to unfold


def test_depth_does_not_matter():
    t = mg.asarray(0.5)
    chain = [t]
    for _ in range(20_000):
        chain.append(mg.sin(chain[-1]))
    back = pickle.loads(pickle.dumps(chain[-1]))
    assert float(back) == float(chain[-1])
    many = pickle.loads(pickle.dumps(chain[:3000]))  # each shares its nodes with the one before
    assert all(u.inputs[0] is v for v, u in zip(many, many[1:], strict=False))
    assert len(pickle.dumps(chain[:3000])) < 3 * len(pickle.dumps(chain[2999]))


def test_the_python_pickler_agrees():
    t = mg.asarray(0.5)
    for _ in range(3000):
        t = mg.cos(t)
    assert float(pickle.loads(pickle._dumps(t))) == float(t)


def test_nothing_is_left_behind():
    before = len(pickling._archive_of)
    pickle.dumps(mg.asarray([1.0]) * 2)
    assert len(pickling._archive_of) == before


def test_copies_are_the_tensor_itself():
    a = mg.asarray([1.0, 2.0])
    loss = mg.sum(a * a)
    params, other = copy.deepcopy(({"a": a}, loss))
    assert params["a"] is a and other is loss and copy.copy(a) is a
    assert mg.grad(other, params)["a"].numpy().tolist() == [2.0, 4.0]


def test_another_process_reads_it(tmp_path):
    cell = rc.LSTM(2, 3)
    p = mg.tensors(cell.init(0))
    _, ys = rc.unroll(cell, p, np.ones((3, 2, 2)), lengths=[3, 1])
    loss = mg.sum(mg.square(ys))
    (tmp_path / "t.pickle").write_bytes(pickle.dumps((p, loss)))
    code = (
        "import pickle, sys, minigrad as mg\n"
        "p, loss = pickle.load(open(sys.argv[1], 'rb'))\n"
        "print(repr(float(loss)), repr(float(mg.sum(mg.grad(loss, p)['W_i']))))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "t.pickle")],
        capture_output=True,
        text=True,
        check=True,
    )
    wanted = [float(loss), float(mg.sum(mg.grad(loss, p)["W_i"]))]
    assert [float(v) for v in done.stdout.split()] == wanted


def test_forests_and_structures_come_back():
    s = rc.structure(["(1 (2 a) (3 b))", "(1 c)"])
    back = pickle.loads(pickle.dumps(s))
    assert isinstance(back, rc.Forest) and back.words.tolist() == s.words.tolist()
    assert back.transpose().src.tolist() == s.transpose().src.tolist()


def test_laws_hold_for_what_came_back():
    """A problem whose arrays went through pickle: the ledger still adds up to the gradient."""
    problem = make_problem("dag", 3)
    t, _, _, loss = pickle.loads(pickle.dumps(record(problem)))
    w = t["shared"]["W"]
    close(mg.evaluate(mg.contributions(loss, w)).sum(0), mg.evaluate(mg.grad(loss, w)), 1e-12)
    assert "contributions_add_up" in LAWS and optree.tree_leaves(t)


def test_an_unknown_primitive_is_refused():
    from minigrad.graph import Primitive, bind

    op = Primitive("mine", "elementwise", lambda x: (x.shape, x.dtype), lambda x: x)
    with pytest.raises(pickle.PicklingError, match="mine"):
        pickle.dumps(bind(op, mg.asarray([1.0])))
