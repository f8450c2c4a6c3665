"""What variables are called: identifiers out of the names of nodes, and names for those without.

A cotangent is called d and what it belongs to, as in `dW_f`, where that can be told.
"""

from __future__ import annotations

import keyword
import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any

from ..graph import CONSTANT, Tensor
from ..manners.text import Part
from ..recur import RECUR, Block, Pullback, parts_of
from ..sites import rule_of

NOUNS = {
    "einsum": "product", "multiply": "product", "absorb": "product", "add": "total", "sum": "total",
    "subtract": "difference", "divide": "quotient", "negative": "minus", "slice": "part",
    "permute_dims": "turned", "reshape": "shaped", "take": "rows", "scatter": "spread",
    "place": "padded", "where": "chosen", "concat": "joined", "max": "top", "argmax": "best",
    "broadcast_to": "repeated", "equal": "same", "square": "squares", "pow": "power",
    "astype": "numbers", "constant": "k", "input": "x",
}  # fmt: skip


def identifier(name: str, reserved: Collection[str] = ()) -> str:
    """`name` as an identifier of Python and JavaScript that is not reserved."""
    found = re.sub(r"\W", "_", unicodedata.normalize("NFKC", name).replace("'", "_back"))
    if found[:1].isdecimal() or not found:
        found = "x" + found
    if not found.isidentifier():
        found = "x" + re.sub(r"[^0-9A-Za-z_]", "_", found)
    taken = keyword.iskeyword(found) or keyword.issoftkeyword(found) or found in reserved
    return found + "_" if taken else found


class Names:
    """The names in use in one function of the text."""

    def __init__(self, reserved: Collection[str], used: Iterable[str] = ()) -> None:
        self.reserved, self.used = reserved, set(used)
        self.count: Counter[str] = Counter()

    def fresh(self, base: str, *suffixes: str) -> str:
        """`base`, or with one of the suffixes, or a number; from then on in use."""
        plain = identifier(base, self.reserved)
        for name in (plain, *(plain + s for s in suffixes)):
            if name not in self.used and name not in self.reserved:
                self.used.add(name)
                return name
        while True:
            self.count[plain] += 1
            name = f"{plain}_{self.count[plain] + 1}"
            if name not in self.used and name not in self.reserved:
                self.used.add(name)
                return name


@dataclass(eq=False)
class Scope:
    """A function of the text: its names, and what stands for each node in it."""

    names: Names
    text: dict[Tensor, Part] = field(default_factory=dict)
    called: dict[Tensor, str] = field(default_factory=dict)
    cells: dict[Any, Any] = field(default_factory=dict)
    inner: bool = False  # a cell: what it returns is named
    rows: dict[str, str] = field(default_factory=dict)  # lists of row numbers by their text
    indices: dict[str, str] = field(default_factory=dict)

    def index(self, base: str) -> str:
        """What loops count with; each loop anew."""
        if base not in self.indices:
            self.indices[base] = self.names.fresh(base)
        return self.indices[base]


def cotangents(blocks: Iterable[Block]) -> dict[Tensor, str]:
    """What the backward blocks among these compute, called after what it is the cotangent of."""
    found: dict[Tensor, str] = {}
    for block in blocks:
        for pull in list(block.cache.values()):  # others may add meanwhile
            if isinstance(pull, Pullback):
                for ph, g in zip(block.inputs, pull.inputs, strict=True):
                    if g is not None and ph.name:
                        found.setdefault(g, f"d{ph.name}")
                for key, g in pull.block.ports.items():
                    name = block.slots[key].name if key in block.slots else None
                    if name:
                        found.setdefault(g, f"d{name}")
    return found


def blocks_in(order: Iterable[Tensor]) -> list[Block]:
    """Every block of these nodes, and within them."""
    found: dict[Block, None] = {}
    waiting = [parts_of(t).block for t in order if t.op is RECUR][::-1]
    while waiting:
        block = waiting.pop()
        if block not in found:
            found[block] = None
            waiting += [parts_of(t).block for t in block.nodes if t.op is RECUR]
    return list(found)


def hint(t: Tensor, called: dict[Tensor, str], known: dict[Tensor, str]) -> str:
    """What to call a node.

    called : names of cotangents (`cotangents`).
    known  : what the nodes before are called.
    """
    if t.name is not None:
        return t.name
    rule = rule_of(t.site)
    if rule is not None and rule[1] is not None:
        op, name, _ = rule
        if t.op.name == "add" and len(t.inputs) > 1 and op != "recur":
            return f"d{name}"
        if op in ACTIVATIONS:  # what reaches the argument of an activation
            return f"da_{name}"
    if t in called:
        return called[t]
    inner = [known.get(i, "").removesuffix("_new") for i in t.inputs if i.op is not CONSTANT]
    if len(inner) == 1 and inner[0].isidentifier() and len(inner[0]) < 8:
        if t.op.kind == "elementwise" and t.op.name not in NOUNS:
            return f"{t.op.name}_{inner[0]}"
        if t.op.name == "permute_dims" and t.ndim == 2:
            return f"{inner[0]}_T"
    return NOUNS.get(t.op.name, t.op.name)


ACTIVATIONS = frozenset(["tanh", "sigmoid", "relu", "softplus", "exp", "sin", "cos", "erf"])
