"""Ops against NumPy's meaning, dtypes, shapes, empties, indexing, and known traps.

The traps are those of FACTS.md section 5.
Derivatives against torch are in `oracle`; here stand those that need no oracle but a sentence.
"""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import minigrad as mg
from minigrad.testing.laws import close

inf, nan = np.inf, np.nan


def slope(f, point):
    x = mg.asarray(np.asarray(point, float))
    return mg.grad(mg.sum(f(x)), x).numpy().tolist()


def curve(f, point):
    x = mg.asarray(np.asarray(point, float))
    return mg.grad(mg.sum(mg.grad(mg.sum(f(x)), x)), x).numpy().tolist()


@pytest.mark.parametrize(
    ("f", "point", "wanted"),
    [
        (mg.abs, [0.0], [0.0]),
        (mg.relu, [0.0, -1.0, 1.0], [0.0, 0.0, 1.0]),
        (lambda x: mg.maximum(x, 1.0), [1.0], [0.5]),
        (lambda x: mg.maximum(x, x), [3.0], [1.0]),
        (lambda x: mg.minimum(x, x), [3.0], [1.0]),
        (lambda x: mg.max(x), [2.0, 2.0, 1.0], [0.5, 0.5, 0.0]),
        (lambda x: mg.min(x), [2.0, 1.0, 1.0], [0.0, 0.5, 0.5]),
        (lambda x: mg.clip(x, 0.0, 1.0), [-1.0, 0.0, 0.5, 1.0, 2.0], [0.0, 0.5, 1.0, 0.5, 0.0]),
        (lambda x: mg.where(x > 0, mg.sqrt(x), 0.0), [0.0, 4.0], [0.0, 0.25]),
        (lambda x: mg.where(x > 0, mg.log(x), 0.0), [-1.0, 2.0], [0.0, 0.5]),
        (lambda x: mg.where(x != 0, 1.0 / x, 0.0), [0.0, 2.0], [0.0, -0.25]),
        (lambda x: x**0, [0.0, 2.0], [0.0, 0.0]),
        (lambda x: x**2, [0.0, 2.0], [0.0, 4.0]),
        (lambda x: x**3, [0.0, -2.0], [0.0, 12.0]),
        (mg.sigmoid, [1000.0, -1000.0], [0.0, 0.0]),
        (mg.tanh, [1000.0, -1000.0], [0.0, 0.0]),
        (mg.logsumexp, [1000.0, 1000.0], [0.5, 0.5]),
        (mg.logsumexp, [-inf, -inf], [0.0, 0.0]),
        (lambda x: mg.log_softmax(x)[1], [1e4, 0.0], [-1.0, 1.0]),
        (lambda x: mg.softmax(x)[0], [0.0, -inf], [0.0, 0.0]),
        (lambda x: x[[0, 0, 1]], [1.0, 2.0, 3.0], [2.0, 1.0, 0.0]),
        (lambda x: x * x, [3.0], [6.0]),
        (lambda x: x - mg.mean(x), [1.0, 2.0, 6.0], [0.0, 0.0, 0.0]),
        (lambda x: mg.stop_gradient(x) * x, [3.0], [3.0]),
        (lambda x: mg.log1p(x), [0.0], [1.0]),
    ],
)
def test_slopes_at_kinks_and_far_out(f, point, wanted):
    close(np.array(slope(f, point)), np.array(wanted), 1e-14)


@pytest.mark.parametrize(
    ("f", "point", "wanted"),
    [
        (lambda x: x**2, [0.0], [2.0]),
        (lambda x: x**3, [0.0, 2.0], [0.0, 12.0]),
        (mg.tanh, [1000.0], [0.0]),
        (mg.sigmoid, [1000.0, 0.0], [0.0, 0.0]),
        (mg.relu, [0.0, 1.0], [0.0, 0.0]),
        (mg.square, [5.0], [2.0]),
        (lambda x: mg.where(x > 0, mg.sqrt(x), 0.0), [0.0, 4.0], [0.0, -1 / 32]),
    ],
)
def test_curvature_at_kinks_and_far_out(f, point, wanted):
    close(np.array(curve(f, point)), np.array(wanted), 1e-14)


def test_second_derivatives_of_powers():
    """Regression: by base and exponent at exponent 0 it was 0 one way round, 1 / x the other;
    NaN at base 0.  In closed form: y (y - 1) x^(y - 2), x^(y - 1) (1 + y log x), x^y log(x)^2."""
    for x, y in ((2.0, 0.0), (0.5, 0.0), (1.0, 0.0), (1.5, 2.0), (2.0, -1.0)):
        a, b = mg.asarray(x), mg.asarray(y)
        (aa, ab), (ba, bb) = mg.evaluate(mg.hessian(mg.pow(a, b), (a, b)))
        assert aa == pytest.approx(y * (y - 1) * x ** (y - 2))
        assert ab == pytest.approx(x ** (y - 1) * (1 + y * np.log(x)))
        assert ba == pytest.approx(float(ab)) and bb == pytest.approx(x**y * np.log(x) ** 2)
    a, b = mg.asarray(0.0), mg.asarray(2.0)
    assert np.allclose(mg.evaluate(mg.hessian(mg.pow(a, b), (a, b))), [[2, 0], [0, 0]])


@pytest.mark.parametrize("x", [-40.0, -1.0, 0.0, 1.0, 37.4, 60.0])
def test_softplus_bends_far_out(x):
    """Regression: its second derivative was 0 where the sigmoid rounds to 1."""
    t = mg.asarray(x)
    e = np.exp(-abs(x))
    assert mg.hessian(mg.softplus(t), t).item() == pytest.approx(e / (1 + e) ** 2, rel=1e-12)
    assert mg.grad(mg.softplus(t), t).item() == pytest.approx(1 / (1 + np.exp(-x)), rel=1e-12)


def test_power_at_zero_and_below():
    a, b = mg.asarray([0.0, -2.0, 0.0]), mg.asarray([2.0, 2.0, 0.0])
    da, db = mg.evaluate(mg.grad(mg.sum(mg.pow(a, b)), (a, b)))
    assert da.tolist() == [0.0, -4.0, 0.0]
    assert db[0] == 0.0 and np.isnan(db[1]) and np.isfinite(db[2])


def test_values_far_out():
    assert mg.logsumexp([-inf, -inf]).item() == -inf
    assert mg.logsumexp([inf, 0.0]).item() == inf
    assert mg.sigmoid([-1000.0, 1000.0]).tolist() == [0.0, 1.0]
    assert mg.softmax([0.0, -inf]).tolist() == [1.0, 0.0]
    assert mg.log_softmax([1e4, 0.0]).tolist() == [0.0, -1e4]
    assert np.isnan(mg.maximum([nan], [1.0]).numpy()).all()
    assert np.isnan(mg.max([1.0, nan]).numpy())
    assert mg.log(mg.sigmoid(mg.asarray(-30.0))).item() == pytest.approx(-30.0)


def test_evaluation_emits_no_warnings():
    x = mg.asarray([0.0, -1.0, 1e308, nan])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mg.evaluate([mg.log(x), 1 / x, x * 10, mg.sqrt(x), mg.exp(x), mg.mean(mg.zeros(0))])


floats = hnp.arrays(
    np.float64,
    hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=3),
    elements=st.floats(-5, 5, allow_subnormal=False),
)


@given(floats)
def test_elementwise_and_reductions_mean_what_numpy_means(a):
    t = mg.asarray(a)
    with np.errstate(all="ignore"):
        pairs = [
            (mg.exp(t), np.exp(a)),
            (mg.log(t), np.log(a)),
            (mg.sqrt(t), np.sqrt(a)),
            (mg.tanh(t), np.tanh(a)),
            (mg.sin(t), np.sin(a)),
            (mg.cos(t), np.cos(a)),
            (mg.abs(t), np.abs(a)),
            (mg.sign(t), np.sign(a)),
            (mg.log1p(t), np.log1p(a)),
            (t + 2, a + 2),
            (1 - t, 1 - a),
            (t / 3, a / 3),
            (-t, -a),
            (t > 0.5, a > 0.5),
            (mg.sum(t), a.sum()),
            (mg.sum(t, axis=-1), a.sum(-1)),
            (mg.sum(t, axis=0, keepdims=True), a.sum(0, keepdims=True)),
            (mg.clip(t, -1, 1), np.clip(a, -1, 1)),
            (mg.flip(t), np.flip(a)),
            (t.T, a.T),
            (mg.sigmoid(t), 1 / (1 + np.exp(-a))),
            (mg.relu(t), np.maximum(a, 0)),
            (t[:1], a[:1]),
            (t[..., ::-1], a[..., ::-1]),
            (mg.concat([t, t]), np.concatenate([a, a])),
        ]
        if a.size:
            pairs += [
                (mg.max(t, axis=-1), a.max(-1)),
                (mg.min(t), a.min()),
                (mg.mean(t), a.mean()),
                (mg.argmax(t, axis=0), a.argmax(0)),
                (mg.argmax(t, axis=None), a.argmax()),
            ]
    for found, wanted in pairs:
        assert found.shape == wanted.shape and found.dtype == wanted.dtype
        close(found.numpy(), wanted, 1e-14)


@given(
    hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=3, max_side=3, min_side=0),
    st.integers(0, 99),
)
def test_broadcasting_and_its_way_back(shapes, seed):
    """Values as NumPy; gradients have their input's shape and are the plain sums."""
    rng = np.random.default_rng(seed)
    arrays = [rng.standard_normal(s) for s in shapes.input_shapes]
    a, b = map(mg.asarray, arrays)
    y = a * b
    w = rng.standard_normal(y.shape)
    close(y.numpy(), arrays[0] * arrays[1], 0.0)
    for t, other in ((a, arrays[1]), (b, arrays[0])):
        g = mg.grad(mg.sum(y * w), t).numpy()
        full = np.broadcast_to(other, y.shape) * w
        lead = tuple(range(y.ndim - t.ndim))
        axes = lead + tuple(k + len(lead) for k, n in enumerate(t.shape) if n == 1)
        wanted = full.sum(axis=axes, keepdims=True).reshape(t.shape)
        close(g, wanted, 1e-13)


@pytest.mark.parametrize(
    "shapes", [((3, 1), (1, 0)), ((5, 2, 1), (2, 5)), ((2, 0), ()), ((0,), (1,))]
)
def test_gradients_have_the_shape_of_their_input(shapes):
    a, b = (mg.asarray(np.ones(s)) for s in shapes)
    ga, gb = mg.evaluate(mg.grad(mg.sum(a * b), (a, b)))
    assert (ga.shape, gb.shape) == shapes


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ((2, 0), (0, 2)),
        ((3,), (3,)),
        ((2, 3), (3,)),
        ((3,), (3, 2)),
        ((4, 2, 3), (3, 2)),
        ((4, 2, 3), (4, 3, 2)),
        ((2, 3), (4, 3, 2)),
        ((5, 1, 2, 3), (4, 3, 2)),
        ((3,), (4, 3, 2)),
        ((4, 2, 3), (3,)),
        ((0, 3), (3, 2)),
    ],
)
def test_matmul_shapes(left, right):
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal(left), rng.standard_normal(right)
    s, t = mg.asarray(a), mg.asarray(b)
    y = s @ t
    close(y.numpy(), a @ b, 1e-13)
    assert [g.shape for g in mg.evaluate(mg.grad(mg.sum(y), (s, t)))] == [left, right]


@pytest.mark.parametrize(
    "expression",
    [
        lambda x: x * 2,
        lambda x: 2.5 + x,
        lambda x: x**0.5,
        lambda x: x / 3,
        lambda x: mg.tanh(x) - 1,
        lambda x: mg.mean(x),
        lambda x: mg.softmax(x),
        lambda x: mg.clip(x, 0.1, 0.9),
        lambda x: mg.where(x > 0, x, 0.0),
        lambda x: x @ x,
        lambda x: mg.logsumexp(x),
        lambda x: mg.maximum(x, 0),
        lambda x: mg.cross_entropy(x, 1),
        lambda x: mg.sigmoid(x) * mg.relu(x),
        lambda x: mg.log1p(x) + mg.sqrt(x),
    ],
)
def test_float32_stays_float32(expression):
    x = mg.asarray(np.array([0.25, 0.5, 1.0], np.float32))
    y = expression(x)
    g = mg.grad(mg.sum(y), x)
    h = mg.grad(mg.sum(g), x)
    assert y.dtype == g.dtype == h.dtype == np.float32
    for value in (*mg.evaluate((y, g, h)), *mg.reference((y, g, h))):
        assert value.dtype == np.float32


def test_promotion_follows_numpy():
    f4, f8 = mg.asarray(np.float32([1, 2])), mg.asarray([1.0, 2.0])
    i4, flag = mg.asarray(np.int32([1, 2])), mg.asarray([True, False])
    assert (f4 + f8).dtype == np.float64
    assert (f4 * i4).dtype == (np.float32([1]) * np.int32([1])).dtype
    assert (f4 + np.float64(1)).dtype == np.float64  # a NumPy scalar is not weak, a Python one is
    assert (f4 + 1.0).dtype == np.float32
    assert (i4 + 1).dtype == np.int32 and (i4 / 2).dtype == np.float64
    assert (flag + 1).dtype == np.int64 and mg.sum(flag).dtype == np.int64
    assert mg.exp(i4).dtype == np.float64 and mg.sum(i4).dtype == np.int64
    assert mg.grad(mg.sum(f4 * f8), f4).dtype == np.float32


def test_creation():
    for ours, theirs in [
        (mg.zeros((2, 3)), np.zeros((2, 3))),
        (mg.ones(2), np.ones(2)),
        (mg.full((2,), 7), np.full(2, 7)),
        (mg.arange(5), np.arange(5)),
        (mg.arange(1, 6, 2), np.arange(1, 6, 2)),
        (mg.eye(2, 3, k=1), np.eye(2, 3, 1)),
        (mg.linspace(0, 1, 5), np.linspace(0, 1, 5)),
        (mg.zeros_like(mg.eye(2)), np.zeros((2, 2))),
        (mg.ones_like(mg.arange(3)), np.ones(3, np.int64)),
        (mg.full_like(mg.eye(2), 2.5), np.full((2, 2), 2.5)),
        (mg.zeros(3, dtype=np.float32), np.zeros(3, np.float32)),
        (mg.asarray([[1, 2]]), np.array([[1, 2]])),
        (mg.asarray([1, 2], dtype=np.float32), np.float32([1, 2])),
        (mg.asarray(True), np.array(True)),
    ]:
        assert ours.dtype == theirs.dtype
        close(ours.numpy(), theirs, 0.0)


def test_a_list_of_tensors_is_stacked():
    a = mg.asarray(2.0)
    t = mg.asarray([a, 3.0, a * a])
    assert t.tolist() == [2.0, 3.0, 4.0]
    assert mg.grad(mg.sum(t), a).item() == 5.0


GRID = np.arange(24.0).reshape(2, 3, 4)


@pytest.mark.parametrize(
    "key",
    [
        0,
        -1,
        (1, 2),
        (1, 2, 3),
        slice(1),
        slice(None, None, -1),
        (slice(None), 1),
        (..., 0),
        (0, ...),
        (None, 0),
        (slice(None), None),
        (slice(2, 0, -1),),
        (0, slice(None), slice(None, None, 2)),
        Ellipsis,
        (),
        [0, 0, 1],
        np.array([[1, 0], [0, 0]]),
        (slice(None), [2, 0]),
        (0, [2, 0]),
        ([1, 0], 2),
        (..., [3, 3]),
        (np.array([0, 1]), np.array([2, -1])),
        (slice(None), np.array([0, 2]), np.array([-1, 3])),
        [],
        np.array([True, False]),
        (slice(None), np.array([True, False, True])),
        GRID > 5,
        (0, GRID[0] > 5),
        (..., np.array([True, False, True, True])),
        np.int64(1),
        (None, [1], None),
        slice(5, 9),
    ],
    ids=str,
)
def test_indexing_is_numpys(key):
    t = mg.asarray(GRID)
    y, wanted = t[key], GRID[tuple(key) if isinstance(key, tuple) else key]
    assert y.shape == wanted.shape
    close(y.numpy(), wanted, 0.0)
    w = np.random.default_rng(0).standard_normal(wanted.shape)
    full = np.zeros_like(GRID)
    np.add.at(
        full, key if isinstance(key, tuple) or not isinstance(key, list) else np.array(key, int), w
    )
    close(mg.grad(mg.sum(y * w), t).numpy(), full, 1e-14)


def test_indexing_by_tensors():
    t, k = mg.asarray(GRID), mg.asarray([1, 0])
    close(t[:, k].numpy(), GRID[:, [1, 0]], 0.0)
    close(t[k, mg.asarray([-1, 0])].numpy(), GRID[[1, 0], [-1, 0]], 0.0)
    close(t[mg.asarray(1)].numpy(), GRID[1], 0.0)
    close(mg.take(t, mg.asarray(2), axis=1).numpy(), GRID[:, 2], 0.0)
    late = mg.argmax(mg.asarray([0.0, 9.0]))  # known only when computed
    close(t[late].numpy(), GRID[1], 0.0)


def test_a_late_index_out_of_range_does_not_reach_a_neighbour():
    t = mg.asarray(GRID[0])
    late = mg.argmax(mg.asarray([0.0, 0.0, 0.0, 0.0, 9.0]), axis=0)  # 4, but the axis has 4: 0..3
    with pytest.raises(IndexError) as caught:
        t[mg.stack([late * 0]), mg.stack([late])].numpy()
    assert any("recorded at" in note for note in caught.value.__notes__)


def test_cross_entropy_counts_in_nats():
    z = mg.asarray([[0.0, 0.0], [1e4, 0.0]])
    y = mg.cross_entropy(z, [0, 1])
    close(y.numpy(), np.array([np.log(2), 1e4]), 1e-14)
    g = mg.grad(mg.sum(y), z).numpy()
    close(g, np.array([[-0.5, 0.5], [1.0, -1.0]]), 1e-14)


def test_reshaping_an_empty_tensor():
    t = mg.zeros((0, 3))
    assert mg.reshape(t, (3, 0)).shape == (3, 0)
    assert mg.grad(mg.sum(mg.reshape(t, (3, 0))), t).shape == (0, 3)
    assert mg.sum(t).item() == 0.0 and np.isnan(mg.mean(t).item())


@pytest.mark.parametrize("f", [mg.sqrt, mg.log, mg.reciprocal, mg.asin])
def test_a_guarded_singularity_is_silent_at_second_order_both_ways(f):
    a = mg.asarray([-1.0, 0.0, 0.25])
    y = mg.where((a > 0) & (a < 1), f(a), 0.0)
    slope = mg.vjp(y, a, np.array([1.0, 2.0, 3.0]))
    v = np.array([0.3, 0.5, 0.7])
    forward, reverse = mg.evaluate((mg.jvp(slope, a, v), mg.vjp(slope, a, v)))
    np.testing.assert_allclose(forward, reverse, rtol=1e-14)
    assert not forward[:2].any() and forward[2]
