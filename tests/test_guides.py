"""The guides in docs/ are programs: what is printed below their blocks is what they print."""

import numpy as np
import pytest

from docs import guides


@pytest.mark.skipif(
    np.finfo(np.longdouble).nmant < 63, reason="the page was made where long double has 64 bits"
)
@pytest.mark.parametrize("page", guides.PAGES, ids=lambda p: p.name)
def test_a_page_prints_what_it_says(page):
    """Run python -m docs.guides after a message was changed."""
    text = page.read_text(encoding="utf-8")
    assert text.count("```text") >= 1
    assert guides.rounded(guides.run(page)) == guides.rounded(text)


def test_another_number_is_noticed(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("```python\nprint(1 / 3)\n```\n\n```text\n0.33\n```\n")
    assert "0.3333333" in guides.run(page)
    assert guides.rounded(guides.run(page)) != guides.rounded(page.read_text())
    assert guides.rounded("1.0e-20, 0.123456") == guides.rounded("3.1e-19, 0.1234561") != "0.123"
