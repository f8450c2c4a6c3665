"""Decoding from a language model: what it says is what teacher forcing says of it."""

import numpy as np
import pytest

import minigrad as mg
import recurrent as rc

RNG = np.random.default_rng(4)
NET = rc.ManyToMany(rc.LSTM(3, 5), 6, tokens=6)
PARAMS = mg.pytrees.tree_map(lambda a: a + RNG.standard_normal(a.shape), NET.init(0))
XS, LENGTHS = RNG.integers(0, 6, (4, 3)), [4, 0, 2]


def log_p(tokens):
    """(T, V): the log-probabilities behind each of some tokens."""
    return mg.evaluate(mg.log_softmax(NET(PARAMS, np.array(tokens))))


def prefix(b, first):
    return [*([] if first is None else [first]), *XS[: LENGTHS[b], b].tolist()]


@pytest.mark.parametrize("end", [5, None])
def test_greedy_goes_on_where_each_beginning_ends(end):
    found = rc.greedy(NET, PARAMS, XS, first=0, end=end, steps=7, lengths=LENGTHS)
    for b, hypothesis in enumerate(found):
        read, total = prefix(b, 0), 0.0
        for _ in range(7):
            row = log_p(read)[-1]
            read.append(int(row.argmax()))
            total += row.max()
            if read[-1] == end:
                break
        said = read[len(prefix(b, 0)) :]
        assert hypothesis.tokens == [t for t in said if t != end]
        assert abs(hypothesis.log_probability - total) < 1e-12


def test_without_first_the_last_token_is_where_it_goes_on():
    whole = rc.greedy(NET, PARAMS, XS[1:], first=None, end=None, steps=3)
    each = [rc.greedy(NET, PARAMS, XS[2:, b : b + 1], first=int(XS[1, b]), end=None, steps=3)
            for b in range(3)]  # fmt: skip
    assert whole == [e[0] for e in each]
    with pytest.raises(ValueError, match="needs a token to go on from"):
        rc.greedy(NET, PARAMS, XS, first=None, end=5, steps=2, lengths=LENGTHS)


def test_from_nothing():
    nothing = np.zeros((0, 400), int)
    found = rc.sample(NET, PARAMS, nothing, first=2, end=None, steps=1, rng=RNG)
    share = np.bincount([h.tokens[0] for h in found], minlength=6) / 400
    assert np.abs(share - np.exp(log_p([2])[0])).max() < 0.1
    cold = rc.sample(NET, PARAMS, nothing[:, :1], first=2, end=5, steps=9, rng=RNG,
                     temperature=1e-9)  # fmt: skip
    assert cold == rc.greedy(NET, PARAMS, nothing[:, :1], first=2, end=5, steps=9)


def test_beams_find_the_likeliest():
    """Among all 6 * 6 continuations of two tokens, with as many beams as tokens."""
    best = rc.beam_search(NET, PARAMS, XS, first=0, end=None, steps=2, width=6, lengths=LENGTHS)
    for b, found in enumerate(best):
        start = prefix(b, 0)
        after = log_p(start)[-1]
        scores = {(i, j): after[i] + log_p([*start, i])[-1][j] for i in range(6) for j in range(6)}
        assert tuple(found[0].tokens) == max(scores, key=scores.__getitem__)
        assert abs(found[0].log_probability - max(scores.values())) < 1e-12


@pytest.mark.parametrize("net,how,words", [
    (rc.ManyToOne(rc.GRU(3, 4), 6, tokens=6), {}, "must be an encoder_decoder or a ManyToMany"),
    (rc.ManyToMany(rc.GRU(3, 4), 6), {}, "reads no tokens"),
    (rc.ManyToMany(rc.GRU(3, 4), 5, tokens=6), {}, "is no language model"),
    (rc.ManyToMany(rc.bidirectional(rc.GRU(3, 4)), 6, tokens=6), {}, "reads forwards"),
    (NET, {"first": 6}, "first must be a token"), (NET, {"end": -1}, "end must be a token"),
    (NET, {"xs": XS[0]}, r"xs must be tokens \(S, B\)"),
    (NET, {"xs": XS + 0.5}, r"xs must be tokens \(S, B\)"),
    (NET, {"lengths": [5, 0, 2]}, r"lengths\[0\] is 5"),
])  # fmt: skip
def test_what_is_refused(net, how, words):
    ask = {"xs": XS, "first": 0, "end": 5, "steps": 2} | how
    with pytest.raises((ValueError, TypeError), match=words):
        rc.greedy(net, net.init(0), ask.pop("xs"), **ask)
