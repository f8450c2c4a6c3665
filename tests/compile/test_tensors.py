"""Tensors per node, compiled: movements are runs, contractions and folds are loops; states of two
axes over every kind of structure, in whatever way they are passed on."""

from contextlib import nullcontext

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
from minigrad.testing.laws import close
from minigrad.testing.tester.worker import large_tensors, splitting
from tests.counting import examples

RNG = np.random.default_rng(0)
STRUCTURES = {
    "chain": mg.Structure.chain(4),
    "ragged": mg.Structure.chain([3, 1, 0, 2]),
    "forest": mg.Structure.forest([[], [], [0, 1], [], [2, 3]]),
    "dag": mg.Structure.edges(5, [0, 1, 1, 0, 2], [2, 2, 2, 4, 4]),
}
D = 5


def normal(*shape, dtype=np.float64):
    return RNG.standard_normal(shape).astype(dtype)


def gathered(h):
    """The one state that all slots together bring."""
    return h[0] + h[1] if isinstance(h, tuple) else h


def fast_weights(p, S, x):
    S = gathered(S)
    k = mg.tanh(x @ p["W"])
    S = 0.9 * S + mg.outer(x - S @ k, k)
    return S, S.T @ x


def untouched(p, S, x):
    S = gathered(S)
    return S, mg.sum(S * mg.outer(x, x), axis=0)


def turned(p, S, x):
    return mg.tanh(gathered(S).T @ p["W"]) + 1.0, x


def unread(p, S, x):
    return mg.outer(x, x @ p["W"]), mg.softmax(mg.outer(x, x), axis=0) @ x


def normed(p, S, x):
    S = gathered(S) + mg.outer(x, x)
    S = S / (1 + mg.norm(S, axis=1, keepdims=True))
    return S - mg.mean(S, axis=0), mg.max(S @ p["W"], axis=-1)


CELLS = {c.__name__: c for c in (fast_weights, untouched, turned, unread, normed)}


def step_of(cell, structure):
    def step(p, x, w):
        start = mg.expand_dims(mg.outer(p["s"], p["s"]), axis=0)
        S, ys = mg.recur(cell, structure, shared=p, inputs=x, initial=start)
        loss = mg.sum(w * mg.sin(ys)) + mg.sum(mg.square(S))
        grads = mg.grad(loss, (p, x))
        second = sum(mg.sum(mg.sin(g)) for g in mg.pytrees.tree_leaves(grads))
        return S, ys, loss, grads, mg.grad(second, (p, x))

    return step


@pytest.mark.parametrize(
    "structure",
    ["forest", *(pytest.param(s, marks=pytest.mark.slow) for s in STRUCTURES if s != "forest")],
)
@pytest.mark.parametrize("cell", CELLS)
def test_states_of_two_axes(cell, structure):
    s = STRUCTURES[structure]
    f = mg.function(step_of(CELLS[cell], s))
    args = {"W": normal(D, D), "s": normal(D)}, normal(s.n, D), normal(s.n, D)
    words = f.explain(*args)
    assert "because" not in words, words
    wanted = mg.reference(step_of(CELLS[cell], s)(*mg.tensors(args)))
    close(f(*args), wanted, 1e-8)


ON_VECTORS = {
    "concat": lambda a, b, p: mg.concat([a[1:], b[:1]]) * mg.flip(b),
    "slice": lambda a, b, p: mg.concat([a, b])[::2][: a.size] * b,
    "pad": lambda a, b, p: mg.concat([mg.zeros(1, dtype=a.dtype), a])[:-1] + mg.roll(b, 2),
    "join shared": lambda a, b, p: mg.concat([p["s"], a])[3:-2] * b,
    "take, twice the same": lambda a, b, p: mg.sum(a[np.array([2, 0, 0, 1])]) * b,
    "stack": lambda a, b, p: mg.sum(mg.stack([a, b, p["s"]], axis=1), axis=1),
    "mask": lambda a, b, p: mg.astype(mg.flip(a > b), a.dtype) * a,
    "softmax": lambda a, b, p: mg.softmax(mg.outer(a, b), axis=0) @ b,
    "transpose": lambda a, b, p: (mg.outer(a, b) - mg.outer(b, a).T * 0.5) @ a,
    "matrices": lambda a, b, p: (mg.outer(a, b) @ p["W"] @ mg.outer(b, a)) @ b,
    "diagonal": lambda a, b, p: mg.einsum("ii->i", mg.outer(a, b) + mg.outer(b, b)),
    "max": lambda a, b, p: mg.max(mg.outer(a, b), axis=1) - mg.min(mg.outer(a, b), axis=0),
    "prod": lambda a, b, p: mg.prod(1 + 0.1 * mg.outer(a, b), axis=0) * mg.prod(1 + 0.1 * a),
    "norm": lambda a, b, p: mg.norm(mg.outer(a, b) + 1, axis=1) + a / mg.norm(b),
    "running": lambda a, b, p: mg.sum(mg.cumulative_sum(mg.outer(a, b), axis=1), axis=0),
    "running products": lambda a, b, p: mg.cumulative_prod(1 + 0.1 * a) * b,
    "any": lambda a, b, p: mg.where(mg.all(mg.outer(a, b) < 0.3, axis=0) | mg.any(a > 2), a, b),
    "where": lambda a, b, p: mg.sum(mg.where(mg.outer(a, b) > 0, p["s"], 0.5), axis=0),
    "nothing of it": lambda a, b, p: mg.concat([a * a, b])[a.size :] + a,
    "power": lambda a, b, p: (0.1 + mg.abs(a)) ** b + mg.atan2(a, 1 + b * b),
}


@pytest.mark.parametrize(
    ("group", "dtype"),
    [
        (0, np.float64), (3, np.float32),
        *(pytest.param(k, np.float64, marks=pytest.mark.slow) for k in (1, 2, 3)),
        pytest.param(0, np.float32, marks=pytest.mark.slow),
    ],
)
def test_ops_on_vectors(group, dtype):
    """As gates of a cell, several at once: values, gradients and second derivatives."""
    names = list(ON_VECTORS)[group::4]

    def cell(p, h, x):
        h = mg.tanh(h @ p["W"] + x)
        ys = {name: ON_VECTORS[name](h, x @ p["V"], p) for name in names}
        return 0.2 * sum(ys.values()) + h, ys

    s = mg.Structure.chain([4, 1, 0, 2])

    def step(p, x, w):
        hs, ys = mg.recur(cell, s, shared=p, initial=np.zeros((1, D), dtype), inputs=x)
        loss = mg.sum(w * sum(mg.sin(y) for y in ys.values()) + w * hs)
        grads = mg.grad(loss, (p, x))
        if dtype == np.float32:
            return hs, ys, loss, grads
        second = sum(mg.sum(mg.sin(g)) for g in mg.pytrees.tree_leaves(grads))
        return hs, ys, loss, grads, mg.grad(second, (p, x))

    p = {k: normal(*shape, dtype=dtype) / 2 for k, shape in
         {"W": (D, D), "V": (D, D), "s": (D,)}.items()}  # fmt: skip
    args = p, normal(s.n, D, dtype=dtype), normal(s.n, D, dtype=dtype)
    f = mg.function(step)
    words = f.explain(*args)
    assert "because" not in words, words
    wanted = mg.reference(step(*mg.tensors(args)))
    close(f(*args), wanted, 1e-8 if dtype == np.float64 else 2e-3)


def test_packed_gates_are_views_of_one_product():
    """A cell written with `concat` and slices costs what one written gate by gate does."""

    def cell(p, state, x):
        h, c = state
        z = mg.concat([x, h]) @ p["W"] + p["b"]
        i, f, o, g = (z[k * D : (k + 1) * D] for k in range(4))
        c = mg.sigmoid(f) * c + mg.sigmoid(i) * mg.tanh(g)
        h = mg.sigmoid(o) * mg.tanh(c)
        return (h, c), h

    def step(p, x):
        start = np.zeros((1, D))
        _, hs = mg.recur(cell, mg.Structure.chain(6), shared=p, initial=(start, start), inputs=x)
        return hs, mg.grad(mg.sum(hs * hs), (p, x))

    args = {"W": normal(2 * D, 4 * D), "b": normal(4 * D)}, normal(6, D)
    words = mg.function(step).explain(*args)
    assert words.count("moved") == 3, words  # x beside h, forwards and backwards; four gradients
    close(mg.function(step)(*args), mg.reference(step(*mg.tensors(args))), 1e-10)


def test_another_size_is_the_same_code():
    from minigrad.kernels import cache

    def step(p, x):
        start, s = mg.zeros((1, *p["W"].shape)), mg.Structure.chain(3)
        ys = mg.recur(fast_weights, s, shared=p, initial=start, inputs=x)[1]
        return ys, mg.vjp(ys, (p, x), mg.ones_like(ys))

    def run(d):
        f = mg.function(step)
        f({"W": normal(d, d)}, normal(3, d))
        return f

    kept = run(4)
    compiled = []
    make = cache.compile_source
    try:
        cache.compile_source = lambda *args: compiled.append(args) or make(*args)
        kept = kept, run(7), run(9)
    finally:
        cache.compile_source = make
    assert not compiled


@given(
    st.integers(1, 21), st.integers(1, 37), st.sampled_from(["float32", "float64"]),
    st.booleans(), st.sampled_from([None, np.nan, np.inf, 0.0]), st.integers(0, 99),
)  # fmt: skip
@settings(max_examples=examples(6))
def test_a_matrix_is_looped_over_as_a_grid(m, n, dtype, large, plant, seed):
    """What is repeated along an axis and summed over one, in one loop, for any sizes."""

    def cell(p, S, x):
        k, v = x
        decay = mg.exp(-mg.expand_dims(mg.softplus(k), 1) * p["A"])
        S = decay * S + mg.outer(k, mg.tanh(v - k @ S))
        scores = mg.sum(mg.tanh(S + v), axis=1)
        chosen = mg.sum(mg.where(S > mg.expand_dims(k, 1), S, v), axis=0)
        return S, (mg.softmax(scores) @ S, chosen * mg.max(S) + mg.mean(S, axis=0), S @ v)

    def step(p, k, v):
        start = mg.expand_dims(p["S"], 0)
        _, ys = mg.recur(cell, structure, shared=p, inputs=(k, v), initial=start)
        return ys, mg.grad(sum(mg.sum(mg.sin(y)) for y in ys), (p, k, v))

    structure, rng = mg.Structure.chain([3, 1, 2]), np.random.default_rng(seed)
    p = {"A": rng.random((m, n)).astype(dtype), "S": np.ones((m, n), dtype)}
    k, v = ((rng.standard_normal((6, d)) / d**0.5).astype(dtype) for d in (m, n))
    if plant is not None:
        k[4, m // 2] = v[1, 0] = plant
    f = mg.function(step)
    with large_tensors() if large else nullcontext():
        found = f(p, k, v)
    assert f"{m} x {n} elements looped over as a grid" in f.explain(p, k, v) or 1 in (m, n)
    with np.errstate(all="ignore"):
        wanted = mg.reference(step(*mg.tensors((p, k, v))))
    close(found, wanted, 2e-3 if dtype == "float32" else 1e-9)


def test_what_has_no_code_says_so():
    def cell(p, h, x):
        return h, mg.einsum("i,j,k->i", x, x, h)

    def step(x):
        start = np.ones((1, 3))
        return mg.recur(cell, mg.Structure.chain(2), initial=start, inputs=x)

    f, x = mg.function(step), normal(2, 3)
    assert "einsum of shapes (3,), (3,), (3,): too many loops" in f.explain(x)
    close(f(x), mg.reference(step(mg.asarray(x))), 1e-12)


def test_a_choice_among_constants_has_the_type_it_is_cast_to():
    def cell(p, h, x):
        low = mg.where(x > 0, -np.inf, 0.25)  # float64, as NumPy has it
        h = mg.softmax(mg.where(h > 2, h, mg.astype(low, x.dtype)) + p)
        return h, h

    def step(p, x):
        start, s = np.zeros((1, D), "f"), mg.Structure.chain(3)
        hs = mg.recur(cell, s, shared=p, initial=start, inputs=x)
        return hs, mg.grad(mg.sum(hs[0] * x), (p, x))

    x = normal(3, D, dtype=np.float32)
    x[:, 0] = -1.0
    args = normal(D, dtype=np.float32), x
    assert "because" not in mg.function(step).explain(*args)
    close(mg.function(step)(*args), mg.reference(step(*mg.tensors(args))), 1e-5)


@st.composite
def products(draw):
    """Two operands' letters and a result's: shared, lone, repeated, kept or not."""
    terms = [draw(st.text("ijk", min_size=1, max_size=3)) for _ in range(2)]
    letters = sorted(set("".join(terms)))
    out = "".join(draw(st.permutations(letters))[: draw(st.integers(0, 2))])
    return terms, out


@given(products(), st.data())
@settings(max_examples=examples(60))
def test_products_sum_what_one_operand_alone_has_first(product, data):
    """inf * (a + b) is not inf * a + inf * b: the kernels sum as the reference does."""
    terms, out = product
    size = {"i": 2, "j": 3, "k": 2}
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    x = [rng.standard_normal((4, *(size[c] for c in term))) for term in terms]
    for a in x:
        plant = data.draw(st.sampled_from([None, np.inf, -np.inf, np.nan, 0.0]))
        if plant is not None:
            a.reshape(-1)[data.draw(st.integers(0, a.size - 1))] = plant

    def step(*x):
        def cell(p, h, x):
            return h, mg.einsum(f"{terms[0]},{terms[1]}->{out}", *x)

        _, y = mg.recur(cell, mg.Structure.chain(4), initial=np.zeros((1, 1)), inputs=x)
        return y

    wanted = mg.reference(step(*mg.tensors(tuple(x))))
    np.testing.assert_allclose(mg.function(step)(*x), wanted, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(mg.evaluate(step(*mg.tensors(tuple(x)))), wanted, 1e-12, 1e-13)


@pytest.mark.parametrize("threads", [1, 2])
def test_large_states_that_go_round_begin_as_they_should(threads):
    """Backwards, a short sequence begins at a later level, where its rows have no source, and
    where an earlier call has left something."""

    def cell(p, carry, x):
        first, second = carry
        return (first, 0.5 * (x + first + mg.tanh(second))), second * p

    def step(p, x, w, structure):
        start = (np.zeros((1, 2, 3)), np.ones((1, 2, 3)))
        states, ys = mg.recur(cell, structure, shared=p, initial=start, inputs=x)
        return ys, mg.vjp((states[1], ys), (p, x), (w, mg.sin(w)))

    f = mg.function(step)
    for lengths in ([3, 3], [5], [0, 0, 0, 2, 1], [1, 3, 2], [2, 1], [4], [2, 1]):
        n = sum(lengths)
        args = normal(2, 3), normal(n, 2, 3), normal(n, 2, 3)
        structure = mg.Structure.chain(lengths)
        with splitting(threads), large_tensors():
            found = f(*args, structure)
        close(found, mg.reference(step(*mg.tensors(args), structure)), 1e-12)


@pytest.mark.parametrize("large", [False, True])
def test_what_a_later_pass_reads_waits_for_it(large):
    """A selective state space, backwards: no matrix lies in memory between two passes over a row,
    for the vectors that are repeated along it are made first."""

    def cell(p, h, x):
        d = mg.softplus(x @ p["W"])
        b, c = x @ p["B"], x @ p["C"]
        decay = mg.exp(-mg.expand_dims(d, axis=-1) * p["A"])
        h = decay * h + mg.expand_dims(d * x, axis=-1) * mg.expand_dims(b, axis=-2)
        return h, mg.squeeze(h @ mg.expand_dims(c, axis=-1), axis=-1)

    m, n = 32, 16
    p = {"W": normal(m, m), "B": normal(m, n), "C": normal(m, n), "A": np.exp(normal(m, n))}
    xs = normal(6, 2, m)

    def step(p, xs):
        start = np.zeros((1, m, n))
        chains = mg.Structure.chain([6, 6])
        _, ys = mg.recur(cell, chains, shared=p, inputs=mg.reshape(xs, (12, m)), initial=start)
        return ys, mg.grad(mg.sum(mg.sin(ys)), (p, xs))

    with large_tensors() if large else nullcontext():
        f = mg.function(step)
        close(f(p, xs), mg.reference(step(*mg.tensors((p, xs)))), 1e-11)
    (trace,) = f.traces.values()
    written = [r.size for k in trace.way.runners for r in k.program.text.scratch]
    assert written and max(written) <= m
