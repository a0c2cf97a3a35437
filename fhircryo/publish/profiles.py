"""The profiles that published resources state in ``meta.profile``.

What they constrain is made by ``setup/conformance``. Their URLs carry no version: a new version of
this program does not change what published endpoints say.
"""

from fhircryo.endpoints.value_types import ValueType

#: The key of the profile that all endpoints have in common, and of those of the other resources.
ENDPOINT, PROVENANCE, DEVICE = "endpoint", "endpoint-provenance", "endpoint-software"


def profile_key(value_type: ValueType) -> str:
    """The key of the profile of the endpoints that have a type of value."""
    return f"{ENDPOINT}-{value_type.key}"


def profile_url(key: str, base: str) -> str:
    """The canonical URL of a profile."""
    return f"{base}/StructureDefinition/{key}"
