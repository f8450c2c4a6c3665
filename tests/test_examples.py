"""The examples, in a short form: each is small and whole, and learns what it says."""

import importlib
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import recurrent as rc
from examples import __doc__ as about
from examples import dates, dyck, echo_state, listops, sentiment, tagger

ROOT = Path(__file__).parents[1]
FILES = sorted(p for p in (ROOT / "examples").glob("*.py") if p.stem != "__init__")
SHORT = {  # the steps, what is measured, and what it has to reach
    "adding": (500, "error", lambda got, base: got < base / 10),
    "characters": (100, "bits", lambda got, base: got < base - 0.5),
    "dates": (100, "accuracy", lambda got, base: got > 0.5),
    "dyck": (160, "accuracy", lambda got, base: got > 0.9),
    "echo_state": (1000, "error", lambda got, base: got < base / 10),
    "listops": (200, "accuracy", lambda got, base: got > 2 * base),
    "names": (200, "accuracy", lambda got, base: got > 3 * base),
    "sentiment": (120, "accuracy", lambda got, base: got > 2 * base),
    "series": (100, "error", lambda got, base: got < base),
    "tagger": (100, "accuracy", lambda got, base: got > base + 0.1),
}


def test_all_are_run():
    assert [p.stem for p in FILES] == sorted(SHORT) and "--steps" in about


@pytest.mark.parametrize("file", FILES, ids=lambda p: p.stem)
def test_an_example_is_small_and_says_what_it_is(file):
    text = file.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 60
    assert text.startswith('"""') and "def main(steps: int = " in text
    imported = set(re.findall(r"^(?:import|from) (\w+)", text, re.M))
    assert imported <= {"argparse", "datetime", "pathlib", "numpy", "minigrad", "recurrent"}


# What takes longest to compile is marked slow; the rest have all of its parts but attention's.
LONG = ("dates", "listops")
NAMES = [pytest.param(n, marks=pytest.mark.slow if n in LONG else pytest.mark.long) for n in SHORT]


@pytest.mark.parametrize("name", NAMES)
def test_an_example_learns(name):
    steps, measure, reached = SHORT[name]
    found = importlib.import_module(f"examples.{name}").main(steps=steps)
    assert reached(found[measure], found["baseline"]), found
    assert np.isfinite(found[measure])


@pytest.mark.parametrize("example", [listops, sentiment], ids=["listops", "sentiment"])
def test_what_is_held_out_was_not_trained_on(example, monkeypatch):
    """Random trees are often small, and small ones are drawn again."""
    batches, right = [], rc.structure
    monkeypatch.setattr(rc, "structure", lambda some: batches.append(some) or right(some))
    example.main(steps=0)
    *trained, held = ([str(tree) for tree in some] for some in batches)
    assert len(held) in (100, 200) and not set(held) & {text for some in trained for text in some}


@pytest.mark.long
def test_sentences_that_are_held_out_were_not_trained_on(monkeypatch):
    seen: dict[str, list] = {}
    right = rc.pad
    monkeypatch.setattr(rc, "batches", lambda data, *_, **how: seen.update(trained=data) or [])
    monkeypatch.setattr(rc, "pad", lambda data: seen.update(held=data) or right(data))
    tagger.main(steps=25)
    trained, held = ({row.tobytes() for row in seen[k]} for k in ("trained", "held"))
    assert (len(trained), len(held)) == (800, 200) and not trained & held


@pytest.mark.long
def test_dates_that_are_held_out_were_not_trained_on(monkeypatch):
    texts, right = [], rc.Vocabulary.encode
    monkeypatch.setattr(rc.Vocabulary, "encode", lambda v, x: texts.append(x) or right(v, x))
    dates.main(steps=0)
    texts = [text for text in texts if not text.startswith("<")]  # what is read
    assert len(set(texts)) == len(texts) == 2200


def test_from_the_command_line():
    done = subprocess.run(
        [sys.executable, "-m", "examples.adding", "--steps", "2"], cwd=ROOT,
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert re.search(r"error: 0\.\d+\nbaseline: 0\.\d+", done.stdout)


def test_files_are_small():
    assert all(p.stat().st_size < 20_000 for p in (ROOT / "examples" / "data").iterdir())


# -- the data is what it says ----------------------------------------------------------------------


def test_expressions_have_their_values():
    rng = np.random.default_rng(0)
    for _ in range(30):
        tree = listops.expression(rng, 3)
        tokens = re.sub(r"(\d|\])", r"\1,", " ".join(tree.words()))
        for name in ("MAX", "MIN", "SM"):
            tokens = tokens.replace(f"[{name}", f'OPS["[{name}"](').replace("]", "]")
        code = re.sub(r"(?<![A-Z\"'])\]", ")", tokens.replace('"](', '"}('))
        code = code.replace('"}(', '"](')
        value = eval(code.rstrip(","), {"OPS": listops.OPS})  # noqa: S307
        assert str(value) == tree.label


def test_brackets_close():
    rng = np.random.default_rng(0)
    for length in (2, 10, 60):
        text = dyck.word(rng, length, 4)
        assert len(text) == length
        while text:
            shorter = text.replace("()", "").replace("[]", "")
            assert shorter != text
            text = shorter


def test_phrases_follow_the_rules():
    rng = np.random.default_rng(1)
    for node in (n for _ in range(20) for n in sentiment.phrase(rng, 4).postorder()):
        if node.children:
            first, second = node.children
            if first.word == "not":
                assert int(node.label) == 4 - int(second.label)
        else:
            assert node.word in ("not", "very") or node.word in sentiment.WORDS[int(node.label)]


def test_tags_are_those_of_the_words():
    rng = np.random.default_rng(0)
    for word, tag in (pair for _ in range(20) for pair in tagger.sentence(rng)):
        assert word in tagger.WORDS[tag].split()


def test_mackey_glass_does_not_repeat_itself():
    x = echo_state.mackey_glass(600)
    lags = [np.corrcoef(x[:-k], x[k:])[0, 1] for k in range(20, 300)]
    assert 0.7 < max(lags) < 0.9999 and x.std() > 0.1
