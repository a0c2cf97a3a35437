"""The Provenance of a patient's endpoints, and the Device that stands for this software."""

import hashlib
from collections.abc import Iterable

from msgspec import UNSET

from fhircryo import __version__
from fhircryo.publish.observation_maker import DEVICE_ID
from fhircryo.publish.origin import Origin
from fhircryo.publish.shapes import (
    OutAgent,
    OutConcept,
    OutDevice,
    OutDeviceName,
    OutEntity,
    OutIdentifier,
    OutProvenance,
    OutReference,
    OutVersion,
)


def provenance(targets: Iterable[str], entities: Iterable[str], origin: Origin) -> OutProvenance:
    """The Provenance of one patient's endpoints, in the form of a folder and without an id.

    ``targets``: the ids of the Observations. ``entities``: references to the evidence that is
    neither an Observation nor a QuestionnaireResponse.
    """
    found = [OutEntity("source", OutReference(ref)) for ref in sorted(set(entities))]
    return OutProvenance(
        id=UNSET,
        target=[OutReference(f"Observation/{target}") for target in targets],
        recorded=f"{origin.as_of.isoformat()}T00:00:00Z",
        policy=[f"{origin.base}/protocol/{origin.protocol}|{origin.protocol_version}"],
        activity=OutConcept(text=f"Computed by protocol {origin.protocol_name}"),
        agent=[OutAgent(OutReference(f"Device/{DEVICE_ID}"))],
        entity=found or None,
    )


def provenance_id(targets: Iterable[str], contents: bytes) -> str:
    """The id of the Provenance of some targets (their identifiers) with their JSON.

    The same targets with the same contents give the same id, so that a request that is repeated
    does not create a second Provenance.
    """
    digest = hashlib.blake2b("\x1f".join(targets).encode() + b"\x1e", digest_size=16)
    digest.update(contents)
    return f"p{digest.hexdigest()}"


def device(base: str) -> OutDevice:
    """The Device that stands for this version of the software."""
    return OutDevice(
        id=DEVICE_ID,
        identifier=[OutIdentifier(f"{base}/device", DEVICE_ID)],
        device_name=[OutDeviceName("fhircryo", "model-name")],
        version=[OutVersion(__version__)],
        type=OutConcept(text="Software that computes treatment endpoints"),
    )
