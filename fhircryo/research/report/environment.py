"""How the templates of reports become HTML: outside text is escaped, figures are embedded."""

import base64
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fhircryo.research.quoting import plain
from fhircryo.research.report.figure import Figure

if TYPE_CHECKING:
    from jinja2 import Environment

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
    return environment


def style() -> str:
    """The style sheet of reports."""
    return (_HERE / "report.css").read_text(encoding="utf-8")


def _visible(value: Any) -> Any:
    """A value without characters that hide text or turn it round; HTML escapes the rest."""
    from markupsafe import Markup

    return plain(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _embedded(figure: Figure) -> str:
    """A figure as a data URL."""
    return svg_url(figure.svg)


def svg_url(svg: bytes) -> str:
    """A drawing as a data URL."""
    return "data:image/svg+xml;base64," + base64.b64encode(svg).decode()
