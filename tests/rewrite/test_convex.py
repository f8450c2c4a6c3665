"""`untangled`: what may be contracted without a cycle, and how the rest is cut."""

import numpy as np
import pytest

import minigrad as mg
from minigrad.graph import toposort
from minigrad.rewrite.convex import peeled, untangled


def random_graph(rng):
    """Sums of some that came before; some of them are calls, of three classes."""
    nodes = [mg.asarray(1.0)]
    for _ in range(int(rng.integers(3, 25))):
        some = rng.integers(max(0, len(nodes) - 5), len(nodes), size=2)
        nodes.append(nodes[some[0]] + nodes[some[1]])
    order = toposort(nodes)
    calls = [t for t in order if t.inputs and rng.random() < 0.5]
    return order, {t: int(rng.integers(3)) for t in calls}


@pytest.mark.parametrize("seed", range(20))
def test_contracted_sets_make_no_cycle_and_are_cut_only_where_they_must(seed):
    order, classes = random_graph(np.random.default_rng(seed))
    mine = {t: [x for x in t.inputs if classes.get(x) == classes[t]] for t in classes}
    others = {t: [x for x in t.inputs if classes.get(x) != classes[t]] for t in classes}
    sets = untangled(order, {}, classes, mine, others)
    assert sorted(map(id, classes)) == sorted(id(t) for calls in sets for t in calls)
    unit = {t: ("set", k) for k, calls in enumerate(sets) for t in calls}

    def before(t, unit=unit):
        return [x for x in t.inputs if x not in unit or unit.get(t) != unit[x]]

    done, tangled = peeled(order, unit, before)
    assert not tangled and len(done) == len(order) - len(unit) + len(sets)
    one = {t: ("class", c) for t, c in classes.items()}
    if not peeled(order, one, lambda t: before(t, one))[1]:
        assert len(sets) == len(set(classes.values()))
