"""A profile, and the StructureDefinition that states it in a release of FHIR."""

from dataclasses import dataclass

from fhircryo.publish.profiles import profile_url
from fhircryo.setup.conformance.releases import Release, base_definition
from fhircryo.setup.conformance.snapshot import snapshot
from fhircryo.setup.terminology.canonical import Resource, canonical


@dataclass(frozen=True)
class Profile:
    """A profile of a resource type.

    ``kind``: the resource type. ``elements``: the differential. ``parent``: the profile that it
    constrains further; None: HL7's definition of the type. ``abstract``: published resources state
    only profiles that constrain it further.
    """

    key: str
    kind: str
    title: str
    description: str
    elements: list[Resource]
    parent: "Profile | None" = None
    abstract: bool = False

    def snapshot(self, base: str, release: Release) -> list[Resource]:
        """The elements of its snapshot; ``base``: the base URL of our canonicals."""
        if self.parent is None:
            inherited = base_definition(self.kind, release).elements
        else:
            inherited = self.parent.snapshot(base, release)
        return snapshot(inherited, self.elements, profile_url(self.key, base))


def structure_definition(profile: Profile, base: str, release: Release) -> Resource:
    """The StructureDefinition of a profile, with snapshot and differential."""
    if profile.parent is None:
        parent = base_definition(profile.kind, release).url
    else:
        parent = profile_url(profile.parent.key, base)
    return {
        **canonical("StructureDefinition", profile.key, base, profile.title, profile.description),
        "fhirVersion": release.version,
        "kind": "resource",
        "abstract": profile.abstract,
        "type": profile.kind,
        "baseDefinition": parent,
        "derivation": "constraint",
        "snapshot": {"element": profile.snapshot(base, release)},
        "differential": {"element": profile.elements},
    }
