"""`mg.source` of every architecture in docs/architectures.md, forward and gradient."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import optree
import pytest

import minigrad as mg
import recurrent as rc
import viz
from docs import architectures as page
from minigrad.graph import CONSTANT, constant, rebuild, toposort

from .running import check, equal, library, run_all_in_node

ENTRIES = {e.title: e for entries in page.SECTIONS.values() for e in entries}


class Nothing:
    """In a drawing's place."""

    def summary(self) -> str:
        return ""


def shown(entry: page.Entry) -> list[Any]:
    """The Tensors that an entry draws."""
    seen: list[Any] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(viz, "draw", lambda outputs, **_: (seen.append(outputs), Nothing())[1])
        entry.draw()
    return [t for t in optree.tree_leaves(seen) if isinstance(t, mg.Tensor)]


def lattice() -> Any:
    s = rc.lattice([(0, 1, "a"), (1, 2, "b"), (0, 2, "c"), (2, 3, "d")], [0.5, 1.0, 2.0, 1.0])
    cell = rc.LSTM(2, 3)
    return rc.run_lattice(cell, mg.tensors(cell.init(0)), s, np.zeros((4, 2)))


def found_tree(cell: Any, **how: Any) -> Any:
    """The tree a parser chooses, computed."""
    xs = np.random.default_rng(1).standard_normal((4, 2))
    tree = rc.parse(cell, cell.init(0), xs, "the Saints won today".split(), **how)
    return rc.fold(cell, mg.tensors(cell.init(0)), tree, xs)


def dropout() -> Any:
    cell = rc.LSTM(2, 3)
    masks = rc.dropout_masks(cell, np.random.default_rng(0), 2, 0.4, 0.5)
    params, xs = mg.tensors(cell.init(0)), np.zeros((3, 2, 2))
    return rc.unroll(rc.Dropout(cell), params, xs, lengths=[3, 1], memory=masks)


def zoneout() -> Any:
    cell = rc.LSTM(2, 3)
    masks = rc.zoneout_masks(cell, np.random.default_rng(0), 3, 2, 0.4)
    return rc.unroll(rc.Zoneout(cell), mg.tensors(cell.init(0)), (np.zeros((3, 2, 2)), masks))


def tied() -> Any:
    table, cell = mg.asarray(np.ones((5, 3)), name="E"), rc.GRU(3, 3)
    tokens = np.array([[0, 3], [1, 4], [2, 0]])
    ys = rc.unroll(cell, mg.tensors(cell.init(0)), mg.take(table, tokens))[1]
    return rc.cross_entropy(rc.tied_logits(table, ys), tokens)


def losses() -> Any:
    cell = rc.RNN(2, 3)
    ys = rc.fold(cell_of_trees(), mg.tensors(cell_of_trees().init(0)), page.TREE, np.ones((3, 2)))
    steps = rc.unroll(cell, mg.tensors(cell.init(0)), np.ones((3, 2, 2)))[1]
    return (
        rc.tree_cross_entropy(ys[1], np.array([0, 1, -1, 2, 0])),
        rc.mean_squared_error(steps, np.zeros((3, 2, 3)), lengths=[3, 2]),
        rc.cross_entropy(steps, np.zeros((3, 2), int), lengths=[1, 3]),
    )


def cell_of_trees() -> Any:
    return rc.RecursiveNet(2, 3)


def swept() -> Any:
    cell = rc.GRU(2, 3)
    both = rc.MDLSTM(2, 3)
    return rc.sweep(both, mg.tensors(both.init(0)), np.zeros((2, 2, 2)), reverse=(1,)), rc.unroll(
        cell, mg.tensors(cell.init(0)), np.zeros((3, 2)), reverse=True
    )


def decoded() -> Any:
    """Decoding goes step by step outside of the graph: the scores of one step inside it."""
    cell = rc.GRU(2, 3)
    h, y = cell(mg.tensors(cell.init(0)), np.ones(3), np.ones(2))
    return h, mg.log_softmax(y), mg.argmax(y)


OTHERS = {  # of the entries that draw no Tensors
    "Lattice RNN": lattice, "Greedy and beam parsing": lambda: found_tree(rc.ScoringNet(2, 3)),
    "Greedy merging of an autoencoder":
        lambda: found_tree(rc.RecursiveAutoencoder(2), lowest=True),
    "Variational dropout": dropout, "Zoneout": zoneout, "Weight tying": tied, "Losses": losses,
    "Grid of cells": swept, "Decoding": decoded,
}  # fmt: skip


@cache
def graph(title: str) -> Any:
    """Outputs, a loss of them, and its gradient by every named leaf; numbers drawn at random."""
    made = OTHERS[title]() if title in OTHERS else shown(ENTRIES[title])
    leaves = [t for t in optree.tree_leaves(made) if isinstance(t, mg.Tensor)]
    rng, swap = np.random.default_rng(len(title)), {}
    for t in toposort(leaves):
        drawn = t.op is CONSTANT and t.dtype.kind == "f" and t.size > 1
        if drawn and (t.name or not t._value.any()):
            swap[t] = constant(0.5 * rng.standard_normal(t.shape), name=t.name)
    leaves = rebuild(leaves, swap)
    floats = [t for t in leaves if t.dtype.kind == "f"]
    loss = mg.sum(mg.stack([mg.sum(t * t) for t in floats]))
    wrt = [t for t in toposort([loss]) if t.op is CONSTANT and t.name and t.dtype.kind == "f"]
    assert wrt
    return leaves, loss, mg.grad(loss, wrt)


def test_every_entry_has_a_graph():
    without = {e.title for e in ENTRIES.values() if e.title not in OTHERS and not shown(e)}
    assert not without


@pytest.mark.parametrize("title", ENTRIES)
@pytest.mark.parametrize("name", ["numpy", library("torch"), library("jax", pytest.mark.slow)])
def test_every_architecture(title, name):
    check(graph(title), name)


SCANNED = ["Elman RNN", "Sliding window"]  # by a scan, by a vmap; the others are slow


@pytest.mark.parametrize("title", SCANNED)
@pytest.mark.parametrize("name", [library("jax")])
def test_kinds_of_structure(title, name):
    """Those that JAX writes in ways of its own."""
    check(graph(title), name)


@pytest.mark.parametrize("name", [library("js")])
def test_every_architecture_in_one_program(name):
    graphs = [graph(title) for title in ENTRIES]
    for found, outputs in zip(
        run_all_in_node([mg.source(g, name) for g in graphs]), graphs, strict=True
    ):
        equal(found, outputs, exact=False)
