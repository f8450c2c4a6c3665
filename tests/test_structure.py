"""Structures: edges, levels, components, the transpose."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad.structure import Structure
from minigrad.testing.examples.problems import KNOT, Seeded, random_children
from minigrad.testing.strategies import structures


def edges(s):
    return sorted(
        zip(s.src.tolist(), s.dst.tolist(), s.slot.tolist(), s.port.tolist(), strict=True)
    )


random_structures = structures()


@given(random_structures)
def test_levels_rise_along_edges_and_hold_every_row_once(s):
    assert (s.level[s.src] < s.level[s.dst]).all()
    rows = np.concatenate(s.levels) if s.n else np.zeros(0, int)
    assert sorted(rows.tolist()) == list(range(s.n))
    for k, level in enumerate(s.levels):
        assert len(level) and (s.level[level] == k).all()


@given(random_structures)
def test_the_transpose_turns_everything_and_twice_is_the_same(s):
    t = s.transpose()
    assert edges(t) == sorted((d, a, p, k) for a, d, k, p in edges(s))
    assert (t.slots, t.ports, t.n, t.components) == (s.ports, s.slots, s.n, s.components)
    assert edges(t.transpose()) == edges(s)
    assert (t.level[t.src] < t.level[t.dst]).all()


@given(random_structures)
def test_components_are_the_connected_parts(s):
    assert sorted(set(s.component.tolist())) == sorted(
        set(range(s.components)) & set(s.component.tolist())
    )
    group = list(range(s.n))  # by repeated merging, slowly and plainly

    for _ in range(s.n):
        for a, b in zip(s.src.tolist(), s.dst.tolist(), strict=True):
            group[a] = group[b] = min(group[a], group[b])
    for a in range(s.n):
        for b in range(s.n):
            assert (group[a] == group[b]) == (s.component[a] == s.component[b])


@given(random_structures)
def test_what_has_no_edge(s):
    for slot in range(s.slots):
        wanted = [not any(d == n and k == slot for _, d, k, _ in edges(s)) for n in range(s.n)]
        assert s.without_edge(slot).tolist() == wanted
    assert s.sinks.tolist() == [n for n in range(s.n) if n not in s.src]


@given(random_structures, st.integers(1, 3))
def test_copies_are_independent(s, count):
    many = s.copies(count)
    assert (many.n, many.components) == (s.n * count, s.components * count)
    shifted = [(a + k * s.n, b + k * s.n, i, p) for k in range(count) for a, b, i, p in edges(s)]
    assert edges(many) == sorted(shifted)
    assert many.component.tolist() == [
        c + k * s.components for k in range(count) for c in s.component.tolist()
    ]


def test_chain():
    s = Structure.chain([3, 0, 2])
    assert edges(s) == [(0, 1, 0, 0), (1, 2, 0, 0), (3, 4, 0, 0)]
    assert (s.n, s.components, s.component.tolist()) == (5, 3, [0, 0, 0, 2, 2])
    assert [r.tolist() for r in s.levels] == [[0, 3], [1, 4], [2]]
    back = Structure.chain([3, 0, 2], reverse=True)
    assert edges(back) == [(1, 0, 0, 0), (2, 1, 0, 0), (4, 3, 0, 0)]
    assert back.sinks.tolist() == [0, 3] and s.sinks.tolist() == [2, 4]
    assert (Structure.chain(4).n, Structure.chain(0).n, Structure.chain([]).n) == (4, 0, 0)


def test_forest():
    s = Structure.forest([[], [], [0, 1], [], [None, 3], [2, 4]])
    assert edges(s) == [(0, 2, 0, 0), (1, 2, 1, 0), (2, 5, 0, 0), (3, 4, 1, 0), (4, 5, 1, 0)]
    assert s.slots == 2 and s.components == 1 and s.sinks.tolist() == [5]
    two = Structure.forest([[], [0], [], [2]])
    assert two.components == 2 and two.component.tolist() == [0, 0, 1, 1]
    assert Structure.forest([]).n == 0 and Structure.forest([[]], slots=3).slots == 3


def test_grid():
    s = Structure.grid((2, 3))
    assert (1, 2, 1, 0) in edges(s) and (1, 4, 0, 0) in edges(s) and len(s.src) == 7
    assert (s.slots, s.components, len(s.levels)) == (2, 1, 4)
    assert Structure.grid((0, 3)).n == 0 and Structure.grid(4).slots == 1


@pytest.mark.parametrize(
    "structure, kind",
    [
        (mg.Structure.chain([3, 0, 2], reverse=True), "chain"),
        (mg.Structure.chain(1), "chain"),
        (mg.Structure.forest([[], [], [0, 1]]), "tree"),
        (mg.Structure.forest([[], [0]]), "chain"),
        (mg.Structure.forest([[], [0]], slots=2), "tree"),  # its cell has a second child
        (mg.Structure.grid((2, 3)), "grid"),
        (mg.Structure.grid((2, 2, 2)), "dag"),
        (mg.Structure.edges(6, [0, 1, 3, 4, 0, 1, 2], [1, 2, 4, 5, 3, 4, 5]), "dag"),  # one slot
        (mg.Structure.edges(3, [0, 0], [1, 2]), "dag"),
    ],
)
def test_kinds(structure, kind):
    assert structure.kind == kind
    assert structure.transpose().transpose().kind == kind
    assert kind != "chain" or structure.transpose().kind == kind


def test_edges_take_one_slot_for_all():
    s = Structure.edges(3, [0, 1], [2, 2], 1)
    assert s.slot.tolist() == [1, 1] and s.slots == 2
    assert Structure.edges(3, [0, 1], [2, 2]).slot.tolist() == [0, 0]
    assert Structure.edges(2, [], []).components == 2


def test_the_dag_of_the_suite_has_what_it_should():
    s = KNOT.build()
    assert np.bincount(s.src).max() == 3
    assert edges(s).count((3, 4, 0, 0)) == 2
    assert 5 not in s.src and 5 not in s.dst and s.slots == 2


def test_truncation_stops_gradients_only():
    s = Structure.chain(4).truncated([True, False, True])
    assert edges(s) == edges(Structure.chain(4))
    assert edges(s.transpose()) == [(1, 0, 0, 0), (3, 2, 0, 0)]
    assert s.truncated([False, True, True]).keep.tolist() == [False, False, True]


def test_truncated_bptt():
    """d of the last state by the parameter sees the last two steps only."""
    cell = lambda w, h, x: (mg.tanh(h * w + x), h)  # noqa: E731
    w, xs = mg.asarray(0.9), np.array([0.5, -0.3, 0.8, 0.1])
    cut = Structure.chain(4).truncated([True, False, True])
    states, _ = mg.recur(cell, cut, initial=np.array([0.4]), shared=w, inputs=xs)
    h = mg.asarray(0.4)
    for k, x in enumerate(xs):
        h = mg.tanh((mg.stop_gradient(h) if k == 2 else h) * w + x)
    found, wanted = mg.evaluate((mg.grad(states[3], w), mg.grad(h, w)))
    assert states[3].item() == pytest.approx(h.item(), abs=1e-15)
    assert found == pytest.approx(wanted, abs=1e-14)


@pytest.mark.parametrize("n", [50_000])
def test_levels_of_a_long_general_chain_and_a_big_forest(n):
    """No walk level by level in Python: given as plain edges."""
    s = Structure.edges(n, np.arange(n - 1), np.arange(1, n))
    assert s.level.tolist() == list(range(n))
    children = random_children(Seeded(0), 300)
    assert (Structure.forest(children).level >= 0).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: TREE.with_slots(2.5), "with_slots: slots must be an integer from 0 on; got 2.5"),
        (lambda: TREE.with_slots(True), "with_slots: slots must be an integer from 0 on"),
        (lambda: TREE.without_edge("a"), "without_edge: slot must be an integer from 0 on"),
        (lambda: TREE.without_edge(0.0), "without_edge: slot must be an integer"),
        (lambda: TREE.truncated(["a", "b"]), "truncated: keep must be booleans"),
        (lambda: TREE.truncated([1.5, 0]), "truncated: keep must be booleans"),
        (lambda: TREE.truncated([[1], [1, 2]]), "truncated: keep must be booleans"),
        (lambda: TREE.copies(1.5), "copies: count must be an integer from 0 on; got 1.5"),
        (lambda: mg.Structure.forest(5), "forest: children must list the rows of each node's"),
        (lambda: mg.Structure.forest({0: []}), "forest: children must list the rows"),
        (lambda: mg.Structure.forest([[], "a"]), r"forest: children\[1\] must list rows"),
        (lambda: mg.Structure.forest([[], [np.ones(2)]]), "forest: children must be integers"),
        (lambda: mg.Structure.forest([[]], slots="2"), "forest: slots must be an integer"),
        (lambda: mg.Structure.edges(True, [], []), "edges: the number of nodes must be an integer"),
        (lambda: mg.Structure.edges("2", [0], [1]), "edges: the number of nodes must be"),
        (lambda: mg.Structure.edges(2, [0], [1], [[0]]), "edges: 1 slots for 1 edges"),
        (lambda: mg.Structure.chain(np.array([2**63], np.uint64)), "lengths must be integers"),
    ],
)  # fmt: skip
def test_nonsense_is_refused(call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call()


TREE = mg.Structure.forest([[], [], [0, 1]])


def test_a_structure_is_a_snapshot():
    """What is done to the arrays it was made of does not show in it."""
    source, target, slot, keep = np.array([0, 1]), np.array([1, 2]), np.array([0, 1]), np.array([1])
    s = Structure.edges(3, source, target, slot)
    t = Structure.edges(2, [0], [1]).truncated(keep == 1)
    mg.function(lambda *xs: [x + 5 for x in xs], donate=(0, 1, 2, 3))(source, target, slot, keep)
    assert source.tolist() == [5, 6] and keep.tolist() == [6]
    assert edges(s) == [(0, 1, 0, 0), (1, 2, 1, 0)] and t.keep.tolist() == [True]
