"""Contractions: `einsum` is the only primitive; `matmul`, `tensordot` and `outer` record it."""

from __future__ import annotations

import builtins
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..graph import Shape, Tensor, bind
from ..sites import running
from .arrays import eye, promoted
from .broadcast import broadcast_to, reshape
from .elementwise import multiply
from .reduce import sum
from .table import ArrayLike, axes_of, row

__all__ = ["einsum", "matmul", "outer", "tensordot", "vecdot"]


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
    """Two operands through BLAS: both brought to (batch, free, contracted), one `matmul`, letters
    put in order."""
    a, sa = _diagonals(a, sa)
    b, sb = _diagonals(b, sb)
    a, sa = _sum_out(a, sa, sb + out)
    b, sb = _sum_out(b, sb, sa + out)
    batch = [c for c in sa if c in sb and c in out]
    inner = [c for c in sa if c in sb and c not in out]
    left = [c for c in sa if c not in sb]
    right = [c for c in sb if c not in sa]
    size = dict(zip(sa + sb, np.shape(a) + np.shape(b), strict=True))
    if (
        not inner and not batch and not left
    ):  # a scalar times an array, and so on: no product to speak of
        return np.einsum(f"{sa},{sb}->{out}", a, b)

    def matrix(x: Any, sub: str, *groups: list[str]) -> Any:
        x = np.transpose(x, [sub.index(c) for group in groups for c in group])
        return x.reshape(
            [size[c] for c in batch] + [math.prod(size[c] for c in g) for g in groups[1:]]
        )

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
        g = bind(
            EINSUM, ct, *(t for _, t in others), subs=(out, *(s for s, _ in others)), out=reach
        )
        size = dict(zip(subs[k], x.shape, strict=True))
        if (
            reach != once
        ):  # a letter summed out of this operand alone: its cotangent is constant along it
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


def _repeats(sub: str) -> list[tuple[str, int]]:
    """(letter, position) of every second or later occurrence in `sub`."""
    return [(c, k) for k, c in enumerate(sub) if c in sub[:k]]


def _fresh_letters(sub: str) -> tuple[str, dict[int, str]]:
    free = iter(c for c in LETTERS if c not in sub)
    renamed = {k: next(free) for _, k in _repeats(sub)}
    return "".join(renamed.get(k, c) for k, c in enumerate(sub)), renamed


LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMOPQRSTUVWXYZ"  # N is the row axis of a recurrence
EINSUM = row("einsum", "contraction", _einsum_shape, _einsum_numpy, _einsum_vjp)


def einsum(subscripts: str, *operands: ArrayLike) -> Tensor:
    """`numpy.einsum` with explicit or implicit output, without "..."; at least one operand."""
    text = subscripts.replace(" ", "")
    left, arrow, out = text.partition("->")
    subs = tuple(left.split(","))
    if "." in text or "N" in text or not all(c.isalpha() for s in (*subs, out) for c in s):
        raise ValueError(
            f"einsum: subscripts are letters other than N, without '...'; got {subscripts!r}"
        )
    if len(subs) != len(operands):
        raise ValueError(
            f"einsum: {subscripts!r} names {len(subs)} operands, {len(operands)} were given"
        )
    if not arrow:
        out = "".join(sorted(c for c in set(left) - {","} if left.count(c) == 1))
    if len(set(out)) < len(out) or not set(out) <= set(left):
        raise ValueError(
            f"einsum: each output letter of {subscripts!r} must be an input letter, once"
        )
    return bind(EINSUM, *promoted(*operands), subs=subs, out=out)


def matmul(x1: ArrayLike, x2: ArrayLike, /) -> Tensor:
    """The matrix product: (..., i, k) @ (..., k, j); a 1-D operand is a row on the left, a column
    on the right."""
    a, b = promoted(x1, x2)
    if not a.ndim or not b.ndim:
        raise ValueError(
            f"matmul: operands need at least one axis; got shapes {a.shape} and {b.shape}"
        )
    if a.shape[-1] != b.shape[-2 if b.ndim > 1 else 0]:
        raise ValueError(f"matmul: the inner lengths of {a.shape} @ {b.shape} differ{running()}")
    la, lb = a.ndim - 2, b.ndim - 2
    batch = LETTERS[3 : 3 + builtins.max(la, lb, 0)]
    if la > 0 and lb > 0:  # einsum letters do not broadcast: make the batch axes equal
        try:
            shape = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
        except ValueError:
            raise ValueError(
                f"matmul: batch axes of {a.shape} @ {b.shape} do not broadcast{running()}"
            ) from None
        batch = LETTERS[3 : 3 + len(shape)]
        a, b, la, lb = (
            broadcast_to(a, shape + a.shape[-2:]),
            broadcast_to(b, shape + b.shape[-2:]),
            len(shape),
            len(shape),
        )
    ba, bb = batch[len(batch) - builtins.max(la, 0) :], batch[len(batch) - builtins.max(lb, 0) :]
    sa, oa = (ba + "ab", "a") if a.ndim > 1 else ("b", "")
    sb, ob = (bb + "bc", "c") if b.ndim > 1 else ("b", "")
    return bind(EINSUM, a, b, subs=(sa, sb), out=(ba if la >= lb else bb) + oa + ob)


def vecdot(x1: ArrayLike, x2: ArrayLike, /, *, axis: int = -1) -> Tensor:
    """The sum of x1 * x2 along one axis."""
    return sum(multiply(x1, x2), axis=axis)


def outer(x1: ArrayLike, x2: ArrayLike, /) -> Tensor:
    """The outer product of two vectors."""
    a, b = promoted(x1, x2)
    if a.ndim != 1 or b.ndim != 1:
        raise ValueError(f"outer: needs two vectors; got shapes {a.shape} and {b.shape}")
    return einsum("i,j->ij", a, b)


def tensordot(
    x1: ArrayLike, x2: ArrayLike, /, *, axes: int | tuple[Sequence[int], Sequence[int]] = 2
) -> Tensor:
    """Contract `axes` (a number: the last ones of x1 with the first ones of x2; or two lists) of x1
    and x2."""
    a, b = promoted(x1, x2)
    if isinstance(axes, int):
        if not 0 <= axes <= builtins.min(a.ndim, b.ndim):
            raise ValueError(f"tensordot: {axes} axes cannot be contracted in {a.shape}, {b.shape}")
        axes = (range(a.ndim - axes, a.ndim), range(axes))
    sa, sb = list(LETTERS[: a.ndim]), list(LETTERS[a.ndim : a.ndim + b.ndim])
    ia = [axes_of("tensordot", a, i)[0] for i in axes[0]]
    ib = [axes_of("tensordot", b, j)[0] for j in axes[1]]
    if [a.shape[i] for i in ia] != [b.shape[j] for j in ib]:
        raise ValueError(f"tensordot: axes {ia} of {a.shape} do not pair with {ib} of {b.shape}")
    for i, j in zip(ia, ib, strict=True):
        sb[j] = sa[i]
    out = [c for c in (*sa, *sb) if not (c in sa and c in sb)]
    return bind(EINSUM, a, b, subs=("".join(sa), "".join(sb)), out="".join(out))
