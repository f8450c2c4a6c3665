"""One HTML page around a drawing: inline SVG, tooltips, the summary; nothing from the network."""

from __future__ import annotations

from xml.sax.saxutils import escape

from ..scene.text import clean

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ margin: 2rem; color: #1f2937; background: #fff;
  font: 15px/1.5 Helvetica, Arial, sans-serif; }}
figure {{ margin: 0; overflow-x: auto; }}
figure svg {{ display: block; max-width: none; height: auto; }}
pre {{ color: #64748b; font: 12.5px/1.5 ui-monospace, Menlo, Consolas, monospace;
  white-space: pre-wrap; }}
g.node, g.edge {{ cursor: default; }}
g.node:hover path, g.node:hover ellipse, g.node:hover polygon {{ filter: brightness(0.93); }}
g.edge:hover path {{ stroke-opacity: 0.6; }}
@media print {{ figure {{ overflow: visible; }} figure svg {{ max-width: 100%; }} }}
</style>
</head>
<body>
<figure>
{svg}
</figure>
<pre>{summary}</pre>
</body>
</html>
"""


def page(title: str, svg: str, summary: str) -> str:
    """The page. ``svg`` is inserted as it is, everything else is escaped."""
    return _PAGE.format(
        title=escape(clean(title)), svg=svg, summary=escape(clean(summary, limit=100_000))
    )
