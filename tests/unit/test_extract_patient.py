"""Patients: birth, death with and without a date, merged records."""

import pytest

from tests.unit.extraction import ABSENT, extracted, record
from tests.unit.inputs import Resource, merged, patient, procedure


@pytest.mark.parametrize(
    ("stated", "died", "undated"),
    [
        ({}, None, False),
        ({"deceasedBoolean": False}, None, False),
        ({"deceasedBoolean": True}, None, True),
        ({"_deceasedDateTime": ABSENT}, None, True),
        ({"_deceasedDateTime": None, "deceasedBoolean": False}, None, False),
        ({"deceasedDateTime": "2017-02-03", "_deceasedDateTime": ABSENT}, "2017-02-03", False),
        ({"deceasedDateTime": "in spring"}, None, True),
    ],
)
def test_death(stated, died, undated):
    found = extracted({"resourceType": "Patient", "id": "p1", **stated})
    assert (found.died and str(found.died.first)) == died
    assert found.died_undated is undated


@pytest.mark.parametrize(
    ("old", "new", "ref"),
    [
        ({"deceasedDateTime": "2017-02-03"}, {}, "Patient/old"),
        ({}, {"deceasedDateTime": "2017-02-03"}, "Patient/p1"),
        ({"deceasedDateTime": "2017-02-03"}, {"deceasedBoolean": True}, "Patient/old"),
        ({"deceasedBoolean": True}, {}, "Patient/old"),
        ({"deceasedBoolean": True}, {"deceasedBoolean": False}, "Patient/old"),
        ({"_deceasedDateTime": ABSENT}, {}, "Patient/old"),
        ({"deceasedDateTime": "2017-02-03"}, {"deceasedDateTime": "2017"}, "Patient/old"),
        ({"deceasedDateTime": "2017"}, {"deceasedBoolean": True}, "Patient/old"),
        (
            {"deceasedDateTime": "2017-02-03"},
            {"deceasedDateTime": "2017-02-04"},
            "Patient/p1",
        ),
        ({}, {}, "Patient/p1"),
    ],
)
def test_a_death_on_either_record_of_a_merged_patient_is_his(old, new, ref):
    records: list[Resource] = [merged("old", "p1", **old), patient("p1", **new)]
    for order in (records, records[::-1]):
        found = record(procedure(), *order)
        assert found.facts is not None
        assert found.facts.ref == ref
        assert len(found.former) == 1
