"""The numbers of the report, computed from the tables alone."""

from typing import TYPE_CHECKING

import msgspec

from fhircryo.endpoints.catalogue import PSA_NADIR, WORST_CLAVIEN, WORST_SIR
from fhircryo.endpoints.value_types import Detail
from fhircryo.mapping.instrument_schema import (
    ImportantDifference,
    Instrument,
)
from fhircryo.mapping.protocol import BASELINE
from fhircryo.research.baseline_summary import BaselineRow, baseline_summary
from fhircryo.research.columns import ADVERSE_EVENTS, EVENTS, NOT_USED, PATIENTS
from fhircryo.research.competing_risks import CompetingRisk, competing_risks
from fhircryo.research.complication_summary import (
    NOT_KNOWN,
    ComplicationSummary,
    complication_summary,
    known_levels,
)
from fhircryo.research.disease_free_rates import DiseaseFreeRate, disease_free_rates
from fhircryo.research.endpoint_columns import TIMES_TO_EVENT, detail_column
from fhircryo.research.evaluable import Evaluable, evaluable
from fhircryo.research.failure_rates import FailureRate, failure_rates
from fhircryo.research.flow import Flow
from fhircryo.research.follow_up import FollowUp, follow_up
from fhircryo.research.nadir_shares import NadirShare, nadir_shares
from fhircryo.research.patient_columns import (
    expected_column,
    instruments,
    mark_column,
    score_column,
    time_points,
)
from fhircryo.research.results_table import ResultsRow, results_table
from fhircryo.research.statistics.distribution import Distribution, distribution
from fhircryo.research.statistics.paired import Paired, wilcoxon_paired
from fhircryo.research.statistics.proportions import Proportion, proportion
from fhircryo.research.statistics.responders import Responders, responders
from fhircryo.research.survival import Survival, survival
from fhircryo.research.table import PATIENT, snake
from fhircryo.runs.run_config import RunConfig

if TYPE_CHECKING:
    import pandas as pd

#: The tables that the numbers are computed from.
ANALYSED = (PATIENTS, EVENTS, ADVERSE_EVENTS, NOT_USED)


class PromPoint(msgspec.Struct, frozen=True):
    """An instrument at a time point.

    ``completeness``: the patients with a score, of those who were expected to answer.
    """

    time_point: str
    completeness: Proportion | None
    scores: Distribution | None


class Unmarked(msgspec.Struct, frozen=True):
    """A change without the pairs of which a score carries a mark.

    ``key``: of the mark; ``mark``: its words. ``marked``: how many pairs are left out; None if too
    few to be shown.
    """

    key: str
    mark: str
    marked: int | None
    paired: Paired | None


class PromChange(msgspec.Struct, frozen=True):
    """An instrument's change since baseline at a time point; ``unmarked``: one for each mark."""

    time_point: str
    paired: Paired | None
    responders: Responders | None
    unmarked: tuple[Unmarked, ...] = ()


class Prom(msgspec.Struct, frozen=True):
    """An instrument over time; ``worse``: whether a higher or a lower score is worse.

    ``limits``: the least and the greatest possible score.
    """

    instrument: str
    words: str
    worse: str
    difference: ImportantDifference | None
    points: tuple[PromPoint, ...]
    changes: tuple[PromChange, ...]
    limits: tuple[float, float]


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
    """The numbers of a cohort.

    ``follow_up``: None in an empty cohort, or if it may not be shown. ``competing``: empty if
    it may not be shown; so is ``nadirs``. ``salvage``: None if no individual patient may be shown.
    ``failures``: as computed and as confirmed; empty if they may not be shown.
    """

    flow: Flow
    follow_up: FollowUp | None
    baseline: tuple[BaselineRow, ...]
    table: tuple[ResultsRow, ...]
    disease_free: tuple[DiseaseFreeRate, ...]
    survival: tuple[Survival, ...]
    competing: tuple[CompetingRisk, ...]
    nadir: Distribution | None
    nadirs: tuple[NadirShare, ...]
    nadir_days: Distribution | None
    proms: tuple[Prom, ...]
    complications: ComplicationSummary
    grades: Grades
    evaluable: tuple[Evaluable, ...]
    not_used: tuple[NotUsedCount, ...]
    salvaged: Proportion | None
    salvage: tuple[Salvage, ...] | None
    failures: tuple[FailureRate, ...] = ()


def analyse(tables: "dict[str, pd.DataFrame]", config: RunConfig, flow: Flow) -> Analysis:
    """All numbers of a cohort from its tables."""
    patients, adverse_events = tables["patients"], tables["adverse_events"]
    found_instruments = instruments(config.mappings)
    salvaged = patients[patients["salvage_therapy"]]
    nadir = patients[snake(PSA_NADIR.key)]
    nadir_days = patients[detail_column(PSA_NADIR, Detail.DAYS)]
    return Analysis(
        flow=flow,
        follow_up=follow_up(patients),
        baseline=baseline_summary(patients),
        table=tuple(results_table(patients, adverse_events, config.protocol, found_instruments)),
        disease_free=disease_free_rates(patients, config.protocol),
        survival=tuple(
            survival(patients, tables[EVENTS], one, config.protocol, config.settings.least_at_risk)
            for one in TIMES_TO_EVENT
        ),
        competing=competing_risks(patients),
        nadir=distribution(nadir.dropna()),
        nadirs=nadir_shares(patients, config.protocol.psa.nadir_reported),
        nadir_days=distribution(nadir_days.dropna()),
        proms=tuple(
            _prom(patients, instrument, time_points(config.protocol))
            for instrument in found_instruments
            if score_column(instrument.key, BASELINE) in patients
        ),
        complications=complication_summary(patients, adverse_events, config),
        grades=_grades(patients, config),
        evaluable=tuple(evaluable(patients, config)),
        not_used=_not_used(tables["not_used"]),
        salvaged=proportion(len(salvaged), len(patients)),
        salvage=_salvage(salvaged),
        failures=failure_rates(patients, config.protocol),
    )


def _salvage(salvaged: "pd.DataFrame") -> tuple[Salvage, ...]:
    rows = salvaged[[PATIENT, "salvage_therapy_days"]].astype(object)
    return tuple(
        Salvage(str(row[0]), None if row[1] is None else int(row[1]))
        for row in rows.where(lambda frame: frame.notna(), None).itertuples(index=False)
    )


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
        unmarked = _unmarked(patients, instrument, point)
        responded = None
        important = instrument.minimal_important_difference
        if important is not None:
            responded = responders(differences, important.points, instrument.worse)
        changes.append(PromChange(point, wilcoxon_paired(differences), responded, unmarked))
    low, high = instrument.limits
    return Prom(
        instrument.key,
        instrument.words,
        instrument.worse,
        instrument.minimal_important_difference,
        tuple(at_points),
        tuple(changes),
        (float(low), float(high)),
    )


def _unmarked(patients: "pd.DataFrame", instrument: Instrument, point: str) -> tuple[Unmarked, ...]:
    """The change without the marked pairs, for each mark that any pair carries."""
    differences = patients[score_column(instrument.key, point, change=True)].dropna()
    found = []
    for mark in instrument.marks:
        column = mark_column(instrument.key, point, mark.key, change=True)
        marked = patients.loc[differences.index, column].fillna(False).astype(bool)
        if marked.any():
            paired = wilcoxon_paired(differences[~marked])
            found.append(Unmarked(mark.key, mark.words, int(marked.sum()), paired))
    return tuple(found)


def _grades(patients: "pd.DataFrame", config: RunConfig) -> Grades:
    rows, columns = (
        patients[snake(endpoint.key)].astype(object).where(lambda grades: grades.notna(), NOT_KNOWN)
        for endpoint in (WORST_CLAVIEN, WORST_SIR)
    )
    levels = [
        [
            level
            for level in known_levels(config.mappings, endpoint.scale)
            if (values == level).any()
        ]
        for endpoint, values in ((WORST_CLAVIEN, rows), (WORST_SIR, columns))
    ]
    cells = tuple(
        tuple(int(((rows == row) & (columns == column)).sum()) for column in levels[1])
        for row in levels[0]
    )
    return Grades(tuple(levels[0]), tuple(levels[1]), cells)


def _not_used(table: "pd.DataFrame") -> tuple[NotUsedCount, ...]:
    columns = ["reason", "resource_type"]
    summed = table.groupby(columns, observed=True, sort=True)["count"].sum().reset_index()
    return tuple(
        NotUsedCount(str(row[0]), str(row[1]), int(row[2]))
        for row in summed.itertuples(index=False)
    )
