"""Any number of threads gives the same bits (law 7), any vector width close results."""

import os
import subprocess
import sys

import numpy as np
import optree
import pytest

import minigrad as mg
import recurrent as rc
from minigrad.compile import runner
from minigrad.kernels import threads

from .test_function import CELLS, LENGTHS, arguments, close, step_of


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("lengths", LENGTHS[:2])
def test_any_number_of_threads_gives_the_same_bits(name, lengths, monkeypatch):
    cell = CELLS[name]
    args = arguments(cell, "float32", 4, 3)
    monkeypatch.setattr(runner, "SPLIT", 0)
    results = []
    for count in (1, 2, 3, 5):
        monkeypatch.setattr(threads, "count", lambda n=count: n)
        f = mg.function(step_of(cell, lengths))
        results += [f(args), f(args)]
    for other in results[1:]:
        for a, b in zip(optree.tree_leaves(results[0]), optree.tree_leaves(other), strict=True):
            assert a.tobytes() == b.tobytes()


def normal(x):
    d = x - mg.mean(x, axis=-1, keepdims=True)
    return d / mg.sqrt(mg.mean(d * d, axis=-1, keepdims=True) + 1e-5)


def normal_around(p, h, x):
    """Reductions before the loop over levels, in it and after it."""
    h = mg.tanh(normal(h @ p["U"]) + normal(x @ p["W"]))
    return h, normal(mg.softmax(h @ p["V"]))


@pytest.mark.parametrize("what", ("values", "gradients"))
def test_one_sequence_on_many_threads(what, monkeypatch):
    """Stages outside of the loop are shared by rows, however few parts the loop has."""
    rng = np.random.default_rng(0)
    p = {k: rng.standard_normal((5, 5)) for k in "UVW"}
    x = rng.standard_normal((50, 5))

    def run(p, x):
        ys = rc.unroll(normal_around, p, x, np.zeros(5))[1]
        return ys if what == "values" else mg.grad(mg.sum(ys * ys * ys), (p, x))

    wanted = mg.reference(run(mg.tensors(p), mg.tensors(x)))
    monkeypatch.setattr(runner, "SPLIT", 0)
    results = []
    for count in (1, 2, 3, 5):
        monkeypatch.setattr(threads, "count", lambda n=count: n)
        results.append(mg.function(run)(p, x))
        close(results[-1], wanted, 1e-10)
    for other in results[1:]:
        for a, b in zip(optree.tree_leaves(results[0]), optree.tree_leaves(other), strict=True):
            assert a.tobytes() == b.tobytes()


SCRIPT = """
import sys, numpy as np, optree, minigrad as mg
from tests.compile.test_function import CELLS, arguments, step_of
for name in ("lstm", "gru", "peephole"):
    for dtype in ("float32", "float64"):
        args = arguments(CELLS[name], dtype)
        for a in optree.tree_leaves(mg.function(step_of(CELLS[name]))(args)):
            sys.stdout.buffer.write(a.tobytes())
"""


@pytest.mark.slow
def test_any_vector_width_gives_close_results():
    """16, 8 and 4 lanes; rows' sums are taken in another order, so not the same bits."""
    found = []
    for lanes in ("16", "8", "4"):
        env = {**os.environ, "MINIGRAD_LANES": lanes}
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT], env=env, capture_output=True, check=True
        )
        found.append(done.stdout)
    sizes = {len(f) for f in found}
    assert len(sizes) == 1 and sizes.pop() > 10_000
    wanted = []
    for name in ("lstm", "gru", "peephole"):
        for dtype in ("float32", "float64"):
            args = mg.tensors(arguments(CELLS[name], dtype))
            wanted += optree.tree_leaves(mg.reference(step_of(CELLS[name])(args)))
    for data in found:
        at = 0
        for w in wanted:
            a = np.frombuffer(data, w.dtype, w.size, at).reshape(w.shape)
            at += w.nbytes
            tolerance = 2e-4 if w.dtype == np.float32 else 1e-11
            np.testing.assert_allclose(a, w, rtol=tolerance, atol=tolerance)
