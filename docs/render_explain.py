"""Render what `fhircryo explain` prints of a patient of the example as `docs/explain.svg`.

python docs/render_explain.py            renders it
python docs/render_explain.py --check    exit 1 where it shows something else than the command
"""

import io
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs" / "explain.svg"
COMMAND = "explain examples/bomers-2020 2029487 --endpoint biochemical-failure --as-of 2017-12-31"
_WIDTH = 134
#: What is shown of each section: a section that is not named is left out.
_SHOWN = {
    "TIME LINE": re.compile(r"PSA|D0"),
    "ENDPOINTS": re.compile(r""),
    "NOT USED": re.compile(
        r"Observation/|in-progress|4 of 5|unmapped-code  http://loinc.org\|2160"
    ),
}
_STYLES = {
    r"^(\$ .*|[A-Z ]{5,})$": "bold",
    r"\[[A-Z]\w+/[^\]]+\]": "#a0a0a0",
    r"fails, biochemical failure|biochemical-failure: Y": "bold red",
    r"\bnot used\b|\bunit\b(?=  )|status(?=  )|incomplete(?=  )|unmapped-code": "yellow",
    r"\bnadir 0\.14\b": "green",
}
# Without the fonts that rich's own template loads from the network.
_FONT = re.compile(r"@font-face \{\{.*?\}\}\s*", re.DOTALL)


def _printed() -> list[str]:
    command = [sys.executable, "-m", "fhircryo", *COMMAND.split()]
    made = subprocess.run(  # noqa: S603  # our own command
        command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True
    )
    return made.stdout.splitlines()


def _lines() -> Iterator[str]:
    """The command, its first line, and what is shown of each section."""
    first, *rest = _printed()
    yield f"$ fhircryo {COMMAND}"
    yield first
    shown = None
    for line in rest:
        if line and not line.startswith(" "):
            shown = _SHOWN.get(line)
            if shown is not None:
                yield from ("", line)
        elif shown is not None and line and shown.search(line):
            yield line


def picture() -> str:
    """The picture as SVG."""
    from rich._export_format import CONSOLE_SVG_FORMAT

    console = Console(
        record=True, width=_WIDTH, file=io.StringIO(), force_terminal=True, color_system="truecolor"
    )
    for line in _lines():
        text = Text(line, no_wrap=True, overflow="ellipsis")
        for pattern, style in _STYLES.items():
            text.highlight_regex(pattern, style)
        console.print(text, highlight=False)
    return console.export_svg(
        title="fhircryo explain",
        theme=MONOKAI,
        unique_id="explain",
        code_format=_FONT.sub("", CONSOLE_SVG_FORMAT).replace("Fira Code", "DejaVu Sans Mono"),
    )


def main() -> int:
    """Render or check."""
    if "--check" in sys.argv[1:]:
        return int(PICTURE.read_text("utf-8") != picture())
    PICTURE.write_text(picture(), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
