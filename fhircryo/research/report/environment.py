"""How the templates of reports become HTML: outside text is escaped, figures are embedded."""

import base64
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fhircryo.research.quoting import plain
from fhircryo.research.report.figure import Figure
from fhircryo.research.report.vega import library

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

_HERE = Path(__file__).parent


def html_environment(folder: Path = _HERE) -> "Environment":
    """The templates of a folder, which escape every text and can embed a figure."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        finalize=_visible,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["embedded"] = _embedded
    environment.filters["described"] = _described
    return environment


def report_environment() -> "Environment":
    """The templates of reports, with their style sheet, their script and the library that draws."""
    environment = html_environment()
    environment.globals.update(
        style=(_HERE / "report.css").read_text(encoding="utf-8"),
        script=(_HERE / "report.js").read_text(encoding="utf-8"),
        library=library,
    )
    return environment


def _visible(value: Any) -> Any:
    """A value without characters that hide text or turn it round; HTML escapes the rest."""
    from markupsafe import Markup

    return plain(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _embedded(figure: Figure) -> str:
    """A figure as a data URL."""
    return svg_url(figure.svg)


def _described(figure: Figure) -> "Markup":
    """A figure's drawing and controls as JSON that can stand in an element of a page."""
    from markupsafe import Markup

    content = {
        "spec": figure.spec,
        "controls": [asdict(control) for control in figure.controls],
    }
    text = json.dumps(content, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    for letter in "<>&":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    # What HTML gives a meaning is escaped above.
    return Markup(text)  # noqa: S704  # nosec B704


def svg_url(svg: bytes) -> str:
    """A drawing as a data URL."""
    return "data:image/svg+xml;base64," + base64.b64encode(svg).decode()
