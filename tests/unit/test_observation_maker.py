"""The Observation of a single result: intervals, limits, components and names."""

import json
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from fhircryo.calendar import Span
from fhircryo.endpoints.catalogue import (
    CATALOGUE,
    DISEASE_FREE,
    DISEASE_FREE_SURVIVAL,
    MAJOR_SIR,
    PROM_SCORE,
    PSA_NADIR,
    TIME_TO_SALVAGE_THERAPY,
)
from fhircryo.endpoints.result import (
    Absent,
    ComponentKey,
    Evidence,
    Reason,
    Result,
    ResultComponent,
    Role,
    absent,
)
from fhircryo.mapping.load import load_mappings, load_protocol
from fhircryo.publish.as_on_server import digest, value_of
from fhircryo.publish.folder_output import FolderOutputMaker
from fhircryo.publish.observation_maker import YES_NO, ObservationMaker, references
from fhircryo.publish.origin import Origin
from fhircryo.publish.shapes import DECODER, ENCODER, OBSERVATION_DECODER, plain
from fhircryo.publish.validate import validate

BASE = "https://w3id.org/fhircryo"
URL = "https://fhir.example/r4"
D0 = date(2016, 1, 10)


def made(*results: Result, protocol: str = "bomers-2020") -> list[dict[str, Any]]:
    """The Observations of some results as JSON; each is checked, and decoded and encoded again."""
    chosen = load_protocol(protocol)
    origin = Origin(BASE, "", chosen.id, chosen.version, date(2017, 12, 31))
    maker = ObservationMaker(load_mappings(), chosen, origin)
    found = []
    observations = maker.make(list(results), "Patient/p1", "Procedure/x1")
    output = FolderOutputMaker(maker, origin)
    folder = output.make(list(results), "Patient/p1", "Procedure/x1", "", [])
    assert folder.observation_lines == ENCODER.encode_lines(observations)
    for observation in observations:
        line = ENCODER.encode(observation)
        assert ENCODER.encode(OBSERVATION_DECODER.decode(line)) == line
        assert plain(observation) == DECODER.decode(line)
        content = json.loads(line, parse_float=Decimal)
        validate(json.loads(line))
        found.append(content)
    return found


def one(result: Result) -> dict[str, Any]:
    (found,) = made(result)
    return found


def time(value: int, high: int | None = None, *, event: bool = True) -> Result:
    component = ResultComponent(ComponentKey.EVENT, event)
    return Result(
        DISEASE_FREE_SURVIVAL,
        D0,
        None,
        final=False,
        period=True,
        value=value,
        high=high,
        components=(component,),
    )


def nadir(value: str, comparator: str = "", *parts: ResultComponent) -> Result:
    day = date(2016, 5, 10)
    return Result(
        PSA_NADIR,
        day,
        day,
        final=False,
        value=Decimal(value),
        comparator=comparator,
        components=parts,
    )


def part(observation: dict[str, Any], code: str) -> dict[str, Any]:
    (found,) = (
        component
        for component in observation["component"]
        if component["code"]["coding"] == [{"system": f"{BASE}/CodeSystem/component", "code": code}]
    )
    return found


DAYS = {"unit": "d", "system": "http://unitsofmeasure.org", "code": "d"}
MASS = {"unit": "ng/mL", "system": "http://unitsofmeasure.org", "code": "ng/mL"}


def test_a_time_known_only_as_an_interval_is_a_range():
    found = one(time(143, 235))
    assert found["valueRange"] == {"low": {"value": 143, **DAYS}, "high": {"value": 235, **DAYS}}
    assert "valueQuantity" not in found
    assert part(found, "event")["valueCodeableConcept"]["coding"][0]["code"] == "Y"
    assert value_of(found) == "143..235 d, event 2016-01-10.. [preliminary]"


def test_a_time_known_to_the_day_is_a_quantity():
    found = one(time(143, event=False))
    assert found["valueQuantity"] == {"value": 143, **DAYS}
    assert "valueRange" not in found
    assert value_of(found) == "143 d, censored 2016-01-10.. [preliminary]"


@pytest.mark.parametrize("comparator", ["<", "<="])
def test_a_limit_has_its_comparator(comparator):
    limit = ResultComponent(ComponentKey.NADIR, Decimal("2.4"), comparator)
    found = one(nadir("2.4", comparator, limit))
    assert found["valueQuantity"] == {"value": Decimal("2.4"), "comparator": comparator, **MASS}
    assert part(found, "nadir")["valueQuantity"]["comparator"] == comparator
    assert value_of(found).startswith(f"{comparator}2.4 ng/mL 2016-05-10")


def test_a_number_has_no_comparator():
    assert "comparator" not in one(nadir("2.4"))["valueQuantity"]


def test_the_components_of_version_2():
    found = one(
        nadir(
            "0.4",
            "",
            ResultComponent(ComponentKey.PSA_RESPONSE, True),
            ResultComponent(ComponentKey.DAYS_TO_NADIR, 121),
            ResultComponent(ComponentKey.HORMONE_THERAPY_AT_INDEX, True),
            ResultComponent(ComponentKey.SALVAGE_THERAPY, Span(date(2016, 7, 1), date(2016, 7, 9))),
        )
    )
    yes = {"coding": [{"system": YES_NO, "code": "Y", "display": "Yes"}]}
    assert part(found, "psa-response")["valueCodeableConcept"] == yes
    assert part(found, "days-to-nadir")["valueQuantity"] == {"value": 121, **DAYS}
    assert part(found, "hormone-therapy-at-index")["valueCodeableConcept"] == yes
    assert part(found, "salvage-therapy")["valuePeriod"]["end"] == "2016-07-09"


def test_a_mark_of_an_instrument_is_a_component():
    day = date(2016, 1, 9)
    found = one(
        Result(
            PROM_SCORE,
            day,
            day,
            final=True,
            value=Fraction(7),
            instrument="iief-5",
            time_point="baseline",
            components=(
                ResultComponent(ComponentKey.TIME_POINT, "baseline"),
                ResultComponent("no-intercourse", True),
            ),
        )
    )
    assert part(found, "no-intercourse")["valueCodeableConcept"]["coding"][0]["code"] == "Y"
    assert found["code"]["text"] == "Questionnaire score: IIEF-5 (SHIM), erectile function"


def test_protocol_and_version_are_named_and_names_follow_the_protocol():
    results = [
        Result(endpoint, D0, D0, final=True, value=True) for endpoint in (DISEASE_FREE, MAJOR_SIR)
    ]
    first, second = made(*results)
    assert first["method"] == {"text": "bomers-2020 2.0"}
    assert first["code"]["coding"][0]["code"] == "disease-free-12-months"
    assert first["code"]["text"] == "Disease-free at 12 months"
    assert second["code"]["text"] == "Complication of SIR D or worse"


@pytest.mark.slow
@pytest.mark.parametrize("reason", Reason)
def test_every_reason_can_be_published(reason):
    period = (D0, None)
    found = one(absent(TIME_TO_SALVAGE_THERAPY, period, Absent.UNKNOWN, reason))
    assert found["dataAbsentReason"]["coding"][1]["code"] == reason


def test_every_endpoint_of_a_time_can_be_an_interval():
    for endpoint in CATALOGUE:
        if endpoint.value_type.is_time_to_event:
            found = one(Result(endpoint, D0, D0, final=False, value=1, high=2, period=True))
            assert found["valueRange"]["high"]["value"] == 2


def test_evidence_inside_another_resource_is_referred_to_by_that_resource():
    result = nadir("0.4")
    result.evidence = (
        Evidence(Role.NADIR, "Observation/panel#psa"),
        Evidence(Role.FAILING_PSA, "Observation/panel"),
        Evidence(Role.CLEAR_PSA, "DiagnosticReport/r#a"),
    )
    assert one(result)["derivedFrom"] == [{"reference": "Observation/panel"}]
    assert references(result) == ["DiagnosticReport/r"]


# ------------------------------------------------------------------ compared with a target


def test_the_order_of_components_and_evidence_is_no_change():
    response = ResultComponent(ComponentKey.PSA_RESPONSE, True)
    days = ResultComponent(ComponentKey.DAYS_TO_NADIR, 121)
    first, second = one(nadir("0.4", "", response, days)), one(nadir("0.4", "", days, response))
    assert first != second
    assert digest(first, URL) == digest(second, URL)
    assert digest(
        first | {"derivedFrom": [{"reference": "Observation/a"}, {"reference": "Observation/b"}]},
        URL,
    ) == digest(
        first
        | {"derivedFrom": [{"reference": "Observation/b"}, {"reference": f"{URL}/Observation/a"}]},
        URL,
    )


@pytest.mark.slow
def test_intervals_comparators_and_new_components_are_changes():
    response = ResultComponent(ComponentKey.PSA_RESPONSE, True)
    different = [
        one(time(143)),
        one(time(143, 235)),
        one(time(143, 236)),
        one(time(235)),
        one(nadir("2.4")),
        one(nadir("2.4", "<")),
        one(nadir("2.4", "<=")),
        one(nadir("2.4", "", response)),
        one(nadir("2.4", "", ResultComponent(ComponentKey.PSA_RESPONSE, False))),
        one(nadir("2.4", "", ResultComponent(ComponentKey.NADIR, Decimal("2.4")))),
        one(nadir("2.4", "", ResultComponent(ComponentKey.NADIR, Decimal("2.4"), "<"))),
    ]
    assert len({digest(observation, URL) for observation in different}) == len(different)


def test_how_a_server_spells_an_interval_is_no_change():
    found = one(time(143, 235))
    text = json.dumps(found, default=float).replace("235", "235.0")
    spelled = json.loads(text, parse_float=Decimal)
    assert digest(spelled, URL) == digest(found, URL)
