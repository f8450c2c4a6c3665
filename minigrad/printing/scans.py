"""A recurrence in JAX: `lax.scan` over chains of one length, `vmap` where there are no edges.

Any other structure is a loop (`loops`), which `jax.jit` unrolls.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..graph import Tensor
from ..recur import parts_of


def fits(r: Tensor) -> bool:
    return False


def scan(printer: Any, scope: Any, plan: Any, r: Tensor) -> None:
    raise NotImplementedError


_ = np, parts_of
