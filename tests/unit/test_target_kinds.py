"""Writing to every kind of target: nothing doubled, nothing silently missing, clear refusals.

The habits of the stub target and their sources are in ``stub_target``.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from fhircryo.publish.difference import Action
from fhircryo.publish.target_server import Permissions
from fhircryo.record.patients import ALL_PATIENTS, Selection
from fhircryo.runs.run_config import RunConfig
from fhircryo.runs.to_server import ServerRun, compute_server
from fhircryo.settings import ServerSettings, Settings, WriteSettings
from tests.unit.inputs import AS_OF, Resource, folder, patient, procedure, psa
from tests.unit.stub_target import (
    StubTarget,
    Target,
    conditional_create,
    conditional_update,
    neither,
    own_ids,
)

KINDS = {
    "own ids": own_ids,
    "conditional update": conditional_update,
    "conditional create": conditional_create,
    "neither": neither,
}
#: The kinds that choose the ids.
CHOOSING = [name for name in KINDS if name != "own ids"]
PEOPLE = ("p1", "p2", "p3")
ADVICE = "write.provenance = false"


def record(*people: str, risen: tuple[str, ...] = ()) -> dict[str, Any]:
    """Patients whose PSA stays low, or has risen."""
    last = {name: 3.5 if name in risen else 0.6 for name in people}
    return {
        "Patient.ndjson": [patient(name) for name in people],
        "Procedure.ndjson": [procedure(f"x-{name}", "2016-01-10", of=name) for name in people],
        "Observation.ndjson": [
            one
            for name in people
            for one in (
                psa(f"a-{name}", "2016-03-01", 0.4, of=name),
                psa(f"b-{name}", "2016-12-10", 0.5, of=name),
                psa(f"c-{name}", "2017-03-01", last[name], of=name),
            )
        ],
    }


class Site:
    """A source folder, a target, and the state folder of the runs between them."""

    def __init__(self, target: StubTarget, place: Path) -> None:
        self.target = target
        self.place = place
        self.state = place / "state"
        self.source = place / "in"
        self.has(*PEOPLE)

    def has(self, *people: str, risen: tuple[str, ...] = ()) -> None:
        """Replace the record."""
        folder(self.source, record(*people, risen=risen))

    def write(
        self, *, source_name: str = "", selection: Selection = ALL_PATIENTS, **how: Any
    ) -> ServerRun:
        names = ("dry_run", "allow_retractions")
        allowed = Permissions(**{name: how.pop(name) for name in names if name in how})
        budget = how.pop("retry_budget", 5.0)
        settings = Settings.model_construct(
            target=ServerSettings(retry_budget=budget),
            write=WriteSettings(**{"index_patience": 2.0, **how}),
            source_name=source_name,
            state_folder=self.state,
        )
        config = RunConfig.of(settings, AS_OF, selection)
        return compute_server(self.source, self.target.base, config, allowed)

    @property
    def endpoints(self) -> dict[str, list[Resource]]:
        return self.target.endpoints()

    def check(self, people: tuple[str, ...] = PEOPLE) -> None:
        """Nothing doubled, nothing missing, each version with its Provenance."""
        stub = self.target
        assert stub.doubles() == []
        assert stub.without_provenance() == []
        assert stub.dangling() == []
        found = {_patient(one) for those in self.endpoints.values() for one in those}
        assert found == set(people)
        numbers = {
            name: sum(_patient(one) == name for those in self.endpoints.values() for one in those)
            for name in people
        }
        assert len(set(numbers.values())) == 1

    def quiet(self, **how: Any) -> None:
        """Another run writes nothing."""
        before = len(self.target.writes())
        done = self.write(**how)
        assert done.pushed is not None
        assert done.pushed.rejected == {}
        assert len(self.target.writes()) == before


def _patient(observation: Resource) -> str:
    return str(observation["subject"]["identifier"]["value"]).removeprefix("Patient/")


def counts(run: ServerRun) -> dict[str, int]:
    assert run.pushed is not None
    done = run.pushed.written.endpoints
    return {str(action): done[action] for action in Action if done[action]}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Any]:
    """Start a site with a target of some habits."""
    with ExitStack() as stack:

        def start(habits: Target) -> Site:
            return Site(stack.enter_context(StubTarget(habits)), tmp_path)

        yield start


def to_the_base(seen: Any) -> bool:
    return bool(seen.path.rstrip("/") == "/fhir" and b'"entry"' in seen.body)


def an_endpoint(seen: Any) -> bool:
    return "/fhir/Observation" in seen.path and not seen.path.endswith("_search")


# --- every kind of target


@pytest.mark.parametrize("transaction", ["whole", "batch", "refused"])
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_written_is_there_once(kind, transaction, site):
    one = site(KINDS[kind](transaction=transaction))
    assert counts(one.write()).keys() == {"new"}
    one.check()
    one.quiet()
    one.has(*PEOPLE, risen=("p2",))
    assert counts(one.write()).keys() == {"changed"}
    one.check()
    assert len(one.target.of_type("Device")) == 1
    one.quiet()


@pytest.mark.parametrize("updates_leave_index", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_a_search_that_lags_does_not_lead_to_a_second_create(kind, updates_leave_index, site):
    """Google: searches are eventually consistent; HealthLake: updates leave the index."""
    one = site(KINDS[kind](updates_leave_index=updates_leave_index, lag_seconds=1.0))
    one.write()
    one.check()
    one.quiet()
    one.has(*PEOPLE, "p4", risen=("p1",))
    assert counts(one.write()).keys() == {"new", "changed"}
    one.has(*PEOPLE, "p4", risen=("p1", "p4"))
    assert counts(one.write()).keys() == {"changed"}
    one.check((*PEOPLE, "p4"))
    one.quiet()
    one.has("p1", "p2", "p4", risen=("p1", "p4"))
    assert counts(one.write()).keys() == {"retracted"}
    one.check((*PEOPLE, "p4"))
    one.quiet()
    one.target.settle()
    one.quiet()
