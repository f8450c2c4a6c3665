"""Structures cut into chunks of levels: every row once, every edge in a chunk or between two."""

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad.chunks import checkpointed, chunks_of, cut, same_chunks
from minigrad.structure import Structure
from minigrad.testing.examples.problems import KNOT
from minigrad.testing.strategies import structures


def numbers(rows):
    """Row numbers that may be a slice."""
    return np.arange(rows.start, rows.stop) if isinstance(rows, slice) else np.asarray(rows)


@given(structures(), st.integers(1, 5), st.booleans())
def test_every_row_once_and_every_edge_once(structure, every, backward):
    s = checkpointed(structure, every)
    s = s.transpose() if backward else s
    if not cut(s):
        assert len(s.levels) <= every
        return
    found = chunks_of(s)
    rows = [numbers(c.rows) for c in found.order]
    assert sorted(np.concatenate(rows)) == list(range(s.n))
    assert [s.level[r].min() for r in rows] == sorted(s.level[r].min() for r in rows)
    for r in rows:
        assert s.level[r].max() - s.level[r].min() < every
    sender = np.full(found.kept, -1)
    for chunk, r in zip(found.order, rows, strict=True):
        sender[numbers(chunk.leaves)] = r[numbers(chunk.piece.sending)]
    edges = []
    for chunk, r in zip(found.order, rows, strict=True):
        piece, mine = chunk.piece, chunk.piece.structure
        assert mine.n == len(r) and mine.wires == s.wires and mine.slots == s.slots
        assert (mine.component == s.component[r]).all()
        edges += zip(r[mine.src], r[mine.dst], mine.slot, mine.port, strict=True)
        assert len(numbers(chunk.arrives)) == piece.ghosts
        source = sender[numbers(chunk.arrives)][piece.ghost]
        edges += zip(source, r[piece.dst], piece.slot, piece.port, strict=True)
    assert sorted(edges) == sorted(zip(s.src, s.dst, s.slot, s.port, strict=True))


def test_equal_chunks_are_one_piece():
    found = chunks_of(checkpointed(Structure.chain(1000), 10))
    assert len(found.order) == 100 and found.kept == 99
    assert len({c.piece for c in found.order}) == 3  # the first, those between, the last
    assert all(isinstance(c.rows, slice) for c in found.order)


def test_the_way_back_is_cut_alike():
    s, equal = (checkpointed(Structure.chain([5, 3]), 2) for _ in "12")
    assert same_chunks(s, s.transpose()) and same_chunks(s, equal)
    assert not same_chunks(s, checkpointed(Structure.chain([5, 3]), 3))
    assert not same_chunks(s, Structure.chain([5, 3]))
    assert not same_chunks(checkpointed(Structure.chain(0), 2), checkpointed(Structure.chain(0), 2))
    assert checkpointed(s, 5).chunk is None and not cut(checkpointed(s, 9))
    assert checkpointed(KNOT.build(), None).chunk is None
    again = pickle.loads(pickle.dumps(s))
    assert same_chunks(again, s)
    assert s.truncated([True] * 6).chunk is s.chunk


@pytest.mark.parametrize("every", [0, -1, 1.5, True, "2"])
def test_what_is_no_number_of_levels(every):
    with pytest.raises(ValueError, match="checkpoint"):
        mg.recur(lambda p, h, x: (h, h), Structure.chain(3), initial=np.zeros((1, 2)),
                 checkpoint=every)  # fmt: skip
