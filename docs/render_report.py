"""Takes the picture of the report in the README: its first screen.

    python docs/render_report.py

Needs Chromium, as the tests of pages do. Run it by hand where the report has changed: pictures of
different machines differ in their pixels, so no test compares them.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from browser_page import browser_page

DOCS = Path(__file__).resolve().parent
EXAMPLE = DOCS.parent / "examples" / "bomers-2020"


def main() -> None:
    """Write docs/report.png."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "cohort"
        command = [sys.executable, "-m", "fhircryo", "cohort", str(EXAMPLE), str(target)]
        subprocess.run(  # noqa: S603  # our own command
            [*command, "--as-of", "2017-12-31"], check=True, capture_output=True
        )
        with browser_page("the picture of the report", 960, 780) as page:
            page.goto((target / "report.html").as_uri())
            page.wait_for_load_state("networkidle")
            page.screenshot(path=DOCS / "report.png")


if __name__ == "__main__":
    main()
