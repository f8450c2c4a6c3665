"""Every differentiable op, on its samples (`minigrad.testing.samples`)."""

import optree

import minigrad as mg
from minigrad import ops
from minigrad.ops.table import TABLE
from minigrad.testing.samples import SAMPLES, WITHOUT_DERIVATIVE, primitives


def recorded(sample, seed=0):
    """The inputs of a sample as Tensors, and the leaves of its result."""
    inputs = [mg.asarray(a) for a in sample.draw(seed)]
    return inputs, optree.tree_leaves(sample(*inputs))


# -- no op without a sample ------------------------------------------------------------------------


def test_every_public_function_has_a_sample_or_no_derivative():
    named = {s.op for s in SAMPLES}
    public = set(ops.__all__)
    assert public - named == WITHOUT_DERIVATIVE, "new functions need a sample (testing/samples.py)"


def test_every_primitive_with_a_rule_is_reached_by_a_sample():
    """By its value: what only derivatives reach has its own rule tried at higher orders only."""
    reached = {name for s in SAMPLES for name in primitives(recorded(s)[1])}
    ruled = {name for name, op in TABLE.items() if op.vjp}
    assert not ruled - reached, f"{ruled - reached} need a sample (testing/samples.py)"
    assert not reached - set(TABLE) - {"constant", "input", "recur", "proj"}
