"""Derivatives of `mg.linalg`: torch's, those of an oracle that no rule had a part in, and of many
rows at once."""

import numpy as np
import optree
import pytest

import minigrad as mg
from minigrad.testing import check_grads
from minigrad.testing.laws import close

from ..ops.rows import weighed
from .cases import CASES, L, definite


@pytest.mark.parametrize("name", CASES)
def test_values_and_two_orders_are_torchs(name):
    from ..oracle.test_torch import compare, torch

    case = CASES[name]
    compare(
        lambda xs: plain(case.ours(*xs)), lambda xs: plain(case.theirs(torch, *xs)), case.draw(),
        tol=1e-12, tol2=1e-10,
    )  # fmt: skip


def plain(y):
    """Named tuples as tuples: theirs have other names."""
    return tuple(y) if isinstance(y, tuple) else y


TWICE = """inv,solve,det,logdet,cholesky,qr tall,eigh,eigvalsh,svd square,svd wide,svdvals,
pinv tall,matrix_norm 2""".replace("\n", "").split(",")  # one for each primitive


@pytest.mark.parametrize("name", CASES)
def test_derivatives_are_right(name):
    """Without torch: check_grads, forward and reverse."""
    case = CASES[name]
    report = check_grads(case.ours, *case.draw(), order=1 + (name in TWICE), budget=2000)
    assert report.ok and report.conclusive, str(report)


@pytest.mark.parametrize("name", ["inv", "det", "eigh", "cholesky", "expm", "logdet"])
def test_the_third_order_is_the_slope_of_the_second(name):
    """Symmetry: the third derivative along three directions, in any order of them."""
    case = CASES[name]
    (x,) = (mg.asarray(a[0]) for a in case.draw())
    rng = np.random.default_rng(1)
    u, v, w = (rng.standard_normal(x.shape) for _ in range(3))
    loss = sum((weighed(y) for y in optree.tree_leaves(case.ours(x))), mg.asarray(0.0))

    def along(ds):
        g = loss
        for d in ds:
            g = mg.sum(mg.grad(g, x) * d)
        return g

    found = mg.evaluate([along(ds) for ds in ((u, v, w), (w, u, v), (v, w, u))])
    found.append(mg.evaluate(mg.jvp(mg.jvp(mg.jvp(loss, x, u), x, v), x, w)))
    assert abs(found[0]) > 1e-3
    close(found, [found[0]] * 4, 1e-9)


@pytest.mark.parametrize("name", CASES)
def test_single_precision_stays(name):
    case = CASES[name]
    xs = [mg.asarray(a) for a in case.draw()]
    ys = optree.tree_leaves(case.ours(*xs))
    singles = [mg.astype(x, np.float32) for x in xs]
    found = optree.tree_leaves(case.ours(*singles))
    assert all(y.dtype == np.float32 for y in found)
    both = [
        mg.evaluate((ys, mg.grad(sum(map(weighed, ys)), ts)))
        for ys, ts in ((found, singles), (ys, xs))
    ]
    close(*both, 2e-3)
    assert all(g.dtype == np.float32 for g in optree.tree_leaves(both[0]))


# -- many at once ----------------------------------------------------------------------------------

ROWS = {
    "inv": (lambda x: L.inv(definite(x)), (3, 3)),
    "solve": (lambda a, b: L.solve(definite(a), b), (3, 3), (3, 2)),
    "solve vectors": (lambda a, b: L.solve(definite(a), b), (2, 3, 3), (3,)),
    "det": (L.det, (3, 3)),
    "logdet": (lambda x: L.slogdet(x).logabsdet, (2, 2)),
    "cholesky": (lambda x: L.cholesky(definite(x)), (3, 3)),
    "qr": (lambda x: L.qr(x).R, (3, 2)),
    "eigh": (lambda x: mg.sum(L.eigh(x)[1] ** 4, axis=-2) + L.eigh(x)[0], (3, 3)),
    "svd": (lambda x: mg.sum(L.svd(x, full_matrices=False).U ** 4, axis=-2), (3, 2)),
    "svdvals": (L.svdvals, (2, 3)),
    "pinv": (L.pinv, (2, 3)),
    "expm": (L.expm, (2, 2)),
}


@pytest.mark.parametrize("name", ROWS)
def test_rows_at_once_are_rows_one_by_one(name):
    """Mapped over all operands, or over one with the others shared; two orders of derivatives."""
    f, *shapes = ROWS[name]
    rng = np.random.default_rng(3)
    xs = [mg.asarray(rng.standard_normal((3, *s))) for s in shapes]
    for shared in range(-1, len(xs) if len(xs) > 1 else 0):
        own = [x[0] if k == shared else x for k, x in enumerate(xs)]
        axes = tuple(None if k == shared else 0 for k in range(len(xs)))
        one = [f(*(x if k == shared else x[n] for k, x in enumerate(own))) for n in range(3)]
        results = []
        for y in (mg.vmap(f, in_axes=axes)(*own), mg.stack(one)):
            g = mg.grad(weighed(y), own)
            results.append((y, g, mg.grad(sum(weighed(t, 5) for t in g), own)))
        close(*mg.evaluate(results), 1e-9, f"shared {shared}")
        close(mg.reference(results[0]), mg.evaluate(results[1]), 1e-9, "reference")


def kalman(a, q, r, z):
    """A filter of two states seen through one, over a chain: its log likelihood."""

    def step(shared, carry, seen):
        a, q, r = shared
        m, p = carry
        m, p = a @ m, a @ p @ a.mT + q
        s = p[:1, :1] + r
        off = seen - m[:1]
        gain = L.solve(s, p[:1]).mT
        fit = off @ L.solve(s, off) + L.slogdet(s).logabsdet
        return (m + gain @ off, p - gain @ p[:1]), fit

    start = (np.zeros((1, 2)), np.eye(2)[None])
    _, fits = mg.recur(step, mg.Structure.chain(len(z)), initial=start, shared=(a, q, r), inputs=z)
    return -0.5 * mg.sum(fits)


def test_on_a_loop_compiled_and_by_hand():
    """In a compiled function NumPy runs them, and `explain` says so."""
    rng = np.random.default_rng(4)
    args = [0.9 * np.eye(2) + 0.1 * rng.standard_normal((2, 2)), 0.1 * np.eye(2), np.eye(1),
            rng.standard_normal((6, 1))]  # fmt: skip

    def program(*args):
        y = kalman(*args)
        return y, mg.grad(y, args)

    tensors = [mg.asarray(a) for a in args]
    wanted = mg.reference(program(*tensors))
    close(mg.evaluate(program(*tensors)), wanted, 1e-11)
    compiled = mg.function(program)
    close(compiled(*args), wanted, 1e-11)
    close(compiled(*args), wanted, 1e-11)
    assert "solve" in str(compiled.explain(*args))

    a, q, r, z = args
    m, p, total = np.zeros(2), np.eye(2), 0.0
    for seen in z:
        m, p = a @ m, a @ p @ a.T + q
        s, off = (p[:1, :1] + r).item(), (seen - m[:1]).item()
        total += off * off / s + np.log(abs(s))
        gain = p[:, :1] / s
        m, p = m + gain[:, 0] * off, p - gain @ p[:1]
    close(float(wanted[0]), -0.5 * total, 1e-12)


def test_between_compiled_parts():
    """A net whose head orthogonalises its weight: kernels around, NumPy between."""
    rng = np.random.default_rng(5)
    w, x = rng.standard_normal((4, 3)), rng.standard_normal((5, 4))

    def program(w, x):
        return mg.sum(mg.sin(mg.tanh(x @ L.qr(w).Q) * 2), axis=0)

    compiled = mg.function(program)
    close(compiled(w, x), mg.reference(program(mg.asarray(w), mg.asarray(x))), 1e-12)
    assert "qr" in str(compiled.explain(w, x))
