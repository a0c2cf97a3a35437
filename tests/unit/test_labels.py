"""The names of endpoints follow the protocol."""

from decimal import Decimal

from fhircryo.endpoints.catalogue import (
    BIOCHEMICAL_FAILURE,
    CATALOGUE,
    DISEASE_FREE,
    MAJOR_CLAVIEN,
    MAJOR_SIR,
    Endpoint,
)
from fhircryo.endpoints.labels import label
from fhircryo.endpoints.value_types import YES_NO
from fhircryo.mapping.load import load_protocol
from fhircryo.mapping.protocol import Protocol


def changed(section: str, **fields: object) -> Protocol:
    protocol = load_protocol()
    return protocol.model_copy(
        update={section: getattr(protocol, section).model_copy(update=fields)}
    )


def test_the_landmark_is_that_of_the_protocol() -> None:
    assert label(DISEASE_FREE, load_protocol()) == "Disease-free at 12 months"
    assert label(DISEASE_FREE, changed("disease_free", landmark_months=24)).endswith("24 months")


def test_thresholds_are_those_of_the_protocol() -> None:
    protocol = load_protocol()
    assert label(MAJOR_SIR, protocol) == "Complication of SIR D or worse"
    assert label(MAJOR_CLAVIEN, protocol) == "Complication of Clavien-Dindo IIIb or worse"
    assert label(MAJOR_CLAVIEN, load_protocol("oishi-2019")).endswith("IIIa or worse")
    stricter = changed("biochemical_failure", rise=Decimal("1.50"))
    assert label(BIOCHEMICAL_FAILURE, stricter) == "Biochemical failure (nadir + 1.5 ng/mL)"


def test_every_endpoint_has_a_label_and_no_two_share_one() -> None:
    labels = [label(endpoint, load_protocol()) for endpoint in CATALOGUE]
    assert all(endpoint.title for endpoint in CATALOGUE)
    assert len(set(labels)) == len(labels)
    assert not any(character in found for found in labels for character in "{}")


def test_an_endpoint_without_a_title_is_named_by_its_words() -> None:
    assert label(Endpoint("mine", "What it says", YES_NO, "after D0"), load_protocol()) == (
        "What it says"
    )
