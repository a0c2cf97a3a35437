"""``fhircryo forget``: an erasure is complete, or says what is left, or that nobody is known."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit import inputs
from tests.unit.hospital import Reply, Seen
from tests.unit.inputs import Ran, Resource, cli
from tests.unit.stub_fhir import StubFhir
from tests.unit.stub_target import StubTarget
from tests.unit.test_dropped_tags import DropsTags, DropsTagsAndProcedures

pytestmark = pytest.mark.slow

SYSTEM = "https://hospital.example/mrn"


def record(name: str, number: str) -> list[Resource]:
    return [
        inputs.patient(name, identifier=[{"system": SYSTEM, "value": number}]),
        inputs.procedure(f"x-{name}", "2016-01-10", of=name),
        inputs.psa(f"a-{name}", "2016-03-01", 0.4, of=name),
    ]


class Site:
    """A source, a target, and settings."""

    def __init__(self, folder: Path, source: StubFhir, target: StubTarget) -> None:
        self.source, self.target, self.folder = source, target, folder
        self.config = folder / "fhircryo.toml"
        self.excluded = folder / "objected.txt"
        self.excluded.write_text("")
        self.excluded.chmod(0o600)
        self.set_up("")

    def set_up(self, write: str) -> None:
        self.config.write_text(
            f'state_folder = "{self.folder / "state"}"\n[source]\nretry_budget = 0\n'
            f'[target]\nretry_budget = 0\n[sync]\nsource = "{self.source.base}"\n'
            f'target = "{self.target.base}"\nexclude = "{self.excluded}"\n[write]\n{write}'
        )

    def match(self) -> None:
        """Patients have other ids on the target: there, p2 is somebody else."""
        self.target.put(*record("p2", "1")[:1], *record("t2", "2")[:1])
        self.set_up(f'subject = "match"\nsubject_system = "{SYSTEM}"\n')

    def run(self, *arguments: str) -> Ran:
        return cli(*arguments, "--config", self.config)

    def forget(self, name: str) -> Ran:
        return self.run("forget", name, "--yes")

    def subjects(self) -> set[str]:
        """The patients of the endpoints on the target."""
        found = [one["subject"] for one in self.target.of_type("Observation")]
        refs = [one.get("reference") or one["identifier"]["value"] for one in found]
        return {ref.rpartition("/")[2] for ref in refs}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with StubFhir(*record("p1", "1"), *record("p2", "2")) as source, StubTarget() as target:
        yield Site(tmp_path, source, target)


@pytest.mark.parametrize("name", ["p9", "P2", "p2 ", "", "Patient/p9"])
def test_an_id_that_nobody_knows_is_no_erasure(name, site):
    assert site.run("sync").code == 0
    before = site.target.of_type("Observation")
    ran = site.forget(name)
    assert ran.code == 2
    assert "nothing was erased: the state does not know this id" in ran.err
    assert "deleted" not in ran.out
    assert site.target.of_type("Observation") == before


def test_a_patient_is_erased_and_then_is_not_known(site):
    assert site.run("sync").code == 0
    assert site.forget("Patient/p2").code == 0
    assert site.subjects() == {"p1"}
    assert site.target.dangling() == []
    assert site.forget("p2").code == 2


def test_without_a_state_the_target_tells(site):
    assert site.run("sync").code == 0
    assert site.run("state", "reset", "--yes").code == 0
    assert site.forget("p2").code == 0
    assert site.subjects() == {"p1"}


@pytest.mark.parametrize("state", ["kept", "lost"])
def test_a_matched_patient_is_erased_under_the_id_of_the_target(state, site):
    site.match()
    assert site.run("sync").code == 0
    assert site.subjects() == {"p2", "t2"}
    if state == "lost":
        assert site.run("state", "reset", "--yes").code == 0
    assert site.forget("p2").code == 0
    assert site.subjects() == {"p2"}  # the other patient, who has this id on the target


def test_what_was_retracted_of_a_matched_patient_is_erased_too(site):
    site.match()
    assert site.run("sync").code == 0
    site.excluded.write_text("p2\n")
    assert site.run("sync", "--full", "--allow-retractions").code == 0
    assert site.subjects() == {"p2", "t2"}
    assert site.forget("p2").code == 0
    assert site.subjects() == {"p2"}


def test_a_patient_who_cannot_be_matched_any_more(site):
    site.match()
    assert site.run("sync").code == 0
    site.source.put(inputs.patient("p2"))  # without the identifier
    ran = site.forget("p2")
    assert ran.code == 5  # what was retracted earlier may be left
    assert "LEFT: endpoints that were retracted before: the patient cannot be matched" in ran.out
    assert site.subjects() == {"p2"}
    ran = site.forget("p2")
    assert ran.code == 2
    assert "cannot be matched" in ran.err


def test_provenances_that_cannot_be_searched_are_named(site):
    assert site.run("sync").code == 0
    answer = site.target._answer

    def refuse(seen: Seen) -> Reply:
        if seen.path.startswith("/fhir/Provenance") and seen.method in ("GET", "POST"):
            return Reply(400, {"resourceType": "OperationOutcome"})
        return answer(seen)

    site.target.routes = type(site.target.routes)(refuse)
    ran = site.forget("p2")
    assert ran.code == 5
    assert "LEFT: Provenances, if there are any: they cannot be searched" in ran.out
    assert site.subjects() == {"p1"}


@pytest.mark.parametrize("target", [DropsTags, DropsTagsAndProcedures])
def test_a_target_that_shows_less_of_where_an_endpoint_comes_from(target, tmp_path):
    """What the state knows is erased; what nobody can assign is named as left."""
    with StubFhir(*record("p1", "1"), *record("p2", "2")) as source, target() as there:
        site = Site(tmp_path, source, there)
        assert site.run("sync").code == 0
        assert site.forget("p2").code == 0
        assert site.subjects() == {"p1"}
        assert site.run("state", "reset", "--yes").code == 0
        ran = site.forget("p1")
        if target is DropsTags:  # the identifier tells
            assert ran.code == 0
            assert site.subjects() == set()
        else:
            assert ran.code == 2
            assert ran.err.count("nothing shows of which source_name it is") == 1
            assert site.subjects() == {"p1"}
