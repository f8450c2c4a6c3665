"""How a call begins: which arrays are taken as they are, whose memory is lent, what is refused."""

import numpy as np
import pytest

import minigrad as mg
from minigrad.kernels import glue


class Sub(np.ndarray):
    pass


def step(p, x):
    return p["a"] * 2 + mg.sum(x), p["b"] - 1


def arguments():
    return {"a": np.arange(6.0).reshape(2, 3), "b": np.arange(4.0)}, np.ones(5)


def right(p, x):
    return p["a"] * 2 + x.sum(), p["b"] - 1


def unlike():
    """Arrays with the numbers of `x`, each unlike what the trace was made for in another way."""
    x = np.linspace(0, 1, 5)
    aside = np.zeros(41, np.uint8)[1:].view(np.float64)
    aside[:] = x
    return {
        "subclass": x.view(Sub), "view": x[:], "strided": np.repeat(x, 2)[::2],
        "other byte order": x.astype(">f8"), "not aligned": aside, "Tensor": mg.asarray(x),
        "read-only": np.require(x, requirements=["W"]).copy(), "reversed": x[::-1].copy()[::-1],
    }  # fmt: skip


@pytest.mark.parametrize("donate", [(), (0,)])
@pytest.mark.parametrize("kind", unlike())
@pytest.mark.parametrize("native", [True, False])
def test_arrays_that_look_unlike_those_of_the_trace(kind, donate, native, monkeypatch):
    if not native:
        monkeypatch.setattr(glue, "reads_objects", lambda: False)
    f = mg.function(step, donate=donate)
    f(*arguments()), f(*arguments())
    x = unlike()[kind]
    if kind == "read-only":
        x.flags.writeable = False
    p, _ = arguments()
    wanted = right(p, np.asarray(x, float))
    for got, want in zip(f(p, x), wanted, strict=True):
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("donate", [(), (0,)])
@pytest.mark.parametrize("wrong", [1.5, None, [1.0], "x", np.float64(2.0), np.ones(5, np.float32)])
def test_what_is_no_array_of_the_trace_is_another_trace(wrong, donate):
    f = mg.function(lambda a, b: (a * 2, b), donate=donate)
    a = np.arange(5.0)
    f(a.copy(), a), f(a.copy(), a)
    first, second = f(a.copy(), wrong)
    np.testing.assert_array_equal(first, a * 2)
    if isinstance(wrong, (np.ndarray, np.generic)):
        np.testing.assert_array_equal(second, wrong)
    else:
        assert second == wrong


def test_shapes_and_dtypes_are_looked_at_to_the_last_axis():
    f = mg.function(lambda x: x + 1)
    for shape in [(2, 3, 1, 2, 2), (2, 3, 1, 2, 3), (2, 3, 1, 2), (2, 3, 1, 3), (), (1,), (0,)] * 2:
        for dtype in (np.float32, np.float64):
            found = f(np.zeros(shape, dtype))
            assert found.shape == shape and found.dtype == dtype and (found == 1).all()


def test_an_array_given_twice_lends_nothing():
    f = mg.function(lambda a, b: (a + 1, b + 2), donate=(0, 1))
    f(np.zeros(3), np.zeros(3))
    same = np.zeros(3)
    first, second = f(same, same)
    np.testing.assert_array_equal(same, 0)
    np.testing.assert_array_equal([first, second], [[1.0] * 3, [2.0] * 3])


def test_memory_is_lent_again_after_a_call_that_lent_none():
    f = mg.function(lambda a, x: a + x, donate=(0,))
    a, x = np.zeros(3), np.ones(3)
    assert f(a, x) is a
    view = np.arange(6.0)[:3]
    assert f(view, x) is not view
    assert (view == [0, 1, 2]).all()
    assert f(a, x) is a and (a == 2).all()
    assert f(a, a[:]) is not a and (a == 2).all()


def test_integer_rows_by_number_as_a_result():
    """There was no kernel that copies integers to a result."""
    f = mg.function(lambda table, k: (mg.take(table, k), table))
    for _ in range(2):
        rows, table = f(np.arange(10).reshape(5, 2), np.array([3, -1, 0]))
        np.testing.assert_array_equal(rows, [[6, 7], [8, 9], [0, 1]])
        assert rows.dtype == table.dtype == np.int64


def test_rows_of_a_table_without_rows_are_refused():
    """The kernel had nothing to take, and what an earlier call left was returned."""
    f = mg.function(lambda table, k: (mg.take(table, k), mg.sum(table)))
    g = mg.function(lambda x, k: mg.grad(mg.sum(mg.take(x, k) ** 2), x))
    for dtype in (np.float32, np.int64):
        f(np.ones((3, 2), dtype), np.array([0, 1]))
        assert f(np.ones((0, 2), dtype), np.array([], int))[0].shape == (0, 2)
        with pytest.raises(IndexError, match="row 0 of a table with 0 rows"):
            f(np.ones((0, 2), dtype), np.array([0]))
    g(np.ones((3, 2)), np.array([0, 1]))
    with pytest.raises(IndexError, match="table with 0 rows"):
        g(np.ones((0, 2)), np.array([0]))


def test_one_result_in_lent_memory():
    f = mg.function(lambda a: a * 2, donate=0)
    a = np.arange(3.0)
    assert f(a) is a and f(a) is a and (a == [0, 4, 8]).all()
