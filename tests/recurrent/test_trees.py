"""Trees: reading, writing, structures, folding, and what is malformed."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
import recurrent as rc
from minigrad.testing.laws import close
from tests.counting import calls

from .checks import fold_is_a_recursion, laws, random_params

T = rc.Tree
DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
SST = DATA / "sst_dev.ptb"


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
        ("( 3 (2 a))", ["3", "a"]),  # white space behind the bracket: no label
        ("( ( The boys ) ( are playing ) )", ["The", "boys", "are", "playing"]),  # SNLI, SICK
        ("( This ( church choir ) )", ["This", "church", "choir"]),
        ("( ( ( [MAX 2 ) 9 ) ] )", ["[MAX", "2", "9", "]"]),  # ListOps
        ("(\n( a b )\n)", ["a", "b"]),
        ("(NP the (N dog))", ["the", "dog"]),
        ("\ufeff(2 (2 a) (2 b))", ["a", "b"]),
        ("(2 &#40;&amp;&#39;&#)", ["(&amp;&#39;&#"]),
        ("(NP (D a) dog (N b) cat)", ["a", "dog", "b", "cat"]),
    ],
)
def test_bracket_dialects(text, wanted):
    if wanted is None:
        with pytest.raises(ValueError, match="without a word or a child at line 1, column 1"):
            T.parse(text)
    else:
        assert T.parse(text).words() == wanted


def test_binary_parses_have_no_labels():
    t = T.parse("( ( The boys ) ( are playing ) )")
    assert t == T.parse((("The", "boys"), ("are", "playing")))
    assert rc.structure("( ( [MAX 2 ) ] )").words.tolist() == [0, 1, -1, 2, -1]


hostile = st.text("ab(){}&#;=-\\/ \t\n\xa0\u2028\x1c4013é\ufeff|^", max_size=6) | st.sampled_from(
    ["-LRB-", "a(b", ")", "&#40;", "&#=w", "&#;", ""]
)
any_tree = st.recursive(
    st.builds(lambda w, label: T(label, [], w), hostile, hostile),
    lambda inner: st.builds(
        T, hostile, st.lists(inner, min_size=1, max_size=3), st.none() | hostile
    ),
    max_leaves=6,
)


@given(any_tree)
def test_any_token_prints_to_text_that_reads_back(tree):
    """Also one with a bracket or white space in it, and a node with a word and children."""
    assert T.parse(str(tree)) == tree
    assert list(rc.read_brackets(f"{tree}{tree}\n")) == [tree, tree]
    assert len(str(tree)) >= 200 or eval(repr(tree), {"Tree": T}) == tree


@given(st.text("()ab&#;= \n\ufeff40", max_size=20))
def test_any_text_is_a_tree_or_one_clear_error(text):
    try:
        tree = T.parse(text)
    except ValueError as error:
        assert "tree" in str(error)
    else:
        assert T.parse(str(tree)) == tree


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


def circle():
    tree = T("a", [], "w")
    tree.children.append(T("b", [tree]))
    return tree


def circular_list():
    trees = ["(1 a)"]
    trees.append([trees])
    return trees


def circular_labels():
    tree = Labelled("S", ["a"])
    tree.append(Labelled("X", [tree, "b"]))
    return tree


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: str(circle()), "one Tree object stands in two places"),
        (lambda: repr(circle()), "one Tree object stands in two places"),
        (lambda: circle() == circle(), "one Tree object stands in two places"),
        (lambda: circle().words(), "one Tree object stands in two places"),
        (lambda: rc.structure(circle()), "one Tree object stands in two places"),
        (lambda: rc.structure((circle(), "a")), "one Tree object stands in two places"),
        (lambda: rc.binarise(circle()), "one Tree object stands in two places"),
        (lambda: T.parse(circular_list()), "a list contains itself"),
        (lambda: rc.structure(circular_list()), "needs text, nested tuples.*got list"),
        (lambda: T.parse(circular_labels()), "the node 'S' is a part of itself"),
        (lambda: rc.structure(T("a", ["b"])), "a child must be a Tree; got str 'b'"),
        (lambda: T("a", "b").postorder(), "children must be a list of Trees; got str 'b'"),
        (lambda: rc.structure([["(1 a)"]]), "needs text, nested tuples.*got list"),
        (lambda: rc.structure([("a", b"b")]), "a bytes inside a nested tuple"),
        (lambda: T.parse((np.ones(2), "a")), "a ndarray inside a nested tuple"),
        (lambda: rc.read_brackets(None), "read_brackets: needs the text itself.*NoneType"),
        (lambda: rc.read_conllu(b"1"), "read_conllu: needs the text itself.*bytes b'1'"),
    ],
)  # fmt: skip
def test_what_would_lead_round_and_round_or_is_no_tree(call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call()


def test_a_bare_word_among_tuples_is_a_tree_of_one_word():
    given_ = ["w", ("w", "w"), "(1 a)", 5]
    assert [t.words() for t in T.parse(given_)] == [["w"], ["w", "w"], ["a"], ["5"]]
    assert rc.structure(given_).words.tolist() == rc.structure(T.parse(given_)).words.tolist()
    with pytest.raises(ValueError, match="'w' stands outside"):
        T.parse(["w"])
    assert T.parse([[("a", "b")], [["(1 c)"]]]) == [[T.parse(("a", "b"))], [[T.parse("(1 c)")]]]


def test_deep_trees_compare_and_show_themselves():
    deep = "x"
    for _ in range(3000):
        deep = (deep, "y")
    tree = T.parse(deep)
    assert tree == T.parse(deep) and tree != T.parse((deep, "z")) and "..." in repr(tree)


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


# -- other objects ---------------------------------------------------------------------------------


class Labelled(list):
    """What nltk.Tree is: a list with a label."""

    def __init__(self, name, children):
        super().__init__(children)
        self.name = name

    def label(self):
        return self.name


def test_trees_in_the_manner_of_nltk():
    t = Labelled("S", [Labelled("NP", ["the", Labelled("N", ["dog"])]), Labelled("V", ["barks"])])
    assert T.parse(t) == T.parse("(S (NP ( the) (N dog)) (V barks))")
    assert [len(x.words()) for x in T.parse([t, ("a", "b")])] == [3, 2]
    assert rc.structure([t, t]).n == 10 and rc.structure(t).n == 5
    with pytest.raises(ValueError, match="the node 'X' has neither a word nor a child"):
        T.parse(Labelled("S", [Labelled("X", []), "a"]))


def test_spans():
    assert T.parse((("a", "b"), "c", ("d", "e"))).spans() == {(0, 2), (3, 5), (0, 5)}
    assert T.parse("(1 a)").spans() == set()


@given(trees)
def test_binarised_trees_have_the_same_words(tree):
    two, collapsed = rc.binarise(tree), rc.binarise(tree, collapse=True)
    for t in (two, collapsed):
        assert t.words() == tree.words()
        assert all(len(n.children) <= 2 for n in t.postorder())
    assert tree.spans() <= two.spans() and two.spans() == collapsed.spans()
    assert all(len(n.children) != 1 for n in collapsed.postorder())


def test_binarising_joins_from_the_left():
    t = rc.binarise(T.parse("(A (x a) (y b) (z c) (w d))"))
    assert str(t) == "(A (@A (@A (x a) (y b)) (z c)) (w d))"
    assert rc.binarise(T.parse("(A (B (c d)))"), collapse=True) == T.parse("(c d)")


# -- structures from any mixture, quickly ----------------------------------------------------------


def nested(tree):
    return tuple(nested(c) for c in tree.children) if tree.children else tree.word


@given(st.lists(trees, min_size=1, max_size=4), st.integers(0, 15))
def test_the_direct_walk_equals_the_walk_over_trees(forest, mask):
    tuples = [t.children and mask >> k & 1 for k, t in enumerate(forest)]
    given_ = [nested(t) if yes else t for t, yes in zip(forest, tuples, strict=True)]
    s = rc.structure(given_)
    nodes = [n for t in forest for n in t.postorder()]
    row = {id(n): k for k, n in enumerate(nodes)}
    wanted = mg.Structure.forest([[row[id(c)] for c in n.children] for n in nodes])
    for name in ("src", "dst", "slot", "port", "level", "component"):
        assert getattr(s, name).tolist() == getattr(wanted, name).tolist(), name
    assert (s.n, s.slots, s.components) == (wanted.n, wanted.slots, wanted.components)


def test_many_tuples_take_few_calls():
    def grow(n):
        return "w" if n == 1 else (grow(n // 2), grow(n - n // 2))

    forest = [grow(20)] * 100
    assert rc.structure(forest).n == 3900
    made = calls(lambda: rc.structure(forest))
    assert made < 5 * 3900  # 3.6 a row
    assert calls(lambda: rc.structure(4 * forest)) < 4.2 * made


@pytest.mark.parametrize(
    ("given_", "message"),
    [
        ([], "the list of trees is empty"),
        ([("a", ())], "an empty tuple is no tree"),
        ([("a", ["b"])], "a list inside"),
        ([("a", None)], "NoneType inside"),
        ([()], "an empty tuple"),
    ],
)
def test_malformed_forests(given_, message):
    with pytest.raises(ValueError, match=message):
        rc.structure(given_)


# -- downwards -------------------------------------------------------------------------------------


@pytest.mark.parametrize("cell", [rc.RNN(2, 3), rc.LSTM(2, 3), rc.GRU(2, 3)], ids=str)
def test_top_down_is_a_recursion_from_the_root(cell):
    rng = np.random.default_rng(0)
    forest = T.parse(FOREST)
    n = rc.structure(forest).n
    t = mg.tensors({"p": cell.init(0), "x": rng.standard_normal((n, 2))})
    states, ys = rc.top_down(cell, t["p"], forest, nodes=t["x"])
    order = [node for tree in forest for node in tree.postorder()]
    row = {id(node): k for k, node in enumerate(order)}
    start = cell.zero_state()
    zero = mg.asarray(start[0]) if not isinstance(start, tuple) else tuple(a[0] for a in start)
    done = {}
    for tree in forest:
        stack = [(tree, zero)]
        while stack:
            node, above = stack.pop()
            state, y = cell(t["p"], above, t["x"][row[id(node)]])
            done[row[id(node)]] = y
            stack += [(c, state) for c in node.children]
    wanted = mg.stack([done[k] for k in range(n)])
    weights = rng.standard_normal(ys.shape)
    found, naive = ((y, mg.grad(mg.sum(y * weights), t)) for y in (ys, wanted))
    close(mg.evaluate(found), mg.evaluate(naive), 1e-12)
    close(mg.evaluate(mg.unfold(ys)), mg.evaluate(ys), 1e-12)
    f = mg.function(lambda p, x, s: rc.top_down(cell, p, s, nodes=x)[1])
    arrays = mg.evaluate(t)
    close(f(arrays["p"], arrays["x"], rc.structure(forest)), mg.evaluate(ys), 1e-11)


@given(trees, st.integers(0, 99))
def test_top_down_laws(tree, seed):
    rng, cell = np.random.default_rng(seed), rc.GRU(2, 3)
    forest = [tree, T.parse("(1 (1 a) (1 b))")]
    words = sum(len(t.words()) for t in forest)
    arrays = {"p": random_params(cell, seed), "x": rng.standard_normal((words, 2))}
    laws(lambda t: rc.top_down(cell, t["p"], forest, t["x"]), arrays, seed)


def test_down_a_chain_is_the_sequence_backwards():
    """Law 4: in a tree without branches top-down is the sequence from the root on."""
    cell, x = rc.LSTM(2, 3), np.random.default_rng(0).standard_normal((4, 2))
    chain = T("", [T("", [T("", [T("", [], "a", 0)], "b", 1)], "c", 2)], "d", 3)
    p = cell.init(0)
    down = rc.top_down(cell, p, chain, x)[1]
    close(mg.evaluate(down), mg.evaluate(rc.unroll(cell, p, x, reverse=True)[1]), 1e-13)


def test_up_and_down():
    up, down = rc.TreeLSTM(2, 3), rc.GRU(3, 4)
    _, ys = rc.fold(up, up.init(0), FOREST[0], np.ones((3, 2)))
    _, zs = rc.top_down(down, down.init(1), FOREST[0], nodes=ys)
    assert zs.shape == (5, 4)
    both = rc.top_down(lambda p, h, x: (h + mg.sum(x[0]) + mg.sum(x[1]), h), {}, FOREST[0],
                       np.ones((3, 2)), ys, carry=np.zeros((1, 1)))  # fmt: skip
    assert both[0].shape == (5, 1)
    with pytest.raises(
        ValueError, match=r"top_down: nodes has shape \(3, 2\); the trees have 5 nodes"
    ):
        rc.top_down(down, down.init(1), FOREST[0], nodes=np.ones((3, 2)))
    with pytest.raises(ValueError, match="top_down: the trees have 3 words but xs has shape"):
        rc.top_down(down, down.init(1), FOREST[0], np.ones((4, 2)))
