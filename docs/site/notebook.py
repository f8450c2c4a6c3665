"""A chapter as a notebook (nbformat 4.5): its prose, code, and what was printed and drawn."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from ..guides import Part


def notebook(parts: Sequence[Part], pictures: Sequence[str | None]) -> str:
    """The JSON text; pictures has the SVG of every part that shows one."""
    cells = []
    for k, (part, picture) in enumerate(zip(parts, pictures, strict=True)):
        head: dict[str, Any] = {"id": f"cell{k}", "metadata": {}}
        if not part.is_code:
            words = _without_folds(part.text).strip()
            if words:
                cells.append({"cell_type": "markdown", **head, "source": _lines(words)})
            continue
        outputs: list[dict[str, Any]] = []
        if part.printed:
            printed = _lines(part.printed + "\n")
            outputs.append({"output_type": "stream", "name": "stdout", "text": printed})
        if picture:
            data = {"image/svg+xml": _lines(picture), "text/plain": ["<a drawing>"]}
            outputs.append({"output_type": "display_data", "data": data, "metadata": {}})
        cells.append({
            "cell_type": "code", **head, "execution_count": None,
            "source": _lines(part.text.rstrip()), "outputs": outputs,
        })  # fmt: skip
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    whole = {
        "cells": cells, "nbformat": 4, "nbformat_minor": 5,
        "metadata": {"kernelspec": kernel, "language_info": {"name": "python"}},
    }  # fmt: skip
    return json.dumps(whole, indent=1, ensure_ascii=False) + "\n"


def _without_folds(text: str) -> str:
    """A solution cannot fold over several cells: its head is words."""
    text = re.sub(r"<details>\s*<summary>(.*?)</summary>", r"**\1**", text)
    return text.replace("</details>", "")


def _lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)
