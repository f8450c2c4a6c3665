"""Runs the pages that are programs, and writes what they print into them: python -m docs.guides

A page's Python blocks run in order in one namespace; a `text` block after one holds what it prints.
tests/test_guides.py runs them again and compares.
"""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PAGES = [HERE / "testing.md", HERE / "study.md", HERE / "training.md"]
BLOCK = re.compile(r"^```python\n(?P<code>.*?)^```\n(?:\n```text\n.*?^```\n)?", re.M | re.S)


def run(page: Path) -> str:
    """The page with what its blocks print now."""
    text, known = page.read_text(encoding="utf-8"), dict[str, Any](__name__="guide")
    out, at = [], 0
    for block in BLOCK.finditer(text):
        printed = "\n".join(_printed(block["code"], text, block.start("code"), page, known))
        out += [text[at : block.start()], f"```python\n{block['code']}```\n"]
        out += [f"\n```text\n{printed}\n```\n"] if printed else []
        at = block.end()
    return "".join([*out, text[at:]])


def _printed(code: str, text: str, start: int, page: Path, known: dict) -> Iterator[str]:
    """The lines that the code prints; its own line numbers are those of the page."""
    above = "\n" * text.count("\n", 0, start)
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compile(above + code, f"{page.parent.name}/{page.name}", "exec"), known)
    for line in printed.getvalue().splitlines():
        yield line.rstrip()


def rounded(text: str) -> str:
    """With numbers as far as every machine agrees: errors without digits, others with four."""
    text = re.sub(r"\d(?:\.\d+)?e[-+]\d+", "tiny", text)
    return re.sub(r"\d+\.\d+", lambda m: f"{float(m[0]):.4g}", text)


if __name__ == "__main__":
    for page in PAGES:
        page.write_text(run(page), encoding="utf-8")
