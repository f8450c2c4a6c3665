"""Movement functions against NumPy's: values, first and second derivatives, and with a row axis.

Each output element is one element of x, so NumPy itself says where gradients go:
moving the numbers 1, 2, ... tells which element each came from (0: none).
"""

import numpy as np
import pytest

import minigrad as mg
from minigrad.testing.laws import close

X = np.random.default_rng(0).standard_normal((2, 3, 4))
UNEVEN, BESIDE = ((1, 2), (0, 0), (0, 3)), ((0, 0), (1, 1))
CASES = {  # ours and NumPy's, of a (2, 3, 4) array; a list of results is joined
    "split": (lambda x: mg.split(x, 3, axis=1), lambda x: np.split(x, 3, axis=1)),
    "split at": (
        lambda x: mg.split(x, [1, 1, -1, 9], axis=-1),
        lambda x: np.split(x, [1, 1, -1, 9], axis=-1),
    ),
    "split back": (lambda x: mg.split(x, (2, 1), axis=1), lambda x: np.split(x, (2, 1), axis=1)),
    "unstack": (lambda x: mg.unstack(x, axis=1), lambda x: [x[:, k] for k in range(3)]),
    "unstack last": (lambda x: mg.unstack(x, axis=-1), lambda x: [x[..., k] for k in range(4)]),
    "roll": (lambda x: mg.roll(x, 5), lambda x: np.roll(x, 5)),
    "roll axis": (lambda x: mg.roll(x, -1, axis=2), lambda x: np.roll(x, -1, 2)),
    "roll axes": (lambda x: mg.roll(x, (1, 6), axis=(0, 2)), lambda x: np.roll(x, (1, 6), (0, 2))),
    "roll one": (lambda x: mg.roll(x, 1, axis=(0, 1)), lambda x: np.roll(x, 1, (0, 1))),
    "roll twice": (lambda x: mg.roll(x, (1, 1), axis=(1, 1)), lambda x: np.roll(x, 2, 1)),
    "roll no": (lambda x: mg.roll(x, 8, axis=2), lambda x: np.roll(x, 8, 2)),
    "tile": (lambda x: mg.tile(x, (2, 1, 3)), lambda x: np.tile(x, (2, 1, 3))),
    "tile short": (lambda x: mg.tile(x, 2), lambda x: np.tile(x, 2)),
    "tile long": (lambda x: mg.tile(x, (2, 1, 1, 2)), lambda x: np.tile(x, (2, 1, 1, 2))),
    "tile none": (lambda x: mg.tile(x, (1, 0, 1)), lambda x: np.tile(x, (1, 0, 1))),
    "repeat": (lambda x: mg.repeat(x, 3, axis=1), lambda x: np.repeat(x, 3, 1)),
    "repeat flat": (lambda x: mg.repeat(x, 2), lambda x: np.repeat(x, 2)),
    "repeat each": (
        lambda x: mg.repeat(x, [2, 0, 1], axis=-2),
        lambda x: np.repeat(x, [2, 0, 1], -2),
    ),
    "repeat Tensor": (
        lambda x: mg.repeat(x, mg.asarray([0, 3]), axis=0),
        lambda x: np.repeat(x, [0, 3], 0),
    ),
    "repeat [n]": (lambda x: mg.repeat(x, [2], axis=0), lambda x: np.repeat(x, [2], 0)),
    "repeat none": (lambda x: mg.repeat(x, 0, axis=0), lambda x: np.repeat(x, 0, 0)),
    "moveaxis": (lambda x: mg.moveaxis(x, 0, -1), lambda x: np.moveaxis(x, 0, -1)),
    "moveaxis two": (
        lambda x: mg.moveaxis(x, (0, -1), (1, 0)),
        lambda x: np.moveaxis(x, (0, -1), (1, 0)),
    ),
    "moveaxis all": (
        lambda x: mg.moveaxis(x, (0, 1, 2), (2, 0, 1)),
        lambda x: np.moveaxis(x, (0, 1, 2), (2, 0, 1)),
    ),
    "expand_dims": (lambda x: mg.expand_dims(x, -1), lambda x: x[..., None]),
    "expand_dims two": (
        lambda x: mg.expand_dims(x, axis=(0, -2)),
        lambda x: np.expand_dims(x, (0, -2)),
    ),
    "squeeze": (lambda x: mg.squeeze(x[:1, :, :1], axis=(0, 2)), lambda x: x[0, :, 0]),
    "flip": (lambda x: mg.flip(x), lambda x: np.flip(x)),
    "flip axes": (lambda x: mg.flip(x, axis=(0, -1)), lambda x: np.flip(x, (0, -1))),
    "concat": (lambda x: mg.concat([x, x[:1]], axis=-3), lambda x: np.concatenate([x, x[:1]])),
    "concat flat": (
        lambda x: mg.concat([x, x[0, 0]], axis=None),
        lambda x: np.concatenate([x, x[0, 0]], axis=None),
    ),
    "stack": (lambda x: mg.stack([x, x], axis=1), lambda x: np.stack([x, x], axis=1)),
    "pad": (lambda x: mg.pad(x, UNEVEN), lambda x: np.pad(x, UNEVEN)),
    "pad all": (lambda x: mg.pad(x, 1), lambda x: np.pad(x, 1)),
    "pad pair": (lambda x: mg.pad(x, (1, 0)), lambda x: np.pad(x, (1, 0))),
    "pad nothing": (lambda x: mg.pad(x, 0), lambda x: np.pad(x, 0)),
    "pad edge": (lambda x: mg.pad(x, (2, 1), "edge"), lambda x: np.pad(x, (2, 1), "edge")),
    "pad reflect": (lambda x: mg.pad(x, 5, "reflect"), lambda x: np.pad(x, 5, "reflect")),
    "pad symmetric": (
        lambda x: mg.pad(x, ((0, 4), (1, 1), (0, 0)), mode="symmetric"),
        lambda x: np.pad(x, ((0, 4), (1, 1), (0, 0)), mode="symmetric"),
    ),
    "pad wrap": (lambda x: mg.pad(x, (3, 7), "wrap"), lambda x: np.pad(x, (3, 7), "wrap")),
    "broadcast_arrays": (
        lambda x: mg.broadcast_arrays(x[:, :1], np.ones((5, 1, 3, 1)))[0],
        lambda x: np.broadcast_arrays(x[:, :1], np.ones((5, 1, 3, 1)))[0],
    ),
    "meshgrid": (
        lambda x: mg.meshgrid(x[0, 0], x[:, 1, 1], x[1, :, 2]),
        lambda x: np.meshgrid(x[0, 0], x[:, 1, 1], x[1, :, 2]),
    ),
    "meshgrid ij": (
        lambda x: mg.meshgrid(x[0, 0], x[:, 1, 1], indexing="ij"),
        lambda x: np.meshgrid(x[0, 0], x[:, 1, 1], indexing="ij"),
    ),
    "meshgrid one": (lambda x: mg.meshgrid(x[0, 0]), lambda x: np.meshgrid(x[0, 0])),
}  # fmt: skip


def results(y):
    return list(y) if isinstance(y, (list, tuple)) else [y]


def pulled_back(shape, sources, weights):
    """Each weight added to the element of x its output came from."""
    full = np.zeros(int(np.prod(shape)) + 1)
    for source, weight in zip(sources, weights, strict=True):
        np.add.at(full, source, weight)
    return full[1:].reshape(shape)


def agrees(ours, theirs, x, tol=1e-13):
    t = mg.asarray(x)
    ys, wanted = results(ours(t)), results(theirs(x))
    assert [(y.shape, y.dtype) for y in ys] == [(w.shape, w.dtype) for w in wanted]
    for y, value in zip(ys, wanted, strict=True):
        np.testing.assert_array_equal(y.numpy(), value)
    sources = results(theirs(np.arange(1, x.size + 1).reshape(x.shape)))
    rng = np.random.default_rng(1)
    ws = [rng.standard_normal(w.shape).astype(x.dtype) for w in wanted]
    loss = sum((mg.sum(w * y**3) for w, y in zip(ws, ys, strict=True)), mg.asarray(x.dtype.type(0)))
    first = mg.grad(loss, t)
    slopes = [3 * w * v**2 for w, v in zip(ws, wanted, strict=True)]
    close(first.numpy(), pulled_back(x.shape, sources, slopes), tol)
    curves = [6 * w * v * v for w, v in zip(ws, wanted, strict=True)]  # the Hessian times x itself
    close(mg.grad(mg.sum(first * x), t).numpy(), pulled_back(x.shape, sources, curves), tol)


@pytest.mark.parametrize("name", CASES)
def test_movement_is_numpys(name):
    agrees(*CASES[name], X)


@pytest.mark.parametrize("name", CASES)
def test_any_layout_and_float32(name):
    for view in (X[::-1, :, ::-1], np.asfortranarray(X), np.repeat(X, 2, axis=2)[:, :, 1::2]):
        agrees(*CASES[name], view)
    frozen = X.astype(np.float32)
    frozen.flags.writeable = False
    agrees(*CASES[name], frozen, 1e-5)


EMPTY_OR_0D = [
    (lambda x: mg.roll(x, 2, axis=0), lambda x: np.roll(x, 2, 0), (0, 3)),
    (lambda x: mg.roll(x, 2), lambda x: np.roll(x, 2), ()),
    (lambda x: mg.tile(x, 3), lambda x: np.tile(x, 3), ()),
    (lambda x: mg.tile(x, (2, 2)), lambda x: np.tile(x, (2, 2)), (0,)),
    (lambda x: mg.repeat(x, 3), lambda x: np.repeat(x, 3), ()),
    (lambda x: mg.repeat(x, np.zeros(0, int), axis=0), lambda x: x, (0, 2)),
    (lambda x: mg.split(x, 2), lambda x: np.split(x, 2), (0, 2)),
    (lambda x: mg.split(x, []), lambda x: [x], (3,)),
    (lambda x: mg.unstack(x), lambda x: [], (0, 2)),
    (lambda x: mg.pad(x, 1), lambda x: np.pad(x, 1), (0, 2)),
    (lambda x: mg.pad(x, 1), lambda x: x, ()),
    (lambda x: mg.pad(x, BESIDE, "edge"), lambda x: np.pad(x, BESIDE, "edge"), (0, 2)),
    (lambda x: mg.concat([x, x], axis=None), lambda x: np.concatenate([x, x], None), ()),
    (lambda x: mg.expand_dims(x, axis=(0, 1)), lambda x: x[None, None], ()),
    (lambda x: mg.flip(x), lambda x: x, ()),
    (lambda x: mg.meshgrid(x, [1.0])[0], lambda x: np.meshgrid(x, [1.0])[0], (0,)),
]  # fmt: skip


@pytest.mark.parametrize(("ours", "theirs", "shape"), EMPTY_OR_0D)
def test_empty_and_0d(ours, theirs, shape):
    agrees(ours, theirs, np.random.default_rng(2).standard_normal(shape))


def test_a_border_of_constants_has_a_gradient():
    x, c = mg.asarray(X[0]), mg.asarray([[1.0, 2.0], [3.0, 4.0]])
    widths = ((1, 2), (0, 3))
    y = mg.pad(x, widths, constant_values=c)
    wanted = np.pad(X[0], widths, constant_values=c.numpy())
    np.testing.assert_array_equal(y.numpy(), wanted)
    w = np.random.default_rng(3).standard_normal(wanted.shape)
    gx, gc = mg.evaluate(mg.grad(mg.sum(w * y), (x, c)))
    np.testing.assert_array_equal(gx, w[1:4, :4])
    close(gc, np.array([[w[0, :4].sum(), w[4:, :4].sum()], [0, w[:, 4:].sum()]]), 1e-13)
    assert mg.pad(mg.asarray([1, 2]), 1, constant_values=2.0).dtype == np.int64
    one = mg.asarray(5.0)
    assert mg.grad(mg.sum(mg.pad(x, 1, constant_values=one)), one).item() == 18


def test_few_nodes_are_recorded():
    def count(y):
        seen, stack = set(), results(y)
        while stack:
            t = stack.pop()
            seen.add(t)
            stack += t.inputs
        return sum(bool(t.inputs) for t in seen)

    t = mg.asarray(X)
    assert (
        count(mg.roll(t, 1, axis=0)) == count(mg.tile(t, 2)) == count(mg.repeat(t, 2, axis=0)) == 3
    )
    assert count(mg.pad(t, 1)) == 1 and count(mg.split(t, 2)) == 2
    assert mg.roll(t, 0, axis=1) is t and mg.pad(t, 0) is t


# -- with a row axis -------------------------------------------------------------------------------

CELL_CASES = [name for name in CASES if not name.startswith(("tile none", "repeat none"))]


@pytest.mark.parametrize("name", CELL_CASES)
def test_inside_a_recurrence_vmap_and_function(name):
    """h' = tanh(mean of weighted parts of f(h + x)), node by node, level by level and compiled."""
    ours, theirs = CASES[name]
    rng = np.random.default_rng(4)
    weights = [rng.standard_normal(w.shape) for w in results(theirs(X))]
    h0, xs = rng.standard_normal((1, 2, 3, 4)), rng.standard_normal((3, 2, 3, 4))

    def cell(shared, carry, x):
        total = mg.tanh(shared * x)
        for w, y in zip(weights, results(ours(carry * x)), strict=True):
            total = total + mg.mean(w * y)
        h = mg.tanh(total)
        return h, h

    def loss(w, h0, xs):
        _, ys = mg.recur(cell, mg.Structure.chain(3), initial=h0, shared=w, inputs=xs)
        return mg.sum(ys**2)

    def by_hand(w, h0, xs):
        h, total = h0[0], 0.0
        for n in range(3):
            h, y = cell(w, h, xs[n])
            total = total + mg.sum(y**2)
        return total

    arguments = tuple(mg.asarray(a) for a in (X, h0, xs))
    found, wanted = (
        (value, mg.grad(value, arguments)) for value in (f(*arguments) for f in (loss, by_hand))
    )
    wanted = mg.evaluate(wanted)
    close(mg.evaluate(found), wanted, 1e-12)
    close(mg.reference(found), wanted, 1e-12)
    mapped = results(mg.vmap(lambda x: tuple(results(ours(x))))(mg.asarray(xs)))
    for k in range(3):
        for y, value in zip(mapped, results(theirs(xs[k])), strict=True):
            np.testing.assert_array_equal(y.numpy()[k], value)


@pytest.mark.parametrize("name", ["roll axes", "repeat each", "pad wrap", "split at", "tile long"])
def test_compiled(name):
    ours, theirs = CASES[name]
    run = mg.function(lambda x: (results(ours(x)), mg.grad(mg.sum(results(ours(x))[0] ** 2), x)))
    ys, gradient = run(X)
    t = mg.asarray(X)
    close(ys, results(theirs(X)), 0.0)
    close(gradient, mg.grad(mg.sum(results(ours(t))[0] ** 2), t).numpy(), 1e-13)


# -- errors ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        (lambda t: mg.split(t, 2, axis=1), ValueError, r"axis -2 of \S+ \(2, 3, 4\).* 2 equal"),
        (lambda t: mg.split(t, 0), ValueError, "0 equal parts"),
        (lambda t: mg.split(t, [0.5]), TypeError, "split: the number of parts"),
        (lambda t: mg.unstack(t, axis=3), ValueError, "unstack: axis 3 is out of range"),
        (lambda t: mg.roll(t, (1, 2), axis=(0, 1, 2)), ValueError, "as many"),
        (lambda t: mg.roll(t, 0.5, axis=0), TypeError, "roll: shift must be an integer"),
        (lambda t: mg.roll(t, 1, axis=7), ValueError, "roll: axis 7"),
        (lambda t: mg.tile(t, (-1,)), ValueError, "tile: repetitions must not be negative"),
        (lambda t: mg.repeat(t, [1, 2], axis=1), ValueError, r"one integer or 3 of them.*\(2,\)"),
        (lambda t: mg.repeat(t, -1), ValueError, "must not be negative; got -1"),
        (lambda t: mg.repeat(t, 1.5), ValueError, "got float64"),
        (lambda t: mg.repeat(t, mg.argmax(t, axis=0)[0], axis=2), TypeError, "computed.*an array"),
        (lambda t: mg.moveaxis(t, (0, 0), (1, 2)), ValueError, r"moveaxis: source \(0, 0\)"),
        (lambda t: mg.moveaxis(t, (0, 1), (1,)), ValueError, "name as many axes"),
        (lambda t: mg.moveaxis(t, 3, 0), ValueError, "moveaxis: axis 3"),
        (lambda t: mg.expand_dims(t, axis=(0, 0)), ValueError, "given twice"),
        (lambda t: mg.expand_dims(t, axis=5), IndexError, r"axis 5 is out of range.*\(2, 3, 4\)"),
        (lambda t: mg.pad(t, ((1, 2), (3, 4))), ValueError, r"do not fit shape \(2, 3, 4\)"),
        (lambda t: mg.pad(t, -1), ValueError, "integers from 0 on"),
        (lambda t: mg.pad(t, 1.5), ValueError, "integers from 0 on"),
        (lambda t: mg.pad(t, 1, "mean"), ValueError, "constant, edge, .*got 'mean'"),
        (lambda t: mg.pad(t[:0], 1, "wrap"), ValueError, r"nothing to repeat.*\(0, 3, 4\)"),
        (lambda t: mg.broadcast_arrays(t, [1.0, 2.0]), ValueError, r"\(2, 3, 4\) and \(2,\)"),
        (lambda t: mg.meshgrid(t), ValueError, r"operand 0 must be a vector.*\(2, 3, 4\)"),
        (lambda t: mg.meshgrid([1], indexing="x"), ValueError, "'xy' or 'ij'; got 'x'"),
        (lambda t: mg.concat([1.0, 2.0]), ValueError, "axis 0 is out of range"),
    ],
)
def test_errors(call, kind, words):
    with pytest.raises(kind, match=words):
        call(mg.asarray(X))
