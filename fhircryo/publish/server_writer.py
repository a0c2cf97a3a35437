"""Writes a difference to a FHIR server: whole patients, each of them written or reported."""

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from fhircryo.fhir.client import PASSING, HttpError, UnreachableError
from fhircryo.publish.delivery import Answer, Delivery
from fhircryo.publish.difference import (
    Action,
    PatientChanges,
    changes_of,
    note_missing_provenance,
)
from fhircryo.publish.missing_provenance import missing_provenances
from fhircryo.publish.reading_back import PublishedReader
from fhircryo.publish.refused_write import (
    CONFLICTS,
    FORBIDDEN,
    failed,
    interaction_refused,
    is_unanswered,
    too_large,
    type_refused,
)
from fhircryo.publish.retry_budget import TRIES, RetryBudget
from fhircryo.publish.same_refusals import SameRefusals
from fhircryo.publish.target_connection import TargetConnection
from fhircryo.publish.target_kind import NOT_PROMISED
from fhircryo.publish.target_trial import TargetTrial
from fhircryo.publish.transaction import PatientRequests, RequestMaker
from fhircryo.publish.validate import InvalidShape

LOG = logging.getLogger("fhircryo.target")

#: Is called with the number of patients that are done, and of all patients.
Progress = Callable[[int, int], None]
#: Returns whether the run was asked to end.
Stopped = Callable[[], bool]

#: Sends patients once; returns those of whom something is left to write.
Send = Callable[[list[PatientRequests]], list[PatientRequests]]

_UNAUTHORISED = 401
_TRIES_AFTER_FAILURE = 3


class _AloneError(Exception):
    """Patients have to be sent by single requests."""


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

    ``trial``: of this server. ``bundle_size``: about how many resources a transaction holds.
    """

    def __init__(self, connection: TargetConnection, trial: TargetTrial, bundle_size: int) -> None:
        self._connection = connection
        self._trial = trial
        self._kind = trial.kind
        self._maker = RequestMaker(
            connection.origin, connection.capabilities, self._kind, trial.device
        )
        self._reader = PublishedReader(connection)
        self._delivery = Delivery(connection.client, self._kind, connection.known)
        self._bundle_size = bundle_size
        self._budget = RetryBudget(connection.client.connection.budget)
        self._refusals = SameRefusals(connection.base)
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
            TargetError: the server refuses every patient alike, or a resource type.
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
            size = min(self._bundle_size, self._kind.most_entries or self._bundle_size)
            size = size if self._kind.transactions else 1
            more = len(patient.changes) + 1
            if batch and resources + more > size:
                yield batch
                batch, resources = [], 0
            batch.append(patient)
            resources += more
        if batch:
            yield batch

    def _prepare(self, patients: list[PatientChanges]) -> list[PatientRequests]:
        """The requests of patients; a patient with an invalid endpoint is rejected."""
        retracted = self._reader.contents(
            {
                change.published.id: change.published.version
                for patient in patients
                for change in patient.changes
                if change.action is Action.RETRACTED and change.published is not None
            }
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

    # --- sending

    def _deliver(self, patients: list[PatientRequests], attempt: int = 0) -> None:
        """Send patients together; split them in halves until only the refused ones are left.

        ``attempt``: how often they were tried before, in a larger transaction.
        """
        pending = self._unfinished(patients)
        refusal: HttpError | None = None
        if self._kind.transactions and pending:
            pending, refusal, attempt = self._try(self._send_together, pending, attempt)
        if refusal is None:
            for patient in pending:
                self._deliver_alone(patient)
        elif len(pending) == 1:
            self._give_up(pending[0], refusal)
        else:
            LOG.info("%s; %d patients are sent in halves", refusal, len(pending))
            middle = len(pending) // 2
            self._deliver(pending[:middle], attempt)
            self._deliver(pending[middle:], attempt)

    def _deliver_alone(self, patient: PatientRequests) -> None:
        """Send a patient by single requests, on a server that takes no such transaction."""
        self._trial.try_provenance()
        pending, refusal, _ = self._try(self._send_alone, [patient], 0)
        if refusal is not None:
            self._give_up(pending[0], refusal)

    def _try(
        self, send: Send, patients: list[PatientRequests], attempt: int
    ) -> tuple[list[PatientRequests], HttpError | None, int]:
        """Send patients until they are written; returns those that are not, and the refusal.

        Without a refusal, those that are left have to be sent by single requests. If two writers
        met, or if it is not known whether the server wrote anything, the endpoints of the server
        are read again and only what still differs is sent.
        """
        pending = patients
        while pending:
            attempt += 1
            try:
                left = send(pending)
            except _AloneError:
                return pending, None, attempt
            except (HttpError, UnreachableError) as error:
                refusal = self._refusal(error, attempt)
                if refusal is not None and not is_unanswered(refusal):
                    return pending, refusal, attempt
                if refusal is not None:
                    # It may have been carried out: what stands must not be sent again in halves.
                    pending = self._unfinished(self._renewed(pending))
                    return pending, refusal if pending else None, attempt
                left = pending
            else:
                left = self._without_contradictions(left, attempt)
            before = _to_write(pending)
            pending = self._unfinished(self._renewed(left)) if left else []
            if _to_write(pending) < before:
                # A server that loses many of its answers gets on all the same.
                self._budget.progress()
                attempt = 0
            if send == self._send_together and not self._kind.transactions:
                return pending, None, attempt
        return [], None, attempt

    def _send_together(self, patients: list[PatientRequests]) -> list[PatientRequests]:
        """Send patients in one transaction; returns those of whom something is left to write.

        Raises:
            _AloneError: the server does not take it as one transaction.
            HttpError, UnreachableError: as ``Delivery`` says.
        """
        entries = sum(len(patient.observations) + 1 for patient in patients)
        if len(patients) == 1 and self._kind.most_entries and entries > self._kind.most_entries:
            raise _AloneError
        try:
            return self._left(self._delivery.send_together(patients))
        except HttpError as refusal:
            if too_large(refusal):
                self._kind.most_entries = min(entries - 1, self._kind.most_entries or entries)
                if len(patients) == 1:
                    raise _AloneError from None
            elif interaction_refused(refusal):
                LOG.warning("%s; %s", refusal, NOT_PROMISED)
                self._kind.transactions = False
                raise _AloneError from None
            raise

    def _send_alone(self, patients: list[PatientRequests]) -> list[PatientRequests]:
        """Send patients by single requests; returns those of whom something is left to write."""
        return self._left(map(self._delivery.send_one_by_one, patients))

    def _left(self, answers: Iterable[Answer]) -> list[PatientRequests]:
        """The patients of whom something is left to write; the others are counted as written."""
        left = []
        for answer in answers:
            if answer.is_done:
                self._trial.try_endpoints(answer.created())
                self._land(answer.patient.changes)
            else:
                left.append(answer.patient)
        return left

    def _without_contradictions(
        self, left: list[PatientRequests], attempt: int
    ) -> list[PatientRequests]:
        """The patients to send again after an answer without an error; the others are rejected.

        A server may say again and again that it holds an endpoint which it does not give out, as
        one that was deleted and is in its index still.
        """
        if attempt < TRIES or not left or self._budget.wait(attempt, None, "contradictions"):
            return left
        for patient in left:
            self._reject(
                patient.changes,
                "the server answers that it holds endpoints of this patient, but does not give"
                " them out; the next run tries again",
            )
        return []

    def _refusal(self, error: HttpError | UnreachableError, attempt: int) -> HttpError | None:
        """The refusal to report; None, after waiting, if the request is to be sent again.

        Raises:
            HttpError, UnreachableError: no other request would succeed.
        """
        refusal = error if isinstance(error, HttpError) else None
        if refusal is not None and refusal.status not in CONFLICTS | PASSING:
            if refusal.status == _UNAUTHORISED:
                raise refusal
            return refusal
        if self._wait(attempt, error):
            return None
        if refusal is None or not _may_be_content(refusal):
            raise error
        return refusal

    def _wait(self, attempt: int, error: HttpError | UnreachableError) -> bool:
        """Wait before the next attempt; False if there is to be none."""
        if not isinstance(error, HttpError):
            return self._budget.wait(attempt, None, "no answer")
        limit = _TRIES_AFTER_FAILURE if failed(error) else TRIES
        if attempt >= limit and _may_be_content(error):
            return False
        return self._budget.wait(attempt, error.retry_after, str(error.status))

    def _renewed(self, patients: list[PatientRequests]) -> list[PatientRequests]:
        """The requests for what still differs from the endpoints that the server holds now."""
        begun = time.monotonic()
        identifiers = {name for patient in patients for name in patient.changes.identifiers()}
        published = self._reader.with_identifiers(identifiers)
        owed = missing_provenances(self._connection, self._kind, published, identifiers)
        self._budget.pause(time.monotonic() - begun)
        renewed = []
        for patient in patients:
            old = patient.changes
            changes = changes_of(
                old.patient,
                old.output,
                old.outdated,
                published,
                self._connection.base,
                self._connection.known.content_sent,
            )
            note_missing_provenance(changes, published, owed)
            if changes.problem:
                self._reject(changes, changes.problem)
            else:
                renewed.append(changes)
        wrong = {patient.changes.patient: patient.provenance_at for patient in patients}
        requests = self._prepare(renewed)
        for patient in requests:
            patient.provenance_at = wrong[patient.changes.patient]
        return requests

    # --- what becomes of patients

    def _unfinished(self, patients: list[PatientRequests]) -> list[PatientRequests]:
        """The patients of whom something is left to write; the others are counted as written."""
        unfinished = []
        for patient in patients:
            if patient.observations or patient.changes.lacking:
                unfinished.append(patient)
            else:
                self._land(patient.changes)
        return unfinished

    def _land(self, patient: PatientChanges) -> None:
        self._result.landed.add(patient.patient)
        self._result.endpoints += self._planned[patient.patient]
        self._budget.progress()
        self._refusals.landed()

    def _give_up(self, patient: PatientRequests, refusal: HttpError) -> None:
        """Reject a patient, or end the run where the server would refuse everybody.

        Raises:
            HttpError: writing is forbidden.
            TargetError: the server takes no Provenances, or refuses all patients alike.
        """
        if not self._result.landed:
            if type_refused(refusal):
                self._trial.try_provenance()
            if refusal.status == FORBIDDEN:
                raise refusal
        self._reject(patient.changes, str(refusal))
        self._refusals.refused(refusal)

    def _reject(self, patient: PatientChanges, why: str) -> None:
        LOG.info("Patient/%s: not written: %s", patient.patient, why)
        self._result.rejected[patient.patient] = why


def _to_write(patients: Iterable[PatientRequests]) -> int:
    """How many endpoints are left to write."""
    return sum(len(patient.observations) for patient in patients)


def _may_be_content(refusal: HttpError) -> bool:
    """Whether a refusal that passes by itself elsewhere may be caused by what is sent."""
    return refusal.status in CONFLICTS or failed(refusal)
