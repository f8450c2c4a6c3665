"""`minigrad study` as a user meets it: what it writes, and what it says when it cannot."""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import optree
import pytest

import minigrad as mg
import recurrent as rc
from recurrent.cells import kinds
from tests.counting import some
from tests.viz.study.studies import series
from viz.cli import main
from viz.out.render import engine
from viz.study.nets import SEQUENCES, TREES
from viz.study.report import FILES

SENTENCE = "the Saints beat the Panthers last night"
TREE = "(3 (2 It) (4 (2 's) (4 (3 lovely) (2 .))))"
needs_graphviz = pytest.mark.skipif(engine() is None, reason="no Graphviz on PATH, no pygraphviz")
ROOT = Path(__file__).parents[3]
pytestmark = pytest.mark.usefixtures("elsewhere")


def run(*arguments: object) -> int:
    return main(["study", *map(str, arguments)])


def refused(capsys, *arguments: object) -> str:
    """The one line on stderr of a command that ends with status 2, having written nothing."""
    before = sorted(Path().rglob("*"))
    assert run(*arguments) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and "Traceback" not in err
    assert sorted(Path().rglob("*")) == before
    return err


# -- the main job ----------------------------------------------------------------------------------


@needs_graphviz
def test_the_main_job_writes_a_page_and_its_drawings(capsys):
    assert run(SENTENCE) == 0
    out, err = capsys.readouterr()
    index = Path("minigrad-report/index.html").resolve()
    assert out.splitlines()[-1] == f"Open {index}" and err == ""
    assert {p.name for p in index.parent.iterdir()} == FILES - {"tree.svg", "series.svg"}
    assert index.stat().st_size < 400_000
    assert [p.name for p in Path().iterdir()] == ["minigrad-report"]
    assert index.parent.stat().st_mode & 0o777 == 0o777 & ~_umask()


@pytest.mark.long
@needs_graphviz
@pytest.mark.parametrize("cell", some(["gru", "lstm", "rnn"], 2))
@pytest.mark.parametrize("tokens", ["word", "char"])
def test_every_cell_reads_words_and_characters(cell, tokens):
    assert run(SENTENCE, "--cell", cell, "--tokens", tokens, "--steps", 2, "--hidden", 4) == 0


@pytest.mark.long
@needs_graphviz
@pytest.mark.parametrize(
    "text",
    some([
        TREE,
        TREE + "\n\n" + TREE,
        "(3 It)",
        "( (S (NP (DT the) (NN dog)) (VP barks)))",
        "((NP (DT the) (NN dog)) (VP barks))",
        "(a b)",
        "(1 (2 (3 (4 x))))",
        "(NP " + " ".join(f"(N w{k})" for k in range(9)) + ")",
        "(S one two three four five six)",
    ], 5),
)  # fmt: skip
def test_trees_of_every_shape(text, tmp_path):
    (tmp_path / "t.ptb").write_text(text)
    assert run("t.ptb", "--cell", "tree", "--steps", 2, "--hidden", 4) == 0


@pytest.mark.long
@needs_graphviz
@pytest.mark.parametrize(
    "text",
    some([
        "a",
        "<script>alert('x')</script> & \"q\" </svg> ]]> -->",
        "🎉 👩‍👩‍👧 e\u0301 \u202eabc",
        "\x01\x02\x1b[31m red",
        "${title} $mark $$",
        "?!",
        "日本語のテキストです",
        "مرحبا بالعالم",
        r"$\frac{1}{2}$ $x_i^2$ $ % {x} %s \n \\ \l",
        "one\ntwo\r\n\tthree\x0b\x0c four",
        "x" * 500,
    ], 5),
)  # fmt: skip
@pytest.mark.parametrize("tokens", ["auto", pytest.param("char", marks=pytest.mark.slow)])
def test_hostile_texts(text, tokens):
    assert run(text, "--tokens", tokens, "--steps", 1, "--hidden", 3) == 0
    page = Path("minigrad-report/index.html").read_text(encoding="utf-8")
    data = '<script type="application/json" id="{}">'.format
    ours = {'<script type="module">', data("program"), data("scene")}
    assert set(re.findall("<script[^>]*>", page)) <= ours and page.rstrip().endswith("</html>")
    assert page.count("<script") == page.count("</script>") <= 2


@pytest.mark.long
@needs_graphviz
def test_a_megabyte_is_capped_and_says_so(tmp_path, capsys):
    Path("long.txt").write_text("the quick brown fox jumps over it\n" * 31_000)
    assert run("long.txt", "--steps", 2, "--hidden", 4) == 0
    assert "first 200,000 of 217,000 words" in capsys.readouterr().out
    assert "first 200,000 of 217,000 words" in Path("minigrad-report/index.html").read_text()


@pytest.mark.long
@needs_graphviz
def test_the_same_seed_gives_the_same_numbers():
    for out in ("a", "b", "c"):
        assert run(SENTENCE, "--steps", 3, "--seed", 1 + (out == "c"), "--out", out) == 0
    first, again, other = (Path(out, "unfolded.svg").read_text() for out in ("a", "b", "c"))
    assert first == again and first != other


@pytest.mark.long
@needs_graphviz
def test_a_report_replaces_an_earlier_one_whole():
    assert run(SENTENCE, "--steps", 1) == 0
    assert run(SENTENCE, "--steps", 0, "--out", "./minigrad-report/") == 0
    held = {p.name for p in Path("minigrad-report").iterdir()}
    assert "loss.svg" not in held and "index.html" in held, "nothing of the trained one is left"
    Path("deep/empty").mkdir(parents=True)
    assert run(SENTENCE, "--steps", 0, "--out", "deep/empty") == 0
    assert run(SENTENCE, "--steps", 0, "--out", "new/deeper/report") == 0


@needs_graphviz
def test_a_report_goes_through_a_link():
    Path("real").mkdir()
    Path("link").symlink_to("real")
    assert run(SENTENCE, "--steps", 0, "--out", "link") == 0
    assert Path("link").is_symlink() and Path("real/index.html").exists()


# -- as a process ----------------------------------------------------------------------------------


def process(*arguments: str, **more) -> subprocess.Popen:
    """With Ctrl-C as it is in a terminal: what a parent ignores, its children ignore too."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "viz", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment | more,
        )
    finally:
        signal.signal(signal.SIGINT, before)


def test_version_and_help():
    for arguments, shows in ((["--version"], "minigrad "), (["study", "--help"], "--cell")):
        job = process(*arguments)
        out, err = job.communicate(timeout=60)
        assert job.returncode == 0 and shows in out.decode() and err == b""


@pytest.mark.long
@needs_graphviz
@pytest.mark.parametrize(("wait", "sent", "status"), [  # before, while and after it compiles
    (0.1, signal.SIGINT, 130), (0.1, signal.SIGTERM, 143), (0.8, signal.SIGINT, 130),
    (4.0, signal.SIGINT, 130), *(pytest.param(*case, marks=pytest.mark.slow) for case in [
        (0.8, signal.SIGTERM, 143), (1.4, signal.SIGINT, 130), (1.4, signal.SIGTERM, 143),
        (4.0, signal.SIGTERM, 143)]),
])  # fmt: skip
def test_signals_end_cleanly(wait, sent, status):
    job = process("study", SENTENCE, "--steps", "1000000")
    deadline = time.monotonic() + 60
    while not list(Path().iterdir()) and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(wait)
    job.send_signal(sent)
    _, err = job.communicate(timeout=60)
    assert job.returncode == status, err.decode()
    # Between open() and its `with` is a step at which a signal leaves a file to the collector.
    left = rb"Exception ignored in: .*\n(?:Traceback.*\n(?:  .*\n)*)?ResourceWarning: .*\n"
    words = b"minigrad: interrupted; nothing was written\n" if status == 130 else b""
    assert re.sub(left, b"", err) == words, err.decode()
    assert list(Path().iterdir()) == []


@pytest.mark.long
@needs_graphviz
def test_a_reader_that_goes_away():
    job = process("study", SENTENCE, "--steps", "0")
    job.stdout.close()
    assert job.wait(timeout=60) == 0 and job.stderr.read() == b""
    job.stderr.close()
    assert Path("minigrad-report/index.html").exists()


@pytest.mark.long
@needs_graphviz
def test_plain_ascii_terminal():
    job = process("study", "naïve Σ 🎉 text", "--steps", "1", PYTHONIOENCODING="ascii", LC_ALL="C")
    out, err = job.communicate(timeout=120)
    assert job.returncode == 0, err.decode()
    assert re.search(rb"Open /.*index\.html", out)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


# -- what is asked for -----------------------------------------------------------------------------

DEPENDENCIES = (
    "1\tThey\t_\t_\t_\t_\t3\tnsubj\t_\t_\n2\thave\t_\t_\t_\t_\t3\taux\t_\t_\n"
    "3\twon\t_\t_\t_\t_\t0\troot\t_\t_\n4\tit\t_\t_\t_\t_\t3\tobj\t_\t_\n"
    "5\tagain\t_\t_\t_\t_\t3\tadvmod\t_\t_\n\n"
)


@pytest.mark.long
@needs_graphviz
@pytest.mark.parametrize("cell", some(sorted(SEQUENCES), 5))
def test_every_architecture_reads_words(cell):
    assert run(SENTENCE, "--cell", cell, "--steps", 2, "--hidden", 4) == 0
    page = Path("minigrad-report/index.html").read_text(encoding="utf-8")
    assert 'data-program="program"' in page


@pytest.mark.long
@needs_graphviz
@pytest.mark.parametrize("cell", sorted(TREES))
@pytest.mark.parametrize("text", some([TREE, DEPENDENCIES, DEPENDENCIES * 25], 2))
def test_every_architecture_reads_trees(cell, text, capsys):
    Path("t").write_text(text)
    assert run("t", "--cell", cell, "--steps", 2, "--hidden", 4) == 0
    out = capsys.readouterr().out
    assert ("CoNLL-U" if "\t" in text else "bracketed trees") in out and cell in out
    assert ("not seen" in out) == (text.count("\n\n") > 20)


def test_every_cell_of_the_package_has_a_name():
    """Those that read a word at every step of a chain, or at the leaves or nodes of a tree."""
    apart = {"EchoState", "SaturatedRNN", "ScoringNet", "RecursiveAutoencoder"}  # trained otherwise
    made = {type(make(2, 3)).__name__ for make in SEQUENCES.values()}
    made |= {type(make(2, 3, 2)).__name__ for make in TREES.values()}
    asked = kinds("chain", "tree", "tree, one summed slot")
    assert {kind.__name__ for kind in asked} - apart <= made


@pytest.mark.long
@needs_graphviz
def test_what_is_read_decides_the_cell(capsys, monkeypatch):
    assert run(TREE, "--steps", 1, "--hidden", 3) == 0
    assert "holds bracketed trees: read as trees, by tree-lstm" in capsys.readouterr().out
    Path("d.conllu").write_text(DEPENDENCIES)
    assert run("d.conllu", "--steps", 1, "--hidden", 3) == 0
    assert "CoNLL-U: read as trees, by child-sum-tree-lstm" in capsys.readouterr().out
    assert run(TREE, "--as", "text", "--steps", 1, "--hidden", 3) == 0
    assert "trees" not in capsys.readouterr().out
    monkeypatch.setattr(sys, "stdin", type("Piped", (), {"buffer": io.BytesIO(TREE.encode())}))
    assert run("-", "--steps", 1, "--hidden", 3) == 0
    assert "Standard input holds bracketed trees" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ([TREE, "--cell", "lstm"], "holds bracketed trees, and --cell lstm reads words"),
        ([SENTENCE, "--cell", "rntn"], "a tree cell needs bracketed trees"),
        (["a,b\n1,2\n3,4\n5,6\n", "--target", "c"], "no such column; it has a, b"),
        ([SENTENCE, "--cell", "mdrnn"], "'mdrnn' needs a grid of vectors"),
        ([SENTENCE, "--cell", "luong-attention"], "an encoder-decoder needs pairs"),
        (["good day\tbonjour\nthe cat\tle chat\n", "--cell", "lstm"], "an answer of its own"),
        ([SENTENCE, "--compare", "lstm,encoder-decoder"], "read different things: words and pairs"),
        ([SENTENCE, "--target", "c"], "--target names a column of a table"),
        (["a,b\n1,2\n3,4\n5,6\n", "--cell", "tree"], "a tree cell needs bracketed trees"),
        ([SENTENCE, "--compare", "gru,tree"], "read different things"),
        ([SENTENCE, "--compare", "gru,xyz"], "'xyz' is none of"),
        ([SENTENCE, "--loss", "8"], "--loss 8: there are 7 steps; choose one of 1 to 7"),
        ([SENTENCE, "--lr", "-1"], "--lr"),
        ([SENTENCE, "--window", "1"], "--window"),
        (["(3 (2 It) (4 works)"], "never closed"),
    ],
)
def test_what_does_not_go_together(capsys, arguments, why):
    assert why in refused(capsys, *arguments)


@pytest.mark.long
@needs_graphviz
def test_a_table_is_trained_on_and_the_same_command_gives_the_same_numbers(capsys):
    Path("d.csv").write_text(series(gaps=True))
    for out in ("a", "b"):
        assert run("d.csv", "--steps", 20, "--hidden", 4, "--compare", "rnn", "--out", out) == 0
    said = capsys.readouterr().out
    assert "was read as a table: 60 rows, 3 columns" in said and "baseline “" in said
    page = Path("a/index.html").read_text(encoding="utf-8")
    for row in ("LSTM", "RNN", "last value", "mean"):  # the usual cell beside the one asked for
        assert f"<th scope=row>{row}</th>" in page
    first, again = (mg.load(f"{out}/model.safetensors") for out in "ab")
    assert optree.tree_all(optree.tree_map(lambda x, y: np.all(x == y), first, again))
    for name in ("unfolded.svg", "series.svg", "ledger.svg"):
        assert Path("a", name).read_bytes() == Path("b", name).read_bytes()
    assert run("d.csv", "--target", "larger", "--steps", 5, "--hidden", 4) == 0
    assert "of the classes right" in capsys.readouterr().out


@needs_graphviz
def test_a_chosen_loss_window_and_rate(capsys):
    more = ["--window", 5, "--lr", 0.1, "--cell", "rnn"]
    assert run(SENTENCE, "--steps", 2, "--loss", 3, *more) == 0
    out = capsys.readouterr().out
    assert "L₃, the loss at step 3," in out and "windows of 5 of 7 words" in out
    page = Path("minigrad-report/index.html").read_text(encoding="utf-8")
    assert '"chosen":2' in page and "the gradient of L<sub>3</sub>" in page


@needs_graphviz
def test_cells_are_compared(capsys):
    assert run(SENTENCE, "--steps", 2, "--cell", "gru", "--compare", "mgu,rnn", "--hidden", 4) == 0
    page = Path("minigrad-report/index.html").read_text(encoding="utf-8")
    table = page.split("several cells</caption>")[1].split("</table>")[0]
    assert re.findall(r"<th scope=row>(\w+)</th>", table) == ["GRU", "MGU", "RNN"]
    assert re.findall(r'"name":"(GRU|MGU|RNN)","cell"', page) == ["GRU", "MGU", "RNN"]


@needs_graphviz
def test_the_same_command_gives_the_same_page_and_model(tmp_path):
    text = " ".join(f"w{k % 7} v{k % 3}" for k in range(900))
    (tmp_path / "long.txt").write_text(text)
    for out in ("a", "b"):
        assert run("long.txt", "--steps", 3, "--out", out, "--hidden", 4) == 0
    for name in ("unfolded.svg", "ledger.svg"):
        assert Path("a", name).read_bytes() == Path("b", name).read_bytes(), name
    models = [mg.load(f"{out}/model.safetensors") for out in "ab"]  # (their headers' order varies)
    assert all(map(np.array_equal, *map(optree.tree_leaves, models)))
    first, again = (Path(d, "index.html").read_text(encoding="utf-8") for d in "ab")
    seconds = re.compile(r"[\d.]+ seconds|--out \w")
    assert seconds.sub("", first) == seconds.sub("", again)


@pytest.mark.long
@needs_graphviz
def test_it_ends_in_results(capsys):
    Path("long.txt").write_text(" ".join("the quick brown fox jumps".split() * 300))
    assert run("long.txt", "--cell", "gru", "--steps", 150, "--hidden", 8, "--lr", 0.02) == 0
    out = capsys.readouterr().out
    held = re.search(r"has not seen: ([\d.]+) nats, (\d+)% of ([\d,]+) next tokens right", out)
    assert held and float(held[1]) < 0.5 and int(held[2]) > 90
    page = Path("minigrad-report/index.html").read_text(encoding="utf-8")
    drawn = re.search(r'<pre><span class="quiet">([^<]*)</span> ([^<]*)</pre>', page)
    assert drawn[1].startswith("the quick") and len(set(drawn[2].split()) & set("the fox".split()))
    model = mg.load("minigrad-report/model.safetensors")
    assert model["cell"] == "gru" and model["classes"][:2] == ["the", "quick"]
    cell = SEQUENCES[model["cell"]](model["input_size"], model["hidden_size"])
    xs = model["params"]["embedding"][[0, 1]]
    _, ys = rc.unroll(cell, model["params"]["cell"], xs)
    logits = ys.numpy() @ model["params"]["W_y"] + model["params"]["b_y"]
    assert model["classes"][int(logits[-1].argmax())] == "brown"
