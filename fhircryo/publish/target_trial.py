"""Tries what a target can do before patients are written to it, with the Device.

What a CapabilityStatement claims may be wrong. What would double endpoints, lose Provenances or
leave a patient half-written is tried beforehand.
"""

import logging
import time
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime

import msgspec
from msgspec import UNSET, structs

from fhircryo.errors import TargetError
from fhircryo.fhir.client import HttpError, UnreachableError, backoff
from fhircryo.publish.identifier_search import IdentifierSearch, search_refused
from fhircryo.publish.known_ids import DEVICE_PROVENANCE
from fhircryo.publish.observation_maker import DEVICE_ID
from fhircryo.publish.one_resource import OneResource
from fhircryo.publish.provenance import provenance, provenance_id
from fhircryo.publish.refused_write import (
    interaction_refused,
    is_unanswered,
    type_refused,
    way_refused,
)
from fhircryo.publish.shapes import ENCODER, OutAgent, OutConcept, OutReference
from fhircryo.publish.single_request import send_single
from fhircryo.publish.target_connection import TargetConnection
from fhircryo.publish.target_device import TargetDevice
from fhircryo.publish.target_kind import (
    NOT_PROMISED,
    Creation,
    TargetKind,
    creations,
    remember_creation,
)
from fhircryo.publish.transaction import WriteRequest, transaction
from fhircryo.settings import WriteSettings

LOG = logging.getLogger("fhircryo.target")

_BATCH = "batch-response"
_TRIES = 4
_DENIED = frozenset({401, 403})
_CONDITIONAL = frozenset({Creation.CONDITIONAL_UPDATE, Creation.CONDITIONAL_CREATE})


class _Answer(msgspec.Struct):
    type: str | None = None


class TargetTrial:
    """What is known of a target in a run.

    ``kind``: what it can do. ``device``: the reference to the Device, where the target holds it.
    ``settings``: whether Provenances and profiles are wanted.
    """

    def __init__(self, connection: TargetConnection, settings: WriteSettings) -> None:
        self._connection = connection
        self.kind = TargetKind.of(
            connection.capabilities,
            connection.known,
            provenances=settings.provenance,
            profiles=settings.profile,
        )
        self._held = TargetDevice(connection, self.kind, required=settings.provenance)
        self.device: OutReference | None = None
        self._provenance_tried = False
        self._search = IdentifierSearch(connection)

    def find_device(self) -> None:
        """Find the Device, without writing it."""
        self.device = self._held.find()

    def establish_device(self) -> None:
        """Create the Device unless the target holds it.

        Raises:
            TargetError: the target does not take it.
            SourceError: the target fails.
        """
        self.device = self._held.establish()

    def newer_version(self) -> str:
        """The version of the program that the Device names, if it is newer than this; else empty.

        Raises:
            SourceError: the target fails.
        """
        return "" if self.device is None else self._held.newer_version(self.device)

    def search_refusal(self) -> str:
        """Why endpoints could be created twice, in words; empty if nothing is known against it.

        Nothing is written: endpoints that the target holds are searched by their identifiers.

        Raises:
            SourceError: the target fails.
        """
        if self.kind.creation is Creation.OWN_ID:
            return ""
        return self._search.contradiction(self.device)

    def run(self) -> None:
        """Try what the next writes rely on; what is found out is noted in ``kind``.

        Raises:
            TargetError: nothing would keep endpoints from being doubled, or a type is refused.
            SourceError: the target fails.
        """
        if self.device is not None:
            self._held.update(self.device)
        self._try_transactions()
        self._try_search()
        while self.kind.creation in _CONDITIONAL and not self._is_honoured():
            self._take_next_creation()
        if not self.kind.transactions:
            self.try_provenance()

    def try_provenance(self) -> None:
        """Write a Provenance of the Device, once in a run.

        Raises:
            TargetError: the target does not take Provenances.
            SourceError: the target fails.
        """
        if self._provenance_tried or not self.kind.provenances or self.device is None:
            return
        self._provenance_tried = True
        device = str(self.device.reference)
        held = OneResource(self._connection, DEVICE_PROVENANCE, "Provenance", {"target": device})
        try:
            name = _PROVENANCE_ID
            if self.kind.creation is not Creation.OWN_ID:
                name = held.find()
            held.create(self._provenance_request(device, name))
        except HttpError as error:
            if type_refused(error):
                raise self._provenance_refused(error) from None
            LOG.info("the Provenance of the Device could not be written: %s", error)

    def try_endpoints(self, identifiers: Iterable[str]) -> None:
        """Search endpoints that were just created, where no others could be searched.

        Raises:
            TargetError: the search does not find them within the patience of the settings.
            SourceError: the target fails.
        """
        if self.kind.creation is not Creation.OWN_ID:
            self._search.try_created(identifiers)

    # --- the single trials

    def _try_transactions(self) -> None:
        """Send a transaction without entries, which changes nothing."""
        if not self.kind.transactions:
            return
        client = self._connection.client
        for attempt in range(1, _TRIES + 1):
            try:
                answer = client.request(
                    "POST", client.base, body=transaction((), client.base), budget=0
                )
            except (HttpError, UnreachableError) as error:
                refusal = error if isinstance(error, HttpError) else None
                if refusal is not None and refusal.status in _DENIED:
                    raise
                if refusal is None or is_unanswered(refusal):
                    time.sleep(backoff(attempt))
                    continue
                self.kind.transactions = not interaction_refused(refusal)
            else:
                with suppress(msgspec.MsgspecError, UnicodeDecodeError):
                    kind = msgspec.json.decode(answer.content, type=_Answer).type
                    self.kind.transactions = kind != _BATCH
            break
        if not self.kind.transactions:
            LOG.warning(
                "%s: the server does not carry out transactions, although it claims to; %s",
                client.base,
                NOT_PROMISED,
            )

    def _try_search(self) -> None:
        """Search the Device by its identifier, unless our own ids keep from doubling."""
        if self.kind.creation is Creation.OWN_ID or self.device is None:
            return
        try:
            found = self._held.held.searched(time.time())
        except HttpError as error:
            raise search_refused(self._connection, "Device", str(error)) from None
        if not found:
            raise search_refused(self._connection, "Device")

    def _is_honoured(self) -> bool:
        """Whether a second conditional request for the Device creates no second one."""
        if self.device is None:
            return True
        request = self._held.request(self.kind.creation)
        try:
            written = send_single(self._connection.client, request)
        except HttpError as error:
            if way_refused(error):
                return False
            LOG.info("the trial of %s was refused: %s", self.kind.creation, error)
            return True
        except UnreachableError as error:
            LOG.info("the trial of %s was not answered: %s", self.kind.creation, error)
            return True
        if written.existed or f"Device/{written.id}" == self.device.reference:
            return True
        second = f"Device/{written.id}"
        try:
            self._connection.client.request("DELETE", f"{self._connection.base}/{second}")
        except (HttpError, UnreachableError) as error:
            LOG.warning("%s was created in a trial; delete it: %s", second, error)
        return False

    def _take_next_creation(self) -> None:
        capabilities = self._connection.capabilities
        claimed = list(creations(capabilities))
        before = self.kind.creation
        self.kind.creation = claimed[claimed.index(before) + 1]
        remember_creation(capabilities, self._connection.known, self.kind.creation)
        LOG.warning(
            "%s: the CapabilityStatement claims %s, but the server does not honour it; endpoints"
            " are created by %s",
            self._connection.base,
            before,
            self.kind.creation,
        )

    def _provenance_request(self, device: str, name: str) -> WriteRequest:
        connection = self._connection
        words = "Written by this software before patients, to see that the server takes Provenances"
        resource = structs.replace(
            provenance((), (), connection.origin),
            id=name or UNSET,
            meta=None,  # the profile is that of the Provenances of endpoints
            target=[OutReference(device)],
            recorded=datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            activity=OutConcept(text=words),
            agent=[OutAgent(OutReference(device))],
        )
        content = ENCODER.encode(resource)
        if name:
            return WriteRequest("PUT", f"Provenance/{name}", f"Provenance/{name}", content)
        return WriteRequest("POST", "Provenance", f"urn:fhircryo:{_PROVENANCE_ID}", content)

    def _provenance_refused(self, refusal: HttpError) -> TargetError:
        return TargetError(
            f"{self._connection.base}: the server does not take Provenances, so nothing was"
            f" written: {refusal}; have them permitted, or set write.provenance = false, which"
            " leaves them out"
        )


_PROVENANCE_ID = provenance_id([DEVICE_ID], b"")
