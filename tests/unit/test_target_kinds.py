"""Writing to every kind of target: nothing doubled, nothing silently missing, clear refusals.

The habits of the stub target and their sources are in ``stub_target``.
"""

import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from fhircryo.errors import TargetError
from fhircryo.publish.difference import Action
from fhircryo.publish.known_ids import known_ids_path
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
from tests.unit.waiting import only_waiting_takes_time

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
            write=WriteSettings(**{"index_patience": 0.6, **how}),
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
        assert stub.dangling() == []
        self.check_endpoints(people)

    def check_endpoints(self, people: tuple[str, ...] = PEOPLE) -> None:
        """The same, whatever was deleted that a Provenance names."""
        stub = self.target
        assert stub.doubles() == []
        assert stub.without_provenance() == []
        found = {_patient(one) for those in self.endpoints.values() for one in those}
        assert found == set(people)
        numbers = {
            name: sum(_patient(one) == name for those in self.endpoints.values() for one in those)
            for name in people
        }
        assert len(set(numbers.values())) == 1

    def quiet(self, **how: Any) -> None:
        """Another run writes nothing."""
        before = dict(self.target.carried_out)
        done = self.write(**how)
        assert done.pushed is not None
        assert done.pushed.rejected == {}
        assert dict(self.target.carried_out) == before


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
        stack.enter_context(only_waiting_takes_time())

        def start(habits: Target) -> Site:
            return Site(stack.enter_context(StubTarget(habits)), tmp_path)

        yield start


def to_the_base(seen: Any) -> bool:
    return bool(seen.path.rstrip("/") == "/fhir" and b'"entry"' in seen.body)


def an_endpoint(seen: Any) -> bool:
    return "/fhir/Observation" in seen.path and not seen.path.endswith("_search")


# --- every kind of target


@pytest.mark.slow
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


@pytest.mark.slow
@pytest.mark.parametrize("updates_leave_index", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_a_search_that_lags_does_not_lead_to_a_second_create(kind, updates_leave_index, site):
    """Google: searches are eventually consistent; HealthLake: updates leave the index."""
    one = site(KINDS[kind](updates_leave_index=updates_leave_index, lag_seconds=0.3))
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


# --- lost answers and halved bundles


@pytest.mark.slow
@pytest.mark.parametrize("lag", [0.3])
@pytest.mark.parametrize("fate", ["lost before", "lost after", "504 after"])
@pytest.mark.parametrize("transaction", ["whole", "refused"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_lost_answer_doubles_nothing(kind, transaction, fate, lag, site):
    one = site(KINDS[kind](transaction=transaction, lag_seconds=lag))
    hit = []

    def fates(seen: Any) -> Any:
        wanted = to_the_base(seen) if transaction == "whole" else an_endpoint(seen)
        if wanted and len(hit) < 2:
            hit.append(seen)
            return fate
        return ""

    one.target.fate = fates
    done = one.write(bundle_size=40)
    assert len(hit) == 2
    assert done.pushed is not None
    assert done.pushed.rejected == {}
    one.check()
    one.quiet()


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_what_stands_is_read_again_before_a_bundle_is_halved(kind, site):
    """The last attempt to send it whole was carried out, but a gateway answered 504."""
    one = site(KINDS[kind](lag_seconds=0.3))
    fates = iter(["lost before", "lost before", "504 after"])
    one.target.fate = lambda seen: next(fates, "") if to_the_base(seen) else ""
    done = one.write(bundle_size=1000)
    assert next(fates, "all came") == "all came"
    assert done.pushed is not None
    assert done.pushed.rejected == {}
    assert one.target.carried_out["update"] <= len(PEOPLE)  # Provenances that are sent again
    one.check()
    one.quiet()


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_lost_provenance_is_not_written_twice(kind, site):
    one = site(KINDS[kind](transaction="refused"))
    hit = []

    def fates(seen: Any) -> Any:
        if "/Provenance" in seen.path and b"Observation/" in seen.body and not hit:
            hit.append(seen)
            return "lost after"
        return ""

    one.target.fate = fates
    one.write()
    assert hit
    one.check()
    one.quiet()


@pytest.mark.slow
@pytest.mark.parametrize("transaction", ["whole", "batch", "refused"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_run_that_ends_after_a_lost_answer_is_completed_by_the_next(kind, transaction, site):
    """The answer never came, and the process was gone: the next run reads before it writes."""
    one = site(KINDS[kind](transaction=transaction, lag_seconds=0.3))
    wanted = to_the_base if transaction == "whole" else an_endpoint
    one.target.fate = lambda seen: "lost after" if wanted(seen) else ""
    with pytest.raises(TargetError):
        one.write(retry_budget=0.0)
    one.target.fate = lambda seen: ""
    one.write()
    one.check()
    one.quiet()


@pytest.mark.slow
@pytest.mark.parametrize("batch_type", ["batch-response", "transaction-response"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_transaction_that_is_handled_as_a_batch_is_recognised(kind, batch_type, site, caplog):
    """Its entries succeed or fail alone; references between them are not resolved."""
    rejects = frozenset({"p2"})
    one = site(KINDS[kind](transaction="batch", batch_type=batch_type, rejects=rejects))
    done = one.write()
    assert done.pushed is not None
    assert set(done.pushed.rejected) == {"p2"}
    assert set(done.pushed.written.landed) == {"p1", "p3"}
    assert "together or not at all" in caplog.text
    one.check(("p1", "p3"))
    one.target.habits.rejects = frozenset()
    one.write()
    one.check()
    one.quiet()


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_that_says_it_was_a_transaction_is_recognised(kind, site):
    """Nothing is refused, but references between its entries are not resolved."""
    one = site(KINDS[kind](transaction="batch", batch_type="transaction-response"))
    one.write()
    one.check()
    one.quiet()
    one.has(*PEOPLE, "p4", risen=("p1",))
    one.write()
    one.check((*PEOPLE, "p4"))


# --- ids that the server gave


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_what_was_deleted_on_the_server_is_created_anew(kind, site):
    one = site(KINDS[kind]())
    one.write()
    gone = one.target.of_type("Observation")[0]
    one.target.delete(f"Observation/{gone['id']}")
    assert counts(one.write()) == {"new": 1}
    one.check_endpoints()
    one.quiet()


@pytest.mark.slow
@pytest.mark.parametrize("kind", CHOOSING)
def test_a_damaged_file_of_ids_is_set_aside(kind, site, caplog):
    one = site(KINDS[kind]())
    one.write()
    (ids,) = one.state.glob("target-*.ids.sqlite")
    assert ids == known_ids_path(one.target.base, one.state)
    assert ids.stat().st_mode & 0o777 == 0o600
    ids.write_bytes(b"not a database, but long enough to be looked at" * 100)
    one.has(*PEOPLE, risen=("p1",))
    assert counts(one.write()).keys() == {"changed"}
    assert "is damaged" in caplog.text
    one.check()
    one.quiet()


# --- what a CapabilityStatement claims wrongly


@pytest.mark.slow
@pytest.mark.parametrize(
    "habits",
    [
        Target(update_create=False, claims={"updateCreate": True}),
        Target(update_create=False, claims={"conditionalUpdate": True}),
        Target(update_create=False, claims={"conditionalCreate": True}),
        Target(update_create=False, conditional_create="refused"),
        Target(
            update_create=False,
            conditional_create="refused",
            claims={"updateCreate": True, "conditionalUpdate": True, "conditionalCreate": True},
        ),
    ],
    ids=["own ids", "conditional update", "conditional create", "refused", "all"],
)
@pytest.mark.parametrize("transaction", ["whole", "refused"])
def test_what_is_claimed_wrongly_is_found_out_before_patients_are_written(
    habits, transaction, site, caplog
):
    habits.transaction = transaction
    one = site(habits)
    one.write()
    one.check()
    if habits.claims:
        assert "claims" in caplog.text
    one.has(*PEOPLE, risen=("p3",))
    one.write()
    one.check()


@pytest.mark.parametrize("kind", CHOOSING)
def test_a_search_that_never_finds_refuses_the_target(kind, site):
    one = site(KINDS[kind](finds_identifiers=False))
    with pytest.raises(TargetError, match="does not find what was") as caught:
        one.write(index_patience=0.3)
    assert caught.value.exit_code == 5
    assert "write.index_patience" in str(caught.value)
    assert one.endpoints == {}


def test_with_own_ids_a_search_that_never_finds_is_told(site, caplog):
    one = site(own_ids(finds_identifiers=False))
    one.write()
    one.quiet()
    assert "is this search parameter indexed?" in caplog.text
    one.has(*PEOPLE, risen=("p1",))
    assert counts(one.write()).keys() == {"changed"}
    one.check()


class HoldsWhatIsGone(StubTarget):
    """Its conditional creates find a resource that was deleted: its index has it still."""

    def __init__(self, habits: Target) -> None:
        super().__init__(habits)
        self.put({"resourceType": "Observation", "id": "gone"})
        self.delete("Observation/gone")

    def _found(self, kind: str, condition: str) -> list[str]:
        return ["Observation/gone"] if kind == "Observation" else super()._found(kind, condition)


@pytest.mark.slow
def test_a_server_that_contradicts_itself_ends_in_a_message(tmp_path):
    with HoldsWhatIsGone(conditional_create()) as target:
        done = Site(target, tmp_path).write(retry_budget=1.0)
        assert done.pushed is not None
        assert set(done.pushed.rejected) == set(PEOPLE)
        assert all("does not give them out" in why for why in done.pushed.rejected.values())


# --- types that a target refuses


@pytest.mark.slow
@pytest.mark.parametrize("transaction", ["whole", "batch", "refused"])
@pytest.mark.parametrize("status", [403, 405, 422])
@pytest.mark.parametrize("kind", KINDS)
def test_a_refused_provenance_stops_before_a_patient_is_half_written(
    kind, status, transaction, site
):
    one = site(KINDS[kind](transaction=transaction, refuses={"Provenance": status}))
    with pytest.raises(TargetError, match=ADVICE):
        one.write()
    assert one.endpoints == {}
    one.write(provenance=False)
    assert len(one.endpoints) > 0
    assert one.target.doubles() == []
    one.quiet(provenance=False)


@pytest.mark.slow
@pytest.mark.parametrize("status", [403, 405, 422])
@pytest.mark.parametrize("kind", KINDS)
def test_a_refused_device_stops_with_advice(kind, status, site):
    one = site(KINDS[kind](refuses={"Device": status, "Provenance": status}))
    with pytest.raises(TargetError, match=ADVICE):
        one.write()
    assert one.endpoints == {}
    one.write(provenance=False)
    assert all("device" not in those[0] for those in one.endpoints.values())
    assert len(one.endpoints) > 0
    one.quiet(provenance=False)


@pytest.mark.parametrize("kind", CHOOSING)
def test_without_a_device_the_first_endpoints_are_searched(kind, site):
    one = site(KINDS[kind](refuses={"Device": 405}, finds_identifiers=False))
    with pytest.raises(TargetError, match="Observation\\?identifier= does not find"):
        one.write(provenance=False, index_patience=0.3, bundle_size=1)
    assert len({_patient(each[0]) for each in one.endpoints.values()}) == 1


@pytest.mark.slow
@pytest.mark.parametrize("transaction", ["whole", "refused"])
@pytest.mark.parametrize("kind", KINDS)
def test_forbidden_endpoints_stop_before_anything_is_written(kind, transaction, site):
    one = site(KINDS[kind](transaction=transaction, refuses={"Observation": 403}))
    with pytest.raises(TargetError, match="403 forbidden"):
        one.write()
    assert one.endpoints == {}
    assert [each for each in one.target.of_type("Provenance") if _is_of_patients(each)] == []


def _is_of_patients(provenance: Resource) -> bool:
    return any(each["reference"].startswith("Observation/") for each in provenance["target"])


@pytest.mark.slow
@pytest.mark.parametrize("transaction", ["whole", "refused"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_missing_provenance_is_written_by_the_next_run(kind, transaction, site):
    """It failed after the endpoints were there; the endpoints do not change any more."""
    one = site(KINDS[kind](transaction=transaction))
    one.write()
    one.has(*PEOPLE, risen=PEOPLE)
    one.target.habits.transaction = "refused"
    one.target.fate = lambda seen: (
        "lost before" if "/Provenance" in seen.path and b"Observation/" in seen.body else ""
    )
    with pytest.raises(TargetError):
        one.write(retry_budget=0.0)
    assert one.target.without_provenance() != []
    one.target.fate = lambda seen: ""
    one.write()
    one.check()
    one.quiet()


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_missing_provenance_is_found_without_any_memory(kind, site):
    """The state folder was lost after a run that was stopped half-way."""
    one = site(KINDS[kind]())
    one.write()
    one.check()
    evidence = next(each for each in one.target.of_type("Provenance") if _is_of_patients(each))
    one.target.delete(f"Provenance/{evidence['id']}")
    shutil.rmtree(one.state)
    one.write()
    named = {
        target["reference"]
        for each in one.target.of_type("Provenance")
        for target in each["target"]
    }
    there = {f"Observation/{those[0]['id']}" for those in one.endpoints.values()}
    assert there <= named
    assert len(one.target.of_type("Provenance")) == len(PEOPLE)
    one.quiet()


# --- size and interactions


@pytest.mark.slow
@pytest.mark.parametrize("status", [404, 405, 501])
@pytest.mark.parametrize("kind", KINDS)
def test_transactions_that_are_refused_are_sent_as_single_requests(kind, status, site):
    one = site(KINDS[kind](transaction="refused", transaction_refusal=status))
    one.write()
    one.check()
    one.quiet()


@pytest.mark.slow
@pytest.mark.parametrize("status", [413, 400, 422])
@pytest.mark.parametrize("most", [5, 60])
@pytest.mark.parametrize("kind", KINDS)
def test_transactions_that_are_too_large_are_sent_in_parts(kind, most, status, site):
    """A patient with more entries than the server takes is written by single requests."""
    one = site(KINDS[kind](most_entries=most, too_large=status))
    done = one.write(bundle_size=1000)
    assert done.pushed is not None
    assert done.pushed.rejected == {}
    one.check()
    one.quiet()


# --- everybody fails alike


@pytest.mark.slow
@pytest.mark.parametrize("status", [412, 428, 401, 405])
@pytest.mark.parametrize("kind", KINDS)
def test_a_run_stops_where_every_patient_fails_alike(kind, status, site):
    one = site(KINDS[kind](refuses={"Observation": status}))
    people = [f"p{number}" for number in range(20)]
    one.has(*people)
    with pytest.raises(TargetError, match=str(status)):
        one.write(retry_budget=1.0, bundle_size=1)
    sent = [seen for seen in one.target.writes() if an_endpoint(seen) or to_the_base(seen)]
    assert len(sent) < 30


def test_some_patients_who_are_refused_do_not_stop_the_others(site):
    people = [f"p{number}" for number in range(8)]
    one = site(own_ids(rejects=frozenset(people[:5])))
    one.has(*people)
    done = one.write()
    assert done.pushed is not None
    assert set(done.pushed.rejected) == set(people[:5])
    assert set(done.pushed.written.landed) == set(people[5:])


@pytest.mark.slow
def test_waiting_is_limited_for_the_run_and_not_for_each_half(site):
    one = site(own_ids(refuses={"Observation": 500}))
    people = [f"p{number}" for number in range(16)]
    one.has(*people)
    begun = time.monotonic()
    with pytest.raises(TargetError, match="in the same way"):
        one.write(retry_budget=3.0, bundle_size=1000)
    assert time.monotonic() - begun < 20.0
    bundles = [seen for seen in one.target.writes() if to_the_base(seen)]
    assert len(bundles) < 40


# --- another name of the source


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["own ids", "neither"])
def test_a_renamed_source_is_noticed_and_can_be_retracted(kind, site, caplog, tmp_path):
    one = site(KINDS[kind]())
    one.write(source_name="urology")
    number = len(one.endpoints)
    assert "stand there under source_name" not in caplog.text
    one.write(source_name="uro")
    assert f'{number} of the computed endpoints stand there under source_name = "urology"' in (
        caplog.text
    )
    everybody = Selection(None, frozenset(PEOPLE))
    done = one.write(source_name="urology", selection=everybody, allow_retractions=True)
    assert counts(done) == {"retracted": number}
    caplog.clear()
    one.quiet(source_name="uro")
    assert "stand there under source_name" not in caplog.text


@pytest.mark.slow
@pytest.mark.parametrize("transaction", ["whole", "refused"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_provenance_of_a_former_version_does_not_count_for_the_present_one(
    kind, transaction, site
):
    """A run changed endpoints and ended before it wrote their Provenance; the state is lost."""
    one = site(KINDS[kind](transaction=transaction))
    one.write()
    one.check()
    shutil.rmtree(one.state)
    time.sleep(0.01)  # the server's stamps are precise to a millisecond
    endpoints = {_patient(each): each for each in one.target.of_type("Observation")}
    assert len(endpoints) == len(PEOPLE)
    one.target.put(*endpoints.values())
    assert len(one.target.without_provenance()) == len(PEOPLE)
    one.write()
    one.check()
    one.quiet()
