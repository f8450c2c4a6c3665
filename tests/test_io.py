"""tensors, save, load."""

import os

import numpy as np
import pytest
from safetensors.numpy import save_file

import minigrad as mg
import recurrent as rc

TREE = {
    "cell": {"W": np.arange(6.0).reshape(2, 3), "b": np.float32([1, 2])},
    "layers": [np.array(7), (np.array([True]), {})], "empty": np.zeros((0, 2)),
}  # fmt: skip


def same(a, b):
    if isinstance(b, dict):
        assert list(a) == list(b)
        return [same(a[k], b[k]) for k in b]
    if isinstance(b, (list, tuple)):
        assert type(a) is type(b) and len(a) == len(b)
        return [same(x, y) for x, y in zip(a, b, strict=True)]
    assert a.dtype == b.dtype and a.shape == b.shape
    np.testing.assert_array_equal(a, b)


def test_a_round_trip(tmp_path):
    mg.save(tmp_path / "p.safetensors", TREE)
    same(mg.load(tmp_path / "p.safetensors"), TREE)
    mg.save(str(tmp_path / "t"), mg.tensors(TREE["cell"]))  # Tensors are saved by value
    same(mg.load(tmp_path / "t"), TREE["cell"])
    mg.save(tmp_path / "one", np.ones(3))
    assert mg.load(tmp_path / "one").tolist() == [1.0, 1.0, 1.0]


def test_views_are_saved_as_they_look(tmp_path):
    a = np.arange(12.0).reshape(3, 4)
    tree = {"t": a.T, "r": a[::-1, ::2], "b": np.broadcast_to(a[0], (2, 4))}
    mg.save(tmp_path / "v", tree)
    same(mg.load(tmp_path / "v"), {k: np.ascontiguousarray(v) for k, v in tree.items()})


def test_a_foreign_file_is_a_flat_dict(tmp_path):
    save_file({"a.b": np.ones(2)}, tmp_path / "f.safetensors")
    assert list(mg.load(tmp_path / "f.safetensors")) == ["a.b"]


def test_a_net_works_after_the_trip(tmp_path):
    cell = rc.LSTM(2, 3)
    params = cell.init(4)
    mg.save(tmp_path / "net", params)
    xs = np.ones((3, 2))
    a, b = (rc.unroll(cell, p, xs)[1].numpy() for p in (params, mg.load(tmp_path / "net")))
    np.testing.assert_array_equal(a, b)


def test_nothing_half_written(tmp_path):
    mg.save(tmp_path / "p", {"a": np.ones(2)})
    with pytest.raises(TypeError, match="save: a.b is a set"):
        mg.save(tmp_path / "p", {"a": {"b": {1}}})
    assert mg.load(tmp_path / "p")["a"].tolist() == [1.0, 1.0]
    assert os.listdir(tmp_path) == ["p"]
    with pytest.raises(OSError, match="cannot be written"):
        mg.save(tmp_path / "no" / "p", TREE)
    assert os.listdir(tmp_path) == ["p"]


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({1: np.ones(2)}, "keys of the tree must be strings"),
        ({"a.b": np.ones(1), "a": {"b": np.ones(1)}}, "two arrays would be called 'a.b'"),
        ({"a": 1.5}, "a is a float"),
        ({"a": np.array(["x"])}, "a"),
    ],
)
def test_what_cannot_be_saved(tree, message, tmp_path):
    with pytest.raises(TypeError, match=message):
        mg.save(tmp_path / "p", tree)
    assert os.listdir(tmp_path) == []


def test_bad_files(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no file"):
        mg.load(tmp_path / "nothing")
    mg.save(tmp_path / "p", TREE)
    whole = (tmp_path / "p").read_bytes()
    for k, part in enumerate([b"", b"garbage" * 10, whole[:-3], whole[: len(whole) // 2]]):
        (tmp_path / str(k)).write_bytes(part)
        with pytest.raises(ValueError, match="not a whole safetensors file"):
            mg.load(tmp_path / str(k))


def test_tensors_are_named_by_their_path():
    t = mg.tensors({"cell": {"W_f": np.ones(2)}, "rows": [np.ones(1), 5, "text"]})
    assert t["cell"]["W_f"].name == "cell.W_f" and t["rows"][0].name == "rows.0"
    assert t["rows"][1:] == [5, "text"]
    assert mg.tensors(np.ones(2)).name is None
