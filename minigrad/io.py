"""Parameters as named Tensors, and on disk as safetensors."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import optree
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as to_bytes

from .graph import Tensor
from .ops.arrays import asarray
from .tracing import path_name


def tensors(tree: Any) -> Any:
    """The same pytree with every array as a Tensor named by its path, "cell.W_f"; other leaves as
    they are."""
    paths, leaves, spec = optree.tree_flatten_with_path(tree)
    made = [
        asarray(x, name=path_name("", p) or None)
        if isinstance(x, (np.ndarray, np.generic, Tensor))
        else x
        for p, x in zip(paths, leaves, strict=True)
    ]
    return optree.tree_unflatten(spec, made)


def save(path: str | os.PathLike, tree: Any) -> None:
    """Write a pytree of arrays (nested dicts, lists and tuples) as one safetensors file, all of it
    or nothing.

    Raises TypeError for other containers or leaves, OSError when the place cannot be written.
    """
    arrays: dict[str, np.ndarray] = {}
    spec = _described("", tree, arrays)
    data = to_bytes(arrays, {"minigrad": json.dumps(spec)})
    target = Path(path)
    try:
        with tempfile.NamedTemporaryFile(
            dir=target.parent, prefix=f".{target.name}.", delete=False
        ) as file:
            aside = file.name
            file.write(data)
        os.replace(aside, target)
    except OSError as error:
        if "aside" in locals():
            Path(aside).unlink(missing_ok=True)
        raise type(error)(f"save: {target} cannot be written: {error.strerror or error}") from None


def _described(at: str, tree: Any, arrays: dict[str, np.ndarray]) -> Any:
    """The tree's containers as JSON, its arrays filed under their path."""
    if isinstance(tree, dict):
        if not all(isinstance(k, str) for k in tree):
            raise TypeError(f"save: the keys of {at or 'the tree'} must be strings")
        return {
            "dict": {k: _described(f"{at}.{k}" if at else k, v, arrays) for k, v in tree.items()}
        }
    if type(tree) in (list, tuple):
        inner = [_described(f"{at}.{k}" if at else str(k), v, arrays) for k, v in enumerate(tree)]
        return {type(tree).__name__: inner}
    if isinstance(tree, (Tensor, np.ndarray, np.generic)):
        name = at or "array"
        if name in arrays:
            raise TypeError(f"save: two arrays would be called {name!r}; keys must not contain '.'")
        array = np.asarray(tree.numpy() if isinstance(tree, Tensor) else tree, order="C")
        if array.dtype.kind not in "fiub":
            raise TypeError(f"save: {name} holds {array.dtype}; only numbers are saved")
        arrays[name] = array.astype(array.dtype.newbyteorder("="), copy=False)
        return {"array": name}
    raise TypeError(
        f"save: {at or 'the tree'} is a {type(tree).__name__}; only dicts, lists, tuples and "
        "arrays are saved"
    )


def load(path: str | os.PathLike) -> Any:
    """What `save` wrote, as NumPy arrays in the same containers; a foreign safetensors file as a
    flat dict.

    Raises FileNotFoundError, or ValueError when the file is not safetensors or is damaged.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"load: there is no file {path}")
    try:
        with safe_open(path, framework="numpy") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}
            spec = (file.metadata() or {}).get("minigrad")
    except SafetensorError as error:
        raise ValueError(f"load: {path} is not a whole safetensors file: {error}") from None
    return _restored(json.loads(spec), arrays) if spec else arrays


def _restored(spec: Any, arrays: dict[str, np.ndarray]) -> Any:
    ((kind, inner),) = spec.items()
    if kind == "array":
        return arrays[inner]
    if kind == "dict":
        return {k: _restored(v, arrays) for k, v in inner.items()}
    return {"list": list, "tuple": tuple}[kind](_restored(v, arrays) for v in inner)
