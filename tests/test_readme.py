"""The README: its code runs as printed, its commands parse, its picture can be made again."""

from __future__ import annotations

import re
import runpy
import shlex
import sys
import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from viz.cli import parser
from viz.out.render import engine

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    return [line for block in blocks("sh") for line in block.splitlines()]


@pytest.mark.skipif(engine() is None, reason="no Graphviz: neither neato on PATH nor pygraphviz")
def test_the_tutorial_runs_in_order_in_one_namespace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {}
    for number, block in enumerate(blocks("python"), 1):
        exec(compile(block, f"README.md, python block {number}", "exec"), namespace)  # noqa: S102
    assert (tmp_path / "unfolded.svg").exists() and (tmp_path / "tree.svg").exists()


def test_the_first_two_commands_make_their_own_environment_and_are_one_line_each():
    study, tests = commands()[:2]
    for command in (study, tests):
        assert command.startswith("python3 -m venv .venv && .venv/bin/pip install -q ")
        assert "\n" not in command and not command.endswith("\\")
    assert study.endswith('minigrad study "the Saints beat the Panthers last night"')
    assert "pytest" in tests
    assert README.index(study) < README.index("```python")


def test_every_study_command_parses():
    given = [shlex.split(c) for c in commands() if "minigrad study" in c]
    assert len(given) >= 3
    for words in given:
        at = words.index("study")
        assert parser().parse_args(words[at:]).command == "study"


def test_ci_runs_the_second_command_as_printed():
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "README.md" in script and "sed" in script, "the command is taken from the README"


def test_no_address_of_a_registry_or_of_this_machine():
    assert not re.search(r"https?://|/work/|/root/|/opt/|pypi\.org", README)


def test_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / target).exists(), target


def shapes(svg: str) -> Counter[str]:
    groups = ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}g")
    return Counter(name for g in groups for name in g.get("class", "").split())


@pytest.mark.skipif(engine() is None, reason="no Graphviz: neither neato on PATH nor pygraphviz")
def test_the_picture_is_what_its_command_makes(tmp_path, monkeypatch):
    made = tmp_path / "again.svg"
    monkeypatch.setattr(sys, "argv", ["picture.py", str(made)])
    runpy.run_path(str(ROOT / "docs" / "picture.py"), run_name="__main__")
    committed = (ROOT / "docs" / "unfolded-lstm.svg").read_text(encoding="utf-8")
    again = made.read_text(encoding="utf-8")
    assert shapes(committed) == shapes(again) and shapes(again)["cell"] == 7
    numbers = r">(\d\.\d+(?:e-\d+)?)<"
    norms = [[float(n) for n in re.findall(numbers, svg)] for svg in (committed, again)]
    assert len(norms[0]) >= 6
    np.testing.assert_allclose(*norms, rtol=0.1)  # they are printed with two digits
