"""Figures of counts and scores: questionnaires, completeness, grades of complications."""

from collections.abc import Sequence

from fhircryo.research.analysis import Grades, Prom
from fhircryo.research.report import vega
from fhircryo.research.report.figure import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    WIDTH,
    Figure,
    as_csv,
)
from fhircryo.research.report.number_format import median, spaced

_SCORES = ("time_point", "n", "median", "q1", "q3", "minimum", "maximum")
_COMPLETE = ("instrument", "time_point", "expected", "scored", "percent")
_COLOURS = (BLUE, ORANGE, GREEN, GREY)
_BAR = 13


def prom_figure(prom: Prom) -> Figure | None:
    """The median and quartiles of a score by time point; None if no score may be shown.

    The axis is the range of the instrument.
    """
    shown = [
        (point.time_point, point.scores)
        for point in prom.points
        if point.scores is not None and point.scores.median is not None
    ]
    if not shown:
        return None
    rows = [
        (name, scores.n, scores.median, scores.q1, scores.q3, scores.minimum, scores.maximum)
        for name, scores in shown
    ]
    whiskers = all(row[5] is not None and row[6] is not None for row in rows)
    scale = {"domain": list(prom.limits), "nice": False}
    y = vega.number("q1", f"Score ({prom.worse} is worse)", scale=scale, axis={"tickCount": 6})
    names = {"labelAngle": 0, "labelLineHeight": 13, "ticks": False}
    x = vega.name("label", axis={**names, "labelExpr": "split(datum.label, '; ')"})
    wide, thin = {"type": "bar", "size": 40}, {"type": "rule", "color": BLUE}
    tooltip = vega.told(
        time_point="Time point",
        n="Patients",
        median="Median",
        q1="First quartile",
        q3="Third quartile",
        minimum="Least",
        maximum="Greatest",
    )
    box = {"x": x, "y": y, "y2": {"field": "q3"}, "tooltip": tooltip}
    layers: list[vega.Spec] = [
        {"mark": {**wide, "color": BLUE, "opacity": 0.3}, "encoding": box},
        {
            "mark": {"type": "tick", "size": 40, "thickness": 3, "color": BLUE},
            "encoding": {"x": x, "y": {**y, "field": "median"}, "tooltip": tooltip},
        },
    ]
    for low, high in (("minimum", "q1"), ("q3", "maximum")) if whiskers else ():
        ends = {"x": x, "y": {**y, "field": low}, "y2": {"field": high}}
        layers.insert(0, {"mark": thin, "encoding": ends})
    labelled = [(f"{spaced(row[0])}; n = {row[1]}", *row) for row in rows]
    spec = vega.drawing(
        width=90 * len(rows) + 60,
        height=210,
        data=vega.rows(("label", *_SCORES), labelled),
        layer=layers,
    )
    medians = "; ".join(f"{name} {median(scores)}" for name, scores in shown)
    alt = f"{prom.words}, median (quartiles): {medians}"
    ends_words = " Whiskers: the least and the greatest score." if whiskers else ""
    caption = (
        f"Scores by time point; {prom.worse} is worse. Thick line: the median. Box: the quartiles."
        f"{ends_words} The axis is the range of the instrument."
    )
    name = f"scores-{prom.instrument}"
    return Figure(name, prom.words, alt, caption, spec, as_csv(_SCORES, rows))


def completeness_figure(proms: Sequence[Prom]) -> Figure | None:
    """The completeness by instrument and time point; None if nothing may be shown."""
    rows = [
        (prom.words, spaced(point.time_point), complete.n, complete.successes, 100 * complete.share)
        for prom in proms
        for point in prom.points
        if (complete := point.completeness) is not None and complete.share is not None
    ]
    if not rows:
        return None
    names = list(dict.fromkeys(row[0] for row in rows))
    points = list(dict.fromkeys(row[1] for row in rows))
    colours = [_COLOURS[number % len(_COLOURS)] for number in range(len(points))]
    spec = vega.drawing(
        width=WIDTH - 120,
        height=(_BAR * len(points) + 10) * len(names),
        data=vega.rows(_COMPLETE, rows),
        mark="bar",
        encoding={
            "x": vega.number("percent", "Scored of expected, per cent", scale={"domain": [0, 100]}),
            "y": vega.name("instrument", axis={"grid": False}),
            "yOffset": vega.name("time_point", scale={"domain": points}),
            "color": vega.name(
                "time_point",
                scale={"domain": points, "range": colours},
                legend={"symbolType": "square"},
            ),
            "tooltip": vega.told(
                instrument="Instrument",
                time_point="Time point",
                expected="Expected",
                scored="Scored",
                percent="Per cent",
            ),
        },
    )
    alt = f"Completeness of {len(names)} instruments at {', '.join(points)}, in per cent"
    caption = (
        "Patients with a score, of those who were expected to answer at the time point, in per"
        " cent."
    )
    title = "Completeness of questionnaires"
    return Figure("completeness", title, alt, caption, spec, as_csv(_COMPLETE, rows))


def grades_figure(grades: Grades) -> Figure | None:
    """Patients by worst Clavien-Dindo and SIR grade; None if the cells may not be shown."""
    if grades.cells is None or not grades.cells:
        return None
    rows = [
        (row, column, cell)
        for row, cells in zip(grades.rows, grades.cells, strict=True)
        for column, cell in zip(grades.columns, cells, strict=True)
    ]
    top = max(cell for *_, cell in rows)
    x = vega.name(
        "sir",
        "Worst SIR grade",
        axis={"labelAngle": 0, "grid": False, "domain": False},
        scale={"domain": list(grades.columns)},
    )
    y = vega.name(
        "clavien",
        "Worst Clavien-Dindo grade",
        axis={"grid": False, "domain": False},
        scale={"domain": list(grades.rows)},
    )
    shade = {"range": ["white", BLUE], "interpolate": "rgb", "domain": [0, max(top, 1)]}
    spec = vega.drawing(
        width=56 * len(grades.columns),
        height=28 * len(grades.rows),
        data=vega.rows(("clavien", "sir", "patients"), rows),
        layer=[
            {
                "mark": "rect",
                "encoding": {
                    "x": x,
                    "y": y,
                    "color": vega.number("patients", scale=shade, legend=None),
                    "tooltip": vega.told(clavien="Clavien-Dindo", sir="SIR", patients="Patients"),
                },
            },
            {
                "mark": "text",
                "encoding": {
                    "x": x,
                    "y": y,
                    "text": {"field": "patients"},
                    "color": {
                        "condition": {"test": f"datum.patients > {0.75 * top}", "value": "white"},
                        "value": BLACK,
                    },
                },
            },
        ],
    )
    alt = "Patients by worst grade: " + "; ".join(
        f"Clavien-Dindo {row} and SIR {column}: {cell}" for row, column, cell in rows if cell
    )
    caption = (
        "Patients by the worst grade of their attributed complications on both scales; darker:"
        " more patients."
    )
    data = as_csv(("clavien_dindo", "sir", "patients"), rows)
    title = "Complications by Clavien-Dindo and SIR"
    return Figure("complications", title, alt, caption, spec, data)
