"""Calls of every differentiable function of `mg.linalg` at matrices that are smooth points of it:
name -> (ours, torch's by name of the call on its arguments, shapes).

What depends on the signs of vectors is squared.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import minigrad as mg

L = mg.linalg


class Case(NamedTuple):
    ours: Callable[..., Any]
    theirs: Callable[..., Any]  # (torch, *tensors)
    shapes: tuple[tuple[int, ...], ...]
    seed: int = 0

    def draw(self):
        rng = np.random.default_rng(self.seed)
        return [rng.standard_normal(shape) for shape in self.shapes]


def definite(x):
    """Symmetric matrices with eigenvalues above 1/2, of ours or of torch's."""
    half = np.eye(x.shape[-1]) / 2
    theirs = hasattr(x, "new_tensor")
    return x @ x.mT + (x.new_tensor(half) if theirs else half.astype(x.dtype))


def squares(xs):
    return tuple(x * x for x in xs)


def _named(name, *how, **options):
    """A function of the same name and options on both sides, of one result."""
    return (
        lambda *xs: getattr(L, name)(*xs, *how, **options),
        lambda torch, *xs: getattr(torch.linalg, name)(*xs, *how, **options),
    )


S, TALL, WIDE = (2, 3, 3), (4, 3), (3, 4)
CASES = {
    "inv": Case(*_named("inv"), (S,)),
    "solve": Case(*_named("solve"), (S, (2, 3, 2))),
    "solve a vector": Case(*_named("solve"), ((3, 3), (3,))),
    "solve by one matrix": Case(*_named("solve"), ((3, 3), (2, 3, 2))),
    "solve with one side": Case(
        L.solve, lambda torch, a, b: torch.linalg.solve(a, b.expand(2, 3, 2)), (S, (3, 2))
    ),
    "det": Case(*_named("det"), (S,)),
    "logdet": Case(
        lambda x: L.slogdet(x).logabsdet, lambda torch, x: torch.linalg.slogdet(x).logabsdet, (S,)
    ),
    "power 5": Case(*_named("matrix_power", 5), (S,)),
    "power -2": Case(*_named("matrix_power", -2), (S,)),
    "lower": Case(
        L.solve_triangular,
        lambda torch, a, b: torch.linalg.solve_triangular(a.tril(), b, upper=False),
        ((3, 3), (3, 2)),
    ),
    "upper, unit": Case(
        lambda a, b: L.solve_triangular(a, b, upper=True, unit_diagonal=True),
        lambda torch, a, b: torch.linalg.solve_triangular(
            a.triu(), b, upper=True, unitriangular=True
        ),
        ((3, 3), (3, 2)),
    ),
    "cholesky": Case(
        lambda x: L.cholesky(definite(x)), lambda torch, x: torch.linalg.cholesky(definite(x)), (S,)
    ),
    "cholesky, upper": Case(
        lambda x: L.cholesky(definite(x), upper=True),
        lambda torch, x: torch.linalg.cholesky(definite(x), upper=True), ((3, 3),),
    ),
    "qr tall": Case(*_named("qr"), (TALL,)),
    "qr wide": Case(*_named("qr"), (WIDE,)),
    "qr complete": Case(
        lambda x: L.qr(x, mode="complete").R,
        lambda torch, x: torch.cat([torch.linalg.qr(x).R, x[:1] * 0]), (TALL,),
    ),
    "eigh": Case(
        lambda x: squares(L.eigh(x + x.mT)), lambda torch, x: squares(torch.linalg.eigh(x + x.mT)),
        (S,),
    ),
    "eigvalsh": Case(
        lambda x: L.eigvalsh(x + x.mT), lambda torch, x: torch.linalg.eigvalsh(x + x.mT), (S,)
    ),
    **{
        f"svd {label}": Case(
            lambda x: squares(L.svd(x, full_matrices=False)),
            lambda torch, x: squares(torch.linalg.svd(x, full_matrices=False)), (shape,),
        )
        for label, shape in (("square", S), ("tall", TALL), ("wide", WIDE))
    },
    "svdvals": Case(*_named("svdvals"), ((2, 3, 4),)),
    "pinv tall": Case(*_named("pinv"), (TALL,)),
    "pinv wide": Case(*_named("pinv"), ((2, 3, 4),)),
    "pinv, cut": Case(*_named("pinv", rtol=1e-9), (TALL,)),
    "lstsq": Case(L.lstsq, lambda torch, a, b: torch.linalg.pinv(a) @ b, (TALL, (4, 2))),
    "expm": Case(L.expm, lambda torch, x: torch.linalg.matrix_exp(x), (S,)),
    **{
        f"matrix_norm {ord}": Case(*_named("matrix_norm", ord=ord), (TALL,))
        for ord in ("fro", "nuc", 2, -2, 1, -1, np.inf, -np.inf)
    },
    "vector_norm": Case(
        lambda x: L.vector_norm(x, axis=-1, ord=3),
        lambda torch, x: torch.linalg.vector_norm(x, dim=-1, ord=3), (TALL,),
    ),
}  # fmt: skip
