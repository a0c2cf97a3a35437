"""A patient who is explained by passing over the lines of others is explained as from all lines."""

import json
import tempfile
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st

from fhircryo.errors import UsageError
from fhircryo.extract.other_patients import OtherPatients
from fhircryo.fhir import file_lines
from fhircryo.publish.shapes import ENCODER
from fhircryo.runs.run_config import RunConfig
from fhircryo.settings import Settings
from fhircryo.setup.explanation import Story, explain_patient
from tests.property.strategies import AS_OF, patients
from tests.property.test_properties import MAPPINGS, OTHERS, PROTOCOL, many

BASE = MAPPINGS.base
CONFIG = RunConfig(MAPPINGS, PROTOCOL, AS_OF, Settings())


def renamed(resources: list[dict], patient: str) -> list[dict]:
    """The same resources of another patient; some keep their ids, as versions do."""
    text = ENCODER.encode(resources).decode()
    for kind in ("Observation", "Condition", "Procedure", "AdverseEvent", "QuestionnaireResponse"):
        text = text.replace(f"{kind}/", f"{kind}/{patient}-")
    found = json.loads(text.replace("Patient/p1", f"Patient/{patient}"))
    for one in found:
        one["id"] = patient if one["resourceType"] == "Patient" else f"{patient}-{one['id']}"
    return found


def line(resource: dict) -> bytes:
    """A line as servers write it: type and id first."""
    first = {key: resource[key] for key in ("resourceType", "id") if key in resource}
    return ENCODER.encode(first | resource) + b"\n"


def story(folder: Path, patient: str) -> Story | str:
    try:
        return explain_patient(folder, patient, CONFIG)
    except UsageError as error:
        return str(error)


@st.composite
def hospitals(draw) -> list[dict]:
    """Two patients, and what may stand between them: versions, links and references."""
    mine, other = draw(patients()), draw(patients())
    theirs = renamed(other, "q2")
    resources = mine + theirs + OTHERS
    for one in mine:
        if one["resourceType"] != "Patient" and draw(st.integers(0, 9)) == 0:
            # Another version says that it is the other patient's.
            version = {"meta": {"versionId": "2", "lastUpdated": draw(st.sampled_from(STAMPS))}}
            subject = {"subject": {"reference": draw(st.sampled_from(SUBJECTS))}}
            resources.append(one | version | subject)
    if draw(st.booleans()):
        events = [one["id"] for one in resources if one["resourceType"] == "AdverseEvent"]
        if events:
            resources.append(
                grading(draw(st.sampled_from(events)), draw(st.sampled_from(SUBJECTS)))
            )
    if draw(st.integers(0, 3)) == 0:
        link = {"type": "replaced-by", "other": {"reference": "Patient/p1"}}
        resources.append({"resourceType": "Patient", "id": "old", "link": [link]})
        resources += renamed(draw(patients()), "old")[2:5]
    return draw(st.permutations(resources))


STAMPS = ["2015-01-01T00:00:00Z", "2030-01-01T00:00:00Z"]
SUBJECTS = ["Patient/p1", "Patient/q2"]


def grading(event: str, subject: str) -> dict:
    """An Observation that grades an adverse event, which may be somebody else's."""
    return {
        "resourceType": "Observation",
        "id": "grading",
        "status": "final",
        "code": {"coding": [{"system": "http://snomed.info/sct", "code": "789279006"}]},
        "subject": {"reference": subject},
        "focus": [{"reference": f"AdverseEvent/{event}"}],
        "valueCodeableConcept": {
            "coding": [
                {"system": "https://w3id.org/fhircryo/CodeSystem/clavien-dindo", "code": "IIIb"}
            ]
        },
    }


@many
@given(hospitals())
def test_it_is_the_same_story(resources):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "all.ndjson").write_bytes(b"".join(map(line, resources)))
        with patch.object(file_lines, "_BATCH", 1):  # one line at a time
            for patient in ("p1", "q2", "old"):
                quick = story(folder, patient)
                with patch.object(OtherPatients, "references_of", lambda *_: []):
                    whole = story(folder, patient)
                if isinstance(quick, Story) and isinstance(whole, Story):
                    assert replace(quick, unreadable=0) == replace(whole, unreadable=0)
                    assert quick.unreadable <= whole.unreadable
                else:
                    assert quick == whole
