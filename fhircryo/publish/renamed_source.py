"""Notices that the setting ``source_name`` was changed after endpoints had been published.

The name is part of each identifier, so that a new name gives new endpoints, and those under the old
name are not updated any more.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator

from fhircryo.publish.as_on_server import name_of, procedure_of
from fhircryo.publish.patient_output import PatientOutput
from fhircryo.publish.published_endpoint import RETRACTED, PublishedByIdentifier
from fhircryo.publish.shapes import plain


def renamed(
    patients: Iterable[tuple[str, PatientOutput]], published: PublishedByIdentifier
) -> Counter[str]:
    """How many computed endpoints stand on a target under another name of the source, by name.

    They are the same where the protocol, the patient's id, the index procedure, the endpoint and
    its time point are. Retracted ones are not counted. ``patients``: their ids on the
    target, and what was computed, in the form of a folder.
    """
    others: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for endpoints in published.values():
        for endpoint in endpoints:
            if endpoint.renamed_from is not None and endpoint.status != RETRACTED:
                source, procedure = endpoint.renamed_from
                others.setdefault((procedure, endpoint.name), []).append((source, endpoint.patient))
    if not others:
        return Counter()
    found: Counter[str] = Counter()
    for subject, output in patients:
        for observation in output.observations:
            content = plain(observation)
            for source, patient in others.get((procedure_of(content), name_of(content)), ()):
                if patient == subject:
                    found[source] += 1
    return found


def renamed_words(found: Counter[str]) -> Iterator[str]:
    """The warnings of endpoints under another name of the source, and how to retract them."""
    for name, number in sorted(found.items()):
        yield (
            f"{number} of the computed endpoints stand there under source_name = {json.dumps(name)}"
            " as well, and are not updated any more; if the source was renamed, retract them: with"
            " that source_name, run fhircryo compute SOURCE TARGET --exclude FILE"
            " --allow-retractions, where FILE lists the patients"
        )
