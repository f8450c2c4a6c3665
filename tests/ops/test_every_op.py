"""Every differentiable op, on its samples (`minigrad.testing.examples.samples`).

Values and derivatives of first and second order, forwards and backwards, in every memory layout,
by every evaluator, inside recurrences and under `vmap`; and that no op is without a sample.
"""

import numpy as np
import optree
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad import ops
from minigrad.graph import toposort
from minigrad.ops.table import TABLE
from minigrad.testing import check_grads
from minigrad.testing.examples.domains import DOMAINS
from minigrad.testing.examples.samples import SAMPLES, WITHOUT_DERIVATIVE, primitives
from minigrad.testing.laws import close, dot

every_sample = pytest.mark.parametrize("sample", SAMPLES, ids=repr)
PLAIN = [s for s in SAMPLES if s.op != "recur"]
every_op = pytest.mark.parametrize("sample", PLAIN, ids=repr)


def leaves(sample, inputs):
    """The floating-point results of a sample's call."""
    return [t for t in optree.tree_leaves(sample(*inputs)) if t.dtype.kind == "f"]


def random(like, seed):
    rng = np.random.default_rng(seed)
    return [mg.asarray(rng.standard_normal(t.shape), dtype=t.dtype) for t in like]


def derivatives(sample, inputs):
    """Values, and in each mode: rev, fwd, rev over rev, fwd over rev."""
    inputs = [mg.asarray(x) for x in inputs]
    y = leaves(sample, inputs)
    u, v = random(y, 1), random(inputs, 2)
    g = mg.vjp(y, inputs, u)
    return {
        "values": y, "rev": g, "fwd": mg.jvp(y, inputs, v), "rev over rev": mg.vjp(g, inputs, v),
        "fwd over rev": mg.jvp(g, inputs, v),
    }  # fmt: skip


def identical(a, b):
    """Two pytrees of arrays, bit for bit."""
    for x, y in zip(optree.tree_leaves(a), optree.tree_leaves(b), strict=True):
        assert x.dtype == y.dtype and x.shape == y.shape
        np.testing.assert_array_equal(x, y)


# -- no op without a sample ------------------------------------------------------------------------


def test_every_public_function_has_a_sample_or_no_derivative():
    named = {s.op for s in SAMPLES}
    public = set(ops.__all__)
    assert public - named == WITHOUT_DERIVATIVE, "new functions need a sample (testing/samples.py)"


def test_every_primitive_with_a_rule_is_reached_by_a_sample():
    """By its value: what only derivatives reach has its own rule tried at higher orders only."""
    reached = {name for s in SAMPLES for name in primitives(leaves(s, map(mg.asarray, s.draw())))}
    ruled = {name for name, op in TABLE.items() if op.vjp}
    assert not ruled - reached, f"{ruled - reached} need a sample (testing/samples.py)"
    assert not reached - set(TABLE) - {"constant", "input", "recur", "proj"}


def test_derivatives_reach_no_op_without_a_sample():
    sampled = {s.op for s in SAMPLES}
    for s in SAMPLES:
        graphs = optree.tree_leaves(derivatives(s, s.draw()))
        for name in primitives(graphs) & set(TABLE):
            known = name in sampled or TABLE[name].vjp is None
            assert known or any(name in primitives(leaves(o, o.draw())) for o in SAMPLES), name


def test_samples_are_what_they_say():
    assert len({repr(s) for s in SAMPLES}) == len(SAMPLES)
    for s in SAMPLES:
        for a, b, c in zip(s.draw(3), s.draw(3), s.args, strict=True):
            assert a is not b and a.dtype == np.float64 and a.shape == c.shape
            np.testing.assert_array_equal(a, b)
    a = DOMAINS["distinct"].draw(np.random.default_rng(0), (4, 5)).ravel()
    assert np.diff(np.sort(a)).min() >= 0.3
    b = DOMAINS["not whole"].draw(np.random.default_rng(0), (50,))
    assert np.abs(b - np.rint(b)).min() >= 0.2


# -- derivatives -----------------------------------------------------------------------------------


UNDECIDED = {  # y (1 - y) has a relative error of 1e-6 at 30 (5e-19 in absolute terms)
    "sigmoid[far out]"
}


@every_sample
def test_orders_and_modes_agree(sample):
    """Consistency; that the rules are right is up to the oracles.

    At a kink the second derivatives of a convention need not be symmetric.
    """
    inputs = [mg.asarray(x) for x in sample.draw()]
    d = derivatives(sample, inputs)
    tol = 1e-6 if any(t.dtype == np.float32 for t in toposort(d["values"])) else 1e-11
    u, v = random(d["values"], 1), random(inputs, 2)
    one, other = mg.evaluate((dot(u, d["fwd"]), dot(d["rev"], v)))
    close(one, other, tol, "the adjoint identity")
    if not sample.kink:
        close(*mg.evaluate((d["rev over rev"], d["fwd over rev"])), tol, "symmetry of the Hessian")


def right(sample, seed):
    """Against slopes that no rule had a part in; at a kink the second is a convention's."""
    report = check_grads(sample.call, *sample.draw(seed), order=1 if sample.kink else 2)
    assert report.ok and (report.conclusive or repr(sample) in UNDECIDED), str(report)


@every_sample
def test_first_and_second_derivatives_are_right(sample):
    right(sample, seed=0)


@given(st.sampled_from(SAMPLES), st.integers(0, 2**32 - 1))
def test_derivatives_are_right_wherever_they_are_drawn(sample, seed):
    right(sample, seed)


LAYOUTS = {
    "strided": lambda a: np.repeat(a, 2, axis=-1)[..., ::2] if a.ndim else a,
    "reversed": lambda a: np.flip(np.flip(a).copy(order="C")),
    "transposed": lambda a: a.T.copy(order="C").T,
    "read-only": lambda a: _locked(a.copy()),
    "repeated": lambda a: np.broadcast_to(a[..., :1], a.shape) if a.ndim else a,
}


def _locked(a):
    a.flags.writeable = False
    return a


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_are_layouts(layout):
    a = LAYOUTS[layout](np.arange(6.0).reshape(2, 3))
    assert not (a.flags.c_contiguous and a.flags.writeable) and a.shape == (2, 3)


@pytest.mark.parametrize("layout", LAYOUTS)
@every_sample
def test_memory_layout_changes_nothing(sample, layout):
    laid = [LAYOUTS[layout](a) for a in sample.draw()]
    plain = [np.array(a, float, order="C") for a in laid]
    wanted = mg.evaluate(derivatives(sample, plain))
    identical(mg.evaluate(derivatives(sample, laid)), wanted)


@pytest.mark.slow
@every_sample
def test_a_compiled_function_takes_any_layout(sample):
    f = mg.function(lambda xs: derivatives(sample, xs))
    for layout in LAYOUTS.values():
        laid = tuple(layout(a) for a in sample.draw())
        plain = tuple(np.array(a, float, order="C") for a in laid)
        close(f(laid), f(plain), 1e-13)  # NumPy adds in the order of memory


@every_sample
def test_evaluators_agree(sample):
    inputs = sample.draw()
    graphs = derivatives(sample, inputs)
    wanted = mg.reference(graphs)
    close(mg.evaluate(graphs), wanted, 1e-12, "evaluate")
    close(mg.function(lambda xs: derivatives(sample, xs))(inputs), wanted, 1e-12, "function")


FAR = np.array([0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 1e300, -1e300, 1e-300])
ELEMENTWISE = [s for s in PLAIN if s.label == "square" and getattr(TABLE.get(s.op), "kind", "") == (
    "elementwise")]  # fmt: skip


@pytest.mark.parametrize("sample", ELEMENTWISE, ids=repr)
def test_evaluators_agree_far_out(sample):
    """NaN and inf in the same places, at every pair of special numbers."""
    inputs = [FAR] if len(sample.args) == 1 else [FAR[:, None], FAR[None, :]]
    y, g = (derivatives(sample, inputs)[k] for k in ("values", "rev"))
    wanted = mg.reference((y, g))
    close(mg.evaluate((y, g)), wanted, 1e-12, "evaluate")

    def both(xs):
        d = derivatives(sample, xs)
        return d["values"], d["rev"]

    close(mg.function(both)(tuple(inputs)), wanted, 1e-12, "function")


@pytest.mark.slow
@every_sample
def test_single_precision_stays(sample):
    inputs = tuple(a.astype(np.float32) for a in sample.draw())
    graphs = derivatives(sample, inputs)
    if sample.op == "astype":  # says which dtype it wants
        del graphs["values"], graphs["fwd"]
    found = {"recorded": graphs, "evaluate": mg.evaluate(graphs), "reference": mg.reference(graphs)}
    found["function"] = mg.function(lambda xs: derivatives(sample, xs))(inputs)
    for how, tree in found.items():
        for key in graphs:
            assert all(t.dtype == np.float32 for t in tree[key]), (how, key)


# -- inside a recurrence, and mapped ---------------------------------------------------------------

ROWS = 3


def stacked(sample):
    """Arguments for several calls, row after row.

    Those of exact points are turned round, which keeps them where they are special.
    """
    draws = [sample.draw(seed) for seed in range(ROWS)]
    return [mg.asarray(np.stack(rows)) for rows in zip(*draws, strict=True)]


def everything(ys, inputs):
    """Results with their gradient and a second derivative."""
    ys = list(ys)
    g = mg.vjp(ys, inputs, random(ys, 3))
    return ys, g, mg.vjp(g, inputs, random(inputs, 4))


def one_by_one(sample, inputs, shared=()):
    calls = [
        leaves(sample, [x if k in shared else x[n] for k, x in enumerate(inputs)])
        for n in range(ROWS)
    ]
    return [mg.stack(rows) for rows in zip(*calls, strict=True)]


def sharings(samples, names):
    """Each sample with rows of every argument; those of several also with their last one shared."""
    cases = [(s, share) for s in samples for share in (False, True)[: 1 + (len(s.args) > 1)]]
    ids = [f"{s!r}-{names[share]}" for s, share in cases]
    return pytest.mark.parametrize(("sample", "share"), cases, ids=ids)


@sharings(PLAIN, ("rows", "last shared"))
def test_inside_a_cell(sample, share):
    """Along a chain the op runs for many rows at once, rows first; a carry makes it wait."""
    inputs = stacked(sample)
    last = len(inputs) - 1
    if share:
        inputs[last] = mg.asarray(inputs[last].numpy()[0])  # a leaf of its own
    own = inputs[:last] if share else inputs
    state = mg.asarray(np.zeros((1,)))

    def cell(shared, carry, xs):
        args = [*xs, shared] if share else list(xs)
        ys = leaves(sample, args)
        return carry * 0.5 + sum((mg.sum(y) for y in ys), mg.asarray(0.0)), tuple(ys)

    found, ys = mg.recur(
        cell, mg.Structure.chain(ROWS), initial=state, shared=inputs[last] if share else None,
        inputs=tuple(own),
    )  # fmt: skip
    wanted_ys = one_by_one(sample, inputs, {last} if share else ())
    carry, carries = mg.asarray(0.0), []
    for n in range(ROWS):
        carry = carry * 0.5 + sum((mg.sum(y[n]) for y in wanted_ys), mg.asarray(0.0))
        carries.append(carry)
    recurrent = everything([*ys, found], inputs)
    wanted = mg.evaluate(everything([*wanted_ys, mg.stack(carries)], inputs))
    close(mg.evaluate(recurrent), wanted, 1e-11, "evaluate")
    close(mg.reference(recurrent), wanted, 1e-11, "reference")


@sharings(SAMPLES, ("all", "last shared"))
def test_mapped(sample, share):
    inputs = stacked(sample)
    last = len(inputs) - 1
    if share:
        inputs[last] = mg.asarray(inputs[last].numpy()[0])  # a leaf of its own
    axes = (*[0] * last, None if share else 0)
    ys = mg.vmap(lambda *xs: tuple(leaves(sample, xs)), in_axes=axes)(*inputs)
    mapped, looped = everything(ys, inputs), everything(
        one_by_one(sample, inputs, {last} if share else ()), inputs
    )  # fmt: skip
    wanted = mg.evaluate(looped)
    close(mg.evaluate(mapped), wanted, 1e-11, "evaluate")
    close(mg.reference(mapped), wanted, 1e-11, "reference")


# -- manners ---------------------------------------------------------------------------------------


@every_sample
def test_what_is_read_is_read_only_and_a_snapshot(sample):
    """Two gradients may be one node of the graph: nobody can write to one and change the other."""
    inputs = sample.draw()
    wanted = mg.evaluate(derivatives(sample, inputs))
    graphs = derivatives(sample, inputs)
    for a in inputs:
        a[...] = 99.0
    found = mg.evaluate(graphs)
    identical(found, wanted)
    for a in optree.tree_leaves(found):
        assert not a.flags.writeable and not any(np.shares_memory(a, x) for x in inputs)


def aliases(sample):
    """What goes wrong when the results of a compiled function, or its inputs, are written to."""
    inputs = sample.draw()
    kept = [a.copy() for a in inputs]
    f = mg.function(lambda xs: derivatives(sample, xs))
    arrays = optree.tree_leaves(f(inputs))
    wanted = [a.copy() for a in arrays]
    shared = any(
        np.shares_memory(a, b) for k, a in enumerate(arrays) for b in [*inputs, *arrays[:k]]
    )
    for a in arrays:
        a[...] = 99.0
    spoilt = not all(map(np.array_equal, inputs, kept))
    again = optree.tree_leaves(f(tuple(kept)))
    same = [np.array_equal(x, y, equal_nan=True) for x, y in zip(again, wanted, strict=True)]
    return shared or spoilt or not all(same) or not all(a.flags.writeable for a in arrays)


def test_results_of_a_compiled_function_never_alias():
    assert not [s for s in SAMPLES if aliases(s)]


def test_a_result_that_depends_on_no_input_is_handed_out_afresh():
    """What a compiled function computed when it was traced is its own."""
    f = mg.function(lambda x: (mg.asarray([0.0, 1.0]) * 2, mg.asarray([3.0]), x))
    x = np.ones(1)
    for a in f(x):
        a[...] = 99.0
    assert [a.tolist() for a in f(x)] == [[0.0, 2.0], [3.0], [1.0]]


@every_sample
def test_twice_is_the_same(sample):
    inputs = [mg.asarray(a) for a in sample.draw()]
    y = leaves(sample, inputs)
    u = random(y, 1)
    once, twice = (mg.evaluate(mg.vjp(y, inputs, u)) for _ in range(2))
    identical(once, twice)
    identical(mg.evaluate(derivatives(sample, inputs)), mg.evaluate(derivatives(sample, inputs)))


def test_ops_without_derivative_have_none():
    """Rounding and signs are flat: a gradient through them is zeros, not an error."""
    x = mg.asarray([0.3, -1.7, 2.2])
    for name in ("floor", "ceil", "trunc", "round", "sign", "stop_gradient"):
        assert mg.grad(mg.sum(getattr(mg, name)(x) * x) - mg.sum(x), x).shape == (3,)
        assert not mg.grad(mg.sum(getattr(mg, name)(x)), x).numpy().any()
