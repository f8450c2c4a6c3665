"""Markdown to HTML, as this site writes it: highlighted code, names that lead to the reference.

Written with markdown-it-py and Pygments, which `rich` brings along.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from markdown_it import MarkdownIt
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name

ENTRY = re.compile(r"(?:class )?(?P<name>(?:mg|rc|viz)(?:\.\w+)+)[(\n]")  # of the reference
NAME = re.compile(r"(?P<name>(?:mg|rc|viz)(?:\.\w+)+)(?:\(.*\))?")
_FORMAT = HtmlFormatter(nowrap=True)


@dataclass
class Page:
    """What a page's Markdown became.

    title    : of its first heading, plain.
    headings : (level, id, text) of those below.
    """

    title: str = ""
    body: str = ""
    headings: list[tuple[int, str, str]] = field(default_factory=list)


def code(text: str, language: str) -> str:
    """A block of code, highlighted; of a language without a lexer as it is."""
    inner = html.escape(text, quote=False)
    if language in ("python", "sh"):
        inner = highlight(text, get_lexer_by_name(language), _FORMAT)
    return f'<pre class="{language or "plain"}"><code>{inner.rstrip()}</code></pre>\n'


def names(reference: str) -> dict[str, str]:
    """{"mg.grad": its anchor} of the names that the reference's Markdown lists."""
    found = re.findall(r"^```text\n((?:class )?(?:mg|rc|viz)[\w.]*)", reference, re.M)
    return {(name := line.removeprefix("class ")): name for line in found}


def convert(
    text: str, link: Callable[[str], str] = str, known: Mapping[str, str] | None = None
) -> Page:
    """The page as HTML.

    link  : an address in the Markdown -> the one on the site.
    known : {name: address} of what inline code may lead to.
    """
    page, known = Page(), known or {}
    parser = MarkdownIt("commonmark", {"html": True}).enable("table")
    rules: dict[str, Any] = {
        "fence": lambda t, k: _fence(t[k].content, t[k].info.strip()),
        "code_block": lambda t, k: _formula(t[k].content),
        "code_inline": lambda t, k: _inline(t[k].content, known),
        "heading_open": lambda t, k: _heading(t, k, page),
        "html_block": lambda t, k: _raw(t[k].content, link),
        "html_inline": lambda t, k: _raw(t[k].content, link),
        "table_open": lambda t, k: '<div class="wide"><table>\n',
        "table_close": lambda t, k: "</table></div>\n",
    }  # fmt: skip
    for name, rule in rules.items():
        parser.add_render_rule(name, _ruled(rule))
    tokens = parser.parse(text)
    for token in tokens:
        for inner in token.children or ():
            for key in ("href", "src"):
                if inner.attrGet(key):
                    inner.attrSet(key, link(str(inner.attrGet(key))))
    page.body = parser.renderer.render(tokens, parser.options, {})
    return page


def _ruled(rule: Callable[[Sequence[Any], int], str]) -> Any:
    return lambda _self, tokens, at, _options, _env: rule(tokens, at)


def _fence(content: str, language: str) -> str:
    entry = ENTRY.match(content) if language == "text" else None
    if entry is None:
        return code(content, language)
    first, _, words = content.partition("\n\n")  # an entry of the reference
    plain = "\n".join(line.removeprefix("    ") for line in words.splitlines())
    return (
        f'<section class="entry" id="{entry["name"]}"><h4>{code(first, "python").strip()}</h4>\n'
        f"<pre>{html.escape(plain, quote=False)}</pre></section>\n"
    )


def _formula(content: str) -> str:
    return f'<pre class="formula">{html.escape(content.rstrip(), quote=False)}</pre>\n'


def _inline(content: str, known: Mapping[str, str]) -> str:
    shown = f"<code>{html.escape(content, quote=False)}</code>"
    name = NAME.fullmatch(content)
    place = known.get(name["name"]) if name else None
    return f'<a href="{place}">{shown}</a>' if place else shown


def _heading(tokens: Sequence[Any], at: int, page: Page) -> str:
    level, inner = int(tokens[at].tag[1]), tokens[at + 1]
    plain = "".join(t.content for t in inner.children or ())
    if level == 1:
        page.title = plain
        return "<h1>"
    slug = re.sub(r"[^\w.]+", "-", plain.lower()).strip("-")
    if any(m and m["name"] == slug for m in (ENTRY.match(t.content) for t in tokens)):
        slug += "-module"  # `viz.draw` is both
    taken = {i for _, i, _ in page.headings}
    slug = next(s for k in range(999) if (s := slug if not k else f"{slug}-{k}") not in taken)
    page.headings.append((level, slug, plain))
    return f'<h{level} id="{slug}">'


def _raw(content: str, link: Callable[[str], str]) -> str:
    return re.sub(r'(?<=src=")[^"]+', lambda m: link(m[0]), content)


def own_ids(svg: str, prefix: str) -> str:
    """A picture whose ids are unlike those of the page's other pictures, without an XML head."""
    svg = svg[svg.index("<svg") :]
    found = set(re.findall(r'\bid="([^"]+)"', svg))

    def renamed(m: re.Match[str]) -> str:
        return f"{m[1]}{prefix}{m[2]}" if m[2] in found else m[0]

    return re.sub(r'(\bid="|url\(#|href="#)([^")]+)', renamed, svg)
