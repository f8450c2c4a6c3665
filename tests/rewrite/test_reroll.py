"""`reroll`: what a Python loop or recursion over a block recorded is one recurrence, with the same
values."""

import numpy as np
import pytest

import minigrad as mg
import recurrent as rc
from minigrad.graph import toposort
from minigrad.pytrees import tree_leaves, tree_map
from minigrad.recur import RECUR
from minigrad.rewrite.reroll import reroll
from minigrad.testing.laws import close

STATE = 3


@mg.block
def step(p, state, x):
    h, c = state
    i = mg.sigmoid(h @ p["W"] + x + p["b"])
    c = i * c + (1 - i) * mg.tanh(h @ p["U"] + x)
    return mg.tanh(c) * i, c


@mg.block
def join(p, left, right):
    return mg.tanh((left + right) @ p["W"] + p["b"]), left * right


@mg.block
def linear(p, h):
    return h @ p["W"]


@mg.block
def head(p, h):
    return mg.sum((h * p["b"]) ** 2)


def params(rng):
    shapes = {"W": (STATE, STATE), "U": (STATE, STATE), "b": (STATE,)}
    return mg.tensors({k: rng.normal(size=s) / 2 for k, s in shapes.items()})


def rolled(tree):
    """The recurrences after the rewrite, which changes no value, whoever evaluates it."""
    outputs = tree_leaves(tree)
    new = reroll(outputs)
    wanted = mg.reference(outputs)
    close(mg.reference(new), wanted, 1e-11)
    close(mg.evaluate(new), wanted, 1e-11)
    return recurrences(new)


def recurrences(outputs):
    return [t for t in toposort(outputs) if t.op is RECUR]


def zeros():
    return mg.asarray(np.zeros(STATE))


def loop(p, xs, state=None, cell=step):
    state, states = state or (zeros(), zeros()), []
    for x in xs:
        state = cell(p, state, x)
        states.append(state[0])
    return states


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def p(rng):
    return params(rng)


@pytest.fixture
def x(rng):
    return mg.asarray(rng.normal(size=(7, STATE)))


# -- what becomes what -----------------------------------------------------------------------------


def test_a_chain_is_one_recurrence(p, x):
    (r,) = rolled(mg.stack(loop(p, x)))
    s = r.attrs["structure"]
    assert (s.n, s.src.tolist(), s.dst.tolist()) == (7, list(range(6)), list(range(1, 7)))
    assert s.slots == s.ports == 1 and len(r.attrs["block"].slots) == 2
    assert r.inputs[-1] is x and "re-rolled" in r.name
    again = rolled(mg.stack(loop(p, x[:4])))[0]
    assert again.attrs["block"] is r.attrs["block"]  # another length compiles nothing


@pytest.mark.parametrize("of", ["last", "all", "stacked", "some", "heads"])
def test_a_chain_and_its_gradient_are_two(p, x, of):
    states = loop(p, x)
    loss = {
        "last": lambda: mg.sum(states[-1] ** 2),
        "all": lambda: sum((mg.sum(h**2) for h in states[1:]), mg.sum(states[0])),
        "stacked": lambda: mg.sum(mg.stack(states) ** 3),
        "some": lambda: mg.sum(states[2] * states[5] * states[6]),
        "heads": lambda: sum(head(p, h) for h in states),
    }[of]()
    found = rolled((loss, mg.grad(loss, (p, x))))
    assert len(found) == (4 if of == "heads" else 2)
    size = len(toposort(reroll(tree_leaves((loss, mg.grad(loss, (p, x)))))))
    states = loop(p, [*x, *x, *x])
    if of in ("last", "stacked", "heads"):
        loss = {"last": lambda: mg.sum(states[-1] ** 2),
                "stacked": lambda: mg.sum(mg.stack(states) ** 3),
                "heads": lambda: sum(head(p, h) for h in states)}[of]()  # fmt: skip
        assert len(toposort(reroll([loss, *tree_leaves(mg.grad(loss, p))]))) < size + 20


def test_the_gradient_is_the_one_of_unroll(p, x):
    def cell(p, state, x):
        new = step(p, state, x)
        return new, new[0]

    _, ys = mg.recur(cell, mg.Structure.chain(7), shared=p, inputs=x,
                     initial=(np.zeros((1, STATE)),) * 2)  # fmt: skip
    wanted = mg.sum(ys**2)
    loss = mg.sum(mg.stack(loop(p, x)) ** 2)
    close(mg.reference(reroll(tree_leaves(mg.grad(loss, (p, x))))),
          mg.reference(tree_leaves(mg.grad(wanted, (p, x)))), 1e-12)  # fmt: skip


def test_two_layers_are_two_recurrences(p, x, rng):
    q = params(rng)
    low = loop(p, x)
    top = loop(q, low)
    assert len(rolled(top[-1])) == 2
    loss = mg.sum(mg.stack(top) ** 2)
    assert len(rolled((loss, mg.grad(loss, (p, q, x))))) == 4
    state, other, ys = (zeros(), zeros()), (zeros(), zeros()), []
    for t in range(5):
        state = step(p, state, x[t])
        other = step(q, other, state[0])
        ys.append(other[0])
    loss = mg.sum(mg.stack(ys) ** 2)
    assert len(rolled((loss, mg.grad(loss, (p, q, x))))) == 4
    ys = loop(p, loop(p, x))  # the same weights: one recurrence, over a grid
    loss = mg.sum(ys[-1])
    assert [r.attrs["structure"].n for r in rolled((loss, mg.grad(loss, p)))] == [14, 14]


def test_a_forest_is_one_recurrence(p, rng):
    def tree(k):
        if k == 0:
            return mg.asarray(rng.normal(size=STATE)), zeros()
        left, right = tree(k - 1), tree(max(k - 2, 0))
        return join(p, left[0], right[0])

    roots = [tree(k)[0] for k in (3, 4, 2)]
    assert len(rolled(roots)) == 1
    loss = mg.sum(mg.stack(roots) ** 2)
    assert len(rolled((loss, mg.grad(loss, p)))) == 2


def test_shared_subtrees_child_sums_and_one_state_twice(p, rng):
    a, b = (mg.asarray(rng.normal(size=STATE)) for _ in range(2))
    h1, c1 = join(p, a, b)
    h2, c2 = join(p, h1, h1)
    h3, c3 = join(p, h1 + h2, a + c2)
    h4, _ = join(p, h3 + h2 + c1 + h2, b)
    loss = mg.sum(h4 * h1 + c3)
    assert len(rolled(loss)) == 1
    assert len(rolled((loss, mg.grad(loss, (p, a, b))))) == 2


def test_states_that_differ_per_chain_and_inputs_of_some_calls_only(p, x, rng):
    starts = [tuple(mg.asarray(rng.normal(size=STATE)) for _ in range(2)) for _ in range(3)]
    chains = [loop(p, x[k:], start) for k, start in enumerate(starts)]
    loss = sum(mg.sum(c[-1] ** 2) for c in chains)
    assert len(rolled((loss, mg.grad(loss, (p, x, starts))))) == 2
    h, c = zeros(), zeros()
    for t in range(6):
        h, c = step(p, (h, c), x[t] if t % 2 else zeros())
    loss = mg.sum(h)
    assert len(rolled((loss, mg.grad(loss, (p, x))))) == 2


def test_an_array_that_is_passed_to_every_call_is_one(x, rng):
    p = {k: rng.normal(size=s) for k, s in (("W", (3, 3)), ("U", (3, 3)), ("b", (3,)))}
    (r,) = rolled(loop(p, x)[-1])
    assert len(r.inputs) == 4


# -- what stays --------------------------------------------------------------------------------


def test_a_graph_without_calls_is_returned_as_it_is(x):
    y = mg.exp(x)
    assert reroll([y])[0] is y
    _, ys = rc.unroll(rc.RNN(3, 2), mg.tensors(rc.RNN(3, 2).init(0)), np.ones((4, 3)))
    assert reroll([ys])[0] is ys


def test_nothing_is_rolled_that_would_make_a_cycle(p, x):
    h = x[0]
    for _ in range(4):
        h = mg.sin(linear(p, h))  # from call to call by way of an op outside
    assert len(rolled(h)) == 4
    states = loop(p, x)
    second = loop(p, x, (mg.exp(states[-1]), zeros()))  # two loops, one after the other
    found = rolled(second[-1])
    assert [r.attrs["structure"].n for r in found] == [7, 7]
    loss = mg.sum(mg.stack(second) ** 2)
    assert len(rolled((loss, mg.grad(loss, (p, x))))) == 4


def test_groups_that_feed_each_other_both_ways(p, x, rng):
    q = params(rng)
    a1, b2 = linear(p, x[0]), linear(q, x[1])
    b1, a2 = linear(q, a1), linear(p, b2)
    loss = mg.sum(b1 * a2)
    assert len(rolled(loss)) >= 3
    rolled((loss, mg.grad(loss, (p, q, x))))
    h, k = zeros(), zeros()
    for t in range(4):  # each layer reads the other
        h, _ = join(p, h, k)
        k, _ = step(q, (k, x[t]), h)
    loss = mg.sum(h * k)
    rolled((loss, mg.grad(loss, (p, q, x))))


def test_gradients_inside_the_loop(p, x):
    h = x[0]
    for t in range(3):  # a step of descent between two calls
        loss = head(p, h * x[t])
        h = h - 0.1 * mg.grad(loss, x)[0]
    rolled((mg.sum(h), mg.grad(mg.sum(h), p)))
    energy = sum(head(p, h) for h in loop(p, x))
    q = tree_map(lambda w, g: w - 0.1 * g, p, mg.grad(energy, p))
    after = sum(head(q, h) for h in loop(q, x))
    assert len(rolled((after, mg.grad(after, p)))) < 20


@pytest.mark.parametrize("what", ["hessian", "jvp", "twice", "each"])
def test_higher_orders_and_several_gradients(p, x, what):
    states = loop(p, x[:4])
    loss = mg.sum(mg.stack(states) ** 2)
    g = mg.grad(loss, (p, x))
    if what == "hessian":
        g = mg.grad(sum(mg.sum(w**2) for w in tree_leaves(g)), (p, x))
    elif what == "jvp":
        g = mg.jvp(states[-1], p, tree_map(mg.ones_like, p))
    elif what == "twice":
        g = g, mg.grad(mg.sum(states[-1] ** 3), p), mg.contributions(loss, p)
    else:
        g = [mg.grad(mg.sum(h), (p, x)) for h in states]
    rolled((loss, g))


def test_a_gradient_by_a_state_goes_back_as_far_as_that(p, x):
    states = loop(p, x)
    loss = mg.sum(states[-1] ** 2)
    found = rolled((loss, mg.grad(loss, states[3])))
    assert [r.attrs["structure"].n for r in found] == [7, 3]


def test_rows_that_no_loss_reads_spoil_no_gradient(p):
    """An infinite state beyond the loss: 0 times infinity is not in the gradient."""
    x = mg.asarray(np.array([[1.0], [2.0], [np.inf]]) * np.ones(STATE))
    states = loop(p, x)
    loss = mg.sum(states[1])
    gradients = tree_leaves(mg.grad(loss, p))
    assert all(np.isfinite(g).all() for g in mg.reference(reroll([states[-1], *gradients]))[1:])
    rolled(gradients)


def test_a_batch_is_as_many_chains(p, rng):
    xs = mg.asarray(rng.normal(size=(2, 5, STATE)))  # batch first
    state, ys = (mg.asarray(rng.normal(size=(2, STATE))), mg.zeros((2, STATE))), []
    for t in range(5):
        state = step(p, state, xs[:, t])
        ys.append(state[0])
    for loss in (mg.sum(mg.stack(ys, axis=1) ** 2) + mg.sum(mg.concat(ys) ** 3), mg.sum(ys[2])):
        found = rolled((loss, ys[-1], mg.grad(loss, (p, xs))))
        arriving = [ph for r in found for ph in r.attrs["block"].slots.values()]
        assert len(found) == 2 and {ph.ndim for ph in arriving} == {1}
        s = found[0].attrs["structure"]
        assert (s.n, s.components, len(s.levels)) == (10, 2, 5)
    loss = sum(head(p, h) for h in ys)  # adds the rows of the batch up
    assert {r.attrs["structure"].n for r in rolled((loss, mg.grad(loss, (p, xs))))} == {10}


@mg.block
def masked(p, h, x, mask, memory):
    """Of a batch: a mask that all steps share, a memory that all rows share."""
    new = mg.tanh(h @ p["W"] + x + mg.softmax(h @ mg.matrix_transpose(memory)) @ memory)
    return mask * new + (1 - mask) * h


@mg.block
def fast(state, k, v):
    """Fast weights: an outer product is added to a matrix."""
    new = 0.9 * state + v[:, None] * k[None, :]
    return new, new @ k


@mg.block
def mixed(p, h):
    """Rows of the batch meet."""
    return mg.tanh(h @ p["W"]) - mg.mean(h, axis=0)


def test_batches_of_every_kind(p, rng):
    def draw(*shape):
        return mg.asarray(rng.normal(size=shape))

    mask, memory, xs = draw(4, 1), draw(5, STATE), draw(3, 4, STATE)
    h = draw(4, STATE)
    for t in range(3):
        h = masked(p, h, xs[t], mask, memory)
    loss = mg.sum(h**2)
    found = rolled((loss, mg.grad(loss, (p, xs, mask, memory))))
    assert [r.attrs["structure"].n for r in found] == [12, 12]
    state, keys, values, out = mg.zeros((STATE, 2)), draw(4, 2), draw(4, STATE), []
    for t in range(4):
        state, y = fast(state, keys[t], values[t])
        out.append(y)
    loss = mg.sum(mg.stack(out) ** 2)
    assert len(rolled((loss, mg.grad(loss, (keys, values))))) == 2
    h = draw(4, STATE)
    for _ in range(3):
        h = mixed(p, h)
    loss = mg.sum(h**2)
    assert [r.attrs["structure"].n for r in rolled((loss, mg.grad(loss, p)))] == [3, 3]


def test_order_of_rows_is_that_of_the_program(p, x):
    orders = []
    for _ in range(3):
        chains = [loop(p, x[k:]) for k in (2, 0, 4)]
        (r,) = recurrences(reroll([c[-1] for c in chains]))
        orders.append((r.attrs["structure"].src.tolist(), r.attrs["structure"].dst.tolist()))
    assert orders[0] == orders[1] == orders[2]


# -- random programs ---------------------------------------------------------------------------


def random_program(rng):
    """Calls of some blocks on states chosen at random, their sums and ops on them; a loss."""
    ps = [params(rng) for _ in range(2)]
    shape = [(STATE,), (STATE,), (2, STATE), (STATE, STATE), (1, STATE)][rng.integers(5)]
    x = mg.asarray(rng.normal(size=(6, *shape)))
    pool = [mg.zeros(shape), x[0], x[3], mg.asarray(rng.normal(size=shape))]
    wild = rng.random() < 0.5  # ops between calls, which are in the way

    def state():
        recent = pool[-4:] if rng.random() < 0.7 else pool
        some = [recent[k] for k in rng.integers(len(recent), size=rng.choice([1, 1, 1, 2, 3]))]
        total = some[0]
        for t in some[1:]:
            total = total + t
        return mg.tanh(total) if wild and rng.random() < 0.15 else total

    used = []
    for _ in range(int(rng.integers(4, 18))):
        p = ps[int(rng.random() < 0.2)]
        kind = rng.integers(4 if rng.random() < 0.5 else 2)
        if kind == 0:
            new = step(p, (state(), state()), x[int(rng.integers(6))])
        elif kind == 1:
            new = join(p, state(), state())
        elif kind == 2:
            new = (linear(p, state()),)
        else:
            used.append(head(p, state()))
            continue
        pool += [t for t in new if rng.random() < 0.8]
        if rng.random() < 0.3:
            used.append(mg.sum(new[0] ** 2))
    used += [mg.sum(pool[-1]), mg.sum(mg.stack(pool[4:] or pool) ** 2)]
    loss = sum(used[k] for k in rng.permutation(len(used)))
    return loss, (ps, x), pool


@pytest.mark.parametrize("seed", range(30))
def test_random_programs_keep_their_values(seed):
    rng = np.random.default_rng(seed)
    loss, wrt, pool = random_program(rng)
    g = mg.grad(loss, wrt)
    rolled((loss, g, pool[-3:]))
    if seed % 3 == 0:
        rolled((loss, mg.grad(sum(mg.sum(w**2) for w in tree_leaves(g)), wrt)))


def test_time_grows_with_the_calls_alone(p, rng):
    """A thousand calls are rolled without a recursion; nothing is walked once per call."""
    x = mg.asarray(rng.normal(size=(1000, STATE)))
    loss = mg.sum(mg.stack(loop(p, x)) ** 2)
    assert len(recurrences(reroll([loss, *tree_leaves(mg.grad(loss, (p, x)))]))) == 2


def test_a_compiled_loop_says_what_was_rolled(p, x):
    values = mg.reference(p)

    @mg.function
    def train(p, x):
        loss = mg.sum(mg.stack(loop(p, x)) ** 2)
        return loss, mg.grad(loss, p)

    found = train(values, x.numpy())
    loss = mg.sum(mg.stack(loop(p, x)) ** 2)
    close(found, mg.reference((loss, mg.grad(loss, p))), 1e-10)
    assert "step, re-rolled" in train.explain(values, x.numpy())
    assert "2 recurrences and 0 other ops" in train.explain(values, x.numpy())
