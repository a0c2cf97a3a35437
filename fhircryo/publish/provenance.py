"""Who computed a patient's endpoints, from what, by which protocol; and the Device that did."""

import hashlib
from collections.abc import Iterable
from datetime import date

from fhircryo import __version__
from fhircryo.mapping.protocol import Protocol
from fhircryo.publish.observation import DEVICE_ID
from fhircryo.publish.wire import (
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
    protocol: Protocol,
    base: str,
    as_of: date,
) -> OutProvenance:
    """The Provenance of one patient's endpoints.

    ``targets``: the ids of his Observations; ``contents``: their JSON; ``entities``: references to
    what they stand on beside Observations and QuestionnaireResponses.
    """
    digest = hashlib.sha256("\x1f".join(targets).encode() + b"\x1e" + contents).hexdigest()
    found = [OutEntity("source", OutReference(ref)) for ref in sorted(set(entities))]
    return OutProvenance(
        id=f"p{digest[:32]}",
        target=[OutReference(f"Observation/{target}") for target in targets],
        recorded=f"{as_of.isoformat()}T00:00:00Z",
        policy=[f"{base}/protocol/{protocol.id}|{protocol.version}"],
        activity=OutConcept(text=f"Computed by protocol {protocol.name}"),
        agent=[OutAgent(OutReference(f"Device/{DEVICE_ID}"))],
        entity=found or None,
    )


def device(base: str) -> OutDevice:
    """This software."""
    return OutDevice(
        id=DEVICE_ID,
        identifier=[OutIdentifier(f"{base}/device", DEVICE_ID)],
        device_name=[OutDeviceName("fhircryo", "model-name")],
        version=[OutVersion(__version__)],
        type=OutConcept(text="Software that computes treatment endpoints"),
    )
