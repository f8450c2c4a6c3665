"""A wrong rule is found where it is: in a plain graph, in a rule of another op, in a recurrence."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
import recurrent as rc
from minigrad.testing import GradientError, check_grads
from minigrad.testing.checking.locate import locate

X = np.array([0.7, -1.2, 0.4])
RNG = np.random.default_rng(0)
double = mg.primitive("double", numpy=lambda x: 2 * x, vjp=lambda g, y, x: 2.002 * g)
triple = mg.primitive("triple", numpy=lambda x: 3 * x, vjp=lambda g, y, x: -3 * g)
right = mg.primitive("right", numpy=lambda x: 2 * x, vjp=lambda g, y, x: 2 * g)


def located(f, *args, **options):
    with pytest.raises(GradientError) as caught:
        check_grads(f, *args, **options)
    return caught.value.location


def test_the_first_wrong_op_is_named_with_its_name_shapes_and_line():
    def f(x):
        a = right(mg.sin(x)).named("a")
        b = double(a).named("b")  # the line
        return mg.sum(triple(b) * x)

    found = located(f, X)
    assert (found.op, found.name, found.shapes) == ("double", "b", ((3,),))
    assert "the line" in found.line and "factor 1.001" in str(found)


def test_right_rules_give_no_location():
    x = mg.asarray(X)
    assert locate([mg.sum(right(mg.sin(x)) * x)], [x], RNG) is None


def test_ops_that_do_not_depend_on_the_leaves_are_not_accused():
    x, other = mg.asarray(X), mg.asarray(X)
    assert locate([mg.sum(x * double(other))], [x], RNG) is None


def test_a_wrong_rule_of_the_table_is_found_where_it_is_used(monkeypatch):
    op = mg.sin(mg.asarray(X)).op
    old = op.vjp
    object.__setattr__(op, "vjp", lambda ct, node, wanted: [-old(ct, node, wanted)[0]])
    try:
        found = located(lambda x: mg.exp(mg.sin(x)), X)
    finally:
        object.__setattr__(op, "vjp", old)
    assert found.op == "sin" and "sign" in found.finding.diagnosis


def test_a_rule_that_is_right_but_uses_a_wrong_one_is_told_apart():
    outer = mg.primitive("outer", numpy=lambda x: 2 * x, vjp=lambda g, y, x: double(g))
    assert check_grads(outer, X, modes="rev").ok
    found = located(outer, X, modes="fwd")
    assert (found.op, found.rule) == ("double", "outer") and "in the rule of outer" in str(found)


def test_faults_of_composition_are_not_blamed_on_an_op():
    with pytest.raises(GradientError) as caught:
        check_grads(lambda x: x * x, X, reference=lambda u, x: u * x)
    assert caught.value.location is None and "put together" in str(caught.value)


def test_a_use_that_is_lost_is_named(monkeypatch):
    from minigrad import autodiff

    monkeypatch.setattr(autodiff, "added", lambda xs: xs[0])
    with pytest.raises(GradientError, match="lacks its use by sin"):
        check_grads(lambda x: mg.sin(x) + mg.exp(x), X, modes="rev")


# -- recurrences -----------------------------------------------------------------------------------


@pytest.mark.parametrize("reverse", [False, True])
def test_the_step_is_where_the_fault_first_shows(reverse):
    """A time step, whichever way the state flows, as `first_nonfinite` counts it."""
    late = mg.primitive(  # wrong only above 2
        "late", numpy=lambda x: x * 1.0, vjp=lambda g, y, x: mg.where(x > 2.0, 2 * g, g)
    )

    def cell(p, h, x):
        h = late(h + x * p["w"])
        return h, h

    def f(p, x):
        return mg.recur(
            cell, mg.Structure.chain([2, 4], reverse), initial=mg.zeros((1, 1)), shared=p, inputs=x
        )[1]

    found = located(f, {"w": np.ones(1)}, np.full((6, 1), 0.6), modes="rev")
    (place,) = found.places
    assert (found.op, place.step, place.sample) == ("late", 0 if reverse else 3, 1)
    assert (place.block, place.gate, place.parameters) == ("cell", None, ("w",))
    assert f"an unnamed value (reads w) of cell, step {place.step} of sample 1" in str(found)


def test_the_node_of_a_tree_is_named():
    def cell(p, children, x):
        h = double(children[0] + children[1]).named("h") * p["w"] + x
        return h, h

    def f(p, x):
        s = mg.Structure.forest([[], [], [0, 1]])
        return mg.recur(cell, s, initial=mg.zeros((1, 2)), shared=p, inputs=x)[1]

    found = located(f, {"w": np.ones(2)}, RNG.normal(size=(3, 2)), modes="rev")
    assert found.op == "double" and found.name == "h" and found.places[-1].node == 0
    assert "node 0 of sample 0" in str(found)


def test_a_block_called_in_a_recurrence_is_entered():
    @mg.block
    def inner(x):
        return double(x).named("inner")

    def cell(p, h, x):
        h = mg.tanh(inner(x) + h * p["w"])
        return h, h

    def f(p, x):
        return mg.recur(cell, mg.Structure.chain(3), initial=mg.zeros((1, 2)), shared=p, inputs=x)[
            1
        ]

    found = located(f, {"w": np.ones(2)}, RNG.normal(size=(3, 2)), modes="rev")
    assert found.op == "double" and found.name == "inner"
    assert [p.block for p in found.places] == ["cell", "inner"] and found.places[0].step == 0


def test_a_wrong_vjp_of_recur_itself_is_told_from_its_ops(monkeypatch):
    from minigrad.recur import RECUR

    old = RECUR.vjp
    object.__setattr__(
        RECUR, "vjp", lambda p, r, w: [None if g is None else 1.001 * g for g in old(p, r, w)]
    )
    cell = rc.RNN(2, 2)
    try:
        found = located(
            lambda p, x: rc.unroll(cell, p, x)[1],
            cell.init(0),
            RNG.normal(size=(3, 1, 2)),
            modes="rev",
        )
    finally:
        object.__setattr__(RECUR, "vjp", old)
    assert found.op == "recur" and "factor 1.001" in str(found)


@pytest.mark.parametrize("gate", ["i", "f", "o"])
def test_each_gate_of_an_lstm_can_be_the_one(gate):
    wrong = mg.primitive(
        "wrong", numpy=lambda x: 1 / (1 + np.exp(-x)), vjp=lambda g, y, x: 1.01 * g * y * (1 - y)
    )

    class Cell(rc.LSTM):
        def __call__(self, p, carry, x):
            h, c = carry
            a = {k: x @ p[f"W_{k}"] + h @ p[f"U_{k}"] + p[f"b_{k}"] for k in "ifog"}
            s = {k: (wrong if k == gate else mg.sigmoid)(a[k]).named(k) for k in "ifo"}
            c = (s["f"] * c + s["i"] * mg.tanh(a["g"])).named("c")
            h = (s["o"] * mg.tanh(c)).named("h")
            return (h, c), h

    cell = Cell(1, 1)
    found = located(
        lambda p, x: rc.unroll(cell, p, x)[1], cell.init(0), RNG.normal(size=(2, 1, 1)), modes="rev"
    )
    (place,) = found.places
    assert found.name == place.gate == gate and f"W_{gate}" in place.parameters
