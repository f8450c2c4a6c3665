"""Why parameters are shared over time: python -m docs.parameter_sharing

"the Saints beat the Panthers last night"
and "last night, the Saints beat the Panthers" say the same.
Two taggers learn from the first order which words say who, what and when;
one has one set of parameters for all steps, the other parameters of its own at every step.
Both are then asked about the second order.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import minigrad as mg
import recurrent as rc

TAGS = ("who", "what", "when")
LEARNT = "the/who Saints/who beat/what the/who Panthers/who last/when night/when"
ASKED = "last/when night/when the/who Saints/who beat/what the/who Panthers/who"
WORDS = sorted({pair.split("/")[0] for pair in LEARNT.split()})
HIDDEN = 8


class Tagger(rc.RNN):
    """An Elman net that tags each word: y = h V + d."""

    def shapes(self) -> dict[str, tuple[int, ...]]:
        return super().shapes() | {"V": (self.hidden_size, len(TAGS)), "d": (len(TAGS),)}

    def __call__(self, params: Any, carry: Any, x: Any) -> tuple[Any, Any]:
        h, _ = super().__call__(params, carry, x)
        return h, h @ params["V"] + params["d"]


def read(sentence: str) -> tuple[np.ndarray, np.ndarray]:
    """One-hot words (T, words) and the number of each tag (T,)."""
    words, tags = zip(*(pair.split("/") for pair in sentence.split()), strict=True)
    return np.eye(len(WORDS))[[WORDS.index(w) for w in words]], np.array(
        [TAGS.index(t) for t in tags]
    )


def train(model: str, seed: int, steps: int = 150) -> dict[str, int]:
    """One tagger, "shared" or "unshared": its parameters, and how many words it tags right.

    Of the order learnt, and of the order asked.
    """
    cell = Tagger(len(WORDS), HIDDEN)
    own = rc.Unshared(cell, steps=len(LEARNT.split()))
    made: Any = cell if model == "shared" else own

    def tagged(params: Any, x: Any) -> mg.Tensor:
        return rc.unroll(cell, params, x)[1] if model == "shared" else own(params, x)

    (x, tags), (x_asked, tags_asked) = read(LEARNT), read(ASKED)
    params, adam = made.init(seed), mg.optim.adam(0.05)
    state = adam.init(params)
    for _ in range(steps):
        t = mg.tensors(params)
        loss = rc.cross_entropy(tagged(t, x), tags)
        params, state = adam.update(params, mg.evaluate(mg.grad(loss, t)), state)
    return {
        "parameters": sum(p.size for p in params.values()),
        "learnt": int((tagged(params, x).numpy().argmax(axis=-1) == tags).sum()),
        "asked": int((tagged(params, x_asked).numpy().argmax(axis=-1) == tags_asked).sum()),
    }


def run(seeds: int = 10) -> dict[str, dict[str, float]]:
    """The mean over several beginnings, for both taggers."""
    found = {m: [train(m, seed) for seed in range(seeds)] for m in ("shared", "unshared")}
    return {
        m: {what: float(np.mean([r[what] for r in rows])) for what in rows[0]}
        for m, rows in found.items()
    }


def report(results: dict[str, dict[str, float]]) -> str:
    """The results as a table in Markdown."""
    words = len(LEARNT.split())
    lines = [
        f"| parameters | how many | right in the order learnt (of {words}) | in the order asked |",
        "|---|---|---|---|",
    ]
    for name, r in results.items():
        lines.append(f"| {name} | {r['parameters']:.0f} | {r['learnt']:.1f} | {r['asked']:.1f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(report(run()))
