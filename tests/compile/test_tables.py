"""Tables by Index, compiled: read where they lie, and added to level by level.

What every sequence remembers (attention, fast weights that are given) is such a table: all its
steps read it, and all of them add to its gradient.
"""

import numpy as np
import pytest

import minigrad as mg
from minigrad import Structure as S
from minigrad.compile import compiled
from minigrad.recur import Index
from minigrad.testing.laws import close
from minigrad.testing.tester.worker import splitting

RNG = np.random.default_rng(0)
D, M = 5, 4  # widths; what is remembered
STRUCTURES = {
    "chain": S.chain(6),
    "batch": S.chain([4] * 6),
    "ragged": S.chain([2, 5, 0, 3, 5, 1]),
    "forest": S.forest([[], [], [0, 1], [], [2, 3], [], [], [5, 6]]),
    "empty": S.chain([0, 0]),
}


def attend(p, h, x):
    """Additive attention over x["memory"] (M, D)."""
    h = h[0] + h[1] if isinstance(h, tuple) else h
    scores = mg.tanh(x["memory"] @ p["U"] + h @ p["W"]) @ p["v"]
    context = mg.softmax(scores) @ x["memory"]
    h = mg.tanh(context @ p["V"] + h @ p["W"] + x["x"])
    return h, context + x["bias"] * h


def rows_of(structure, how):
    own = structure.component
    return {
        "own": own,
        "reversed": structure.components - 1 - own,
        "shared by two": own // 2,
        "some without": np.where(np.arange(structure.n) % 3 == 1, -1, own),
        "by step": np.arange(structure.n) % 3,
        "only one": np.full(structure.n, 1),
    }[how]


def step_of(structure, rows, made):
    """made: what the memory is, of an argument of its shape."""

    def step(p, memory, bias, x, w):
        given = {
            "memory": mg.Indexed(made(memory), rows), "bias": mg.Indexed(bias, rows), "x": x,
        }  # fmt: skip
        hs, ys = mg.recur(attend, structure, shared=p, inputs=given, initial=np.zeros((1, D)))
        loss = mg.sum(w * ys) + mg.sum(mg.square(hs))
        grads = mg.grad(loss, (p, memory, bias, x))
        return hs, ys, grads, mg.grad(mg.sum(mg.sin(grads[1])), (p, memory))

    return step


def arguments(structure):
    size = max(structure.components, 3)
    p = {k: RNG.standard_normal((D, D)) / 2 for k in "UVW"} | {"v": RNG.standard_normal(D)}
    shapes = (size, M, D), (size, D), (structure.n, D), (structure.n, D)
    return p, *(RNG.standard_normal(s) for s in shapes)


MADE = {
    "given": lambda m: m,
    "computed": mg.tanh,
    "turned": lambda m: mg.flip(mg.permute_dims(m, (0, 2, 1)), axis=0).reshape(m.shape),
}


@pytest.mark.parametrize("threads", [pytest.param(1, marks=pytest.mark.long), 2])
@pytest.mark.parametrize(
    "how", ["own", "reversed", "shared by two", "some without", "by step", "only one"]
)
@pytest.mark.parametrize("name", STRUCTURES)
def test_a_memory(name, how, threads):
    structure, made = STRUCTURES[name], list(MADE.values())[len(name + how) % len(MADE)]
    step = step_of(structure, rows_of(structure, how), made)
    args = arguments(structure)
    with splitting(threads):
        f = mg.function(step)
        found = f(*args)
        close(found, mg.reference(step(*mg.tensors(args))), 1e-9)
        close(f(*args), found, 0)  # what was added to begins anew


def encoded(lengths, rows):
    """The memory is a recurrence's rows, in the order of its own layout."""

    def encoder(p, h, x):
        h = mg.tanh(h @ p["W"] + x)
        return h, h

    def step(p, xs, x):
        _, hs = mg.recur(
            encoder, S.chain(lengths), shared=p, inputs=xs, initial=np.zeros((1, D))
        )  # fmt: skip
        given = mg.Indexed(hs, rows)
        out, _ = mg.recur(
            lambda p, h, x: (mg.tanh(h * x["read"] + x["x"]), h), S.chain([3, 3]), shared=p,
            inputs={"read": given, "x": x}, initial=np.zeros((1, D)),
        )  # fmt: skip
        return out, mg.grad(mg.sum(mg.sin(out)), (p, xs, x))

    return step


@pytest.mark.parametrize("lengths", [(4,), (1, 3, 2), (2, 2)])
def test_rows_of_another_recurrence_are_looked_up_in_its_order(lengths):
    n = sum(lengths)
    rows = RNG.integers(0, n, 6)
    args = {"W": RNG.standard_normal((D, D)) / 2}, *(RNG.standard_normal((k, D)) for k in (n, 6))
    step = encoded(lengths, rows)
    f = mg.function(step)
    close(f(*args), mg.reference(step(*mg.tensors(args))), 1e-9)
    assert "because" not in f.explain(*args)


@pytest.mark.parametrize(
    ("how", "apart"),
    [("own", True), ("reversed", True), ("some without", True), ("shared by two", False),
     ("by step", False)],
)  # fmt: skip
def test_only_where_one_component_adds_to_a_row_may_threads_do_it(how, apart):
    s = STRUCTURES["ragged"]
    via = Index(rows_of(s, how), 6)
    assert compiled._apart(via, compiled.layout_of(s)) == apart
