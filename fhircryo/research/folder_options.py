"""What a cohort's folder holds, and the names of its files."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fhircryo.research import redcap
from fhircryo.research.grouping import By
from fhircryo.research.labelled_files import ENDINGS, SPSS, STATA
from fhircryo.research.omop import omop_files
from fhircryo.research.reviewed import REVIEWS
from fhircryo.research.table_options import ALL_DATES, Between

CSV, PARQUET, REDCAP, OMOP = "csv", "parquet", "redcap", "omop"
FORMATS = (CSV, PARQUET, REDCAP, STATA, SPSS, OMOP)
SVG, PNG = "svg", "png"
FIGURE_FORMATS = (SVG, PNG)

CohortKind = Literal["identified", "pseudonymised", "aggregate-only"]

#: The tables that are written, in the order of the data package.
TABLES = (
    "patients",
    "endpoints",
    "psa",
    "events",
    "adverse_events",
    "questionnaires",
    "not_used",
)
#: The FHIR Measure of disease-free at the landmark, and the cohort's MeasureReport.
MEASURE, MEASURE_REPORT = "Measure.json", "MeasureReport.json"
MANIFEST, REPORT, FIGURES = "manifest.json", "report.html", "figures"
PACKAGE, DICTIONARY, METHODS, FLOW, RATES = (
    "datapackage.json",
    "dictionary.csv",
    "methods.md",
    "flow.json",
    "rates.json",
)
#: All files and folders that a run can have written; an earlier run's are replaced.
OWN = frozenset(
    {MANIFEST, REPORT, FIGURES, PACKAGE, DICTIONARY, METHODS, FLOW, RATES}
    | {
        f"{name}.{kind}"
        for name in (*TABLES, REVIEWS)
        for kind in (CSV, PARQUET, *ENDINGS.values())
    }
    | redcap.FILES
    | {omop_files.FOLDER, MEASURE, MEASURE_REPORT}
)


@dataclass(frozen=True)
class FolderOptions:
    """What a cohort's folder is to hold.

    ``between``: the index dates of the cohort. ``threshold``: the aggregates of an aggregate-only
    cohort show no group that is smaller. ``figures``: the formats of the figures. ``key``: the file
    of the pseudonyms' key, which is written if it does not exist; None: beside the folder.
    ``in_parts``: each Parquet table is a folder of files.
    ``measure_report``: write the FHIR MeasureReport and its Measure.
    ``by``: what divides the cohort into groups that the report compares; ``covariates``: of Cox's
    model beside them. ``reviews``: files of reviewers' decisions.
    """

    kind: CohortKind = "pseudonymised"
    formats: tuple[str, ...] = (CSV, PARQUET)
    report: bool = True
    figures: tuple[str, ...] = (SVG,)
    between: Between = ALL_DATES
    threshold: int = 5
    key: Path | None = None
    in_parts: bool = False
    by: By | None = None
    covariates: tuple[str, ...] = ()
    reviews: tuple[Path, ...] = ()
    measure_report: bool = False
