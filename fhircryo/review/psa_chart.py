"""The PSA results of one patient as a chart: what was used, and what was left out."""

from datetime import date

from fhircryo.endpoints.events import Event
from fhircryo.endpoints.patient_course import PatientCourse
from fhircryo.research.report.curves import scale_psa
from fhircryo.research.report.figure import BLACK, BLUE, GREEN, GREY, ORANGE, drawing
from fhircryo.research.survival import MONTH

#: The words and colours of what is drawn as a vertical line.
_THERAPY, _EVENT, _DEATH = ("salvage therapy", GREEN), ("event", ORANGE), ("death", BLACK)


def psa_chart(course: PatientCourse) -> bytes:
    """The chart as SVG; empty if the patient has no PSA result with a value."""
    d0 = course.line.d0

    def months(day: date) -> float:
        return (day - d0).days / MONTH

    results = [one for one in course.line.record.psa if one.value is not None]
    if not results:
        return b""
    points = course.psa.points
    used = {point.result.ref for point in points}
    if course.psa.baseline is not None:
        used.add(course.psa.baseline.ref)
    others = [one for one in results if one.ref not in used]
    with drawing("psa", 7.0, 3.4) as made:
        plot = made.canvas.add_subplot()
        baseline = course.psa.baseline
        if baseline is not None and baseline.value is not None:
            plot.plot(
                months(baseline.when.first),
                float(baseline.value),
                "s",
                color=BLACK,
                label="baseline",
            )
        days = [months(point.day) for point in points]
        plot.plot(
            days, [float(point.value) for point in points], "o-", color=BLUE, label="used", lw=1
        )
        judged = [(months(p.day), float(p.threshold)) for p in points if p.threshold is not None]
        if judged:
            plot.step(
                *zip(*judged, strict=True), "--", where="pre", color=GREY, lw=1, label="threshold"
            )
        if others:
            plot.plot(
                [months(one.when.first) for one in others],
                [float(one.value or 0) for one in others],
                "x",
                color=GREY,
                label="left out",
            )
        for marked, sign, words in (
            (course.psa.nadir, "v", "nadir"),
            (course.psa.failure, "D", "failure"),
        ):
            if marked is not None:
                colour = ORANGE if words == "failure" else GREEN
                plot.plot(
                    months(marked.day),
                    float(marked.value),
                    sign,
                    color=colour,
                    markersize=9,
                    fillstyle="none",
                    label=words,
                )
        shown: set[str] = set()
        for day, words, colour in _lines(course):
            label = None if words in shown else words
            plot.axvline(months(day), color=colour, lw=1, linestyle=":", label=label)
            shown.add(words)
        scale_psa(plot, max(float(one.value or 0) for one in results))
        plot.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=5, frameon=False)
    return made.svg


def _lines(course: PatientCourse) -> list[tuple[date, str, str]]:
    """The days, words and colours of the therapies, events and the death."""
    found: list[tuple[date, str, str]] = []

    def add(events: list[Event], words: tuple[str, str]) -> None:
        found.extend((event.when.first, *words) for event in events if event.dated)

    add(course.therapies.known, _THERAPY)
    add(course.events.known, _EVENT)
    if course.death is not None:
        add([course.death.event()], _DEATH)
    return found
