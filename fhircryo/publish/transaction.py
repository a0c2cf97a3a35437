"""Makes the requests that write changes, single or in transactions: FHIR R4's RESTful API.

Source: https://hl7.org/fhir/R4/http.html
"""

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal
from urllib.parse import urlencode

from msgspec import UNSET, Raw, UnsetType, structs

from fhircryo import __version__
from fhircryo.fhir.capability import Capabilities
from fhircryo.publish.difference import Change, PatientChanges
from fhircryo.publish.origin import Origin
from fhircryo.publish.provenance import provenance, provenance_id
from fhircryo.publish.shapes import (
    ENCODER,
    Json,
    OutAgent,
    OutConcept,
    OutObservation,
    OutProvenance,
    OutReference,
    plain,
)
from fhircryo.publish.validate import validate

#: What only the server may set in ``meta``.
_SERVERS_META = ("versionId", "lastUpdated", "source")

#: How an endpoint that the server does not hold is created: under our own id, by a conditional
#: update on its identifier, or without protection against duplicates but the lock of the target.
Creation = Literal["own-id", "conditional", "unprotected"]


def creation(capabilities: Capabilities) -> Creation:
    """How endpoints are created on a server. With our own ids no race can duplicate them."""
    if capabilities.update_create:
        return "own-id"
    return "conditional" if capabilities.conditional_update else "unprotected"


@dataclass(frozen=True)
class WriteRequest:
    """A request that writes a resource.

    ``full_url``: how other resources of the same transaction refer to this one.
    """

    method: Literal["PUT", "POST"]
    url: str
    full_url: str
    resource: bytes
    if_match: str | None = None


@dataclass(frozen=True)
class PatientRequests:
    """The requests that write the changes of one patient."""

    changes: PatientChanges
    observations: list[WriteRequest]
    maker: "RequestMaker"

    def provenance(self, targets: list[str]) -> WriteRequest | None:
        """The request that writes the Provenance of what was written, by reference to each."""
        return self.maker.provenance(self, targets)


class RequestMaker:
    """Makes the requests of a run; each resource is encoded once, when its request is made.

    ``device``: the reference to our Device, where the target holds it.
    """

    def __init__(
        self, origin: Origin, capabilities: Capabilities, device: OutReference | None
    ) -> None:
        self._origin = origin
        self._capabilities = capabilities
        self._creation = creation(capabilities)
        self._agent = device or OutReference(display=f"fhircryo {__version__}")
        self._recorded = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        self._provenances = capabilities.allows("Provenance", "update") or capabilities.allows(
            "Provenance", "create"
        )

    def requests(self, patient: PatientChanges, retracted: dict[str, Json]) -> PatientRequests:
        """The requests of a patient's changes.

        ``retracted``: the whole Observations that are to be retracted, by id.

        Raises:
            InvalidShape: an endpoint is not valid FHIR.
        """
        found = []
        for change in patient.changes:
            resource = self._resource(change, retracted)
            if resource is not None:
                found.append(self._request(change, resource))
        return PatientRequests(patient, found, self)

    def _resource(self, change: Change, retracted: dict[str, Json]) -> OutObservation | Json | None:
        """The resource that is written; None where it is gone, so that there is no retraction."""
        name = self._id(change)
        if change.observation is not None:
            observation = structs.replace(change.observation, id=name, status=change.status)
            validate(plain(observation))
            return observation
        resource = retracted.get(name) if isinstance(name, str) else None
        if resource is None:
            return None
        meta = resource.get("meta") or {}
        kept = {key: value for key, value in meta.items() if key not in _SERVERS_META}
        return {**resource, "meta": kept, "status": change.status}

    def _id(self, change: Change) -> str | UnsetType:
        """The id under which an endpoint is written; unset where the server chooses it."""
        if change.published is not None:
            return change.published.id
        return change.identifier if self._creation == "own-id" else UNSET

    def _request(self, change: Change, resource: OutObservation | Json) -> WriteRequest:
        content = ENCODER.encode(resource)
        name = self._id(change)
        if name is not UNSET:
            url = f"Observation/{name}"
            version = change.published.version if change.published is not None else ""
            guarded = bool(version) and self._capabilities.versioned_update
            return WriteRequest("PUT", url, url, content, f'W/"{version}"' if guarded else None)
        full_url = f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, change.identifier)}"
        if self._creation == "conditional":
            token = f"{self._origin.identifier_system}|{change.identifier}"
            url = f"Observation?{urlencode({'identifier': token})}"
            return WriteRequest("PUT", url, full_url, content)
        return WriteRequest("POST", "Observation", full_url, content)

    def provenance(self, written: PatientRequests, targets: list[str]) -> WriteRequest | None:
        """The request that writes a patient's Provenance; None where the target accepts none."""
        if not self._provenances or not targets:
            return None
        identifiers = [change.identifier for change in written.changes.changes]
        contents = b"\n".join(request.resource for request in written.observations)
        name = provenance_id(identifiers, contents)
        own_id = self._creation == "own-id"
        resource = structs.replace(
            self._provenance_of(written.changes),
            id=name if own_id else UNSET,
            target=[OutReference(target) for target in targets],
            recorded=self._recorded,
            agent=[OutAgent(self._agent)],
        )
        validate(plain(resource))
        content = ENCODER.encode(resource)
        if own_id:
            return WriteRequest("PUT", f"Provenance/{name}", f"Provenance/{name}", content)
        full_url = f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, name)}"
        return WriteRequest("POST", "Provenance", full_url, content)

    def _provenance_of(self, patient: PatientChanges) -> OutProvenance:
        if patient.output is not None:
            return patient.output.provenance
        words = f"Retracted by protocol {self._origin.protocol_name}"
        return structs.replace(provenance((), (), self._origin), activity=OutConcept(text=words))


def transaction(patients: Iterable[PatientRequests]) -> bytes:
    """A transaction Bundle that writes whole patients."""
    requests: list[WriteRequest] = []
    for patient in patients:
        requests += patient.observations
        provenance = patient.provenance([request.full_url for request in patient.observations])
        if provenance is not None:
            requests.append(provenance)
    return ENCODER.encode(
        {
            "resourceType": "Bundle",
            "type": "transaction",
            "entry": [_bundle_entry(request) for request in requests],
        }
    )


def _bundle_entry(request: WriteRequest) -> Json:
    head = {"method": request.method, "url": request.url}
    if request.if_match is not None:
        head["ifMatch"] = request.if_match
    found: Json = {"resource": Raw(request.resource), "request": head}
    if request.full_url.startswith("urn:"):
        found["fullUrl"] = request.full_url
    return found
