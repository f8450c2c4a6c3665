"""How often `check_grads` cries wolf: it is run on random expressions, whose gradients are right.

    python -m minigrad.testing alarms [--number 20000] [--seed 0] [--order 2]
                                             [--dtype float32] [--specials]

The expressions come from `strategies.expressions`, by batches of seeds,
and each counts once however often it is drawn.
With --specials they are evaluated anywhere:
at kinks, at the ends of domains, where numbers overflow and underflow.
Every false alarm is printed as a script that shows it.
`mutate` measures the other half: how many wrong rules go unnoticed.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..checking.check import check_grads
from ..checking.verdicts import GradientError
from ..examples.expressions import Expression
from ..examples.problems import source_of
from .options import at_least, check_at_least

BATCH = 500  # examples drawn with one seed
UNDECIDED = 0.02  # the share of expressions that may be left undecided


@dataclass
class Alarms:
    """What `check_grads` said.  verdicts: how often each; false: (script, message) of every alarm;
    undecided: (script, report) of those without a conclusive verdict."""

    number: int = 0
    verdicts: Counter = field(default_factory=Counter)
    false: list[tuple[str, str]] = field(default_factory=list)
    undecided: list[tuple[str, str]] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        return not self.false and len(self.undecided) <= UNDECIDED * self.number

    def __str__(self) -> str:
        each = 1e3 * self.seconds / max(self.number, 1)
        lines = [f"{self.number} expressions, {self.seconds:.0f} s, {each:.1f} ms each"]
        lines += [f"  {n:6d}  {words}" for words, n in self.verdicts.most_common()]
        share = 100 * len(self.undecided) / max(self.number, 1)
        lines += [f"{len(self.false)} false alarms, {share:.2f} % inconclusive"]
        for script, message in self.false:
            lines += ["", "# a false alarm", script, *(f"# {x}" for x in message.splitlines())]
        return "\n".join(lines)


def run(
    number: int = 20_000, seed: int = 0, *, specials: bool = False, order: int = 1,
    dtype: Any = np.float64, seconds: float = np.inf,
) -> Alarms:  # fmt: skip
    """Check `number` different expressions; seconds: begin no other after that time."""
    check_at_least("alarms.run", 1, number=number, order=order)
    check_at_least("alarms.run", 0, seed=seed)
    found, start = Alarms(), time.monotonic()
    for e in _distinct(number, seed, specials, dtype):
        if time.monotonic() - start > seconds:
            break
        found.number += 1
        try:
            report = check_grads(e.f, *e.args, order=order)
        except GradientError as error:
            found.verdicts["FALSE ALARM"] += 1
            found.false.append((script(e, order), str(error)))
        except Exception as error:  # a check that fails is no check
            found.verdicts[f"raised {type(error).__name__}"] += 1
            found.false.append((script(e, order), f"{type(error).__name__}: {error}"))
        else:
            found.verdicts[str(report.verdict)] += 1
            if not report.conclusive:
                found.undecided.append((script(e, order), str(report)))
    found.seconds = time.monotonic() - start
    return found


def script(e: Expression, order: int) -> str:
    """Python that checks one expression."""
    start = ["import minigrad as mg", "import numpy as np", "from minigrad.testing import *", ""]
    given = [f"{name} = {source_of(a)}" for name, a in e.named.items()]
    last = f"print(check_grads(f, {', '.join(e.named)}, order={order}))"
    return "\n".join([*start, e.text, *given, last])


def _distinct(number: int, seed: int, specials: bool, dtype: Any) -> Iterator[Expression]:
    seen: set[str] = set()
    while len(seen) < number:
        new = 0
        for e in _batch(seed, specials, dtype):
            text = repr(e)
            if text not in seen and len(seen) < number:
                seen.add(text)
                new += 1
                yield e
        if not new:
            raise RuntimeError(f"a batch of {BATCH} expressions held no new one; change the seed")
        seed += 1


def _batch(seed: int, specials: bool, dtype: Any) -> list[Expression]:
    """The expressions that Hypothesis draws with one seed.  They are checked outside of its run,
    which would draw differently after a failure."""
    import hypothesis
    from hypothesis import HealthCheck, Phase, settings

    from ..strategies import expressions

    drawn: list[Expression] = []

    @hypothesis.seed(seed)
    @settings(
        max_examples=BATCH, database=None, deadline=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @hypothesis.given(expressions(dtype=dtype, specials=specials))
    def draw(e: Expression) -> None:
        drawn.append(e)

    draw()
    return drawn


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--number", type=at_least(1), default=20_000, help="how many different expressions"
    )
    parser.add_argument("--seed", type=at_least(0), default=0, help="of the first batch")
    parser.add_argument("--specials", action="store_true", help="kinks, overflow, subnormals")
    parser.add_argument("--order", type=at_least(1), default=1, help="up to which order")
    parser.add_argument("--dtype", choices=("float64", "float32"), default="float64")
    parser.add_argument("--show", action="store_true", help="print the undecided ones, too")


def main(given: argparse.Namespace) -> int:
    """The command; its exit code is 0 without a false alarm and with at most 2 % undecided."""
    found = run(
        given.number, given.seed, specials=given.specials, order=given.order, dtype=given.dtype
    )
    print(found)
    for text, report in found.undecided if given.show else ():
        print("", "# undecided", text, *(f"# {x}" for x in report.splitlines()), sep="\n")
    return 0 if found.ok else 1
