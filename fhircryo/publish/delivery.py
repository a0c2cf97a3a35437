"""Sends requests to a server: in transactions, or one by one where the server has none."""

from contextlib import suppress

import msgspec

from fhircryo.fhir.client import Client, HttpError, UnreachableError, outcome_text
from fhircryo.fhir.urls import without_query
from fhircryo.publish.transaction import PatientRequests, WriteRequest, transaction


class _EntryResponse(msgspec.Struct):
    status: str | None = None
    outcome: msgspec.Raw = msgspec.Raw(b"")


class _ResponseEntry(msgspec.Struct):
    response: _EntryResponse | None = None


class _TransactionResponse(msgspec.Struct, rename="camel"):
    resource_type: str | None = None
    entry: list[_ResponseEntry] | None = None


class _WrittenResource(msgspec.Struct):
    id: str | None = None


class Delivery:
    """Sends once. Whether to repeat is decided by the writer, which sees what the server holds."""

    def __init__(self, client: Client, *, transactions: bool) -> None:
        self._client = client
        self._transactions = transactions

    def send(self, patients: list[PatientRequests]) -> None:
        """Write patients.

        Raises:
            HttpError: the server refuses; nothing of a transaction was written.
            UnreachableError: it is not known whether anything was written.
        """
        if self._transactions:
            self._send_transaction(patients)
        else:
            for patient in patients:
                self._send_one_by_one(patient)

    def _send_transaction(self, patients: list[PatientRequests]) -> None:
        url = self._client.base
        response = self._client.request("POST", url, body=transaction(patients), budget=0)
        try:
            answer = msgspec.json.decode(response.content, type=_TransactionResponse)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            raise UnreachableError(f"{without_query(url)}: the answer is not FHIR") from None
        if answer.resource_type != "Bundle":
            raise UnreachableError(f"{without_query(url)}: the answer is not a Bundle")
        for entry in answer.entry or ():
            found = entry.response or _EntryResponse()
            status = (found.status or "").partition(" ")[0]
            if status.isdecimal() and int(status) >= 400:
                words = outcome_text(bytes(found.outcome))
                raise HttpError("POST", without_query(url), int(status), words)

    def _send_one_by_one(self, patient: PatientRequests) -> None:
        """Write one patient; what was written before a refusal gets a Provenance all the same."""
        written: list[str] = []
        try:
            for request in patient.observations:
                written.append(self._send_single(request))
        except (HttpError, UnreachableError):
            # The first error is the one to report, whether or not the Provenance can be written.
            with suppress(HttpError, UnreachableError):
                self._send_provenance(patient, written)
            raise
        self._send_provenance(patient, written)

    def _send_provenance(self, patient: PatientRequests, written: list[str]) -> None:
        request = patient.provenance(written)
        if request is not None:
            self._send_single(request)

    def _send_single(self, request: WriteRequest) -> str:
        """Send a request; the reference to the resource that it wrote."""
        headers = {}
        if request.if_match is not None:
            headers["If-Match"] = request.if_match
        url = f"{self._client.base}/{request.url}"
        response = self._client.request(
            request.method, url, body=request.resource, headers=headers, budget=0
        )
        if not request.full_url.startswith("urn:"):
            return request.url
        try:
            created = msgspec.json.decode(response.content, type=_WrittenResource).id
        except (msgspec.MsgspecError, UnicodeDecodeError):
            created = None
        kind = request.url.partition("?")[0]
        if created is None:
            # Servers may answer with the location only: [base]/Type/id/_history/1
            location = response.headers.get("Location", "").partition("/_history/")[0]
            created = location.rpartition(f"{kind}/")[2]
        if not created:
            raise UnreachableError(
                f"{without_query(url)}: the answer does not name the resource that was written"
            )
        return f"{kind}/{created}"
