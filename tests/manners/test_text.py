"""mg.expr and mg.latex."""

import numpy as np
import pytest

import minigrad as mg

X, W, B = (mg.asarray(np.ones(s), name=n) for n, s in (("x", 3), ("W", (3, 3)), ("b_1", 3)))
CASES = [
    (mg.tanh(X @ W + B), "tanh(x @ W + b_1)", r"\tanh\left(x W + b_{1}\right)"),
    ((X + B) * X, "(x + b_1) * x", r"\left(x + b_{1}\right) \odot x"),
    (X - (B - X), "x - (b_1 - x)", r"x - \left(b_{1} - x\right)"),
    (X - B - X, "x - b_1 - x", r"x - b_{1} - x"),
    (1 / (X * B), "1 / (x * b_1)", r"\frac{1}{x \odot b_{1}}"),
    (mg.sum((X + 1) ** 2), "sum((x + 1) ** 2)", r"\sum \left(x + 1\right)^{2}"),
    (mg.maximum(X, 0.5), "maximum(x, 0.5)", r"\mathrm{maximum}\left(x, 0.5\right)"),
]


@pytest.mark.parametrize("t,plain,tex", CASES)
def test_forms(t, plain, tex):
    assert mg.expr(t) == plain
    assert mg.latex(t) == tex


def test_names_stand_for_what_they_name():
    h = mg.tanh(X @ W).named("h")
    assert mg.expr(h) == "tanh(x @ W)"
    assert mg.expr(mg.sum(h * h)) == "sum(h * h)"


def test_long_expressions_are_elided():
    t = X
    for _ in range(10_000):
        t = mg.sin(t) + X
    assert len(mg.expr(t)) < 400 and "(...)" in mg.expr(t)


def test_only_tensors():
    with pytest.raises(TypeError, match="Tensor"):
        mg.expr(3)


RNG = np.random.default_rng(0)
A, C = (mg.asarray(RNG.uniform(0.5, 2, (3, 3)), name=name) for name in "ac")
V = mg.asarray(np.array([0.5, -1.5, 2.0]), name="v")
READ = {  # expression -> its text, which Python reads as the same expression
    "a[0] - a[1]": None, "a[0, 1]": None, "a[:, 1]": None, "a[1:, ::2]": None, "a[::-1]": None,
    "sum(a, axis=0) + sum(a, axis=1)": None, "sum(a)": None, "max(a, axis=1)": None,
    "(-2) ** a": None, "-2 ** a": None, "-(a ** 2)": "-a ** 2", "(-a) ** 2": None, "2 ** -a": None,
    "a ** (c ** a)": "a ** c ** a", "(a ** c) ** a": None, "a * (c / a)": None, "a * c / a": None,
    "a / (c * a)": None, "a + (c - a)": None, "a - (c - a)": None, "a - c - a": None,
    "-(a + c)": None, "-(a * c)": None, "-a * c": None, "--a": None, "a - -2": None,
    "(a < c) < a": None, "(a < c) == (c < a)": None, "a @ (c @ a)": None, "a @ c @ a": None,
    "a * (a @ c)": None, "a @ (a * c)": None, "a.T @ c": None, "a @ c.T": None, "(a + c).T": None,
    "v @ v": None, "v @ a": None, "einsum('ij,ij->i', a, c)": None, "concat([a, c], axis=1)": None,
    "norm(a, axis=0)": None, "reshape(a, shape=(9,))": None, "exp(a) ** 2": None,
    "cumulative_sum(a, axis=1)": "cumulative_sum(a, axis=1)", "where(a < c, a, c)": None,
}  # fmt: skip


@pytest.mark.parametrize("written", READ)
def test_python_reads_the_text_as_what_was_written(written):
    """Regression: brackets were lost, axes and indices left out."""
    names = {**vars(mg), "a": A, "c": C, "v": V}
    t = eval(written, names)
    text = mg.expr(t)
    assert text == (READ[written] or written)
    np.testing.assert_array_equal(mg.evaluate(eval(text, names)), mg.evaluate(t))
    tex = mg.latex(t)
    assert tex.count("{") == tex.count("}") and tex.count(r"\left") == tex.count(r"\right")


def test_latex_groups_what_its_own_forms_do_not():
    assert mg.latex(mg.exp(A) ** 2) == r"\left(e^{a}\right)^{2}"
    assert mg.latex(mg.sum(A + C)) == r"\sum \left(a + c\right)"
    assert mg.latex(mg.sum(A, axis=0) * V) == r"\left(\sum_{\mathrm{axis}\,0} a\right) \odot v"
    assert mg.latex(A.T @ C) == r"a^{\top} c"
    assert mg.latex((A / C) ** 2) == r"\left(\frac{a}{c}\right)^{2}"
