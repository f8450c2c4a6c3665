"""torch.nn.RNN, LSTM and GRU: all samples of torch's own module tests, values and gradients.

With weights that came over as state dicts; and ours read by torch.
"""

from __future__ import annotations

import numpy as np
import optree
import pytest

import minigrad as mg
import recurrent as rc
from minigrad.testing.laws import close

from ..recurrent.checks import loss_of, random_params

torch = pytest.importorskip(
    "torch", reason="torch is not installed; the oracle tests need torch==2.13.0"
)
pytest.importorskip("expecttest", reason="expecttest is not installed; torch's samples need it")

KINDS = {"RNN": torch.nn.RNN, "LSTM": torch.nn.LSTM, "GRU": torch.nn.GRU}


def samples():
    from torch.testing._internal.common_modules import module_db

    found = []
    for info in module_db:
        if info.module_cls in KINDS.values():
            inputs = info.module_inputs_func(
                info, device="cpu", dtype=torch.float64, requires_grad=False, training=False
            )
            found += [(info.module_cls, sample) for sample in inputs]
    return found


SAMPLES = samples()


def arrays_of(state):
    return {name: t.numpy() for name, t in state.items()}


def our_start(module, hidden):
    """torch's initial state (layers * directions, [B,] H) as the carry of the net."""
    if hidden is None:
        return None
    parts = hidden if isinstance(hidden, tuple) else (hidden,)
    parts = [np.asarray(h) for h in parts]

    def state(k):
        row = tuple(h[k] for h in parts)
        return row if len(row) > 1 else row[0]

    ways = 2 if module.bidirectional else 1
    layers = [
        tuple(state(k * ways + w) for w in range(ways)) if ways > 1 else state(k)
        for k in range(module.num_layers)
    ]
    return tuple(layers) if module.num_layers > 1 else layers[0]


def their_final(module, final):
    """Our final states in the shape of torch's."""
    ways = 2 if module.bidirectional else 1
    layers = final if module.num_layers > 1 else (final,)
    states = [s for layer in layers for s in (layer if ways > 1 else (layer,))]
    parts = [s if isinstance(s, tuple) else (s,) for s in states]
    stacked = tuple(mg.stack(leaf) for leaf in zip(*parts, strict=True))
    return stacked if len(stacked) > 1 else stacked[0]


def our_run(net, module, params, x, start):
    """Any of ours as torch runs it."""
    first = module.batch_first and x.ndim == 3
    xs = mg.moveaxis(x, 0, 1) if first else x
    if hasattr(net, "zero_state"):
        final, ys = rc.unroll(net, params, xs, start)
    else:
        final, ys = net(params, xs, carry=start)
    return (mg.moveaxis(ys, 0, 1) if first else ys), their_final(module, final)


def their_loss(outputs):
    total = 0.0
    for k, y in enumerate(optree.tree_leaves(outputs)):
        weights = np.random.default_rng([7, k]).standard_normal(tuple(y.shape))
        total = total + (torch.sin(y) * torch.tensor(weights)).sum()
    return total


def same_as_torch(module, x, hidden, tol=1e-10):
    """Values, and gradients of everything: torch's by weight, converted like the weights."""
    kind = type(module).__name__
    relu = {"nonlinearity": module.nonlinearity} if kind == "RNN" else {}
    net, params = rc.from_torch(arrays_of(module.state_dict()), **relu)
    start = our_start(module, hidden)
    t = mg.tensors({"p": params, "x": x.numpy(), "s": start})
    found = our_run(net, module, t["p"], t["x"], t["s"])

    x = x.clone().requires_grad_()
    first = optree.tree_map(lambda h: h.clone().requires_grad_(), hidden)
    wanted = module(x) if hidden is None else module(x, first)
    close(mg.evaluate(found), optree.tree_map(lambda v: v.detach().numpy(), wanted), tol, "values")

    module.zero_grad()
    their_loss(wanted).backward()
    ours = mg.grad(loss_of(found), t)
    close(mg.evaluate(ours["x"]), x.grad.numpy(), tol, "gradient of x")
    if hidden is not None:
        starts = our_start(module, optree.tree_map(lambda h: h.grad, first))
        close(mg.evaluate(ours["s"]), starts, tol, "gradient of the start")
    grads = {name: p.grad.numpy() for name, p in module.named_parameters()}
    for name in [n for n in grads if n.startswith("bias_ih")]:  # ours is the sum of both
        both = grads[name], grads[name.replace("ih", "hh")]
        keep = slice(0, len(both[0]) * 2 // 3) if kind == "GRU" else slice(None)
        close(both[0][keep], both[1][keep], 1e-12)
        both[1][keep] = 0
    _, wanted_grads = rc.from_torch(grads, **relu)
    found_grads = mg.evaluate(ours["p"])
    if not module.bias:  # no gradients of what torch does not have
        strip = lambda tree: [  # noqa: E731
            a for path, a in zip(optree.tree_paths(tree), optree.tree_leaves(tree), strict=True)
            if path[-1][0] not in "bc"
        ]  # fmt: skip
        found_grads, wanted_grads = strip(found_grads), strip(wanted_grads)
    close(found_grads, wanted_grads, tol, "gradient of the parameters")
    return net, params


def test_there_are_eighty_samples():
    assert len(SAMPLES) == 80


@pytest.mark.parametrize("k", range(len(SAMPLES)))
def test_samples_of_torch(k):
    cls, sample = SAMPLES[k]
    make, run = sample.constructor_input, sample.forward_input
    torch.manual_seed(k)
    module = cls(*make.args, **make.kwargs).double()
    x, hidden = (*run.args, None)[:2]
    net, params = same_as_torch(module, x, hidden)
    back = rc.to_torch(net, params, bias=module.bias)
    module.load_state_dict({n: torch.tensor(a) for n, a in back.items()}, strict=True)
    same_as_torch(module, x, hidden)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("first", [False, True])
def test_batches(kind, layers, both, first):
    torch.manual_seed(3)
    module = KINDS[kind](3, 4, layers, bidirectional=both, batch_first=first).double()
    x = torch.randn(2, 5, 3, dtype=torch.float64)
    batch = 2 if first else 5
    h = torch.randn(layers * (1 + both), batch, 4, dtype=torch.float64)
    same_as_torch(module, x, (h, h + 1) if kind == "LSTM" else h)


@pytest.mark.parametrize("both", [False, True])
def test_ragged_batches_are_packed_sequences(both):
    torch.manual_seed(0)
    module = torch.nn.GRU(3, 4, 2, bidirectional=both).double()
    net, params = rc.from_torch(arrays_of(module.state_dict()))
    x, lengths = torch.randn(5, 3, 3, dtype=torch.float64), [2, 5, 1]
    packed = torch.nn.utils.rnn.pack_padded_sequence(x, lengths, enforce_sorted=False)
    ys, last = module(packed)
    wanted = torch.nn.utils.rnn.pad_packed_sequence(ys)[0]
    if both:
        final, found = net(params, x.numpy(), lengths)
    else:
        final, found = rc.unroll(net, params, x.numpy(), lengths=lengths)
    close(found.numpy(), wanted.detach().numpy(), 1e-12)
    close(mg.evaluate(their_final(module, final)), last.detach().numpy(), 1e-12)


OURS = {
    "rnn": (rc.RNN(3, 4), torch.nn.RNN(3, 4)),
    "relu": (rc.RNN(3, 4, "relu"), torch.nn.RNN(3, 4, nonlinearity="relu")),
    "lstm": (rc.LSTM(3, 4), torch.nn.LSTM(3, 4)),
    "gru": (rc.GRU(3, 4), torch.nn.GRU(3, 4)),
    "projected": (rc.ProjectedLSTM(3, 4, 2), torch.nn.LSTM(3, 4, proj_size=2)),
    "stack": (rc.stack(rc.GRU(3, 4), rc.GRU(4, 4)), torch.nn.GRU(3, 4, 2)),
    "both": (rc.bidirectional(rc.LSTM(3, 4)), torch.nn.LSTM(3, 4, bidirectional=True)),
    "layers": (
        rc.layered(
            rc.bidirectional(rc.ProjectedLSTM(3, 4, 2)), rc.bidirectional(rc.ProjectedLSTM(4, 4, 2))
        ),
        torch.nn.LSTM(3, 4, 2, bidirectional=True, proj_size=2),
    ),
}


@pytest.mark.parametrize("name", OURS)
def test_ours_in_torch(name, tmp_path):
    """Through a safetensors file torch's own library reads; and back from it."""
    from safetensors.torch import load_file

    net, module = OURS[name]
    params = random_params(net, 0)
    mg.save(tmp_path / "net.safetensors", rc.to_torch(net, params))
    module = module.double()
    module.load_state_dict(load_file(tmp_path / "net.safetensors"), strict=True)
    x = np.random.default_rng(1).standard_normal((5, 2, 3))
    wanted = module(torch.tensor(x))
    found = our_run(net, module, params, mg.asarray(x), None)
    close(mg.evaluate(found), optree.tree_map(lambda v: v.detach().numpy(), wanted), 1e-12)
    again, same = rc.from_torch(
        tmp_path / "net.safetensors", nonlinearity="relu" if name == "relu" else "tanh"
    )
    assert repr(again) == repr(net)
    close(same, params, 0)


def test_a_larger_model_by_prefix(tmp_path):
    from safetensors.torch import save_file

    class Tagger(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn, self.out = torch.nn.LSTM(3, 4), torch.nn.Linear(4, 2)

    model = Tagger()
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    net, params = rc.from_torch(tmp_path / "model.safetensors", prefix="rnn.")
    x = torch.randn(5, 3)
    assert params["W_i"].dtype == np.float32
    close(rc.unroll(net, params, x.numpy())[1].numpy(), model.rnn(x)[0].detach().numpy(), 1e-6)
    state = rc.to_torch(net, params, prefix="rnn.")
    model.load_state_dict({k: torch.tensor(v) for k, v in state.items()}, strict=False)
    close(rc.unroll(net, params, x.numpy())[1].numpy(), model.rnn(x)[0].detach().numpy(), 1e-6)
