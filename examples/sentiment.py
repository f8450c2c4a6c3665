"""Sentiment trees (Socher et al. 2013, Tai et al. 2015): a Tree-LSTM labels every phrase."""

import argparse

import numpy as np

import minigrad as mg
import recurrent as rc

WORDS = ["awful dreadful", "dull weak", "film plot story", "good fun", "superb moving"]  # 0-4


def phrase(rng: np.random.Generator, depth: int) -> rc.Tree:
    """A tree with labels 0-4: "not" turns a phrase around, "very" makes it stronger."""
    kind = str(rng.choice(["word", "not", "very", "and"])) if depth else "word"
    if kind == "word":
        label = int(rng.integers(0, 5))
        return rc.Tree(str(label), [], str(rng.choice(WORDS[label].split())))
    first = phrase(rng, depth - 1) if kind == "and" else rc.Tree("2", [], kind)
    second = phrase(rng, depth - 1)
    k, other = int(second.label), int(first.label)
    k = {"not": 4 - k, "very": min(max(2 * k - 2, 0), 4), "and": (k + other + 1) // 2}[kind]
    return rc.Tree(str(k), [first, second])


def main(steps: int = 400, hidden: int = 32) -> dict:
    rng = np.random.default_rng(0)
    drawn = {str(t): t for t in (phrase(rng, 5) for _ in range(1500))}  # each but once
    trees = list(drawn.values())[:500]  # or rc.read_brackets(a file's text)
    vocabulary = rc.Vocabulary([word for tree in trees[:400] for word in tree.words()])

    def batch(some: list) -> tuple:
        words = [word for tree in some for word in tree.words()]
        labels = [int(node.label) for tree in some for node in tree.postorder()]
        return rc.structure(some), vocabulary.encode(words), np.array(labels)

    cell, opt = rc.TreeLSTM(hidden, hidden), mg.optim.adam(0.01)
    params = {"cell": cell.init(seed=0), "V": 0.1 * rng.standard_normal((hidden, 5))}
    params["E"] = 0.3 * rng.standard_normal((len(vocabulary), hidden))

    def scores(params, trees, words):
        return rc.fold(cell, params["cell"], trees, mg.take(params["E"], words))[1] @ params["V"]

    @mg.function
    def step(params, state, trees, words, labels):
        loss = rc.tree_cross_entropy(scores(params, trees, words), labels)
        return loss, *opt.update(params, mg.grad(loss, params), state)

    state, batches = opt.init(params), [batch(trees[at : at + 20]) for at in range(0, 400, 20)]
    for k in range(steps):
        loss, params, state = step(params, state, *batches[k % len(batches)])
    held, words, labels = batch(trees[400:])
    said, right = mg.function(scores)(params, held, words)[rc.roots(held)], labels[rc.roots(held)]
    return {"accuracy": float(rc.accuracy(said, right)), "baseline": np.bincount(right).max() / 100}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=400)
    print({name: float(x) for name, x in main(**vars(parser.parse_args())).items()})
