"""evaluate keeps what it read, reference keeps nothing and trusts nothing.

Both read many at once.
"""

import numpy as np
import pytest

import minigrad as mg
from minigrad.graph import bind, placeholder
from minigrad.recur import SHARED, Block, proj, recurrence
from minigrad.structure import Structure, independent
from minigrad.testing.laws import close


def counting(name="counted"):
    calls = []

    def numpy(x):
        calls.append(x.shape)
        return x * 2.0

    op = mg.Primitive(name, "elementwise", lambda x: (x.shape, x.dtype), numpy)
    return calls, lambda x: bind(op, mg.asarray(x))


def test_pytrees_in_pytrees_out():
    a = mg.asarray([1.0, 2.0])
    found = mg.evaluate({"a": a, "b": [a * 2, (3, "text", None)]})
    assert found["a"].tolist() == [1.0, 2.0] and found["b"][0].tolist() == [2.0, 4.0]
    assert found["b"][1] == (3, "text", None)
    assert isinstance(mg.reference(a), np.ndarray)


def test_values_read_are_kept_values_between_are_not():
    calls, double = counting()
    middle = double([1.0])
    end = middle + 1
    assert end.tolist() == [3.0] and end.tolist() == [3.0]
    assert len(calls) == 1 and middle._value is None
    assert (end * 2).tolist() == [6.0] and len(calls) == 1


def test_many_at_once_share_their_work():
    calls, double = counting()
    shared = double([1.0])
    mg.evaluate([shared + 1, shared * 3, shared])
    assert len(calls) == 1


def test_the_reference_computes_from_the_leaves():
    """Regression: it took values that evaluate had kept, so it agreed whatever evaluate said."""
    calls, double = counting()
    t = double([1.0])
    y = t + 1
    mg.evaluate((t, y))
    object.__setattr__(y, "_value", np.array([99.0]))  # what a broken fast path would have left
    object.__setattr__(t, "_value", np.array([99.0]))
    assert mg.reference(y).tolist() == [3.0]
    assert len(calls) == 2


def test_reading_one_result_of_a_recurrence_runs_it_once_for_all():
    calls, double = counting()
    states, ys = mg.recur(
        lambda p, h, x: (double(h) + x, h),
        Structure.chain(3),
        initial=np.ones(1),
        inputs=np.ones(3),
    )
    assert ys.tolist() == [1.0, 3.0, 7.0]
    ran = len(calls)
    assert states.tolist() == [3.0, 7.0, 15.0] and len(calls) == ran


def test_levels_are_run_together():
    """Python does not loop over the nodes: 64 sequences of 5 steps are 5 calls."""
    calls, double = counting()
    states, _ = mg.recur(
        lambda p, h, x: (double(h) + x, h), Structure.chain([5] * 64), initial=np.ones(1),
        inputs=np.ones(320),
    )  # fmt: skip
    states.numpy()
    assert calls == [(64,)] * 5


def test_what_depends_on_no_state_is_computed_once_for_all_rows():
    """The input product before the loop, the output head behind it."""
    before, double = counting("before")
    after, head = counting("after")
    _, ys = mg.recur(
        lambda p, h, x: (mg.tanh(h + double(x)), head(h)), Structure.chain(6), initial=np.ones(1),
        inputs=np.ones(6),
    )  # fmt: skip
    ys.numpy()
    assert before == [(6,)] and after == [(6,)]


def test_an_error_while_computing_says_where_it_was_recorded():
    def numpy(x):
        raise FloatingPointError("no luck")

    op = mg.Primitive("unlucky", "elementwise", lambda x: (x.shape, x.dtype), numpy)
    t = bind(op, mg.asarray([1.0]))  # the line
    with pytest.raises(FloatingPointError, match="no luck") as caught:
        t.numpy()
    assert any("unlucky" in n and "# the line" in n for n in caught.value.__notes__)


def test_constants_and_broadcast_values_of_a_block():
    def cell(p, h, x):
        return h, mg.zeros(3) + 1.0

    _, ys = mg.recur(cell, Structure.chain(2), initial=np.ones(1), inputs=np.ones(2))
    close(ys.numpy(), np.ones((2, 3)), 0.0)
    close(mg.reference(ys), np.ones((2, 3)), 0.0)


CARRIES = {  # what leaves as the state: (p, h, x, q) -> (state, y)
    "shared": lambda p, h, x, q: (p, h),
    "computed of what is shared": lambda p, h, x, q: (mg.tanh(p), h + 1),
    "a constant": lambda p, h, x, q: (mg.asarray(np.arange(3.0)), h * 2 + x),
    "a table's row": lambda p, h, x, q: (q, h + 1),
    "computed of a table's row": lambda p, h, x, q: (mg.tanh(q), h * p),
    "an input's row": lambda p, h, x, q: (x, h * 3),
    "what arrived": lambda p, h, x, q: (h, h * 2),
    "all of it": lambda p, h, x, q: (mg.tanh(h * p + x), q * h),
}


@pytest.mark.parametrize("carry", CARRIES.values(), ids=CARRIES)
@pytest.mark.parametrize(
    "structure",
    [Structure.chain(4), Structure.chain([1, 3, 2], reverse=True),
     Structure.forest([[], [], [0, 1], [], [2, 3]]),
     Structure.edges(5, [0, 0, 1, 1], [1, 2, 3, 4])],
    ids=["chain", "ragged", "forest", "edges"],
)  # fmt: skip
def test_a_state_that_leaves_may_live_anywhere(carry, structure):
    """Regression: a state that all nodes share, or a table's row, arrived as zeros."""
    n, rng = structure.n, np.random.default_rng(0)
    t = mg.tensors({"p": rng.normal(size=3), "x": rng.normal(size=(n, 3)),
                    "q": rng.normal(size=(2, 3)), "start": rng.normal(size=(1, 3))})  # fmt: skip

    def cell(p, h, x):
        h = h[0] + h[1] * 2 if isinstance(h, tuple) else h
        return carry(p, h, *x)

    rows = np.arange(n) % 3 - 1
    out = mg.recur(
        cell, structure, initial=t["start"], shared=t["p"],
        inputs=(t["x"], mg.Indexed(t["q"], rows)),
    )  # fmt: skip
    g = mg.grad(sum(mg.sum(mg.sin(y) * np.arange(3.0)) for y in out), t)
    second = mg.grad(sum(mg.sum(y * y) for y in g.values()), t)
    close(mg.evaluate((out, g, second)), mg.reference((out, g, second)), 1e-12)


def test_an_inner_recurrence_may_leave_an_argument_unread():
    """Regression: a KeyError, where what it does not read was to be computed level by level."""

    def cell(p, h, x):
        states, _ = mg.recur(
            lambda p, h, x: (mg.tanh(h + 1), x), Structure.chain(2),
            initial=mg.expand_dims(h * x, axis=0), inputs=mg.stack([h * 2, x]),
        )  # fmt: skip
        return states[1], mg.sum(states, axis=0)

    x, start = mg.asarray(np.arange(6.0).reshape(3, 2)), mg.asarray(np.ones((1, 2)))
    states, ys = mg.recur(cell, Structure.chain(3), initial=start, inputs=x)
    tree = (states, ys, mg.grad(mg.sum(ys * ys), (x, start)))
    close(mg.evaluate(tree), mg.reference(tree), 1e-13)


def test_a_sum_over_no_nodes_is_zero():
    """Regression: what all nodes share was multiplied by their number, inf * 0."""
    p = placeholder((2,), np.dtype(float), "p")
    y = mg.tanh(p) + p
    w = mg.asarray(np.array([np.inf, 1.0]))
    r = recurrence(Block("f", (p,), (y,)), independent(0), [w], [SHARED])
    total = proj(r, y, SHARED)
    assert mg.evaluate(total).tolist() == mg.reference(total).tolist() == [0.0, 0.0]


def test_an_untouched_state_that_nobody_reads_is_left_out():
    """It is a slot and a port at once, and no part of what was asked for."""
    start = (np.ones((1, 2)), np.zeros((1, 3)))
    (first, rest), _ = mg.recur(lambda p, h, x: (h, ()), mg.Structure.chain(2), initial=start)
    del rest  # else it would be computed along with the first
    np.testing.assert_array_equal(mg.evaluate(first), mg.reference(first))


@pytest.mark.parametrize("shared", [np.inf, -np.inf, np.nan, 2.0])
def test_a_sum_over_nodes_does_not_go_through_an_infinite_product(shared):
    """inf * a + inf * b is NaN where a and b differ in sign; inf * (a + b) is not."""

    def cell(p, h, x):
        return h, (p["v"] * p["k"]) @ p["A"]

    arrays = {"v": np.array([shared, 1.0]), "k": np.array(1.0), "A": np.ones((2, 3))}
    p = mg.tensors(arrays)
    _, y = mg.recur(cell, mg.Structure.chain(3), initial=np.zeros((1, 1)), shared=p,
                    inputs=np.zeros((3, 1)))  # fmt: skip
    weights = np.array([[1.0, 1.0, 0.0], [-2.0, 1.0, 0.0], [3.0, 1.0, 0.0]])
    slope = mg.grad(mg.sum(y * weights), p["A"])
    np.testing.assert_array_equal(mg.evaluate(slope), mg.reference(slope))
    if not np.isfinite(shared):
        assert np.isnan(mg.reference(slope)[0, 0])
