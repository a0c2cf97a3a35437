"""Treatment endpoints from a hospital's FHIR record."""

from collections.abc import Collection, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fhircryo.research.cohort import Cohort
    from fhircryo.settings import Settings

#: The version of the package; ``pyproject.toml`` reads it from here.
__version__ = "0.1.0"

__all__ = ["__version__", "cohort"]


def cohort(
    source: str | Path,
    *,
    as_of: date | None = None,
    protocol: str | None = None,
    mappings: Sequence[str | Path] = (),
    index_from: date | None = None,
    index_to: date | None = None,
    patients: str | Path | Collection[str] | None = None,
    exclude: str | Path | Collection[str] = (),
    identified: bool = False,
    key: str | Path | None = None,
    settings: "Settings | None" = None,
) -> "Cohort":
    """The tables of a cohort as data frames, the same as ``fhircryo cohort`` writes.

    ``source``: a folder of FHIR NDJSON files, or the base URL of a FHIR server. ``as_of``: the data
    cut-off date, by default today. ``index_from``, ``index_to``: the first and the last index date.
    ``patients``: only these: ids, a file of ids, or a ``Group/ID`` of the server. ``exclude``:
    patients who objected: ids, or a file of ids. ``key``: the file of the pseudonyms' key; without
    a key, every call makes different pseudonyms. ``settings``: by default those of fhircryo.toml
    and of the environment.

    In the cohort, ``tables`` holds the data frames by name, ``columns`` describes their columns,
    and ``flow`` says how many patients are in the cohort and why others are not. PSA is in ng/mL;
    times are in days from the index procedure.

    Raises:
        fhircryo.errors.FhircryoError: the source cannot be read or an argument is wrong; the
            message says what to do.
    """
    from fhircryo.research.build import Between
    from fhircryo.research.library import CohortRequest, requested_cohort

    request = CohortRequest(
        str(source),
        as_of=as_of,
        protocol=protocol,
        mappings=mappings,
        between=Between(index_from, index_to),
        patients=patients,
        exclude=exclude,
        identified=identified,
        key=None if key is None else Path(key),
        settings=settings,
    )
    return requested_cohort(request)
