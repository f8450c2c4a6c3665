"""What is said of a compiler that is missing or broken; that it is looked for once."""

import sys

import pytest

from minigrad.kernels import compiler


@pytest.fixture
def afresh(monkeypatch):
    monkeypatch.setattr(compiler, "_failures", [])
    kept = compiler.linker, compiler.numba_version, compiler.codegen
    for f in kept:  # what is cached elsewhere stays as it is
        monkeypatch.setattr(compiler, f.__name__, f.__wrapped__)


def test_there_is_a_compiler(afresh):
    assert compiler.failure() is None and compiler.codegen().create_library("a").name == "a"
    assert compiler.failure() is None


@pytest.mark.parametrize("name", ("llvmlite", "numba"))
def test_a_missing_package_is_named(name, afresh, monkeypatch):
    with monkeypatch.context() as m:
        m.setitem(sys.modules, name, None)
        assert compiler.failure() == f"{name} is not installed"
    assert compiler.failure() == f"{name} is not installed"  # for the whole process


def test_what_breaks_at_first_use_is_kept_in_words(afresh, monkeypatch):
    monkeypatch.setattr(compiler, "library_of", lambda *_: 1 / 0)
    assert compiler.failure() is None
    with pytest.raises(compiler.CompilerMissing, match="numba cannot be used .ZeroDivisionError"):
        compiler.codegen()
    assert "ZeroDivisionError: division by zero" in compiler.failure()


def test_a_wrong_setting_of_ours_is_no_missing_compiler(afresh, monkeypatch):
    monkeypatch.setenv("MINIGRAD_LANES", "5")
    assert compiler.failure() is None
