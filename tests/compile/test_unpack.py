"""Arguments of a known form: their leaves in the order of the form, or None."""

from collections import OrderedDict, namedtuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
from minigrad import static
from minigrad.compile.unpack import unpacker
from tests.counting import examples

Pair = namedtuple("Pair", "a b")
NAMES = st.sampled_from(["a", "b", "W_i", "'", "\\n", "ä", ""])
LEAVES = st.sampled_from([np.zeros(2), 1.5, "text"]) | st.builds(object)
TREES = st.recursive(
    LEAVES | st.none(),
    lambda t: st.lists(t, max_size=3) | st.lists(t, max_size=3).map(tuple)
    | st.dictionaries(NAMES, t, max_size=3),
    max_leaves=8,
)  # fmt: skip
ARGS = st.lists(TREES, max_size=3).map(tuple)


@given(args=ARGS)
@settings(max_examples=examples(200))
def test_the_leaves_of_the_form(args):
    leaves, spec = static.flatten(args)
    unpack = unpacker(spec)
    assert unpack is not None
    found = unpack(args)
    assert len(found) == len(leaves) and all(a is b for a, b in zip(found, leaves, strict=True))


def at_leaf(tree, spec):
    """Whether a container stands where the form has a leaf: what `unpack` leaves to its caller."""
    try:
        return any(not static.flatten(x)[1].is_leaf() for x in spec.flatten_up_to(tree))
    except ValueError:
        return False


@given(args=ARGS, others=ARGS)
@settings(max_examples=examples(300))
def test_another_form_has_none(args, others):
    spec, other = static.flatten(args)[1], static.flatten(others)[1]
    found = unpacker(spec)(others)
    if static.spec_key(spec) == static.spec_key(other):
        assert found is not None
    elif not at_leaf(others, spec):
        assert found is None


@pytest.mark.parametrize(
    "one", [({1: 2.0},), (Pair(1.0, 2.0),), (OrderedDict(a=1.0),), ([{True: 0.0}],)]
)
def test_forms_that_python_may_take_for_others_have_no_code(one):
    assert unpacker(static.flatten(one)[1]) is None


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"a": 1.0, "b": 2.0}, {"b": 2.0, "a": 1.0}),
        ([1.0, 2.0], (1.0, 2.0)),
        ({"a": 1.0}, OrderedDict(a=1.0)),
        ((1.0, 2.0), Pair(1.0, 2.0)),
        ({"a": 1.0}, {"a": 1.0, "b": 2.0}),
        ([None], [[]]),
    ],
)
def test_alike_but_not_the_same(first, second):
    assert unpacker(static.flatten((first,))[1])((second,)) is None


def test_the_order_of_a_dict_is_told_apart_by_calls():
    f = mg.function(lambda p: [mg.asarray(x) * 2 for x in p.values()])
    one, other = {"a": np.ones(2), "b": np.zeros(2)}, {"b": np.zeros(2), "a": np.ones(2)}
    for p in (one, other, one, one, other):
        for x, y in zip(f(p), p.values(), strict=True):
            np.testing.assert_array_equal(x, 2 * y)


def test_a_container_where_an_array_was():
    f = mg.function(lambda p: mg.sum(p["a"][0]))
    assert f({"a": np.ones((2, 3))}) == 3
    assert f({"a": [np.ones(2), 1]}) == 2
    assert f({"a": np.ones((2, 3))}) == 3
