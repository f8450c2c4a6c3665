"""Encoder and decoder: laws 1 to 3, a naive torch implementation, and decoding by exhaustion."""

import itertools

import numpy as np
import optree
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
import recurrent as rc
from minigrad.testing.laws import close

from ..counting import examples
from .nets import graph_laws, tangents_and_cotangents_agree

SOURCE, TARGET, M, H, D = 5, 6, 4, 4, 2  # tokens, and the sizes of memory, state and embedding
KINDS = {"lstm": rc.LSTM, "gru": rc.GRU, "rnn": rc.RNN}


def make(kind="gru", start="tanh", every_step=False, attention=None, **more):
    extra = M * (every_step + (attention == "additive"))
    return rc.encoder_decoder(
        KINDS[kind](3, M), KINDS[kind](D + extra, H), source_tokens=SOURCE, start=start,
        every_step=every_step, attention=attention, **{"target_tokens": TARGET, **more},
    )  # fmt: skip


@st.composite
def problems(draw):
    """A net, its parameters away from zero, and ragged batches of independent lengths."""
    attention = draw(st.sampled_from([None, "additive", "dot", "general"]))
    start = draw(st.sampled_from(["tanh", "copy", None] if attention else ["tanh", "copy"]))
    net = make(draw(st.sampled_from(sorted(KINDS))), start, draw(st.booleans()), attention)
    batch = draw(st.integers(1, 3))
    sources = draw(st.lists(st.integers(1, 4), min_size=batch, max_size=batch))
    targets = draw(st.lists(st.integers(0, 4), min_size=batch, max_size=batch))
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    params = optree.tree_map(lambda a: a + 0.2 * rng.standard_normal(a.shape), net.init(0))
    xs, ys = rng.integers(0, SOURCE, (4, batch)), rng.integers(0, TARGET, (4, batch))
    return net, params, xs, ys, sources, targets


# -- an oracle that shares no line with the engine -------------------------------------------------


def torch_cell(torch, name, p, state, x):
    def gate(g, h):
        return x @ p[f"W_{g}"] + h @ p[f"U_{g}"] + p[f"b_{g}"]

    if name == "rnn":
        h = torch.tanh(x @ p["W"] + state[0] @ p["U"] + p["b"])
        return (h,), h
    if name == "gru":
        (h,) = state
        r, z = torch.sigmoid(gate("r", h)), torch.sigmoid(gate("z", h))
        n = torch.tanh(x @ p["W_n"] + p["b_n"] + r * (h @ p["U_n"] + p["c_n"]))
        h = (1 - z) * n + z * h
        return (h,), h
    h, c = state
    i, f, o = (torch.sigmoid(gate(g, h)) for g in "ifo")
    c = f * c + i * torch.tanh(gate("g", h))
    h = o * torch.tanh(c)
    return (h, c), h


def torch_net(torch, net, p, xs, ys):
    """Logits of one pair of sequences, a step at a time."""
    name = net.decoder.name.lower()
    parts = 2 if name == "lstm" else 1
    state, memory = (torch.zeros(M, dtype=torch.float64),) * parts, []
    for token in xs:
        state, y = torch_cell(torch, name, p["encoder"], state, p["source_E"][token])
        memory.append(y)
    context, memory = memory[-1], torch.stack(memory)
    if net.start == "tanh":
        state = tuple(torch.tanh(context @ q["V"] + q["c"]) for q in p["start"])
    elif net.start is None:
        state = (torch.zeros(H, dtype=torch.float64),) * parts
    logits, a = [], p.get("attention")
    for token in ys:
        x = p["E"][token]
        if net.every_step:
            x = torch.cat([x, context])
        if net.attention == "additive":
            score = torch.tanh(state[0] @ a["W"] + memory @ a["U"]) @ a["v"]
            c = torch.softmax(score, 0) @ memory
            state, y = torch_cell(torch, name, p["cell"], state, torch.cat([x, c]))
            y = torch.cat([y, c])
        else:
            state, y = torch_cell(torch, name, p["cell"], state, x)
            if net.attention:
                q = y @ a["W"] if net.attention == "general" else y
                c = torch.softmax(memory @ q, 0) @ memory
                y = torch.tanh(torch.cat([c, y]) @ a["combine"])
        logits.append(y @ p["out"]["V"] + p["out"]["c"])
    return logits


@settings(max_examples=examples(40))
@given(problems())
def test_against_a_naive_torch_implementation(problem):
    torch = pytest.importorskip("torch")
    net, params, xs, ys, sources, targets = problem
    labels = (ys + 1) % TARGET
    p = optree.tree_map(lambda a: torch.tensor(a, requires_grad=True), params)
    wanted, total = np.zeros((4, len(sources), TARGET)), torch.zeros((), dtype=torch.float64)
    for b, (s, t) in enumerate(zip(sources, targets, strict=True)):
        for k, z in enumerate(torch_net(torch, net, p, xs[:s, b], ys[:t, b])):
            wanted[k, b] = z.detach().numpy()
            total = total - torch.log_softmax(z, 0)[labels[k, b]] / max(sum(targets), 1)
    if sum(targets):
        total.backward()
    t = mg.tensors(params)
    logits = net(t, xs, ys, sources, targets)
    loss = rc.cross_entropy(logits, labels, lengths=targets)
    grads = optree.tree_map(lambda q: np.zeros(q.shape) if q.grad is None else q.grad.numpy(), p)
    close(mg.evaluate((logits, loss, mg.grad(loss, t))), (wanted, total.detach().numpy(), grads),
          1e-8)  # fmt: skip


# -- the laws --------------------------------------------------------------------------------------


@pytest.mark.long
@settings(max_examples=examples(12))
@given(problems())
def test_compiled_evaluated_and_unfolded(problem):
    net, params, xs, ys, sources, targets = problem
    graph_laws(lambda p: net(p, xs, ys, sources, targets), params)


@settings(max_examples=examples(8))
@given(problems())
def test_forward_and_second_derivatives(problem):
    net, params, xs, ys, sources, targets = problem
    tangents_and_cotangents_agree(lambda p: net(p, xs, ys, sources, targets), params)


def test_a_series_as_the_source_whose_padding_is_nan():
    net = rc.encoder_decoder(rc.GRU(3, M), rc.GRU(D, H), target_tokens=TARGET, attention="dot")
    rng, lengths = np.random.default_rng(0), [2, 4]
    xs, ys = rng.standard_normal((4, 2, 3)), rng.integers(0, TARGET, (3, 2))
    holes = np.where(rc.within(4, lengths, 2)[..., None], xs, np.nan)

    def run(p, xs):
        logits = net(p, xs, ys, lengths)
        return logits, mg.grad(mg.sum(mg.square(logits)), (p, xs))

    p = net.init(0)
    wanted = mg.evaluate(run(*mg.tensors((p, xs))))
    close(mg.evaluate(run(*mg.tensors((p, holes)))), wanted, 1e-12)
    close(mg.function(run)(p, holes), wanted, 1e-12)


@pytest.mark.long
def test_nothing_to_say_and_single_precision():
    net, p = NET, optree.tree_map(np.float32, NET.init(0))
    assert net(p, X, Y[:0]).shape == (0, 2, TARGET)
    f = mg.function(lambda p: (lambda z: (z, mg.grad(mg.sum(z * z), p)))(net(p, X, Y)))
    assert {a.dtype for a in optree.tree_leaves(f(p))} == {np.dtype(np.float32)}
    assert mg.evaluate(net.free(p, X, 0, 3)[0]).dtype == np.float32


@settings(max_examples=examples(20))
@given(problems(), st.integers(0, 2**16))
def test_batched_is_one_by_one_and_padding_never_matters(problem, seed):
    net, params, xs, ys, sources, targets = problem
    rng = np.random.default_rng(seed)
    logits = mg.evaluate(net(params, xs, ys, sources, targets))
    inside = rc.within(4, sources, len(sources)), rc.within(4, targets, len(targets))
    other = np.where(inside[0], xs, rng.integers(0, SOURCE, xs.shape))
    read = np.where(inside[1], ys, rng.integers(0, TARGET, ys.shape))
    close(mg.evaluate(net(params, other, read, sources, targets)), logits, 1e-14)
    for b, (s, t) in enumerate(zip(sources, targets, strict=True)):
        one = mg.evaluate(net(params, xs[:s, b : b + 1], ys[:t, b : b + 1]))
        close(logits[:t, b], one[:, 0], 1e-12)
        assert not logits[t:, b].any()


@settings(max_examples=examples(20))
@given(problems())
def test_the_decoder_is_a_plain_loop_over_one_step(problem):
    net, params, xs, ys, sources, _ = problem
    source = net.encode(params, xs, sources)
    carry, logits = source["start"], []
    for tokens in ys:
        log_p, carry = net.read_token(params, source, carry, tokens)
        logits.append(log_p)
    wanted = mg.log_softmax(net(params, xs, ys, sources))
    close(mg.evaluate(mg.stack(logits)), mg.evaluate(wanted), 1e-12)


@pytest.mark.parametrize("attention", [None, "additive", "general"])
def test_a_bidirectional_encoder_and_a_deep_decoder(attention):
    encoder = rc.bidirectional(rc.GRU(3, 2), rc.LSTM(3, 2))
    extra = 4 * (attention == "additive")
    net = rc.encoder_decoder(
        encoder, rc.stack(rc.GRU(2 + extra, 3), rc.LSTM(3, 4)), source_tokens=SOURCE,
        target_tokens=TARGET, attention=attention,
    )  # fmt: skip
    rng = np.random.default_rng(0)
    xs, ys = rng.integers(0, SOURCE, (4, 2)), rng.integers(0, TARGET, (3, 2))
    logits, *_ = graph_laws(lambda p: net(p, xs, ys, [4, 2]), net.init(0))
    close(mg.evaluate(net(net.init(0), xs[:2, 1:], ys[:, 1:])), logits[:, 1:], 1e-12)
    source = mg.evaluate(net.encode(net.init(0), xs[:2, 1:]))
    _, memory = encoder(net.init(0)["encoder"], net.init(0)["source_E"][xs[:2, 1:]])
    close(source["context"], mg.evaluate(mg.mean(memory, axis=0)), 1e-12)
    said = rc.beam_search(net, net.init(0), xs, first=0, end=1, steps=4, width=3, lengths=[4, 2])
    assert len(said) == 2 and all(len(h) == 3 for h in said)


# -- attention -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["additive", "dot", "general"])
def test_weights_are_a_distribution_over_the_source(kind):
    net, rng = make(attention=kind), np.random.default_rng(0)
    p, lengths = net.init(0), [4, 1, 3]
    source = net.encode(p, rng.integers(0, SOURCE, (4, 3)), lengths)
    query = rng.standard_normal((3, H))
    context, weights = mg.evaluate(rc.attend(query, kind, p["attention"], source))
    close(weights.sum(axis=-1), np.ones(3), 1e-12)
    assert (weights[~rc.within(4, lengths, 3).T] == 0).all() and (weights[1] == [1, 0, 0, 0]).all()
    memory = source["memory"].numpy()
    close(context, np.einsum("bs,bsm->bm", weights, memory), 1e-12)


def test_the_memory_is_not_copied_per_step():
    net = make(attention="general")
    rng = np.random.default_rng(0)
    logits = net(net.init(0), rng.integers(0, SOURCE, (4, 2)), rng.integers(0, TARGET, (50, 2)))
    todo, seen = [logits], set()
    while todo:
        t = todo.pop()
        if id(t) not in seen:
            seen.add(id(t))
            todo += t.inputs
            assert t.size < 50 * 2 * 4 * M, t


# -- free running ----------------------------------------------------------------------------------


@settings(max_examples=examples(15))
@given(problems(), st.integers(0, 2**16))
def test_free_running_reads_its_own_choices(problem, seed):
    net, params, xs, _, sources, _ = problem
    noise = np.random.default_rng(seed).gumbel(size=(5, len(sources), TARGET))
    for extra in (None, noise):
        logits, chosen = mg.evaluate(net.free(params, xs, 0, 5, sources, noise=extra))
        wanted = logits if extra is None else logits + extra
        np.testing.assert_array_equal(chosen, wanted.argmax(axis=-1))
        read = np.concatenate([np.zeros_like(chosen[:1]), chosen[:-1]])
        close(mg.evaluate(net(params, xs, read, sources)), logits, 1e-12)
    forced = np.random.default_rng(seed).random((5, len(sources))) < 0.5
    given_ = np.random.default_rng(seed + 1).integers(0, TARGET, forced.shape)
    logits, chosen = mg.evaluate(net.free(params, xs, given_, 5, sources, forced=forced))
    forced[0] = True
    read = np.where(forced, given_, np.concatenate([chosen[:1] * 0, chosen[:-1]]))
    close(mg.evaluate(net(params, xs, read, sources)), logits, 1e-12)


def test_free_running_is_differentiable_and_obeys_the_laws():
    net, rng = make(attention="additive"), np.random.default_rng(0)
    xs = rng.integers(0, SOURCE, (4, 2))
    graph_laws(lambda p: net.free(p, xs, 0, 4, [4, 2])[0], net.init(0))


def test_a_series_to_a_series():
    """Real-valued source and target; free running feeds the output back."""
    net = rc.encoder_decoder(rc.GRU(3, M), rc.GRU(2, H), outputs=2, attention="general")
    rng, p = np.random.default_rng(0), net.init(0)
    xs, ys = rng.standard_normal((5, 2, 3)), rng.standard_normal((3, 2, 2))
    graph_laws(lambda a: net(*a, [5, 2], [3, 1]), (p, xs, ys))
    first = rng.standard_normal((2, 2))
    outputs, _ = graph_laws(lambda a: net.free(*a, 4, [5, 2]), (p, xs, first))[0]
    read = np.concatenate([first[None], outputs[:-1]])
    close(mg.evaluate(net(p, xs, read, [5, 2])), outputs, 1e-12)


# -- decoding --------------------------------------------------------------------------------------


def probability(net, params, xs, lengths, b, tokens, end, steps):
    """log p of one decoded sequence, by teacher forcing."""
    said = [*tokens, end][:steps]
    read = np.array([0, *said[:-1]])[:, None]
    n = lengths[b]
    log_p = mg.evaluate(mg.log_softmax(net(params, xs[:n, b : b + 1], read)))[:, 0]
    return float(log_p[np.arange(len(said)), said].sum())


def decoding_problem(attention, seed=0):
    net = make("gru", every_step=attention is None, attention=attention)
    rng = np.random.default_rng(seed)
    params = optree.tree_map(lambda a: a + 0.7 * rng.standard_normal(a.shape), net.init(0))
    return net, params, rng.integers(0, SOURCE, (4, 3)), [4, 1, 3]


@pytest.mark.long
@pytest.mark.parametrize("attention", [None, "additive", "dot"])
def test_greedy_is_free_running_up_to_the_end(attention):
    sizes = set()
    for seed in range(6):
        net, params, xs, lengths = decoding_problem(attention, seed)
        found = rc.greedy(net, params, xs, first=0, end=5, steps=6, lengths=lengths)
        chosen = mg.evaluate(net.free(params, xs, 0, 6, lengths)[1])
        sizes.add(tuple(len(h.tokens) for h in found))
        for b, h in enumerate(found):
            whole = chosen[:, b].tolist()
            assert h.tokens == (whole[: whole.index(5)] if 5 in whole else whole)
            assert h.log_probability == pytest.approx(
                probability(net, params, xs, lengths, b, h.tokens, 5, 6), rel=1e-10
            )
        one = rc.beam_search(net, params, xs, first=0, end=5, steps=6, width=1, lengths=lengths)
        assert [h[0].tokens for h in one] == [h.tokens for h in found]
    assert any(len(set(s)) > 1 for s in sizes)  # some end before others of their batch


@pytest.mark.parametrize(
    "attention", [None, *(pytest.param(a, marks=pytest.mark.long) for a in ("additive", "general"))]
)
def test_a_wide_beam_finds_the_best_of_all_sequences(attention):
    net, params, xs, lengths = decoding_problem(attention)
    steps, end = 3, 5
    every = [
        s[: s.index(end)] if end in s else s
        for s in map(list, itertools.product(range(TARGET), repeat=steps))
    ]
    every = [list(s) for s in dict.fromkeys(map(tuple, every))]
    found = rc.beam_search(
        net, params, xs, first=0, end=end, steps=steps, width=len(every), lengths=lengths
    )
    for b in range(3):
        scores = [probability(net, params, xs, lengths, b, s, end, steps) for s in every]
        order = np.argsort(scores)[::-1]
        assert len(found[b]) == len(every)
        for h, k in zip(found[b][:20], order, strict=False):
            assert h.tokens == every[k]
            assert h.log_probability == pytest.approx(scores[k], rel=1e-10)
        assert sum(np.exp(h.log_probability) for h in found[b]) == pytest.approx(1)


def test_beams_are_ranked_by_length_where_asked():
    net, params, xs, lengths = decoding_problem("dot")
    ask = {"first": 0, "end": 5, "steps": 4, "width": 8, "lengths": lengths}
    plain = rc.beam_search(net, params, xs, **ask)
    long = rc.beam_search(net, params, xs, **ask, length_penalty=5.0)
    for a, b in zip(plain, long, strict=True):
        assert sorted(a) == sorted(b)
        assert [h.log_probability for h in a] == sorted([h.log_probability for h in a])[::-1]
        sizes = [len(h.tokens) + (len(h.tokens) < 4) for h in b]
        scores = [h.log_probability / ((5 + n) / 6) ** 5 for h, n in zip(b, sizes, strict=True)]
        assert scores == sorted(scores, reverse=True)


def test_samples_have_the_model_s_distribution():
    net, params, xs, lengths = decoding_problem("general")
    many = np.repeat(xs[:, :1], 4000, axis=1)
    rng = np.random.default_rng(0)
    found = rc.sample(net, params, many, first=0, end=5, steps=1, rng=rng)
    counts = np.bincount([h.tokens[0] if h.tokens else 5 for h in found], minlength=TARGET)
    log_p = mg.evaluate(mg.log_softmax(net(params, xs[:, :1], [[0]])))[0, 0]
    np.testing.assert_allclose(counts / 4000, np.exp(log_p), atol=0.03)
    ask = {"first": 0, "end": 5, "steps": 6, "lengths": lengths}
    cold = rc.sample(net, params, xs, **ask, rng=rng, temperature=1e-9)
    assert [h.tokens for h in cold] == [h.tokens for h in rc.greedy(net, params, xs, **ask)]
    again = [rc.sample(net, params, xs, **ask, rng=np.random.default_rng(7)) for _ in range(2)]
    assert again[0] == again[1]


# -- mistakes --------------------------------------------------------------------------------------

NET = make(attention="general")
P, X, Y = NET.init(0), np.zeros((4, 2), int), np.zeros((3, 2), int)
DECODE = {"first": 0, "end": 1, "steps": 3}
SERIES = rc.encoder_decoder(rc.GRU(3, M), rc.GRU(2, H), outputs=2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: make(target_tokens=None), "give target_tokens= .* or outputs="),
        (lambda: make(outputs=3), "give target_tokens= .* or outputs="),
        (lambda: make(attention="cosine"), "attention must be one of"),
        (lambda: make(start="zero"), "start must be 'tanh', 'copy' or None; got 'zero'"),
        (lambda: make(start=None), "without start, every_step or attention nothing is read"),
        (lambda: rc.encoder_decoder(rc.GRU(3, 4), rc.GRU(4, 4), target_tokens=6, every_step=True),
         r"decoder.input_size must be its embedding \+ 1 x the encoder's output size 4; got 4"),
        (lambda: rc.encoder_decoder(rc.GRU(3, 4), rc.GRU(3, 4), outputs=2),
         r"decoder.input_size must be outputs=2 \+ 0 x"),
        (lambda: rc.encoder_decoder(rc.GRU(3, 4), rc.GRU(2, 5), target_tokens=6, attention="dot"),
         "dot attention needs equal output sizes; the encoder has 4, the decoder 5"),
        (lambda: rc.encoder_decoder(rc.GRU(3, 4), rc.LSTM(2, 4), target_tokens=6, start="copy"),
         "start='copy' needs equal states"),
        (lambda: NET(P, X[:, :0], Y[:, :0]), r"S and B of at least 1; got shape \(4, 0, 3\)"),
        (lambda: NET(P, X[:0], Y), "S and B of at least 1"),
        (lambda: NET(P, X * 1.0, Y), r"xs must be integer tokens of shape \(T, B\)"),
        (lambda: NET(P, X + 5, Y), r"the tokens in xs must lie in 0\.\.4; got \[5"),
        (lambda: NET(P, X, Y + 6), r"the tokens in ys_in must lie in 0\.\.5; got \[6"),
        (lambda: NET(P, X, Y[:, :1]), r"ys_in must be .*tokens \(T, 2\), for 2 sources"),
        (lambda: NET(P, X, Y, [4, 0]), r"lengths\[1\] is 0; a source has at least one step"),
        (lambda: NET(P, X, Y, [4, 5]), r"lengths\[1\] is 5; there are 4 time steps"),
        (lambda: NET(P, X, Y, [4]), "lengths must be 2 integers"),
        (lambda: NET(P, X, Y, None, [4, 0]), r"lengths\[0\] is 4; xs has 3 time steps"),
        (lambda: NET.free(P, X, 0, -1), "steps must not be negative"),
        (lambda: NET.free(P, X, 0, 3, noise=np.zeros((3, 2))), r"noise must be \(3, 2, 6\)"),
        (lambda: NET.free(P, X, Y, 3, forced=[True]), r"forced must be \(3, 2\)"),
        (lambda: rc.greedy(NET, P, X, first=0, end=6, steps=3), r"end must be a token 0\.\.5"),
        (lambda: rc.greedy(NET, P, X, first=-1, end=1, steps=3), r"first must be a token"),
        (lambda: rc.greedy(NET, P, X, first=0, end=1, steps=0), "steps must be at least 1"),
        (lambda: rc.beam_search(NET, P, X, **DECODE, width=0), "width must be at least 1"),
        (lambda: rc.sample(NET, P, X, **DECODE, rng=np.random.default_rng(0), temperature=0),
         "temperature must be positive"),
        (lambda: rc.greedy(SERIES, SERIES.init(0), np.zeros((4, 2, 3)), **DECODE),
         "has real-valued targets"),
        (lambda: rc.unroll(rc.GRU(3, 4), rc.GRU(3, 4).init(0), np.zeros((4, 2, 3)),
                           memory=np.zeros((3, 1))),
         r"memory has a leaf of shape \(3, 1\); its leading axis must be 2"),
    ],
)  # fmt: skip
def test_bad_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# -- attention to a memory that is masked ----------------------------------------------------------

SCORES = ["dot", "general", "additive"]


def attending(kind, q, memory, keys, mask, p):
    context, weights = rc.attend(q, kind, p, {"memory": memory, "keys": keys, "mask": mask})
    t = {"q": q, "memory": memory, "keys": keys, "p": p}
    return context, weights, mg.grad(mg.sum(mg.square(context)), t)


@pytest.mark.parametrize("kind", SCORES)
def test_what_is_masked_is_never_looked_at_and_nothing_attends_to_nothing(kind):
    """Against the same memory cut off, on every path; a memory that is masked entirely gives 0."""
    rng = np.random.default_rng(0)
    q, memory, keys = (rng.standard_normal(s) for s in ((3, 4), (3, 5, 4), (3, 5, 4)))
    p = {"W": rng.standard_normal((4, 4)), "v": rng.standard_normal(4)}
    q[0] -= 3e9 * (kind == "dot")  # scores below any number that could stand for "masked"
    memory[0] = np.abs(memory[0])
    ends = [5, 2, 0]
    mask = np.arange(5) < np.array(ends)[:, None]
    dirty, dirty_keys = memory.copy(), keys.copy()
    dirty[~mask], dirty_keys[~mask] = np.nan, np.inf

    def f(q, memory, keys, mask, p):
        return attending(kind, q, memory, keys, mask, p)

    for said in (mask, mask.astype(float)):
        args = (q, dirty, dirty_keys, said, p)
        wanted = mg.reference(f(*mg.tensors(args)))
        for found in (mg.function(f)(*args), mg.evaluate(f(*mg.tensors(args)))):
            for a, b in zip(optree.tree_leaves(found), optree.tree_leaves(wanted), strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)
                assert np.isfinite(a).all()
        singles = optree.tree_map(lambda a: a.astype(np.float32), args)
        found = {a.dtype for a in optree.tree_leaves(mg.evaluate(f(*mg.tensors(singles))))}
        assert found == {np.dtype(np.float32)}
        context, weights, grads = wanted
        for row, n in enumerate(ends[:2]):
            cut = mg.tensors((q[row], memory[row, :n], keys[row, :n], np.ones(n), p))
            alone = mg.reference(f(*cut))
            np.testing.assert_allclose(context[row], alone[0], rtol=1e-12)
            np.testing.assert_allclose(weights[row, :n], alone[1], rtol=1e-12)
            np.testing.assert_allclose(grads["memory"][row, :n], alone[2]["memory"], rtol=1e-10)
            np.testing.assert_allclose(grads["q"][row], alone[2]["q"], rtol=1e-10, atol=1e-12)
        assert not weights[~mask].any() and not context[2].any() and not grads["q"][2].any()
        assert not grads["memory"][~mask].any()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s: rc.attend(np.ones(3), "cosine", {}, s), "kind must be 'additive', 'dot' or"),
        (lambda s: rc.attend(np.ones(3), None, {}, s), "kind must be 'additive', 'dot' or"),
        (lambda s: rc.attend(np.ones(3), "general", {}, s), r"params\['W'\] is missing"),
        (lambda s: rc.attend(np.ones(3), "dot", {}, {}), r"source\['memory'\] is missing"),
        (lambda s: rc.attend(np.ones(3), "dot", {}, [s]), "source must be a dict with"),
        (lambda s: rc.attend(np.ones(3), "additive", {"W": 1, "v": 1}, s), r"'keys'\] is missing"),
        (lambda s: rc.attend(np.ones(3), "dot", {}, {**s, "mask": np.ones(3)}), "memory must be"),
    ],
)
def test_what_attend_needs(call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call({"memory": np.ones((2, 3)), "mask": np.ones(2)})
