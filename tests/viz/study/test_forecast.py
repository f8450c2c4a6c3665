"""Baselines, scores and continuations of numbers, against loops; the saved model, used again."""

from __future__ import annotations

import html
import re

import numpy as np
import pytest

import minigrad as mg
import recurrent as rc
from tests.counting import some
from viz.out.render import engine
from viz.study.findings import results_lines
from viz.study.forecast import AHEAD, SPAN, baselines, continued, score
from viz.study.report import build, write

from .studies import series, tabled

needs_graphviz = pytest.mark.skipif(engine() is None, reason="no Graphviz on PATH, no pygraphviz")


def test_too_few_rows_to_fit_are_not_fitted():
    study = tabled(series(9))
    assert study.models[0].results.held is None
    assert set(study.models[0].results.forecast.baselines) == {"last value", "mean"}
    assert "better" not in " ".join(results_lines(study))


def test_baselines_of_numbers():
    task = tabled(series(gaps=True)).task
    found = baselines(task)
    last, seen = found["last value"], np.zeros(2)
    for t, row in enumerate(task.values):
        np.testing.assert_array_equal(last[t], seen)
        seen = np.where(np.isnan(row), seen, row)
    assert (found["mean"] == 0).all()
    # the sliding window is a linear function of the rows before, nothing later
    rows = np.flatnonzero(~np.isnan(task.values).any(axis=-1) & ~task.held)
    rows = rows[rows >= 1]
    wide = np.array([[task.inputs[max(t - 1 - k, 0)] for k in range(SPAN)] for t in rows])
    wide = wide.reshape(len(rows), -1)
    fit = rc.ridge_readout(wide, task.values[rows], 1e-3 * len(rows))
    np.testing.assert_allclose(found[f"linear, of {SPAN} rows"][rows], wide @ fit["V"] + fit["c"])


def test_baselines_of_classes():
    study = tabled(series(), target="larger")
    task, others = study.task, study.models[0].results.forecast.baselines
    known, held = task.answers, np.flatnonzero(task.held)
    assert others["class of the row before"].accuracy == np.mean(known[held] == known[held - 1])
    often = np.bincount(known[~task.held]).argmax()
    assert others["the most frequent class"].accuracy == np.mean(known[held] == often)
    table = study.models[0].results.forecast.confusion
    assert table.sum() == len(held)
    assert np.trace(table) / table.sum() == study.models[0].results.held.accuracy


def test_scores_are_in_units():
    task = tabled(series(gaps=True)).task
    p = np.random.default_rng(0).normal(size=task.values.shape)
    found = score(task, p, task.held)
    true, said = task.table.values[task.held][:, :2], task.units(p)[task.held]
    np.testing.assert_allclose(found.errors, np.sqrt(np.nanmean((true - said) ** 2, axis=0)))
    z = (task.values - p)[task.held]
    assert found.loss == pytest.approx(np.nanmean(z**2, axis=1).mean()) and found.count == 12


@pytest.mark.parametrize("cell", ["lstm", "sliding-window"])
def test_a_continuation_reads_what_it_predicted(cell):
    study = tabled(series(gaps=True), cell, window=10)
    task, params = study.task, study.training.params
    made = continued(task, params)
    rows = task.inputs[-10:]
    assert len(made) == min(AHEAD, 10)
    for k in range(len(made)):
        read = rows if cell == "lstm" else rows[-10:]
        xs = mg.asarray(read)
        unrolled = rc.unroll(task.cell, params["cell"], xs)[1] if cell == "lstm" else (
            task.cell.run_over(params["cell"], xs)[1]
        )  # fmt: skip
        step = read[-1][:2] + unrolled.numpy()[-1] @ params["W_y"] + params["b_y"]
        np.testing.assert_allclose(made[k], step)
        rows = np.concatenate([rows, [[*step, 1.0]]])  # one column has gaps, so one flag


@needs_graphviz
@pytest.mark.parametrize("asked", some([{"target": "larger"}, {}, {"target": "b"}], 1))
def test_the_saved_model_is_used_as_the_page_says(tmp_path, monkeypatch, asked):
    study = tabled(series(), "gru", **asked)
    write(study, tmp_path)
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    code = html.unescape(re.search("<pre>(import minigrad.*?)</pre>", page, re.DOTALL)[1])
    monkeypatch.chdir(tmp_path)
    task = study.task
    given = {"rows": task.table.values[task.at]}
    exec(code, given)
    run = task.forward(mg.tensors(study.training.params)).logits.numpy()
    if task.classes:
        assert given["predicted"] == [task.classes[k] for k in run.argmax(axis=-1)]
    else:
        np.testing.assert_allclose(given["predicted"], task.units(run))
    loaded = mg.load("model.safetensors")
    assert loaded["columns"] == task.columns and loaded["predicts"] == task.predicts


@needs_graphviz
@pytest.mark.parametrize("asked", some([{"target": "larger"}, {}, {"target": "b"}], 1))
def test_the_page_says_what_was_found(asked):
    study = tabled(series(gaps=True), **asked)
    files = build(study)
    page = html.unescape(re.sub("<[^>]*>", " ", files["index.html"]))
    assert ("series.svg" in files) == (asked.get("target") != "larger")
    for told in ("Every column is standardised", "Kept from training: the last 12 rows"):
        assert told in page
    for name in study.models[0].results.forecast.baselines:
        assert name in page
    assert "nan" not in re.findall("[a-z]+", page.split("How this report was made")[0].lower())
