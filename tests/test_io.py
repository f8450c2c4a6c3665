"""tensors, save, load."""

import collections
import json
import os
import struct
import sys
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors.numpy import save_file

import minigrad as mg
import recurrent as rc

TREE = {
    "cell": {"W": np.arange(6.0).reshape(2, 3), "b": np.float32([1, 2])},
    "layers": [np.array(7), (np.array([True]), {})], "empty": np.zeros((0, 2)),
}  # fmt: skip


class Moments(NamedTuple):
    mean: Any
    square: Any = None


def same(a, b):
    if not isinstance(b, np.generic):
        assert type(a) is type(b), (a, b)
    if isinstance(b, dict):
        assert list(a) == list(b)
        return [same(a[k], b[k]) for k in b]
    if isinstance(b, (list, tuple)):
        assert len(a) == len(b)
        return [same(x, y) for x, y in zip(a, b, strict=True)]
    if isinstance(b, (np.ndarray, np.generic)):
        assert a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
        return None
    assert a == b or a != a and b != b
    return None


def circular():
    tree = []
    tree.append({"a": tree})
    return tree


arrays = hnp.arrays(
    st.sampled_from("? i1 u2 <i4 >i4 u8 f2 f4 >f8".split()).map(np.dtype),
    hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3),
).map(lambda a: a.astype(a.dtype.newbyteorder("=")))
leaves = arrays | st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
keys = st.text(st.characters(exclude_characters="."), max_size=3) | st.just("__metadata__")
named = collections.namedtuple("named", ["a", "b"])  # no such class is to be found on loading
trees = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.lists(inner, max_size=3).map(tuple)
    | st.dictionaries(keys, inner, max_size=3)
    | st.dictionaries(keys, inner, max_size=3).map(collections.OrderedDict)
    | st.builds(Moments, inner, inner),
    max_leaves=8,
)  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("io") / "p"


@given(trees)
def test_any_tree_returns_as_it_was(place, tree):
    try:
        mg.save(place, tree)
    except TypeError as error:  # {"": x, "array": y}: the root has a name of its own
        assert "two arrays would be called" in str(error)
    else:
        same(mg.load(place), tree)
        assert os.listdir(place.parent) == ["p"]


@given(st.binary(max_size=120), st.sampled_from(["bits", "cut", "add", "any"]), st.data())
def test_a_damaged_file_is_the_right_tree_or_one_clear_error(place, junk, how, data):
    tree = {"w": np.arange(3.0), "state": (7, Moments("adam", None), [np.array([True])])}
    mg.save(place, tree)
    whole = bytearray(place.read_bytes())
    if how == "bits":
        for at in data.draw(st.lists(st.integers(0, 8 * len(whole) - 1), min_size=1, max_size=3)):
            whole[at // 8] ^= 1 << at % 8
    else:
        cut = data.draw(st.integers(0, len(whole)))
        whole = {"cut": whole[:cut], "add": whole[:cut] + junk + whole[cut:], "any": junk}[how]
    place.write_bytes(whole)
    try:
        found = mg.load(place)
    except ValueError as error:
        assert str(error).startswith(f"load: {place}") or f"what {place} says" in str(error)
    else:
        same(found, tree)


@pytest.mark.long
def test_every_single_flipped_bit_is_found(place):
    """Not one is read as other numbers."""
    tree = {"w": np.arange(2.0), "n": 3}
    mg.save(place, tree)
    whole = place.read_bytes()
    for at in range(8 * len(whole)):
        bad = bytearray(whole)
        bad[at // 8] ^= 1 << at % 8
        place.write_bytes(bad)
        try:
            found = mg.load(place)
        except ValueError:
            continue
        same(found, tree)


@pytest.mark.parametrize("optimiser", [mg.optim.adam(1e-2), mg.optim.sgd(1e-2, momentum=0.9)])
def test_a_training_goes_on_where_it_stopped(place, optimiser):
    params = {"W": np.ones((2, 2)), "b": [np.zeros(2)]}
    grads = {"W": np.full((2, 2), 0.5), "b": [np.ones(2)]}
    params, state = optimiser.update(params, grads, optimiser.init(params))
    mg.save(place, {"params": params, "state": state, "epoch": 3, "best": None, "cell": "lstm"})
    found = mg.load(place)
    assert (found["epoch"], found["best"], found["cell"]) == (3, None, "lstm")
    wanted = optimiser.update(params, grads, state)
    same(optimiser.update(found["params"], grads, found["state"]), wanted)


def test_named_tuples_without_their_class(place, monkeypatch):
    mg.save(place, Moments(1, named(2.5, "x")))
    found = mg.load(place)
    assert type(found) is Moments and type(found.square) is named
    monkeypatch.delitem(sys.modules, __name__)
    other = mg.load(place)
    assert other == found and type(other).__name__ == "Moments"
    assert other.square._fields == ("a", "b")


def safetensors(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def one(dtype, shape, data):
    about = {"dtype": dtype, "shape": shape, "data_offsets": [0, len(data)]}
    return safetensors({"a": about}, data)


def test_dtypes_of_other_programs(place):
    place.write_bytes(one("BF16", [2, 1], struct.pack("<HH", 0x3FC0, 0xFF80)))
    same(mg.load(place), {"a": np.float32([[1.5], [-np.inf]])})
    place.write_bytes(one("F16", [1], np.float16([1.5]).tobytes()))
    same(mg.load(place), {"a": np.float16([1.5])})
    for dtype in ("F8_E4M3", "F8_E5M2"):
        place.write_bytes(one(dtype, [3], b"abc"))
        with pytest.raises(ValueError, match=f"'a' holds {dtype}, which NumPy has no dtype for"):
            mg.load(place)


SPECS = [
    "", "not json", "[]", "{}", "null", "5", '{"array": "b"}', '{"array": ["a"]}', '{"set": []}',
    '{"dict": {"x": {"array": "a"}}', '{"list": 5}', '{"dict": []}', '{"value": 1, "array": "a"}',
    '{"list": ' * 5000 + "[]" + "}" * 5000, "[" * 100_000, '{"int": "x"}', '{"float": []}',
    '{"namedtuple": ["os", "system", ["a"], [{"value": "true"}]]}',
    '{"namedtuple": ["m", "n", ["class"], [{"value": 1}]]}', '{"namedtuple": [1, 2, 3, 4]}',
]  # fmt: skip


@pytest.mark.parametrize("spec", SPECS, ids=range(len(SPECS)))
def test_foreign_metadata_are_refused_in_words(place, spec):
    """Also where somebody wrote a digest that fits."""
    from minigrad.io import _digest

    tree = {"a": np.ones(1)}
    save_file(tree, place, {"minigrad": spec})
    with pytest.raises(ValueError, match="damaged, or another program changed it"):
        mg.load(place)
    save_file(tree, place, {"minigrad": spec, "minigrad.digest": _digest(spec, tree)})
    if "system" in spec:  # a name is looked up, nothing is imported or called for it
        assert mg.load(place)._fields == ("a",)
    else:
        with pytest.raises(ValueError, match="is nothing that mg.save writes"):
            mg.load(place)


@pytest.mark.parametrize(
    "data",
    [
        safetensors(b"{" * 100_000), safetensors([]), safetensors({"__metadata__": 5}),
        safetensors({"__metadata__": {"minigrad": 5}}), safetensors({"a": None}),
        one("F64", [-1], b""), one("F64", [2**62, 2**62], b""), one("F64", [1], b"1234"),
        one("F65", [1], b"12345678"), struct.pack("<Q", 2**63) + b"{}", safetensors(b"\xff"),
    ],
)  # fmt: skip
def test_hostile_headers(place, data):
    place.write_bytes(data)
    with pytest.raises(ValueError, match=f"load: {place}"):
        mg.load(place)


def test_shapes_that_numpy_has_not(place):
    place.write_bytes(one("F64", [1] * 70, b"12345678"))
    with pytest.raises(ValueError, match="'a' cannot be an array"):
        mg.load(place)


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
        ({"a": 1j}, "a is a complex"),
        ({"a": np.array(["x"])}, "a holds <U1"),
        ({"a": np.ones(1, np.longdouble)}, "a holds .*only numbers of at most 64 bits"),
        ({"a": np.ma.masked_array([1.0], [True])}, "a is a masked array"),
        ({"a": [b"x"]}, "a.0 is a bytes"),
        ({"a": collections.Counter("x")}, "a is a Counter"),
        (circular(), "more than 100 containers deep; does one contain itself"),
    ],
)
def test_what_cannot_be_saved(tree, message, tmp_path):
    with pytest.raises(TypeError, match=message):
        mg.save(tmp_path / "p", tree)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("path", [None, 5, "", "a\0b"])
def test_what_is_no_path(path):
    for call in (mg.load, lambda p: mg.save(p, {})):
        with pytest.raises(TypeError, match="path must name a file"):
            call(path)


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


# -- whole training states -------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [getattr(np.random, n) for n in mg.io.BIT_GENERATORS])
@pytest.mark.parametrize("seed", [7, [1, 2**70], np.random.SeedSequence(3, spawn_key=(1, 4))])
def test_a_random_generator_goes_on_where_it_was(place, bits, seed):
    """What it draws, whole words and halves, and what it spawns."""
    rng = np.random.Generator(bits(seed))
    rng.random(5), rng.integers(0, 9, 3, dtype=np.uint32), rng.standard_normal(3), rng.spawn(2)
    mg.save(place, {"rng": rng, "again": [rng]})
    found = mg.load(place)
    assert type(found["rng"]) is np.random.Generator
    other = found["again"][0]
    for draw in (
        lambda g: g.integers(0, 99, 3, dtype=np.uint32), lambda g: g.random(9),
        lambda g: g.permutation(20), lambda g: g.spawn(2)[1].standard_normal(4),
    ):  # fmt: skip
        wanted = draw(rng)
        np.testing.assert_array_equal(draw(found["rng"]), wanted)
        np.testing.assert_array_equal(draw(other), wanted)


def test_generators_that_are_not_saved(place):
    class Own(np.random.PCG64):
        pass

    for rng, words in (
        (np.random.Generator(Own(1)), "rng draws by a Own; of generators, those of MT19937, "),
        (np.random.RandomState(1), "rng is a RandomState; only dicts"),
    ):
        with pytest.raises(TypeError, match=words):
            mg.save(place, {"rng": rng})


def train(params, state, rng, epochs, opt):
    for _ in range(epochs):
        for _ in range(3):
            x = rng.standard_normal((4, 3))
            t = mg.tensors(params)
            loss = mg.mean(mg.square(mg.tanh(x @ t["w"]) - t["b"]))
            params, state = opt.update(params, mg.grad(loss, t), state)
    return params, state


def test_training_resumed_is_training_not_stopped(place):
    """Bit for bit: parameters, optimiser, schedule, accumulated gradients, random numbers."""
    start = {"w": np.ones((3, 2)), "b": np.zeros(2)}
    opt = mg.optim.accumulated(
        mg.optim.scheduled(mg.optim.adamw, mg.optim.cosine(0.1, 9, floor=0.01)), 2
    )
    rng = np.random.default_rng(0)
    wanted, _ = train(start, opt.init(start), rng, 4, opt)
    rng = np.random.default_rng(0)
    params, state = train(start, opt.init(start), rng, 1, opt)
    mg.save(place, {"params": params, "state": state, "rng": rng, "epoch": 1, "note": "first"})
    kept = mg.load(place)
    assert (kept["epoch"], kept["note"]) == (1, "first")
    params, _ = train(kept["params"], kept["state"], kept["rng"], 4 - kept["epoch"], opt)
    for name in start:
        np.testing.assert_array_equal(params[name], wanted[name])
