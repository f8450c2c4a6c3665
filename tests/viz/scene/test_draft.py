"""Drafts: ids in order, one arrow between two nodes, dashed where something is left out."""

import pytest

from viz.scene.draft import Draft
from viz.scene.scene import Cluster


def test_ids_are_given_in_the_order_of_making():
    draft = Draft()
    assert [draft.node("cell", str(k)) for k in range(3)] == ["n0", "n1", "n2"]
    draft.edge("n0", "n1", "state", label="h")
    draft.edge("n0", "n1", "state", label="h")
    draft.change("n1", label="changed")
    draft.clusters.append(Cluster("c0"))
    scene = draft.scene("unfolded", "t", None, ("a note",))
    assert [e.id for e in scene.edges] == ["e0", "e1"] and scene.node("n1").label == "changed"
    assert (scene.view, scene.title, scene.notes) == ("unfolded", "t", ("a note",))


def test_connecting_twice_is_one_edge_for_each_slot():
    draft = Draft()
    a, b = draft.node("input", "a"), draft.node("cell", "b")
    for slot in (0, 0, 1):
        draft.connect(a, b, slot=slot)
    assert [(e.kind, e.slot) for e in draft.edges] == [("forward", 0), ("forward", 1)]


@pytest.mark.parametrize(("number", "label"), [(1, "… 1 step …"), (7, "… 7 steps …")])
def test_a_box_for_what_is_left_out_dashes_its_edges(number, label):
    draft = Draft()
    box, cell = draft.left_out(number, "step", count=number), draft.node("cell", "a")
    w = draft.node("shared", "W")
    draft.connect(cell, box)
    draft.connect(w, box, "shared")
    assert draft.nodes[box].label == label and draft.boxed(cell, box) and not draft.boxed(cell)
    assert [e.kind for e in draft.edges] == ["elided", "shared"]
