"""Who computed a patient's endpoints, from what, by which protocol; and the Device that did."""

import hashlib
from collections.abc import Iterable

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


def provenance(
    targets: list[str],
    contents: bytes,
    entities: Iterable[str],
    origin: Origin,
) -> OutProvenance:
    """The Provenance of one patient's endpoints, as recorded in a folder.

    ``targets``: the ids of his Observations; ``contents``: their JSON; ``entities``: references to
    what they stand on beside Observations and QuestionnaireResponses.
    """
    found = [OutEntity("source", OutReference(ref)) for ref in sorted(set(entities))]
    return OutProvenance(
        id=provenance_id(targets, contents),
        target=[OutReference(f"Observation/{target}") for target in targets],
        recorded=f"{origin.as_of.isoformat()}T00:00:00Z",
        policy=[f"{origin.base}/protocol/{origin.protocol}|{origin.protocol_version}"],
        activity=OutConcept(text=f"Computed by protocol {origin.protocol_name}"),
        agent=[OutAgent(OutReference(f"Device/{DEVICE_ID}"))],
        entity=found or None,
    )


def provenance_id(targets: Iterable[str], contents: bytes) -> str:
    """The same for the same targets with the same contents, so that a retry does not double it."""
    digest = hashlib.sha256("\x1f".join(targets).encode() + b"\x1e" + contents).hexdigest()
    return f"p{digest[:32]}"


def device(base: str) -> OutDevice:
    """This software."""
    return OutDevice(
        id=DEVICE_ID,
        identifier=[OutIdentifier(f"{base}/device", DEVICE_ID)],
        device_name=[OutDeviceName("fhircryo", "model-name")],
        version=[OutVersion(__version__)],
        type=OutConcept(text="Software that computes treatment endpoints"),
    )
