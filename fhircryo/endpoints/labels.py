"""The names of endpoints for people, as a protocol defines them."""

from fhircryo.endpoints.catalogue import Endpoint
from fhircryo.mapping.protocol import Protocol


def label(endpoint: Endpoint, protocol: Protocol) -> str:
    """The name of an endpoint under a protocol, with the protocol's thresholds and times.

    For example "Disease-free at 24 months" where the landmark is 24 months, or "Complication of
    SIR D or worse". An endpoint without a title is named by its words.
    """
    title = endpoint.title.format(
        landmark=protocol.disease_free.landmark_months,
        rise=f"{protocol.biochemical_failure.rise.normalize():f}",
        major=protocol.complications.major.get(endpoint.scale, ""),
    )
    return title or endpoint.words
