"""Optimisers against their published update, and on a bowl."""

import numpy as np
import pytest

import minigrad as mg
from minigrad import optim

P = {"w": np.array([1.0, -2.0]), "b": [np.array(3.0)]}
G = {"w": np.array([0.5, 1.0]), "b": [np.array(-1.0)]}


def test_sgd_with_momentum():
    opt = optim.sgd(0.1, momentum=0.5)
    state = opt.init(P)
    p, state = opt.update(P, G, state)
    np.testing.assert_allclose(p["w"], [0.95, -2.1])
    p, state = opt.update(p, G, state)
    np.testing.assert_allclose(p["w"], [0.95 - 0.1 * 0.75, -2.1 - 0.1 * 1.5])
    np.testing.assert_allclose(P["w"], [1.0, -2.0])  # nothing is changed in place


def test_adam_is_the_paper():
    opt = optim.adam(0.01, 0.8, 0.95, 1e-6)
    p, state, m, v = P, opt.init(P), 0.0, 0.0
    x = P["w"].copy()
    for step, g in enumerate([G["w"], G["w"] * -2, G["w"] * 0.1], 1):
        p, state = opt.update(p, {"w": g, "b": G["b"]}, state)
        m, v = 0.8 * m + 0.2 * g, 0.95 * v + 0.05 * g * g
        x = x - 0.01 * (m / (1 - 0.8**step)) / (np.sqrt(v / (1 - 0.95**step)) + 1e-6)
    np.testing.assert_allclose(p["w"], x, rtol=1e-12)


@pytest.mark.parametrize("opt", [
    optim.sgd(0.1), optim.sgd(0.05, 0.9), optim.adam(0.2), optim.adamw(0.2, weight_decay=1e-4),
    optim.rmsprop(2e-3, decay=0.9, momentum=0.9), optim.adagrad(1.0),
    optim.accumulated(optim.sgd(0.3), 3),
])  # fmt: skip
def test_they_find_the_bottom_and_take_tensors_as_gradients(opt):
    p, state = P, opt.init(P)
    for _ in range(200):
        t = mg.tensors(p)
        loss = mg.sum(mg.square(t["w"] - 1.0)) + mg.square(t["b"][0])
        p, state = opt.update(p, mg.grad(loss, t), state)
    assert np.abs(p["w"] - 1).max() < 1e-2 and abs(p["b"][0]) < 1e-2


def test_float32_stays_float32():
    p = {"w": np.ones(2, np.float32)}
    for opt in (
        optim.sgd(0.1, 0.9), optim.adam(0.1), optim.adamw(0.1), optim.rmsprop(centered=True),
        optim.adagrad(), optim.accumulated(optim.adam(), 1),
    ):  # fmt: skip
        new, state = opt.update(p, p, opt.init(p))
        assert new["w"].dtype == np.float32 and (new["w"] != 1).all()
        assert {x.dtype.kind for x in mg.pytrees.tree_leaves(state)} <= {"i", "f"}


def test_clipping_keeps_the_direction():
    assert optim.global_norm(G) == pytest.approx(1.5)
    clipped = optim.clip_by_global_norm(G, 0.75)
    np.testing.assert_allclose(clipped["w"], G["w"] / 2)
    assert optim.global_norm(clipped) == pytest.approx(0.75)
    np.testing.assert_allclose(optim.clip_by_global_norm(G, 10.0)["w"], G["w"])
    assert optim.clip_by_global_norm({"w": np.float32([3, 4])}, 1.0)["w"].dtype == np.float32


@pytest.mark.parametrize(
    "make", [lambda: optim.sgd(0.0), lambda: optim.adam(-1.0), lambda: optim.adam(eps=0.0),
             lambda: optim.clip_by_global_norm(G, 0.0), lambda: optim.sgd(np.inf),
             lambda: optim.sgd(float("nan")), lambda: optim.rmsprop(eps=0.0),
             lambda: optim.adagrad(-1.0), lambda: optim.adagrad(eps=0), lambda: optim.adamw(0.0)],
)  # fmt: skip
def test_what_must_be_positive(make):
    with pytest.raises(ValueError, match="must be positive; got"):
        make()


REFUSED = {
    "momentum": (lambda: optim.sgd(1.5, momentum="../x"), "sgd: momentum must be a number; got a"),
    "beta1": (lambda: optim.adam(beta1=np.ones(2)), r"adam: beta1 .* an array of shape \(2,\)"),
    "beta2": (lambda: optim.adam(beta2=1.0), "adam: beta2 must be at least 0 and less than 1"),
    "truth": (lambda: optim.adam(True), "adam: lr must be a number; got a bool"),
    "rates": (lambda: optim.sgd(mg.ones(2)), r"sgd: lr as a Tensor is a .* scalar.* \(2,\)"),
    "floor": (lambda: optim.cosine(1.0, 5, floor=2.0), "cosine: floor must be between 0 and lr"),
    "integers": (lambda: optim.sgd(0.1).init({"n": np.ones(2, int)}), r"params\['n'\] is int64"),
    "structure": (lambda: optim.sgd(0.1).update(P, {"w": 1.0}, P), "grads are not structured as"),
    "shape": (
        lambda: optim.sgd(0.1).update(P, {"w": np.ones((2, 1)), "b": [np.ones(())]}, P),
        r"sgd: grads\['w'\] has shape \(2, 1\), its parameter \(2,\)",
    ),
    "state": (lambda: optim.adam().update(P, G, P), "adam: state is what init or update returned"),
    "count": (lambda: optim.adam().update(P, G, (1.5, P, P)), "number of an update is an integer"),
    "decay": (lambda: optim.adamw(weight_decay=-1.0), "adamw: weight_decay must be at least 0"),
    "mask": (lambda: mask({"w": 1, "b": [True]}), "adamw: mask must be True or False; got a int"),
    "masks": (lambda: mask({"w": True}), "adamw: mask is a function of name .* or structured as"),
    "mask's": (lambda: mask(lambda name, p: None), "adamw: mask must be True or False; got a None"),
    "centered": (lambda: optim.rmsprop(centered="yes"), "rmsprop: centered must be True or False"),
    "rms": (lambda: optim.rmsprop(decay=1.0), "rmsprop: decay must be at least 0 and less than 1"),
    "every": (lambda: optim.accumulated(optim.adam(), 0), "accumulated: every must be at least 1"),
    "part": (lambda: optim.accumulated(optim.adam(), 1.5), "accumulated: every must be an integer"),
    "none": (lambda: optim.accumulated(optim.adam, 2), "accumulated: opt is an optimiser; got"),
    "words": (lambda: optim.global_norm({"w": "words"}), "global_norm: a pytree of real numbers"),
}


def mask(marks):
    opt = optim.adamw(mask=marks)
    return opt.update(P, G, opt.init(P))


@pytest.mark.parametrize("call, words", REFUSED.values(), ids=REFUSED)
def test_nonsense_is_refused(call, words):
    with pytest.raises((TypeError, ValueError), match=words):
        call()


def bends(name, p):
    return p.ndim > 0


MAKE = {
    "sgd": lambda: optim.sgd(0.1, momentum=0.5),
    "adam": lambda: optim.adam(0.05),
    "scheduled": lambda: optim.scheduled(
        optim.adam, optim.warmup(optim.cosine(0.1, 6, floor=0.01), 3)
    ),
    "accumulated": lambda: optim.accumulated(
        optim.scheduled(lambda lr: optim.adamw(lr, mask=bends), optim.step_decay(0.1, 1)), 2
    ),
    "stepped": lambda: optim.scheduled(optim.sgd, optim.step_decay(0.1, 2)),
}


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("make", MAKE.values(), ids=MAKE)
def test_a_training_step_is_one_function_traced_once(make, dtype):
    opt = make()
    start = {"w": np.array([1.0, -2.0], dtype), "b": [np.asarray(3.0, dtype)]}
    traced = []

    @mg.function
    def step(params, state, goal):
        traced.append(1)
        loss = mg.sum(mg.square(params["w"] - goal)) + mg.square(params["b"][0])
        grads = optim.clip_by_global_norm(mg.grad(loss, params), 1.0)
        return loss, *opt.update(params, grads, state)

    p, state, q, other = start, opt.init(start), start, opt.init(start)
    for k in range(5):
        goal = np.asarray(k * 0.1, dtype)
        loss, p, state = step(p, state, goal)
        grads = {"w": 2 * (q["w"] - goal), "b": [2 * q["b"][0]]}
        q, other = opt.update(q, optim.clip_by_global_norm(grads, 1.0), other)
        np.testing.assert_allclose(p["w"], q["w"], rtol=1e-6 if dtype == np.float32 else 1e-13)
        assert p["w"].dtype == q["w"].dtype == p["b"][0].dtype == dtype
    assert traced == [1]


@pytest.mark.parametrize("make", [
    lambda lr, x: optim.sgd(lr, 0.9), lambda lr, x: optim.adam(lr),
    lambda lr, x: optim.adamw(90 * lr, weight_decay=90 * x), lambda lr, x: optim.adagrad(lr),
    lambda lr, x: optim.rmsprop(lr, momentum=0.9, centered=True),
])  # fmt: skip
def test_a_recorded_update_is_that_of_arrays_to_the_bit(make):
    """A rate is a number of the parameters' dtype before anything is done with it, either way."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        opt = make(*rng.uniform(1e-4, 1e-2, 2).tolist())
        p, g = ({"w": rng.normal(size=9).astype(np.float32)} for _ in "pg")
        _, state = opt.update(p, g, opt.init(p))
        wanted = opt.update(p, g, state)[0]["w"]
        found = opt.update(*mg.tensors((p, g, state)))[0]["w"].numpy()
        assert found.dtype == wanted.dtype and found.tobytes() == wanted.tobytes()


def test_an_update_of_tensors_is_recorded():
    """Regression: it returned detached arrays.  The slope by the learning rate, in closed form."""
    t, rate = mg.tensors(P), mg.asarray(0.1)
    for opt in (optim.sgd(rate), optim.sgd(0.1), optim.adam(0.1)):
        new, state = opt.update(t, mg.tensors(G), opt.init(t))
        assert all(isinstance(x, mg.Tensor) for x in (new["w"], new["b"][0]))
    opt = optim.sgd(rate)
    params, state = t, opt.init(t)
    for _ in range(2):  # p <- (1 - lr) p, twice
        params, state = opt.update(params, mg.grad(half(params), params), state)
    slope, by_start = mg.grad(half(params), (rate, t))
    bowl = sum(float(np.sum(x * x)) for x in (P["w"], P["b"][0]))
    assert slope.item() == pytest.approx(-2 * 0.9**3 * bowl)
    np.testing.assert_allclose(by_start["w"].numpy(), 0.9**4 * P["w"])
    arrays, _ = optim.sgd(rate).update(P, G, optim.sgd(0.1).init(P))
    assert mg.grad(mg.sum(arrays["w"]), rate).item() == pytest.approx(-G["w"].sum())


def half(params):
    return sum(mg.sum(mg.square(x)) for x in (params["w"], params["b"][0])) / 2


def test_clipping_tensors_is_recorded():
    g = mg.tensors({"a": np.array([3.0, 0.0]), "b": np.array([4.0])})
    clipped = optim.clip_by_global_norm(g, 2.0)
    assert clipped["a"].tolist() == pytest.approx([1.2, 0.0])
    # d (2 a / |g|) / d a = 2 (|g|^2 - a^2) / |g|^3
    slope = mg.grad(clipped["a"][0], g)
    assert slope["a"].tolist() == pytest.approx([2 * 16 / 125, 0.0])
    assert slope["b"].tolist() == pytest.approx([-2 * 12 / 125])
    same = optim.clip_by_global_norm(g, 9.0)
    assert mg.grad(mg.sum(same["a"]), g)["a"].tolist() == [1.0, 1.0]
    assert isinstance(optim.global_norm(g), mg.Tensor) and optim.global_norm(g).item() == 5.0


def test_clipping_at_the_ends_of_the_range():
    """Regression: of integers it made zeros, and squares overflowed."""
    assert optim.clip_by_global_norm((3, 4), 2) == pytest.approx((1.2, 1.6))
    huge = optim.clip_by_global_norm(np.array([3e200, 4e200]), 1.0)
    np.testing.assert_allclose(huge, [0.6, 0.8])
    for bad in (np.inf, np.nan):
        np.testing.assert_array_equal(
            optim.clip_by_global_norm(np.array([1.0, bad]), 0.5), [1.0, bad]
        )
    assert optim.clip_by_global_norm({}, 1.0) == {} and optim.global_norm({}) == 0.0


def test_schedules():
    assert [optim.constant(0.3)(k) for k in (0, 9)] == [0.3, 0.3]
    decay = optim.step_decay(1.0, every=3, factor=0.1)
    np.testing.assert_allclose([decay(k) for k in (0, 2, 3, 6)], [1, 1, 0.1, 0.01])
    wave = optim.cosine(2.0, 8, floor=1.0)
    np.testing.assert_allclose([wave(k) for k in (0, 4, 8, 99)], [2, 1.5, 1, 1])
    ramp = optim.warmup(decay, 2)
    np.testing.assert_allclose([ramp(k) for k in (0, 1, 2, 3)], [0.5, 1, 1, 0.1])


def test_a_scheduled_optimiser_takes_each_step_at_its_rate():
    rates = [0.1, 0.2, 0.05]
    for make in (optim.adam, lambda lr: optim.sgd(lr, momentum=0.5)):
        opt = optim.scheduled(make, lambda step: rates[step])
        p, state = P, opt.init(P)
        q, inner = P, make(1.0).init(P)
        for lr in rates:
            p, state = opt.update(p, G, state)
            q, inner = make(lr).update(q, G, inner)
            np.testing.assert_array_equal(p["w"], q["w"])
        assert state[0] == 3


@pytest.mark.parametrize(
    "make",
    [
        lambda: optim.constant(0),
        lambda: optim.step_decay(1.0, 0),
        lambda: optim.cosine(1.0, -1),
        lambda: optim.warmup(optim.constant(1.0), 0),
    ],
)
def test_schedules_refuse_what_is_not_positive(make):
    with pytest.raises(ValueError, match="must be positive; got"):
        make()


def test_masks_by_name_and_by_structure():
    """What is not marked is Adam's; what is marked shrinks by lr * weight_decay first."""
    plain, _ = optim.adam(0.1).update(P, G, optim.adam().init(P))
    for marks in ({"w": True, "b": [False]}, lambda name, p: name == "w", bends):
        opt = optim.adamw(0.1, weight_decay=0.5, mask=marks)
        new, state = opt.update(P, G, opt.init(P))
        np.testing.assert_array_equal(new["b"][0], plain["b"][0])
        np.testing.assert_allclose(new["w"], plain["w"] - 0.05 * P["w"], rtol=1e-15)
        assert state[0] == 1
    everything, _ = optim.adamw(0.1, weight_decay=0.5).update(P, G, opt.init(P))
    np.testing.assert_allclose(everything["b"][0], plain["b"][0] - 0.05 * P["b"][0], rtol=1e-15)


def test_parts_of_a_batch_are_the_batch():
    """Three updates with a third of a batch each are one with all of it; nothing moves before."""
    rng = np.random.default_rng(0)
    parts = [{"w": rng.standard_normal(2), "b": [rng.standard_normal(())]} for _ in range(6)]
    whole, many = optim.adam(0.1), optim.accumulated(optim.adam(0.1), 3)
    p, state, q, other = P, whole.init(P), P, many.init(P)
    for k, g in enumerate(parts):
        before = q
        q, other = many.update(q, g, other)
        if k % 3 != 2:
            np.testing.assert_array_equal(q["w"], before["w"])
            continue
        mean = {"w": sum(g["w"] for g in parts[k - 2 : k + 1]) / 3,
                "b": [sum(g["b"][0] for g in parts[k - 2 : k + 1]) / 3]}  # fmt: skip
        p, state = whole.update(p, mean, state)
        np.testing.assert_allclose(q["w"], p["w"], rtol=1e-14)
        assert not other[1]["w"].any() and other[2][0] == state[0]


def test_the_variance_of_equal_gradients():
    """Regression to be had: rounding below 0 under the root of the centered RMSprop."""
    opt, p = optim.rmsprop(0.01, decay=0.9, centered=True), {"w": np.ones(50)}
    g, state = {"w": np.linspace(0.1, 7.3, 50)}, opt.init(p)
    for _ in range(300):
        p, state = opt.update(p, g, state)
    assert np.isfinite(p["w"]).all()
