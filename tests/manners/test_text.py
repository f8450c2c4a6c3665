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
