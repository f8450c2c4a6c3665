"""Steps over sequences.

A language model, one answer a sequence, a tagger, cells alone, and a cell of one's own.
"""

from __future__ import annotations

from itertools import repeat
from typing import Any

import numpy as np

from .rows import Arrays, Systems, flat, fresh, jax_work, ours, pool, side_by_side, torch_work

GATES = {"RNN": "", "LSTM": "ifgo", "GRU": "rzn"}  # in the order of torch's rows


def packed_cell(kind: str, p: Arrays, at: str) -> Arrays:
    """A cell's parameters as torch.nn has them.

    torch adds two biases; of the LSTM the second stays 0 and is not trained,
    so that both systems train the same net.
    The others' biases begin at 0 and are not trained here, and the slopes of the two are the same.
    """
    cell = {k.removeprefix(at): v for k, v in p.items() if k.startswith(at)}
    if kind == "RNN":
        w, u, b = cell["W"], cell["U"], cell["b"]
    else:
        w, u, b = (side_by_side(cell, GATES[kind], name) for name in "WUb")
    found = {"weight_ih_l0": w.T.copy(), "weight_hh_l0": u.T.copy(), "bias_ih_l0": b}
    if kind == "GRU":
        found["bias_hh_l0"] = np.concatenate([b[: -len(cell["c_n"])], cell["c_n"]])
    elif kind == "RNN":
        found["bias_hh_l0"] = b.copy()
    return {at + k: v for k, v in found.items()}


def fused(kind: str, p: Any, *at: str) -> Any:
    """torch's own module on these parameters; two places: bidirectional."""
    import torch

    wide = p[f"{at[0]}weight_ih_l0"].shape[1]
    deep = p[f"{at[0]}weight_hh_l0"].shape[1]
    module = getattr(torch.nn, kind)(wide, deep, bidirectional=len(at) > 1)
    for place, end in zip(at, ("", "_reverse"), strict=False):
        for name in ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"):
            if place + name in p:
                setattr(module, name + end, p[place + name])
            else:
                zero = torch.zeros_like(p[f"{place}bias_ih_l0"])
                setattr(module, name + end, torch.nn.Parameter(zero, requires_grad=False))
    return module


def packed_net(p: Arrays) -> Arrays:
    """Embedding, LSTM and head."""
    cell = packed_cell("LSTM", p, "cell.")
    return {**cell, "E": p["E"], "V": p["out.V"].T.copy(), "c": p["out.c"]}


def lstm_in_jax(p: Any, x: Any) -> Any:
    """An LSTM over (T, B, I), the products of the inputs before the loop."""
    import jax
    import jax.numpy as jnp

    w, u = p["cell.weight_ih_l0"].T, p["cell.weight_hh_l0"].T
    before = x @ w + p["cell.bias_ih_l0"]
    zeros = jnp.zeros((x.shape[1], u.shape[0]), x.dtype)

    def step(carry: Any, a: Any) -> Any:
        h, c = carry
        i, f, g, o = jnp.split(a + h @ u, 4, axis=1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        h = jax.nn.sigmoid(o) * jnp.tanh(c)
        return (h, c), h

    return jax.lax.scan(step, (zeros, zeros), before)[1]


def language_model(time: int, batch: int, inputs: int, hidden: int, tokens: int) -> Systems:
    """Embedding, LSTM, a head and cross-entropy at every step."""
    import recurrent as rc

    net = rc.ManyToMany(rc.LSTM(inputs, hidden), tokens, tokens=tokens)
    params = net.init(0)

    def draw(rng: np.random.Generator) -> Any:
        text = rng.integers(0, tokens, (time + 1, batch))
        return {"xs": text[:-1].copy(), "ys": text[1:].copy()}

    def loss(p: Any, b: Any) -> Any:
        return rc.cross_entropy(net(p, b["xs"]), b["ys"])

    def theirs(p: Any) -> Any:
        from torch.nn.functional import cross_entropy, embedding, linear

        lstm = fused("LSTM", p, "cell.")

        def loss(b: Any) -> Any:
            ys, _ = lstm(embedding(b["xs"], p["E"]))
            logits = linear(ys.reshape(-1, ys.shape[-1]), p["V"], p["c"])
            return cross_entropy(logits, b["ys"].reshape(-1))

        return loss

    def jitted(p: Any, b: Any) -> Any:
        import jax

        logits = lstm_in_jax(p, p["E"][b["xs"]]) @ p["V"].T + p["c"]
        picked = jax.numpy.take_along_axis(jax.nn.log_softmax(logits), b["ys"][..., None], axis=-1)
        return -picked.mean()

    packed = packed_net(flat(params))
    return {
        "minigrad": lambda: ours(loss, params, pool(draw), packed_net),
        "torch": lambda: torch_work(theirs, packed, pool(draw)),
        "JAX": lambda: jax_work(jitted, packed, pool(draw)),
    }


def many_to_one(
    time: int, batch: int, inputs: int, hidden: int, tokens: int, classes: int, new: bool
) -> Systems:
    """Embedding, LSTM over sequences of 1 to T steps, a head on each last output, cross-entropy.

    new: other lengths at every step, given as data; else eight batches in turn, which were seen
         before, given as what the step is traced for.
    """
    import recurrent as rc

    net = rc.ManyToOne(rc.LSTM(inputs, hidden), classes, tokens=tokens)
    params = net.init(0)

    def draw(rng: np.random.Generator) -> Any:
        xs, ys = rng.integers(0, tokens, (time, batch)), rng.integers(0, classes, batch)
        lengths = rng.integers(1, time + 1, batch)
        return {"xs": xs, "ys": ys, "lengths": lengths if new else lengths.tolist()}

    batches = fresh if new else pool

    def loss(p: Any, b: Any) -> Any:
        return rc.cross_entropy(net(p, b["xs"], b["lengths"]), b["ys"])

    def packing(p: Any) -> Any:
        import torch
        from torch.nn.functional import cross_entropy, embedding, linear

        lstm = fused("LSTM", p, "cell.")

        def loss(b: Any) -> Any:
            x = torch.nn.utils.rnn.pack_padded_sequence(
                embedding(b["xs"], p["E"]), torch.as_tensor(b["lengths"]), enforce_sorted=False
            )
            _, (h, _) = lstm(x)
            return cross_entropy(linear(h[0], p["V"], p["c"]), b["ys"])

        return loss

    def padding(p: Any) -> Any:
        import torch
        from torch.nn.functional import cross_entropy, embedding, linear

        lstm = fused("LSTM", p, "cell.")

        def loss(b: Any) -> Any:
            ys, _ = lstm(embedding(b["xs"], p["E"]))
            h = ys[torch.as_tensor(b["lengths"]) - 1, torch.arange(batch)]
            return cross_entropy(linear(h, p["V"], p["c"]), b["ys"])

        return loss

    packed = packed_net(flat(params))
    return {
        "minigrad": lambda: ours(loss, params, batches(draw), packed_net),
        "torch packed": lambda: torch_work(packing, packed, batches(draw)),
        "torch padded": lambda: torch_work(padding, packed, batches(draw)),
    }


def tagger(
    time: int, batch: int, inputs: int, hidden: int, tokens: int, tags: int, keep: float = 0.8
) -> Systems:
    """Embedding, dropout, an LSTM in both directions, dropout, a tag a step, and a loss.

    It is masked behind the end of each sentence.  Masks are drawn off the clock, for both.
    """
    import recurrent as rc

    net = rc.ManyToMany(rc.bidirectional(rc.LSTM(inputs, hidden)), tags)
    table = np.random.default_rng(0).standard_normal((tokens, inputs))
    params = {**net.init(0), "E": 0.5 * table}

    def draw(rng: np.random.Generator) -> Any:
        inside = np.arange(time)[:, None] < rng.integers(1, time + 1, batch)
        ys = rng.integers(0, tags, (time, batch))

        def dropped(size: int) -> np.ndarray:
            return ((rng.random((time, batch, size)) < keep) / keep).astype(np.float32)

        return {
            "xs": rng.integers(0, tokens, (time, batch)), "ys": ys, "inside": inside,
            "ignored": np.where(inside, ys, -100),
            "drop_x": dropped(inputs), "drop_h": dropped(2 * hidden),
        }  # fmt: skip

    def loss(p: Any, b: Any) -> Any:
        import minigrad as mg

        _, hs = net.cell(p["cell"], mg.take(p["E"], b["xs"]) * b["drop_x"])
        logits = hs * b["drop_h"] @ p["out"]["V"] + p["out"]["c"]
        return rc.cross_entropy(logits, b["ys"], mask=b["inside"])

    def theirs(p: Any) -> Any:
        from torch.nn.functional import cross_entropy, embedding, linear

        lstm = fused("LSTM", p, "cell.forward.", "cell.backward.")

        def loss(b: Any) -> Any:
            hs, _ = lstm(embedding(b["xs"], p["E"]) * b["drop_x"])
            logits = linear((hs * b["drop_h"]).reshape(-1, 2 * hidden), p["V"], p["c"])
            return cross_entropy(logits, b["ignored"].reshape(-1))

        return loss

    def pack(p: Arrays) -> Arrays:
        both = [packed_cell("LSTM", p, f"cell.{way}.") for way in ("forward", "backward")]
        return {**both[0], **both[1], "E": p["E"], "V": p["out.V"].T.copy(), "c": p["out.c"]}

    return {
        "minigrad": lambda: ours(loss, params, pool(draw), pack),
        "torch": lambda: torch_work(theirs, pack(flat(params)), pool(draw)),
    }


def cell_alone(kind: str, time: int, batch: int, inputs: int, hidden: int) -> Systems:
    """The sum of squares of a net's outputs and its gradient by parameters and inputs.

    The kernels with a loss in the graph, no optimiser.
    """
    import minigrad as mg
    import recurrent as rc

    cell = getattr(rc, kind)(inputs, hidden)
    x = np.random.default_rng(0).standard_normal((time, batch, inputs))
    params = {"cell": cell.init(0), "x": x}

    def loss(p: Any, _: Any) -> Any:
        return mg.sum(mg.square(rc.unroll(cell, p["cell"], p["x"])[1]))

    def theirs(p: Any) -> Any:
        module = fused(kind, p, "cell.")
        return lambda _: module(p["x"])[0].square().sum()

    def pack(p: Arrays) -> Arrays:
        return {**packed_cell(kind, p, "cell."), "x": p["x"]}

    return {
        "minigrad": lambda: ours(loss, params, repeat(()), pack, learn=False),
        "torch": lambda: torch_work(theirs, pack(flat(params)), repeat(()), learn=False),
    }


# -- a researcher's own cell: peephole LSTM with layer norm ----------------------------------------


def peephole(time: int, batch: int, inputs: int, hidden: int) -> Systems:
    """As `cell_alone`, of a cell for which no fused module exists."""
    import minigrad as mg
    import recurrent as rc

    rng = np.random.default_rng(0)
    cell: Arrays = {}
    for g in "ifzo":
        cell[f"W_{g}"] = rng.standard_normal((inputs, hidden)) / inputs**0.5
        cell[f"U_{g}"] = rng.standard_normal((hidden, hidden)) / hidden**0.5
        cell[f"b_{g}"] = np.zeros(hidden)
    for g in "ifzoc":
        cell[f"g_{g}"], cell[f"s_{g}"] = np.ones(hidden), np.zeros(hidden)
    for g in "ifo":
        cell[f"p_{g}"] = 0.1 * rng.standard_normal(hidden)
    params = {**cell, "x": rng.standard_normal((time, batch, inputs))}
    zeros = np.zeros((batch, hidden), np.float32)

    def norm(a: Any, gain: Any, shift: Any) -> Any:
        d = a - mg.mean(a, axis=-1, keepdims=True)
        return d / mg.sqrt(mg.mean(d * d, axis=-1, keepdims=True) + 1e-5) * gain + shift

    def step(p: Any, carry: Any, x: Any) -> Any:
        h, c = carry

        def gate(g: str) -> Any:
            a = x @ p[f"W_{g}"] + h @ p[f"U_{g}"] + p[f"b_{g}"]
            return norm(a, p[f"g_{g}"], p[f"s_{g}"])

        i = mg.sigmoid(gate("i") + p["p_i"] * c)
        f = mg.sigmoid(gate("f") + p["p_f"] * c)
        c = f * c + i * mg.tanh(gate("z"))
        o = mg.sigmoid(gate("o") + p["p_o"] * c)
        h = o * mg.tanh(norm(c, p["g_c"], p["s_c"]))
        return (h, c), h

    def loss(p: Any, _: Any) -> Any:
        theta = {k: v for k, v in p.items() if k != "x"}
        return mg.sum(mg.square(rc.unroll(step, theta, p["x"], (zeros, zeros))[1]))

    def pack(p: Arrays) -> Arrays:
        """The four norms of the gates as one over a (B, 4, H) view: fewer, larger ops."""
        packed = {k: side_by_side(p, "ifzo", k) for k in "WUb"}
        for name, letter, gates in (("gains", "g", "ifzo"), ("shifts", "s", "ifzo"),
                                    ("peeps", "p", "ifo")):  # fmt: skip
            packed[name] = np.stack([p[f"{letter}_{g}"] for g in gates])
        return {**packed, "gain": p["g_c"], "shift": p["s_c"], "x": p["x"]}

    names = ("x", "W", "U", "b", "gains", "shifts", "peeps", "gain", "shift")

    def run(x: Any, w: Any, u: Any, b: Any, gs: Any, ss: Any, pe: Any, g: Any, s: Any) -> Any:
        import torch
        from torch.nn.functional import layer_norm

        before = torch.addmm(b, x.reshape(time * batch, -1), w).view(time, batch, 4 * hidden)
        h = c = torch.zeros(batch, hidden)
        ys = []
        for a in before.unbind(0):
            a = torch.addmm(a, h, u).view(batch, 4, hidden)
            a = layer_norm(a, [hidden]) * gs + ss
            gates = torch.sigmoid(a[:, :2] + pe[:2] * c.unsqueeze(1))
            c = gates[:, 1] * c + gates[:, 0] * torch.tanh(a[:, 2])
            o = torch.sigmoid(a[:, 3] + pe[2] * c)
            h = o * torch.tanh(layer_norm(c, [hidden], g, s))
            ys.append(h)
        return torch.stack(ys).square().sum()

    def loop(p: Any) -> Any:
        return lambda _: run(*(p[n] for n in names))

    def traced(p: Any) -> Any:
        import warnings

        import torch

        given = tuple(p[n] for n in names)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            script = torch.jit.trace(run, given, check_trace=False)
        return lambda _: script(*given)

    return {
        "minigrad": lambda: ours(loss, params, repeat(()), pack, learn=False),
        "torch loop": lambda: torch_work(loop, pack(params), repeat(()), learn=False),
        "torch traced": lambda: torch_work(traced, pack(params), repeat(()), learn=False),
    }
