"""What `draw` and `Drawing` refuse, in words: wrong arguments, places that cannot be written."""

import os

import numpy as np
import pytest

import minigrad as mg
import viz

from .graphs import chain

STATES, YS, LEAVES = chain(4)
LOSS = mg.sum(YS).named("L")
HOLDS_ITSELF: list = [LOSS]
HOLDS_ITSELF.append(HOLDS_ITSELF)


@pytest.mark.parametrize(
    ("error", "arguments", "message"),
    [
        (ValueError, {"view": "x"}, "unknown view 'x': one of folded, unfolded, ops, tree"),
        (ValueError, {"view": None}, "unknown view None"),
        (ValueError, {"view": np.zeros(2)}, "unknown view array"),
        (ValueError, {"max_steps": -1}, "max_steps must be at least 3 .* not -1"),
        (TypeError, {"max_steps": "5"}, "max_steps must be a whole number or None; got '5'"),
        (TypeError, {"max_steps": 7.0}, "max_steps must be a whole number or None; got 7.0"),
        (TypeError, {"max_steps": True}, "max_steps must be a whole number"),
        (TypeError, {"max_steps": np.arange(3)}, "max_steps must be a whole number"),
        (ValueError, {"grad": YS}, r"grad must be one scalar; it has shape \(4, 2\)"),
        (TypeError, {"grad": [LOSS]}, "grad must be the Tensor whose gradient is shown, not list"),
        (TypeError, {"grad": mg.asarray(3)}, "grad must be floating-point; it is int64"),
        (ValueError, {"wrt": LEAVES["W"]}, "give grad as well"),
        (TypeError, {"grad": LOSS, "wrt": "W"}, "wrt must hold Tensors; got str"),
        (ValueError, {"grad": LOSS, "wrt": []}, "wrt holds no Tensor"),
        (ValueError, {"grad": LOSS, "wrt": mg.asarray(1.0, name="v")}, "holds v, which is no part"),
        (ValueError, {"labels": ["a"]}, "1 were given for 4 nodes"),
        (ValueError, {"labels": ["a"] * 5, "view": "tree"}, "5 were given for 4 nodes"),
        (TypeError, {"labels": 3}, "labels must be a list with a text per structure node, or tre"),
        (ValueError, {"labels": "a b c d"}, "labels must be a list with a text per structure node"),
        (TypeError, {"title": 3}, "title must be text or None; got 3"),
        (ValueError, {"outputs": []}, "outputs holds no Tensor"),
        (ValueError, {"outputs": None, "view": "tree"}, "outputs holds no Tensor"),
        (ValueError, {"outputs": HOLDS_ITSELF}, "outputs holds itself"),
        (TypeError, {"outputs": np.zeros(3)}, "outputs must hold Tensors; got ndarray"),
        (TypeError, {"outputs": mg.Structure.chain(3)}, 'got Structure .give view="tree"'),
        (TypeError, {"outputs": 3.0, "view": "tree"}, "takes Tensors, a Structure or trees"),
        (ValueError, {"outputs": "(a (b", "view": "tree"}, "never closed"),
    ],
)
def test_each_argument_given_wrongly(error, arguments, message):
    with pytest.raises(error, match=message):
        viz.draw(**{"outputs": LOSS, **arguments})


@pytest.mark.parametrize("wrong", [None, LOSS, "scene"])
def test_a_drawing_is_of_a_scene(wrong):
    with pytest.raises(TypeError, match="needs a viz.Scene; got"):
        viz.Drawing(wrong)


def test_labels_may_be_an_array():
    scene = viz.draw(LOSS, labels=np.array(["a", "b", "c", "d"])).scene
    assert [n.label for n in scene.nodes if n.kind == "input"] == ["a", "b", "c", "d"]


@pytest.mark.parametrize(
    ("error", "name", "message"),
    [
        (ValueError, "x.jpg", r"cannot save a drawing as 'x.jpg': the suffix must be one of \.svg"),
        (ValueError, "x", "the suffix must be one of"),
        (ValueError, "a\0b.dot", "cannot save a drawing as .*null"),
        (FileNotFoundError, "nowhere/x.dot", "there is no folder '.*nowhere'; make it first"),
        (NotADirectoryError, "file/x.dot", "cannot save the drawing: Not a directory"),
        (IsADirectoryError, "folder.dot", "cannot save the drawing: Is a directory"),
        (OSError, "x" * 300 + ".dot", "cannot save the drawing: File name too long"),
    ],
)
def test_places_that_cannot_be_written(error, name, message, tmp_path):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder.dot").mkdir()
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(error, match=message):
        viz.draw(LOSS).save(os.path.join(tmp_path, name))
    assert sorted(tmp_path.rglob("*")) == before and (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("path", [None, 3, b"x.dot", ["x.dot"]])
def test_a_path_is_text_or_a_path(path):
    with pytest.raises(TypeError, match="a path is text or a pathlib.Path; got"):
        viz.draw(LOSS).save(path)


@pytest.mark.parametrize("view", ["folded", "unfolded", "ops", "tree"])
def test_a_gradient_without_the_edge_it_runs_against(view):
    nodes = tuple(viz.Node(f"n{k}", "cell", "a") for k in range(2))
    edges = (viz.Edge("e0", "n1", "n0", "backward", norm=1.0),)
    assert "n1 -> n0" in viz.Drawing(viz.Scene(view, nodes=nodes, edges=edges)).dot
