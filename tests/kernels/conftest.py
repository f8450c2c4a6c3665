"""Shared by the kernels' tests: kernels made in one line."""

import numpy as np
import pytest

from minigrad.kernels import native
from minigrad.kernels.vectors import F32, F64

LANES = (16, 8, 4)
REALS = (F32, F64)


@pytest.fixture(scope="session")
def build():
    """build(f, lanes) compiles a traced kernel, without the cache."""

    def make(f, lanes):
        return native.link(native.compile_kernel(f.__name__, native.kernel(f), lanes))

    return make


@pytest.fixture(scope="session")
def elementwise(build):
    """elementwise(f, real, lanes, arguments=1) is f on NumPy arrays of equal size."""
    made = {}

    def make(f, real, lanes, arguments=1):
        def kernel1(k, x, y, n):
            for j in k.lanes(n, real):
                k.store(y, j, f(k.load(x, j)))

        def kernel2(k, x, z, y, n):
            for j in k.lanes(n, real):
                k.store(y, j, f(k.load(x, j), k.load(z, j)))

        key = (f, real, lanes)
        if key not in made:
            made[key] = build((kernel1, kernel2)[arguments - 1], lanes)

        def run(*xs):
            xs = [np.ascontiguousarray(x, real.name) for x in xs]
            y = np.empty_like(xs[0])
            made[key](*(x.ctypes.data for x in xs), y.ctypes.data, y.size)
            return y

        return run

    return make
