"""The scene: plain data, checked when made, strict JSON, legends that cover what is drawn."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from viz.scene.scene import (
    Cluster,
    Edge,
    Legend,
    Node,
    Scene,
    Track,
    Use,
    legend_for,
    norm_text,
)  # fmt: skip
from viz.scene.style import THICK, THIN, gradient_style, stroke_width, tint

NODE = Node("n0", "cell", "a")


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"nodes": (NODE, NODE)}, "same id"),
        ({"nodes": (Node("n0", "circle", "a"),)}, "unknown kind"),
        ({"nodes": (Node("n0", "cell", "a", lane="c9"),)}, "unknown cluster"),
        ({"nodes": (NODE,), "edges": (Edge("e0", "n0", "n1", "state"),)}, "unknown nodes"),
        ({"nodes": (NODE,), "edges": (Edge("e0", "n0", "n0", "wire"),)}, "unknown kind"),
        ({"clusters": (Cluster("c0", arrangement="ring"),)}, "unknown arrangement"),
        ({"tracks": (Track("t0", "U", uses=(Use("u0", "n7", 1.0),)),)}, "u0 of t0 is at unknown"),
        ({"view": "ring"}, "unknown view 'ring': one of folded, unfolded, ops, tree"),
        ({"view": 3}, "unknown view 3"),
    ],
)
def test_a_scene_refuses_what_cannot_be_drawn(parts, message):
    with pytest.raises(ValueError, match=message):
        Scene(**{"view": "unfolded", **parts})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Scene("ops", nodes=(3,)), "nodes must be a tuple of Node; got int 3"),
        (lambda: Scene("ops", nodes="ab"), "nodes must be a tuple of Node; got str 'ab'"),
        (lambda: Scene("ops", edges=None), "edges must be a tuple of Edge; got NoneType"),
        (lambda: Scene("ops", notes=(1,)), "notes must be a tuple of str; got int 1"),
        (lambda: Scene("ops", legend=3), "legend must be a Legend or None, not 3"),
        (lambda: Scene("ops", title=3), "Scene: title must be text; got 3"),
        (lambda: Node("n0", "cell", None), "Node: label must be text; got None"),
        (lambda: Node("n0", ["cell"], "a"), "Node: kind must be text; got"),
        (lambda: Node("n0", "cell", "a", norm="1"), "Node n0: norm must be a number or None"),
        (lambda: Edge("e0", "n0", "n1", "state", tooltip=b""), "Edge: tooltip must be text"),
        (lambda: Node("n0", "cell", "a", column="1"), "Node: column must be a whole number or No"),
        (lambda: Node("n0", "cell", "a", lane=0), "Node: lane must be text or None; got 0"),
        (lambda: Node("n0", "cell", "a", members="W"), "Node: members must be a tuple; got 'W'"),
        (lambda: Edge("e0", ["n0"], "n1", "state"), "Edge: source must be text"),
        (lambda: Edge("e0", "n0", "n1", "state", slot=None), "Edge: slot must be a whole number"),
        (lambda: Cluster("c0", layer="top"), "Cluster: layer must be a whole number; got 'top'"),
        (lambda: Legend(title=None), "Legend: title must be text"),
        (lambda: Track("t0", "U", uses=(1,)), "Track t0: uses must be a tuple of Use; got 1"),
        (lambda: Track("t0", "U", strip=("a",)), "Track t0: norm must be a number or None"),
        (lambda: Use("u0", 3, 1.0), "Use: at must be text or None; got 3"),
        (lambda: Scene("unfolded", tracks=(1,)), "tracks must be a tuple of Track; got int 1"),
    ],
)
def test_parts_of_another_class_are_refused_in_words(make, message):
    with pytest.raises(TypeError, match=message):
        make()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Node("a -> b", "cell", "a"), "an id is letters and digits, such as n0"),
        (lambda: Edge(7, "n0", "n1", "state"), "an id is letters and digits.*got 7"),
        (lambda: Node("n0", "cell", "a", norm=-1.0), "Node n0: a norm is not negative; got -1.0"),
        (lambda: Use("u0", None, -1.0), "Use u0: a norm is not negative; got -1.0"),
        (lambda: Legend(norms=(0.0,)), "the norms shown must be positive and finite; got 0.0"),
        (lambda: Legend(norms=("a",)), "must be positive and finite; got 'a'"),
        (lambda: Scene("ops").of_kind("wire"), "unknown kind 'wire': one of cell, input"),
    ],
)
def test_values_that_cannot_be_are_refused_in_words(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_node_that_is_not_there():
    with pytest.raises(KeyError, match="no node 'n9'; it has 1"):
        Scene("ops", nodes=(NODE,)).node("n9")


def test_json_is_strict_and_complete():
    nodes = (NODE, Node("n1", "input", "x", norm=math.inf))
    edges = (Edge("e0", "n1", "n0", "backward", norm=math.nan),)
    scene = Scene("unfolded", "t", nodes, edges)

    def refuse(text):
        raise AssertionError(f"not strict JSON: {text}")

    data = json.loads(scene.to_json(), parse_constant=refuse)
    assert [n["id"] for n in data["nodes"]] == ["n0", "n1"]
    assert data["nodes"][1]["norm"] == "inf"
    assert data["edges"][0]["norm"] == "nan"


def test_summary_counts_and_warns():
    nodes = (NODE, Node("n1", "elided", "… 7 steps …", count=7))
    norms = (0.0, 1e-3, 2.0, math.nan)
    edges = tuple(Edge(f"e{k}", "n1", "n0", "backward", norm=v) for k, v in enumerate(norms))
    text = Scene("unfolded", "t", nodes, edges).summary()
    for part in ("2 nodes", "4 edges", "7 steps", "0.001 .. 2", "1 exactly zero", "1 NOT FINITE"):
        assert part in text


@given(st.lists(st.floats(0) | st.sampled_from([None, math.nan])))
def test_the_legend_covers_every_norm(norms):
    legend = legend_for(norms, "norm")
    positive = [v for v in norms if v is not None and math.isfinite(v) and v > 0]
    assert len(legend.norms) <= 7 and list(legend.norms) == sorted(legend.norms, reverse=True)
    assert legend.vanished == (0.0 in [v for v in norms if v is not None])
    assert legend.nonfinite == any(v is not None and not math.isfinite(v) for v in norms)
    for value in positive:
        assert value <= legend.norms[0] * (1 + 1e-8) or legend.norms[0] > 1e307
        assert legend.clipped or value >= legend.norms[-1] * (1 - 1e-8) or value < 1e-300
        assert THIN <= stroke_width(value, legend) <= THICK
        assert tint(value, legend).startswith("#")


def test_width_is_linear_in_the_logarithm():
    legend = legend_for([1.0, 1e-4], "norm")
    widths = [stroke_width(10.0**-k, legend) for k in range(5)]
    steps = [a - b for a, b in zip(widths, widths[1:], strict=False)]
    assert widths[0] == THICK and widths[-1] == THIN
    assert max(steps) - min(steps) < 1e-9


def test_vanished_and_broken_gradients_look_different():
    legend = legend_for([1.0], "norm")
    zero, broken, fine = (gradient_style(v, legend) for v in (0.0, math.nan, 1.0))
    assert zero.dash == broken.dash == "dashed" and fine.dash == "solid"
    assert len({zero.color, broken.color, fine.color}) == 3
    assert broken.width > zero.width


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (math.nan, "nan"), (math.inf, "inf"), (0.5, "0.5"), (3.21e-7, "3.2e-7")],
)
def test_norms_in_few_characters(value, text):
    assert norm_text(value) == text
