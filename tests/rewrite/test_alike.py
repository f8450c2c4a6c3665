"""What a loop does to every row is done at once: same values, before and after differentiating."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
import recurrent as rc
from minigrad.graph import toposort
from minigrad.ops.movement import CONCAT, SLICE
from minigrad.recur import RECUR
from minigrad.rewrite.alike import MANY, alike
from minigrad.rewrite.merge import merge
from minigrad.testing.laws import close

RNG = np.random.default_rng(0)


def count(outputs, op):
    return sum(t.op is op for t in toposort(outputs))


def at_once(outputs):
    return alike(merge(outputs))


def losses(w, x):
    """A loss at every step, added up."""
    total = 0.0
    for t in range(len(x)):
        total = total + mg.sum(mg.square(mg.tanh(x[t] @ w)))
    return total


def test_a_sum_of_losses_is_one_block():
    w, x = (mg.asarray(RNG.standard_normal(s)) for s in ((3, 2), (7, 3)))
    y = losses(w, x)
    made = at_once([y, *mg.grad(y, (w, x))])
    close(mg.reference(made), mg.reference([y, *mg.grad(y, (w, x))]), 1e-12)
    assert count(at_once([y]), SLICE) == 0
    assert count(at_once([y]), RECUR) == 5  # a row, a product, tanh, a square, a sum


@pytest.mark.parametrize("rows", [range(7), [6, 4, 2, 0], [1, 3, 5, 6, 2], [0, 1, 2]])
def test_any_rows_in_any_order(rows):
    x = mg.asarray(RNG.standard_normal((7, 2, 3)))
    ys = [mg.exp(x[t]) * 2 for t in rows]
    found = [mg.stack(ys), mg.concat(ys), sum(ys), sum(ys) + ys[0], mg.concat([*ys, x[0]])]
    made = at_once(found)
    close(mg.reference(made), mg.reference(found), 1e-12)
    assert (count(made, RECUR) > 0) == (len(rows) >= MANY)


def test_a_state_that_is_handed_on_stays_a_loop():
    x, w = (mg.asarray(RNG.standard_normal(s)) for s in ((6, 4), (4, 4)))
    h = mg.zeros(4)
    hs = []
    for t in range(6):
        h = mg.tanh(x[t] * 2 + h @ w)
        hs.append(h)
    y = mg.sum(mg.stack(hs) * mg.stack([mg.sum(v) for v in hs])[:, None])
    found = [y, *mg.grad(y, (x, w))]
    made = at_once(found)
    close(mg.reference(made), mg.reference(found), 1e-12)
    assert count(made, RECUR) and count(made, CONCAT)


def test_what_all_share_may_come_from_one_of_them():
    """Every row reads what the first one gave."""
    x = mg.asarray(RNG.standard_normal((5, 3)))
    first = mg.sum(mg.exp(x[0]))
    found = [sum(mg.exp(x[t]) * first for t in range(5)), first]
    close(mg.reference(at_once(found)), mg.reference(found), 1e-12)


@st.composite
def loops(draw):
    """Rows of two arrays, through the same ops but for some; what is read of them."""
    n = draw(st.integers(2, 7))
    kinds = ["tanh", "scale", "mix", "sum", "dot", "carry"]
    ops = draw(st.lists(st.sampled_from(kinds), max_size=4))
    rows = draw(st.permutations(range(n)))[: draw(st.integers(1, n))]
    other = draw(st.integers(0, n))  # from this row on, something else is done
    ends = draw(st.sets(st.sampled_from(["stack", "sum", "one", "both"]), min_size=1))
    return n, ops, rows, other, ends


@given(loops())
def test_any_loop(case):
    n, ops, rows, other, ends = case
    rng = np.random.default_rng(n)
    x, z, w = (mg.asarray(rng.standard_normal(s)) for s in ((n, 3), (n, 3), (3, 3)))
    carried, found = w[0], []
    for t in rows:
        v = x[t]
        for op in ops:
            if op == "tanh":
                v = mg.tanh(v) if t < other else mg.sin(v)
            elif op == "scale":
                v = 0.5 * v
            elif op == "mix":
                v = v * z[t] - z[(t + 1) % n]
            elif op == "sum":
                v = v - mg.sum(v)
            elif op == "dot":
                v = v @ w
            else:
                v = carried = v + 0.1 * carried
        found.append(v)
    outputs = {
        "stack": lambda: mg.stack(found), "sum": lambda: sum(found) + carried,
        "one": lambda: found[-1], "both": lambda: sum(found) * mg.concat(found[::-1])[:3],
    }  # fmt: skip
    outs = [outputs[end]() for end in sorted(ends)]
    y = sum(mg.sum(mg.sin(t)) for t in outs)
    outs += mg.grad(y, (x, z, w))
    close(mg.reference(at_once(outs)), mg.reference(outs), 1e-11)
    (rewritten,) = at_once([y])
    close(mg.reference(mg.grad(rewritten, (x, z, w))), mg.reference(mg.grad(y, (x, z, w))), 1e-11)


@pytest.mark.long
def test_a_training_loop_with_a_loss_at_every_step():
    """Written as in the paper: a block in a loop, a head and a loss behind it."""
    cell, time = rc.GRU(3, 4), 12
    block = mg.block(cell)
    p = {"cell": cell.init(0), "V": RNG.standard_normal((4, 5))}

    def step(p, x, labels):
        h, total = np.zeros(4), 0.0
        for t in range(time):
            h, y = block(p["cell"], h, x[t])
            total = total + mg.cross_entropy(y @ p["V"], labels[t])
        return total, mg.grad(total, (p, x))

    args = p, RNG.standard_normal((time, 3)), RNG.integers(0, 5, time)
    f = mg.function(step)
    close(f(*args), mg.reference(step(*mg.tensors(args))), 1e-10)
    steps = [w for w in f.explain(*args).splitlines() if "steps of Python" in w]
    assert not steps or int(steps[-1].split("with ")[1].split()[0]) < time, steps
