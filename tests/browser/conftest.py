"""A real browser, without a window: Chromium as the system has it.

Missing: skipped, and said what to install; with ``CI=true``: an error.
"""

import os
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """The browser of this session."""
    program = next((found for name in _NAMES if (found := shutil.which(name))), None)
    if program is None:
        words = "no Chromium: install it (Debian: apt-get install chromium)"
        if os.environ.get("CI") == "true":
            pytest.fail(words)
        pytest.skip(f"the report was not looked at: {words}")
    with sync_playwright() as playwright:
        # As root, as in a container, Chromium has no sandbox to start in.
        started = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield started
        started.close()
