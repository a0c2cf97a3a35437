"""Writes the difference to a FHIR server: whole patients, each landed or told."""

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime

from fhircryo.fhir.capability import Capabilities
from fhircryo.fhir.client import PASSING, Client, HttpError, UnreachableError, backoff
from fhircryo.fhir.search import Searcher
from fhircryo.publish.as_on_server import Json
from fhircryo.publish.delivery import Delivery
from fhircryo.publish.difference import Action, PatientChanges, changes_of
from fhircryo.publish.origin import Origin
from fhircryo.publish.published_endpoint import contents, published_with
from fhircryo.publish.transaction import EntryMaker, PatientWrite
from fhircryo.publish.validate import InvalidShape, validate_line

LOG = logging.getLogger("fhircryo.target")

Progress = Callable[[int, int], None]
#: Whether somebody wants the run to end.
Stopped = Callable[[], bool]

#: What servers answer where two writers meet.
_CONFLICTS = frozenset({409, 412})
#: What speaks of us, not of what is sent: less of it would be refused as well.
_REFUSALS = frozenset({401, 404, 405})
#: The server itself says that it failed; often over what was sent.
_FAILED = 500
_TRIES = 8
_TRIES_AFTER_FAILURE = 3


@dataclass
class Written:
    """What became of a difference: endpoints by action, patients that landed, others with why.

    ``stopped``: it was asked to end before all were sent.
    """

    endpoints: Counter[Action] = field(default_factory=Counter)
    landed: set[str] = field(default_factory=set)
    rejected: dict[str, str] = field(default_factory=dict)
    stopped: bool = False


class ServerWriter:
    """Writes to one server in one run."""

    def __init__(
        self,
        client: Client,
        searcher: Searcher,
        known: Capabilities,
        origin: Origin,
        device: Json | None,
        size: int,
    ) -> None:
        self._client = client
        self._searcher = searcher
        self._origin = origin
        self._maker = EntryMaker(origin, known, device)
        self._delivery = Delivery(client, known)
        self._size = size if self._delivery.together else 1
        self._written = datetime.now(UTC)
        self._planned: dict[str, Counter[Action]] = {}
        self._done = Written()

    def write(
        self,
        patients: Iterable[PatientChanges],
        total: int,
        progress: Progress | None = None,
        stopped: Stopped | None = None,
    ) -> Written:
        """Write the changes of patients; those that are rejected are told, the others land.

        While one transaction is under way the next is prepared. Asked to end, it finishes the one
        that is under way.

        Raises:
            SourceError: the server cannot be reached any more, or refuses us altogether; what
                landed before stays.
        """
        seen = 0
        with ThreadPoolExecutor(1, thread_name_prefix="fhircryo-write") as sender:
            under_way: Future[None] | None = None
            for batch in self._batches(patients):
                if stopped is not None and stopped():
                    self._done.stopped = True
                    break
                prepared = self._prepare(batch)
                if under_way is not None:
                    under_way.result()
                under_way = sender.submit(self._deliver, prepared)
                seen += len(batch)
                if progress is not None:
                    progress(seen, total)
            if under_way is not None:
                under_way.result()
        return self._done

    def _batches(self, patients: Iterable[PatientChanges]) -> Iterator[list[PatientChanges]]:
        """Whole patients, so many that a transaction has about its size."""
        batch: list[PatientChanges] = []
        entries = 0
        for patient in patients:
            more = len(patient.changes) + 1
            if batch and entries + more > self._size:
                yield batch
                batch, entries = [], 0
            batch.append(patient)
            entries += more
        if batch:
            yield batch

    def _prepare(self, patients: list[PatientChanges]) -> list[PatientWrite]:
        """The entries of patients, each checked against FHIR's models before it goes out."""
        retired = contents(
            self._searcher,
            [
                change.standing.id
                for patient in patients
                for change in patient.changes
                if change.action is Action.RETRACTED and change.standing is not None
            ],
        )
        prepared = []
        for patient in patients:
            actions = Counter(change.action for change in patient.changes)
            self._planned.setdefault(patient.patient, actions)
            write = self._maker.write(patient, retired, self._written)
            try:
                for entry in write.observations:
                    if entry.ours:
                        validate_line(entry.resource)
            except InvalidShape as error:
                self._reject(patient, str(error))
            else:
                prepared.append(write)
        return prepared

    def _deliver(self, writes: list[PatientWrite]) -> None:
        """Send patients together; in halves where that is refused, until the bad stand alone."""
        pending, refused = self._try(writes)
        if refused is None:
            return
        if len(pending) == 1:
            if refused.status == 403 and not self._done.landed:
                raise refused
            self._reject(pending[0].changes, str(refused))
            return
        LOG.info("%s; %d patients are sent in halves", refused, len(pending))
        middle = len(pending) // 2
        self._deliver(pending[:middle])
        self._deliver(pending[middle:])

    def _try(self, writes: list[PatientWrite]) -> tuple[list[PatientWrite], HttpError | None]:
        """Send patients as one; those who are still to be written, and the refusal if there was.

        Where two writers met, or it is not known whether it landed, what stands is read again and
        only what still differs is sent.
        """
        deadline = time.monotonic() + self._client.connection.budget
        pending = self._with_entries(writes)
        attempt = 0
        while pending:
            attempt += 1
            try:
                self._delivery.send(pending)
            except (HttpError, UnreachableError) as error:
                refused = error if isinstance(error, HttpError) else None
                if refused is not None and refused.status not in _CONFLICTS | PASSING:
                    if refused.status in _REFUSALS:
                        raise
                    return pending, refused
                if not self._wait(attempt, deadline, refused):
                    if refused is not None and refused.status in {*_CONFLICTS, _FAILED}:
                        return pending, refused
                    raise
            else:
                for write in pending:
                    self._land(write.changes)
                break
            pending = self._renewed(pending)
        return [], None

    def _wait(self, attempt: int, deadline: float, refused: HttpError | None) -> bool:
        """Wait before the next try; False where there shall be none."""
        status = refused.status if refused is not None else 0
        if attempt >= (_TRIES_AFTER_FAILURE if status == _FAILED else _TRIES) and status in {
            *_CONFLICTS,
            _FAILED,
        }:
            return False
        asked = refused.retry_after if refused is not None else None
        wait = backoff(attempt) if asked is None else asked
        if time.monotonic() + wait > deadline:
            return False
        LOG.info("writing again in %.1f s (%s)", wait, status or "no answer")
        time.sleep(wait)
        return True

    def _renewed(self, writes: list[PatientWrite]) -> list[PatientWrite]:
        """What is still to be written, seeing what stands on the server now."""
        patients = [write.changes for write in writes]
        identifiers = {
            name
            for patient in patients
            for name in [*patient.left, *(patient.fresh.identifiers() if patient.fresh else ())]
        }
        base = self._client.base
        stand = published_with(self._searcher, identifiers, self._origin, base)
        found = [
            changes_of(patient.patient, patient.fresh, patient.left, stand, base)
            for patient in patients
        ]
        for patient in found:
            if patient.problem:
                self._reject(patient, patient.problem)
        return self._with_entries(self._prepare([one for one in found if not one.problem]))

    def _with_entries(self, writes: list[PatientWrite]) -> list[PatientWrite]:
        """Those of whom something is left to write; the others have landed."""
        for write in writes:
            if not write.observations:
                self._land(write.changes)
        return [write for write in writes if write.observations]

    def _land(self, patient: PatientChanges) -> None:
        self._done.landed.add(patient.patient)
        self._done.endpoints += self._planned[patient.patient]

    def _reject(self, patient: PatientChanges, why: str) -> None:
        LOG.info("Patient/%s: not written: %s", patient.patient, why)
        self._done.rejected[patient.patient] = why
