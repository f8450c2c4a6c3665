"""Hypothesis profiles of `minigrad.testing.plugin`, chosen by HYPOTHESIS_PROFILE: ci, dev (the
default), thorough; and `--only-skipped`, which runs what the run before left out for want of a
package, once that is there.

Workers share the cores: one thread of BLAS for each.  (On a busy machine OpenBLAS's threads wait
for each other in small matrices for half a second.)

In the profile dev LLVM optimises nothing: half of what compiling takes, and the same instructions
as far as our kernels say which.  The long and the oracle tests of `.ci/run` run on kernels as
users have them; `.ci/run all` runs all tests on such.
"""

import os

import pytest

from minigrad.testing.plugin import load_profile

PROFILE = os.environ.get("HYPOTHESIS_PROFILE", "dev")
load_profile(PROFILE)
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # of the processes that are started from here
if PROFILE == "dev":  # read when Numba is imported, by this process and those it starts
    os.environ.setdefault("NUMBA_OPT", "0")


@pytest.fixture(autouse=True, scope="session")
def own_cache(tmp_path_factory):
    """Never the user's cache directory: one of this run, shared by its workers."""
    with pytest.MonkeyPatch.context() as patch:
        base = tmp_path_factory.getbasetemp()
        folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "kernels"
        folder.mkdir(mode=0o700, exist_ok=True)
        patch.setenv("MINIGRAD_CACHE_DIR", str(folder))
        yield folder


def pytest_addoption(parser):
    parser.addoption(
        "--only-skipped", action="store_true", help="run only what the run before skipped"
    )


SKIPPED: set[str] = set()  # of tests, and of modules that were skipped as a whole


def pytest_runtest_logreport(report):
    if report.skipped:
        SKIPPED.add(report.nodeid)


def pytest_collectreport(report):
    if report.skipped:
        SKIPPED.add(report.nodeid)


def pytest_sessionfinish(session):
    config = session.config
    kept = getattr(config, "cache", None)  # none with `-p no:cacheprovider`
    if kept and not hasattr(config, "workerinput") and not config.getoption("only_skipped"):
        kept.set("minigrad/skipped", sorted(SKIPPED))


def pytest_collection_modifyitems(config, items):
    if config.getoption("only_skipped"):
        known = set(config.cache.get("minigrad/skipped", []))
        kept = [t for t in items if not known.isdisjoint((t.nodeid, t.nodeid.split("::")[0]))]
        config.hook.pytest_deselected(items=[t for t in items if t not in set(kept)])
        items[:] = kept
