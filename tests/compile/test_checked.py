"""Functions that never return NaN or infinity: what they refuse, and in which words."""

import numpy as np
import pytest

import minigrad as mg
import recurrent as rc

NAN, INF = float("nan"), float("inf")


def lstm_step(params, xs):
    _, ys = rc.unroll(rc.LSTM(2, 3), params, xs, lengths=[4, 2])
    loss = mg.sum(mg.log(mg.sum(ys * ys, axis=-1) + 1e-9))
    return {"loss": loss, "grads": mg.grad(loss, params)}


def test_a_checked_function_returns_what_an_unchecked_one_does():
    params = rc.LSTM(2, 3).init(0)
    xs = np.random.default_rng(1).normal(size=(4, 2, 2))
    plain, checked = mg.function(lstm_step), mg.function(lstm_step, nan_check=True)
    assert type(plain) is not type(checked)
    a, b = plain(params, xs), checked(params, xs)
    assert a["loss"] == b["loss"]
    xs[3, 0, 1] = NAN
    assert np.isnan(plain(params, xs)["loss"])
    with pytest.raises(FloatingPointError) as error:
        checked(params, xs)
    text = str(error.value)
    assert text.startswith("lstm_step: result grads.U_f, grads.U_g, grads.U_i and 10 more holds ")
    assert "holds nan (element [3, 0, 1] of shape [4, 2, 2], 1 of 16 elements)" in text
    assert "What to do: check the data" in text
    xs[3, 0, 1] = 0.0
    assert np.isfinite(checked(params, xs)["loss"])


def test_a_checked_function_names_the_step_of_a_gradient_inside():
    def cell(p, h, x):
        norm = mg.sqrt(mg.sum(x * x)).named("norm")
        new = mg.tanh(norm * p["w"] + h).named("h")
        return new, new

    def gradient(p, xs):
        structure = mg.Structure.chain([2, 3])
        ys = mg.recur(cell, structure, initial=np.zeros((1, 1)), shared=p, inputs=xs)[1]
        return mg.grad(mg.sum(ys), xs)

    f = mg.function(gradient, nan_check=True)
    params, xs = {"w": np.ones(1)}, np.ones((5, 2))
    f(params, xs)
    xs[3] = 0.0
    for _ in range(2):  # the second call takes whatever fast lane the first one set up
        with pytest.raises(FloatingPointError) as error:
            f(params, xs)
        text = str(error.value)
        assert text.startswith("gradient: the result holds NaN or inf. It began here:\n0.5 / 0 is ")
        assert "in the backward pass, op divide" in text
        assert "of the gradient of sqrt (named 'norm'), recorded at" in text
        assert "norm of cell', step 1 of sample 1" in text
        assert "What to do: keep the divisor away from 0" in text


def test_kinds_of_a_checked_function():
    f = mg.function(lambda x: mg.log(x), nan_check="nan")
    assert f(np.array([0.0]))[0] == -INF
    with pytest.raises(FloatingPointError, match=r"holds NaN\. It began here:\nlog of -1 is nan"):
        f(np.array([-1.0]))
    g = mg.function(lambda x: mg.exp(x) - mg.exp(x), nan_check=("nan",))
    with pytest.raises(FloatingPointError, match="inf - inf is nan"):
        g(np.array([1000.0]))
    with pytest.raises(ValueError, match="'nan', 'inf' or both"):
        mg.function(lambda x: x, nan_check="all")
    assert np.isnan(mg.function(lambda x: mg.log(x))(np.array([-1.0])))


def test_inside_another_trace_a_checked_function_is_part_of_it():
    inner = mg.function(lambda x: mg.log(x), nan_check=True)
    outer = mg.function(lambda x: mg.where(x > 0, inner(x), 0.0), nan_check=True)
    assert outer(np.array([-1.0, 1.0])).tolist() == [0.0, 0.0]


def test_a_value_read_twice_by_its_last_reader_is_dropped_once():
    structure = mg.Structure.chain(3)

    def f(x):
        states, _ = mg.recur(
            lambda p, h, v: (h + v, v), structure, initial=np.zeros((1,)), inputs=x
        )
        y = mg.reshape(states, (3, 1))
        return mg.sum(y * y)

    assert mg.function(f)(np.ones(3)) == 14.0


def test_a_fault_the_search_cannot_reproduce_is_still_refused(monkeypatch):
    monkeypatch.setattr("minigrad.run.nonfinite.find", lambda *a, **k: None)
    f = mg.function(lambda x: {"y": mg.log(x)}, nan_check=True)
    with pytest.raises(FloatingPointError, match="result y holds NaN or inf, which the reference"):
        f(np.array([-1.0]))
