"""Gradients through time: which sums are one, and that the formula is the gradient."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
import recurrent as rc
from minigrad.printing.through import Through, through_time, unrolled
from minigrad.testing.laws import close

RNG = np.random.default_rng(0)
W, U, V = (
    mg.asarray(0.5 * RNG.standard_normal(s), name=n)
    for n, s in (("W", (3, 3)), ("U", (3, 2)), ("v", (3,)))
)
XS = [mg.asarray(RNG.standard_normal(2), name=f"x_{k}") for k in range(1, 5)]
H0 = mg.asarray(RNG.standard_normal(3), name="h_0")
PRODUCT = r"\left(\prod_{j=k+1}^{4} \frac{\partial h_{j}}{\partial h_{j-1}}\right)"


def states(step, named=True):
    found = [H0]
    for k, x in enumerate(XS, 1):
        h = step(found[-1], x)
        found.append(h.named(f"h_{k}") if named else h)
    return found[1:]


def tanh_step(h, x):
    return mg.tanh(W @ h + U @ x)


@pytest.mark.parametrize("named", [True, False])
def test_of_the_last_state(named):
    g = mg.grad(V @ states(tanh_step, named)[-1], (W, U))
    for one, name in zip(g, "WU", strict=True):
        assert unrolled(one) == Through(name, ("h",), 4, last=True)
    assert mg.latex(g[0]) == mg.latex(mg.simplify(g[0])) == (
        r"\sum_{k=1}^{4} \frac{\partial L}{\partial h_{4}} \, " + PRODUCT
        + r" \, \frac{\partial^{+} h_{k}}{\partial W}"
    )  # fmt: skip


def test_of_every_state():
    g = mg.grad(sum((V @ h for h in states(tanh_step)), mg.asarray(0.0)), W)
    assert unrolled(g) == Through("W", ("h",), 4, last=False)
    assert r"\sum_{t=k}^{4} \frac{\partial^{+} L}{\partial h_{t}}" in mg.latex(g)


def jacobians(hs, step):
    """d h_j / d h_{j-1}, each with the state before held as a leaf of its own."""
    before = [mg.asarray(h.numpy()) for h in [H0, *hs[:-1]]]
    return [mg.jacobian(step(h, x), h).numpy() for h, x in zip(before, XS, strict=True)]


def immediate(hs, step, w):
    before = [mg.asarray(h.numpy()) for h in [H0, *hs[:-1]]]
    return [mg.jacobian(step(h, x), w).numpy() for h, x in zip(before, XS, strict=True)]


@pytest.mark.parametrize("parts", [[4], [1, 2, 3, 4], [2, 4]])
@pytest.mark.parametrize("step", [
    tanh_step, lambda h, x: mg.sin(W @ h) * mg.sigmoid(W.T @ h + U @ x), lambda h, x:
    h + mg.tanh(W @ h) * 0.5,
])  # fmt: skip
def test_the_formula_is_the_gradient(step, parts):
    hs = states(step)
    loss = sum((mg.sum(mg.sin(V * hs[t - 1])) for t in parts), mg.asarray(0.0))
    g = mg.grad(loss, W)
    found = unrolled(g)
    assert found is not None and found.last == (parts == [4])
    js, now = jacobians(hs, step), immediate(hs, step, W)
    total = np.zeros((3, 3))
    for t in [4] if found.last else range(1, 5):
        own = mg.asarray(hs[t - 1].numpy())
        part = mg.grad(mg.sum(mg.sin(V * own)), own).numpy() * (t in parts)
        for k in range(1, t + 1):
            row = part
            for j in range(t, k, -1):
                row = row @ js[j - 1]
            total += np.tensordot(row, now[k - 1], 1)
    close(total, g.numpy(), 1e-12)


def test_two_states_are_a_pair():
    cell = rc.LSTM(2, 3)
    p = mg.tensors(cell.init(0))
    carry = (H0, H0 * 2)
    for x in XS:
        carry, y = cell(p, carry, x)
    found = unrolled(mg.grad(mg.sum(y), p["U_f"]))
    assert found is not None and found.wrt == "U_f" and found.steps == 4 and found.last
    assert set(found.states) == {"h", "c"}
    text = mg.latex(mg.grad(mg.sum(y), p["U_f"]))
    assert r"\frac{\partial s_{j}}{\partial s_{j-1}}" in text and r"\quad s = " in text


def plain(t):
    """No sum through time: the terms themselves."""
    assert unrolled(t) is None
    assert r"\prod" not in mg.latex(t)


def test_what_is_read_beside_the_steps_is_no_such_sum():
    h = states(tanh_step)[-1]
    plain(mg.grad(V @ (W @ h), W))
    plain(mg.grad(mg.sum(mg.sin(W @ h)), W))
    plain(mg.grad(mg.sum(mg.tanh(W @ (W @ h))), W))
    plain(mg.grad(V @ mg.tanh(W @ (W @ H0)) + mg.sum(W * W), W))
    plain(mg.grad(mg.sum(W * W) + mg.sum(mg.sin(W)), W))
    skipping = [H0, H0 * 2]
    for x in XS:
        skipping.append(mg.tanh(W @ skipping[-1] + W @ skipping[-2] + U @ x))
    plain(mg.grad(mg.sum(skipping[-1]), U))
    plain(mg.asarray(1.0, name="x") + H0)


@given(data=st.data())
def test_a_long_loop_is_not_looked_at_for_long(data):
    steps = data.draw(st.sampled_from([3, 30, 3000]))
    h = H0
    for _ in range(steps):
        h = mg.tanh(W @ h)
    found = unrolled(mg.grad(mg.sum(h), W))
    assert (found is not None and found.steps == steps) == (steps < 3000)


# -- recurrences -----------------------------------------------------------------------------------


def through(cell, xs, **options):
    p = mg.tensors(cell.init(0))
    _, ys = rc.unroll(cell, p, xs, **options)
    g = mg.grad(mg.sum(ys), p)
    for name, t in g.items():
        again = through_time(mg.simplify(t))
        assert again == through_time(t) and again.wrt == name
    return g, through_time(g["U"] if "U" in g else g["U_f"])


def test_chains():
    xs = mg.symbol("xs", (7, 2))
    g, found = through(rc.RNN(2, 3), xs)
    assert found == Through("U", ("h",), 7, last=False)
    assert mg.latex(g["U"]) == (
        r"\sum_{k=1}^{7} \sum_{t=k}^{7} \frac{\partial^{+} L}{\partial h_{t}} \, "
        r"\left(\prod_{j=k+1}^{t} \frac{\partial h_{j}}{\partial h_{j-1}}\right) \, "
        r"\frac{\partial^{+} h_{k}}{\partial U}"
    )
    g, found = through(rc.RNN(2, 3), xs, reverse=True)
    assert found.back
    assert r"\prod_{j=t}^{k-1} \frac{\partial h_{j}}{\partial h_{j+1}}" in mg.latex(g["U"])
    _, found = through(rc.LSTM(2, 3), xs)
    assert set(found.states) == {"h", "c"}
    _, found = through(rc.RNN(2, 3), mg.symbol("xs", (7, 4, 2)))
    assert found.steps is None


def test_what_enters_at_every_step():
    cell = rc.RNN(2, 3)
    xs = mg.symbol("xs", (7, 2))
    _, ys = rc.unroll(cell, mg.tensors(cell.init(0)), xs)
    g = mg.grad(mg.sum(ys), xs)
    text = mg.latex(g)
    assert text.startswith(r"\sum_{t=k}^{7}") and r"{\partial x_{k}}" in text
    assert mg.expr(g).endswith("@ dh[k]/dx[k] for t >= k)")


def read_out(kept=lambda h: h, used=lambda u: u, out="U"):
    """The gradients of a net whose output is U, or V, times its state."""
    rng = np.random.default_rng(0)
    p = mg.tensors({
        "W": rng.normal(size=(2, 3)), "U": rng.normal(size=(3, 3)), "V": rng.normal(size=(3, 3))
    })  # fmt: skip

    def cell(p, h, x):
        h = mg.tanh(x @ p["W"] + h @ p["U"]).named("h")
        return h, (kept(h) @ used(p[out])).named("y")

    _, ys = rc.unroll(cell, p, rng.normal(size=(4, 2)), carry=np.zeros(3))
    return mg.grad(mg.sum(ys**2), p)


def test_what_the_loss_reads_beside_the_state():
    """A weight of the output alone has no product of Jacobians, one of both has both terms."""
    by_state = "sum(dL/dh[t] @ prod(dh[j]/dh[j-1]) @ dh[k]/dU for t >= k)"
    both = read_out()
    assert mg.expr(both["W"]) == f"sum({by_state} for k in 1..4)".replace("dU", "dW")
    assert mg.expr(both["U"]) == f"sum(dL/dy[k] @ dy[k]/dU + {by_state} for k in 1..4)"
    assert mg.latex(both["U"]).startswith(
        r"\sum_{k=1}^{4} \left(\frac{\partial L}{\partial y_{k}} \, "
        r"\frac{\partial^{+} y_{k}}{\partial U} + \sum_{t=k}^{4} "
    )
    assert mg.expr(read_out(out="V")["V"]) == "sum(dL/dy[k] @ dy[k]/dV for k in 1..4)"
    one = read_out(used=mg.stop_gradient)["U"]
    other = read_out(kept=mg.stop_gradient)["U"]
    assert through_time(one).beside == () and mg.expr(one) == f"sum({by_state} for k in 1..4)"
    assert not through_time(other).state
    np.testing.assert_allclose(one.numpy() + other.numpy(), both["U"].numpy(), rtol=1e-12)
    assert abs(one.numpy()).max() > 0.1 < abs(other.numpy()).max()


def test_trees():
    cell = rc.TreeLSTM(2, 3)
    p = mg.tensors(cell.init(0))
    states_, _ = rc.fold(cell, p, [(("a", "b"), "c")], mg.symbol("xs", (3, 2)))
    t = mg.grad(mg.sum(states_[0]), p)[sorted(p)[0]]
    found = through_time(t)
    assert found is not None and not found.chain
    assert mg.latex(t).startswith(r"\sum_{k} \frac{\partial L}{\partial")
    assert "for every node k" in mg.expr(t)


def test_no_gradient_of_a_recurrence():
    assert through_time(XS[0] + 1) is None
    cell = rc.RNN(2, 3)
    _, ys = rc.unroll(cell, mg.tensors(cell.init(0)), mg.symbol("xs", (7, 2)))
    assert through_time(ys) is None
