"""How a tree shows itself in a notebook: a small SVG of its own, without another package.

Words stand along the bottom in their order (constituency), or at every node (dependencies).
Colours are the notebook's own (`currentColor`), so that it reads on light and on dark.
"""

from __future__ import annotations

from html import escape
from typing import Any

MOST = 400  # nodes that are drawn
LEVEL, GAP, CHARACTER = 46, 18, 7.4  # pixels
LONGEST = 24  # characters of a word


def tree(root: Any, text: str) -> str:
    """SVG of a tree; of one with too many nodes its brackets as text."""
    nodes = root.postorder()
    if len(nodes) > MOST:
        return f"<pre>{escape(_clean(text[:2000]))}</pre>"
    labels = {id(n): _label(n) for n in nodes}
    wide = {key: CHARACTER * max(map(len, lines)) + GAP for key, lines in labels.items()}
    span: dict[int, float] = {}  # of the subtree
    for n in nodes:
        span[id(n)] = max(wide[id(n)], sum(span[id(c)] for c in n.children))
    place: dict[int, tuple[float, int]] = {}
    stack = [(root, 0.0, 0)]
    while stack:
        n, left, depth = stack.pop()
        at = left + (span[id(n)] - sum(span[id(c)] for c in n.children)) / 2
        for child in n.children:
            stack.append((child, at, depth + 1))
            at += span[id(child)]
        place[id(n)] = (left + span[id(n)] / 2, depth)
    deepest = max(depth for _, depth in place.values())
    marks = []
    for n in nodes:
        x, depth = place[id(n)]
        y, lines = 16 + LEVEL * depth, labels[id(n)]
        for child in n.children:
            cx, below = place[id(child)]
            top, end = y + 5 + 14 * (len(lines) - 1), 16 + LEVEL * below - 13
            marks.append(f'<path d="M{x:.1f} {top}L{cx:.1f} {end}"/>')
        for k, line in enumerate(lines):
            weight = ' font-weight="bold"' if n.word is not None and k == len(lines) - 1 else ""
            marks.append(f'<text x="{x:.1f}" y="{y + 14 * k}"{weight}>{escape(line)}</text>')
    w, h = max(40, round(span[id(root)])), 16 + LEVEL * deepest + 24
    return (
        f'<div style="overflow-x:auto"><svg width="{w}" height="{h}" viewBox="0 0 {w} {h}" '
        f'role="img" aria-label="{escape(_clean(text[:300]))}" fill="none" stroke="currentColor" '
        'stroke-opacity="0.6"><g font-family="sans-serif" font-size="13" text-anchor="middle" '
        f'fill="currentColor" stroke="none">{"".join(m for m in marks if m[1] == "t")}</g>'
        f"{''.join(m for m in marks if m[1] == 'p')}</svg></div>"
    )


def _label(n: Any) -> list[str]:
    """Its label, and its word below."""
    lines = [str(n.label)] if n.label not in ("", None) else []
    lines += [str(n.word)] if n.word is not None else []
    return [_clean(x if len(x) <= LONGEST else x[: LONGEST - 1] + "…") for x in lines] or ["·"]


def _clean(text: str) -> str:
    """What a page can hold: no control characters, no halves of pairs."""
    return "".join(c if c.isprintable() or c == " " else "\ufffd" for c in text)
