"""The tools that test tester and engine: `python -m minigrad.testing fuzz | mutate | alarms`.

    fuzz      random programs, computed in several ways that must agree
    mutate    derivative rules made wrong on purpose: does `check_grads` notice?
    alarms    random expressions whose gradients are right: does `check_grads` cry wolf?
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from importlib import import_module

TOOLS = ("fuzz", "mutate", "alarms")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a tool; returns its exit code, 0 where nothing is wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m minigrad.testing", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    commands = parser.add_subparsers(dest="tool", required=True, metavar="TOOL")
    for name in TOOLS:
        tool = import_module(f".tester.{name}", "minigrad.testing")
        one = commands.add_parser(
            name, help=(tool.__doc__ or "").splitlines()[0], description=tool.__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )  # fmt: skip
        tool.add_arguments(one)
        one.set_defaults(main=tool.main)
    given = parser.parse_args(argv)
    return given.main(given)


if __name__ == "__main__":
    raise SystemExit(main())
