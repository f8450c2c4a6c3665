"""What a block computes of shared arguments alone is an argument; its derivative too."""

import numpy as np
import pytest

import minigrad as mg
from minigrad.graph import toposort
from minigrad.recur import RECUR, domains, parts_of
from minigrad.rewrite.lift import lift
from minigrad.testing.laws import close

S = mg.Structure


def decay(p, h, x):
    return mg.exp(-mg.softplus(p["a"])) * h + x @ (p["W"] * (1 - p["M"])).T, h @ mg.tanh(p["W"])


def sums(p, h, x):
    return h + mg.sum(p["W"], axis=0) * x, mg.softmax(p["a"])


def leaving(p, h, x):
    return mg.tanh(p["a"]), mg.sqrt(mg.square(p["a"]) + 1)


def views(p, h, x):
    return mg.tanh(h @ p["W"].T + mg.flip(p["a"])), x


CELLS = (decay, sums, leaving, views)
STRUCTURES = (S.chain(4), S.chain([2, 0, 3]), S.forest([[], [], [0, 1]]), S.edges(2, [], []))


def step_of(cell, structure):
    def gathered(p, h, x):
        return cell(p, h[0] + h[1] if isinstance(h, tuple) else h, x)

    def step(p, xs):
        hs, ys = mg.recur(gathered, structure, shared=p, inputs=xs, initial=np.ones((1, 3)))
        return hs, ys, mg.grad(mg.sum(mg.sin(hs)) + mg.sum(ys * ys), (p, xs))

    return step


def arguments(structure):
    rng = np.random.default_rng(0)
    p = {k: rng.standard_normal(s) for k, s in (("a", 3), ("W", (3, 3)), ("M", (3, 3)))}
    return p, rng.standard_normal((structure.n, 3))


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("structure", STRUCTURES, ids=repr)
def test_the_same_values_and_derivatives(cell, structure):
    args = mg.tensors(arguments(structure))
    leaves = mg.pytrees.tree_leaves(step_of(cell, structure)(*args))
    lifted = lift(leaves)
    close(mg.evaluate(lifted), mg.reference(leaves), 1e-12)
    losses = [mg.sum(mg.cos(found[1])) for found in (lifted, leaves)]
    close(mg.evaluate(mg.grad(losses[0], args)), mg.reference(mg.grad(losses[1], args)), 1e-12)


@pytest.mark.parametrize("cell", CELLS)
def test_nothing_is_left_inside(cell):
    structure = STRUCTURES[0]
    leaves = mg.pytrees.tree_leaves(step_of(cell, structure)(*mg.tensors(arguments(structure))))
    once = lift(leaves)
    for r in [t for t in toposort(once) if t.op is RECUR]:
        block, _, vias = parts_of(r)
        domain = domains(block, vias, block.nodes)
        work = [t for t in block.nodes if domain[t] is None and t.inputs]
        assert all(t.op.kind == "movement" for t in work), work
    assert all(a is b for a, b in zip(lift(once), once, strict=True))
    assert (cell is views) == all(a is b for a, b in zip(once, leaves, strict=True))


def test_a_step_with_shared_work_is_one_native_list():
    args = arguments(STRUCTURES[0])
    f = mg.function(step_of(decay, STRUCTURES[0]))
    assert "called through one native list" in f.explain(*args)
    close(f(*args), mg.reference(step_of(decay, STRUCTURES[0])(*mg.tensors(args))), 1e-12)
