"""Hypothesis profiles of `minigrad.testing.plugin`, chosen by HYPOTHESIS_PROFILE.

ci, dev (the default), thorough.
"""

import os

import pytest

from minigrad.testing.plugin import load_profile

load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))


@pytest.fixture(autouse=True, scope="session")
def own_cache(tmp_path_factory):
    """Never the user's cache directory: one of this run, shared by its workers."""
    with pytest.MonkeyPatch.context() as patch:
        base = tmp_path_factory.getbasetemp()
        folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "kernels"
        folder.mkdir(mode=0o700, exist_ok=True)
        patch.setenv("MINIGRAD_CACHE_DIR", str(folder))
        yield folder
