"""Testing gradients: `check_grads` for recorded functions, `check_vjp` for anybody's.

Importing this package imports neither hypothesis nor pytest;
`strategies`, `laws`, `mutate` and `first_nonfinite` are loaded when they are first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from .checking.check import check_grads
from .checking.foreign import check_vjp
from .checking.verdicts import Finding, GradientError, Report, Verdict

__all__ = [
    "Finding", "GradientError", "Report", "Verdict", "check_grads", "check_vjp", "first_nonfinite",
    "laws", "mutate", "strategies",
]  # fmt: skip

LATE = {"laws": ".laws", "mutate": ".tester.mutate", "strategies": ".strategies"}


def __getattr__(name: str) -> Any:
    if name == "first_nonfinite":
        return import_module("..run.nonfinite", __name__).first_nonfinite
    if name in LATE:
        try:
            return import_module(LATE[name], __name__)
        except ModuleNotFoundError as error:
            if error.name != "hypothesis":
                raise
            raise ImportError(
                f"minigrad.testing.{name} draws examples with Hypothesis: pip install hypothesis"
            ) from None
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
