"""Names and words in LaTeX: symbols with their indices, upright words, matrices of texts."""

from __future__ import annotations

import re
from collections.abc import Sequence

GREEK = frozenset(
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau "
    "upsilon phi chi psi omega Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega".split()
)
ESCAPED = {
    **{c: f"\\{c}" for c in "{}%#&$_"}, "\\": r"\backslash ", "^": r"\wedge ", "~": r"\sim ",
    " ": r"\ ",
}  # fmt: skip


def symbol(name: str) -> str:
    """A name as a symbol: what stands behind the first _ or at the end in digits is its index."""
    step = re.fullmatch(r"(.+)\[([\w+-]+)\]", name)
    if step:
        base = symbol(step[1])
        return f"{base[:-1]},{step[2]}}}" if "_" in base else f"{base}_{{{step[2]}}}"
    match = re.fullmatch(r"([^_\d]+)(\d+)", name)
    head, _, tail = name.partition("_") if not match else (match[1], "_", match[2])
    if not head:
        return verbatim(name)
    below = ",".join(_word(part) for part in tail.split("_") if part)
    return f"{_word(head)}_{{{below}}}" if below else _word(head)


def _word(word: str) -> str:
    plain, primes = word.rstrip("'"), "'" * (len(word) - len(word.rstrip("'")))
    if plain in GREEK:
        return f"\\{plain}{primes}"
    if len(plain) == 1 and plain.isalnum() or plain.isdecimal():
        return plain + primes
    return verbatim(plain) + primes


def verbatim(words: str) -> str:
    clean = "".join(c if c.isprintable() else " " for c in words)
    return r"\mathrm{" + "".join(ESCAPED.get(c, c) for c in clean) + "}"


def matrix(rows: Sequence[str]) -> str:
    return r"\begin{bmatrix} " + r" \\ ".join(rows) + r" \end{bmatrix}"
