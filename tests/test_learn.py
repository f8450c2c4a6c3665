"""Learning, in a short form: every task of `python -m benchmarks learn`, smaller."""

import numpy as np
import pytest

import recurrent as rc
from benchmarks import learn

pytestmark = pytest.mark.long  # nets that learn


def check(results):
    found = list(results)
    assert found
    for r in found:
        assert r.reached, r


def test_adding():
    check(learn.adding(span=60, hidden=32, steps=1000, enough=0.006))


def test_temporal_order():
    check(learn.temporal_order(span=50, hidden=16, steps=1500, enough=0.03))


@pytest.mark.slow
def test_copying():
    check(learn.copying(span=12, symbols=3, hidden=48, steps=3000, enough=0.05, rnn=False))


@pytest.mark.slow
def test_reversal():
    check(learn.reversal(longest=4, hidden=32, steps=500, wanted="> 0.95"))


SENTENCES = ("the dog sees the cat. ", "a cat hears a dog. ", "the bird sings. ", "who sings? ")


def test_characters():
    """A small language: the letters inside a word are certain, so the loss is far below log 20."""
    rng = np.random.default_rng(0)
    text = "".join(SENTENCES[k] for k in rng.integers(0, len(SENTENCES), 600))
    check(learn.characters(text[:8000], text[8000:9500], 48, 8, "< 0.5", batch=8, rate=0.01))


def random_tree(rng, words):
    """A binary tree whose label counts the words "good" on its fringe, at most 4."""
    if words == 1:
        good = rng.random() < 0.4
        word = "good" if good else str(rng.choice(["plain", "grey", "dull"]))
        return rc.Tree(str(int(good)), [], word)
    left = int(rng.integers(1, words))
    children = [random_tree(rng, left), random_tree(rng, words - left)]
    return rc.Tree(str(min(4, sum(int(c.label) for c in children))), children)


def test_trees():
    rng = np.random.default_rng(0)
    check(learn.sentiment([random_tree(rng, n) for n in rng.integers(2, 9, 50)], 24, 400))


@pytest.mark.skipif(not learn.NEEDS["trees"].exists(), reason="../shared/data is not there")
def test_sentiment_trees():
    check(learn.sentiment(learn._trees(25), 24, 400))


def test_the_batches_are_what_they_say():
    rng = np.random.default_rng(0)
    xs, ys = learn.adding_batch(rng, 10, 6)
    np.testing.assert_allclose((xs[..., 0] * xs[..., 1]).sum(axis=0), ys[:, 0], rtol=1e-6)
    assert (xs[:5, :, 1].sum(axis=0) == 1).all() and (xs[5:, :, 1].sum(axis=0) == 1).all()
    xs, ys = learn.order_batch(rng, 100, 50)
    first, second = (
        np.argmax(part >= 4, axis=0) + at for part, at in ((xs[:40], 0), (xs[40:], 40))
    )
    column = np.arange(50)
    assert (2 * (xs[first, column] == 5) + (xs[second, column] == 5) == ys).all()
    assert ((xs >= 4).sum(axis=0) == 2).all()
    xs, ys = learn.copy_batch(rng, 7, 4, 3)
    assert xs.shape == (13, 4) and (xs[:3] == ys + 1).all() and (xs[9] == 9).all()
    assert not xs[3:9].any() and not xs[10:].any()
    xs, read, say, lengths = learn.digits_batch(rng, 5, 4)
    for b, n in enumerate(lengths):
        assert say[: n + 1, b].tolist() == [*xs[:n, b][::-1].tolist(), 10]
        assert read[: n + 1, b].tolist() == [10, *say[:n, b].tolist()]


def test_the_table(capsys, monkeypatch):
    monkeypatch.setitem(learn.FULL, "order", lambda: iter(
        [learn.Result("a", "b", "c", 0.5, "> 0.95", 3, 1.0)]))  # fmt: skip
    monkeypatch.setitem(learn.NEEDS, "trees", learn.DATA / "nowhere")
    learn.main(["order", "trees"])
    out = capsys.readouterr().out
    assert "NOT REACHED" in out and "skipped: there is no" in out and "adding" not in out
