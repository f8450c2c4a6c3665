"""docs/architectures.md: what it names exists, its lines are counted, its drawings can be made."""

import xml.etree.ElementTree as ET

import pytest

from docs import architectures as page
from docs.parameter_sharing import LEARNT, report

ENTRIES = [e for entries in page.SECTIONS.values() for e in entries]


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda e: e.title)
def test_what_is_named_exists_and_is_drawn(entry):
    made = page.parts(entry)
    assert made and all(page.lines(m) > 1 for m in made)
    assert entry.equation and entry.structure
    if entry.draw is None:
        assert not entry.picture.exists()
        return
    assert entry.draw().summary()
    root = ET.fromstring(entry.picture.read_text(encoding="utf-8"))
    assert root.tag.endswith("svg") and len(root.findall(".//{*}g")) > 2


def test_the_page_is_what_its_command_makes():
    """Run python -m docs.architectures after code was changed."""
    found = page.PAGE.read_text(encoding="utf-8")
    sharing = found[found.index("| parameters |") :].rstrip("\n")
    assert found == page.text(sharing)


def test_no_drawing_is_left_over_and_none_is_large():
    wanted = {e.picture for e in ENTRIES if e.draw}
    assert set(page.FOLDER.iterdir()) == wanted
    assert len({e.picture for e in ENTRIES}) == len(ENTRIES)
    assert max(p.stat().st_size for p in wanted) < 40_000


def test_the_results_of_sharing_are_shown_as_printed():
    words = len(LEARNT.split())
    results = {
        "shared": {"parameters": 147, "learnt": 7.0, "asked": 6.4},
        "unshared": {"parameters": 1029, "learnt": 7.0, "asked": 1.0},
    }
    table = report(results)
    assert f"(of {words})" in table and "| shared | 147 | 7.0 | 6.4 |" in table
    assert table in page.PAGE.read_text(encoding="utf-8")


def test_lines_do_not_count_docstrings_comments_and_blank_lines():
    def f():
        """Nothing

        counts here."""

        # nor here
        x = 1  # but here

        return x

    assert page.lines(f) == 3
