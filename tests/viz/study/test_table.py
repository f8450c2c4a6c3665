"""What `minigrad study` makes of the columns of a table, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest

from viz.study.corpus import Given, InputError
from viz.study.table import Asked, tabular


def read(text, **asked):
    corpus = tabular(Given(text, "the text given", []), Asked(**asked))
    return corpus.table, " ".join(corpus.notes)


def rows(*columns, names="abcdefgh", count=12):
    """A table of functions of the row."""
    head = ",".join(names[k] for k in range(len(columns)))
    return "\n".join([head, *(",".join(str(c(k)) for c in columns) for k in range(count)), ""])


def wave(k):
    return round(np.sin(k), 3)


def test_numbers_in_the_order_of_rows():
    table, notes = read(rows(wave, lambda k: k * k))
    assert table.names == ["a", "b"] and table.spans == [(0, 12)]
    np.testing.assert_array_equal(table.values[:, 1], np.arange(12) ** 2)
    assert table.labels[:2] == ["row 1", "row 2"] and "12 rows, 2 columns" in notes


@pytest.mark.parametrize(
    ("column", "name"),
    [
        (lambda k: f"2020-01-{k + 1:02d}", "a"),
        (lambda k: f"{k + 1}/3/2021 {k:02d}:00", "a"),
        (lambda k: 1990 + k, "a"),
        (lambda k: k, "a"),
    ],
)
def test_the_time_names_the_rows_and_is_not_learnt(column, name):
    table, notes = read(rows(column, wave))
    assert table.names == ["b"] and f"The column {name} " in notes
    assert table.labels == [str(column(k)) for k in range(12)]


def test_a_counting_column_is_learnt_where_it_is_all_or_asked_for():
    assert read("a\n1\n2\n3\n4\n")[0].names == ["a"]
    assert read(rows(lambda k: k, wave), columns=("a", "b"))[0].names == ["a", "b"]
    assert read(rows(lambda k: k * 2 if k != 5 else "", wave))[0].names == ["b"]


def test_newest_first_is_turned_round():
    table, notes = read(rows(lambda k: f"2020-01-{28 - k:02d}", lambda k: k * k))
    assert (
        "newest first" in notes and table.values[:, 0].tolist() == [k * k for k in range(12)][::-1]
    )
    assert table.labels[0] == "2020-01-17"


def test_what_is_left_out_is_said():
    table, notes = read(
        rows(wave, lambda k: "Oslo", lambda k: "", lambda k: "err" if k == 3 else k * k)
    )
    assert table.names == ["a", "d"] and np.isnan(table.values[3, 1])
    assert "column b, which holds no numbers" in notes and "column c, which is empty" in notes
    assert "'err' in line 5 of column d is no number, so taken as missing" in notes


def test_missing_values_and_blank_rows():
    table, notes = read("a;b\n1,5;N/A\n;\n\n2,5;-\n3;4\nNA;5\n")
    np.testing.assert_array_equal(
        table.values,
        [[1.5, np.nan], [np.nan] * 2, [np.nan] * 2, [2.5, np.nan], [3, 4], [np.nan, 5]],
    )
    assert "2 blank rows" in notes and "commas as decimal signs" in notes


def test_series_are_put_together():
    table, _ = read(rows(lambda k: "xyz"[k % 3], lambda k: k), series="a")
    assert table.called == ["x", "y", "z"] and table.spans == [(0, 4), (4, 8), (8, 12)]
    assert table.values[:4, 0].tolist() == [0, 3, 6, 9]


def test_targets_of_numbers_words_and_few_whole_numbers():
    text = rows(wave, lambda k: "up" if k % 2 else "down", lambda k: k % 3, lambda k: k * 1.5)
    table, _ = read(text, target="d")
    assert table.classes == [] and table.outputs == [table.names.index("d")]
    table, _ = read(text, target="b")
    assert table.classes == ["down", "up"] and table.answers.tolist() == [0, 1] * 6
    assert table.names == ["a", "c", "d"]
    alone, _ = read("t,c\n" + "".join(f"{k},{k % 3}\n" for k in range(12)), target="c")
    assert alone.classes == [] and alone.names == ["c"]  # there is nothing to tell a class from
    table, _ = read(text, target="c")
    assert table.classes == ["0", "1", "2"] and "c" not in table.names


@pytest.mark.parametrize(
    ("text", "asked", "said"),
    [
        ("a,b\n1,2\n3,4\n", {}, "2 rows.*at least 3"),
        ("a,b\nx,y\nz,w\n", {}, "no column of numbers.*'x'.*--as text"),
        ("just words", {}, "no table"),
        ("a,b\n" + "1,2\n" * 12 + "1,2,3\n", {}, "line 14 has 3 cells.*mend"),
        (rows(wave, wave), {"target": "q"}, "--target 'q'.*it has a, b"),
        (rows(wave, wave), {"columns": ("a", "z")}, "--columns 'z'"),
        (rows(wave, lambda k: "x"), {"columns": ("b",)}, "holds no numbers.*'x'"),
        (rows(wave, lambda k: "x"), {"target": "b"}, "all its rows say 'x'"),
        (rows(wave, lambda k: f"w{k}", count=40), {"target": "b"}, "40 different words"),
        (rows(lambda k: "ab"[k % 2], lambda k: "cd"[k % 2]), {"target": "a"}, "no column of num"),
        (rows(lambda k: f"s{k}", wave), {"series": "a"}, "none of the 12 series"),
        (rows(wave, wave), {"series": "a", "target": "a"}, "not predicted"),
    ],
)
def test_what_cannot_be_used_is_refused_in_a_sentence(text, asked, said):
    with pytest.raises(InputError, match=said):
        read(text, **asked)
