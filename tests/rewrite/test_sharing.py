"""What products have in common: shorter graphs of the same values and derivatives."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
from minigrad.testing.laws import close
from tests.counting import examples

RNG = np.random.default_rng(0)


def ops_of(t, name):
    return sum(x.op.name == name for x in mg.nodes(t))


def leaves(*shapes):
    return [mg.asarray(RNG.standard_normal(s), name=f"x{k}") for k, s in enumerate(shapes)]


def same_and_shorter(outputs, wrt, tol=1e-12):
    found = mg.simplify(outputs)
    close(mg.reference(found), mg.reference(outputs), tol)
    assert len(mg.nodes(found)) <= len(mg.nodes(outputs))
    assert mg.same(mg.simplify(found), found)
    slopes = [
        mg.grad(sum((mg.sum(mg.sin(t)) for t in ts), mg.asarray(0.0)), wrt)
        for ts in (found, outputs)
    ]
    close(*mg.reference(slopes), 1e-9)
    return found


def test_many_products_summed_are_one():
    a = leaves(*[(4, 3)] * 3)
    v = leaves(*[(3,)] * 3)
    (y,) = mg.graph.rebuild([sum_of([m @ x for m, x in zip(a, v, strict=True)])], {})
    found = same_and_shorter([y], [*a, *v])
    assert ops_of(found, "einsum") == 1 and ops_of(found, "concat") == 2
    assert ops_of(found, "add") == 0


def sum_of(terms):
    return mg.graph.bind(mg.ops.table.TABLE["add"], *terms)


def test_joined_operands_are_shared_by_sums_of_the_same():
    a, b = leaves(*[(4, 3)] * 3), leaves(*[(4, 3)] * 3)
    v = leaves(*[(3,)] * 3)
    two = [sum_of([m @ x for m, x in zip(some, v, strict=True)]) for some in (a, b)]
    found = same_and_shorter(two, [*a, *b, *v])
    assert ops_of(found, "concat") == 3 and ops_of(found, "einsum") == 2


def test_products_of_different_lengths_are_joined_others_not():
    a, b, c = leaves((4, 2), (4, 3), (4, 5))
    u, v, w = leaves((2,), (3,), (5,))
    z = leaves((4,))[0]
    found = same_and_shorter(
        [sum_of([a @ u, z, b @ v, c @ w, a * 2 @ u])], [a, b, c, u, v, w, z]
    )
    assert ops_of(found, "einsum") == 1 and ops_of(found, "add") == 1
    outers = sum_of([mg.outer(u, v), mg.outer(v[:2], v), mg.outer(w[:2], v)])
    assert ops_of(same_and_shorter([outers], [u, v, w]), "einsum") == 3  # nothing is summed over
    ragged = sum_of([a @ u, mg.sum(a, axis=1), (b @ v).named("kept")])
    assert ops_of(same_and_shorter([ragged], [a, b, u, v]), "concat") == 0


def test_factors_are_multiplied_once():
    a, b, c, d = leaves(*[(3,)] * 4)
    y = [a * b * c * d, c * a, (d * b).named("kept")]
    found = same_and_shorter(y, [a, b, c, d])
    assert ops_of(found, "multiply") == 3
    assert found[2].name == "kept"
    powers = same_and_shorter([a * a * b * b, a * a], [a, b])
    assert ops_of(powers, "multiply") <= 4


@pytest.mark.parametrize("many", [6, 40])
def test_a_product_of_many(many):
    xs = leaves(*[(2,)] * many)
    whole = xs[0]
    for x in xs[1:]:
        whole = whole * x
    same_and_shorter([whole, xs[1] * xs[4], xs[0] * xs[2] * xs[3]], xs)


@settings(max_examples=examples(100))
@given(st.lists(st.lists(st.integers(0, 5), min_size=2, max_size=6), min_size=1, max_size=6),
       st.randoms(use_true_random=False))  # fmt: skip
def test_random_products(products, random):
    """In any association, read by one another or by themselves."""
    xs = leaves(*[(2,)] * 6)
    made = []
    for some in products:
        parts = [xs[k] for k in some]
        if made and random.random() < 0.4:
            parts.append(random.choice(made))
        while len(parts) > 1:
            k = random.randrange(len(parts) - 1)
            parts[k : k + 2] = [parts[k] * parts[k + 1]]
        made.append(parts[0])
    same_and_shorter(made, xs, 1e-10)
