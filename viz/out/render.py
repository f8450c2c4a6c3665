"""Running Graphviz: ``neato`` on PATH, else the PyPI wheel ``pygraphviz`` in a worker process.

Graphviz fails quietly: exit 0 with an error on stderr, a wrong drawing with a success status,
output with status 1.
So status and stderr are checked, SVG is parsed, and its nodes and edges are counted.
The wheel holds the GIL, leaks, and can crash the interpreter: it never runs in the user's process.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from pathlib import Path

from ..scene.text import clean

TIMEOUT = 120.0  # seconds; the largest pictures we make take about one
SVG = "{http://www.w3.org/2000/svg}"
XLINK = "{http://www.w3.org/1999/xlink}"
_TROUBLE = re.compile(r"^\s*(error|.*syntax error|.*segmentation|.*not found)", re.IGNORECASE)
_REMEDY = (
    "install Graphviz so that `neato` is on PATH (apt install graphviz, brew install graphviz, "
    "winget install graphviz), or `pip install pygraphviz` (its wheel carries Graphviz). "
    ".dot, .json and .summary() work without either"
)


class GraphvizError(RuntimeError):
    """Graphviz is missing, failed, or drew something other than what it was given.

    Raised where a drawing becomes SVG, PNG or PDF.
    """


def engine() -> str | None:
    """ "neato" (a program on PATH), "wheel" (pygraphviz), or None if neither is there."""
    if shutil.which("neato"):
        return "neato"
    return "wheel" if _wheel_installed() else None


@functools.cache
def _wheel_installed() -> bool:
    return importlib.util.find_spec("pygraphviz") is not None


def run(dot: str, format: str, *, dpi: float | None = None, timeout: float = TIMEOUT) -> bytes:
    """Positioned DOT text drawn as ``format`` (svg, png, pdf). Raises GraphvizError."""
    command = _command(format, dpi)
    try:
        done = subprocess.run(
            command, input=dot.encode("utf-8"), capture_output=True, timeout=timeout, check=False
        )
    except subprocess.TimeoutExpired:
        raise GraphvizError(
            f"Graphviz did not finish within {timeout:g} s: {' '.join(command[:2])}"
        ) from None
    except OSError as error:
        raise GraphvizError(f"Graphviz could not be started ({error}); {_REMEDY}") from error
    complaints = done.stderr.decode("utf-8", "replace")
    trouble = [line for line in complaints.splitlines() if _TROUBLE.match(line)]
    if done.returncode != 0 or trouble or not done.stdout:
        why = "; ".join(trouble) or complaints.strip()[-400:] or "no output"
        raise GraphvizError(f"Graphviz failed (status {done.returncode}) drawing {format}: {why}")
    return done.stdout


def render_svg(dot: str, nodes: int, edges: int) -> ET.Element:
    """The drawing as a parsed SVG tree, checked to hold ``nodes`` nodes and ``edges`` edges."""
    data = run(dot, "svg")
    try:
        root = ET.fromstring(data)
    except ET.ParseError as error:
        raise GraphvizError(f"Graphviz wrote SVG that does not parse: {error}") from error
    found = count(root, "node"), count(root, "edge")
    if found != (nodes, edges):
        raise GraphvizError(
            f"Graphviz drew {found[0]} nodes and {found[1]} edges, but the picture has "
            f"{nodes} and {edges}"
        )
    return root


def count(root: ET.Element, what: str) -> int:
    """How many groups of a class an SVG tree holds: "node", "edge", or a kind such as "cell"."""
    return sum(what in group.get("class", "").split() for group in root.iter(f"{SVG}g"))


def tidy(root: ET.Element, title: str) -> str:
    """SVG text in which hovering shows our tooltips.

    Graphviz makes links of them, and titles each group by its name.
    """
    ET.register_namespace("", SVG[1:-1])
    title = clean(title)
    for group in root.iter(f"{SVG}g"):
        anchor = next(
            (a for g in group if g.tag == f"{SVG}g" for a in g if a.tag == f"{SVG}a"), None
        )
        heading = group.find(f"{SVG}title")
        if anchor is not None:
            holder = next(g for g in group if anchor in list(g))
            at = list(group).index(holder)
            group.remove(holder)
            for k, shape in enumerate(list(anchor)):
                group.insert(at + k, shape)
            if heading is not None:
                heading.text = anchor.get(f"{XLINK}title", "")
        elif heading is not None and group.get("class") == "graph":
            heading.text = title
        elif heading is not None:
            group.remove(heading)
    root.set("role", "img")
    root.set("aria-label", title)
    return ET.tostring(root, encoding="unicode")


def write(path: Path, data: bytes) -> None:
    """Write a file whole or not at all: aside, then renamed.

    An existing file keeps its permissions.
    """
    handle, aside = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.chmod(aside, path.stat().st_mode & 0o777 if path.exists() else 0o666 & ~_umask())
        os.replace(aside, path)
    except BaseException:
        os.unlink(aside)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _command(format: str, dpi: float | None) -> list[str]:
    flags = [f"-T{format}"] + ([f"-Gdpi={dpi:.2f}"] if dpi else [])
    found = engine()
    if found == "neato":
        return [str(shutil.which("neato")), "-n2", *flags]
    if found == "wheel":
        return [sys.executable, str(Path(__file__).with_name("worker.py")), *flags]
    raise GraphvizError(f"drawing needs Graphviz, and there is none here: {_REMEDY}")
