"""Runs a text of `mg.source` in its library, and holds it against `mg.reference`."""

from __future__ import annotations

import json
import shutil
import subprocess
from importlib.util import find_spec
from typing import Any

import numpy as np
import optree
import pytest

import minigrad as mg

NEEDS = {"jax": "jax", "torch": "torch"}
MISSING = {name for name, module in NEEDS.items() if find_spec(module) is None}
MISSING |= set() if shutil.which("node") else {"js"}


def library(name: str, *marks: Any) -> Any:
    """A parameter that is skipped, visibly, where the library is not there."""
    what = "node" if name == "js" else name
    skip = pytest.mark.skipif(name in MISSING, reason=f"{what} is not installed")
    return pytest.param(name, marks=[skip, *marks], id=name)


def run(text: mg.printing.source.SourceText) -> Any:
    """What the text's function returns for the leaves' values, as arrays."""
    if text.library == "js":
        return run_all_in_node([text])[0]
    space: dict[str, Any] = {}
    exec(text, space)
    values: dict[str, Any] = text.arguments
    if text.library == "torch":
        import torch

        values = {name: torch.from_numpy(np.array(v)) for name, v in values.items()}
    with np.errstate(all="ignore"):
        return optree.tree_map(np.asarray, space["f"](**values))


HARNESS = """
const number = (x) => (typeof x === "string" ? Number(x) : x);
const plain = (x) => (typeof x === "number" ? (Number.isFinite(x) ? x : String(x))
    : Array.isArray(x) ? x.map(plain) : x && typeof x === "object"
    ? Object.fromEntries(Object.entries(x).map(([k, v]) => [k, plain(v)])) : x);
const values = given.map((args) => args.map(
    ({ shape, data }) => ({ shape, data: data.map(number) })));
console.log(JSON.stringify(plain(made.map((f, k) => f(...values[k])))));
"""


def run_all_in_node(texts: list[Any]) -> list[Any]:
    """One process for all; they are one program of a function each."""
    made = ",\n".join(f"(() => {{\n{text}\nreturn f;\n}})()" for text in texts)
    given = json.dumps([[_sent(v) for v in text.arguments.values()] for text in texts])
    program = f"const made = [\n{made}];\nconst given = {given};\n{HARNESS}"
    done = subprocess.run(["node", "-"], input=program, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return [_received(x) for x in json.loads(done.stdout)]


def _sent(value: np.ndarray) -> dict[str, Any]:
    flat = np.asarray(value).reshape(-1).tolist()
    data = [x if np.isfinite(x) else str(x).replace("inf", "Infinity") for x in flat]
    return {"shape": list(np.shape(value)), "data": data}


def _received(x: Any) -> Any:
    if isinstance(x, dict) and set(x) == {"shape", "data"}:
        return np.array([float(v) for v in x["data"]]).reshape(x["shape"])
    if isinstance(x, dict):
        return {k: _received(v) for k, v in x.items()}
    return [_received(v) for v in x] if isinstance(x, list) else x


def equal(found: Any, outputs: Any, exact: bool = True) -> None:
    """The leaves of both, to 1e-10 in float64, NaN and inf in the same places.

    exact : dtypes too, which JavaScript does not have.
    """
    wanted = optree.tree_leaves(mg.reference(outputs))
    got = optree.tree_leaves(found)
    assert len(got) == len(wanted)
    for a, b in zip(got, wanted, strict=True):
        assert a.shape == b.shape
        assert a.dtype == b.dtype or not exact
        tol = 1e-10 if b.dtype == np.float64 else 1e-5
        np.testing.assert_allclose(a.astype(float), b.astype(float), rtol=tol, atol=tol)


def check(outputs: Any, name: str) -> mg.printing.source.SourceText:
    """The text, which computes what the graph means."""
    text = mg.source(outputs, name)
    equal(run(text), outputs, exact=name != "js")
    return text
