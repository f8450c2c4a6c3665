"""Dyck-2: which bracket may close here?  A stack learned by an LSTM (Hewitt et al. 2020)."""

import argparse

import numpy as np

import minigrad as mg
import recurrent as rc

OPEN, CLOSE = "([", ")]"


def word(rng: np.random.Generator, length: int, deepest: int) -> str:
    """A word of the language with `length` brackets, never more than `deepest` of them open."""
    text, stack = "", []
    for left in range(length, 0, -1):
        may_open = len(stack) < min(deepest, left - 1)
        if not stack or may_open and rng.random() < 0.5:
            stack.append(rng.integers(0, 2))
            text += OPEN[stack[-1]]
        else:
            text += CLOSE[stack.pop()]
    return text


def main(steps: int = 600, hidden: int = 48, deepest: int = 4) -> dict:
    rng = np.random.default_rng(0)
    vocabulary = rc.Vocabulary(OPEN + CLOSE, unknown=None, special=["<"])
    train = [word(rng, 2 * int(rng.integers(2, 15)), deepest) for _ in range(1000)]
    held = [word(rng, 60, deepest) for _ in range(100)]  # longer ones

    net = rc.ManyToMany(rc.LSTM(8, hidden), outputs=len(vocabulary), tokens=len(vocabulary))
    opt = mg.optim.adam(0.01)

    @mg.function
    def step(params, state, xs, lengths):
        before = rc.Lengths(tuple(n - 1 for n in lengths))
        loss = rc.cross_entropy(net(params, xs[:-1], before), xs[1:], before)
        return loss, *opt.update(params, mg.grad(loss, params), state)

    params = net.init(seed=0)
    state, texts = opt.init(params), [vocabulary.encode("<" + text) for text in train]
    batches = [rc.pad(texts[at : at + 25]) for at in range(0, len(texts), 25)]
    for k in range(steps):
        loss, params, state = step(params, state, *batches[k % len(batches)])

    xs, _ = rc.pad([vocabulary.encode("<" + text) for text in held])
    logits, said = mg.function(net)(params, xs[:-1]), xs[1:]
    closing = [vocabulary.number[c] for c in CLOSE]
    asked = np.isin(said, closing)  # where one closes, which of the two has it to be?
    chosen = np.where(logits[..., closing[0]] > logits[..., closing[1]], *closing)
    return {"accuracy": float(np.mean(chosen[asked] == said[asked])), "baseline": 0.5}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=600)
    print(main(**vars(parser.parse_args())))
