"""Writes a difference to a FHIR server: whole patients, each of them written or reported."""

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from fhircryo.fhir.client import PASSING, HttpError, UnreachableError, backoff
from fhircryo.publish.delivery import Delivery
from fhircryo.publish.difference import Action, PatientChanges, changes_of
from fhircryo.publish.published_endpoint import contents, published_with
from fhircryo.publish.shapes import OutReference
from fhircryo.publish.target_connection import TargetConnection
from fhircryo.publish.transaction import PatientRequests, RequestMaker
from fhircryo.publish.validate import InvalidShape

LOG = logging.getLogger("fhircryo.target")

#: Is called with the number of patients that are done, and of all patients.
Progress = Callable[[int, int], None]
#: Returns whether the run was asked to end.
Stopped = Callable[[], bool]

#: What servers answer when two writers meet.
_CONFLICTS = frozenset({409, 412})
#: Refusals that concern the client, not the content: fewer patients would be refused as well.
_REFUSALS = frozenset({401, 404, 405})
#: An error of the server itself, which the content often causes.
_FAILED = 500
_TRIES = 8
_TRIES_AFTER_FAILURE = 3


@dataclass
class WriteResult:
    """What was written of a difference.

    ``endpoints``: how many endpoints were written, by action. ``landed``: the patients that were
    written. ``rejected``: the patients that were not, and why. ``stopped``: the run was asked to
    end before all patients were sent.
    """

    endpoints: Counter[Action] = field(default_factory=Counter)
    landed: set[str] = field(default_factory=set)
    rejected: dict[str, str] = field(default_factory=dict)
    stopped: bool = False


class ServerWriter:
    """Writes to one server in one run.

    ``device``: the reference to our Device, where the target holds it. ``bundle_size``: about how
    many resources a transaction holds.
    """

    def __init__(
        self, connection: TargetConnection, device: OutReference | None, bundle_size: int
    ) -> None:
        capabilities = connection.capabilities
        self._connection = connection
        self._maker = RequestMaker(connection.origin, capabilities, device)
        self._delivery = Delivery(connection.client, transactions=capabilities.transaction)
        self._bundle_size = bundle_size if capabilities.transaction else 1
        self._planned: dict[str, Counter[Action]] = {}
        self._result = WriteResult()

    def write(
        self,
        patients: Iterable[PatientChanges],
        total: int,
        progress: Progress | None = None,
        stopped: Stopped | None = None,
    ) -> WriteResult:
        """Write the changes of patients. Rejected patients are reported, the others are written.

        While one transaction is being sent, the next is prepared. When the run is asked to end, the
        transaction that is being sent is completed.

        Raises:
            SourceError: the server cannot be reached any more, or refuses all requests; what was
                written before is retained.
        """
        seen = 0
        with ThreadPoolExecutor(1, thread_name_prefix="fhircryo-write") as sender:
            sending: Future[None] | None = None
            for batch in self._batches(patients):
                if stopped is not None and stopped():
                    self._result.stopped = True
                    break
                prepared = self._prepare(batch)
                if sending is not None:
                    sending.result()
                sending = sender.submit(self._deliver, prepared)
                seen += len(batch)
                if progress is not None:
                    progress(seen, total)
            if sending is not None:
                sending.result()
        return self._result

    def _batches(self, patients: Iterable[PatientChanges]) -> Iterator[list[PatientChanges]]:
        """Whole patients, as many as fit into a transaction of about the set size."""
        batch: list[PatientChanges] = []
        resources = 0
        for patient in patients:
            more = len(patient.changes) + 1
            if batch and resources + more > self._bundle_size:
                yield batch
                batch, resources = [], 0
            batch.append(patient)
            resources += more
        if batch:
            yield batch

    def _prepare(self, patients: list[PatientChanges]) -> list[PatientRequests]:
        """The requests of patients; a patient with an invalid endpoint is rejected."""
        retracted = contents(
            self._connection.searcher,
            [
                change.published.id
                for patient in patients
                for change in patient.changes
                if change.action is Action.RETRACTED and change.published is not None
            ],
        )
        prepared = []
        for patient in patients:
            actions = Counter(change.action for change in patient.changes)
            self._planned.setdefault(patient.patient, actions)
            try:
                prepared.append(self._maker.requests(patient, retracted))
            except InvalidShape as error:
                self._reject(patient, str(error))
        return prepared

    def _deliver(self, patients: list[PatientRequests]) -> None:
        """Send patients together; split them in halves until only the refused ones are left."""
        pending, refusal = self._try(patients)
        if refusal is None:
            return
        if len(pending) == 1:
            if refusal.status == 403 and not self._result.landed:
                raise refusal
            self._reject(pending[0].changes, str(refusal))
            return
        LOG.info("%s; %d patients are sent in halves", refusal, len(pending))
        middle = len(pending) // 2
        self._deliver(pending[:middle])
        self._deliver(pending[middle:])

    def _try(
        self, patients: list[PatientRequests]
    ) -> tuple[list[PatientRequests], HttpError | None]:
        """Send patients together; returns those that are still to be written, and the refusal.

        If two writers met, or if it is not known whether the server wrote anything, the endpoints
        of the server are read again and only what still differs is sent.
        """
        deadline = time.monotonic() + self._connection.client.connection.budget
        pending = self._with_requests(patients)
        attempt = 0
        while pending:
            attempt += 1
            try:
                self._delivery.send(pending)
            except (HttpError, UnreachableError) as error:
                refusal = error if isinstance(error, HttpError) else None
                if refusal is not None and refusal.status not in _CONFLICTS | PASSING:
                    if refusal.status in _REFUSALS:
                        raise
                    return pending, refusal
                if not self._wait(attempt, deadline, refusal):
                    if refusal is not None and refusal.status in {*_CONFLICTS, _FAILED}:
                        return pending, refusal
                    raise
            else:
                for patient in pending:
                    self._land(patient.changes)
                break
            pending = self._renewed(pending)
        return [], None

    def _wait(self, attempt: int, deadline: float, refusal: HttpError | None) -> bool:
        """Wait before the next attempt; False if there is to be none."""
        status = refusal.status if refusal is not None else 0
        if attempt >= (_TRIES_AFTER_FAILURE if status == _FAILED else _TRIES) and status in {
            *_CONFLICTS,
            _FAILED,
        }:
            return False
        retry_after = refusal.retry_after if refusal is not None else None
        wait = backoff(attempt) if retry_after is None else retry_after
        if time.monotonic() + wait > deadline:
            return False
        LOG.info("writing again in %.1f s (%s)", wait, status or "no answer")
        time.sleep(wait)
        return True

    def _renewed(self, patients: list[PatientRequests]) -> list[PatientRequests]:
        """The requests for what still differs from the endpoints that the server holds now."""
        base = self._connection.base
        identifiers = {name for patient in patients for name in patient.changes.identifiers()}
        published = published_with(
            self._connection.searcher, identifiers, self._connection.origin, base
        )
        renewed = []
        for patient in patients:
            old = patient.changes
            changes = changes_of(old.patient, old.output, old.outdated, published, base)
            if changes.problem:
                self._reject(changes, changes.problem)
            else:
                renewed.append(changes)
        return self._with_requests(self._prepare(renewed))

    def _with_requests(self, patients: list[PatientRequests]) -> list[PatientRequests]:
        """The patients of whom something is left to write; the others are counted as written."""
        for patient in patients:
            if not patient.observations:
                self._land(patient.changes)
        return [patient for patient in patients if patient.observations]

    def _land(self, patient: PatientChanges) -> None:
        self._result.landed.add(patient.patient)
        self._result.endpoints += self._planned[patient.patient]

    def _reject(self, patient: PatientChanges, why: str) -> None:
        LOG.info("Patient/%s: not written: %s", patient.patient, why)
        self._result.rejected[patient.patient] = why
