"""Takes the picture of the report in the README: its first screen.

    python docs/render_report.py

Needs Chromium, as the tests of pages do. Run it by hand where the report has changed: pictures of
different machines differ in their pixels, so no test compares them.
"""

import subprocess
import sys
import tempfile
from pathlib import Path
from shutil import which

from playwright.sync_api import sync_playwright

DOCS = Path(__file__).resolve().parent
EXAMPLE = DOCS.parent / "examples" / "bomers-2020"
NAMES = ("chromium", "chromium-browser", "google-chrome")


def main() -> None:
    """Write docs/report.png."""
    program = next((found for name in NAMES if (found := which(name))), None)
    if program is None:
        raise SystemExit("render_report.py: no Chromium: install it")
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "cohort"
        command = [sys.executable, "-m", "fhircryo", "cohort", str(EXAMPLE), str(target)]
        subprocess.run(  # noqa: S603  # our own command
            [*command, "--as-of", "2017-12-31"], check=True, capture_output=True
        )
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": 960, "height": 780})
            page.goto((target / "report.html").as_uri())
            page.wait_for_load_state("networkidle")
            page.screenshot(path=DOCS / "report.png")
            browser.close()


if __name__ == "__main__":
    main()
