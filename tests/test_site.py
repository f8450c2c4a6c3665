"""The site: every page is there, its links lead somewhere, it loads nothing from anywhere."""

import json
import re
from html.parser import HTMLParser

import pytest

pytest.importorskip("markdown_it")
pytest.importorskip("pygments")

from docs import guides  # noqa: E402
from docs.site import build as site  # noqa: E402
from docs.site.markdown import convert, names, own_ids  # noqa: E402
from docs.site.notebook import notebook  # noqa: E402

VOID = {"meta", "link", "img", "br", "hr", "path", "polygon", "polyline", "ellipse", "rect", "use"}


class Read(HTMLParser):
    """What a page refers to, its ids, and whether its tags are closed in turn."""

    def __init__(self, text):
        super().__init__()
        self.refers, self.ids, self.open, self.wrong = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        for key, value in attrs:
            if key in ("href", "src"):
                self.refers.append(value)
            if key == "id":
                self.ids.append(value)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in VOID and (not self.open or self.open.pop() != tag):
            self.wrong.append(tag)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The site with its chapters as they stand; that they run is tests/test_guides.py's."""
    out = tmp_path_factory.mktemp("site")
    assert site.build(out, guides.read) == out / "index.html"
    return out, {p: Read(p.read_text(encoding="utf-8")) for p in out.rglob("*.html")}


def test_all_pages_are_there_and_whole(built):
    out, pages = built
    assert {str(p.relative_to(out)) for p in pages} == {page.target for page in site.PAGES}
    for where, page in pages.items():
        assert not page.open and not page.wrong, (where, page.open[-3:], page.wrong[:3])
        assert len(page.ids) == len(set(page.ids)), where


def test_links_lead_to_what_is_there(built):
    out, pages = built
    for where, page in pages.items():
        for address in page.refers:
            path, _, place = address.partition("#")
            file = (where.parent / path).resolve() if path else where
            assert file.is_file(), f"{where.name}: {address}"
            assert not place or place in pages[file].ids, f"{where.name}: {address}"


def test_nothing_is_loaded_from_elsewhere(built):
    out, pages = built
    for page in pages.values():
        assert not [a for a in page.refers if re.match(r"\w+:|//", a)]
    style = (out / "style.css").read_text(encoding="utf-8")
    assert "url(" not in style and "@import" not in style
    script = (out / "names.js").read_text(encoding="utf-8")
    assert '"mg.grad"' in script and "http" not in script and "fetch(" not in script


def test_names_lead_to_the_reference(built):
    out, pages = built
    chapter = next(p for w, p in pages.items() if w.stem == "02-unfolding")
    assert "../reference.html#mg.unfold" in chapter.refers
    reference = pages[out / "reference.html"]
    assert {"mg.grad", "rc.LSTM", "rc.study.ledger", "viz.draw"} <= set(reference.ids)


def test_pictures_are_drawn_where_a_block_ends_in_one(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "# P\n\n```python\nimport minigrad as mg, viz\nx = mg.asarray(1.0)\nprint(1)\n```\n\n"
        "words\n\n"
        "```python\nviz.draw(mg.exp(x), view='ops')\n```\n\n```python\n"
        "from matplotlib.figure import Figure\nax = Figure().subplots()\nax.plot([1, 2])\nax\n```\n"
    )
    parts = list(guides.parts(page))
    pictures = [site.picture(p.shown) for p in parts]
    assert [bool(p) for p in pictures] == [False, False, False, True, False, True, False]
    assert "exp" in pictures[3] and [p.printed for p in parts if p.is_code] == ["1", "", ""]
    cells = json.loads(notebook(parts, pictures))["cells"]
    assert [c["cell_type"] for c in cells] == ["markdown", "code", "markdown", "code", "code"]
    assert cells[1]["outputs"][0]["text"] == ["1\n"]
    assert "image/svg+xml" in cells[3]["outputs"][0]["data"]
    assert len({c["id"] for c in cells}) == len(cells)


def test_a_notebook_has_all_of_a_chapter(built):
    out, _ = built
    for file in guides.CHAPTERS:
        book = json.loads((out / "guide" / f"{file.stem}.ipynb").read_text(encoding="utf-8"))
        code = ["".join(c["source"]) for c in book["cells"] if c["cell_type"] == "code"]
        assert code == [p.text.rstrip() for p in guides.read(file) if p.is_code]
        prose = "".join("".join(c["source"]) for c in book["cells"] if c["cell_type"] == "markdown")
        assert "**Solution**" in prose and "<details>" not in prose
        assert book["nbformat"] == 4 and all(c["id"] for c in book["cells"])


def test_markdown():
    page = convert("# A & b\n\n## C\n\n## C\n\n`mg.grad(y, x)` [x](y.md)\n\n    s < t\n",
                   lambda a: a.replace(".md", ".html"), {"mg.grad": "r.html#mg.grad"})  # fmt: skip
    assert page.title == "A & b" and [h[1] for h in page.headings] == ["c", "c-1"]
    assert '<a href="r.html#mg.grad"><code>mg.grad(y, x)</code></a>' in page.body
    assert 'href="y.html"' in page.body and '<pre class="formula">s &lt; t</pre>' in page.body
    assert names("```text\nclass rc.A(x)\n\n    words\n```\n") == {"rc.A": "rc.A"}
    assert own_ids('<?xml?><svg><g id="a"/><use href="#a" x="url(#a)"/></svg>', "p-") == (
        '<svg><g id="p-a"/><use href="#p-a" x="url(#p-a)"/></svg>'
    )
