"""The Provenance of a patient's endpoints, and the Device that stands for this software."""

import hashlib
from collections.abc import Iterable
from functools import lru_cache

from msgspec import UNSET, structs

from fhircryo import __version__
from fhircryo.publish.observation_maker import DEVICE_ID
from fhircryo.publish.origin import Origin
from fhircryo.publish.profiles import DEVICE, PROVENANCE, profile_url
from fhircryo.publish.shapes import (
    OutAgent,
    OutConcept,
    OutDevice,
    OutDeviceName,
    OutEntity,
    OutIdentifier,
    OutMeta,
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
        meta=_meta(PROVENANCE, origin.base),
        target=[OutReference(f"Observation/{target}") for target in targets],
        recorded=f"{origin.as_of.isoformat()}T00:00:00Z",
        policy=[f"{origin.base}/protocol/{origin.protocol}|{origin.protocol_version}"],
        activity=OutConcept(text=f"Computed by protocol {origin.protocol_name}"),
        agent=[OutAgent(OutReference(f"Device/{DEVICE_ID}"))],
        entity=found or None,
    )


def in_r5(stated: OutProvenance, patient: OutReference | None) -> OutProvenance:
    """A Provenance in the form of R5, which says when it happened and of which patient it is.

    Source: https://hl7.org/fhir/R5/provenance.html
    """
    return structs.replace(stated, occurred_date_time=stated.recorded, patient=patient)


def provenance_id(targets: Iterable[str], contents: bytes) -> str:
    """The id of the Provenance of some targets (their identifiers) with their JSON.

    The same targets with the same contents give the same id, so that a request that is repeated
    does not create a second Provenance.
    """
    digest = hashlib.blake2b("\x1f".join(targets).encode() + b"\x1e", digest_size=16)
    digest.update(contents)
    return f"p{digest.hexdigest()}"


def device(base: str, *, r5: bool = False) -> OutDevice:
    """The Device that stands for this version of the software, in the form of R4 or of R5.

    Source: https://hl7.org/fhir/R4/device.html, https://hl7.org/fhir/R5/device.html
    """
    kind = OutConcept(text="Software that computes treatment endpoints")
    made = OutDevice(
        id=DEVICE_ID,
        meta=_meta(DEVICE, base),
        identifier=[OutIdentifier(f"{base}/device", DEVICE_ID)],
        version=[OutVersion(__version__)],
        type=[kind] if r5 else kind,
    )
    if r5:
        # https://hl7.org/fhir/R5/codesystem-device-nametype.html knows no name of a model.
        made.name = [OutDeviceName(value="fhircryo", type="user-friendly-name")]
    else:
        made.device_name = [OutDeviceName(name="fhircryo", type="model-name")]
    return made


@lru_cache
def _meta(profile: str, base: str) -> OutMeta:
    return OutMeta([profile_url(profile, base)])
