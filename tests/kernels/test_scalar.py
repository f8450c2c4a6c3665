"""Elementwise ops as expressions: compiled agrees with NumPy; what is no expression is refused."""

import numpy as np
import pytest

import minigrad as mg
from minigrad.ops.scalar import code
from minigrad.ops.table import TABLE

SPECIALS = np.array(
    [0.0, -0.0, 1e-300, -1e-30, 1e-3, -0.4, 0.5, 1.0, -1.0, 2.0, -7.3, 19.9, 20.1, -36.0, 88.0,
     300.0, -1000.0, 1e10, np.inf, -np.inf, np.nan]
)  # fmt: skip
FIRST = {name: op for name, op in TABLE.items() if op.kind == "elementwise" and op.scalar}
OPERANDS = {"where": 3, "logical_not": 1} | dict.fromkeys(
    "add subtract multiply absorb divide maximum minimum equal not_equal less less_equal greater "
    "greater_equal logical_and logical_or logical_xor logaddexp xlogy floor_divide remainder "
    "nextafter copysign pow hypot atan2".split(),
    2,
)


def call(name, x, y):
    """The op on rows of numbers, as numbers."""
    if name == "identity":
        return x
    if name == "where":
        return mg.where(x > y, x, y)
    if name == "pow":  # (-inf) ** 0.5 is inf or NaN to NumPy, as its operand lies
        x = mg.where(x == -np.inf, -3.0, x)
    f = getattr(mg, name, None) or __import__("minigrad.ops.elementwise", fromlist=[name]).absorb
    if name.startswith("logical"):
        out = f(*(x > 0, y > 0)[: OPERANDS[name]])
    else:
        out = f(*(x, y)[: OPERANDS.get(name, 1)])
    return mg.astype(out, x.dtype) if out.dtype == bool else out


def test_an_argument_that_leaves_as_it_came():
    def f(x):
        return mg.vmap(lambda x: {"as it is": x, "again": mg.positive(x), "other": x + 1})(x)

    x = np.arange(3.0)
    for name, value in mg.function(f)(x).items():
        np.testing.assert_array_equal(value, x + (name == "other"))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_every_op_with_an_expression_agrees_with_numpy(dtype):
    grid = SPECIALS[np.abs(SPECIALS) > 1e-38] if dtype == np.float32 else SPECIALS
    x, y = (a.ravel().astype(dtype) for a in np.meshgrid(grid, grid))

    def row(x, y):
        return {name: call(name, x, y) for name in FIRST}

    def f(x, y):
        return mg.vmap(row)(x, y)

    compiled = mg.function(f)
    assert "runs in NumPy" not in str(compiled.explain(x, y))
    found, wanted = compiled(x, y), mg.reference(f(*mg.tensors((x, y))))
    eps = np.finfo(dtype).eps
    # sin / cos, and the argument of the C library's reduction for huge numbers
    loose = {"tan": 64, "logaddexp": 8, "log10": 4, "log2": 4, "sinh": 8, "cosh": 8}
    for name in FIRST:
        a, b = found[name], wanted[name]
        np.testing.assert_array_equal(np.isnan(a), np.isnan(b), err_msg=name)
        finite = np.isfinite(b)
        np.testing.assert_array_equal(a[~finite], b[~finite], err_msg=name)
        with np.errstate(over="ignore"):
            off = np.abs(a[finite] - b[finite]) / np.maximum(
                np.abs(b[finite]), np.finfo(dtype).tiny
            )
        worst = off.max()
        assert worst <= loose.get(name, 3) * eps, f"{name}: {worst / eps:.1f} eps"


def test_a_users_op_is_compiled_by_its_expression():
    def vjp(g, y, x):
        s = mg.sigmoid(x)
        return g * (s + y * (1 - s))

    swish = mg.primitive(
        "swish", numpy=lambda x: x / (1 + np.exp(-x)), vjp=vjp, scalar="x * sigmoid(x)"
    )

    def f(xs):
        states, _ = mg.recur(
            lambda p, h, x: (swish(h + x), h), mg.Structure.chain(5), initial=np.ones((1, 3)),
            inputs=xs,
        )  # fmt: skip
        return states, mg.grad(mg.sum(states * states), xs)

    xs = np.linspace(-2, 2, 15).reshape(5, 3)
    compiled = mg.function(f)
    assert "runs in NumPy" not in str(compiled.explain(xs))
    for a, b in zip(compiled(xs), mg.reference(f(mg.asarray(xs))), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-13)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("foo(x)", "'foo' is not understood"), ("exp(x, y)", "exp takes 1 operand"),
        ("exp(x", "not an expression"), ("x if x else y", "may use x, y, z"),
        ("x.__class__", "not understood"), ("x ** y", "not understood"), ("w", "'w'"),
        ("0.0 < x < 1.0", "not understood"), ("x(x)", "not understood"),
        ("maximum", "not understood"),
        ("'a'", "not understood"), ("1j * x", "not understood"), ("1.0", "reads no operand"),
    ],
)  # fmt: skip
def test_what_is_no_expression_is_refused(text, part):
    with pytest.raises(ValueError, match=part.replace("(", r"\(")):
        mg.primitive("mine", numpy=np.abs, vjp=None, scalar=text)


def test_our_own_are_expressions():
    for op in FIRST.values():
        code(op.scalar)


def test_an_op_on_whole_arrays_has_none():
    with pytest.raises(ValueError, match="scalar is for elementwise ops"):
        mg.primitive(
            "mine", shape=lambda x: x.shape, numpy=np.sort, vjp=None, kind="sort", scalar="x"
        )


def rows(op):
    """What mg.function and mg.reference make of `op` in a cell over three rows."""

    def f(xs):
        states, _ = mg.recur(
            lambda p, h, x: (op(h, x), h), mg.Structure.chain(3), initial=np.ones((1, 2)), inputs=xs
        )
        return states

    xs = np.linspace(-1, 2, 6).reshape(3, 2)
    return mg.function(f)(xs), mg.reference(f(mg.asarray(xs)))


@pytest.mark.parametrize("name", ["reshape", "sum", "max", "take", "add", "identity"])
def test_a_users_op_with_the_name_of_one_of_ours_is_its_own(name):
    mine = mg.primitive(name, kind="whole", shape=lambda x: x.shape, numpy=lambda x: -x, vjp=None)
    np.testing.assert_allclose(*rows(lambda h, x: mine(h + x)))


def test_numbers_and_operands_in_an_expression():
    first = mg.primitive("first", numpy=lambda x, y, z: x + y, vjp=None, scalar="x + y")
    np.testing.assert_allclose(*rows(lambda h, x: first(h, x, 100.0 * x)))
    odd = mg.primitive(
        "odd", numpy=lambda x: np.where(x == 0, 0, np.e * x), vjp=None,
        scalar="where(equal(0.0, x), abs(-0.0), exp(1) * x)",
    )  # fmt: skip
    np.testing.assert_allclose(*rows(lambda h, x: odd(h + x)), rtol=1e-14)
    two = mg.primitive("two", numpy=lambda x: x, vjp=None, scalar="x + z")
    with pytest.raises(TypeError, match="reads more than 1 operand"):
        two(1.0)


def test_infinity_in_a_cell():
    np.testing.assert_allclose(*rows(lambda h, x: mg.where(x < 0.3, h + x, -np.inf)))
    np.testing.assert_allclose(*rows(lambda h, x: h * 0.1 + mg.logsumexp(x)))
