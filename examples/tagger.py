"""A tagger that reads in both directions: "the light box.", "they box.", "light the box."."""

import argparse

import numpy as np

import minigrad as mg
import recurrent as rc

WORDS = {"DET": "the a every", "PRON": "they we you", "ADJ": "clean light dry open old wild",
         "NOUN": "box watch fish walk light book clean old man dog", "ADV": "often never",
         "VERB": "box watch fish walk light book clean dry open man", "END": "."}  # fmt: skip
NP = ["PRON", "DET NOUN", "DET ADJ NOUN", "DET ADJ ADJ NOUN", "DET NOUN NOUN"]
RULES = {"S": ["NP VP END", "VP END"], "NP": NP, "VP": ["VERB NP", "ADV VERB NP", "VERB"]}


def sentence(rng: np.random.Generator) -> list[tuple[str, str]]:
    """(word, tag) of a sentence: most words have several tags, and what follows tells which."""
    found, stack = [], ["S"]
    while stack:
        top = stack.pop()
        if top in RULES:
            stack += str(rng.choice(RULES[top])).split()[::-1]
        else:
            found.append((str(rng.choice(WORDS[top].split())), top))
    return found


def main(steps: int = 300, hidden: int = 24) -> dict:
    rng = np.random.default_rng(0)
    sentences = [*{str(s := sentence(rng)): s for _ in range(2500)}.values()][:1000]  # each once
    words, tags = (rc.Vocabulary([pair[k] for s in sentences for pair in s]) for k in (0, 1))
    data = [np.stack([words.encode([w for w, _ in s]), tags.encode([t for _, t in s])], axis=1)
            for s in sentences]  # fmt: skip
    net = rc.ManyToMany(rc.bidirectional(rc.LSTM(16, hidden)), len(tags), tokens=len(words))
    opt = mg.optim.adam(0.01)

    @mg.function
    def step(params, state, xys, lengths):
        loss = rc.cross_entropy(net(params, xys[..., 0], lengths), xys[..., 1], lengths)
        return loss, *opt.update(params, mg.grad(loss, params), state)

    params = net.init(seed=0)
    state = opt.init(params)
    for epoch in range(steps // 25):
        for xys, lengths, _ in rc.batches(data[:800], 32, seed=epoch, buckets=True):
            loss, params, state = step(params, state, xys, lengths)

    usual = np.zeros((len(words), len(tags)))  # how often a word has a tag
    np.add.at(usual, tuple(np.concatenate(data[:800]).T), 1)
    xys, lengths = rc.pad(data[800:])
    xs, ys = xys[..., 0], xys[..., 1]
    right = float(rc.accuracy(mg.function(net)(params, xs, lengths), ys, lengths))
    return {"accuracy": right, "baseline": float(rc.accuracy(usual[xs], ys, lengths))}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=300)
    print(main(**vars(parser.parse_args())))
