"""The resources that are published of one patient."""

import msgspec

from fhircryo.publish.shapes import OutObservation, OutProvenance


class PatientOutput(msgspec.Struct):
    """The resources of one patient, either in the form of a folder or in that of a server.

    ``patient``: the patient's id in the source. ``provenance``: without the id, which is a hash of
    what is written.
    """

    patient: str
    observations: list[OutObservation]
    provenance: OutProvenance

    def identifiers(self) -> list[str]:
        """The identifiers of the patient's endpoints."""
        return [identifier_of(observation) for observation in self.observations]


def identifier_of(observation: OutObservation) -> str:
    """The identifier of an endpoint, which is the same in a folder and on every server."""
    return observation.identifier[0].value
