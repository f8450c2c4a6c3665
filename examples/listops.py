"""ListOps (Nangia and Bowman 2018): the value of "[MAX 2 [MIN 9 4] 7]", by a tree of it."""

import argparse

import numpy as np

import minigrad as mg
import recurrent as rc

OPS = {"[MAX": max, "[MIN": min, "[SM": lambda *values: sum(values) % 10}


def expression(rng: np.random.Generator, depth: int) -> rc.Tree:
    """A binary tree, as the data has it: ( ( ( [MAX 2 ) 9 ) ] ); labelled where it is a value."""
    digit, name = str(rng.integers(0, 10)), str(rng.choice(list(OPS)))
    if depth == 0 or rng.random() < 0.4:
        return rc.Tree(digit, [], digit)
    parts = [expression(rng, depth - 1) for _ in range(rng.integers(2, 4))]
    tree = rc.Tree("-1", [], name)
    for part in [*parts, rc.Tree("-1", [], "]")]:  # no value before the bracket closes
        tree = rc.Tree("-1", [tree, part])
    tree.label = str(OPS[name](*(int(part.label) for part in parts)))
    return tree


def main(steps: int = 1500, hidden: int = 48, depth: int = 3) -> dict:
    rng = np.random.default_rng(0)
    trees = [*{str(t): t for _ in range(3000) if (t := expression(rng, depth)).children}.values()]
    vocabulary = rc.Vocabulary([*OPS, "]", *map(str, range(10))], unknown=None)

    def batch(some: list) -> tuple:
        words = [word for tree in some for word in tree.words()]
        labels = [int(node.label) for tree in some for node in tree.postorder()]
        return rc.structure(some), vocabulary.encode(words), np.array(labels)

    cell, opt = rc.TreeLSTM(hidden, hidden), mg.optim.adam(0.005)
    params = {"cell": cell.init(seed=0), "V": 0.1 * rng.standard_normal((hidden, 10))}
    params["E"] = 0.3 * rng.standard_normal((len(vocabulary), hidden))

    def scores(params, trees, words):
        return rc.fold(cell, params["cell"], trees, mg.take(params["E"], words))[1] @ params["V"]

    @mg.function
    def step(params, state, trees, words, labels):
        loss = rc.tree_cross_entropy(scores(params, trees, words), labels)  # -1 does not count
        return loss, *opt.update(params, mg.grad(loss, params), state)

    state = opt.init(params)
    batches = [batch(trees[at : at + 32]) for at in range(0, len(trees) - 232, 32)]
    for k in range(steps):
        loss, params, state = step(params, state, *batches[k % len(batches)])
    held, words, labels = batch(trees[-200:])
    said, right = mg.function(scores)(params, held, words)[rc.roots(held)], labels[rc.roots(held)]
    return {"accuracy": float(rc.accuracy(said, right)), "baseline": np.bincount(right).max() / 200}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=1500)
    print({name: float(x) for name, x in main(**vars(parser.parse_args())).items()})
