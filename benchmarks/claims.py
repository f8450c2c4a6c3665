"""python -m benchmarks claims: what the field's papers say, measured again.

Every claim is a seeded function that returns what the paper says, what we measured with its
interval, and a verdict: reproduced, qualified (so far, and no further), or not reproduced.
With --out each writes its figure.  `QUICK` are the sizes of tests/test_claims.py.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import minigrad as mg
import recurrent as rc

from .learn import Training, adding_batch


class Claim(NamedTuple):
    """One landmark.

    says      : the published claim, in a sentence.
    measured  : what was measured, in words.
    values    : the number of every seed.
    wanted    : the interval in which the claim holds.
    curves    : {label: y}, or {label: (x, y)}, the figure; axes: its labels.
    """

    source: str
    says: str
    measured: str
    values: Sequence[float]
    wanted: tuple[float, float]
    curves: dict[str, Any]
    axes: tuple[str, str]
    log: bool = False
    but: str = ""  # what qualifies it, where it holds

    @property
    def interval(self) -> tuple[float, float, float]:
        """(median, smallest, largest) over the seeds."""
        return float(np.median(self.values)), float(min(self.values)), float(max(self.values))

    @property
    def verdict(self) -> str:
        low, high = self.wanted
        held = [low <= v <= high for v in self.values]
        if all(held):
            return "qualified" if self.but else "reproduced"
        return "qualified" if np.mean(held) >= 0.5 else "not reproduced"


INFINITE = float("inf")


# -- vanishing and exploding -----------------------------------------------------------------------


def spectral_radius(size: int = 64, steps: int = 60, seeds: int = 5) -> Claim:
    """Pascanu, Mikolov and Bengio 2013: below 1 / gamma gradients vanish."""
    curves, slopes = {}, []
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        cell = rc.RNN(1, size)
        u = rng.standard_normal((size, size))
        for radius in (0.9, 1.1, 1.5):
            p = {**cell.init(seed), "U": radius * u / np.abs(np.linalg.eigvals(u)).max()}
            xs = 0.1 * rng.standard_normal((steps, 1))
            norms = rc.study.propagation(cell, p, xs).norms()[:, 0][::-1]
            if seed == 0:
                curves[f"spectral radius {radius}"] = norms
            if radius == 0.9:
                slopes.append(np.log(norms[-1] / norms[steps // 2]) / (steps - steps // 2))
    return Claim(
        "Pascanu, Mikolov and Bengio 2013, section 2.1",
        "with tanh and a spectral radius of U below 1, gradients vanish exponentially",
        "rate of log |d s_T / d s_k| in T - k at radius 0.9; log 0.9 = -0.105 at most",
        slopes, (-INFINITE, float(np.log(0.9)) + 1e-3), curves, ("T - k", "|d s_T / d s_k|"), True,
    )  # fmt: skip


def clipping(steps: int = 150, seeds: int = 3, span: int = 30) -> Claim:
    """Pascanu, Mikolov and Bengio 2013, section 3.2: clipping the norm keeps training stable."""
    curves, worst = {}, []
    for seed in range(seeds):
        peaks = {}
        for clip in (1.0, INFINITE):
            cell, rng = rc.RNN(2, 24), np.random.default_rng(seed)
            net = rc.ManyToOne(cell, 1)
            params = net.init(seed)
            params["cell"]["U"] = 1.6 * params["cell"]["U"]  # where gradients explode

            @mg.function
            def slope(p: Any, xs: Any, ys: Any, net: Any = net) -> Any:
                value = rc.mean_squared_error(net(p, xs), ys)
                return value, mg.grad(value, p)

            losses = []
            for _ in range(steps):
                value, g = slope(params, *adding_batch(rng, span, 16))
                g = mg.optim.clip_by_global_norm(g, clip) if clip < INFINITE else g
                params = mg.pytrees.tree_map(lambda p, d: p - 0.1 * d, params, g)
                losses.append(min(float(value), 1e6) if np.isfinite(value) else 1e6)
            peaks[clip] = max(losses[5:])
            if seed == 0:
                curves["clipped at 1" if clip == 1 else "not clipped"] = losses
        worst.append(peaks[INFINITE] / peaks[1.0])
    return Claim(
        "Pascanu, Mikolov and Bengio 2013, section 3.2",
        "clipping the norm of the gradient prevents the jumps of the loss at cliffs",
        "largest loss without clipping, as a multiple of that with (adding problem, SGD)",
        worst, (1.2, INFINITE), curves, ("update", "loss (cut at a million)"), True,
    )  # fmt: skip


def lag(seeds: int = 3, span: int = 60) -> Claim:
    """Bengio, Simard and Frasconi 1994; Hochreiter and Schmidhuber 1997: memory over a lag."""
    curves, ratios = {}, []
    for seed in range(seeds):
        xs = np.random.default_rng(seed).standard_normal((span, 1, 4))
        kept = {}
        for cell in (rc.RNN(4, 24), rc.LSTM(4, 24)):
            p = cell.init(seed)
            if isinstance(cell, rc.LSTM):
                p["b_f"] = p["b_f"] + 3  # as one does for a long lag
            norms = rc.study.propagation(cell, p, xs).norms()[:, 0][::-1]
            kept[cell.name] = norms[span - 1]
            if seed == 0:
                curves[cell.name] = norms
        ratios.append(kept["LSTM"] / kept["RNN"])
    return Claim(
        "Bengio, Simard and Frasconi 1994; Hochreiter and Schmidhuber 1997",
        "over a long lag the gradient of a tanh net is lost, that of an LSTM kept",
        f"|d s_T / d s_0| over {span} steps, the LSTM's as a multiple of the tanh net's",
        ratios, (10.0, INFINITE), curves, ("T - k", "|d s_T / d s_k|"), True,
        but="with a forget gate's bias of 4; at 1 both fade",
    )  # fmt: skip


def sensitivity(seeds: int = 5, span: int = 30) -> Claim:
    """Graves 2012, figures 4.1 and 4.4: the sensitivity to the first input decays."""
    curves, halves = {}, []
    for seed in range(seeds):
        xs = np.random.default_rng(seed).standard_normal((span, 1, 3))
        for cell in (rc.RNN(3, 12), rc.LSTM(3, 12)):
            found = rc.study.propagation(cell, cell.init(seed), xs).sensitivity[:, 0, 0]
            if seed == 0:
                curves[cell.name] = found / found.max()
            if cell.name == "RNN":
                halves.append(float(found[span // 2] / found[0]))
    return Claim(
        "Graves 2012, figure 4.1",
        "a net's sensitivity to an input decays over time as new inputs overwrite it",
        f"|d y_t / d x_1| of a tanh net after {span // 2} steps, as a share of the first",
        halves, (0.0, 0.1), curves, ("t", "|d y_t / d x_1| (largest: 1)"), True,
    )  # fmt: skip


def irnn(steps: int = 1500, span: int = 40, seeds: int = 2) -> Claim:
    """Le, Jaitly and Hinton 2015: an identity start lets ReLU nets remember."""
    curves, ratios = {}, []
    for seed in range(seeds):
        errors = {}
        for name in ("tanh", "IRNN"):
            irnn = {"activation": "relu", "recurrent": "identity"}
            kind = irnn if name == "IRNN" else {}
            cell, rng = rc.RNN(2, 48, **kind), np.random.default_rng(seed)
            net = rc.ManyToOne(cell, 1)
            params = net.init(seed)
            if name == "IRNN":
                params["cell"]["W"] = 0.001 * rng.standard_normal((2, 48))

            def loss(p: Any, xs: Any, ys: Any, net: Any = net) -> Any:
                return rc.mean_squared_error(net(p, xs), ys), None

            train, losses = Training(loss, params, 0.001), []
            while train.steps < steps:
                train(*adding_batch(rng, span, 32))
                losses.append(train.average)
            errors[name] = losses[-1]
            if seed == 0:
                curves[name] = losses
        ratios.append(errors["tanh"] / errors["IRNN"])
    return Claim(
        "Le, Jaitly and Hinton 2015, section 4.1",
        "started at the identity, a ReLU net solves the adding problem where a tanh net does not",
        f"error of the tanh net as a multiple of the IRNN's, T={span}, {steps} updates of Adam",
        ratios, (2.0, INFINITE), curves, ("update", "mean squared error"), True,
    )  # fmt: skip


def forget_bias(seeds: int = 5, span: int = 50) -> Claim:
    """Jozefowicz, Zaremba and Sutskever 2015: a bias of 1 in the forget gate helps."""
    curves, ratios = {}, []
    for seed in range(seeds):
        cell, rng = rc.LSTM(4, 24), np.random.default_rng(seed)
        xs, kept = rng.standard_normal((span, 1, 4)), {}
        for bias in (0.0, 1.0, 2.0):
            p = {**cell.init(seed), "b_f": np.full(24, bias)}
            norms = rc.study.propagation(cell, p, xs).norms()[:, 0][::-1]
            kept[bias] = norms[20]
            if seed == 0:
                curves[f"bias {bias:g}"] = norms
        ratios.append(kept[1.0] / kept[0.0])
    return Claim(
        "Jozefowicz, Zaremba and Sutskever 2015, section 4",
        "a forget gate's bias of 1 keeps gradients that a bias of 0 lets vanish",
        "|d s_T / d s_k| over 20 steps at bias 1, as a multiple of that at 0",
        ratios, (5.0, INFINITE), curves, ("T - k", "|d s_T / d s_k|"), True,
    )  # fmt: skip


# -- algorithms ------------------------------------------------------------------------------------


def _task(cell: rc.Cell, steps: int, seed: int) -> tuple[Any, Any, Callable[[Any], Any]]:
    rng = np.random.default_rng(seed)
    xs, target = rng.standard_normal((steps, 1, 3)), rng.standard_normal((steps, 1, 8))
    return cell.init(seed), xs, lambda ys: mg.sum((ys - target) ** 2)


def truncation(seeds: int = 5, steps: int = 40) -> Claim:
    """Williams and Peng 1990: truncated BPTT is close where memory is short."""
    cell, curves, values = rc.RNN(3, 8), {}, []
    ks = (1, 2, 4, 8, 16)
    for seed in range(seeds):
        p, xs, loss = _task(cell, steps, seed)
        right = rc.study.gradient(cell, p, xs, loss)
        angles = [rc.study.gradient(cell, p, xs, loss, "truncated", k1=1, k2=k).cosine(right)
                  for k in ks]  # fmt: skip
        values.append(angles[3])
        if seed == 0:
            curves["cosine to BPTT"] = (ks, angles)
    return Claim(
        "Williams and Peng 1990",
        "going back through a few steps gives nearly the whole gradient",
        "cosine to BPTT of sliding truncation after 8 steps (untrained tanh net)",
        values, (0.98, 1.0), curves, ("steps back", "cosine"),
        but="a net that has not learnt to remember: with memory the tail counts",
    )  # fmt: skip


def turing(steps: int = 60) -> Claim:
    """Siegelmann and Sontag 1995: a saturated-linear net simulates a Turing machine."""
    machine = rc.binary_increment()
    net = rc.TuringNet(machine)
    tapes = ["0", "1", "1011", "111111", "1000001"]
    ends = net.run(tapes, steps)
    right = [float(end == machine.run(tape, steps)) for end, tape in zip(ends, tapes, strict=True)]
    return Claim(
        "Siegelmann and Sontag 1995",
        "a net with saturated-linear units and rational weights runs any Turing machine",
        f"tapes of binary increment on which net and machine end alike, of {len(tapes)}",
        [sum(right)], (len(tapes), len(tapes)), {"ends alike": right}, ("tape", "1: yes"),
        but="in float64 a stack holds some fifty symbols",
    )  # fmt: skip


def deer(seeds: int = 3, longest: int = 512) -> Claim:
    """Lim et al. 2024: Newton's method over time converges in few iterations."""
    cell, curves, values = rc.GRU(3, 8), {}, []
    for seed in range(seeds):
        xs = np.random.default_rng(seed).standard_normal((longest, 1, 3))
        run = rc.study.newton(cell, cell.init(seed), xs, iterations=50)
        values.append(float(run.iterations if run.converged else INFINITE))
        if seed == 0:
            curves[f"GRU, T={longest}"] = run.residuals
            wild = {**cell.init(seed), "U_n": 8 * cell.init(seed)["U_n"]}
            curves["a GRU that is chaotic"] = rc.study.newton(
                cell, wild, xs[:64], iterations=30
            ).residuals
    return Claim(
        "Lim, Zhu, Selfridge and Kasim 2024",
        "a GRU's states are found in a number of iterations that hardly grows with the length",
        f"iterations to a residual of 1e-12 at T={longest}",
        values, (1, 12), curves, ("iteration", "largest residual"), True,
        but="where the recurrence contracts; a chaotic one needs as many as steps",
    )  # fmt: skip


def snap(seeds: int = 5, steps: int = 20) -> Claim:
    """Menick et al. 2021: SnAp-1 is close to RTRL at a fraction of its numbers."""
    cell, values, curves = rc.GRU(3, 8), [], dict[str, Any]()
    for seed in range(seeds):
        p, xs, loss = _task(cell, steps, seed)
        whole = rc.study.gradient(cell, p, xs, loss, "rtrl")
        found = rc.study.gradient(cell, p, xs, loss, "snap")
        values.append(found.cosine(whole))
        one = rc.study.gradient(cell, p, xs, loss, "immediate")
        curves.setdefault("SnAp-1", []).append(values[-1])
        curves.setdefault("immediate", []).append(one.cosine(whole))
    share = (found.numbers or 0) / (whole.numbers or 1)
    return Claim(
        "Menick, Elsen, Evci, Osindero, Simonyan and Graves 2021",
        f"SnAp-1 keeps a small share of RTRL's numbers (here {share:.2f}) and most of the gradient",
        "cosine of SnAp-1's gradient to RTRL's (untrained GRU)",
        values, (0.9, 1.0), curves, ("seed", "cosine to RTRL"),
    )  # fmt: skip


def noise(seeds: int = 20, steps: int = 10) -> Claim:
    """Tallec and Ollivier 2018; Baydin et al. 2022: unbiased, at the price of variance."""
    spreads: dict[str, list[float]] = {"uoro": [], "forward gradient": []}
    sizes = (2, 4, 8, 16)
    for size in sizes:
        cell = rc.RNN(3, size)
        rng = np.random.default_rng(size)
        xs, target = rng.standard_normal((steps, 1, 3)), rng.standard_normal((steps, 1, size))
        found = rc.study.compare(cell, cell.init(0), xs, lambda ys, t=target: mg.sum((ys - t) ** 2),
                                 ["uoro", "forward gradient"], seeds=seeds)  # fmt: skip
        for line in found.lines:
            spreads[line.algorithm].append(line.spread)
    growth = spreads["forward gradient"][-1] / spreads["forward gradient"][0]
    return Claim(
        "Tallec and Ollivier 2018; Baydin et al. 2022",
        "rank-one and forward gradients have the right mean, and a variance that grows with size",
        "spread of the forward gradient at 16 units, as a multiple of that at 2",
        [growth], (1.5, INFINITE), {k: (sizes, v) for k, v in spreads.items()},
        ("units", "spread / |gradient|"),
    )  # fmt: skip


CLAIMS: dict[str, Callable[..., Claim]] = {
    f.__name__: f
    for f in (spectral_radius, clipping, lag, sensitivity, irnn, forget_bias, truncation, turing,
              deer, snap, noise)
}  # fmt: skip
QUICK: dict[str, dict[str, int]] = {
    "spectral_radius": {"size": 24, "steps": 30, "seeds": 2},
    "clipping": {"steps": 12, "seeds": 1, "span": 10},
    "lag": {"seeds": 1, "span": 30}, "sensitivity": {"seeds": 2},
    "irnn": {"steps": 8, "seeds": 1, "span": 10}, "forget_bias": {"seeds": 2, "span": 25},
    "truncation": {"seeds": 1, "steps": 20}, "deer": {"seeds": 1, "longest": 64},
    "snap": {"seeds": 1, "steps": 8}, "noise": {"seeds": 4, "steps": 5},
}  # fmt: skip


# -- what is shown ---------------------------------------------------------------------------------


def text(name: str, claim: Claim) -> str:
    middle, low, high = claim.interval
    seeds = len(claim.values)
    many = f" ({low:.3g} to {high:.3g} over {seeds} seeds)" if seeds > 1 else ""
    lines = [
        f"{name}: {claim.verdict.upper()}", f"  {claim.source}: {claim.says}",
        f"  {claim.measured}: {middle:.3g}{many}; "
        f"the claim holds from {claim.wanted[0]:.3g} to {claim.wanted[1]:.3g}",
    ]  # fmt: skip
    return "\n".join([*lines, f"  but: {claim.but}"] if claim.but else lines)


def figure(claim: Claim, path: Path) -> None:
    """The curves as an SVG, the source and the verdict above them."""
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(6.4, 4.0), layout="constrained")
    axes = drawn.add_subplot()
    for label, curve in claim.curves.items():
        x, y = curve if isinstance(curve, tuple) else (range(len(curve)), curve)
        axes.plot(x, y, label=label, marker="o" if len(y) < 12 else "")
    if claim.log:
        axes.set_yscale("log")
    axes.set_xlabel(claim.axes[0])
    axes.set_ylabel(claim.axes[1])
    axes.set_title(f"{claim.source}: {claim.verdict}", fontsize=10)
    axes.grid(color="#eef1f5")
    axes.legend(frameon=False)
    drawn.savefig(path, metadata={"Date": None})


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks claims", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(CLAIMS)}; default all")
    parser.add_argument("--out", type=Path, help="a folder for the figures")
    args = parser.parse_args(arguments)
    unknown = [n for n in args.names if n not in CLAIMS]
    if unknown:
        parser.error(f"there is no claim {unknown[0]!r}; they are {', '.join(CLAIMS)}")
    from .__main__ import environment

    print("\n".join(f"{k}: {v}" for k, v in environment().items()), flush=True)
    for name in args.names or CLAIMS:
        claim = CLAIMS[name]()
        print(f"\n{text(name, claim)}", flush=True)
        if args.out:
            args.out.mkdir(parents=True, exist_ok=True)
            figure(claim, args.out / f"{name}.svg")


if __name__ == "__main__":
    import sys

    main(sys.argv[1:])
