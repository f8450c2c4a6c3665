"""The numbers of a study, against nudging every state, sums and a second run."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
import recurrent as rc
from viz.study.corpus import SPLIT
from viz.study.model import Trees

from .studies import CASES, SENTENCE, TREE, studied


@pytest.mark.parametrize(("text", "cell"), CASES)
def test_gradients_agree_with_nudging_every_state(text, cell):
    """d L / d h_n against central differences: one node's state is shifted, the rest runs on."""
    study = studied(text, cell)
    task, params = study.task, study.training.params
    nodes, hidden = len(task.names), task.cell.hidden_size
    direction = np.random.default_rng(0).normal(size=hidden)
    tensors = mg.tensors(params)
    run = task.forward(tensors)
    gradient = mg.state_gradients(run.losses[task.chosen], run.states["h"]).numpy()

    def loss(node: int, eps: float) -> float:
        shifts = np.zeros((nodes, hidden))
        shifts[node] = eps * direction
        return float(shifted(task, params, shifts)[task.chosen])

    for node in range(nodes):
        measured = (loss(node, 1e-5) - loss(node, -1e-5)) / 2e-5
        assert measured == pytest.approx(gradient[node] @ direction, rel=1e-5, abs=1e-10)
    np.testing.assert_allclose(study.after.norms["h"], np.linalg.norm(gradient, axis=1))


def shifted(task, params, shifts):
    """The losses when a constant is added to each node's h: a plain loop, nothing of recur."""
    children: list[list[int]] = [[] for _ in task.names]
    if isinstance(task, Trees):
        s = task.structure
        words, ids = iter(task.trees[task.look_at].words()), []
        for name in task.leaves:
            ids.append(task.number[next(words)] if name else -1)
        for child, parent in sorted(zip(s.src.tolist(), s.dst.tolist(), strict=True)):
            children[parent].append(child)
    else:
        ids = task.ids[: len(task.names)].tolist()
        children = [[k - 1] if k else [] for k in range(len(ids))]
    tree = isinstance(task, Trees)
    zero = [np.zeros(task.cell.hidden_size)] * len(task.cell.state_names)
    zero = tuple(zero) if len(zero) > 1 else zero[0]
    states = []
    for k, number in enumerate(ids):
        x = params["embedding"][number] if number >= 0 else np.zeros(task.cell.input_size)
        below = [states[c] for c in children[k]]
        carry = (
            tuple(below + [zero] * (task.cell.arity - len(below))) if tree else (below or [zero])[0]
        )
        state, _ = task.cell(params["cell"], carry, x)
        parts = state if isinstance(state, tuple) else (state,)
        parts = [np.asarray(parts[0]) + shifts[k], *(np.asarray(p) for p in parts[1:])]
        states.append(tuple(parts) if len(parts) > 1 else parts[0])
    h = np.stack([s[0] if isinstance(s, tuple) else s for s in states])
    return np.asarray(mg.cross_entropy(h @ params["W_y"] + params["b_y"], task.targets))


@pytest.mark.parametrize(("text", "cell"), CASES)
def test_the_ledger_adds_up(text, cell):
    study = studied(text, cell)
    assert study.after.drift < 1e-12
    assert set(study.after.ledger) == set(study.training.params["cell"])
    for name, shares in study.after.shares.items():
        assert len(shares) == len(study.task.names)
        if study.after.gradient[name] > 0:
            assert shares.sum() == pytest.approx(1)


def test_training_lowers_the_loss_and_is_reproducible():
    first, again = studied(SENTENCE, steps=40), studied(SENTENCE, steps=40)
    assert first.training.losses[-1] < 0.9 * first.training.losses[0]
    assert first.training.losses == again.training.losses


@pytest.mark.parametrize(("text", "cell"), [("a b c d e f g h " * 40, "gru"), (TREE * 9, "tree")])
def test_compiled_training_is_the_same_training(text, cell, monkeypatch):
    plain = studied(text, cell, steps=8).training
    monkeypatch.setattr("viz.study.training.WORTH_COMPILING", 0)
    compiled = studied(text, cell, steps=8).training
    np.testing.assert_allclose(plain.losses, compiled.losses, rtol=1e-9)


def test_long_texts_are_seen_through_windows():
    study = studied("a b c d e f g h " * 40, steps=2)
    assert len(study.task.names) == 40 and "320 words" in " ".join(study.task.notes)


def test_batches_of_trees_leave_out_nodes_without_a_label():
    study = studied("(S (NP (N a)) (VP (V b) (N c) (N d) (N e) (N f)))", "tree")
    labels = [n.label for n in study.task.trees[0].postorder()]
    assert SPLIT in labels and SPLIT not in study.task.classes
    assert (study.task.targets[np.array(labels) == SPLIT] == -1).all()
    assert study.task.structure.slots <= study.task.cell.arity
    batch = study.task.batch(np.random.default_rng(0))
    loss = study.task.loss(mg.tensors(study.training.params), *batch)
    assert float(loss) == pytest.approx(np.nanmean(study.after.losses))


def test_the_loss_is_taken_where_there_is_a_label():
    study = studied("((NP (DT the) (NN dog)) (VP barks))", "tree")
    assert study.task.names[study.task.chosen] == "the … dog"
    assert study.task.below.tolist() == [True, True, True, False, False]


def test_the_tree_cell_is_the_one_of_the_package():
    assert isinstance(studied(TREE, "tree").task.cell, rc.TreeLSTM)
