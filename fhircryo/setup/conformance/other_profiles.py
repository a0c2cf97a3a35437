"""The profiles of what is published beside endpoints: the Provenance and the Device."""

from collections.abc import Iterator

from fhircryo.publish.profiles import DEVICE, PROVENANCE
from fhircryo.setup.conformance.elements import element, references, types
from fhircryo.setup.conformance.profile import Profile
from fhircryo.setup.conformance.releases import Release
from fhircryo.setup.terminology.canonical import Resource


def other_profiles(base: str, release: Release) -> list[Profile]:
    """The profiles of Provenance and Device, whose elements differ between R4 and R5."""
    return [
        Profile(
            PROVENANCE,
            "Provenance",
            "Provenance of endpoints",
            "How the endpoints of one patient were computed, and from what else than Observations"
            " and QuestionnaireResponses",
            list(_provenance(release)),
        ),
        Profile(
            DEVICE,
            "Device",
            "Software that computes endpoints",
            "The program fhircryo in a version, which published endpoints name as their device",
            list(_device(base, release)),
        ),
    ]


def _provenance(release: Release) -> Iterator[Resource]:
    kind = "Provenance"
    yield element(kind, "How the endpoints of one patient were computed")
    yield element(f"{kind}.target", "The endpoints", type=references("Observation"))
    if release is Release.R5:
        yield element(
            f"{kind}.occurred[x]", "When they were written", min=1, type=types("dateTime")
        )
    yield element(f"{kind}.recorded", "When they were written; the cut-off date in a folder", min=1)
    yield element(f"{kind}.policy", "The protocol and its version", min=1, max="1")
    yield element(f"{kind}.activity", "What was done, as text", min=1)
    if release is Release.R5:
        yield element(f"{kind}.patient", "The patient", type=references("Patient"))
    yield element(f"{kind}.agent", "The software", max="1")
    yield element(f"{kind}.agent.who", "The Device, or its name", type=references("Device"))
    yield element(f"{kind}.entity.role", "All are sources", patternCode="source")


def _device(base: str, release: Release) -> Iterator[Resource]:
    kind = "Device"
    yield element(kind, "The program fhircryo in a version")
    yield element(
        f"{kind}.identifier",
        "The same in every version",
        min=1,
        patternIdentifier={"system": f"{base}/device"},
    )
    name = "deviceName" if release is Release.R4 else "name"
    yield element(f"{kind}.{name}", "The name of the program", min=1)
    yield element(f"{kind}.type", "What it does, as text", min=1)
    yield element(f"{kind}.version", "The version of the program", min=1, max="1")
