"""Sends patients' entries to a server: in transactions, or one by one where it has none."""

from contextlib import suppress

import msgspec

from fhircryo.fhir.capability import Capabilities
from fhircryo.fhir.client import Client, HttpError, UnreachableError, outcome_text, without_query
from fhircryo.publish.transaction import Entry, PatientWrite, transaction


class _Answered(msgspec.Struct):
    status: str | None = None
    outcome: msgspec.Raw = msgspec.Raw(b"")


class _AnsweredEntry(msgspec.Struct):
    response: _Answered | None = None


class _Answer(msgspec.Struct, rename="camel"):
    resource_type: str | None = None
    entry: list[_AnsweredEntry] | None = None


class _Created(msgspec.Struct):
    id: str | None = None


class Delivery:
    """Sends once; whether to try again is for the writer, who can see what stands."""

    def __init__(self, client: Client, known: Capabilities) -> None:
        self._client = client
        self.together = known.transaction

    def send(self, writes: list[PatientWrite]) -> None:
        """Send patients.

        Raises:
            HttpError: refused; in a transaction nothing of it landed.
            UnreachableError: it is not known whether anything landed.
        """
        if self.together:
            self._transaction(writes)
        else:
            for write in writes:
                self._one_by_one(write)

    def _transaction(self, writes: list[PatientWrite]) -> None:
        url = self._client.base
        response = self._client.request("POST", url, body=transaction(writes), budget=0)
        try:
            answer = msgspec.json.decode(response.content, type=_Answer)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            raise UnreachableError(f"{without_query(url)}: the answer is not FHIR") from None
        if answer.resource_type != "Bundle":
            raise UnreachableError(f"{without_query(url)}: the answer is no Bundle")
        for entry in answer.entry or ():
            answered = entry.response or _Answered()
            status = (answered.status or "").partition(" ")[0]
            if status.isdecimal() and int(status) >= 400:
                said = outcome_text(bytes(answered.outcome))
                raise HttpError("POST", without_query(url), int(status), said)

    def _one_by_one(self, write: PatientWrite) -> None:
        """One patient; what landed before a refusal has its Provenance all the same."""
        landed: list[str] = []
        try:
            for entry in write.observations:
                landed.append(self._single(entry))
        except (HttpError, UnreachableError):
            # The refusal is what is to be told, whatever becomes of this.
            with suppress(HttpError, UnreachableError):
                self._source_of(write, landed)
            raise
        self._source_of(write, landed)

    def _source_of(self, write: PatientWrite, landed: list[str]) -> None:
        source = write.provenance(landed)
        if source is not None:
            self._single(source)

    def _single(self, entry: Entry) -> str:
        """Send an entry; the reference to what it wrote."""
        headers = {}
        if entry.if_match is not None:
            headers["If-Match"] = entry.if_match
        url = f"{self._client.base}/{entry.url}"
        response = self._client.request(
            entry.method, url, body=entry.resource, headers=headers, budget=0
        )
        if not entry.full_url.startswith("urn:"):
            return entry.url
        try:
            created = msgspec.json.decode(response.content, type=_Created).id
        except (msgspec.MsgspecError, UnicodeDecodeError):
            created = None
        kind = entry.url.partition("?")[0]
        if created is None:
            # Servers may answer with nothing but where it stands: [base]/Type/id/_history/1
            place = response.headers.get("Location", "").partition("/_history/")[0]
            created = place.rpartition(f"{kind}/")[2]
        if not created:
            raise UnreachableError(f"{without_query(url)}: the server does not say what it wrote")
        return f"{kind}/{created}"
