"""Vocabularies, ragged batches, CSV series, and what is wrong with a file."""

import csv
import sys
import types

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


def plain(found):
    return [[b.xs.tolist(), list(b.lengths), b.rows.tolist()] for b in found]


@pytest.mark.parametrize("progress", [True, "epoch [3] of 5"])
def test_a_bar_changes_nothing_and_is_left_again(progress, capsys):
    """Also where an epoch is left early, and of one inside of another."""
    sequences = [[1, 2], [3], [4, 5, 6]]
    wanted = plain(rc.batches(sequences, 2, seed=0))
    outer = rc.batches(sequences, 1, progress=progress)
    next(outer)
    assert plain(rc.batches(sequences, 2, seed=0, progress=progress)) == wanted
    outer.close()
    assert plain(rc.batches([], 2, progress=progress)) == []
    assert capsys.readouterr().out == ""


def test_a_bar_by_what_is_installed(monkeypatch):
    there, calls = {"tqdm"}, []
    monkeypatch.setattr("recurrent.data.find_spec", lambda name: name if name in there else None)

    def tqdm(found, **how):
        calls.append(how)
        return found

    monkeypatch.setitem(sys.modules, "tqdm", types.SimpleNamespace(tqdm=tqdm))
    assert len(list(rc.batches([[1], [2], [3]], 2, progress="now"))) == 2
    assert calls == [{"total": 2, "desc": "now", "leave": False}]
    there.clear()
    with pytest.raises(ImportError, match="needs rich or tqdm, and neither is installed"):
        rc.batches([[1]], 1, progress=True)
    assert len(list(rc.batches([[1]], 1))) == 1


def test_a_compiled_step_takes_batches_as_they_are():
    rng = np.random.default_rng(0)
    cell, table = rc.RNN(3, 4), rng.standard_normal((5, 3))
    p = {"cell": cell.init(0), "W": rng.standard_normal((4, 5))}

    @mg.function
    def loss(p, xs, lengths):
        _, ys = rc.unroll(cell, p["cell"], mg.take(table, xs), lengths=lengths)
        return rc.cross_entropy(ys @ p["W"], xs, lengths=lengths)

    sequences = [rng.integers(0, 5, n) for n in (4, 2, 0, 3, 4, 2, 4, 1)]
    for xs, lengths, rows in rc.batches(sequences, 2):
        logits = mg.evaluate(rc.unroll(cell, p["cell"], table[xs], lengths=lengths)[1] @ p["W"])
        wanted = rc.cross_entropy(logits, xs, lengths=[len(sequences[k]) for k in rows])
        close(loss(p, xs, lengths), wanted.numpy(), 1e-12)
    assert len(loss.traces) == 3  # (4, 2) came twice
    for lengths in ([4, 1], [2, 2]):
        known = loss(p, xs, lengths)
        close(loss(p, xs, np.array(lengths)), known, 1e-12)
    assert len(loss.traces) == 6  # two for the lists, one for arrays


def test_lengths_are_values():
    _, lengths = rc.pad([[1, 2, 3], [4]])
    assert lengths == rc.Lengths((3, 1)) and hash(lengths) == hash(rc.Lengths((3, 1)))
    assert lengths != rc.Lengths((1, 3)) and len(lengths) == 2 and lengths[0] == 3
    assert np.asarray(lengths).dtype == np.int64 and (np.array([3, 1]) == lengths).all()
    assert list(lengths) == lengths.tolist() == [3, 1]
    with pytest.raises(AttributeError):
        lengths.steps = (1,)


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
    nan = np.nan
    wanted = [[0, 1.5, nan], [1, nan, -300], [nan, nan, nan], [2, 2, nan]]
    np.testing.assert_array_equal(s.values, wanted)  # a blank line keeps its time step
    np.testing.assert_array_equal(s.observed, ~np.isnan(s.values))
    two = rc.read_csv(path, ["t, outside", "time"])
    np.testing.assert_array_equal(two.values, s.values[:, [2, 0]])
    path.write_text("1;2\r\n3;4\r\n")
    assert rc.read_csv(path, header=False, delimiter=";").values.tolist() == [[1, 2], [3, 4]]
    assert rc.read_csv(path, ["1"], header=False, delimiter=";").values.tolist() == [[2], [4]]
    path.write_text("\ufeffa,b\n1,2\n", encoding="utf-8")
    assert rc.read_csv(path).names == ["a", "b"]


@pytest.mark.parametrize(
    ("text", "options", "wanted"),
    [
        ("a\n1\n\n3\n", {}, [[1], [None], [3]]),
        ("a,b\n1,2\n , \n\n3,4\n,\n\n\n", {}, [[1, 2], *[[None] * 2] * 2, [3, 4], [None] * 2]),
        ("\n\na,b\n\n1,2\n", {}, [[None, None], [1, 2]]),
        ('a\n""\n1\n""\n', {}, [[None], [1], [None]]),
        ("\n1\n", {"header": False}, [[None], [1]]),
        ("a;b\n1,5;-2\n,5;N/A\n", {"delimiter": ";", "decimal": ","}, [[1.5, -2], [0.5, None]]),
        ("a\tb\r\n1.\t.5e1\r\n", {"delimiter": "\t"}, [[1, 5]]),
        ("a\n#N/A\nnull\n-inf\n", {}, [[None], [None], [-np.inf]]),
        ("a\n-9\n", {"missing": ["-9"]}, [[None]]),
    ],
)
def test_dialects(tmp_path, text, options, wanted):
    (tmp_path / "s.csv").write_text(text, newline="")
    s = rc.read_csv(tmp_path / "s.csv", **options)
    np.testing.assert_array_equal(s.values, np.array(wanted, float))
    np.testing.assert_array_equal(s.observed, ~np.isnan(s.values))


cells = st.none() | st.floats(allow_nan=False, width=32)


@given(st.integers(1, 3), st.data())
def test_a_written_table_reads_back(tmp_path_factory, columns, data):
    """Every row is a time step, whatever is missing in it."""
    rows = data.draw(st.lists(st.lists(cells, min_size=columns, max_size=columns), min_size=1))
    delimiter, decimal = data.draw(st.sampled_from([(",", "."), (";", ","), ("\t", ".")]))
    path = tmp_path_factory.mktemp("csv") / "s.csv"
    with path.open("w", newline="") as file:
        out = csv.writer(file, delimiter=delimiter)
        out.writerow("abc"[:columns])
        out.writerows(
            ["" if v is None else repr(v).replace(".", decimal) for v in row] for row in rows
        )
    s = rc.read_csv(path, delimiter=delimiter, decimal=decimal)
    np.testing.assert_array_equal(s.values, np.array(rows, float))


@given(st.text('ab,;"\n\r1.-e \t', max_size=25), st.booleans(), st.sampled_from(",;"))
def test_any_table_is_a_series_or_one_clear_error(tmp_path_factory, text, header, delimiter):
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_text(text, newline="")
    try:
        s = rc.read_csv(path, header=header, delimiter=delimiter)
    except ValueError as error:
        assert str(path) in str(error)
    else:
        assert s.values.shape[1] == len(s.names) and len(s.values)


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
        ("a;b\n1;2\n", None, "'1;2' is no number;.* Then give delimiter=';'"),
        ("a;b\n1,5;2\n", None, "line 2: 2 cells; there are 1 columns; .*delimiter=';'"),
        ("a;b\n1;2\n", ["b"], "has no column 'b'.* Then give delimiter=';'"),
        ('a\n"1,5"\n', None, "'1,5' is no number; .*decimal=',' reads decimal commas"),
        ("a\n1_000\n", None, "'1_000' is no number"),
        ("a\n1e999\n", None, "'1e999' is larger than a float64 can be"),
        ("a\n٣\n", None, "'٣' is no number"),
        ("a,b\n,,\n", None, "line 2: 3 cells; there are 2 columns"),
        ('a\n"1', None, "line 2: cannot be read as a table"),
        ("\n\n", None, "no row of numbers"),
    ],
)
def test_malformed_tables_say_where(tmp_path, text, columns, message):
    (tmp_path / "s.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        rc.read_csv(tmp_path / "s.csv", columns)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"delimiter": ";;"}, "delimiter must be one character; got ';;'"),
        ({"delimiter": None}, "delimiter must be one character; got None"),
        ({"delimiter": ",", "decimal": ","}, "cannot be a quote, the end of a line"),
        ({"decimal": "x"}, "decimal must be . or ,; got 'x'"),
        ({"missing": "NA"}, "missing must be a list of texts; got 'NA'"),
        ({"columns": "a"}, "columns must be a list of names; got 'a'"),
        ({"path": None}, "path must name a file; got None"),
        ({"path": "no\0file"}, "path must name a file"),
        ({"path": "no file"}, "there is no file no file"),
    ],
)
def test_bad_options_of_read_csv(tmp_path, options, message):
    (tmp_path / "s.csv").write_text("a\n1\n")
    with pytest.raises((TypeError, ValueError, OSError), match=message):
        rc.read_csv(**{"path": tmp_path / "s.csv"} | options)


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
        (lambda: rc.batches([[1]], 1, progress=2), "batches: progress must be True or False"),
        (lambda: rc.batches([[1]], 0), "batches: size must be at least 1; got 0"),
        (lambda: rc.batches([[1]], 1.5), "batches: size must be at least 1; got 1.5"),
        (lambda: rc.batches([1], 1), r"batches: sequence 0 must be \(T, ...\); got 1"),
        (lambda: rc.batches("ab", 1), "batches: sequences must be a list of sequences; got 'ab'"),
        (lambda: rc.pad(["ab"]), "pad: sequence 0 must be numbers; got 'ab'"),
        (lambda: rc.pad([[[1], [2, 3]]]), "pad: sequence 0 must be numbers; got a list of 2"),
        (lambda: rc.pad(None), "pad: sequences must be a list of sequences; got None"),
        (lambda: rc.pad([[1]], 0.5), "pad: fill is 0.5; sequences of int64 cannot hold it"),
        (lambda: rc.pad([[1]], "x"), "pad: fill must be numbers; got 'x'"),
        (lambda: rc.Vocabulary(None), "Vocabulary: tokens must be a list of tokens; got None"),
        (lambda: rc.Vocabulary({"a": 2}), "tokens must be a list of tokens; got a dict of 1"),
        (lambda: rc.Vocabulary([["a"]]), r"tokens\[0\] must be a token \(text\); got a list of 1"),
        (lambda: rc.Vocabulary("ab", most=True), "most must be an integer of at least 0"),
        (lambda: rc.Vocabulary("ab", special="ab"), "special must be a list of tokens; got 'ab'"),
        (lambda: rc.Vocabulary("ab").decode([1.5]), "numbers must be integers in a row; got"),
        (lambda: rc.Vocabulary("ab").decode("ab"), "numbers must be a list of numbers; got 'ab'"),
        (lambda: rc.Vocabulary("ab", unknown=None).encode("abc"), "token 2, 'c', is not in the"),
        (lambda: rc.Vocabulary("ab").decode([0, 3]), "number 1 is 3; the vocabulary has 0 to 2"),
    ],
)  # fmt: skip
def test_what_does_not_fit(call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call()
