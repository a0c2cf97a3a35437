"""A figure as SVG with its data and its description; the same numbers give the same file.

matplotlib is imported only where something is drawn, because it takes longer to load than most
commands take to run.
"""

import csv
import io
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fhircryo.research.quoting import cell

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

#: Colours that can be distinguished in all forms of colour blindness: Okabe and Ito 2008.
BLUE, ORANGE, GREEN, GREY, BLACK = "#0072b2", "#d55e00", "#009e73", "#8c8c8c", "#222222"


@dataclass(frozen=True)
class Figure:
    """A figure. ``alt``: its description in a sentence; ``data``: its data as CSV."""

    name: str
    title: str
    alt: str
    svg: bytes
    data: str


class Drawing:
    """A figure that is being drawn; ``svg`` is empty until it is finished."""

    def __init__(self, canvas: "Canvas") -> None:
        self.canvas = canvas
        self.svg = b""

    def finish(self) -> None:
        """Render the figure as SVG."""
        sink = io.BytesIO()
        # Without a date and a version, the same numbers give the same file.
        self.canvas.savefig(sink, format="svg", metadata={"Date": None, "Creator": None})
        self.svg = sink.getvalue()


@contextmanager
def drawing(name: str, width: float, height: float) -> Iterator[Drawing]:
    """A figure of a size in inches, rendered when the context ends."""
    import matplotlib as mpl
    from matplotlib.figure import Figure as Canvas

    style: dict[Any, Any] = {
        "svg.hashsalt": name,
        "svg.fonttype": "none",
        # Outside text is no mathematical formula, and no TeX.
        "text.parse_math": False,
        "text.usetex": False,
        "font.size": 9.0,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.edgecolor": BLACK,
        "axes.labelcolor": BLACK,
        "axes.grid": True,
        "grid.color": "#e6e6e6",
        "axes.axisbelow": True,
    }
    with mpl.rc_context(style):
        made = Drawing(Canvas(figsize=(width, height), layout="constrained"))
        yield made
        made.finish()


def shortened(text: str, longest: int) -> str:
    """A text with at most so many characters, so that it does not push a figure aside."""
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def as_csv(heading: tuple[str, ...], rows: Iterable[tuple[Any, ...]]) -> str:
    """Data as CSV, numbers rounded to six decimals; a missing value is an empty cell."""
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(heading)
    for row in rows:
        lines.writerow(map(_written, row))
    return text.getvalue()


def _written(value: Any) -> Any:
    """A value of a row as it is written."""
    if isinstance(value, float):
        return round(value, 6)
    return cell(value) if isinstance(value, str) else value
