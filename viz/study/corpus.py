"""What `minigrad study` is given, read: text, trees in brackets, dependencies -> tokens or trees.

What it is, is seen from what it looks like, and named; `--as` says otherwise.
Everything a user can get wrong about the input ends here, as an `InputError`.
It names the thing and the remedy.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from recurrent import Tree, read_brackets, read_conllu

from . import columns
from .tokens import characters, unspaced, word_pattern, words

MOST_BYTES = 8_000_000  # read of a file
MOST_TOKENS = 200_000  # trained on
MOST_TREES = 2_000
MOST_PAIRS = 20_000
SUFFIXES = (
    ".txt", ".text", ".md", ".rst", ".ptb", ".mrg", ".tree", ".trees", ".conllu", ".csv", ".tsv",
    ".json", ".jsonl", ".html", ".xml", ".tex", ".log", ".gz", ".zip", ".pdf", ".docx", ".py",
)  # fmt: skip
EXAMPLE_TREE = "(3 (2 It) (4 works))"
FORMS = ("text", "trees", "conllu", "table", "pairs")  # what an input can be taken for
_ROOTED = re.compile(r"(/|~|\.{1,2}[/\\]|[A-Za-z]:[/\\])\S")
_CONLLU = re.compile(r"^\d+\t[^\t\n]*\t[^\t\n]*\t[^\t\n]*\t[^\t\n]*\t[^\t\n]*\t\d+\t", re.MULTILINE)


class InputError(Exception):
    """What the user gave cannot be studied; the text says what and what to do instead."""


@dataclass(frozen=True)
class Corpus:
    """What is studied.

    kind: "word" or "char" (then `tokens`, in order), "tree" (then `trees`), "table" (then
    `table`, a `table.Table`), "pairs" (then `pairs` of tokens), or "answers": pairs whose second
    part is named, not written.
    source: where from, for people.  text: all of it.
    form: what it was taken for, one of FORMS.
    notes: what was seen in it and what was left out, in sentences.
    """

    kind: str
    source: str
    text: str
    tokens: list[str] = field(default_factory=list)
    trees: list[Tree] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    form: str = "text"
    table: Any = None
    pairs: list[tuple[list[str], list[str]]] = field(default_factory=list)
    token_kind: str = "word"  # of pairs

    def excerpt(self, count: int) -> str:
        """The text of the first `count` tokens, as it was written."""
        if self.kind == "char":
            return " ".join("".join(self.tokens[:count]).split())
        found = word_pattern(self.text).finditer(self.text)
        ends = [match.end() for match in islice(found, count)]
        return " ".join(self.text[: ends[-1]].split())


@dataclass(frozen=True)
class Given:
    """What was given, before anything is made of it.  source: where from, for people."""

    text: str
    source: str
    notes: list[str]

    @property
    def looks(self) -> str:
        """What it looks like: one of FORMS."""
        named = self.source.lower().endswith((".csv", ".tsv"))
        return _form(self.text, named)


def given(argument: str) -> Given:
    """A file's text, the argument itself, or (for "-") standard input; InputError without any."""
    try:
        argument.encode()
    except UnicodeEncodeError:
        raise InputError(
            "the argument holds bytes that are not text in this terminal's encoding; put the text "
            "into a UTF-8 file"
        ) from None
    notes: list[str] = []
    if argument == "-":
        source = "standard input"
        text = _decoded(sys.stdin.buffer.read(MOST_BYTES + 1), source, notes)
    elif os.path.lexists(argument) or looks_like_path(argument):
        text, source = _file(argument, notes), f"the file {Path(argument).name}"
    else:
        text, source = argument, "the text given"
    if not text.strip():
        raise InputError(
            f"{source} is empty: there is nothing to study; give it a sentence or more"
        )
    return Given(text, source, notes)


def read(
    argument: str | Given, kind: str = "auto", form: str = "auto", most_children: int = 3
) -> Corpus:
    """The corpus in what was given.

    kind: "auto", "word" or "char": what a token of a text is.
    form: "auto", or one of FORMS but "table": what it is taken for.
    most_children: trees with wider nodes branch to the right in twos; 0: as they are.
    """
    what = given(argument) if isinstance(argument, str) else argument
    text, source, notes = what.text, what.source, list(what.notes)
    if form == "auto":
        form = what.looks
    if form == "pairs":
        return _pairs(text, source, kind, notes)
    if form in ("trees", "conllu"):
        return _forest(text, source, notes, form, most_children)
    return _sequence(text, source, kind, notes)


def looks_like_path(argument: str) -> bool:
    """Whether an argument names a file rather than being the text.

    It does if it ends in a known suffix or starts like a path.
    It does if it holds a separator in fewer than four words.
    Brackets, quotes, markup or a second line make it text.
    """
    if re.search(r'[\n\r<>"|?*]', argument) or argument.lstrip().startswith("("):
        return False
    if argument.lower().endswith(SUFFIXES) or _ROOTED.match(argument):
        return True
    return bool(re.search(r"\S[/\\]\S|[/\\]$", argument)) and len(argument.split()) < 4


def _form(text: str, named: bool = False) -> str:
    """What a text looks like: one of FORMS.  named: a table, by the name of its file."""
    start = text.lstrip()
    if _CONLLU.search(text[:20_000]):
        return "conllu"
    if re.match(r"\(\s*[^\s()]*\s*\(\s*[^\s()]", start):
        return "trees"
    if columns.form(text):
        return "table"
    if len(_halves(text)[0]) > 1 and not _halves(text)[1]:
        return "pairs"
    return "table" if named else "text"


def _halves(text: str) -> tuple[list[tuple[str, str]], int]:
    """(source, target) of every line of two parts apart by a tab; the first line that is none."""
    found, other = [], 0
    for number, line in enumerate(text.split("\n"), 1):
        parts = [part.strip() for part in line.split("\t")]
        if len(parts) == 2 and all(parts):
            found.append((parts[0], parts[1]))
        elif line.strip():
            other = other or number
    return found, other


def _pairs(text: str, source: str, kind: str, notes: list[str]) -> Corpus:
    found, other = _halves(text)
    if not found or other:
        where = f"line {other} of {source} is none" if found else f"{source} holds none"
        raise InputError(
            "an encoder-decoder needs pairs: on every line a source, a tab and a target, such as "
            f"\"good morning⇥bonjour\"; {where}"
        )
    if kind == "auto":  # single words are read by their characters
        kind = "word" if sum(len(words(a)) for a, _ in found) >= 2 * len(found) else "char"
    cut = words if kind == "word" else characters
    pairs = [(cut(a), cut(b)) for a, b in found[:MOST_PAIRS]]
    if len(found) > MOST_PAIRS:
        notes.append(f"Only the first {MOST_PAIRS:,} of {len(found):,} pairs were read.")
    pairs = [(a, b) for a, b in pairs if a and b]
    if not pairs:
        raise InputError(f"{source} has no {kind} tokens; try --tokens char")
    unit = "words" if kind == "word" else "characters"
    notes.append(
        f"{source[:1].upper()}{source[1:]} holds {len(pairs):,} "
        f"pair{'s' if len(pairs) != 1 else ''} of texts, read by {unit}."
    )
    return Corpus("pairs", source, text, notes=notes, form="pairs", pairs=pairs, token_kind=kind)


def _file(given: str, notes: list[str]) -> str:
    path = Path(given)
    if not os.path.exists(path):
        raise InputError(
            f"no such file: {given!r}. Check the name; a text meant literally must not end "
            "like a file name, "
            "nor hold a slash in fewer than four words"
        )
    if path.is_dir():
        raise InputError(f"{given!r} is a directory; give one text file in it")
    try:
        with open(path, "rb") as file:
            data = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise InputError(
            f"cannot read {given!r}: {error.strerror}; check its permissions"
        ) from None
    return _decoded(data, repr(given), notes)


def _decoded(data: bytes, name: str, notes: list[str]) -> str:
    cut = len(data) > MOST_BYTES
    if cut:
        data = data[: data.rfind(b"\n", 0, MOST_BYTES) + 1 or MOST_BYTES]
        while data and data[-1] & 0xC0 == 0x80:  # not in the middle of a character
            data = data[:-1]
        notes.append(f"Only the first {len(data):,} bytes of {name.strip(chr(39))} were read.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if cut and error.start >= len(data) - 4:
            return data[: error.start].decode("utf-8-sig")
        raise InputError(
            f"{name} is not UTF-8 text (byte 0x{data[error.start]:02x} at offset "
            f"{error.start}); convert it, "
            "for example with: iconv -f latin1 -t utf-8"
        ) from None
    if "\0" in text:
        raise InputError(f"{name} holds NUL bytes, so it is not text; give a plain text file")
    return text


def _sequence(text: str, source: str, kind: str, notes: list[str]) -> Corpus:
    found = words(text)
    if kind == "auto":
        # Two words make no sequence; scripts without spaces come out as very long "words".
        few = len(found) < 3
        kind = "char" if few or sum(map(len, found)) > 12 * len(found) else "word"
    tokens = found if kind == "word" else characters(text.rstrip("\n"))
    if not tokens:
        raise InputError(f"{source} has no {kind} tokens; try --tokens char")
    if kind == "word" and unspaced(text):
        notes.append(
            "Chinese and Japanese stand without spaces: a word is one Han character, or a run of "
            "one kana."
        )
    if len(tokens) > MOST_TOKENS:
        unit = "words" if kind == "word" else "characters"
        notes.append(f"Trained on the first {MOST_TOKENS:,} of {len(tokens):,} {unit}.")
        tokens = tokens[:MOST_TOKENS]
    return Corpus(kind, source, text, tokens=tokens, notes=notes)


def _forest(text: str, source: str, notes: list[str], form: str, most: int) -> Corpus:
    reader, what, example = {
        "trees": (read_brackets, "bracketed trees, one after another, such as", EXAMPLE_TREE),
        "conllu": (read_conllu, "sentences in CoNLL-U, ten columns apart by tabs", ""),
    }[form]
    if form == "trees" and not text.lstrip().startswith("("):
        start = " ".join(text.split())
        start = repr(start[:40] + "…" if len(start) > 40 else start)
        raise InputError(
            f'a tree cell needs {what} "{example}": a '
            f"label, then a word or further brackets; {source} begins {start}. For a plain "
            "sentence choose --cell rnn, lstm or gru"
        )
    try:
        found = reader(text)
        trees = list(islice(found, MOST_TREES))
        if next(found, None) is not None:
            notes.append(f"Only the first {MOST_TREES:,} trees were read.")
    except ValueError as error:
        hint = f" A tree looks like {EXAMPLE_TREE}; for plain text give --as text"
        hint = hint if form == "trees" else " For plain text give --as text"
        raise InputError(f"{source}: {str(error).rstrip('.')}.{hint}") from None
    if not trees:
        raise InputError(f"{source} holds no {what}")
    trees, wide = _narrowed(trees, most) if most else (trees, 0)
    if wide:
        notes.append(
            f"{wide:,} nodes had more than {most} children and were split into binary "
            "ones, marked with '…'."
        )
    return Corpus("tree", source, text, trees=trees, notes=notes, form=form)


def visible(token: str) -> str:
    """A token as people can read it: white space has a sign of its own."""
    return token.translate(_SIGNS) if token.isspace() else token


_SIGNS = str.maketrans({" ": "␣", "\n": "⏎", "\r": "␍", "\t": "⇥", "\xa0": "⍽"})


def _narrowed(trees: list[Tree], most: int) -> tuple[list[Tree], int]:
    """The trees with wide nodes branching to the right in twos; how many nodes were that wide.

    A dependency tree's words stand on inner nodes; those that split a node have none.
    """
    wide = 0
    for node in _nodes(trees):
        if len(node.children) > most:
            wide += 1
            rest = node.children.pop()
            while len(node.children) > 1:
                rest = Tree(SPLIT, [node.children.pop(), rest])
            node.children.append(rest)
    return trees, wide


SPLIT = "…"  # the label of a node made by splitting a wide one; it is never a target


def _nodes(trees: list[Tree]) -> Iterator[Tree]:
    for tree in trees:
        yield from tree.postorder()
