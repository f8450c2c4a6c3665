"""evaluate keeps what it read, reference keeps nothing and trusts nothing; both read many at
once."""

import numpy as np
import pytest

import minigrad as mg
from minigrad.graph import bind
from minigrad.structure import Structure
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
    """Regression: it took values that evaluate had kept, so it agreed with whatever evaluate
    said."""
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
