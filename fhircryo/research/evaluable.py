"""In how many patients each endpoint is known, and why it is not in the others."""

from typing import TYPE_CHECKING

import msgspec

from fhircryo.endpoints.catalogue import CATALOGUE, PROM_SCORE
from fhircryo.endpoints.labels import label
from fhircryo.endpoints.value_types import Detail
from fhircryo.record.items import Reason
from fhircryo.research.endpoint_columns import OF_PATIENTS
from fhircryo.research.patient_columns import instruments, score_column, time_points
from fhircryo.research.table import snake
from fhircryo.runs.run_config import RunConfig

if TYPE_CHECKING:
    import pandas as pd

#: What stands for a share of which the source lacks a type.
NOT_ESTIMABLE = "not estimable"
_NO_REASON = "no response"


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


def endpoint_names(config: RunConfig) -> dict[str, str]:
    """The names of the endpoints for people, by their codes."""
    names = {endpoint.key: label(endpoint, config.protocol) for endpoint in CATALOGUE}
    return names | {PROM_SCORE.code(one.key): one.words for one in instruments(config.mappings)}


def lacks_type(patients: "pd.DataFrame", column: str) -> bool:
    """Whether an endpoint is unknown in patients because the source lacks a type of resource.

    Those are just the patients without an event: a share or a curve of the others would be wrong.
    """
    reasons = patients[f"{column}_{Detail.REASON}"]
    return bool((reasons == str(Reason.SOURCE_LACKS_TYPE)).any())


def evaluable(patients: "pd.DataFrame", config: RunConfig) -> list[Evaluable]:
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
    known = int(patients[column].notna().sum())
    return Evaluable(code, point, known, absences(patients, column))


def absences(patients: "pd.DataFrame", column: str) -> tuple[Absence, ...]:
    """Why a column has no value, by reason in alphabetical order."""
    absent = patients[patients[column].isna()]
    reasons = absent[f"{column}_{Detail.REASON}"].astype(object)
    counts = reasons.where(reasons.notna(), _NO_REASON).value_counts()
    return tuple(Absence(str(reason), int(counts[reason])) for reason in sorted(counts.index))
