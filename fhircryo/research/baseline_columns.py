"""The columns of the baseline characteristics in the table of patients, and their cells."""

import re
from decimal import Decimal

from fhircryo.endpoints.baseline import (
    MODALITIES,
    BaselineCharacteristics,
    BaselineValue,
    Missing,
    baseline_characteristics,
)
from fhircryo.endpoints.patient_endpoints import PatientEndpoints
from fhircryo.mapping.protocol import Protocol
from fhircryo.research.cells import Row, as_float
from fhircryo.research.endpoint_columns import COMPARATORS
from fhircryo.research.table import DAYS_UNIT, Column, ColumnType

#: Patients of this age and older are one group: HIPAA, 45 CFR 164.514(b)(2)(i)(C).
OLDEST = 90
#: The characteristics that are shown as coded.
CODED = ("isup_grade_group", "gleason_score", "clinical_t_category")
#: What stands for a value that is no grade, score or category, and so might be free text.
OTHER = "other"

#: The words of which the displays of grades, scores and categories consist.
_WORDS = frozenset(
    "ajcc american cancer category clinical committee finding gg ggg gleason grade grading group"
    " international isup joint of on pathology pattern primary prostate prostatic qualifier score"
    " secondary society stage sum system tumor tumour uicc union urological value who".split()
)
_TOKEN = re.compile(r"[^\W_]+")
#: A number up to 10, a T category, or the code of a LOINC answer.
_GRADE = re.compile(r"[1-9]|10|[cpyr]{0,3}t(?:[0-4][a-d]?|x|is)|la[0-9]{3,6}")


def baseline_columns(protocol: Protocol) -> tuple[Column, ...]:
    """The columns of the baseline characteristics."""
    return (*_age(), *_psa(protocol), *_radiotherapy(), *_tumour(), _hormone_therapy())


def _age() -> tuple[Column, ...]:
    return (
        Column(
            "age_years",
            ColumnType.INTEGER,
            f"Age at the index procedure; {OLDEST} stands for {OLDEST} and older unless identified",
            "a",
        ),
        Column(
            "age_approximate",
            ColumnType.BOOLEAN,
            "Only the month or the year of birth is recorded: the age counts from its middle",
        ),
    )


def _psa(protocol: Protocol) -> tuple[Column, ...]:
    rules = protocol.doubling_time
    return (
        Column(
            "baseline_psa",
            ColumnType.NUMBER,
            f"Last PSA of the {protocol.psa.baseline_days} days to index",
            "ng/mL",
        ),
        Column(
            "baseline_psa_comparator",
            ColumnType.CATEGORY,
            "Whether the baseline PSA is only a limit",
            levels=COMPARATORS,
        ),
        Column(
            "baseline_psa_days", ColumnType.INTEGER, "Day of the baseline PSA from index", DAYS_UNIT
        ),
        Column(
            "psa_doubling_time",
            ColumnType.NUMBER,
            f"PSA doubling time of the {rules.days_before} days to index, by least squares through"
            f" at least {rules.minimum_results} results",
            "mo",
        ),
        Column(
            "psa_doubling_time_missing",
            ColumnType.CATEGORY,
            "Why there is no doubling time",
            levels=tuple(str(missing) for missing in Missing),
        ),
    )


def _radiotherapy() -> tuple[Column, ...]:
    both = ", ".join(MODALITIES)
    return (
        Column(
            "prior_radiotherapy",
            ColumnType.CATEGORY,
            "Radiotherapy of the prostate that ended before index; empty where none is recorded",
            levels=(*MODALITIES, both, "unspecified"),
        ),
        Column(
            "radiotherapy_interval",
            ColumnType.NUMBER,
            "Years from the end of the last radiotherapy to index; whole years where the end is"
            " not known to the day, unless identified",
            "a",
        ),
    )


def _tumour() -> tuple[Column, ...]:
    return (
        Column("isup_grade_group", ColumnType.TEXT, "Last ISUP grade group up to index, as coded"),
        Column("gleason_score", ColumnType.TEXT, "Last Gleason score up to index, as coded"),
        Column(
            "clinical_t_category", ColumnType.TEXT, "Last clinical T category up to index, as coded"
        ),
        Column("prostate_volume", ColumnType.NUMBER, "Last prostate volume up to index", "mL"),
    )


def _hormone_therapy() -> Column:
    return Column(
        "hormone_therapy_at_index",
        ColumnType.BOOLEAN,
        "Hormone therapy was given at index; empty where the record leaves it open",
    )


def baseline_cells(computed: PatientEndpoints, *, identified: bool) -> Row:
    """The cells of a patient's baseline characteristics."""
    line = computed.line
    found = baseline_characteristics(computed.course)
    row: Row = {
        "age_years": _years(found.age, identified=identified),
        "age_approximate": None if found.age.value is None else found.age.approximate,
        "baseline_psa": as_float(found.psa.value),
        "baseline_psa_comparator": found.psa.comparator or None,
        "psa_doubling_time": as_float(found.psa_doubling_time.value),
        "psa_doubling_time_missing": found.psa_doubling_time.missing,
        "prior_radiotherapy": found.prior_radiotherapy.value,
        "radiotherapy_interval": _interval(found.radiotherapy_interval, identified=identified),
        "prostate_volume": as_float(found.prostate_volume.value),
        "hormone_therapy_at_index": found.hormone_therapy_at_index.value,
    }
    if found.psa.when is not None:
        row["baseline_psa_days"] = (found.psa.when.first - line.d0).days
    return row | _coded(found, identified=identified)


def _years(age: BaselineValue, *, identified: bool) -> int | None:
    if not isinstance(age.value, int):
        return None
    return age.value if identified else min(age.value, OLDEST)


def _interval(years: BaselineValue, *, identified: bool) -> float | None:
    """Years; whole ones where parts of a year, counted from a month or year, would disclose D0."""
    if isinstance(years.value, Decimal) and years.approximate and not identified:
        return float(years.value.to_integral_value())
    return as_float(years.value)


def _coded(found: BaselineCharacteristics, *, identified: bool) -> Row:
    """The values as coded; unless identified, without what might be free text."""
    row: Row = {}
    for name in CODED:
        value = getattr(found, name).value
        if value is not None:
            text = f"{value.normalize():f}" if isinstance(value, Decimal) else str(value)
            row[name] = text if identified else without_free_text(text)
    return row


def without_free_text(value: str) -> str:
    """A grade, score or category as it is; ``other`` for a text with any other word or number."""
    tokens = _TOKEN.findall(value.casefold())
    known = all(token in _WORDS or _GRADE.fullmatch(token) for token in tokens)
    return value if tokens and known else OTHER
