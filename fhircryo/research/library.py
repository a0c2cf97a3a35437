"""What ``fhircryo.cohort`` does."""

from collections.abc import Collection, Sequence
from datetime import date
from pathlib import Path

from fhircryo.record.patient_list import read_patient_list
from fhircryo.record.patients import Selection
from fhircryo.research.build import Between
from fhircryo.research.pseudonyms import Pseudonyms, read_key
from fhircryo.research.pull import Cohort, cohort_of
from fhircryo.runs.read_source import read_source
from fhircryo.runs.run_config import RunConfig
from fhircryo.settings import Settings, load_settings
from fhircryo.sources.groups import patients_of


def pulled(
    source: str,
    *,
    as_of: date | None,
    protocol: str | None,
    mappings: Sequence[str | Path],
    between: tuple[date | None, date | None],
    patients: str | Path | Collection[str] | None,
    exclude: str | Path | Collection[str],
    identified: bool,
    key: Path | None,
    settings: Settings | None,
) -> Cohort:
    """A cohort's tables; the arguments are those of ``fhircryo.cohort``."""
    chosen = settings if settings is not None else load_settings()
    changed: dict[str, object] = {}
    if protocol is not None:
        changed["protocol"] = protocol
    if mappings:
        changed["mappings"] = tuple(Path(one) for one in mappings)
    chosen = chosen.model_copy(update=changed)
    include: frozenset[str] | None = None
    if isinstance(patients, str | Path):
        include = patients_of(source, str(patients), chosen.source)
    elif patients is not None:
        include = frozenset(patients)
    objected = (
        read_patient_list(Path(exclude)) if isinstance(exclude, str | Path) else frozenset(exclude)
    )
    job = RunConfig.of(chosen, as_of or date.today(), Selection(include, objected))
    pseudonyms = Pseudonyms.at_random() if key is None else read_key(key)
    return cohort_of(
        read_source(source, job),
        job,
        str if identified else pseudonyms.of,
        identified=identified,
        between=Between(*between),
    )
