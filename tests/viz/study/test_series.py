"""The model of numbers: what it reads and is asked, without a leak, and its gradients."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
import recurrent as rc
from viz.study.corpus import Given, InputError
from viz.study.nets import SEQUENCES
from viz.study.series import Numbers
from viz.study.table import Asked, tabular
from viz.study.training import train

from .studies import series, tabled


def task_of(text, cell="gru", window=12, loss=None, **asked):
    return Numbers(
        cell, 4, tabular(Given(text, "the text given", []), Asked(**asked)), window, loss
    )


def changed(text, row, by="1000"):
    """The same table with all numbers from a row on replaced."""
    lines = text.split("\n")
    for k in range(row + 1, len(lines) - 1):
        lines[k] = ",".join([by, by, lines[k].split(",")[2]])
    return "\n".join(lines)


def test_standardised_by_what_is_trained_on():
    text = series()
    task = task_of(text)
    values = task.table.values[:48]
    np.testing.assert_allclose(task.mean, values.mean(axis=0))
    np.testing.assert_allclose(task.deviation, values.std(axis=0))
    np.testing.assert_allclose(task.units(task.values), task.table.values)
    assert task.held.sum() == 12 and task.held[48:].all()


def test_nothing_that_is_held_out_is_seen_by_training():
    text = series()
    first, again = task_of(text), task_of(changed(text, 48))
    a, b = train(first, 20, 0), train(again, 20, 0)
    assert a.losses == b.losses
    np.testing.assert_array_equal(a.params["W_y"], b.params["W_y"])


@pytest.mark.parametrize("window", [2, 5, 12, 100])
def test_each_row_held_out_is_predicted_once_from_earlier_ones(window):
    text = series(gaps=True)
    task = task_of(text, window=window)
    counts = np.zeros(len(task.inputs), int)
    for at, end, which in task.held_out():
        assert (at[which] < np.broadcast_to(end, at.shape)[which]).all()
        np.add.at(counts, at[which] + task.shift, 1)
    np.testing.assert_array_equal(counts, task.held.astype(int))
    params = task.init(0)
    made = task.outputs_at(params)
    assert np.isfinite(made[task.held]).all() and np.isnan(made[~task.held]).all()
    for row in (48, 53, 59):  # what comes from there on plays no part
        other = task_of(changed(text, row), window=window).outputs_at(params)
        np.testing.assert_allclose(made[48 : row + 1], other[48 : row + 1], rtol=1e-12)
        assert row == 59 or not np.allclose(made[row + 1], other[row + 1])


def test_series_do_not_run_into_each_other():
    text = "s,a\n" + "".join(f"{s},{np.sin(k * (1 + n)):.4f}\n" for k in range(30)
                             for n, s in enumerate("xyz"))  # fmt: skip
    task = task_of(text, series="s", window=8)
    rng = np.random.default_rng(0)
    spans = task.table.spans
    for start, end in zip(task.starts, task.ends, strict=True):
        ((a, b),) = [(a, b) for a, b in spans if a <= start < b]
        assert start + task.length <= end <= b - 1 - 6
    xs, answers, each, rows = task.batch(rng)
    assert xs.shape == (8, 8, 1) and rows.sum() == pytest.approx(1)
    for at, _, which in task.held_out():
        for column in range(at.shape[1]):
            a, b = next((a, b) for a, b in spans if a <= at[0, column] < b)
            assert (at[which[:, column], column] + 1 < b).all()


def test_missing_values_stand_in_and_have_no_loss():
    task = task_of(series(gaps=True))
    holes = np.isnan(task.table.values[:, 0])
    assert task.inputs.shape == (60, 3)
    np.testing.assert_array_equal(task.inputs[:, 2], ~holes)
    for k in np.flatnonzero(holes):
        assert task.inputs[k, 0] == task.inputs[k - 1, 0]
    run = task.forward(mg.tensors(task.init(0)))
    out, z = run.logits.numpy(), task.values[1 : 1 + len(task.at)]
    np.testing.assert_allclose(run.losses.numpy(), np.nanmean((out - z) ** 2, axis=-1))


@pytest.mark.parametrize("asked", [{}, {"target": "b"}, {"target": "larger"}])
@pytest.mark.parametrize("name", ["rnn", "lstm", "bidirectional", "sliding-window", "deep-gru"])
def test_every_task_runs_and_its_gradients_are_slopes(name, asked):
    task = task_of(series(gaps=True), name, **asked)
    params = task.init(1)
    batch = task.batch(np.random.default_rng(0))
    loss = lambda p: task.loss(p, *batch)  # noqa: E731
    gradient = mg.evaluate(mg.grad(loss(t := mg.tensors(params)), t))
    rng = np.random.default_rng(2)
    for key in ("W_y", "b_y"):
        d = rng.normal(size=params[key].shape)
        slope = [
            float(loss(mg.tensors({**params, key: params[key] + e * d}))) for e in (1e-5, -1e-5)
        ]
        assert (slope[0] - slope[1]) / 2e-5 == pytest.approx(
            float(np.vdot(gradient[key], d)), rel=1e-5, abs=1e-9
        )


def test_the_next_row_is_the_last_one_and_what_the_cell_adds():
    task = task_of(series())
    params = task.init(0)
    _, ys = rc.unroll(task.cell, params["cell"], task.inputs[task.at])
    out = task.inputs[task.at] + ys.numpy() @ params["W_y"] + params["b_y"]
    np.testing.assert_allclose(task.forward(mg.tensors(params)).logits.numpy(), out)


@pytest.mark.parametrize("name", SEQUENCES)
def test_every_cell_reads_rows(name):
    study = tabled(series(30), name, window=6)
    assert np.isfinite(study.training.losses).all()
    assert np.isfinite(study.models[0].results.held.loss)


def test_training_learns_a_wave():
    study = tabled(series(200), "gru", steps=350)
    assert study.training.losses[-1] < 0.5 * study.training.losses[0]
    found = study.models[0].results
    assert found.held.loss < found.forecast.baselines["mean"].loss


@pytest.mark.parametrize(
    ("text", "asked", "said"),
    [
        ("a,b\n" + "5,5\n" * 20, {}, "no column of numbers varies"),
        ("a,b\n" + "".join(f"{k * k},5\n" for k in range(20)), {"target": "b"}, "all its"),
        ("a\n" + "".join(f"{k * k}e300\n" for k in range(20)), {}, "no column of numbers varies"),
        (series(), {"loss": 99}, "there are 12 steps"),
    ],
)
def test_what_cannot_be_learnt_is_refused(text, asked, said):
    with pytest.raises(InputError, match=said):
        task_of(text, **asked)


def test_constant_columns_are_left_out():
    task = task_of("a,b\n" + "".join(f"{k * k % 17},5\n" for k in range(20)))
    assert task.columns == ["a"] and "column b, which is constant" in " ".join(task.notes)
