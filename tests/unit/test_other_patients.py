"""Which lines are recognised as those of other patients, so that they are not decoded."""

import pytest

from fhircryo.extract.other_patients import OtherPatients, grading_codes
from fhircryo.mapping.load import load_mappings

OTHER = b'{"resourceType":"Observation","id":"o2","subject":{"reference":"Patient/p2"}}\n'
GRADING = OTHER.replace(b'"subject"', b'"code":{"coding":[{"code":"789279006"}]},"subject"')
SCALES = {"789279006": "clavien-dindo"}


def others(*watched: str, gradings: dict[str, str] | None = None) -> OtherPatients:
    return OtherPatients({"p1"}, watched, SCALES if gradings is None else gradings)


def test_the_lines_of_another_patient():
    response = b'{"resourceType":"QuestionnaireResponse","id":"q2","subject":{}}\n'
    assert others().references_of([OTHER, response]) == [
        "Observation/o2",
        "QuestionnaireResponse/q2",
    ]


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(OTHER.replace(b"p2", b"p1"), id="the patient's own"),
        pytest.param(OTHER.replace(b"p2", b"\\u0070\\u0031"), id="escaped"),
        pytest.param(OTHER.replace(b"Observation", b"Medication"), id="a drug"),
        pytest.param(OTHER.replace(b"Observation", b"Bundle"), id="a container"),
        pytest.param(
            OTHER.replace(b"Observation", b"Patient").replace(b"subject", b"link"), id="a link"
        ),
        pytest.param(OTHER.replace(b'","id"', b'", "id"'), id="blanks"),
        pytest.param(OTHER[:-5], id="truncated"),
        pytest.param(b"\n", id="empty"),
        pytest.param(b'[{"resourceType":"Observation"}]\n', id="an array"),
        pytest.param(GRADING, id="a grading"),
    ],
)
def test_what_has_to_be_read(line):
    assert others().references_of([OTHER, line]) == []


def test_nothing_is_nobody_s():
    assert others().references_of([]) == []


def test_a_watched_resource_is_read():
    assert others("Observation/o2").references_of([OTHER]) == []


def test_a_grading_of_a_scale_that_is_known_says_nothing_new():
    assert others().references_of([GRADING], {"clavien-dindo"}) == ["Observation/o2"]


def test_without_codes_of_gradings_all_observations_are_read():
    recognised = OtherPatients({"p1"}, (), None)
    assert recognised.references_of([OTHER]) == []
    assert recognised.references_of([OTHER.replace(b"Observation", b"Condition")])


def test_the_shipped_gradings_have_codes():
    assert grading_codes(load_mappings()) == SCALES


def test_gradings_that_are_known_by_a_text_have_no_codes(tmp_path):
    overlay = tmp_path / "site.yaml"
    text = "{text: surgical grade, verified: us}"
    overlay.write_text(f"concepts:\n  clavien-dindo-grading:\n    texts:\n      - {text}\n")
    assert grading_codes(load_mappings((overlay,))) is None
