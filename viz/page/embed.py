"""SVG text made fit to stand inline in an HTML page beside others."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

from ..scene.style import FONT
from ..scene.text import clean

_REFERENCE = re.compile(r"url\(\s*['\"]?#([^)'\"]+)['\"]?\s*\)")
_XLINK = "{http://www.w3.org/1999/xlink}"
_LONG = re.compile(r"-?\d+\.\d{2,}")  # numbers finer than a tenth of a point
_GEOMETRY = ("d", "points", "x", "y", "cx", "cy", "rx", "ry", "x1", "x2", "y1", "y2")
_LEFT_OUT = ("font-family", "space")  # the page's own fonts; what XML says of blanks
_SPACE = re.compile(r"\{[^}]*\}")


def embed(svg: str, prefix: str, label: str, least: float = 0.8) -> str:
    """The drawing without XML prologue, metadata, style sheets and name spaces.

    prefix: of every id, so that two drawings on one page cannot meet.
    least: it shrinks with the page down to this part of its own width, then scrolls.
    Styles become attributes, which a strict Content-Security-Policy lets stand.
    """
    root = ET.fromstring(svg)
    for parent in list(root.iter()):
        for child in list(parent):
            if _local(child.tag) in ("metadata", "style", "script"):
                parent.remove(child)
    for node in root.iter():
        node.tag = _local(node.tag)
        old = dict(node.attrib)
        node.attrib.clear()
        for key, value in old.items():
            name = (
                "href"
                if key in (f"{_XLINK}href", "href")
                else _local(key)
                if not key.startswith(_XLINK)
                else None
            )
            if name is None or name == "href" and not value.startswith(("#", "data:image/")):
                continue  # titles of links, and links to anywhere else
            if name in _LEFT_OUT:
                continue
            if name in _GEOMETRY:
                value = _LONG.sub(lambda m: f"{float(m[0]):.1f}", value)
            if name == "id":
                value = f"{prefix}-{value}"
            elif name == "href" and value.startswith("#"):
                value = f"#{prefix}-{value[1:]}"
            for key, text in _plain(name, value):
                node.set(key, _REFERENCE.sub(rf"url(#{prefix}-\1)", text))
    width = _points(root.get("width", "600pt"))
    for key in ("width", "height"):
        root.attrib.pop(key, None)
    root.set("stroke-linejoin", "round")
    root.set("data-size", f"{width * least:.0f} {width:.0f}")
    for node in root.iter():  # blanks between elements
        if node.tag not in ("text", "tspan", "title", "style"):
            node.text = node.text.strip() if node.text else None
        node.tail = node.tail if node.tail and node.tail.strip() else None
    root.set("role", "img")
    root.set("aria-label", clean(label))
    return ET.tostring(root, encoding="unicode", short_empty_elements=True)


def inline(svg: str, prefix: str, label: str) -> str:
    """The drawing for a notebook: at its own size, with tooltips, and ids under `prefix`."""
    made = embed(svg, prefix, label)
    made = re.sub(r'data-size="\d+ (\d+)"', r'width="\1"', made, count=1)
    own = f'<svg xmlns="http://www.w3.org/2000/svg" font-family="{FONT}" '
    return made.replace("<svg ", own, 1)


def sizes(body: str) -> str:
    """The style rules that keep the drawings of a page between their least and their own width."""
    found = sorted(set(re.findall(r'data-size="(\d+) (\d+)"', body)))
    return "".join(
        f'[data-size="{least} {own}"]{{min-width:{least}px;max-width:{own}px}}\n'
        for least, own in found
    )


def _plain(name: str, value: str) -> list[tuple[str, str]]:
    """A style as attributes of its own: a strict page lets no style stand on an element."""
    if name != "style":
        return [(name, value)]
    found = []
    for rule in filter(None, (part.strip() for part in value.split(";"))):
        key, _, text = rule.partition(":")
        if key.strip() != "font":
            found.append((key.strip(), text.strip()))
            continue
        found.append(("font-size", f"{text.partition('px')[0].split()[-1]}px"))
    return found


def _local(tag: str) -> str:
    return _SPACE.sub("", tag)


def _points(length: str) -> float:
    """A length in CSS pixels."""
    number = float(re.match(r"[\d.]+", length)[0])  # type: ignore[index]  # Graphviz and matplotlib always write one
    return number * (4 / 3 if length.endswith("pt") else 1)
