"""Somebody who has an aggregate, knows the definitions, and computes what it does not say.

Two attacks. Published groups of which one lies within another are subtracted. And for every small
count that is not published, an integer program gives the least and the greatest number that all
published numbers and the definitions allow.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import Bounds, LinearConstraint, milp

from fhircryo.endpoints.catalogue import (
    CANCER_SPECIFIC_SURVIVAL,
    DISEASE_FREE,
    DISEASE_FREE_SURVIVAL,
    FAILURE_FREE_SURVIVAL,
    MAJOR_CLAVIEN,
    MAJOR_SIR,
    METASTASIS_FREE_SURVIVAL,
    OVERALL_SURVIVAL,
    TIME_TO_FAILURE,
    TIME_TO_SALVAGE_THERAPY,
)
from fhircryo.mapping.protocol import BASELINE
from fhircryo.research.analysis import Analysis
from fhircryo.research.baseline_summary import characteristic
from fhircryo.research.comparison import Comparison
from fhircryo.research.grouping import Grouping
from fhircryo.research.patient_columns import within_column
from fhircryo.research.statistics.suppress import POOLED
from fhircryo.research.survival import LANDMARKS, MONTH
from fhircryo.research.table import snake
from fhircryo.runs.run_config import RunConfig

#: More patients than any cohort of the tests has.
_MOST = 1000
#: A group by what it is of and which one: ("yes", "metastasis").
Name = tuple[Any, ...]
Profile = dict[str, Any]


@dataclass(frozen=True)
class Count:
    """A published count, and the patients whom it counts."""

    name: Name
    number: int
    patients: "np.ndarray[Any, Any]"


def truth(series: "pd.Series[Any]") -> "np.ndarray[Any, Any]":
    return series.fillna(False).to_numpy(dtype=bool)


class Reader:
    """Reads the counts off an aggregate, with the patients behind each from the table."""

    def __init__(self, shown: Analysis, tables: dict[str, pd.DataFrame], config: RunConfig) -> None:
        self.shown = shown
        self.tables = tables
        self.table = tables["patients"]
        self.config = config

    def known(self, column: str) -> Any:
        return self.table[column].notna().to_numpy()

    def yes(self, column: str) -> Any:
        return truth(self.table[column].eq(True))

    def counts(self) -> list[Count]:
        """Every published count of patients of the cohort."""
        found = [
            *self._everybody(),
            *self._shares(),
            *self._times(),
            *self._scores(),
            *self._baseline(),
            *self._complications(),
            *self._evaluable(),
        ]
        wrong = [one.name for one in found if one.number != one.patients.sum()]
        assert not wrong, f"published counts that are wrong: {wrong}"
        return found

    def _everybody(self) -> Iterator[Count]:
        everybody = np.ones(len(self.table), dtype=bool)
        if self.shown.flow.cohort is not None:
            yield Count(("everybody",), self.shown.flow.cohort, everybody)
        nadirs = ((self.shown.nadir, "psa_nadir"), (self.shown.nadir_days, "psa_nadir_days"))
        for values, column in nadirs:
            if values is not None:
                yield Count(("known", column), values.n, self.known(column))

    def _share(self, counted: Any, column: str) -> Iterator[Count]:
        if counted is not None:
            yield Count(("known", column), counted.n, self.known(column))
            yes, known = self.yes(column), self.known(column)
            yield Count(("yes", column), counted.successes, yes)
            yield Count(("no", column), counted.n - counted.successes, known & ~yes)

    def _shares(self) -> Iterator[Count]:
        columns = {
            "technical-success": "technical_success",
            "major-clavien": snake(MAJOR_CLAVIEN.key),
            "major-sir": snake(MAJOR_SIR.key),
            "disease-free": snake(DISEASE_FREE.key),
        }
        for row, figure in zip(self.shown.table, self.config.protocol.published, strict=True):
            if figure.row == "metastasis-within":
                yield from self._share(row.counted, within_column(figure.months or 0))
            elif figure.row == "not-evaluable" and row.counted is not None:
                absent = ~self.known(snake(DISEASE_FREE.key))
                yield Count(("absent", "disease-free"), row.counted.successes, absent)
            elif figure.row in columns:
                yield from self._share(row.counted, columns[figure.row])
        if self.shown.salvaged is not None:
            salvaged = self.yes("salvage_therapy")
            yield Count(("yes", "salvage_therapy"), self.shown.salvaged.successes, salvaged)
        for rate in self.shown.disease_free:
            column = f"disease_free_12_months_salvage_{rate.rule}"
            yield from self._share(rate.rate, column)
            both = rate.with_no_response
            if both is not None:
                reason = self.table[f"{column}_reason"].astype(object)
                counted = self.known(column) | truth(reason == "no-psa-response")
                yield Count(("answered", column), both.n, counted)
                yield Count(("yes", column), both.successes, self.yes(column))

    def days(self, column: str) -> Any:
        low = self.table[column].fillna(0).to_numpy(dtype=int)
        high = self.table[f"{column}_high"].fillna(self.table[column]).fillna(0)
        return (low + high.to_numpy(dtype=int)) // 2

    def _times(self) -> Iterator[Count]:
        for one in self.shown.survival:
            column = snake(one.endpoint.key)
            known, event = self.known(column), self.yes(f"{column}_event")
            days = self.days(column)
            if one.patients is not None:
                yield Count(("known", column), one.patients, known)
            if one.events is not None:
                yield Count(("yes", f"{column}_event"), one.events, event)
                censored = (one.patients or 0) - one.events
                yield Count(("censored", column), censored, known & ~event)
            if one.intervals is not None:
                yield Count(("interval", column), one.intervals, self.known(f"{column}_high"))
            for at in one.landmarks:
                yield Count(("at risk", column, at.day), at.at_risk, known & (days >= at.day))
                yield Count(("by", column, at.day), at.events, event & (days <= at.day))

    def _scores(self) -> Iterator[Count]:
        for prom in self.shown.proms:
            name = snake(prom.instrument)
            for point in prom.points:
                column, at = f"{name}_{snake(point.time_point)}", snake(point.time_point)
                if point.completeness is not None:
                    expected = self.yes(f"expected_{at}")
                    yield Count(("expected", at), point.completeness.n, expected)
                    scored = point.completeness.successes
                    yield Count(("known", column), scored, self.known(column))
                if point.scores is not None:
                    yield Count(("known", column), point.scores.n, self.known(column))
            for change in prom.changes:
                column = f"{name}_change_{snake(change.time_point)}"
                yield from self._change(change, column, prom.difference)

    def _change(self, change: Any, column: str, difference: Any) -> Iterator[Count]:
        if change.paired is None:
            return
        values, pairs = self.table[column], self.known(column)
        yield Count(("known", column), change.paired.n, pairs)
        yield from self._test(change.paired, column, pairs)
        if change.responders is not None:
            least = float(difference.points) - 1e-9
            # Which of both is better depends on the instrument.
            numbers = sorted(
                (change.responders.better.successes, change.responders.worse.successes)
            )
            groups = sorted((truth(values >= least), truth(values <= -least)), key=np.sum)
            for number, group in zip(numbers, groups, strict=True):
                yield Count(("responders", column), number, group)
        for one in change.unmarked:
            marked = pairs & self.yes(f"{column}_{snake(one.key)}")
            yield Count(("marked", column, one.key), one.marked, marked)
            if one.paired is not None:
                yield from self._test(one.paired, column, pairs & ~marked)

    def _test(self, paired: Any, column: str, pairs: Any) -> Iterator[Count]:
        """Rises and falls, as if P and the effect told their numbers, which they nearly do."""
        if paired.p is not None:
            values = self.table[column]
            rose, fell = pairs & truth(values > 0), pairs & truth(values < 0)
            yield Count(("rose", column, int(pairs.sum())), int(rose.sum()), rose)
            yield Count(("fell", column, int(pairs.sum())), int(fell.sum()), fell)

    def _baseline(self) -> Iterator[Count]:
        for row in self.shown.baseline:
            if row.known is None:
                continue
            values = characteristic(self.table, row.key)
            known = values.notna().to_numpy()
            yield Count(("known", row.key), row.known, known)
            named = np.zeros(len(self.table), dtype=bool)
            for level in row.levels:
                if level.words != POOLED:
                    group = known & truth(values.astype(object).map(str).eq(level.words))
                    named |= group
                    yield Count(("level", row.key, level.words), level.counted.successes, group)
            for level in row.levels:
                if level.words == POOLED:
                    rest = known & ~named
                    yield Count(("level", row.key, POOLED), level.counted.successes, rest)

    def attributed(self) -> pd.DataFrame:
        events = self.tables["adverse_events"]
        return events[events["attribution"] == "attributed"]

    def _complications(self) -> Iterator[Count]:
        found, events = self.shown.complications, self.attributed()
        for kind in found.kinds:
            assert kind.events is None
            having = events["patient"][
                [kind.kind in kinds.split(", ") for kinds in events["kinds"]]
            ]
            group = self.table["patient"].isin(having).to_numpy(dtype=bool)
            yield Count(("kind", kind.kind), kind.patients, group)
        for share, column in zip(
            found.shares, ("major_complication_clavien", "major_complication_sir"), strict=True
        ):
            yield from self._share(share.counted, column)
            if share.left_out is not None:
                having = self.table["patient"].isin(events["patient"]).to_numpy(dtype=bool)
                left_out = having & ~self.known(column)
                yield Count(("left out", column), share.left_out, left_out)
        grades = self.shown.grades
        for row, cells in zip(grades.rows, grades.cells or (), strict=False):
            for column, number in zip(grades.columns, cells, strict=True):
                group = self._graded("worst_clavien_dindo", row) & self._graded("worst_sir", column)
                yield Count(("grades", row, column), number, group)

    def _graded(self, column: str, level: str) -> Any:
        return self.table[column].astype(object).fillna("not known").eq(level).to_numpy(dtype=bool)

    def _evaluable(self) -> Iterator[Count]:
        for one in self.shown.evaluable:
            assert one.absent == ()
            if one.patients is not None:
                column = snake(one.code.removeprefix("prom-score-"))
                column += f"_{snake(one.time_point)}" if one.time_point else ""
                yield Count(("known", column), one.patients, self.known(column))


# --------------------------------------------------------------------------- subtraction


def small(number: int, threshold: int) -> bool:
    return 0 < number < threshold


def small_differences(counts: Iterable[Count], threshold: int) -> list[str]:
    """Groups that are small, or lie within another and differ by few patients.

    Of the published groups, and of each without another that lies within it.
    """
    by_group = {one.patients.tobytes(): one for one in counts}
    published = list(by_group.values())
    found = [str(one.name) for one in published if small(one.number, threshold)]
    if not published:
        return []
    groups = np.stack([one.patients for one in published])
    names = [str(one.name) for one in published]
    common = groups.astype(float) @ groups.T.astype(float)
    size = common.diagonal()
    rests = np.argwhere((common == size) & (size < size[:, None]) & (size > 0))
    computed = [groups, *(groups[outer] & ~groups[[inner]] for outer, inner in rests)]
    names += [f"{names[outer]} without {names[inner]}" for outer, inner in rests]
    every = np.concatenate(computed).astype(float)
    both, sizes, total = every @ groups.T, every.sum(axis=1)[:, None], groups.shape[1]
    parts = (sizes - both, size - both, both, total - sizes - size + both)
    for empty, few in ((0, 1), (1, 0), (2, 3), (3, 2)):
        near = (parts[empty] == 0) & (parts[few] > 0) & (parts[few] < threshold)
        found += [
            f"{names[one]} and {names[other]}: {parts[few][one, other]:.0f}"
            for one, other in np.argwhere(near)
        ]
    return found


# --------------------------------------------------------------------------- integer programs


@dataclass
class Question:
    """Counts about the same few facts of a patient.

    ``profiles``: what the definitions allow of a patient. ``of``: the facts of each patient.
    ``published``: by name, whom a count counts. ``hidden``: the counts to be bounded.
    """

    profiles: list[Profile]
    of: list[Profile]
    published: dict[Name, Callable[[Profile], bool]]
    hidden: dict[str, Callable[[Profile], bool]]

    def narrow(self, counts: Iterable[Count], threshold: int) -> list[str]:
        """The small counts that are known more closely than the threshold is wide."""
        number = {one.name: one.number for one in counts}
        asked = {name: rule for name, rule in self.published.items() if name in number}
        impossible = [facts for facts in self.of if facts not in self.profiles]
        assert not impossible, f"the attacker's definitions are wrong: {impossible[0]}"
        rows, totals = [], []
        asked.setdefault(("everybody",), lambda _: True)
        for name, rule in asked.items():
            if name not in number:
                continue
            rows.append([float(rule(one)) for one in self.profiles])
            totals.append(number[name])
        shape = (len(rows), len(self.profiles))
        known = LinearConstraint(np.array(rows).reshape(shape), totals, totals)
        found = []
        for words, rule in self.hidden.items():
            actual = sum(map(rule, self.of))
            if not small(actual, threshold):
                continue
            aim = np.array([float(rule(one)) for one in self.profiles])
            least, most = (self._bound(sign * aim, known) * sign for sign in (1, -1))
            assert least <= actual <= most
            if most - least < threshold:
                found.append(f"{words} is {least} to {most}")
        return found

    @staticmethod
    def _bound(aim: Any, known: LinearConstraint) -> int:
        answer = milp(
            aim, constraints=known, integrality=np.ones_like(aim), bounds=Bounds(0, _MOST)
        )
        assert answer.success, answer.message
        return round(answer.fun)


def questions(reader: Reader) -> Iterator[Question]:
    """What the attacker asks of a cohort."""
    if not len(reader.table):
        return
    yield _course(reader)
    yield _rules(reader)
    for endpoint in (TIME_TO_FAILURE, DISEASE_FREE_SURVIVAL, METASTASIS_FREE_SURVIVAL):
        yield _time(reader, snake(endpoint.key))
    yield _deaths(reader)
    for prom in reader.shown.proms:
        yield _prom(reader, prom)
    for row in reader.shown.baseline:
        yield _levels(reader, row.key)


def _facts(reader: Reader, columns: dict[str, str]) -> list[Profile]:
    values = {
        fact: [None if pd.isna(one) else bool(one) for one in reader.table[column].astype(object)]
        for fact, column in columns.items()
    }
    return [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)]


def _equals(fact: str, value: Any) -> Callable[[Profile], bool]:
    return lambda one: one[fact] == value


def _is_known(fact: str) -> Callable[[Profile], bool]:
    return lambda one: one[fact] is not None


#: Not known, no, and yes.
_THREE = (None, False, True)


def _profiles(
    columns: dict[str, str], implied: Sequence[Callable[[Profile], Any]]
) -> list[Profile]:
    """What patients may be, by the facts of some columns and what these imply."""
    # Whether there was a salvage therapy is known of everybody.
    choices = [(False, True) if fact == "salvage" else _THREE for fact in columns]
    profiles = (dict(zip(columns, values, strict=True)) for values in product(*choices))
    return [one for one in profiles if all(rule(one) for rule in implied)]


def _course(reader: Reader) -> Question:
    """Endpoints after the index procedure: which imply each other."""
    columns = {
        "free": snake(DISEASE_FREE.key),
        "salvage": "salvage_therapy",
        "within": within_column(6),
        "mfs": f"{snake(METASTASIS_FREE_SURVIVAL.key)}_event",
        "os": f"{snake(OVERALL_SURVIVAL.key)}_event",
        "css": f"{snake(CANCER_SPECIFIC_SURVIVAL.key)}_event",
        "ffs": f"{snake(FAILURE_FREE_SURVIVAL.key)}_event",
        "dfs": f"{snake(DISEASE_FREE_SURVIVAL.key)}_event",
        "ttf": f"{snake(TIME_TO_FAILURE.key)}_event",
    }
    implied = (
        lambda p: not p["css"] or p["os"],
        lambda p: not p["within"] or not p["free"],
        lambda p: p["within"] is not True or p["mfs"] is not False,
        lambda p: p["os"] is not True or p["mfs"] is not False,
        lambda p: p["css"] is not True or p["ffs"] is not False,
        lambda p: p["ffs"] is not True or p["dfs"] is not False,
        lambda p: p["ttf"] is not True or p["dfs"] is not False,
        lambda p: p["free"] is not False or p["dfs"] is not False,
    )
    profiles = _profiles(columns, implied)
    published: dict[Name, Callable[[Profile], bool]] = {}
    hidden = {}
    for fact, column in columns.items():
        published["known", column.removesuffix("_event")] = _is_known(fact)
        published["yes", column] = _equals(fact, True)
        hidden |= {f"{fact} {value}": _equals(fact, value) for value in _THREE}
    return Question(profiles, _facts(reader, columns), published, hidden)


def _rules(reader: Reader) -> Question:
    """Disease-free under each rule for salvage therapy: where they differ, there was one."""
    columns = {
        "event": "disease_free_12_months_salvage_event",
        "report": "disease_free_12_months_salvage_report",
        "salvage": "salvage_therapy",
        "ffs": f"{snake(FAILURE_FREE_SURVIVAL.key)}_event",
        "tts": f"{snake(TIME_TO_SALVAGE_THERAPY.key)}_event",
    }

    def differ(one: Profile) -> bool:
        return one["event"] is False and one["report"] is True

    implied = (
        lambda p: not differ(p) or p["salvage"],
        lambda p: not differ(p) or p["tts"] is not False,
        lambda p: p["event"] is not True or p["report"] is not False,
    )
    profiles = _profiles(columns, implied)
    published: dict[Name, Callable[[Profile], bool]] = {}
    hidden: dict[str, Callable[[Profile], bool]] = {}
    for fact, column in columns.items():
        time = column.removesuffix("_event") if fact in ("ffs", "tts") else column
        published["known", time] = _is_known(fact)
        published["yes", column] = _equals(fact, True)
        hidden |= {f"{fact} {value}": _equals(fact, value) for value in _THREE}
    hidden["the rules differ"] = differ
    hidden["failed though the rules agree"] = lambda p: p["ffs"] is True and not differ(p)
    hidden["salvage though the rules agree"] = lambda p: p["salvage"] and not differ(p)
    return Question(profiles, _facts(reader, columns), published, hidden)


def _bins() -> list[int]:
    return [round(months * MONTH) for months in LANDMARKS]


def _place(days: int) -> int:
    """Where a day lies among the landmarks: 0 before the first, 1 on it, 2 after it, and so on."""
    bins = _bins()
    return sum(day < days for day in bins) + sum(day <= days for day in bins)


def _ends() -> list[tuple[bool, int]]:
    """Whether there was an event, and the place of its day or of the last day."""
    places = range(2 * len(LANDMARKS) + 1)
    return [(happened, place) for happened in (False, True) for place in places]


def _when(reader: Reader, column: str) -> list[tuple[bool, int] | None]:
    known, days = reader.known(column), reader.days(column)
    events = reader.yes(f"{column}_event")
    return [
        (bool(event), _place(int(day))) if is_known else None
        for is_known, day, event in zip(known, days, events, strict=True)
    ]


def _time_groups(column: str, fact: str) -> dict[Name, Callable[[Profile], bool]]:
    """Whom the counts of a time to event count."""
    groups: dict[Name, Callable[[Profile], bool]] = {
        ("known", column): lambda p: p[fact] is not None,
        ("yes", f"{column}_event"): lambda p: p[fact] is not None and p[fact][0],
    }
    for number, day in enumerate(_bins()):

        def at_risk(p: Profile, number: int = number) -> bool:
            return p[fact] is not None and p[fact][1] > 2 * number

        def by(p: Profile, number: int = number) -> bool:
            return p[fact] is not None and p[fact][0] and p[fact][1] <= 2 * number + 1

        groups["at risk", column, day] = at_risk
        groups["by", column, day] = by
    return groups


def _time(reader: Reader, column: str) -> Question:
    """When events were, and when others were last seen."""
    profiles: list[Profile] = [{"end": end} for end in [None, *_ends()]]
    of: list[Profile] = [{"end": end} for end in _when(reader, column)]
    hidden = {f"{column} {one['end']}": _equals("end", one["end"]) for one in profiles}
    return Question(profiles, of, _time_groups(column, "end"), hidden)


def _deaths(reader: Reader) -> Question:
    """Deaths, and deaths of the cancer, which are on the same days."""
    all_deaths, of_cancer = (
        snake(endpoint.key) for endpoint in (OVERALL_SURVIVAL, CANCER_SPECIFIC_SURVIVAL)
    )
    profiles: list[Profile] = []
    for end in _ends():
        same = {None, end, (False, end[1])}
        profiles += [{"os": end, "css": css} for css in same]
    profiles += [{"os": None, "css": css} for css in [None, *_ends()]]
    times = zip(_when(reader, all_deaths), _when(reader, of_cancer), strict=True)
    of: list[Profile] = [{"os": one, "css": other} for one, other in times]
    published = _time_groups(all_deaths, "os") | _time_groups(of_cancer, "css")
    hidden = {
        f"{fact} {end}": _equals(fact, end) for fact in ("os", "css") for end in [None, *_ends()]
    }
    hidden["died of something else"] = lambda p: bool(
        p["os"] and p["css"] and p["os"][0] and not p["css"][0]
    )
    return Question(profiles, of, published, hidden)


def _prom(reader: Reader, prom: Any) -> Question:
    """Who was expected to answer, who has a score, and whose score rose or fell."""
    name = snake(prom.instrument)
    points = [snake(point.time_point) for point in prom.points]
    later = [point for point in points if point != snake(BASELINE)]
    signs = [None, -1, 0, 1]
    profiles: list[Profile] = []
    for states in product(("no", "missed", "scored"), repeat=len(points)):
        scored = dict(zip(points, states, strict=True))
        both = [scored[BASELINE] == scored[point] == "scored" for point in later]
        for moved in product(*(signs[1:] if paired else [None] for paired in both)):
            profiles.append(scored | dict(zip((f"{p} moved" for p in later), moved, strict=True)))
    of = [{} for _ in range(len(reader.table))]
    for point in points:
        expected, known = reader.yes(f"expected_{point}"), reader.known(f"{name}_{point}")
        for facts, asked, scored in zip(of, expected, known, strict=True):
            facts[point] = "scored" if scored else "missed" if asked else "no"
    for point in later:
        for facts, change in zip(of, reader.table[f"{name}_change_{point}"], strict=True):
            facts[f"{point} moved"] = None if pd.isna(change) else int(np.sign(change))
    published: dict[Name, Callable[[Profile], bool]] = {}
    hidden = {}
    for point in points:
        published["known", f"{name}_{point}"] = _equals(point, "scored")
        published["expected", point] = lambda p, point=point: p[point] != "no"
        hidden |= {
            f"{name} {point} {state}": _equals(point, state) for state in ("no", "missed", "scored")
        }
    for point in later:
        column, fact = f"{name}_change_{point}", f"{point} moved"
        pairs = int(reader.known(column).sum())
        published["known", column] = _is_known(fact)
        published["rose", column, pairs] = _equals(fact, 1)
        published["fell", column, pairs] = _equals(fact, -1)
        hidden |= {f"{column} {sign}": _equals(fact, sign) for sign in signs}
        hidden[f"{column} lost"] = lambda p, point=point: (
            (p[BASELINE] == "scored") != (p[point] == "scored")
        )
    return Question(profiles, of, published, hidden)


def _levels(reader: Reader, key: str) -> Question:
    """The levels of a characteristic, of which some may be pooled."""
    values = characteristic(reader.table, key)
    if values.dtype.kind in "fiu":
        values = values.notna().map({True: "a number", False: None})
    of: list[Profile] = [{"level": None if pd.isna(one) else str(one)} for one in values]
    levels = {one["level"] for one in of} | {None, "another level"}
    profiles: list[Profile] = [{"level": level} for level in levels]
    shown = next(row for row in reader.shown.baseline if row.key == key)
    named = {level.words for level in shown.levels}
    published: dict[Name, Callable[[Profile], bool]] = {("known", key): _is_known("level")}
    published |= {("level", key, level): _equals("level", level) for level in named - {POOLED}}
    published["level", key, POOLED] = lambda p: p["level"] is not None and p["level"] not in named
    hidden = {f"{key} {level}": _equals("level", level) for level in levels}
    return Question(profiles, of, published, hidden)


def attack(
    shown: Analysis, tables: dict[str, pd.DataFrame], config: RunConfig, threshold: int
) -> list[str]:
    """What the aggregate gives away; empty if nothing."""
    reader = Reader(shown, tables, config)
    counts = reader.counts()
    found = small_differences(counts, threshold)
    for question in questions(reader):
        found += question.narrow(counts, threshold)
    return found


def group_counts(compared: Comparison, tables: dict[str, pd.DataFrame]) -> list[Count]:
    """The counts of each group that a comparison shows."""
    patients, found = tables["patients"], []

    def known(column: str) -> Any:
        return patients[column].notna().to_numpy()

    for place, group in enumerate(compared.grouping.groups):
        members = np.array([one == group for one in compared.grouping.of])
        found.append(Count(("everybody", group), compared.patients[place], members))
        for rate in compared.rates:
            counted, column = rate.counted[place], rate.column
            if counted is None:
                continue
            event = f"{column}_event"
            yes = truth(patients[event if event in patients else column].eq(True))
            within = members & known(column)
            found.append(Count(("known", column, group), counted.n, within))
            name = ("yes", event if event in patients else column, group)
            found.append(Count(name, counted.successes, within & yes))
        for row in compared.baseline[place] if compared.baseline else ():
            values = characteristic(patients, row.key)
            if row.known is not None:
                within = members & values.notna().to_numpy()
                found.append(Count(("known", row.key, group), row.known, within))
            for level in row.levels:
                if level.words != POOLED and level.counted is not None:
                    having = members & truth(values.astype(object).eq(level.words))
                    name = ("level", row.key, level.words, group)
                    found.append(Count(name, level.counted.successes, having))
    wrong = [one.name for one in found if one.number != one.patients.sum()]
    assert not wrong, f"published counts that are wrong: {wrong}"
    return found


def _by_group(question: Question, grouping: Grouping) -> Question:
    """The same question, of each group as well."""
    groups = [*grouping.groups, *([None] if grouping.unknown else [])]
    profiles = [one | {"group": group} for group in groups for one in question.profiles]
    of = [one | {"group": group} for one, group in zip(question.of, grouping.of, strict=True)]
    published, hidden = dict(question.published), dict(question.hidden)
    for group in grouping.groups:

        def within(rule: Callable[[Profile], bool], group: str = group) -> Any:
            return lambda one: one["group"] == group and rule(one)

        published["everybody", group] = _equals("group", group)
        published |= {(*name, group): within(rule) for name, rule in question.published.items()}
        hidden |= {f"{group}: {words}": within(rule) for words, rule in question.hidden.items()}
    return Question(profiles, of, published, hidden)


def attack_groups(
    shown: Analysis,
    compared: Comparison,
    tables: dict[str, pd.DataFrame],
    config: RunConfig,
    threshold: int,
) -> list[str]:
    """What an aggregate with groups gives away; empty if nothing."""
    reader = Reader(shown, tables, config)
    counts = [*reader.counts(), *group_counts(compared, tables)]
    found = small_differences(counts, threshold)
    return found + narrow_groups(reader, compared.grouping, counts, threshold)


def narrow_groups(
    reader: Reader, grouping: Grouping, counts: list[Count], threshold: int
) -> list[str]:
    """The small counts of groups that are known more closely than the threshold is wide."""
    asked = [_course(reader), *(_levels(reader, row.key) for row in reader.shown.baseline)]
    found = []
    for question in (*asked, _rules(reader)):
        found += _by_group(question, grouping).narrow(counts, threshold)
    return found
