"""From pseudonyms back to the ids of the source, for whoever holds both key and source."""

from collections.abc import Collection

from fhircryo.research.pseudonyms import Pseudonyms
from fhircryo.runs.read_source import read_source
from fhircryo.runs.run_config import RunConfig


def patients_behind(
    source: str, config: RunConfig, pseudonyms: Pseudonyms, wanted: Collection[str]
) -> dict[str, str]:
    """The ids of the patients of a source that have the wanted pseudonyms, by pseudonym.

    Those that no patient of the source has are missing: of another key, or of a patient who is no
    longer there, or who objected.

    Raises:
        SourceError: the source cannot be read.
    """
    read = read_source(source, config)
    found = {pseudonyms.of(patient): patient for patient in read.records.records}
    return {one: found[one] for one in wanted if one in found}
