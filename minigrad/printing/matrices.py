"""How each library writes the primitives of `mg.linalg`; JavaScript has no word for them.

As `spellings` and `helpers`, whose grammar this is.  Factorizations of several results are packed
below each other, as the primitives are.  What has no result (the inverse of a singular matrix) is
what the library makes of it: NumPy raises LinAlgError where we give NaN for that matrix alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..graph import Tensor
from ..manners.text import Part
from .spellings import PREFIX, Spelt


def _pinv(t: Tensor, parts: Sequence[Part], library: str) -> str:
    rtol = max(t.shape[-2:]) * float(np.finfo(t.dtype).eps)
    word = "rtol=" if library == "torch" else ""
    return f"{PREFIX[library]}linalg.pinv({parts[0][0]}, {word}{rtol!r})"


MATRICES: dict[str, Spelt] = {
    "inv": Spelt("np.linalg.inv({0})"),
    "solve": Spelt("np.linalg.solve({0}, {1})"),
    "det": Spelt("np.linalg.det({0})"),
    "sign_of_det": Spelt("np.linalg.slogdet({0})[0]"),
    "log_of_det": Spelt("np.linalg.slogdet({0})[1]"),
    "cofactors": Spelt("cofactors({0})"),
    "cofactors_along": Spelt("cofactors_along({0}, {1})"),
    "cholesky": Spelt("np.linalg.cholesky(symmetric({0}))"),
    "qr": Spelt("packed(np.linalg.qr({0}))"),
    "complete_q": Spelt('np.linalg.qr({0}, mode="complete")[0]'),
    "eigh": Spelt("eigh({0}, {upper})"),
    "eigvalsh": Spelt("np.linalg.eigvalsh(symmetric({0}))[..., None, :]"),
    "svd": Spelt("svd({0}, {full})"),
    "svdvals": Spelt(
        "np.linalg.svd({0}, compute_uv=False)[..., None, :]",
        torch="torch.linalg.svdvals({0})[..., None, :]",
    ),
    "pinv": Spelt(_pinv),
    "expm": Spelt("expm({0})", "jax.scipy.linalg.expm({0})", "torch.linalg.matrix_exp({0})"),
    "expm_along": Spelt("expm_along({0}, {1})"),
    "absorbing_matmul": Spelt("absorbing_matmul({0}, {1}, {both})"),
}  # fmt: skip

HELPERS = {  # written with `np.`, as those of `helpers`
    "symmetric": '''
def symmetric(x):
    """The symmetric part of matrices."""
    return 0.5 * (x + np.swapaxes(x, -1, -2))
''',
    "absorbing_matmul": '''
def absorbing_matmul(a, b, both):
    """a @ b, and 0 where a matrix a (or b, if both) is zeros, also where the other is NaN."""
    used = np.any(a != 0, (-2, -1), keepdims=True)
    if both:
        used = used & np.any(b != 0, (-2, -1), keepdims=True)
    y = a @ b
    return np.where(used, y, np.zeros_like(y))
''',
    "packed": '''
def packed(parts):
    """Matrices below each other, narrow ones filled up with zeros."""
    width = max(p.shape[-1] for p in parts)
    fill = [np.zeros((*p.shape[:-1], width - p.shape[-1]), dtype=p.dtype) for p in parts]
    return np.concatenate([np.concatenate(pair, axis=-1) for pair in zip(parts, fill)], axis=-2)
''',
    "eigh": '''
def eigh(x, upper):
    """Eigenvectors of symmetric matrices in columns, below them the eigenvalues in a row."""
    w, v = np.linalg.eigh(symmetric(x), UPLO="U" if upper else "L")
    return packed([v, w[..., None, :]])
''',
    "svd": '''
def svd(x, full):
    """U, V and the singular values in a row, below each other."""
    u, s, vh = np.linalg.svd(x, full_matrices=full)
    return packed([u, np.swapaxes(vh, -1, -2), s[..., None, :]])
''',
    "others": '''
def others(s):
    """Of numbers (..., n), for each the product of the others."""
    n = s.shape[-1]
    here = np.eye(n, dtype=bool)
    every = s[..., None, :] * np.ones((n, 1), dtype=s.dtype)
    return np.prod(np.where(here, np.ones_like(every), every), -1)
''',
    "cofactors": '''
def cofactors(x):
    """The derivative of the determinant, of singular matrices too."""
    u, s, vh = np.linalg.svd(x)
    turn = np.linalg.det(u) * np.linalg.det(vh)
    return turn[..., None, None] * ((u * others(s)[..., None, :]) @ vh)
''',
    "cofactors_along": '''
def cofactors_along(x, e):
    """The derivative of the cofactors at x along e."""
    u, s, vh = np.linalg.svd(x)
    turn = np.linalg.det(u) * np.linalg.det(vh)
    here = np.eye(s.shape[-1], dtype=bool)
    without = s[..., None, :] * np.ones((s.shape[-1], 1), dtype=s.dtype)
    p = others(np.where(here, np.ones_like(without), without))
    p = np.where(here, np.zeros_like(p), p)
    e = np.swapaxes(u, -1, -2) @ e @ np.swapaxes(vh, -1, -2)
    along = np.sum(np.where(here, e, np.zeros_like(e)), -1)[..., None]
    inner = np.where(here, p @ along, -p * np.swapaxes(e, -1, -2))
    return turn[..., None, None] * (u @ inner @ vh)
''',
    "expm": '''
def expm(x):
    """I + x + x^2 / 2 + ..., of x halved until it is small, then squared as often."""
    size = float(np.max(np.sum(np.abs(x), -1))) if math.prod(x.shape) else 0.0
    halvings = max(0, math.ceil(math.log2(size)) + 2) if 0 < size < math.inf else 0
    x = x / 2**halvings
    y = term = np.eye(x.shape[-1], dtype=x.dtype) + 0 * x
    for k in range(1, 16):
        term = term @ x / k
        y = y + term
    for _ in range(halvings):
        y = y @ y
    return y
''',
    "expm_along": '''
def expm_along(x, e):
    """The derivative of the exponential at x along e: a block of that of [[x, e], [0, x]]."""
    n = x.shape[-1]
    above, below = np.concatenate([x, e], axis=-1), np.concatenate([0 * x, x], axis=-1)
    return {expm}(np.concatenate([above, below], axis=-2))[..., :n, n:]
''',
}


def _own(expm: str) -> dict[str, str]:
    return {name: text.replace("{expm}", expm) for name, text in HELPERS.items()}


NUMPY = _own("expm")
JAX = {n: s.replace("np.", "jnp.") for n, s in _own("jax.scipy.linalg.expm").items()}
TORCH = {
    n: s.replace("np.", "torch.").replace("keepdims", "keepdim")
    for n, s in _own("torch.linalg.matrix_exp").items()
}  # fmt: skip
for _helpers in (JAX, TORCH):
    del _helpers["expm"]
