"""Date translation: "3 May 1984" to "1984-05-03", letter by letter, with attention."""

import argparse
import datetime

import numpy as np

import minigrad as mg
import recurrent as rc

FORMS = ("%d %B %Y", "%B %d, %Y", "%m/%d/%Y", "%d.%m.%Y", "%b %d %Y")


def dates(rng: np.random.Generator, count: int) -> list[tuple[str, str]]:
    """(a date as people write it, the same as ISO 8601 has it)."""
    found = []
    for days in rng.integers(0, 365 * 60, count).tolist():
        day = datetime.date(1950, 1, 1) + datetime.timedelta(days)
        text = f"{day:{rng.choice(FORMS)}}".replace(" 0", " ").lstrip("0")
        found.append((text.lower(), day.isoformat()))
    return found


def main(steps: int = 500) -> dict:
    pairs = list(dict(dates(np.random.default_rng(0), 2500)).items())[:2200]  # each once
    train, held = pairs[:2000], pairs[2000:]
    source = rc.Vocabulary("".join(text for text, _ in train))
    target = rc.Vocabulary("0123456789-", unknown=None, special=["<", ">"])  # 0 and 1
    xs = [source.encode(text) for text, _ in train]
    ys = np.array([target.encode(f"<{iso}>") for _, iso in train])  # all of one length

    net = rc.encoder_decoder(
        rc.bidirectional(rc.GRU(16, 32)), rc.GRU(16, 64), attention="general",
        source_tokens=len(source), target_tokens=len(target),
    )  # fmt: skip
    opt = mg.optim.adam(0.005)

    @mg.function
    def step(params, state, xs, lengths, ys):
        loss = rc.cross_entropy(net(params, xs, ys[:-1], lengths), ys[1:])  # teacher forcing
        return loss, *opt.update(params, mg.grad(loss, params), state)

    params = net.init(seed=0)
    state, done = opt.init(params), 0
    while done < steps:
        for some, lengths, rows in rc.batches(xs, 40, seed=done // 50 % 10, buckets=True):
            loss, params, state = step(params, state, some, lengths, ys[rows].T)
            done += 1

    some, lengths = rc.pad([source.encode(text) for text, _ in held])
    said = rc.greedy(net, params, some, lengths=lengths, steps=12, first=0, end=1)
    isos = ["".join(target.decode(h.tokens)) for h in said]
    right = [iso == wanted for iso, (_, wanted) in zip(isos, held, strict=True)]
    return {"accuracy": float(np.mean(right)), "baseline": 0.0, held[0][0]: isos[0]}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=500)
    print(main(**vars(parser.parse_args())))
