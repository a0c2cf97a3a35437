"""Treatment endpoints from a hospital's FHIR record."""

from collections.abc import Collection, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fhircryo.research.pull import Cohort
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
    """A cohort's tables as data frames: those that ``fhircryo cohort`` writes.

    ``source``: a folder of FHIR NDJSON files, or the base URL of a FHIR server. ``as_of``: the data
    cut-off, today by default. ``index_from``, ``index_to``: index dates, both included.
    ``patients``, ``exclude``: ids, or a file of them; a ``Group/ID`` of the server for the former.
    ``key``: file of the pseudonyms' key; without one every call gives other pseudonyms.
    ``settings``: by default those of fhircryo.toml and of the environment.

    Its ``tables`` has the frames by name, ``columns`` what their columns are, ``flow`` where
    patients were lost. PSA is in ng/mL, times are in days from the index procedure.

    Raises:
        fhircryo.errors.FhircryoError: as its message says.
    """
    from fhircryo.research.library import pulled

    return pulled(
        str(source),
        as_of=as_of,
        protocol=protocol,
        mappings=mappings,
        between=(index_from, index_to),
        patients=patients,
        exclude=exclude,
        identified=identified,
        key=None if key is None else Path(key),
        settings=settings,
    )
