"""The README: its code runs as printed, its commands parse, its picture can be made again."""

from __future__ import annotations

import re
import shlex
import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path

import pytest

import minigrad as mg
import viz
from docs.picture import keep, mark, picture
from viz.cli import parser
from viz.out import render
from viz.out.render import GraphvizError, engine

ROOT = Path(__file__).parents[1]
needs_graphviz = pytest.mark.skipif(engine() is None, reason="no Graphviz on PATH, no pygraphviz")
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    return [line for block in blocks("sh") for line in block.splitlines()]


@needs_graphviz
def test_the_tutorial_runs_in_order_in_one_namespace(tmp_path, monkeypatch):
    (tmp_path / "examples").symlink_to(ROOT / "examples")  # it runs in a clone
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {}
    for number, block in enumerate(blocks("python"), 1):
        exec(compile(block, f"README.md, python block {number}", "exec"), namespace)  # noqa: S102
    for made in ("unfolded.svg", "tree.svg", "names.safetensors"):
        assert (tmp_path / made).exists()


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


def test_the_picture_shows_what_its_command_draws_and_another_graphviz_leaves_it(
    tmp_path, monkeypatch
):
    committed = (ROOT / "docs" / "unfolded-lstm.svg").read_text(encoding="utf-8")
    assert shapes(committed)["cell"] == 7
    copy = tmp_path / "unfolded-lstm.svg"
    copy.write_text(committed, encoding="utf-8")
    monkeypatch.setattr(render, "run", lambda *_args, **_more: b"<svg/>")  # words it otherwise
    assert keep(picture(), copy).read_text(encoding="utf-8") == committed
    with pytest.raises(GraphvizError, match="drew 0 nodes"):
        keep(picture(), tmp_path / "other.svg")


@needs_graphviz
def test_a_picture_of_something_else_is_drawn_again(tmp_path):
    made = tmp_path / "again.svg"
    made.write_text(f"<svg/>{mark(viz.draw(mg.asarray(1.0)))}")
    again = keep(picture(), made).read_text(encoding="utf-8")
    assert shapes(again)["cell"] == 7 and again.endswith(mark(picture()))
    assert str(ROOT) not in again
