"""A character model (Karpathy 2015): which character comes next, and text drawn from it."""

import argparse
from pathlib import Path

import numpy as np

import minigrad as mg
import recurrent as rc

TEXT = Path(__file__).parent / "data" / "coriolanus.txt"


def main(steps: int = 600, file: str = str(TEXT), hidden: int = 96, piece: int = 40) -> dict:
    text = Path(file).read_text(encoding="utf-8")
    vocabulary = rc.Vocabulary(text, unknown=None)
    tokens = vocabulary.encode(text)
    cut = 9 * len(tokens) // 10  # the end of the text is held out
    rows = tokens[: cut // 16 * 16].reshape(16, -1).T  # 16 streams side by side: (T, 16)

    net = rc.ManyToMany(rc.LSTM(24, hidden), outputs=len(vocabulary), tokens=len(vocabulary))
    opt = mg.optim.adam(0.004)

    @mg.function
    def step(params, state, carry, xs, ys):
        carry, logits = net.run(params, xs, carry=carry)  # the state goes on, the gradient stops
        loss = rc.cross_entropy(logits, ys)
        grads = mg.optim.clip_by_global_norm(mg.grad(loss, params), 1.0)
        return loss, carry, *opt.update(params, grads, state)

    params = net.init(seed=0)
    state, at = opt.init(params), len(rows)
    for _ in range(steps):
        if at + piece >= len(rows):
            at, carry = 0, (np.zeros((16, hidden)), np.zeros((16, hidden)))
        loss, carry, params, state = step(
            params, state, carry, rows[at : at + piece], rows[at + 1 : at + piece + 1]
        )
        at += piece

    read = mg.function(lambda params, carry, xs: net.run(params, xs, carry=carry))
    held, start = tokens[cut:], (np.zeros(hidden), np.zeros(hidden))
    bits = rc.bits(rc.cross_entropy(read(params, start, held[:-1])[1], held[1:]))
    seen = np.bincount(tokens[:cut], minlength=len(vocabulary)) + 1.0
    alone = -np.mean(np.log2(seen / seen.sum())[held[1:]])  # of the letters' frequencies

    (said,) = rc.sample(
        net, params, vocabulary.encode("\n")[:, None], first=None, end=None, steps=300,
        rng=np.random.default_rng(0), temperature=0.7,
    )  # fmt: skip
    return {"bits": float(bits), "baseline": alone, "text": "".join(vocabulary.decode(said.tokens))}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--file", default=str(TEXT))
    for name, value in main(**vars(parser.parse_args())).items():
        print(f"{name}: {value}")
