"""Figures of single patients: their events in follow-up, their complications over time."""

from collections.abc import Sequence

from fhircryo.record.items import EventKind
from fhircryo.research.complication_summary import AttributedKind
from fhircryo.research.report import vega
from fhircryo.research.report.courses import month_axis
from fhircryo.research.report.figure import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    WIDTH,
    Figure,
    as_csv,
    highlighter,
)
from fhircryo.research.single_patients import Swimmer
from fhircryo.research.survival import MONTH

#: More patients than this do not fit on a page.
MOST_SWIMMERS = 150
_MOST_COMPLICATIONS = 1000
_LANE, _KIND_HEIGHT = 7, 26
_SWIM = ("patient", "kind", "day")
#: The kinds of events with their words, colour and shape.
_SIGNS = {
    EventKind.BIOCHEMICAL_FAILURE: ("Biochemical failure", ORANGE, "diamond"),
    EventKind.LOCAL_RECURRENCE: ("Local recurrence", BLUE, "circle"),
    EventKind.NODAL_RECURRENCE: ("Nodal recurrence", BLUE, "triangle-up"),
    EventKind.METASTASIS: ("Metastasis", BLUE, "square"),
    EventKind.PROGRESSION: ("Progression", BLUE, "cross"),
    EventKind.SALVAGE_THERAPY: ("Salvage therapy", GREEN, "triangle-down"),
    EventKind.DEATH: ("Death", BLACK, "triangle-left"),
}


def swimmer_figure(swimmers: Sequence[Swimmer]) -> Figure | None:
    """The follow-up of each patient as a bar, with the events in it.

    None without any patient, or of more than fit on a page.
    """
    if not 0 < len(swimmers) <= MOST_SWIMMERS:
        return None
    signs = {str(kind): sign for kind, sign in _SIGNS.items()}
    events = [
        (one.patient, signs[kind][0], day / MONTH) for one in swimmers for kind, day in one.events
    ]
    words = [words for words, *_ in signs.values() if any(row[1] == words for row in events)]
    colours = {words: colour for words, colour, _ in signs.values()}
    shapes = {words: shape for words, _, shape in signs.values()}
    lanes = {
        "field": "patient",
        "type": "nominal",
        "sort": None,
        "axis": None,
        "scale": {"domain": [one.patient for one in swimmers]},
    }
    x = month_axis(one.days / MONTH for one in swimmers)
    legend = {"symbolType": "circle", "symbolSize": 60, "columns": 4}
    tooltip = vega.told(patient="Patient", kind="Event", month="Months")
    signs_of = {
        "color": vega.name(
            "kind",
            scale={"domain": words, "range": [colours[one] for one in words]},
            legend=legend,
        ),
        "shape": vega.name(
            "kind", scale={"domain": words, "range": [shapes[one] for one in words]}
        ),
        "y": lanes,
        "x": x,
        "opacity": vega.unless_other(0.12, 1),
        "tooltip": tooltip,
    }
    bars = [(one.patient, one.days / MONTH, "Last contact") for one in swimmers]
    layers: list[vega.Spec] = [
        {
            "data": vega.rows(("patient", "month", "kind"), bars),
            "mark": {"type": "bar", "color": GREY, "height": {"band": 0.7}},
            "encoding": {
                "x": x,
                "y": lanes,
                "opacity": vega.unless_other(0.1, 0.45),
                "tooltip": tooltip,
            },
        },
        {
            "data": vega.rows(("patient", "kind", "month"), events),
            "mark": {"type": "point", "filled": True, "size": 38},
            "encoding": signs_of,
        },
    ]
    spec = vega.drawing(
        width=WIDTH,
        height=max(120, _LANE * len(swimmers)),
        params=[vega.highlight()],
        # A legend of nothing has no size.
        layer=layers if events else layers[:1],
    )
    counts = ", ".join(f"{name.lower()} {sum(row[1] == name for row in events)}" for name in words)
    alt = f"Follow-up of {len(swimmers)} patients as bars, with their events: {counts or 'none'}"
    caption = (
        f"Each bar is a patient (n = {len(swimmers)}), from the index procedure to the last contact"
        f" or the death; the signs are events of a known day ({counts or 'none'})."
    )
    rows = [
        *((one.patient, "last-contact", one.days) for one in swimmers),
        *((one.patient, str(kind), day) for one in swimmers for kind, day in one.events),
    ]
    return Figure(
        "follow-up",
        "Events in follow-up",
        alt,
        caption,
        spec,
        as_csv(_SWIM, rows),
        (highlighter(one.patient for one in swimmers),),
    )


def complications_figure(found: Sequence[AttributedKind], grades: Sequence[str]) -> Figure | None:
    """The attributed complications by kind, day and Clavien-Dindo grade.

    None without any, or of more than can be told apart.
    """
    if not 0 < len(found) <= _MOST_COMPLICATIONS:
        return None
    present = [grade for grade in grades if any(one.grade == grade for one in found)]
    kinds = sorted({one.kind for one in found})
    tooltip = vega.told(
        patient="Patient", kind="Complication", grade="Clavien-Dindo", days="Days after index"
    )
    rows = [(one.patient, one.kind, one.grade, one.days) for one in found]
    spec = vega.drawing(
        width=WIDTH - 60,
        height=_KIND_HEIGHT * len(kinds),
        data=vega.rows(("patient", "kind", "grade", "days"), rows),
        mark={"type": "point", "filled": True, "size": 70, "opacity": 0.85, "stroke": BLACK},
        encoding={
            "x": vega.number("days", "Days since the index procedure", axis={"tickCount": 10}),
            "y": vega.name("kind", axis={"grid": True}, scale={"domain": kinds}),
            "color": {
                "field": "grade",
                "type": "ordinal",
                "sort": None,
                "scale": {"domain": present, "scheme": "viridis", "reverse": True},
                "legend": {
                    "symbolType": "circle",
                    "symbolSize": 80,
                    "title": "Clavien-Dindo",
                    "columns": 9,
                },
            },
            "tooltip": tooltip,
        },
    )
    patients = len({one.patient for one in found})
    alt = f"Complications of {patients} patients by kind and day: {', '.join(kinds)}"
    caption = (
        f"Attributed complications of a known day in {patients} patients; one of several kinds is"
        " drawn once for each. The colour is the Clavien-Dindo grade."
    )
    return Figure(
        "complications-over-time",
        "Complications over time",
        alt,
        caption,
        spec,
        as_csv(("patient", "kind", "clavien_dindo", "days"), rows),
    )
