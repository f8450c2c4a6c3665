"""Every algorithm against BPTT: equal where it is exact, as the theory says where it is not."""

import numpy as np
import pytest

import minigrad as mg
import recurrent as rc
from minigrad.testing.laws import close
from recurrent.cells import kinds
from recurrent.study.algorithms import ALGORITHMS
from recurrent.study.steps import flat_tree

RNG = np.random.default_rng(2)
T, B = 6, 2
XS = RNG.standard_normal((T, B, 2))
EXACT = [name for name, row in ALGORITHMS.items() if row.exact and name != "bptt"]
CHAIN = [cell for kind in kinds("chain") for cell in kind.examples(2, 3)]


def loss(ys):
    weights = np.random.default_rng(5).standard_normal(ys.shape)
    return mg.sum(mg.sin(ys) * weights)


def run(cell, name, xs=XS, **options):
    return rc.study.gradient(cell, cell.init(0), xs, loss, name, **options)


@pytest.mark.parametrize("cell", CHAIN, ids=repr)
def test_exact_ones_on_every_cell(cell):
    xs = RNG.standard_normal((4, 1, 2))
    wanted = run(cell, "bptt", xs)
    p = mg.tensors(cell.init(0))
    close(wanted.gradient, mg.evaluate(mg.grad(loss(rc.unroll(cell, p, xs)[1]), p)), 1e-13)
    for name in EXACT:
        close(run(cell, name, xs).gradient, wanted.gradient, 1e-12, name)


@pytest.mark.parametrize("options", [{"snapshots": k} for k in (1, 2, 3, 9)])
def test_few_snapshots(options):
    xs = RNG.standard_normal((17, 1, 2))
    wanted = run(rc.GRU(2, 3), "bptt", xs)
    found = run(rc.GRU(2, 3), "binomial", xs, **options)
    close(found.gradient, wanted.gradient, 1e-12)
    assert found.numbers <= 3 * (options["snapshots"] + 1)


def test_an_output_of_its_own_and_no_inputs():
    def cell(p, h, x):
        h = mg.tanh(h @ p["U"] + p["b"])
        return h, mg.sum(h * p["v"]) * mg.exp(p["b"][:1])

    p = {"U": RNG.standard_normal((3, 3)), "b": RNG.standard_normal(3), "v": RNG.standard_normal(3)}
    found = {name: rc.study.gradient(cell, p, None, loss, name, steps=5, carry=np.ones(3))
             for name in ["bptt", *EXACT]}  # fmt: skip
    for name, g in found.items():
        close(g.gradient, found["bptt"].gradient, 1e-12, name)


def test_truncation_keeps_the_paths_that_are_short_enough():
    cell, x = rc.RNN(2, 3), XS[:, 0]
    p = mg.tensors(cell.init(0))
    last = lambda ys: mg.sum(ys[-1])  # noqa: E731
    groups = rc.study.ledger(last(rc.unroll(cell, p, x)[1]), p).by("length")
    for k in range(1, T + 1):
        found = rc.study.gradient(cell, cell.init(0), x, last, "truncated", k1=1, k2=k).gradient
        for name, total in found.items():
            close(total, sum(groups[n][name] for n in range(k)), 1e-13)
    whole = rc.study.gradient(cell, cell.init(0), x, loss, "truncated", k1=4, k2=T)
    close(whole.gradient, rc.study.gradient(cell, cell.init(0), x, loss).gradient, 1e-13)
    parts = rc.study.gradient(cell, cell.init(0), x, loss, "truncated", k1=2).gradient
    _, ys = rc.unroll(cell, p, x, truncate=2)
    close(parts, mg.evaluate(mg.grad(loss(ys), p)), 1e-13)


def test_snap_is_rtrl_where_every_influence_is_within_reach():
    """A dense RNN's parameters reach all units in two steps; unconnected units' only their own."""
    close(run(rc.RNN(2, 3), "snap", n=2).gradient, run(rc.RNN(2, 3), "rtrl").gradient, 1e-12)
    assert run(rc.RNN(2, 3), "snap").cosine(run(rc.RNN(2, 3), "rtrl")) < 1 - 1e-6

    def alone(p, h, x):
        h = mg.tanh(h * p["u"] + x @ p["W"])
        return h, h

    p = {"u": RNG.standard_normal(3), "W": RNG.standard_normal((2, 3))}
    found = [rc.study.gradient(alone, p, XS, loss, name, carry=np.zeros((B, 3)))
             for name in ("rtrl", "snap", "eprop")]  # fmt: skip
    close(found[1].gradient, found[0].gradient, 1e-12)  # Menick et al. 2021, section 3
    close(found[2].gradient, found[0].gradient, 1e-12)
    assert found[1].numbers < found[0].numbers


def test_immediate_is_one_step_of_truncation():
    for cell in (rc.RNN(2, 3), rc.LSTM(2, 3)):
        close(run(cell, "immediate").gradient, run(cell, "truncated", k1=1).gradient, 1e-12)
    close(run(rc.RNN(2, 3), "eprop").gradient, run(rc.RNN(2, 3), "immediate").gradient, 1e-12)


def test_rflo_is_eprop_with_the_error_sent_back_by_other_weights():
    cell = rc.LeakyRNN(2, 3, leak=0.4)
    for feedback in ("exact", np.eye(3)):  # y = h: the readout is the identity
        close(run(cell, "rflo", feedback=feedback).gradient, run(cell, "eprop").gradient, 1e-13)
    random = run(cell, "rflo", seed=1)
    assert np.array_equal(random.flat, run(cell, "rflo", seed=1).flat)
    assert not np.allclose(random.flat, run(cell, "rflo", seed=2).flat)


def test_rflo_as_in_the_paper():
    """Murray 2019: p = (1 - a) p + a f'(u) z,  dW = sum_t (B e) p."""
    cell, a = rc.LeakyRNN(2, 3, leak=0.4), 0.4
    p = {**cell.init(0), "V": RNG.standard_normal((3, 2))}

    def reading(p, h, x):
        h, _ = cell({k: p[k] for k in "WUb"}, h, x)
        return h, h @ p["V"]

    x, target, back = XS[:, 0], RNG.standard_normal((T, 2)), RNG.standard_normal((2, 3))
    found = rc.study.gradient(reading, p, x, lambda ys: mg.sum((ys - target) ** 2) / 2, "rflo",
                              carry=np.zeros(3), feedback=back).gradient  # fmt: skip
    h, trace, total = np.zeros(3), np.zeros((6, 3)), 0
    readout = np.zeros((3, 2))
    for t in range(T):
        z = np.concatenate([x[t], h, [1.0]])
        u = z @ np.concatenate([p["W"], p["U"], p["b"][None]])
        trace = (1 - a) * trace + a * z[:, None] * (1 - np.tanh(u) ** 2)
        h = (1 - a) * h + a * np.tanh(u)
        error = h @ p["V"] - target[t]
        total = total + trace * (error @ back)
        readout += np.outer(h, error)
    mine = np.concatenate([found["W"], found["U"], found["b"][None]])
    close(mine, total, 1e-13)
    close(found["V"], readout, 1e-13)


@pytest.mark.long
def test_rflo_learns_though_its_feedback_is_random():
    """A readout of its own comes to agree with the feedback (Lillicrap et al. 2016)."""
    cell, rng = rc.LeakyRNN(1, 8, leak=0.8), np.random.default_rng(0)

    def reading(p, h, x):
        h, _ = cell({k: p[k] for k in "WUb"}, h, x)
        return h, h @ p["V"]

    p = {**cell.init(0), "V": 0.1 * rng.standard_normal((8, 1))}
    learner = rc.study.stream(reading, p, np.zeros(1), "rflo", carry=np.zeros(8))
    bits, costs = rng.choice([-0.5, 0.5], 800), []
    for t in range(1, 800):
        goal = bits[t - 1]
        cost, g = learner.step(bits[t : t + 1], lambda y, goal=goal: (y[0] - goal) ** 2)
        learner.params = {k: a - 0.1 * g[k] for k, a in learner.params.items()}
        costs.append(cost)
    assert np.mean(costs[-100:]) < 0.3 * np.mean(costs[:100])


@pytest.mark.long
@pytest.mark.parametrize("name,options", [
    ("uoro", {}), ("kf-rtrl", {}), ("forward gradient", {}), ("evolution", {"sigma": 1e-4}),
])  # fmt: skip
def test_random_ones_have_the_right_mean(name, options):
    cell, xs = rc.RNN(1, 2), XS[:3, :1, :1]
    wanted = run(cell, "bptt", xs).flat
    drawn = np.stack([run(cell, name, xs, seed=k, **options).flat for k in range(120)])
    error = np.abs(drawn.mean(axis=0) - wanted)
    deviation = drawn.std(axis=0) / np.sqrt(len(drawn))
    assert (error < 5 * deviation + 1e-6).all() and (deviation > 0).any()
    assert np.array_equal(drawn[0], run(cell, name, xs, seed=0, **options).flat)


def test_comparison():
    found = rc.study.compare(rc.GRU(2, 3), rc.GRU(2, 3).init(0), XS, loss, seeds=2)
    names = [line.algorithm for line in found.lines]
    assert "kf-rtrl" not in names and set(EXACT) <= set(names)  # a GRU is not made for it
    for line in found.lines:
        if ALGORITHMS[line.algorithm].exact:
            assert line.bias < 1e-12 and line.spread == 0
        assert (line.spread > 0) == ALGORITHMS[line.algorithm].random
    assert len(str(found).splitlines()) == len(names) + 1


@pytest.mark.parametrize("name", ["rtrl", "snap", "eprop", "rflo", "uoro", "immediate"])
def test_a_stream_is_the_sum_of_its_steps(name):
    cell, x, target = rc.LSTM(2, 3), XS[:, 0], RNG.standard_normal((T, 3))
    learner = rc.study.stream(cell, cell.init(0), x[0], name)
    total, value = 0, 0.0
    for t in range(T):
        cost, g = learner.step(x[t], lambda y, t=t: mg.sum((y - target[t]) ** 2))
        total, value = total + flat_tree(g)[0], value + cost
    whole = lambda ys: mg.sum((ys - target) ** 2)  # noqa: E731
    wanted = rc.study.gradient(cell, cell.init(0), x, whole, name)
    close(total, wanted.flat, 1e-12)
    (h, c), ys = rc.unroll(cell, cell.init(0), x)
    close(learner.carry, (h.numpy(), c.numpy()), 1e-13)
    close(value, float(whole(ys)), 1e-12)


def test_a_stream_learns():
    cell, rng = rc.RNN(1, 4), np.random.default_rng(0)
    learner, costs = rc.study.stream(cell, cell.init(0), np.zeros(1)), []
    bits = rng.integers(0, 2, 400)
    for t in range(1, 400):
        goal = bits[t - 1] - 0.5
        cost, g = learner.step(np.array([bits[t] - 0.5]), lambda y, goal=goal: (y[0] - goal) ** 2)
        learner.params = {k: p - 0.2 * g[k] for k, p in learner.params.items()}
        costs.append(cost)
    assert np.mean(costs[-100:]) < 0.3 * np.mean(costs[:50])


@pytest.mark.parametrize("name,options,words", [
    ("bppt", {}, "algorithm must be"), ("truncated", {"k1": 3, "k2": 2}, "k2 must be at least"),
    ("truncated", {"k": 3}, "takes no option k"), ("snap", {"n": 0}, "at least 1"),
    ("rtrl", {"n": 3}, "takes no such option"), ("checkpointed", {"every": 0}, "every must be"),
    ("kf-rtrl", {}, "made of|read the same|needs"), ("uoro", {"seed": -1}, "seed must be"),
    ("rflo", {"feedback": "none"}, "feedback must be"),
    ("rflo", {"feedback": np.eye(2)}, r"feedback must be \(3, 3\)"),
])  # fmt: skip
def test_what_is_refused(name, options, words):
    with pytest.raises(ValueError, match=words):
        run(rc.GRU(2, 3), name, **options)


def test_feedback_of_words_is_refused_by_name():
    for given in ([["a"]], [[1.0], [1.0, 2.0]], None):
        with pytest.raises(TypeError, match="gradient: rflo: feedback must be numbers"):
            run(rc.GRU(2, 3), "rflo", feedback=given)


def test_a_loss_that_is_none():
    with pytest.raises(ValueError, match=r"loss\(ys\) must give one number"):
        rc.study.gradient(rc.GRU(2, 3), rc.GRU(2, 3).init(0), XS, lambda ys: ys)
