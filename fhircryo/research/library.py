"""The computation behind ``fhircryo.cohort``."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from fhircryo.calendar import read_day
from fhircryo.errors import UsageError
from fhircryo.record.patient_list import read_patient_list
from fhircryo.record.patients import Selection
from fhircryo.research.cohort_tables import Cohort, cohort_of
from fhircryo.research.pseudonyms import Pseudonyms, read_key
from fhircryo.research.table_options import Between, TableOptions
from fhircryo.runs.read_source import read_source
from fhircryo.runs.run_config import RunConfig
from fhircryo.settings import Settings, load_settings
from fhircryo.sources.groups import patients_of


@dataclass(frozen=True)
class CohortRequest:
    """What ``fhircryo.cohort`` was called with; its arguments are described there."""

    source: str
    as_of: date | None
    protocol: str | None
    mappings: Sequence[str | Path]
    between: Between
    patients: str | Path | Collection[str] | None
    exclude: str | Path | Collection[str]
    identified: bool
    key: Path | None
    settings: Settings | None


def requested_cohort(request: CohortRequest) -> Cohort:
    """Read the source of a request and compute its cohort."""
    settings = _settings(request)
    selection = Selection(_included(request, settings), _excluded(request))
    config = RunConfig.of(settings, request.as_of or date.today(), selection)
    key = request.key
    pseudonyms = Pseudonyms.at_random() if key is None else read_key(key)
    name = str if request.identified else pseudonyms.of
    options = TableOptions(name, request.identified, request.between)
    return cohort_of(read_source(request.source, config), config, options)


def day(name: str, value: date | str | None) -> date | None:
    """The date that an argument names; a text is a date as FHIR writes it.

    Raises:
        UsageError: the text is not a date.
    """
    # A time of day is no calendar date, and would not compare with one.
    if value is None or type(value) is date:
        return value
    try:
        return read_day(str(value))
    except ValueError as error:
        raise UsageError(f"{name}: {error}") from error


def _settings(request: CohortRequest) -> Settings:
    """The settings, changed by the protocol and mappings of the request."""
    settings = request.settings if request.settings is not None else load_settings()
    changed: dict[str, object] = {}
    if request.protocol is not None:
        changed["protocol"] = request.protocol
    if request.mappings:
        changed["mappings"] = tuple(Path(file) for file in request.mappings)
    return settings.model_copy(update=changed)


def _included(request: CohortRequest, settings: Settings) -> frozenset[str] | None:
    patients = request.patients
    if patients is None:
        return None
    if isinstance(patients, str | Path):
        return patients_of(request.source, str(patients), settings.source)
    return frozenset(patients)


def _excluded(request: CohortRequest) -> frozenset[str]:
    exclude = request.exclude
    if isinstance(exclude, str | Path):
        return read_patient_list(Path(exclude))
    return frozenset(exclude)
