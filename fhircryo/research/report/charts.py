"""Figures of counts and scores: the flow of patients, questionnaires, complications."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fhircryo.research.analysis import Grades, Prom
from fhircryo.research.flow import NOT_SHOWN, Flow
from fhircryo.research.report.figure import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    Figure,
    as_csv,
    drawing,
)
from fhircryo.research.report.number_format import count, median

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def flow_rows(flow: Flow) -> list[tuple[str, str]]:
    """The steps from the source to the cohort, with the patients who remain or are excluded."""
    return [
        ("Patients read", count(flow.patients_read)),
        ("With a procedure that can be the index", count(flow.candidates)),
        *((lost.words.capitalize(), count(lost.patients)) for lost in flow.lost),
        ("In the cohort", count(flow.cohort)),
    ]


def flow_figure(flow: Flow) -> Figure:
    """The flow of patients as a diagram of boxes."""
    rows = flow_rows(flow)
    steps = [*rows[:2], rows[-1]]
    lost = [f"{words}: {number}" for words, number in rows[2:-1]]
    height = 3.1 + 0.25 * len(lost)
    with drawing("flow", 6.4, height) as made:
        plot = made.canvas.add_subplot()
        plot.set_axis_off()
        plot.set(xlim=(0, 1), ylim=(0, 1))
        places = (0.9, 0.62, 0.1)
        for (words, number), place in zip(steps, places, strict=True):
            _box(plot, 0.3, place, f"{words}\nn = {number}")
        for upper, lower in ((places[0], places[1]), (places[1], places[2])):
            plot.annotate(
                "",
                (0.3, lower + 0.085),
                xytext=(0.3, upper - 0.085),
                arrowprops={"arrowstyle": "->", "color": BLACK},
            )
        none = f"Lost: {'none' if flow.candidates == flow.cohort else NOT_SHOWN}"
        words = "\n".join(lost) if lost else none
        _box(plot, 0.72, 0.36, words)
        plot.annotate(
            "", (0.47, 0.36), xytext=(0.3, 0.36), arrowprops={"arrowstyle": "->", "color": BLACK}
        )
    alt = "; ".join(f"{words}: {number}" for words, number in rows)
    return Figure("flow", "Flow of patients", alt, made.svg, as_csv(("step", "patients"), rows))


def _box(plot: "Axes", x: float, y: float, words: str) -> None:
    plot.text(
        x,
        y,
        words,
        ha="center",
        va="center",
        fontsize=8.5,
        bbox={"boxstyle": "round,pad=0.5", "facecolor": "white", "edgecolor": GREY},
    )


def prom_figure(prom: Prom) -> Figure | None:
    """The median and quartiles of a score by time point; None if no score may be shown."""
    shown = [point for point in prom.points if point.scores is not None and point.scores.n]
    if not shown:
        return None
    name = f"scores-{prom.instrument}"
    rows = []
    with drawing(name, 4.2, 2.9) as made:
        plot = made.canvas.add_subplot()
        for place, point in enumerate(shown):
            scores = point.scores
            if scores is None or scores.median is None:
                continue
            q1, q3 = scores.q1 or 0.0, scores.q3 or 0.0
            plot.bar(place, q3 - q1, 0.42, bottom=q1, color=BLUE, alpha=0.22, edgecolor=BLUE)
            plot.hlines(scores.median, place - 0.21, place + 0.21, color=BLUE, linewidth=2.2)
            if scores.minimum is not None and scores.maximum is not None:
                plot.vlines(place, scores.minimum, q1, color=BLUE, linewidth=0.9)
                plot.vlines(place, q3, scores.maximum, color=BLUE, linewidth=0.9)
            rows.append((point.time_point, scores.n, scores.median, scores.q1, scores.q3))
        labels = [
            f"{point.time_point}\nn = {point.scores.n if point.scores else 0}" for point in shown
        ]
        plot.set_xticks(range(len(shown)), labels)
        plot.set_xlim(-0.6, len(shown) - 0.4)
        plot.set_ylabel(f"Score ({prom.worse} is worse)")
        plot.grid(axis="x", visible=False)
    medians = "; ".join(f"{point.time_point} {median(point.scores)}" for point in shown)
    alt = f"{prom.words}, median (quartiles): {medians}"
    heading = ("time_point", "n", "median", "q1", "q3")
    return Figure(name, prom.words, alt, made.svg, as_csv(heading, rows))


def completeness_figure(proms: Sequence[Prom]) -> Figure | None:
    """The completeness by instrument and time point; None if nothing may be shown."""
    rows = []
    for prom in proms:
        for point in prom.points:
            complete = point.completeness
            if complete is not None and complete.share is not None:
                share = 100 * complete.share
                rows.append(
                    (prom.instrument, point.time_point, complete.n, complete.successes, share)
                )
    if not rows:
        return None
    names = list(dict.fromkeys(row[0] for row in rows))
    points = list(dict.fromkeys(row[1] for row in rows))
    with drawing("completeness", 6.4, 1.2 + 0.5 * len(names)) as made:
        plot = made.canvas.add_subplot()
        width = 0.8 / len(points)
        for number, name in enumerate(points):
            bars = [(names.index(row[0]), row[4]) for row in rows if row[1] == name]
            plot.barh(
                [place + (number - (len(points) - 1) / 2) * width for place, _ in bars],
                [share for _, share in bars],
                width * 0.9,
                label=name,
                color=(BLUE, ORANGE, GREEN, GREY)[number % 4],
            )
        plot.set_yticks(range(len(names)), names)
        plot.invert_yaxis()
        plot.set_xlim(0, 100)
        plot.set_xlabel("Scored of expected, per cent")
        plot.grid(axis="y", visible=False)
        plot.legend(loc="upper center", bbox_to_anchor=(0.5, -0.22), ncols=4, frameon=False)
    alt = f"Completeness of {len(names)} instruments at {', '.join(points)}, in per cent"
    heading = ("instrument", "time_point", "expected", "scored", "percent")
    title = "Completeness of questionnaires"
    return Figure("completeness", title, alt, made.svg, as_csv(heading, rows))


def grades_figure(grades: Grades) -> Figure | None:
    """Patients by worst Clavien-Dindo and SIR grade; None if the cells may not be shown."""
    if grades.cells is None or not grades.cells:
        return None
    top = max(max(row) for row in grades.cells)
    with drawing("complications", 6.4, 1.5 + 0.36 * len(grades.rows)) as made:
        plot = made.canvas.add_subplot()
        plot.grid(visible=False)
        plot.imshow(grades.cells, cmap="Blues", vmin=0, vmax=max(top, 1) * 1.3, aspect="auto")
        for row, cells in enumerate(grades.cells):
            for column, cell in enumerate(cells):
                dark = cell > 0.75 * top
                colour = "white" if dark else BLACK
                plot.text(column, row, str(cell), ha="center", va="center", color=colour)
        plot.set_xticks(range(len(grades.columns)), grades.columns)
        plot.set_yticks(range(len(grades.rows)), grades.rows)
        plot.set_xlabel("Worst SIR grade")
        plot.set_ylabel("Worst Clavien-Dindo grade")
    rows = [
        (row, column, cell)
        for row, cells in zip(grades.rows, grades.cells, strict=True)
        for column, cell in zip(grades.columns, cells, strict=True)
    ]
    alt = "Patients by worst grade: " + "; ".join(
        f"Clavien-Dindo {row} and SIR {column}: {cell}" for row, column, cell in rows if cell
    )
    heading = ("clavien_dindo", "sir", "patients")
    title = "Complications by Clavien-Dindo and SIR"
    return Figure("complications", title, alt, made.svg, as_csv(heading, rows))
