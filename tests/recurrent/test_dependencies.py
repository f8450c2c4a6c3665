"""Dependency trees: read from CoNLL-U, folded, refused in words."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
import recurrent as rc

T = rc.Tree
EWT = Path(__file__).resolve().parents[3] / "shared" / "data" / "ud_ewt_dev.conllu"
ROWS = [
    ("1", "It", "3", "nsubj"), ("2", "never", "3", "advmod"), ("3", "works", "0", "root"),
    ("4", "today", "3", "obl"),
]  # fmt: skip


def conllu(rows):
    return "\n".join(f"{i}\t{w}\t_\t_\t_\t_\t{h}\t{r}\t_\t_" for i, w, h, r in rows) + "\n"


def test_dependencies():
    t = T.parse("# text = It never works today\n" + conllu(ROWS))
    assert (t.label, t.word, t.position) == ("root", "works", 2)
    assert [c.word for c in t.children] == ["It", "never", "today"]
    assert t.words() == ["It", "never", "works", "today"]
    assert [n.word for n in t.postorder()] == ["It", "never", "today", "works"]
    assert T.parse(str(t)).children[2].word == "today" and T.parse(str(t)).word == "works"
    assert T.parse("\ufeff" + conllu(ROWS)) == t == next(rc.read_conllu("\ufeff" + conllu(ROWS)))
    s = rc.structure([t, T.parse(conllu(ROWS))])
    assert s.words.tolist() == [0, 1, 3, 2, 4, 5, 7, 6]
    assert rc.structure(conllu(ROWS)).words.tolist() == [0, 1, 3, 2]


def test_ranges_and_empty_nodes_are_skipped():
    rows = [("1-2", "didnt", "_", "_"), ("1", "did", "0", "root"), ("2", "nt", "1", "advmod")]
    text = conllu(rows) + conllu([("2.1", "gone", "_", "_")])
    assert T.parse(text).words() == ["did", "nt"]
    assert len(list(rc.read_conllu(text + "\n\n" + conllu(ROWS)))) == 2
    assert T.parse(conllu(ROWS).replace("\n", "\r\n")).words() == T.parse(conllu(ROWS)).words()


def test_non_projective_words_are_read_in_the_order_of_the_sentence():
    heads = [
        ("1", "a", "3", "x"),
        ("2", "b", "4", "x"),
        ("3", "c", "0", "root"),
        ("4", "d", "3", "x"),
    ]
    cell = rc.RecursiveNet(1, 1, arity=2)
    p = {"W": np.ones((1, 1)), "U_0": np.zeros((1, 1)), "U_1": np.zeros((1, 1)), "b": np.zeros(1)}
    t = T.parse(conllu(heads))
    xs = np.array([[0.1], [0.2], [0.3], [0.4]])
    ys = mg.evaluate(rc.fold(cell, p, t, xs)[1])[:, 0]
    read = {n.word: y for n, y in zip(t.postorder(), ys, strict=True)}
    for word, x in zip("abcd", xs[:, 0], strict=True):
        assert read[word] == pytest.approx(np.tanh(x))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1\tIt\t_", "line 1 has 3 columns between tabs; a row has ten"),
        (conllu(ROWS) + "x\n", "line 5 has 1 columns"),
        (conllu([("a", "b", "0", "root")]), "line 1 cannot be read"),
        (conllu([("1", "b", "zero", "root")]), "line 1 cannot be read"),
        (conllu([("1", "b", "7", "root")]), "line 1 has HEAD 7; it must be 0 .the root. or an ID"),
        (conllu([("1", "b", "_", "root")]), "line 1 has HEAD _"),
        ("\n#\n" + conllu([("1", "a", "2", "x"), ("2", "b", "1", "x")]), "line 3 must have one"),
        (conllu([("1", "a", "0", "x"), ("2", "b", "0", "x")]), "lines with one: 1, 2"),
        (conllu([("1", "a", "0", "r"), ("2", "b", "3", "x"), ("3", "c", "2", "x")]), "2: .*circle"),
        (conllu([("2", "a", "0", "r")]), "line 1 has ID 2; 1 comes next"),
        (conllu([("1", "", "0", "r")]), "line 1 cannot be read: its FORM is ''"),
        (conllu([("1", "a", "-1", "r")]), "line 1 cannot be read: its HEAD is '-1'"),
        (conllu([("1", "a", "9" * 5000, "r")]), "line 1 cannot be read: its HEAD is '999"),
        (conllu([("١", "a", "0", "r")]), "line 1 cannot be read: its ID is '١'"),
        ("# only\t a comment\n", "holds no sentence"),
        (conllu(ROWS) + "\n" + conllu(ROWS), "2 trees, not one; rc.read_conllu"),
    ],
)  # fmt: skip
def test_malformed_dependencies_say_where(text, message):
    with pytest.raises(ValueError, match=message):
        T.parse(text) if "\t" in text else list(rc.read_conllu(text))


def test_positions_must_be_whole():
    with pytest.raises(ValueError, match="in tree 1 two words have one position, or only some"):
        rc.structure([("a", "b"), T("", [T("", [], "a", 0)], "b", 0)])
    with pytest.raises(ValueError, match="in tree 0 two words have one position, or only some"):
        rc.structure(T("", [T("", [], "a")], "b", 0))


@given(st.lists(st.tuples(*[st.text("12-.0_a٣ ", max_size=3)] * 4), max_size=4), st.text("\t\n1#"))
def test_any_rows_are_a_tree_or_one_clear_error(rows, rest):
    try:
        found = list(rc.read_conllu(conllu(rows) + rest))
    except ValueError as error:
        assert str(error).startswith("conllu: ")
    else:
        assert all(t.words() for t in found)


@pytest.mark.skipif(not EWT.exists(), reason=f"the dependency trees are not at {EWT}")
def test_real_dependencies():
    text = EWT.read_text()
    trees = list(rc.read_conllu(text))
    assert len(trees) == text.count("# sent_id")
    forms = [
        line.split("\t")[1]
        for line in text.splitlines()
        if line and line[0] != "#" and line.split("\t")[0].isdigit()
    ]
    assert [w for t in trees for w in t.words()] == forms
    s = rc.structure(trees)
    words = [n.word for t in trees for n in t.postorder()]
    assert [forms[k] for k in s.words] == words
