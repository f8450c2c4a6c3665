"""What `minigrad study` cannot read or write: a line that says so, and nothing left behind."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from viz.cli import main
from viz.commands import study
from viz.study.corpus import looks_like_path
from viz.study.report import MARK

from .test_study import SENTENCE, needs_graphviz, refused, run

pytestmark = pytest.mark.usefixtures("elsewhere")


@pytest.mark.parametrize("argument", ["", "   ", "\n\t\n"])
def test_empty_text(capsys, argument):
    assert "empty" in refused(capsys, argument)


def test_empty_file(capsys):
    Path("e.txt").write_bytes(b"\xef\xbb\xbf \n")
    assert "e.txt is empty" in refused(capsys, "e.txt")


@pytest.mark.parametrize(
    "name",
    [
        "no.txt",
        "no such file.ptb",
        "x/y",
        "./notes",
        "~/notes",
        "/nowhere/at all/some more words",
        "a\\b.mrg",
    ],
)
def test_what_looks_like_a_path_is_not_taken_for_text(capsys, name):
    err = refused(capsys, name)
    assert "no such file" in err and name.replace("\\", "\\\\") in err


@pytest.mark.parametrize(
    "text",
    [
        SENTENCE,
        "either this and/or the other one",
        "</b> <i>",
        "(2 (1 and/or) (2 x))",
        "end.",
        "a\nb/c",
        "1 / 2",
        "/ x",
    ],
)
def test_what_looks_like_text_is_not_taken_for_a_path(text):
    assert not looks_like_path(text)


def test_directory(capsys):
    Path("d").mkdir()
    assert "is a directory" in refused(capsys, "d")
    assert "is a directory" in refused(capsys, "d/")


def test_undecodable_file(capsys):
    Path("latin.txt").write_bytes("Grüße an alle".encode("latin1"))
    assert "not UTF-8 text (byte 0xfc at offset 2)" in refused(capsys, "latin.txt")
    Path("nul.txt").write_bytes(b"a\0b")
    assert "NUL" in refused(capsys, "nul.txt")


def test_undecodable_argument(capsys):
    assert "not text" in refused(capsys, os.fsdecode(b"caf\xe9 au lait"))


def test_unreadable_file(capsys, monkeypatch):
    Path("secret.txt").write_text("x y z")

    def denied(*_args, **_more):
        raise PermissionError(13, "Permission denied", "secret.txt")

    monkeypatch.setattr("builtins.open", denied)
    assert "cannot read 'secret.txt': Permission denied" in refused(capsys, "secret.txt")


def test_broken_link(capsys):
    Path("gone").symlink_to("nowhere")
    assert "no such file" in refused(capsys, "gone")


@pytest.mark.parametrize("text", ["a,b\n", "v\nNA\nNA\nNA\n", "just, a, line", "a\nb\nc\n"])
def test_a_file_named_a_table_is_not_read_as_words(capsys, text):
    Path("d.csv").write_text(text)
    assert "--as text" in refused(capsys, "d.csv")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (SENTENCE, "(3 (2 It) (4 works))"),
        ("(3 (2 It) (4 works)", "never closed"),
        ("(3 (2 It)) )", "')' without '('"),
        ("(3 ())", "without a word"),
        ("(3 (2 It)) stray", "'stray'"),
    ],
)
def test_malformed_trees(capsys, text, why):
    err = refused(capsys, text, "--cell", "tree")
    assert why in err and "(3 (2 It) (4 works))" in err


@pytest.mark.parametrize(
    "flags",
    [
        ["--cell", "lsmt"],
        ["--cell"],
        ["--tokens", "byte"],
        ["--steps", "-1"],
        ["--steps", "many"],
        ["--hidden", "0"],
        ["--hidden", "100000"],
        ["--seed", "-3"],
        ["--what"],
    ],
)
def test_bad_flags(capsys, flags):
    assert flags[0] in refused(capsys, SENTENCE, *flags)


def test_no_arguments_and_unknown_commands(capsys):
    for given in ([], ["studdy", "x"], ["study"]):
        assert main(given) == 2
        assert capsys.readouterr().err.count("\n") == 1


def test_out_is_a_file(capsys):
    Path("taken").write_text("mine")
    assert "is a file" in refused(capsys, SENTENCE, "--out", "taken")
    assert "is a file" in refused(capsys, SENTENCE, "--out", "taken/report")
    assert Path("taken").read_text() == "mine"


@pytest.mark.parametrize("name", ["notes.txt", "index.html"])
def test_out_holds_something_else(capsys, name):
    Path("mine").mkdir()
    Path("mine", name).write_text("precious")
    assert "choose another --out" in refused(capsys, SENTENCE, "--out", "mine")
    assert Path("mine", name).read_text() == "precious"


def test_a_report_with_a_users_file_in_it_is_left_alone(capsys):
    Path("r").mkdir()
    Path("r/index.html").write_text(MARK)
    Path("r/comments.txt").write_text("mine")
    assert "comments.txt" in refused(capsys, SENTENCE, "--out", "r")


def test_out_cannot_be_written(capsys, monkeypatch):
    def full(*_args, **_more):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(study.tempfile, "mkdtemp", full)
    err = refused(capsys, SENTENCE, "--out", "report")
    assert "cannot write --out 'report' (Read-only file system)" in err


@pytest.mark.long
@needs_graphviz
def test_a_full_disk_leaves_nothing(capsys, monkeypatch):
    real = Path.write_text

    def full(self, *args, **more):
        if self.name == "unfolded.svg":
            raise OSError(28, "No space left on device", str(self))
        return real(self, *args, **more)

    monkeypatch.setattr(Path, "write_text", full)
    assert "No space left on device" in refused(capsys, SENTENCE, "--steps", 0)


@pytest.mark.long
@needs_graphviz
def test_a_failure_leaves_the_earlier_report(capsys, monkeypatch):
    assert run(SENTENCE, "--steps", 0) == 0
    before = Path("minigrad-report/index.html").read_bytes()
    capsys.readouterr()

    def full(self, *_args, **_more):
        raise OSError(28, "No space left on device", str(self))

    monkeypatch.setattr(Path, "write_text", full)
    refused(capsys, SENTENCE, "--steps", 0)
    assert Path("minigrad-report/index.html").read_bytes() == before


def test_no_graphviz_at_all(capsys, monkeypatch):
    monkeypatch.setattr(study, "engine", lambda: None)
    assert "pip install pygraphviz" in refused(capsys, SENTENCE)


@needs_graphviz
def test_interrupt_leaves_nothing(capsys, monkeypatch):
    monkeypatch.setattr("viz.study.training.train", _interrupt)
    assert run(SENTENCE) == 130
    assert "interrupted" in capsys.readouterr().err and list(Path().iterdir()) == []


def _interrupt(*_args, **_more):
    raise KeyboardInterrupt
