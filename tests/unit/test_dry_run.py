"""A dry run says when the real run would be refused, and ends with the exit code of that one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit import inputs
from tests.unit.inputs import Ran, cli, folder
from tests.unit.stub_fhir import StubFhir, WithholdsConditions
from tests.unit.stub_target import StubTarget

MEN = [f"p{number}" for number in range(8)]
COMMANDS = ["compute", "push", "sync"]


def _record(men: list[str]) -> list[inputs.Resource]:
    return [
        one for man in men for one in (inputs.patient(man), inputs.procedure(f"x-{man}", of=man))
    ]


class Site:
    """A source, given by its men, and a target; the same for each command."""

    def __init__(self, place: Path, source: StubFhir, target: StubTarget) -> None:
        self.place, self.source, self.target = place, source, target
        self.broken = False
        self.holds(MEN)

    def holds(self, men: list[str]) -> None:
        """The men with a procedure at the source from now on."""
        self.source.stored.clear()
        self.source.put(*_record(men))

    def run(self, command: str, *options: str) -> Ran:
        """Run a command with its source in a folder; sync reads the server."""
        if command == "sync":
            return cli("sync", "--full", *options)
        files: dict[str, bytes | list[inputs.Resource]] = {
            f"{kind}.ndjson": self.source.of_type(kind) for kind in ("Patient", "Procedure")
        }
        if self.broken:
            files["Broken.ndjson"] = b'{"resourceType": "Obs'
        source = folder(self.place / "in", files)
        if command == "compute":
            return cli("compute", source, self.target.base, *options)
        computed = cli("compute", source, self.place / "out")
        assert computed.code == (4 if self.broken else 0)
        return cli("push", self.place / "out", self.target.base, *options)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FHIRCRYO_STATE_FOLDER", str(tmp_path / "state"))
    with StubFhir() as source, StubTarget() as target:
        monkeypatch.setenv("FHIRCRYO_SYNC__SOURCE", source.base)
        monkeypatch.setenv("FHIRCRYO_SYNC__TARGET", target.base)
        yield Site(tmp_path, source, target)


def real_run(ran: Ran) -> str:
    """What a dry run says of the real run."""
    (words,) = [line for line in ran.err.splitlines() if line.startswith("The real run would")]
    return words


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_nothing_stands_against_the_real_run(command, site):
    dry = site.run(command, "--dry-run")
    assert dry.code == 0
    assert real_run(dry).startswith("The real run would end with exit code 0. It would write this")
    assert "a dry run does not try" in real_run(dry)
    assert not site.target.writes()
    assert site.run(command).code == 0
    assert site.target.endpoints()


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_more_retractions_than_permitted(command, site):
    assert site.run(command).code == 0
    before = len(site.target.writes())
    site.holds(MEN[:1])
    dry = site.run(command, "--dry-run")
    assert dry.code == 5
    assert "with exit code 5. It would be REFUSED and write nothing" in real_run(dry)
    assert "endpoints of 7 of 8 patients would be retracted" in real_run(dry)
    assert site.run(command).code == 5
    assert len(site.target.writes()) == before
    allowed = site.run(command, "--dry-run", "--allow-retractions")
    assert (allowed.code, "REFUSED" in allowed.err) == (0, False)
    assert site.run(command, "--allow-retractions").code == 0


@pytest.mark.slow
@pytest.mark.parametrize("command", ["compute", "push"])
def test_an_unreadable_source(command, site):
    site.broken = True
    dry = site.run(command, "--dry-run")
    assert dry.code == 4
    assert "with exit code 4. It would be REFUSED" in real_run(dry)
    assert "1 lines or files" in real_run(dry)
    assert site.run(command).code == 4
    assert not site.target.writes()
    accepted = site.run(command, "--dry-run", "--accept-unreadable")
    assert accepted.code == 4
    assert real_run(accepted).startswith("The real run would end with exit code 4. It would write")
    assert site.run(command, "--accept-unreadable").code == 4
    assert site.target.endpoints()


def test_an_unreadable_source_of_a_scheduled_run(site, monkeypatch):
    broken = {
        "resourceType": "Observation",
        "id": "b1",
        "status": 1,
        "code": inputs.psa("b1", "2017-01-01", 1)["code"],
    }
    site.source.put({**broken, "subject": {"reference": "Patient/p1"}})
    dry = site.run("sync", "--dry-run")
    assert dry.code == 4
    assert "with exit code 4. It would be REFUSED" in real_run(dry)
    assert site.run("sync").code == 4
    assert not site.target.writes()
    monkeypatch.setenv("FHIRCRYO_SYNC__ACCEPT_UNREADABLE", "true")
    assert "REFUSED" not in real_run(site.run("sync", "--dry-run"))


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_doubles_on_the_target(command, site):
    assert site.run(command).code == 0
    one = next(iter(site.target.of_type("Observation")))
    site.target.put({**one, "id": "double"})
    site.source.put(inputs.procedure("x-p0", "2016-02-10", of="p0"))
    dry = site.run(command, "--dry-run")
    assert dry.code == 5
    assert "without the 1 patients who are named above" in real_run(dry)
    assert site.run(command).code == 5


@pytest.mark.parametrize("command", COMMANDS)
def test_a_target_that_is_refused_is_refused_in_a_dry_run(command, site):
    site.target.habits.refuses = {"Observation": 403}
    site.target.habits.states_refusals = True
    assert site.run(command, "--dry-run").code == site.run(command).code == 5


def test_withheld_results_are_refused_in_a_dry_run(site):
    """A source that withholds Procedures: the message is that of the real run."""
    with WithholdsConditions() as source:
        source.put(*_record(MEN[:1]))
        withhold = source._search

        def withheld(kind: str, query: dict[str, str]) -> inputs.Any:
            return withhold("Condition" if kind == "Procedure" else kind, query)

        source._search = withheld  # type: ignore[method-assign]
        dry = cli("compute", source.base, site.target.base, "--dry-run")
        real = cli("compute", source.base, site.target.base)
    assert dry.code == real.code == 3
    assert dry.err.splitlines()[-1] == real.err.splitlines()[-1]
    assert "--accept-withheld" in dry.err
