"""What else a folder holds: deletions, results in reports, logs of clients, data that is not read.

Each shape was seen at others: the reports are named where they are public.
"""

import gzip
import json
import sys
from datetime import date

import pytest

from fhircryo.errors import SourceError
from fhircryo.record.collector import RecordCollector
from fhircryo.record.patients import Selection
from fhircryo.runs import drivers
from fhircryo.runs.in_memory import compute_resources
from fhircryo.sources import folder_source
from tests.unit.inputs import (
    Computed,
    adverse_event,
    bundle,
    cli,
    compute,
    condition,
    folder,
    lab,
    line,
    lines,
    meta,
    patient,
    patients_of,
    procedure,
    psa,
    value,
)

LOW, HIGH = psa("a", "2016-03-01", 0.4), psa("b", "2016-12-15", 9.9)
#: A patient whose second PSA shows a failure.
FAILED = {
    "Patient.ndjson": lines(patient("p1"), patient("p9")),
    "Procedure.ndjson": lines(procedure()),
    "Observation.ndjson": lines(LOW, HIGH),
    "Condition.ndjson": lines(condition("c", "2011-01-01", "p9")),
    "AdverseEvent.ndjson": lines(adverse_event("e", "2016-02-01", "p9")),
}
FAILURE = "biochemical-failure"
TOO_FEW = "absent too-few-psa"


def _computed(tmp_path, more: dict[str, bytes], files=None, **how) -> Computed:
    there = {**(FAILED if files is None else files), **more}
    return compute(folder(tmp_path / "in", there), tmp_path / "out", **how)


def _deleting(*urls: str, kind: str = "transaction", **stated) -> dict:
    """A Bundle of deletions; ``stated``: more elements of each entry."""
    entries = [{"request": {"method": "DELETE", "url": url}, **stated} for url in urls]
    return {"resourceType": "Bundle", "type": kind, "entry": entries}


def _history(*entries: dict) -> dict:
    return {"resourceType": "Bundle", "type": "history", "entry": list(entries)}


def _deleted(ref: str, when: str | None = None, etag: str | None = None) -> dict:
    answer = {"status": "204", "lastModified": when, "etag": etag}
    return {
        "fullUrl": f"http://x/{ref}",
        "request": {"method": "DELETE", "url": ref},
        "response": {key: one for key, one in answer.items() if one},
    }


def _put(resource: dict, **more) -> dict:
    ref = f"{resource['resourceType']}/{resource['id']}"
    return {"resource": {**resource, **more}, "request": {"method": "PUT", "url": ref}}


def test_the_failure_that_the_deletions_take_away(tmp_path):
    assert _computed(tmp_path, {}).value(FAILURE) == "Y"


# ------------------------------------------------------------------ bulk exports' ``deleted``

DELETED_FILES = [
    *("deleted.Bundle.ndjson", "Bundle.ndjson", "1.Bundle.ndjson", "deleted/Observation.ndjson"),
    *("0.ndjson", "zzz.jsonl", "deleted/1.Bundle.ndjson", "export/deleted/b.NDJSON"),
]


@pytest.mark.parametrize("stamped", [False, True], ids=["plain", "with meta"])
@pytest.mark.parametrize("name", DELETED_FILES)
def test_a_deleted_file_counts_wherever_it_lies(name, stamped, tmp_path):
    """cumulus-etl issues 167 and 344. Most servers say no more than what was deleted."""
    high = {**HIGH, "meta": meta("2016-12-16T08:00:00Z", "3")} if stamped else HIGH
    files = {**FAILED, "Observation.ndjson": lines(LOW, high)}
    done = _computed(tmp_path, {name: lines(_deleting("Observation/b"))}, files)
    assert done.summary.unreadable == 0
    assert done.value(FAILURE) == TOO_FEW
    assert done.value("disease-free-12-months") == "absent insufficient-psa"
    assert done.told("superseded") == ["Observation/b (Patient/p1): it was deleted later"]


@pytest.mark.parametrize(
    "url",
    [
        *("Observation/b", "/Observation/b", "http://x.org/fhir/Observation/b", "Observation/b/"),
        *("Observation/b/_history/7", "https://x.org/Observation/b/_history/7"),
    ],
)
def test_a_deletion_names_its_resource_in_any_form(url, tmp_path):
    done = _computed(tmp_path, {"d.ndjson": lines(_deleting("Observation/x", url))})
    assert done.value(FAILURE) == TOO_FEW


def test_a_deletion_by_the_full_url_alone(tmp_path):
    made = _deleting("Observation/b")
    made["entry"] = [{"fullUrl": "http://x/Observation/b", "request": {"method": "DELETE"}}]
    assert _computed(tmp_path, {"d.json": line(made)}).value(FAILURE) == TOO_FEW


def test_a_resource_that_was_written_after_a_list_of_deletions_stands(tmp_path):
    later = {**HIGH, "meta": meta("2017-03-01T00:00:00Z")}
    made = {**_deleting("Observation/b"), "meta": meta("2017-02-01T00:00:00Z")}
    files = {**FAILED, "Observation.ndjson": lines(LOW, later)}
    assert _computed(tmp_path, {"z.ndjson": lines(made)}, files).value(FAILURE) == "Y"


@pytest.mark.parametrize("url", ["Observation?identifier=7", "Observation", "", "Obs/b"])
def test_a_deletion_that_names_no_resource_is_told(url, tmp_path):
    """HL7's example of a transaction has one: its criteria are for a server."""
    done = _computed(tmp_path, {"d.ndjson": lines(_deleting(url))})
    assert done.summary.passed_over == [
        "1 deletions in Bundles that do not name a resource as Type/id"
    ]
    assert done.value(FAILURE) == "Y"
    assert done.summary.unreadable == 0


def test_a_request_of_a_wrong_type_is_unreadable(tmp_path):
    made = _deleting("Observation/b")
    made["entry"][0]["request"] = {"method": "DELETE", "url": 5}
    done = _computed(tmp_path, {"d.ndjson": lines(made)})
    assert done.unreadable == ["d.ndjson:1 entry[0]"]


# ------------------------------------------------------------------ histories

OLD = meta("2016-12-15T00:00:00Z", "1")
WITHOUT_HIGH = {**FAILED, "Observation.ndjson": lines(LOW)}
GONE = [
    ("by time", _deleted("Observation/b", "2017-02-01T00:00:00Z"), OLD),
    ("by version", _deleted("Observation/b", etag='W/"2"'), OLD),
    ("by version in a strong tag", _deleted("Observation/b", etag='"2"'), OLD),
    ("by version in the URL", _deleted("Observation/b/_history/2"), OLD),
    ("by both", _deleted("Observation/b", "2017-02-01T00:00:00Z", 'W/"2"'), OLD),
    ("by version, not by time", _deleted("Observation/b", "2011-02-01T00:00:00Z", 'W/"2"'), OLD),
    ("by their order", _deleted("Observation/b"), None),
    ("by their order, of a known time", _deleted("Observation/b"), OLD),
    ("by their order, of a known deletion", _deleted("Observation/b", "2017-02-01"), None),
]
STANDS = [
    ("by time", _deleted("Observation/b", "2016-02-01T00:00:00Z"), OLD),
    ("by version", _deleted("Observation/b", etag='W/"2"'), meta("2016-12-15T00:00:00Z", "3")),
]


@pytest.mark.parametrize("name", ["h.json", "Zh.ndjson", "a/b.json"])
@pytest.mark.parametrize("how, gone, stated", GONE, ids=[one[0] for one in GONE])
def test_the_newest_entry_of_a_history_deletes(how, gone, stated, name, tmp_path):
    """The newest entry comes first in a history."""
    made = _history(gone, _put(HIGH, **({"meta": stated} if stated else {})))
    done = _computed(tmp_path, {name: line(made)}, WITHOUT_HIGH)
    assert done.value(FAILURE) == TOO_FEW


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("how, gone, stated", STANDS, ids=[one[0] for one in STANDS])
def test_what_was_written_again_after_its_deletion_stands(how, gone, stated, first, tmp_path):
    entries = [gone, _put(HIGH, meta=stated)]
    made = _history(*(entries if first else entries[::-1]))
    assert _computed(tmp_path, {"h.json": line(made)}, WITHOUT_HIGH).value(FAILURE) == "Y"


def test_a_history_without_times_has_its_newest_version_first(tmp_path):
    made = _history(_put(HIGH), _deleted("Observation/b"), _put(psa("b", "2016-12-15", 0.3)))
    assert _computed(tmp_path, {"h.json": line(made)}, WITHOUT_HIGH).value(FAILURE) == "Y"


def test_a_transaction_is_read_in_its_order(tmp_path):
    gone, put = _deleted("Observation/b"), _put(HIGH)
    for entries, expected in (([gone, put], "Y"), ([put, gone], TOO_FEW)):
        made = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
        resources = [patient("p1"), procedure(), LOW, made]
        done = compute_resources(resources, as_of=date(2017, 12, 31))
        assert value(done.observations, FAILURE) == expected


@pytest.mark.parametrize("kind", ["Procedure/x1", "Patient/p1"])
def test_a_man_whose_patient_or_procedure_was_deleted_is_not_computed(kind, tmp_path):
    other = [patient("p2"), procedure("x2", of="p2")]
    more = {"d.ndjson": lines(_deleting(kind)), "other.ndjson": lines(*other)}
    done = _computed(tmp_path, more)
    assert patients_of(done.observations) == {"p2"}


def test_a_patient_deleted_after_a_merge_takes_nothing_from_the_other(tmp_path):
    old = patient("p0", link=[{"other": {"reference": "Patient/p1"}, "type": "replaced-by"}])
    more = {"d.ndjson": lines(_deleting("Patient/p0")), "old.ndjson": lines(old)}
    assert _computed(tmp_path, more).value(FAILURE) == "Y"


def test_a_patient_who_was_asked_for_and_is_deleted(tmp_path):
    selection = Selection(include=frozenset({"p1"}))
    more = {"d.ndjson": lines(_deleting("Patient/p1"))}
    assert _computed(tmp_path, more, selection=selection).observations == []


def test_a_deleted_metastasis_and_event_are_gone(tmp_path):
    more = {
        "Condition.1.ndjson": lines(condition("m", "2016-06-01")),
        "AdverseEvent.1.ndjson": lines(adverse_event("ev", "2016-01-12")),
    }
    there = _computed(tmp_path / "1", more)
    assert there.value("metastasis") == "Y"
    assert there.value("worst-clavien-dindo") == "II"
    more["d.ndjson"] = lines(_deleting("Condition/m", "AdverseEvent/ev"))
    gone = _computed(tmp_path / "2", more)
    assert gone.value("metastasis") == "N"
    assert gone.value("worst-clavien-dindo") != "II"


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2, 3])
@pytest.mark.parametrize("size", [100, 1 << 24])
def test_deletions_are_the_same_for_parts_and_workers(size, workers, tmp_path, monkeypatch):
    if workers > 1 and not sys.platform.startswith("linux"):
        pytest.skip("one process works where there is no fork")
    people = [f"p{number}" for number in range(30)]
    results = [psa(f"{one}-{n}", f"2016-0{n}-01", n * 4, one) for one in people for n in (3, 6, 9)]
    files = {
        "Deleted.ndjson": lines(*(_deleting(f"Observation/{one}-9") for one in people[::2])),
        "Procedure.ndjson": lines(*(procedure(f"x{one}", of=one) for one in people)),
        "Observation.ndjson": lines(*results),
        "h.json": line(_history(*(_deleted(f"Observation/{one}-6") for one in people[::3]))),
    }
    whole = _computed(tmp_path / "1", {}, files)
    monkeypatch.setattr(folder_source, "PART_SIZE", size)
    monkeypatch.setattr(drivers, "_WORTH_SHARING", 0)
    done = _computed(tmp_path / "2", {}, files, workers=workers)
    for name, content in whole.files.items():
        assert done.files[name] == content, name
    assert whole.value(FAILURE, "p0") == TOO_FEW
    assert whole.value(FAILURE, "p2") == "Y"
    in_memory = [*files["Deleted.ndjson"].splitlines(), *files["Procedure.ndjson"].splitlines()]
    in_memory += [*files["Observation.ndjson"].splitlines(), files["h.json"]]
    told = compute_resources(in_memory, as_of=date(2017, 12, 31)).observations
    assert told == whole.observations


def test_deletions_merge_in_any_order():
    from fhircryo.extract.lines import read
    from fhircryo.runs.run_config import RunConfig
    from fhircryo.settings import Settings

    request = RunConfig.of(Settings(), date(2017, 12, 31)).read_request(drivers.OneProcess())
    shards = [
        [line(_deleting("Observation/b"))],
        [line(HIGH), line(procedure())],
        [line(_history(_deleted("Observation/b", "2017-01-01")))],
    ]
    results = []
    for order in ((0, 1, 2), (2, 0, 1), (1, 2, 0)):
        whole = RecordCollector(request.retention())
        for number in order:
            one = RecordCollector(request.retention())
            one.sequence = number << 40
            read(shards[number], one, request.context(), number)
            whole.merge(one.encode())
        whole.apply_deletions()
        results.append(sorted(whole.items))
    assert results == [["Procedure/x1"]] * 3


# ------------------------------------------------------------------ results in reports


def _report(*contained: dict, **more) -> dict:
    own = {
        "resourceType": "DiagnosticReport",
        "id": "dr",
        "status": "final",
        "subject": {"reference": "Patient/p1"},
        "contained": list(contained),
        "result": [{"reference": f"#{one['id']}"} for one in contained],
    }
    return {key: one for key, one in {**own, **more}.items() if one is not None}


def _of_report(tmp_path, report: dict, wrap=line) -> Computed:
    return _computed(tmp_path, {"DiagnosticReport.ndjson": wrap(report)}, WITHOUT_HIGH)


@pytest.mark.parametrize("status", ["final", "preliminary", "amended", "registered", None])
def test_a_contained_result_is_read(status, tmp_path):
    """inferno-core issue 217."""
    done = _of_report(tmp_path, _report(HIGH, status=status))
    assert done.value(FAILURE) == "Y"
    assert done.summary.other_types["DiagnosticReport"] == 1
    entities = [
        entity["what"]["reference"]
        for text in done.files["Provenance.ndjson"].splitlines()
        for entity in json.loads(text)["entity"]
    ]
    assert "DiagnosticReport/dr" in entities


@pytest.mark.parametrize(
    "wrap",
    [
        lambda report: lines(bundle([report])),
        lambda report: json.dumps(report, indent=2).encode(),
        lambda report: lines({"resourceType": "Parameters", "parameter": [{"resource": report}]}),
        lambda report: json.dumps([report]).encode(),
    ],
    ids=["Bundle", "blanks", "Parameters", "array"],
)
def test_a_report_is_unpacked_wherever_it_is(wrap, tmp_path):
    done = _computed(tmp_path, {"all.json": wrap(_report(HIGH))}, WITHOUT_HIGH)
    assert done.value(FAILURE) == "Y"


@pytest.mark.parametrize("status", ["entered-in-error", "cancelled"])
def test_what_a_withdrawn_report_contains_is_not_used(status, tmp_path):
    done = _of_report(tmp_path, _report(HIGH, status=status))
    assert done.value(FAILURE) == TOO_FEW
    assert done.told("status") == [f"DiagnosticReport/dr#b (Patient/p1): {status}"]


@pytest.mark.parametrize("result", [None, [], [{"reference": "#x"}], [{"reference": "b"}]])
def test_what_is_no_result_of_the_report_is_not_read(result, tmp_path):
    assert _of_report(tmp_path, _report(HIGH, result=result)).value(FAILURE) == TOO_FEW


def test_a_member_of_a_panel_is_a_result(tmp_path):
    panel = {**lab("panel"), "hasMember": [{"reference": "#b"}]}
    report = _report(panel, HIGH, result=[{"reference": "#panel"}])
    assert _of_report(tmp_path, report).value(FAILURE) == "Y"


@pytest.mark.parametrize(
    "dated",
    [
        {"effectiveDateTime": "2016-12-15"},
        {"effectivePeriod": {"start": "2016-12-15", "end": "2016-12-16"}},
    ],
)
def test_a_result_has_the_subject_and_date_of_its_report(dated, tmp_path):
    bare = {key: one for key, one in HIGH.items() if key not in ("subject", "effectiveDateTime")}
    done = _of_report(tmp_path, _report(bare, **dated))
    assert done.value(FAILURE) == "Y"
    (found,) = [one for one in done.observations if one["code"]["coding"][0]["code"] == FAILURE]
    assert found["effectiveDateTime"] == "2016-12-15"


def test_a_result_keeps_the_subject_and_date_that_it_states(tmp_path):
    other = {**HIGH, "effectiveDateTime": "2017-05-01"}
    report = _report(other, subject={"reference": "Patient/p9"}, effectiveDateTime="2016-12-15")
    (found,) = [
        one
        for one in _of_report(tmp_path, report).observations
        if one["code"]["coding"][0]["code"] == FAILURE
    ]
    assert found["effectiveDateTime"] == "2017-05-01"


def test_of_two_versions_of_a_report_the_newer_results_count(tmp_path):
    new = _report(psa("b", "2016-12-15", 0.3), meta=meta("2017-02-01T00:00:00Z", "2"))
    old = _report(HIGH, meta=meta("2017-01-01T00:00:00Z", "1"))
    done = _of_report(tmp_path, new, lambda report: lines(report, old))
    assert done.value(FAILURE) == "N"
    assert done.told("superseded") == ["DiagnosticReport/dr#b (Patient/p1): an older version of it"]


GONE_FROM = "the resource that contained it was deleted, or no longer contains it"


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize(
    "new",
    [
        {"contained": [psa("c", "2016-12-15", 0.3)], "result": [{"reference": "#c"}]},
        {"contained": [psa("c", "2016-12-15", 0.3, "p9")], "result": [{"reference": "#c"}]},
        {"contained": [lab("l")], "result": [{"reference": "#l"}]},
        {"contained": None, "result": None, "status": "entered-in-error"},
    ],
)
def test_what_a_newer_report_does_not_contain_is_gone(new, first, tmp_path):
    newer = _report(**{"meta": meta("2017-02-01T00:00:00Z", "2"), **new})
    older = _report(HIGH, meta=meta("2017-01-01T00:00:00Z", "1"))
    order = [older, newer] if first else [newer, older]
    other = _report(psa("b", "2016-11-15", 9.9), id="other")
    done = _of_report(tmp_path, older, lambda _: lines(*order, other))
    assert done.told("superseded") == [f"DiagnosticReport/dr#b (Patient/p1): {GONE_FROM}"]
    assert done.value(FAILURE) == "Y"


def test_a_report_that_is_read_twice_is_one(tmp_path):
    report = _report(HIGH, meta=meta("2017-02-01T00:00:00Z", "2"))
    done = _of_report(tmp_path, report, lambda one: lines(one, one))
    assert done.value(FAILURE) == "Y"


def test_with_a_report_its_results_are_deleted(tmp_path):
    done = _of_report(
        tmp_path, _report(HIGH), lambda report: lines(report, _deleting("DiagnosticReport/dr"))
    )
    assert done.value(FAILURE) == TOO_FEW


def test_a_report_that_is_test_data_has_results_of_test_data(tmp_path):
    from tests.unit.inputs import HTEST

    done = _of_report(tmp_path, _report(HIGH, meta=HTEST))
    assert done.told("test-data") == ["DiagnosticReport/dr#b (Patient/p1)"]


def test_reports_of_one_id_are_told_apart_from_observations(tmp_path):
    other = _report(psa("a", "2016-12-15", 9.9))
    assert _of_report(tmp_path, other).value(FAILURE) == "Y"


@pytest.mark.parametrize(
    ("report", "place"),
    [
        (_report({**HIGH, "status": 5}), "contained[0]"),
        (_report(lab("l"), {**HIGH, "effectiveDateTime": 5}), "contained[1]"),
        (_report(HIGH, id=None), "contained[0]"),
        (_report(HIGH, contained="x"), "contained[0]"),
        (_report(HIGH, result="x"), ""),
    ],
)
def test_a_broken_result_is_told_with_its_place(report, place, tmp_path):
    done = _of_report(tmp_path, report)
    assert done.unreadable == [f"DiagnosticReport.ndjson:1 {place}".strip()]


def test_a_report_that_contains_nothing_is_never_unreadable(tmp_path):
    odd = {"resourceType": "DiagnosticReport", "status": 5, "subject": "x", "contained": None}
    assert _of_report(tmp_path, odd).summary.unreadable == 0


# ------------------------------------------------------------------ resources without id


@pytest.mark.parametrize(
    "url",
    [
        *("urn:uuid:5c6a", "URN:UUID:5c6a", "urn:oid:1.2.3", "http://x.org/Patient/5c6a"),
        *("Patient/5c6a", "https://x.org/fhir/Patient/5c6a/_history/2"),
    ],
)
def test_a_resource_without_id_is_known_by_its_full_url(url, tmp_path):
    known = url.partition("/_history")[0].rpartition("/")[2].rpartition(":")[2]
    subject = {"reference": url}
    made = bundle(
        [
            {"resourceType": "Patient"},
            {**procedure(), "subject": subject},
            {**LOW, "subject": subject},
            {**HIGH, "subject": subject},
        ],
        [url, "", "", ""],
    )
    done = _computed(tmp_path, {"b.json": line(made)}, {})
    assert done.summary.unreadable == 0
    assert done.value(FAILURE, known) == "Y"


def test_a_resource_without_id_or_full_url_is_told(tmp_path):
    unnamed = {key: one for key, one in HIGH.items() if key != "id"}
    for url in ("", "http://x.org/Patient/5", "Observation"):
        made = bundle([unnamed], [url])
        done = _computed(tmp_path / str(len(url)), {"b.json": line(made)})
        assert done.unreadable == ["b.json:1 entry[0]"]


# ------------------------------------------------------------------ what clients leave

LOG = {"exportId": "http://x/$status/1", "eventId": "kickoff", "eventDetail": {}}
LEFT = {
    "log.ndjson": lines(LOG, LOG),
    "log.2024-01-01.ndjson": lines(LOG),
    "LOG.NDJSON": lines(LOG),
    "log.1.ndjson.gz": gzip.compress(lines(LOG)),
    "manifest.json": json.dumps({"output": [], "error": []}, indent=2).encode(),
    "sub/manifest.json": b"[]",
    "sub/log.ndjson": b"",
    "error.ndjson": lines({"message": "no"}),
    "errors.000.ndjson": b"not JSON\n",
}


@pytest.mark.parametrize("name", LEFT)
def test_what_bulk_clients_leave_is_passed_over_and_named(name, tmp_path):
    """sample-bulk-fhir-datasets pull request 22, cumulus-etl pull request 306."""
    done = _computed(tmp_path, {name: LEFT[name]})
    assert done.summary.unreadable == 0
    assert done.summary.passed_over == [name]
    assert done.value(FAILURE) == "Y"


@pytest.mark.parametrize("name", ["log.ndjson", "manifest.json", "errors.ndjson"])
def test_a_file_of_such_a_name_that_holds_resources_is_read(name, tmp_path):
    for number, content in enumerate((lines(HIGH), json.dumps([LOG, HIGH]).encode())):
        done = _computed(tmp_path / str(number), {name: content}, WITHOUT_HIGH)
        assert done.value(FAILURE) == "Y"


def test_another_file_without_resources_is_unreadable(tmp_path):
    done = _computed(tmp_path, {"events.ndjson": lines(LOG, LOG)})
    assert done.unreadable == ["events.ndjson:1", "events.ndjson:2"]


# ------------------------------------------------------------------ data that is not read

XML = b'<?xml version="1.0"?><Patient xmlns="http://hl7.org/fhir"/>'
UNREAD = {
    "Patient.xml": XML,
    "sub/Observation.XML": XML,
    "export.zip": b"PK\x03\x04",
    "Observation.ndjson.bz2": b"BZh",
    "Observation.ndjson.lz4": b"\x04\x22\x4d\x18",
    "Observation.ndjson.xz": b"\xfd7zXZ",
    "Observation.ndjson.part": lines(HIGH),
    "Observation.ndjson.gz.1": gzip.compress(lines(HIGH)),
    "Observation.gz": gzip.compress(lines(HIGH)),
    "export.tar.gz": gzip.compress(b"x"),
    "Observation.parquet": b"PAR1",
    "Observation": lines(HIGH),
    "Observation.txt": b"\xef\xbb\xbf\n" + lines(HIGH),
    "export": gzip.compress(lines(HIGH)),
    "Observation.7z": b"7z",
}


@pytest.mark.parametrize("name", UNREAD)
def test_data_that_is_not_read_is_unreadable_and_named_first(name, tmp_path):
    source = folder(tmp_path / "in", {**FAILED, name: UNREAD[name]})
    ran = cli("compute", source, tmp_path / "out", "--as-of", "2017-12-31")
    assert ran.code == 4
    first, second, *_ = ran.err.splitlines()
    assert first.startswith("UNREADABLE: 1")
    assert second.startswith(f"  {name}: ")
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert name in {one["name"] for one in manifest["inputs"]}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("Observation.ndjson.sha256", b"ab  Observation.ndjson"),
        ("dictionary.xlsx", b"PK\x03\x04"),
        ("terms.pdf", b"%PDF"),
        ("codes.csv", b"a,b"),
        ("settings.yaml", b"a: 1"),
        ("_SUCCESS", b""),
        ("page.html", b'<a href="http://hl7.org/fhir">FHIR</a>'),
    ],
)
def test_what_is_no_data_is_named_and_no_error(name, content, tmp_path):
    done = _computed(tmp_path, {name: content})
    assert done.summary.passed_over == [name]
    assert done.summary.unreadable == 0


def test_a_damaged_zst_is_unreadable_and_its_first_lines_are_read(tmp_path):
    for number, content in enumerate((b"\x28\xb5\x2f\xfd", b"not zst at all", lines(HIGH))):
        done = _computed(tmp_path / str(number), {"o.ndjson.zst": content})
        assert done.unreadable == ["o.ndjson.zst"]
        assert done.value(FAILURE) == "Y"


@pytest.mark.parametrize("name", ["all.json.gz", "all.ndjson.gz"])
def test_of_a_truncated_file_the_lines_before_the_cut_are_read(name, tmp_path):
    content = gzip.compress(lines(HIGH, *(lab(f"l{n}") for n in range(50))))[:-8]
    done = _computed(tmp_path, {name: content}, WITHOUT_HIGH)
    assert done.unreadable == [name]
    assert done.value(FAILURE) == "Y"


def test_a_folder_of_data_that_is_not_read_is_refused(tmp_path):
    with pytest.raises(SourceError, match=r"Patient\.xml: this format is not read"):
        compute(folder(tmp_path / "in", {"Patient.xml": XML}), tmp_path / "out")


def test_a_pipe_is_unreadable_and_not_waited_for(tmp_path):
    import os

    source = folder(tmp_path / "in", FAILED)
    os.mkfifo(source / "pipe.ndjson")
    assert compute(source, tmp_path / "out").unreadable == ["pipe.ndjson"]


def test_a_result_within_the_source_is_not_read_again(tmp_path):
    source = folder(tmp_path / "in", FAILED)
    first = compute(source, source / "out")
    second = compute(source, source / "out")
    assert second.files["Observation.ndjson"] == first.files["Observation.ndjson"]
    assert second.summary.passed_over == ["out/"]
    assert second.summary.resources == first.summary.resources


def test_a_folder_that_is_linked_into_itself_is_read_once(tmp_path):
    source = folder(tmp_path / "in", FAILED)
    (source / "again").symlink_to(source)
    done = compute(source, tmp_path / "out")
    assert done.summary.passed_over == ["again/"]
    assert not done.summary.not_used.get("superseded")


def test_the_places_of_lines_name_the_subfolder(tmp_path):
    done = _computed(tmp_path, {"a/b/o.ndjson": lines(lab("l")) + b"{\n"})
    assert done.unreadable == ["a/b/o.ndjson:2"]


def test_a_broken_element_of_an_array_is_told_with_its_place(tmp_path):
    done = _computed(tmp_path, {"a.json": json.dumps([lab("l"), {"id": "x"}, 5]).encode()})
    assert done.unreadable == ["a.json:1 [1]", "a.json:1 [2]"]


def _nested(depth: int) -> dict[str, bytes]:
    part = b'{"part":[' * depth + b'{"resource":' + line(HIGH) + b"}" + b"]}" * depth
    entries = b'{"resourceType":"Bundle","entry":[{"resource":' * depth
    return {
        "array": b"[" * depth + line(HIGH) + b"]" * depth,
        "Bundle": entries + line(HIGH) + b"}]}" * depth,
        "Parameters": b'{"resourceType":"Parameters","parameter":[' + part + b"]}",
    }


@pytest.mark.parametrize("kind", ["array", "Bundle", "Parameters"])
def test_containers_within_containers_end_in_no_traceback(kind, tmp_path):
    shallow = _computed(tmp_path / "3", {"n.ndjson": _nested(3)[kind]}, WITHOUT_HIGH)
    assert shallow.value(FAILURE) == "Y"
    for depth in (100, 300, 900, 5000):
        done = _computed(tmp_path / str(depth), {"n.ndjson": _nested(depth)[kind]})
        assert done.summary.unreadable <= 1
        assert done.value(FAILURE) == "Y"


# ------------------------------------------------------------------ why the cohort is empty


def _last_line(tmp_path, procedures: list, **files) -> str:
    source = folder(
        tmp_path / "in",
        {"Patient.ndjson": lines(patient("p1")), "P.ndjson": lines(*procedures), **files},
    )
    ran = cli("compute", source, tmp_path / "out", "--as-of", "2017-12-31")
    return ran.err.splitlines()[-1]


def test_an_empty_cohort_has_its_true_cause(tmp_path):
    vague = [procedure("x1", "2016"), procedure("x2", "01.02.2016"), procedure("x3", "?")]
    assert _last_line(tmp_path / "1", vague).endswith(
        "procedures that may be one are not used: 1 imprecise-date, 2 no-usable-date"
    )
    later = [procedure("x1", "2018-02-01"), procedure("x2", status="entered-in-error")]
    assert _last_line(tmp_path / "2", later).endswith(": 1 status, 1 after 2017-12-31 (--as-of)")
    assert _last_line(tmp_path / "3", [lab("l")]).endswith(
        "the source holds no Procedure; one with a mapped code (--mappings) is needed"
    )
    unmapped = procedure(code={"text": "?"})
    assert _last_line(tmp_path / "4", [unmapped]).endswith(
        "are the site's codes mapped (--mappings)?"
    )
    broken = line(procedure())[:-9]
    assert _last_line(tmp_path / "5", [broken, lab("l")]).endswith(
        "(--mappings) is needed; 1 lines or files are unreadable"
    )
    wrong = procedure(status=5)
    assert _last_line(tmp_path / "6", [wrong, unmapped]).endswith("are not used: 1 unreadable")


# ------------------------------------------------------------------ values and dates


CLEAR = [
    *("2016-03-01T10:15:00+0000", "2016-03-01T10:15:00-0500", "2016-03-01T10:15"),
    *("2016-03-01T10:15:00", "2016-03-01T10:15:00 00:00", "2016-03-01 10:15:00"),
    *("2016-03-01T24:00:00Z", "2016-03-01T10:15:00.1234567+02:00", "2016-03-01T10:15:00z"),
    *("2016-03-01 ", "2016-03-01Z", "2016-03-01T10:15:00+01", "2016-03-01T10:15Z"),
    *("2016-03-01T00:00:00.000+0100", "20160301", "2016-3-1"),
]


def test_the_day_is_read_wherever_it_is_clear(tmp_path):
    """medplum 8244, hl7v2-fhir-converter 55, hapi-fhir 887 and 1296."""
    unclear = ["2016-02-30", "01.03.2016"]
    written = [*CLEAR, *unclear]
    people = [f"d{number:02}" for number in range(len(written))]
    results = [psa(f"o{one}", text, 0.4, one) for one, text in zip(people, written, strict=True)]
    files = {
        "Procedure.ndjson": lines(*(procedure(f"x{one}", of=one) for one in people)),
        "Observation.ndjson": lines(*results),
    }
    done = _computed(tmp_path, {}, files)
    days = {
        one["subject"]["reference"]: one["effectiveDateTime"]
        for one in done.observations
        if one["code"]["coding"][0]["code"] == "psa-nadir" and "valueQuantity" in one
    }
    assert days == {f"Patient/{one}": "2016-03-01" for one in people[: len(CLEAR)]}
    assert len(done.told("no-usable-date")) == len(unclear)


@pytest.mark.parametrize("blank", [" ", "\t", "\u00a0"])
def test_a_very_long_text_is_read_at_once(blank, tmp_path):
    import time

    odd = psa("z", "2016-05-01", 1)
    del odd["valueQuantity"]
    texts = [f"1x{blank * 60_000}y", blank * 60_000, f"<{blank * 60_000}1{blank * 60_000}x"]
    more = [{**odd, "id": f"z{n}", "valueString": text} for n, text in enumerate(texts)]
    start = time.process_time()
    done = _computed(tmp_path, {"z.ndjson": lines(*more)})
    assert time.process_time() - start < 1
    assert done.value(FAILURE) == "Y"


def test_names_of_files_cannot_forge_lines(tmp_path):
    names = {"a\x1b[2J.xml": XML, "b\nin cohort 9.csv": b"x"}
    source = folder(tmp_path / "in", {**FAILED, **names})
    ran = cli("compute", source, tmp_path / "out", "--as-of", "2017-12-31")
    assert ran.code == 4
    assert "\x1b" not in ran.err
    assert "\nin cohort 9" not in ran.err
    assert r"a\x1b[2J.xml" in ran.err


def test_doctor_tells_what_a_mixed_folder_holds(tmp_path):
    more = {
        "x.xml": XML,
        "log.ndjson": lines(LOG),
        "deleted/1.Bundle.ndjson": lines(_deleting("Observation/b")),
        "DiagnosticReport.ndjson": lines(_report(psa("c", "2016-12-15", 9.9))),
    }
    told = cli("doctor", folder(tmp_path / "in", {**FAILED, **more})).out
    assert "x.xml: this format is not read; export NDJSON; or move it out of the folder" in told
    assert "log.ndjson; read are *.ndjson, *.jsonl, *.json" in told
    assert "1 resources are deleted by Bundles in the folder" in told


def test_doctor_tells_why_the_cohort_would_be_empty(tmp_path):
    files = {"P.ndjson": lines(procedure("x1", "unknown")), "Patient.ndjson": lines(patient("p1"))}
    told = cli("doctor", folder(tmp_path / "in", files)).out
    assert "procedures that may be one are not used: 1 no-usable-date" in told
