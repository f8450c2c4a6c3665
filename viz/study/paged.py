"""The models of a study as a program for its page: cells, heads, weights, the words.

The page unrolls them over whatever sentence its reader writes (`viz.page`, study.js).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import minigrad as mg
from minigrad.graph import toposort
from minigrad.recur import RECUR, ROW, SHARED, parts_of

from ..page.ops import Ops, TooMuch
from ..page.program import cell, number_text, said
from .corpus import visible
from .model import Params, Sequences

MOST_NUMBERS = 100_000  # of all models: at 5.4 bytes each


def paged(named: Sequence[tuple[str, Sequences, Params]]) -> tuple[dict[str, Any], str]:
    """(data, JavaScript) of models that read the same words; the first is shown first.

    Raises TooMuch where there are too many numbers for a page, or where a net is no one cell over
    the sequence.
    """
    ops, cells, models = Ops(), [], []
    task = named[0][1]
    flat = [(name, task, _flat(params)) for name, task, params in named]
    if not flat or (n := sum(p.size for _, _, ps in flat for p in ps.values())) > MOST_NUMBERS:
        raise TooMuch(f"the models hold {n:,} numbers, and a page takes {MOST_NUMBERS:,}")
    for name, each, params in flat:
        if hasattr(each.cell, "run_over"):
            raise TooMuch(f"{name} is no single cell over the sequence")
        tensors = mg.tensors(dict(zip(params, params.values(), strict=True)))
        run = each.forward(_nested(tensors))
        found = [t for t in toposort([run.logits]) if t.op is RECUR]
        if len(found) != 1 or parts_of(found[0]).structure.n != len(each.names):
            raise TooMuch(f"{name} is no single cell over the sequence")
        (r,) = found
        block, _, vias = parts_of(r)
        where = {t: key for key, t in tensors.items()}
        reads: list[Any] = []
        for x, via in zip(r.inputs, vias, strict=True):
            known = via is SHARED and x in where
            if not known and via is not ROW:
                raise TooMuch(f"{name} reads what is neither a parameter nor a word")
            reads.append(where[x] if known else "@x")
        slots = list(block.slots)
        outs = [block.ports[s] for s in slots] + [block.outputs[-1]]
        shared = [via is SHARED for via in vias] + [False] * len(slots)
        inputs = [*block.inputs, *block.slots.values()]
        ports = [(len(block.inputs) + k, k) for k in range(len(slots))]
        cells.append(cell(ops, name, inputs, outs, shared, ports))
        cells.append(_reader(ops, each, params))
        models.append({
            "name": name, "cell": len(cells) - 2, "head": len(cells) - 1, "gives": len(slots),
            "reads": [*reads, *range(len(slots))],
            "params": {key: number_text(value) for key, value in params.items()},
        })  # fmt: skip
    words = [said(visible(word), 40) for word in task.classes]
    data = {
        "models": models, "cells": cells, "vocabulary": words, "chosen": task.chosen,
        "ids": task.ids[: task.length].tolist(), "next": int(task.ids[task.length]),
    }  # fmt: skip
    return data, ops.text()


def _reader(ops: Ops, task: Sequences, params: dict[str, Any]) -> dict[str, Any]:
    """Loss and probabilities of one step, out of h, the head's parameters and the next word."""
    h = mg.symbol("h", params["W_y"].shape[:1])
    w, b = (mg.symbol(name, params[name].shape) for name in ("W_y", "b_y"))
    target = mg.symbol("target", (), dtype="int64")
    logits, loss = task.read({"W_y": w, "b_y": b}, h, target)
    chances = mg.softmax(logits).named("p")
    inputs = [h, w, b, target]
    return cell(ops, "head", inputs, [loss.named("L"), chances],
                [False, True, True, False], [])  # fmt: skip


def _flat(params: Params) -> dict[str, Any]:
    """By the path that names them: "cell.W_f"."""
    found: dict[str, Any] = {}
    for name, value in params.items():
        if isinstance(value, dict):
            found |= {f"{name}.{key}": v for key, v in _flat(value).items()}
        else:
            found[name] = value
    return found


def _nested(flat: dict[str, Any]) -> Params:
    tree: Params = {}
    for name, value in flat.items():
        *path, last = name.split(".")
        at = tree
        for step in path:
            at = at.setdefault(step, {})
        at[last] = value
    return tree
