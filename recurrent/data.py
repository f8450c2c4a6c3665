"""Data in: vocabularies, ragged batches, series from CSV files."""

from __future__ import annotations

import csv
import io
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .options import array, flag, integers, listed, shown
from .options import size as _size

__all__ = ["Batch", "Lengths", "Series", "Vocabulary", "batches", "pad", "read_csv"]

UNKNOWN = "⟨unk⟩"


class Vocabulary:
    """Tokens and their numbers 0, 1, ...

    `special` tokens come first, then the others by how often they were seen
    (equally often: in the order of their first appearance).

    tokens  : what is counted: words, characters (a string), any iterable of strings.
    least   : tokens seen fewer times are left out.
    most    : at most this many are kept.
    unknown : stands for every token that is left out; None: such a token is an error.

    Raises TypeError for what is no iterable of tokens (counts of tokens are none),
    ValueError for least or most that are no sizes.
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
        who = "Vocabulary"
        least = _size(who, "least", least)
        most = None if most is None else _size(who, "most", most, 0)
        if unknown is not None and not isinstance(unknown, str):
            raise TypeError(f"{who}: unknown must be a token or None; got {shown(unknown)}")
        first = _tokens(who, "special", special, text=False)
        first += [] if unknown is None else [unknown]
        seen = Counter(_tokens(who, "tokens", tokens))
        counted = [t for t, n in seen.most_common(most) if n >= least]
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
        """(T,) int64: the numbers of some tokens (of the characters of a string).

        Raises ValueError for a token that is not there, where there is none for unknown ones.
        """
        given = _tokens("encode", "tokens", tokens)
        if self.unknown is None:
            for place, token in enumerate(given):
                if token not in self.number:
                    raise ValueError(
                        f"encode: token {place}, {token!r}, is not in the vocabulary of "
                        f"{len(self)}, which has no token for unknown ones"
                    )
            return np.array([self.number[t] for t in given], np.int64)
        other = self.number[self.unknown]
        return np.array([self.number.get(t, other) for t in given], np.int64)

    def decode(self, numbers: Iterable[int]) -> list[str]:
        """The tokens with some numbers.

        Raises ValueError for a number that is none of the vocabulary's.
        """
        table = hasattr(numbers, "__array__")
        given = numbers if table else listed("decode", "numbers", numbers, "numbers")
        known = integers("decode", "numbers", given).tolist()
        for place, k in enumerate(known):
            if not 0 <= k < len(self):
                raise ValueError(
                    f"decode: number {place} is {k}; the vocabulary has 0 to {len(self) - 1}"
                )
        return [self.tokens[k] for k in known]


def _tokens(who: str, what: str, given: Any, text: bool = True) -> list[Any]:
    """The tokens of an iterable; the characters of a string, where text may be given."""
    found = list(given) if text and isinstance(given, str) else listed(who, what, given, "tokens")
    for place, token in enumerate(found):
        try:
            hash(token)
        except TypeError:
            raise TypeError(
                f"{who}: {what}[{place}] must be a token (text); got {shown(token)}"
            ) from None
    return found


# -- batches ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Lengths:
    """How many steps each of B sequences has, in one value: what `lengths=` takes, also as an
    argument of an `mg.function`, which is traced for them and computes only the steps there are.

    Equal ones are one trace of the function; others cost a retrace and no compilation.  Where they
    are new at every call, `np.asarray(lengths)` is faster: integers (B,) serve all with one trace,
    and all T steps are computed (see `unroll`).
    """

    steps: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.steps)

    def __iter__(self) -> Iterator[int]:
        return iter(self.steps)

    def __getitem__(self, k: Any) -> Any:
        return self.steps[k]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.steps, np.int64 if dtype is None else dtype)

    def tolist(self) -> list[int]:
        return list(self.steps)


class Batch(NamedTuple):
    """Sequences side by side: xs (T, B, ...) and how long each of the B is.

    rows : (B,), which of the sequences given they are.

    xs and lengths may be passed to an `mg.function` as they are.
    """

    xs: np.ndarray
    lengths: Lengths
    rows: np.ndarray


def pad(sequences: Sequence[Any], fill: Any = 0) -> tuple[np.ndarray, Lengths]:
    """(xs, lengths): sequences (T_k, ...) as one array (T, B, ...), and the `Lengths` of the B.

    T is the longest; lengths are as `unroll` takes them.
    fill : what stands behind each end, and is never looked at.

    xs have the dtype that holds all sequences, as NumPy promotes.

    Raises ValueError for no sequence at all, one whose shape after the time axis differs,
    or a fill that the dtype cannot hold; TypeError for what is no numbers.
    """
    given = listed("pad", "sequences", sequences, "sequences")
    arrays = [array("pad", f"sequence {k}", s) for k, s in enumerate(given)]
    if not arrays:
        raise ValueError("pad: there are no sequences")
    if array("pad", "fill", fill).shape:
        raise ValueError(f"pad: fill must be one number; got {shown(fill)}")
    for k, a in enumerate(arrays):
        if not a.ndim or a.shape[1:] != arrays[0].shape[1:]:
            rest = "".join(f", {d}" for d in arrays[0].shape[1:])
            raise ValueError(
                f"pad: sequence {k} has shape {a.shape}; (T{rest}) was expected, as sequence 0 has"
            )
    lengths = Lengths(tuple(len(a) for a in arrays))
    dtype = np.result_type(*arrays)
    if dtype.kind in "iub" and not np.can_cast(np.min_scalar_type(fill), dtype):
        raise ValueError(f"pad: fill is {shown(fill)}; sequences of {dtype} cannot hold it")
    xs = np.full((max(lengths), len(arrays), *arrays[0].shape[1:]), fill, dtype)
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
    progress: bool | str = False,
) -> Iterator[Batch]:
    """All sequences once, `size` at a time (the last batch may be smaller): an iterator of `Batch`.

    seed    : shuffle, the same way for the same seed; None: in order.
    buckets : put sequences of about the same length together (whole batches are then shuffled):
              less padding.
    sort    : longest first within each batch.
    fill    : what stands behind each end, as in `pad`.
    progress: True, or a text as its title: a bar of the batches taken, on stderr,
              by rich, or by tqdm where that is not installed.

    Raises ValueError for a size or seed that is none, or flags that are no bools;
    TypeError for what are no sequences; ImportError for progress with neither rich nor tqdm;
    later what `pad` raises.
    """
    count = _size("batches", "size", size, kind="at least 1")
    buckets, sort = flag("batches", "buckets", buckets), flag("batches", "sort", sort)
    seed = None if seed is None else _size("batches", "seed", seed, 0)
    given = listed("batches", "sequences", sequences, "sequences")
    for k, s in enumerate(given):
        if not hasattr(s, "__len__") or np.ndim(array("batches", f"sequence {k}", s)) < 1:
            raise TypeError(f"batches: sequence {k} must be (T, ...); got {shown(s)}")
    found = _batches(given, count, seed, buckets, sort, fill)
    if not isinstance(progress, str) and not flag("batches", "progress", progress):
        return found
    title = progress if isinstance(progress, str) else "batches"
    return _bar()(found, -(-len(given) // count), title)


def _batches(
    sequences: list[Any], size: int, seed: int | None, buckets: bool, sort: bool, fill: Any
) -> Iterator[Batch]:
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


def _bar() -> Callable[[Iterator[Batch], int, str], Iterator[Batch]]:
    """What shows a bar while an iterator is read, of what is installed."""
    for name, bar in (("rich", _by_rich), ("tqdm", _by_tqdm)):
        if find_spec(name) is not None:
            return bar
    raise ImportError(
        "batches: progress needs rich or tqdm, and neither is installed: pip install rich, or "
        "leave progress out"
    )


def _by_rich(found: Iterator[Batch], total: int, title: str) -> Iterator[Batch]:
    from rich.console import Console
    from rich.errors import LiveError
    from rich.progress import Progress

    bar = Progress(console=Console(stderr=True), transient=True)
    task = bar.add_task(title.replace("[", r"\["), total=total)
    try:
        bar.start()
    except LiveError:  # inside of another bar: the outer one is shown
        pass
    try:
        for batch in found:
            yield batch
            bar.advance(task)
    finally:
        bar.stop()


def _by_tqdm(found: Iterator[Batch], total: int, title: str) -> Iterator[Batch]:
    from tqdm import tqdm  # type: ignore[import-untyped]

    yield from tqdm(found, total=total, desc=title, leave=False)


# -- series ----------------------------------------------------------------------------------------


class Series(NamedTuple):
    """Numbers over time.

    values   : (T, D) float64, NaN where missing.
    observed : (T, D) booleans, where not.
    names    : of the D columns.
    """

    values: np.ndarray
    observed: np.ndarray
    names: list[str]


MISSING = ("", "NA", "N/A", "n/a", "#N/A", "NaN", "nan", "NAN", "null", "NULL", "None", "?")
NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?|[+-]?(inf|infinity)", re.I)


def read_csv(
    path: Any,
    columns: Sequence[str] | None = None,
    *,
    header: bool = True,
    delimiter: str = ",",
    decimal: str = ".",
    missing: Sequence[str] = MISSING,
) -> Series:
    """A series from a CSV file (UTF-8, with or without a byte-order mark), a row per time step.

    columns   : which, by name and in this order (default all); without a header they are called
                "0", "1", ...
    delimiter : what stands between cells, ";" or a tab ("\\t") as well.
    decimal   : "." or ",", the decimal sign.  Thousands are not to be set apart.
    missing   : what stands for a number that was not observed.

    A blank line, or one of empty cells, is a time step at which nothing was observed;
    blank lines above the header and at the end of the file are none.

    Raises FileNotFoundError, TypeError for what names no file,
    and ValueError with file, line and column of what is no number,
    for a row of another length, an unknown column, or a file without rows.
    """
    where, text = _read(path)
    for what, given, allowed in (("delimiter", delimiter, ""), ("decimal", decimal, ".,")):
        if not isinstance(given, str) or len(given) != 1 or allowed and given not in allowed:
            raise ValueError(
                f"read_csv: {what} must be {'. or ,' if allowed else 'one character'}; got "
                f"{shown(given)}"
            )
    if delimiter in '"\r\n' or delimiter == decimal:
        raise ValueError(
            f"read_csv: the delimiter {delimiter!r} cannot be a quote, the end of a line, or the "
            f"decimal sign, {decimal!r}"
        )
    empty = set(listed("read_csv", "missing", missing, "texts"))
    rows = _rows(where, text, delimiter)
    # '""' is an empty cell, a line of white space is blank
    filled = [k for k, (_, r) in enumerate(rows) if r and not (len(r) == 1 and r[0].isspace())]
    if header and filled:
        names = [c.strip() for c in rows[filled[0]][1]]
        rows = rows[filled[0] + 1 : filled[-1] + 1]
    else:
        names = [str(k) for k in range(len(rows[filled[0]][1]))] if filled else []
        rows = rows[: filled[-1] + 1] if filled else []
    if not rows:
        raise ValueError(f"{where}: no row of numbers{' below the header' if header else ''}")
    wanted = names if columns is None else listed("read_csv", "columns", columns, "names")
    for name in wanted:
        if names.count(name) != 1:
            have = "has no" if name not in names else "has more than one"
            raise ValueError(
                f"{where}: {have} column {name!r}; its columns are {names}"
                f"{_other_delimiter(names, delimiter)}"
            )
    at = [names.index(name) for name in wanted]
    values = np.full((len(rows), len(at)), np.nan)
    for t, (line, row) in enumerate(rows):
        if not row or len(row) == 1 and not row[0].strip():
            continue
        if len(row) != len(names):
            raise ValueError(
                f"{where}, line {line}: {len(row)} cells; there are {len(names)} columns"
                f"{_other_delimiter(names, delimiter) or _other_delimiter(row, delimiter)}"
            )
        for d, k in enumerate(at):
            cell = row[k].strip()
            if cell not in empty:
                place = f"{where}, line {line}, column {k + 1} ({names[k]!r})"
                values[t, d] = _number(place, cell, delimiter, decimal, missing)
    return Series(values, ~np.isnan(values), list(wanted))


def _read(path: Any) -> tuple[Path, str]:
    """A file's name and its text."""
    if not isinstance(path, (str, os.PathLike)) or not str(path) or "\0" in str(path):
        raise TypeError(f"read_csv: path must name a file; got {shown(path)}")
    where = Path(path)
    if not where.is_file():
        raise FileNotFoundError(f"read_csv: there is no file {where}")
    try:
        return where, where.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise type(error)(f"read_csv: {where} cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"{where}: not a text in UTF-8 (byte {error.start})") from None


def _rows(where: Path, text: str, delimiter: str) -> list[tuple[int, list[str]]]:
    """(line, cells) of every row, blank ones as well."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows = []
    try:
        for row in reader:
            rows.append((reader.line_num, row))
    except csv.Error as error:
        raise ValueError(
            f"{where}, line {reader.line_num}: cannot be read as a table: {error}"
        ) from None
    return rows


def _number(place: str, cell: str, delimiter: str, decimal: str, missing: Sequence[str]) -> float:
    """What a cell says, as a number."""
    plain = cell if decimal == "." else cell.replace(".", "?").replace(",", ".")
    if not NUMBER.fullmatch(plain):
        comma = decimal == "." and "," in cell and NUMBER.fullmatch(cell.replace(",", "."))
        raise ValueError(
            f"{place}: {cell[:40]!r} is no number; missing ones are written as one of "
            f"{list(missing)}"
            + "; decimal=',' reads decimal commas (thousands are not to be set apart)" * bool(comma)
            + _other_delimiter([cell], delimiter)
        )
    value = float(plain)
    if np.isinf(value) and "i" not in plain.lower():
        raise ValueError(f"{place}: {cell[:40]!r} is larger than a float64 can be")
    return value


def _other_delimiter(cells: list[str], delimiter: str) -> str:
    """A hint, where one cell looks like a row between other separators."""
    for other in ";\t|,":
        if other != delimiter and len(cells) == 1 and other in cells[0]:
            return f"; are the cells apart by {other!r}? Then give delimiter={other!r}"
    return ""
