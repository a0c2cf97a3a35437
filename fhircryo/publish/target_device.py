"""The Device on a server that endpoints name as the software that computed them."""

import logging
from urllib.parse import urlencode

from fhircryo.errors import TargetError
from fhircryo.fhir.client import HttpError
from fhircryo.publish.known_ids import DEVICE
from fhircryo.publish.newer_version import is_newer
from fhircryo.publish.observation_maker import DEVICE_ID
from fhircryo.publish.one_resource import OneResource
from fhircryo.publish.provenance import device
from fhircryo.publish.reading_back import PublishedReader
from fhircryo.publish.refused_write import FORBIDDEN, type_refused, way_refused
from fhircryo.publish.shapes import ENCODER, Json, OutReference, plain
from fhircryo.publish.target_connection import TargetConnection
from fhircryo.publish.target_kind import Creation, TargetKind, creations, remember_creation
from fhircryo.publish.transaction import WriteRequest

LOG = logging.getLogger("fhircryo.target")

_URN = f"urn:fhircryo:{DEVICE_ID}"


class TargetDevice:
    """Finds and writes the Device, in the way in which endpoints are created.

    ``kind``: of the target; where a claimed way of creating is refused, the next one is noted.
    ``required``: whether a target that refuses the Device is refused.
    """

    def __init__(self, connection: TargetConnection, kind: TargetKind, *, required: bool) -> None:
        capabilities = connection.capabilities
        self._connection = connection
        self._kind = kind
        self._required = required
        self._accepted = any(capabilities.allows("Device", how) for how in ("update", "create"))
        base = connection.origin.base
        self.condition = {"identifier": f"{base}/device|{DEVICE_ID}"}
        self.held = OneResource(connection, DEVICE, "Device", self.condition)
        self._content: Json = plain(device(base))
        self._before: Json | None = None

    def find(self) -> OutReference | None:
        """The reference to the Device; None where the server accepts none, or holds none yet."""
        if not self._accepted:
            return None
        if self._kind.creation is Creation.OWN_ID:
            return OutReference(f"Device/{DEVICE_ID}")
        found = self.held.find()
        return OutReference(f"Device/{found}") if found else None

    def establish(self) -> OutReference | None:
        """Create the Device unless the server holds it; None where it accepts none.

        Raises:
            TargetError: the server refuses the Device.
            SourceError: the server fails.
        """
        found = self.find()
        if not self._accepted:
            return None
        if found is not None and self._read_before(found) is not None:
            return found
        refusal: HttpError | None = None
        ways = list(creations(self._connection.capabilities))
        for how in ways[ways.index(self._kind.creation) :]:
            try:
                name = self._create(how)
            except HttpError as error:
                if not (way_refused(error) or type_refused(error)):
                    raise
                refusal = refusal or error
                if error.status == FORBIDDEN:
                    break
            else:
                self._note(how)
                return OutReference(f"Device/{name}")
        if refusal is not None:
            self._refused(refusal)
        self._accepted = False
        return None

    def update(self, found: OutReference) -> None:
        """Write the Device of this version, unless the server holds it.

        Raises:
            TargetError: the server refuses the Device.
            SourceError: the server fails.
        """
        ref = str(found.reference)
        there = self._read(ref) or {}
        content = {**self._content, "id": ref.partition("/")[2]}
        if all(there.get(key) == value for key, value in content.items()):
            return
        try:
            self.held.create(WriteRequest("PUT", ref, ref, ENCODER.encode(content)))
        except HttpError as error:
            if not type_refused(error):
                raise
            self._refused(error)

    def newer_version(self, found: OutReference) -> str:
        """The version that the Device names, if it is newer than this program; else empty."""
        there = self._before or self._read_before(found) or {}
        named = [one.get("value") for one in there.get("version") or () if isinstance(one, dict)]
        return next((one for one in named if isinstance(one, str) and is_newer(one)), "")

    def request(self, how: Creation) -> WriteRequest:
        """The request that creates the Device in one of the ways of creating."""
        if how is Creation.OWN_ID:
            ref = f"Device/{DEVICE_ID}"
            return WriteRequest("PUT", ref, ref, ENCODER.encode(self._content))
        content = ENCODER.encode({k: v for k, v in self._content.items() if k != "id"})
        search = urlencode(self.condition)
        if how is Creation.CONDITIONAL_UPDATE:
            return WriteRequest("PUT", f"Device?{search}", _URN, content)
        condition = search if how is Creation.CONDITIONAL_CREATE else None
        return WriteRequest("POST", "Device", _URN, content, if_none_exist=condition)

    def _create(self, how: Creation) -> str:
        """Create the Device in one of the ways; its id."""
        found = "" if how is Creation.OWN_ID else self.held.find()
        return found or self.held.create(self.request(how))

    def _read_before(self, found: OutReference) -> Json | None:
        """The Device as it was before this run wrote anything."""
        self._before = self._read(str(found.reference))
        return self._before

    def _read(self, ref: str) -> Json | None:
        return PublishedReader(self._connection).read(ref)

    def _note(self, how: Creation) -> None:
        if how is not self._kind.creation:
            LOG.warning(
                "%s: the CapabilityStatement claims %s, but the server refuses it; endpoints are"
                " created by %s",
                self._connection.base,
                self._kind.creation,
                how,
            )
            self._kind.creation = how
            remember_creation(self._connection.capabilities, self._connection.known, how)

    def _refused(self, refusal: HttpError) -> None:
        """Refuse a target that does not take the Device, unless it may be left out."""
        if self._required:
            raise TargetError(
                f"{self._connection.base}: the server does not take a Device, so nothing was"
                f" written: {refusal}; have it permitted, or set write.provenance = false, which"
                " leaves Device and Provenance out"
            )
        LOG.warning("%s: the Device is left out: %s", self._connection.base, refusal)
