"""Odd habits of targets in combinations: nothing doubled, nothing silently missing, all told."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from fhircryo.errors import TargetError
from fhircryo.publish.target_server import PushResult
from tests.unit.hospital import Reply, Seen
from tests.unit.stub_target import StubTarget, Target
from tests.unit.test_target_kinds import KINDS, Site, an_endpoint, to_the_base
from tests.unit.waiting import only_waiting_takes_time

#: One who stays as he is, and one whose endpoints change.
PEOPLE = ("p1", "p2")

Habit = Callable[[Seen, Callable[[Seen], Reply]], Reply]


class Odd(StubTarget):
    """A target of which ``habit`` decides what becomes of each request and its answer."""

    habit: Habit | None = None

    def _answer(self, seen: Seen) -> Reply:
        return super()._answer(seen) if self.habit is None else self.habit(seen, super()._answer)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Site]]:
    with ExitStack() as stack:
        stack.enter_context(only_waiting_takes_time())

        def started(habits: Target, habit: Habit | None = None) -> Site:
            target = stack.enter_context(Odd(habits))
            target.habit = habit
            one = Site(target, tmp_path)
            one.has(*PEOPLE)
            return one

        yield started


def writes_one(seen: Seen) -> bool:
    return (
        seen.method in ("PUT", "POST") and not seen.path.endswith("_search") and not is_base(seen)
    )


def is_base(seen: Seen) -> bool:
    return seen.path.rstrip("/") == "/fhir"


def nothing_lost(one: Site, **how: Any) -> PushResult:
    """Run, and again without the habit if patients were left; everything is there once."""
    pushed = one.write(**how).pushed
    assert pushed is not None
    assert pushed.rejected == {} or set(pushed.rejected) <= set(PEOPLE)
    if pushed.rejected:
        one.target.habit = None
        one.write()
    one.check(PEOPLE)
    one.quiet()
    return pushed


def attempt(one: Site, **how: Any) -> tuple[PushResult | None, str]:
    """Run; what was done, or the words of the error that a user sees."""
    try:
        return one.write(**how).pushed, ""
    except TargetError as error:
        return None, str(error)


# --- answers to single requests


def without_body_and_location(seen: Seen, answer: Callable[[Seen], Reply]) -> Reply:
    reply = answer(seen)
    if writes_one(seen) and reply.status < 300:
        reply.content, reply.headers = b"", {}
    return reply


def _with_location(change: Callable[[str], str]) -> Habit:
    def habit(seen: Seen, answer: Callable[[Seen], Reply]) -> Reply:
        reply = answer(seen)
        if writes_one(seen) and reply.status < 300:
            reply.content = b""
            reply.headers["Location"] = change(reply.headers["Location"])
        return reply

    return habit


def with_an_outcome_of_an_error(seen: Seen, answer: Callable[[Seen], Reply]) -> Reply:
    """Status 200 whatever happened, as behind some gateways."""
    reply = answer(seen)
    if an_endpoint(seen) and seen.method in ("PUT", "POST"):
        issue = {"severity": "information", "code": "informational", "diagnostics": "done"}
        return Reply(200, {"resourceType": "OperationOutcome", "issue": [issue]})
    return reply


def _with_etag(change: Callable[[str], str | None]) -> Habit:
    def habit(seen: Seen, answer: Callable[[Seen], Reply]) -> Reply:
        reply = answer(seen)
        if writes_one(seen) and "ETag" in reply.headers:
            etag = change(reply.headers.pop("ETag"))
            if etag is not None:
                reply.headers["ETag"] = etag
            if isinstance(reply.content, dict):
                reply.content.get("meta", {}).pop("versionId", None)
        return reply

    return habit


SINGLE: dict[str, Habit] = {
    "nothing": without_body_and_location,
    "another host": _with_location(
        lambda url: "https://inside.example:8443" + url[url.index("/fhir") :]
    ),
    "relative": _with_location(lambda url: url[url.index("/fhir/") + 6 :]),
    "without history": _with_location(lambda url: url.partition("/_history")[0]),
    "outcome": with_an_outcome_of_an_error,
    "strong etag": _with_etag(lambda etag: etag.removeprefix("W/")),
    "no etag": _with_etag(lambda _: None),
    "bare etag": _with_etag(lambda etag: etag.removeprefix("W/").strip('"')),
}


@pytest.mark.slow
@pytest.mark.parametrize("how", SINGLE)
@pytest.mark.parametrize("kind", KINDS)
def test_answers_to_single_requests(kind, how, start):
    one = start(KINDS[kind](transaction="refused"), SINGLE[how])
    nothing_lost(one)
    one.has(*PEOPLE, risen=("p1",))
    nothing_lost(one)


# --- answers to transactions


def _of_bundle(change: Callable[[list[Any]], list[Any]]) -> Habit:
    def habit(seen: Seen, answer: Callable[[Seen], Reply]) -> Reply:
        reply = answer(seen)
        if to_the_base(seen) and isinstance(reply.content, dict) and "entry" in reply.content:
            reply.content["entry"] = change(reply.content["entry"])
        return reply

    return habit


def _without(name: str) -> Callable[[list[Any]], list[Any]]:
    def change(entries: list[Any]) -> list[Any]:
        for entry in entries:
            entry["response"].pop(name, None)
        return entries

    return change


BUNDLES: dict[str, Habit] = {
    "reversed": _of_bundle(lambda entries: entries[::-1]),
    "fewer": _of_bundle(lambda entries: entries[:-1]),
    "more": _of_bundle(lambda entries: [*entries, entries[0]]),
    "none": _of_bundle(lambda _: []),
    "null": _of_bundle(lambda entries: [None] * len(entries)),
    "without location": _of_bundle(_without("location")),
    "without etag": _of_bundle(_without("etag")),
    "without status": _of_bundle(_without("status")),
}


@pytest.mark.slow
@pytest.mark.parametrize("how", BUNDLES)
@pytest.mark.parametrize("kind", KINDS)
def test_answers_to_transactions(kind, how, start):
    one = start(KINDS[kind](), BUNDLES[how])
    nothing_lost(one)
    one.has(*PEOPLE, risen=("p1",))
    nothing_lost(one)


# --- refusals that come and go


def _sometimes(
    reply: Callable[[], Reply | None], often: int, wanted: Callable[[Seen], bool]
) -> Habit:
    """Every so many requests are answered by something else, without being carried out."""
    count = 0

    def habit(seen: Seen, answer: Callable[[Seen], Reply]) -> Reply:
        nonlocal count
        if wanted(seen) and seen.method in ("PUT", "POST") and not seen.path.endswith("_search"):
            count += 1
            if count % often == 0:
                other = reply()
                if other is None:
                    raise ConnectionResetError
                return other
        return answer(seen)

    return habit


def later() -> Reply:
    when = datetime.now(UTC) + timedelta(seconds=0.2)
    return Reply(429, b"", {"Retry-After": format_datetime(when, usegmt=True)})


TIMES: dict[str, Habit] = {
    "429 with a date": _sometimes(later, 4, lambda _: True),
    "half is lost": _sometimes(lambda: None, 2, lambda _: True),
    "503 for Provenances": _sometimes(
        lambda: Reply(503), 2, lambda seen: "/Provenance" in seen.path
    ),
    "409": _sometimes(lambda: Reply(409), 3, an_endpoint),
    "412": _sometimes(lambda: Reply(412), 3, an_endpoint),
}


@pytest.mark.slow
@pytest.mark.parametrize("transaction", ["whole", "refused"])
@pytest.mark.parametrize("how", TIMES)
@pytest.mark.parametrize("kind", ["own ids", "conditional create", "neither"])
def test_refusals_that_come_and_go(kind, how, transaction, start):
    one = start(KINDS[kind](transaction=transaction), TIMES[how])
    one.has("p1")
    pushed = one.write(retry_budget=20.0).pushed
    assert pushed is not None
    assert pushed.rejected == {}
    one.check(("p1",))


@pytest.mark.slow
@pytest.mark.parametrize("status", [403, 503])
@pytest.mark.parametrize("transaction", ["whole", "refused"])
@pytest.mark.parametrize("kind", KINDS)
def test_provenances_that_are_refused_after_the_first_patient(kind, transaction, status, start):
    def habit(seen: Seen, answer: Callable[[Seen], Reply]) -> Reply:
        target = one.target
        if target.carried_out["create"] > 20:
            target.habits.refuses["Provenance"] = status
        return answer(seen)

    one = start(KINDS[kind](transaction=transaction), habit)
    pushed, error = attempt(one, bundle_size=1, retry_budget=0.5)
    assert error or (pushed is not None and pushed.rejected)
    one.target.habit = None
    one.target.habits.refuses.clear()
    one.write()
    one.check(PEOPLE)
    one.quiet()


# --- the same is said before and after, and everybody is counted


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_an_index_that_lags_for_the_whole_run(kind, start):
    """Nothing is found before the patience is over, and the next run finds it all."""
    one = start(KINDS[kind](lag_requests=10_000))
    _, error = attempt(one, index_patience=0.3)
    assert not error if kind == "own ids" else "write.index_patience" in error
    one.target.settle()
    one.target.habits.lag_requests = 0
    one.write()
    one.check(PEOPLE)
    one.quiet()


class NewIds(Odd):
    """A PUT to an id that does not exist creates the resource under an id of the server's own."""

    def _update(self, name: str, resource: Any, match: str | None) -> tuple[int, str]:
        if not self._is_alive(name):
            return 201, self._create_new(name.partition("/")[0], resource)
        return super()._update(name, resource, match)


@pytest.mark.slow
@pytest.mark.parametrize("transaction", ["whole", "refused"])
def test_a_server_that_gives_another_id_than_the_one_that_was_put(transaction, tmp_path):
    with only_waiting_takes_time(), NewIds(KINDS["own ids"](transaction=transaction)) as target:
        one = Site(target, tmp_path)
        one.has(*PEOPLE)
        for _ in range(2):
            attempt(one)
            assert target.doubles() == []
        one.check(PEOPLE)


class NewIdsOfObservations(NewIds):
    """The Device keeps its id."""

    def _update(self, name: str, resource: Any, match: str | None) -> tuple[int, str]:
        if name.startswith("Device/"):
            return Odd._update(self, name, resource, match)
        return super()._update(name, resource, match)


@pytest.mark.slow
@pytest.mark.parametrize("transaction", ["whole", "refused"])
def test_a_server_that_gives_endpoints_another_id_is_refused(transaction, tmp_path):
    target = NewIdsOfObservations(KINDS["own ids"](transaction=transaction))
    with only_waiting_takes_time(), target:
        one = Site(target, tmp_path)
        for _ in range(2):
            pushed, error = attempt(one, bundle_size=1)
            assert pushed is None
            assert "was stored as Observation/s" in error
            assert all(len(those) == 1 for those in one.endpoints.values())


class UpperCase(Odd):
    """A server that gives out ids in its own way."""

    def _as_given(self, stored: Any) -> Any:
        given = super()._as_given(stored)
        if given.get("resourceType") == "Observation":
            given["id"] = given["id"].upper()
        return given


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["own ids", "neither"])
def test_a_server_that_changes_the_case_of_ids(kind, tmp_path):
    with only_waiting_takes_time(), UpperCase(KINDS[kind]()) as target:
        one = Site(target, tmp_path)
        for risen in ((), ("p1",), ("p1",)):
            one.has(*PEOPLE, risen=risen)
            attempt(one)
        held = {name: len(those) for name, those in one.endpoints.items()}
        assert set(held.values()) <= {1}
