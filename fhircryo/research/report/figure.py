"""A figure: its drawing, its data and its description; the same numbers give the same files.

A drawing is a specification in Vega-Lite, from which the files are rendered, and from which a
browser draws the figure anew, so that its values can be read off.
"""

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

from fhircryo.research.quoting import cell, plain
from fhircryo.research.report import vega

#: Colours that can be distinguished in all forms of colour blindness: Okabe and Ito 2008.
BLUE, ORANGE, GREEN, GREY, BLACK = "#0072b2", "#d55e00", "#009e73", "#8c8c8c", "#222222"
#: The width of a drawing without its labels, in pixels of a screen.
WIDTH = 560
MONTHS_WORDS = "Months since the index procedure"
#: More steps or bars than this are narrower than a pixel.
_MOST_DRAWN = 1000
Row = TypeVar("Row")


@dataclass(frozen=True)
class Control:
    """What a reader can change in a figure.

    ``param``: the parameter of the specification; ``label``: what it does. ``options``: the values
    that can be chosen. ``several``: each option can be shown or hidden by itself, and the parameter
    is the list of the hidden ones; otherwise it is one option, found by typing.
    """

    param: str
    label: str
    options: tuple[str, ...]
    several: bool


@dataclass(frozen=True)
class Figure:
    """A figure.

    ``alt``: its description in a sentence; ``caption``: what one must know to read it, without the
    text around it; ``spec``: the drawing; ``data``: its data as CSV; ``controls``: for readers of
    the page. ``interactive``: whether a browser draws it anew.
    """

    name: str
    title: str
    alt: str
    caption: str
    spec: dict[str, Any]
    data: str
    controls: tuple[Control, ...] = ()
    interactive: bool = True

    @cached_property
    def svg(self) -> bytes:
        """The drawing as SVG."""
        return vega.as_svg(self.spec)

    @property
    def png(self) -> bytes:
        """The drawing as PNG, in the resolution that journals ask for."""
        return vega.as_png(self.spec)


def highlighter(names: Iterable[str]) -> Control:
    """What highlights one of the patients of these names, in all figures that show patients."""
    found = tuple(sorted(set(map(plain, names))))
    return Control(vega.HIGHLIGHTED, "Highlight a patient", found, several=False)


def thinned(rows: Sequence[Row]) -> Sequence[Row]:
    """Rows that a figure draws: all, or evenly spaced ones of more than can be told apart.

    The first and the last are among them. The data of the figure keep all.
    """
    if len(rows) <= _MOST_DRAWN:
        return rows
    last = len(rows) - 1
    return [rows[number * last // (_MOST_DRAWN - 1)] for number in range(_MOST_DRAWN)]


def shortened(names: Iterable[str], longest: int) -> list[str]:
    """Names of at most so many characters, which do not push a figure aside, and stay different."""
    found: list[str] = []
    for name in map(plain, names):
        short = name if len(name) <= longest else f"{name[: longest - 1]}…"
        same = sum(one == short or one.startswith(f"{short} (") for one in found)
        found.append(f"{short} ({same + 1})" if same else short)
    return found


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
