"""An echo state network on the Mackey-Glass series (Jaeger and Haas 2004): only its readout learns.

The readout is the loss's minimum in closed form (ridge regression): no optimiser is needed.
"""

import argparse

import numpy as np

import minigrad as mg
import recurrent as rc


def mackey_glass(steps: int, delay: int = 17, fine: int = 10) -> np.ndarray:
    """dx/dt = 0.2 x(t - delay) / (1 + x(t - delay)^10) - 0.1 x, a value a time unit, by Euler."""
    x = np.full((steps + 100) * fine, 1.2)
    for t in range(delay * fine, len(x) - 1):
        late = x[t - delay * fine]
        x[t + 1] = x[t] + (0.2 * late / (1 + late**10) - 0.1 * x[t]) / fine
    return np.tanh(x[100 * fine :: fine] - 1)


def main(steps: int = 3000, hidden: int = 300, ahead: int = 84) -> dict:
    series = mackey_glass(steps + 600)[:, None]
    cell = rc.EchoState(1, hidden, spectral_radius=1.1, leak=0.7, density=0.05, input_scale=0.5)
    params = {"cell": cell.init(seed=0)}
    params["cell"]["b"] = np.random.default_rng(1).uniform(-0.5, 0.5, hidden)

    run = mg.function(lambda params, xs: rc.unroll(cell, params["cell"], xs)[1])
    hs, washout = run(params, series[:-1]), 100  # what the zero state still echoes is left out
    params |= rc.ridge_readout(hs[washout:steps], series[washout + 1 : steps + 1], ridge=1e-8)

    def dreaming(params, carry, _):
        """A step that reads what the readout said of the step before."""
        h, said = carry
        h, y = cell(params["cell"], h, said)
        said = y @ params["V"] + params["c"]
        return (h, said), said

    @mg.function
    def free(params, h, x):
        return rc.unroll(dreaming, params, None, (h, x), steps=ahead)[1]

    errors = []
    for start in range(steps + 100, steps + 500, 40):  # from there on it is alone
        said = free(params, hs[start - 1], series[start])
        errors.append(said[-1] - series[start + ahead])
    return {
        "error": float(np.sqrt(np.mean(np.square(errors)) / series.var())),  # NRMSE, 84 steps on
        "baseline": 1.0,  # of the series' mean
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=3000)
    print(main(**vars(parser.parse_args())))
