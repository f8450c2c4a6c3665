"""The machine compiled code is for: CPU, features and vector width.

Lanes are counted in float32: 16 with AVX-512, 8 with AVX2, otherwise 4 (SSE, NEON);
float64 has half as many.
`MINIGRAD_LANES` overrides the choice.
Every width runs on every machine, since LLVM splits vectors that are too wide,
so tests can force each.
"""

from __future__ import annotations

import os
from functools import cache

LANES = (16, 8, 4)


@cache
def host() -> tuple[str, str]:
    """CPU name and feature string, as Numba will compile for (it reads the same variables)."""
    import llvmlite.binding as llvm

    name = os.environ.get("NUMBA_CPU_NAME") or llvm.get_host_cpu_name()
    features = os.environ.get("NUMBA_CPU_FEATURES")
    if features is None:
        features = llvm.get_host_cpu_features().flatten()
    return name, features


def lanes() -> int:
    """float32 lanes of one vector: `MINIGRAD_LANES`, or what the host's registers hold."""
    forced = os.environ.get("MINIGRAD_LANES")
    if forced is None:
        features = host()[1].split(",")
        return 16 if "+avx512f" in features else 8 if "+avx2" in features else 4
    if forced not in map(str, LANES):
        raise ValueError(f"MINIGRAD_LANES={forced!r}: must be one of {', '.join(map(str, LANES))}")
    return int(forced)
