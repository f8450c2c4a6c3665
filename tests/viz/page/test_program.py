"""Programs of a page against Python: random graphs, and what a page has to say of itself."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pytest

import minigrad as mg
import recurrent as rc
from minigrad.graph import CONSTANT, toposort
from minigrad.pytrees import tree_leaves
from minigrad.recur import RECUR
from minigrad.testing.tester.cases import random_case
from minigrad.testing.tester.choices import Choices
from minigrad.testing.tester.worker import program_of
from viz.page.between import Between
from viz.page.frame import close_up, part
from viz.page.ops import TooMuch
from viz.page.program import Graph, in_a_box, label_parameters, program

SEEDS, STEPS = 160, 60  # cases that are drawn, and the most steps of one that is run
RUN = """
  for (const leaf of program.leaves) leaf.value = decode(leaf.value);
  const { tape, seeds: [{ id }], params } = runGraph(program);
  tape.forward();
  const back = tape.backward(id), plain = (x) => x && x.data;
  return [plain(tape.nodes[id].value),
    Object.fromEntries(params.map((p) => [p.name, plain(back.grad[p.id])]))];
"""


def script(made: Graph, scalar: mg.Tensor) -> str:
    """What runs a program of any structures, trees and batches among them, in a browser."""
    between = Between(made.main)
    steps = between.in_time(made.units)
    data = {
        "leaves": made.leaves, "cells": made.cells, "main": made.main, "units": made.units,
        "steps": steps, "labels": [], **between.read(made.cells, made.units),
        "seeds": [{"label": "L", "line": made.at[scalar], "index": 0}],
    }  # fmt: skip
    code = close_up(made.ops.text() + part("tape.js"))
    return f"(() => {{ const program = {json.dumps(data)};\n{code}\n{RUN} }})()"


def changeable(made: Graph, order: list[mg.Tensor]) -> dict[str, mg.Tensor]:
    """The leaves that a page may change, by the names that it gives them."""
    constants = [t for t in order if t.op is CONSTANT]
    pairs = zip(made.leaves, constants, strict=True)
    return {leaf["name"]: t for leaf, t in pairs if "fixed" not in leaf}


@pytest.mark.long
def test_random_programs_are_those_of_python(browser, tmp_path):
    """The fuzzer's programs, in float64 and without planted values, forward and back."""
    (tmp_path / "empty.html").write_text("<title>empty</title>")
    browser.open(tmp_path / "empty.html")
    count = 0
    for k in range(SEEDS):
        case = random_case(Choices(rng=np.random.default_rng([5, k])))
        if {"float32", "wild"} & set(case.kinds):
            continue
        scope = program_of(replace(case, text=re.sub(r", plants=\[[^\]]*\]\)", ")", case.text)))
        arrays, *more = scope["calls"][0]
        outs = tree_leaves(scope["step"](mg.tensors(arrays), *more))
        outs = [t for t in outs if isinstance(t, mg.Tensor) and t.dtype.kind == "f"]
        order = toposort(outs)
        if not outs or sum(t.attrs["structure"].n for t in order if t.op is RECUR) > STEPS:
            continue
        scalar = mg.sum(mg.stack([mg.sum(mg.sin(t)) for t in outs]))
        order = toposort([scalar])
        made = Graph()
        try:
            made.add(order)
            text = script(made, scalar) if made.units else ""
        except TooMuch:
            continue
        if not text:
            continue
        numbers = changeable(made, order)
        value, wanted = mg.evaluate((scalar, mg.grad(scalar, numbers)))
        if not all(np.isfinite(x).all() for x in [value, *wanted.values()]):
            continue  # numbers that JSON does not have
        (loss,), grads = browser.evaluate(text)
        assert loss == pytest.approx(float(value), rel=1e-9, abs=1e-9), k
        assert grads.keys() == numbers.keys()
        for name, gradient in wanted.items():
            found = np.zeros(gradient.size) if grads[name] is None else np.array(grads[name])
            size = np.abs(gradient).max(initial=0)
            np.testing.assert_allclose(found, gradient.ravel(), rtol=1e-6, atol=1e-9 * (1 + size))
        count += 1
    assert count >= 20


@pytest.mark.long
def test_large_constants_of_an_op_are_in_the_program(browser, tmp_path):
    """The derivative of a sum by einsum is an array of ones, which stands beside the ops."""
    (tmp_path / "empty.html").write_text("<title>empty</title>")
    browser.open(tmp_path / "empty.html")
    cell, xs = rc.RNN(2, 40), np.ones((2, 2))
    params = mg.tensors(cell.init(0))
    end = rc.unroll(cell, params, xs)[0]
    scalar = mg.einsum("k->", mg.square(end))
    made = Graph()
    made.add(order := toposort([scalar]))
    assert "KEPT" in made.ops.text()
    (loss,), grads = browser.evaluate(script(made, scalar))
    assert loss == pytest.approx(float(scalar), rel=1e-12)
    for name, gradient in mg.evaluate(mg.grad(scalar, changeable(made, order))).items():
        np.testing.assert_allclose(grads[name], gradient.ravel(), atol=1e-12)


def test_a_recurrence_without_steps_is_no_program():
    cell = rc.RNN(2, 3)
    ys = rc.unroll(cell, mg.tensors(cell.init(0)), np.zeros((0, 2)))[1]
    with pytest.raises(TooMuch, match="no step"):
        program([loss := mg.sum(ys)], loss, None)


@pytest.mark.parametrize("names,labels", [
    (["net.cell.U", "net.encoder.U", "net.out.V", "x"], ["cell.U", "encoder.U", "out.V", "x"]),
    (["cell.U", "cell.W", "out.V", "embedding"], ["U", "W", "out.V", "embedding"]),
    (["cell.U", "cell.W"], ["U", "W"]),
    (["U", "W"], ["U", "W"]),
    (["net.encoder.forward.U", "net.encoder.backward.U"], ["forward.U", "backward.U"]),
])  # fmt: skip
def test_parameters_are_called_by_what_tells_them_apart(names, labels):
    leaves = [{"name": n} for n in names]
    label_parameters(leaves)
    assert [leaf["label"] for leaf in leaves] == labels
    assert len(set(labels)) == len(labels)


@pytest.mark.parametrize("name,lines", [
    ("LSTM", ["LSTM"]), ("GRU ←", ["GRU ←"]), ("additive decoder GRU", ["decoder", "GRU"]),
    ("additive decoder peephole LSTM", ["peephole", "LSTM"]),
])  # fmt: skip
def test_boxes_have_whole_words(name, lines):
    assert [text for _, text in in_a_box(name)["lines"]] == lines
