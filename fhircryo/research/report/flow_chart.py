"""The flow of patients as STROBE asks for it: read, excluded, in the cohort, analysed."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import Any

from fhircryo.endpoints.catalogue import DISEASE_FREE, PROM_SCORE
from fhircryo.research.analysis import Analysis
from fhircryo.research.evaluable import Evaluable, endpoint_names
from fhircryo.research.flow import NOT_SHOWN, Flow
from fhircryo.research.quoting import plain
from fhircryo.research.report import vega
from fhircryo.research.report.figure import BLACK, GREY, Figure, as_csv
from fhircryo.research.report.number_format import count, spaced
from fhircryo.research.results_table import SHARES
from fhircryo.runs.run_config import RunConfig

#: The sizes of a drawing, in pixels of a screen.
_LEFT, _RIGHT, _BOX = 0, 350, 300
#: How far the boxes of endpoints stand to the right, and where the line to them comes down.
_INDENT, _TRUNK = 24, 10
_LINE, _PADDING, _GAP = 15, 7, 20
_LETTERS = 46


@dataclass(frozen=True)
class _Step:
    """A step of the flow: what it is, and who is lost after it, each in lines of words.

    ``analysed``: an endpoint, which stands beside the other endpoints and not after them.
    """

    words: tuple[str, ...]
    lost: tuple[str, ...] = ()
    analysed: bool = False


def flow_rows(flow: Flow) -> list[tuple[str, str]]:
    """The steps from the source to the cohort, with the patients who remain or are excluded."""
    return [
        ("Patients read", count(flow.patients_read)),
        ("With a procedure that can be the index", count(flow.candidates)),
        *((lost.words.capitalize(), count(lost.patients)) for lost in flow.lost),
        ("In the cohort", count(flow.cohort)),
    ]


def flow_figure(found: Analysis, config: RunConfig) -> Figure:
    """The flow of patients as a diagram of boxes, as far as the endpoints that are analysed."""
    rows = flow_rows(found.flow)
    analysed = list(_analysed(found, config))
    steps = [*_to_cohort(found.flow, rows), *(_endpoint(*one) for one in analysed)]
    cohort = rows[-1][1]
    alt = "; ".join(f"{words}: {number}" for words, number in rows)
    told = "; ".join(f"{words}: {count(one.patients)}" for words, one in analysed)
    caption = (
        f"From the patients of the source to the cohort (n = {cohort}), and from it to the patients"
        " in whom the main endpoints are known."
    )
    data = [*rows, *((f"Analysed: {words}", count(one.patients)) for words, one in analysed)]
    return Figure(
        "flow",
        "Flow of patients",
        f"{alt}; analysed: {told}" if told else alt,
        caption,
        _drawn(steps),
        as_csv(("step", "patients"), data),
        interactive=False,
    )


def _to_cohort(flow: Flow, rows: Sequence[tuple[str, str]]) -> Iterable[_Step]:
    read, candidates, cohort = rows[0], rows[1], rows[-1]
    without = _without_candidate(flow)
    yield _Step((read[0], f"n = {read[1]}"), without)
    lost = tuple(f"{words}: {number}" for words, number in rows[2:-1])
    none = () if flow.candidates == flow.cohort else (f"Excluded: {NOT_SHOWN}",)
    yield _Step((candidates[0], f"n = {candidates[1]}"), lost or none)
    yield _Step((cohort[0], f"n = {cohort[1]}"))


def _without_candidate(flow: Flow) -> tuple[str, ...]:
    if flow.patients_read is None or flow.candidates is None:
        return (f"No procedure that can be the index: {NOT_SHOWN}",)
    number = flow.patients_read - flow.candidates
    if number <= 0:
        return ()
    reasons = (
        f"  cryoablation recorded, but {reason}: {count(patients)}"
        for reason, patients in flow.procedures.items()
    )
    return (f"No procedure that can be the index: {number}", *reasons)


def _analysed(found: Analysis, config: RunConfig) -> Iterable[tuple[str, Evaluable]]:
    """The main endpoints: those of the publication, with their names."""
    published = config.protocol.published
    keys = {SHARES[row.row].key for row in published if row.row in SHARES} | {DISEASE_FREE.key}
    points = {
        (PROM_SCORE.code(row.instrument), row.time_point) for row in published if row.instrument
    }
    names = endpoint_names(config)
    proms = {PROM_SCORE.code(prom.instrument) for prom in found.proms}
    for one in found.evaluable:
        if not one.time_point and one.code in keys:
            yield names[one.code], one
        elif (one.code, one.time_point) in points and one.code in proms:
            yield f"{names[one.code]}, {spaced(one.time_point)}", one


def _endpoint(words: str, one: Evaluable) -> _Step:
    absent = tuple(f"  {reason.reason}: {count(reason.patients)}" for reason in one.absent)
    lost = ("Not evaluable", *absent) if absent else ()
    return _Step((f"Analysed: {words}", f"n = {count(one.patients)}"), lost, analysed=True)


def _drawn(steps: Sequence[_Step]) -> vega.Spec:
    """The boxes of the steps from top to bottom, with those who are lost at their right side."""
    boxes: list[dict[str, Any]] = []
    texts: list[dict[str, Any]] = []
    arrows: list[dict[str, Any]] = []
    top, trunk = 0, 0.0
    for number, step in enumerate(steps):
        left = _LEFT + (_INDENT if step.analysed else 0)
        bottom = _box(left, top, step.words, boxes, texts)
        middle, center = (top + bottom) / 2, _LEFT + _BOX / 2
        low = bottom
        if step.lost:
            low = max(bottom, _box(_RIGHT, top, step.lost, boxes, texts))
            arrows.append(_arrow(left + _BOX, middle, _RIGHT, middle))
        if step.analysed:
            # One line comes down from the cohort, and each endpoint branches off it.
            arrows.append(_arrow(_TRUNK, trunk, _TRUNK, middle) | {"turn": None})
            arrows.append(_arrow(_TRUNK, middle, left, middle))
        elif number + 1 < len(steps) and not steps[number + 1].analysed:
            arrows.append(_arrow(center, bottom, center, low + _GAP))
        trunk = middle if step.analysed else bottom
        top = low + _GAP
    place = {
        key: {"field": key, "type": "quantitative", "scale": None, "axis": None} for key in "xy"
    }
    ends = {**place, "x2": {"field": "x2"}, "y2": {"field": "y2"}}
    heads = {"x": {**place["x"], "field": "x2"}, "y": {**place["y"], "field": "y2"}}
    turned = {"angle": {"field": "turn", "type": "quantitative", "scale": None}}
    return vega.drawing(
        width=_RIGHT + _BOX,
        height=top - _GAP,
        layer=[
            {
                "data": {"values": boxes},
                "mark": {"type": "rect", "fill": "white", "stroke": GREY, "cornerRadius": 3},
                "encoding": ends,
            },
            {"data": {"values": texts}, "mark": _TEXT, "encoding": {**place, "text": _WORDS}},
            {
                "data": {"values": arrows},
                "mark": {"type": "rule", "color": BLACK},
                "encoding": ends,
            },
            {
                "data": {"values": [arrow for arrow in arrows if arrow["turn"] is not None]},
                "mark": _HEAD,
                "encoding": {**heads, **turned},
            },
        ],
    )


def _arrow(x: float, y: float, x2: float, y2: float) -> dict[str, Any]:
    """A line with a head at its end; ``turn``: how far a head that points up is turned."""
    return {"x": x, "y": y, "x2": x2, "y2": y2, "turn": 180 if x == x2 else 90}


_TEXT = {"type": "text", "align": "left", "baseline": "middle"}
_HEAD = {
    "type": "point",
    "shape": "wedge",
    "filled": True,
    "size": 60,
    "color": BLACK,
    "opacity": 1,
}
_WORDS = {"field": "words"}


def _box(
    left: float,
    top: float,
    words: Sequence[str],
    boxes: list[dict[str, Any]],
    texts: list[dict[str, Any]],
) -> int:
    """Place a box with lines of words; returns where it ends."""
    lines = [
        line
        for text in words
        for line in wrap(plain(text), _LETTERS, subsequent_indent="  ") or [""]
    ]
    bottom = int(top) + 2 * _PADDING + _LINE * len(lines)
    boxes.append({"x": left, "y": top, "x2": left + _BOX, "y2": bottom})
    for number, line in enumerate(lines):
        indent = len(line) - len(line.lstrip())
        texts.append(
            {
                "x": left + 10 + 5 * indent,
                "y": top + _PADDING + _LINE * (number + 0.5),
                "words": line.strip(),
            }
        )
    return bottom
