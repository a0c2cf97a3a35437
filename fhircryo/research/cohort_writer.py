"""The files of a cohort's folder: tables, statistics, report and manifest."""

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fhircryo.errors import UsageError
from fhircryo.publish.measure import measure
from fhircryo.research import redcap
from fhircryo.research.aggregate import aggregated
from fhircryo.research.aggregate_flow import shown_flow
from fhircryo.research.analysis import Analysis, analyse
from fhircryo.research.arrow import to_arrow
from fhircryo.research.build import Built
from fhircryo.research.cohort_manifest import manifest
from fhircryo.research.cohort_tables import Cohort, cohort_from
from fhircryo.research.columns import FOLLOW_UP, PATIENTS
from fhircryo.research.comparison import Comparison, compare
from fhircryo.research.flow import Flow
from fhircryo.research.folder_options import (
    CSV,
    FLOW,
    MANIFEST,
    MEASURE,
    MEASURE_REPORT,
    METHODS,
    OMOP,
    PARQUET,
    RATES,
    REDCAP,
    REPORT,
    TABLES,
    FolderOptions,
)
from fhircryo.research.grouping import Grouping, group_patients
from fhircryo.research.measure_report import measure_report
from fhircryo.research.methods import methods
from fhircryo.research.omop import omop_files
from fhircryo.research.omop.omop_files import LeftOut
from fhircryo.research.pseudonyms import Pseudonyms, read_key, write_key
from fhircryo.research.quoting import plain
from fhircryo.research.rates import rates, rates_json
from fhircryo.research.reviewed import (
    Review,
    read_decisions,
    review_of,
    review_rows,
    reviews_table,
)
from fhircryo.research.shown_comparison import shown_comparison, shown_grouping
from fhircryo.research.shown_groups import QUARTERS, ShownGroups
from fhircryo.research.single_patients import single_patients
from fhircryo.research.stored_table import in_memory
from fhircryo.research.table import PATIENT
from fhircryo.research.table_options import INDEX_YEAR, TableOptions
from fhircryo.research.written_files import write_figures, write_json, write_tables
from fhircryo.runs.run_config import RunConfig

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Found:
    """What a run tells beside its files; the attributes are those of ``Cohort``.

    ``left_out``: what the files of OMOP do not have; nothing where none were written.
    """

    flow: Flow
    unknown_patients: list[str]
    left_out: LeftOut = field(default_factory=LeftOut)


@dataclass(frozen=True)
class CohortWriter:
    """Writes the files of a cohort.

    ``key``: the file of the pseudonyms' key; None: they are not used.
    """

    config: RunConfig
    options: FolderOptions
    pseudonyms: Pseudonyms
    key: Path | None

    @classmethod
    def to(cls, folder: Path | None, config: RunConfig, options: FolderOptions) -> "CohortWriter":
        """The writer of a cohort's folder; None: the folder is not on this machine.

        Raises:
            UsageError: the key cannot be used, or has no place.
        """
        if options.kind != "pseudonymised":
            return cls(config, options, Pseudonyms.at_random(), None)
        key = options.key
        if folder is not None:
            key = key or folder.with_name(f"{folder.name}.key")
            if folder.resolve() in key.resolve().parents:
                raise UsageError(f"{key}: the key would lie with the tables; name another --key")
        elif key is None:
            raise UsageError("the tables are not written to this machine: name --key FILE")
        pseudonyms = read_key(key) if key.exists() else Pseudonyms.at_random()
        return cls(config, options, pseudonyms, key)

    @property
    def tables(self) -> TableOptions:
        """What the tables hold."""
        identified = self.options.kind == "identified"
        name = str if identified else self.pseudonyms.of
        by = self.options.by
        with_year = not identified and by is not None and by.is_year
        return TableOptions(name, identified, self.options.between, with_year)

    def retain_key(self) -> None:
        """Write the key if it is a new one that the tables need.

        After all files, so that nothing is left of a run that has no room for them; and before they
        take their place, so that there are no tables without their key.
        """
        if self.key is not None and not self.key.exists():
            write_key(self.key, self.pseudonyms)

    def write(self, work: Path, built: Built) -> Found:
        """Write the files of the cohort's folder."""
        cohort = cohort_from(built, self.config)
        grouping = self._grouping(cohort)
        cohort = replace(
            cohort,
            stored=cohort.stored | {PATIENTS: cohort.stored[PATIENTS].without([INDEX_YEAR])},
        )
        review = self._review(cohort)
        flow = cohort.flow
        if self.options.kind == "aggregate-only":
            flow = shown_flow(flow, self.options.threshold)
        about = (self.config, self.options, flow, self.pseudonyms, built.hashes or {})
        write_json(work / MANIFEST, manifest(built.read, *about))
        shown = _write_folder(work, cohort, self.options, grouping, review)
        if self.options.measure_report:
            self._write_measure(work, shown, built)
        left_out = _write_omop(work, cohort, self.options.formats)
        return Found(cohort.flow, cohort.unknown_patients, left_out)

    def _write_measure(self, work: Path, shown: Analysis, built: Built) -> None:
        """Write the Measure and the MeasureReport; an aggregate tells no years and no reasons."""
        options, config = self.options, self.config
        by_year = {} if options.kind == "aggregate-only" else built.counts.disease_free
        # Where the rows have dates, years tell nothing new.
        threshold = 1 if options.kind == "identified" else options.threshold
        report = measure_report(shown, by_year, threshold, options.between, config)
        write_json(work / MEASURE, measure(config.protocol, config.settings.base))
        write_json(work / MEASURE_REPORT, report)

    def _grouping(self, cohort: Cohort) -> Grouping | None:
        """The groups of the patients in the order of the table; None: there are none."""
        by, table = self.options.by, cohort.stored[PATIENTS]
        if by is None:
            return None
        # The years of an identified cohort stand in its tables. Of others, nothing but its size
        # could be shown of a period that has few times the patients of a small group.
        hidden = self.options.kind != "identified"
        smallest = QUARTERS * self.options.threshold if hidden else 1
        return group_patients(table.frame(), table.columns, by, smallest)

    def _review(self, cohort: Cohort) -> Review | None:
        """The decisions of reviewers on the patients of the cohort; None if there are no files."""
        if not self.options.reviews:
            return None
        names = cohort.stored[PATIENTS].frame([PATIENT])[PATIENT]
        identified = self.options.kind == "identified"
        decisions = read_decisions(self.options.reviews)
        return review_of(decisions, names, self.tables.name, identified=identified)


def _write_folder(
    work: Path,
    cohort: Cohort,
    options: FolderOptions,
    grouping: Grouping | None,
    review: Review | None,
) -> Analysis:
    """Write the tables, the statistics and the report, and return the numbers that are shown."""
    tables = cohort.analysed()
    shown, comparison = _numbers(tables, cohort, options, grouping)
    del tables
    if options.kind != "aggregate-only":
        _write_tables(work, cohort, options, review)
    write_json(work / FLOW, _flow(shown))
    write_json(work / RATES, rates_json(rates(shown, cohort.config.protocol)))
    about = (cohort.config, shown.flow, options.between, options.kind)
    (work / METHODS).write_text(methods(*about), encoding="utf-8")
    if options.report:
        text = methods(*about, quote=plain)
        _write_report(work, cohort, shown, text, options, comparison, review)
    return shown


def _numbers(
    tables: "dict[str, pd.DataFrame]",
    cohort: Cohort,
    options: FolderOptions,
    grouping: Grouping | None,
) -> tuple[Analysis, Comparison | None]:
    """The numbers of the cohort, and its groups beside each other, as far as they are shown."""
    patients, config = tables[PATIENTS], cohort.config
    found = analyse(tables, config, cohort.flow)
    aggregate = options.kind == "aggregate-only"
    groups = ShownGroups(patients, options.threshold) if aggregate else None
    hiding = groups
    if groups is None and options.kind != "identified" and options.by and options.by.is_year:
        hiding = ShownGroups(patients, options.threshold, secret=True)
    if grouping is not None and hiding is not None:
        grouping = shown_grouping(grouping, hiding)
    if groups is not None:
        found = aggregated(found, tables, config, options.threshold, groups)
    if grouping is None:
        return found, None
    columns = cohort.columns[PATIENTS]
    comparison = compare(patients, grouping, columns, config, options.covariates)
    return found, comparison if hiding is None else shown_comparison(comparison, hiding)


def _write_tables(
    work: Path, cohort: Cohort, options: FolderOptions, review: Review | None
) -> None:
    formats = options.formats
    tables = [cohort.stored[name] for name in TABLES]
    if review is not None:
        columns = reviews_table(identified=options.kind == "identified")
        tables.append(in_memory(columns, to_arrow(columns, review_rows(review))))
    title = f"{cohort.config.protocol.title}, as of {cohort.config.as_of}"
    about = cohort.config.protocol.id, title
    write_tables(work, tables, formats, about, in_parts=options.in_parts)
    if REDCAP in formats:
        redcap.write_redcap(cohort.stored, work)


def _write_omop(work: Path, cohort: Cohort, formats: Collection[str]) -> LeftOut:
    """Write the files of OMOP if they are wanted, in the formats of the tables, else as CSV."""
    if OMOP not in formats:
        return LeftOut()
    folder = work / omop_files.FOLDER
    parquet = PARQUET in formats
    csv = CSV in formats or not parquet
    return omop_files.write_omop(cohort.stored, folder, cohort.config, parquet=parquet, csv=csv)


def _write_report(
    work: Path,
    cohort: Cohort,
    shown: Analysis,
    text: str,
    options: FolderOptions,
    comparison: Comparison | None,
    review: Review | None,
) -> None:
    from fhircryo.research.report.page import GroupsShown, figures_of, page

    single = None if options.kind == "aggregate-only" else single_patients(cohort)
    least = cohort.config.settings.least_at_risk
    figures = figures_of(shown, single, cohort.config)
    groups = None if comparison is None else GroupsShown.of(comparison, least)
    (work / REPORT).write_text(
        page(shown, figures, cohort.config, text, options.kind, groups, review), encoding="utf-8"
    )
    drawn = [] if groups is None else [one for one in groups.figures if one is not None]
    write_figures(work, (*figures.all, *drawn), options.figures)


def _flow(shown: Analysis) -> dict[str, Any]:
    """The flow and the evaluable patients as data for JSON; null if too few to be shown."""
    flow = shown.flow
    return {
        "resources_read": flow.resources_read,
        "patients_read": flow.patients_read,
        "with_index_candidate": flow.candidates,
        "lost": [{"why": lost.words, "patients": lost.patients} for lost in flow.lost],
        "cohort": flow.cohort,
        "no_index_procedure": [
            {"cryoablation": reason, "patients": number}
            for reason, number in flow.procedures.items()
        ],
        "source_lacks": flow.lacking,
        "never_stated": flow.never_stated,
        "unreadable": flow.unreadable,
        "evaluable": [
            {
                "endpoint": endpoint.code,
                "time_point": endpoint.time_point or FOLLOW_UP,
                "patients": endpoint.patients,
                "absent": {absence.reason: absence.patients for absence in endpoint.absent},
            }
            for endpoint in shown.evaluable
        ],
    }
