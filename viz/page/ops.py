"""The ops of a page's program: each kind as JavaScript, once for every shape that it meets.

What an op computes and its vector-Jacobian products come from the primitive's own rules, through
`minigrad.printing.source`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import minigrad as mg
from minigrad.autodiff import differentiable
from minigrad.graph import Tensor, placeholder
from minigrad.printing.source import functions

QUIET = {"trace", "literal", "symbol", "projections", "site"}  # attributes that compute nothing


class TooMuch(ValueError):
    """The graph is no program for a page; the text says why, for people."""


@dataclass
class Ops:
    """The kinds of op of a program, numbered."""

    number: dict[Any, int] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)
    graphs: dict[str, Tensor] = field(default_factory=dict)
    pulls: list[list[str | None]] = field(default_factory=list)

    def of(self, t: Tensor) -> int:
        """The number of what `t` does."""
        attrs = {k: v for k, v in t.attrs.items() if k not in QUIET}
        shapes = tuple((x.shape, x.dtype) for x in t.inputs)
        key = (t.op, repr(sorted(attrs.items())), shapes, t.dtype)
        if key not in self.number:
            k = self.number[key] = len(self.names)
            self.names.append(t.op.name)
            xs = [placeholder(x.shape, x.dtype, f"x{i}") for i, x in enumerate(t.inputs)]
            y = Tensor(t.op, tuple(xs), t.attrs, t.shape, t.dtype, None)
            self.graphs[f"op{k}"] = y
            names: list[str | None] = []
            for i, x in enumerate(xs):
                passes = t.op.vjp is not None and differentiable(y) and differentiable(x)
                names.append(f"op{k}_{i}" if passes else None)
                if passes:
                    self.graphs[f"op{k}_{i}"] = mg.vjp(y, x, placeholder(t.shape, t.dtype, "d"))
            self.pulls.append(names)
        return self.number[key]

    def text(self) -> str:
        """JavaScript: the functions, and OPS, a list of {name, run(xs), pull[k](d, xs)}.

        Raises TooMuch for an op that JavaScript has no word for.
        """
        try:
            text, takes = functions(self.graphs, "js")
        except ValueError as error:
            raise TooMuch(str(error).removeprefix("source: ")) from None

        kept: list[str] = []

        def argument(name: str, value: np.ndarray | None) -> str:
            if value is None:
                return "d" if name == "d" else f"x[{name[1:]}]"
            kept.append(_written(value))
            return f"KEPT[{len(kept) - 1}]"

        def called(name: str) -> str:
            given = ", ".join(argument(*pair) for pair in takes[name].items())
            return f"(d, x) => {name}({given})"

        rows = [
            f'  {{ name: "{name}", run: {called(f"op{k}")}, pull: ['
            + ", ".join("null" if p is None else called(p) for p in self.pulls[k])
            + "] },"
            for k, name in enumerate(self.names)
        ]
        lists = {"KEPT": kept, "OPS": rows}
        return _compact(text) + "".join(
            "\n".join([f"const {name} = [", *lines, "];\n"]) for name, lines in lists.items()
        )


def _written(value: np.ndarray) -> str:
    """An array as JavaScript; one of equal numbers is short."""
    flat = [_number(v) for v in value.reshape(-1).tolist()]
    alike = len(set(flat)) == 1
    data = f"new Array({len(flat)}).fill({flat[0]})" if alike else f"[{', '.join(flat)}]"
    return f"  {{ shape: {list(value.shape)}, data: {data} }},"


def _number(v: float) -> str:
    text = repr(float(v))
    return {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}.get(text, text)


def _compact(text: str) -> str:
    """Without remarks on shapes, and indented by one: people read it, but not only."""
    lines = [re.sub(r"  // \[.*\]$", "", line) for line in text.split("\n")]
    kept = [line for line in lines if line and not re.match(r"// (float|int|bool)", line)]
    return "\n".join(re.sub(r"^( +)", lambda m: " " * (len(m[1]) // 4), x) for x in kept) + "\n"
