"""The pytest plugin, in pytest runs of its own: fixture, marker, summary, xdist, profiles."""

from __future__ import annotations

import os
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ENTRY = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]["pytest11"]
pytest_plugins = ["pytester"]
pytestmark = pytest.mark.long  # runs of pytest in pytest

USER = """
import minigrad as mg
import numpy as np
import pytest

off = mg.primitive("off", numpy=np.sin, vjp=lambda ct, y, x: 1.001 * ct * mg.cos(x))

coarse = lambda x: np.sin(x).astype(np.float16).astype(x.dtype)  # no slope to compare with
rough = mg.primitive("rough", numpy=coarse, vjp=lambda ct, y, x: ct * mg.cos(x))

def test_fixture(check_grads):
    assert check_grads(mg.tanh, np.ones(3), order=2).ok
    check_grads(mg.exp, np.ones(2))

@pytest.mark.gradients(order=2, modes=("rev",))
def test_marked():
    return mg.sin, np.ones(3)

@pytest.mark.gradients
@pytest.mark.parametrize("n", [1, 2])
def test_marked_many(n):
    return [(mg.sin, np.ones(n)), (mg.multiply, np.ones(n), np.ones(n))]

def test_unrelated():
    pass
"""
WRONG = """
def test_wrong(check_grads):
    check_grads(off, np.ones(2))

@pytest.mark.gradients
def test_wrong_marked():
    return off, np.ones(2)
"""
ROUGH = """
def test_rough(check_grads):
    assert not check_grads(rough, np.ones(2)).conclusive
"""


@pytest.fixture
def run(pytester, monkeypatch):
    """Runs pytest with the plugin found through the entry point of pyproject.toml, as installed."""
    site = pytester.mkdir("site")
    info = site / "minigrad_testing-0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: minigrad-testing\nVersion: 0\n")
    lines = [f"{name} = {value}" for name, value in ENTRY.items()]
    (info / "entry_points.txt").write_text("\n".join(["[pytest11]", *lines, ""]))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(site), str(ROOT)]))
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)

    def go(text: str, *options: str) -> pytest.RunResult:
        pytester.makepyfile(test_user=text)
        return pytester.runpytest_subprocess("-Werror", "--strict-markers", *options)

    return go


@pytest.mark.parametrize("options", [("-p", "no:xdist"), ("-n", "2")], ids=["alone", "xdist"])
def test_verdicts_are_counted(run, options):
    result = run(USER, *options)
    result.assert_outcomes(passed=5)
    result.stdout.fnmatch_lines(["*= gradients =*", "7 correct"])
    result.stdout.no_fnmatch_line("decided nothing*")


@pytest.mark.parametrize("options", [
    pytest.param(("-p", "no:xdist"), id="alone"),
    pytest.param(("-n", "2"), id="xdist", marks=pytest.mark.slow),
])  # fmt: skip
def test_a_wrong_gradient_fails_and_is_counted(run, options):
    result = run(USER + WRONG, *options)
    result.assert_outcomes(passed=5, failed=2)
    result.stdout.fnmatch_lines(["*factor 1.001*", "*= gradients =*", "7 correct, 2 wrong"])


@pytest.mark.parametrize("options", [
    pytest.param(("-p", "no:xdist"), id="alone"),
    pytest.param(("-n", "2"), id="xdist", marks=pytest.mark.slow),
])  # fmt: skip
def test_what_decided_nothing_is_listed(run, options):
    result = run(USER + ROUGH, *options)
    result.assert_outcomes(passed=6)
    result.stdout.fnmatch_lines(["decided nothing: test_user.py::test_rough: gradients of rough*"])


def test_strict_fails_what_decided_nothing(run):
    result = run(USER + ROUGH, "-p", "no:xdist", "--gradients-strict")
    result.assert_outcomes(passed=5, failed=1)
    result.stdout.fnmatch_lines(["*decided nothing (--gradients-strict)*"])


def test_without_checks_there_is_no_section_and_nothing_is_imported(run):
    heavy = ("numba", "llvmlite", "hypothesis", "matplotlib", "torch")
    result = run(
        f"import sys\ndef test_light():\n    assert not {heavy!r} & sys.modules.keys()\n".replace(
            repr(heavy), repr(set(heavy))
        ),
        "-p", "no:xdist", "-p", "no:hypothesispytest", "-p", "no:randomly",
    )  # fmt: skip
    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("*gradients*")


def test_a_marked_test_that_returns_something_else_says_what_to_return(run):
    text = "import pytest\n@pytest.mark.gradients\ndef test_none():\n    pass\n"
    text += "@pytest.mark.gradients(2)\ndef test_positional():\n    return abs, 1.0\n"
    text += "@pytest.mark.gradients\ndef test_empty():\n    return []\n"
    result = run(text, "-p", "no:xdist")
    result.assert_outcomes(failed=3)
    result.stdout.fnmatch_lines(["*returns (f, [*]args)*this one returned None*"])
    result.stdout.fnmatch_lines(["*takes keyword arguments only*"])


def test_it_works_under_given_and_profiles_have_their_own_names(run):
    text = """
import minigrad as mg
from hypothesis import given, settings
from minigrad.testing import strategies as mgst

@given(mgst.expressions(only=["tanh", "sum"]))
def test_expressions(check_grads, e):
    check_grads(e.f, *e.args)
    assert settings().max_examples == EXAMPLES
"""
    conftest = """
from hypothesis import settings
settings.register_profile("ci", max_examples=3)
settings.load_profile("ci")
"""
    profile = "--hypothesis-profile=minigrad-ci"
    result = run(text.replace("EXAMPLES", "8"), "-p", "no:xdist", profile)
    result.assert_outcomes(passed=1)
    result.stdout.re_match_lines([r"\d+ correct"])
    (Path.cwd() / "conftest.py").write_text(conftest)
    run(text.replace("EXAMPLES", "3"), "-p", "no:xdist").assert_outcomes(passed=1)


def test_it_can_be_turned_off(run):
    result = run("def test_it(check_grads): pass", "-p", "no:minigrad", "-p", "no:xdist")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*fixture 'check_grads' not found*"])


def test_an_unknown_profile_is_refused():
    from minigrad.testing.plugin import load_profile

    with pytest.raises(ValueError, match="dev, ci, thorough"):
        load_profile("fast")
    assert "minigrad.testing.plugin" in sys.modules
