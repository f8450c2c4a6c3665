"""What a row of the table is: one training step, once per system, and what it must reach.

A *family* is a function of sizes that returns its systems:
for each a function that makes its `Work`.
Ours is one `mg.function(step)` with the optimiser inside.
A peer starts from the same numbers:
`pack` arranges our parameters as it likes them (gates side by side),
and our gradients the same way,
so that tests/test_benchmarks.py can hold the two against each other.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from minigrad import pytrees

Arrays = dict[str, np.ndarray]
Loss = Callable[[Any, Any], Any]  # of parameters and a batch
RATE, BETA1 = 1e-3, 0.9


@dataclass
class Work:
    """step(batch) -> loss is timed, drawing the batch is not.

    gradients() gives those of the first step, by the peers' names.
    """

    step: Callable[[Any], Any]
    batches: Iterator[Any]
    gradients: Callable[[], Arrays]


Systems = dict[str, Callable[[], Work]]


@dataclass(frozen=True)
class Target:
    """The fastest of `peers` is to take at least `times` as long as ours."""

    peers: tuple[str, ...]
    times: float


@dataclass(frozen=True)
class Row:
    """`what` says in words what the sizes are."""

    name: str
    family: Callable[..., Systems]
    size: dict[str, Any]
    what: str = ""
    targets: tuple[Target, ...] = ()

    def systems(self) -> Systems:
        return self.family(**self.size)


def against(*peers: str, times: float) -> tuple[Target, ...]:
    return (Target(peers, times),)


def single(tree: Any) -> Any:
    """The floating-point arrays of a pytree in float32."""

    def convert(x: Any) -> Any:
        return x.astype(np.float32) if isinstance(x, np.ndarray) and x.dtype.kind == "f" else x

    return pytrees.tree_map(convert, tree)


def flat(tree: Any) -> Arrays:
    """The arrays of a pytree by their path, as in "cell.W_i"."""
    paths, leaves, _ = pytrees.tree_flatten_with_path(tree)
    return {".".join(map(str, path)): np.asarray(x) for path, x in zip(paths, leaves, strict=True)}


def side_by_side(p: Arrays, gates: str, *rows: str) -> np.ndarray:
    """Matrices name_gate with their gates side by side, the named ones below each other."""
    return np.concatenate([np.concatenate([p[f"{r}_{g}"] for g in gates], -1) for r in rows])


def pool(draw: Callable[[np.random.Generator], Any], count: int = 8) -> Iterator[Any]:
    """`count` batches in turn."""
    rng = np.random.default_rng(1)
    batches = [draw(rng) for _ in range(count)]
    while True:
        yield from batches


def fresh(draw: Callable[[np.random.Generator], Any]) -> Iterator[Any]:
    """A new batch every time."""
    rng = np.random.default_rng(1)
    while True:
        yield draw(rng)


# -- ours ------------------------------------------------------------------------------------------


def ours(
    loss: Loss, params: Any, batches: Iterator[Any], pack: Callable[[Arrays], Arrays],
    learn: bool = True, prepare: Callable[[Any], Any] | None = None,
) -> Work:  # fmt: skip
    """A whole training step as one compiled function; learn=False: the loss and its gradient alone.

    prepare: what is done to a batch at every step, outside of the function, on the clock.
    """
    import minigrad as mg

    params = single(params)
    first: list[Any] = []
    if learn:
        optimizer = mg.optim.adam(RATE, BETA1)
        state = optimizer.init(params)

        def train(params: Any, state: Any, batch: Any) -> Any:
            value = loss(params, batch)
            params, state = optimizer.update(params, mg.grad(value, params), state)
            return value, params, state

        f = mg.function(train, donate=(0, 1))

        def step(batch: Any) -> Any:
            nonlocal params, state
            value, params, state = f(params, state, prepare(batch) if prepare else batch)
            if not first:  # after one step Adam's mean is (1 - beta1) of the gradient
                first.append(pytrees.tree_map(lambda m: m / (1 - BETA1), state[1]))
            return value

    else:

        def slope(params: Any, batch: Any) -> Any:
            value = loss(params, batch)
            return value, mg.grad(value, params)

        g = mg.function(slope)

        def step(batch: Any) -> Any:
            value, grads = g(params, prepare(batch) if prepare else batch)
            first[:] = [grads]
            return value

    return Work(step, batches, lambda: pack(flat(first[0])))


# -- PyTorch ---------------------------------------------------------------------------------------


def torch_work(
    make: Callable[[dict[str, Any]], Callable[[Any], Any]], packed: Arrays,
    batches: Iterator[Any], learn: bool = True,
) -> Work:  # fmt: skip
    """`make(parameters)` gives the loss of a batch; eager, with the fastest of torch's Adams."""
    import torch

    p = {k: torch.nn.Parameter(torch.tensor(v)) for k, v in single(packed).items()}
    loss = make(p)
    optimizer = best_adam(list(p.values())) if learn else None
    first: Arrays = {}

    def step(batch: Any) -> Any:
        for parameter in p.values():
            parameter.grad = None
        value = loss(batch)
        value.backward()
        if not first:
            grads: dict[str, Any] = {k: v.grad for k, v in p.items()}
            first.update({k: g.numpy().copy() for k, g in grads.items()})
        if optimizer is not None:
            optimizer.step()
        return value.detach()

    def to_torch(x: Any) -> Any:
        return torch.from_numpy(x) if isinstance(x, np.ndarray) else x

    converted = (pytrees.tree_map(to_torch, b) for b in batches)
    return Work(step, converted, lambda: first)


def best_adam(parameters: list[Any]) -> Any:
    """The one of torch's three implementations that is fastest on arrays like these."""
    import torch

    def seconds(how: dict[str, bool]) -> float:
        copies = [torch.nn.Parameter(torch.zeros_like(p)) for p in parameters]
        for c in copies:
            c.grad = torch.ones_like(c)
        trial, times = torch.optim.Adam(copies, RATE, **how), []  # type: ignore[arg-type]
        for _ in range(5):
            start = time.perf_counter()
            trial.step()
            times.append(time.perf_counter() - start)
        return min(times)

    kinds: list[dict[str, bool]] = [{"fused": True}, {"foreach": True}, {"foreach": False}]
    best = min(kinds, key=seconds)
    return torch.optim.Adam(parameters, RATE, betas=(BETA1, 0.999), **best)  # type: ignore[arg-type]


# -- JAX -------------------------------------------------------------------------------------------


def jax_work(loss: Loss, packed: Arrays, batches: Iterator[Any], learn: bool = True) -> Work:
    """The whole step jitted, parameters and state donated."""
    import jax
    import jax.numpy as jnp

    p = {k: jnp.asarray(v) for k, v in single(packed).items()}
    zeros = {k: jnp.zeros_like(v) for k, v in p.items()}
    state = (jnp.asarray(0), zeros, {k: jnp.copy(v) for k, v in zeros.items()})
    first: Arrays = {}

    def train(p: Any, state: Any, batch: Any) -> Any:
        value, grads = jax.value_and_grad(loss)(p, batch)
        if not learn:
            return value, grads, state
        count, m, v = state
        count = count + 1
        m = {k: BETA1 * m[k] + (1 - BETA1) * grads[k] for k in m}
        v = {k: 0.999 * v[k] + 0.001 * grads[k] ** 2 for k in v}
        rate, unbias = RATE / (1 - BETA1**count), 1 - 0.999**count
        p = {k: p[k] - rate * m[k] / (jnp.sqrt(v[k] / unbias) + 1e-8) for k in p}
        return value, p, (count, m, v)

    f = jax.jit(train, donate_argnums=(0, 1) if learn else ())

    def step(batch: Any) -> Any:
        nonlocal p, state
        if learn:
            value, p, state = f(p, state, batch)
        else:
            value, first_grads, _ = f(p, state, batch)
            jax.block_until_ready(first_grads)
        if not first:
            found = {k: m / (1 - BETA1) for k, m in state[1].items()} if learn else first_grads
            first.update({k: np.array(g) for k, g in found.items()})
        return jax.block_until_ready((value, p))[0]

    return Work(step, (pytrees.tree_map(jnp.asarray, b) for b in batches), lambda: first)
