"""Vocabularies, ragged batches, CSV series, and what is wrong with a file."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
import recurrent as rc
from minigrad.testing.laws import close

TEXT = "the Saints beat the Panthers last night"


def test_words_by_how_often_they_are_seen():
    v = rc.Vocabulary(TEXT.split(), special=["⟨end⟩"])
    assert v.tokens[:4] == ["⟨end⟩", "⟨unk⟩", "the", "Saints"] and len(v) == 8
    assert v.encode("the Giants beat".split()).tolist() == [2, 1, 4]
    assert v.decode(v.encode(TEXT.split())) == TEXT.split()
    assert "the" in v and "Giants" not in v and repr(v) == "Vocabulary(8 tokens)"
    assert rc.Vocabulary(TEXT.split(), least=2).tokens == ["⟨unk⟩", "the"]
    assert rc.Vocabulary(TEXT.split(), most=3, unknown=None).tokens == ["the", "Saints", "beat"]


@given(st.text(max_size=30))
def test_characters_and_back(text):
    v = rc.Vocabulary(text, unknown=None)
    assert "".join(v.decode(v.encode(text))) == text
    assert v.encode("").dtype == np.int64


ragged = st.lists(st.integers(0, 5), min_size=1, max_size=9)


@given(ragged, st.integers(1, 4), st.booleans(), st.booleans(), st.sampled_from([None, 0, 3]))
def test_batches_hold_every_sequence_once(lengths, size, buckets, sort, seed):
    sequences = [np.full((n, 2), k + 1.0) for k, n in enumerate(lengths)]
    found = list(rc.batches(sequences, size, seed=seed, buckets=buckets, sort=sort))
    assert sorted(int(r) for b in found for r in b.rows) == list(range(len(lengths)))
    assert all(len(b.rows) <= size for b in found) and len(found) == -(-len(lengths) // size)
    for xs, given_, rows in found:
        assert xs.shape == (max(given_), len(rows), 2)
        for k, (n, row) in enumerate(zip(given_, rows, strict=True)):
            assert n == lengths[row]
            assert (xs[:n, k] == row + 1).all() and not xs[n:, k].any()
        if sort:
            assert (np.diff(given_) <= 0).all()
    again = list(rc.batches(sequences, size, seed=seed, buckets=buckets, sort=sort))
    assert all((a.rows == b.rows).all() for a, b in zip(found, again, strict=True))


def test_buckets_leave_less_padding():
    rng = np.random.default_rng(0)
    sequences = [np.zeros(n) for n in rng.integers(1, 50, 100)]
    size = [
        sum(b.xs.size for b in rc.batches(sequences, 10, seed=1, buckets=buckets))
        for buckets in (False, True)
    ]
    assert size[1] < 0.7 * size[0]


def test_a_batch_unrolls_to_what_its_sequences_do():
    """Law 3, from raw text on."""
    v = rc.Vocabulary(TEXT)
    sequences = [v.encode(w) for w in TEXT.split()]
    cell, table = rc.GRU(3, 4), np.random.default_rng(0).standard_normal((len(v), 3))
    p = cell.init(0)
    for xs, lengths, rows in rc.batches(sequences, 3, buckets=True, seed=0):
        last, _ = rc.unroll(cell, p, table[xs], lengths=lengths)
        for k, row in enumerate(rows):
            alone, _ = rc.unroll(cell, p, table[sequences[row]])
            close(mg.evaluate(last)[k], mg.evaluate(alone), 1e-13)


def test_padding_keeps_dtypes():
    xs, lengths = rc.pad([[1, 2, 3], [4]], fill=-1)
    assert xs.dtype == np.int64 and xs.tolist() == [[1, 4], [2, -1], [3, -1]]
    assert lengths.tolist() == [3, 1]
    assert rc.pad([np.ones((2, 3), np.float32)])[0].shape == (2, 1, 3)


def test_csv(tmp_path):
    path = tmp_path / "series.csv"
    path.write_text('time, load ,"t, outside"\n0,1.5,\n1,NA,-3e2\n\n2,2,nan\n')
    s = rc.read_csv(path)
    assert s.names == ["time", "load", "t, outside"]
    np.testing.assert_array_equal(s.values, [[0, 1.5, np.nan], [1, np.nan, -300], [2, 2, np.nan]])
    np.testing.assert_array_equal(s.observed, ~np.isnan(s.values))
    two = rc.read_csv(path, ["t, outside", "time"])
    np.testing.assert_array_equal(two.values, s.values[:, [2, 0]])
    path.write_text("1;2\r\n3;4\r\n")
    assert rc.read_csv(path, header=False, delimiter=";").values.tolist() == [[1, 2], [3, 4]]
    assert rc.read_csv(path, ["1"], header=False, delimiter=";").values.tolist() == [[2], [4]]
    path.write_text("\ufeffa,b\n1,2\n", encoding="utf-8")
    assert rc.read_csv(path).names == ["a", "b"]


def test_missing_values_of_a_file_never_matter(tmp_path):
    path = tmp_path / "s.csv"
    path.write_text("a,b\n1,2\n,4\n5,?\n")
    s = rc.read_csv(path)
    p = mg.asarray(np.ones((3, 2)))
    loss = rc.mean_squared_error(p, s.values, observed=s.observed)
    assert float(loss) == pytest.approx((0 + 1 + 9 + 16) / 4)
    assert np.isfinite(mg.grad(loss, p).numpy()).all()


@pytest.mark.parametrize(
    ("text", "columns", "message"),
    [
        ("a,b\n1,2\n3,x\n", None, r"s\.csv, line 3, column 2 \('b'\): 'x' is no number; missing"),
        ("a,b\n1,2,3\n", None, r"s\.csv, line 2: 3 cells; there are 2 columns"),
        ('a,b\n"1\n",2\n3\n', None, r"s\.csv, line 4: 1 cells"),
        ("a,b\n", None, r"s\.csv: no row of numbers below the header"),
        ("", None, "no row of numbers"),
        ("a,b\n1,2\n", ["c"], r"has no column 'c'; its columns are \['a', 'b'\]"),
        ("a,a\n1,2\n", None, "has more than one column 'a'"),
    ],
)
def test_malformed_tables_say_where(tmp_path, text, columns, message):
    (tmp_path / "s.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        rc.read_csv(tmp_path / "s.csv", columns)


def test_what_is_no_text(tmp_path):
    (tmp_path / "s.csv").write_bytes(b"a,b\n\xff\xfe,1\n")
    with pytest.raises(ValueError, match=r"s\.csv: not a text in UTF-8 \(byte 4\)"):
        rc.read_csv(tmp_path / "s.csv")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: rc.pad([]), "pad: there are no sequences"),
        (lambda: rc.pad([np.ones((2, 3)), np.ones((2, 4))]), r"sequence 1 has shape \(2, 4\)"),
        (lambda: rc.pad([1.0]), r"sequence 0 has shape \(\)"),
        (lambda: list(rc.batches([[1]], 0)), "batches: size must be at least 1; got 0"),
        (lambda: rc.Vocabulary("ab", unknown=None).encode("abc"), "token 2, 'c', is not in the"),
        (lambda: rc.Vocabulary("ab").decode([0, 3]), "number 1 is 3; the vocabulary has 0 to 2"),
    ],
)  # fmt: skip
def test_what_does_not_fit(call, message):
    with pytest.raises(ValueError, match=message):
        call()
