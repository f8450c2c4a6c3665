"""The adding problem (Hochreiter and Schmidhuber 1997): two marked numbers, far apart."""

import argparse

import numpy as np

import minigrad as mg
import recurrent as rc


def batch(rng: np.random.Generator, longest: int, size: int) -> tuple:
    """xs (T, B, 2), a number and a mark; lengths; ys (B, 1), the sum of the two marked numbers."""
    xs, ys = [], np.zeros((size, 1))
    for b in range(size):
        time = rng.integers(longest // 2, longest + 1)
        x = np.stack([rng.random(time), np.zeros(time)], axis=1)
        marked = [rng.integers(0, time // 2), rng.integers(time // 2, time)]
        x[marked, 1] = 1
        xs.append(x)
        ys[b] = x[marked, 0].sum()
    return *rc.pad(xs), ys


def main(steps: int = 1500, longest: int = 40, hidden: int = 32) -> dict:
    rng = np.random.default_rng(0)
    net = rc.ManyToOne(rc.LSTM(2, hidden), outputs=1)
    opt = mg.optim.adam(0.005)

    @mg.function
    def step(params, state, xs, lengths, ys):
        loss = rc.mean_squared_error(net(params, xs, lengths), ys)
        grads = mg.optim.clip_by_global_norm(mg.grad(loss, params), 1.0)
        return loss, *opt.update(params, grads, state)

    params = net.init(seed=0)
    # a gate that forgets about as slowly as the sequence is long (Tallec and Ollivier 2018)
    params["cell"]["b_f"] = np.log(rng.uniform(1, longest - 1, hidden))
    params["cell"]["b_i"] = -params["cell"]["b_f"]
    state = opt.init(params)
    batches = [batch(rng, longest, 32) for _ in range(40)]
    for k in range(steps):
        loss, params, state = step(params, state, *batches[k % len(batches)])

    xs, lengths, ys = batch(rng, longest, 500)  # new ones
    error = np.mean((mg.function(net)(params, xs, lengths) - ys) ** 2)
    return {"error": float(error), "baseline": float(np.mean((ys - 1) ** 2))}  # saying 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=1500)
    for name, value in main(**vars(parser.parse_args())).items():
        print(f"{name}: {value}")
