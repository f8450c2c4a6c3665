"""Contractions: `einsum` is the only primitive; `matmul`, `vecdot`, `tensordot`, `outer` record it.

Then what else belongs to matrices and vectors: diagonals, triangles, the cross product.

Letters do not broadcast inside the primitive.
An operand that is repeated along an axis loses that axis and its letter when recorded:
nothing is copied, and the way back sums inside the product.
"""

from __future__ import annotations

import builtins
import math
from collections.abc import Sequence
from string import ascii_letters
from typing import Any

import numpy as np

from ..graph import Shape, Tensor, bind
from ..sites import running
from .arrays import asarray, promoted
from .broadcast import broadcast_to, operands, reshape
from .creation import eye, zeros_like
from .elementwise import multiply, subtract, where
from .movement import SLICE, concat, part
from .reduce import sum
from .table import ArrayLike, axes_of, axis_of, integer_of, row

__all__ = [
    "cross", "diagonal", "einsum", "matmul", "outer", "tensordot", "trace", "tril", "triu",
    "vecdot",
]  # fmt: skip


def _einsum_shape(*xs: Tensor, subs: tuple[str, ...], out: str) -> tuple[Shape, np.dtype]:
    sizes: dict[str, int] = {}
    for k, (x, sub) in enumerate(zip(xs, subs, strict=True)):
        if len(sub) != x.ndim:
            raise ValueError(
                f"operand {k} has {x.ndim} axes but its subscripts {sub!r} name {len(sub)}"
            )
        for letter, n in zip(sub, x.shape, strict=True):
            if sizes.setdefault(letter, n) != n:
                raise ValueError(
                    f"axis {letter!r} is {sizes[letter]} long in one operand and {n} in operand {k}"
                )
    return tuple(sizes[c] for c in out), xs[0].dtype


def _einsum_numpy(*xs: Any, subs: tuple[str, ...], out: str) -> Any:
    if len(xs) == 2:
        return contract(xs[0], xs[1], subs[0], subs[1], out)
    return np.einsum(f"{','.join(subs)}->{out}", *xs, optimize=len(xs) > 2)


def contract(a: Any, b: Any, sa: str, sb: str, out: str) -> Any:
    """Two operands through BLAS.

    Both are brought to (batch, free, contracted), then one `matmul`, and letters put in order.
    """
    a, sa = _diagonals(a, sa)
    b, sb = _diagonals(b, sb)
    a, sa = _sum_out(a, sa, sb + out)
    b, sb = _sum_out(b, sb, sa + out)
    batch = [c for c in sa if c in sb and c in out]
    inner = [c for c in sa if c in sb and c not in out]
    left = [c for c in sa if c not in sb]
    right = [c for c in sb if c not in sa]
    size = dict(zip(sa + sb, np.shape(a) + np.shape(b), strict=True))
    if not inner and not batch and not left:  # a scalar times an array: no product to speak of
        return np.einsum(f"{sa},{sb}->{out}", a, b)

    def matrix(x: Any, sub: str, *groups: list[str]) -> Any:
        x = np.transpose(x, [sub.index(c) for group in groups for c in group])
        sides = [math.prod(size[c] for c in group) for group in groups[1:]]
        return x.reshape([size[c] for c in batch] + sides)

    y = np.matmul(matrix(a, sa, batch, left, inner), matrix(b, sb, batch, inner, right))
    y = y.reshape([size[c] for c in (*batch, *left, *right)])
    return np.transpose(y, [(*batch, *left, *right).index(c) for c in out])


def _diagonals(x: Any, sub: str) -> tuple[Any, str]:
    if len(set(sub)) < len(sub):
        once = "".join(dict.fromkeys(sub))
        return np.einsum(f"{sub}->{once}", x), once
    return x, sub


def _sum_out(x: Any, sub: str, used: str) -> tuple[Any, str]:
    lone = tuple(k for k, c in enumerate(sub) if c not in used)
    return (x.sum(axis=lone), "".join(c for c in sub if c in used)) if lone else (x, sub)


def _einsum_vjp(ct: Tensor, node: Tensor, wanted: Sequence[bool]) -> list[Tensor | None]:
    subs, out = node.attrs["subs"], node.attrs["out"]
    grads: list[Tensor | None] = []
    for k, (x, want) in enumerate(zip(node.inputs, wanted, strict=True)):
        if not want:
            grads.append(None)
            continue
        others = [(s, t) for j, (s, t) in enumerate(zip(subs, node.inputs, strict=True)) if j != k]
        known = set(out).union(*(s for s, _ in others))
        once = "".join(dict.fromkeys(subs[k]))
        reach = "".join(c for c in once if c in known)
        g = _product((out, ct), *others, out=reach)
        size = dict(zip(subs[k], x.shape, strict=True))
        if reach != once:  # a letter summed out of this operand alone: constant along it
            g = reshape(g, tuple(size[c] if c in reach else 1 for c in once))
            g = broadcast_to(g, tuple(size[c] for c in once))
        if once != subs[k]:  # a repeated letter reads a diagonal: put the cotangent back on it
            eyes = [(a, b) for a, b in _repeats(subs[k])]
            fresh, renamed = _fresh_letters(subs[k])
            mask = [eye(size[a], dtype=x.dtype) for a, _ in eyes]
            pairs = tuple(renamed[b] + a for a, b in eyes)
            g = bind(EINSUM, g, *mask, subs=(once, *pairs), out=fresh)
        grads.append(g)
    return grads


def _product(*named: tuple[str, Tensor], out: str) -> Tensor:
    """The contraction of named operands; a number times an array is elementwise, and fuses so."""
    subs, xs = zip(*named, strict=True)
    if sorted(subs) == sorted(("", out)):
        return multiply(*(broadcast_to(x, xs[subs.index(out)].shape) for x in xs))
    return bind(EINSUM, *xs, subs=subs, out=out)


def _repeats(sub: str) -> list[tuple[str, int]]:
    """(letter, position) of every second or later occurrence in `sub`."""
    return [(c, k) for k, c in enumerate(sub) if c in sub[:k]]


def _fresh_letters(sub: str) -> tuple[str, dict[int, str]]:
    free = iter(c for c in LETTERS if c not in sub)
    renamed = {k: next(free) for _, k in _repeats(sub)}
    return "".join(renamed.get(k, c) for k, c in enumerate(sub)), renamed


LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMOPQRSTUVWXYZ"  # N is the row axis of a recurrence
EINSUM = row("einsum", "contraction", _einsum_shape, _einsum_numpy, _einsum_vjp)


def _fit(t: Tensor, at: int, names: str, sizes: Sequence[int]) -> tuple[Tensor, str]:
    """t without those of its axes from `at` on along which it is repeated to reach `sizes`.

    And of their `names`, those of the axes it keeps.
    """
    own = t.shape[at : at + len(names)]
    stays = [n == size for n, size in zip(own, sizes, strict=True)]
    shape = [n for n, stay in zip(own, stays, strict=True) if stay]
    letters = "".join(c for c, stay in zip(names, stays, strict=True) if stay)
    return reshape(t, (*t.shape[:at], *shape, *t.shape[at + len(names) :])), letters


def _common(op: str, what: str, shapes: Sequence[Shape]) -> Shape:
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        given = " and ".join(str(s) for s in shapes)
        raise ValueError(f"{op}: {what} {given} do not broadcast{running()}") from None


def einsum(subscripts: str | ArrayLike, *operands: Any) -> Tensor:
    """`numpy.einsum`: sums of products of the operands, named by the letters of their axes.

    subscripts : "ij,jk->ik"; letters missing on the right are summed over.
                 "..." stands for any number of axes, which broadcast.
                 Without "->" the result has "...", then the letters that occur once, in order.
    operands   : at least one; dtypes promote.

    An axis of length 1 is stretched to its letter's length in the other operands.
    As in NumPy, the operands may also stand between lists of axis numbers:
    einsum(a, [0, 1], b, [1, 2], [0, 2]).

    Raises ValueError for subscripts that cannot be read or do not fit the operands,
    TypeError for subscripts that are neither text nor lists.
    """
    if not isinstance(subscripts, str):
        subscripts, operands = _with_letters((subscripts, *operands))
    text = subscripts.replace(" ", "")
    left, arrow, out = text.partition("->")
    subs = left.split(",")
    plain = [term.replace("...", "", 1) for term in (*subs, out)]
    if not all(c in ascii_letters for c in "".join(plain)):
        raise ValueError(
            "einsum: subscripts are letters, at most one '...' for each operand, ',' and '->'; got "
            f"{subscripts!r}"
        )
    if len(subs) != len(operands):
        raise ValueError(
            f"einsum: {subscripts!r} names {len(subs)} operands, {len(operands)} were given"
        )
    used = "".join(plain[:-1])
    if not arrow:
        out = "..." * ("..." in left) + "".join(sorted(c for c in used if used.count(c) == 1))
    free = [c for c in LETTERS if c not in used]
    if "N" in used:  # the row axis of a recurrence has this letter
        subs, out = [s.replace("N", free[-1]) for s in subs], out.replace("N", free.pop())
    tensors = promoted(*operands)
    dots: list[tuple[int, int]] = []  # of each operand: where its '...' is, how many axes it means
    for k, (t, term) in enumerate(zip(tensors, subs, strict=True)):
        count = t.ndim - len(term.replace("...", "")) if "..." in term else 0
        if count < 0:
            raise ValueError(f"einsum: operand {k}, {term!r}, has more axes than shape {t.shape}")
        dots.append((builtins.max(term.find("..."), 0), count))
    spans = [t.shape[at : at + n] for t, (at, n) in zip(tensors, dots, strict=True)]
    shape = _common("einsum", "the axes of '...',", spans)
    if shape and "..." not in out:
        raise ValueError(f"einsum: the output of {subscripts!r} has no place for '...'")
    if len(shape) > len(free):
        raise ValueError(f"einsum: {subscripts!r} has more axes than there are letters")
    names = "".join(free[: len(shape)])
    for k, (at, n) in enumerate(dots):
        first = len(shape) - n
        tensors[k], letters = _fit(tensors[k], at, names[first:], shape[first:])
        subs[k] = subs[k].replace("...", letters)
    out = out.replace("...", names)
    if len(set(out)) < len(out) or not set(out) <= set("".join(subs)):
        raise ValueError(
            f"einsum: each output letter of {subscripts!r} must be an input letter, once"
        )
    lengths: dict[str, int] = {}
    for t, term in zip(tensors, subs, strict=True):
        for c, n in zip(term, t.shape, strict=False):
            lengths[c] = n if lengths.get(c, 1) == 1 else lengths[c]
    for k, (t, term) in enumerate(zip(tensors, subs, strict=True)):
        if len(term) == t.ndim:  # the shape rule says it in words where it is not
            tensors[k], subs[k] = _stretched(t, term, lengths)
    return bind(EINSUM, *tensors, subs=tuple(subs), out=out)


def _stretched(t: Tensor, term: str, lengths: dict[str, int]) -> tuple[Tensor, str]:
    """The operand without the axes of length 1 whose letter is longer elsewhere.

    A product with what it is there, all along.
    """
    drop = {
        c for c in term
        if lengths[c] != 1 and all(n == 1 for d, n in zip(term, t.shape, strict=True) if d == c)
    }  # fmt: skip
    if not drop:
        return t, term
    left = [n for c, n in zip(term, t.shape, strict=True) if c not in drop]
    return reshape(t, tuple(left)), "".join(c for c in term if c not in drop)


def _with_letters(args: tuple[Any, ...]) -> tuple[str, tuple[Any, ...]]:
    """(a, [0, 1], b, [1, 2], [0, 2]) as ("AB,BC->AC", (a, b)); letters in the order of numbers."""
    names = sorted(ascii_letters)

    def term(numbers: Any) -> str:
        if not isinstance(numbers, (list, tuple)):
            raise TypeError(
                "einsum: subscripts are a text such as 'ij,jk->ik', or a list of axis numbers "
                f"behind every operand; got {numbers!r:.60}"
            )
        for k in numbers:
            if k is not Ellipsis and not (type(k) is int and 0 <= k < len(names)):
                raise ValueError(
                    f"einsum: an axis number is an integer 0..{len(names) - 1} or ...; got {k!r}"
                )
        return "".join("..." if k is Ellipsis else names[k] for k in numbers)

    even = len(args) // 2 * 2
    text = ",".join(term(k) for k in args[1:even:2])
    text += "->" + term(args[-1]) if len(args) % 2 else ""
    return text, args[:even:2]


def matmul(x1: ArrayLike, x2: ArrayLike, /) -> Tensor:
    """The matrix product: (..., i, k) @ (..., k, j) -> (..., i, j), batch axes broadcast.

    A 1-D operand is a row on the left, a column on the right; dtypes promote.
    Raises ValueError for a scalar, inner lengths that differ, or batch axes that do not broadcast.
    """
    a, b = promoted(x1, x2)
    if not a.ndim or not b.ndim:
        raise ValueError(
            f"matmul: operands need at least one axis; got shapes {a.shape} and {b.shape}"
        )
    if a.shape[-1] != b.shape[-2 if b.ndim > 1 else 0]:
        raise ValueError(f"matmul: the inner lengths of {a.shape} @ {b.shape} differ{running()}")
    shape = _common("matmul", f"batch axes of {a.shape} @ {b.shape},", (a.shape[:-2], b.shape[:-2]))
    names = LETTERS[3 : 3 + len(shape)]
    parts = []
    for t, own in ((a, "ab"), (b, "bc")):
        first = len(shape) - builtins.max(t.ndim - 2, 0)
        fitted, letters = _fit(t, 0, names[first:], shape[first:])
        parts.append((fitted, letters + own if t.ndim > 1 else "b"))
    (a, sa), (b, sb) = parts
    out = names + "".join(c for c in "ac" if c in sa + sb)
    return bind(EINSUM, a, b, subs=(sa, sb), out=out)


def _shared_axis(op: str, a: Tensor, b: Tensor, axis: int) -> int:
    """An axis of vectors, counted from the end of both operands."""
    k = axis_of(op, a if a.ndim >= b.ndim else b, axis)
    if builtins.min(a.ndim, b.ndim) < -k or a.shape[k] != b.shape[k]:
        raise ValueError(
            f"{op}: axis {axis} of shapes {a.shape} and {b.shape} is not as long in both{running()}"
        )
    return k


def vecdot(x1: ArrayLike, x2: ArrayLike, /, *, axis: int = -1) -> Tensor:
    """The sum of x1 * x2 along one axis, which is as long in both; the other axes broadcast.

    Raises ValueError where it is not, or they do not.
    """
    a, b = promoted(x1, x2)
    k = _shared_axis("vecdot", a, b, axis)
    shape = _common("vecdot", "shapes", (a.shape, b.shape))
    names = LETTERS[: len(shape)]
    (a, sa), (b, sb) = (
        _fit(t, 0, names[len(shape) - t.ndim :], shape[len(shape) - t.ndim :]) for t in (a, b)
    )
    return bind(EINSUM, a, b, subs=(sa, sb), out=names.replace(names[k], ""))


def outer(x1: ArrayLike, x2: ArrayLike, /) -> Tensor:
    """The outer product of two vectors: (m,), (n,) -> (m, n).

    Raises ValueError for other shapes.
    """
    a, b = promoted(x1, x2)
    if a.ndim != 1 or b.ndim != 1:
        raise ValueError(f"outer: needs two vectors; got shapes {a.shape} and {b.shape}")
    return bind(EINSUM, a, b, subs=("i", "j"), out="ij")


def tensordot(
    x1: ArrayLike, x2: ArrayLike, /, *, axes: int | tuple[Sequence[int], Sequence[int]] = 2
) -> Tensor:
    """The sum of x1 * x2 over some axes; those of x1 that are left stand before those of x2.

    axes : a number: the last ones of x1 with the first ones of x2; or two lists.

    Raises ValueError for axes that are not there or not as long in both,
    TypeError for what is neither a number nor two lists.
    """
    a, b = promoted(x1, x2)
    if isinstance(axes, (int, np.integer)):
        if not 0 <= axes <= builtins.min(a.ndim, b.ndim):
            raise ValueError(f"tensordot: {axes} axes cannot be contracted in {a.shape}, {b.shape}")
        axes = (range(a.ndim - axes, a.ndim), range(axes))
    try:
        pairs = [list(axes[0]), list(axes[1])]
    except (TypeError, IndexError, KeyError):
        raise TypeError(f"tensordot: axes is a number or two lists; got {axes!r}") from None
    for t, own in zip((a, b), pairs, strict=True):
        axes_of("tensordot", t, own)  # in range, and none given twice
    ia, ib = ([t.shape[i] for i in own] for t, own in zip((a, b), pairs, strict=True))
    if ia != ib:
        raise ValueError(
            f"tensordot: axes {pairs[0]} of {a.shape} do not pair with {pairs[1]} of {b.shape}"
        )
    sa, sb = list(LETTERS[: a.ndim]), list(LETTERS[a.ndim : a.ndim + b.ndim])
    for i, j in zip(*pairs, strict=True):
        sb[j] = sa[i]
    out = [c for c in (*sa, *sb) if not (c in sa and c in sb)]
    return bind(EINSUM, a, b, subs=("".join(sa), "".join(sb)), out="".join(out))


# -- matrices and vectors --------------------------------------------------------------------------


def _matrices(op: str, x: ArrayLike) -> Tensor:
    t = asarray(x)
    if t.ndim < 2:
        raise ValueError(f"{op}: needs matrices, (..., rows, columns); got shape {t.shape}")
    return t


def diagonal(x: ArrayLike, /, *, offset: int = 0) -> Tensor:
    """The diagonals of matrices: (..., rows, columns) -> (..., length).

    offset : how far above the main diagonal; below it if negative.  One outside is empty.

    Raises ValueError for fewer than two axes, TypeError for an offset that is no integer.
    """
    t, offset = _matrices("diagonal", x), integer_of("diagonal", "offset", offset)
    rows, columns = t.shape[-2:]
    down, right = builtins.max(-offset, 0), builtins.max(offset, 0)
    n = builtins.max(builtins.min(rows - down, columns - right), 0)
    start = down * columns + right
    flat = reshape(t, (*t.shape[:-2], rows * columns))  # in it a step down and right is one stride
    bounds = (start, start + (n - 1) * (columns + 1) + 1, columns + 1) if n else (0, 0, None)
    return bind(SLICE, flat, index=((None, None, None),) * (flat.ndim - 1) + (bounds,))


def trace(x: ArrayLike, /, *, offset: int = 0, dtype: Any = None) -> Tensor:
    """The sums of diagonals: (..., rows, columns) -> (...).

    offset as in `diagonal`, dtype as in `sum`.
    Raises ValueError for fewer than two axes, TypeError for an offset that is no integer.
    """
    return sum(diagonal(_matrices("trace", x), offset=offset), axis=-1, dtype=dtype)


def tril(x: ArrayLike, /, *, k: int = 0) -> Tensor:
    """The lower triangles of matrices (..., rows, columns): 0 above the k-th diagonal.

    Raises ValueError for fewer than two axes, TypeError for a k that is no integer.
    """
    t, k = _matrices("tril", x), integer_of("tril", "k", k)
    return where(np.tri(t.shape[-2], t.shape[-1], k, dtype=np.bool_), t, zeros_like(t))


def triu(x: ArrayLike, /, *, k: int = 0) -> Tensor:
    """The upper triangles of matrices (..., rows, columns): 0 below the k-th diagonal.

    Raises ValueError for fewer than two axes, TypeError for a k that is no integer.
    """
    t, k = _matrices("triu", x), integer_of("triu", "k", k)
    return where(~np.tri(t.shape[-2], t.shape[-1], k - 1, dtype=np.bool_), t, zeros_like(t))


def cross(x1: ArrayLike, x2: ArrayLike, /, *, axis: int = -1) -> Tensor:
    """The cross product of vectors of three along one axis, counted from the end in both.

    The other axes broadcast.
    Raises ValueError for an axis that is not 3 long in both, or others that do not broadcast.
    """
    a, b = operands("cross", x1, x2)
    k = _shared_axis("cross", asarray(x1), asarray(x2), axis)
    if a.shape[k] != 3:
        raise ValueError(f"cross: axis {axis} must be 3 long; got shape {a.shape}")
    (a0, a1, a2), (b0, b1, b2) = ([part(t, k, i, i + 1) for i in range(3)] for t in (a, b))
    minors = (a1, b2, a2, b1), (a2, b0, a0, b2), (a0, b1, a1, b0)
    return concat([subtract(multiply(p, q), multiply(r, s)) for p, q, r, s in minors], axis=k)
