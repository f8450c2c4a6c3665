"""Where a NaN or an infinity was born, in words; and which numbers count as such.

What `nonfinite` finds is an `Origin`: the op, the element, the step, the sample, the line.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..graph import CONSTANT, INPUT, Tensor
from .places import Place

Mask = np.ndarray  # of bool: the elements in question of one value
CLASSES: dict[str, Callable[[Any], Any]] = {
    "nan": np.isnan,
    "+inf": lambda x: x == np.inf,
    "-inf": lambda x: x == -np.inf,
}
KINDS = {"nan": ("nan",), "inf": ("+inf", "-inf")}  # what a caller asks for, in classes


@dataclass(frozen=True)
class Origin:
    """The first op (or leaf) that made a non-finite value.

    op, name : the primitive ("constant", "input" for a leaf) and the node's name, or None.
    kind     : "nan", "+inf" or "-inf", of the first bad element.
    index    : of that element in the op's result, which has `shape`.
    count    : how many are bad here (and, unless `harmless` was asked for, reach an output).
               In a recurrence: at one node.
    inputs   : per input the numbers read for that element: one for an elementwise op.
    cause    : the same in words: "log of -3.2", "0.0 / 0.0".
    line     : the user's line that recorded the op
               (in a gradient: the line of `mg.grad`;
               inside a recurrence, of the first one to differentiate that cell).
    order    : 0 in the forward pass, 1 in a gradient, 2 in a second derivative, ...
    rule     : (op, name, line) of the node whose vjp rule it belongs to; None if order is 0.
    places   : the recurrences it lies in, outermost first.
    output   : where in the outputs a bad element was seen: "" for a lone Tensor.
    """

    op: str
    name: str | None
    kind: str
    index: tuple[int, ...]
    shape: tuple[int, ...]
    count: int
    inputs: tuple[tuple[float, ...], ...]
    cause: str
    line: str
    order: int
    rule: tuple[str, str | None, str] | None
    places: tuple[Place, ...]
    output: str

    @property
    def backward(self) -> bool:
        return self.order > 0

    def _innermost(self, field: str) -> Any:
        found = (getattr(p, field) for p in reversed(self.places))
        return next((v for v in found if v is not None), None)

    @property
    def block(self) -> str | None:
        return self._innermost("block")

    @property
    def gate(self) -> str | None:
        return self._innermost("gate")

    @property
    def parameters(self) -> tuple[str, ...]:
        return self.places[-1].parameters if self.places else ()

    @property
    def step(self) -> int | None:
        return self._innermost("step")

    @property
    def node(self) -> int | None:
        return self._innermost("node")

    @property
    def sample(self) -> int | None:
        return self._innermost("sample")

    def __str__(self) -> str:
        """What, where and from what, in a few lines."""
        size = math.prod(self.shape)
        which = f"element {list(self.index)} of shape {list(self.shape)}" if self.shape else ""
        many = f"{self.count} of {size} elements" if size > 1 else ""
        found = ", ".join(s for s in (which, many) if s)
        lines = [f"{self.cause} is {self.kind}" + (f" ({found})" if found else "")]
        if self.op in (CONSTANT.name, INPUT.name):
            lines = [f"{self.cause}" + (f" ({found})" if found else "")]
        elif self.rule is None:
            lines.append(f"  in the forward pass, op {_called(self.op, self.name)}")
        else:
            grade = "" if self.order == 1 else f", derivative of order {self.order}"
            lines.append(f"  in the backward pass{grade}, op {_called(self.op, self.name)}")
            of, name, at = self.rule
            recorded = f", recorded at {at}" if at else ""
            lines.append(f"  of the gradient of {_called(of, name)}{recorded}")
        lines += [f"  at {place}" for place in reversed(self.places)]
        if self.line:
            lines.append(
                f"  {'recorded' if self.rule is None else 'differentiated'} at {self.line}"
            )
        return "\n".join(lines)

    @property
    def remedy(self) -> str:
        """What to do about it, in a sentence."""
        if self.op in (CONSTANT.name, INPUT.name):
            return "check the data and the parameters before they are used"
        return REMEDIES.get(self.op, REMEDIES["absorb"] if self.backward else GENERAL)


GENERAL = "scale the values it reads, or bound them with mg.clip"
REMEDIES = {
    "log": "keep what goes into log above 0 (mg.maximum(x, tiny)), or use mg.log_softmax",
    "exp": "subtract the maximum first, as mg.logsumexp and mg.softmax do, or mg.clip what goes in",
    "divide": "keep the divisor away from 0, or choose with mg.where before dividing",
    "sqrt": "keep what goes into sqrt above 0: mg.sqrt(mg.maximum(x, tiny))",
    "absorb": "keep the op's input away from the point where its slope is infinite, with "
              "mg.maximum, mg.clip or mg.where",
}  # fmt: skip


def _called(op: str, name: str | None) -> str:
    return f"{op} (named {name!r})" if name else op


def classes_of(kinds: Any) -> tuple[str, ...]:
    """("nan", "inf") -> ("nan", "+inf", "-inf")."""
    several = isinstance(kinds, (tuple, list, set, frozenset))
    names = (kinds,) if isinstance(kinds, str) else tuple(kinds) if several else ()
    if not names or any(not isinstance(k, str) or k not in KINDS for k in names):
        raise ValueError(f"kinds are 'nan', 'inf' or both; got {kinds!r}")
    return tuple(c for k in KINDS if k in names for c in KINDS[k])


def bad_elements(x: Any, classes: Sequence[str]) -> Mask:
    """Which elements belong to one of the classes; none where x holds integers."""
    x = np.asarray(x)
    if x.dtype.kind != "f":
        return np.zeros(x.shape, bool)
    if len(classes) == len(CLASSES):
        return np.asarray(~np.isfinite(x))
    return np.asarray(np.any([CLASSES[c](x) for c in classes], axis=0))


INFIX = {"add": " + ", "subtract": " - ", "multiply": " * ", "divide": " / ", "pow": " ** "}


def cause(t: Tensor, op: str | None, numbers: Sequence[tuple], kind: str) -> str:
    """'log of -3.2', '0.0 / 0.0', 'einsum of 64 numbers up to 1e+200 and ...'."""
    if op is None and not t.inputs:
        what = "a parameter or input" if t.op is INPUT else "a constant"
        return f"{t.name or what} holds {kind}"
    if op is None and all(len(x) == 1 for x in numbers):
        words = [f"{x[0]:.6g}" if isinstance(x[0], float) else str(x[0]) for x in numbers]
        if t.op.name in INFIX:
            return INFIX[t.op.name].join(words)
        return f"{t.op.name} of {words[0] if len(words) == 1 else '(' + ', '.join(words) + ')'}"
    if op is not None:
        numbers = [sum(numbers, ())]
    words = [
        f"{len(x)} number{'s' * (len(x) > 1)}"
        + (f" up to {max(map(abs, x)):.6g} in size" if x else "")
        for x in numbers
        if not x or isinstance(x[0], float)
    ]
    return f"{op or t.op.name} of {' and '.join(words)}"
