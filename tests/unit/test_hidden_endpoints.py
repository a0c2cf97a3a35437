"""Targets that hold endpoints which their search by identifier does not find.

The state is lost, or another machine writes: nothing is remembered of what stands there.
"""

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from fhircryo.errors import TargetError
from tests.unit.stub_target import StubTarget, Target
from tests.unit.test_target_kinds import CHOOSING, KINDS, PEOPLE, Site, counts
from tests.unit.waiting import only_waiting_takes_time


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Callable[[Target], Site]]:
    with ExitStack() as stack:
        stack.enter_context(only_waiting_takes_time())
        yield lambda habits: Site(stack.enter_context(StubTarget(habits)), tmp_path)


#: What is still found where the search by identifier is not indexed, and from when on it is not.
HIDDEN: dict[str, dict[str, Any]] = {
    "no identifier": {"finds_identifiers": False},
    "only of Devices": {"finds_identifiers": frozenset({"Device"})},
    "only of Devices, no category": {
        "finds_identifiers": frozenset({"Device"}),
        "searches": frozenset({"device", "target"}),
    },
}


def hide(one: Site, **habits: Any) -> None:
    for name, value in habits.items():
        setattr(one.target.habits, name, value)


def forgotten(one: Site, hidden: str) -> Site:
    """A site whose endpoints are hidden, that remembers nothing, and that has one patient more."""
    one.write()
    hide(one, **HIDDEN[hidden])
    shutil.rmtree(one.state)
    one.has(*PEOPLE, "p4")
    return one


@pytest.mark.parametrize("hidden", HIDDEN)
@pytest.mark.parametrize("kind", CHOOSING)
def test_what_the_search_hides_is_not_doubled(kind, hidden, site):
    one = forgotten(site(KINDS[kind]()), hidden)
    before = dict(one.target.carried_out)
    asked = one.target.requests
    with pytest.raises(TargetError, match="does not find what") as caught:
        one.write(index_patience=0.3)
    assert one.target.requests - asked < 25
    assert caught.value.exit_code == 5
    assert dict(one.target.carried_out) == before
    one.check()


@pytest.mark.parametrize("hidden", ["no identifier", "only of Devices"])
@pytest.mark.parametrize("kind", CHOOSING)
def test_a_dry_run_says_that_the_search_hides_endpoints(kind, hidden, site):
    one = forgotten(site(KINDS[kind]()), hidden)
    done = one.write(dry_run=True, index_patience=0.3).pushed
    assert done is not None
    assert "does not find what" in done.refusal


@pytest.mark.parametrize("kind", CHOOSING)
def test_what_is_found_by_its_category_alone_is_updated(kind, site, caplog):
    """It is written by its id, so that nothing is created."""
    one = site(KINDS[kind]())
    one.write()
    hide(one, **HIDDEN["only of Devices"])
    shutil.rmtree(one.state)
    one.has(*PEOPLE, risen=("p1",))
    assert counts(one.write()).keys() == {"changed"}
    assert "is this search parameter indexed?" in caplog.text
    one.check()


@pytest.mark.parametrize("kind", CHOOSING)
def test_where_no_search_finds_anything_one_patient_is_written_at_most(kind, site):
    """A target that is empty as far as a run can see: what the run creates is searched."""
    one = site(KINDS[kind](finds_identifiers=frozenset({"Device"}), searches=frozenset({"target"})))
    with pytest.raises(TargetError, match="Observation\\?identifier= does not find"):
        one.write(index_patience=0.3, bundle_size=1)
    people = {those[0]["subject"]["identifier"]["value"] for those in one.endpoints.values()}
    assert len(people) == 1


@pytest.mark.parametrize("lost", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_a_search_by_system_alone_that_finds_nothing_doubles_nothing(kind, lost, site, caplog):
    one = site(KINDS[kind](finds_systems=False))
    one.write()
    if lost:
        shutil.rmtree(one.state)
    one.quiet()
    one.has(*PEOPLE, "p4", risen=("p2",))
    if lost:
        shutil.rmtree(one.state)
    assert counts(one.write()).keys() == {"new", "changed"}
    one.has("p1", "p2", "p4", risen=("p2",))
    if lost:
        shutil.rmtree(one.state)
    assert counts(one.write(allow_retractions=True)).keys() == {"retracted"}
    one.check((*PEOPLE, "p4"))
    assert "is this search parameter indexed?" in caplog.text


def test_with_own_ids_what_the_search_hides_is_still_retracted(site):
    """Nothing can be doubled, and the endpoints are found by their category."""
    one = site(KINDS["own ids"]())
    one.write()
    hide(one, finds_identifiers=False)
    shutil.rmtree(one.state)
    one.has("p1", "p2")
    assert counts(one.write(allow_retractions=True)).keys() == {"retracted"}
    one.check()


@pytest.mark.parametrize("kind", CHOOSING)
def test_a_first_run_on_an_index_that_lags_is_no_refusal(kind, site):
    one = site(KINDS[kind](lag_seconds=0.3))
    assert one.write().pushed.rejected == {}
    one.check()


class IgnoresCategory(StubTarget):
    """Parameters that it does not know are ignored (https://hl7.org/fhir/R4/search.html#errors)."""

    def _as_read(self, seen: Any) -> Any:
        seen.body = seen.body.replace(b"category=", b"_category=")
        return super()._as_read(seen)


@pytest.mark.parametrize("kind", KINDS)
def test_a_target_that_ignores_categories_is_not_read_as_a_whole(kind, tmp_path):
    with IgnoresCategory(KINDS[kind]()) as target:
        other = {"resourceType": "Observation", "status": "final", "code": {"text": "other"}}
        target.put(*({**other, "id": f"o{number}"} for number in range(300)))
        one = Site(target, tmp_path)
        assert one.write().pushed.rejected == {}
        assert len(target.searches("Observation")) < 30
        assert sum("_page" in seen.path for seen in target.seen) <= 3
        assert target.doubles() == []
