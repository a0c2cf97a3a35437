"""Figures of time: Kaplan-Meier curves and PSA courses."""

from itertools import pairwise
from typing import TYPE_CHECKING

from fhircryo.research.analysis import MONTH, Survival
from fhircryo.research.report.figure import BLACK, BLUE, GREY, ORANGE, Figure, as_csv, drawing
from fhircryo.research.report.number_format import survival as survival_words
from fhircryo.research.table import PATIENT

if TYPE_CHECKING:
    import pandas as pd

#: More lines than this are drawn as one picture: the file would be too large to open.
_MANY = 1_000
_CURVE = ("day", "survival", "lower_95", "upper_95", "at_risk", "events", "censored")
_READ_OFF = ("day", "survival", "lower_95", "upper_95", "at_risk", "events")


def survival_figure(found: Survival) -> Figure | None:
    """The curve of a time to event, with its band and who is at risk; None of nobody."""
    name = f"survival-{found.endpoint.key}"
    title = found.endpoint.key.replace("-", " ").capitalize()
    curve = found.curve
    if curve is None:
        return _read_off(name, title, found) if found.landmarks else None
    if not curve.n:
        return None
    with drawing(name, 6.4, 3.9) as made:
        plot = made.canvas.add_subplot()
        months = [day / MONTH for day in curve.days]
        lower, upper = (
            [
                left if limit is None else limit
                for limit, left in zip(limits, curve.survival, strict=True)
            ]
            for limits in (curve.lower, curve.upper)
        )
        plot.fill_between(months, lower, upper, step="post", color=BLUE, alpha=0.18, linewidth=0)
        plot.step(months, curve.survival, where="post", color=BLUE, linewidth=1.6)
        left = [
            (month, share)
            for month, share, gone in zip(months, curve.survival, curve.censored, strict=True)
            if gone
        ]
        if left:
            plot.plot(*zip(*left, strict=True), "|", color=BLUE, markersize=6)
        last = max(months[-1], 12.0)
        ticks = list(range(0, int(last) + 12, 12))
        plot.set(ylim=(0, 1.03), xlim=(0, ticks[-1]), xticks=ticks)
        plot.set_xlabel("Months since the index procedure\nNumber at risk")
        plot.set_ylabel("Share without an event")
        # Under the tick labels, where survival curves have it.
        for tick in ticks:
            at_risk = curve.at(round(tick * MONTH)).at_risk
            plot.annotate(
                str(at_risk),
                (tick, 0),
                xytext=(0, -52),
                xycoords=("data", "axes fraction"),
                textcoords="offset points",
                ha="center",
                color=BLACK,
            )
    read = [f"{round(one.day / MONTH)} months {survival_words(one)}" for one in found.landmarks]
    alt = f"Kaplan-Meier curve of {curve.n} patients, {curve.n_events} events"
    rows = zip(
        curve.days,
        curve.survival,
        curve.lower,
        curve.upper,
        curve.at_risk,
        curve.events,
        curve.censored,
        strict=True,
    )
    return Figure(name, title, "; ".join([alt, *read]), made.svg, as_csv(_CURVE, rows))


def _read_off(name: str, title: str, found: Survival) -> Figure:
    """The curve where it may be read off, and nowhere else."""
    with drawing(name, 6.4, 3.2) as made:
        plot = made.canvas.add_subplot()
        months = [one.day / MONTH for one in found.landmarks]
        shares = [one.survival or 0.0 for one in found.landmarks]
        plot.plot(months, shares, "o", color=BLUE)
        for month, one in zip(months, found.landmarks, strict=True):
            if one.lower is not None and one.upper is not None:
                plot.vlines(month, one.lower, one.upper, color=BLUE)
        plot.set(ylim=(0, 1.03), xlim=(0, max(months) + 6))
        plot.set_xlabel("Months since the index procedure")
        plot.set_ylabel("Share without an event")
    read = [f"{round(one.day / MONTH)} months {survival_words(one)}" for one in found.landmarks]
    rows = (
        (one.day, one.survival, one.lower, one.upper, one.at_risk, one.events)
        for one in found.landmarks
    )
    alt = f"Kaplan-Meier estimates of {found.patients} patients: {'; '.join(read)}"
    return Figure(name, title, alt, made.svg, as_csv(_READ_OFF, rows))


def psa_figure(psa: "pd.DataFrame") -> Figure | None:
    """PSA of each patient over time, aligned at index, failures marked; None without any."""
    if not len(psa):
        return None
    from matplotlib.collections import LineCollection

    names = psa[PATIENT].to_numpy()
    months = psa["days"].to_numpy(dtype=float) / MONTH
    values = psa["psa"].to_numpy(dtype=float)
    failures = psa["failure"].to_numpy(dtype=bool)
    starts = [0, *(at for at in range(1, len(names)) if names[at] != names[at - 1]), len(names)]
    lines = [
        (list(zip(months[start:end], values[start:end], strict=True)), failures[start:end].any())
        for start, end in pairwise(starts)
    ]
    patients, failed = len(lines), int(failures.sum())
    with drawing("psa-courses", 6.4, 4.2) as made:
        plot = made.canvas.add_subplot()
        for has_failed, colour, width in ((False, GREY, 0.7), (True, ORANGE, 0.9)):
            mine = [line for line, fails in lines if fails == has_failed]
            many = len(lines) > _MANY
            plot.add_collection(
                LineCollection(mine, colors=colour, linewidths=width, alpha=0.75, rasterized=many)
            )
        plot.plot(
            months[failures],
            values[failures],
            "D",
            color=ORANGE,
            markersize=4,
            label="biochemical failure",
            rasterized=len(lines) > _MANY,
        )
        plot.axvline(0, color=BLACK, linewidth=0.8, linestyle="--")
        plot.set_yscale("symlog", linthresh=0.1)
        plot.set_ylim(bottom=0)
        plot.autoscale(axis="x")
        top = float(values.max())
        plot.set_ylim(0, max(top * 1.3, 1.0))
        ticks = [
            tick for tick in (0, 0.1, 0.5, 1, 2, 5, 10, 20, 50, 100, 1000) if tick <= top * 1.3
        ]
        plot.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
        plot.set_xlabel("Months since the index procedure")
        plot.set_ylabel("PSA, ng/mL")
        if failed:
            plot.legend(loc="upper right", frameon=False)
    alt = (
        f"PSA over time of {patients} patients, one line each, aligned at the index procedure;"
        f" {failed} biochemical failures are marked"
    )
    columns = [PATIENT, "days", "psa", "failure"]
    data = psa[columns].to_csv(index=False, lineterminator="\n")
    return Figure("psa-courses", "PSA courses", alt, made.svg, data)
