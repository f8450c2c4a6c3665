"""Graphs and scenes that the tests of `viz` draw."""

from __future__ import annotations

import numpy as np

import minigrad as mg
import recurrent as rc
from docs import architectures as page
from viz.scene.scene import Cluster, Edge, Node, Scene, legend_for

ENTRIES = [e for entries in page.SECTIONS.values() for e in entries if e.draw is not None]


def rnn(params, carry, x):
    h = mg.tanh(x @ params["W"] + carry @ params["U"])
    return h, h


def lstm(params, carry, x):
    h, c = carry
    z = x @ params["W"] + h @ params["U"]
    i, f, g, o = (z[..., k : k + 2] for k in (0, 2, 4, 6))
    c = mg.sigmoid(f) * c + mg.sigmoid(i) * mg.tanh(g)
    h = mg.sigmoid(o) * mg.tanh(c)
    return (h, c), h


def binary(params, carry, x):
    left, right = carry
    h = mg.tanh(x @ params["W"] + left @ params["L"] + right @ params["R"])
    return h, h


rnn.state_names = ("h",)
lstm.state_names = ("h", "c")
binary.state_names = ("h",)


def leaf(rng, *shape, name=None):
    return mg.asarray(rng.normal(size=shape) * 0.7, name=name)


def chain(lengths=4, cell=rnn, seed=0, reverse=False, inputs=None, initial=True):
    """A recurrence over chains: (states, ys, leaves)."""
    rng = np.random.default_rng(seed)
    structure = mg.Structure.chain(lengths, reverse=reverse)
    size = 2 if inputs is not None else 3
    wide = 8 if cell is lstm else 2
    p = {"W": leaf(rng, size, wide, name="W"), "U": leaf(rng, 2, wide, name="U")}
    x = leaf(rng, structure.n, 3, name="x") if inputs is None else inputs
    start = leaf(rng, 1, 2, name="h0") if initial else np.zeros((1, 2))
    carry = (start, np.zeros((1, 2))) if cell is lstm else start
    states, ys = mg.recur(cell, structure, initial=carry, shared=p, inputs=x)
    return states, ys, {**p, "x": x, "h0": start}


def slots(structure, seed=0):
    """The two-slot cell over a forest or a grid: (states, ys, leaves)."""
    rng = np.random.default_rng(seed)
    p = {n: leaf(rng, k, 2, name=n) for n, k in (("W", 3), ("L", 2), ("R", 2))}
    x = leaf(rng, structure.n, 3, name="x")
    states, ys = mg.recur(binary, structure, initial=np.zeros((1, 2)), shared=p, inputs=x)
    return states, ys, {**p, "x": x}


def tied():
    """Words read from a table E, and scored by it: (loss, E, the words, their vectors, scored).

    scored(table): the loss where another table scores them.
    """
    rng = np.random.default_rng(0)
    cell = rc.RNN(3, 3)
    p = mg.tensors({"cell": cell.init(0), "E": rng.standard_normal((6, 3))})
    ids, targets = np.array([0, 1, 2, 1, 4]), np.array([1, 2, 1, 4, 5])
    xs = mg.take(p["E"], ids)
    _, ys = rc.unroll(cell, p["cell"], xs)

    def scored(table):
        return mg.sum(mg.cross_entropy(ys @ table.T, targets))

    return scored(p["E"]), p["E"], ids, xs, scored


def drawn_by(entry, monkeypatch):
    """The tensors that an architecture of the docs draws; [] for a mere structure."""
    kept = []
    with monkeypatch.context() as patch:
        patch.setattr(page.viz, "draw", lambda outputs, *a, **k: kept.append(outputs))
        entry.draw()
    return [t for t in mg.pytrees.tree_leaves(kept[0]) if isinstance(t, mg.Tensor)]


FOREST = [[], [], [0, 1], [], [2, 3], [], [], [5, 6]]


def backward(scene):
    """The backward edges by (source kind, target kind)."""
    kinds = {n.id: n for n in scene.nodes}
    found = {}
    for e in scene.edges:
        if e.kind == "backward":
            found.setdefault((kinds[e.source].kind, kinds[e.target].kind), []).append(e)
    return found


def labelled(labels):
    """A scene by hand: one node and one edge for every label."""
    nodes = tuple(
        Node(f"n{k}", "cell", text, tooltip=text, lane="c0", column=k)
        for k, text in enumerate(labels)
    )
    edges = tuple(
        Edge(f"e{k}", f"n{k}", f"n{k + 1}", "state", text, tooltip=text)
        for k, text in enumerate(labels[:-1])
    )
    lane = (Cluster("c0", labels[0], "chain"),)
    return Scene("unfolded", labels[0], nodes, edges, lane, legend_for([], labels[-1]))


def flat(tree, prefix=""):
    """Nested dicts as one, by the path that the page names parameters by: "cell.W_f"."""
    found = {}
    for key, value in tree.items():
        deeper = isinstance(value, dict)
        found |= flat(value, f"{prefix}{key}.") if deeper else {prefix + key: value}
    return found
