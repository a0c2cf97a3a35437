"""The numbers of a cohort from which no small group can be read or computed.

A small group is one of 1 up to, but not including, the threshold. Which counts may stand beside
each other is decided in ``statistics.disclosure``; here they are put forward in the order of their
importance, so that what comes later is hidden where not everything can be shown.

Reasons for a missing value, numbers of complications (not of patients) and medians of times are
never shown. Numbers of resources are rounded, because a resource is often a patient.
"""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from msgspec.structs import replace

from fhircryo.endpoints.catalogue import (
    ADVERSE_EVENT_COUNT,
    DISEASE_FREE,
    DISEASE_FREE_SURVIVAL,
    MAJOR_CLAVIEN,
    MAJOR_SIR,
    PROM_SCORE,
    PSA_NADIR,
    TIME_TO_FAILURE,
    WORST_CLAVIEN,
    WORST_CTCAE,
    WORST_SIR,
)
from fhircryo.endpoints.value_types import Detail
from fhircryo.mapping.protocol import PublishedFigure
from fhircryo.record.items import Reason
from fhircryo.research.aggregate_baseline import shown_baseline
from fhircryo.research.aggregate_flow import rounded, shown_flow
from fhircryo.research.aggregate_scores import says_anything, shown_proms
from fhircryo.research.aggregate_times import shown_survival
from fhircryo.research.analysis import Analysis, Grades, NotUsedCount, Prom
from fhircryo.research.complication_summary import (
    NOT_KNOWN,
    ComplicationSummary,
    GradedShare,
    KindCount,
    patients_by_kind,
)
from fhircryo.research.disclosure_topics import (
    COMPLICATIONS,
    GRADES,
    RULES,
    SALVAGE,
    WITHIN,
    questionnaire,
)
from fhircryo.research.disease_free_rates import DiseaseFreeRate
from fhircryo.research.endpoint_columns import detail_column, rule_column
from fhircryo.research.evaluable import Evaluable
from fhircryo.research.flow import NOT_SHOWN
from fhircryo.research.patient_columns import score_column, within_column
from fhircryo.research.results_table import SHARES, ResultsRow
from fhircryo.research.shown_groups import ShownGroups, as_group
from fhircryo.research.statistics.distribution import Distribution
from fhircryo.research.statistics.suppress import is_small
from fhircryo.research.survival import Survival
from fhircryo.research.table import PATIENT, snake
from fhircryo.runs.run_config import RunConfig

if TYPE_CHECKING:
    import pandas as pd

#: The topics of the endpoints that are not topics themselves.
_TOPICS = {
    MAJOR_CLAVIEN.key: COMPLICATIONS,
    MAJOR_SIR.key: COMPLICATIONS,
    ADVERSE_EVENT_COUNT.key: COMPLICATIONS,
    WORST_CLAVIEN.key: GRADES,
    WORST_SIR.key: GRADES,
    WORST_CTCAE.key: GRADES,
}
#: The curves that are the main result; the others follow after the questionnaires.
_MAIN_TIMES = (TIME_TO_FAILURE, DISEASE_FREE_SURVIVAL)


def aggregated(
    found: Analysis,
    tables: "dict[str, pd.DataFrame]",
    config: RunConfig,
    threshold: int,
    groups: ShownGroups | None = None,
) -> Analysis:
    """The analysis without small groups and without individual patients.

    ``tables``: those that it was computed from. ``groups``: with what is published before; not
    given: nothing is.
    """
    groups = groups or ShownGroups(tables["patients"], threshold)
    return _Aggregator(found, tables, config, groups).shown()


class _Aggregator:
    """Puts the numbers of a cohort forward, the most important ones first."""

    def __init__(
        self,
        found: Analysis,
        tables: "dict[str, pd.DataFrame]",
        config: RunConfig,
        groups: ShownGroups,
    ) -> None:
        self._found = found
        self._adverse_events = tables["adverse_events"]
        self._config = config
        self._threshold = groups.threshold
        self._groups = groups
        #: In a small cohort also that nobody has something is a statement about few.
        self._few = is_small(found.flow.cohort or 0, groups.threshold)

    def shown(self) -> Analysis:
        found, groups, protocol = self._found, self._groups, self._config.protocol
        rates = {rate.rule: self._rate(rate) for rate in found.disease_free if rate.in_protocol}
        figures = list(zip(found.table, protocol.published, strict=True))
        rows = [self._row(row, figure) for row, figure in figures]
        salvaged = groups.proportion(SALVAGE, found.salvaged, "salvage_therapy")
        times = self._times(found.survival, main=True)
        nadir = self._distribution(PSA_NADIR.key, snake(PSA_NADIR.key), found.nadir)
        nadir_days = self._distribution(
            PSA_NADIR.key, detail_column(PSA_NADIR, Detail.DAYS), found.nadir_days
        )
        proms = self._proms()
        times |= self._times(found.survival, main=False)
        rates |= {
            rate.rule: self._rate(rate) for rate in found.disease_free if not rate.in_protocol
        }
        return Analysis(
            flow=shown_flow(found.flow, self._threshold),
            # Medians of times, and curves, are never shown.
            follow_up=None,
            baseline=tuple(shown_baseline(row, groups) for row in found.baseline),
            table=tuple(
                _with_change(row, figure, proms) if row.change else row
                for row, (_, figure) in zip(rows, figures, strict=True)
            ),
            disease_free=tuple(
                self._with_no_response(rates[rate.rule]) for rate in found.disease_free
            ),
            survival=tuple(times[survival.endpoint.key] for survival in found.survival),
            competing=(),
            nadir=nadir,
            # Thresholds beside quartiles would tell of few.
            nadirs=(),
            nadir_days=nadir_days,
            proms=proms,
            complications=self._complications(found.complications),
            grades=self._grades(found.grades),
            evaluable=self._all_evaluable({prom.instrument for prom in proms}),
            not_used=tuple(self._not_used()),
            salvaged=salvaged,
            salvage=None,
        )

    def _row(self, row: ResultsRow, figure: PublishedFigure) -> ResultsRow:
        """A row of the results that is a count."""
        hidden = replace(row, ours=NOT_SHOWN, counted=None, change=None)
        groups, endpoint = self._groups, SHARES.get(figure.row)
        if figure.row == "patients":
            return hidden if self._few else row
        if row.counted is None:
            return hidden if self._few and row.change is None else row
        if figure.row == "not-evaluable":
            known = groups.known(snake(DISEASE_FREE.key))
            return row if groups.admit(DISEASE_FREE.key, known) else hidden
        if endpoint is None:
            topic, column = WITHIN, within_column(figure.months or 0)
        else:
            topic, column = _TOPICS.get(endpoint.key, endpoint.key), snake(endpoint.key)
        return row if groups.proportion(topic, row.counted, column) is not None else hidden

    def _rate(self, rate: DiseaseFreeRate) -> DiseaseFreeRate:
        topic = DISEASE_FREE.key if rate.in_protocol else RULES
        shown = self._groups.proportion(topic, rate.rate, rule_column(rate.rule))
        return replace(
            rate,
            rate=shown,
            worst=None,
            best=None,
            absent=(),
            estimable=rate.estimable or self._few,
        )

    def _with_no_response(self, rate: DiseaseFreeRate) -> DiseaseFreeRate:
        if rate.with_no_response is None:
            return rate
        groups, column = self._groups, rule_column(rate.rule)
        reasons = groups.patients[f"{column}_{Detail.REASON}"].astype(object)
        counted = groups.known(column) | as_group(reasons == str(Reason.NO_PSA_RESPONSE))
        if groups.admit(RULES, counted, groups.yes(column)):
            return rate
        return replace(rate, with_no_response=None)

    def _times(self, survival: Iterable[Survival], *, main: bool) -> dict[str, Survival]:
        chosen = [one for one in survival if (one.endpoint in _MAIN_TIMES) == main]
        return {
            one.endpoint.key: shown_survival(
                replace(one, estimable=one.estimable or self._few), self._groups
            )
            for one in chosen
        }

    def _distribution(
        self, topic: str, column: str, values: Distribution | None
    ) -> Distribution | None:
        shown = self._groups.quartiles(values)
        return shown if self._groups.admit(topic, self._groups.known(column)) else None

    def _complications(self, found: ComplicationSummary) -> ComplicationSummary:
        groups = self._groups
        by_kind = patients_by_kind(self._adverse_events)
        kinds = []
        for kind in found.kinds:
            having = as_group(groups.patients[PATIENT].isin(by_kind[kind.kind]))
            if groups.admit(COMPLICATIONS, groups.everybody, having):
                kinds.append(KindCount(kind.kind, kind.words, None, kind.patients))
        endpoints = (MAJOR_CLAVIEN, MAJOR_SIR)
        shares = zip(found.shares, endpoints, strict=True)
        return replace(
            found,
            kinds=tuple(kinds),
            shares=tuple(self._graded(share, snake(endpoint.key)) for share, endpoint in shares),
            not_recorded=() if self._few else found.not_recorded,
        )

    def _graded(self, share: GradedShare, column: str) -> GradedShare:
        groups = self._groups
        counted = groups.proportion(COMPLICATIONS, share.counted, column)
        having = set().union(*patients_by_kind(self._adverse_events).values())
        known = groups.known(column)
        left_out = ~known & as_group(groups.patients[PATIENT].isin(having))
        told = groups.admit(COMPLICATIONS, known, left_out)
        return replace(
            share,
            recorded=share.recorded or self._few,
            estimable=share.estimable or self._few,
            counted=counted,
            left_out=share.left_out if told else None,
            absent=(),
        )

    def _grades(self, grades: Grades) -> Grades:
        patients = self._groups.patients
        clavien, sir = (
            patients[snake(endpoint.key)].astype(object).fillna(NOT_KNOWN)
            for endpoint in (WORST_CLAVIEN, WORST_SIR)
        )
        cells = [
            as_group((clavien == row) & (sir == column))
            for row in grades.rows
            for column in grades.columns
        ]
        if self._groups.admit(GRADES, self._groups.everybody, *cells):
            return grades
        return Grades((), (), None)

    def _proms(self) -> tuple[Prom, ...]:
        """The questionnaires of which anything is shown, and those of the publication.

        That somebody answered another one is not told.
        """
        protocol = self._config.protocol
        named = {row.instrument for row in protocol.published}
        proms = shown_proms(self._found.proms, self._groups, protocol)
        return tuple(prom for prom in proms if prom.instrument in named or says_anything(prom))

    def _not_used(self) -> Iterator[NotUsedCount]:
        """What was not used, where it is much; where it is less, not even the reason is told."""
        for counted in self._found.not_used:
            count = rounded(counted.count, self._threshold)
            if count is not None and not self._few:
                yield replace(counted, count=count)

    def _all_evaluable(self, instruments: set[str]) -> tuple[Evaluable, ...]:
        codes = {PROM_SCORE.code(instrument) for instrument in instruments}
        return tuple(
            self._evaluable(endpoint)
            for endpoint in self._found.evaluable
            if not endpoint.time_point or endpoint.code in codes
        )

    def _evaluable(self, endpoint: Evaluable) -> Evaluable:
        code, point = endpoint.code, endpoint.time_point
        if point:
            instrument = code.removeprefix(f"{PROM_SCORE.key}-")
            topic, column = questionnaire(instrument), score_column(instrument, point)
        else:
            topic, column = _TOPICS.get(code, code), snake(code)
        shown = self._groups.admit(topic, self._groups.known(column))
        return replace(endpoint, patients=endpoint.patients if shown else None, absent=())


def _with_change(row: ResultsRow, figure: PublishedFigure, proms: Iterable[Prom]) -> ResultsRow:
    """A row that tests a change, as far as the questionnaires show it."""
    for prom in proms:
        for change in prom.changes:
            if (prom.instrument, change.time_point) == (figure.instrument, figure.time_point):
                paired = change.paired
                if paired is not None and (paired.p is not None or not paired.changed):
                    return replace(row, change=paired)
                if paired is not None:
                    return replace(row, ours=NOT_SHOWN, change=paired)
    # The label of a change ends with the number of its pairs.
    words = row.words.rpartition(",")[0]
    return replace(row, words=words, ours=NOT_SHOWN, change=None)
