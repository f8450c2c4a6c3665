"""What is measured: one training step (forward and backward, float32) of a model, written once per
system.

A case has a name and, for each system, a function that returns the step to be timed, a call without
arguments. Peers are written in the best way we know for them: their fused modules where they have
one, packed weights and the input projection as one product before the loop where they have not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Step = Callable[[], Any]
SIZES = {"S": (50, 1, 32, 32), "M": (100, 32, 64, 128), "L": (100, 64, 512, 512)}  # T, B, I, H
CASES: dict[str, dict[str, Callable[[], Step]]] = {}


def case(name: str, system: str) -> Callable[[Callable[[], Step]], Callable[[], Step]]:
    def register(make: Callable[[], Step]) -> Callable[[], Step]:
        CASES.setdefault(name, {})[system] = make
        return make

    return register


def flops(name: str) -> float:
    """Multiply-adds of an LSTM's step: forward, and twice that backward."""
    time, batch, inputs, hidden = SIZES[name[-1]]
    return 3 * 2.0 * time * batch * (inputs + hidden) * 4 * hidden


def data(size: str) -> dict[str, np.ndarray]:
    time, batch, inputs, hidden = SIZES[size]
    rng = np.random.default_rng(0)
    return {
        "x": rng.standard_normal((time, batch, inputs)).astype(np.float32),
        "dy": rng.standard_normal((time, batch, hidden)).astype(np.float32),
    }


# -- fused peers
# -------------------------------------------------------------------------------------


def ours_sequence(kind: str, size: str) -> Step:
    import minigrad as mg
    import recurrent as rc

    _, _, inputs, hidden = SIZES[size]
    cell = getattr(rc, kind)(inputs, hidden)
    d = data(size)

    def step(p: Any, x: Any, dy: Any) -> Any:
        _, ys = rc.unroll(cell, p, x)
        return ys, mg.vjp(ys, (p, x), dy)

    f = mg.function(step)
    params = {k: v.astype(np.float32) for k, v in cell.init(0).items()}
    return lambda: f(params, d["x"], d["dy"])


def torch_sequence(kind: str, size: str) -> Step:
    import torch

    _, _, inputs, hidden = SIZES[size]
    module = getattr(torch.nn, kind)(inputs, hidden)
    d = {k: torch.from_numpy(v) for k, v in data(size).items()}
    x = d["x"].requires_grad_()

    def step() -> Any:
        module.zero_grad()
        x.grad = None
        y, _ = module(x)
        y.backward(d["dy"])
        return y

    return step


for _kind in ("RNN", "LSTM", "GRU"):
    for _size in SIZES:
        case(f"{_kind} {_size}", "minigrad")(lambda k=_kind, s=_size: ours_sequence(k, s))
        case(f"{_kind} {_size}", "torch")(lambda k=_kind, s=_size: torch_sequence(k, s))


# -- a researcher's own cell: peephole LSTM with layer norm
# --------------------------------------------


def peephole_params(size: str) -> dict[str, np.ndarray]:
    _, _, inputs, hidden = SIZES[size]
    rng = np.random.default_rng(0)
    p = {}
    for g in "ifoz":
        p[f"W_{g}"] = rng.standard_normal((inputs, hidden)) / inputs**0.5
        p[f"U_{g}"] = rng.standard_normal((hidden, hidden)) / hidden**0.5
        p[f"b_{g}"] = np.zeros(hidden)
    for g in "ifozc":
        p[f"g_{g}"], p[f"s_{g}"] = np.ones(hidden), np.zeros(hidden)
    for g in "ifo":
        p[f"p_{g}"] = 0.1 * rng.standard_normal(hidden)
    return {k: v.astype(np.float32) for k, v in p.items()}


def ours_peephole(size: str) -> Step:
    import minigrad as mg
    import recurrent as rc

    _, batch, _, hidden = SIZES[size]

    def norm(a: Any, gain: Any, shift: Any) -> Any:
        d = a - mg.mean(a, axis=-1, keepdims=True)
        return d / mg.sqrt(mg.mean(d * d, axis=-1, keepdims=True) + 1e-5) * gain + shift

    def cell(p: Any, carry: Any, x: Any) -> Any:
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

    d, zeros = data(size), np.zeros((batch, hidden), np.float32)

    def step(p: Any, x: Any, dy: Any) -> Any:
        _, ys = rc.unroll(cell, p, x, (zeros, zeros))
        return ys, mg.vjp(ys, (p, x), dy)

    f, params = mg.function(step), peephole_params(size)
    return lambda: f(params, d["x"], d["dy"])


def torch_peephole(size: str, script: bool) -> Step:
    import torch

    time, batch, _, hidden = SIZES[size]
    p = {k: torch.from_numpy(v) for k, v in peephole_params(size).items()}
    d = {k: torch.from_numpy(v) for k, v in data(size).items()}
    weights = torch.cat([p[f"W_{g}"] for g in "ifzo"], 1).requires_grad_()
    recurrent = torch.cat([p[f"U_{g}"] for g in "ifzo"], 1).requires_grad_()
    bias = torch.cat([p[f"b_{g}"] for g in "ifzo"]).requires_grad_()
    # The four norms of the gates as one over a (B, 4, H) view: fewer, larger ops.
    gains = torch.stack([p[f"g_{g}"] for g in "ifzo"]).requires_grad_()
    shifts = torch.stack([p[f"s_{g}"] for g in "ifzo"]).requires_grad_()
    gain, shift = p["g_c"].requires_grad_(), p["s_c"].requires_grad_()
    peeps = torch.stack([p[f"p_{g}"] for g in "ifo"]).requires_grad_()
    leaves = [weights, recurrent, bias, gains, shifts, gain, shift, peeps]

    def run(x: Any, w: Any, u: Any, b: Any, gs: Any, ss: Any, g: Any, s: Any, pe: Any) -> Any:
        pre = torch.addmm(b, x.reshape(time * batch, -1), w).view(time, batch, 4 * hidden)
        h = torch.zeros(batch, hidden)
        c = torch.zeros(batch, hidden)
        ys = []
        for t in range(time):
            a = torch.addmm(pre[t], h, u).view(batch, 4, hidden)
            a = torch.nn.functional.layer_norm(a, [hidden]) * gs + ss
            gates = torch.sigmoid(a[:, :2] + pe[:2] * c.unsqueeze(1))
            c = gates[:, 1] * c + gates[:, 0] * torch.tanh(a[:, 2])
            o = torch.sigmoid(a[:, 3] + pe[2] * c)
            h = o * torch.tanh(torch.nn.functional.layer_norm(c, [hidden], g, s))
            ys.append(h)
        return torch.stack(ys)

    x = d["x"].requires_grad_()
    if script:
        import warnings

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            run = torch.jit.trace(run, (x, *leaves), check_trace=False)

    def step() -> Any:
        for leaf in (x, *leaves):
            leaf.grad = None
        y = run(x, *leaves)
        y.backward(d["dy"])
        return y

    return step


for _size in SIZES:
    case(f"peephole+norm {_size}", "minigrad")(lambda s=_size: ours_peephole(s))
    case(f"peephole+norm {_size}", "torch loop")(lambda s=_size: torch_peephole(s, False))
    case(f"peephole+norm {_size}", "torch traced")(lambda s=_size: torch_peephole(s, True))


# -- trees: a training step with building the structure
# ------------------------------------------------

TREES, HIDDEN, EMBEDDING = 100, 150, 300


def random_trees() -> list[Any]:
    """100 binary trees of 5 to 33 words, as nested tuples of word numbers."""
    rng = np.random.default_rng(0)

    def grow(words: list[int]) -> Any:
        if len(words) == 1:
            return words[0]
        cut = int(rng.integers(1, len(words)))
        return grow(words[:cut]), grow(words[cut:])

    return [grow(rng.integers(0, 1000, rng.integers(5, 34)).tolist()) for _ in range(TREES)]


def tree_params() -> dict[str, np.ndarray]:
    import recurrent as rc

    params = rc.TreeLSTM(EMBEDDING, HIDDEN).init(0)
    return {k: v.astype(np.float32) for k, v in params.items()}


def words_of(trees: list[Any]) -> np.ndarray:
    found, stack = [], list(trees)[::-1]
    while stack:
        t = stack.pop()
        if isinstance(t, tuple):
            stack += t[::-1]
        else:
            found.append(t)
    return np.array(found)


def table() -> np.ndarray:
    return np.random.default_rng(1).standard_normal((1000, EMBEDDING)).astype(np.float32)


@case("Tree-LSTM forest", "minigrad")
def ours_trees() -> Step:
    import minigrad as mg
    import recurrent as rc

    cell, params, trees = rc.TreeLSTM(EMBEDDING, HIDDEN), tree_params(), random_trees()
    x = table()[words_of(trees)]

    def loss(p: Any, x: Any, s: Any) -> Any:
        _, ys = rc.fold(cell, p, s, x)
        value = mg.sum(mg.square(ys[rc.roots(s)]))
        return value, mg.grad(value, (p, x))

    f = mg.function(loss)
    return lambda: f(params, x, rc.structure(trees))


class TorchTree:
    """Weights of a binary Tree-LSTM packed as torch likes them."""

    def __init__(self) -> None:
        import torch

        p = {k: torch.from_numpy(v) for k, v in tree_params().items()}
        self.w = torch.cat([p[f"W_{g}"] for g in "iouf"], 1).requires_grad_()
        self.b = torch.cat([p[f"b_{g}"] for g in "iouf"]).requires_grad_()
        rows = [
            torch.cat([p[f"U_{g}_{k}"] for g in "iou"] + [p[f"U_f_0{k}"], p[f"U_f_1{k}"]], 1)
            for k in (0, 1)
        ]
        self.u = torch.cat(rows).requires_grad_()

    def inner(self, h: Any, c0: Any, c1: Any) -> Any:
        import torch

        n = HIDDEN
        bias = torch.cat([self.b, self.b[3 * n :]])
        a = torch.addmm(bias, h, self.u)
        i, o = torch.sigmoid(a[:, :n]), torch.sigmoid(a[:, n : 2 * n])
        f = torch.sigmoid(a[:, 3 * n :])
        c = i * torch.tanh(a[:, 2 * n : 3 * n]) + f[:, :n] * c0 + f[:, n:] * c1
        return o * torch.tanh(c), c

    def leaf(self, x: Any) -> Any:
        import torch

        n = HIDDEN
        a = torch.addmm(self.b, x, self.w)
        c = torch.sigmoid(a[:, :n]) * torch.tanh(a[:, 2 * n : 3 * n])
        return torch.sigmoid(a[:, n : 2 * n]) * torch.tanh(c), c

    def clear(self) -> None:
        self.w.grad = self.b.grad = self.u.grad = None


@case("Tree-LSTM forest", "torch recursion")
def torch_recursion() -> Step:
    import torch

    model, trees = TorchTree(), random_trees()
    x = torch.from_numpy(table()[words_of(trees)]).requires_grad_()

    def step() -> Any:
        model.clear()
        x.grad = None
        place = 0

        def visit(t: Any) -> Any:
            nonlocal place
            if not isinstance(t, tuple):
                place += 1
                return model.leaf(x[place - 1 : place])
            (h0, c0), (h1, c1) = visit(t[0]), visit(t[1])
            return model.inner(torch.cat([h0, h1], 1), c0, c1)

        total = sum(visit(t)[0].square().sum() for t in trees)
        total.backward()
        return total

    return step


@case("Tree-LSTM forest", "torch level-batched")
def torch_levels() -> Step:
    import torch

    model, trees = TorchTree(), random_trees()
    x = torch.from_numpy(table()[words_of(trees)]).requires_grad_()

    def build() -> Any:
        """Children of each inner node by height; rows: words first, then inner nodes level by
        level."""
        levels: list[list[tuple[Any, Any]]] = []
        place = 0
        roots = []
        for tree in trees:
            stack, done = [(tree, False)], []
            while stack:
                t, ready = stack.pop()
                if not isinstance(t, tuple):
                    done.append((0, place))
                    place += 1
                elif ready:
                    right, left = done.pop(), done.pop()
                    height = 1 + max(left[0], right[0])
                    while len(levels) < height:
                        levels.append([])
                    levels[height - 1].append((left, right))
                    done.append((height, len(levels[height - 1]) - 1))
                else:
                    stack += [(t, True), (t[1], False), (t[0], False)]
            roots.append(done.pop())
        start = np.cumsum([place, *map(len, levels)])
        first = np.array([0, *start[:-1]])
        rows = [
            torch.from_numpy(np.array([[first[a[0]] + a[1], first[b[0]] + b[1]] for a, b in level]))
            for level in levels
        ]
        return rows, torch.from_numpy(np.array([first[h] + k for h, k in roots]))

    def step() -> Any:
        model.clear()
        x.grad = None
        rows, roots = build()
        h, c = model.leaf(x)
        for pairs in rows:
            left, right = pairs[:, 0], pairs[:, 1]
            new_h, new_c = model.inner(torch.cat([h[left], h[right]], 1), c[left], c[right])
            h, c = torch.cat([h, new_h]), torch.cat([c, new_c])
        total = h[roots].square().sum()
        total.backward()
        return total

    return step
