"""A scheduled run: what changed is read, what it changes is computed anew and written.

The order: written and acknowledged first, then remembered. A run that ends anywhere in between is
repeated by the next, which finds nothing left to write.
"""

import hashlib
import logging
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TypeVar

import msgspec

from fhircryo import __version__
from fhircryo.endpoints.due import next_due
from fhircryo.errors import UsageError
from fhircryo.fhir.capability import capabilities
from fhircryo.fhir.client import Client
from fhircryo.fhir.connect import READING, open_client
from fhircryo.fhir.search import Searcher
from fhircryo.fhir.wire import DECODERS
from fhircryo.publish.comparison import RetractionScope
from fhircryo.publish.patient_output import PatientOutput
from fhircryo.publish.shapes import ENCODER
from fhircryo.publish.target_server import (
    Permissions,
    PushResult,
    TargetServer,
    open_target,
    state_folder,
)
from fhircryo.record.patients import Selection
from fhircryo.runs.drivers import driver_of
from fhircryo.runs.read_source import ReadOptions, ReadResult, read_opened
from fhircryo.runs.run_config import RunConfig
from fhircryo.runs.summary import Summary
from fhircryo.runs.sync.changes import ChangeReader, NoIncrementError, stamp_of
from fhircryo.runs.sync.exports import Exports, StoppedError
from fhircryo.runs.sync.followed import known_as, of_everybody, versions_of
from fhircryo.runs.sync.state_database import (
    DamagedStateError,
    Pending,
    State,
    open_state,
    set_aside,
)
from fhircryo.runs.to_server import compute_outputs
from fhircryo.sources.bulk_source import level_of, needs_of
from fhircryo.sources.open_source import server_source
from fhircryo.sources.places import server_of

LOG = logging.getLogger("fhircryo.sync")

_T = TypeVar("_T")

_FINGERPRINT, _LACKING, _LAST_FULL = "fingerprint", "lacking", "last-full"


@dataclass(frozen=True)
class Wanted:
    """What a person or a timer asks of a run."""

    full: bool = False
    dry_run: bool = False
    allow_retractions: bool = False
    accept_unreadable: bool = False
    today: date = field(default_factory=date.today)
    stopped: Callable[[], bool] = lambda: False


@dataclass
class Synced:
    """What a run did. ``full``: why everything was read, empty for an increment.

    ``changed``: resources that had changed; ``patients``: those who were computed anew; ``pushed``
    is None where nothing had to be compared, or something unreadable stopped it.
    """

    full: str = ""
    changed: int = 0
    patients: int = 0
    summary: Summary | None = None
    pushed: PushResult | None = None
    held_back: bool = False
    stopped: bool = False
    pending: list[Pending] = field(default_factory=list)
    requests: int = 0


def state_path(job: RunConfig, source: str, target: str) -> Path:
    """Where a run of this source, target and protocol remembers."""
    name = "\x1f".join((source, target, job.settings.source_name, job.protocol.id))
    digest = hashlib.sha256(name.encode()).hexdigest()[:16]
    return state_folder(job.settings) / f"sync-{digest}.sqlite"


def places(job: RunConfig) -> tuple[str, str]:
    """SOURCE and TARGET of a scheduled run.

    Raises:
        UsageError: they are not set, or are no servers.
    """
    source = job.settings.sync.source
    target = job.settings.sync.target or source
    if not source or not target:
        raise UsageError("setting sync.source: the base URL of the FHIR server to read is needed")
    for name, url in (("source", source), ("target", target)):
        if server_of(url) is None:
            raise UsageError(f"setting sync.{name}: {url}: not the base URL of a FHIR server")
    return source.rstrip("/"), target.rstrip("/")


def with_state(path: Path, work: Callable[[State], _T]) -> _T:
    """Do something with a state; with an empty one where it turns out to be damaged.

    What was done by then is done again: nothing is remembered of it, and it changes nothing.
    """
    try:
        with open_state(path) as state:
            return work(state)
    except DamagedStateError:
        LOG.warning("%s: damaged, put aside as %s; a full run", path, set_aside(path).name)
    with open_state(path) as state:
        return work(state)


def sync(job: RunConfig, wanted: Wanted) -> Synced:
    """Bring the target to what the source says now.

    Raises:
        SourceError, TargetError, LockedError, UsageError: as the messages say; what was written
            stays, what was not remembered is looked at again.
    """
    source, target = places(job)
    allowed = Permissions(wanted.dry_run, wanted.allow_retractions)
    with ExitStack() as stack:
        writing = stack.enter_context(
            open_target(source, target, job.origin, job.settings, allowed, alone=True)
        )
        level = job.settings.sync.bulk
        needs = READING if level is None else needs_of(level_of(level))
        client = stack.enter_context(open_client(source, job.settings.source, needs))

        def work(state: State) -> Synced:
            done = _Run(job, wanted, state, client, writing).run()
            done.pending = state.pending()
            return done

        done = with_state(state_path(job, source, target), work)
        done.requests = client.requests_made + writing.requests_made
        return done


class _Run:
    """One run over an open state, an open source and an open target."""

    def __init__(
        self, job: RunConfig, wanted: Wanted, state: State, client: Client, writing: TargetServer
    ) -> None:
        self._job = job
        self._wanted = wanted
        self._state = state
        self._client = client
        self._writing = writing
        self._accept = wanted.accept_unreadable or job.settings.sync.accept_unreadable
        self._done = Synced()
        level = job.settings.sync.bulk
        self._exports: Exports | None = None
        if level is not None:
            work = state.path.with_suffix("")
            self._exports = Exports(client, job, level_of(level), work, wanted.stopped)

    def run(self) -> Synced:
        """A full run where one is due, else an increment."""
        why = self._why_full()
        if not why:
            try:
                why = self._increment()
            except NoIncrementError as error:
                why = f"what changed cannot be asked for: {error}"
        if why:
            self._full(why)
        return self._done

    # --- a full run

    def _why_full(self) -> str:
        state, limits = self._state, self._job.settings.sync
        if self._wanted.full:
            return "asked for"
        if state.fact(_FINGERPRINT) is None:
            return "nothing is remembered"
        if state.fact(_FINGERPRINT) != self._fingerprint():
            return "version, mappings, protocol or settings have changed"
        last = date.fromisoformat(state.fact(_LAST_FULL) or date.min.isoformat())
        if self._wanted.today - last >= timedelta(days=limits.full_every_days):
            return f"every {limits.full_every_days} days"
        return ""

    def _fingerprint(self) -> str:
        """What a result depends on beside the record and the day."""
        job = self._job
        settings = job.settings.model_dump(
            mode="json",
            include={"base", "source_name", "timezone", "complete_types", "test_data", "write"},
        )
        parts = [__version__, job.mappings.sha256, job.protocol.model_dump_json(by_alias=True)]
        content = ENCODER.encode([*parts, settings])
        return hashlib.sha256(content).hexdigest()

    def _full(self, why: str) -> None:
        done = self._done
        done.full = why
        LOG.info("full run: %s", why)
        self._state.check()
        searcher = Searcher(self._client)
        try:
            capabilities(self._client)
            searcher.any("Patient", {})  # for what time it says that it is
            stamp = stamp_of(self._client, searcher)
        finally:
            searcher.close()
        read = self._read_all()
        if self._exports is not None:
            stamp = (
                read.collected.exported_at
            )  # an export that an earlier run began is older than this one
        patients = self._compute(read)
        if self._holds_back():
            return
        pushed = self._push(patients, RetractionScope())
        if self._wanted.dry_run or done.stopped:
            return
        with self._state.transaction():
            former = self._state.pending()
            self._state.clear()
            for one in former:
                if one.patient in pushed.rejected:
                    self._state.keep_pending(one)
            self._remember(read, patients, pushed, set())
            if stamp is not None:
                self._state.set_watermarks(dict.fromkeys(DECODERS, stamp))
            self._state.set_fact(_FINGERPRINT, self._fingerprint())
            self._state.set_fact(_LAST_FULL, self._wanted.today.isoformat())
            self._state.set_fact(_LACKING, self._lacking(read))
            self._remember_choice()

    def _read_all(self) -> ReadResult:
        """Everything, by searches or by bulk export."""
        if self._exports is not None:
            return self._exports.everything(self._progress)
        return self._search(self._job)

    def _search(self, config: RunConfig) -> ReadResult:
        source = server_source(self._client, config.settings.source)
        return read_opened(source, config, ReadOptions(progress=self._progress))

    # --- an increment

    def _increment(self) -> str:
        """What changed, and whom it concerns; why everything has to be read, if it turns out so."""
        state = self._state
        searcher = Searcher(self._client)
        try:
            can = capabilities(self._client)
            context = self._job.read_request(driver_of(1)).context(self._client.base)
            overlap = self._job.settings.sync.overlap
            listed = self._job.selection.include or frozenset()
            reader = ChangeReader(self._client, searcher, can, context, state, listed, overlap)
            if self._exports is None:
                changes = reader.read()
                stamp = stamp_of(self._client, searcher)
            else:
                changes, stamp = self._exports.changes(reader, can)
        finally:
            searcher.close()
        if stamp is None:
            raise NoIncrementError("the server does not say what time it is")
        changes.patients -= self._job.selection.exclude
        named = changes.patients | self._choice_changed()
        concerned = {state.current(one) or one for one in named}
        concerned |= state.due(self._wanted.today)
        concerned |= {one.patient for one in state.pending()}
        self._done.changed = len(changes.resources)
        LOG.debug("changed: %s", ", ".join(sorted(changes.resources)))
        LOG.info("%d resources changed, %d patients concerned", self._done.changed, len(concerned))
        why = self._of_patients(concerned, changes.patients) if concerned else ""
        if why or self._wanted.dry_run or self._done.stopped or self._done.held_back:
            return why
        with state.transaction():
            state.set_watermarks(dict.fromkeys(DECODERS, stamp))
            self._remember_choice()
        return ""

    def _of_patients(self, concerned: set[str], named: set[str]) -> str:
        """Read the full records of some patients, compute them and write what differs."""
        ids = concerned | named | self._state.ids_of(concerned)
        chosen = self._job.selection
        allowed = ids - chosen.exclude
        if chosen.include is not None:
            allowed &= chosen.include | self._state.ids_of(chosen.include)
        job = replace(self._job, selection=Selection(frozenset(allowed), chosen.exclude))
        read = self._search(job)
        if self._lacking(read) != self._state.fact(_LACKING):
            return "a type that the source lacked is there now, or the other way round"
        patients = self._compute(read)
        if self._holds_back():
            return ""
        ids |= {read.collected.patients.current(one) for one in ids}
        published = self._state.published(ids)
        scope = RetractionScope(
            patients=frozenset(ids),
            known_as=known_as(read),
            identifiers=frozenset(published),
            count_published=self._state.published_patients,
        )
        pushed = self._push(patients, scope)
        if self._wanted.dry_run:
            return ""
        gone = ids - {one.patient for one in patients}
        with self._state.transaction():
            self._remember(read, patients, pushed, gone)
        return ""

    def _choice(self) -> dict[str, frozenset[str]]:
        chosen = self._job.selection
        return {"excluded": chosen.exclude, "listed": chosen.include or frozenset()}

    def _choice_changed(self) -> set[str]:
        """Patients who objected since the last run or do no longer, joined the list or left it."""
        found: set[str] = set()
        for kind, patients in self._choice().items():
            found |= patients ^ self._state.chosen(kind)
        return found

    def _remember_choice(self) -> None:
        for kind, patients in self._choice().items():
            self._state.set_chosen(kind, patients)

    # --- what both do

    def _progress(self, *_: int) -> None:
        """Reading can be left at any time: nothing has happened yet."""
        if self._wanted.stopped():
            raise StoppedError

    def _compute(self, read: ReadResult) -> list[PatientOutput]:
        patients, self._done.summary = compute_outputs(read, self._job)
        self._done.patients = len(patients)
        return patients

    def _holds_back(self) -> bool:
        """Whether something unreadable keeps the run from writing."""
        summary = self._done.summary
        unreadable = summary is not None and bool(summary.unreadable)
        self._done.held_back = unreadable and not self._accept and not self._wanted.dry_run
        return self._done.held_back

    def _push(self, patients: list[PatientOutput], scope: RetractionScope) -> PushResult:
        pushed = self._writing.push(patients, scope, stopped=self._wanted.stopped)
        self._done.pushed = pushed
        self._done.stopped = pushed.written.stopped
        return pushed

    def _lacking(self, read: ReadResult) -> str:
        return str(msgspec.to_builtins(read.lacking))

    def _remember(
        self, read: ReadResult, patients: list[PatientOutput], pushed: PushResult, gone: set[str]
    ) -> None:
        """What landed, or stood there already; who was rejected is tried again next time."""
        state = self._state
        now = datetime.now(UTC).isoformat(timespec="seconds")
        unsent = pushed.unsent()
        by_patient = {output.patient: output.identifiers() for output in patients}
        whole = of_everybody(read)
        for patient, why in pushed.rejected.items():
            state.set_pending(patient, why, now)
        for patient in sorted(gone - pushed.rejected.keys() - unsent):
            if patient not in whole:
                state.forget(patient)
        refs: set[str] = set()
        for patient, found in whole.items():
            if patient in pushed.rejected or patient in unsent:
                continue
            found.published = set(by_patient.get(patient, ()))
            record = read.records.records.get(patient)
            if record is not None:
                found.due = next_due(record, self._job.protocol, self._job.as_of)
            state.remember(found)
            refs |= found.refs
        # Last: what moved from one to another is forgotten with the one, and stays with the other.
        state.set_versions(versions_of(read, refs))
