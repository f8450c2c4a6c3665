"""Whole rows moved around recurrences by calls in the list: axes exchanged, slices, zeros."""

import numpy as np
import pytest

import minigrad as mg
from minigrad import Structure as S
from minigrad.compile.moves import _rows_moved
from minigrad.ops.movement import PERMUTE, PLACE, SLICE
from minigrad.testing.laws import close
from minigrad.testing.tester.worker import splitting

RNG = np.random.default_rng(0)
T, B, D = 4, 3, 8
MOVES = {
    "batch first": lambda h: mg.permute_dims(h, (1, 0, 2)),
    "last": lambda h: h[-1],
    "every other": lambda h: h[::2],
    "backwards": lambda h: h[::-1],
    "inside": lambda h: h[1:3, 1:],
    "some columns": lambda h: h[..., 2:5],
    "turned": lambda h: mg.permute_dims(h, (2, 0, 1)),
    "none": lambda h: h[:0],
    "both": lambda h: mg.permute_dims(h, (1, 0, 2))[:, ::-2],
    "twice": lambda h: mg.permute_dims(mg.permute_dims(h, (1, 0, 2)), (0, 2, 1)),
    "a row": lambda h: h[2, 1],
    "zeros around": lambda h: mg.pad(h, ((1, 2), (0, 0), (0, 0))),
    "later": lambda h: mg.concat([mg.zeros_like(h[:1]), h[:-1]], axis=0),
}


def cell(p, h, x):
    h = mg.tanh(h @ p["W"] + x)
    return h, h * x


def step_of(move, lengths=None):
    def step(p, x, w):
        s = S.chain([T] * B if lengths is None else lengths)
        _, ys = mg.recur(cell, s, shared=p, inputs=mg.reshape(x, (-1, D)),
                         initial=np.zeros((1, D), p["W"].dtype))  # fmt: skip
        if lengths is None:  # of rows as the recurrence has them, and of an argument
            moved = move(mg.permute_dims(mg.reshape(ys, (B, T, D)), (1, 0, 2))), move(x)
        else:
            moved = move(mg.reshape(ys, (T, B, D))), move(x)
        total = sum(mg.sum(mg.sin(m) * m) for m in moved) + mg.sum(w * w)
        return moved, mg.grad(total, (p, x))

    return step


def arguments(dtype):
    shapes = (D, D), (T, B, D), (2,)
    w, x, v = (RNG.standard_normal(s).astype(dtype) for s in shapes)
    return {"W": w / 3}, x, v


@pytest.mark.parametrize("threads", [pytest.param(1, marks=pytest.mark.long), 2])
@pytest.mark.parametrize("name", MOVES)
def test_rows_moved(name, threads):
    for dtype, tolerance, lengths in [
        ("float64", 1e-10, None), ("float32", 1e-4, None), ("float64", 1e-10, [3, 5, 4]),
    ]:  # fmt: skip
        step, args = step_of(MOVES[name], lengths), arguments(dtype)
        with splitting(threads):
            f = mg.function(step)
            found = f(*args)
            close(found, mg.reference(step(*mg.tensors(args))), tolerance)
            close(f(*args), found, 0)


def test_an_encoder_decoder_is_one_list():
    import recurrent as rc

    net = rc.encoder_decoder(rc.LSTM(3, 4), rc.LSTM(7, 4), source_tokens=5, target_tokens=6,
                             attention="additive")  # fmt: skip
    optimizer = mg.optim.adam()

    def train(p, state, xs, read, ys):
        loss = rc.cross_entropy(net(p, xs, read), ys)
        return loss, *optimizer.update(p, mg.grad(loss, p), state)

    p = net.init(0)
    tokens = [RNG.integers(0, 5, (6, 2)) for _ in range(3)]
    words = mg.function(train).explain(p, optimizer.init(p), *tokens)
    assert words.endswith("called through one native list"), words.splitlines()[-1]


@pytest.mark.parametrize(
    ("op", "attrs", "shape", "width"),
    [
        (PERMUTE, {"axes": (-2, -3, -1)}, (2, 3, 4), 4),
        (PERMUTE, {"axes": (-3, -1, -2)}, (2, 3, 4), 1),
        (SLICE, {"index": ((1, None, None), (None, None, None))}, (3, 4), 4),
        (SLICE, {"index": ((None, None, -1), (0, 2, None), (None, None, None))}, (3, 4, 5), 5),
        (PLACE, {"index": ((1, 3, None), (None, None, None)), "shape": (5, 4)}, (2, 4), 4),
        (PLACE, {"index": ((None, None, 2), (1, 2, None)), "shape": (5, 4)}, (3, 1), 1),
    ],
)
def test_rows_are_as_long_as_they_can_be(op, attrs, shape, width):
    from minigrad.graph import bind

    x = np.arange(1.0, np.prod(shape) + 1).reshape(shape)
    t = bind(op, mg.asarray(x), **attrs)
    moved = _rows_moved(t)
    assert moved is not None
    numbers, found = moved
    rows = np.concatenate([x.reshape(-1, found), np.zeros((1, found))])[numbers]
    np.testing.assert_array_equal(rows.reshape(t.shape), mg.reference(t))
    assert found == width


def test_many_short_rows_are_left_to_numpy():
    from minigrad.graph import bind

    for shape, short in [((3000, 8), True), ((40, 90), False)]:  # turned: rows of one element
        t = bind(PERMUTE, mg.asarray(np.zeros(shape)), axes=(-1, -2))
        assert (_rows_moved(t) is None) == short
