"""The numbers of the report, computed from the tables alone."""

from typing import TYPE_CHECKING

import msgspec

from fhircryo.endpoints.catalogue import (
    PROM_SCORE,
    PSA_NADIR,
    WORST_CLAVIEN,
    WORST_SIR,
    Endpoint,
)
from fhircryo.endpoints.value_types import Detail
from fhircryo.mapping.protocol import BASELINE
from fhircryo.mapping.schema import ImportantDifference, Instrument
from fhircryo.research.columns import (
    expected_column,
    instruments,
    score_column,
    time_points,
)
from fhircryo.research.endpoint_columns import (
    OF_PATIENTS,
    TIMES_TO_EVENT,
    detail_column,
    grade_levels,
)
from fhircryo.research.flow import Flow
from fhircryo.research.results_table import ResultsRow, results_table
from fhircryo.research.statistics.distribution import Distribution, distribution
from fhircryo.research.statistics.kaplan_meier import Curve, Estimate, kaplan_meier
from fhircryo.research.statistics.paired import Paired, wilcoxon_paired
from fhircryo.research.statistics.proportions import Proportion, proportion
from fhircryo.research.statistics.responders import Responders, responders
from fhircryo.research.table import PATIENT, snake
from fhircryo.runs.run_config import RunConfig

if TYPE_CHECKING:
    import pandas as pd

#: The mean number of days of a month: 365.25 / 12.
MONTH = 30.4375
#: The months at which the survival curves are read off.
LANDMARKS = (6, 12, 24, 36, 48, 60)
_NO_REASON = "no response"
_NOT_KNOWN = "not known"


class Absence(msgspec.Struct, frozen=True):
    """How many patients lack an endpoint for a reason; None if too few to be shown."""

    reason: str
    patients: int | None


class Evaluable(msgspec.Struct, frozen=True):
    """How many patients have a value of an endpoint, and why the others have none."""

    code: str
    time_point: str
    patients: int | None
    absent: tuple[Absence, ...]


class Survival(msgspec.Struct, frozen=True):
    """A time to event. ``curve``: None if it would disclose individual patients."""

    endpoint: Endpoint
    patients: int | None
    events: int | None
    landmarks: tuple[Estimate, ...]
    median: int | None = None
    curve: Curve | None = None


class PromPoint(msgspec.Struct, frozen=True):
    """An instrument at a time point.

    ``completeness``: the patients with a score, of those who were expected to answer.
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
    """An instrument over time; ``worse``: whether a higher or a lower score is worse."""

    instrument: str
    words: str
    worse: str
    difference: ImportantDifference | None
    points: tuple[PromPoint, ...]
    changes: tuple[PromChange, ...]


class Grades(msgspec.Struct, frozen=True):
    """Patients by worst Clavien-Dindo (rows) and worst SIR grade (columns), unknown grades last.

    Rows and columns without a patient are left out. ``cells``: None if too few to be shown.
    """

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    cells: tuple[tuple[int, ...], ...] | None


class NotUsedCount(msgspec.Struct, frozen=True):
    """How many resources of a type were not used for a reason; None if too few to be shown."""

    reason: str
    resource_type: str
    count: int | None


class Salvage(msgspec.Struct, frozen=True):
    """A patient with salvage therapy; ``days``: its day counted from D0, None if not known."""

    patient: str
    days: int | None


class Analysis(msgspec.Struct, frozen=True):
    """The numbers of a cohort. ``salvage``: None if no individual patient may be shown."""

    flow: Flow
    table: tuple[ResultsRow, ...]
    survival: tuple[Survival, ...]
    nadir: Distribution | None
    nadir_days: Distribution | None
    proms: tuple[Prom, ...]
    grades: Grades
    evaluable: tuple[Evaluable, ...]
    not_used: tuple[NotUsedCount, ...]
    salvaged: Proportion | None
    salvage: tuple[Salvage, ...] | None


def analyse(tables: "dict[str, pd.DataFrame]", config: RunConfig, flow: Flow) -> Analysis:
    """All numbers of a cohort from its tables."""
    patients = tables["patients"]
    salvaged = patients[patients["salvage_therapy"]]
    nadir = patients[snake(PSA_NADIR.key)]
    nadir_days = patients[detail_column(PSA_NADIR, Detail.DAYS)]
    return Analysis(
        flow=flow,
        table=tuple(results_table(patients, config.protocol, config.mappings.instruments)),
        survival=tuple(_survival(patients, endpoint) for endpoint in TIMES_TO_EVENT),
        nadir=distribution(nadir.dropna()),
        nadir_days=distribution(nadir_days.dropna()),
        proms=tuple(
            _prom(patients, instrument, time_points(config.protocol))
            for instrument in instruments(config.mappings)
            if score_column(instrument.key, BASELINE) in patients
        ),
        grades=_grades(patients, config),
        evaluable=tuple(_evaluable(patients, config)),
        not_used=_not_used(tables["not_used"]),
        salvaged=proportion(len(salvaged), len(patients)),
        salvage=_salvage(salvaged),
    )


def _salvage(salvaged: "pd.DataFrame") -> tuple[Salvage, ...]:
    rows = salvaged[[PATIENT, "salvage_therapy_days"]].astype(object)
    return tuple(
        Salvage(str(row[0]), None if row[1] is None else int(row[1]))
        for row in rows.where(lambda frame: frame.notna(), None).itertuples(index=False)
    )


def _survival(patients: "pd.DataFrame", endpoint: Endpoint) -> Survival:
    time, event = snake(endpoint.key), detail_column(endpoint, Detail.EVENT)
    known = patients[[time, event]].dropna()
    curve = kaplan_meier(known[time], known[event])
    last = curve.days[-1] if curve.days else 0
    landmarks = tuple(
        curve.at(round(months * MONTH)) for months in LANDMARKS if months * MONTH <= last
    )
    return Survival(endpoint, curve.n, curve.n_events, landmarks, curve.median, curve)


def _prom(patients: "pd.DataFrame", instrument: Instrument, points: list[str]) -> Prom:
    at_points, changes = [], []
    for point in points:
        scores = patients[score_column(instrument.key, point)]
        expected = int(patients[expected_column(point)].sum())
        scored = scores.dropna()
        at_points.append(PromPoint(point, proportion(len(scored), expected), distribution(scored)))
        if point == BASELINE:
            continue
        differences = patients[score_column(instrument.key, point, change=True)].dropna()
        responded = None
        important = instrument.minimal_important_difference
        if important is not None:
            responded = responders(differences, important.points, instrument.worse)
        changes.append(PromChange(point, wilcoxon_paired(differences), responded))
    return Prom(
        instrument.key,
        instrument.words,
        instrument.worse,
        instrument.minimal_important_difference,
        tuple(at_points),
        tuple(changes),
    )


def _grades(patients: "pd.DataFrame", config: RunConfig) -> Grades:
    rows, columns = (
        patients[snake(endpoint.key)]
        .astype(object)
        .where(lambda grades: grades.notna(), _NOT_KNOWN)
        for endpoint in (WORST_CLAVIEN, WORST_SIR)
    )
    levels = [
        [
            level
            for level in (*grade_levels(config.mappings, endpoint.scale), _NOT_KNOWN)
            if (values == level).any()
        ]
        for endpoint, values in ((WORST_CLAVIEN, rows), (WORST_SIR, columns))
    ]
    cells = tuple(
        tuple(int(((rows == row) & (columns == column)).sum()) for column in levels[1])
        for row in levels[0]
    )
    return Grades(tuple(levels[0]), tuple(levels[1]), cells)


def _evaluable(patients: "pd.DataFrame", config: RunConfig) -> list[Evaluable]:
    """In catalogue order; only the instruments that the table of patients has."""
    found = []
    for endpoint in OF_PATIENTS:
        found.append(_known(patients, snake(endpoint.key), endpoint.key, ""))
    for instrument in instruments(config.mappings):
        for point in time_points(config.protocol):
            column = score_column(instrument.key, point)
            if column in patients:
                code = PROM_SCORE.code(instrument.key)
                found.append(_known(patients, column, code, point))
    return found


def _known(patients: "pd.DataFrame", column: str, code: str, point: str) -> Evaluable:
    absent = patients[patients[column].isna()]
    reasons = absent[f"{column}_{Detail.REASON}"].astype(object)
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
