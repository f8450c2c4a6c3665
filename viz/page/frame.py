"""One self-contained HTML page: its parts inlined, and a policy that lets nothing else in.

The Content-Security-Policy names the one script and the one style sheet by their hashes: no other
script runs, nothing is loaded or sent, no text of the user's can become code.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any
from xml.sax.saxutils import escape

from ..scene.scene import Scene, norm_text
from ..scene.text import clean
from .embed import embed, sizes

GENERATOR = '<meta name="generator" content="minigrad">'
MOST_ROWS = 500  # of the table of what is drawn
MODULES = {  # what each kind of page runs, in this order
    "drawing": (
        "tape.js", "picture.js", "lanes.js", "panel.js", "drawing.js", "look.js", "start.js",
    ),
    "memory": (
        "tape.js", "picture.js", "lanes.js", "reads.js", "panel.js", "drawing.js", "look.js",
        "start.js",
    ),
    "tree": ("tape.js", "picture.js", "tree.js", "panel.js", "drawing.js", "look.js", "start.js"),
    "still": ("panel.js", "look.js", "start.js"),
    "study": ("tape.js", "picture.js", "lanes.js", "panel.js", "study.js", "start.js"),
}  # fmt: skip
_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
{mark}<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; script-src {script_hash}; style-src {style_hash}; {more}">
<link rel="icon" href="data:,">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
{body}
{data}
<script type="module">{script}</script>
</body>
</html>
"""


@cache
def part(name: str) -> str:
    """A file of this folder, a script or the style sheet, without indentation and remarks."""
    lines = files(__package__).joinpath(name).read_text(encoding="utf-8").split("\n")
    kept = (line.partition("  // ")[0].strip() for line in lines)
    return "\n".join(x for x in kept if x and not x.startswith("//"))


_LOOSE = re.compile(r" *([=<>!&|?:,;(){}\[\]*%]) *|(?<!\+) (\+) (?!\+)|(?<!-) (-) (?!-)")
_OPEN = re.compile(r"(?<=[,({\[=>&|?:])\n|\n(?=[)}\].?:&|])")  # ends of lines where nothing ends
_LAST = re.compile(r"(?<=[\w\]]);$")  # a closing brace ends a statement as well
_NEXT = {  # what ends a piece of code, and of a template
    "{": re.compile(r"""("(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|[`{}])"""),
    "`": re.compile(r"(\\.|`|\$\{)"),
}


def close_up(script: str) -> str:
    """JavaScript without the blanks around its signs and the lines of functions, which are there
    for readers of the files.

    Strings and templates stay as they are; so do + and - beside their like, with which they would
    run together.
    """
    made: list[str] = []
    inside = ["{"]  # what we are in: code in braces, or a template
    at, sign = 0, ""
    while at < len(script):
        kind = inside[-1]
        found = _NEXT[kind].search(script, at)
        end = found.start() if found else len(script)
        piece, before, sign = script[at:end], sign, found[0] if found else ""
        if kind == "{":
            piece = _OPEN.sub("", _LOOSE.sub(lambda m: m[0].strip(" "), piece))
            piece = piece.replace(";\n", ";") if len(inside) > 1 else piece
            piece = piece.lstrip({"{": " \n", "}": " "}.get(before[-1:], ""))
            piece = piece.rstrip({"{": " ", "}": " \n"}.get(sign, ""))
            piece = _LAST.sub("", piece) if sign == "}" else piece
        made.append(piece)
        made.append(sign)
        at = end + len(sign)
        if sign in ("{", "${") or (sign == "`" and kind == "{"):
            inside.append(sign[-1])
        elif sign in ("}", "`"):
            inside.pop()
    return "".join(made)


def frame(
    title: str, body: str, kind: str, data: Mapping[str, Any] | None = None, ops: str = "",
    mark: str = "",
) -> str:  # fmt: skip
    """The page. ``body`` and ``mark`` are HTML; everything else is escaped.

    kind : one of MODULES.
    data : values that the scripts read, by id.
    ops  : JavaScript that stands before them (``program``).
    """
    script = close_up("\n".join([ops, "const STARTS = {};", *map(part, MODULES[kind])]))
    style = part("page.css") + sizes(body)
    held = "".join(
        f'<script type="application/json" id="{name}">{as_json(value)}</script>\n'
        for name, value in (data or {}).items()
    )
    return _PAGE.format(
        mark=mark, title=escape(clean(title)), style=style, body=body, data=held, script=script,
        script_hash=_hash(script), style_hash=_hash(style),
        more="img-src data:; base-uri 'none'; form-action 'none'",
    )  # fmt: skip


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def as_json(value: Any) -> str:
    """JSON that no text in it can end early; lone surrogates are written as escapes."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028")


def page(
    scene: Scene, svg: str, summary: str, program: tuple[Any, str] | None, why: str = ""
) -> str:
    """The page of a drawing: what is drawn, and where there is a program, the panel that runs it.

    why : why there is no program, for people; "" where none is to be expected.
    """
    title = scene.title or f"{scene.view} view"
    still = embed(svg, "d", title, 1.0)
    parts = [f"<h1>{escape(clean(title))}</h1>"]
    data: dict[str, Any] = {"scene": graph(scene)}
    if program is not None:
        data["program"] = program[0]
        parts.append('<div class="panel" data-program="program"></div>')
    if why:
        parts.append(
            f'<p class="note">The drawing is as it was saved; this page does not compute it: '
            f"{escape(clean(why))}.</p>"
        )
    parts.append(
        '<details class="still" open><summary>The drawing as it was saved</summary>'
        f'<figure data-look="scene"><div class="scroll">{still}</div></figure></details>'
        f"<pre>{escape(clean(summary, 100_000))}</pre>{table(scene)}"
    )
    ops = program[1] if program else ""
    kind = kind_of(program[0] if program else None)
    return frame(title, "\n".join(parts), kind, data, ops, GENERATOR + "\n")


def kind_of(program: Mapping[str, Any] | None) -> str:
    """Which page, one of MODULES, runs a program, or shows what was drawn where there is none."""
    if program is None:
        return "still"
    if "models" in program:
        return "study"
    return "tree" if program["spots"] else "memory" if program["reads"] else "drawing"


def graph(scene: Scene, prefix: str = "d") -> dict[str, Any]:
    """What lighting up a drawing needs of its scene.  prefix: of its ids in the page."""
    return {
        "prefix": prefix,
        "nodes": [[n.id, clean(_says(n.label, n.tooltip), 160)] for n in scene.nodes],
        "edges": [[e.id, e.source, e.target, int(e.kind == "backward")] for e in scene.edges],
    }


def _says(label: str, tooltip: str) -> str:
    return ", ".join(part for part in (label, *tooltip.split("\n")) if part)


def table(scene: Scene) -> str:
    """Everything drawn as a table, for readers who see no picture."""
    rows: Sequence[Any] = scene.nodes[:MOST_ROWS]
    cells = "".join(
        f'<tr><th scope="row">{escape(clean(" ".join(n.label.split())))}</th><td>{n.kind}</td>'
        f"<td>{escape(clean(n.tooltip))}</td>"
        f'<td class="n">{"" if n.norm is None else norm_text(n.norm)}</td></tr>'
        for n in rows
    )
    left = len(scene.nodes) - len(rows)
    more = f"<p class=note>{left:,} more are left out.</p>" if left > 0 else ""
    return (
        "<details><summary>Everything drawn, as a table</summary><div class=scroll><table><thead>"
        '<tr><th scope="col">node</th><th scope="col">kind</th><th scope="col">what it is</th>'
        f'<th scope="col" class="n">gradient norm</th></tr></thead><tbody>{cells}</tbody></table>'
        f"</div>{more}</details>"
    )
