"""Makes docs/unfolded-lstm.svg, the picture of the README: python docs/picture.py [FILE]."""

import hashlib
import sys
from pathlib import Path

import numpy as np

import minigrad as mg
import recurrent as rc
import viz

ROOT = Path(__file__).resolve().parents[1]
FILE = ROOT / "docs" / "unfolded-lstm.svg"
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


def mark(drawing: viz.Drawing) -> str:
    """A comment that tells which drawing a file shows, whichever Graphviz wrote the file.

    All positions are ours and stand in the DOT text; another Graphviz only words the SVG otherwise.
    """
    return f"<!-- shows {hashlib.sha256(_anywhere(drawing.dot).encode()).hexdigest()[:16]} -->\n"


def keep(drawing: viz.Drawing, file: Path) -> Path:
    """Write the drawing into `file`, unless the file shows it already."""
    if not (file.exists() and file.read_text(encoding="utf-8").endswith(mark(drawing))):
        drawing.save(file)
        text = file.read_text(encoding="utf-8")
        file.write_text(_anywhere(text) + mark(drawing), encoding="utf-8")
    return file


def _anywhere(text: str) -> str:
    """Tooltips name the line that recorded a node: by its file, not by where the clone lies."""
    return text.replace(f"{ROOT}/", "")


if __name__ == "__main__":
    print(keep(picture(), Path(sys.argv[1]) if len(sys.argv) > 1 else FILE))
