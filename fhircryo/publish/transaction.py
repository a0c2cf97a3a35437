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
from fhircryo.publish.provenance import in_r5, provenance, provenance_id
from fhircryo.publish.shapes import (
    ENCODER,
    Json,
    OutAgent,
    OutConcept,
    OutObservation,
    OutProvenance,
    OutReference,
    object_in,
    plain,
)
from fhircryo.publish.target_kind import Creation, TargetKind
from fhircryo.publish.validate import validate

#: What only the server may set in ``meta``.
_SERVERS_META = ("versionId", "lastUpdated", "source")


@dataclass(frozen=True)
class WriteRequest:
    """A request that writes a resource.

    ``full_url``: how other resources of the same transaction refer to this one. ``identifier``: of
    an endpoint; empty for other resources. ``if_none_exist``: the search by which the server checks
    that it does not hold the resource.
    """

    method: Literal["PUT", "POST"]
    url: str
    full_url: str
    resource: bytes
    identifier: str = ""
    if_match: str | None = None
    if_none_exist: str | None = None

    @property
    def kind(self) -> str:
        """The type of the resource."""
        return self.url.partition("?")[0].partition("/")[0]

    @property
    def known_id(self) -> str:
        """The id that the resource gets; empty where the server chooses it."""
        return "" if self.full_url.startswith("urn:") else self.full_url.rpartition("/")[2]

    @property
    def headers(self) -> dict[str, str]:
        """The conditions of the request, as a request of its own states them."""
        found = {"If-Match": self.if_match, "If-None-Exist": self.if_none_exist}
        return {name: value for name, value in found.items() if value is not None}


@dataclass
class PatientRequests:
    """The requests that write the changes of one patient.

    ``provenance_name``: a hash of what is written, the id of the Provenance where we choose ids.
    ``recorded``: the time that it states. ``provenance_at``: the reference to a Provenance on the
    server that has to be written again, because its targets are wrong.
    """

    changes: PatientChanges
    observations: list[WriteRequest]
    maker: "RequestMaker"
    provenance_name: str
    recorded: str
    provenance_at: str = ""

    def provenance(self, targets: list[str]) -> WriteRequest | None:
        """The request that writes the Provenance of what was written, by reference to each.

        It names the endpoints that lack a Provenance from before as well.
        """
        lacking = [f"Observation/{endpoint.id}" for endpoint in self.changes.lacking]
        return self.maker.provenance(self, targets + lacking)

    def identifiers(self) -> list[str]:
        """The identifiers of the endpoints whose Provenance is written."""
        written = [request.identifier for request in self.observations]
        return written + [endpoint.identifier for endpoint in self.changes.lacking]


class RequestMaker:
    """Makes the requests of a run; each resource is encoded once, when its request is made.

    ``kind``: of the target, as far as it is known when a request is made. ``device``: the reference
    to our Device, where the target holds it.
    """

    def __init__(
        self,
        origin: Origin,
        capabilities: Capabilities,
        kind: TargetKind,
        device: OutReference | None,
    ) -> None:
        self._origin = origin
        self._capabilities = capabilities
        self._kind = kind
        self._agent = device or OutReference(display=f"fhircryo {__version__}")
        self._recorded = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

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
        name = patient.provenance or _provenance_name(patient, found)
        return PatientRequests(patient, found, self, name, self._recorded)

    def _resource(self, change: Change, retracted: dict[str, Json]) -> OutObservation | Json | None:
        """The resource that is written; None where it is gone, so that there is no retraction."""
        name = self._id(change)
        if change.observation is not None:
            observation = structs.replace(change.observation, id=name, status=change.status)
            validate(plain(observation), r5=self._capabilities.is_r5)
            return observation
        resource = retracted.get(name) if isinstance(name, str) else None
        if resource is None:
            return None
        meta = object_in(resource, "meta")
        kept = {key: value for key, value in meta.items() if key not in _SERVERS_META}
        return {**resource, "meta": kept, "status": change.status}

    def _id(self, change: Change) -> str | UnsetType:
        """The id under which an endpoint is written; unset where the server chooses it."""
        if change.published is not None:
            return change.published.id
        return change.identifier if self._kind.creation is Creation.OWN_ID else UNSET

    def _request(self, change: Change, resource: OutObservation | Json) -> WriteRequest:
        content = ENCODER.encode(resource)
        name, identifier = self._id(change), change.identifier
        if name is not UNSET:
            url = f"Observation/{name}"
            version = change.published.version if change.published is not None else ""
            guarded = bool(version) and self._capabilities.versioned_update
            match = f'W/"{version}"' if guarded else None
            return WriteRequest("PUT", url, url, content, identifier, if_match=match)
        full_url = f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, identifier)}"
        search = urlencode({"identifier": f"{self._origin.identifier_system}|{identifier}"})
        if self._kind.creation is Creation.CONDITIONAL_UPDATE:
            return WriteRequest("PUT", f"Observation?{search}", full_url, content, identifier)
        condition = search if self._kind.creation is Creation.CONDITIONAL_CREATE else None
        return WriteRequest(
            "POST", "Observation", full_url, content, identifier, if_none_exist=condition
        )

    def provenance(self, written: PatientRequests, targets: list[str]) -> WriteRequest | None:
        """The request that writes a patient's Provenance; None where the target accepts none."""
        if not self._kind.provenances or not targets:
            return None
        name = written.provenance_name
        known = written.provenance_at.rpartition("/")[2]
        if self._kind.creation is Creation.OWN_ID:
            known = name
        resource = structs.replace(
            self._provenance_of(written.changes),
            id=known or UNSET,
            target=[OutReference(target) for target in dict.fromkeys(targets)],
            recorded=self._recorded,
            agent=[OutAgent(self._agent)],
        )
        if not self._kind.profiles:
            resource.meta = None
        if self._capabilities.is_r5:
            resource = in_r5(resource, _subject(written.changes))
        validate(plain(resource), r5=self._capabilities.is_r5)
        content = ENCODER.encode(resource)
        if known:
            return WriteRequest("PUT", f"Provenance/{known}", f"Provenance/{known}", content)
        full_url = f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, name)}"
        return WriteRequest("POST", "Provenance", full_url, content)

    def _provenance_of(self, patient: PatientChanges) -> OutProvenance:
        if patient.output is not None:
            return patient.output.provenance
        words = f"Retracted by protocol {self._origin.protocol_name}"
        return structs.replace(provenance((), (), self._origin), activity=OutConcept(text=words))


def _provenance_name(patient: PatientChanges, requests: list[WriteRequest]) -> str:
    """A hash of what a Provenance is about: what is written, and what lacks one from before."""
    identifiers = [change.identifier for change in patient.changes]
    identifiers += [endpoint.identifier for endpoint in patient.lacking]
    contents = [request.resource for request in requests]
    contents += [f"{endpoint.id}/{endpoint.version}".encode() for endpoint in patient.lacking]
    return provenance_id(identifiers, b"\n".join(contents))


def _subject(patient: PatientChanges) -> OutReference | None:
    """The reference to a patient; None where nothing of the patient was computed."""
    return patient.output.observations[0].subject if patient.output is not None else None


def bundled(patient: PatientRequests) -> list[WriteRequest]:
    """The requests of a patient as entries of a transaction, the Provenance last."""
    provenance = patient.provenance([request.full_url for request in patient.observations])
    return patient.observations + ([provenance] if provenance is not None else [])


def transaction(requests: Iterable[WriteRequest], base: str) -> bytes:
    """A transaction Bundle of requests to a server; without any it changes nothing.

    ``base``: the base URL of the server.
    """
    entries = [_bundle_entry(request, base) for request in requests]
    content: Json = {"resourceType": "Bundle", "type": "transaction"}
    return ENCODER.encode(content | {"entry": entries} if entries else content)


def _bundle_entry(request: WriteRequest, base: str) -> Json:
    """The entry of a request.

    Each has a full URL: without one, relative references in the entry mean nothing
    (https://hl7.org/fhir/R4/bundle.html#references), and a server that validates refuses them.
    """
    head = {"method": request.method, "url": request.url}
    if request.if_match is not None:
        head["ifMatch"] = request.if_match
    if request.if_none_exist is not None:
        head["ifNoneExist"] = request.if_none_exist
    name = request.full_url
    full_url = name if name.startswith("urn:") else f"{base}/{name}"
    return {"fullUrl": full_url, "resource": Raw(request.resource), "request": head}
