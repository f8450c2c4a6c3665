"""Parameters as named Tensors, and trees of arrays, numbers and texts on disk as safetensors.

The file is safetensors, so other libraries read its arrays.
Its metadata hold what safetensors has no place for:
under "minigrad" the containers and the leaves that are no arrays, as JSON,
and under "minigrad.digest" a digest of all of it, so that damage is found
and never read as numbers.
"""

from __future__ import annotations

import collections
import hashlib
import json
import math
import os
import secrets
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, deserialize
from safetensors.numpy import save as to_bytes

from . import pytrees
from .graph import Tensor
from .ops.arrays import asarray
from .tracing import path_name

DEPTH = 100  # containers within containers
SPEC, DIGEST = "minigrad", "minigrad.digest"


def tensors(tree: Any) -> Any:
    """The same pytree with every array as a Tensor named by its path, "cell.W_f".

    Shapes and dtypes as they are; other leaves (numbers, texts) as they are.
    Raises TypeError for an array that is no floats, integers or booleans,
    ValueError for a container that contains itself.
    """
    paths, leaves, spec = pytrees.tree_flatten_with_path(tree)
    made = [
        asarray(x, name=path_name("", p) or None)
        if isinstance(x, (np.ndarray, np.generic, Tensor))
        else x
        for p, x in zip(paths, leaves, strict=True)
    ]
    return pytrees.tree_unflatten(spec, made)


# -- saving ----------------------------------------------------------------------------------------


def save(path: str | os.PathLike, tree: Any) -> None:
    """Write a pytree as one safetensors file, all of it or nothing.

    Containers : dicts (and OrderedDicts) with texts as keys, lists, tuples, named tuples.
    Leaves     : arrays and Tensors of numbers or booleans, int, float, bool, str and None,
                 NumPy's random generators (`np.random.default_rng(...)`), with their state.

    So a whole training state, {"params": ..., "adam": state, "epoch": 3, "rng": rng}:
    what was saved and loaded goes on as if it had not been.

    Raises TypeError naming another container or leaf, OSError when the place cannot be written.
    """
    target = _path("save", path)
    arrays: dict[str, np.ndarray] = {}
    spec = json.dumps(_described("", tree, arrays, 0))
    data = to_bytes(arrays, {SPEC: spec, DIGEST: _digest(spec, arrays)})
    aside = target.parent / f".{target.name[:100]}.{secrets.token_hex(6)}"
    try:
        with open(aside, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, target)
    except OSError as error:
        raise type(error)(f"save: {target} cannot be written: {error.strerror or error}") from None
    finally:
        aside.unlink(missing_ok=True)


def _path(who: str, path: Any) -> Path:
    if not isinstance(path, (str, os.PathLike)) or not os.fspath(path) or "\0" in str(path):
        raise TypeError(f"{who}: path must name a file; got {str(path)[:80]!r}")
    return Path(os.fsdecode(path))


def _digest(spec: str, arrays: dict[str, np.ndarray]) -> str:
    """Of names, dtypes, shapes and bytes of the arrays, and of the tree they are in."""
    made = hashlib.blake2b(spec.encode("utf-8", "backslashreplace"), digest_size=16)
    for name in sorted(arrays):
        a = arrays[name]
        made.update(repr((name, a.dtype.str.replace(">", "<"), a.shape)).encode())
        made.update(np.asarray(a, a.dtype.newbyteorder("<"), order="C").tobytes())
    return made.hexdigest()


def _described(at: str, tree: Any, arrays: dict[str, np.ndarray], depth: int) -> Any:
    """The tree as JSON, {kind: content} for every node; its arrays are filed under their path."""
    where = at or "the tree"
    if depth > DEPTH:
        raise TypeError(
            f"save: {where[:80]} lies more than {DEPTH} containers deep; does one contain itself?"
        )

    def inner(pairs: Any) -> list[Any]:
        return [_described(f"{at}.{k}" if at else str(k), v, arrays, depth + 1) for k, v in pairs]

    kind = type(tree)
    if kind in (dict, collections.OrderedDict):
        if not all(type(k) is str for k in tree):
            raise TypeError(f"save: the keys of {where} must be strings")
        return {kind.__name__: dict(zip(tree, inner(tree.items()), strict=True))}
    if kind in (list, tuple):
        return {kind.__name__: inner(enumerate(tree))}
    fields = getattr(kind, "_fields", None)
    if isinstance(tree, tuple) and isinstance(fields, tuple):
        content = inner(zip(fields, tree, strict=True))
        return {"namedtuple": [kind.__module__, kind.__qualname__, fields, content]}
    if isinstance(tree, (Tensor, np.ndarray, np.generic)) and not isinstance(tree, str):
        return {"array": _filed(at, tree, arrays)}
    if tree is None or kind in (bool, str):
        return {"value": tree}
    if kind is int:
        return {"value": tree} if abs(tree) < 2**63 else {"int": f"{tree:x}"}
    if kind is float:
        return {"value": tree} if math.isfinite(tree) else {"float": str(tree)}
    if isinstance(tree, np.str_):
        return {"value": str(tree)}
    if kind is np.random.Generator:
        return {"generator": _described(at, _drawing(where, tree), arrays, depth + 1)}
    raise TypeError(
        f"save: {where} is a {kind.__name__}; only dicts, lists, tuples, named tuples, arrays, "
        "numbers, texts, random generators and None are saved"
    )


# By name: NumPy imports its random generators when they are asked for.
BIT_GENERATORS = ("MT19937", "PCG64", "PCG64DXSM", "Philox", "SFC64")


def _drawing(where: str, rng: np.random.Generator) -> dict[str, Any]:
    """What a generator will draw, and, for those that it spawns, the seed it was made of."""
    bits = rng.bit_generator
    state, seed = bits.state, bits.seed_seq
    name = state["bit_generator"]
    if name not in BIT_GENERATORS or type(bits) is not getattr(np.random, name):
        raise TypeError(
            f"save: {where} draws by a {type(bits).__name__}; of generators, those of "
            f"{', '.join(BIT_GENERATORS)} are saved"
        )
    names = ("entropy", "spawn_key", "pool_size", "n_children_spawned")
    known = type(seed) is np.random.SeedSequence
    return {"state": state, "seed": {n: getattr(seed, n) for n in names} if known else None}


def _filed(at: str, tree: Any, arrays: dict[str, np.ndarray]) -> str:
    """The name an array is saved under."""
    name = (at or "array").encode("utf-8", "backslashreplace").decode()
    if name == "__metadata__":  # what safetensors calls the rest
        name += "."
    if name in arrays:
        raise TypeError(f"save: two arrays would be called {name!r}; keys must not contain '.'")
    array = np.asarray(tree.numpy() if isinstance(tree, Tensor) else tree, order="C")
    if array.dtype.kind not in "fiub" or array.dtype.itemsize > 8:
        raise TypeError(
            f"save: {name} holds {array.dtype}; only numbers of at most 64 bits are saved"
        )
    if isinstance(tree, np.ma.MaskedArray):
        raise TypeError(f"save: {name} is a masked array, whose mask would be lost")
    arrays[name] = array.astype(array.dtype.newbyteorder("="), copy=False)
    return name


# -- loading ---------------------------------------------------------------------------------------


def load(path: str | os.PathLike) -> Any:
    """What `save` wrote, as NumPy arrays, numbers, texts and generators in the same containers.

    A foreign safetensors file as a flat dict of arrays
    (bfloat16, which NumPy does not have, as float32).
    A named tuple is of its own class where that is imported, else of one with its name and fields.

    Raises FileNotFoundError, OSError for a file that cannot be read,
    and ValueError when it is not safetensors, is damaged, or holds what NumPy has no dtype for.
    """
    where = _path("load", path)
    if not where.is_file():
        raise FileNotFoundError(f"load: there is no file {where}")
    try:
        data = where.read_bytes()
    except OSError as error:
        raise type(error)(f"load: {where} cannot be read: {error.strerror or error}") from None
    try:
        parts = deserialize(data)
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        metadata = header.get("__metadata__") or {}
    except (SafetensorError, ValueError, RecursionError, MemoryError) as error:
        raise ValueError(f"load: {where} is not a whole safetensors file: {error}") from None
    arrays = {name: _array(f"load: {where}: {name!r}", part) for name, part in parts}
    if SPEC not in metadata and DIGEST not in metadata:
        return arrays
    spec = metadata.get(SPEC, "")
    if _digest(spec, arrays) != metadata.get(DIGEST):
        raise ValueError(
            f"load: {where} is damaged, or another program changed it after mg.save: its digest is "
            "not that of its content"
        )
    try:
        return _restored(json.loads(spec), arrays)
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise ValueError(
            f"load: what {where} says of its containers is nothing that mg.save writes: "
            f"{type(error).__name__}: {error}"
        ) from None


_DTYPES = {
    "BOOL": "?", "U8": "u1", "I8": "i1", "U16": "<u2", "I16": "<i2", "U32": "<u4", "I32": "<i4",
    "U64": "<u8", "I64": "<i8", "F16": "<f2", "F32": "<f4", "F64": "<f8",
}  # fmt: skip


def _array(what: str, part: dict[str, Any]) -> np.ndarray:
    """A tensor of a safetensors file as an array of one's own, in the byte order of the machine."""
    name = part["dtype"]
    dtype = np.dtype("<u2" if name == "BF16" else _DTYPES.get(name, "V"))
    if dtype.kind == "V":
        raise ValueError(
            f"{what} holds {name}, which NumPy has no dtype for; convert it to F32 where it was "
            "made"
        )
    try:
        array = np.frombuffer(part["data"], dtype).reshape(part["shape"])
    except (ValueError, OverflowError, MemoryError) as error:
        raise ValueError(f"{what} cannot be an array: {error}") from None
    if name == "BF16":  # the upper half of a float32
        return (array.astype(np.uint32) << 16).view(np.float32)
    return array.astype(dtype.newbyteorder("="))


def _restored(spec: Any, arrays: dict[str, np.ndarray]) -> Any:
    ((kind, content),) = spec.items()
    return _KINDS[kind](content, arrays)


def _inner(content: list, arrays: dict[str, np.ndarray]) -> list[Any]:
    return [_restored(v, arrays) for v in content]


def _pairs(content: dict, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    return {k: _restored(v, arrays) for k, v in content.items()}


def _generator(content: Any, arrays: dict[str, np.ndarray]) -> np.random.Generator:
    made = _restored(content, arrays)
    seed = None if made["seed"] is None else np.random.SeedSequence(**made["seed"])
    name = made["state"]["bit_generator"]
    if name not in BIT_GENERATORS:
        raise ValueError(f"load: there is no random generator {name!r:.40}")
    bits = getattr(np.random, name)(seed)
    bits.state = made["state"]
    return np.random.Generator(bits)


def _named(content: list, arrays: dict[str, np.ndarray]) -> Any:
    """A named tuple; nothing is imported for it."""
    module, name, fields, values = content
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    known = isinstance(found, type) and issubclass(found, tuple)
    if not known or getattr(found, "_fields", None) != tuple(fields):
        make: Any = collections.namedtuple
        found = make(name.rpartition(".")[2], fields)
    return found(*_inner(values, arrays))


_KINDS: dict[str, Callable[[Any, dict[str, np.ndarray]], Any]] = {
    "array": lambda name, arrays: arrays[name],
    "value": lambda value, _: value,
    "int": lambda text, _: int(text, 16),
    "float": lambda text, _: float(text),
    "dict": _pairs, "generator": _generator,
    "OrderedDict": lambda content, arrays: collections.OrderedDict(_pairs(content, arrays)),
    "list": _inner,
    "tuple": lambda content, arrays: tuple(_inner(content, arrays)),
    "namedtuple": _named,
}
