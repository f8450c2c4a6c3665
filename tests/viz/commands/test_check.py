"""`minigrad check`: it finds the function, its arguments and the line at fault."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from viz.cli import main


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


LOSSES = """
import json
import minigrad as mg
import numpy as np
import recurrent as rc

off = mg.primitive("off", numpy=np.sin, vjp=lambda ct, y, x: 1.001 * ct * mg.cos(x))

def good(w, x):
    return mg.sum(mg.tanh(x @ w))

good.example = (np.ones((3, 2)), np.arange(3.0))

def wrong(x):
    return mg.sum(off(mg.exp(x)))

def wrong_args():
    return (np.ones(3),)

def narrow(x: np.ndarray):
    return x @ mg.ones((7, 2))

def single(x):
    return mg.exp(x)

single.example = np.ones(2)

def broken(x):
    return x

def broken_args():
    raise KeyError("here")

def free():
    return mg.exp(1.0)

number = 3

def deep(x):
    return mg.sum(x) * np.linalg.cholesky(-np.eye(2))[0, 0]

deep.example = (np.ones(2),)

def theirs(x):
    return rc.unroll(rc.RNN(2, 3), {}, x)[1]

theirs.example = (np.ones((4, 2)),)

def given_args():
    return json.loads("{")

def given(x):
    return x
"""


def number(part: str) -> int:
    """The line of LOSSES that holds this."""
    return next(k for k, line in enumerate(LOSSES.splitlines(), 1) if part in line)


@pytest.fixture
def losses(monkeypatch):
    name = f"losses_{os.urandom(4).hex()}"  # modules are remembered: a new one each time
    Path(f"{name}.py").write_text(LOSSES)
    Path("random.py").write_text("import minigrad as mg\ndef f(x): return mg.sin(x)\n")
    Path("halts.py").write_text("1 / 0\n")
    Path("needs.py").write_text("import no_such_thing\n")
    monkeypatch.setattr(sys, "path", [*sys.path])
    return name


def check(*arguments: object) -> int:
    return main(["check", *map(str, arguments)])


def test_a_correct_gradient_is_status_0(losses, capsys):
    import random

    for target in (f"{losses}:good", f"{losses}.py:good", "random.py:f --args ()"):
        assert check(*target.split()) == 0
        out, err = capsys.readouterr()
        assert "correct" in out and err == ""
    assert sys.modules["random"] is random, "a user's random.py does not hide the real one"


def test_orders_modes_and_seeds_reach_the_check(losses, capsys):
    assert check(f"{losses}:good", "--order", 2, "--modes", "fwd", "--seed", 5) == 0
    rows = [row.split() for row in capsys.readouterr().out.splitlines()[2:]]
    assert {tuple(row[1:3]) for row in rows} == {("1", "fwd"), ("2", "fwd")}


def test_shapes_on_the_command_line_come_first(losses, capsys):
    assert check(f"{losses}:good", "--args", "3,2 4,3") == 0
    assert check(f"{losses}:narrow", "--args", "(4,7)") == 0
    assert check(f"{losses}:good", "--args", "3,2 4") == 2
    assert f"{losses}.py:{number('x @ w')}" in capsys.readouterr().err


def test_a_wrong_gradient_is_status_1_and_located(losses, capsys):
    assert check(f"{losses}:wrong") == 1
    out, err = capsys.readouterr()
    assert (
        "factor 1.001" in out
        and "rule of off" in out
        and f"{losses}.py:{number('off(mg.exp')}" in out
    )
    assert err == ""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["{m}"], "write module:function or file.py:function"),
        (["{m}:"], "write module:function"),
        (["{m}:nothing"], "has no function 'nothing'; it has good, wrong, narrow, single, broken"),
        (["{m}:number"], "is no function: 3"),
        (["no_such:f"], "no module 'no_such' here"),
        (["no_such.py:f"], "no file 'no_such.py'"),
        (["needs:f"], "No module named 'no_such_thing'"),
        (["halts:f"], "ZeroDivisionError: division by zero"),
        (["{m}:narrow"], "no arguments to check narrow(x) at"),
        (["{m}:single"], "must be a tuple of arguments"),
        (["{m}:broken"], "broken_args() failed: KeyError"),
        (["{m}:good", "--args", "x"], "'x' is no shape"),
        (["{m}:good", "--args", " "], "no shapes"),
        (["{m}:narrow", "--args", "3"], "narrow could not be checked: ValueError: matmul"),
        (["{m}:good", "--order", "0"], "0 is not between 1 and 6"),
    ],
)
def test_wrong_use_is_one_line_and_status_2(losses, capsys, arguments, words):
    assert check(*(a.format(m=losses) for a in arguments)) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and words in err, err


def test_a_function_of_nothing_has_nothing_to_check(losses, capsys):
    assert check(f"{losses}:free") == 0
    assert "nothing to differentiate" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("function", "library", "line"),
    [
        ("deep", "LinAlgError", "np.linalg.cholesky"),
        ("theirs", "Error", "rc.unroll"),
        ("given", "JSONDecodeError", "json.loads"),
    ],
)
def test_an_error_from_inside_a_library_is_told_at_the_users_line(
    losses, capsys, function, library, line
):
    assert check(f"{losses}:{function}") == 2
    err = capsys.readouterr().err
    assert library in err and err.rstrip().endswith(f"{losses}.py:{number(line)})"), err


def test_an_installed_module_that_is_checked_is_the_users(losses, capsys, monkeypatch):
    home = Path("site-packages").resolve()
    home.mkdir()
    Path(f"{losses}.py").rename(home / "installed.py")
    monkeypatch.syspath_prepend(str(home))
    assert check("installed:deep") == 2
    assert f"installed.py:{number('np.linalg.cholesky')})" in capsys.readouterr().err
