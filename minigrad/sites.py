"""The user's line: where in their program a node was recorded, or an error arose.

A place is kept as (code, instruction), which costs nothing;
it becomes a file and a line only when it is shown.
"""

from __future__ import annotations

import linecache
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import FrameType
from typing import Any

Site = tuple[Any, ...]  # (code, instruction), and the Rule for what a vjp rule recorded
Rule = tuple[str, str | None, Site | None]  # op, name and site of the node that was differentiated
_NOBODY: Rule = ("", None, None)  # what is recorded is no line's of the user
_rule: ContextVar[Rule | None] = ContextVar("rule", default=None)  # that is running here
OURS = ("minigrad", "recurrent", "viz")  # packages whose frames are never "the user's line"
_ours: dict[int, dict[str, Any]] = {}  # namespaces of theirs by identity, kept so that it stays so
_latest: list[dict[str, Any]] = [{}]  # the user's namespace that recorded last


def here(depth: int = 1) -> Site | None:
    """The innermost running frame that is not ours, `depth` frames out or further."""
    rule = _rule.get()
    if rule is _NOBODY:
        return None
    frame = sys._getframe(depth)
    latest = _latest[0]
    while frame is not None:
        names = frame.f_globals
        if names is latest or id(names) not in _ours and not _is_ours(frame):
            _latest[0] = names
            place = frame.f_code, frame.f_lasti
            return place if rule is None else (*place, rule)
        frame = frame.f_back  # type: ignore[assignment]
    return None


def distance() -> int:
    """The `stacklevel` at which a warning given where this is called shows the user's line."""
    frame, count = sys._getframe(1), 1
    while frame.f_back is not None and _is_ours(frame):
        frame, count = frame.f_back, count + 1
    return count


def _is_ours(frame: FrameType) -> bool:
    names = frame.f_globals
    ours = names.get("__name__", "").partition(".")[0] in OURS
    if ours:
        _ours[id(names)] = names
    return ours


def line(site: Site) -> str:
    """'file.py:12: h = tanh(a)'."""
    code, lasti = site[:2]
    lines = list(code.co_positions())
    number = (lines[lasti // 2][0] if lasti // 2 < len(lines) else None) or code.co_firstlineno
    text = linecache.getline(code.co_filename, number).strip()
    return f"{code.co_filename}:{number}" + (f": {text}" if text else "")


@contextmanager
def marking() -> Iterator[Callable[[str, str | None, Site | None], None]]:
    """Yields `mark(op, name, site)`.

    What is recorded from then on is marked as recorded by that node's vjp rule.
    """
    before = _rule.set(None)

    def mark(op: str, name: str | None, site: Site | None) -> None:
        _rule.set((op, name, site))

    try:
        yield mark
    finally:
        _rule.reset(before)


@contextmanager
def nobodys() -> Iterator[None]:
    """Where a graph is rewritten: what has no line of its own gets none."""
    before = _rule.set(_NOBODY)
    try:
        yield
    finally:
        _rule.reset(before)


def rule_of(site: Site | None) -> Rule | None:
    """The node whose vjp rule recorded the node with this site; None for a forward node."""
    return site[2] if site is not None and len(site) > 2 else None


def order_of(site: Site | None) -> int:
    """0 for a forward node, 1 for what a vjp rule recorded, 2 for what the rule of that did, ..."""
    order, rule = 0, rule_of(site)
    while rule is not None:
        order, rule = order + 1, rule_of(rule[2])
    return order


def running() -> str:
    """' (at file.py:12: h = tanh(a))' for an error: the line of the user that is running now."""
    site = here(2)
    return f" (at {line(site)})" if site is not None else ""
