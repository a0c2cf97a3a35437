"""Concepts: the standard ones that are used, and the vocabulary of fhircryo's own.

A standard concept is used only where its id was found in a public source, which stands beside it.
Everything else has a concept of its own above 2,000,000,000, as the model's conventions for custom
concepts ask for: never standard, only in ``*_source_concept_id``, with 0 in ``*_concept_id``; the
domain decides the table. Source: https://ohdsi.github.io/CommonDataModel/customConcepts.html
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date

from fhircryo import __version__
from fhircryo.endpoints.catalogue import CATALOGUE, Endpoint
from fhircryo.endpoints.labels import label
from fhircryo.endpoints.value_types import PSA, SCORE
from fhircryo.mapping.load import Mappings
from fhircryo.mapping.protocol import Protocol
from fhircryo.record.items import EventKind
from fhircryo.research.cells import Row
from fhircryo.research.columns import OTHER_KIND
from fhircryo.research.omop.cdm import NAME_LENGTH, TEXT_LENGTH
from fhircryo.research.patient_columns import instruments, time_points

#: No matching concept; rmd/dataModelConventions.Rmd of OHDSI/CommonDataModel.
NO_CONCEPT = 0
#: "8507 - 'Male'", ibidem.
MALE = 8507
#: Type concept EHR; Constants.java of OHDSI/ETL-German-FHIR-Core (``CONCEPT_EHR``).
FROM_EHR = 32817
#: "Prostate specific Ag [Mass/volume] in Serum or Plasma" (LOINC 2857-1), and its unit ng/mL;
#: OMOP_CDMv5.4_Concept_Level.csv of OHDSI/DataQualityDashboard.
PSA_CONCEPT, NG_PER_ML = 3013603, 8842
#: "Yes"; the table observation of OMOP_CDMv5.4_Table_Level.csv of OHDSI/CommonDataModel. "No"
#: stands beside it in public transformations, for example in SQL as "4188540 --No".
YES_CONCEPT, NO_ANSWER_CONCEPT = 4188539, 4188540
#: Operators by sign; source_to_concept_map of OHDSI/ETL-German-FHIR-Core, "Lab Comparator".
OPERATORS = {"<": 4171756, "<=": 4171754, ">=": 4171755, ">": 4172704}
#: "Treatment Regimen"; episode_object_concept_id in OMOP_CDMv5.4_Field_Level.csv.
TREATMENT = 32531

#: The vocabulary of the custom concepts.
VOCABULARY_ID = "FHIRCRYO"
#: Custom concepts lie above this, and within the 32 bits of the model's integers.
_ABOVE, _LARGEST = 2_000_000_000, 2**31 - 1
_FIRST_DAY, _LAST_DAY = date(1970, 1, 1), date(2099, 12, 31)

MEASUREMENT_DOMAIN, OBSERVATION_DOMAIN, EPISODE_DOMAIN = "Measurement", "Observation", "Episode"
#: The code of the treatment's episode.
INDEX_TREATMENT = "index-treatment"


@dataclass(frozen=True)
class CustomConcept:
    """A concept of this vocabulary; ``domain``: decides which table its rows are in."""

    code: str
    name: str
    domain: str


def endpoint_code(endpoint: str, time_point: str = "") -> str:
    """The code of an endpoint's concept; ``time_point``: of a questionnaire's score."""
    return fitted(f"{endpoint} {time_point}".strip())


def absent_code(endpoint: str, time_point: str = "") -> str:
    """The code of the concept that says why an endpoint has no value."""
    return fitted(f"absent {endpoint} {time_point}".strip())


def episode_code(kind: str) -> str:
    """The code of an event's episode."""
    return f"episode {kind}"


def complication_code(kind: str) -> str:
    """The code of an adverse event of a kind."""
    return fitted(f"complication {kind}")


def grade_code(scale: str) -> str:
    """The code of an adverse event's grade."""
    return fitted(f"grade {scale}")


def fitted(text: str) -> str:
    """A text that fits into a field of 50 characters; a longer one ends with a hash of it all."""
    if len(text) <= TEXT_LENGTH:
        return text
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    return f"{text[: TEXT_LENGTH - len(digest) - 1]}~{digest}"


def is_measurement(endpoint: Endpoint) -> bool:
    """Whether an endpoint is a measurement: a result of a laboratory or of a questionnaire."""
    return endpoint.value_type in (PSA, SCORE)


def custom_concepts(mappings: Mappings, protocol: Protocol) -> Iterator[CustomConcept]:
    """All concepts that rows of a cohort can have under a protocol."""
    for endpoint in CATALOGUE:
        words = label(endpoint, protocol)
        domain = MEASUREMENT_DOMAIN if is_measurement(endpoint) else OBSERVATION_DOMAIN
        for code, point, of in _instances(endpoint, mappings, protocol):
            yield CustomConcept(endpoint_code(code, point), f"{words}{of}", domain)
            name = f"Why there is no value: {words}{of}"
            yield CustomConcept(absent_code(code, point), name, OBSERVATION_DOMAIN)
    for kind, words in (*mappings.complication_kinds.words.items(), (OTHER_KIND, OTHER_KIND)):
        name = f"Adverse event after cryoablation: {words}"
        yield CustomConcept(complication_code(kind), name, OBSERVATION_DOMAIN)
    for key, scale in mappings.scales.items():
        name = f"Grade of an adverse event: {scale.words}"
        yield CustomConcept(grade_code(key), name, OBSERVATION_DOMAIN)
    yield CustomConcept(INDEX_TREATMENT, "Cryoablation of the prostate (day 0)", EPISODE_DOMAIN)
    for event in EventKind:
        if event is not EventKind.DEATH:
            name = str(event).replace("-", " ").capitalize()
            yield CustomConcept(episode_code(event), name, EPISODE_DOMAIN)


def _instances(
    endpoint: Endpoint, mappings: Mappings, protocol: Protocol
) -> Iterator[tuple[str, str, str]]:
    """The published codes of an endpoint, each with its time point, and both in words."""
    if not endpoint.per_instrument:
        yield endpoint.code(), "", ""
        return
    for instrument in instruments(mappings):
        for point in time_points(protocol):
            of = f", {instrument.words}, {point}"
            yield endpoint.code(instrument.key), point, of


def concept_ids(concepts: Iterable[CustomConcept]) -> dict[str, int]:
    """The id of each concept by code: a hash of the code, so that it is the same everywhere.

    Where two hashes are the same, the code that comes later in the alphabet has the next free id.
    """
    found: dict[str, int] = {}
    taken: set[int] = set()
    for code in sorted(concept.code for concept in concepts):
        if code not in found:
            found[code] = free_number(f"{VOCABULARY_ID} {code}", _ABOVE, _LARGEST, taken)
    return found


def free_number(text: str, above: int, largest: int, taken: set[int]) -> int:
    """A number in (above, largest] by a hash of a text: the next one that is not yet taken.

    It is added to ``taken``.
    """
    digest = hashlib.sha256(text.encode()).digest()
    size = largest - above
    offset = int.from_bytes(digest[:8]) % size
    while above + 1 + offset in taken:
        offset = (offset + 1) % size
    taken.add(above + 1 + offset)
    return above + 1 + offset


def concept_rows(concepts: Iterable[CustomConcept], ids: dict[str, int]) -> list[Row]:
    """The rows of the table CONCEPT, by id."""
    by_code = {concept.code: concept for concept in concepts}
    rows: list[Row] = [
        {
            "concept_id": ids[code],
            "concept_name": concept.name[:NAME_LENGTH],
            "domain_id": concept.domain,
            "vocabulary_id": VOCABULARY_ID,
            "concept_class_id": "Undefined",
            "concept_code": code,
            "valid_start_date": _FIRST_DAY,
            "valid_end_date": _LAST_DAY,
        }
        for code, concept in by_code.items()
    ]
    return sorted(rows, key=lambda row: int(row["concept_id"]))


def vocabulary_row(base: str) -> Row:
    """The row of the table VOCABULARY; ``base``: the base URL of fhircryo's own canonicals."""
    return {
        "vocabulary_id": VOCABULARY_ID,
        "vocabulary_name": "Endpoints of cryoablation of the prostate (fhircryo)",
        "vocabulary_reference": base[:NAME_LENGTH],
        "vocabulary_version": __version__,
        "vocabulary_concept_id": NO_CONCEPT,
    }
