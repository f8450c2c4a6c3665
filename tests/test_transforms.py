"""block and vmap: recurrences over one node, and without edges."""

import numpy as np

import minigrad as mg
from minigrad.graph import toposort
from minigrad.recur import RECUR
from minigrad.structure import Structure
from minigrad.testing.laws import close

RNG = np.random.default_rng(0)


def recurrences(*outputs):
    return [t for t in toposort(outputs) if t.op is RECUR]


def test_a_block_is_traced_once_per_signature_and_called_by_node():
    traces = []

    @mg.block
    def f(a, b):
        """Doc."""
        traces.append(1)
        return {"y": mg.tanh(a) * b, "z": a + 1}

    a = mg.asarray(RNG.standard_normal(3))
    first, second = f(a, 2.0), f(a * 2, 2.0)
    assert len(traces) == 1 and f.__name__ == "f" and f.__doc__ == "Doc."
    f(mg.asarray(np.ones(4)), 2.0)  # another shape
    f(a, 3.0)  # another static number
    assert len(traces) == 3
    y = first["y"] + second["z"]
    assert len(recurrences(y)) == 2
    plain = mg.tanh(a) * 2.0 + (a * 2 + 1)
    close(mg.evaluate(y), mg.evaluate(plain), 1e-15)
    found, wanted = mg.grad(mg.sum(y), a), mg.grad(mg.sum(plain), a)
    close(*mg.evaluate((found, wanted)), 1e-15)
    close(*mg.evaluate([mg.grad(mg.sum(g * g), a) for g in (found, wanted)]), 1e-14)


def test_blocks_in_blocks():
    inner = mg.block(lambda a: mg.sin(a) * a)
    outer = mg.block(lambda a, b: inner(a) + inner(b * 2))
    a, b = mg.asarray(RNG.standard_normal(3)), mg.asarray(RNG.standard_normal(3))
    y = outer(a, b)
    plain = mg.sin(a) * a + mg.sin(b * 2) * (b * 2)
    g, gp = mg.grad(mg.sum(y), (a, b)), mg.grad(mg.sum(plain), (a, b))
    close(mg.evaluate((y, g)), mg.evaluate((plain, gp)), 1e-14)
    close(mg.reference((y, g)), mg.evaluate((plain, gp)), 1e-14)
    assert recurrences(mg.unfold(y)) and not recurrences(mg.unfold(y, expand=True))


def f_of_rows(a, w):
    return mg.tanh(a @ w) * mg.sum(a), mg.softmax(a)


def test_vmap_is_a_loop_over_rows():
    a, w = mg.asarray(RNG.standard_normal((4, 3))), mg.asarray(RNG.standard_normal((3, 2)))
    y = mg.vmap(f_of_rows, in_axes=(0, None))(a, w)
    rows = [f_of_rows(a[k], w) for k in range(4)]
    plain = tuple(mg.stack(list(r)) for r in zip(*rows, strict=True))
    both = [(v, mg.grad(mg.sum(mg.sin(v[0])) + mg.sum(v[1] ** 2), (a, w))) for v in (y, plain)]
    close(*mg.evaluate(both), 1e-13)
    close(*mg.reference(both), 1e-13)


def test_vmap_over_other_axes_and_inside_itself():
    a, b = mg.asarray(RNG.standard_normal((3, 4))), mg.asarray(RNG.standard_normal((4, 3)))
    dots = mg.vmap(lambda u, v: mg.vecdot(u, v), in_axes=(1, 0))(a, b)
    close(dots.numpy(), np.einsum("ij,ji->j", a.numpy(), b.numpy()), 1e-14)
    last = mg.vmap(lambda u: u * 2, in_axes=-1)(a)
    close(last.numpy(), 2 * a.numpy().T, 0.0)
    outer = mg.vmap(mg.vmap(lambda u, v: u * v, in_axes=(None, 0)), in_axes=(0, None))(
        a[:, 0], b[:, 0]
    )
    close(outer.numpy(), np.outer(a.numpy()[:, 0], b.numpy()[:, 0]), 1e-15)


def test_vmap_over_no_rows():
    y = mg.vmap(lambda u: mg.tanh(u) * 2)(mg.zeros((0, 3)))
    assert y.shape == (0, 3) and y.numpy().shape == (0, 3)


def test_vmap_of_a_recurrence_and_of_movement():
    def f(x, w):
        states, _ = mg.recur(
            lambda p, h, x: (mg.tanh(h * p + x), h),
            Structure.chain([2, 1]),
            initial=np.zeros(1),
            shared=w,
            inputs=x,
        )
        grid = mg.reshape(mg.concat([x, x[::-1]]), (2, 3))
        return (
            states,
            mg.broadcast_to(mg.flip(grid, axis=0).T, (2, 3, 2)),
            mg.take(x, np.array([2, 0])),
        )

    x, w = mg.asarray(RNG.standard_normal((4, 3))), mg.asarray(0.5)
    y = mg.vmap(f, in_axes=(0, None))(x, w)
    plain = tuple(mg.stack(list(r)) for r in zip(*(f(x[k], w) for k in range(4)), strict=True))
    both = [(v, mg.grad(sum(mg.sum(mg.sin(t)) for t in v), (x, w))) for v in (y, plain)]
    close(*mg.evaluate(both), 1e-13)
    close(*mg.reference(both), 1e-13)


def test_a_users_op_over_no_rows():
    """Regression: np.stack of nothing."""
    total = mg.primitive(
        "total", kind="whole", shape=lambda x: (), numpy=np.sum,
        vjp=lambda ct, y, x: mg.broadcast_to(ct, x.shape),
    )  # fmt: skip
    y = mg.vmap(total)(mg.zeros((0, 3)))
    assert mg.evaluate(y).shape == (0,) and mg.reference(y).shape == (0,)
