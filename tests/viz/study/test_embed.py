"""SVG inline in a page, beside others."""

from __future__ import annotations

import re

from viz.study.embed import embed


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
    assert "max-width:80px" in out
