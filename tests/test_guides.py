"""The guides in docs/ are programs: what is printed below their blocks is what they print."""

import re

import numpy as np
import pytest

from docs import guides


@pytest.mark.skipif(
    np.finfo(np.longdouble).nmant < 63, reason="the page was made where long double has 64 bits"
)
@pytest.mark.long
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


# -- the guide's chapters --------------------------------------------------------------------------


@pytest.mark.parametrize("page", guides.CHAPTERS, ids=lambda p: p.name)
def test_a_chapter_is_of_a_size_and_has_exercises_that_are_checked(page):
    parts = list(guides.read(page))
    lines = sum(p.text.count("\n") for p in parts)
    assert 60 <= lines <= 150
    head, _, exercises = page.read_text(encoding="utf-8").partition("\n## Exercises\n")
    solutions = exercises.split("<details><summary>Solution</summary>\n\n")[1:]
    assert len(solutions) == exercises.count("</details>") == len(
        re.findall(r"^\*\*\d\.\*\* ", exercises, re.M)
    )
    assert len(solutions) >= 2 and "<details>" not in head
    for solution in solutions:
        code = "".join(re.findall(r"^```python\n(.*?)^```$", solution, re.M | re.S))
        assert re.search(r"\bassert |check_grads\(", code), solution


def test_the_guide_is_whole():
    topics = """record unfolding sharing bptt vanishing gates depth directions trees encoder-decoder
    structure algorithms testing""".split()
    assert [p.stem.partition("-")[2] for p in guides.CHAPTERS] == topics


def test_a_wrong_solution_fails(tmp_path):
    page = tmp_path / "chapter.md"
    page.write_text("```python\nimport minigrad as mg\nz = mg.symbol('z', ())\n```\n\n```python\n"
                    "assert mg.same(mg.simplify(mg.grad(z * z * z, z)), z * z)\n```\n")  # fmt: skip
    with pytest.raises(AssertionError):
        guides.run(page)


def test_a_page_is_read_as_it_stands(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("a\n\n```python\n1 / 0\n```\n\n```text\nb\nc\n```\n\nd\n")
    read = list(guides.read(page))
    assert [(p.text, p.is_code, p.printed) for p in read] == [
        ("a\n\n", False, ""), ("1 / 0\n", True, "b\nc"), ("\nd\n", False, "")
    ]  # fmt: skip
