"""The table of spellings: no op without a row, and every row against the op's meaning."""

from __future__ import annotations

import numpy as np
import optree
import pytest

import minigrad as mg
from minigrad.linalg.matrices import PRIMITIVES
from minigrad.ops.table import TABLE
from minigrad.printing import spellings
from minigrad.printing.formula import has_formula
from minigrad.printing.libraries import LIBRARIES
from minigrad.printing.spellings import COMMON
from minigrad.testing.examples.samples import SAMPLES
from tests.linalg.cases import CASES as OF_MATRICES

from .running import check, equal, library, run_all_in_node

WITHOUT = {"js": {"nextafter", *PRIMITIVES}}  # ops that a library has no word for
FIRST = list({s.op: s for s in SAMPLES}.values())  # a sample of every op


@pytest.mark.parametrize("name", LIBRARIES)
def test_every_op_has_a_spelling(name):
    """A row in `printing.spellings` and one in `printing.javascript`, or a formula in its own."""
    row = LIBRARIES[name].row
    ops = {**TABLE, **PRIMITIVES}
    missing = {op for op in ops if not row(op) and (name == "js" or op not in COMMON)}
    missing -= {op for op in missing if has_formula(ops[op])}
    assert missing == WITHOUT.get(name, set())


@pytest.mark.parametrize("name", LIBRARIES)
def test_no_row_is_left_over(name):
    rows = LIBRARIES[name].row
    known = getattr(rows, "__self__", None) or rows.func.__globals__["TABLE"]
    assert set(known) <= {*TABLE, *PRIMITIVES}


def graph(sample):
    """Its values and the cotangents of its arguments."""
    inputs = [mg.asarray(x, name=f"x{k}") for k, x in enumerate(sample.draw())]
    values = optree.tree_leaves(sample(*inputs))
    floats = [t for t in values if t.dtype.kind == "f"]
    rng = np.random.default_rng(0)
    seeds = [mg.asarray(rng.standard_normal(t.shape), dtype=t.dtype) for t in floats]
    return values, mg.vjp(floats, inputs, seeds) if floats else []


@pytest.mark.parametrize("name", ["numpy", library("torch")])
def test_ops_without_a_word_are_printed_by_their_formula(name, monkeypatch):
    """Values and gradients of every sample are the same without any row that a formula can do
    for."""
    gone = [op for op in spellings.TABLE if op in TABLE and has_formula(TABLE[op])]
    assert {"tan", "softplus", "relu", "cosh"} <= set(gone)
    for op in gone:
        monkeypatch.delitem(spellings.TABLE, op)
    for sample in SAMPLES:
        if sample.op in gone:
            check(graph(sample), name)


@pytest.mark.parametrize("name", ["numpy", library("torch")])
def test_values_and_gradients_of_every_sample(name):
    for sample in SAMPLES:
        try:
            check(graph(sample), name)
        except Exception as error:
            error.add_note(repr(sample))
            raise


@pytest.mark.parametrize("name", [library("jax", pytest.mark.slow)])
def test_values_and_gradients_of_a_sample_of_every_op(name):
    for sample in FIRST:
        check(graph(sample), name)


@pytest.mark.parametrize("name", [library("js")])
def test_samples_in_one_program(name):
    doubles = [s for s in SAMPLES if s.op != "astype"]  # JavaScript has no other numbers
    graphs = [graph(s) for s in doubles]
    texts = [mg.source(g, name) for g in graphs]
    for sample, found, outputs in zip(doubles, run_all_in_node(texts), graphs, strict=True):
        try:
            equal(found, outputs, exact=False)
        except AssertionError as error:
            error.add_note(repr(sample))
            raise


def of_matrices(case, order):
    """Values, and derivatives of a function of them that sees every element differently."""
    inputs = [mg.asarray(a, name=f"x{k}") for k, a in enumerate(case.draw())]
    y = case.ours(*inputs)
    found = [*y] if isinstance(y, tuple) else [y]
    last = list(found)
    for _ in range(order):
        weights = [np.cos(np.arange(t.size)).reshape(t.shape) for t in last]
        total = sum((mg.sum(t * w) for t, w in zip(last, weights, strict=True)), mg.asarray(0.0))
        last = mg.grad(total, inputs)
        found += last
    return found


@pytest.mark.parametrize("case", OF_MATRICES)
@pytest.mark.parametrize("name", ["numpy", library("torch"), library("jax", pytest.mark.slow)])
def test_functions_of_matrices_and_their_derivatives(case, name):
    check(of_matrices(OF_MATRICES[case], 2), name)


@pytest.mark.parametrize("name", ["numpy", library("torch"), library("jax", pytest.mark.slow)])
def test_matrices_of_other_kinds(name):
    """Singular ones where we have a value, complete factors, cotangents of zeros, empty stacks."""
    x = mg.asarray(np.array([[1.0, 2.0], [2.0, 4.0]]), name="x")
    y = mg.asarray(np.arange(12.0).reshape(4, 3) + np.eye(4, 3), name="y")
    L = mg.linalg
    first = mg.grad(L.det(x), x)
    q, r = L.qr(y, mode="complete")
    u, s, vh = L.svd(y)
    check([L.det(x), first, mg.grad(mg.sum(first * first), x), L.pinv(x)], name)
    check([q @ r, u[:, :3] @ (s[:, None] * vh), mg.abs(q[:, 3]), L.expm(0 * x), L.expm(40 * x / 9)],
          name)  # fmt: skip
    none = mg.asarray(np.zeros((0, 2, 2)), name="none")
    check([L.inv(none), L.det(none), mg.grad(mg.sum(L.inv(none)), none), L.expm(none)], name)


def test_a_library_without_matrices_says_which_has_them():
    with pytest.raises(ValueError, match="'inv' has no spelling in js.*numpy or jax or torch"):
        mg.source(mg.linalg.inv(mg.symbol("x", (2, 2))), "js")


ODD = [-np.inf, -1000.0, -1.5, -1.0, -0.5, -0.0, 0.0, 0.5, 1.0, 2.5, 1000.0, np.inf, np.nan]
UNARY = [
    "abs", "acos", "acosh", "asin", "asinh", "atan", "atanh", "cbrt", "ceil", "cos", "cosh", "erf",
    "exp", "expm1", "floor", "isfinite", "isinf", "isnan", "log", "log10", "log1p", "log2",
    "logical_not", "negative", "relu", "round", "sigmoid", "sign", "signbit", "sin", "sinc", "sinh",
    "softplus", "sqrt", "square", "tan", "tanh", "trunc",
]  # fmt: skip
BINARY = [
    "add", "atan2", "copysign", "divide", "equal", "greater", "greater_equal", "hypot", "less",
    "less_equal", "logaddexp", "logical_and", "logical_or", "logical_xor", "maximum", "minimum",
    "multiply", "not_equal", "pow", "subtract", "xlogy", "where",
]  # fmt: skip


def odd():
    """Every elementwise op at zeros, infinities and NaN; reductions and order of them."""
    x = mg.asarray(np.array(ODD), name="x")
    a, b = (mg.reshape(v, s) for v, s in ((x, (-1, 1)), (x, (1, -1))))
    found = {name: getattr(mg, name)(x) for name in UNARY}
    found |= {
        name: mg.where(a > 0, a, b) if name == "where" else getattr(mg, name)(a, b)
        for name in BINARY
    }
    found |= {f"{f}_{k}": getattr(mg, f)(x[:k]) for f in ("max", "argmax", "min", "argmin", "norm",
              "prod", "sum", "any", "all", "cumulative_prod") for k in (-1, 13)}  # fmt: skip
    return found | {
        "argsort": mg.argsort(x), "down": mg.argsort(x, descending=True),
        "searchsorted": mg.searchsorted(np.sort(ODD), x),
    }  # fmt: skip


def whole():
    """Integers and booleans."""
    i = mg.asarray(np.array([[-7, 3, 0], [5, -2, 9]]), name="i")
    j = mg.asarray(np.array([2, -3, 5]), name="j")
    b = i > 0
    return [
        i + j, i - j, i * j, i / j, mg.floor_divide(i, j), mg.remainder(i, j), -i, i**2, abs(i),
        mg.bitwise_and(i, j), mg.bitwise_or(i, j), mg.bitwise_xor(i, j), mg.bitwise_invert(i),
        mg.bitwise_left_shift(i, 2), mg.bitwise_right_shift(i, 1), mg.bitwise_and(b, b[::-1]),
        mg.bitwise_invert(b), mg.sum(i, axis=0), mg.sum(b), mg.max(i, axis=1), mg.min(i),
        mg.astype(b, float), mg.astype(i, bool), mg.astype(i / 2, int), mg.take(j, b[0] * 1),
        i @ j, mg.argsort(i, axis=0, descending=True), mg.where(b, i, 0), mg.maximum(i, j),
        mg.cumulative_sum(i, axis=1), mg.any(b, axis=1), mg.all(b), mg.concat([i, i[:, ::-1]]),
        mg.prod(i), mg.argmax(i, axis=0), mg.remainder(i / 2, j), mg.floor_divide(i / 2, j),
    ]  # fmt: skip


def single():
    """float32 stays float32, constants with it."""
    x = mg.asarray(np.array([[0.5, -1.5], [2.0, 0.25]], np.float32), name="x")
    one, none = mg.asarray(np.float32(1)), mg.asarray(np.float32(0))
    y = mg.sum(mg.where(x > 0, mg.where(x > 1, none, one), x * 0.1) + mg.maximum(x, 0.3) / 3)
    return y, mg.grad(y + mg.sum(mg.tanh(x) @ x) + mg.norm(x), x), mg.zeros((2,), dtype="float32")


def empty():
    x = mg.asarray(np.zeros((0, 3)), name="x")
    return x @ np.ones((3, 2)), mg.sum(x), mg.sum(x, axis=0), mg.concat([x, x]), x[:, 1:], x.T, -x


@pytest.mark.parametrize("made", [odd, whole, single, empty], ids=lambda f: f.__name__)
@pytest.mark.parametrize("name", ["numpy", library("torch"), library("js")])
def test_odd_numbers(made, name):
    check(made(), name)
