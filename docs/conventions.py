"""Makes docs/conventions.md, the table of what derivatives are at kinks, overflows and empties:
python -m docs.conventions

Every row is an expression and its answer; tests/test_conventions.py evaluates each by every engine.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import minigrad as mg

PAGE = Path(__file__).parent / "conventions.md"


@dataclass(frozen=True)
class Row:
    """code: what a reader would type, with the helpers of `names`; answer: what it gives."""

    trap: int
    code: str
    answer: str
    note: str = ""


Engine = Callable[[Callable[..., Any], Any], Any]  # (f of Tensors, arrays) -> values


def by_reference(f: Callable[..., Any], args: Any) -> Any:
    return mg.reference(f(*mg.tensors(args)))


def by_evaluate(f: Callable[..., Any], args: Any) -> Any:
    return mg.evaluate(f(*mg.tensors(args)))


def by_function(f: Callable[..., Any], args: Any) -> Any:
    return mg.function(f)(*args)


ENGINES: dict[str, Engine] = {
    "reference": by_reference, "evaluate": by_evaluate, "function": by_function,
}  # fmt: skip


def names(engine: Engine) -> dict[str, Any]:
    """What the expressions may use: NumPy, minigrad, and derivatives run by `engine`."""

    def arrays(xs: Any) -> tuple[Any, ...]:
        return tuple(np.asarray(x, np.float64) if not isinstance(x, np.ndarray) else x for x in xs)

    def value(f: Any, *xs: Any) -> Any:
        return engine(f, arrays(xs))

    def slopes(f: Any, *xs: Any) -> Any:
        return mg.grad(mg.sum(f(*xs)), xs if len(xs) > 1 else xs[0])

    def slope(f: Any, *xs: Any) -> Any:
        """d sum(f(*xs)) / d xs: an array, or a tuple for several arguments."""
        return engine(lambda *ts: slopes(f, *ts), arrays(xs))

    def curve(f: Any, x: Any) -> Any:
        """d sum(f'(x)) / dx, the second derivative of an elementwise f."""
        return engine(lambda t: slopes(lambda u: slopes(f, u), t), arrays([x]))

    def hessian(f: Any, x: Any) -> Any:
        return engine(lambda t: mg.hessian(f(t), t), arrays([x]))

    def refused(call: Any) -> str:
        try:
            call()
        except (TypeError, ValueError, IndexError) as error:
            return type(error).__name__
        return "nothing was raised"

    return {
        "np": np, "mg": mg, "value": value, "slope": slope, "curve": curve, "hessian": hessian,
        "slopes": slopes, "refused": refused, "nan": np.nan, "inf": np.inf, "ones": np.ones,
    }  # fmt: skip


def changed_later() -> Any:
    """The gradient of sum(x * x), read after the caller's array was overwritten."""
    x = np.array([1.0, 2.0])
    t = mg.asarray(x)
    g = mg.grad(mg.sum(t * t), t)
    x[:] = 100
    return g.numpy()


def read_twice() -> bool:
    """Whether two readings of one vjp are equal, bit for bit, and own their memory."""
    t = mg.asarray([0.3, -2.0])
    a, b = (np.array(mg.evaluate(mg.vjp(mg.tanh(t), t, np.ones(2)))) for _ in range(2))
    return bool((a == b).all()) and not np.shares_memory(a, b)


SECTIONS: dict[str, list[Row]] = {
    "Kinks and ties": [
        Row(1, "slope(mg.abs, 0.0)", "0"),
        Row(2, "slope(mg.relu, 0.0)", "0"),
        Row(3, "slope(mg.maximum, 1.0, 1.0)", "(0.5, 0.5)", "shared: the weights sum to 1"),
        Row(4, "slope(lambda x: mg.maximum(x, x), 1.0)", "1"),
        Row(5, "slope(mg.max, [2, 2, 1])", "[0.5, 0.5, 0]", "never [1, 1, 0]"),
        Row(6, "slope(lambda x: mg.clip(x, 0, 1), [0, 1])", "[0.5, 0.5]", "a tie with the bound"),
        Row(7, "slope(lambda x: mg.sort(x) * np.array([1, 10, 100]), [2, 1, 2])", "[10, 1, 100]",
            "equal elements keep their order"),
        Row(8, "slope(lambda x: mg.where(x > 0, mg.sqrt(x), 0), 0.0)", "0",
            "the side not taken: exactly 0 (peers give NaN)"),
        Row(9, "slope(lambda x: mg.where(x > 0, mg.log(x), 0), -1.0)", "0"),
        Row(10, "slope(mg.norm, [0, 0])", "[0, 0]"),
        Row(11, "slope(lambda x: mg.sqrt(mg.sum(x * x)), [0, 0])", "[nan, nan]",
            "inf * 0 of two ops that are each right; use `mg.norm`"),
        Row(11, "slope(lambda x: mg.square(mg.sqrt(x)), 0.0)", "0",
            "the limit is 1; the root's slope inf meets the cotangent 2 * sqrt(x), exactly 0"),
        Row(11, "hessian(lambda x: mg.norm(x) ** 2, [0, 0])", "[[0, 0], [0, 0]]",
            "2 I in the limit; the direction x / norm(x) is 0 there; write `mg.sum(x * x)`"),
        Row(11, "hessian(lambda x: mg.std(x) ** 2, [3, 3])", "[[0, 0], [0, 0]]",
            "likewise; write `mg.var(x)`"),
        Row(12, "slope(mg.hypot, 0.0, 0.0)", "(0, 0)"),
        Row(13, "slope(mg.std, [3, 3, 3])", "[0, 0, 0]"),
        Row(14, "value(lambda x: mg.var(x, correction=1), [3])", "nan", "no exception, no warning"),
    ],
    "Powers and products": [
        Row(15, "slope(lambda x: x ** 0, 0.0)", "0"),
        Row(15, "curve(lambda x: x ** 2, 0.0), curve(lambda x: x ** 2.0, 0.0)", "(2, 2)"),
        Row(15, "curve(lambda x: x ** 3, 0.0)", "0"),
        Row(16, "slope(mg.pow, 0.0, 2.0)", "(0, 0)"),
        Row(16, "slope(mg.pow, 0.0, 0.0)", "(0, 0)", "by the exponent: 0 at base 0"),
        Row(16, "curve(lambda y: mg.pow(0.0, y), [0.5, 2.0])", "[0, 0]", "0 ** y is flat"),
        Row(16, "slope(lambda x, y: slopes(mg.pow, x, y)[0], 2.0, 0.0)", "(0, 0.5)",
            "x ** 0 has slope 0, and that slope grows by 1 / x with the exponent"),
        Row(17, "slope(mg.pow, -2.0, 2.0)", "(-4, nan)", "by the exponent: NaN below 0"),
        Row(18, "slope(mg.prod, [0, 3, 4])", "[12, 0, 0]"),
        Row(19, "slope(mg.prod, [0, 0, 4])", "[0, 0, 0]"),
        Row(19, "hessian(mg.prod, [0, 0, 4])[0, 1]", "4"),
        Row(20, "slope(mg.cumulative_prod, [2, 0, 3])", "[1, 8, 0]"),
        Row(21, "slope(lambda x: mg.cumulative_sum(x, axis=1), ones((2, 0))).shape", "(2, 0)"),
        Row(21, "slope(lambda x: mg.cumulative_prod(x, axis=1), ones((2, 0))).shape", "(2, 0)"),
    ],
    "Overflow and cancellation": [
        Row(22, "slope(mg.sigmoid, [-1000, 1000])", "[0, 0]"),
        Row(23, "value(mg.log_sigmoid, -1000.0), slope(mg.log_sigmoid, -1000.0)", "(-1000, 1)"),
        Row(24, "slope(mg.softplus, 1000.0)", "1"),
        Row(24, "curve(mg.softplus, -40.0)", "4.248354255291589e-18"),
        Row(24, "curve(mg.softplus, 40.0)", "4.248354255291589e-18"),
        Row(24, "slope(mg.sigmoid, 40.0), slope(mg.tanh, 20.0)", "(0, 0)",
            "y (1 - y) and 1 - y^2 of the value kept, which rounds to 1: off by less than 1e-16"),
        Row(25, "slope(mg.logsumexp, [1000, 1000])", "[0.5, 0.5]"),
        Row(26, "value(mg.logsumexp, [-inf, -inf]), slope(mg.logsumexp, [-inf, -inf])",
            "(-inf, [0, 0])", "the sum of nothing: gradient 0"),
        Row(27, "slope(lambda x: mg.softmax(x)[0], [0, -inf])", "[0, 0]", "finite"),
        Row(28, "slope(lambda x: mg.log_softmax(x)[1], [1e4, 0])", "[-1, 1]"),
        Row(29, "value(mg.logaddexp, -inf, -inf)", "-inf", "quietly"),
        Row(29, "slope(mg.logaddexp, -inf, -inf)", "(0.5, 0.5)", "shared, as any tie"),
        Row(30, "curve(mg.tanh, 1000.0)", "0"),
        Row(31, "slope(mg.sinc, 0.0), curve(mg.sinc, 0.0)", "(0, -3.289868133696453)", "-pi^2 / 3"),
        Row(32, "slope(lambda x: mg.softplus(x) - x * 0, 0.0)", "0.5",
            "binary cross-entropy with logits at target 0"),
        Row(33, "slope(mg.asin, 1.0)", "inf"),
        Row(34, "value(mg.xlogy, 0.0, 0.0)", "0"),
    ],
    "Shapes, memory, dtypes": [
        Row(35, "[g.shape for g in slope(mg.multiply, ones((3, 1)), ones((1, 0)))]",
            "[(3, 1), (1, 0)]", "and both are zeros"),
        Row(36, "[g.shape for g in slope(mg.add, ones((5, 2, 1)), ones((5, 1, 2)))]",
            "[(5, 2, 1), (5, 1, 2)]", "a gradient has its input's shape"),
        Row(36, "refused(lambda: mg.asarray(ones((5, 2, 1))) + ones((5, 2)))", "'ValueError'",
            "2 and 5 do not broadcast"),
        Row(37, "slope(lambda x: x[[0, 0, 1]], [1, 2])", "[2, 1]"),
        Row(38, "slope(mg.sin, np.arange(6.0)[::-2])", "np.cos([5.0, 3.0, 1.0])",
            "reversed, strided, transposed and read-only arrays are arrays"),
        Row(39, "slope(lambda a, b: mg.sum(a) * mg.sum(b * b), [1, 2], [3, 4])",
            "([25, 25], [18, 24])", "also where the cotangent has stride 0"),
        Row(40, "slope(mg.matmul, ones((2, 0)), ones((0, 2)))[0].shape", "(2, 0)"),
        Row(40, "value(mg.matmul, ones((2, 0)), ones((0, 2)))", "[[0, 0], [0, 0]]"),
        Row(40, "[g.shape for g in slope(mg.matmul, ones((4, 1, 2, 3)), ones((5, 3, 2)))]",
            "[(4, 1, 2, 3), (5, 3, 2)]"),
        Row(40, "slope(mg.matmul, [1, 2], [3, 4])", "([3, 4], [1, 2])"),
        Row(41, "slope(lambda x: x * x, 3.0)", "6"),
        Row(41, "slope(lambda x: x - mg.mean(x), [1, 2, 3])", "[0, 0, 0]"),
        Row(42, "slope(lambda x: mg.einsum('ii', x), ones((2, 2)))", "[[1, 0], [0, 1]]"),
        Row(43, "slope(mg.tanh, np.ones(2, np.float32)).dtype.name", "'float32'"),
        Row(43, "(mg.asarray(np.ones(2, np.float32)) * 2.0).dtype.name", "'float32'",
            "Python numbers are weak"),
        Row(43, "(mg.asarray(np.ones(2, np.float32)) * np.ones(2)).dtype.name", "'float64'"),
        Row(44, "refused(lambda: slope(mg.square, np.array([1, 2])))", "'TypeError'",
            "an integer has no gradient"),
        Row(44, "slope(lambda a, b: a, 1.0, [2, 3])", "(1, [0, 0])", "independent: zeros"),
        Row(45, "changed_later(), read_twice()", "([2, 4], True)"),
        Row(46, "curve(lambda x: mg.exp(mg.tanh(x)), 0.0)", "1", "through saved values"),
        Row(47, "slope(lambda x, w: x @ w, ones((0, 2)), ones((2, 3)))[1]",
            "[[0, 0, 0], [0, 0, 0]]", "a batch of none"),
        Row(47, "empty_sequence()", "(0, 2)", "a sequence of no steps has no outputs"),
        Row(48, "value(mg.max, [1, nan, 2])", "nan"),
        Row(48, "(mg.asarray(np.uint64(1)) + np.int64(1)).dtype.name", "'float64'", "as in NumPy"),
        Row(48, "value(mg.mean, ones(0))", "nan", "quietly"),
        Row(48, "value(mg.divide, [1, 0, -1], 0.0)", "[inf, nan, -inf]", "quietly"),
        Row(48, "refused(lambda: value(lambda x: x[np.array([3])], [1, 2]))", "'IndexError'"),
        Row(48, "refused(lambda: mg.asarray(np.ma.masked_array([1.0, 2.0], [True, False])))",
            "'TypeError'", "its mask would be lost"),
    ],
    "Matrices": [
        Row(49, "value(mg.linalg.inv, [[[2, 0], [0, 4]], [[1, 1], [1, 1]]])[:, 0, 0]", "[0.5, nan]",
            "a singular matrix is NaN, itself alone and quietly"),
        Row(49, "value(mg.linalg.cholesky, [[1, 2], [2, 1]])", "[[nan, nan], [nan, nan]]",
            "not positive definite"),
        Row(50, "slope(lambda x: mg.linalg.inv(x)[0], [[[2, 0], [0, 4]], [[1, 1], [1, 1]]])[1]",
            "[[0, 0], [0, 0]]", "nothing read the singular one"),
        Row(51, "slope(mg.linalg.det, [[1, 2], [2, 4]])", "[[4, -2], [-2, 1]]",
            "the cofactors, exact where there is no inverse"),
        Row(52, "slope(lambda x: mg.linalg.slogdet(x).logabsdet, [[1, 1], [1, 1]])",
            "[[nan, nan], [nan, nan]]"),
        Row(53, "slope(lambda x: mg.linalg.eigvalsh(x) ** 2, [[3, 0], [0, 3]])",
            "[[6, 0], [0, 6]]", "equal eigenvalues that are treated alike"),
        Row(54, "slope(lambda x: mg.linalg.eigh(x).eigenvectors, [[3, 0], [0, 3]])",
            "[[nan, nan], [nan, nan]]", "vectors of equal eigenvalues have no derivative; 0 would "
            "be a wrong one"),
        Row(55, "slope(mg.linalg.svdvals, [[2, 0], [0, 0]])", "[[1, 0], [0, 0]]",
            "a singular value of 0 is a kink, as abs(0)"),
        Row(56, "slope(lambda x: mg.linalg.matrix_norm(x, ord=2), [[2, 0], [0, 2]])",
            "[[0.5, 0], [0, 0.5]]", "equal ones share the gradient of the largest"),
        Row(57, "slope(mg.linalg.pinv, [[1, 1], [1, 1]])", "-np.ones((2, 2)) / 4",
            "among matrices of the same rank"),
    ],
}  # fmt: skip


def empty_sequence() -> tuple[int, ...]:
    import recurrent as rc

    cell = rc.RNN(3, 2)
    _, ys = rc.unroll(cell, cell.init(0), np.ones((0, 3)))
    return ys.shape


def answers(row: Row, engine: Engine) -> tuple[Any, Any]:
    """(what the expression gives, what the table says)."""
    known = {
        **names(engine),
        **{f.__name__: f for f in (changed_later, read_twice, empty_sequence)},
    }
    return eval(row.code, known), eval(row.answer, known)


def text() -> str:
    page = [
        "# Conventions",
        "",
        "What values and derivatives are where a textbook leaves a choice. `slope(f, *xs)` is the "
        "gradient of sum(f(*xs)), `curve` the second derivative of an elementwise f. Every line is "
        "run by `mg.reference`, `mg.evaluate` and `mg.function` in the tests. "
        "Made by `python -m docs.conventions`.",
        "",
        "One rule stands behind the first table: in a derivative, 0 * inf is 0 where the incoming "
        "cotangent is exactly 0. It makes `where` safe. What it hides: a slope that is infinite at "
        "a point which the result does not depend on.",
    ]
    for section, rows in SECTIONS.items():
        head = ["| trap | expression | answer | note |", "|---|---|---|---|"]
        page += ["", f"## {section}", "", *head]
        page += [f"| {r.trap} | `{r.code}` | `{r.answer}` | {r.note} |" for r in rows]
    return "\n".join(page) + "\n"


if __name__ == "__main__":
    PAGE.write_text(text(), encoding="utf-8")
