"""`minigrad draw` as a user meets it."""

from __future__ import annotations

from pathlib import Path

import pytest

from viz.cli import main
from viz.out.render import engine

needs_graphviz = pytest.mark.skipif(engine() is None, reason="no Graphviz on PATH, no pygraphviz")
MODEL = """
import numpy as np
import minigrad as mg
import recurrent as rc
import viz

cell = rc.GRU(2, 3)

def loss():
    params = mg.tensors(cell.init(0))
    carry, ys = rc.unroll(cell, params, np.ones((4, 2)))
    return mg.sum(mg.square(ys)).named("L")

def energy(W, x):
    return mg.sum(mg.tanh(W @ x))

def both(a):
    return {"a": a * 2, "b": mg.sum(a)}

def drawing():
    return viz.draw(loss(), view="folded")

def number():
    return 3.0

def broken():
    return mg.zeros(3) + mg.zeros(4)

energy.example = (np.ones((2, 3)), np.ones(3))
"""


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("model.py").write_text(MODEL)


def run(*arguments: object) -> int:
    return main(["draw", *map(str, arguments)])


@needs_graphviz
def test_a_function_is_drawn_as_a_page(capsys):
    assert run("model.py:loss") == 0
    out = capsys.readouterr().out
    assert "GRU: 4 steps" in out and out.splitlines()[-1] == f"Open {Path('loss.html').resolve()}"
    assert 'data-program="program"' in Path("loss.html").read_text()
    assert run("model.py:loss") == 0, "a drawing of ours is drawn again"


@needs_graphviz
def test_a_backward_pass_is_played(capsys):
    assert run("model.py:loss", "--animate") == 0
    assert "prefers-reduced-motion" in Path("loss.svg").read_text()
    assert "  6 frames" in capsys.readouterr().out
    assert run("model.py:loss", "--animate") == 0, "ours is drawn again"
    pytest.importorskip("PIL")
    assert run("model.py:loss", "--out", "l.gif") == 0
    assert Path("l.gif").read_bytes().startswith(b"GIF89a")


@pytest.mark.parametrize("given, words", [
    (["model.py:loss", "--animate", "--out", "l.png"], "must be one of .svg, .gif"),
    (["model.py:loss", "--animate", "--no-grad"], "an animation is of a gradient"),
    (["model.py:drawing", "--animate"], "which stands still: viz.animate plays"),
    (["model.py:loss", "--animate", "--view", "folded"], "no order in time"),
])  # fmt: skip
def test_what_cannot_be_played(given, words, capsys):
    assert run(*given) == 2
    assert words in capsys.readouterr().err and list(Path().iterdir()) == [Path("model.py")]


def test_measures_are_asked_for_by_name(capsys):
    measures = ["--measure", "singular", "--measure", "saturation"]
    assert run("model.py:loss", *measures, "--out", "m.json") == 0
    assert "share of units saturated, z: 0 .. 0" in capsys.readouterr().out
    assert run("model.py:loss", *measures, "--view", "cell", "--out", "m.json") == 2
    assert "not for the cell view" in capsys.readouterr().err


@needs_graphviz
@pytest.mark.parametrize("suffix", ["svg", "png", "pdf", "dot", "json", "html"])
def test_its_suffix_says_as_what(suffix):
    assert run("model.py:energy", "--view", "ops", "--out", f"e.{suffix}") == 0
    assert Path(f"e.{suffix}").stat().st_size > 100


def test_arguments_are_named_and_given(capsys):
    assert run("model.py:energy", "--args", "2,3 3", "--out", "e.json") == 0
    scene = Path("e.json").read_text()
    assert '"label": "W"' in scene and '"backward"' in scene
    assert run("model.py:energy", "--no-grad", "--out", "e.json") == 0
    assert '"backward"' not in Path("e.json").read_text()
    assert run("model.py:both", "--args", "3", "--out", "b.json") == 0
    assert '"backward"' in Path("b.json").read_text()
    assert run("model.py:drawing", "--out", "d.json") == 0
    assert '"view": "folded"' in Path("d.json").read_text()


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["model.py:number"], "number returned a float: return Tensors"),
        (["model.py:nothing"], "has no function 'nothing'"),
        (["model.py"], "does not name a function"),
        (["nofile.py:f"], "there is no file 'nofile.py'"),
        (["model.py:both"], "give their shapes"),
        (["model.py:broken"], "model.py:27"),
        (["model.py:loss", "--out", "x.jpg"], "the suffix must be one of .svg"),
        (["model.py:loss", "--out", "no/x.dot"], "there is no folder 'no'"),
        (["model.py:loss", "--view", "cube"], "--view"),
    ],
)
def test_what_cannot_be_drawn(capsys, arguments, why):
    before = sorted(Path().rglob("*"))
    assert run(*arguments) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and "Traceback" not in err and why in err
    assert [p for p in sorted(Path().rglob("*")) if "__pycache__" not in str(p)] == before


def test_a_file_of_the_users_is_left_alone(capsys):
    Path("loss.html").write_text("mine")
    assert run("model.py:loss") == 2
    assert "no drawing of ours" in capsys.readouterr().err
    assert Path("loss.html").read_text() == "mine"
