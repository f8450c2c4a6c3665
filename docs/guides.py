"""Runs the pages that are programs, and writes what they print into them: python -m docs.guides

A page's Python blocks run in order in one namespace; a `text` block after one holds what it prints.
tests/test_guides.py runs them again and compares.  What a block's last line is (a drawing, axes) is
shown by `docs.site`, as a notebook would.
"""

from __future__ import annotations

import ast
import contextlib
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).parent
CHAPTERS = sorted((HERE / "guide").glob("[0-9]*.md"))
PAGES = [HERE / "testing.md", HERE / "study.md", HERE / "training.md", HERE / "figures.md",
         *CHAPTERS]  # fmt: skip
BLOCK = re.compile(
    r"^```python\n(?P<code>.*?)^```\n(?:\n```text\n(?P<printed>.*?)\n```\n)?", re.M | re.S
)


class Part(NamedTuple):
    """A stretch of prose, or a block of code with what it printed and what its last line is."""

    text: str
    is_code: bool = False
    printed: str = ""
    shown: Any = None


def read(page: Path) -> Iterator[Part]:
    """The page in order as it stands there, nothing run."""
    text, at = page.read_text(encoding="utf-8"), 0
    for block in BLOCK.finditer(text):
        yield Part(text[at : block.start()])
        yield Part(block["code"], True, block["printed"] or "")
        at = block.end()
    yield Part(text[at:])


def parts(page: Path) -> Iterator[Part]:
    """The page in order, its blocks run."""
    text, known = page.read_text(encoding="utf-8"), dict[str, Any](__name__="guide")
    at = 0
    for block in BLOCK.finditer(text):
        if at < block.start():
            yield Part(text[at : block.start()])
        above = "\n" * text.count("\n", 0, block.start("code"))  # its line numbers are the page's
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            shown = _run(above + block["code"], f"{page.parent.name}/{page.name}", known)
        lines = [line.rstrip() for line in printed.getvalue().splitlines()]
        yield Part(block["code"], True, "\n".join(lines), shown)
        at = block.end()
    yield Part(text[at:])


def _run(code: str, name: str, known: dict[str, Any]) -> Any:
    """Run it; returns the value of its last line, where that is an expression."""
    tree = ast.parse(code, name)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, name, "exec"), known)
    return eval(compile(ast.Expression(last.value), name, "eval"), known) if last else None


def run(page: Path) -> str:
    """The page with what its blocks print now."""
    out = []
    for part in parts(page):
        out.append(f"```python\n{part.text}```\n" if part.is_code else part.text)
        out += [f"\n```text\n{part.printed}\n```\n"] if part.printed else []
    return "".join(out)


def rounded(text: str) -> str:
    """With numbers as far as every machine agrees: errors without digits, others with four."""
    text = re.sub(r"\d(?:\.\d+)?e[-+]\d+", "tiny", text)
    return re.sub(r"\d+\.\d+", lambda m: f"{float(m[0]):.4g}", text)


if __name__ == "__main__":
    for page in PAGES:
        page.write_text(run(page), encoding="utf-8")
