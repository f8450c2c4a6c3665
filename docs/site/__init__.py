"""The site: the guide, the pages beside it, the reference and the galleries as plain HTML.

`python -m docs.site OUT` builds it; it opens from disk and loads nothing from anywhere.
`markdown` makes HTML of a page, `notebook` a notebook of a chapter, `build` puts all together.
"""
