"""Sends requests to a server: in transactions, or one by one where the server has none.

What is sent is noted beforehand, and what was answered afterwards (``known_ids``), so that a run
that is killed in between, or whose answer is lost, can be told from one that wrote nothing.
"""

import logging
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain

import msgspec
from requests import Response

from fhircryo.errors import TargetError
from fhircryo.fhir import refusals
from fhircryo.fhir.client import Client, HttpError, UnreachableError, outcome_text
from fhircryo.fhir.urls import without_query
from fhircryo.publish.as_on_server import digest
from fhircryo.publish.difference import Action
from fhircryo.publish.known_ids import NO_TRANSACTIONS, KnownIds, OwedProvenance, SentContent
from fhircryo.publish.refused_write import is_unanswered
from fhircryo.publish.shapes import plain
from fhircryo.publish.single_request import (
    CREATED,
    Written,
    location_of,
    other_id,
    send_single,
    version_of,
)
from fhircryo.publish.target_kind import NOT_PROMISED, TargetKind
from fhircryo.publish.transaction import PatientRequests, WriteRequest, bundled, transaction

LOG = logging.getLogger("fhircryo.target")

_BATCH = "batch-response"
_REFUSED = 400
#: In a reference to another entry of a transaction.
_UNRESOLVED = b'"urn:uuid:'


class _EntryResponse(msgspec.Struct):
    status: str | int | None = None
    location: str | None = None
    etag: str | None = None
    outcome: msgspec.Raw = msgspec.Raw(b"")


class _ResponseEntry(msgspec.Struct):
    response: _EntryResponse | None = None
    resource: msgspec.Raw = msgspec.Raw(b"")


class _TransactionResponse(msgspec.Struct, rename="camel"):
    resource_type: str | None = None
    type: str | None = None
    entry: list[_ResponseEntry] | None = None


@dataclass
class Answer:
    """What became of the requests of one patient.

    ``refusal``: of the first request that was refused where others may have been carried out.
    ``existed``: something was not written because the server held it already. ``provenance``:
    the Provenance was written, where one is.
    """

    patient: PatientRequests
    refusal: HttpError | None = None
    existed: bool = False
    written: dict[str, Written] = field(default_factory=dict)
    provenance: bool = True

    @property
    def is_done(self) -> bool:
        """Whether everything was written, the Provenance included."""
        return self.refusal is None and not self.existed and self.provenance

    def created(self) -> set[str]:
        """The identifiers of the endpoints that were written and that the target did not hold."""
        changes = self.patient.changes.changes
        new = {change.identifier for change in changes if change.action is Action.NEW}
        return new & self.written.keys()


class Delivery:
    """Sends once. Whether to repeat is decided by the writer, which sees what the server holds.

    ``kind``: of the target; a transaction that was carried out as a batch is noted in it.
    """

    def __init__(self, client: Client, kind: TargetKind, known: KnownIds) -> None:
        self._client = client
        self._kind = kind
        self._known = known
        self._references_checked = False

    def send_together(self, patients: list[PatientRequests]) -> list[Answer]:
        """Write patients in one transaction.

        Raises:
            HttpError: the server refuses; nothing was written, unless ``is_unanswered``.
            UnreachableError: it is not known whether anything was written.
        """
        sent = [bundled(patient) for patient in patients]
        requests = list(chain.from_iterable(sent))
        self._begin(patients, requests)
        try:
            body = transaction(requests, self._client.base)
            response = self._client.request("POST", self._client.base, body=body, budget=0)
        except HttpError as error:
            if not is_unanswered(error):
                for patient in patients:
                    self._nothing_written(patient, patient.observations)
            raise
        found = self._entries(response, len(requests))
        self._check_references(requests, found)
        entries = iter(found)
        return [
            self._settled(patient, [(request, next(entries)) for request in of_patient])
            for patient, of_patient in zip(patients, sent, strict=True)
        ]

    def send_one_by_one(self, patient: PatientRequests) -> Answer:
        """Write one patient, the Provenance last.

        What was written before a refusal gets its Provenance all the same.

        Raises:
            HttpError: the server refuses, or fails.
            UnreachableError: it is not known whether the last request was carried out.
        """
        answer = Answer(patient)
        refs: list[str] = []
        try:
            for request in patient.observations:
                written = self._send_endpoint(patient, request)
                answer.written[request.identifier] = written
                answer.existed |= written.existed
                refs.append(f"Observation/{written.id}")
        except HttpError as error:
            if not is_unanswered(error):
                self._evidence_partly(patient, refs, list(answer.written))
            raise
        self._send_provenance(patient, refs, patient.identifiers())
        return answer

    def _evidence_partly(
        self, patient: PatientRequests, refs: list[str], written: list[str]
    ) -> None:
        """Write the Provenance of what was written before a refusal.

        The refusal is the error to report, whether or not this succeeds.
        """
        lacking = [endpoint.identifier for endpoint in patient.changes.lacking]
        with suppress(HttpError, UnreachableError):
            if written or lacking:
                self._send_provenance(patient, refs, [*written, *lacking])
            elif patient.provenance_at:
                url = f"{self._client.base}/{patient.provenance_at}"
                self._client.request("DELETE", url, budget=0)

    # --- what is noted

    def _begin(self, patients: Iterable[PatientRequests], sent: list[WriteRequest]) -> None:
        """Note that whole patients are sent now."""
        ids = {one.identifier: one.known_id for one in sent if one.identifier}
        now = time.time()
        owing = {
            identifier: OwedProvenance(patient.provenance_name, patient.recorded, now)
            for patient in patients
            for identifier in patient.identifiers()
        }
        self._known.sending(ids, owing if self._kind.provenances else {})

    def _nothing_written(self, patient: PatientRequests, refused: list[WriteRequest]) -> None:
        """Note that requests of a patient were refused; what lacked its Provenance still does."""
        lacking = [endpoint.identifier for endpoint in patient.changes.lacking]
        identifiers = [request.identifier for request in refused]
        if patient.changes.provenance:
            lacking += identifiers
        self._known.not_written(identifiers, lacking)
        if self._kind.provenances and lacking:
            owed = OwedProvenance(patient.provenance_name, "", None)
            self._known.owe(dict.fromkeys(lacking, owed))

    def _note(
        self, patient: PatientRequests, written: dict[str, Written], *, provenance: bool
    ) -> None:
        """Note what was written of a patient; of what existed already, only its id."""
        made = {name: one for name, one in written.items() if not one.existed}
        self._known.written(
            {name: (one.id, one.version) for name, one in made.items()},
            provenance=provenance,
            contents=self._contents(patient, made),
        )
        existed = {name: one.id for name, one in written.items() if one.existed}
        if existed:
            self._known.sending(existed)
        if provenance:
            self._known.provenance_written(existed)

    def _contents(
        self, patient: PatientRequests, made: dict[str, Written]
    ) -> dict[str, SentContent]:
        """What computed endpoints said that were written, and what the target held before."""
        found = {}
        for change in patient.changes.changes:
            if change.observation is not None and change.identifier in made:
                said = digest(plain(change.observation), self._client.base)
                stood = change.published.digest if change.published is not None else None
                version = made[change.identifier].version
                found[change.identifier] = SentContent(said, version, stood or None)
        return found

    # --- transactions

    def _entries(self, response: Response, number: int) -> list[_EntryResponse]:
        """The answers to the entries of a transaction.

        Raises:
            UnreachableError: the answer does not say what became of each entry.
        """
        shown = without_query(self._client.base)
        try:
            answer = msgspec.json.decode(response.content, type=_TransactionResponse)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            raise UnreachableError(f"{shown}: the answer is not FHIR") from None
        if answer.resource_type != "Bundle":
            raise UnreachableError(f"{shown}: the answer is not a Bundle")
        found = [entry.response or _EntryResponse() for entry in answer.entry or ()]
        # An entry that was refused alone was not part of a transaction.
        if answer.type == _BATCH or any(_status(entry) >= _REFUSED for entry in found):
            self._no_transactions()
        if len(found) != number or not all(_status(entry) for entry in found):
            raise UnreachableError(f"{shown}: the answer does not say what was written")
        return found

    def _check_references(
        self, requests: list[WriteRequest], entries: list[_EntryResponse]
    ) -> None:
        """Read a Provenance, once: in a batch, references to other entries are not resolved."""
        for request, entry in zip(requests, entries, strict=True):
            name, _ = location_of(entry.location, request.kind)
            if self._references_checked or request.identifier or not name:
                continue
            if _UNRESOLVED not in request.resource:
                continue
            self._references_checked = True
            url = f"{self._client.base}/{request.kind}/{name}"
            with suppress(HttpError, UnreachableError):
                if _UNRESOLVED in self._client.request("GET", url).content:
                    self._no_transactions()

    def _no_transactions(self) -> None:
        """Note that the server does not carry out transactions, although it may say so."""
        self._kind.transactions = False
        self._known.written({NO_TRANSACTIONS: ("seen", "")})
        LOG.warning(
            "%s: the server carried out a transaction as a batch; from now on %s",
            self._client.base,
            NOT_PROMISED,
        )

    def _settled(
        self, patient: PatientRequests, sent: list[tuple[WriteRequest, _EntryResponse]]
    ) -> Answer:
        """Look at each entry of a patient: an answer may say that some were refused."""
        answer = Answer(patient)
        refused = []
        provenance = ""
        for request, entry in sent:
            status = _status(entry)
            if status >= _REFUSED:
                url = f"{without_query(self._client.base)}/{request.url.partition('?')[0]}"
                words = outcome_text(bytes(entry.outcome))
                answer.refusal = answer.refusal or HttpError(request.method, url, status, words)
                refused.append(request)
                continue
            name, version = location_of(entry.location, request.kind)
            self._check_id(request, other_id(request.known_id, name))
            name = request.known_id or name
            if not name:
                raise UnreachableError(
                    f"{without_query(self._client.base)}: the answer does not say what was written"
                )
            if not request.identifier:
                provenance = f"Provenance/{name}"
                continue
            existed = request.if_none_exist is not None and status != CREATED
            answer.existed |= existed
            answer.written[request.identifier] = Written(
                name, version_of(entry.etag) or version, existed
            )
        self._note_entries(answer, [one for one in refused if one.identifier], provenance)
        return answer

    def _note_entries(self, answer: Answer, refused: list[WriteRequest], provenance: str) -> None:
        patient = answer.patient
        if answer.refusal is not None:
            self._nothing_written(patient, refused)
        # In a batch, a reference to another entry is not resolved, so that its target is wrong.
        batch = not self._kind.transactions
        wrong = batch and any(not request.known_id for request in patient.observations)
        whole = bool(provenance) and not (answer.refusal or wrong)
        self._note(patient, answer.written, provenance=whole or not self._kind.provenances)
        if whole:
            self._known.provenance_written(patient.identifiers())
        elif self._kind.provenances:
            answer.provenance = False
            owed = OwedProvenance(patient.provenance_name, "", None)
            lacking = [endpoint.identifier for endpoint in patient.changes.lacking]
            self._known.owe(dict.fromkeys([*answer.written, *lacking], owed))
            patient.provenance_at = provenance

    # --- single requests

    def _send_endpoint(self, patient: PatientRequests, request: WriteRequest) -> Written:
        owed = OwedProvenance(patient.provenance_name, "", None)
        owing = {request.identifier: owed} if self._kind.provenances else {}
        self._known.sending({request.identifier: request.known_id}, owing)
        try:
            written = send_single(self._client, request)
        except HttpError as error:
            if not is_unanswered(error):
                self._nothing_written(patient, [request])
            raise
        self._check_id(request, written.stored_as)
        self._note(patient, {request.identifier: written}, provenance=False)
        return written

    def _check_id(self, request: WriteRequest, stored_as: str) -> None:
        """Look what became of an endpoint whose answer names another id than the one asked for.

        Raises:
            TargetError: the server stored it under the other id: the next run would not see it.
            UnreachableError: it did not, so that the answer is that of another request.
        """
        if not stored_as or not request.identifier:
            return
        shown = without_query(self._client.base)
        try:
            self._client.request("GET", f"{self._client.base}/{request.kind}/{request.known_id}")
        except HttpError as error:
            if not refusals.gone(error):
                raise
            raise TargetError(
                f"{shown}: {request.url} was stored as {request.kind}/{stored_as}: the server does"
                " not keep the ids that it lets clients choose, so that nothing more is written to"
                " it; delete this resource"
            ) from None
        raise UnreachableError(f"{shown}: the answers to the requests are in another order")

    def _send_provenance(
        self, patient: PatientRequests, refs: list[str], identifiers: list[str]
    ) -> None:
        request = patient.provenance(refs)
        if request is None:
            self._known.provenance_written(identifiers)
            return
        name = patient.provenance_name
        sent = OwedProvenance(name, patient.recorded, time.time())
        self._known.owe(dict.fromkeys(identifiers, sent))
        try:
            send_single(self._client, request)
        except HttpError as error:
            if not is_unanswered(error):
                self._known.owe(dict.fromkeys(identifiers, OwedProvenance(name, "", None)))
            raise
        self._known.provenance_written(identifiers)


def _status(entry: _EntryResponse) -> int:
    """The status of an entry of an answer; 0 if it states none."""
    # Some servers write the whole status line of HTTP, or a number.
    words = [word for word in str(entry.status or "").split() if not word.startswith("HTTP/")]
    return int(words[0]) if words and words[0].isdecimal() else 0
