"""Figures of times to events: Kaplan-Meier curves and cumulative incidence."""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from fhircryo.research.comparison import GroupedTime
from fhircryo.research.competing_risks import CompetingRisk
from fhircryo.research.report import vega
from fhircryo.research.report.figure import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    MONTHS_WORDS,
    ORANGE,
    WIDTH,
    Control,
    Figure,
    as_csv,
    shortened,
    thinned,
)
from fhircryo.research.report.number_format import months as in_months
from fhircryo.research.report.number_format import survival as survival_words
from fhircryo.research.report.vega import Spec
from fhircryo.research.statistics.kaplan_meier import Curve
from fhircryo.research.survival import MONTH, Survival

_CURVE = ("day", "survival", "lower_95", "upper_95", "at_risk", "events", "censored")
_INCIDENCE = ("day", "incidence", "lower_95", "upper_95", "death_before", "at_risk")
_READ_OFF = ("day", "survival", "lower_95", "upper_95", "at_risk", "events")
#: The fields of the steps of a drawn curve.
_STEPS = ("group", "month", "share", "lower", "upper", "at_risk", "events", "censored")
_MOST_TICKS = 15
_HEIGHT, _LOW_HEIGHT, _ROW = 250, 220, 15
#: The lines of groups differ in colour and in style, so that they can be told apart in print.
_COLOURS = (BLUE, ORANGE, GREEN, BLACK, GREY, BLUE)
_DASHES = ((1, 0), (6, 3), (6, 2, 1, 2), (1, 2), (10, 4), (2, 4))
#: The lines of more groups could not be told apart.
MOST_GROUPED = len(_DASHES)
_LONGEST_NAME = 28
_SHARE_WORDS = "Share without an event"
_BAND = "the band is the 95 % confidence interval"


@dataclass(frozen=True)
class _Line:
    """A curve that is drawn up to its last step; ``steps``: how many those are."""

    name: str
    curve: Curve
    steps: int

    @property
    def last_month(self) -> float:
        return self.curve.days[self.steps - 1] / MONTH if self.steps else 0.0


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
    drawn = 0 if found.shown_to is None else bisect_right(curve.days, found.shown_to)
    readings = _reading_words(found)
    alt = f"Kaplan-Meier curve of {curve.n} patients, {curve.n_events} events"
    end = (
        "no curve is drawn, because too few patients are at risk"
        if not drawn
        else f"{_BAND}, ticks are censored patients, and the curve ends after"
        f" {in_months(found.shown_to)} months, where too few are at risk"
    )
    caption = f"Kaplan-Meier estimate of {curve.n} patients, {curve.n_events} events; {end}."
    line = _Line(found.words, curve, drawn)
    return Figure(
        name,
        found.words,
        "; ".join([alt, *readings]),
        caption,
        _curves([line], banded=True),
        as_csv(_CURVE, _rows_of(curve)),
    )


def _reading_words(found: Survival) -> list[str]:
    return [
        f"{round(reading.day / MONTH)} months {survival_words(reading)}"
        for reading in found.landmarks
    ]


def grouped_figure(found: GroupedTime, groups: Sequence[str], least_at_risk: int) -> Figure | None:
    """The curves of a time to event by group, with the numbers at risk; None without any curve.

    A curve ends where fewer patients of its group than ``least_at_risk`` are at risk.
    """
    lines = []
    names = shortened(groups, _LONGEST_NAME)
    for group, curve in zip(names, found.curves, strict=True):
        steps = sum(n >= least_at_risk for n in curve.at_risk)
        if steps:
            lines.append(_Line(group, curve, steps))
    lines = lines[:MOST_GROUPED]
    if not lines:
        return None
    rows = (
        (name, *row)
        for name, curve in zip(groups, found.curves, strict=True)
        for row in _rows_of(curve)
    )
    told = "; ".join(
        f"{line.name}: {line.curve.n} patients, {line.curve.n_events} events" for line in lines
    )
    return Figure(
        f"groups-{found.endpoint.key}",
        found.words,
        told,
        f"Kaplan-Meier estimates by group ({told}); a curve ends where fewer than {least_at_risk}"
        " patients of its group are at risk.",
        _curves(lines, banded=False),
        as_csv(("group", *_CURVE), rows),
        (Control("hidden", "Groups", tuple(line.name for line in lines), several=True),),
    )


def _curves(lines: Sequence[_Line], *, banded: bool) -> Spec:
    """Curves with the numbers at risk below them."""
    ticks = _ticks(max(line.last_month for line in lines))
    names = [line.name for line in lines]
    legend: Spec | None = None if len(lines) == 1 else {}
    colour, dash = (
        vega.name("group", scale={"domain": names, "range": signs}, legend=legend)
        for signs in (_COLOURS[: len(lines)], _DASHES[: len(lines)])
    )
    x, y = _x(ticks), _y("share", _SHARE_WORDS)
    layers: list[Spec] = []
    if banded:
        area = {"type": "area", "interpolate": "step-after", "opacity": 0.18}
        band = {"x": x, "y": {**y, "field": "lower"}, "y2": {"field": "upper"}, "color": colour}
        layers.append({"mark": area, "encoding": band})
    step = {"type": "line", "interpolate": "step-after", "strokeWidth": 2}
    layers.append({"mark": step, "encoding": {"x": x, "y": y, "color": colour, "strokeDash": dash}})
    layers.append(
        {
            "transform": [{"filter": "datum.censored > 0"}],
            "mark": {"type": "tick", "orient": "vertical", "size": 8, "thickness": 1},
            "encoding": {"x": x, "y": y, "color": colour},
        }
    )
    tooltip = vega.told(
        group="Curve",
        month="Months",
        share=_SHARE_WORDS,
        lower="95 % from",
        upper="95 % to",
        at_risk="At risk",
        events="Events",
    )
    layers.append(vega.hover({"x": x, "y": y}, tooltip))
    if not any(line.steps for line in lines):
        layers.append(_nothing_drawn())
    chart = {
        "width": WIDTH,
        "height": _HEIGHT,
        "data": vega.rows(_STEPS, _steps(lines)),
        "transform": [{"filter": "indexof(hidden, datum.group) < 0"}],
        "layer": layers,
    }
    return vega.drawing(
        params=[{"name": "hidden", "value": []}],
        vconcat=[chart, _at_risk(lines, ticks)],
        spacing=8,
    )


def _nothing_drawn() -> Spec:
    return {
        "data": {"values": [{}]},
        "mark": {"type": "text", "text": "Too few at risk", "color": GREY},
        "encoding": {"x": {"value": WIDTH / 2}, "y": {"value": _HEIGHT / 2}},
    }


def _steps(lines: Sequence[_Line]) -> Iterable[tuple[Any, ...]]:
    """The steps that are drawn; where there is no interval, it is the estimate."""
    for line in lines:
        for row in thinned(list(_rows_of(line.curve))[: line.steps]):
            day, share, lower, upper, *counts = row
            low, high = (share if limit is None else limit for limit in (lower, upper))
            yield line.name, day / MONTH, share, low, high, *counts


def _at_risk(lines: Sequence[_Line], ticks: Sequence[int]) -> Spec:
    """The numbers at risk below the months."""
    numbers = [
        (line.name if len(lines) > 1 else "At risk", tick, line.curve.at(round(tick * MONTH)))
        for line in lines
        for tick in ticks
    ]
    names = {"labelLimit": 130, "domain": False, "ticks": False, "grid": False, "labelPadding": 14}
    return {
        "width": WIDTH,
        "height": _ROW * len(lines),
        "title": {"text": "At risk", "anchor": "start", "offset": 2} if len(lines) > 1 else "",
        "data": vega.rows(
            ("group", "month", "n"), [(name, tick, at.at_risk) for name, tick, at in numbers]
        ),
        "mark": "text",
        "encoding": {
            "x": vega.number("month", scale=_scale(ticks), axis=None),
            "y": vega.name("group", axis=names),
            "text": {"field": "n"},
        },
    }


def _ticks(last_month: float) -> list[int]:
    """A tick for each year, or for more years where a date is far from all others."""
    last = max(last_month, 12.0)
    step = 12 * (1 + int(last) // (12 * _MOST_TICKS))
    return list(range(0, int(last) + step, step))


def _scale(ticks: Sequence[int]) -> Spec:
    return {"domain": [0, ticks[-1]], "nice": False}


def _x(ticks: Sequence[int]) -> Spec:
    axis = {"values": list(ticks)}
    return vega.number("month", MONTHS_WORDS, scale=_scale(ticks), axis=axis)


def _y(field: str, words: str) -> Spec:
    return vega.number(field, words, scale={"domain": [0, 1]}, axis={"tickCount": 5})


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


def incidence_figure(found: CompetingRisk, least_at_risk: int) -> Figure | None:
    """The cumulative incidence of an event, and that of death before it; None without any step.

    The curves end where fewer patients than ``least_at_risk`` are at risk.
    """
    curve = found.curve
    steps = [step for step, at_risk in enumerate(curve.at_risk) if at_risk >= least_at_risk]
    if not steps or not (found.events or found.deaths):
        return None
    death = "Death before it"
    drawn = [
        (words, curve.days[step] / MONTH, shares[step], curve.at_risk[step])
        for words, shares in ((found.words, curve.share), (death, found.competing.share))
        for step in thinned(steps)
    ]
    x, y = _x(_ticks(curve.days[steps[-1]] / MONTH)), _y("share", "Cumulative incidence")
    names = {"domain": [found.words, death]}
    colour = vega.name("event", scale={**names, "range": [BLUE, GREY]})
    dash = vega.name("event", scale={**names, "range": [[1, 0], [6, 3]]})
    tooltip = vega.told(
        event="Event", month="Months", share="Cumulative incidence", at_risk="At risk"
    )
    spec = vega.drawing(
        width=WIDTH,
        height=_LOW_HEIGHT,
        data=vega.rows(("event", "month", "share", "at_risk"), drawn),
        layer=[
            {
                "mark": {"type": "line", "interpolate": "step-after", "strokeWidth": 2},
                "encoding": {"x": x, "y": y, "color": colour, "strokeDash": dash},
            },
            vega.hover({"x": x, "y": y}, tooltip),
        ],
    )
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
    caption = (
        f"Aalen-Johansen estimate of {found.patients} patients, {found.events} with the event,"
        f" {found.deaths} who died before it; the curves end where fewer than {least_at_risk}"
        " patients are at risk."
    )
    title = f"Cumulative incidence: {found.words}"
    name = f"incidence-{found.endpoint.key}"
    return Figure(name, title, alt, caption, spec, as_csv(_INCIDENCE, rows))


def _read_off(name: str, title: str, found: Survival) -> Figure:
    """The readings of a curve as points, without the curve."""
    fields = ("day", "survival", "lower", "upper", "at_risk", "events")
    readings = [tuple(getattr(reading, field) for field in fields) for reading in found.landmarks]
    drawn = [(reading[0] / MONTH, *reading[1:]) for reading in readings]
    x = _x(_ticks(max(row[0] for row in drawn) + 6))
    y = _y("survival", _SHARE_WORDS)
    tooltip = vega.told(
        month="Months", survival=_SHARE_WORDS, lower="95 % from", upper="95 % to", at_risk="At risk"
    )
    interval = {"x": x, "y": {**y, "field": "lower"}, "y2": {"field": "upper"}}
    spec = vega.drawing(
        width=WIDTH,
        height=_LOW_HEIGHT,
        data=vega.rows(("month", *fields[1:]), drawn),
        layer=[
            {
                "transform": [{"filter": "isValid(datum.lower) && isValid(datum.upper)"}],
                "mark": {"type": "rule", "color": BLUE},
                "encoding": interval,
            },
            {
                "mark": {"type": "point", "filled": True, "color": BLUE, "size": 50, "opacity": 1},
                "encoding": {"x": x, "y": y},
            },
            vega.hover({"x": x, "y": y}, tooltip),
        ],
    )
    words = "; ".join(_reading_words(found))
    alt = f"Kaplan-Meier estimates of {found.patients} patients: {words}"
    caption = (
        f"Kaplan-Meier estimates of {found.patients} patients with 95 % confidence intervals; the"
        " curve is not shown, because its steps are single patients."
    )
    return Figure(name, title, alt, caption, spec, as_csv(_READ_OFF, readings))
