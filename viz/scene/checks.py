"""Checks that the parts of a scene make of what they are given: kinds of fields, ids, norms."""

from __future__ import annotations

import re
from numbers import Real
from typing import Any

_ID = re.compile(r"[A-Za-z][A-Za-z0-9_]*", re.ASCII)  # what DOT takes for a name unquoted
_WORDS: dict[Any, str] = {
    str: "text",
    str | None: "text or None",
    int: "a whole number",
    int | None: "a whole number or None",
    tuple: "a tuple",
}


def fields(part: Any, kind: Any, *names: str) -> None:
    for name in names:
        value = getattr(part, name)
        if not isinstance(value, kind):
            what = f"{type(part).__name__}: {name} must be {_WORDS[kind]}"
            raise TypeError(f"{what}; got {value!r:.40}")


def id_and_norm(part: Any, id: Any, norm: Any) -> None:
    what = type(part).__name__
    if not isinstance(id, str) or not _ID.fullmatch(id):
        raise ValueError(f"{what}: an id is letters and digits, such as n0; got {id!r:.40}")
    if norm is not None and type(norm) is not float and not isinstance(norm, Real):
        raise TypeError(f"{what} {id}: norm must be a number or None; got {norm!r:.40}")
    if norm is not None and norm < 0:
        raise ValueError(f"{what} {id}: a norm is not negative; got {norm}")
