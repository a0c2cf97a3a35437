"""Forest plots of rates: each site, all patients, and the random-effects model."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from fhircryo.research.pool.results import PooledRate
from fhircryo.research.report.figure import BLACK, BLUE, GREY, Figure, as_csv, drawing, shortened
from fhircryo.research.report.number_format import percent, proportion
from fhircryo.research.statistics.heterogeneity import Combined
from fhircryo.research.statistics.proportions import Proportion

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLUMNS = ("row", "site", "successes", "n", "share", "lower_95", "upper_95")
_LONGEST_NAME = 24
_TOTAL, _MODEL = "All patients", "Random effects"
#: Heights in inches.
_ROW, _FRAME = 0.28, 1.0


def forest_figure(found: PooledRate, sites: Sequence[str]) -> Figure | None:
    """The forest plot of a rate; None if no site shows it."""
    shown = [
        (name, one)
        for name, one in zip(sites, found.counted, strict=True)
        if one is not None and one.share is not None
    ]
    if not shown or found.total is None:
        return None
    name = f"forest-{found.key}"
    rows = [
        *((shortened(site, _LONGEST_NAME), one, BLUE) for site, one in shown),
        (_TOTAL, found.total, BLACK),
    ]
    height = _FRAME + _ROW * (len(rows) + (found.combined is not None))
    with drawing(name, 6.4, height) as made:
        plot = made.canvas.add_subplot()
        for number, (_, one, colour) in enumerate(rows):
            _draw(plot, number, one, colour)
        labels = [f"{words}  {proportion(one)}" for words, one, _ in rows]
        model = found.combined
        if model is not None:
            _diamond(plot, len(rows), model)
            labels.append(_MODEL)
        plot.set_yticks(range(len(labels)), labels)
        plot.set_ylim(len(labels) - 0.5, -0.5)
        plot.set_xlim(0, 100)
        plot.set_xlabel("Per cent of patients, with 95 % interval")
        plot.axhline(len(shown) - 0.5, color=GREY, linewidth=0.8)
        plot.grid(visible=False, axis="y")
    words = [f"{site} {proportion(one)}: {percent(one)}" for site, one in shown]
    alt = "; ".join(["Forest plot", *words, f"{_TOTAL} {percent(found.total)}"])
    data = as_csv(_COLUMNS, _rows(found, sites))
    return Figure(name, found.words, alt, made.svg, data)


def _draw(plot: "Axes", row: int, one: Proportion, colour: str) -> None:
    """Draw a proportion as a square with its interval; one of nobody is not drawn."""
    if one.share is None or one.lower is None or one.upper is None:
        return
    share, lower, upper = (100 * value for value in (one.share, one.lower, one.upper))
    plot.plot((lower, upper), (row, row), color=colour, linewidth=1.4)
    plot.plot(share, row, "s", color=colour, markersize=5)


def _diamond(plot: "Axes", row: int, model: Combined) -> None:
    """Draw a model's estimate as a diamond as wide as its interval."""
    share, lower, upper = (100 * value for value in (model.estimate, model.lower, model.upper))
    corners = ((lower, row), (share, row - 0.25), (upper, row), (share, row + 0.25))
    plot.fill(*zip(*corners, strict=True), color=BLACK)


def _rows(
    found: PooledRate, sites: Sequence[str]
) -> Iterator[tuple[str, str, int | None, int | None, float | None, float | None, float | None]]:
    for site, one in zip(sites, found.counted, strict=True):
        yield "site", site, *_cells(one)
    yield "total", "", *_cells(found.total)
    model = found.combined
    if model is not None:
        yield "random-effects", "", None, None, model.estimate, model.lower, model.upper


def _cells(
    one: Proportion | None,
) -> tuple[int | None, int | None, float | None, float | None, float | None]:
    if one is None:
        return None, None, None, None, None
    return one.successes, one.n, one.share, one.lower, one.upper
