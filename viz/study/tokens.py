"""Tokens of a text: words, or characters as readers count them.

A character is a grapheme cluster (Unicode Standard Annex 29, without its rarest rules): a letter
with its marks, an emoji with its modifiers, a flag, a Hangul syllable.
Words are runs of letters; Chinese and Japanese, written without spaces, come as single Han
characters and as runs of one kana.
"""

from __future__ import annotations

import functools
import re
import unicodedata

HAN = "\u2e80-\u2fdf\u3005\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"
HIRAGANA = "\u3040-\u309f"
KATAKANA = "\u30a0-\u30ff\u31f0-\u31ff\uff66-\uff9f"
_FLAG = "\U0001f1e6-\U0001f1ff"
_LEAD, _VOWEL, _TAIL = "\u1100-\u115f\ua960-\ua97c", "\u1160-\u11a7\ud7b0-\ud7c6", "\u11a8-\u11ff"
_SIMPLE = re.compile(r"\d+(?:[.,]\d+)+|\w+(?:['’]\w+)*|[^\w\s]")  # of a text in ASCII


@functools.cache
def _marks() -> str:
    """What continues a character: marks, joiners' fellows, modifiers and tags of emoji."""
    marks = [k for k in range(0x300, 0x1F000) if unicodedata.category(chr(k))[0] == "M"]
    marks += [0x200C, *range(0x1F3FB, 0x1F400), *range(0xE0020, 0xE0080), *range(0xE0100, 0xE01F0)]
    runs: list[list[int]] = []
    for k in marks:
        if runs and k == runs[-1][1] + 1:
            runs[-1][1] = k
        else:
            runs.append([k, k])
    return "".join(f"{chr(a)}-{chr(b)}" if a < b else chr(a) for a, b in runs)


@functools.cache
def _patterns() -> tuple[re.Pattern[str], re.Pattern[str]]:
    more = rf"(?:[{_marks()}]|\u200d[^\w\s]|\u200d)*"
    hangul = rf"[{_LEAD}]+[{_VOWEL}]*[{_TAIL}]*"
    flag = rf"[{_FLAG}][{_FLAG}]"
    cluster = rf"\r\n|{flag}|{hangul}|[\s\S]{more}"
    letter = rf"(?:[^\W{HAN}{HIRAGANA}{KATAKANA}]{more})"
    word = (
        rf"\d+(?:[.,]\d+)+|{letter}+(?:['’]{letter}+)*|[{HAN}]{more}|(?:[{HIRAGANA}]{more})+|(?:[{KATAKANA}]{more})+"
        rf"|{flag}|[^\w\s{_marks()}]{more}|[{_marks()}]+"
    )
    return re.compile(cluster), re.compile(word)


def characters(text: str) -> list[str]:
    """Its grapheme clusters, spaces and line ends among them."""
    return list(text.replace("\r\n", "\n")) if text.isascii() else _patterns()[0].findall(text)


def word_pattern(text: str) -> re.Pattern[str]:
    """What finds the words of this text, in order; signs are words of their own."""
    return _SIMPLE if text.isascii() else _patterns()[1]


def words(text: str) -> list[str]:
    return word_pattern(text).findall(text)


def unspaced(text: str) -> bool:
    """Whether Chinese or Japanese is part of it."""
    return re.search(f"[{HAN}{HIRAGANA}{KATAKANA}]", text) is not None
