"""Makes docs/reference.md, every public name with what its docstring says: python -m docs.reference

What is public is what the modules of `MODULES` show; the order is that of the files they are in.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

PAGE = Path(__file__).parent / "reference.md"
MODULES = {  # by the name that programs give them
    "mg": "minigrad", "mg.linalg": "minigrad.linalg", "mg.optim": "minigrad.optim",
    "mg.testing": "minigrad.testing", "mg.testing.strategies": "minigrad.testing.strategies",
    "rc": "recurrent", "rc.study": "recurrent.study", "viz": "viz",
}  # fmt: skip
LATE = {"minigrad": ("function",), "minigrad.testing": ("first_nonfinite",)}  # given when asked for
OURS = ("minigrad", "recurrent", "viz")
HEAD = """# Reference

Every public name, as its docstring has it: made by `python -m docs.reference`, kept by a test.
`mg` is minigrad, `rc` is recurrent. Where no dtype is named, float32 and float64 are kept.
"""


def names(module: ModuleType) -> dict[str, Any]:
    """The public functions and classes of a module that are ours, by name."""
    listed = getattr(module, "__all__", None) if "." in module.__name__ else None
    shown = (*(listed or dir(module)), *LATE.get(module.__name__, ()))
    found = {n: getattr(module, n) for n in sorted(set(shown)) if n[0] != "_"}
    return {n: t for n, t in found.items() if callable(t) and _ours(t)}


def _ours(thing: Any) -> bool:
    return str(getattr(thing, "__module__", "")).partition(".")[0] in OURS


def home(name: str, thing: Any) -> str:
    """The module that a name is written in: the one that lists it, or where it was made."""
    for path, module in sorted(sys.modules.items()):
        listed = path.partition(".")[0] in OURS and not hasattr(module, "__path__")
        if listed and name in getattr(module, "__all__", ()):
            if getattr(module, name, None) is inspect.unwrap(thing):
                return path
    inner = inspect.unwrap(thing)
    return inner.__module__ if _ours(inner) else thing.__module__  # not who wrapped it


def signature(name: str, thing: Any) -> str:
    """A call as it is written: names and defaults, without types."""
    try:
        found = inspect.signature(thing)
    except ValueError:
        return name
    plain = [
        p.replace(annotation=p.empty, default=_Default(p.default))
        if p.default is not p.empty else p.replace(annotation=p.empty)
        for p in found.parameters.values()
    ]  # fmt: skip
    return name + str(found.replace(parameters=plain, return_annotation=found.empty))


class _Default:
    """A default as a reader would write it."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __repr__(self) -> str:
        named = callable(self.value) and hasattr(self.value, "__name__")
        return self.value.__name__ if named else repr(self.value)


def entries() -> Iterator[tuple[str, str, str, Any]]:
    """(module as programs call it, home, name, thing), in the order of the page."""
    for called, path in MODULES.items():
        module = importlib.import_module(path)
        found = [(home(n, t), n, t) for n, t in names(module).items()]
        for place, name, thing in sorted(found, key=lambda e: e[:2]):
            yield called, place, name, thing


def text() -> str:
    """The page."""
    out, seen, at = [HEAD], dict[int, str](), ("", "")
    for called, place, name, thing in entries():
        if called != at[0]:
            out.append(f"\n## {called}\n")
        if (called, place) != at:
            at = called, place
            first = (inspect.getdoc(sys.modules[place]) or "").partition("\n")[0]
            out.append(f"\n### `{place}`\n\n{first}\n")
        full = f"{called}.{name}"
        if id(thing) in seen:
            out.append(f"\n`{full}` is `{seen[id(thing)]}`.\n")
            continue
        seen[id(thing)] = full
        kind = "class " if isinstance(thing, type) else ""
        words = inspect.getdoc(thing) or ""
        out.append(f"\n```text\n{kind}{signature(full, thing)}\n\n{_indented(words)}\n```\n")
    return "".join(out)


def _indented(words: str) -> str:
    return "\n".join(f"    {line}".rstrip() for line in words.splitlines())


if __name__ == "__main__":
    PAGE.write_text(text(), encoding="utf-8")
