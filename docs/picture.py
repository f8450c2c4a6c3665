"""Makes docs/unfolded-lstm.svg, the picture of the README: python docs/picture.py [FILE]."""

import sys
from pathlib import Path

import numpy as np

import minigrad as mg
import recurrent as rc
import viz

WORDS = "the Saints beat the Panthers last night".split()


def picture() -> viz.Drawing:
    """An untrained LSTM over seven words, the gradient of the last word's loss flowing back."""
    vocabulary = [*dict.fromkeys(WORDS), "⟨end⟩"]
    ids = np.array([vocabulary.index(word) for word in [*WORDS, "⟨end⟩"]])
    rng = np.random.default_rng(0)
    cell = rc.LSTM(8, 8)
    params = mg.tensors(
        {
            "embedding": rng.normal(size=(len(vocabulary), 8)),
            "cell": cell.init(0),
            "W_y": rng.normal(size=(8, len(vocabulary))),
        }
    )
    xs = mg.take(params["embedding"], ids[:-1])
    _, ys = rc.unroll(cell, params["cell"], xs)
    loss = mg.cross_entropy(ys[-1] @ params["W_y"], ids[-1]).named("L₇")
    return viz.draw(loss, view="unfolded", grad=loss, labels=WORDS, title="")


if __name__ == "__main__":
    default = Path(__file__).with_name("unfolded-lstm.svg")
    print(picture().save(sys.argv[1] if len(sys.argv) > 1 else default))
