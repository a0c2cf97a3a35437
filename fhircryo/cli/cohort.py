"""``fhircryo cohort``: the cohort of a source as tables, statistics and a report."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fhircryo.cli.options import (
    AcceptWithheld,
    AsOf,
    BulkLevel,
    Engine,
    EngineName,
    Exclude,
    FigureFormats,
    Keep,
    Mappings,
    Memory,
    Patients,
    Protocol,
    Source,
    SparkMaster,
    Workers,
    chosen_formats,
    parse_day,
)
from fhircryo.cli.printing import confirmed, say
from fhircryo.cli.run_options import RunOptions, SourceOptions
from fhircryo.cli.spark import check_no_master, spark_run
from fhircryo.errors import DONE, UNREADABLE, SourceError, UsageError

if TYPE_CHECKING:
    from fhircryo.research.cohort_writer import Found
    from fhircryo.research.folder_options import CohortKind, FolderOptions
    from fhircryo.research.grouping import By
    from fhircryo.research.table_options import Between
    from fhircryo.runs.run_config import RunConfig

#: MB that one process needs, whatever it reads (measured: 300, of which most is for the report).
_LEAST_MEMORY = 400
_DEFAULT_FORMATS = "csv,parquet"
_UNKNOWN = (
    "UNKNOWN: some of the patients that were requested are not in the source; fhircryo compute"
    " names them"
)


def cohort(
    source: Source,
    folder: Annotated[
        str,
        typer.Argument(
            metavar="FOLDER",
            help="Folder to write to: a new one, or one that an earlier run wrote.",
            show_default=False,
        ),
    ],
    as_of: AsOf = None,
    protocol: Protocol = None,
    mappings: Mappings = None,
    index_from: Annotated[
        date | None,
        typer.Option(
            "--from", parser=parse_day, metavar="DATE", help="First index date of the cohort."
        ),
    ] = None,
    index_to: Annotated[
        date | None,
        typer.Option(
            "--to", parser=parse_day, metavar="DATE", help="Last index date of the cohort."
        ),
    ] = None,
    patients: Patients = None,
    exclude: Exclude = None,
    formats: Annotated[
        str,
        typer.Option(
            "--format",
            metavar="LIST",
            help="Formats of the tables, out of csv, parquet, redcap, stata, spss, omop.",
        ),
    ] = _DEFAULT_FORMATS,
    identified: Annotated[
        bool,
        typer.Option(
            "--identified", help="Write patient ids, dates and resource ids to the tables."
        ),
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="Do not ask for confirmation of --identified.")
    ] = False,
    aggregate_only: Annotated[
        bool,
        typer.Option(
            "--aggregate-only", help="Write statistics only: no row per patient, no small group."
        ),
    ] = False,
    key: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Key of the pseudonyms, created if it does not exist. [default: FOLDER.key]",
        ),
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN|FILE.csv:COLUMN",
            help="Compare groups in the report: of a column of the table of patients, of"
            " index_year, or of a CSV file with the column patient.",
            show_default=False,
        ),
    ] = None,
    covariates: Annotated[
        str,
        typer.Option(
            metavar="LIST",
            help="Columns of the table of patients that Cox's model has beside the groups of --by.",
            show_default=False,
        ),
    ] = "",
    review: Annotated[
        list[Path] | None,
        typer.Option(
            "--review",
            metavar="FILE",
            help="Decisions that a reviewer downloaded from the pages of fhircryo review; may be"
            " given several times.",
            show_default=False,
        ),
    ] = None,
    report: Annotated[
        bool, typer.Option("--report/--no-report", help="Write report.html and its figures.")
    ] = True,
    figures: FigureFormats = "svg",
    measure_report: Annotated[
        bool,
        typer.Option(
            "--measure-report",
            help="Write a FHIR MeasureReport of disease-free at the landmark, and its Measure.",
        ),
    ] = False,
    workers: Workers = 0,
    memory: Memory = None,
    engine: Engine = EngineName.LOCAL,
    spark_master: SparkMaster = None,
    accept_withheld: AcceptWithheld = False,
    bulk: BulkLevel = None,
    keep: Keep = False,
) -> None:
    """Write the cohort of SOURCE as pseudonymised tables, with statistics and a report.

    \b
    Example:
      fhircryo cohort export/ cohort/ --as-of 2017-12-31
      fhircryo cohort https://fhir.hospital.example/r4 cohort/ --from 2011-01-01 --to 2016-12-31
      fhircryo cohort export/ cohort/ --by isup_grade_group --covariates age_years,baseline_psa
      fhircryo cohort export/ figures/ --aggregate-only
      fhircryo cohort hdfs:///fhir/export hdfs:///cohort --engine spark --key cohort.key
    """
    kind = _kind(identified, aggregate_only)
    between = _between(index_from, index_to)
    output = _Output(
        folder,
        kind,
        formats,
        report,
        figures,
        key,
        between,
        by,
        covariates,
        tuple(review or ()),
        measure_report,
    )
    output.check()
    reading = SourceOptions(workers, bulk, keep, memory)
    run = RunOptions(
        source,
        as_of,
        protocol,
        mappings,
        patients,
        exclude,
        accept_withheld=accept_withheld,
        aggregate=aggregate_only,
    )
    if engine is EngineName.LOCAL:
        check_no_master(spark_master)
        reading.check_memory(source, _LEAST_MEMORY)
    if identified and not yes:
        _confirm_identified(folder)
    if engine is EngineName.SPARK:
        others = {"--workers": workers, "--memory": memory, "--bulk": bulk, "--keep": keep}
        found = _write_on_spark(run, output, spark_master, others)
    else:
        found = _write(run, reading, output)
    _print_output(output)
    raise typer.Exit(UNREADABLE if found.flow.unreadable else DONE)


@dataclass(frozen=True)
class _Output:
    """The options that say what the cohort's folder holds."""

    folder: str
    kind: "CohortKind"
    formats: str
    report: bool
    figures: str
    key: Path | None
    between: "Between"
    by: str | None
    covariates: str
    reviews: tuple[Path, ...]
    measure_report: bool

    def check(self) -> None:
        """Raise a UsageError if the options contradict each other."""
        self.table_formats()
        self.figure_formats()
        if self.kind == "aggregate-only" and self.formats != _DEFAULT_FORMATS:
            raise UsageError(
                "--format needs tables with a row per patient; --aggregate-only writes none"
            )
        self._check_groups()
        if self.reviews and self.kind == "aggregate-only":
            raise UsageError("--review needs tables with a row per patient, not --aggregate-only")
        if self.key is not None and self.kind != "pseudonymised":
            raise UsageError(f"--key is for pseudonyms, and {self.kind} tables have none")

    def _check_groups(self) -> None:
        from fhircryo.research.grouping import By

        if self.by is None:
            if self.covariates:
                raise UsageError("--covariates needs the groups of --by")
            return
        by = By.of(self.by)
        if not self.report:
            raise UsageError("--by compares groups in the report: it does not go with --no-report")
        if self.kind == "aggregate-only" and by.file is not None:
            raise UsageError(
                f"--by {self.by}: the patients of an aggregate have no names that a file could"
                " have; name a column of the table of patients, or index_year"
            )
        if self.covariates and (self.kind == "aggregate-only" or self._hides_year(by)):
            raise UsageError(
                "--covariates: Cox's model is shown neither in an aggregate nor, without"
                " --identified, by year, because it would give patients away; leave it out"
            )

    def _hides_year(self, by: "By") -> bool:
        return self.kind != "identified" and by.is_year

    def table_formats(self) -> tuple[str, ...]:
        """The formats of the tables, each once."""
        from fhircryo.research.folder_options import FORMATS
        from fhircryo.research.labelled_files import check_written

        chosen = chosen_formats(self.formats, FORMATS)
        check_written(chosen)
        return chosen

    def figure_formats(self) -> tuple[str, ...]:
        """The formats of the figures, each once."""
        from fhircryo.research.folder_options import FIGURE_FORMATS

        return chosen_formats(self.figures, FIGURE_FORMATS, "--figures")

    def options(self, config: "RunConfig") -> "FolderOptions":
        """What the folder is to hold."""
        from fhircryo.research.folder_options import FolderOptions
        from fhircryo.research.grouping import By

        covariates = (name.strip() for name in self.covariates.split(","))
        return FolderOptions(
            self.kind,
            self.table_formats(),
            self.report,
            self.figure_formats(),
            self.between,
            config.settings.smallest_group,
            self.key,
            by=None if self.by is None else By.of(self.by),
            covariates=tuple(name for name in covariates if name),
            reviews=self.reviews,
            measure_report=self.measure_report,
        )


def _between(first: date | None, last: date | None) -> "Between":
    """The limits of the index date."""
    from fhircryo.research.table_options import Between

    if first is not None and last is not None and last < first:
        raise UsageError("--to is before --from: no index date lies between them")
    return Between(first, last)


def _kind(identified: bool, aggregate_only: bool) -> "CohortKind":
    if identified and aggregate_only:
        raise UsageError("--identified and --aggregate-only exclude each other; choose one")
    if identified:
        return "identified"
    return "aggregate-only" if aggregate_only else "pseudonymised"


def _write(run: RunOptions, reading: SourceOptions, output: _Output) -> "Found":
    """Compute the cohort, write its folder, and print where patients were lost."""
    from fhircryo.cli.progress import progress
    from fhircryo.research.cohort_folder import write_cohort
    from fhircryo.runs.execution import Execution

    config = run.config()
    folder = Path(output.folder)
    options = output.options(config)
    with progress() as (stage, advance), _partial_work_named(folder):
        execution = Execution(
            workers=reading.worker_count(run.source),
            progress=advance,
            stage=stage,
            bulk=reading.bulk_export(run.source, folder.resolve(), stage),
            memory=reading.memory,
        )
        found = write_cohort(run.source, folder, config, options, execution)
    _print_found(found, run, options)
    return found


def _write_on_spark(
    run: RunOptions, output: _Output, master: str | None, others: Mapping[str, object]
) -> "Found":
    """Compute the cohort by Spark, write its folder, and print where patients were lost.

    ``others``: the options that Spark does not have, each with its value.
    """
    from fhircryo.research.folder_options import PARQUET

    if output.formats not in (PARQUET, _DEFAULT_FORMATS):
        raise UsageError("--engine spark writes the tables as Parquet: --format parquet")
    with spark_run(run, ("FOLDER", output.folder), master, others) as (spark, config, how):
        from fhircryo.research.cohort_spark import write_cohort_on_spark

        options = replace(output.options(config), formats=(PARQUET,))
        found = write_cohort_on_spark(spark, run.source, output.folder, config, options, how)
    _print_found(found, run, options)
    return found


def _print_found(found: "Found", run: RunOptions, options: "FolderOptions") -> None:
    from fhircryo.research.aggregate_flow import shown_flow

    if options.kind == "aggregate-only":
        # Who of a list is in the source, and how many of them, is nothing for an aggregate.
        shown = replace(found, flow=shown_flow(found.flow, options.threshold), unknown_patients=[])
        print_flow(shown, run.source, narrowed=run.narrowed, aggregate=True)
        if found.unknown_patients:
            say(_UNKNOWN, err=True)
    else:
        print_flow(found, run.source, narrowed=run.narrowed)
        for line in found.left_out.lines():
            say(f"not in omop: {line}", err=True)


@contextmanager
def _partial_work_named(folder: Path) -> Iterator[None]:
    """Say where the data that were read so far are kept if the run does not finish."""
    from fhircryo.storage.work_folder import OLDEST, work_folder_of

    try:
        yield
    except (SourceError, KeyboardInterrupt):
        work = work_folder_of(folder.resolve())
        if work.is_dir():
            hours = int(OLDEST.total_seconds() // 3600)
            say(
                f"The data that were read are kept in {work} for {hours} hours. Run the command"
                " again to continue from there, or remove that folder.",
                err=True,
            )
        raise


def _confirm_identified(folder: str) -> None:
    """Explain what identified tables are, and ask for confirmation."""
    say(
        f"--identified: {folder} will hold patient ids, the ids of their resources and exact dates:"
        " health data of identifiable people. Keep it where only people who may read the patients'"
        " records have access.",
        err=True,
    )
    if not sys.stdin.isatty():
        raise UsageError("--identified needs confirmation: add --yes")
    if not confirmed("Write identified tables?", err=True):
        raise typer.Exit(DONE)


def print_flow(found: "Found", source: str, *, narrowed: bool, aggregate: bool = False) -> None:
    """Print on stderr where patients were lost, beginning with what is wrong.

    ``narrowed``: only some of the patients in the source were requested. ``aggregate``: numbers
    are hidden.
    """
    from fhircryo.cli.source_warnings import source_warnings, withheld_warnings
    from fhircryo.research.flow import OUTSIDE_DATES, flow_words, hidden_words

    advice, flow = "fhircryo compute lists them", found.flow
    lines = source_warnings(
        flow.unreadable,
        advice,
        [kind for kind in flow.lacking if kind not in flow.withheld],
        flow.never_stated,
        found.unknown_patients,
    )
    lines += withheld_warnings(flow.withheld, flow.lacking)
    lines += flow_words(flow)
    if aggregate:
        lines += hidden_words(flow)
    if flow.cohort == 0:
        if any(lost.words == OUTSIDE_DATES for lost in flow.lost):
            lines.append(
                "The cohort is empty: --from and --to exclude everybody who would be in it."
            )
        else:
            lines.append("The cohort is empty: all patients were lost as shown above.")
        if not (narrowed or flow.lost or flow.procedures):
            lines.append(f"Are the site's codes mapped? See fhircryo mappings survey {source}")
    say(*lines, err=True)


def _print_output(output: _Output) -> None:
    """Print what was written, and where."""
    folder = output.folder.rstrip("/") or "/"
    say(f"{output.kind}: {folder}")
    if output.report:
        say(f"report: {folder}/report.html")
    if output.kind == "pseudonymised":
        key = output.key or f"{folder}.key"
        say(f"key of the pseudonyms, to be kept separately: {key}")
