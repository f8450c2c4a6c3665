"""How a table is written is found out: what stands between cells, the decimal sign, the header."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.counting import examples
from viz.study.columns import Format, form, number, split


@pytest.mark.parametrize(
    ("text", "how"),
    [
        ("a,b\n1,2\n3,4\n", Format(",", ".", 2)),
        ("a;b\n1,5;2\n3;4,25\n", Format(";", ",", 2)),
        ("1,5;2\n3;4,25\n0;1\n", Format(";", ",", 2)),
        ("a\tb\n1.5\t2\n3\t4\n", Format("\t", ".", 2)),
        ("a|b\n1|2\n3|4\n", Format("|", ".", 2)),
        ("1 2  3\n4 5 6\n 7 8 9\n", Format(" ", ".", 3)),
        ("x\n1\n2\n3\n", Format("", ".", 1)),
        ("1\n2\n\nNA\n3\n", Format("", ".", 1)),
        ("x\n1,5\n2,5\n", Format("", ",", 1)),
        ("# made by hand\na,b\n1,2\n3,4\n", Format(",", ".", 2)),
        ('a,b\n"1,234",2\n"5,678",4\n', Format(",", ".", 2)),  # thousands are no decimals
        ("the cat\nsat, then\nleft\n", None),
        ("yes, no\nfoo, bar\nof course, not\n", None),
        ("1, 2, 3, go", None),
        ("roses are red\nviolets are blue\nsugar is sweet\n", None),
        ("", None),
    ],
)
def test_how_a_table_is_written(text, how):
    assert form(text) == how


numbers = st.floats(-1e9, 1e9, allow_nan=False).map(lambda x: round(x, 3))


@settings(max_examples=examples(150), deadline=None)
@given(
    st.integers(1, 4).flatmap(
        lambda d: st.lists(st.lists(numbers, min_size=d, max_size=d), min_size=3, max_size=12)
    ),
    st.sampled_from([(",", "."), (";", ","), (";", "."), ("\t", ","), ("\t", ".")]),
    st.booleans(),
    st.sampled_from(["\n", "\r\n"]),
)
def test_what_is_written_is_read(rows, how, header, end):
    delimiter, decimal = how
    assume(header or len(rows[0]) > 1 or decimal == ".")  # "1,5" may as well be two columns
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter, lineterminator=end)
    names = [f"c {k}" for k in range(len(rows[0]))]
    if header:
        writer.writerow(names)
    for row in rows:
        writer.writerow([f"{x:.3f}".replace(".", decimal) for x in row])
    found = form(out.getvalue())
    assert found is not None and found.width == len(rows[0])
    got = split(out.getvalue(), found)
    assert got.header == header and len(got.lines) == len(rows)
    assert not header or got.names == names
    read = [[number(c, found.decimal) for c in column] for column in got.cells]
    np.testing.assert_array_equal(np.array(read, float).T, np.array(rows))


def test_blank_rows_stay_and_remarks_go():
    got = split("# x\n\na,b\n1,2\n\n3,\n", Format(",", ".", 2))
    assert got.names == ["a", "b"] and got.cells == [["1", "", "3"], ["2", "", ""]]
    assert got.lines == [4, 5, 6]


def test_names_are_distinct_and_there():
    got = split("a,,a\n1,2,3\n", Format(",", ".", 3))
    assert got.names == ["a", "column 2", "a (2)"]


def test_a_row_of_another_width_is_named():
    with pytest.raises(ValueError, match="line 3 has 3 cells where other rows have 2"):
        split("a,b\n1,2\n1,2,3\n", Format(",", ".", 2))
    got = split('a,b\n"x\ny",2\n3,4\n', Format(",", ".", 2))  # a cell of two lines
    assert got.cells == [["x\ny", "3"], ["2", "4"]] and got.lines == [2, 4]


@pytest.mark.parametrize(
    ("cell", "decimal", "value"),
    [("1e3", ".", 1000.0), ("-.5", ".", -0.5), ("1,5", ",", 1.5), ("1.234,5", ",", None),
     ("1,5", ".", None), ("inf", ".", None), ("1e999", ".", None), ("0x1", ".", None),
     ("12%", ".", None), ("١", ".", None)],
)  # fmt: skip
def test_numbers(cell, decimal, value):
    assert number(cell, decimal) == value
