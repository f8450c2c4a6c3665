"""Names by language: a surname letter by letter, and which language it is from."""

import argparse
from pathlib import Path

import numpy as np

import minigrad as mg
import recurrent as rc

NAMES = Path(__file__).parent / "data" / "names.txt"  # a line a language: "Dutch: Bakker Bos ..."


def main(steps: int = 600) -> dict:
    lines = [line.split(": ") for line in NAMES.read_text(encoding="utf-8").splitlines()]
    languages = [language for language, _ in lines]
    pairs = [(name, k) for k, (_, names) in enumerate(lines) for name in names.split()]
    order = np.random.default_rng(0).permutation(len(pairs))
    train, held = order[:-100], order[-100:]

    letters = rc.Vocabulary("".join(pairs[k][0].lower() for k in train))
    xs = [letters.encode(name.lower()) for name, _ in pairs]
    ys = np.array([k for _, k in pairs])

    net = rc.ManyToOne(rc.GRU(16, 48), outputs=len(languages), tokens=len(letters))
    opt = mg.optim.adamw(0.004, weight_decay=0.05)

    @mg.function
    def step(params, state, xs, lengths, ys):
        loss = rc.cross_entropy(net(params, xs, lengths), ys)
        return loss, *opt.update(params, mg.grad(loss, params), state)

    params = net.init(seed=0)
    state, done, epoch = opt.init(params), 0, 0
    while done < steps:
        for batch in rc.batches([xs[k] for k in train], 32, seed=epoch, buckets=True):
            loss, params, state = step(
                params, state, batch.xs, batch.lengths, ys[train[batch.rows]]
            )
            done += 1
        epoch += 1

    scores = mg.function(net)
    accuracy = float(rc.accuracy(scores(params, *rc.pad([xs[k] for k in held])), ys[held]))
    most = np.bincount(ys[train]).argmax()
    guess = scores(params, letters.encode("featherstonehaugh"))
    return {
        "accuracy": accuracy,
        "baseline": float(np.mean(ys[held] == most)),  # always the most frequent language
        "Featherstonehaugh": languages[guess.argmax()],
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=600)
    for name, value in main(**vars(parser.parse_args())).items():
        print(f"{name}: {value}")
