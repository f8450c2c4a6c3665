"""SVG inline in a page, beside others."""

from __future__ import annotations

import re

from viz.page.embed import embed, sizes


def test_embedded_drawings_keep_to_themselves():
    svg = (
        '<?xml version="1.0"?><!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "http://x/y.dtd">'
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        'width="60pt" height="9"><metadata/><style>*{color:red}</style><defs><path id="p"/></defs>'
        '<use xlink:href="#p"/><g clip-path="url(#p)"/><a xlink:href="http://far.away"/></svg>'
    )
    out = embed(svg, "one", "a drawing")
    assert 'id="one-p"' in out and 'href="#one-p"' in out and "url(#one-p)" in out
    assert not re.search("http|style>|metadata|DOCTYPE|far", out)
    assert sizes(out) == '[data-size="64 80"]{min-width:64px;max-width:80px}\n'


def test_styles_become_attributes():
    text = """<text style="font: 10px 'A B', serif; fill: #123">x</text>"""
    out = embed(f'<svg width="9pt">{text}</svg>', "p", "a drawing")
    assert '<text font-size="10px" fill="#123">x</text>' in out and "style" not in out


def test_fine_numbers_are_rounded_and_blanks_go():
    out = embed('<svg width="9pt">\n<path d="M1.234,5.55C6,7.899 1e-3,2"/>\n<text> a </text></svg>',
                "p", "")  # fmt: skip
    assert '<path d="M1.2,5.5C6,7.9 1e-3,2" /><text> a </text>' in out
