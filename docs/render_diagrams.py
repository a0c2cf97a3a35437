"""Render the Mermaid diagrams of the documentation as SVG files beside their pages.

    python docs/render_diagrams.py            renders the diagrams that have changed
    python docs/render_diagrams.py --check    names them; exit 1 where there is one

The site shows the SVG files, so that it needs no script and no network for them. Each file holds
the hash of its source. Rendering needs npm, which fetches Mermaid into `build/`, and Chromium.
"""

import hashlib
import re
import shutil
import subprocess
import sys
from pathlib import Path

from site_hooks import FENCE, ROOT, diagram_name

DOCS = ROOT / "docs"
MERMAID = "11.17.2"
_SETTINGS = {
    "startOnLoad": False,
    "theme": "neutral",
    "fontFamily": "sans-serif",
    # Labels as SVG text: a picture that is not part of a page shows no HTML.
    "htmlLabels": False,
    "flowchart": {"htmlLabels": False, "nodeSpacing": 30, "rankSpacing": 28, "padding": 10},
    "deterministicIds": True,
}


def diagrams() -> dict[Path, str]:
    """Return the source of every diagram by the SVG file that shows it."""
    found = {}
    for page in sorted(DOCS.rglob("*.md")):
        fences = FENCE.finditer(page.read_text(encoding="utf-8"))
        sources = [fence[3] for fence in fences if fence[2] == "mermaid"]
        for number, source in enumerate(sources, 1):
            uri = page.relative_to(DOCS).as_posix()
            found[DOCS / diagram_name(uri, number)] = source
    return found


def _mark(source: str) -> str:
    """The comment by which an SVG file names the source that it was rendered from."""
    return f"<!-- mermaid {hashlib.sha256(source.encode()).hexdigest()} -->"


def stale() -> dict[Path, str]:
    """Return the diagrams whose SVG file is missing or shows another source."""
    return {
        path: source
        for path, source in diagrams().items()
        if not path.exists() or _mark(source) not in path.read_text(encoding="utf-8")
    }


def _mermaid() -> Path:
    """The script of Mermaid, fetched with npm where it is not there."""
    folder = ROOT / "build" / f"mermaid-{MERMAID}"
    script = folder / "node_modules" / "mermaid" / "dist" / "mermaid.min.js"
    if not script.exists():
        npm = shutil.which("npm")
        if npm is None:
            raise SystemExit("a diagram has changed: install npm to render it")
        folder.mkdir(parents=True, exist_ok=True)
        command = [npm, "install", "--ignore-scripts", "--no-save", "--silent"]
        subprocess.run([*command, f"mermaid@{MERMAID}"], cwd=folder, check=True)  # noqa: S603
    return script


def _standalone(svg: str, source: str) -> str:
    """An SVG as a file of its own: with its size, and the mark of its source."""
    size = re.search(r'viewBox="[-\d.]+ [-\d.]+ ([\d.]+) ([\d.]+)"', svg)
    if size is None:
        raise SystemExit("Mermaid rendered a picture without a size")
    width, height = (round(float(number)) for number in size.groups())
    sized = svg.replace('width="100%"', f'width="{width}" height="{height}"', 1)
    return f"{sized}\n{_mark(source)}\n"


def render(changed: dict[Path, str]) -> None:
    """Write the SVG files of diagrams."""
    from browser_page import browser_page

    with browser_page("a diagram has changed") as page:
        page.set_content("<html><body></body></html>")
        page.add_script_tag(path=str(_mermaid()))
        page.evaluate("settings => mermaid.initialize(settings)", _SETTINGS)
        for path, source in changed.items():
            svg = page.evaluate(
                "async ([id, source]) => (await mermaid.render(id, source)).svg",
                [path.stem, source],
            )
            path.write_text(_standalone(svg, source), encoding="utf-8")


def main(arguments: list[str]) -> int:
    """Render the diagrams that have changed, or name them."""
    changed = stale()
    if arguments == ["--check"]:
        for path in changed:
            sys.stderr.write(f"{path.relative_to(ROOT)} is out of date: run make docs\n")
        return 1 if changed else 0
    if arguments:
        sys.stderr.write("usage: python docs/render_diagrams.py [--check]\n")
        return 2
    if changed:
        render(changed)
    known = set(diagrams())
    for path in DOCS.rglob("*.svg"):
        if path not in known and re.search(r"<!-- mermaid \w+ -->", path.read_text("utf-8")):
            path.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
