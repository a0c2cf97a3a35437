"""Treatment endpoints from a hospital's FHIR record."""

from collections.abc import Collection, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fhircryo.research.cohort_tables import Cohort
    from fhircryo.settings import Settings

#: The version of the package; ``pyproject.toml`` reads it from here.
__version__ = "0.2.0"

__all__ = ["__version__", "cohort"]


def cohort(
    source: str | Path,
    *,
    as_of: date | str | None = None,
    protocol: str | None = None,
    mappings: Sequence[str | Path] = (),
    index_from: date | str | None = None,
    index_to: date | str | None = None,
    patients: str | Path | Collection[str] | None = None,
    exclude: str | Path | Collection[str] = (),
    identified: bool = False,
    key: str | Path | None = None,
    settings: "Settings | None" = None,
) -> "Cohort":
    """Return a cohort with its tables as pandas data frames, as ``fhircryo cohort`` writes them.

    The attribute ``tables`` of the result has the data frames by name, ``columns`` describes their
    columns, and ``flow`` counts the patients at each step of the selection. PSA is in ng/mL; times
    are in days from the index procedure.

    Args:
        source: a folder of FHIR NDJSON files, or the base URL of a FHIR server.
        as_of: the data cut-off date, a date or a text such as ``2017-12-31``; None: today.
        protocol: the name of a shipped protocol, or the path of a YAML file; None: that of the
            settings.
        mappings: the site's mapping overlays (YAML files), applied in this order; empty: those of
            the settings.
        index_from: the first date of an index procedure that is included; None: no limit.
        index_to: the last date of an index procedure that is included; None: no limit.
        patients: ids of the patients to include, a file with an id per line, or ``Group/ID`` of a
            FHIR server; None: all patients with an index procedure.
        exclude: ids of patients to exclude, for example because they objected, or a file of them.
        identified: whether the tables contain the patients' ids instead of pseudonyms.
        key: the file of the key from which pseudonyms are made; None: every call uses new
            pseudonyms.
        settings: the settings to use; None: those of ``fhircryo.toml`` in the current folder and
            of the environment.

    Raises:
        fhircryo.errors.UsageError: an argument, setting, mapping or protocol is wrong.
        fhircryo.errors.SourceError: the source does not exist, cannot be reached or refuses to be
            read; ``SignInError`` if it does not accept the credentials.
    """
    from fhircryo.research.library import CohortRequest, day, requested_cohort
    from fhircryo.research.table_options import Between

    request = CohortRequest(
        str(source),
        as_of=day("as_of", as_of),
        protocol=protocol,
        mappings=mappings,
        between=Between(day("index_from", index_from), day("index_to", index_to)),
        patients=patients,
        exclude=exclude,
        identified=identified,
        key=None if key is None else Path(key),
        settings=settings,
    )
    return requested_cohort(request)
