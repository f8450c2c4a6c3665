"""The order of the house: who may import whom, how long the core is, and that tests mirror it.

Every import counts, those inside functions too.
The one way up is by name: `minigrad` hands out `testing` when it is asked for.
"""

from __future__ import annotations

import ast
import importlib
import re
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
CORE = ("graph", "autodiff", "structure", "recur")
# Each floor (a file or a folder) imports the floors before it, and its own files.
FLOORS = {
    "minigrad": (
        "sites", "lazy", "pytrees", "static", "ordering", "graph", "ops", "linalg", "arguments",
        "autodiff", "structure", "chunks", "recur", "symbols", "tracing", "transforms", "per_node",
        "rewrite", "run", "interior", "manners", "printing", "io", "optim", "kernels", "compile",
        "__init__", "testing",
    ),
    "viz": (
        "scene", "layout", "out", "page", "draw", "animate", "__init__", "study", "commands", "cli",
        "__main__",
    ),
}  # fmt: skip
PACKAGES = ("minigrad", "recurrent", "viz")  # the later ones on the earlier ones


def files_of(root: Path, packages: tuple[str, ...]) -> dict[str, Path]:
    """Every module by its full name; a package goes by its own."""
    found = {}
    for path in sorted(p for package in packages for p in (root / package).rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(path: Path, root: Path, files: dict[str, Path]) -> set[str]:
    """The modules of `files` that a file imports: `from package import module` is the module."""
    home, found = path.relative_to(root).parent.parts, set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(a.name for a in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = home[: len(home) - node.level + 1] if node.level else ()
            base = ".".join([*above, *filter(None, [node.module])])
            found.update(m if (m := f"{base}.{a.name}") in files else base for a in node.names)
    return {m for m in found if m in files}


FILES = files_of(ROOT, PACKAGES)
IMPORTS = {module: imports(path, ROOT, FILES) for module, path in FILES.items()}


def floor(module: str, package: str) -> int:
    part = module.split(".")[1] if "." in module else "__init__"
    return FLOORS[package].index(part)


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_import_downwards(package):
    allowed = PACKAGES[: PACKAGES.index(package) + 1]
    for module in FILES:
        if module.split(".")[0] == package:
            wrong = {m for m in IMPORTS[module] if m.split(".")[0] not in allowed}
            assert not wrong, f"{module} imports {wrong}"


@pytest.mark.parametrize("package", FLOORS)
def test_floors_import_downwards(package):
    for module in FILES:
        if module.split(".")[0] == package:
            mine = [m for m in IMPORTS[module] if m.split(".")[0] == package]
            wrong = {m for m in mine if floor(m, package) > floor(module, package)}
            assert not wrong, f"{module} imports {wrong}, a floor above"


def circle(graph: dict[str, set[str]]) -> list[str]:
    """A circle of imports, or nothing."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return error.args[1]
    return []


def test_no_circle():
    assert circle({m: found - {m} for m, found in IMPORTS.items()}) == []


def test_a_circle_is_seen(tmp_path):
    """Also one inside a function, of relative imports, of whole modules."""
    (tmp_path / "p" / "q").mkdir(parents=True)
    for name, text in {
        "p/__init__": "", "p/a": "def f():\n    from .q.b import g", "p/q/__init__": "",
        "p/q/b": "from . import c", "p/q/c": "import p.a",
    }.items():  # fmt: skip
        (tmp_path / f"{name}.py").write_text(text)
    files = files_of(tmp_path, ("p",))
    graph = {m: imports(path, tmp_path, files) for m, path in files.items()}
    assert graph["p.q.b"] == {"p.q.c"}
    assert set(circle(graph)) == {"p.a", "p.q.b", "p.q.c"}


def test_the_core_stays_readable():
    lines = {m: len((ROOT / "minigrad" / f"{m}.py").read_text().splitlines()) for m in CORE}
    assert sum(lines.values()) <= 1000, lines


def test_tests_mirror_the_packages():
    """A folder of tests for every folder of the engine and of the drawings."""
    rooms = {p.parent.relative_to(ROOT) for p in FILES.values()} - {Path(p) for p in PACKAGES}
    rooms -= {Path("minigrad/testing/examples")}  # what tests/testing/test_strategies draws
    for room in rooms:
        mirrored = Path(*room.parts[1:]) if room.parts[0] == "minigrad" else room
        assert (ROOT / "tests" / mirrored).is_dir(), f"no tests for {room}"


@pytest.mark.parametrize("package", PACKAGES)
def test_one_word_means_one_thing(package):
    """No two classes of a package share a name; what is meant by which is in docs/glossary.md."""
    homes: dict[str, list[str]] = {}
    for module, path in FILES.items():
        if module.split(".")[0] == package:
            for node in ast.parse(path.read_text()).body:
                if isinstance(node, ast.ClassDef):
                    homes.setdefault(node.name, []).append(module)
    assert not {name: where for name, where in homes.items() if len(where) > 1}


def test_the_glossary_names_what_exists():
    page = (ROOT / "docs" / "glossary.md").read_text()
    named = re.findall(r"`((?:minigrad|recurrent|viz)(?:\.\w+)+)`", page)
    assert len(named) > 20
    for name in named:  # a module, or a name in one: `minigrad.recur` is both, the module first
        parts = name.split(".")
        home = max(k for k in range(1, len(parts) + 1) if ".".join(parts[:k]) in FILES)
        found = importlib.import_module(".".join(parts[:home]))
        for part in parts[home:]:
            found = getattr(found, part)
