"""One resource never stops a run, nor changes the endpoints of anybody else."""

import json
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest

from fhircryo.errors import UnreadableResource
from fhircryo.extract.extractor import extract
from fhircryo.fhir.unpack import resources
from tests.unit.inputs import (
    Resource,
    adverse_event,
    bundle,
    cli,
    compute,
    concept,
    condition,
    folder,
    line,
    lines,
    merged,
    meta,
    patient,
    procedure,
    psa,
    response,
)

LOINC, ATC = "http://loinc.org", "http://www.whocc.no/atc"
#: What stands where a hostile value goes.
HERE = "@@@"
NUMBERS = (
    *("1e28", "1e5000", "1e-99999999", "1E+999999", "1e" + "9" * 30, "0E+999999", "0e-999999"),
    *("9" * 4000, "9" * 1_000_000, "0." + "1" * 1_000_000, "3." + "0" * 1_000_000),
    *("-1", "-0.0", "1e17", "1e18", "9223372036854775808", "-9223372036854775809", "1e308"),
    *("NaN", "Infinity", "true", "null", '"5"', "[]", "{}", "0.000000000000000001", "1e-19"),
)
DATES = (
    *("0000-01-01", "0001-01-01", "9999-12-31", "0001", "9999", "9999-12", "10000-01-01"),
    *("9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00", "2016-06-01T12:00:00+99:99"),
    *("2016-02-30", "2016-06-01T25:00:00Z", "2016-06-01T12:00:00." + "9" * 100_000 + "Z"),
    *("2016-06-01" + " " * 100_000, "x" * 100_000, "", "00010101", "99991231"),
)
TEXTS = (
    *("10*999999999999/L", "{" * 50_000, "{}" * 50_000, " " * 100_000, "ng/mL" * 20_000),
    *("\x00", "\u202e\x1b]52;", "\U0010ffff", "=cmd|x", "1" * 100_000, "9" * 5000),
)


def _quantity(**more: object) -> Resource:
    return {"valueQuantity": {"value": HERE, **more}}


def _score(code: str, **value: object) -> Resource:
    made = psa("a", "2015-12-01", None)
    del made["valueQuantity"]
    return {**made, "code": concept(LOINC, code), **value}


def _with_first_answer(answer: Resource, *more: Resource) -> Resource:
    made = response("q", "2015-12-01", [3] * 5)
    made["item"][0]["answer"] = [answer]
    made["item"] += more
    return made


def _weight(name: str) -> Resource:
    extension = {"url": f"http://hl7.org/fhir/StructureDefinition/{name}", "valueDecimal": HERE}
    return _with_first_answer({"valueCoding": {"code": "x", "extension": [extension]}})


def _numbers() -> Iterator[Resource]:
    yield psa("a", "2016-06-01", HERE)
    yield psa("a", "2015-12-01", HERE)
    yield psa("a", "2016-06-01", HERE, unit="ug/dL")
    yield psa("a", "2016-06-01", 1, component=[{"code": concept(LOINC, "2857-1"), **_quantity()}])
    for code in ("80883-2", "35266-6", "94734-1"):
        yield _score(code, **_quantity())
        yield _score(code, valueInteger=HERE)
    volume = concept("http://snomed.info/sct", "1297142007")
    yield {**_score("", **_quantity(unit="mL")), "code": volume}
    clavien = concept("http://snomed.info/sct", "789279006")
    yield {**_score("", **_quantity()), "code": clavien}
    yield {**_score("", valueInteger=HERE), "code": clavien}
    for element in ("valueInteger", "valueDecimal"):
        yield _with_first_answer({element: HERE})
    yield _with_first_answer(_quantity())
    yield _weight("ordinalValue")
    yield _weight("itemWeight")
    total = {"linkId": "total", "answer": [{"valueDecimal": HERE}]}
    yield _with_first_answer({"valueInteger": 3}, total)
    yield {**_with_first_answer({}), "item": [total]}
    yield {**bundle([psa("a", "2016-06-01", HERE)]), "total": HERE}


def _dates() -> Iterator[Resource]:
    period = {"start": HERE, "end": HERE}
    yield psa("a", HERE, 1)
    yield psa("a", "2016-06-01", 1, issued=HERE, meta=meta(HERE))
    yield procedure("x2", HERE)
    yield procedure("x2", None, performedPeriod={"start": "0001-01-01", "end": "9999-12-31"})
    yield patient("p1", birthDate=HERE)
    yield patient("p1", deceasedDateTime=HERE)
    yield condition("c", HERE, recordedDate=HERE)
    yield condition("c", None, onsetPeriod=period)
    yield adverse_event("e", HERE, recordedDate=HERE)
    yield response("q", HERE, [3] * 5)
    drug = {"medicationCodeableConcept": concept(ATC, "L02AE03"), "status": "active"}
    given = psa("m", None, None)
    yield {**given, "resourceType": "MedicationStatement", **drug, "effectivePeriod": period}


def _texts() -> Iterator[Resource]:
    yield psa("a", "2016-06-01", 1, unit=HERE)
    yield _score("2857-1", valueString=f"1.0 {HERE}")
    yield _score("2857-1", valueString=f"{HERE}1.0 ng/mL")
    yield _score("35266-6", valueString=HERE)
    yield _with_first_answer({"valueString": HERE})
    yield psa("a", "2016-06-01", 1, status=HERE)
    yield psa("a", "2016-06-01", 1, meta=meta(version=HERE))
    yield psa(HERE, "2016-06-01", 1)
    yield psa("a", "2016-06-01", 1, subject={"reference": HERE})
    yield condition("c", "2016-06-01", code={"text": HERE})
    yield condition("c", "2016-06-01", code=concept(HERE, HERE))
    yield {**response("q", "2015-12-01", [3] * 5), "questionnaire": HERE}


def _hostile() -> Iterator[str]:
    for made in _numbers():
        for value in NUMBERS:
            yield json.dumps(made).replace(f'"{HERE}"', value)
    for makers, values in ((_dates, DATES), (_texts, TEXTS)):
        for made in makers():
            for value in values:
                yield json.dumps(made).replace(HERE, json.dumps(value)[1:-1])


#: Resources that are whole texts: nested deeply, cut off, of the wrong kind.
STRANGE = (
    *(b"[" * 100_000, b'{"a":' * 100_000, b"[" * 100_000 + b"]" * 100_000, b"\xff\xfe", b"\x00"),
    b'{"resourceType":"QuestionnaireResponse","id":"q","item":'
    + b'[{"linkId":"a","item":' * 400
    + b"[]"
    + b"}]" * 400
    + b"}",
    b'{"resourceType":"Bundle","entry":[{"resource":' * 300 + b"{}" + b"}]}" * 300,
    b'{"resourceType":"Observation","id":"a","contained":[' * 300 + b"]}" * 300,
    b'{"resourceType":"Parameters","parameter":[{"part":'
    + b'[{"part":' * 200
    + b"[]"
    + b"}]" * 201
    + b"}",
    b'{"resourceType":"Observation","id":"\\ud800"}',
    b'{"resourceType":"' + b"x" * 1_000_000 + b'"}',
)


def _course(of: str) -> list[Resource]:
    return [
        patient(of, birthDate="1950-01-01"),
        procedure(f"x-{of}", of=of),
        *(
            psa(f"a{n}-{of}", on, value, of=of)
            for n, (on, value) in enumerate(
                [("2015-09-01", 3), ("2015-11-01", 4), ("2016-03-01", 0.2), ("2017-01-05", 3.1)]
            )
        ),
    ]


def _sound() -> list[Resource]:
    """The patient who is looked at, and another: his source has every kind of resource."""
    grading = {**_score("", valueInteger=2), "code": concept("http://snomed.info/sct", "789279006")}
    drug = {"medicationCodeableConcept": concept(ATC, "L02AE03"), "status": "active"}
    other = {"subject": {"reference": "Patient/other"}}
    given = {**psa("m", None, None), "resourceType": "MedicationStatement", **drug}
    return [
        *_course("good"),
        *_course("other"),
        condition("c", "2016-06-01", of="other"),
        adverse_event("e", "2016-01-12", of="other"),
        {**grading, "id": "g", **other},
        {**given, **other},
    ]


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    """A sound patient, and one for every hostile value in every place."""
    content = [*map(line, _sound())]
    for number, text in enumerate(_hostile()):
        of = f"h{number}"
        content += map(line, _course(of))
        content.append(
            text.replace("Patient/p1", f"Patient/{of}")
            .replace('"id": "', f'"id": "{of}-')
            .replace(f'"id": "{of}-p1"', f'"id": "{of}"')
            .encode()
        )
    folder_of_all = tmp_path_factory.mktemp("hostile") / "in"
    return folder(folder_of_all, {"a.ndjson": b"\n".join([*content, *STRANGE]) + b"\n"})


def of_good(observations: list[Resource]) -> list[Resource]:
    return [one for one in observations if one["subject"]["reference"] == "Patient/good"]


@pytest.mark.slow
def test_others_are_computed_as_if_it_were_not_there(source, tmp_path):
    done = compute(source, tmp_path / "out")
    alone = compute(folder(tmp_path / "alone", {"a.ndjson": _sound()}), tmp_path / "one")
    answers = [
        [(one["code"], one.get("valueQuantity"), one.get("valueCodeableConcept")) for one in found]
        for found in (of_good(done.observations), of_good(alone.observations))
    ]
    assert answers[0] == answers[1]
    assert done.value("biochemical-failure", of="good") == "Y"
    assert len(done.unreadable) > len(STRANGE)
    assert {"value", "unit", "invalid-item", "no-usable-date"} <= {
        one["details"]["coding"][0]["code"] for one in done.issues
    }


@pytest.mark.slow
def test_several_processes_read_the_same(source, tmp_path):
    one, two = (
        compute(source, tmp_path / str(workers), workers=workers).files for workers in (1, 2)
    )
    assert one["Observation.ndjson"] == two["Observation.ndjson"]


@pytest.mark.slow
def test_the_cohort_the_survey_and_an_explanation_are_made(source, tmp_path):
    made = cli("cohort", source, tmp_path / "out", "--as-of", "2017-12-31", "--no-report")
    assert made.code == 4, made.err
    surveyed = cli("mappings", "survey", source)
    assert surveyed.code == 4, surveyed.err
    told = cli("explain", source, "good", "--as-of", "2017-12-31")
    assert told.code == 4, told.err
    assert "biochemical-failure: Y" in told.out


@pytest.mark.slow
def test_a_cohort_is_written_in_all_formats_whatever_the_dates(tmp_path):
    """Also where dates are not those of the record, so that the calendar may not have them."""
    content = _sound()
    for number, (made, when) in enumerate(product(_dates(), DATES[:9])):
        of = f"h{number}"
        content += _course(of)
        text = json.dumps(made).replace(HERE, when).replace("Patient/p1", f"Patient/{of}")
        text = text.replace('"id": "', f'"id": "{of}-').replace(f'"id": "{of}-p1"', f'"id": "{of}"')
        content.append(json.loads(text))
    source, out = folder(tmp_path / "in", {"a.ndjson": content}), tmp_path / "out"
    formats = "csv,parquet,redcap,omop,stata,spss"
    how = ("--by", "baseline_psa", "--measure-report", "--format", formats)
    made = cli("cohort", source, out, "--as-of", "2017-12-31", *how)
    assert made.code == 0, made.err
    assert "whose date is outside the years 1 to 9999" in made.err
    days = (out / "omop" / "observation.csv").read_text().count("1970-")
    assert days
    assert cli("review", source, tmp_path / "review", "--as-of", "2017-12-31").code == 0


@pytest.mark.parametrize(
    "value", ["1e28", "1E+999999", "1e-99999999", "-1e28", "0." + "1" * 10_000]
)
def test_a_score_beyond_measure_is_reported(value, tmp_path):
    score = json.dumps(_score("80883-2", **_quantity())).replace(f'"{HERE}"', value).encode()
    done = compute(
        folder(tmp_path / "in", {"a.ndjson": lines(procedure(), score)}), tmp_path / "out"
    )
    assert len(done.told("invalid-item")) == 1


def test_versions_of_many_digits_are_compared(tmp_path):
    """As texts of no number, by the order of reading; Python reads no number of 5,000 digits."""
    found = [psa("a", "2016-06-01", value, meta=meta(version="9" * 5000)) for value in (1, 2)]
    gone = {"request": {"method": "DELETE", "url": f"Observation/a/_history/{'9' * 5000}"}}
    deleted = {"resourceType": "Bundle", "type": "transaction", "entry": [gone]}
    done = compute(
        folder(tmp_path / "in", {"a.ndjson": [procedure(), *found, deleted]}), tmp_path / "out"
    )
    assert done.told("superseded") == [
        "Observation/a (Patient/p1): an older version of it",
        "Observation/a (Patient/p1): it was deleted later",
    ]


def test_what_functions_cannot_descend_into_is_unreadable(monkeypatch):
    """Since Python 3.12 the decoder descends more deeply than Python functions do."""

    def too_deep(*_: object) -> None:
        raise RecursionError

    monkeypatch.setattr("fhircryo.extract.extractor._EXTRACTORS", {"Observation": too_deep})
    (found,) = resources(line(psa("a", "2016-06-01", 1)), {})
    with pytest.raises(UnreadableResource, match="nested too deeply"):
        extract(found.kind, found.resource, None)  # type: ignore[arg-type]


@pytest.mark.slow
def test_who_objected_is_excluded_before_and_in_a_loop_and_at_both_ends_of_a_chain(tmp_path):
    chain = [
        patient(
            f"c{n}", link=[{"other": {"reference": f"Patient/c{n + 1}"}, "type": "replaced-by"}]
        )
        for n in range(100_000)
    ]
    loop = [merged(old, new) for old, new in (("a", "m"), ("m", "n"), ("n", "m"))]
    who = [*(procedure(f"x-{of}", of=of) for of in ("c0", "c50000", "c100000", "a", "m", "n"))]
    source = folder(tmp_path / "in", {"a.ndjson": [*chain, *loop, *who, *_course("good")]})
    for number, excluded in enumerate((("c99999", "a"), ("c0", "n"), ("c100000", "m"))):
        objected = tmp_path / "objected.txt"
        objected.write_text("\n".join(excluded))
        out = tmp_path / str(number)
        ran = cli("compute", source, out, "--as-of", "2017-12-31", "--exclude", objected)
        assert ran.code == 0, ran.err
        made = map(json.loads, (out / "Observation.ndjson").read_text().splitlines())
        assert {one["subject"]["reference"] for one in made} == {"Patient/good"}
