"""Dropout, zoneout, tied weights: laws, plain loops, masks, and what evaluation uses."""

import numpy as np
import optree
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
import recurrent as rc
from minigrad.testing.laws import close

from .checks import against, laws, loss_of, random_params

CELLS = {
    "rnn": rc.RNN(3, 4),
    "lstm": rc.LSTM(3, 4),
    "projected": rc.ProjectedLSTM(3, 4, 2),
    "stack": rc.stack(rc.GRU(3, 4), rc.LSTM(4, 2)),
}
T, B = 4, 3
LENGTHS = [3, 0, 4]


def arguments(cell, seed):
    rng = np.random.default_rng(seed)
    first = optree.tree_map(lambda z: rng.standard_normal((B, z.shape[1])), cell.zero_state())
    p, x = random_params(cell, seed), rng.standard_normal((T, B, 3))
    return rng, {"p": p, "x": x, "s": first}


def dropped(cell, masks, lengths=LENGTHS):
    return lambda t: rc.unroll(
        rc.Dropout(cell), t["p"], t["x"], t["s"], lengths=lengths, memory=masks
    )


def zoned(cell, masks, lengths=LENGTHS):
    return lambda t: rc.unroll(rc.Zoneout(cell), t["p"], (t["x"], masks), t["s"], lengths=lengths)


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("kind", ["dropout", "zoneout"])
def test_laws(kind, name):
    cell = CELLS[name]

    @given(st.integers(0, 2**20))
    def check(seed):
        rng, args = arguments(cell, seed)
        if kind == "dropout":
            run = dropped(cell, rc.dropout_masks(cell, rng, B, 0.4, 0.5))
        else:
            run = zoned(cell, rc.zoneout_masks(cell, rng, T, B, 0.4))
        laws(run, args, seed)

    check()


@pytest.mark.parametrize("name", CELLS)
def test_the_loop(name):
    """Values and gradients of both, ragged, against the cell called step by step."""
    cell = CELLS[name]
    rng, args = arguments(cell, 1)
    drop = rc.dropout_masks(cell, rng, B, 0.4, 0.5)
    zone = rc.zoneout_masks(cell, rng, T, B, 0.4)
    t = mg.tensors(args)
    pick = lambda tree, *at: optree.tree_map(lambda a: a[at], tree)  # noqa: E731
    for run, wrapped in ((dropped(cell, drop), "d"), (zoned(cell, zone), "z")):
        found, wanted = run(t), []
        for b, length in enumerate(LENGTHS):
            s, ys = pick(t["s"], b), []
            for k in range(length):
                x = t["x"][k, b]
                if wrapped == "d":
                    s = optree.tree_map(lambda a, m: a * m, s, pick(drop["state"], b))
                    s, y = cell(t["p"], s, x * drop["x"][b])
                else:
                    new, _ = cell(t["p"], s, x)
                    s = optree.tree_map(
                        lambda a, n, m: mg.where(m > 0, a, n), s, new, pick(zone, k, b)
                    )
                    y = optree.tree_leaves(s)[-2 if len(optree.tree_leaves(s)) > 1 else 0]
                ys.append(y)
            wanted.append((s, mg.stack([*ys, *[mg.zeros(cell.output_size)] * (T - length)])))
        final = optree.tree_map(lambda *s: mg.stack(s), *[s for s, _ in wanted])
        plain = final, mg.stack([y for _, y in wanted], axis=1)
        both = [(r, mg.grad(loss_of(r), t)) for r in (found, plain)]
        close(*mg.evaluate(both), 1e-12)


@pytest.mark.parametrize("kind", ["dropout", "zoneout"])
def test_lstm_against_torch(kind):
    torch = pytest.importorskip("torch", reason="torch is not installed: no independent gradients")
    cell = CELLS["lstm"]
    rng, args = arguments(cell, 2)
    drop = rc.dropout_masks(cell, rng, B, 0.4, 0.5)
    zone = rc.zoneout_masks(cell, rng, T, B, 0.4)

    def theirs(t):
        p, (h, c), ys = t["p"], t["s"], []
        mh, mx = torch.tensor(drop["state"][0]), torch.tensor(drop["x"])
        for k, x in enumerate(t["x"]):
            read = (x * mx, h * mh) if kind == "dropout" else (x, h)
            i, f, o, g = (
                read[0] @ p[f"W_{n}"] + read[1] @ p[f"U_{n}"] + p[f"b_{n}"] for n in "ifog"
            )
            new_c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            new_h = torch.sigmoid(o) * torch.tanh(new_c)
            if kind == "zoneout":
                keep_h, keep_c = (torch.tensor(m[k]) for m in zone)
                new_h = torch.lerp(new_h, h, keep_h)
                new_c = torch.lerp(new_c, c, keep_c)
            h, c = new_h, new_c
            ys.append(h)
        return (h, c), torch.stack(ys)

    run = dropped(cell, drop, None) if kind == "dropout" else zoned(cell, zone, None)
    against(theirs, run, args, 1e-11)


def test_compiled_code_knows_every_op():
    cell = CELLS["lstm"]
    rng, args = arguments(cell, 0)
    drop, zone = rc.dropout_masks(cell, rng, B, 0.4), rc.zoneout_masks(cell, rng, T, B, 0.1)
    assert "no code" not in mg.function(dropped(cell, drop)).explain(args)
    assert "no code" not in mg.function(zoned(cell, zone)).explain(args)


def test_masks():
    """Inverted dropout keeps the mean; memories are kept; a rate of 0 changes nothing."""
    cell, rng = CELLS["stack"], np.random.default_rng(0)
    masks = rc.dropout_masks(cell, rng, 20_000, inputs=0.2, state=0.5, dtype=np.float32)
    first, (h, c) = masks["state"]
    assert masks["x"].shape == (20_000, 3) and first.shape == (20_000, 4) and h.shape == c.shape
    assert {a.dtype for a in optree.tree_leaves(masks)} == {np.dtype(np.float32)}
    assert set(np.unique(masks["x"])) == {0, np.float32(1.25)} and set(np.unique(h)) == {0, 2}
    assert (c == 1).all() and abs(first.mean() - 1) < 0.02 and abs(masks["x"].mean() - 1) < 0.02
    zone = rc.zoneout_masks(cell, rng, 200, 100, 0.3)
    assert zone[0].shape == (200, 100, 4) and abs(zone[1][1].mean() - 0.3) < 0.01
    mean = rc.zoneout_masks(cell, None, 2, 3, 0.3)
    assert all((a == 0.3).all() for a in optree.tree_leaves(mean))
    _, args = arguments(cell, 1)
    plain = mg.evaluate(rc.unroll(cell, args["p"], args["x"], args["s"], lengths=LENGTHS))
    close(mg.evaluate(dropped(cell, rc.dropout_masks(cell, rng, B))(args)), plain, 1e-14)
    close(mg.evaluate(zoned(cell, rc.zoneout_masks(cell, rng, T, B, 0))(args)), plain, 1e-14)


def test_tied_weights_are_one_tensor_with_the_gradients_of_both_uses():
    rng = np.random.default_rng(0)
    cell, tokens = rc.GRU(4, 4), np.array([[1, 5], [0, 2], [3, 3]])
    p = mg.tensors(cell.init(0) | {"E": rng.standard_normal((6, 4)), "c": np.zeros(6)})
    theta = {k: v for k, v in p.items() if k not in ("E", "c")}

    def loss(embed, readout):
        _, hs = rc.unroll(cell, theta, mg.take(embed, tokens[:-1]))
        return rc.cross_entropy(rc.tied_logits(readout, hs, p["c"]), tokens[1:])

    copy = mg.asarray(p["E"].numpy())
    one, two = mg.grad(loss(p["E"], copy), (p["E"], copy))
    close(*mg.evaluate((mg.grad(loss(p["E"], p["E"]), p["E"]), one + two)), 1e-13)
    logits = rc.tied_logits(p["E"], np.ones((2, 4)))
    close(logits.numpy(), np.tile(p["E"].numpy().sum(axis=1), (2, 1)), 1e-14)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: rc.dropout_masks(CELLS["rnn"], np.random.default_rng(0), 2, inputs=1.0),
            "dropout_masks: inputs must be in [0, 1); got 1.0",
        ),
        (
            lambda: rc.zoneout_masks(CELLS["rnn"], None, 2, 3, -0.5),
            "zoneout_masks: rate must be in [0, 1); got -0.5",
        ),
        (
            lambda: rc.tied_logits(np.ones((6, 4)), np.ones((3, 5))),
            "tied_logits: hs must be (..., 4) for an embedding of shape (6, 4); got (3, 5)",
        ),
        (
            lambda: rc.unroll(rc.Zoneout(c := CELLS["lstm"]), c.init(0), np.ones((T, B, 3))),
            "Zoneout: the cell reads (x_t, masks), masks made by zoneout_masks",
        ),
        (
            lambda: rc.unroll(
                rc.Zoneout(c := CELLS["lstm"]), c.init(0), (np.ones((T, B, 3)), np.ones((T, B, 4)))
            ),
            "Zoneout: the state at one node has the shapes ((4,), (4,)), its masks (4,); they must "
            "agree, as zoneout_masks makes them",
        ),
        (
            lambda: rc.unroll(
                rc.Dropout(c := CELLS["rnn"]),
                c.init(0),
                np.ones((T, B, 3)),
                memory={"x": np.ones((B, 3)), "state": np.ones((B, 5))},
            ),
            "Dropout: the state at one node has the shapes (4,), its masks (5,); they must agree, "
            "as dropout_masks makes them",
        ),
        (
            lambda: rc.Zoneout(c := rc.deep_output(CELLS["rnn"], [2]))(
                c.init(0), np.zeros(4), (np.ones(3), np.zeros(4))
            ),
            "Zoneout: the output of deep_output(RNN(3, 4), [2]) is no part of its state; wrap the "
            "cell itself, and put deep_output and the like around the result",
        ),
    ],
)
def test_what_does_not_fit_is_said(make, message):
    with pytest.raises(ValueError) as caught:
        make()
    assert str(caught.value) == message
