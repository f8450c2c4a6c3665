"""A time series: passengers of airlines, month by month (Box and Jenkins 1976, series G)."""

import argparse

import numpy as np

import minigrad as mg
import recurrent as rc

PASSENGERS = """
112 118 132 129 121 135 148 148 136 119 104 118 115 126 141 135 125 149 170 170 158 133 114 140
145 150 178 163 172 178 199 199 184 162 146 166 171 180 193 181 183 218 230 242 209 191 172 194
196 196 236 235 229 243 264 272 237 211 180 201 204 188 235 227 234 264 302 293 259 229 203 229
242 233 267 269 270 315 364 347 312 274 237 278 284 277 317 313 318 374 413 405 355 306 271 306
315 301 356 348 355 422 465 467 404 347 305 336 340 318 362 348 363 435 491 505 404 359 310 337
360 342 406 396 420 472 548 559 463 407 362 405 417 391 419 461 472 535 622 606 508 461 390 432
"""  # thousands, from January 1949 to December 1960
HELD = 24  # months at the end


def main(steps: int = 200, models: int = 5) -> dict:
    passengers = np.array(PASSENGERS.split(), float)
    grown = np.diff(np.log(passengers))  # from a month to the next
    more = (grown[12:] - grown[:-12])[:, None]  # than it had grown a year before
    scale = more[:-HELD].std()
    xs, ys = more[:-1] / scale, more[1:] / scale  # what is known, and what comes next

    net = rc.ManyToMany(rc.GRU(1, 12), outputs=1)
    opt = mg.optim.adamw(0.01, weight_decay=1.0)  # a strong one, as the series is short

    @mg.function
    def step(params, state, xs, ys):
        loss = rc.mean_squared_error(net(params, xs), ys)
        return loss, *opt.update(params, mg.grad(loss, params), state)

    predicted = np.zeros(len(ys))
    for seed in range(models):  # the mean of a few nets
        params = net.init(seed)
        state = opt.init(params)
        for _ in range(steps):
            loss, params, state = step(params, state, xs[:-HELD], ys[:-HELD])
        predicted += mg.function(net)(params, xs)[:, 0] / models  # each from the months before it

    before, year_before = passengers[-HELD - 1 : -1], grown[-HELD - 12 : -12]

    def error(growth: np.ndarray) -> float:
        return float(np.abs(before * np.exp(growth) / passengers[-HELD:] - 1).mean())

    return {
        "error": error(year_before + scale * predicted[-HELD:]),  # of its share, a month ahead
        "baseline": error(year_before),
        "no growth": error(np.zeros(HELD)),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=200)
    for name, value in main(**vars(parser.parse_args())).items():
        print(f"{name}: {value:.4f}")
