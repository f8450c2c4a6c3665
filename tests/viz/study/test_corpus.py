"""What an input is taken for, and how a text is cut into words and characters."""

from __future__ import annotations

import io
import sys
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.counting import examples
from viz.study.corpus import InputError, read
from viz.study.corpus import given as taken
from viz.study.tokens import characters, words

CONLLU = (
    "# text = They won\n1\tThey\tthey\tPRON\t_\t_\t2\tnsubj\t_\t_\n"
    "2\twon\twin\tVERB\t_\t_\t0\troot\t_\t_\n\n"
)


@pytest.mark.parametrize(
    ("text", "looks"),
    [
        ("the Saints beat the Panthers", "text"),
        ("(he said) and left", "text"),
        ("(aside)", "text"),
        ("(3 (2 It) (4 works))", "trees"),
        ("  ( (S (NP (DT the) (NN dog)) (VP barks)))\n(S (NP x) (VP y))", "trees"),
        ("((NP (DT the) (NN dog)) (VP barks))", "trees"),
        (CONLLU, "conllu"),
        (CONLLU * 3, "conllu"),
        ("a,b\n1,2\n3.5,4\n5,6e-3\n", "table"),
        ("day\ttemp\n1\t-3\n2\t0.7\n3\t12\n", "table"),
        ("yes, no\nfoo, bar\nof course, not\n", "text"),
        ("1, 2, 3, go", "text"),
    ],
)
def test_what_is_given_is_recognised(text, looks):
    assert taken(text + "\n" * (text.count("\n") == 0)).looks == looks


def test_a_table_can_be_read_as_text():
    assert read("day,temp\n1,2\n3,4\n5,6\n", form="text").kind == "word"


def test_standard_input(monkeypatch):
    class Piped:
        buffer = io.BytesIO("à la carte, s'il vous plaît".encode())

    monkeypatch.setattr(sys, "stdin", Piped())
    corpus = read("-")
    assert corpus.source == "standard input" and corpus.tokens[3:] == [",", "s'il", "vous", "plaît"]


def test_conllu_is_dependency_trees():
    corpus = read(CONLLU * 2, most_children=0)
    assert corpus.kind == "tree" and len(corpus.trees) == 2
    assert [n.word for n in corpus.trees[0].postorder()] == ["They", "won"]
    with pytest.raises(InputError, match="line 3.*--as text"):
        read(CONLLU.replace("\t0\troot", "\tx\troot"))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("don't stop 1.5 times, (go)!", "don't|stop|1.5|times|,|(|go|)|!".split("|")),
        ("naïve cafe\u0301s", ["naïve", "cafe\u0301s"]),
        ("हिन्दी में", ["हिन्दी", "में"]),
        ("我们喜欢。", ["我", "们", "喜", "欢", "。"]),
        ("日本語のテキストです", ["日", "本", "語", "の", "テキスト", "です"]),
        ("👩‍👩‍👧 🇩🇪🇫🇷 👍🏽ok", ["👩‍👩‍👧", "🇩🇪", "🇫🇷", "👍🏽", "ok"]),
        ("한국어 문장", ["한국어", "문장"]),
    ],
)  # fmt: skip
def test_words_of_every_script(text, found):
    assert words(text) == found


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("e\u0301a", 2), ("👩‍👩‍👧", 1), ("🇩🇪🇫🇷", 2), ("👍🏽", 1), ("हिन्दी", 3), ("각", 1),
        ("ab\r\nc", 4),
    ],
)
def test_characters_as_readers_count_them(text, count):
    assert len(characters(text)) == count


@settings(max_examples=examples(300), deadline=None)
@given(st.text(max_size=40))
def test_nothing_of_a_text_is_lost(text):
    assert "".join(characters(text)) in (text, text.replace("\r\n", "\n"))
    kept = "".join(words(text))
    gone = [c for c in text if c not in kept]
    marks = ("M", "C")  # a mark or a joiner at a space is part of neither a word nor a sign
    assert all(c.isspace() or unicodedata.category(c)[0] in marks for c in gone)
