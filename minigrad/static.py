"""Keys of what is static: two values have equal keys only if no function can tell them apart.

Python's own equality will not do:
0.0 == -0.0, True == 1 == 1.0, NaN is not equal to itself,
and dicts are equal whatever the order of their keys.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Hashable
from dataclasses import fields
from typing import Any

import optree

from . import pytrees

# A pytree's form tells the order of its dicts in this namespace, and nowhere else
# (where a leaf's number has to be the same for any order).
_NAMESPACE = "minigrad"
_ordered = optree.dict_insertion_ordered(True, namespace=_NAMESPACE)
_ordered.__enter__()  # for good

_bits = struct.Struct("d").pack

# Values that are built anew for a call; all else is known by identity.
_BY_VALUE: dict[type, Callable[[Any], Hashable]] = {
    **dict.fromkeys((bool, int, str, bytes, type(None)), lambda x: x),
    float: _bits,
    complex: lambda x: (_bits(x.real), _bits(x.imag)),
    range: lambda x: (x.start, x.stop, x.step),
    slice: lambda x: tuple(map(key, (x.start, x.stop, x.step))),
    tuple: lambda x: tuple(map(key, x)),
    frozenset: lambda x: frozenset(map(key, x)),
}


def key(x: Any) -> Hashable:
    """Of one value, which must be kept alive as long as the key is.

    Numbers, strings and frozen dataclasses are known by value, any other object by identity.
    """
    kind = type(x)
    if kind in _BY_VALUE:
        return kind, _BY_VALUE[kind](x)
    how = getattr(kind, "__dataclass_params__", None)
    if how is not None and how.frozen and how.eq and not callable(x):
        return kind, tuple(key(getattr(x, f.name)) for f in fields(kind))
    return "object", id(x)


def flatten(tree: Any) -> tuple[list[Any], optree.PyTreeSpec]:
    """Leaves and form of a pytree; dicts in their own order."""
    return pytrees.tree_flatten(tree, namespace=_NAMESPACE)


def form(tree: Any) -> Hashable:
    """Key of the form of a pytree, whatever its leaves."""
    return spec_key(flatten(tree)[1])


def spec_key(spec: optree.PyTreeSpec) -> Hashable:
    """Of a form: `spec` itself, unless a dict in it has keys that are no strings."""
    odd: list[Hashable] = []
    stack = [spec]
    while stack:
        node = stack.pop()
        stack += node.children()
        if node.type is not None and issubclass(node.type, dict):
            odd += [key(k) for k in node.entries() if type(k) is not str]
    return (spec, *odd) if odd else spec
