"""Data in: vocabularies, ragged batches, series from CSV files."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

UNKNOWN = "⟨unk⟩"


class Vocabulary:
    """Tokens and their numbers 0, 1, ...: `special` tokens first, then the others by how often they
    were seen (equally often: in the order of their first appearance).

    tokens  : what is counted: words, characters (a string), any iterable of strings.
    least   : tokens seen fewer times are left out.   most: at most this many are kept.
    unknown : stands for every token that is left out; None: such a token is an error.
    """

    def __init__(
        self,
        tokens: Iterable[str],
        *,
        least: int = 1,
        most: int | None = None,
        unknown: str | None = UNKNOWN,
        special: Sequence[str] = (),
    ) -> None:
        first = [*special, *([] if unknown is None else [unknown])]
        counted = [t for t, n in Counter(tokens).most_common(most) if n >= least]
        self.tokens = list(dict.fromkeys([*first, *counted]))
        self.unknown = unknown
        self.number = {token: k for k, token in enumerate(self.tokens)}

    def __len__(self) -> int:
        return len(self.tokens)

    def __contains__(self, token: object) -> bool:
        return token in self.number

    def __repr__(self) -> str:
        return f"Vocabulary({len(self)} tokens)"

    def encode(self, tokens: Iterable[str]) -> np.ndarray:
        """The numbers of some tokens (of the characters of a string).  (T,) int64"""
        listed = list(tokens)
        if self.unknown is None:
            for place, token in enumerate(listed):
                if token not in self.number:
                    raise ValueError(
                        f"encode: token {place}, {token!r}, is not in the vocabulary of "
                        f"{len(self)}, which has no token for unknown ones"
                    )
            return np.array([self.number[t] for t in listed], np.int64)
        other = self.number[self.unknown]
        return np.array([self.number.get(t, other) for t in listed], np.int64)

    def decode(self, numbers: Iterable[int]) -> list[str]:
        """The tokens with some numbers."""
        listed = [int(k) for k in np.asarray(list(numbers), np.int64)]
        for place, k in enumerate(listed):
            if not 0 <= k < len(self):
                raise ValueError(
                    f"decode: number {place} is {k}; the vocabulary has 0 to {len(self) - 1}"
                )
        return [self.tokens[k] for k in listed]


# -- batches ---------------------------------------------------------------------------------------


class Batch(NamedTuple):
    """Sequences side by side: xs (T, B, ...), lengths (B,), and which sequences they are (B,)."""

    xs: np.ndarray
    lengths: np.ndarray
    rows: np.ndarray


def pad(sequences: Sequence[Any], fill: Any = 0) -> tuple[np.ndarray, np.ndarray]:
    """(xs, lengths): sequences (T_k, ...) as one array (T, B, ...) with T the longest, and their
    lengths, as `unroll` takes them.  `fill` stands behind each end, and is never looked at.

    Raises ValueError for no sequence at all, or one whose shape after the time axis differs.
    """
    arrays = [np.asarray(s) for s in sequences]
    if not arrays:
        raise ValueError("pad: there are no sequences")
    for k, a in enumerate(arrays):
        if not a.ndim or a.shape[1:] != arrays[0].shape[1:]:
            rest = "".join(f", {d}" for d in arrays[0].shape[1:])
            raise ValueError(
                f"pad: sequence {k} has shape {a.shape}; (T{rest}) was expected, as sequence 0 has"
            )
    lengths = np.array([len(a) for a in arrays], np.int64)
    dtype = np.result_type(*arrays)
    xs = np.full((int(lengths.max()), len(arrays), *arrays[0].shape[1:]), fill, dtype)
    for k, a in enumerate(arrays):
        xs[: len(a), k] = a
    return xs, lengths


def batches(
    sequences: Sequence[Any],
    size: int,
    *,
    seed: int | None = None,
    buckets: bool = False,
    sort: bool = False,
    fill: Any = 0,
) -> Iterator[Batch]:
    """All sequences once, `size` at a time (the last batch may be smaller).

    seed    : shuffle, the same way for the same seed; None: in order.
    buckets : put sequences of about the same length together (whole batches are then shuffled):
              less padding.
    sort    : longest first within each batch.
    """
    if size < 1:
        raise ValueError(f"batches: size must be at least 1; got {size}")
    lengths = np.array([len(s) for s in sequences], np.int64)
    rng = None if seed is None else np.random.default_rng(seed)
    order = np.arange(len(lengths)) if rng is None else rng.permutation(len(lengths))
    if buckets:
        order = order[np.argsort(lengths[order], kind="stable")]
    groups = [order[at : at + size] for at in range(0, len(order), size)]
    if buckets and rng is not None:
        groups = [groups[k] for k in rng.permutation(len(groups))]
    for rows in groups:
        if sort:
            rows = rows[np.argsort(-lengths[rows], kind="stable")]
        yield Batch(*pad([sequences[k] for k in rows], fill), rows)


# -- series ----------------------------------------------------------------------------------------


class Series(NamedTuple):
    """Numbers over time: values (T, D) float64, NaN where missing; observed (T, D) says where not;
    names of the D columns."""

    values: np.ndarray
    observed: np.ndarray
    names: list[str]


def read_csv(
    path: Any,
    columns: Sequence[str] | None = None,
    *,
    header: bool = True,
    delimiter: str = ",",
    missing: Sequence[str] = ("", "NA", "NaN", "nan", "null", "?"),
) -> Series:
    """A series from a CSV file, a row per time step.

    columns : which, by name and in this order (default all); without a header they are called
              "0", "1", ...
    missing : what stands for a number that was not observed.

    Raises ValueError with file, line and column of what is no number, and for a row of another
    length, an unknown column, or a file without rows.
    """
    where = Path(path)
    try:
        text = where.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{where}: not a text in UTF-8 (byte {error.start})") from None
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    rows = [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    if len(rows) < 1 + header:
        raise ValueError(f"{where}: no row of numbers{' below the header' if header else ''}")
    names = (
        [c.strip() for c in rows.pop(0)[1]] if header else [str(k) for k in range(len(rows[0][1]))]
    )
    wanted = list(names if columns is None else columns)
    for name in wanted:
        if names.count(name) != 1:
            have = "has no" if name not in names else "has more than one"
            raise ValueError(f"{where}: {have} column {name!r}; its columns are {names}")
    at = [names.index(name) for name in wanted]
    empty = set(missing)
    values = np.full((len(rows), len(at)), np.nan)
    for t, (line, row) in enumerate(rows):
        if len(row) != len(names):
            raise ValueError(
                f"{where}, line {line}: {len(row)} cells; there are {len(names)} columns"
            )
        for d, k in enumerate(at):
            cell = row[k].strip()
            if cell in empty:
                continue
            try:
                values[t, d] = float(cell)
            except ValueError:
                raise ValueError(
                    f"{where}, line {line}, column {k + 1} ({names[k]!r}): {cell[:40]!r} is no "
                    f"number; missing ones are written as one of {list(missing)}"
                ) from None
    return Series(values, ~np.isnan(values), wanted)
