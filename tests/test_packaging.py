"""What `pip install .` builds: the three packages as they are now, and nothing left in the tree."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
PACKAGES = ("minigrad", "recurrent", "viz")


def sources(root: Path) -> set[str]:
    return {str(p.relative_to(root)) for name in PACKAGES for p in (root / name).rglob("*.py")}


@pytest.fixture
def clone(tmp_path):
    """A copy of what is built from, with what an older way of building has left in it."""
    pytest.importorskip("hatchling", reason="hatchling, which builds the wheel, is not installed")
    root = tmp_path / "clone"
    root.mkdir()
    for name in (*PACKAGES, "pyproject.toml", "README.md", "LICENSE", ".gitignore"):
        whole = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        whole(ROOT / name, root / name)
    for stale in ("build/lib/minigrad/stale.py", "minigrad.egg-info/entry_points.txt"):
        (root / stale).parent.mkdir(parents=True)
        (root / stale).write_text("[console_scripts]\nstale = minigrad.stale:main\n")
    return root


@pytest.mark.parametrize("hook", ["build_wheel", "build_editable"])
def test_a_build_takes_the_sources_as_they_are_and_leaves_nothing(hook, clone, tmp_path):
    before = sorted(clone.rglob("*"))
    code = f"import hatchling.build as b, sys; b.{hook}(sys.argv[1])"
    (tmp_path / "out").mkdir()
    subprocess.run([sys.executable, "-c", code, tmp_path / "out"], cwd=clone, check=True)
    assert sorted(clone.rglob("*")) == before
    (wheel,) = (tmp_path / "out").iterdir()
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (points,) = (archive.read(n).decode() for n in names if n.endswith("entry_points.txt"))
        paths = [archive.read(n).decode().split() for n in names if n.endswith(".pth")]
    assert "minigrad = viz.cli:main" in points and "stale" not in points
    assert "[pytest11]\nminigrad = minigrad.testing.plugin" in points
    inside = {n for n in names if n.endswith(".py")}
    assert inside == (sources(ROOT) if hook == "build_wheel" else set())
    assert paths == ([] if hook == "build_wheel" else [[str(clone)]])


def test_numba_is_asked_for_where_it_exists():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (numba,) = [r for r in map(Requirement, project["dependencies"]) if r.name == "numba"]
    assert numba.marker.evaluate({"python_version": "3.12", "sys_platform": "linux"})
    for elsewhere in (
        {"sys_platform": "emscripten"}, {"python_version": "3.20"},
        {"platform_python_implementation": "PyPy"},
    ):  # fmt: skip
        assert not numba.marker.evaluate(elsewhere)
