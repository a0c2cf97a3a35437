"""Which primary cancer a metastasis is of: named Conditions, in the source or not, kept or not."""

import itertools
from pathlib import Path
from typing import Any

import pytest

from fhircryo.extract.context import Context
from fhircryo.extract.lines import read
from fhircryo.fhir.dates import DateReader
from fhircryo.record.assemble import assemble
from fhircryo.record.collector import RecordCollector
from fhircryo.record.items import Finding, Reason
from fhircryo.record.patients import Patients
from fhircryo.runs import drivers
from fhircryo.sources import folder_source
from fhircryo.sources.folder_source import FolderSource
from fhircryo.sources.source import ReadRequest
from tests.unit.extraction import (
    ICD_10,
    SHIPPED,
    SNOMED,
    assembled,
    codings,
    record,
    retention,
)
from tests.unit.inputs import HTEST, Resource, condition, folder, lab, line, meta, procedure

PRIMARY = "http://hl7.org/fhir/us/mcode/StructureDefinition/mcode-related-primary-cancer-condition"
REFUTED = codings(("http://terminology.hl7.org/CodeSystem/condition-ver-status", "refuted"))
OWN_LOCAL = ("https://w3id.org/fhircryo/CodeSystem/concept", "local-recurrence")


def metastasis(*named: str, code: tuple[str, str] = (ICD_10, "C79.5"), **more: Any) -> Resource:
    extension = [{"url": PRIMARY, "valueReference": {"reference": ref}} for ref in named]
    return condition("m", "2016-06-01", code=codings(code), extension=extension, **more)


def cancer(name: str, code: str, **more: Any) -> Resource:
    return condition(name, "2012-01-01", code=codings((ICD_10, code)), **more)


def finding(*resources: Resource) -> Finding:
    (found,) = [one for one in record(procedure(), *resources).findings if one.ref[-1] == "m"]
    return found


@pytest.mark.parametrize(
    ("primary", "of_prostate"),
    [
        (cancer("c", "C61"), True),
        (cancer("c", "C61", verificationStatus=REFUTED), True),
        (cancer("c", "C77.5"), True),
        (cancer("c", "C79.1"), True),
        (condition("c", "2012-01-01", code=codings(OWN_LOCAL)), True),
        (cancer("c", "C18.7"), False),
        (cancer("c", "C18.7", verificationStatus=REFUTED), False),
        (cancer("c", "I10"), False),
        (condition("c", "2012-01-01", code={"text": "colon cancer"}), False),
        (cancer("c", "C18.7", meta=HTEST), None),
        (cancer("d", "C18.7"), None),
    ],
)
def test_the_condition_that_is_named(primary, of_prostate):
    assert finding(metastasis("Condition/c"), primary).of_prostate is of_prostate
    assert finding(primary, metastasis("Condition/c")).of_prostate is of_prostate
    focus = [{"reference": "Condition/c"}]
    code = codings((SNOMED, "385421009"))
    seen = lab("m", code=code, focus=focus, effectiveDateTime="2016-06-01")
    assert finding(seen, primary).of_prostate is of_prostate


def test_of_several_one_that_is_the_prostate_decides():
    resources = [cancer("a", "C61"), cancer("b", "C18.7"), cancer("c", "I10")]
    for names, of_prostate in (
        (("a", "b"), True),
        (("b", "a", "x"), True),
        (("c", "x"), False),
        (("x", "y"), None),
        ((), None),
    ):
        named = metastasis(*(f"Condition/{name}" for name in names))
        assert finding(named, *resources).of_prostate is of_prostate


def test_a_code_that_names_the_prostate_decides_first():
    named = metastasis("Condition/c", code=(SNOMED, "314994000"))
    assert finding(named, cancer("c", "C18.7")).of_prostate is True


def test_a_metastasis_is_not_its_own_primary():
    assert finding(metastasis("Condition/m")).of_prostate is None


def test_conditions_that_do_not_count_are_in_the_record_with_their_reason():
    found = record(procedure(), cancer("c", "C61", verificationStatus=REFUTED))
    assert [one.problem for one in found.diagnoses] == [Reason.STATUS]
    found = record(procedure(), metastasis(verificationStatus=REFUTED))
    assert [one.problem for one in found.findings] == [Reason.STATUS]


def test_conditions_without_an_owner_are_listed():
    records = assembled([procedure(), cancer("c", "C61", of=None), cancer("d", "C61", meta=HTEST)])
    assert {(issue.ref, issue.reason) for issue, _ in records.listed} == {
        ("Condition/c", Reason.NO_SUBJECT),
        ("Condition/d", Reason.TEST_DATA),
    }
    assert records.records["p1"].diagnoses == []


# ------------------------------------------------------------------ named and discarded

SOURCE = [
    procedure(),
    metastasis("Condition/c"),
    cancer("c", "I10"),
    *(cancer(f"z{number}", "I10", of=f"p{number}") for number in range(20)),
]


def collected(parts: list[list[Resource]]) -> RecordCollector:
    """What several readers found, merged in the order given."""
    whole = RecordCollector(retention(frozenset({"p1"})))
    for number, part in enumerate(parts):
        reader = whole.empty_copy()
        reader.sequence = number << 40
        read(map(line, part), reader, Context(SHIPPED, DateReader()), number)
        whole.merge(reader.encode())
    whole.note_unmapped_primaries()
    return whole


@pytest.mark.parametrize("split", [1, 2, 3, 10])
def test_several_readers_know_what_one_of_them_discarded(split):
    parts = [SOURCE[start::split] for start in range(split)]
    for order in itertools.islice(itertools.permutations(parts), 6):
        whole = collected(list(order))
        assert whole.facts.unmapped_primaries == {"Condition/c"}
        records = assemble(whole.items, whole.facts, Patients({}))
        assert records.records["p1"].findings[0].of_prostate is False


def test_a_condition_of_another_patient_is_no_other_cancer():
    """It was discarded because of its patient: what it says is not known any more."""
    whole = collected([[procedure(), metastasis("Condition/c"), cancer("c", "C61", of="p9")]])
    assert "Condition/c" not in whole.items
    assert whole.facts.unmapped_primaries == set()


@pytest.mark.parametrize("workers", [1, 3])
def test_a_folder_read_by_one_or_several_processes(tmp_path: Path, workers, monkeypatch):
    monkeypatch.setattr(drivers, "_WORTH_SHARING", 0)
    monkeypatch.setattr(folder_source, "PART_SIZE", 300)
    source = folder(tmp_path / "s", {"all.ndjson": SOURCE})
    found = FolderSource(source).collect(ReadRequest(SHIPPED, drivers.driver_of(workers)))
    records = assemble(found.items, found.facts, found.patients)
    assert records.records["p1"].findings[0].of_prostate is False


def test_the_latest_version_of_the_named_condition_counts(tmp_path: Path):
    versions = [
        cancer("c", code, meta=meta(version=str(number)))
        for number, code in enumerate(("C61", "I10"), 1)
    ]
    for order in (versions, versions[::-1]):
        source = folder(
            tmp_path / "s", {"all.ndjson": [procedure(), metastasis("Condition/c"), *order]}
        )
        found = FolderSource(source).collect(ReadRequest(SHIPPED, drivers.driver_of(1)))
        records = assemble(found.items, found.facts, found.patients)
        assert records.records["p1"].findings[0].of_prostate is False
