"""How tightly operators bind, held against Python's own grammar."""

import ast

import pytest

from minigrad.manners.text import COMPARES, FORMS, WHOLE, _bracket

SAMPLES = {0: "x < y", 1: "x + y", 2: "x * y", 3: "-x", 4: "x ** y", 5: "x"}  # as they bind


@pytest.mark.parametrize("name", FORMS)
def test_brackets_are_right_and_minimal(name):
    """Every operator over every other: the tree Python reads is the one that was written."""
    plain, _ = FORMS[name]
    for place in range(len(plain.needs)):
        for binds, inner in SAMPLES.items():
            words = ["u"] * len(plain.needs)
            words[place] = _bracket((inner, binds), plain.needs[place], False)
            read = ast.dump(ast.parse(plain.text.format(*words)))
            words[place] = f"({inner})"
            assert read == ast.dump(ast.parse(plain.text.format(*words)))
            if binds < plain.needs[place] and (plain.binds, binds) not in EITHER:
                words[place] = inner
                assert read != ast.dump(ast.parse(plain.text.format(*words)))


EITHER = {(3, 3)}  # --x


def test_every_form_says_how_its_operands_bind():
    for plain, tex in FORMS.values():
        assert len(plain.needs) == len(tex.needs) == plain.text.count("{}")
        assert all(COMPARES <= n <= WHOLE for form in (plain, tex) for n in form.needs)
