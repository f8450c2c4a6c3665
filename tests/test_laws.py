"""The laws on random cells over random structures of every kind, and those of shipped cells."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
import recurrent as rc
from minigrad.testing.examples.problems import (
    KINDS,
    KNOT,
    Problem,
    RandomCell,
    Seeded,
    random_children,
)
from minigrad.testing.laws import LAWS, close
from minigrad.testing.strategies import problems
from recurrent.cells import kinds

COMPILED = ("compiled_is_reference", "threads_and_calls_agree")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("law", [law for law in LAWS if law not in COMPILED])
def test_law(law, kind):
    """Those that compile a cell per example are in `compile/test_function`."""

    @given(problems(kind))
    def check(problem):
        LAWS[law](problem)

    check()


@pytest.mark.parametrize("law", LAWS)
def test_law_on_the_dag(law):
    """Fan-out 3, multi-edge slots and an isolated node, whatever the seed draws elsewhere."""
    s, rng = KNOT.build(), np.random.default_rng(1)
    assert s.components == 2 and np.bincount(s.src).max() == 3  # row 5 stands alone
    cell = RandomCell([("gate", 0, 1, 0), ("matrix", 2, 0, 1)], 2, 2, 3)
    initial = tuple(rng.standard_normal((2, 3)) for _ in range(2))
    problem = Problem(s, cell, cell.params(2, rng), initial, rng.standard_normal((7, 2)))
    LAWS[law](problem)


# -- law 3: ragged is padded and masked ------------------------------------------------------------

CELLS = [cell for kind in kinds("chain") for cell in kind.examples(2, 3)]
seeds = st.integers(0, 2**20)


def _states(cell, rng, batch):
    return tuple(rng.standard_normal((batch, n)) for n in cell.state_sizes)


@pytest.mark.parametrize("reverse", [False, True])
@given(seed=seeds, cell=st.sampled_from(CELLS))
def test_ragged_is_padded_and_masked(seed, cell, reverse):
    """A dense loop that keeps the old state behind a sequence's end, in plain ops."""
    rng = np.random.default_rng(seed)
    time, batch = 4, 3
    lengths = rng.integers(0, time + 1, batch)
    params = cell.init(seed)
    first = _states(cell, rng, batch)
    arrays = {
        "p": params,
        "x": rng.standard_normal((time, batch, 2)),
        "s": first if len(first) > 1 else first[0],
    }
    weights = rng.standard_normal((time, batch, cell.output_size))

    t = mg.tensors(arrays)
    carry, ys = rc.unroll(cell, t["p"], t["x"], t["s"], lengths=lengths, reverse=reverse)
    found = (carry, ys, mg.grad(mg.sum(ys * weights) + _total(carry), t))

    u = mg.tensors(arrays)
    state, rows = u["s"], [None] * time
    for k in reversed(range(time)) if reverse else range(time):
        new, y = cell(u["p"], state, u["x"][k])
        inside = (k < lengths)[:, None]
        state = _map2(lambda a, b, m=inside: mg.where(m, a, b), new, state)
        rows[k] = mg.where(inside, y, 0.0)
    masked = mg.stack(rows)
    wanted = (state, masked, mg.grad(mg.sum(masked * weights) + _total(state), u))
    close(mg.evaluate(found), mg.evaluate(wanted), 1e-11)


def _total(carry):
    return sum(mg.sum(mg.square(s)) for s in (carry if isinstance(carry, tuple) else (carry,)))


def _map2(f, a, b):
    return tuple(f(x, y) for x, y in zip(a, b, strict=True)) if isinstance(a, tuple) else f(a, b)


@given(seed=seeds, cell=st.sampled_from(CELLS))
def test_padding_content_never_matters(seed, cell):
    rng = np.random.default_rng(seed)
    lengths = rng.integers(0, 5, 3)
    xs = rng.standard_normal((4, 3, 2))
    results = []
    for filler in (0.0, np.nan):
        padded = np.where((np.arange(4)[:, None] < lengths)[..., None], xs, filler)
        p, x = mg.tensors(cell.init(1)), mg.asarray(padded)
        carry, ys = rc.unroll(cell, p, x, lengths=lengths)
        gp, gx = mg.grad(mg.sum(mg.square(ys)) + _total(carry), (p, x))
        results.append(mg.evaluate((carry, ys, gp, gx)))
    close(*results, 0.0)
    assert not np.asarray(results[1][3])[np.arange(4)[:, None] >= lengths].any()


@given(seed=seeds, cell=st.sampled_from(CELLS))
def test_a_batch_of_sequences_is_each_alone(seed, cell):
    rng = np.random.default_rng(seed)
    xs, p = rng.standard_normal((4, 3, 2)), cell.init(seed)
    carry, ys = mg.evaluate(rc.unroll(cell, p, xs))
    for b in range(3):
        one, y = mg.evaluate(rc.unroll(cell, p, xs[:, b]))
        close(y, ys[:, b], 1e-13)
        close(one, tuple(c[b] for c in carry) if isinstance(carry, tuple) else carry[b], 1e-13)


# -- law 4 -----------------------------------------------------------------------------------------


@given(seed=seeds, n=st.integers(1, 6), reverse=st.booleans(), cell=st.sampled_from(CELLS))
def test_a_tree_that_is_a_chain_is_the_sequence(seed, n, reverse, cell):
    rng = np.random.default_rng(seed)
    t = mg.tensors({"p": cell.init(seed), "x": rng.standard_normal((n, 2))})
    if reverse:
        children = [[k + 1] for k in range(n - 1)] + [[]]
    else:
        children = [[], *([k] for k in range(n - 1))]
    states, ys = mg.recur(
        cell, mg.Structure.forest(children), initial=cell.zero_state(), shared=t["p"], inputs=t["x"]
    )
    _, wanted = rc.unroll(cell, t["p"], t["x"], reverse=reverse)
    found = (ys, mg.grad(mg.sum(mg.sin(ys)), t))
    close(mg.evaluate(found), mg.evaluate((wanted, mg.grad(mg.sum(mg.sin(wanted)), t))), 1e-12)


@given(seed=seeds, cell=st.sampled_from(CELLS))
def test_reversed_is_flipped_input_and_output(seed, cell):
    rng = np.random.default_rng(seed)
    t = mg.tensors({"p": cell.init(seed), "x": rng.standard_normal((4, 2, 2))})
    carry, ys = rc.unroll(cell, t["p"], t["x"], reverse=True)
    other, flipped = rc.unroll(cell, t["p"], mg.flip(t["x"], axis=0))
    back = mg.flip(flipped, axis=0)
    a = (carry, ys, mg.grad(mg.sum(mg.sin(ys)) + _total(carry), t))
    b = (other, back, mg.grad(mg.sum(mg.sin(back)) + _total(other), t))
    close(*mg.evaluate((a, b)), 1e-12)


@given(problems("grid"))
def test_reversing_the_structure_of_a_grid_is_flipping_it(problem):
    """The transposed edges over flipped rows are the same grid (slots and ports stay)."""
    t, s = problem.tensors(), problem.structure
    turned = mg.Structure.edges(s.n, s.n - 1 - s.src, s.n - 1 - s.dst, s.slot).with_slots(s.slots)
    if t["inputs"].shape[0] == 0:
        return
    states, outputs = problem.run(t)
    problem.structure = turned
    flipped = {**t, "inputs": mg.flip(t["inputs"], axis=0)}
    other = mg.evaluate(problem.run(flipped))
    close([a[::-1] for a in _flat(other)], _flat(mg.evaluate((states, outputs))), 1e-12)


def _flat(tree):
    states, outputs = tree
    return [*(states if isinstance(states, tuple) else (states,)), outputs["y"], outputs["z"]]


@given(seed=seeds)
def test_child_order_matters_only_to_slots(seed):
    rng = np.random.default_rng(seed)
    n = 7
    children = random_children(Seeded(seed), n)
    swapped = [row[::-1] for row in children]
    xs = rng.standard_normal((n, 2))
    cell = rc.RecursiveNet(2, 3)
    params = cell.init(seed)
    params["b"] = rng.standard_normal(3)

    def states(rows, p):
        return mg.evaluate(
            mg.recur(
                cell,
                mg.Structure.forest(rows, slots=2),
                initial=cell.zero_state(),
                shared=p,
                inputs=xs,
            )[0]
        )

    equal = {**params, "U_1": params["U_0"]}
    close(states(swapped, equal), states(children, equal), 1e-12)
    mirrored = {**params, "U_0": params["U_1"], "U_1": params["U_0"]}
    two = [
        [None, *r] if len(r) == 1 else r[::-1] for r in children
    ]  # an only child moves to slot 1
    close(states(two, mirrored), states(children, params), 1e-12)
    if any(len(row) == 2 for row in children):
        assert np.abs(states(swapped, params) - states(children, params)).max() > 1e-9


@given(seed=seeds)
def test_child_sum_does_not_see_the_order(seed):
    """One slot with several edges: any order of the edges is the same sum."""
    rng = np.random.default_rng(seed)
    children = random_children(Seeded(seed), 8, arity=3)
    edges = np.array([(c, p) for p, row in enumerate(children) for c in row]).reshape(-1, 2)
    xs, cell = rng.standard_normal((8, 2)), rc.LSTM(2, 3)

    def states(order):
        s = mg.Structure.edges(8, edges[order, 0], edges[order, 1])
        return mg.evaluate(
            mg.recur(cell, s, initial=cell.zero_state(), shared=cell.init(0), inputs=xs)
        )

    order = np.arange(len(edges))
    close(states(rng.permutation(order)), states(order), 1e-12)
