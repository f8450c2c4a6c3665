"""The libraries `source` prints for: what each needs beside its column of the table."""

from __future__ import annotations

from functools import partial
from typing import Any

from . import matrices
from .helpers import JAX, NUMPY, TORCH
from .javascript import JAVASCRIPT
from .spellings import INFIX, Library, Spelling, shape_text, spelled, tuple_text
from .spellings import TABLE as OPS

TABLE = OPS | matrices.MATRICES

SPECIAL = {"True": "True", "False": "False"}


def _tuple(items: list[str]) -> str:
    return f"({items[0]},)" if len(items) == 1 else f"({', '.join(items)})"


PYTHON: dict[str, Any] = {
    "comment": "#", "end": "", "gap": "\n\n\n",
    "define": "def {name}({args}):", "return": "return {to}", "grouped": "({})",
    "assign": "{to} = {value}", "again": "{to} = {value}", "several": ", ".join,
    "count": "for {k} in range({n}):", "back": "for {k} in reversed(range({n})):",
    "each": "for {k} in {list}:", "choose": "{a} if {test} else {b}", "is": "{a} == {b}",
    "row": "{x}[{n}]", "lists": "{to} = ([None] * {n} for _ in range({count}))",
    "list": "{to} = [None] * {n}", "tuple": _tuple, "none": "None",
    "total": "sum(({x}[m] for m in {rows}), {zero})", "sum": "sum({x})",
    "sums": "{to} = map(sum, ({lists}))", "plus": "{a} + {b}",
    "key": repr, "part": "{x}[{rows}]",
}  # fmt: skip


def _python(prefix: str, **more: Any) -> dict[str, Any]:
    return PYTHON | {
        "special": SPECIAL | {"nan": f"{prefix}nan", "inf": f"{prefix}inf"},
        "array": f"{prefix}array({{x}}, dtype={{dtype}})",
        "plain array": f"{prefix}array({{x}})", "integers": f"{prefix}array({{x}})",
        "scalar": "{dtype}({x})",
        "zeros": f"{prefix}zeros({{shape}})",
        "zeros of": f"{prefix}zeros({{shape}}, dtype={{dtype}})",
        "stack": f"{prefix}stack({{x}})",
        "full": f"{prefix}full({{shape}}, {{x}}, dtype={{dtype}})",
    } | more


def _row(library: str, name: str) -> Spelling | None:
    return TABLE[name].of(library) or None if name in TABLE else None


WORDS = frozenset(
    "np jnp jax lax torch math config range reversed sum list map len tuple slice None True False"
    .split()
)  # fmt: skip


def _library(
    name: str, imports: tuple[tuple[str, str], ...], words: dict, helpers: dict, **more: Any
) -> Library:
    more = {"shape": shape_text} | more
    return Library(
        name, partial(_row, name), imports, words, helpers, spelled,
        reserved=WORDS | set(helpers), **more,
    )  # fmt: skip


LIBRARIES: dict[str, Library] = {
    "numpy": _library(
        "numpy", (("import math\n", r"\bmath\."), ("import numpy as np", "")), _python("np."),
        NUMPY | matrices.NUMPY,
    ),
    "jax": _library(
        "jax",
        (
            ("import math\n", r"\bmath\."), ("import jax", ""),
            ("import jax.numpy as jnp", ""), ("from jax import lax", r"\blax\."),
            ('\njax.config.update("jax_enable_x64", True)  # float64, as the graph has it', ""),
        ),
        _python("jnp."), JAX | matrices.JAX,
    ),
    "torch": _library(
        "torch", (("import math\n", r"\bmath\."), ("import torch", "")),
        _python(
            "torch.", array="torch.tensor({x}, dtype={dtype})", integers="torch.tensor({x})",
            scalar="torch.tensor({x}, dtype={dtype})",
            zeros="torch.zeros({shape}, dtype=torch.float64)",
            full="torch.full({shape}, {x}, dtype={dtype})",
        ),
        TORCH | matrices.TORCH, literals=lambda name: name in INFIX or name in ("add", "where"),
        shape=tuple_text,
    ),
    "js": JAVASCRIPT,
}  # fmt: skip
