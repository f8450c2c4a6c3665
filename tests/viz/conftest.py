"""One browser for the tests of pages; they are skipped, visibly, where there is none."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .page.browser import PROGRAM, Browser


@pytest.fixture(scope="session")
def running() -> Iterator[Browser]:
    if PROGRAM is None:
        pytest.skip("no Chromium on PATH")
    made = Browser()
    yield made
    made.close()


@pytest.fixture
def browser(running: Browser) -> Iterator[Browser]:
    running.media()
    yield running
    assert running.complaints == []  # no error, nothing that the policy had to stop
    assert [url for url in running.requests if not url.startswith(("file:", "data:"))] == []
