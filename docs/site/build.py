"""Puts the site together: which pages there are, how they are linked, what stands around them."""

from __future__ import annotations

import html
import io
import json
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pygments.formatters import HtmlFormatter

from .. import guides
from ..guides import Part
from .markdown import Page, code, convert, names, own_ids
from .notebook import notebook

DOCS = Path(__file__).resolve().parents[1]
ROOT = DOCS.parent
STYLE = Path(__file__).with_name("style.css")
LIGHT, DARK = "friendly", "github-dark"  # of Pygments


@dataclass(frozen=True)
class Source:
    """A page: its Markdown, where it goes, and whether its blocks are run."""

    file: Path
    target: str
    runs: bool = False
    notebook: bool = False


def _chapter(file: Path) -> Source:
    return Source(file, f"guide/{file.stem}.html", runs=True, notebook=True)


def _beside(name: str, runs: bool = False) -> Source:
    return Source(DOCS / f"{name}.md", f"{name}.html", runs)


SECTIONS: dict[str, list[Source]] = {
    "Start": [Source(ROOT / "README.md", "index.html")],
    "The guide": [_chapter(file) for file in guides.CHAPTERS],
    "Pages that run": [_beside(name, True) for name in ("training", "study", "testing")],
    "Galleries": [_beside("architectures"), _beside("figures", True)],
    "To look up": [_beside("reference"), _beside("conventions"), _beside("glossary")],
}
PAGES = [page for pages in SECTIONS.values() for page in pages]


def build(
    out: Path, parts: Callable[[Path], Iterable[Part]] = guides.parts,
    say: Callable[[str], Any] = lambda _: None,
) -> Path:  # fmt: skip
    """Write the site into `out` and return its first page.

    parts : how a page that runs is read; `guides.read` takes what stands there.
    """
    out.mkdir(parents=True, exist_ok=True)
    anchors = names((DOCS / "reference.md").read_text(encoding="utf-8"))
    titles = {page.target: _title(page.file) for page in PAGES}
    for page in PAGES:
        say(page.target)
        _write(out, page, parts, anchors, titles)
    shutil.copytree(DOCS / "architectures", out / "architectures", dirs_exist_ok=True)
    shutil.copy(DOCS / "unfolded-lstm.svg", out)
    (out / "style.css").write_text(style(), encoding="utf-8")
    listed = f"const NAMES = {json.dumps(sorted(anchors))};\n"
    (out / "names.js").write_text(listed + SCRIPT, encoding="utf-8")
    return out / "index.html"


def _write(
    out: Path, page: Source, parts: Callable[[Path], Iterable[Part]], anchors: dict[str, str],
    titles: dict[str, str],
) -> None:  # fmt: skip
    where = out / page.target
    where.parent.mkdir(parents=True, exist_ok=True)
    up = "../" * page.target.count("/")
    known = {} if page.target == "reference.html" else {
        name: f"{up}reference.html#{anchor}" for name, anchor in anchors.items()
    }  # fmt: skip
    text = page.file.read_text(encoding="utf-8")
    if page.runs:
        found = list(parts(page.file))
        pictures = [picture(part.shown) for part in found]
        text = "".join(_markdown(part, k) for k, part in enumerate(found))
        if page.notebook:
            target = where.with_suffix(".ipynb")
            target.write_text(notebook(found, pictures), encoding="utf-8")
    made = convert(text, lambda address: _link(page, address), known)
    if page.runs:
        for k, svg in enumerate(pictures):
            made.body = made.body.replace(f"<!-- picture {k} -->", _figure(svg, k) if svg else "")
    where.write_text(_whole(page, made, titles), encoding="utf-8")


def _markdown(part: Part, k: int) -> str:
    """A part of a page that was run, as Markdown with HTML in it."""
    if not part.is_code:
        return part.text
    printed = code(part.printed, "printed") if part.printed else ""
    block = f'<div class="cell">\n{code(part.text, "python")}{printed}</div>'
    # a blank line would end the HTML that Markdown leaves alone
    return re.sub(r"\n(?=\n)", "\n&#8203;", block) + f"\n\n<!-- picture {k} -->\n\n"


def picture(shown: Any) -> str | None:
    """The SVG of what a block's last line is, as a notebook would show it."""
    if hasattr(shown, "_repr_svg_"):
        return shown._repr_svg_()
    figure = getattr(shown, "figure", None)
    if figure is None or not hasattr(figure, "savefig"):
        return None
    import matplotlib

    file = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "site"}):
        figure.savefig(file, format="svg", metadata={"Date": None}, bbox_inches="tight")
    return file.getvalue()


def _figure(svg: str, k: int) -> str:
    """Shrunk to the page where it stays readable; else one scrolls."""
    width = re.search(r'<svg[^>]* width="([\d.]+)pt"', svg)
    fits = ' class="fits"' if width and float(width[1]) <= 1000 else ""
    return f"<figure{fits}>{own_ids(svg, f'p{k}-')}</figure>"


def _title(file: Path) -> str:
    return re.search(r"^# (.+)$", file.read_text(encoding="utf-8"), re.M)[1]  # type: ignore[index]


def _link(page: Source, address: str) -> str:
    """Where an address of the Markdown lies on the site; of a file that is no page, nowhere."""
    path, mark, place = address.partition("#")
    if not path or ":" in path:
        return address
    file = (page.file.parent / path).resolve()
    base = Path(page.target).parent
    for other in PAGES:
        if other.file == file:
            return os.path.relpath(other.target, base) + mark + place
    if DOCS in file.parents and file.suffix == ".svg":
        return os.path.relpath(file.relative_to(DOCS), base)
    return ""


# -- what stands around a page ---------------------------------------------------------------------


def _whole(page: Source, made: Page, titles: dict[str, str]) -> str:
    up = "../" * page.target.count("/")
    body = re.sub(r'<a href="">(.*?)</a>', r"\1", made.body)  # what leads to no page
    home = "minigrad" if page.target == "index.html" else f"{made.title} · minigrad"
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{html.escape(home)}</title>
<link rel="stylesheet" href="{up}style.css">
</head>
<body>
<a class="skip" href="#main">To the text</a>
<nav class="site" aria-label="The site">
<a class="home" href="{up}index.html">minigrad</a>
<details open><summary>Contents</summary>
{"".join(_menu(page, up, titles))}</details></nav>
<main id="main">
<article>
{body}</article>
{_onwards(page, up, titles)}</main>
{_inside(made)}<script src="{up}names.js" data-up="{up}"></script>
</body>
</html>
"""


def _menu(page: Source, up: str, titles: dict[str, str]) -> Iterator[str]:
    for section, pages in SECTIONS.items():
        yield f"<h2>{section}</h2>\n<ul>\n"
        for k, other in enumerate(pages, 1):
            here = ' aria-current="page"' if other == page else ""
            number = f"<span>{k}</span> " if other.notebook else ""
            title = html.escape(titles[other.target])
            yield f'<li><a href="{up}{other.target}"{here}>{number}{title}</a></li>\n'
        yield "</ul>\n"


def _onwards(page: Source, up: str, titles: dict[str, str]) -> str:
    """Links to the chapters before and behind, and to the notebook."""
    if not page.notebook:
        return ""
    chapters = SECTIONS["The guide"]
    at = chapters.index(page)
    links = [f'<a href="{Path(page.target).stem}.ipynb" download>as a notebook</a>']
    for k, rel, arrow in ((at - 1, "prev", "← {}"), (at + 1, "next", "{} →")):
        if 0 <= k < len(chapters):
            other = chapters[k].target
            words = arrow.format(html.escape(titles[other]))
            made = f'<a rel="{rel}" href="{up}{other}">{words}</a>'
            links.insert(0 if rel == "prev" else len(links), made)
    return f'<nav class="onwards" aria-label="Chapters">{"".join(links)}</nav>\n'


def _inside(made: Page) -> str:
    """The page's headings, beside it."""
    rows = [
        f'<li class="h{level}"><a href="#{place}">{html.escape(text)}</a></li>\n'
        for level, place, text in made.headings if level <= 3
    ]  # fmt: skip
    if len(rows) < 2:
        return ""
    return f'<nav class="inside" aria-label="On this page"><ul>\n{"".join(rows)}</ul></nav>\n'


def style() -> str:
    """The style sheet, with Pygments' colours for both backgrounds."""
    light, dark = (
        "\n".join(
            line for line in HtmlFormatter(style=name).get_style_defs("pre").splitlines()
            if re.match(r"pre \.\w+ ", line)
        )
        for name in (LIGHT, DARK)
    )  # fmt: skip
    own = STYLE.read_text(encoding="utf-8")
    nested = "\n".join(f":root[data-theme=dark] {line}" for line in dark.splitlines())
    by_system = "\n".join(
        f":root:not([data-theme=light]) {line}" for line in dark.splitlines()
    )  # fmt: skip
    return f"{own}\n{light}\n{nested}\n@media (prefers-color-scheme: dark) {{\n{by_system}\n}}\n"


SCRIPT = """
const root = document.documentElement, up = document.currentScript.dataset.up;
let kept = null;
try { kept = localStorage.getItem("theme"); } catch { /* a browser may keep nothing for files */ }
if (kept) root.dataset.theme = kept;

const find = document.createElement("input"), list = document.createElement("datalist");
find.type = "search"; find.placeholder = "find a name: mg.grad"; find.setAttribute("list", "names");
find.setAttribute("aria-label", "Find a name in the reference");
list.id = "names";
list.append(...NAMES.map((name) => new Option(name, name)));
find.onchange = () => {
  const asked = find.value.trim().toLowerCase();
  const found = NAMES.find((n) => n.toLowerCase() === asked)
    || NAMES.find((n) => n.toLowerCase().split(".").pop() === asked);
  if (found) location.href = `${up}reference.html#${found}`;
};
document.querySelector("nav.site .home").after(find, list);

const button = document.createElement("button");
button.className = "theme"; button.type = "button"; button.textContent = "light / dark";
button.onclick = () => {
  const system = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  const next = (root.dataset.theme || system) === "dark" ? "light" : "dark";
  root.dataset.theme = next;
  try { localStorage.setItem("theme", next); } catch { /* this page alone, then */ }
};
const menu = document.querySelector("nav.site details");
menu.append(button);
if (matchMedia("(max-width: 52rem)").matches) menu.open = false;
"""
