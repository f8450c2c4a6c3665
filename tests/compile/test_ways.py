"""Where nothing can be compiled, mg.function runs by the evaluator and says so once.

In processes of their own: Numba and llvmlite are blocked, or something else stands in their place.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import optree
import pytest
from hypothesis import given, settings

import minigrad as mg
import recurrent as rc
from minigrad.compile import ways
from minigrad.compile.evaluated import Evaluated
from minigrad.kernels import compiler
from minigrad.testing.laws import LAWS
from minigrad.testing.strategies import problems

ROOT = Path(__file__).resolve().parents[2]

STEPS = """
import sys, warnings
for name in {blocked}:
    sys.modules[name] = None
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    import numpy as np
    import minigrad as mg, recurrent as rc, viz
    from minigrad import pytrees

    lstm, opt = rc.LSTM(3, 5), mg.optim.adam(0.02)
    traced = []

    def step(params, state, xs, target, power, lengths=None):
        traced.append(power)
        _, ys = rc.unroll(lstm, params, xs, lengths=lengths)
        loss = mg.mean((ys - target) ** power)
        params, state = opt.update(params, mg.grad(loss, params), state)
        return {{"loss": loss, "power": power, "new": (params, state), "same": xs}}

    f, g = mg.function(step), mg.function(step)
    rng = np.random.default_rng(0)
    params = lstm.init(0)
    state = opt.init(params)
    for time, power, lengths in ((4, 2, None), (4, 2, None), (6, 2, None), (6, 2.0, (6, 1))):
        args = params, state, rng.normal(size=(time, 2, 3)), np.full((time, 2, 5), 0.5)
        found = f(*args, power, lengths)
        wanted = mg.reference(step(*mg.tensors(args), power, lengths))
        traced.pop()
        leaves = pytrees.tree_leaves(found)
        for a, b in zip(leaves, pytrees.tree_leaves(wanted), strict=True):
            if not isinstance(a, np.ndarray):
                assert a is b or a == b and type(a) is type(b), (a, b)
                continue
            assert a.shape == b.shape and a.dtype == b.dtype and a.flags.writeable
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)
            assert not any(np.shares_memory(a, x) for x in pytrees.tree_leaves(args))
        params, state = found["new"]
    print(traced)
    g(*args, 2, (2, 2))
    try:
        mg.function(lambda p, k: mg.take(p["b_i"], mg.checked(k, 0, 3)))(params, np.array([1, 3]))
    except ValueError as error:
        print(error)
ours = [w for w in caught if "mg.function" in str(w.message)]
print(len(ours), ours[0].category.__name__, ours[0].filename)
print(ours[0].message)
print(f.explain(*args, 2, (2, 2)))
"""


def stub(folder: Path, name: str, text: str) -> None:
    (folder / name).mkdir(exist_ok=True)
    (folder / name / "__init__.py").write_text(text)


def numba_that(text: str):
    """A package that looks as the one installed does, from outside: kernels kept on disk serve."""

    def make(folder: Path) -> None:
        stub(folder, "numba", text)
        version = Path(numba.__file__).with_name("_version.py").read_text()
        (folder / "numba" / "_version.py").write_text(version)

    return make


def old_llvmlite(folder: Path) -> None:
    stub(folder, "llvmlite", "__version__ = '0.30'")
    (folder / "llvmlite" / "ir.py").write_text("")
    (folder / "llvmlite" / "binding.py").write_text(
        "initialize_native_target = initialize_native_asmprinter = get_host_cpu_name = lambda: ''\n"
        "get_host_cpu_features = lambda: {}.keys() and None"
    )


COMPILES_NOTHING = """
import sys, types as t
for name in ("numba.core", "numba.core.codegen", "numba.core.compiler_lock"):
    sys.modules[name] = t.ModuleType(name)
class AOTCodeLibrary: pass
class JITCPUCodegen:
    def __init__(self, name):
        raise AttributeError("module 'llvmlite.ir' has no attribute 'Opaque'")
vars(sys.modules["numba.core.codegen"]).update(
    AOTCodeLibrary=AOTCodeLibrary, JITCPUCodegen=JITCPUCodegen
)
"""
PLACES = {  # what is blocked, what stands in its place, what is said
    "no numba": ("numba", None, "numba is not installed"),
    "no llvmlite": ("llvmlite", None, "llvmlite is not installed"),
    "neither": ("numba llvmlite", None, "llvmlite is not installed"),
    "half an llvmlite": ("llvmlite.binding", None, "llvmlite cannot be used (ModuleNotFoundError"),
    "numba refuses": (
        "", numba_that("raise ImportError('Numba needs NumPy 1.26 or less')"),
        "numba cannot be used (ImportError: Numba needs NumPy 1.26 or less)",
    ),
    "numba compiles nothing": (
        "", numba_that(COMPILES_NOTHING), "'llvmlite.ir' has no attribute 'Opaque'",
    ),
    "an old llvmlite": ("", old_llvmlite, "llvmlite cannot be used (AttributeError"),
}  # fmt: skip


def run(text: str, folder: Path, **variables: str) -> str:
    path = os.pathsep.join([str(folder), str(ROOT)])
    env = {**os.environ, "MINIGRAD_CACHE_DIR": str(folder / "c"), "PYTHONPATH": path, **variables}
    done = subprocess.run(
        [sys.executable, "-c", text], capture_output=True, text=True, env=env, cwd=folder
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.mark.parametrize("place", PLACES)
def test_a_training_step_where_nothing_compiles(place, tmp_path):
    """The reference's values and errors, traced once per signature; one warning with a remedy."""
    blocked, make, why = PLACES[place]
    if make is not None:
        make(tmp_path)
    lines = run(STEPS.format(blocked=blocked.split()), tmp_path).splitlines()
    assert lines[0] == "[2, 2, 2.0]"
    assert lines[1] == "integers must lie in 0..2; got [3]"
    assert lines[2] == "1 CompilerWarning <string>"
    assert why in lines[3] and "pip install -U numba" in lines[3]
    assert lines[4].startswith("runs by mg.evaluate") and why in lines[4]
    assert "1 recurrence" in lines[5] or "2 recurrences" in lines[5]


LATE = """
import warnings
import numpy as np
import minigrad as mg
x = np.arange(3.0)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    f = mg.function(lambda x: mg.tanh(x) * 2)
    np.testing.assert_allclose(f(x), 2 * np.tanh(x), rtol=1e-14)
    print(len(caught))
    for _ in range({new}):
        g = mg.function(lambda x: mg.exp(x) + mg.sin(x))
        np.testing.assert_allclose(g(x), np.exp(x) + np.sin(x), rtol=1e-14)
    np.testing.assert_allclose(f(x), 2 * np.tanh(x), rtol=1e-14)
print(len(caught))
print(f.explain(x).splitlines()[-1])
"""


@pytest.mark.long
def test_numba_breaks_after_kernels_were_kept(tmp_path):
    """What is on disk runs compiled, and goes on to; the rest is evaluated."""
    compiled = "called through one native list"
    assert run(LATE.format(new=0), tmp_path).splitlines() == ["0", "0", compiled]
    numba_that("raise ImportError('broken since')")(tmp_path)
    assert run(LATE.format(new=2), tmp_path).splitlines() == ["0", "1", compiled]


@pytest.mark.long
def test_the_study_command_without_a_compiler(tmp_path):
    text = """
import sys
sys.modules["numba"] = sys.modules["llvmlite"] = None
from viz.study import training
training.WORTH_COMPILING = 0
from viz.cli import main
sys.exit(main(["study", "a b a b a b c", "--steps", "3", "--cell", "gru", "--out", "report"]))
"""
    run(text, tmp_path)
    assert (tmp_path / "report" / "index.html").stat().st_size > 1000


@pytest.fixture
def nothing_compiles(monkeypatch):
    monkeypatch.setattr(compiler, "_failures", ["numba is not installed"])
    monkeypatch.setattr(ways, "_warned", ["said"])


def test_random_cells_without_a_compiler(nothing_compiles):
    @settings(max_examples=30, deadline=None)
    @given(problems())
    def holds(problem):
        LAWS["compiled_is_reference"](problem)

    holds()


def test_results_of_the_evaluator_are_the_callers_own(nothing_compiles):
    """Neither an argument, nor each other, nor a constant, nor what the next call returns."""
    constant = mg.asarray(np.arange(3.0))

    def f(x, y):
        z = x + y
        return x, x.T, z, z, z[1:], constant, constant * 2, constant * 2, x

    x, y = np.ones((2, 3)), np.ones((2, 3))
    g = mg.function(f)
    first, second = g(x, y), g(x, y)
    assert isinstance(next(iter(g.traces.values())).way, Evaluated)
    kept = [a.copy() for a in first]
    everything = [x, y, *first, *second]
    for k, a in enumerate(everything):
        assert a.flags.writeable
        assert not any(np.shares_memory(a, b) for b in everything[:k])
    for a in second:
        a += 5
    for a, b, c in zip(first, kept, g(x, y), strict=True):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(c, b)


def test_tensors_views_and_other_layouts_without_a_compiler(nothing_compiles):
    x = np.arange(12.0).reshape(3, 4)
    f = mg.function(lambda x: mg.tanh(x) @ x.T)
    wanted = np.tanh(x) @ x.T
    for same in (x, np.asfortranarray(x), x[:, ::-1][:, ::-1], mg.asarray(x), x.astype(">f8")):
        np.testing.assert_allclose(f(same), wanted, rtol=1e-14)
    x[0, 0] = np.nan
    with pytest.raises(FloatingPointError, match="holds NaN"):
        mg.function(lambda x: x + 1, nan_check=True)(x)


def test_one_warning_shows_the_users_line(monkeypatch):
    monkeypatch.setattr(compiler, "_failures", ["numba is not installed"])
    monkeypatch.setattr(ways, "_warned", [])
    f, p = mg.function(lambda p, x: rc.unroll(rc.RNN(2, 2), p, x)), rc.RNN(2, 2).init(0)
    with pytest.warns(ways.CompilerWarning, match="numba is not installed") as caught:
        f.explain(p, np.ones((2, 2))), f(p, np.ones((2, 2)))
        mg.function(mg.tanh)(np.ones(2))
    assert [w.filename for w in caught] == [__file__]
    assert optree.tree_leaves(f(p, np.ones((2, 2))))
