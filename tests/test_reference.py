"""docs/reference.md is what its command makes, and every public name has something to say there."""

import importlib
import inspect

import pytest

from docs import reference

pytestmark = pytest.mark.long  # a page of the docs, made again

MODULES = reference.MODULES.items()


def test_the_page_is_what_its_command_makes():
    """Run python -m docs.reference after a name or a docstring was changed."""
    assert reference.PAGE.read_text(encoding="utf-8") == reference.text()


@pytest.mark.parametrize("called, path", MODULES, ids=reference.MODULES)
def test_every_public_name_says_how_it_is_used(called, path):
    """Of a function more than what it does: what it takes or returns, and what it raises."""
    module, short = importlib.import_module(path), []
    for name, thing in reference.names(module).items():
        words = inspect.getdoc(thing) or ""
        lines = [line for line in words.splitlines() if line.strip()]
        silent = not isinstance(thing, type) and "raises" not in words.lower()
        if len(lines) < 2 or silent and path != "minigrad.testing.strategies":
            short.append(f"{called}.{name}")
    assert not short, f"docstrings of one line, or without what is raised: {short}"


def test_names_are_counted():
    found = [f"{called}.{name}" for called, _, name, _ in reference.entries()]
    assert len(found) == len(set(found)) > 340
    some = """mg.grad mg.function mg.exp mg.linalg.svd mg.optim.adamw mg.testing.first_nonfinite
    mg.testing.strategies.trees rc.LSTM viz.draw"""
    assert set(some.split()) < set(found)


def test_a_signature_is_what_one_writes():
    def f(x, /, how=inspect.getdoc, *, dtype: int = 3) -> None:
        """Nothing."""

    assert reference.signature("mg.f", f) == "mg.f(x, /, how=getdoc, *, dtype=3)"
    assert " at 0x" not in reference.text() and "<function" not in reference.text()
