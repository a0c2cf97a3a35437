"""The example cohort in the shape of FHIR R5 has the endpoints that it has in R4."""

import gzip
import json
from decimal import Decimal

import pytest
from fhir.resources import get_fhir_model_class

from fhircryo.runs.in_memory import Outcome, compute_resources
from tests.acceptance.paper_table import AS_OF, FOLDER
from tests.acceptance.r5_shape import Resource, as_r5

#: Types whose elements differ between the two releases.
CHANGED = {
    "Procedure",
    "AdverseEvent",
    "MedicationRequest",
    "MedicationStatement",
    "MedicationAdministration",
}


def resources() -> list[Resource]:
    """All resources of the example, in the order in which a run reads the files."""
    found: list[Resource] = []
    for path in sorted(FOLDER.glob("*.ndjson*")):
        text = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        found += [json.loads(line, parse_float=Decimal) for line in text.splitlines() if line]
    for path in sorted(FOLDER.glob("*.json")):
        found.append(json.loads(path.read_text("utf-8"), parse_float=Decimal))
    return found


def compute(given: list[Resource]) -> Outcome:
    return compute_resources(given, as_of=AS_OF)


@pytest.fixture(scope="module")
def in_r5() -> list[Resource]:
    return [as_r5(resource) for resource in resources()]


def test_r4_and_r5_give_the_same_endpoints(in_r5: list[Resource]) -> None:
    one, other = compute(resources()), compute(in_r5)
    assert len(one.observations) > 62 * 15
    assert one.observations == other.observations
    assert one.issues == other.issues


@pytest.mark.parametrize("kind", sorted(CHANGED))
def test_the_shape_is_that_of_r5(in_r5: list[Resource], kind: str) -> None:
    """So that the comparison above reads what R5 prescribes: its models accept the resources."""
    of_kind = [one for one in in_r5 if one["resourceType"] == kind]
    assert of_kind, f"the example holds no {kind}"
    model = get_fhir_model_class(kind)
    for one in of_kind[:20]:
        model.model_validate_json(json.dumps(one, default=float))


def test_the_models_tell_r4_from_r5() -> None:
    procedure = next(one for one in resources() if one["resourceType"] == "Procedure")
    with pytest.raises(ValueError, match="performed"):
        get_fhir_model_class("Procedure").model_validate_json(json.dumps(procedure, default=float))
