"""The benchmark's systems do the same work: one step of each family, tiny, ours against each peer;
and the table says what was measured."""

import json

import numpy as np
import pytest

import recurrent as rc
from benchmarks import __main__ as command
from benchmarks import attention, matrices, nodes, plain, process, sequences, table, trees
from benchmarks.rows import Row, against

SEQUENCE = {"time": 5, "batch": 3, "inputs": 4, "hidden": 6}
TINY = [
    ("language model", sequences.language_model, {**SEQUENCE, "tokens": 7}),
    ("many-to-one", sequences.many_to_one, {**SEQUENCE, "tokens": 7, "classes": 3, "new": True}),
    ("tagger", sequences.tagger, {**SEQUENCE, "tokens": 7, "tags": 3}),
    ("MLP", plain.mlp, {"inputs": 4, "hidden": 5, "outputs": 3, "batch": 6}),
    ("elementwise", plain.elementwise, {"size": 50}),
    *((kind, sequences.cell_alone, {"kind": kind, **SEQUENCE}) for kind in ("LSTM", "GRU", "RNN")),
    ("peephole", sequences.peephole, SEQUENCE),
    ("attention", attention.encoder_decoder, {**SEQUENCE, "tokens": 7}),
    ("trees", trees.tree_lstm, {"trees": 4, "inputs": 3, "hidden": 5, "known": 9}),
    ("DeltaNet", matrices.deltanet, {"time": 5, "batch": 2, "size": 4}),
    ("Mamba", matrices.mamba, {"time": 5, "batch": 2, "size": 4, "states": 3}),
    ("Python loop", nodes.python_loop, SEQUENCE),
    ("contributions", nodes.contributions, SEQUENCE),
    ("norms", nodes.contribution_norms, SEQUENCE),
]
PEERS = [
    pytest.param(family, size, peer, id=f"{name}, {peer}")
    for name, family, size in TINY for peer in family(**size)
    if peer not in ("minigrad", "one gradient")  # which is other work, see below
]  # fmt: skip


def skipped(system):
    package = command.missing(system)
    if package:
        pytest.skip(f"{package} is not installed")


@pytest.mark.parametrize("family, size, peer", PEERS)
def test_a_peer_does_the_same_work(family, size, peer):
    """Losses of three steps (so Adam moved the same way) and the gradients of the first.

    Of what has no optimiser: those of the last, on the same data.
    """
    skipped(peer)
    ours, theirs = (family(**size)[system]() for system in ("minigrad", peer))
    for step in range(3):
        mine, its = (float(w.step(next(w.batches))) for w in (ours, theirs))
        np.testing.assert_allclose(mine, its, rtol=2e-5, err_msg=f"loss of step {step}")
    mine, its = ours.gradients(), theirs.gradients()
    assert mine.keys() == its.keys()
    for name, gradient in its.items():
        assert np.abs(gradient).max() > 0, name
        np.testing.assert_allclose(mine[name], gradient, rtol=2e-4, atol=1e-6, err_msg=name)


def test_norms_are_those_of_the_contributions():
    each, norms = (
        family(**SEQUENCE)["minigrad"]()
        for family in (nodes.contributions, nodes.contribution_norms)
    )
    for work in (each, norms):
        work.step(next(work.batches))
    for name, found in norms.gradients().items():
        wanted = np.linalg.norm(each.gradients()[name], axis=(1, 2))
        assert found.shape == (15,) and wanted.max() > 0
        np.testing.assert_allclose(found, wanted, rtol=1e-4, err_msg=name)


def test_trees_are_counted_alike():
    """Words, labels, and torch's levels: places in post-order, children below their parents."""
    pairs, places = trees.levels_of([((1, 2), 3), 4, (5, (6, 7))])
    assert places.tolist() == [0, 1, 3, 5, 6, 7, 8, 2, 9, 4, 10]  # words, then level by level
    assert [level.tolist() for level in pairs] == [[[0, 1], [5, 6]], [[7, 2], [4, 8]]]
    for e in trees.random_examples(20, 9):
        assert len(e.labels) == 2 * len(e.words) - 1 and 5 <= len(e.words) <= 9
        assert [int(w) for w in rc.Tree.parse(e.tree).words()] == e.words
        assert rc.structure([e.tree]).n == len(e.labels)


@pytest.mark.skipif(not trees.SST.exists(), reason="../shared/data is not there")
def test_the_treebank_is_read():
    examples, vocabulary = trees.treebank()
    assert len(examples) == 1101
    assert {w for e in examples for w in e.words} == set(range(vocabulary))
    assert all(len(e.labels) == 2 * len(e.words) - 1 for e in examples)


def test_every_family_of_the_table_is_tried():
    systems = {family: family(**size).keys() for _, family, size in TINY}
    assert {row.family for row in table.ROWS} == systems.keys()
    names = [row.name for row in table.ROWS]
    assert len(set(names)) == len(names)
    for row in table.ROWS:
        for target in row.targets:
            assert set(target.peers) <= systems[row.family], row.name


def test_a_line_for_each_peer():
    """Ratios are those of the same round; a target stands at the fastest peer it names."""
    row = Row("step", plain.mlp, {}, "tiny", against("torch loop", "torch traced", times=3.0))
    times = {"minigrad": [1.0, 2.0, 1.0], "torch loop": [4.0, 8.0, 2.0], "torch traced": [5.0] * 3}
    found = {"times": times, "errors": {"JAX": "jax is not installed"}}
    assert command.lines(row, found) == [
        "| step (tiny) | 1e+03 ms | torch loop | 4e+03 | 4 | 3 | yes |",
        "|  |  | torch traced | 5e+03 | 5 |  |  |",
        "|  |  | JAX | - | jax is not installed |  |  |",
    ]
    slow = {"times": {**times, "torch loop": [2.0] * 3}, "errors": {}}
    assert command.lines(row, slow)[0].endswith("| 2 | 3 | NO |")
    broken = {"times": {"torch loop": [2.0]}, "errors": {"minigrad": "ValueError: no"}}
    assert command.lines(row, broken) == [
        "| step (tiny) | - | torch loop | 2e+03 | - |  |  |",
        "| step (tiny) | - |  |  | ValueError: no |  |  |",
    ]


@pytest.mark.long
def test_the_command(tmp_path, capsys):
    """Its own processes, the table and the file."""
    file = tmp_path / "found.json"
    command.main(["--only", "mlp", "--quick", "--json", str(file)])
    shown = capsys.readouterr().out
    assert "CPU: " in shown and "bits" in shown and "| MLP (256-256-10, B=128) |" in shown
    report = json.loads(file.read_text())
    assert len(report["rows"]["MLP"]["times"]["minigrad"]) == 2
    for system, error in report["rows"]["MLP"]["errors"].items():
        assert "is not installed" in error and error in shown, system


def test_rows_are_chosen_by_whole_words(capsys):
    command.main(["--list", "--only", "model s", "--only", "mlp"])
    assert capsys.readouterr().out.split("\n") == ["language model S", "MLP", ""]


def test_wrong_names_are_refused(capsys):
    for given, said in ((["--only", "nothing"], "no row is called nothing"),
                        (["lern"], "unknown command 'lern'")):  # fmt: skip
        with pytest.raises(SystemExit):
            command.main(given)
        assert said in capsys.readouterr().err


def test_measures():
    for name in ("a call (the smallest training step)", "one more parameter array"):
        (measure,) = (m for m in process.MEASURES if m.name == name)
        assert np.isfinite(measure.result(quick=True).value)
    cells = process.Result("x", 3.0, "s", 2.0).cells
    assert cells == ("x", "3 s", "at most 2 s", "NO")
    assert process.Result("x", None, "s", 2.0, "why").cells[1] == "skipped: why"
