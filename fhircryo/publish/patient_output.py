"""The resources that are published of one patient, and their form in a folder."""

import msgspec

from fhircryo.publish.provenance import provenance_id
from fhircryo.publish.shapes import ENCODER, OutObservation, OutProvenance


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


def folder_lines(output: PatientOutput) -> tuple[bytes, bytes]:
    """The Observations and the Provenance of a patient as lines of NDJSON."""
    observations = ENCODER.encode_lines(output.observations)
    provenance = msgspec.structs.replace(
        output.provenance, id=provenance_id(output.identifiers(), observations)
    )
    return observations, ENCODER.encode(provenance) + b"\n"
