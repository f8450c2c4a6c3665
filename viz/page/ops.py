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

        text, short = _apart(_compact(text))
        text, first = _once(text)
        kept: list[str] = []

        def argument(name: str, value: np.ndarray | None) -> str:
            if value is None:
                return "d" if name == "d" else f"x[{name[1:]}]"
            kept.append(_written(value))
            return f"KEPT[{len(kept) - 1}]"

        def called(name: str) -> str:
            given = {key: argument(key, value) for key, value in takes[name].items()}
            if name in short:
                code = _put(short[name], given)
                return f"(d, x) => ({code})" if code.startswith("{") else f"(d, x) => {code}"
            return f"(d, x) => {first[name]}({', '.join(given.values())})"

        rows = [
            f'way("{name}", {", ".join([called(f"op{k}"), *pulls])}),'
            for k, name in enumerate(self.names)
            for pulls in [["null" if p is None else called(p) for p in self.pulls[k]]]
        ]
        ways = list(dict.fromkeys(rows))  # ops of other shapes are often the same code
        lists = {"KEPT": kept, "WAYS": ways}
        which = ", ".join(str(ways.index(row)) for row in rows)
        return text + _WAY + "".join(
            "\n".join([f"const {name} = [", *lines, "];\n"]) for name, lines in lists.items()
        ) + f"const OPS = [{which}].map((k) => WAYS[k]);\n"


_WAY = "const way = (name, run, ...pull) => ({ name, run, pull });\n"


def _written(value: np.ndarray) -> str:
    """An array as JavaScript; one of equal numbers is short."""
    flat = [_number(v) for v in value.reshape(-1).tolist()]
    alike = len(set(flat)) == 1
    data = f"new Array({len(flat)}).fill({flat[0]})" if alike else f"[{', '.join(flat)}]"
    return f"{{ shape: {list(value.shape)}, data: {data} }},"


def _number(v: float) -> str:
    text = repr(float(v))
    return {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}.get(text, text)


def _apart(text: str) -> tuple[str, dict[str, str]]:
    """The text without the functions that are one expression, and these expressions by name."""
    short: dict[str, str] = {}

    def seen(m: re.Match) -> str:
        short[m[1]] = m[2]
        return ""

    form = r"^function (\w+)\([^)]*\) \{\n *return (.*);\n\}\n"
    return re.sub(form, seen, text, flags=re.M), short


def _put(code: str, given: dict[str, str]) -> str:
    """An expression of arguments with what is given for them; strings stay as they are."""
    return re.sub(
        r'"[^"]*"|(?<![\w.])[A-Za-z_]\w*', lambda m: given.get(m[0], m[0]), code
    )  # fmt: skip


def _once(text: str) -> tuple[str, dict[str, str]]:
    """Each function once that is there under several names, and the name of the first for theirs:
    ops differ in shapes that their code does not ask for."""
    known: dict[str, str] = {}
    first: dict[str, str] = {}

    def seen(m: re.Match) -> str:
        name = known.setdefault(m[2], m[1])
        first[m[1]] = name
        return m[0] if name == m[1] else ""

    return re.sub(r"^function (\w+)(.*?^\}\n)", seen, text, flags=re.M | re.S), first


def _compact(text: str) -> str:
    """Without remarks, and indented by one: people read it, but not only."""
    lines = [re.sub(r"  // \[.*\]$", "", line) for line in text.split("\n")]
    kept = [line for line in lines if line and not line.startswith("//")]
    return "\n".join(re.sub(r"^( +)", lambda m: " " * (len(m[1]) // 4), x) for x in kept) + "\n"
