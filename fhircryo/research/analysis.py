"""What the report says in numbers, computed from the tables alone."""

from typing import TYPE_CHECKING

import msgspec

from fhircryo.endpoints.catalogue import (
    CATALOGUE,
    DISEASE_FREE_SURVIVAL,
    METASTASIS_FREE_SURVIVAL,
    PROM_CHANGE,
    PROM_SCORE,
    PSA_NADIR,
    TIME_TO_FAILURE,
    WORST_CLAVIEN,
    WORST_SIR,
    Endpoint,
)
from fhircryo.mapping.protocol import BASELINE
from fhircryo.mapping.schema import ImportantDifference, Instrument
from fhircryo.research.columns import (
    PATIENT,
    expected_column,
    grade_levels,
    instruments,
    score_column,
    snake,
    time_points,
)
from fhircryo.research.flow import Flow
from fhircryo.research.results_table import Row, results_table
from fhircryo.research.statistics.distribution import Distribution, distribution
from fhircryo.research.statistics.kaplan_meier import Curve, Estimate, kaplan_meier
from fhircryo.research.statistics.paired import Paired, wilcoxon_paired
from fhircryo.research.statistics.proportions import Proportion, proportion
from fhircryo.research.statistics.responders import Responders, responders
from fhircryo.runs.run_config import RunConfig

if TYPE_CHECKING:
    import pandas as pd

#: The three times to event.
TIMES = (TIME_TO_FAILURE, DISEASE_FREE_SURVIVAL, METASTASIS_FREE_SURVIVAL)
#: Days of a month on average: 365.25 / 12.
MONTH = 30.4375
#: Where the curves are read off, in months.
LANDMARKS = (6, 12, 24, 36, 48, 60)
_NO_REASON = "no response"


class Absence(msgspec.Struct, frozen=True):
    """Patients of whom an endpoint is not known, by reason; None where too few to be shown."""

    reason: str
    patients: int | None


class Evaluable(msgspec.Struct, frozen=True):
    """In how many patients an endpoint is known, and why not in the others."""

    code: str
    time_point: str
    patients: int | None
    absent: tuple[Absence, ...]


class Survival(msgspec.Struct, frozen=True):
    """A time to event. ``curve``: None where it would tell of individuals."""

    endpoint: Endpoint
    patients: int | None
    events: int | None
    landmarks: tuple[Estimate, ...]
    median: int | None = None
    curve: Curve | None = None


class PromPoint(msgspec.Struct, frozen=True):
    """An instrument at a time point: how many were to be expected, and answered so as to score.

    ``completeness``: scored of expected.
    """

    time_point: str
    completeness: Proportion | None
    scores: Distribution | None


class PromChange(msgspec.Struct, frozen=True):
    """An instrument's change since baseline at a time point."""

    time_point: str
    paired: Paired | None
    responders: Responders | None


class Prom(msgspec.Struct, frozen=True):
    """An instrument over time."""

    instrument: str
    words: str
    worse: str
    difference: ImportantDifference | None
    points: tuple[PromPoint, ...]
    changes: tuple[PromChange, ...]


class Grades(msgspec.Struct, frozen=True):
    """Patients by worst Clavien-Dindo (rows) and worst SIR grade (columns), the unknown last.

    ``cells``: None where they are too few to be shown. Rows and columns of nobody are left out.
    """

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    cells: tuple[tuple[int, ...], ...] | None


class NotUsedCount(msgspec.Struct, frozen=True):
    """Resources of a type that were not used for a reason; None where too few to be shown."""

    reason: str
    resource_type: str
    count: int | None


class Salvage(msgspec.Struct, frozen=True):
    """A patient with salvage therapy, and its day from index where it is known."""

    patient: str
    days: int | None


class Analysis(msgspec.Struct, frozen=True):
    """The numbers of a cohort. ``salvage``: None where no single patient may be shown."""

    flow: Flow
    table: tuple[Row, ...]
    survival: tuple[Survival, ...]
    nadir: Distribution | None
    nadir_days: Distribution | None
    proms: tuple[Prom, ...]
    grades: Grades
    evaluable: tuple[Evaluable, ...]
    not_used: tuple[NotUsedCount, ...]
    salvaged: Proportion | None
    salvage: tuple[Salvage, ...] | None


def analyse(tables: "dict[str, pd.DataFrame]", job: RunConfig, flow: Flow) -> Analysis:
    """All numbers of a cohort from its tables."""
    patients = tables["patients"]
    salvaged = patients[patients["salvage_therapy"]]
    nadir = patients[snake(PSA_NADIR.key)]
    return Analysis(
        flow=flow,
        table=tuple(results_table(patients, job.protocol, job.mappings.instruments)),
        survival=tuple(_survival(patients, endpoint) for endpoint in TIMES),
        nadir=distribution(nadir.dropna()),
        nadir_days=distribution(patients[f"{snake(PSA_NADIR.key)}_days"].dropna()),
        proms=tuple(
            _prom(patients, one, time_points(job.protocol))
            for one in instruments(job.mappings)
            if score_column(one.key, BASELINE) in patients
        ),
        grades=_grades(patients, job),
        evaluable=tuple(_evaluable(patients, job)),
        not_used=_not_used(tables["not_used"]),
        salvaged=proportion(len(salvaged), len(patients)),
        salvage=tuple(
            Salvage(str(row[0]), None if row[1] is None else int(row[1]))
            for row in salvaged[[PATIENT, "salvage_therapy_days"]]
            .astype(object)
            .where(lambda frame: frame.notna(), None)
            .itertuples(index=False)
        ),
    )


def _survival(patients: "pd.DataFrame", endpoint: Endpoint) -> Survival:
    name = snake(endpoint.key)
    known = patients[[name, f"{name}_event"]].dropna()
    curve = kaplan_meier(known[name], known[f"{name}_event"])
    last = curve.days[-1] if curve.days else 0
    landmarks = tuple(
        curve.at(round(months * MONTH)) for months in LANDMARKS if months * MONTH <= last
    )
    return Survival(endpoint, curve.n, curve.n_events, landmarks, curve.median, curve)


def _prom(patients: "pd.DataFrame", instrument: Instrument, points: list[str]) -> Prom:
    found, changes = [], []
    for point in points:
        scores = patients[score_column(instrument.key, point)]
        expected = int(patients[expected_column(point)].sum())
        scored = scores.dropna()
        found.append(PromPoint(point, proportion(len(scored), expected), distribution(scored)))
        if point == BASELINE:
            continue
        changed = patients[score_column(instrument.key, point, change=True)].dropna()
        counted = None
        difference = instrument.minimal_important_difference
        if difference is not None:
            counted = responders(changed, difference.points, instrument.worse)
        changes.append(PromChange(point, wilcoxon_paired(changed), counted))
    return Prom(
        instrument.key,
        instrument.words,
        instrument.worse,
        instrument.minimal_important_difference,
        tuple(found),
        tuple(changes),
    )


def _grades(patients: "pd.DataFrame", job: RunConfig) -> Grades:
    rows, columns = (
        patients[snake(endpoint.key)].astype(object).where(lambda one: one.notna(), "not known")
        for endpoint in (WORST_CLAVIEN, WORST_SIR)
    )
    levels = [
        [
            level
            for level in (*grade_levels(job.mappings, endpoint.scale), "not known")
            if (values == level).any()
        ]
        for endpoint, values in ((WORST_CLAVIEN, rows), (WORST_SIR, columns))
    ]
    cells = tuple(
        tuple(int(((rows == row) & (columns == column)).sum()) for column in levels[1])
        for row in levels[0]
    )
    return Grades(tuple(levels[0]), tuple(levels[1]), cells)


def _evaluable(patients: "pd.DataFrame", job: RunConfig) -> list[Evaluable]:
    """In catalogue order; of instruments only those that the table of patients has."""
    found = []
    for endpoint in CATALOGUE:
        if endpoint not in (PROM_SCORE, PROM_CHANGE):
            found.append(_known(patients, snake(endpoint.key), endpoint.key, ""))
    for instrument in instruments(job.mappings):
        for point in time_points(job.protocol):
            column = score_column(instrument.key, point)
            if column in patients:
                code = f"{PROM_SCORE.key}-{instrument.key}"
                found.append(_known(patients, column, code, point))
    return found


def _known(patients: "pd.DataFrame", column: str, code: str, point: str) -> Evaluable:
    absent = patients[patients[column].isna()]
    reasons = absent[f"{column}_reason"].astype(object)
    counts = reasons.where(reasons.notna(), _NO_REASON).value_counts()
    return Evaluable(
        code,
        point,
        len(patients) - len(absent),
        tuple(Absence(str(reason), int(counts[reason])) for reason in sorted(counts.index)),
    )


def _not_used(table: "pd.DataFrame") -> tuple[NotUsedCount, ...]:
    columns = ["reason", "resource_type"]
    summed = table.groupby(columns, observed=True, sort=True)["count"].sum().reset_index()
    return tuple(
        NotUsedCount(str(row[0]), str(row[1]), int(row[2]))
        for row in summed.itertuples(index=False)
    )
