"""Accuracy, F1 and confusion against counting by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
import recurrent as rc
from minigrad.testing.laws import close

RNG = np.random.default_rng(0)


def counted(p, y, n):
    table = np.zeros((n, n), int)
    for a, b in zip(p, y, strict=True):
        table[b, a] += 1
    return table


def scores_by_hand(p, y, n):
    """F1 of each class from precision and recall; how many labels each has."""
    each, support = np.zeros(n), np.zeros(n)
    for c in range(n):
        right = sum(a == b == c for a, b in zip(p, y, strict=True))
        precision = right / max(sum(a == c for a in p), 1)
        recall = right / max(sum(b == c for b in y), 1)
        each[c] = 2 * precision * recall / (precision + recall) if right else 0.0
        support[c] = sum(b == c for b in y)
    return each, support


@given(st.integers(0, 4), st.integers(1, 3), st.integers(1, 4), st.booleans(), st.data())
def test_metrics_are_counts_of_what_counts(time, batch, n, scores, data):
    """Padding and what the mask leaves out never matter, whatever stands there."""
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    y, p = rng.integers(0, n, (2, time, batch))
    lengths = data.draw(st.none() | st.lists(st.integers(0, time), min_size=batch, max_size=batch))
    mask = rng.random((time, batch)) < 0.7 if data.draw(st.booleans()) else None
    counts = np.ones((time, batch), bool) if mask is None else mask.copy()
    counts &= rc.within(time, lengths, batch)
    given = np.where(counts, p, 99)
    if scores:
        given = np.where((np.arange(n) == p[..., None]), 1.0, 0.5)
        given[~counts] = np.nan
    spoilt = np.where(counts, y, -7)
    pc, yc = p[counts], y[counts]
    wanted = counted(pc, yc, n)
    computed = None if mask is None else mg.asarray(mask) & True  # not known when recorded
    for m in (mask, computed):
        table = rc.confusion_matrix(given, spoilt, lengths, m, classes=n)
        assert table.dtype == np.int64 and table.tolist() == wanted.tolist()
        close(rc.accuracy(given, spoilt, lengths, m).item(), float(np.mean(pc == yc)) if len(pc)
              else 0.0, 1e-15)  # fmt: skip
        each, support = scores_by_hand(pc, yc, n)
        occur = (wanted.sum(0) + wanted.sum(1)) > 0

        def f1(average, m=m):
            return rc.f1(given, spoilt, lengths, m, classes=n, average=average).numpy()

        close(f1(None), each, 1e-14)
        close(f1("macro"), np.asarray(each[occur].mean() if occur.any() else 0.0), 1e-14)
        close(f1("weighted"), np.asarray((each * support).sum() / max(support.sum(), 1)), 1e-14)
        close(f1("micro"), rc.accuracy(given, spoilt, lengths, m).numpy(), 1e-14)


def test_shapes_ties_and_classes():
    assert rc.accuracy([0.1, 0.9, 0.9], 1).item() == 1.0  # the first of the largest
    assert rc.confusion_matrix([0, 2], [0, 1]).shape == (3, 3)
    assert rc.confusion_matrix([0, 2], [0, 1], classes=5).shape == (5, 5)
    assert rc.confusion_matrix(np.zeros((0,), int), np.zeros((0,), int)).tolist() == [[0]]
    assert rc.f1(np.zeros((2, 3, 4)), np.zeros((2, 3), np.uint8)).item() == 1.0
    assert rc.perplexity(rc.cross_entropy(np.zeros((5, 4)), [0, 1, 2, 3, 0])).item() == (
        pytest.approx(4.0)
    )


def test_in_a_compiled_function_and_no_gradient():
    z, y = RNG.standard_normal((6, 3)), np.array([0, 1, 2, 0, 1, 2])

    def metrics(z, y):
        return rc.confusion_matrix(z, y), rc.f1(z, y), rc.accuracy(z, y)

    run = mg.function(metrics)
    close(run(z, y), mg.evaluate(metrics(z, y)), 1e-15)
    with pytest.raises(ValueError, match="confusion_matrix: labels"):
        run(z, y + 1)
    t = mg.asarray(z)
    assert not mg.grad(rc.accuracy(t, y), t).numpy().any()


WRONG = [
    (lambda: rc.accuracy(np.zeros((2, 3)), [0, 1, 2]), "accuracy: labels must be integers, and"),
    (lambda: rc.accuracy([0, 1], [0.0, 1.0]), "got labels float64"),
    (lambda: rc.accuracy([True, False], [0, 1]), "predicted bool"),
    (lambda: rc.f1([0], [0], average="all"), "f1: average must be 'macro'"),
    (lambda: rc.f1([0.5, 0.5], 0, classes=3), "f1: classes is 3, but predicted has scores of 2"),
    (lambda: rc.confusion_matrix([0, 1], [0, 1], [2, 2]), "lengths must be 1 integers"),
    (lambda: rc.confusion_matrix([0, 1], [0, 1], mask=[1, 0]), "the mask must be booleans"),
    (lambda: rc.confusion_matrix([0, 3], [0, 1], classes=2).numpy(), "confusion_matrix: predicted"),
    (lambda: rc.confusion_matrix([0, 1], [0, -1]).numpy(), "confusion_matrix: labels"),
    (lambda: rc.accuracy(np.zeros((2, 0)), [0, 0]), "the axis of classes of predicted"),
]


@pytest.mark.parametrize("k", range(len(WRONG)))
def test_wrong_arguments_are_named(k):
    call, words = WRONG[k]
    with pytest.raises(ValueError, match=words):
        call()


def test_classes_that_are_not_known():
    with pytest.raises(TypeError, match="is not known while a function is traced; give classes="):
        mg.function(lambda p, y: rc.f1(p, y))(np.array([0, 1]), np.array([0, 1]))
