"""Makes docs/architectures.md and its drawings: python -m docs.architectures"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import minigrad as mg
import recurrent as rc
import viz
from recurrent.cells import Cell, kinds

from . import parameter_sharing
from .picture import keep

HERE = Path(__file__).parent
PAGE, FOLDER = HERE / "architectures.md", HERE / "architectures"
TREE = (("the", "Saints"), "won")


@dataclass(frozen=True)
class Entry:
    """A row of the table.

    code : what it is made of, names in `recurrent`; its lines are counted (without docstrings,
           comments, blank lines).
    draw : what to draw.
    """

    title: str
    code: str
    equation: str
    structure: str
    draw: Callable[[], Any] | None = None

    @property
    def picture(self) -> Path:
        return FOLDER / (re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-") + ".svg")


# -- what is drawn ---------------------------------------------------------------------------------


def chain(cell: Any, size: int = 2) -> viz.Drawing:
    """A cell reading three steps."""
    ys = rc.unroll(cell, mg.tensors(cell.init(0)), np.zeros((3, size)))[1]
    return viz.draw(ys, view="folded", title="")


def net(made: Any) -> viz.Drawing:
    """A net over sequences reading three steps."""
    found = made(mg.tensors(made.init(0)), np.zeros((3, 2)))
    return viz.draw(found[1] if isinstance(found, tuple) else found, view="unfolded", title="")


def missing() -> viz.Drawing:
    cell, seen = rc.Hold(rc.GRU(2, 3)), np.array([[1], [0], [1]])
    ys = rc.unroll(cell, mg.tensors(cell.init(0)), (np.zeros((3, 2)), seen > 0))[1]
    return viz.draw(ys, view="unfolded", title="")


def tree(cell: Any, source: Any = TREE) -> viz.Drawing:
    words = rc.Tree.parse(source).words()
    xs = np.zeros((len(words), cell.input_size))
    ys = rc.fold(cell, mg.tensors(cell.init(0)), source, xs)[1]
    return viz.draw(ys, view="unfolded", title="")


def downwards() -> viz.Drawing:
    cell = rc.GRU(2, 3)
    ys = rc.top_down(cell, mg.tensors(cell.init(0)), TREE, np.zeros((3, 2)))[1]
    return viz.draw(ys, view="unfolded", title="")


def grid(cell: Any) -> viz.Drawing:
    ys = rc.sweep(cell, mg.tensors(cell.init(0)), np.zeros((2, 3, 2)))[1]
    return viz.draw(ys, view="unfolded", title="")


def corners() -> viz.Drawing:
    made = rc.Multidirectional(rc.MDRNN(2, 3))
    return viz.draw(made(mg.tensors(made.init(0)), np.zeros((2, 2, 2))), view="folded", title="")


def parsed(cell: Any, **how: Any) -> viz.Drawing:
    """The tree an untrained parser chooses."""
    xs = np.random.default_rng(1).standard_normal((5, 2))
    chosen = rc.parse(cell, cell.init(0), xs, "the Saints won last night".split(), **how)
    return viz.draw(chosen, view="tree", title="")


def margin(loss: Callable, *more: Any) -> viz.Drawing:
    cell, other = rc.ScoringNet(2, 3), ("the", ("Saints", "won"))
    t = mg.tensors(cell.init(0))
    return viz.draw(loss(cell, t, TREE, other, *more, 1.0), view="unfolded", title="")


def arcs() -> viz.Drawing:
    s = rc.lattice([(0, 1, "last"), (1, 2, "night"), (0, 2, "yesterday"), (2, 3, "they")])
    return viz.draw(s, view="tree", labels=s.words, title="")


def seq2seq(attention: str | None) -> viz.Drawing:
    size = 2 + 3 * (attention == "additive")
    model = rc.encoder_decoder(
        rc.GRU(2, 3), rc.GRU(size, 3), outputs=2, attention=attention, start="tanh"
    )
    params, xs = mg.tensors(model.init(0)), np.zeros((3, 1, 2))
    return viz.draw(model(params, xs, np.zeros((2, 1, 2))), view="folded", title="")


def captions() -> viz.Drawing:
    model = rc.OneToMany(rc.GRU(2, 3), vector_size=4, outputs=2)
    ys = model(mg.tensors(model.init(0)), np.zeros((1, 4)), np.zeros((3, 1, 2)))
    return viz.draw(ys, view="unfolded", title="")


def turing() -> viz.Drawing:
    made = rc.TuringNet(rc.binary_increment())
    ys = rc.unroll(made.cell, mg.tensors(made.params()), None, made.encode("1"), steps=3)[1]
    return viz.draw(ys, view="folded", title="")


def system() -> viz.Drawing:
    step = rc.dynamical_system(lambda theta, s, a: mg.tanh(a @ theta["W"] + s @ theta["U"]))
    sizes = (2, 3, 4, 1)  # of the state, another at every step
    thetas = [
        mg.tensors({"W": np.zeros((1, n)), "U": np.zeros((m, n))})
        for m, n in zip(sizes, sizes[1:], strict=False)
    ]
    states = step(thetas, np.zeros(2), np.zeros((3, 1)))
    return viz.draw(states[-1], view="ops", title="")


# -- the table -------------------------------------------------------------------------------------


def of_kind(kind: type[Cell], draw: Callable[[Any], viz.Drawing]) -> Entry:
    """The entry of a class of cells, from what the class states."""
    return Entry(
        kind.title, kind.__name__, kind.equation, kind.over, lambda: draw(kind.examples()[0])
    )


def many(cell: Any) -> viz.Drawing:
    """A tree of three children."""
    return tree(cell, ("the", "Saints", "won"))


APART = (rc.EchoState, rc.RecursiveAutoencoder, rc.ScoringNet)  # which have entries of their own
SECTIONS: dict[str, list[Entry]] = {
    "Cells": [
        *(of_kind(kind, chain) for kind in kinds("chain") if kind not in APART),
        Entry(
            "IRNN", "RNN", "h' = relu(x W + h U + b),  U = 1 at first", "chain",
            lambda: chain(rc.RNN(2, 3, "relu", recurrent="identity")),
        ),
        Entry(
            "Echo state network", "EchoState, ridge_readout",
            f"{rc.EchoState.equation};  readout by ridge regression", "chain",
            lambda: chain(rc.EchoState(2, 5)),
        ),
        Entry(
            "Dynamical system", "dynamical_system", "s_t = f_t(s_{t-1}, a_t; θ_t)",
            "chain of calls", system,
        ),
    ],
    "Depth and direction": [
        Entry(
            "Stacked states", "stack, compose.Stack", "s_k, y_k = cell_k(s_k, y_{k-1})", "chain",
            lambda: chain(rc.stack(rc.RNN(2, 3), rc.RNN(3, 3))),
        ),
        Entry(
            "Deep input", "deep_input, compose.DeepInput", "h' = cell(h, MLP(x))", "chain",
            lambda: chain(rc.deep_input(rc.RNN(3, 3), [2])),
        ),
        Entry(
            "Deep transition", "deep_transition, compose.DeepTransition",
            "h' = tanh(MLP(cell(h, x)) + h S)", "chain",
            lambda: chain(rc.deep_transition(rc.RNN(2, 3), [3])),
        ),
        Entry(
            "Deep output", "deep_output, compose.DeepOutput", "y = MLP(h)", "chain",
            lambda: chain(rc.deep_output(rc.RNN(2, 3), [3, 2])),
        ),
        Entry(
            "Bidirectional", "bidirectional, directions.Bidirectional",
            "f_t = cell(f_{t-1}, x_t),  g_t = cell(g_{t+1}, x_t),  y_t = [f_t; g_t]",
            "two chains, one transposed",
            lambda: net(rc.bidirectional(rc.RNN(2, 3))),
        ),
        Entry(
            "Limited look-ahead", "bidirectional, directions._windows",
            "g_t from x_{t+k}, ..., x_t", "a short chain per step",
            lambda: net(rc.bidirectional(rc.RNN(2, 3), lookahead=1)),
        ),
    ],
    "Patterns": [
        Entry(
            "One to many", "OneToMany", "s_0 = tanh(v W + b),  y_t = h_t V + c", "chain", captions
        ),
        Entry(
            "Many to one", "ManyToOne", "y = h_T V + c", "chain",
            lambda: net(rc.ManyToOne(rc.GRU(2, 3), 2)),
        ),
        Entry(
            "Aligned many to many", "ManyToMany", "y_t = h_t V + c", "chain",
            lambda: net(rc.ManyToMany(rc.GRU(2, 3), 2)),
        ),
        Entry(
            "Missing observations", "Hold, SelfFeeding, with_mask",
            "s_t = s_{t-1} where nothing was observed; or x_t = what the net expected", "chain",
            missing,
        ),
        Entry(
            "Encoder-decoder", "encoder_decoder, seq2seq.EncoderDecoder, seq2seq.DecoderCell",
            "s_0 = tanh(context W + b);  s_t, y_t = cell(s_{t-1}, y_{t-1})",
            "two chains, joined through an index", lambda: seq2seq(None),
        ),
        Entry(
            "Attention (Bahdanau)", "attend", "e_j = v tanh(s W + h_j U),  c = Σ softmax(e)_j h_j",
            "chain over a table per sequence", lambda: seq2seq("additive"),
        ),
        Entry(
            "Attention (Luong)", "attend", "e_j = s W h_j or s h_j,  c = Σ softmax(e)_j h_j",
            "chain over a table per sequence", lambda: seq2seq("general"),
        ),
        Entry(
            "Decoding", "greedy, sample, beam_search", "argmax, a draw, or the best b so far",
            "step by step, outside of the graph",
        ),
    ],
    "Training pieces": [
        Entry(
            "Variational dropout", "Dropout, dropout_masks",
            "cell(m_h h, m_x x), the same masks at every step", "that of its cell",
        ),
        Entry(
            "Zoneout", "Zoneout, zoneout_masks", "s_t = m_t s_{t-1} + (1 - m_t) cell(s_{t-1}, x_t)",
            "that of its cell",
        ),
        Entry("Weight tying", "tied_logits", "logits = h Eᵀ + c,  E the embeddings", "any"),
        Entry(
            "Losses", "cross_entropy, tree_cross_entropy, mean_squared_error",
            "-log softmax(z)_y,  (p - t)²;  over what counts", "any",
        ),
    ],
    "Trees": [
        *(of_kind(kind, tree) for kind in kinds("tree") if kind not in APART),
        *(of_kind(kind, many) for kind in kinds("tree, one summed slot")),
        Entry(
            "Recursive autoencoder", "RecursiveAutoencoder", rc.RecursiveAutoencoder.equation,
            "tree", lambda: tree(rc.RecursiveAutoencoder(2)),
        ),
        Entry(
            "Top-down", "top_down", "h = cell(h of the parent, x)", "tree, transposed", downwards
        ),
    ],
    "Beyond chains and trees": [
        *(of_kind(kind, grid) for kind in kinds("grid")),
        Entry(
            "Grid of cells", "sweep", "h_p = cell(h_{p - e_1}, ..., h_{p - e_d}, x_p)", "grid",
        ),
        Entry(
            "From every corner", "Multidirectional", "y = [sweeps from the 2^d corners]",
            "2^d grids, mirrored", corners,
        ),
        Entry(
            "Lattice RNN", "lattice, run_lattice", "h_n = cell(Σ_m s_m h_m / Σ_m s_m, x_n)",
            "directed acyclic graph", arcs,
        ),
    ],
    "Learned structure": [
        Entry(
            "Scoring net", "ScoringNet", rc.ScoringNet.equation, "tree",
            lambda: tree(rc.ScoringNet(2, 3)),
        ),
        Entry(
            "Greedy and beam parsing", "parse, parsing._score, parsing._best",
            "merge the best of all neighbours until one is left", "the tree that is found",
            lambda: parsed(rc.ScoringNet(2, 3), beam=4),
        ),
        Entry(
            "Max-margin", "margin_loss, tree_scores", "max(0, s(found) + κ Δ - s(gold))",
            "two forests", lambda: margin(rc.margin_loss, np.zeros((3, 2)), [1.0]),
        ),
        Entry(
            "Margin of each merge", "greedy_loss, confusions", "max(0, s(wrong) + κ - s(right))",
            "two forests", lambda: margin(rc.greedy_loss, np.zeros((3, 2)), np.zeros((3, 2))),
        ),
        Entry(
            "Greedy merging of an autoencoder", "parse, RecursiveAutoencoder",
            "merge the neighbours with the least E", "the tree that is found",
            lambda: parsed(rc.RecursiveAutoencoder(2), lowest=True),
        ),
    ],
    "Baselines and theory": [
        Entry(
            "Sliding window", "TimeDelay", "y_t = tanh(Σ_{k < τ} x_{t-k} W_k + b)",
            "no edges: each step reads τ rows",
            lambda: net(rc.TimeDelay(2, 3, 2)),
        ),
        Entry(
            "Unshared parameters", "Unshared", "h_t = cell(θ_t, h_{t-1}, x_t)",
            "chain, θ through an index", lambda: net(rc.Unshared(rc.RNN(2, 3), 3)),
        ),
        Entry(
            "Turing machine", "SaturatedRNN, TuringNet", "h' = s(h U + b),  s(x) = x in [0, 1]",
            "chain, three steps a move", turing,
        ),
    ],
}  # fmt: skip


def parts(entry: Entry) -> list[Any]:
    """The objects an entry is made of; AttributeError for a name that `recurrent` does not have."""
    found = []
    for name in entry.code.split(", "):
        module, _, attribute = name.rpartition(".")
        home = importlib.import_module(f"recurrent.{module}") if module else rc
        found.append(getattr(home, attribute))
    return found


def lines(made: Any) -> int:
    """Lines of code of a class or function: no docstrings, comments or blank lines."""
    source = textwrap.dedent(inspect.getsource(made))
    skipped: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        body = getattr(node, "body", None)
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node) and body:
            skipped |= set(range(body[0].lineno, body[0].end_lineno + 1))
    return sum(
        bool(line.strip()) and not line.strip().startswith("#") and number not in skipped
        for number, line in enumerate(source.splitlines(), 1)
    )


def table(entries: list[Entry]) -> str:
    rows = ["| architecture | equation | structure | lines | drawing |", "|---|---|---|---|---|"]
    for e in entries:
        names = ", ".join(
            f"`{name.split('.')[-1]}`" for name in e.code.split(", ") if "._" not in name
        )
        total = sum(lines(made) for made in parts(e))
        picture = f'<img src="architectures/{e.picture.name}" width="240">' if e.draw else ""
        equation = e.equation.replace("|", "\\|")
        rows.append(f"| {e.title}: {names} | {equation} | {e.structure} | {total} | {picture} |")
    return "\n".join(rows)


SHARING = """## Why parameters are shared

"the Saints beat the Panthers last night" and "last night, the Saints beat the Panthers" say the
same. Two taggers learn from the first order which words say who, what and when: one has one set of
parameters for all steps (`RNN`), the other its own at every step (`Unshared`). Both know the order
they learnt; asked about the other one, the shared parameters recognise most words where they now
stand, the unshared ones meet words they never saw at that step. Means over ten seeds, made by
`python -m docs.parameter_sharing`:

"""


def text(sharing: str) -> str:
    """The whole page; `sharing` is the table of results that `docs.parameter_sharing` prints."""
    page = [
        "# Architectures",
        "",
        "Every recurrent and recursive system here is a cell repeated over a structure, or a few "
        "of them. Papers and all details are in the docstrings. Lines are those of the code named, "
        "without docstrings, comments and what it inherits. "
        "Made by `python -m docs.architectures`.",
    ]
    for section, entries in SECTIONS.items():
        page += ["", f"## {section}", "", table(entries)]
    return "\n".join([*page, "", SHARING + sharing]) + "\n"


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for entries in SECTIONS.values():
        for entry in entries:
            if entry.draw:
                print(keep(entry.draw(), entry.picture))
    PAGE.write_text(text(parameter_sharing.report(parameter_sharing.run())), encoding="utf-8")


if __name__ == "__main__":
    main()
