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


@pytest.mark.parametrize("opt", [optim.sgd(0.1), optim.sgd(0.05, 0.9), optim.adam(0.2)])
def test_they_find_the_bottom_and_take_tensors_as_gradients(opt):
    p, state = P, opt.init(P)
    for _ in range(200):
        t = mg.tensors(p)
        loss = mg.sum(mg.square(t["w"] - 1.0)) + mg.square(t["b"][0])
        p, state = opt.update(p, mg.grad(loss, t), state)
    assert np.abs(p["w"] - 1).max() < 1e-2 and abs(p["b"][0]) < 1e-2


def test_float32_stays_float32():
    p = {"w": np.ones(2, np.float32)}
    for opt in (optim.sgd(0.1, 0.9), optim.adam(0.1)):
        new, _ = opt.update(p, p, opt.init(p))
        assert new["w"].dtype == np.float32


def test_clipping_keeps_the_direction():
    assert optim.global_norm(G) == pytest.approx(1.5)
    clipped = optim.clip_by_global_norm(G, 0.75)
    np.testing.assert_allclose(clipped["w"], G["w"] / 2)
    assert optim.global_norm(clipped) == pytest.approx(0.75)
    np.testing.assert_allclose(optim.clip_by_global_norm(G, 10.0)["w"], G["w"])
    assert optim.clip_by_global_norm({"w": np.float32([3, 4])}, 1.0)["w"].dtype == np.float32


@pytest.mark.parametrize(
    "make", [lambda: optim.sgd(0.0), lambda: optim.adam(-1.0), lambda: optim.adam(eps=0.0),
             lambda: optim.clip_by_global_norm(G, 0.0)],
)  # fmt: skip
def test_what_must_be_positive(make):
    with pytest.raises(ValueError, match="must be positive; got"):
        make()


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
