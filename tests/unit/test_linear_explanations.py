"""An explanation reads a source a fixed number of times, whoever is explained and whatever it says.

Counted are the readings of its file, not seconds.
"""

from pathlib import Path

import pytest

from fhircryo.sources import folder_source
from tests.unit.inputs import AS_OF, Resource, cli, condition, folder, merged, procedure, psa

_RELATED_PRIMARY = (
    "http://hl7.org/fhir/us/mcode/StructureDefinition/mcode-related-primary-cancer-condition"
)


@pytest.fixture
def readings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that were read, once for each reading."""
    found: list[str] = []
    read_part = folder_source.read_part

    def counted(part, *how, **more):
        found.append(part.file.name)
        return read_part(part, *how, **more)

    monkeypatch.setattr(folder_source, "read_part", counted)
    return found


def explained(place: Path, resources: list[Resource], *who: object) -> str:
    source = folder(place / "in", {"a.ndjson": resources})
    ran = cli("explain", source, *who, "--as-of", AS_OF)
    assert ran.code == 0, ran.err
    return ran.out


def _names_the_next(number: int) -> Resource:
    """A metastasis of a patient that names that of the next one as its primary cancer."""
    named = {"url": _RELATED_PRIMARY, "valueReference": {"reference": f"Condition/c{number + 1}"}}
    return condition(f"c{number}", "2016-06-01", of=f"p{number}", extension=[named])


def test_what_others_name_is_not_followed(readings, tmp_path):
    """A chain of a thousand references from patient to patient is not read a thousand times."""
    told = explained(tmp_path, [procedure(of="p0"), *map(_names_the_next, range(1000))], "p0")
    assert "Condition/c0" in told
    assert len(readings) <= 3


def test_many_patients_are_explained_by_reading_once(readings, tmp_path):
    who = [f"p{number}" for number in range(100)]
    resources = [
        one for of in who for one in (procedure(f"x-{of}", of=of), psa("a-" + of, None, 1, of=of))
    ]
    listed = tmp_path / "who.txt"
    listed.write_text("\n".join(who))
    together = explained(tmp_path, resources, "--patients", listed)
    assert len(readings) == 1
    for of in ("p0", "p99"):
        assert explained(tmp_path, resources, of).rstrip() in together


def test_ids_of_one_person_are_not_each_looked_for(monkeypatch, tmp_path):
    """As many ids as a source has lines are not each searched for in all of its lines."""
    searched: list[int] = []
    unwatched = folder_source.OtherPatients

    def watched(ids, *more):
        searched.append(len(ids))
        return unwatched(ids, *more)

    monkeypatch.setattr(folder_source, "OtherPatients", watched)
    chain = [merged(f"p{number}", f"p{number + 1}") for number in range(200)]
    told = explained(tmp_path, [*chain, procedure(of="p0")], "p200")
    assert "Procedure/x1" in told
    assert max(searched) <= 20
