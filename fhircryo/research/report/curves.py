"""Figures of time: Kaplan-Meier curves and PSA courses."""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

from fhircryo.research.comparison import GroupedTime
from fhircryo.research.competing_risks import CompetingRisk
from fhircryo.research.quoting import cell
from fhircryo.research.report.figure import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    Figure,
    as_csv,
    drawing,
    shortened,
)
from fhircryo.research.report.number_format import survival as survival_words
from fhircryo.research.statistics.kaplan_meier import Curve
from fhircryo.research.survival import MONTH, Survival
from fhircryo.research.table import PATIENT

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

Align = Literal["left", "center", "right"]
#: With more lines than this, the lines are drawn as one bitmap so that the file stays small.
_MANY = 1_000
_CURVE = ("day", "survival", "lower_95", "upper_95", "at_risk", "events", "censored")
_INCIDENCE = ("day", "incidence", "lower_95", "upper_95", "death_before", "at_risk")
_READ_OFF = ("day", "survival", "lower_95", "upper_95", "at_risk", "events")
_MOST_TICKS = 30
#: The lines of groups differ in colour and in style, so that they can be told apart in print.
_COLOURS = (BLUE, ORANGE, GREEN, BLACK, GREY, BLUE)
_STYLES = ("-", "--", "-.", ":", "-", ":")
#: The lines of more groups could not be told apart.
MOST_GROUPED = len(_STYLES)
_LONGEST_NAME = 14
_LONGEST_IN_LEGEND = 28
#: The columns of the table of PSA results that are drawn.
PSA_COLUMNS = (PATIENT, "days", "psa", "failure")
_PSA_TICKS = (0, 0.1, 0.5, 1, 2, 5, 10, 20, 50, 100, 1000)


def survival_figure(found: Survival) -> Figure | None:
    """The curve of a time to event with its band and the numbers at risk.

    Where too few are at risk from the beginning, only the numbers are drawn. If the curve itself
    may not be shown, its readings are drawn. None if there is nothing to draw.
    """
    name = f"survival-{found.endpoint.key}"
    curve = found.curve
    if curve is None:
        return _read_off(name, found.words, found) if found.landmarks else None
    if not curve.n:
        return None
    with drawing(name, 6.4, 3.9) as made:
        _draw_curve(made.canvas.add_subplot(), curve, found.shown_to)
    readings = _reading_words(found)
    alt = f"Kaplan-Meier curve of {curve.n} patients, {curve.n_events} events"
    data = as_csv(_CURVE, _rows_of(curve))
    return Figure(name, found.words, "; ".join([alt, *readings]), made.svg, data)


def _reading_words(found: Survival) -> list[str]:
    return [
        f"{round(reading.day / MONTH)} months {survival_words(reading)}"
        for reading in found.landmarks
    ]


def _draw_curve(plot: "Axes", curve: Curve, last_day: int | None) -> None:
    """Draw a curve as far as enough patients are at risk; None: nowhere, so only the numbers."""
    if last_day is None:
        plot.text(0.5, 0.5, "Too few at risk", transform=plot.transAxes, ha="center", color=GREY)
        _scale_months(plot, curve.days[-1] / MONTH)
    else:
        _draw_steps(plot, curve, last_day)
    plot.set_xlabel("Months since the index procedure")
    plot.set_ylabel("Share without an event")
    # The numbers at risk are below the tick labels, as is usual in survival curves.
    for tick in plot.get_xticks():
        at_risk = str(curve.at(round(tick * MONTH)).at_risk)
        _below(plot, float(tick), at_risk, to_left=0, align="center")
    _below(plot, 0, "At risk", to_left=16, align="right")


def _draw_steps(plot: "Axes", curve: Curve, last_day: int) -> None:
    """Draw the steps of a curve, its band and who is censored, up to a day."""
    end = bisect_right(curve.days, last_day)
    months = [day / MONTH for day in curve.days[:end]]
    survival = curve.survival[:end]
    lower, upper = (
        [left if limit is None else limit for limit, left in zip(limits, survival, strict=True)]
        for limits in (curve.lower[:end], curve.upper[:end])
    )
    plot.fill_between(months, lower, upper, step="post", color=BLUE, alpha=0.18, linewidth=0)
    plot.step(months, survival, where="post", color=BLUE, linewidth=1.6)
    censored = [
        (month, left)
        for month, left, count in zip(months, survival, curve.censored[:end], strict=True)
        if count
    ]
    if censored:
        plot.plot(*zip(*censored, strict=True), "|", color=BLUE, markersize=6)
    _scale_months(plot, months[-1])


def _below(
    plot: "Axes", month: float, text: str, *, to_left: int, align: Align, row: int = 0
) -> None:
    """Write a text below the labels of the months."""
    plot.annotate(
        text,
        (month, 0),
        xytext=(-to_left, -44 - 12 * row),
        xycoords=("data", "axes fraction"),
        textcoords="offset points",
        ha=align,
        color=BLACK,
    )


def grouped_figure(found: GroupedTime, groups: Sequence[str], least_at_risk: int) -> Figure | None:
    """The curves of a time to event by group, with the numbers at risk; None without any curve.

    A curve ends where fewer patients of its group than ``least_at_risk`` are at risk.
    """
    drawn = []
    for name, curve, colour, style in zip(groups, found.curves, _COLOURS, _STYLES, strict=False):
        days = [day for day, n in zip(curve.days, curve.at_risk, strict=True) if n >= least_at_risk]
        if days:
            drawn.append((name, curve, colour, style, len(days)))
    if not drawn:
        return None
    name = f"groups-{found.endpoint.key}"
    with drawing(name, 6.4, 3.9 + 0.2 * len(drawn)) as made:
        plot = made.canvas.add_subplot()
        last = 0.0
        for group, curve, colour, style, steps in drawn:
            months = [day / MONTH for day in curve.days[:steps]]
            last = max(last, months[-1])
            shares = curve.survival[:steps]
            plot.step(months, shares, style, where="post", color=colour, label=_in_legend(group))
        _scale_months(plot, last)
        plot.set_xlabel("Months since the index procedure")
        plot.set_ylabel("Share without an event")
        # Above the axes, so that it never covers a curve.
        plot.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, frameon=False)
        _below(plot, 0, "At risk", to_left=16, align="right")
        for row, (group, curve, *_) in enumerate(drawn, 1):
            for tick in plot.get_xticks():
                at_risk = str(curve.at(round(tick * MONTH)).at_risk)
                _below(plot, float(tick), at_risk, to_left=0, align="center", row=row)
            short = shortened(group, _LONGEST_NAME)
            _below(plot, 0, short, to_left=16, align="right", row=row)
    rows = (
        (name, *row)
        for name, curve in zip(groups, found.curves, strict=True)
        for row in _rows_of(curve)
    )
    alt = "; ".join(
        f"{group}: {curve.n} patients, {curve.n_events} events" for group, curve, *_ in drawn
    )
    return Figure(name, found.words, alt, made.svg, as_csv(("group", *_CURVE), rows))


def _in_legend(group: str) -> str:
    """A group's name in a legend, which leaves out what begins with an underscore."""
    return f" {shortened(cell(group), _LONGEST_IN_LEGEND)}"


def _rows_of(curve: Curve) -> Iterable[tuple[Any, ...]]:
    """The rows of a curve as data."""
    return zip(
        curve.days,
        curve.survival,
        curve.lower,
        curve.upper,
        curve.at_risk,
        curve.events,
        curve.censored,
        strict=True,
    )


def _scale_months(plot: "Axes", last_month: float) -> None:
    """Scale the axes of a share over months."""
    last = max(last_month, 12.0)
    # A tick for each year, or for more years where a date is far from all others.
    step = 12 * (1 + int(last) // (12 * _MOST_TICKS))
    ticks = list(range(0, int(last) + step, step))
    plot.set(ylim=(0, 1.03), xlim=(0, ticks[-1]), xticks=ticks)


def incidence_figure(found: CompetingRisk, least_at_risk: int) -> Figure | None:
    """The cumulative incidence of an event, and that of death before it; None without any step.

    The curves end where fewer patients than ``least_at_risk`` are at risk.
    """
    curve = found.curve
    steps = [step for step, at_risk in enumerate(curve.at_risk) if at_risk >= least_at_risk]
    if not steps or not (found.events or found.deaths):
        return None
    name = f"incidence-{found.endpoint.key}"
    with drawing(name, 6.4, 3.4) as made:
        plot = made.canvas.add_subplot()
        months = [curve.days[step] / MONTH for step in steps]
        for drawn, colour, style, words in (
            (found.curve, BLUE, "-", found.words),
            (found.competing, GREY, "--", "Death before it"),
        ):
            shares = [drawn.share[step] for step in steps]
            plot.step(months, shares, style, where="post", color=colour, label=words)
        _scale_months(plot, months[-1])
        plot.set_xlabel("Months since the index procedure")
        plot.set_ylabel("Cumulative incidence")
        # Above the axes, so that it never covers a curve.
        plot.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, frameon=False)
    rows = zip(
        curve.days,
        curve.share,
        curve.lower,
        curve.upper,
        found.competing.share,
        curve.at_risk,
        strict=True,
    )
    alt = (
        f"Cumulative incidence of {found.patients} patients: {found.events} events,"
        f" {found.deaths} deaths before it"
    )
    title = f"Cumulative incidence: {found.words}"
    return Figure(name, title, alt, made.svg, as_csv(_INCIDENCE, rows))


def _read_off(name: str, title: str, found: Survival) -> Figure:
    """The readings of a curve as points, without the curve."""
    with drawing(name, 6.4, 3.2) as made:
        plot = made.canvas.add_subplot()
        months = [reading.day / MONTH for reading in found.landmarks]
        shares = [reading.survival or 0.0 for reading in found.landmarks]
        plot.plot(months, shares, "o", color=BLUE)
        for month, reading in zip(months, found.landmarks, strict=True):
            if reading.lower is not None and reading.upper is not None:
                plot.vlines(month, reading.lower, reading.upper, color=BLUE)
        plot.set(ylim=(0, 1.03), xlim=(0, max(months) + 6))
        plot.set_xlabel("Months since the index procedure")
        plot.set_ylabel("Share without an event")
    rows = (
        (
            reading.day,
            reading.survival,
            reading.lower,
            reading.upper,
            reading.at_risk,
            reading.events,
        )
        for reading in found.landmarks
    )
    readings = "; ".join(_reading_words(found))
    alt = f"Kaplan-Meier estimates of {found.patients} patients: {readings}"
    return Figure(name, title, alt, made.svg, as_csv(_READ_OFF, rows))


def psa_figure(psa: "pd.DataFrame") -> Figure | None:
    """PSA of each patient over time, aligned at D0, failures marked; None without any result."""
    if not len(psa):
        return None
    import numpy as np

    names = psa[PATIENT].to_numpy()
    months = psa["days"].to_numpy(dtype=float) / MONTH
    values = psa["psa"].to_numpy(dtype=float)
    failures = psa["failure"].to_numpy(dtype=bool)
    points = np.column_stack((months, values))
    starts = [0, *(np.flatnonzero(names[1:] != names[:-1]) + 1).tolist(), len(names)]
    lines = [(points[start:end], failures[start:end].any()) for start, end in pairwise(starts)]
    many = len(lines) > _MANY
    with drawing("psa-courses", 6.4, 4.2) as made:
        plot = made.canvas.add_subplot()
        _draw_lines(plot, lines, rasterized=many)
        plot.plot(
            months[failures],
            values[failures],
            "D",
            color=ORANGE,
            markersize=4,
            label="biochemical failure",
            rasterized=many,
        )
        scale_psa(plot, float(values.max()))
        if failures.any():
            plot.legend(loc="upper right", frameon=False)
    alt = (
        f"PSA over time of {len(lines)} patients, one line each, aligned at the index procedure;"
        f" {int(failures.sum())} biochemical failures are marked"
    )
    data = psa[list(PSA_COLUMNS)].assign(**{PATIENT: psa[PATIENT].map(cell)})
    written = data.to_csv(index=False, lineterminator="\n")
    return Figure("psa-courses", "PSA courses", alt, made.svg, written)


def _draw_lines(plot: "Axes", lines: "list[tuple[Any, Any]]", *, rasterized: bool) -> None:
    """Draw each patient's points as a line; ``lines``: with whether the patient failed."""
    from matplotlib.collections import LineCollection

    for failed, colour, width in ((False, GREY, 0.7), (True, ORANGE, 0.9)):
        points = [line for line, has_failed in lines if has_failed == failed]
        plot.add_collection(
            LineCollection(
                points, colors=colour, linewidths=width, alpha=0.75, rasterized=rasterized
            )
        )


def scale_psa(plot: "Axes", highest: float) -> None:
    """Scale the axes: PSA linear up to 0.1 ng/mL, then logarithmic."""
    plot.axvline(0, color=BLACK, linewidth=0.8, linestyle="--")
    plot.set_yscale("symlog", linthresh=0.1)
    plot.set_ylim(bottom=0)
    plot.autoscale(axis="x")
    plot.set_ylim(0, max(highest * 1.3, 1.0))
    ticks = [tick for tick in _PSA_TICKS if tick <= highest * 1.3]
    plot.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    plot.set_xlabel("Months since the index procedure")
    plot.set_ylabel("PSA, ng/mL")
