"""Trees: reading, writing, structures, folding, and what is malformed."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
import recurrent as rc

from ..laws import close, fold_is_a_recursion

T = rc.Tree
SST = Path(__file__).resolve().parents[3] / "shared" / "data" / "sst_dev.ptb"


def test_brackets():
    t = T.parse("(3 (2 It) (4 (2 works) (2 .)))")
    assert t.label == "3" and t.words() == ["It", "works", "."]
    assert [n.label for n in t.postorder()] == ["2", "2", "2", "4", "3"]
    assert t.children[1].children[0] == T("2", [], "works")
    assert T.parse(str(t)) == t


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("(a)", None),
        ("( (S (NP I) (VP go)))", ["I", "go"]),
        ("(NP the dog)", ["the", "dog"]),
        ("(S\n  (A x)\t(B  y))", ["x", "y"]),
        ("(X (Y é漢字))", ["é漢字"]),
        ("(2 -LRB-)", ["-LRB-"]),
        ("( a)", ["a"]),
        ("( 3 (2 a))", ["a"]),
        ("(NP (D a) dog (N b) cat)", ["a", "dog", "b", "cat"]),
    ],
)
def test_bracket_dialects(text, wanted):
    if wanted is None:
        with pytest.raises(ValueError, match="without a word or a child at line 1, column 1"):
            T.parse(text)
    else:
        assert T.parse(text).words() == wanted


trees = st.recursive(
    st.builds(
        lambda w, label: T(label, [], w),
        st.text("abc.", min_size=1, max_size=3),
        st.sampled_from(["0", "NP", ""]),
    ),
    lambda inner: st.builds(
        lambda c, label: T(label, c),
        st.lists(inner, min_size=1, max_size=3),
        st.sampled_from("0123"),
    ),
    max_leaves=8,
)


@given(trees)
def test_text_and_back(tree):
    assert T.parse(str(tree)) == tree
    assert list(rc.read_brackets(f"{tree}\n\n{tree}")) == [tree, tree]


@given(trees)
def test_the_structure_is_post_order_with_the_root_last(tree):
    order = tree.postorder()
    s = rc.structure([tree, T.parse(str(tree))])
    assert s.n == 2 * len(order) and s.components == 2
    assert rc.roots(s).tolist() == [len(order) - 1, 2 * len(order) - 1]
    words = [order[n % len(order)].word for n in range(s.n)]
    assert [w is not None for w in words] == (s.words >= 0).tolist()
    assert s.words[s.words >= 0].tolist() == list(range(2 * len(tree.words())))
    for a, b, k in zip(s.src.tolist(), s.dst.tolist(), s.slot.tolist(), strict=True):
        if b < len(order):
            assert order[b].children[k] is order[a]


def test_tuples_and_lists():
    t = T.parse(("It", ("works", ".")))
    assert t.words() == ["It", "works", "."] and t.children[0].word == "It"
    assert [len(x.words()) for x in T.parse(["(1 a)", ("b", "c"), t])] == [1, 2, 3]
    deep = "x"
    for _ in range(3000):
        deep = (deep, "y")
    assert len(T.parse(deep).words()) == 3001
    text = str(T.parse(deep))
    assert str(T.parse(text)) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("(1 (2 a)", r"1 bracket\(s\) never closed; the innermost opens at line 1, column 1"),
        (
            "(1 (2 a)\n  (3 (4 b)",
            r"2 bracket\(s\) never closed; the innermost opens at line 2, column 3",
        ),
        ("(1 a))", r"'\)' without '\(' at line 1, column 6"),
        ("(1 a)\n\n x", "'x' stands outside of any bracket at line 3, column 2"),
        ("(1 (2 a)\n (3 ))", "without a word or a child at line 2, column 2"),
        ("( )", "without a word or a child at line 1, column 1"),
        ("()", "without a word or a child at line 1, column 1"),
        ("", "holds no tree"),
        (" \n", "holds no tree"),
        ("word", "'word' stands outside"),
        ("(1 a) (1 b)", "2 trees, not one; rc.read_brackets"),
        ((), "an empty tuple is no tree"),
        (("a", ()), "an empty tuple"),
        (("a", ["b"]), "a list inside a nested tuple"),
        (("a", None), "NoneType inside"),
    ],
)
def test_malformed_trees_say_where(text, message):
    with pytest.raises(ValueError, match=message):
        T.parse(text)


def test_what_is_no_tree_at_all():
    with pytest.raises(TypeError, match="needs text, nested tuples"):
        T.parse(5)
    leaf = T("1", [], "a")
    with pytest.raises(ValueError, match="one Tree object stands in two places"):
        rc.structure(T("2", [leaf, leaf]))


FOREST = [
    "(3 (2 (2 a) (2 b)) (4 c))",
    "(1 d)",
    "(2 (2 e) (3 (3 f) (2 (2 g) (1 h))))",
    "(1 (2 only))",
]


@pytest.mark.parametrize(
    "cell", [rc.RecursiveNet(2, 3), rc.TreeLSTM(2, 3), rc.TreeLSTM(2, 3, arity=4)]
)
def test_fold_is_a_recursion(cell):
    fold_is_a_recursion(cell, T.parse(FOREST))


@given(trees, st.integers(0, 99))
def test_fold_is_a_recursion_on_any_tree(tree, seed):
    fold_is_a_recursion(rc.TreeLSTM(2, 3, arity=3), [tree], seed)
    fold_is_a_recursion(rc.RecursiveNet(2, 2, arity=3), [tree], seed)


def test_fold_takes_text_tuples_trees_and_structures():
    cell, x = rc.TreeLSTM(2, 3), np.ones((8, 2))
    p = cell.init(0)
    parsed = T.parse(FOREST[2])
    results = [
        mg.evaluate(rc.fold(cell, p, given, x[:4])[1])
        for given in (parsed, [parsed], FOREST[2], rc.structure(parsed))
    ]
    for r in results[1:]:
        np.testing.assert_array_equal(r, results[0])
    batch = mg.evaluate(rc.fold(cell, p, FOREST[1:3], x[:5])[1])
    close(batch[1:], results[0], 1e-14)
    assert rc.roots(FOREST[1:3]).tolist() == [0, 7]


def test_words_are_read_in_the_order_of_the_sentence():
    cell = rc.RecursiveNet(1, 1)
    p = {"W": np.ones((1, 1)), "U_0": np.zeros((1, 1)), "U_1": np.zeros((1, 1)), "b": np.zeros(1)}
    xs = np.array([[0.1], [0.2], [0.3]])
    ys = mg.evaluate(rc.fold(cell, p, "(1 (1 (1 a) (1 b)) (1 c))", xs)[1])
    close(ys[:, 0], np.tanh([0.1, 0.2, 0.0, 0.3, 0.0]), 1e-15)


def test_a_general_structure_reads_words_at_its_leaves():
    s = mg.Structure.forest([[], [], [0, 1]])
    assert rc.structure(s).words.tolist() == [0, 1, -1]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: rc.fold(
                rc.TreeLSTM(2, 3), rc.TreeLSTM(2, 3).init(0), (("a", "b", "c"),), np.ones((3, 2))
            ),
            "a node has 3 children but TreeLSTM.* takes 2; make the cell with arity=3, or binarise",
        ),
        (
            lambda: rc.fold(
                rc.TreeLSTM(2, 3), rc.TreeLSTM(2, 3).init(0), ("a", "b"), np.ones((3, 2))
            ),
            r"the trees have 2 words but xs has shape \(3, 2\): a row per word",
        ),
        (lambda: rc.fold(lambda p, c, x: (x, x), {}, ("a", "b"), np.ones((2, 2))), "no zero_state"),
    ],
)
def test_bad_folds(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.skipif(not SST.exists(), reason=f"the sentiment trees are not at {SST}")
def test_real_sentiment_trees():
    trees = list(rc.read_brackets(SST.read_text()))
    assert len(trees) == 1101
    assert [str(t) for t in trees[:50]] == SST.read_text().splitlines()[:50]
    cell = rc.TreeLSTM(4, 5)
    words = sum(len(t.words()) for t in trees)
    _, ys = rc.fold(cell, cell.init(0), trees, np.random.default_rng(0).standard_normal((words, 4)))
    assert np.isfinite(ys.numpy()).all() and len(rc.roots(trees)) == 1101
