"""The spellings of other libraries are answered; what asks whether a name exists is not misled."""

import copy
import inspect
import pickle
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

import minigrad as mg
import recurrent as rc
import viz
from minigrad.manners.spellings import _BY_NAME as BY_NAME
from minigrad.manners.spellings import CALLED, SPELLINGS

PLACES = {
    "Tensor": mg.Tensor, "minigrad": mg, "minigrad.optim": mg.optim, "recurrent": rc, "viz": viz,
}  # fmt: skip
NAMES = {"mg": mg, "optim": mg.optim, "rc": rc, "viz": viz, "np": np, "t": mg.asarray([[1.0]])}
X = mg.asarray([1.0, 2.0])


def test_the_table_is_of_names_that_do_not_exist():
    assert set(SPELLINGS) == set(PLACES)
    for place, names in BY_NAME.items():
        alive = [n for n in names if n in dir(PLACES[place])]
        assert not alive, f"{place} has {alive}: their rows are dead"
        listed = " ".join(SPELLINGS[place]).split()
        assert len(listed) == len(set(listed)), {n for n in listed if listed.count(n) > 1}


def test_every_way_that_is_named_exists():
    ways = [way for table in SPELLINGS.values() for way in table.values()] + list(CALLED.values())
    named = {n for way in ways for n in re.findall(r"\b(?:mg|optim|rc|viz|np|t)(?:\.[a-zA-Z_]\w*)+",
                                                   way)}  # fmt: skip
    assert len(named) > 80
    for name in named - {"t.at"}:
        home, *path = name.split(".")
        found = NAMES[home]
        for part in path:
            found = getattr(found, part)


@pytest.mark.parametrize(("place", "name"),
                         [(p, n) for p, names in BY_NAME.items() for n in names])
def test_a_foreign_name_says_our_way_in_one_line(place, name):
    of = X if place == "Tensor" else PLACES[place]
    with pytest.raises(AttributeError) as caught:
        getattr(of, name)
    text = str(caught.value)
    assert BY_NAME[place][name] in text and "\n" not in text and repr(name) in text
    assert not hasattr(of, name)


@pytest.mark.parametrize(("of", "name", "near"), [
    (mg, "softmx", "softmax"), (mg, "Tanh", "tanh"), (mg, "logsoftmax", "log_softmax"),
    (mg, "Function", ""), (mg.optim, "adm", "adam"), (rc, "LSTMM", "LSTM"), (rc, "unrol", "unroll"),
    (viz, "drow", "draw"), (X, "summ", "sum"), (X, "reshap", "reshape"), (mg, "qqqq", ""),
])  # fmt: skip
def test_a_name_that_is_nearly_right_is_named(of, name, near):
    with pytest.raises(AttributeError, match=f"has no attribute '{name}'.*{near}"):
        getattr(of, name)


@pytest.mark.parametrize("f", [mg.grad, mg.vjp, mg.jvp, mg.jacobian, mg.hessian])
def test_a_function_to_differentiate_is_told_apart(f):
    name = f.__name__
    for args in ((np.sin,), (lambda x: x, X), (np.sin, X, X)):
        with pytest.raises(TypeError, match=rf"{name}: takes what was computed.*mg\.{name}\(y, "):
            f(*args)


def test_a_tensor_is_not_constructed_or_marked():
    with pytest.raises(TypeError, match=r"made by mg\.asarray"):
        mg.Tensor([1.0, 2.0])
    with pytest.raises(AttributeError, match=r"'requires_grad' cannot be set: write mg\.grad"):
        X.requires_grad = True
    with pytest.raises(AttributeError, match=r"'shape' cannot be set: t\.named"):
        X.shape = (2, 1)


def test_protocols_are_not_broken():
    assert not hasattr(X, "__array_interface__") and not hasattr(X, "_repr_png_")
    assert copy.copy(X) is X and copy.deepcopy([X])[0] is X
    assert pickle.loads(pickle.dumps(X)).tolist() == [1.0, 2.0]
    assert np.asarray(X).tolist() == [1.0, 2.0] and np.array([X, X]).shape == (2, 2)
    for module in (mg, mg.optim, rc, viz):
        assert not hasattr(module, "__path_of_nothing__")
        assert getattr(module, "qqqq", None) is None
    assert inspect.getmodule(mg.sum) is not None


def test_modules_inside_do_not_pose_as_functions():
    shown = dir(mg)
    assert not {"compile", "graph", "run", "sys", "static", "rewrite"} & set(shown)
    assert {"function", "grad", "optim", "testing", "Tensor", "sum"} <= set(shown)
    for name in CALLED:
        module = import_module(f"minigrad.{name}")
        with pytest.raises(TypeError, match=f"minigrad.{name} is a module inside.*write "):
            module(np.sin)
    with pytest.raises(TypeError, match=r"minigrad\.ops is a module inside.*dir\(minigrad\)"):
        import_module("minigrad.ops")()


def test_before_the_compiler_is_loaded_its_name_is_answered_too():
    code = "import minigrad as mg\ntry: mg.compile(3)\nexcept AttributeError as e: print(e)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "mg.function(f)" in found.stdout


def test_the_version_is_said_once():
    text = (Path(mg.__file__).parent.parent / "pyproject.toml").read_text()
    assert re.fullmatch(r"\d+\.\d+\.\d+.*", mg.__version__)
    assert 'dynamic = ["version"]' in text and 'path = "minigrad/__init__.py"' in text
