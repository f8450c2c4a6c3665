"""A task trained briefly, and one of its sequences or trees taken apart.

`train` fits a model, `look` shows where the gradient of ONE loss went, beside that of all.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import optree

import minigrad as mg

from ..scene.gradient import row_norms
from ..scene.text import subscript
from .model import Params, Pass, Task

WORTH_COMPILING = 300  # training steps; compiling takes some two seconds
RATE = 0.005


@dataclass
class Training:
    """What a training run left; note: why it ended early, if it did.

    params: numbers of float32, which the saved model and the page hold exactly.
    """

    params: Params
    losses: list[float] = field(default_factory=list)
    seconds: float = 0.0
    note: str = ""


def train(
    task: Task,
    steps: int | None,
    seed: int,
    on_step: Callable[[int, float], None] = lambda step, loss: None,
    rate: float = RATE,
) -> Training:
    """Adam with gradients clipped to norm 1.

    steps: how many; None: the task's, so that the same command gives the same numbers.
    on_step: called with the number of the step and its loss.
    """
    run = Training(task.init(seed))
    rng = np.random.default_rng(seed + 1)
    optimizer = mg.optim.adam(rate)
    state = optimizer.init(run.params)
    count = task.steps if steps is None else steps

    def gradient(params: Params, *batch: Any) -> Any:
        loss = task.loss(params, *batch)
        return loss, mg.grad(loss, params)

    compiled = mg.function(gradient) if count > WORTH_COMPILING else None
    began = time.perf_counter()
    for step in range(count):
        batch = task.batch(rng)
        if compiled is not None:
            value, gradients = compiled(run.params, *batch)
        else:
            value, gradients = mg.evaluate(gradient(mg.tensors(run.params), *batch))
        if not np.isfinite(value):
            run.note = f"Training stopped at step {step + 1}: the loss is {float(value)}."
            break
        run.params, state = optimizer.update(
            run.params, mg.optim.clip_by_global_norm(gradients, 1.0), state
        )
        run.losses.append(float(value))
        run.seconds = time.perf_counter() - began
        on_step(step + 1, run.losses[-1])
    singles: Any = optree.tree_map(_single, run.params)  # type: ignore[arg-type]
    run.params = singles
    return run


def _single(value: Any) -> np.ndarray:
    """Rounded to what float32 holds, still float64."""
    return np.asarray(value).astype(np.float32).astype(np.float64)


# -- looking into one sequence or tree -------------------------------------------------------------


@dataclass(frozen=True)
class Look:
    """One sequence or tree, taken apart: a row per node.

    norms[name]: |d L_chosen / d state| of every node.
    total[name]: the same for the sum of all losses.
    ledger[name]: the norm of what every node contributes to a parameter's gradient.
    shares[name]: the part of the gradient, along its own direction, due to each node; sums to 1.
    gradient[name]: its norm.
    inputs: |d L_chosen / d x| of every word: what it adds to the row of its word in the embedding.
    embedding: the norm of the gradient of that table.
    predicted: the likeliest class of every node; of numbers, (N, K) what is predicted.
    drift: the largest relative difference between a gradient and the sum of its contributions.
    """

    inputs: np.ndarray
    embedding: float
    losses: np.ndarray
    predicted: np.ndarray
    confidence: np.ndarray
    norms: dict[str, np.ndarray]
    total: dict[str, np.ndarray]
    ledger: dict[str, np.ndarray]
    shares: dict[str, np.ndarray]
    gradient: dict[str, float]
    drift: float
    chosen_loss: mg.Tensor
    run: Pass


def look(task: Task, params: Params) -> Look:
    """Run the studied sequence or tree and take the gradient of the chosen loss apart."""
    tensors = mg.tensors(params)
    run = task.forward(tensors)
    chosen = run.losses[task.chosen].named(subscript("L", task.chosen + 1))
    classes = bool(task.classes)
    everything = mg.sum(run.losses * task.known.astype(float))
    inside = _by_path(tensors["cell"])
    by_state: Any = mg.grad if hasattr(task.cell, "stateless") else mg.state_gradients
    got = mg.evaluate(
        {
            "losses": run.losses,
            "outputs": mg.softmax(run.logits) if classes else run.logits,
            "norms": by_state(chosen, run.states),
            "total": by_state(everything, run.states),
            "ledger": {name: mg.contributions(chosen, p) for name, p in inside.items()},
            "gradient": mg.grad(chosen, inside),
            "inputs": mg.grad(chosen, run.xs),
            "embedding": mg.grad(chosen, tensors.get("embedding", {})),
            "chosen": chosen,
        }
    )
    outputs = got["outputs"]
    shares, drift = {}, 0.0
    if hasattr(task, "placed"):
        got["ledger"] = {name: task.placed(name, rows) for name, rows in got["ledger"].items()}
    for name, rows in got["ledger"].items():
        g = got["gradient"][name]
        if not len(rows):  # no use of it is one that gradient passes
            rows = got["ledger"][name] = np.zeros((len(task.names), *g.shape))
        square = float(np.vdot(g, g))
        flat = rows.reshape(len(rows), -1)
        shares[name] = flat @ g.reshape(-1) / square if square > 0 else np.zeros(len(rows))
        size = max(float(np.abs(rows).max(initial=0.0)), 1e-300)
        drift = max(drift, float(np.abs(rows.sum(axis=0) - g).max(initial=0.0)) / size)
    inputs = _norms(got["inputs"])  # a row a word; trees have words at some nodes only
    return Look(
        inputs=inputs,
        embedding=float(np.linalg.norm(got["embedding"])) if "embedding" in tensors else 0.0,
        losses=np.where(task.known, got["losses"], np.nan),
        predicted=outputs.argmax(axis=-1) if classes else outputs,
        confidence=outputs.max(axis=-1),
        norms={k: _norms(v) for k, v in got["norms"].items()},
        total={k: _norms(v) for k, v in got["total"].items()},
        ledger={k: row_norms(v) for k, v in got["ledger"].items()},
        shares=shares,
        gradient={k: float(np.linalg.norm(v)) for k, v in got["gradient"].items()},
        drift=drift,
        chosen_loss=chosen,
        run=run,
    )


def _norms(rows: Any) -> np.ndarray:
    """The norm of every row; of several recurrences those of one after those of the other."""
    if isinstance(rows, tuple):
        return np.concatenate([row_norms(part) for part in rows])
    return row_norms(rows)


def _by_path(tree: Any, prefix: str = "") -> dict[str, mg.Tensor]:
    """A nesting of dicts and lists as one dict, by path: "layer0.W_f"."""
    found: dict[str, mg.Tensor] = {}
    for name, value in enumerate(tree) if isinstance(tree, list) else tree.items():
        deeper = isinstance(value, (dict, list))
        found |= _by_path(value, f"{prefix}{name}.") if deeper else {f"{prefix}{name}": value}
    return found
