"""docs/conventions.md: the 48 traps and those of matrices, each by every engine."""

import numpy as np
import pytest

from docs import conventions as page

ROWS = [row for rows in page.SECTIONS.values() for row in rows]


def same(found, wanted):
    """Equal up to rounding and nesting; NaN in the same places."""
    if isinstance(found, (tuple, list)) and not all(isinstance(v, (int, bool)) for v in found):
        assert len(found) == len(wanted)
        for a, b in zip(found, wanted, strict=True):
            same(a, b)
    elif isinstance(found, str):
        assert found == wanted
    else:
        np.testing.assert_allclose(np.asarray(found), np.asarray(wanted), rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("engine", page.ENGINES)
@pytest.mark.parametrize("row", ROWS, ids=lambda r: f"{r.trap}: {r.code}")
def test_a_trap_has_its_answer(row, engine):
    same(*page.answers(row, page.ENGINES[engine]))


def test_all_57_are_there_and_the_page_is_what_its_command_makes():
    assert {row.trap for row in ROWS} == set(range(1, 58))
    assert page.PAGE.read_text(encoding="utf-8") == page.text(), "run python -m docs.conventions"


@pytest.mark.parametrize("row", [r for r in ROWS if r.answer.strip("()[]") == "0"][:5], ids=str)
def test_a_wrong_answer_is_noticed(row):
    found, wanted = page.answers(row, page.by_reference)
    with pytest.raises(AssertionError):
        same(np.asarray(found) + 1, wanted)
