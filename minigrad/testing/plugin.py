"""A pytest plugin: gradient checks as tests, their verdicts in the summary, Hypothesis profiles.

Active wherever minigrad is installed (`-p no:minigrad` turns it off).  Three things:

* the fixture `check_grads` is `minigrad.testing.check_grads` and records what it found:

      def test_my_op(check_grads):
          check_grads(my_op, np.ones(3), order=2)

* a test marked `gradients` returns `(f, *args)`, or a list of these,
  and is checked with the marker's keyword arguments, which are those of `check_grads`:

      @pytest.mark.gradients(order=2)
      def test_my_op():
          return my_op, np.ones(3)

* the summary counts the verdicts,
  and lists every check that decided nothing, and so tested nothing.
  With `--gradients-strict` such a check fails its test.

Verdicts travel with the test reports, so that they arrive from the workers of pytest-xdist too.
Nothing is checked, and neither Hypothesis nor a compiler is imported, until a test asks for it.

Hypothesis profiles `minigrad-dev`, `minigrad-ci` and `minigrad-thorough` (`load_profile`, or
`--hypothesis-profile=minigrad-ci`) have names of their own, and leave those of a project alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

PROFILES = {"dev": 4, "ci": 8, "thorough": 200}  # examples per test
PREFIX = "minigrad-"
PROPERTY = "gradients"  # of a test report: {"counts": {verdict: number}, "undecided": [text]}
current = pytest.StashKey[Any]()  # the test that runs


def load_profile(name: str = "dev") -> None:
    """Make `dev`, `ci` (the same examples every time) or `thorough` the Hypothesis profile."""
    if name not in PROFILES:
        raise ValueError(f"there is no profile {name!r}; they are {', '.join(PROFILES)}")
    from hypothesis import settings

    register_profiles()
    settings.load_profile(PREFIX + name)


def register_profiles() -> None:
    from hypothesis import HealthCheck, settings

    for name, examples in PROFILES.items():
        settings.register_profile(
            PREFIX + name, max_examples=examples, deadline=None, derandomize=name == "ci",
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        )  # fmt: skip


# -- hooks -----------------------------------------------------------------------------------------


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.getgroup("minigrad").addoption(
        "--gradients-strict", action="store_true",
        help="a gradient check that decides nothing (ill-conditioned, too little precision) fails",
    )  # fmt: skip


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "gradients(**options): the test returns (f, *args), or a list of these, for "
        "minigrad.testing.check_grads, which takes the options",
    )
    wanted = config.getoption("--hypothesis-profile", None)
    if isinstance(wanted, str) and wanted.startswith(PREFIX):
        register_profiles()
    config.pluginmanager.register(Summary(), "minigrad-verdicts")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    item.config.stash[current] = item
    try:
        return (yield)  # type: ignore[misc]
    finally:
        item.config.stash[current] = None


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    marker = pyfuncitem.get_closest_marker("gradients")
    if marker is None:
        return None
    if marker.args:
        pytest.fail(f"{pyfuncitem.nodeid}: mark.gradients takes keyword arguments only", False)
    given = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    found = pyfuncitem.obj(**given)
    cases = found if isinstance(found, list) else [found]
    if not cases or not all(isinstance(c, tuple) and c and callable(c[0]) for c in cases):
        pytest.fail(
            f"{pyfuncitem.nodeid}: a test marked `gradients` returns (f, *args), or a list of such "
            f"tuples; this one returned {found!r:.80}", False,
        )  # fmt: skip
    for case in cases:
        _recorded(pyfuncitem.config)(*case, **marker.kwargs)
    return True


@pytest.fixture(scope="session")
def check_grads(pytestconfig: pytest.Config) -> Callable[..., Any]:
    """`minigrad.testing.check_grads`; its verdicts are counted in the summary.

    Of session scope, so that Hypothesis lets a test with `@given` use it.
    """
    return _recorded(pytestconfig)


# -- recording -------------------------------------------------------------------------------------


def _recorded(config: pytest.Config) -> Callable[..., Any]:
    def check_grads(f: Callable[..., Any], *args: Any, **options: Any) -> Any:
        from minigrad.testing import GradientError, check_grads

        try:
            report = check_grads(f, *args, **options)
        except GradientError as error:
            _note(config, error.report)
            raise
        _note(config, report)
        if not report.conclusive and config.getoption("--gradients-strict"):
            pytest.fail(f"this gradient check decided nothing (--gradients-strict):\n{report}")
        return report

    return check_grads


def _note(config: pytest.Config, report: Any) -> None:
    item = config.stash.get(current, None)
    if item is None:  # used outside of any test
        return
    known = next((value for key, value in item.user_properties if key == PROPERTY), None)
    if known is None:
        known = {"counts": {}, "undecided": []}
        item.user_properties.append((PROPERTY, known))
    word = str(report.verdict)
    known["counts"][word] = known["counts"].get(word, 0) + 1
    first = str(report).splitlines()[0]
    if not report.conclusive and first not in known["undecided"]:
        known["undecided"].append(first)


class Summary:
    """Collects the verdicts of all test reports, wherever the tests ran, and prints them."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.undecided: list[tuple[str, str]] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when != "teardown":  # the last report of a test has all its properties
            return
        for key, value in report.user_properties:
            if key == PROPERTY and isinstance(value, dict):
                self.counts.update(value["counts"])
                self.undecided += [(report.nodeid, text) for text in value["undecided"]]

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        if not self.counts:
            return
        write = terminalreporter
        write.section("gradients")
        write.line(", ".join(f"{n} {word}" for word, n in sorted(self.counts.items())))
        for nodeid, text in self.undecided:
            write.line(f"decided nothing: {nodeid}: {text}")
