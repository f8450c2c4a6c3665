"""What the judge lets pass as rounding, and what it does not."""

import math

import numpy as np
import pytest

import minigrad as mg
from minigrad.testing.tester.worker import Disagreement, Wanted


def sums_of(terms):
    """The graph, the correctly rounded sums, and eps times the sums of the sizes."""
    exact = np.array([math.fsum(column) for column in terms.T.astype(float)])
    unit = float(np.finfo(terms.dtype).eps) * np.abs(terms).sum(axis=0)
    return mg.sum(mg.asarray(terms), axis=0), exact, unit


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_equal_terms_round_alike(dtype):
    """128 equal rows and 128 others that nearly cancel, added up one by one: each rounding is that
    of the row before.  No order is off by more than 128 units (Higham, "Accuracy and Stability of
    Numerical Algorithms", 2002, section 4.2)."""
    rows = np.random.default_rng(0).standard_normal(8).astype(dtype)
    terms = np.concatenate([np.tile(rows, (128, 1)), np.tile(rows * -0.999, (128, 1))])
    graph, exact, unit = sums_of(terms.astype(dtype))
    assert (np.abs(mg.reference(graph) - exact) > 5 * unit).any()
    Wanted(graph, 1, id).compare(exact.astype(dtype))
    for k in range(8):
        wrong = exact.astype(dtype)
        wrong[k] += 128 * unit[k]
        with pytest.raises(Disagreement, match=rf"\[{k}\] is .* 1 of 8 numbers"):
            Wanted(graph, 1, id).compare(wrong)


def test_different_terms_have_no_more_room():
    terms = np.random.default_rng(1).standard_normal((256, 8))
    terms -= terms.mean(axis=0) * (1 - 1e-3)
    graph, exact, unit = sums_of(terms)
    Wanted(graph, 1, id).compare(np.cumsum(terms, axis=0)[-1])
    with pytest.raises(Disagreement, match="8 of 8 numbers are off"):
        Wanted(graph, 1, id).compare(exact + 10 * unit)


def cell(p, carry, x):
    _, s1, s2 = carry
    return (s2, mg.tanh(s1 @ (p["AA"] * p["A"])), mg.full_like(s2, 0.5)), None


@pytest.mark.long
def test_samples_that_are_all_alike():
    """Case 163 of the fuzzer's seed 33008, made small: what it said of `evaluate` was rounding."""
    size, rng = 16, np.random.default_rng(0)
    p = {"AA": rng.standard_normal((size, size)) / 4, "A": rng.standard_normal(size)}
    p = mg.tensors(p)
    h, w = (mg.asarray(rng.standard_normal((n, size))) for n in (1, 256))
    states, _ = mg.recur(
        cell, mg.Structure.chain([2] * 128), shared=p,
        initial=(h, h, mg.expand_dims(p["A"], axis=0)), inputs=None,
    )  # fmt: skip
    loss = mg.sum(w * states[0]) + mg.sum(mg.sin(states[1]))
    g = mg.grad(loss, p["A"])
    graph = mg.grad(mg.sum(mg.sin(g) * g) + loss, w)
    found, wanted = mg.evaluate(graph), Wanted(graph, 256, id)
    wanted.compare(found)
    off = np.abs(found - wanted.values[0])
    at = np.unravel_index(off.argmax(), off.shape)
    wrong = found.copy()
    wrong[at] += 20 * off[at]  # 12 times are allowed after 60 runs
    with pytest.raises(Disagreement, match="1 of 4096 numbers"):
        wanted.compare(wrong)
