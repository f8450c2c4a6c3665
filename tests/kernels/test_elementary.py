"""Vector functions against extended precision, over dense, random and special inputs."""

import math

import numpy as np
import pytest

from minigrad.kernels.elementary import TABLE
from minigrad.kernels.vectors import F32, F64, REALS

# Units in the last place, as promised by the module's docstring.
BOUNDS = {
    "sqrt": 0.5, "exp": 1.1, "expm1": 1.8, "log": 1.0, "log1p": 1.0, "tanh": 2.6,
    "sigmoid": 2.3, "erf": 1.3, "sin": 1.6, "cos": 1.6,
}  # fmt: skip
SPECIAL = [
    math.nan, math.inf, -math.inf, 0.0, -0.0, 1.0, -1.0, 1e-40, -1e-40, 5e-324, 1e-310, -1e-310,
    104.0, -104.0, 88.8, -88.8, 100.0, -100.0, 745.2, -745.2, 709.8, 710.0, 1e30, -1e30, 0.5, 2.0,
]  # fmt: skip


def reference(name, x):
    """In extended precision."""
    x = x.astype(np.longdouble)
    with np.errstate(all="ignore"):
        if name == "sigmoid":
            e = np.exp(-abs(x))
            return np.where(x >= 0, 1 / (1 + e), e / (1 + e))
        return getattr(np, name)(x)


def grid(name, real):
    info, rng, n = np.finfo(real.name), np.random.default_rng(0), 20_000
    end = math.log(float(info.max))
    sizes = np.exp(rng.uniform(math.log(float(info.tiny)) - 8, end * 0.999, n))
    if name in ("sqrt", "log"):
        x = np.concatenate([sizes, np.linspace(0, 4, n), rng.uniform(0.5, 2, n)])
    elif name == "log1p":
        x = np.concatenate([sizes, -sizes[sizes < 1], np.linspace(-1, 4, n)])
    elif name in ("sin", "cos"):
        x = np.concatenate([np.linspace(-10, 10, n), rng.uniform(-1e4, 1e4, n), sizes, -sizes])
    else:
        sizes = sizes[sizes < 10]
        x = [sizes, -sizes, np.linspace(-10, 10, n), np.linspace(-1.1 * end, 1.1 * end, n)]
        x = np.concatenate(x)
    return x.astype(real.name)


def errors(y, exact, real):
    """In ulp of the exact result; infinite where one is finite and the other is not."""
    info = np.finfo(real.name)
    with np.errstate(all="ignore"):
        rounded = exact.astype(real.name)
        ulp = np.spacing(np.maximum(abs(rounded), info.tiny)).astype(np.longdouble)
        same = (y == rounded) | (np.isnan(y) & np.isnan(rounded))
        return np.where(same, 0.0, abs(y - exact) / ulp)


@pytest.mark.parametrize("lanes", (16, 8, 4))
@pytest.mark.parametrize("real", REALS.values(), ids=REALS)
@pytest.mark.parametrize("name", [n for n in TABLE if n != "erf"])
def test_error_bound(elementwise, name, real, lanes):
    if real is F64 and np.finfo(np.longdouble).nmant <= 52:
        pytest.skip("long double is no wider than double here")
    x = np.concatenate([grid(name, real), np.array(SPECIAL).astype(real.name)])
    y = elementwise(TABLE[name], real, lanes)(x)
    worst = errors(y, reference(name, x), real)
    i = np.nanargmax(worst)
    assert not np.isnan(worst).any()
    assert worst[i] <= BOUNDS[name], f"{name}({x[i]!r}) = {y[i]!r}: {worst[i]:.2f} ulp"
    zero = y == 0
    np.testing.assert_array_equal(
        np.signbit(y[zero]), np.signbit(reference(name, x)[zero]), err_msg="sign of zero"
    )


@pytest.mark.parametrize("lanes", (16, 8, 4))
def test_error_bound_of_erf(elementwise, lanes):
    # NumPy has no erf; math.erf is good to about half an ulp of float64.
    x = np.concatenate([grid("erf", F32), np.array(SPECIAL).astype("float32")])
    exact = np.array([math.erf(float(a)) for a in x], np.longdouble)
    assert errors(elementwise(TABLE["erf"], F32, lanes)(x), exact, F32).max() <= BOUNDS["erf"]
    x = np.concatenate([grid("erf", F64), SPECIAL])
    exact = np.array([math.erf(a) for a in x], np.longdouble)
    worst = errors(elementwise(TABLE["erf"], F64, lanes)(x), exact, F64).max()
    assert worst <= BOUNDS["erf"] + 0.6
