"""A page of the system's Chromium, in which diagrams and pictures of the documentation are made."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Page

_NAMES = ("chromium", "chromium-browser", "google-chrome")


@contextmanager
def browser_page(what: str, width: int = 1280, height: int = 720) -> Iterator["Page"]:
    """Open a page; ``what``: what cannot be made without a browser."""
    from playwright.sync_api import sync_playwright

    program = next((found for name in _NAMES if (found := shutil.which(name))), None)
    if program is None:
        raise SystemExit(f"{what}: install Chromium to render it")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield started.new_page(viewport={"width": width, "height": height})
        started.close()
