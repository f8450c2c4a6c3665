"""The rows under the steps: each number is that of a public call, on every architecture."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
import recurrent as rc
import viz
from minigrad.graph import rebuild
from viz.scene.factors import term_norms
from viz.scene.flow import is_source

from ..graphs import ENTRIES, drawn_by, tied


def rows(value):
    value = np.asarray(value)
    return np.sqrt((value.reshape(len(value), -1) ** 2).sum(axis=1))


def drawn_outputs(entry, monkeypatch):
    """What an architecture draws, with random numbers for its zeros; [] for a mere structure."""
    outputs = [t for t in drawn_by(entry, monkeypatch) if t.dtype.kind == "f"]
    rng = np.random.default_rng(0)
    swap = {
        t: mg.asarray(rng.standard_normal(t.shape), name=f"{t.name or 'leaf'}_{k}")
        for k, t in enumerate(mg.nodes(outputs))
        if not t.inputs and t.dtype.kind == "f" and is_source(t) and t.op.name == "constant"
    }
    return rebuild(outputs, swap), list(swap.values())


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda e: e.title)
def test_each_number_is_a_public_calls(entry, monkeypatch):
    outputs, leaves = drawn_outputs(entry, monkeypatch)
    if not outputs:
        pytest.skip("a structure alone has no gradient")
    loss = sum(mg.sum(mg.square(t)) for t in outputs)
    scene = viz.draw(loss, grad=loss, max_steps=None).scene
    if not any(n.kind == "cell" for n in scene.nodes):
        pytest.skip("no recurrence: the ops view has laws of its own")
    by_name = {t.name: t for t in leaves if t.name}
    for track in scene.tracks:
        name = track.tooltip.split(":")[0]
        leaf = by_name[name]
        own = [t for t in scene.tracks if t.tooltip == track.tooltip]
        (head,) = (t for t in own if t.norm is not None)
        assert head.norm == pytest.approx(np.linalg.norm(mg.grad(loss, leaf).numpy()), rel=1e-9)
        sizes = sorted(use.norm for t in own for use in t.uses)
        wanted = sorted(rows(mg.contributions(loss, leaf)))
        np.testing.assert_allclose(sizes, wanted, rtol=1e-7, atol=1e-12)
        assert head.together == pytest.approx(sum(sizes), rel=1e-9)
        assert head.norm <= head.together * (1 + 1e-9)
    kinds = {n.id: n for n in scene.nodes}
    chains = {c.id for c in scene.clusters if c.arrangement == "chain"}
    if all(n.lane in chains for n in scene.nodes if n.kind == "cell"):
        shared = {m for n in scene.nodes if n.kind == "shared" for m in n.members}
        assert {t.tooltip.split(":")[0] for t in scene.tracks} >= shared
    for edge in scene.edges:  # a square per parameter: together they are what the arrow carries
        if edge.kind != "backward" or kinds[edge.target].kind != "shared" or not scene.tracks:
            continue
        at = [
            u.norm
            for t in scene.tracks
            for u in t.uses
            if u.at == edge.source and t.tooltip.split(":")[0] in kinds[edge.target].members
        ]
        if at:
            assert edge.norm == pytest.approx(np.linalg.norm(at), rel=1e-9)


def test_the_ledger_has_the_same_entries():
    cell = rc.LSTM(2, 3)
    p = mg.tensors(cell.init(0))
    _, ys = rc.unroll(cell, p, np.random.default_rng(0).standard_normal((6, 2)))
    loss = mg.sum(ys[-1] ** 2)
    tracks = {t.label: t for t in viz.draw(loss, grad=loss).scene.tracks}
    entries = rc.study.ledger(loss, p).entries
    for name, track in tracks.items():
        wanted = [e.norm for e in entries if e.parameter == name]
        np.testing.assert_allclose([u.norm for u in track.uses], wanted, rtol=1e-9)


def test_tied_embeddings_are_counted_at_the_steps_and_at_the_loss():
    loss, table, _, xs, scored = tied()
    own = [t for t in viz.draw(loss, grad=loss).scene.tracks if t.tooltip.startswith("E:")]
    steps, outside = (t for t in own)
    np.testing.assert_allclose([u.norm for u in steps.uses], rows(mg.grad(loss, xs)), rtol=1e-9)
    (use,) = outside.uses
    again = mg.asarray(table.numpy())
    rest = mg.grad(scored(again), again).numpy()
    assert use.norm == pytest.approx(np.linalg.norm(rest), rel=1e-9)
    assert steps.norm == pytest.approx(np.linalg.norm(mg.grad(loss, table).numpy()), rel=1e-9)


@pytest.mark.parametrize("size", [1.0, 1e-170, 1e150, 0.0])
def test_norms_of_sums_of_outer_products(size):
    """Also where squares of them would underflow, where they cancel, and where nothing is left."""
    rng = np.random.default_rng(0)
    a, b, c, d = (rng.standard_normal((5, n)) * size**0.5 for n in (3, 4, 3, 4))
    whole = np.einsum("ni,nj->nij", a, b) + np.einsum("ni,nj->nij", c, d)
    scale = np.abs(whole).max() or 1.0
    wanted = rows(whole / scale) * scale
    np.testing.assert_allclose(term_norms([a, b, c, d]), wanted, rtol=1e-12)
    cancelled = term_norms([a, b, -a, b])
    assert (cancelled <= 1e-15 * rows(np.einsum("ni,nj->nij", a, b) / scale) * scale).all()
    broken = a.copy()
    broken[2, 0] = np.nan
    assert np.isnan(term_norms([broken, b])).tolist() == [k == 2 for k in range(5)]
