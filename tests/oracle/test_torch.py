"""Every op and every shipped cell against torch in float64.

Values, gradients, second derivatives.
"""

from __future__ import annotations

import numpy as np
import optree
import pytest

import minigrad as mg
import recurrent as rc
from minigrad.testing.laws import close

torch = pytest.importorskip(
    "torch", reason="torch is not installed; the oracle tests need torch==2.13.0"
)
F = torch.nn.functional
TOL, TOL2 = 1e-10, 1e-8


def to_torch(tree):
    def one(a):
        t = torch.tensor(np.asarray(a))
        return t.requires_grad_() if t.dtype.is_floating_point else t

    return optree.tree_map(one, tree)


def from_torch(tree):
    return optree.tree_map(lambda t: t.detach().numpy(force=True), tree)


def torch_grad(output, wrt, graph=False):
    leaves, spec = optree.tree_flatten(wrt)
    if not output.requires_grad:
        return optree.tree_map(torch.zeros_like, wrt)
    found = torch.autograd.grad(output, leaves, create_graph=graph, allow_unused=True)
    zero = [torch.zeros_like(w) if g is None else g for g, w in zip(found, leaves, strict=True)]
    return optree.tree_unflatten(spec, zero)


def _dot(a, b, total):
    for x, y in zip(optree.tree_leaves(a), optree.tree_leaves(b), strict=True):
        total = total + (x * y).sum() if isinstance(x, torch.Tensor) else total + mg.sum(x * y)
    return total


def compare(ours, theirs, arrays, tol=TOL, tol2=None, seed=0):
    """Values and gradients of two programs (arrays -> pytree of results).

    And Hessian-vector products for tol2.
    """
    rng = np.random.default_rng(seed)
    t, u = mg.tensors(arrays), to_torch(arrays)
    a, b = ours(t), theirs(u)
    weights = optree.tree_map(lambda v: rng.standard_normal(v.shape), a)
    la = _dot(a, weights, mg.asarray(0.0))
    lb = _dot(b, optree.tree_map(torch.tensor, weights), torch.tensor(0.0, dtype=torch.float64))
    ga, gb = mg.grad(la, t), torch_grad(lb, u, graph=tol2 is not None)
    close(mg.evaluate(a), from_torch(b), tol, "value")
    close(mg.evaluate(ga), from_torch(gb), tol, "gradient")
    close(mg.reference((a, ga)), from_torch((b, gb)), tol, "reference")
    if tol2 is not None:
        v = optree.tree_map(lambda x: rng.standard_normal(x.shape), arrays)
        ha = mg.grad(_dot(ga, v, mg.asarray(0.0)), t)
        dotted = _dot(gb, optree.tree_map(torch.tensor, v), torch.tensor(0.0, dtype=torch.float64))
        hb = torch_grad(dotted, u)
        close(mg.evaluate(ha), from_torch(hb), tol2, "second derivative")
        close(mg.evaluate(mg.jvp(ga, t, v)), from_torch(hb), tol2, "forward over reverse")


# -- ops -------------------------------------------------------------------------------------------

GENERIC = np.array([[0.3, -1.2, 2.1], [0.7, 1.6, -0.4]])
POSITIVE = np.abs(GENERIC) + 0.1
OTHER = np.array([[1.1, -0.6, 0.9], [-1.7, 0.2, 0.8]])
UNARY = {
    "exp": (mg.exp, torch.exp, GENERIC),
    "log": (mg.log, torch.log, POSITIVE),
    "log1p": (mg.log1p, torch.log1p, POSITIVE),
    "sqrt": (mg.sqrt, torch.sqrt, POSITIVE),
    "square": (mg.square, torch.square, GENERIC),
    "sin": (mg.sin, torch.sin, GENERIC),
    "cos": (mg.cos, torch.cos, GENERIC),
    "tanh": (mg.tanh, torch.tanh, GENERIC),
    "sigmoid": (mg.sigmoid, torch.sigmoid, GENERIC),
    "relu": (mg.relu, torch.relu, GENERIC),
    "abs": (mg.abs, torch.abs, GENERIC),
    "sign": (mg.sign, torch.sign, GENERIC),
    "negative": (mg.negative, torch.neg, GENERIC),
    "stop_gradient": (mg.stop_gradient, torch.Tensor.detach, GENERIC),
    "astype": (lambda a: mg.astype(a, np.float32), lambda a: a.float(), GENERIC.astype(np.float32)),
    "softmax": (mg.softmax, lambda a: torch.softmax(a, -1), GENERIC),
    "softmax axis 0": (lambda a: mg.softmax(a, axis=0), lambda a: torch.softmax(a, 0), GENERIC),
    "log_softmax": (mg.log_softmax, lambda a: torch.log_softmax(a, -1), GENERIC),
    "logsumexp": (lambda a: mg.logsumexp(a, axis=1), lambda a: torch.logsumexp(a, 1), GENERIC),
    "logsumexp of all": (mg.logsumexp, lambda a: torch.logsumexp(a, (0, 1)), GENERIC),
    "logsumexp keepdims": (
        lambda a: mg.logsumexp(a, axis=0, keepdims=True),
        lambda a: torch.logsumexp(a, 0, True),
        GENERIC,
    ),
    "clip": (lambda a: mg.clip(a, -1.0, 1.0), lambda a: torch.clip(a, -1.0, 1.0), GENERIC),
    "sum": (mg.sum, torch.sum, GENERIC),
    "sum axis": (lambda a: mg.sum(a, axis=0), lambda a: a.sum(0), GENERIC),
    "sum keepdims": (
        lambda a: mg.sum(a, axis=-1, keepdims=True),
        lambda a: a.sum(-1, True),
        GENERIC,
    ),
    "mean": (mg.mean, torch.mean, GENERIC),
    "mean axis": (lambda a: mg.mean(a, axis=1), lambda a: a.mean(1), GENERIC),
    "max": (mg.max, torch.amax, GENERIC),
    "max axis": (lambda a: mg.max(a, axis=0), lambda a: a.amax(0), GENERIC),
    "min": (mg.min, torch.amin, GENERIC),
    "min keepdims": (
        lambda a: mg.min(a, axis=1, keepdims=True),
        lambda a: a.amin(1, True),
        GENERIC,
    ),
    "cube": (lambda a: a**3, lambda a: a**3, GENERIC),
    "x**2": (lambda a: a**2, lambda a: a**2, GENERIC),
    "x**-1.5": (lambda a: a**-1.5, lambda a: a**-1.5, POSITIVE),
    "2**x": (lambda a: 2.0**a, lambda a: 2.0**a, GENERIC),
    "reshape": (lambda a: mg.reshape(a, (3, -1)), lambda a: a.reshape(3, -1), GENERIC),
    "broadcast_to": (
        lambda a: mg.broadcast_to(a, (4, 2, 3)),
        lambda a: a.broadcast_to(4, 2, 3),
        GENERIC,
    ),
    "permute_dims": (
        lambda a: mg.permute_dims(mg.reshape(a, (1, 2, 3)), (2, 0, 1)),
        lambda a: a.reshape(1, 2, 3).permute(2, 0, 1),
        GENERIC,
    ),
    "T": (lambda a: a.T, lambda a: a.T, GENERIC),
    "mT": (lambda a: a.mT, lambda a: a.mT, GENERIC),
    "moveaxis": (lambda a: mg.moveaxis(a, 0, 1), lambda a: torch.moveaxis(a, 0, 1), GENERIC),
    "expand_dims": (lambda a: mg.expand_dims(a, axis=1), lambda a: a.unsqueeze(1), GENERIC),
    "squeeze": (lambda a: mg.squeeze(a[:1], axis=0), lambda a: a[:1].squeeze(0), GENERIC),
    "flip": (lambda a: mg.flip(a, axis=1), lambda a: a.flip(1), GENERIC),
    "flip all": (mg.flip, lambda a: a.flip(0, 1), GENERIC),
    "take": (
        lambda a: mg.take(a, np.array([[2, 0], [0, -1]]), axis=1),
        lambda a: a[:, torch.tensor([[2, 0], [0, 2]])],
        GENERIC,
    ),
    "scatter": (
        lambda a: mg.scatter(a, np.array([3, 3]), 4),
        lambda a: torch.zeros(4, 3, dtype=a.dtype).index_add(0, torch.tensor([3, 3]), a),
        GENERIC,
    ),
    "slice": (lambda a: a[:, ::2], lambda a: a[:, ::2], GENERIC),
    "slice back": (lambda a: a[::-1, -1:0:-1], lambda a: a.flip(0)[:, [2, 1]], GENERIC),
    "index": (lambda a: a[1], lambda a: a[1], GENERIC),
    "index two": (lambda a: a[-1, 1], lambda a: a[-1, 1], GENERIC),
    "newaxis": (lambda a: a[None, :, None], lambda a: a[None, :, None], GENERIC),
    "ellipsis": (lambda a: a[..., 0], lambda a: a[..., 0], GENERIC),
    "rows twice": (lambda a: a[[0, 0, 1]], lambda a: a[[0, 0, 1]], GENERIC),
    "rows and columns": (
        lambda a: a[np.array([0, 1, 1]), np.array([2, 0, 0])],
        lambda a: a[[0, 1, 1], [2, 0, 0]],
        GENERIC,
    ),
    "mask": (lambda a: a[GENERIC > 0], lambda a: a[torch.tensor(GENERIC > 0)], GENERIC),
    "iteration": (
        lambda a: sum((k + 1) * row for k, row in enumerate(a)),
        lambda a: sum((k + 1) * row for k, row in enumerate(a)),
        GENERIC,
    ),
    "einsum ii": (
        lambda a: mg.einsum("ii->i", a @ a.T),
        lambda a: torch.einsum("ii->i", a @ a.T),
        GENERIC,
    ),
    "trace": (lambda a: mg.einsum("ii", a.T @ a), lambda a: torch.einsum("ii", a.T @ a), GENERIC),
    "einsum sum": (lambda a: mg.einsum("ij->j", a), lambda a: torch.einsum("ij->j", a), GENERIC),
    "mean removed": (lambda a: a - mg.mean(a, axis=0), lambda a: a - a.mean(0), GENERIC),
}


@pytest.mark.parametrize("name", UNARY)
def test_unary(name):
    ours, theirs, point = UNARY[name]
    single = point.dtype == np.float32 or name == "astype"
    compare(
        ours,
        theirs,
        np.asarray(point, np.float64),
        1e-6 if single else 1e-12,
        1e-6 if single else 1e-11,
    )


BINARY = {
    "add": (lambda a, b: a + b,) * 2,
    "subtract": (lambda a, b: a - b,) * 2,
    "multiply": (lambda a, b: a * b,) * 2,
    "divide": (lambda a, b: a / b,) * 2,
    "pow": (lambda a, b: mg.abs(a) ** b, lambda a, b: a.abs() ** b),
    "maximum": (mg.maximum, torch.maximum),
    "minimum": (mg.minimum, torch.minimum),
    "where": (lambda a, b: mg.where(a > b, a * b, b), lambda a, b: torch.where(a > b, a * b, b)),
    "vecdot": (mg.vecdot, torch.linalg.vecdot),
    "concat": (lambda a, b: mg.concat([a, b, a], axis=1), lambda a, b: torch.cat([a, b, a], 1)),
    "stack": (lambda a, b: mg.stack([a, b], axis=1), lambda a, b: torch.stack([a, b], 1)),
    "matmul": (lambda a, b: a @ b.T, lambda a, b: a @ b.T),
    "vector @ matrix": (lambda a, b: a[0] @ b.T, lambda a, b: a[0] @ b.T),
    "matrix @ vector": (lambda a, b: a @ b[0], lambda a, b: a @ b[0]),
    "vector @ vector": (lambda a, b: a[0] @ b[1], lambda a, b: a[0] @ b[1]),
    "batched matmul": (
        lambda a, b: a[:, :, None] @ b[:, None, :],
        lambda a, b: a[:, :, None] @ b[:, None, :],
    ),
    "broadcast batched matmul": (
        lambda a, b: a[:, None, None, :] @ b.T,
        lambda a, b: a[:, None, None, :] @ b.T,
    ),
    "batch broadcasts": (
        lambda a, b: mg.reshape(a, (2, 1, 1, 3)) @ mg.reshape(b, (1, 2, 3, 1)),
        lambda a, b: a.reshape(2, 1, 1, 3) @ b.reshape(1, 2, 3, 1),
    ),
    "outer": (lambda a, b: mg.outer(a[0], b[1]), lambda a, b: torch.outer(a[0], b[1])),
    "tensordot": (
        lambda a, b: mg.tensordot(a, b, axes=((0,), (0,))),
        lambda a, b: torch.tensordot(a, b, ([0], [0])),
    ),
    "tensordot 1": (
        lambda a, b: mg.tensordot(a, b.T, axes=1),
        lambda a, b: torch.tensordot(a, b.T, 1),
    ),
    "einsum": (
        lambda a, b: mg.einsum("ij,kj->ki", a, b),
        lambda a, b: torch.einsum("ij,kj->ki", a, b),
    ),
    "einsum of three": (
        lambda a, b: mg.einsum("ij,kj,ik->j", a, b, a @ b.T),
        lambda a, b: torch.einsum("ij,kj,ik->j", a, b, a @ b.T),
    ),
    "einsum summed out": (
        lambda a, b: mg.einsum("ij,kl->il", a, b),
        lambda a, b: torch.einsum("ij,kl->il", a, b),
    ),
    "broadcast column": (lambda a, b: a * b[:, :1], lambda a, b: a * b[:, :1]),
    "broadcast scalar": (lambda a, b: a / b[0, 0], lambda a, b: a / b[0, 0]),
    "Python scalars": (lambda a, b: 2 - 3 * a / 4 + 1 / b, lambda a, b: 2 - 3 * a / 4 + 1 / b),
}


@pytest.mark.parametrize("name", BINARY)
def test_binary(name):
    ours, theirs = BINARY[name]
    arrays = (GENERIC, OTHER)
    compare(lambda t: ours(*t), lambda t: theirs(*t), arrays, 1e-12, 1e-11)


def test_cross_entropy():
    labels = np.array([2, 0])
    compare(
        lambda z: mg.cross_entropy(z, labels),
        lambda z: F.cross_entropy(z, torch.tensor(labels), reduction="none"),
        GENERIC,
        1e-12,
        1e-11,
    )


EXTREME = {
    "sigmoid far out": (mg.sigmoid, torch.sigmoid, [-1000.0, -40.0, 0.0, 40.0, 1000.0]),
    "tanh far out": (mg.tanh, torch.tanh, [-1000.0, -20.0, 0.0, 20.0, 1000.0]),
    "logsumexp large": (mg.logsumexp, lambda a: torch.logsumexp(a, 0), [1000.0, 1000.0]),
    "softmax large": (mg.softmax, lambda a: torch.softmax(a, -1), [1000.0, 999.0, -1000.0]),
    "log_softmax large": (mg.log_softmax, lambda a: torch.log_softmax(a, -1), [1e4, 0.0]),
    "softmax with -inf": (mg.softmax, lambda a: torch.softmax(a, -1), [0.0, -np.inf, 1.0]),
    "relu at 0": (mg.relu, torch.relu, [0.0, -0.0]),
    "abs at 0": (mg.abs, torch.abs, [0.0, -0.0]),
    "maximum of itself": (lambda a: mg.maximum(a, a), lambda a: torch.maximum(a, a), [1.0, 2.0]),
    "maximum at a tie": (
        lambda a: mg.maximum(a, a[::-1]),
        lambda a: torch.maximum(a, a.flip(0)),
        [2.0, 2.0],
    ),
    "max of ties": (mg.max, torch.amax, [2.0, 2.0, 1.0]),
    "min of ties": (mg.min, torch.amin, [2.0, 1.0, 1.0]),
    "x**0": (lambda a: a**0, lambda a: a**0, [0.0, 2.0]),
    "x**2 at 0": (lambda a: a**2, lambda a: a**2, [0.0]),
    "x**3 at 0": (lambda a: a**3, lambda a: a**3, [0.0, -2.0]),
    "empty": (lambda a: a * 2, lambda a: a * 2, []),
}


@pytest.mark.parametrize("name", EXTREME)
def test_kinks_and_overflow(name):
    ours, theirs, point = EXTREME[name]
    compare(ours, theirs, np.array(point), 1e-14, 1e-13)


# -- sequences -------------------------------------------------------------------------------------

I, H, T, B = 3, 4, 5, 3  # noqa: E741
GATES = {"RNN": "", "LSTM": "ifgo", "GRU": "rzn"}  # torch's order


def as_torch(kind, p):
    """Our named gates as torch's packed weights: W_ih, W_hh, b_ih, b_hh.

    Ours in one bias, zero in the other.
    """
    if kind == "RNN":
        return [p["W"].T, p["U"].T, p["b"], torch.zeros(H, dtype=torch.float64)]
    gates = GATES[kind]
    packed = [
        torch.cat([p[f"W_{g}"].T for g in gates]),
        torch.cat([p[f"U_{g}"].T for g in gates]),
        torch.cat([p[f"b_{g}"] for g in gates]),
    ]
    zero = torch.zeros(H, dtype=torch.float64)
    other = torch.cat([p["c_n"] if kind == "GRU" and g == "n" else zero for g in gates])
    return [*packed, other]


def torch_layer(kind, p, xs, carry, lengths=None, reverse=False):
    """nn.RNN/LSTM/GRU over each sequence alone.

    Ragged and reversed by slicing and flipping its input.
    """
    net = {"RNN": torch.nn.RNN, "LSTM": torch.nn.LSTM, "GRU": torch.nn.GRU}[kind](I, H).double()
    names = [n for n, _ in net.named_parameters()]
    weights = dict(zip(names, as_torch(kind, p), strict=True))
    if xs.shape[-1] != I:
        net = type(net)(xs.shape[-1], H).double()
    leaves = carry if isinstance(carry, tuple) else (carry,)

    def run(x, first):
        first = tuple(s[None] for s in first)
        given = first if kind == "LSTM" else first[0]
        ys, last = torch.func.functional_call(net, weights, (x, given))
        return ys, [s[0] for s in (last if kind == "LSTM" else (last,))]

    if lengths is None and not reverse:
        ys, last = run(xs, leaves)
        return (tuple(last) if len(last) > 1 else last[0]), ys
    columns, lasts = [], []
    for b in range(xs.shape[1]):
        n = xs.shape[0] if lengths is None else int(lengths[b])
        first = [s[b : b + 1] for s in leaves]
        x = xs[:n, b : b + 1]
        ys, last = (
            run(x.flip(0) if reverse else x, first)
            if n
            else (torch.zeros(0, 1, H, dtype=xs.dtype), first)
        )
        ys = ys.flip(0) if reverse else ys
        columns.append(torch.cat([ys, torch.zeros(xs.shape[0] - n, 1, H, dtype=xs.dtype)]))
        lasts.append(last)
    merged = tuple(torch.cat([s[k] for s in lasts]) for k in range(len(leaves)))
    return (merged if len(merged) > 1 else merged[0]), torch.cat(columns, 1)


MAKERS = {"RNN": rc.RNN, "LSTM": rc.LSTM, "GRU": rc.GRU}
MODES = {
    "dense": {},
    "ragged": {"lengths": [5, 0, 2]},
    "reversed": {"reverse": True},
    "ragged and reversed": {"lengths": [4, 5, 1], "reverse": True},
}


def problem(kind, seed=0):
    rng = np.random.default_rng(seed)
    cell = MAKERS[kind](I, H)
    params = {k: 0.5 * rng.standard_normal(v.shape) for k, v in cell.init(0).items()}
    carry = tuple(rng.standard_normal((B, H)) for _ in cell.state_names)
    return cell, {
        "p": params,
        "x": rng.standard_normal((T, B, I)),
        "s": carry if len(carry) > 1 else carry[0],
    }


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", MAKERS)
def test_sequence(kind, mode):
    cell, arrays = problem(kind)
    compare(
        lambda t: rc.unroll(cell, t["p"], t["x"], t["s"], **MODES[mode]),
        lambda t: torch_layer(kind, t["p"], t["x"], t["s"], **MODES[mode]),
        arrays,
        TOL,
        TOL2,
    )


@pytest.mark.parametrize("kind", MAKERS)
def test_one_sequence_without_a_batch_axis_from_zeros(kind):
    cell, arrays = problem(kind)
    arrays = {"p": arrays["p"], "x": arrays["x"][:, 0]}

    def theirs(t):
        zero = torch.zeros(1, H, dtype=torch.float64)
        carry, ys = torch_layer(
            kind, t["p"], t["x"][:, None], (zero, zero) if kind == "LSTM" else zero
        )
        return optree.tree_map(lambda s: s[0], carry), ys[:, 0]

    compare(lambda t: rc.unroll(cell, t["p"], t["x"]), theirs, arrays)


@pytest.mark.parametrize("kind", MAKERS)
def test_second_layer_by_hand(kind):
    """Two layers, the second reversed and both ragged: ours twice, torch twice."""
    cell, arrays = problem(kind)
    top = MAKERS[kind](H, H)
    rng = np.random.default_rng(7)
    arrays["q"] = {k: 0.5 * rng.standard_normal(v.shape) for k, v in top.init(0).items()}
    lengths = [5, 3, 1]

    def ours(t):
        _, ys = rc.unroll(cell, t["p"], t["x"], t["s"], lengths=lengths)
        return rc.unroll(top, t["q"], ys, t["s"], lengths=lengths, reverse=True)

    def theirs(t):
        _, ys = torch_layer(kind, t["p"], t["x"], t["s"], lengths)
        return torch_layer(kind, t["q"], ys, t["s"], lengths, True)

    compare(ours, theirs, arrays)


def test_gru_with_the_reset_before_the_product():
    cell = rc.GRU(I, H, reset_after=False)
    rng = np.random.default_rng(3)
    arrays = {
        "p": {k: rng.standard_normal(v.shape) for k, v in cell.init(0).items()},
        "x": rng.standard_normal((T, B, I)),
        "s": rng.standard_normal((B, H)),
    }

    def theirs(t):
        p, h, ys = t["p"], t["s"], []
        for x in t["x"]:
            r = torch.sigmoid(x @ p["W_r"] + h @ p["U_r"] + p["b_r"])
            z = torch.sigmoid(x @ p["W_z"] + h @ p["U_z"] + p["b_z"])
            n = torch.tanh(x @ p["W_n"] + (r * h) @ p["U_n"] + p["b_n"])
            h = (1 - z) * n + z * h
            ys.append(h)
        return h, torch.stack(ys)

    compare(lambda t: rc.unroll(cell, t["p"], t["x"], t["s"]), theirs, arrays, TOL, TOL2)


def test_relu_rnn():
    cell, arrays = problem("RNN")
    net = torch.nn.RNN(I, H, nonlinearity="relu").double()
    names = [n for n, _ in net.named_parameters()]

    def theirs(t):
        weights = dict(zip(names, as_torch("RNN", t["p"]), strict=True))
        ys, last = torch.func.functional_call(net, weights, (t["x"], t["s"][None]))
        return last[0], ys

    compare(lambda t: rc.unroll(rc.RNN(I, H, "relu"), t["p"], t["x"], t["s"]), theirs, arrays)


# -- trees -----------------------------------------------------------------------------------------

TREES = {
    "binary": ["(3 (2 (2 a) (2 b)) (4 c))", "(1 d)", "(2 (2 e) (3 (3 f) (2 (2 g) (1 h))))"],
    "only children": ["(1 (2 a))", "(1 (1 (0 b)) (2 c))"],
    "inner words": ["(1 (2 a) (2 b))"],
}


def torch_tree(kind, p, trees, xs, arity=2):
    """A plain recursion; rows in post-order."""
    words = iter(range(len(xs)))
    zero = torch.zeros(H, dtype=torch.float64)
    rows = []

    def rnn(children, x):
        total = x @ p["W"] + p["b"]
        for k, (h,) in enumerate(children):
            total = total + h @ p[f"U_{k}"]
        return (torch.tanh(total),)

    def lstm(children, x):
        def gate(g, place=""):
            total = x @ p[f"W_{g}"] + p[f"b_{g}"]
            for k, (h, _) in enumerate(children):
                total = total + h @ p[f"U_{g}_{place}{k}"]
            return total

        c = torch.sigmoid(gate("i")) * torch.tanh(gate("u"))
        for k, (_, ck) in enumerate(children):
            c = c + torch.sigmoid(gate("f", str(k))) * ck
        return torch.sigmoid(gate("o")) * torch.tanh(c), c

    def visit(tree):
        children = [visit(c) for c in tree.children]
        x = xs[next(words)] if tree.word is not None else torch.zeros(I, dtype=torch.float64)
        size = 1 if kind == "net" else 2
        children += [(zero,) * size] * (arity - len(children))
        rows.append((rnn if kind == "net" else lstm)(children, x))
        return rows[-1]

    for tree in trees:
        visit(tree)
    leaves = tuple(torch.stack(leaf) for leaf in zip(*rows, strict=True))
    return (leaves if kind != "net" else leaves[0]), leaves[0]


@pytest.mark.parametrize("forest", TREES)
@pytest.mark.parametrize("kind", ["net", "lstm"])
def test_tree(kind, forest):
    trees = rc.Tree.parse(TREES[forest])
    count = sum(len(t.words()) for t in trees)
    rng = np.random.default_rng(5)
    cell = (rc.RecursiveNet if kind == "net" else rc.TreeLSTM)(I, H)
    arrays = {
        "p": {k: 0.5 * rng.standard_normal(v.shape) for k, v in cell.init(0).items()},
        "x": rng.standard_normal((count, I)),
    }
    compare(
        lambda t: rc.fold(cell, t["p"], trees, t["x"]),
        lambda t: torch_tree(kind, t["p"], trees, t["x"]),
        arrays,
        TOL,
        TOL2,
    )


@pytest.mark.parametrize("kind", ["net", "lstm"])
def test_ternary_tree(kind):
    trees = [rc.Tree.parse((("a", "b", "c"), ("d", "e"), "f"))]
    rng = np.random.default_rng(6)
    cell = (rc.RecursiveNet if kind == "net" else rc.TreeLSTM)(I, H, arity=3)
    arrays = {
        "p": {k: 0.5 * rng.standard_normal(v.shape) for k, v in cell.init(0).items()},
        "x": rng.standard_normal((6, I)),
    }
    compare(
        lambda t: rc.fold(cell, t["p"], trees, t["x"]),
        lambda t: torch_tree(kind, t["p"], trees, t["x"], 3),
        arrays,
    )
