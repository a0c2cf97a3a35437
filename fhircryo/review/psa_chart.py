"""The PSA results of one patient as a chart: what was used, and what was left out."""

from collections.abc import Iterable
from datetime import date
from typing import Any

from fhircryo.endpoints.events import Event
from fhircryo.endpoints.patient_course import PatientCourse
from fhircryo.record.items import PsaResult
from fhircryo.research.report import vega
from fhircryo.research.report.courses import index_line, month_axis, psa_axis
from fhircryo.research.report.figure import BLACK, BLUE, GREEN, GREY, ORANGE, WIDTH
from fhircryo.research.survival import MONTH

#: The words, colours and shapes of what is drawn as a point.
_POINTS = {
    "used": (BLUE, "circle"),
    "baseline": (BLACK, "square"),
    "left out": (GREY, "cross"),
    "nadir": (GREEN, "triangle-down"),
    "failure": (ORANGE, "diamond"),
}
#: The words and colours of what is drawn as a vertical line.
_LINES = {"salvage therapy": GREEN, "event": ORANGE, "death": BLACK}
_HEIGHT = 240


def psa_chart(course: PatientCourse) -> bytes:
    """The chart as SVG; empty if the patient has no PSA result with a value."""
    d0 = course.line.d0
    results = [one for one in course.line.record.psa if one.value is not None]
    if not results:
        return b""

    def months(day: date) -> float:
        return (day - d0).days / MONTH

    points = course.psa.points
    used = [("used", months(point.day), float(point.value)) for point in points]
    judged = [(months(p.day), float(p.threshold)) for p in points if p.threshold is not None]
    signs = [(words, months(day), value) for words, day, value in _signs(course, results)]
    lines = [(words, months(day)) for words, day in _events(course)]
    x = month_axis([*(row[1] for row in (*used, *signs)), *(month for _, month in lines)])
    y = psa_axis("psa", max(float(one.value or 0) for one in results))
    layers: list[vega.Spec] = [
        _layer(used, {"type": "line", "color": BLUE, "strokeWidth": 1}, {"x": x, "y": y}),
        _layer([*used, *signs], {"type": "point", "opacity": 1}, _shaped(x, y)),
        index_line(x),
    ]
    if judged:
        step = {"type": "line", "interpolate": "step-before", "color": GREY, "strokeDash": [4, 3]}
        threshold = [("threshold", *row) for row in judged]
        layers.append(_layer(threshold, step, {"x": x, "y": y}))
    if lines:
        colours = {"domain": list(_LINES), "range": list(_LINES.values())}
        drawn = {"x": x, "color": vega.name("sign", scale=colours, legend={})}
        data = [(words, month, 0.0) for words, month in lines]
        layers.append(_layer(data, {"type": "rule", "strokeDash": [1, 2]}, drawn))
    # The lines have colours, and so a legend, of their own.
    own = {"color": "independent", "shape": "independent"}
    resolve = {"scale": own, "legend": own}
    return vega.as_svg(vega.drawing(width=WIDTH, height=_HEIGHT, layer=layers, resolve=resolve))


def _layer(
    rows: Iterable[tuple[str, float, float]], mark: dict[str, Any], encoding: vega.Spec
) -> vega.Spec:
    return {
        "data": vega.rows(("sign", "month", "psa"), rows),
        "mark": mark,
        "encoding": encoding,
    }


def _shaped(x: vega.Spec, y: vega.Spec) -> vega.Spec:
    """Points whose colour and shape say what they are."""
    words = list(_POINTS)
    colours = {"domain": words, "range": [colour for colour, _ in _POINTS.values()]}
    shapes = {"domain": words, "range": [shape for _, shape in _POINTS.values()]}
    legend = {"symbolType": "circle", "symbolSize": 60, "columns": 5}
    return {
        "x": x,
        "y": y,
        "color": vega.name("sign", scale=colours, legend=legend),
        "shape": vega.name("sign", scale=shapes, legend=legend),
        # They stand around a result that was used.
        "size": {
            "condition": {
                "test": "datum.sign === 'nadir' || datum.sign === 'failure'",
                "value": 180,
            },
            "value": 45,
        },
    }


def _signs(course: PatientCourse, results: list[PsaResult]) -> Iterable[tuple[str, date, float]]:
    """The baseline, the nadir, the failure, and the results that were left out."""
    baseline = course.psa.baseline
    used = {point.result.ref for point in course.psa.points}
    if baseline is not None and baseline.value is not None:
        used.add(baseline.ref)
        yield "baseline", baseline.when.first, float(baseline.value)
    for one in results:
        if one.ref not in used:
            yield "left out", one.when.first, float(one.value or 0)
    for words, marked in (("nadir", course.psa.nadir), ("failure", course.psa.failure)):
        if marked is not None:
            yield words, marked.day, float(marked.value)


def _events(course: PatientCourse) -> Iterable[tuple[str, date]]:
    """The days of the therapies, the events and the death."""
    death = [] if course.death is None else [course.death.event()]
    found: tuple[tuple[str, list[Event]], ...] = (
        ("salvage therapy", list(course.therapies.known)),
        ("event", list(course.events.known)),
        ("death", death),
    )
    for words, events in found:
        for event in events:
            if event.dated:
                yield words, event.when.first
