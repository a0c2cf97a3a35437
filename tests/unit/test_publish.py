"""What is published: shapes, numbers, identifiers, order, Provenance."""

import json
import re
from collections import Counter
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhircryo.endpoints.catalogue import CATALOGUE
from fhircryo.mapping.load import load_mappings, load_protocol
from fhircryo.publish.shapes import number
from fhircryo.publish.validate import InvalidShape, validate_line
from fhircryo.runs.in_memory import compute_resources
from fhircryo.settings import Settings
from tests.unit.inputs import (
    AS_OF,
    BASE,
    COHORT,
    Computed,
    adverse_event,
    compute,
    condition,
    folder,
    lines,
    patient,
    procedure,
    psa,
    response,
    value,
)

PUBLISHED = ("Observation.ndjson", "Provenance.ndjson", "Device.ndjson")


@pytest.fixture(scope="module")
def cohort(tmp_path_factory) -> Computed:
    return compute(COHORT, tmp_path_factory.mktemp("cohort") / "out")


def test_every_published_shape_is_r4b(cohort):
    for name in (*PUBLISHED, "issues.ndjson"):
        content = cohort.files[name]
        assert content.endswith(b"\n")
        for line in content.splitlines():
            validate_line(line)


def test_invalid_shapes_are_refused():
    good = {"resourceType": "Observation", "status": "final", "code": {"text": "x"}}
    validate_line(json.dumps(good).encode())
    for bad in ({"status": 5}, {"valueQuantity": []}, {"subjekt": {}}, {"issued": "2016"}):
        with pytest.raises(InvalidShape):
            validate_line(json.dumps({**good, **bad}).encode())


def test_every_observation_has_what_the_design_says(cohort):
    absent = {"unknown", "temp-unknown", "not-applicable"}
    for observation in cohort.observations:
        assert observation["id"] == observation["identifier"][0]["value"]
        assert re.fullmatch(r"e[0-9a-f]{32}", observation["id"])
        assert [part["system"] for part in observation["identifier"]] == [f"{BASE}/endpoint"]
        assert observation["status"] in ("final", "preliminary")
        (profile,) = observation["meta"].pop("profile")
        assert profile.startswith(f"{BASE}/StructureDefinition/endpoint-")
        assert observation["meta"] == {
            "tag": [{"system": f"{BASE}/CodeSystem/tag", "code": "research-use"}]
        }
        codes = [c["code"] for category in observation["category"] for c in category["coding"]]
        key = observation["code"]["coding"][0]["code"]
        assert observation["code"]["coding"][0]["system"] == f"{BASE}/CodeSystem/endpoint"
        assert codes == ["derived-endpoint", *(["survey"] if key.startswith("prom-") else [])]
        assert observation["subject"]["reference"].startswith("Patient/")
        assert [ref["reference"].split("/")[0] for ref in observation["partOf"]] == ["Procedure"]
        assert observation["device"] == {"reference": "Device/fhircryo"}
        assert observation["method"] == {"text": "bomers-2020 2.0"}
        assert ("effectiveDateTime" in observation) != ("effectivePeriod" in observation)
        assert "issued" not in observation
        values = [
            name for name in observation if name.startswith("value") or name == "dataAbsentReason"
        ]
        assert len(values) == 1
        if "dataAbsentReason" in observation:
            first, ours = observation["dataAbsentReason"]["coding"]
            assert first["code"] in absent
            assert ours["system"] == f"{BASE}/CodeSystem/reason"
        for ref in observation.get("derivedFrom", []):
            assert ref["reference"].split("/")[0] in ("Observation", "QuestionnaireResponse")


def test_every_key_of_the_catalogue_is_published_with_its_time_points(cohort):
    keys = Counter(observation["code"]["coding"][0]["code"] for observation in cohort.observations)
    for entry in CATALOGUE:
        if not entry.key.startswith("prom-"):
            assert keys[entry.key] == 62, entry.key
    for observation in cohort.observations:
        if observation["code"]["coding"][0]["code"].startswith("prom-"):
            assert "time-point" in [
                p["code"]["coding"][0]["code"] for p in observation["component"]
            ]


def test_evidence_is_in_the_input(cohort):
    import gzip

    there = set()
    for file in COHORT.iterdir():
        if file.suffix in (".ndjson", ".gz", ".json"):
            text = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
            there |= _refs(json.loads(text)) if file.suffix == ".json" else set()
            if file.suffix != ".json":
                there |= {ref for line in text.splitlines() for ref in _refs(json.loads(line))}
    for observation in cohort.observations:
        refs = [
            ref["reference"]
            for ref in [*observation.get("derivedFrom", []), *observation["partOf"]]
        ]
        assert set(refs) <= there
        assert len(set(refs)) == len(refs)


def _refs(resource: dict) -> set[str]:
    if resource["resourceType"] == "Bundle":
        return {ref for entry in resource["entry"] for ref in _refs(entry["resource"])}
    return {f"{resource['resourceType']}/{resource['id']}"}


def test_no_psa_code_is_published(cohort):
    concepts = load_mappings().concepts
    codes = [
        c.code
        for key in ("psa", "psa-not-convertible", "psa-excluded")
        for c in concepts[key].codes
    ]
    for name in PUBLISHED:
        text = cohort.files[name].decode()
        assert "loinc.org" not in text
        for code in codes:
            assert f'"{code}"' not in text


def test_lines_are_sorted(cohort):
    order = [entry.key for entry in CATALOGUE]
    points = ["", "baseline", "6-months", "12-months"]

    def place(observation: dict) -> tuple:
        key = observation["code"]["coding"][0]["code"]
        rank = order.index("-".join(key.split("-")[:2]) if key.startswith("prom-") else key)
        named = [
            part["valueCodeableConcept"]["coding"][0]["code"]
            for part in observation.get("component", [])
            if part["code"]["coding"][0]["code"] == "time-point"
        ]
        return (
            observation["subject"]["reference"],
            observation["partOf"][0]["reference"],
            rank,
            named,
        )

    places = [place(observation) for observation in cohort.observations]
    assert [observation[:3] for observation in places] == sorted(
        observation[:3] for observation in places
    )
    by_code: dict[tuple[str, str], list[int]] = {}
    for where, observation in zip(places, cohort.observations, strict=True):
        if where[3]:
            code = observation["code"]["coding"][0]["code"]
            by_code.setdefault((where[0], code), []).append(points.index(where[3][0]))
    for found in by_code.values():
        assert found == sorted(set(found))
    assert len({observation["id"] for observation in cohort.observations}) == len(
        cohort.observations
    )


def test_provenance_is_complete(cohort):
    sources = [json.loads(resource) for resource in cohort.files["Provenance.ndjson"].splitlines()]
    assert len(sources) == 62
    subject = {resource["id"]: resource["subject"]["reference"] for resource in cohort.observations}
    targets = [ref["reference"].split("/") for resource in sources for ref in resource["target"]]
    assert sorted(target for _, target in targets) == sorted(subject)
    assert {kind for kind, _ in targets} == {"Observation"}
    (device,) = [json.loads(resource) for resource in cohort.files["Device.ndjson"].splitlines()]
    for resource in sources:
        assert len({subject[ref["reference"].split("/")[1]] for ref in resource["target"]}) == 1
        assert resource["recorded"] == "2017-12-31T00:00:00Z"
        assert [agent["who"]["reference"] for agent in resource["agent"]] == [
            f"Device/{device['id']}"
        ]
        assert any("bomers-2020" in policy for policy in resource["policy"])
        kinds = Counter(part["what"]["reference"].split("/")[0] for part in resource["entity"])
        assert kinds["Procedure"] >= 1
        assert not kinds.keys() & {"Observation", "QuestionnaireResponse"}
    assert len({resource["id"] for resource in sources}) == 62


def test_provenance_names_conditions_adverse_events_and_the_patient_s_death():
    resources = [
        patient("p1", deceasedDateTime="2017-03-01"),
        procedure(),
        procedure("x2", "2016-01-11"),
        psa("a", "2016-05-01", 1),
        condition("c", "2016-06-01"),
        adverse_event("e", "2016-02-01"),
    ]
    (source,) = compute_resources(resources, as_of=AS_OF).provenances
    named = {part["what"]["reference"] for part in source["entity"]}
    assert {"Procedure/x1", "Procedure/x2", "Condition/c", "AdverseEvent/e"} <= named


def test_a_provenance_changes_with_what_it_is_about():
    first, same, other = (
        compute_resources([procedure(), psa("a", "2016-05-01", amount)], as_of=AS_OF).provenances[0]
        for amount in (1, 1, 2)
    )
    assert first == same
    assert first["id"] != other["id"]
    assert first["target"] == other["target"]


# ------------------------------------------------------------------ identifiers


def _ids(**changes) -> dict[str, str]:
    settings = Settings(**changes.pop("settings", {}))
    resources = changes.pop("resources", [procedure(), psa("a", "2016-05-01", 1)])
    done = compute_resources(resources, as_of=AS_OF, settings=settings, **changes)
    return {
        observation["code"]["coding"][0]["code"]: observation["id"]
        for observation in done.observations
    }


#: These identifiers stand on servers: they do not change from version to version.
IDENTIFIERS = {
    "technical-success": "ec28522ac3b78f13a38f70cb2aced0480",
    "psa-nadir": "e95a7716f91e93041bcfafc008dd407d6",
    "biochemical-failure": "e56f0e7716fcb0340287aba5e9208bf5c",
    "time-to-biochemical-failure": "eac693ba3b59b5f8f3bae75830398c984",
    "local-recurrence": "ea8fdd94e4b202f21e1a32ba7d92c037e",
    "metastasis": "ea1b9d98160142c4d80db3ff92f3acfde",
    "disease-free-12-months": "e52690d213554260e0ef0245ec870ab08",
    "disease-free-survival": "eba578ccddeabf35059d096354d66ad4b",
    "metastasis-free-survival": "e4faa10542eaa698cfa58b74faa8aa3da",
    "failure-free-survival": "e9f702cbf48b61d9cc5ad99d577174e84",
    "time-to-salvage-therapy": "e85c4e6c3e8aff3f58b79c66fb1b3ad81",
    "overall-survival": "e0b8bcf7a7e65abd544a962641fa37bc7",
    "cancer-specific-survival": "eb6714c7177eff204f23e5c0eb5b7e83a",
    "adverse-event-count": "e4664af20d16c6e0f316a6299d2e03b3b",
    "worst-clavien-dindo": "edda50d183564437c269103e842fa755b",
    "worst-sir": "ea19807b36a6953f79ea35b343f48b8da",
    "worst-ctcae": "ec24be396bc51e533c8e55c47a613b543",
    "major-complication-clavien": "e020d4cafe6659faf63e060b561d6f6c7",
    "major-complication-sir": "e57a6fe694982ad4a1e7b0e4cca5e6f06",
}


@pytest.fixture(scope="module")
def identifiers() -> dict[str, str]:
    return _ids()


@pytest.mark.parametrize("key", IDENTIFIERS)
def test_an_identifier_is_stable(key, identifiers):
    assert identifiers[key] == IDENTIFIERS[key]


def test_identifiers_depend_on_source_subject_index_endpoint_and_protocol_alone():
    plain = _ids()
    assert len(set(plain.values())) == len(plain)
    result = psa("a", "2016-05-01", 1)
    from fhircryo.mapping.load import find_protocol
    from fhircryo.mapping.yamlfile import read_yaml

    content = read_yaml(find_protocol("bomers-2020"))
    others = [
        _ids(settings={"source_name": "north"}),
        _ids(settings={"source_name": "south"}),
        _ids(resources=[procedure(of="p2"), psa("a", "2016-05-01", 1, of="p2")]),
        _ids(resources=[procedure("x2"), result]),
        _ids(protocol=load_protocol({**content, "id": "ours"})),
    ]
    for other in others:
        assert other.keys() == plain.keys()
    everything = [name for ids in [plain, *others] for name in ids.values()]
    assert len(set(everything)) == len(everything)
    same = [
        _ids(resources=[procedure(), psa("b", "2016-06-01", 7)]),
        _ids(resources=[procedure(on="2015-01-10"), result]),
        _ids(settings={"timezone": "Europe/Amsterdam"}),
        _ids(settings={"complete_types": ("Condition",)}),
        _ids(protocol=load_protocol({**content, "version": "1.1"})),
    ]
    for ids in same:
        assert ids == plain


def test_identifiers_of_names_that_run_together_differ():
    """A subject and an index whose texts are the same when joined give different identifiers."""
    first = _ids(resources=[procedure("bProcedure", of="a")], settings={"source_name": "x"})
    second = _ids(resources=[procedure("b", of="a")], settings={"source_name": "xPatient"})
    assert set(first.values()).isdisjoint(second.values())


# ------------------------------------------------------------------ numbers


@pytest.mark.parametrize(
    ("given_", "expected"),
    [
        (5, "5"),
        (0, "0"),
        (Decimal("5"), "5"),
        (Decimal("5.0"), "5"),
        (Decimal("5.10"), "5.1"),
        (Decimal("0.40"), "0.4"),
        (Decimal("100"), "100"),
        (Decimal("1E+2"), "100"),
        (Decimal("0.00"), "0"),
        (Decimal("-0.0"), "0"),
        (Decimal("0.005"), "0.005"),
        (Decimal("12.345678"), "12.345678"),
        (Decimal("1234567.50"), "1234567.5"),
        (Fraction(250, 3), "83.33"),
        (Fraction(200, 3), "66.67"),
        (Fraction(175, 3), "58.33"),
        (Fraction(1, 2), "0.5"),
        (Fraction(7, 7), "1"),
        (Fraction(1, 8), "0.13"),
        (Fraction(1, 200), "0.01"),
        (Fraction(1, 201), "0"),
        (Fraction(-1, 200), "-0.01"),
        (Fraction(-1, 201), "0"),
        (Fraction(-25, 3), "-8.33"),
        (Fraction(-1, 8), "-0.13"),
        (Fraction(199, 200), "1"),
        (Fraction(1999, 200), "10"),
        (Fraction(5, 1000), "0.01"),
        (Fraction(10049, 1000), "10.05"),
    ],
)
def test_numbers(given_, expected):
    assert str(number(given_)) == expected


@given(st.fractions(-100, 100, max_denominator=999))
def test_scores_are_rounded_half_up(exact):
    """Halves are rounded away from zero, as the decimal module does with 60 exact digits."""
    from decimal import localcontext

    with localcontext() as arithmetic:
        arithmetic.prec = 60
        divided = Decimal(exact.numerator) / exact.denominator
        expected = divided.quantize(Decimal("0.01"), ROUND_HALF_UP)
    made = number(exact)
    assert made == expected
    assert not re.search(r"\.\d*0$|[eE]", str(made))


@given(st.decimals(0, 10**9, allow_nan=False, places=6))
def test_decimals_keep_their_value_and_lose_their_zeros(exact):
    made = number(exact)
    assert made == exact
    assert not re.search(r"\.\d*0$", str(made))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.000001", "0.000001"),
        ("1e-6", "0.000001"),
        ("4.0E-1", "0.4"),
        ("1.20e1", "12"),
        ("3E+2", "300"),
        ("0.40", "0.4"),
        ("10", "10"),
        ("10.00", "10"),
    ],
)
def test_values_are_published_plainly_however_they_are_written(text, expected, tmp_path):
    result = json.dumps(psa("a", "2016-05-01", 1)).replace('"value": 1', f'"value": {text}')
    source = folder(tmp_path / "in", {"a.ndjson": lines(procedure(), result)})
    content = compute(source, tmp_path / "out").files["Observation.ndjson"].decode()
    assert re.findall(r'"valueQuantity":\{"value":([^,}]+)', content)[:1] == [expected]


def test_a_long_value_is_published_whole():
    """FHIR asks for 18 digits of precision, and a conversion may add three."""
    result = psa("a", "2016-05-01", Decimal("123456789.123456789"), unit="ng/L")
    done = compute_resources([procedure(), result], as_of=AS_OF)
    (nadir,) = [o for o in done.observations if o["code"]["coding"][0]["code"] == "psa-nadir"]
    assert Decimal(nadir["valueQuantity"]["value"]) == Decimal("123456.789123456789")


def test_published_numbers_have_no_trailing_zeros(cohort):
    content = cohort.files["Observation.ndjson"].decode()
    numbers = re.findall(r'"value(?:Integer)?":(-?[0-9][^,}\]]*)', content)
    assert len(numbers) > 500
    for text in numbers:
        assert re.fullmatch(r"-?(0|[1-9][0-9]*)(\.[0-9]*[1-9])?", text), text


def test_changes_are_taken_before_rounding():
    """66.666... - 58.333... is 8.33; with rounded scores it would be 8.34."""

    def quality(name: str, on: str, first: int, second: int) -> dict:
        items = [
            {"linkId": link, "answer": [{"valueInteger": answer}]}
            for link, answer in (("q29", first), ("q30", second))
        ]
        questionnaire = f"{BASE}/Questionnaire/qlq-c30-ql2"
        return response(name, on, [], questionnaire=questionnaire, item=items)

    resources = [procedure(), quality("a", "2016-01-05", 5, 4), quality("b", "2016-07-10", 5, 5)]
    done = compute_resources(resources, as_of=date(2016, 12, 31))
    assert value(done.observations, "prom-change-qlq-c30-ql2") == 8.33


def test_a_run_with_validate_writes_the_same(tmp_path):
    source = folder(tmp_path / "in", {"a.ndjson": [procedure(), psa("a", "2016-05-01", 1)]})
    plain = compute(source, tmp_path / "out")
    assert compute(source, tmp_path / "out2", validate=True).files == plain.files


def test_whatever_ids_people_give_the_lines_are_valid_json(tmp_path):
    """Real systems have ids that FHIR does not allow."""
    odd = ['a"b', "a\\b", "a b", "\u00fc", "\u2028", "a|b", "<a>", "x" * 200]
    resources = [procedure(f"x{n}", of=f"p{name}") for n, name in enumerate(odd)]
    source = folder(tmp_path / "in", {"a.ndjson": resources})
    done = compute(source, tmp_path / "out")
    assert done.summary.cohort == sum("/" not in name and "?" not in name for name in odd)
    assert len(done.observations) == done.summary.observations
