"""A new resource type: its struct, its extractor, its row of the table, its kind of item."""

import json

from tests.extension.checkout import AS_OF, Checkout, hospital
from tests.unit import inputs

STRUCT = '''\
class Encounter(Resource):
    """A contact with the hospital."""

    status: str | None = None
    subject: Reference | None = None
    period: Period | None = None


'''

EXTRACTOR = '''\
"""Encounters: contacts with the hospital."""

from fhircryo.extract.context import Context, Named, date_problem
from fhircryo.fhir.wire import Encounter
from fhircryo.record.items import Contact, Item, Reason


def encounter(resource: Encounter, ref: str, context: Context) -> Item:
    """The item of an Encounter."""
    named = Named(ref, resource.meta, context.patient(resource.subject), "encounter")
    if not named.patient:
        return named.not_used(Reason.NO_SUBJECT)
    if resource.status != "finished":
        return named.not_used(Reason.STATUS)
    written, when = context.first_date(resource.period)
    if when is None:
        return date_problem(named, written)
    return Contact(when=when, **named.fields())
'''

KIND = '''\
class Contact(Item, tag="co"):
    """A contact with the hospital."""

    part: ClassVar[str] = "contacts"

    when: Span


'''


#: The row of the table of resource types.
ROW = '    ResourceType("Encounter", _BY_PATIENT, optional=True, surveyed=False),'


def before(found: str, line: str) -> tuple[str, str]:
    """The change that adds a line before what is found."""
    return found, f"{line}\n{found}"


def encounter(name: str, on: str | None, status: str = "finished") -> inputs.Resource:
    return {
        "resourceType": "Encounter",
        "id": name,
        "status": status,
        "subject": {"reference": "Patient/p1"},
        "period": {"start": on},
    }


def test_a_resource_type(tmp_path):
    copy = Checkout(tmp_path / "copy")
    copy.change(
        "fhircryo/fhir/wire.py",
        ("class Medication(Resource)", f"{STRUCT}class Medication(Resource)"),
        before("        Medication,", "        Encounter,"),
    )
    copy.add("fhircryo/extract/encounter.py", EXTRACTOR)
    copy.change(
        "fhircryo/extract/extractor.py",
        before("_EXTRACTORS:", "from fhircryo.extract.encounter import encounter\n"),
        before('    "Medication": ', '    "Encounter": encounter,'),
    )
    copy.change("fhircryo/sources/resource_types.py", before("    ResourceType(MEDICATION", ROW))
    copy.change(
        "fhircryo/record/items.py",
        ("class Issue(", f"{KIND}class Issue("),
        before("    not_used: list", "    contacts: list[Contact] = []"),
    )
    assert len(copy.touched) == 5
    source = hospital(tmp_path / "in")
    (source / "Encounter.ndjson").write_bytes(
        inputs.lines(
            encounter("e1", "2016-06-01"),
            encounter("e2", "2016-07-01", "planned"),
            encounter("e3", "soon"),
        )
    )
    copy.compute(source)
    counts = json.loads((copy.folder / "computed" / "manifest.json").read_text())["counts"]
    assert counts["read_by_type"]["Encounter"] == 3
    assert counts["not_used"]["status"] == 1
    assert counts["not_used"]["no-usable-date"] == 1
    assert counts["used"] + sum(counts["not_used"].values()) == counts["resources"]
    text = copy.run("fhircryo", "explain", source, "p1", "--as-of", AS_OF, "--json")
    told = {one["resource"]: one["reason"] for one in json.loads(text)["not_used"]}
    assert told == {"Encounter/e2": "status", "Encounter/e3": "no-usable-date"}
    assert (copy.cohort(source, "--no-report") / "patients.parquet").exists()
