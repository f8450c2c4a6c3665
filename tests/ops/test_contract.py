"""Contractions, diagonals and triangles: NumPy's values, torch's derivatives, rows at once."""

import itertools

import numpy as np
import pytest

import minigrad as mg
from minigrad.graph import toposort
from minigrad.testing.laws import close

from .rows import derivatives, each_row

RNG = np.random.default_rng(11)


def normal(*shape):
    return RNG.standard_normal(shape)


def ops_of(*outputs):
    return [t.op.name for t in toposort(outputs)]


def agree(ours, theirs, *arrays, tol=1e-12):
    """Value, dtype and shape for doubles, singles, and small integers."""
    for dtype in (np.float64, np.float32, np.int64):
        xs = [(4 * a).astype(dtype) for a in arrays]
        found, wanted = ours(*xs), np.asarray(theirs(*xs))
        assert found.dtype == wanted.dtype and found.shape == wanted.shape
        far = tol if dtype != np.float32 else 1e-5
        close(found.numpy(), wanted, far)
        close(mg.reference(found), wanted, far)


# -- einsum ----------------------------------------------------------------------------------------

EINSUM = {
    "...ij,...jk->...ik": [(2, 3), (4, 3, 2)],
    "...ij,...jk": [(5, 1, 2, 3), (4, 3, 2)],
    "...i,...i": [(3, 2), (1, 2)],
    "i...->...i": [(2, 3, 4)],
    "...->...": [(2, 3)],
    "...": [()],
    "...ii->...i": [(2, 3, 3)],
    "...ii": [(2, 3, 3)],
    "i...j,j...->...": [(2, 4, 3), (3, 4)],
    "k...,jk": [(2, 3, 4), (5, 2)],
    "...a,...b,...->ab...": [(2, 3), (1, 4), (2,)],
    "...,...": [(3, 1), (2,)],
    "a...,a...->a...": [(2, 1, 3), (2, 4, 1)],
    "Ni,NM->iM": [(2, 3), (2, 4)],
    "...N,N": [(2, 3), (3,)],
    "bN,aN": [(2, 3), (4, 3)],
    "...i->...i": [(0, 3)],
    "i,...i->...": [(0,), (2, 0)],
    "ij->": [(2, 3)],
}


@pytest.mark.parametrize("subscripts", EINSUM)
def test_einsum_means_what_numpy_means(subscripts):
    arrays = [normal(*shape) for shape in EINSUM[subscripts]]
    agree(
        lambda *xs: mg.einsum(subscripts, *xs), lambda *xs: np.einsum(subscripts, *xs), *arrays
    )  # fmt: skip
    y = mg.einsum(subscripts, *map(mg.asarray, arrays))
    assert ops_of(y).count("einsum") == 1 and "broadcast_to" not in ops_of(y)


@pytest.mark.parametrize("subscripts", EINSUM)
def test_the_derivatives_of_einsum_are_torchs(subscripts):
    from ..oracle.test_torch import compare, torch

    arrays = [normal(*shape) for shape in EINSUM[subscripts]]
    if subscripts == "...->...":
        arrays = [arrays[0]]
    compare(
        lambda xs: mg.einsum(subscripts, *xs), lambda xs: torch.einsum(subscripts, *xs),
        arrays, tol2=1e-8,
    )  # fmt: skip


def test_dots_are_named_axes():
    """Without torch: the same as spelled out with operands repeated by hand."""
    a, b = (mg.asarray(normal(*shape)) for shape in ((5, 1, 2, 3), (4, 3, 2)))
    dotted = derivatives(lambda a, b: mg.einsum("...ij,...jk->...ik", a, b), (a, b))

    def spelled(a, b):
        wide = mg.broadcast_to(a, (5, 4, 2, 3)), mg.broadcast_to(b, (5, 4, 3, 2))
        return mg.einsum("abij,abjk->abik", *wide)

    close(mg.evaluate(dotted), mg.evaluate(derivatives(spelled, (a, b))), 1e-11)


# -- products --------------------------------------------------------------------------------------

PAIRS = [
    ((3,), (3,)), ((3,), (3, 2)), ((2, 3), (3,)), ((2, 3), (3, 4)), ((5, 2, 3), (3, 4)),
    ((2, 3), (5, 3, 4)), ((5, 2, 3), (5, 3, 4)), ((5, 1, 2, 3), (4, 3, 2)), ((3,), (4, 3, 2)),
    ((4, 2, 3), (3,)), ((1, 2, 3), (4, 3, 2)), ((1, 2, 3), (1, 3, 2)), ((2, 1, 1, 3), (1, 4, 3, 1)),
    ((2, 0), (0, 2)), ((0, 3), (3, 2)), ((2, 3), (3, 0)), ((0, 2, 3), (1, 3, 2)), ((0,), (0,)),
    ((1, 2, 3), (0, 3, 2)),
]  # fmt: skip


@pytest.mark.parametrize(("left", "right"), PAIRS)
def test_matmul_means_what_numpy_means(left, right):
    a, b = normal(*left), normal(*right)
    agree(mg.matmul, np.matmul, a, b)
    t = mg.asarray(a), mg.asarray(b)
    names = ops_of(mg.matmul(*t))
    assert names.count("einsum") == 1 and "broadcast_to" not in names
    y, grads, _ = mg.evaluate(derivatives(mg.matmul, t))
    assert [g.shape for g in grads] == [a.shape, b.shape] and y.shape == (a @ b).shape


@pytest.mark.parametrize(("left", "right"), PAIRS)
def test_the_derivatives_of_matmul_are_torchs(left, right):
    from ..oracle.test_torch import compare, torch

    arrays = [normal(*left), normal(*right)]
    compare(lambda xs: mg.matmul(*xs), lambda xs: torch.matmul(*xs), arrays, tol2=1e-8)


def np_vecdot(a, b, axis=-1):
    return np.sum(a * b, axis=axis, dtype=np.result_type(a, b))


@pytest.mark.parametrize(
    ("left", "right", "axis"),
    [
        ((3,), (3,), -1), ((2, 3), (3,), -1), ((2, 3), (2, 3), 0), ((4, 1, 3), (2, 3), -1),
        ((4, 3, 1), (3, 2), -2), ((4, 3, 1), (3, 2), 1), ((0,), (0,), 0), ((2, 0), (1, 0), 1),
        ((0, 3), (1, 3), -1), ((1, 3), (1, 3), 1),
    ],
)  # fmt: skip
def test_vecdot_is_one_einsum(left, right, axis):
    a, b = normal(*left), normal(*right)
    agree(
        lambda x, y: mg.vecdot(x, y, axis=axis), lambda x, y: np_vecdot(x, y, axis=axis), a, b
    )  # fmt: skip
    t = mg.asarray(a), mg.asarray(b)
    assert set(ops_of(mg.vecdot(*t, axis=axis))) <= {"constant", "reshape", "einsum"}
    found = derivatives(lambda x, y: mg.vecdot(x, y, axis=axis), t)
    wanted = derivatives(lambda x, y: mg.sum(x * y, axis=axis), t)
    close(mg.evaluate(found), mg.evaluate(wanted), 1e-12)


def test_tensordot_and_outer():
    a, b = normal(2, 3, 4), normal(4, 3, 5)
    for axes in (0, ((1,), (1,)), ([1, 2], [1, 0]), ((-1, 1), (0, -2))):
        agree(
            lambda x, y, axes=axes: mg.tensordot(x, y, axes=axes),
            lambda x, y, axes=axes: np.tensordot(x, y, axes), a, b,
        )  # fmt: skip
    one = np.int64(1)
    agree(lambda x, y: mg.tensordot(x, y, axes=one), lambda x, y: np.tensordot(x, y, 1), a, b)
    agree(mg.outer, np.outer, normal(3), normal(0))
    agree(mg.outer, np.outer, normal(3), normal(2))


# -- diagonals, triangles, the cross product -------------------------------------------------------


@pytest.mark.parametrize("shape", [(3, 3), (2, 4), (4, 2), (2, 3, 4), (0, 3), (2, 0, 0), (1, 1)])
def test_diagonals_and_triangles_mean_what_numpy_means(shape):
    a = normal(*shape)
    for k in range(-5, 6):
        agree(lambda x, k=k: mg.diagonal(x, offset=k), lambda x, k=k: x.diagonal(k, -2, -1), a)
        agree(lambda x, k=k: mg.trace(x, offset=k), lambda x, k=k: x.trace(k, -2, -1), a)
        agree(lambda x, k=k: mg.tril(x, k=k), lambda x, k=k: np.tril(x, k), a)
        agree(lambda x, k=k: mg.triu(x, k=k), lambda x, k=k: np.triu(x, k), a)
        x, w = mg.asarray(a), RNG.standard_normal(a.diagonal(k, -2, -1).shape)
        wanted = np.zeros_like(a)
        rows, columns = shape[-2:]
        for i, j in itertools.product(range(rows), range(columns)):
            if j - i == k:
                wanted[..., i, j] = w[..., min(i, j)]
        close(mg.grad(mg.sum(mg.diagonal(x, offset=k) * w), x).numpy(), wanted, 1e-15)
        close(mg.grad(mg.sum(mg.tril(x, k=k)), x).numpy(), np.tril(np.ones(shape), k), 0.0)
        close(mg.grad(mg.sum(mg.triu(x, k=k)), x).numpy(), np.triu(np.ones(shape), k), 0.0)
    assert mg.trace(a, dtype=np.float32).dtype == np.float32
    assert mg.trace(np.eye(3, dtype=np.int8)).dtype == np.int64


def test_a_triangle_drops_what_is_not_finite_elsewhere():
    a = np.array([[1.0, np.nan], [2.0, 3.0]])
    x = mg.asarray(a)
    y = mg.sum(mg.square(mg.tril(x)))
    assert y.item() == 14.0 and mg.grad(y, x).tolist() == [[2.0, 0.0], [4.0, 6.0]]


def test_the_cross_product():
    for left, right, axis in [
        ((3,), (3,), -1), ((2, 3), (3,), -1), ((3, 2), (3, 2), 0), ((4, 3, 1), (3, 2), -2),
        ((0, 3), (1, 3), 1),
    ]:  # fmt: skip
        a, b = normal(*left), normal(*right)
        agree(
            lambda x, y, k=axis: mg.cross(x, y, axis=k),
            lambda x, y, k=axis: np.cross(
                *np.broadcast_arrays(x, y), axisa=k, axisb=k, axisc=k
            ), a, b,
        )  # fmt: skip
    a, b, w = (mg.asarray(normal(3)) for _ in range(3))
    da, db = mg.evaluate(mg.grad(mg.vecdot(mg.cross(a, b), w), (a, b)))  # w (a x b) = a (b x w)
    close(da, np.cross(b.numpy(), w.numpy()), 1e-14)
    close(db, np.cross(w.numpy(), a.numpy()), 1e-14)


ORACLE = {
    "diagonal": (lambda x: mg.diagonal(x, offset=-1) ** 2,
                 lambda x: x.diagonal(-1, -2, -1) ** 2, (2, 3, 3)),
    "trace": (lambda x: mg.trace(x) ** 3, lambda x: x.trace() ** 3, (3, 3)),
    "tril": (lambda x: mg.tril(x, k=1) ** 2, lambda x: x.tril(1) ** 2, (2, 3, 4)),
    "triu": (lambda x: mg.triu(x, k=-1) ** 2, lambda x: x.triu(-1) ** 2, (4, 3)),
    "cross": (lambda x: mg.cross(x, mg.sin(x)[::-1]),
              lambda x: x.cross(x.sin().flip(0), dim=-1), (2, 3)),
}  # fmt: skip


@pytest.mark.parametrize("case", ORACLE)
def test_derivatives_are_torchs(case):
    from ..oracle.test_torch import compare

    ours, theirs, shape = ORACLE[case]
    compare(ours, theirs, normal(*shape), tol2=1e-8)


# -- many rows at once -----------------------------------------------------------------------------

PER_ROW = {
    "einsum dots": (lambda a, b: mg.einsum("...i,i...->...", a, b), (2, 3), (3, 1)),
    "einsum N": (lambda a, b: mg.einsum("Ni,Nj->ij", a, b), (2, 3), (2, 1)),
    "einsum diagonal": (lambda a, b: mg.einsum("ii,...i->...i", a, b), (2, 2), (3, 2)),
    "matmul vectors": (mg.matmul, (3,), (3,)),
    "matmul batches": (mg.matmul, (2, 1, 2, 3), (2, 3, 1)),
    "vecdot": (mg.vecdot, (3,), (3,)),
    "vecdot rows": (mg.vecdot, (2, 1, 3), (4, 3)),
    "tensordot": (lambda a, b: mg.tensordot(a, b, axes=1), (2, 3), (3, 2)),
    "outer": (mg.outer, (2,), (3,)),
    "diagonal": (lambda a: mg.diagonal(a, offset=1), (2, 3)),
    "trace": (mg.trace, (3, 3)),
    "tril": (mg.tril, (2, 3)),
    "triu": (lambda a: mg.triu(a, k=1), (2, 2, 3)),
    "cross": (mg.cross, (3,), (2, 3)),
}


@pytest.mark.parametrize("name", PER_ROW)
def test_rows_at_once_are_rows_one_by_one(name):
    f, *shapes = PER_ROW[name]
    each_row(f, *(normal(4, *shape) for shape in shapes))


@pytest.mark.parametrize("f", [mg.vecdot, mg.matmul])
def test_a_product_of_vectors_in_a_cell_is_compiled(f):
    def cell(shared, carry, x):
        return mg.tanh(carry * f(shared, x) + x), f(carry, x)

    def program(w, xs):
        _, ys = mg.recur(cell, mg.Structure.chain(4), initial=np.ones((1, 3)), shared=w, inputs=xs)
        return mg.grad(mg.sum(mg.sin(ys)), (w, xs))

    compiled = mg.function(program)
    args = normal(3), normal(4, 3)
    close(compiled(*args), mg.reference(program(*map(mg.asarray, args))), 1e-12)
    assert "no code" not in str(compiled.explain(*args))


# -- errors ----------------------------------------------------------------------------------------

A, B = np.ones((2, 3)), np.ones((4, 3, 2))
ERRORS = {
    "letters": (lambda: mg.einsum("i1", A), ValueError, "subscripts are letters, at most one"),
    "greek": (lambda: mg.einsum("\u03b1\u03b2", A), ValueError, "subscripts are letters"),
    "two dots": (lambda: mg.einsum("...i...", A), ValueError, "at most one '...' for each"),
    "one dot": (lambda: mg.einsum("i.j", A), ValueError, "subscripts are letters"),
    "dots lost": (lambda: mg.einsum("...i->i", A), ValueError, "no place for '...'"),
    "few axes": (lambda: mg.einsum("...ijk", A), ValueError, r"operand 0, '...ijk'.*\(2, 3\)"),
    "dots differ": (
        lambda: mg.einsum("...i,...j", A, B), ValueError, r"axes of '...', \(2,\) and \(4, 3\) do"
    ),
    "output": (lambda: mg.einsum("ij->k", A), ValueError, "output letter of 'ij->k'"),
    "output twice": (lambda: mg.einsum("ij->ii", A), ValueError, "must be an input letter, once"),
    "batches": (lambda: mg.matmul(np.ones((2, 2, 3)), np.ones((3, 3, 2))), ValueError, "batch"),
    "inner": (lambda: mg.matmul(A, A), ValueError, "inner lengths"),
    "vecdot": (lambda: mg.vecdot(A, np.ones((2, 4))), ValueError, "vecdot: axis -1.*not as long"),
    "vecdot one": (lambda: mg.vecdot(A, np.ones((2, 1))), ValueError, "is not as long in both"),
    "vecdot short": (lambda: mg.vecdot(A, np.ones(3), axis=0), ValueError, "vecdot: axis 0"),
    "vecdot rest": (lambda: mg.vecdot(A, np.ones((3, 3))), ValueError, "do not broadcast"),
    "outer": (lambda: mg.outer(A, 1.0), ValueError, "outer: needs two vectors"),
    "tensordot": (lambda: mg.tensordot(A, A, axes=([0, 0], [0, 0])), ValueError, "given twice"),
    "tensordot axes": (lambda: mg.tensordot(A, A, axes=(0, 1)), TypeError, "a number or two lists"),
    "tensordot many": (lambda: mg.tensordot(A, A, axes=([0], [0, 1])), ValueError, "do not pair"),
    "diagonal": (lambda: mg.diagonal(A[0]), ValueError, r"diagonal: needs matrices.*\(3,\)"),
    "trace": (lambda: mg.trace(1.0), ValueError, "trace: needs matrices"),
    "tril": (lambda: mg.tril(A[0]), ValueError, "tril: needs matrices"),
    "triu": (lambda: mg.triu(A[0]), ValueError, "triu: needs matrices"),
    "cross": (lambda: mg.cross(B, B), ValueError, r"cross: axis -1 must be 3 long.*\(4, 3, 2\)"),
    "cross one": (lambda: mg.cross(A, np.ones(1)), ValueError, "cross: axis -1.*not as long"),
}  # fmt: skip


@pytest.mark.parametrize("text, shapes", [
    ("i,i", [(1,), (3,)]), ("ij,jk", [(2, 1), (3, 2)]), ("ij,ij->ij", [(2, 1), (2, 3)]),
    ("ij,jk,k", [(1, 3), (3, 1), (4,)]), ("ii,i->i", [(1, 1), (3,)]), ("...i,i", [(2, 1), (3,)]),
    ("i,i", [(1,), (0,)]),
])  # fmt: skip
def test_an_axis_of_length_one_is_stretched(text, shapes):
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=s) for s in shapes]
    wanted = np.einsum(text, *arrays)
    tensors = [mg.asarray(a) for a in arrays]
    y = mg.einsum(text, *tensors)
    close(y.numpy(), wanted, 1e-14)
    # linear in each operand: the slope along an operand is the value
    u = rng.normal(size=wanted.shape)
    for a, g in zip(arrays, mg.evaluate(mg.vjp(y, tensors, u)), strict=True):
        assert np.sum(a * g) == pytest.approx(np.sum(u * wanted))


def test_einsum_with_lists_of_axis_numbers():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 3)), rng.normal(size=(3, 4))
    for args in (
        (a, [0, 1], b, [1, 2], [2, 0]), (a, [0, 1], b, [1, 2]), (a, [5, 3]),
        (a, [..., 0], [..., 0]), (a, [30, 2], b, [2, 1]), (a, [0, 1], []),
    ):  # fmt: skip
        close(mg.einsum(*args).numpy(), np.einsum(*args), 1e-14)
        recorded = np.einsum(mg.asarray(args[0]), *args[1:])
        assert isinstance(recorded, mg.Tensor)
        close(recorded.numpy(), np.einsum(*args), 1e-14)
    for wrong, words in (((a,), "a list of axis numbers"), ((a, ["i"]), "got 'i'"),
                         ((a, [52, 0]), "0..51")):  # fmt: skip
        with pytest.raises((TypeError, ValueError), match=words):
            mg.einsum(*wrong)


@pytest.mark.parametrize("case", ERRORS)
def test_a_wrong_call_is_refused_in_words(case):
    call, kind, words = ERRORS[case]
    with pytest.raises(kind, match=words):
        call()
