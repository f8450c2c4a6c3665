"""`abreast`: gates that read one state are parts of one sum, if all have derivatives together."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
from tests.counting import examples
from tests.rewrite.test_simplify import laws


def gates(rng, count, products=2, bias=True, size=3, widths=None):
    """Leaves, and so many sums of products of the same vectors with matrices of their own."""
    leaf = lambda *shape: mg.asarray(rng.normal(size=shape))  # noqa: E731
    xs = [leaf(2 + k) for k in range(products)]
    leaves, sums = list(xs), []
    for n in range(count):
        width = size if widths is None else widths[n]
        ms = [leaf(x.shape[0], width) for x in xs]
        b = [leaf(width)] if bias else []
        leaves += [*ms, *b]
        total = xs[0] @ ms[0]
        for x, m in zip(xs[1:], ms[1:], strict=True):
            total = total + x @ m
        sums.append(total + b[0] if bias else total)
    return leaves, sums


def contractions(t):
    return sum(n.op.name == "einsum" for n in mg.nodes(t))


@given(st.integers(0, 2**32), st.integers(2, 6), st.integers(1, 3), st.booleans())
@settings(max_examples=examples(5))
def test_the_same_values_and_derivatives(seed, count, products, bias):
    rng = np.random.default_rng(seed)
    widths = rng.integers(1, 4, count)
    leaves, sums = gates(rng, count, products, bias, widths=widths)
    y = sum(mg.sum(mg.tanh(t)) for t in sums)
    found = laws(y, leaves, 1e-9)
    if products > 2 and not bias:  # `blocks` comes first: [x y z] by [A; B; C], for each sum
        wanted = count
    else:  # with a bias the joined operands would be as many nodes as they replace
        joins = products + bias > 1 and products + products + bias + 1 < count * products
        wanted = products if joins else products * count
    assert contractions(found) == wanted
    laws([y, mg.grad(y, leaves)], leaves, 1e-9)


def test_in_the_order_in_which_gradients_have_them_joined():
    leaves, sums = gates(np.random.default_rng(0), 4)
    product = mg.tanh(sums[2]) * mg.tanh(sums[0]) * mg.sin(sums[1]) * mg.exp(sums[3])
    y = mg.sum(product)
    found = laws((y, mg.grad(y, leaves)), leaves, 1e-9)
    matrices = [t for t in mg.nodes(found) if t.op.name == "concat" and t.ndim == 2]
    assert len(matrices) == 2  # forwards and backwards the same


def test_what_has_no_derivative_with_the_others_stays_apart():
    """A cotangent of zeros times an infinite matrix would be NaN in the gradient of the other."""
    leaves, sums = gates(np.random.default_rng(1), 6)
    leaves[2 + 3] = mg.asarray(np.full((2, 3), np.inf))
    sums[1] = leaves[0] @ leaves[5] + leaves[1] @ leaves[6] + leaves[7]
    found = mg.simplify([mg.sum(t) for t in sums])
    assert contractions(found) == 12
    assert np.isfinite(mg.reference(mg.grad(found[0], leaves[0]))).all()
    stopped = mg.sum(sums[0]) + sum(mg.sum(mg.stop_gradient(t)) for t in sums[1:])
    assert contractions(mg.simplify(stopped)) > 2


def test_what_depends_on_another_stays_apart():
    """Layers, and gates that read what other gates have made, in a knot if they were joined."""
    rng = np.random.default_rng(2)
    m = [mg.asarray(rng.normal(size=(3, 3)), name=f"m{k}") for k in range(8)]
    x, h = (mg.asarray(rng.normal(size=3)) for _ in "xh")
    for k in range(0, 8, 2):
        h = mg.tanh(x @ m[k] + h @ m[k + 1])
    assert contractions(laws(mg.sum(h), [x, *m], 1e-9)) == 8


@pytest.mark.parametrize("batch", [(), (5,), (2, 5)])
def test_batches(batch):
    rng = np.random.default_rng(3)
    x, h = (mg.asarray(rng.normal(size=(*batch, n))) for n in (2, 3))
    ws = [[mg.asarray(rng.normal(size=(n, 3))) for n in (2, 3)] for _ in range(5)]
    bs = [mg.asarray(rng.normal(size=3)) for _ in ws]
    y = sum(mg.sum(mg.tanh(x @ w + h @ u + b)) for (w, u), b in zip(ws, bs, strict=True))
    wrt = [x, h, *bs, *(t for pair in ws for t in pair)]
    assert contractions(laws(y, wrt, 1e-9)) == 2
