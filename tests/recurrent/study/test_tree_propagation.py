"""Propagation over trees: against derivatives of the unrolled tree, and closed forms."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
import recurrent as rc
from minigrad.testing.laws import close

RNG = np.random.default_rng(3)
TREES = [((("a", "b"), "c"), ("d", "e")), ("f", "g")]
XS = RNG.standard_normal((7, 2))


def by_hand(cell, params, tree, xs):
    """(root state, leaves' states) of one binary tree by recursion over the cell, on Tensors."""
    nodes, rows = rc.Tree.parse(tree).postorder(), iter(range(len(xs)))
    states, leaves = {}, []
    zero = cell.zero_state(np.float64)
    flat = lambda s: mg.concat([mg.reshape(x, (-1,)) for x in mg.pytrees.tree_leaves(s)])  # noqa: E731
    spec = mg.pytrees.tree_structure(zero)
    none = mg.pytrees.tree_map(lambda z: mg.asarray(z[0]), zero)
    for node in nodes:
        below = [states[id(c)] for c in node.children] or [none, none]
        x = xs[next(rows)] if node.word else mg.zeros(xs.shape[1:])
        made, _ = cell(params, tuple(below), x)
        vec = flat(made)
        leaves.append(vec)
        parts, at = [], 0
        for z in mg.pytrees.tree_leaves(zero):
            n = z[0].size
            parts.append(mg.reshape(vec[at : at + n], z[0].shape))
            at += n
        states[id(node)] = mg.pytrees.tree_unflatten(spec, parts)
    return leaves


@pytest.mark.parametrize("cell", [rc.TreeLSTM(2, 3), rc.RecursiveNet(2, 3)], ids=repr)
def test_against_recursion(cell):
    p = cell.init(0)
    found = rc.study.propagation(cell, p, XS, trees=TREES)
    at = 0
    for tree, rows in ((TREES[0], slice(0, 5)), (TREES[1], slice(5, 7))):
        states = by_hand(cell, mg.tensors(p), tree, mg.asarray(XS[rows]))
        wanted = mg.evaluate([mg.jacobian(states[-1], s) for s in states])
        close(found.products[at : at + len(states)], np.stack(wanted), 1e-12)
        at += len(states)
    x = mg.asarray(XS)
    _, ys = rc.fold(cell, mg.tensors(p), TREES, x)
    top = mg.sum(mg.take(ys, rc.roots(TREES), axis=0), axis=0)
    close(found.sensitivity, np.linalg.norm(mg.evaluate(mg.jacobian(top, x)), axis=(0, 2)), 1e-12)


def test_depth_and_what_is_made_of_it():
    found = rc.study.propagation(rc.RecursiveNet(2, 3), rc.RecursiveNet(2, 3).init(0), XS,
                                 trees=TREES)  # fmt: skip
    assert found.depth.tolist() == [3, 3, 2, 2, 1, 2, 2, 1, 0, 1, 1, 0]
    groups = found.by_depth()
    assert [len(groups[d]) for d in range(4)] == [2, 4, 4, 2]
    close(groups[0], np.ones(2), 1e-14)
    assert found.jacobians.shape == (10, 3, 3) and found.singular_values.shape == (10, 3)
    lines = str(found).splitlines()
    assert "12 nodes in 2 tree(s)" in lines[0] and len(lines) == 5 and "depth 3" in lines[4]
    assert "2 trees" in repr(found)


def test_a_chain_of_nodes_with_one_child_is_a_sequence():
    cell = rc.GRU(2, 3)
    chain = rc.Tree("", [], "0")
    for word in "1234":
        chain = rc.Tree("", [chain], word)
    one = rc.study.propagation(cell, cell.init(0), XS[:5], trees=chain)
    other = rc.study.propagation(cell, cell.init(0), XS[:5])
    close(one.jacobians, other.jacobians[1:, 0], 1e-13)
    close(one.norms(), other.norms()[1:, 0], 1e-13)
    close(one.sensitivity, other.sensitivity[-1, :, 0], 1e-12)


@given(st.integers(1, 9), st.integers(0, 2**31))
def test_a_linear_net_in_closed_form(words, seed):
    """s = (left + right) A + x: d root / d s_n is A to the power of the depth."""
    rng = np.random.default_rng(seed)
    a = 0.7 * rng.standard_normal((2, 2))

    def cell(p, children, x):
        left, right = children
        s = (left + right) @ p.mT + x
        return s, s

    forest = ["w"] * words
    while len(forest) > 1:
        k = int(rng.integers(0, len(forest) - 1))
        forest[k : k + 2] = [(forest[k], forest[k + 1])]
    cell.arity = 2
    tree = rc.Tree("", [], "w") if words == 1 else rc.Tree.parse(forest[0])
    xs = rng.standard_normal((words, 2))
    found = rc.study.propagation(cell, a, xs, np.zeros((1, 2)), trees=tree)
    wanted = np.stack([np.linalg.matrix_power(a, d) for d in found.depth])
    close(found.products, wanted, 1e-12)


def test_a_child_sum_cell_hands_on_what_it_hands_on():
    cell = rc.ChildSumTreeLSTM(2, 3)
    found = rc.study.propagation(cell, cell.init(0), XS, trees=TREES)
    assert found.jacobians.shape == (10, 6, 6) and (found.norms() > 0).all()
    x = mg.asarray(XS)
    _, ys = rc.fold(cell, mg.tensors(cell.init(0)), TREES, x)
    wanted = mg.evaluate(mg.jacobian(ys[8], x))[:, :5]
    close(found.sensitivity[:5], np.linalg.norm(wanted, axis=(0, 2)), 1e-12)


def test_a_word_that_is_nan_and_one_that_is_a_tree():
    cell = rc.TreeLSTM(2, 3)
    xs = XS[:4].copy()
    xs[0] = np.nan  # a word of the first tree
    found = rc.study.propagation(cell, cell.init(0), xs, trees=[("a", "b"), ("c", "d")])
    good = rc.study.propagation(cell, cell.init(0), XS[:4], trees=[("a", "b"), ("c", "d")])
    spoilt = np.isnan(found.norms())
    assert spoilt[:3].any() and not spoilt[3:].any() and "nan" in str(found)
    close(found.norms()[3:], good.norms()[3:], 0.0)
    alone = rc.study.propagation(cell, cell.init(0), XS[:1], trees=rc.Tree("", [], "w"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isnan(alone.growth) and "1 nodes in 1 tree(s)" in str(alone)


def test_what_is_refused():
    cell = rc.RecursiveNet(2, 3)
    with pytest.raises(ValueError, match="no steps="):
        rc.study.propagation(cell, cell.init(0), XS, steps=3, trees=TREES)
    with pytest.raises(ValueError, match="words"):
        rc.study.propagation(cell, cell.init(0), XS[:3], trees=TREES)
    blind = lambda p, below, x: ((s := mg.tanh(below[0] * p - below[1])), s)  # noqa: E731
    silent = rc.study.propagation(blind, np.ones(2), None, np.ones((1, 2)), trees=TREES)
    assert silent.norms().shape == (12,)
    with pytest.raises(ValueError, match="without inputs"):
        _ = silent.sensitivity
