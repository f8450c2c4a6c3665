"""Functions that a Python library has no word for: printed before the text that calls them.

Written with the prefix `np.`, which JAX and torch exchange for theirs.
"""

from __future__ import annotations

SHARED = {  # as they stand, for all three
    "absorb": '''
def absorb(g, slope):
    """g * slope, and 0 wherever g is 0, also where the slope is infinite."""
    return np.where(g == 0, g, g * slope)
''',
    "norm": '''
def norm(x, axis=None):
    """The length along some axes, without overflow."""
    axis = tuple(range(x.ndim)) if axis is None else axis
    if 0 in x.shape:
        return np.sqrt(np.sum(x * x, axis))
    top = np.amax(np.abs(x), axis, keepdims=True)
    scale = np.where((top > 0) & np.isfinite(top), top, np.ones_like(top))
    length = np.sqrt(np.sum((x / scale) ** 2, axis, keepdims=True)) * scale
    return np.squeeze(length, axis)
''',
    "linear_recurrence": '''
def linear_recurrence(a, b, axis, reverse):
    """h_t = a_t * h_{t-1} + b_t along an axis, backwards if reverse; h = b at the first step."""
    a, b = np.moveaxis(a, axis, 0), np.moveaxis(b, axis, 0)
    steps = list(range(len(b)))[:: -1 if reverse else 1]
    h = [None] * len(b)
    for k, t in enumerate(steps):
        h[t] = b[t] if k == 0 else a[t] * h[steps[k - 1]] + b[t]
    return np.moveaxis(np.stack(h) if h else b, 0, axis)
''',
    "last_maximum": '''
def last_maximum(x, axis):
    """Where the largest so far stands along an axis: the last of equal ones, the first NaN."""
    x = np.moveaxis(x, axis, 0)
    best, found = x[0] if len(x) else x, []
    at = np.zeros(best.shape, dtype=np.int64)
    for t in range(len(x)):
        new = (x[t] >= best) | (np.isnan(x[t]) & ~np.isnan(best))
        best, at = np.where(new, x[t], best), np.where(new, t, at)
        found.append(at)
    return np.moveaxis(np.stack(found) if found else at, 0, axis)
''',
    "sinc": '''
def sinc(x, order):
    """The derivative of that order of sin(pi x) / (pi x): its series near 0, else recursively."""
    u = np.pi * x
    near = np.abs(u) < order + 1
    far = np.where(near, np.ones_like(u), u)
    y = np.sin(far) / far
    for n in range(1, order + 1):
        y = (np.sin(far + n * np.pi / 2) - n * y) / far
    small, total = np.where(near, u, np.zeros_like(u)), 0 * u
    for k in range((order + 1) // 2, order + 16):
        scale = math.perm(2 * k, order) / math.factorial(2 * k + 1)
        total = total + (-1) ** k * scale * small ** (2 * k - order)
    return np.pi**order * np.where(near, total, y)
''',
    "xlogy": '''
def xlogy(a, b):
    """a * log(b), and 0 where a is 0 (unless b is NaN)."""
    return np.where((a == 0) & ~np.isnan(b), 0.0 * a, a * np.log(b))
''',
}
NUMPY = SHARED | {
    "sigmoid": '''
def sigmoid(x):
    """1 / (1 + e ** -x), without overflow."""
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + e), e / (1 + e))
''',
    "erf": '''
def erf(x):
    """The error function, of which NumPy has none."""
    return np.vectorize(math.erf, otypes=[x.dtype])(x)
''',
    "argsort": '''
def argsort(x, axis, descending):
    """The positions that sort x; equal numbers stay in their order."""
    if not descending:
        return np.argsort(x, axis=axis, kind="stable")
    far = np.argsort(np.flip(x, axis), axis=axis, kind="stable")
    return x.shape[axis] - 1 - np.flip(far, axis)
''',
    "scatter": '''
def scatter(x, index, size):
    """Zeros with the rows of x added at the rows `index`."""
    out = np.zeros((size, *x.shape[index.ndim:]), x.dtype)
    np.add.at(out, index, x)
    return out
''',
    "place": '''
def place(x, index, shape):
    """Zeros with x in a part of it."""
    out = np.zeros(shape, x.dtype)
    out[index] = x
    return out
''',
}
JAX = {name: text.replace("np.", "jnp.") for name, text in SHARED.items()} | {
    "scatter": '''
def scatter(x, index, size):
    """Zeros with the rows of x added at the rows `index`."""
    return jnp.zeros((size, *x.shape[index.ndim:]), x.dtype).at[index].add(x)
''',
    "place": '''
def place(x, index, shape):
    """Zeros with x in a part of it."""
    return jnp.zeros(shape, x.dtype).at[index].set(x)
''',
}
TORCH = {
    name: text.replace("np.", "torch.").replace("keepdims", "keepdim")
    for name, text in SHARED.items()
} | {
    "sign": '''
def sign(x):
    """-1, 0 or 1; of NaN: NaN."""
    return torch.where(torch.isnan(x), x, torch.sign(x))
''',
    "searchsorted": '''
def searchsorted(x, v, side):
    """Where v would enter the sorted vector x; NaN is larger than all."""
    v = v[..., None]
    before = x < v if side == "left" else x <= v
    number = ~torch.isnan(x) if side == "left" else torch.ones_like(x, dtype=torch.bool)
    return torch.sum(torch.where(torch.isnan(v), number, before), dim=-1)
''',
    "cbrt": '''
def cbrt(x):
    """The cube root, of negative numbers too."""
    return torch.where(x == 0, x, torch.sign(x) * torch.abs(x) ** (1 / 3))
''',
    "softplus": '''
def softplus(x):
    """log(1 + e ** x), without overflow."""
    return torch.logaddexp(x, torch.zeros_like(x))
''',
    "scatter": '''
def scatter(x, index, size):
    """Zeros with the rows of x added at the rows `index`."""
    out = torch.zeros((size, *x.shape[index.ndim:]), dtype=x.dtype)
    return out.index_put((index,), x, accumulate=True)
''',
    "place": '''
def place(x, index, shape):
    """Zeros with x in a part of it."""
    out = torch.zeros(shape, dtype=x.dtype)
    out[index] = x
    return out
''',
}
