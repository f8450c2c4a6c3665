r"""mg.latex: what is written, and that it is LaTeX."""

import re

import numpy as np
import pytest
from hypothesis import given, settings

import minigrad as mg
import recurrent as rc
from minigrad.testing.examples.samples import SAMPLES
from minigrad.testing.strategies import expressions
from tests.counting import examples
from tests.linalg.cases import CASES as OF_MATRICES

RNG = np.random.default_rng(0)
A, C = (mg.asarray(RNG.uniform(0.5, 2, (3, 3)), name=name) for name in "ac")
V = mg.asarray(np.array([0.5, -1.5, 2.0]), name="v")
X, W, B = (mg.asarray(np.ones(s), name=n) for n, s in (("x", 3), ("W", (3, 3)), ("b_1", 3)))
S = mg.asarray(2.0, name="s")

FORMS = [
    (mg.tanh(X @ W + B), r"\tanh\left(x W + b_{1}\right)"),
    (mg.tanh(W @ X + B), r"\tanh\left(W x + b_{1}\right)"),
    ((X + B) * X, r"\left(x + b_{1}\right) \odot x"),
    (X - (B - X), r"x - \left(b_{1} - x\right)"),
    (X - B - X, r"x - b_{1} - x"),
    (X + -B, r"x - b_{1}"),
    (1 / (X * B), r"\frac{1}{x \odot b_{1}}"),
    (-X / 3, r"-\frac{x}{3}"),
    (X * 2 + X * -3, r"2 \, x - 3 \, x"),
    (S * X, r"s \, x"),
    (mg.exp(A) ** 2, r"\left(e^{a}\right)^{2}"),
    ((A / C) ** 2, r"\left(\frac{a}{c}\right)^{2}"),
    (mg.exp(A / C), r"\exp\left(\frac{a}{c}\right)"),
    (mg.sum((X + 1) ** 2), r"\sum \left(x + 1\right)^{2}"),
    (mg.sum(A + C), r"\sum \left(a + c\right)"),
    (mg.sum(A, axis=0) * V, r"\left(\sum_{\mathrm{axis}\,0} a\right) \odot v"),
    (V * mg.sum(A, axis=0), r"v \odot \sum_{\mathrm{axis}\,0} a"),
    (-mg.sum(A), r"-\sum a"),
    (mg.sum(X * B) + S, r"\left(\sum x \odot b_{1}\right) + s"),
    (mg.maximum(X, 0.5), r"\max\left(x, 0.5\right)"),
    (mg.max(A, axis=1), r"\max_{\mathrm{axis}\,1}\left(a\right)"),
    (A.T @ C, r"a^{\top} c"),
    (A @ C @ A, "a c a"),
    ((A * C) @ A, r"\left(a \odot c\right) a"),
    (V @ V, r"v \cdot v"),
    (mg.outer(X, V), r"x v^{\top}"),
    (mg.outer(X @ W, V), r"\left(x W\right)^{\top} v"),
    (mg.einsum("ij,ij->i", A, C), r"\sum_{j} \left[a\right]_{ij} \, \left[c\right]_{ij}"),
    (A[0], r"a\left[0\right]"),
    (A[1:, 0], r"a\left[1:, 0\right]"),
    (mg.take(A, 2), r"a\left[2\right]"),
    (mg.tanh(A.T.T), r"\tanh\left(a\right)"),
    (A.T.T @ C.T, r"a c^{\top}"),
    (mg.grad(-mg.exp(X)[1], X), r"\left(-e_{2}\right) \odot e^{x}"),
    (mg.grad(2 * X[1], X), r"2 \, e_{2}"),
    (mg.grad(X[0], X), r"e_{1}"),
    (mg.stack([X, B]), r"\begin{bmatrix} x \\ b_{1} \end{bmatrix}"),
    (mg.concat([A, C], axis=1), r"\begin{bmatrix} a & c \end{bmatrix}"),
    (A @ np.eye(3, 2), r"a \begin{bmatrix} 1 & 0 \\ 0 & 1 \\ 0 & 0 \end{bmatrix}"),
    (mg.sum(mg.broadcast_to(X, (2, 3))), r"\sum \mathrm{broadcast}_{2 \times 3}\left(x\right)"),
    (mg.grad(mg.sum(X), X), r"\mathbf{1}_{3}"),
    (mg.sum(2 * mg.ones_like(A), axis=0),
     r"\sum_{\mathrm{axis}\,0} \, \mathrm{broadcast}_{3 \times 3}\left(2 \cdot 1\right)"),
    (mg.full_like(A, -2.5) @ X, r"\left(-2.5 \, \mathbf{1}_{3 \times 3}\right) x"),
    (mg.where(X > 0, X, 0),
     r"\begin{cases} x & \mathrm{if}\ x > 0 \\ 0 & \mathrm{otherwise} \end{cases}"),
    (mg.sum(mg.where(X > 0, X, 0) * B),
     r"\sum \left(\begin{cases} x & \mathrm{if}\ x > 0 \\ 0 & \mathrm{otherwise} \end{cases}"
     r"\right) \odot b_{1}"),
    (mg.linalg.inv(A @ C) @ X, r"\left(a c\right)^{-1} x"),
    (mg.linalg.solve(A, X), r"a^{-1} x"),
    (mg.linalg.slogdet(A).logabsdet, r"\log\left|\det\left(a\right)\right|"),
    (mg.grad(mg.sum((W @ X - B) ** 2) / 2, W),
     r"\left(\frac{1}{2} \cdot 2 \, \left(W x - b_{1}\right)\right) x^{\top}"),
    (mg.softmax(X @ W), r"\mathrm{softmax}\left(x W\right)"),
    (X * 1e-5 + 2.5e300, r"10^{-5} \, x + 2.5 \cdot 10^{300}"),
    (mg.grad(mg.sum(X**3), X), r"3 \, x^{2}"),
]  # fmt: skip


@pytest.mark.parametrize("t,tex", FORMS, ids=lambda x: str(x)[:40])
def test_forms(t, tex):
    assert mg.latex(t) == tex
    is_latex(t)


@pytest.mark.parametrize("name,tex", [
    ("W_f", "W_{f}"), ("cell.W_f", "W_{f}"), ("h1", "h_{1}"), ("alpha", r"\alpha"),
    ("W_ih_l0", r"W_{\mathrm{ih},\mathrm{l0}}"), ("h'", "h'"), ("x_gamma'", r"x_{\gamma'}"),
    ("loss", r"\mathrm{loss}"), ("_x", r"\mathrm{\_x}"), ("50%", r"\mathrm{50\%}"),
    ("a b", r"\mathrm{a\ b}"), ("{#}", r"\mathrm{\{\#\}}"), ("1", "1"), ("h[t-1]", "h_{t-1}"),
])  # fmt: skip
def test_names(name, tex):
    x = mg.symbol(name, (2,))
    assert mg.latex(x) == tex
    is_latex(mg.sin(x))


def test_names_that_differ_in_front_only_are_whole():
    p = mg.tensors({"a": {"W": np.ones(2)}, "b": {"W": np.ones(2)}})
    text = mg.latex(p["a"]["W"] * p["b"]["W"])
    assert text == r"\mathrm{a.W} \odot \mathrm{b.W}"


def test_words_side_by_side_stand_apart():
    p = mg.tensors({"weight": np.ones((2, 2)), "input": np.ones(2)})
    assert mg.latex(p["weight"] @ p["input"]) == r"\mathrm{weight} \, \mathrm{input}"


# -- laws ------------------------------------------------------------------------------------------


def is_latex(t):
    """Brackets balanced, environments closed, and Matplotlib reads every part of it."""
    text = mg.latex(t)
    bare = re.sub(r"\\[{}]", "", text)
    assert text.count(r"\left") - text.count(r"\leftarrow") == text.count(r"\right")
    depth = 0
    for c in bare:
        depth += (c == "{") - (c == "}")
        assert depth >= 0
    assert depth == 0
    assert len(text) <= 600 or "bmatrix" in text
    parsed(text)
    return text


ENVIRONMENT = re.compile(
    r"\\begin\{(bmatrix|cases)\} ((?:(?!\\begin\{|\\end\{).)*) \\end\{\1\}", re.DOTALL
)


def parsed(text):
    """By Matplotlib, which knows no environments: the cells of each apart, in brackets within."""
    mathtext = pytest.importorskip("matplotlib.mathtext")
    while match := ENVIRONMENT.search(text):
        cells = [c for row in match[2].split(r" \\ ") for c in row.split(" & ")]
        for cell in cells:
            parsed(cell)
        text = text[: match.start()] + r"\mathrm{matrix}" + text[match.end() :]
    assert "&" not in text.replace(r"\&", "")
    mathtext.MathTextParser("path").parse(f"${text}$")


def names_in(t):
    return {x.name for x in mg.nodes(t) if x.name and not x.inputs}


def holds_of(y, args):
    text = is_latex(y)
    if r"\ldots" not in text and r"\cdots" not in text:
        for name in names_in(y):
            assert re.search(rf"{name[0]}_\{{{name[1:]}", text), (name, text)


@pytest.mark.long
@settings(max_examples=examples(40), deadline=None)
@given(expressions())
def test_random_expressions_and_their_gradients(e):
    xs = [mg.asarray(a, name=f"x{k}") for k, a in enumerate(e.args)]
    y = e.f(*xs)
    holds_of(y, xs)
    if y.dtype.kind == "f":
        for g in mg.grad(mg.sum(mg.sin(y)), xs):
            is_latex(g)


@pytest.mark.long
@pytest.mark.parametrize("sample", SAMPLES, ids=repr)
def test_every_op(sample):
    xs = [mg.asarray(a, name=f"x{k}") for k, a in enumerate(sample.draw())]
    y = sample(*xs)
    for t in y if isinstance(y, (tuple, list)) else [y]:
        if isinstance(t, mg.Tensor):
            is_latex(t)
            if t.dtype.kind == "f" and xs:
                is_latex(mg.grad(mg.sum(mg.sin(t)), xs[0]))


@pytest.mark.parametrize("name", OF_MATRICES)
def test_every_function_of_matrices(name):
    xs = [mg.asarray(a, name=f"x{k}") for k, a in enumerate(OF_MATRICES[name].draw())]
    y = OF_MATRICES[name].ours(*xs)
    for t in y if isinstance(y, tuple) else (y,):
        is_latex(t)
        is_latex(mg.grad(mg.sum(mg.sin(t)), xs[0]))


# -- whole derivatives -----------------------------------------------------------------------------


def test_a_jacobian_is_a_matrix():
    x = mg.symbol("x", (2,))
    text = is_latex(mg.jacobian(mg.tanh(W[:2, :2] @ x), x))
    row = (
        r"\left(W\left[:2, :2\right]^{\top} \left(e_{%d} \odot \left(1 - "
        r"\tanh\left(W\left[:2, :2\right] x\right)^{2}\right)\right)\right)^{\top}"
    )
    assert text == rf"\begin{{bmatrix}} {row % 1} \\ {row % 2} \end{{bmatrix}}"


def test_of_a_large_jacobian_the_first_rows_and_the_last():
    x = mg.symbol("x", (7,))
    text = is_latex(mg.jacobian(mg.sin(x), x))
    assert text.count(r"\cos") == 3 and r"\vdots" in text and "e_{7}" in text


def test_recurrences():
    cell = rc.RNN(2, 3)
    p = mg.tensors(cell.init(0))
    _, ys = rc.unroll(cell, p, mg.symbol("xs", (7, 2)))
    assert is_latex(ys) == r"\tanh\left(x_{t} W + h_{t-1} U + b\right)"
    assert is_latex(mg.sum(ys) * 2) == r"2 \, \sum h"


def test_only_tensors():
    with pytest.raises(TypeError, match="Tensor"):
        mg.latex(3)
