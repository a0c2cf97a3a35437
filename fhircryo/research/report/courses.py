"""Figures of PSA: the course of each patient, the depth of the nadir."""

import math
from collections.abc import Iterable
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from fhircryo.research.quoting import cell
from fhircryo.research.report import vega
from fhircryo.research.report.figure import (
    BLACK,
    BLUE,
    GREY,
    MONTHS_WORDS,
    ORANGE,
    WIDTH,
    Figure,
    as_csv,
    highlighter,
    thinned,
)
from fhircryo.research.report.vega import Spec
from fhircryo.research.single_patients import PSA_COLUMNS
from fhircryo.research.survival import MONTH
from fhircryo.research.table import PATIENT

if TYPE_CHECKING:
    import pandas as pd

#: With more patients than this, lines cannot be told apart: quartiles by quarter year are drawn.
_MOST_LINES = 500
_QUARTER = 3
#: The steps of the axis of months, and how many there are at most.
_MONTH_STEPS, _MOST_TICKS = (6, 12, 24, 60, 120, 600, 6000), 12
_HEIGHT = 290
_PALE = 0.12
_PSA_WORDS = "PSA, ng/mL"
_PSA_TICKS = (0, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 1000, 10_000)
#: PSA is drawn linear up to about this value, then logarithmic.
_LINEAR_TO = 0.1
_QUARTILES = ("month", "n", "median", "q1", "q3")
_BARS_WITHOUT_GAPS = 200


def psa_axis(field: str, highest: float) -> Spec:
    """The axis of PSA: linear up to 0.1 ng/mL, then logarithmic."""
    top = max(highest * 1.3, 1.0)
    return vega.number(
        field,
        _PSA_WORDS,
        scale={"type": "symlog", "constant": _LINEAR_TO, "domain": [0, top], "nice": False},
        axis={"values": [tick for tick in _PSA_TICKS if tick <= top], "format": "~g"},
    )


def month_axis(months: Iterable[float], field: str = "month") -> Spec:
    """The axis of so many months, with the index procedure; negative ones are before it."""
    known = [0.0, *months]
    low, high = min(known), max(known)
    step = next((one for one in _MONTH_STEPS if high - low <= _MOST_TICKS * one), _MONTH_STEPS[-1])
    first, last = math.floor(low / step), math.ceil(high / step)
    ticks = [step * number for number in range(first, last + 1)]
    scale = {"domain": [low, max(ticks[-1], step)], "nice": False}
    shown = [tick for tick in ticks if tick >= low]
    return vega.number(field, MONTHS_WORDS, axis={"values": shown}, scale=scale)


def index_line(axis: Spec) -> Spec:
    """A line at the index procedure; ``axis``: of the months."""
    return {
        "data": {"values": [{"month": 0}]},
        "mark": {"type": "rule", "color": BLACK, "strokeDash": [4, 3]},
        "encoding": {"x": axis},
    }


def psa_figure(psa: "pd.DataFrame") -> Figure | None:
    """PSA of each patient over time, aligned at D0, failures marked; None without any result.

    Of many patients, the median and the quartiles of all results by quarter year.
    """
    if not len(psa):
        return None
    patients = psa[PATIENT].nunique()
    failures = int(psa["failure"].sum())
    told = f"{failures} biochemical failures are marked"
    if patients > _MOST_LINES:
        return _quartiles(psa, patients)
    alt = (
        f"PSA over time of {patients} patients, one line each, aligned at the index procedure;"
        f" {told}"
    )
    caption = (
        f"PSA of {patients} patients, one line each, from the baseline on; the dashed line is the"
        f" index procedure, and diamonds are the results on which biochemical failure was called"
        f" ({failures}). The axis is linear up to {_LINEAR_TO} ng/mL, then logarithmic."
    )
    data = psa[list(PSA_COLUMNS)].assign(**{PATIENT: psa[PATIENT].map(cell)})
    return Figure(
        "psa-courses",
        "PSA courses",
        alt,
        caption,
        _lines(psa),
        data.to_csv(index=False, lineterminator="\n"),
        (highlighter(psa[PATIENT]),),
    )


def _lines(psa: "pd.DataFrame") -> Spec:
    months = psa["days"].to_numpy(dtype=float) / MONTH
    values = psa["psa"].to_numpy(dtype=float)
    failed = set(psa.loc[psa["failure"].astype(bool), PATIENT])
    data = [
        (name, month, value, bool(failure), name in failed)
        for name, month, value, failure in zip(
            psa[PATIENT], months.tolist(), values.tolist(), psa["failure"], strict=True
        )
    ]
    x, y = month_axis(months.tolist()), psa_axis("psa", float(values.max()))
    chosen = f"{vega.HIGHLIGHTED} !== '' && datum.patient === {vega.HIGHLIGHTED}"
    line = {
        "mark": {"type": "line", "strokeWidth": 1},
        "encoding": {
            "x": x,
            "y": y,
            "detail": {"field": "patient"},
            "color": {
                "condition": [
                    {"test": chosen, "value": BLUE},
                    {"test": "datum.failed", "value": ORANGE},
                ],
                "value": GREY,
            },
            "opacity": vega.unless_other(_PALE, 0.75),
            "strokeWidth": {"condition": {"test": chosen, "value": 3}, "value": 1},
        },
    }
    marked = {
        "transform": [{"filter": "datum.failure"}],
        "mark": {"type": "point", "shape": "diamond", "filled": True, "size": 45},
        "encoding": {
            "x": x,
            "y": y,
            "color": {"value": ORANGE},
            "opacity": vega.unless_other(_PALE, 1),
        },
    }
    tooltip = vega.told(patient="Patient", month="Months", psa=_PSA_WORDS, failure="Failure")
    return vega.drawing(
        width=WIDTH,
        height=_HEIGHT,
        params=[vega.highlight()],
        data=vega.rows(("patient", "month", "psa", "failure", "failed"), data),
        layer=[line, marked, index_line(x), vega.hover({"x": x, "y": y}, tooltip)],
    )


def _quartiles(psa: "pd.DataFrame", patients: int) -> Figure:
    import numpy as np

    months = psa["days"].to_numpy(dtype=float) / MONTH
    values = psa["psa"].to_numpy(dtype=float)
    bins = np.floor(months / _QUARTER).astype(int)
    order = np.argsort(bins, kind="stable")
    bins, values = bins[order], values[order]
    starts = [0, *(np.flatnonzero(bins[1:] != bins[:-1]) + 1).tolist(), len(bins)]
    rows = []
    for start, end in pairwise(starts):
        q1, median, q3 = np.quantile(values[start:end], (0.25, 0.5, 0.75)).tolist()
        rows.append((float(bins[start] + 0.5) * _QUARTER, end - start, median, q1, q3))
    x = month_axis(row[0] for row in rows)
    y = psa_axis("median", max(row[4] for row in rows))
    tooltip = vega.told(month="Months", n="Results", median="Median", q1="From", q3="To")
    band = {"x": x, "y": {**y, "field": "q1"}, "y2": {"field": "q3"}}
    spec = vega.drawing(
        width=WIDTH,
        height=_HEIGHT,
        data=vega.rows(_QUARTILES, rows),
        layer=[
            {"mark": {"type": "area", "color": BLUE, "opacity": 0.2}, "encoding": band},
            {"mark": {"type": "line", "color": BLUE}, "encoding": {"x": x, "y": y}},
            index_line(x),
            vega.hover({"x": x, "y": y}, tooltip),
        ],
    )
    about = f"median and quartiles of all results of {patients} patients by quarter year"
    caption = (
        f"PSA: {about}; the dashed line is the index procedure. The axis is linear up to"
        f" {_LINEAR_TO} ng/mL, then logarithmic. More than {_MOST_LINES} single courses could not"
        " be told apart."
    )
    return Figure(
        "psa-courses", "PSA", f"PSA over time: {about}", caption, spec, as_csv(_QUARTILES, rows)
    )


def waterfall_figure(changes: "pd.DataFrame") -> Figure | None:
    """The change of PSA from the baseline to the nadir, one bar for each patient.

    ``changes``: the patients with their change in per cent, in descending order. None without any.
    """
    if not len(changes):
        return None
    percents = [float(change) for change in changes["change"]]
    rows = [
        (rank, name, percent, percent < 0)
        for rank, (name, percent) in enumerate(zip(changes[PATIENT], percents, strict=True), 1)
    ]
    bars = thinned(rows)
    y = vega.number(
        "change",
        "Change to the nadir, per cent",
        # A PSA that rose many times would hide all others: the data have its value.
        scale={"domain": [-100, 100], "clamp": True, "nice": False},
        axis={"values": list(range(-100, 101, 25))},
    )
    wide = len(bars) <= _BARS_WITHOUT_GAPS
    x: dict[str, Any] = {
        "field": "rank",
        "type": "ordinal",
        "axis": None,
        "scale": {"paddingInner": 0.2 if wide else 0},
    }
    colour = {"condition": {"test": "datum.fell", "value": BLUE}, "value": ORANGE}
    encoding = {"x": x, "y": y, "color": colour}
    tooltip = vega.told(patient="Patient", change="Change, per cent")
    spec = vega.drawing(
        width=WIDTH,
        height=220,
        data=vega.rows(("rank", "patient", "change", "fell"), bars),
        mark={"type": "bar"},
        encoding={**encoding, "tooltip": tooltip},
    )
    fell = sum(percent < 0 for percent in percents)
    alt = f"Change of PSA from baseline to nadir of {len(rows)} patients: it fell in {fell}"
    beyond = sum(percent > 100 for percent in percents)
    more = f" {beyond} bars end at 100 per cent though PSA rose further." if beyond else ""
    caption = (
        f"PSA from the baseline to the nadir in {len(rows)} patients in whom both are exact; one"
        f" bar for each patient, below zero where PSA fell ({fell}).{more}"
    )
    data = as_csv(
        ("patient", "change_percent"),
        zip(map(str, changes[PATIENT]), percents, strict=True),
    )
    return Figure("psa-waterfall", "Change of PSA", alt, caption, spec, data)


def nadir_figure(nadirs: "list[float]") -> Figure | None:
    """The share of patients whose nadir is at most so deep; None without any nadir."""
    if not nadirs:
        return None
    ordered = sorted(nadirs)
    shares: dict[float, float] = {0.0: 0.0}
    for number, nadir in enumerate(ordered, 1):
        shares[nadir] = number / len(ordered)
    rows = list(shares.items())
    x = psa_axis("nadir", ordered[-1]) | {"title": "PSA nadir, ng/mL"}
    y = vega.number("share", "Share of patients", scale={"domain": [0, 1]}, axis={"tickCount": 5})
    tooltip = vega.told(nadir="Nadir at most, ng/mL", share="Share of patients")
    spec = vega.drawing(
        width=WIDTH,
        height=200,
        data=vega.rows(("nadir", "share"), thinned(rows)),
        layer=[
            {
                "mark": {"type": "line", "interpolate": "step-after", "color": BLUE},
                "encoding": {"x": x, "y": y},
            },
            vega.hover({"x": x, "y": y}, tooltip),
        ],
    )
    n = len(ordered)
    alt = f"Cumulative distribution of the PSA nadir of {n} patients"
    caption = (
        f"Share of {n} patients whose PSA nadir is at most the value on the axis, which is linear"
        f" up to {_LINEAR_TO} ng/mL, then logarithmic. A nadir below a limit counts as the limit."
    )
    return Figure("psa-nadir", "PSA nadir", alt, caption, spec, as_csv(("nadir", "share"), rows))
