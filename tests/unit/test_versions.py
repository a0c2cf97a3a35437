"""Which version of a resource counts, whose it is, and what is never read."""

import itertools
import shutil
from datetime import date

import pytest

from fhircryo.record.patients import Selection
from fhircryo.runs.in_memory import compute_resources
from fhircryo.settings import Settings
from tests.unit.inputs import (
    AS_OF,
    BASE,
    COHORT,
    HTEST,
    adverse_event,
    bundle,
    compute,
    concept,
    condition,
    folder,
    lab,
    lines,
    merged,
    meta,
    patient,
    patients_of,
    procedure,
    psa,
    response,
    value,
)

UNMAPPED = concept("http://loinc.org", "718-7")
OLD, NEW = meta("2017-01-01T00:00:00Z", "1"), meta("2017-02-01T00:00:00Z", "2")


def _name(diagnostics: str) -> str:
    """The resource that an issue is about."""
    return diagnostics.split(":")[0].split(" ")[0]


def _nadir(*resources) -> float | str | None:
    done = compute_resources([procedure(), *resources], as_of=AS_OF)
    return value(done.observations, "psa-nadir")


# (meta of the value 1, meta of the value 2, which counts when 1 is read first, and when 2 is)
VERSIONS = {
    "later lastUpdated": (
        meta("2017-01-01T10:00:00Z"),
        meta("2017-01-01T10:00:01Z"),
        (2, 2),
    ),
    "lastUpdated before versionId": (
        meta("2017-01-02T00:00:00Z", "1"),
        meta("2017-01-01T00:00:00Z", "9"),
        (1, 1),
    ),
    "as instants, not as text": (
        meta("2017-01-01T10:00:00+02:00"),
        meta("2017-01-01T09:00:00Z"),
        (2, 2),
    ),
    "fractions by size": (
        meta("2017-01-01T10:00:00.1Z"),
        meta("2017-01-01T10:00:00.09Z"),
        (1, 1),
    ),
    "a second after its fraction": (
        meta("2017-01-01T10:00:00.999Z"),
        meta("2017-01-01T10:00:01Z"),
        (2, 2),
    ),
    "versionId as number": (
        meta("2017-01-01T10:00:00Z", "10"),
        meta("2017-01-01T10:00:00Z", "9"),
        (1, 1),
    ),
    "versionId, the same instant written otherwise": (
        meta("2017-01-01T10:00:00Z", "10"),
        meta("2017-01-01T12:00:00.000+02:00", "9"),
        (1, 1),
    ),
    "versionId without lastUpdated": (meta(None, "10"), meta(None, "9"), (1, 1)),
    "long versionIds": (meta(None, "9" * 30), meta(None, "1" + "0" * 30), (2, 2)),
    "opaque versionIds: the last read": (meta(None, "b"), meta(None, "a"), (2, 1)),
    "one opaque: the last read": (meta(None, "7"), meta(None, "a"), (2, 1)),
    "one without versionId: the last read": (meta(None, "7"), meta(), (2, 1)),
    "nothing said: the last read": (meta(), meta(), (2, 1)),
    "no meta: the last read": (None, None, (2, 1)),
    "the same versions: the last read": (
        meta("2017-01-01T10:00:00Z", "3"),
        meta("2017-01-01T10:00:00Z", "3"),
        (2, 1),
    ),
    "lastUpdated before none": (meta("2017-01-01T10:00:00Z"), None, (1, 1)),
}


@pytest.mark.parametrize("case", VERSIONS)
def test_the_latest_version_counts(case):
    first, second, (forward, backward) = VERSIONS[case]
    one = psa("a", "2016-05-01", 1, meta=first)
    two = psa("a", "2016-05-01", 2, meta=second)
    assert _nadir(one, two) == forward
    assert _nadir(two, one) == backward


@pytest.mark.parametrize("case", VERSIONS)
@pytest.mark.parametrize("workers", [1, 2])
def test_the_latest_version_counts_across_files(case, workers, tmp_path, monkeypatch):
    from fhircryo.runs import drivers

    monkeypatch.setattr(drivers, "_WORTH_SHARING", 0)
    first, second, (forward, backward) = VERSIONS[case]
    one = psa("a", "2016-05-01", 1, meta=first)
    two = psa("a", "2016-05-01", 2, meta=second)
    for number, (files, expected) in enumerate(
        [
            ({"Observation.1.ndjson": [one], "Observation.2.ndjson": [two]}, forward),
            ({"Observation.1.ndjson": [two], "Observation.2.ndjson": [one]}, backward),
            ({"b.json": lines(bundle([one, two]))}, forward),
            ({"b.json": lines(bundle([bundle([two]), one]))}, backward),
        ]
    ):
        source = folder(tmp_path / f"in{number}", {"Procedure.ndjson": [procedure()], **files})
        done = compute(source, tmp_path / f"out{number}", workers=workers)
        assert done.value("psa-nadir") == expected
        assert done.summary.not_used == {"superseded": 1}


def test_the_last_read_of_a_folder_follows_the_names_of_its_files(tmp_path):
    """Also where files of procedures are read before those of another name."""
    early = procedure(on="2016-01-10")
    late = procedure(on="2016-03-10")
    source = folder(tmp_path / "in", {"Observation.ndjson": [early], "Procedure.ndjson": [late]})
    assert compute(source, tmp_path / "out").observations[0]["effectiveDateTime"] == "2016-03-10"
    source = folder(tmp_path / "in2", {"Procedure.ndjson": [early], "A.ndjson": [late]})
    assert compute(source, tmp_path / "out2").observations[0]["effectiveDateTime"] == "2016-01-10"


def test_the_order_of_three_versions_does_not_matter():
    versions = [
        psa("a", "2016-05-01", number, meta=meta(f"2017-01-0{number}T00:00:00Z"))
        for number in (1, 2, 3)
    ]
    for order in itertools.permutations(versions):
        done = compute_resources([procedure(), *order], as_of=AS_OF)
        assert value(done.observations, "psa-nadir") == 3
        told = [(issue.name, issue.reason) for issue in done.issues]
        assert told == [("Observation/a", "superseded")] * 2


def test_the_same_id_of_another_type_is_another_resource():
    assert _nadir(psa("a", "2016-05-01", 1), condition("a", "2016-06-01")) == 1


# ------------------------------------------------------------------ a newer version of no use

USELESS = {
    "unmapped": psa("a", "2016-05-01", 2, code=UNMAPPED, meta=NEW),
    "entered in error": psa("a", "2016-05-01", 2, status="entered-in-error", meta=NEW),
    "cancelled": psa("a", "2016-05-01", 2, status="cancelled", meta=NEW),
    "of nobody": psa("a", "2016-05-01", 2, of=None, meta=NEW),
    "of another, outside the cohort": psa("a", "2016-05-01", 2, of="p9", meta=NEW),
    "of another, in the cohort": psa("a", "2016-05-01", 2, of="p2", meta=NEW),
    "without unit": psa("a", "2016-05-01", 2, unit="", meta=NEW),
    "without date": psa("a", None, 2, meta=NEW),
    "test data": psa("a", "2016-05-01", 2, meta={**NEW, **HTEST}),
    "not to be converted": psa(
        "a", "2016-05-01", 2, code=concept("http://loinc.org", "19195-7"), meta=NEW
    ),
    "own output": psa(
        "a", "2016-05-01", 2, meta=NEW, identifier=[{"system": f"{BASE}/endpoint", "value": "e"}]
    ),
}
USED = psa("a", "2016-05-01", 1, meta=OLD)
TWO_MEN = [procedure(), procedure("x2", of="p2")]


@pytest.mark.parametrize("order", ["old first", "new first"])
@pytest.mark.parametrize("case", USELESS)
def test_a_newer_version_of_no_use_takes_the_older_one_with_it_in_memory(case, order):
    versions = [USED, USELESS[case]]
    if order == "new first":
        versions.reverse()
    done = compute_resources([*TWO_MEN, *versions], as_of=AS_OF)
    assert value(done.observations, "psa-nadir") == "absent too-few-psa"
    assert "superseded" in [issue.reason for issue in done.issues] or case == "of nobody"


@pytest.mark.parametrize("order", ["old first", "new first"])
@pytest.mark.parametrize("case", USELESS)
def test_a_newer_version_of_no_use_takes_the_older_one_with_it(case, order, tmp_path):
    versions = [USED, USELESS[case]]
    if order == "new first":
        versions.reverse()
    layouts = [
        {"Procedure.ndjson": TWO_MEN, "Observation.ndjson": versions},
        {
            "Procedure.ndjson": TWO_MEN,
            "Observation.1.ndjson": versions[:1],
            "Observation.2.ndjson": versions[1:],
        },
        {"Observation.ndjson": versions, "z.ndjson": TWO_MEN},
        {"Observation.ndjson": [*versions, *TWO_MEN]},
        {"Patient.ndjson": versions[:1], "Observation.ndjson": [*versions[1:], *TWO_MEN]},
    ]
    for number, files in enumerate(layouts):
        source = folder(tmp_path / f"in{number}", files)
        found = compute(source, tmp_path / f"out{number}")
        assert found.value("psa-nadir") == "absent too-few-psa"
        assert found.summary.not_used.get("superseded", 0) == 1


@pytest.mark.parametrize("order", ["old first", "new first"])
@pytest.mark.parametrize("case", USELESS)
def test_an_older_version_of_no_use_does_not_matter(case, order, tmp_path):
    useless = {**USELESS[case], "meta": {**USELESS[case]["meta"], **OLD}}
    used = {**USED, "meta": NEW}
    versions = [useless, used] if order == "old first" else [used, useless]
    files = {"Procedure.ndjson": TWO_MEN, "Observation.ndjson": versions}
    done = compute(folder(tmp_path / "in", files), tmp_path / "out")
    assert done.value("psa-nadir") == 1
    assert _nadir(*versions) == 1


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize(
    "case", ["unmapped", "entered in error", "of p2", "of nobody", "own output", "test data"]
)
def test_a_newer_version_of_the_index_procedure(case, order, tmp_path):
    old = procedure(meta=OLD)
    changes = {
        "unmapped": {"code": UNMAPPED},
        "entered in error": {"status": "entered-in-error"},
        "of p2": {"of": "p2"},
        "of nobody": {"of": None},
        "own output": {"identifier": [{"system": f"{BASE}/endpoint", "value": "e"}]},
        "test data": {"meta": {**NEW, **HTEST}},
    }
    new = procedure(**{"meta": NEW, **changes[case]})
    results = [psa("a", "2016-05-01", 1), psa("b", "2016-05-01", 2, of="p2")]
    expected = {"p2"} if case == "of p2" else set()
    for number, files in enumerate(
        [
            {"Procedure.ndjson": [old, new][::order], "Observation.ndjson": results},
            {"Procedure.ndjson": [old], "Observation.ndjson": [new, *results]},
            {"Procedure.ndjson": [new], "Observation.ndjson": [old, *results]},
            {"Observation.ndjson": [*results, *[old, new][::order]]},
        ]
    ):
        done = compute(folder(tmp_path / f"in{number}", files), tmp_path / f"out{number}")
        assert patients_of(done.observations) == expected
        if expected:
            assert done.value("psa-nadir", "p2") == 2


def test_a_death_taken_back_is_no_death():
    dead = patient("p1", deceasedDateTime="2016-03-01", meta=OLD)
    alive = patient("p1", deceasedBoolean=False, meta=NEW)
    for order in ([dead, alive], [alive, dead]):
        assert _nadir(*order, psa("a", "2016-05-01", 1)) == 1


# ------------------------------------------------------------------ merged patients

MERGED = {
    "one": [merged("p1", into="p2"), patient("p2")],
    "a chain": [merged("p1", into="p3"), merged("p3", into="p4"), merged("p4", into="p2")],
    "to a patient without a Patient": [merged("p1", into="p2")],
    "absolute, with a version": [
        patient(
            "p1",
            link=[
                {
                    "other": {"reference": "https://a.org/Patient/p2/_history/4"},
                    "type": "replaced-by",
                }
            ],
        )
    ],
    "beside other links": [
        patient(
            "p1",
            link=[
                {"other": {"reference": "Patient/p7"}, "type": "seealso"},
                {"other": {"reference": "Patient/p2"}, "type": "replaced-by"},
                {"other": {"reference": "RelatedPerson/p8"}, "type": "seealso"},
            ],
        )
    ],
}


def _layouts(people, procedures, results) -> list[dict]:
    return [
        {"Patient.ndjson": people, "Procedure.ndjson": procedures, "Observation.ndjson": results},
        {"Procedure.ndjson": [*results, *procedures, *people]},
        {"Observation.ndjson": [*results, *procedures, *people]},
        {"Condition.ndjson": people, "Observation.ndjson": results, "Procedure.ndjson": procedures},
        {"b.json": lines(bundle([*reversed(people), *results, *procedures]))},
        {"Patient.ndjson": [*people, *procedures], "Observation.ndjson": results},
    ]


@pytest.mark.parametrize("case", MERGED)
@pytest.mark.parametrize("treated", ["p1", "p2"])
def test_resources_of_a_replaced_patient_pass_to_the_other(case, treated, tmp_path):
    results = [psa("a", "2016-05-01", 1, of="p1"), psa("b", "2016-08-01", 3, of="p2")]
    results += [condition("c", "2016-09-01", of="p1"), psa("z", "2016-05-01", 0.1, of="p9")]
    procedures = [procedure(of=treated)]
    layouts = _layouts(MERGED[case], procedures, results)
    for number, files in enumerate(layouts):
        done = compute(folder(tmp_path / f"in{number}", files), tmp_path / f"out{number}")
        assert patients_of(done.observations) == {"p2"}
        assert done.value("psa-nadir", "p2") == 1
        assert done.value("biochemical-failure", "p2") == "Y"
        assert done.value("metastasis", "p2") == "Y"


def test_links_in_a_circle_are_one_person(tmp_path):
    people = [merged("p2", into="p3"), merged("p3", into="p1"), merged("p1", into="p2")]
    results = [psa("a", "2016-05-01", 1, of="p3"), psa("b", "2016-08-01", 3, of="p2")]
    for number, files in enumerate(_layouts(people, [procedure(of="p1")], results)):
        done = compute(folder(tmp_path / f"in{number}", files), tmp_path / f"out{number}")
        (person,) = patients_of(done.observations)
        assert done.value("biochemical-failure", person) == "Y"


def test_a_chain_into_a_circle_is_one_person():
    people = [merged("p9", into="p2"), merged("p2", into="p3"), merged("p3", into="p2")]
    results = [psa("a", "2016-05-01", 1, of="p3"), psa("b", "2016-08-01", 3, of="p9")]
    for treated in ("p9", "p2", "p3"):
        resources = [*people, *results, procedure(of=treated)]
        done = compute_resources(resources, as_of=AS_OF)
        (person,) = patients_of(done.observations)
        assert value(done.observations, "biochemical-failure", person) == "Y"


def test_a_patient_replaced_by_himself_stays():
    resources = [merged("p1", into="p1"), procedure(), psa("a", "2016-05-01", 1)]
    done = compute_resources(resources, as_of=AS_OF)
    assert patients_of(done.observations) == {"p1"}


def test_a_link_taken_back_is_no_link(tmp_path):
    people = [
        merged("p1", into="p2", meta=OLD),
        patient("p1", meta=NEW),
    ]
    results = [psa("a", "2016-05-01", 1, of="p1"), psa("b", "2016-08-01", 3, of="p2")]
    layouts = _layouts(people, [procedure(of="p2")], results)
    layouts += _layouts(people[::-1], [procedure(of="p2")], results)
    for number, files in enumerate(layouts):
        done = compute(folder(tmp_path / f"in{number}", files), tmp_path / f"out{number}")
        assert done.value("psa-nadir", "p2") == 3


def test_a_link_changed_later_goes_where_the_later_version_says(tmp_path):
    people = [merged("p1", into="p2", meta=OLD), merged("p1", into="p3", meta=NEW)]
    results = [psa("a", "2016-05-01", 1, of="p1")]
    procedures = [procedure("x2", of="p2"), procedure("x3", of="p3")]
    layouts = _layouts(people, procedures, results) + _layouts(people[::-1], procedures, results)
    for number, files in enumerate(layouts):
        done = compute(folder(tmp_path / f"in{number}", files), tmp_path / f"out{number}")
        assert done.value("psa-nadir", "p3") == 1
        assert done.value("psa-nadir", "p2") == "absent too-few-psa"


def test_the_death_known_of_a_replaced_patient_is_his_successor_s():
    dead = merged("p1", into="p2", deceasedDateTime="2016-03-01")
    resources = [dead, patient("p2"), procedure(of="p2"), psa("a", "2016-05-01", 1, of="p2")]
    done = compute_resources(resources, as_of=AS_OF)
    assert [issue.reason for issue in done.issues if issue.name == "Observation/a"] == [
        "after-death"
    ]


@pytest.mark.parametrize("treated", ["p1", "p3", "p2"])
@pytest.mark.parametrize("objected", ["p1", "p3", "p2"])
def test_who_objects_under_one_id_objects_under_all(objected, treated, tmp_path):
    people = [merged("p1", into="p3"), merged("p3", into="p2"), patient("p2")]
    results = [psa("a", "2016-05-01", 1, of="p1"), psa("b", "2016-08-01", 3, of="p2")]
    results += [psa("u", "2016-08-01", 3, of="p3", unit="?")]
    procedures = [procedure(of=treated), procedure("x8", of="p8")]
    selection = Selection(exclude=frozenset({objected}))
    for number, files in enumerate(_layouts(people, procedures, results)):
        source = folder(tmp_path / f"in{number}", files)
        done = compute(source, tmp_path / f"out{number}", selection=selection)
        assert patients_of(done.observations) == {"p8"}
        assert done.summary.cohort == 1


@pytest.mark.parametrize("asked", ["p1", "p3", "p2"])
def test_who_is_asked_for_under_one_id_is_computed_under_his_last(asked, tmp_path):
    people = [merged("p1", into="p3"), merged("p3", into="p2"), patient("p2")]
    results = [psa("a", "2016-05-01", 1, of="p1"), psa("b", "2016-08-01", 3, of="p2")]
    procedures = [procedure(of="p3"), procedure("x8", of="p8")]
    selection = Selection(include=frozenset({asked}))
    for number, files in enumerate(_layouts(people, procedures, results)):
        source = folder(tmp_path / f"in{number}", files)
        done = compute(source, tmp_path / f"out{number}", selection=selection)
        assert patients_of(done.observations) == {"p2"}
        assert done.value("biochemical-failure", "p2") == "Y"
        assert done.summary.unknown_patients == []


# ------------------------------------------------------------------ mixed names

ALL_KINDS = [
    patient("p1", deceasedDateTime="2017-05-01"),
    procedure(),
    psa("a", "2016-05-01", 1),
    psa("b", "2016-08-01", 3),
    condition("c", "2016-09-01"),
    adverse_event("e", "2016-02-01"),
    response("r", "2016-01-01", [1, 2, 3, 4, 5]),
    lab("l"),
]


@pytest.mark.parametrize("shift", range(1, len(ALL_KINDS)))
def test_a_file_s_name_decides_nothing(shift, tmp_path):
    names = [resource["resourceType"] for resource in ALL_KINDS]
    shifted = names[shift:] + names[:shift]
    files: dict[str, list] = {}
    for name, resource in zip(shifted, ALL_KINDS, strict=True):
        files.setdefault(f"{name}.ndjson", []).append(resource)
    done = compute(folder(tmp_path / "in", files), tmp_path / "out")
    expected = compute_resources(ALL_KINDS, as_of=AS_OF)
    assert len(done.observations) == len(expected.observations)
    assert done.value("biochemical-failure") == "Y"
    assert done.value("metastasis") == "Y"
    assert done.value("adverse-event-count") == 1
    assert done.value("prom-score-iief-5") == 15


# ------------------------------------------------------------------ test data

TEST_RESOURCES = {
    "Observation": (psa("t", "2016-06-01", 0.1, meta=HTEST), "psa-nadir", 1, 0.1),
    "Condition": (condition("t", "2016-06-01", meta=HTEST), "metastasis", "N", "Y"),
    "AdverseEvent": (adverse_event("t", "2016-03-01", meta=HTEST), "adverse-event-count", 0, 1),
    "QuestionnaireResponse": (
        response("t", "2016-01-01", [1, 2, 3, 4, 5], meta=HTEST),
        "prom-score-iief-5",
        None,
        15,
    ),
    "Procedure": (
        procedure(
            "t", "2016-01-10", meta=HTEST, outcome=concept("http://snomed.info/sct", "385671000")
        ),
        "technical-success",
        "Y",
        "N",
    ),
}
REAL = [
    procedure(),
    psa("a", "2016-05-01", 1),
    condition("o", "2016-01-01", of="p9"),
    adverse_event("o", "2016-01-01", of="p9"),
]


@pytest.mark.parametrize("kind", TEST_RESOURCES)
def test_test_data_is_not_used_unless_wanted(kind, tmp_path):
    resource, key, without, with_it = TEST_RESOURCES[kind]
    for number, files in enumerate(
        [
            {"all.ndjson": [*REAL, resource]},
            {"Procedure.ndjson": REAL, f"{kind}.2.ndjson": [resource]},
        ]
    ):
        source = folder(tmp_path / f"in{number}", files)
        done = compute(source, tmp_path / f"out{number}")
        assert done.value(key) == without
        assert [_name(text) for text in done.told("test-data")] == [f"{kind}/t"]
        wanted = compute(source, tmp_path / f"all{number}", settings=Settings(test_data=True))
        assert wanted.value(key) == with_it
        assert wanted.told("test-data") == []


@pytest.mark.parametrize("name", ["Patient.ndjson", "zz.ndjson", "Observation.2.ndjson"])
def test_nothing_is_computed_of_a_test_patient(name, tmp_path):
    source = folder(
        tmp_path / "in",
        {
            "Procedure.ndjson": [procedure(), procedure("x2", of="p2")],
            "Observation.ndjson": [psa("a", "2016-05-01", 1), psa("u", "2016-05-01", 1, unit="?")],
            name: [patient("p1", meta=HTEST)],
        },
    )
    done = compute(source, tmp_path / "out")
    assert patients_of(done.observations) == {"p2"}
    told = {_name(text) for text in done.told("test-data")}
    assert {"Patient/p1", "Procedure/x1", "Observation/a"} <= told
    wanted = compute(source, tmp_path / "all", settings=Settings(test_data=True))
    assert patients_of(wanted.observations) == {"p1", "p2"}


def test_a_label_of_another_system_is_no_test_data():
    other = {"security": [{"system": "http://example.org", "code": "HTEST"}]}
    assert _nadir(psa("a", "2016-05-01", 1, meta=other)) == 1


# ------------------------------------------------------------------ our own output


@pytest.mark.parametrize("kind", ["cohort", "small"])
def test_our_own_output_in_the_input_changes_nothing(kind, tmp_path):
    source = tmp_path / "in"
    if kind == "cohort":
        shutil.copytree(COHORT, source)
    else:
        folder(source, {"all.ndjson": ALL_KINDS})
    first = compute(source, tmp_path / "first")
    for round_ in (1, 2):
        for name, content in first.files.items():
            (source / f"out{round_}.{name}").write_bytes(content)
        (source / "manifest.json").write_bytes(first.files["manifest.json"])
        again = compute(source, tmp_path / f"again{round_}")
        assert again.files["Observation.ndjson"] == first.files["Observation.ndjson"]
        assert again.files["Provenance.ndjson"] == first.files["Provenance.ndjson"]
        own = again.summary.not_used["own-output"]
        assert own == round_ * first.summary.observations
        assert again.summary.used == first.summary.used


def test_our_own_output_as_a_server_would_give_it_changes_nothing(tmp_path):
    """With another id, in a Bundle, and none of the files of a run beside it."""
    first = compute(folder(tmp_path / "in", {"all.ndjson": ALL_KINDS}), tmp_path / "first")
    own = [{**one, "id": f"{number}"} for number, one in enumerate(first.observations)]
    source = folder(
        tmp_path / "in2", {"all.ndjson": [*ALL_KINDS, bundle(own)], "Observation.ndjson": own}
    )
    again = compute(source, tmp_path / "again")
    assert again.files["Observation.ndjson"] == first.files["Observation.ndjson"]


@pytest.mark.parametrize(
    "kind", [patient, procedure, psa, condition, adverse_event, response], ids=lambda f: f.__name__
)
def test_any_resource_with_our_identifier_is_our_own(kind, tmp_path):
    identifier: object = [{"value": "1"}, {"system": f"{BASE}/endpoint", "value": "e"}]
    if kind is adverse_event:
        identifier = {"system": f"{BASE}/endpoint", "value": "e"}
    arguments = {
        patient: ("q",),
        procedure: ("q", "2015-01-10"),
        psa: ("q", "2016-06-01", 0.01),
        condition: ("q", "2016-06-01"),
        adverse_event: ("q", "2016-06-01"),
        response: ("q", "2016-01-01", [1, 2, 3, 4, 5]),
    }[kind]
    own = kind(*arguments, identifier=identifier)
    files = {"Procedure.ndjson": REAL, "z.ndjson": [own]}
    done = compute(folder(tmp_path / "in", files), tmp_path / "out")
    plain = compute(folder(tmp_path / "in2", {"Procedure.ndjson": REAL}), tmp_path / "out2")
    assert done.files["Observation.ndjson"] == plain.files["Observation.ndjson"]
    assert done.summary.not_used["own-output"] == 1


def test_the_identifier_of_another_base_is_not_ours():
    other = [{"system": "https://example.org/endpoint", "value": "e"}]
    assert _nadir(psa("a", "2016-05-01", 1, identifier=other)) == 1


def test_as_of_is_a_date_of_the_clinic_not_of_the_record():
    result = psa("a", "2016-05-01", 1, meta=meta("2030-01-01T00:00:00Z"), issued="2030-01-01")
    done = compute_resources([procedure(), result], as_of=date(2016, 5, 1))
    assert value(done.observations, "psa-nadir") == 1
    done = compute_resources([procedure(), result], as_of=date(2016, 4, 30))
    assert value(done.observations, "psa-nadir") == "absent too-few-psa"
