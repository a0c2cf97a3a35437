"""Folders of NDJSON: every layout gives the same endpoints, every fault is told with its place."""

import gzip
import json
import os
import random
import sys
from datetime import date
from pathlib import Path

import pytest

from fhircryo.errors import SourceError
from fhircryo.extract.lines import read
from fhircryo.record.collector import RecordCollector
from fhircryo.runs import drivers
from fhircryo.runs import to_folder as pipeline
from fhircryo.runs.in_memory import compute_resources
from fhircryo.runs.run_config import RunConfig
from fhircryo.settings import Settings
from fhircryo.sources import folder_source
from tests.unit.inputs import (
    AS_OF,
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
    response,
    value,
)

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

PATIENTS = [patient("p1")]
PROCEDURES = [procedure("x1")]
RESULTS = [
    psa("a", "2016-02-10", 0.8),
    psa("b", "2016-05-10", 0.4),
    psa("c", "2016-11-10", 2.4),
    lab("d"),
]
CONDITIONS = [condition("m", "2017-06-01")]
EVENTS = [adverse_event("e", "2016-01-12")]
RESPONSES = [response("r", "2016-01-09", [5, 5, 4, 4, 3])]
EVERYTHING = [*PATIENTS, *PROCEDURES, *RESULTS, *CONDITIONS, *EVENTS, *RESPONSES]
PLAIN = {
    "Patient.ndjson": lines(*PATIENTS),
    "Procedure.ndjson": lines(*PROCEDURES),
    "Observation.ndjson": lines(*RESULTS),
    "Condition.ndjson": lines(*CONDITIONS),
    "AdverseEvent.ndjson": lines(*EVENTS),
    "QuestionnaireResponse.ndjson": lines(*RESPONSES),
}


@pytest.fixture(scope="module")
def expected(tmp_path_factory) -> Computed:
    path = tmp_path_factory.mktemp("plain")
    done = compute(folder(path / "in", PLAIN), path / "out")
    assert not done.summary.unreadable
    assert done.value("biochemical-failure") == "Y"
    assert done.value("worst-clavien-dindo") == "II"
    assert done.value("prom-score-iief-5") == 21
    return done


def _pretty(resource) -> bytes:
    return json.dumps(resource, indent=2).encode()


LAYOUTS = {
    "gz": {f"{name}.gz": gzip.compress(content) for name, content in PLAIN.items()},
    "several files": {
        **{name: content for name, content in PLAIN.items() if name != "Observation.ndjson"},
        "Observation.000.ndjson": lines(*RESULTS[2:]),
        "Observation.001.ndjson.gz": gzip.compress(lines(*RESULTS[1:2])),
        "Observation.002.ndjson": lines(*RESULTS[:1]),
    },
    "numbers first": {f"1.{name}": content for name, content in PLAIN.items()},
    "lower case": {name.lower(): content for name, content in PLAIN.items()},
    "names that say nothing": {
        f"{number}.ndjson": content for number, content in enumerate(PLAIN.values())
    },
    "names that say something else": {
        "Observation.ndjson": PLAIN["Procedure.ndjson"],
        "Procedure.ndjson": PLAIN["Observation.ndjson"],
        "Patient.ndjson": PLAIN["Condition.ndjson"],
        "Condition.ndjson": PLAIN["Patient.ndjson"],
        "AdverseEvent.ndjson": PLAIN["QuestionnaireResponse.ndjson"],
        "QuestionnaireResponse.ndjson": PLAIN["AdverseEvent.ndjson"],
    },
    "one file of all, procedure last": {
        "export.ndjson": lines(*reversed(EVERYTHING)),
    },
    "one file named otherwise": {"Observation.ndjson": lines(*reversed(EVERYTHING))},
    "one pretty-printed Bundle": {"all.json": _pretty(bundle(EVERYTHING))},
    "a Bundle as one line": {"all.ndjson": lines(bundle(EVERYTHING))},
    "a Bundle in a gz": {"Bundle.ndjson.gz": gzip.compress(lines(bundle(EVERYTHING)))},
    "Bundles and lines": {
        "Patient.ndjson": lines(bundle(PATIENTS)),
        "a.json": _pretty(bundle(RESULTS)),
        "b.json": line(bundle([*CONDITIONS, *EVENTS])),
        "rest.ndjson": lines(*PROCEDURES, bundle(RESPONSES)),
    },
    "nested Bundles": {
        "all.json": _pretty(bundle([bundle(RESULTS), bundle([bundle([*PATIENTS, *RESPONSES])])])),
        "more.ndjson": lines(bundle([bundle([*EVENTS, *CONDITIONS]), *PROCEDURES])),
    },
    "subfolders": {f"a/b/{name}": content for name, content in PLAIN.items()},
    "a folder per type, as Spark writes it": {
        f"{name}/part-{number:05}-1c.snappy.ndjson": one + b"\n"
        for name, content in PLAIN.items()
        for number, one in enumerate(content.splitlines())
    },
    "endings in capitals": {name.upper(): content for name, content in PLAIN.items()},
    "jsonl": {name.replace(".ndjson", ".JsonL"): content for name, content in PLAIN.items()},
    "jsonl in a gz": {
        name.replace(".ndjson", ".jsonl.GZ"): gzip.compress(content)
        for name, content in PLAIN.items()
    },
    "zst": {f"{name}.zst": zstd.compress(content) for name, content in PLAIN.items()},
    "zst in capitals": {f"{name}.ZST": zstd.compress(content) for name, content in PLAIN.items()},
    "zst of two frames": {
        f"{name}.zst": zstd.compress(content[:50]) + zstd.compress(content[50:])
        for name, content in PLAIN.items()
    },
    "BOM in a zst": {
        f"{name}.zst": zstd.compress(b"\xef\xbb\xbf" + content) for name, content in PLAIN.items()
    },
    "a pretty-printed Bundle in a gz": {"all.json.gz": gzip.compress(_pretty(bundle(EVERYTHING)))},
    "a pretty-printed Bundle in a zst": {
        "ALL.JSON.zst": zstd.compress(_pretty(bundle(EVERYTHING)))
    },
    "lines in a json.gz": {"all.json.gz": gzip.compress(lines(*EVERYTHING))},
    "an array": {"all.json": json.dumps(EVERYTHING).encode()},
    "a pretty-printed array": {"all.json": b"\r\n " + _pretty(EVERYTHING)},
    "an array with a BOM in a gz": {
        "all.json.gz": gzip.compress(b"\xef\xbb\xbf" + json.dumps(EVERYTHING).encode())
    },
    "an array of Bundles": {
        "all.json": _pretty([bundle(RESULTS), bundle(EVERYTHING[5:]), *PATIENTS, *PROCEDURES])
    },
    "arrays as lines": {
        "all.ndjson": lines(json.dumps(EVERYTHING[:3]), json.dumps(EVERYTHING[3:]))
    },
    "lines with blanks before them in a json": {
        "all.json": b"".join(b"  " + one + b"\n" for one in lines(*EVERYTHING).splitlines())
    },
    "Parameters": {
        "all.json": _pretty(
            {
                "resourceType": "Parameters",
                "parameter": [
                    {"name": "text", "valueString": "x"},
                    {"name": "return", "resource": bundle(EVERYTHING[4:])},
                    {
                        "name": "parts",
                        "part": [{"name": "one", "resource": one} for one in EVERYTHING[:4]],
                    },
                ],
            }
        )
    },
    "Parameters in a Bundle as a line": {
        "Parameters.ndjson": lines(
            bundle(
                [
                    {
                        "resourceType": "Parameters",
                        "parameter": [{"name": "return", "resource": one} for one in EVERYTHING],
                    }
                ]
            )
        )
    },
    "a deletion of what is not there": {
        **PLAIN,
        "sub/deleted.ndjson": lines(
            {
                "resourceType": "Bundle",
                "type": "transaction",
                "entry": [{"request": {"method": "DELETE", "url": "Observation/nobody"}}],
            }
        ),
    },
    "resources as json files": {
        f"{number}.json": _pretty(resource) for number, resource in enumerate(EVERYTHING)
    },
    "lines in a json file": {"all.json": lines(*EVERYTHING)},
    "a Bundle with entries without resource": {
        "all.json": _pretty(
            bundle([None, *EVERYTHING, None], ["http://x.org/a"] * (len(EVERYTHING) + 2))
        ),
    },
    "CRLF": {name: content.replace(b"\n", b"\r\n") for name, content in PLAIN.items()},
    "no newline at the end": {name: content[:-1] for name, content in PLAIN.items()},
    "CRLF, none at the end": {
        name: content.replace(b"\n", b"\r\n")[:-2] for name, content in PLAIN.items()
    },
    "BOM": {name: b"\xef\xbb\xbf" + content for name, content in PLAIN.items()},
    "BOM in a gz": {
        f"{name}.gz": gzip.compress(b"\xef\xbb\xbf" + content) for name, content in PLAIN.items()
    },
    "BOM in a json": {"all.json": b"\xef\xbb\xbf" + _pretty(bundle(EVERYTHING))},
    "blank lines": {
        name: b"\n\n" + content.replace(b"\n", b"\n \t\r\n\n") for name, content in PLAIN.items()
    },
    "spaces around": {
        name: b"".join(b"  " + one + b"  \n" for one in content.splitlines())
        for name, content in PLAIN.items()
    },
    "spaces within": {
        name: b"".join(json.dumps(json.loads(one)).encode() + b"\n" for one in content.splitlines())
        for name, content in PLAIN.items()
    },
    "resourceType last": {
        name: b"".join(
            line(dict(reversed(json.loads(one).items()))) + b"\n" for one in content.splitlines()
        )
        for name, content in PLAIN.items()
    },
    "gz of two members": {
        f"{name}.gz": gzip.compress(content[:50]) + gzip.compress(content[50:])
        for name, content in PLAIN.items()
    },
    "beside what a computed folder and an export hold": {
        **PLAIN,
        "manifest.json": b"{}",
        "README.md": b"# export",
        ".hidden.ndjson": b"{",
        "Organization.ndjson": lines({"resourceType": "Organization", "id": "o"}),
        "log.ndjson": lines({"resourceType": "OperationOutcome", "issue": []}),
    },
    "a very long line": {
        **PLAIN,
        "Observation.ndjson": lines(
            RESULTS[0],
            {**lab("long"), "note": [{"text": "x" * (9 << 20)}]},
            *RESULTS[1:],
        ),
    },
    "fields that are not read, in any shape": {
        **PLAIN,
        "Observation.ndjson": lines(
            *({**result, "note": 5, "performer": {"a": [None, {}]}} for result in RESULTS)
        ),
    },
    "absolute references": {
        name: content.replace(b'"Patient/p1"', b'"https://fhir.example.org/r4/Patient/p1"')
        for name, content in PLAIN.items()
    },
    "references with a fragment": {
        name: content.replace(b'"Patient/p1"', b'"Patient/p1#name"')
        for name, content in PLAIN.items()
    },
    "references with a slash or blank at the end": {
        name: content.replace(b'"Patient/p1"', b'" https://a.org/Patient/p1/ "')
        for name, content in PLAIN.items()
    },
    "references with a version and a fragment": {
        name: content.replace(b'"Patient/p1"', b'"Patient/p1/_history/3#name"')
        for name, content in PLAIN.items()
    },
    "references with a version": {
        name: content.replace(b'"Patient/p1"', b'"Patient/p1/_history/3"')
        for name, content in PLAIN.items()
    },
    "absolute references with a version": {
        name: content.replace(b'"Patient/p1"', b'"https://a.org/Patient/p1/_history/3"')
        for name, content in PLAIN.items()
    },
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same(layout, expected, tmp_path):
    done = compute(folder(tmp_path / "in", LAYOUTS[layout]), tmp_path / "out")
    assert done.unreadable == []
    assert done.summary.unreadable == 0
    assert done.files["Observation.ndjson"] == expected.files["Observation.ndjson"]
    assert done.files["Provenance.ndjson"] == expected.files["Provenance.ndjson"]


def _by_uuid() -> tuple[list[dict], list[str]]:
    """A Bundle's resources that name each other by full URL; the patient has no id."""
    man = {"resourceType": "Patient"}
    others = [
        {**resource, "subject": {"reference": "urn:uuid:man"}}
        for resource in [*RESULTS, *PROCEDURES, *CONDITIONS, *EVENTS, *RESPONSES]
    ]
    urls = ["urn:uuid:man", *(f"urn:uuid:{number}" for number in range(len(others)))]
    return [man, *others], urls


@pytest.mark.parametrize("patient_first", [True, False])
@pytest.mark.parametrize("depth", [0, 1, 2])
def test_full_urls_refer_within_their_bundle(depth, patient_first, tmp_path):
    resources, urls = _by_uuid()
    if not patient_first:
        resources, urls = resources[::-1], urls[::-1]
    made = bundle(resources, urls)
    for _ in range(depth):
        made = bundle([made])
    done = compute(folder(tmp_path / "in", {"b.json": _pretty(made)}), tmp_path / "out")
    assert not done.summary.unreadable
    assert done.told("no-subject") == []
    assert patients_of(done.observations) == {"man"}
    assert done.value("biochemical-failure", "man") == "Y"


def test_full_urls_mean_nothing_outside_their_bundle(tmp_path):
    one = bundle([patient("p1")], ["urn:uuid:man"])
    other = bundle([{**procedure(), "subject": {"reference": "urn:uuid:man"}}])
    done = compute(folder(tmp_path / "in", {"b.ndjson": lines(one, other)}), tmp_path / "out")
    assert done.observations == []
    assert done.told("no-subject") == ["Procedure/x1"]


def test_the_same_full_url_in_two_bundles_names_two_patients(tmp_path):
    def of(name: str) -> dict:
        treatment = {**procedure(f"x-{name}"), "subject": {"reference": "urn:uuid:1"}}
        return bundle([patient(name), treatment], ["urn:uuid:1", "urn:uuid:2"])

    files = {"b.ndjson": lines(of("p1"), of("p2")), "c.json": _pretty(bundle([of("p3"), of("p4")]))}
    done = compute(folder(tmp_path / "in", files), tmp_path / "out")
    assert patients_of(done.observations) == {"p1", "p2", "p3", "p4"}


@pytest.mark.parametrize(
    "subject", ["urn:uuid:nobody", "#p1", "Patient?identifier=7", "Group/p1", "p1", "", "Patient/"]
)
def test_what_names_no_patient_is_told(subject, tmp_path):
    files = {
        **PLAIN,
        "more.ndjson": lines({**RESULTS[0], "id": "z", "subject": {"reference": subject}}),
    }
    done = compute(folder(tmp_path / "in", files), tmp_path / "out")
    assert done.told("no-subject") == ["Observation/z"]


def test_a_reference_by_identifier_alone_names_no_patient(tmp_path):
    result = {**RESULTS[0], "id": "z", "subject": {"identifier": {"value": "p1"}}}
    done = compute(folder(tmp_path / "in", {**PLAIN, "z.ndjson": lines(result)}), tmp_path / "out")
    assert done.told("no-subject") == ["Observation/z"]


def test_of_a_long_bundle_the_last_read_still_wins(tmp_path):
    """A line after a Bundle is read after all of its entries, however many there are."""
    many = [lab(f"l{number}", of="p9") for number in range(5000)]
    files = {"all.ndjson": lines(procedure(), bundle([*many, psa("a", "2016-05-01", 1)]))}
    files["all.ndjson"] += lines(psa("a", "2016-05-01", 7))
    done = compute(folder(tmp_path / "in", files), tmp_path / "out")
    assert done.value("psa-nadir") == 7


def test_a_bundle_is_read_in_time_that_grows_with_its_length():
    """Four times the entries take four times the processor's time, not sixteen times.

    The least of several runs counts: what else the machine does only ever adds to it.
    """
    import time

    def seconds(count: int) -> float:
        resources = [lab(f"l{number}") for number in range(count)]
        text = line(bundle(resources, [f"urn:uuid:{number}" for number in range(count)]))
        start = time.process_time()
        compute_resources([text], as_of=date(2017, 12, 31))
        return time.process_time() - start

    few, many = (min(seconds(count) for _ in range(3)) for count in (1_500, 6_000))
    assert many < 8 * few


# ------------------------------------------------------------------ faults

BAD_LINES = {
    "cut short": line(RESULTS[3])[:-20],
    "no JSON": b"Observation a 0.8",
    "two resources": line(RESULTS[3]) + line(RESULTS[3]),
    "a number": b"5",
    "a text": b'"Observation"',
    "null": b"null",
    "NUL": b"\x00",
    "an empty object": b"{}",
    "no resourceType": b'{"id":"q","status":"final"}',
    "resourceType null": b'{"resourceType":null,"id":"q"}',
    "resourceType a number": b'{"resourceType":5,"id":"q"}',
    "resourceType empty": b'{"resourceType":"","id":"q"}',
    "unknown resourceType": b'{"resourceType":"Obsrvation","id":"q"}',
    "resourceType in lower case": b'{"resourceType":"observation","id":"q"}',
    "no id": line({**lab("q"), "id": None}),
    "id a number": line({**lab("q"), "id": 7}),
    "empty id": line({**lab("q"), "id": ""}),
    "status a number": line({**psa("q", "2016-05-01", 1), "status": 5}),
    "date a number": line(psa("q", 2016, 1)),
    "value a text": line(psa("q", "2016-05-01", "1.0")),
    "value a boolean": line(psa("q", "2016-05-01", True)),
    "value an object": line(psa("q", "2016-05-01", {"value": 1})),
    "value NaN": line(psa("q", "2016-05-01", float("nan"))),
    "value Infinity": line(psa("q", "2016-05-01", float("inf"))),
    "value 01": line(psa("q", "2016-05-01", 1)).replace(b'"value":1', b'"value":01'),
    "value .5": line(psa("q", "2016-05-01", 1)).replace(b'"value":1', b'"value":.5'),
    "an exponent beyond all numbers": line(psa("q", "2016-05-01", 1)).replace(
        b'"value":1', b'"value":1e99999999999999999999999'
    ),
    "an integer of 5000 digits": line(psa("q", "2016-05-01", 1)).replace(
        b'"value":1', b'"value":1' + b"0" * 5000
    ),
    "code an array": line({**lab("q"), "code": []}),
    "coding an object": line({**lab("q"), "code": {"coding": {}}}),
    "subject a text": line({**lab("q"), "subject": "Patient/p1"}),
    "identifier an object": line({**lab("q"), "identifier": {"value": "q"}}),
    "meta an array": line({**lab("q"), "meta": []}),
    "deceased a text": line({**patient("q"), "deceasedBoolean": "true"}),
    "invalid UTF-8, read": line(lab("q")).replace(b'"q"', b'"q\xff"'),
    "invalid UTF-8, not read": line({**lab("q"), "note": "N"}).replace(b'"N"', b'"\xe9"'),
    "Latin-1": line({**lab("q"), "note": "N"}).replace(b'"N"', "Müller".encode("latin-1")),
    "half a surrogate, read": line(lab("q")).replace(b'"q"', rb'"\ud800"'),
    "half a surrogate, not read": line({**lab("q"), "note": "N"}).replace(b'"N"', rb'"\ud800"'),
    "a tab in a text": line({**lab("q"), "id": "N"}).replace(b'"N"', b'"a\tb"'),
    "UTF-16": '{"resourceType":"Observation"}'.encode("utf-16-le"),
    "nested too deeply": b'{"resourceType":"Observation","note":'
    + b"[" * 5000
    + b"]" * 5000
    + b"}",
    "nested too deeply and never closed": b'{"resourceType":"Observation","note":' + b"[" * 100_000,
    "items nested too deeply": b'{"resourceType":"QuestionnaireResponse","id":"q","item":'
    + b'[{"item":' * 2000
    + b"[]"
    + b"}]" * 2000
    + b"}",
    "entry an object": b'{"resourceType":"Bundle","entry":{}}',
    "entry a text": b'{"resourceType":"Bundle","entry":["x"]}',
}


@pytest.mark.parametrize("zipped", [False, True], ids=["plain", "gz"])
@pytest.mark.parametrize("fault", BAD_LINES)
def test_a_broken_line_is_told_and_the_rest_computed(fault, zipped, expected, tmp_path):
    content = lines(*RESULTS[:2]) + b"\n" + BAD_LINES[fault] + b"\n" + lines(*RESULTS[2:])
    name = "Observation.ndjson"
    files = {other: text for other, text in PLAIN.items() if other != name}
    if zipped:
        name, content = f"{name}.gz", gzip.compress(content)
    done = compute(folder(tmp_path / "in", {**files, name: content}), tmp_path / "out")
    assert done.unreadable == [f"{name}:4"]
    assert done.summary.unreadable == 1
    assert done.files["Observation.ndjson"] == expected.files["Observation.ndjson"]


@pytest.mark.parametrize("text", ["1.0E+400000", "1e-400000", "1E6000", "-0.0", "1" + "0" * 300])
def test_absurd_numbers_are_no_error_of_the_program(text, tmp_path):
    """They are JSON; whether as ``value`` or as ``unreadable``, the rest is computed."""
    odd = line(psa("q", "2016-05-01", 1)).replace(b'"value":1', b'"value":' + text.encode())
    answer = line(response("s", "2016-01-08", [5, 5, 5, 5, 5])).replace(
        b'"valueInteger":5', b'"valueDecimal":' + text.encode()
    )
    files = {**PLAIN, "z.ndjson": lines(odd, answer)}
    done = compute(folder(tmp_path / "in", files), tmp_path / "out")
    assert done.value("prom-score-iief-5") == 21


@pytest.mark.parametrize(
    ("number", "bad"),
    [
        (0, b'{"resourceType":"Obsrvation"}'),
        (2, b'{"id":"x"}'),
        (1, line(psa("q", "2016-05-01", "x"))),
    ],
)
def test_a_broken_entry_is_told_with_its_place(number, bad, expected, tmp_path):
    entries = [b'{"resource":' + line(resource) + b"}" for resource in EVERYTHING]
    entries.insert(number, b'{"resource":' + bad + b"}")
    made = b'{"resourceType":"Bundle","type":"batch","entry":[' + b",".join(entries) + b"]}"
    done = compute(folder(tmp_path / "in", {"b.ndjson": b"\n" + made}), tmp_path / "out")
    assert done.unreadable == [f"b.ndjson:2 entry[{number}]"]
    assert done.files["Observation.ndjson"] == expected.files["Observation.ndjson"]


def test_a_broken_entry_of_a_nested_bundle_is_told_with_its_place(tmp_path):
    inner = bundle([lab("l"), {"resourceType": "Obsrvation"}])
    files = {**PLAIN, "b.json": _pretty(bundle([lab("k"), lab("m"), inner]))}
    done = compute(folder(tmp_path / "in", files), tmp_path / "out")
    assert done.unreadable == ["b.json:1 entry[2].entry[1]"]


@pytest.mark.parametrize(
    "name",
    ["Encounter.ndjson", "Observation.1.ndjson", "Condition.2.ndjson.gz", "b.json", "x.ndjson"],
)
@pytest.mark.parametrize(
    "content", [b"", b"\n", b" \r\n\n\t\n"], ids=["nothing", "newline", "blank"]
)
def test_an_empty_file_is_told(name, content, expected, tmp_path):
    if name.endswith(".gz"):
        content = gzip.compress(content)
    done = compute(folder(tmp_path / "in", {**PLAIN, name: content}), tmp_path / "out")
    assert [text.partition(":")[0] for text in done.unreadable] == [name]
    assert done.files["Observation.ndjson"] == expected.files["Observation.ndjson"]


def test_a_gz_of_no_bytes_is_told(tmp_path):
    done = compute(folder(tmp_path / "in", {**PLAIN, "z.ndjson.gz": b""}), tmp_path / "out")
    assert done.unreadable == ["z.ndjson.gz"]


@pytest.mark.parametrize("kept", [0.3, 0.6, 0.95])
def test_of_a_gz_cut_short_the_lines_before_the_cut_are_read(kept, tmp_path):
    """Random notes, so that the file is long and does not compress to nothing."""
    chance = random.Random(1)
    results = [
        {**psa(f"a{number}", "2016-02-10", 1 + number), "note": chance.randbytes(2000).hex()}
        for number in range(200)
    ]
    packed = gzip.compress(lines(*results))
    files = {
        "Procedure.ndjson": PLAIN["Procedure.ndjson"],
        "Observation.ndjson.gz": packed[: int(len(packed) * kept)],
    }
    done = compute(folder(tmp_path / "in", files), tmp_path / "out")
    assert done.unreadable == ["Observation.ndjson.gz"]
    read = done.summary.read_by_type["Observation"]
    assert 200 * kept - 12 < read < 200 * kept + 2


def test_of_a_small_gz_cut_in_its_last_bytes_all_lines_are_read(expected, tmp_path):
    files = dict(PLAIN)
    packed = gzip.compress(files.pop("Observation.ndjson"))
    files["Observation.ndjson.gz"] = packed[:-6]
    done = compute(folder(tmp_path / "in", files), tmp_path / "out")
    assert done.unreadable == ["Observation.ndjson.gz"]
    assert done.files["Observation.ndjson"] == expected.files["Observation.ndjson"]


@pytest.mark.parametrize("broken", ["checksum", "middle", "header", "not gz", "rubbish after it"])
def test_a_broken_gz_is_told_and_the_rest_computed(broken, tmp_path):
    packed = bytearray(gzip.compress(lines(*RESULTS)))
    if broken == "checksum":
        packed[-6] ^= 0xFF
    elif broken == "middle":
        packed[len(packed) // 2] ^= 0xFF
    elif broken == "header":
        packed[0] = 0
    elif broken == "not gz":
        packed = bytearray(lines(*RESULTS))
    else:
        packed += b"rubbish"
    files = {name: content for name, content in PLAIN.items() if name != "Observation.ndjson"}
    files["Observation.ndjson.gz"] = bytes(packed)
    done = compute(folder(tmp_path / "in", files), tmp_path / "out")
    assert any(place.startswith("Observation.ndjson.gz") for place in done.unreadable)
    lost = broken in ("middle", "header", "not gz")
    plain = done.value("biochemical-failure")
    assert plain in (("Y", "absent too-few-psa") if lost else ("Y",))


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_without_permission_is_told(tmp_path):
    source = folder(tmp_path / "in", {**PLAIN, "Encounter.ndjson": b"{}"})
    (source / "Encounter.ndjson").chmod(0)
    done = compute(source, tmp_path / "out")
    assert done.unreadable == ["Encounter.ndjson"]
    assert done.value("biochemical-failure") == "Y"


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="a file that gives an I/O error")
def test_a_file_that_cannot_be_read_is_told(tmp_path):
    """An I/O error, as a bad disk or a lost share gives it."""
    source = folder(tmp_path / "in", PLAIN)
    (source / "Encounter.ndjson").symlink_to("/proc/self/mem")
    ran = cli("compute", source, tmp_path / "out", "--as-of", "2017-12-31")
    assert "Encounter.ndjson" in (tmp_path / "out" / "issues.ndjson").read_text()
    assert ran.code == 4


def test_what_is_not_read_in_a_folder_is_named(tmp_path):
    source = folder(tmp_path / "in", {**PLAIN, "notes.txt": b"x", "Observation.csv": b"x"})
    folder(source / "more", {"Observation.ndjson": lines(psa("z", "2016-03-01", 9))})
    done = compute(source, tmp_path / "out")
    assert done.summary.passed_over == ["Observation.csv", "notes.txt"]
    assert done.summary.read_by_type["Observation"] == len(RESULTS) + 1


def test_a_file_that_is_a_link_into_nothing_is_unreadable(tmp_path):
    """It has the name of a file of resources: the rest is not the whole."""
    source = folder(tmp_path / "in", PLAIN)
    (source / "Observation.2.ndjson").symlink_to(tmp_path / "nowhere")
    done = compute(source, tmp_path / "out")
    assert done.unreadable == ["Observation.2.ndjson"]


@pytest.mark.parametrize("files", [{}, {"README.md": b"x"}, {"manifest.json": b"{}"}])
def test_a_folder_with_nothing_to_read_is_refused(files, tmp_path):
    with pytest.raises(SourceError, match="nothing to read"):
        compute(folder(tmp_path / "in", files), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_command_says_first_what_could_not_be_read(tmp_path):
    source = folder(tmp_path / "in", {**PLAIN, "z.ndjson": b"{\n"})
    ran = cli("compute", source, tmp_path / "out", "--as-of", "2017-12-31")
    assert ran.code == 4
    assert ran.err.startswith("UNREADABLE: 1")
    assert cli("compute", folder(tmp_path / "ok", PLAIN), tmp_path / "out2").code == 0


def test_an_unreadable_resource_is_no_lacking_type(tmp_path):
    """A source whose only Condition is broken does keep Conditions."""
    whole = {**condition("m", "2016", of="p9"), "note": "N"}
    for bad in (
        line({**whole, "onsetDateTime": 5}),
        line(whole).replace(b'"N"', b'"\xff"'),
        line({**whole, "id": None}),
    ):
        files = {**PLAIN, "Condition.ndjson": bad}
        done = compute(folder(tmp_path / "in", files), tmp_path / "out")
        assert done.summary.unreadable == 1
        assert done.value("metastasis") == "N"


@pytest.mark.parametrize(
    ("d0", "as_of"),
    [
        ("0001-01-01", date(2017, 12, 31)),  # what some systems write for no date
        ("0001-03-01", date(2017, 12, 31)),
        ("1900-01-01", date(2017, 12, 31)),
        ("9999-12-31", date(9999, 12, 31)),
        ("9999-02-01", date(9999, 12, 31)),
        ("2016-01-10", date(9999, 12, 31)),
        ("2016-01-10", date(1, 1, 1)),
    ],
)
def test_dates_at_the_calendar_s_ends_are_no_error_of_the_program(d0, as_of):
    resources = [procedure(on=d0), procedure("x2", "2016-01-10", of="p2"), *RESULTS]
    compute_resources([*resources, *CONDITIONS, *EVENTS, *RESPONSES], as_of=as_of)


@pytest.mark.parametrize(
    "far", ["0001-01-01", "9999-12-31", "0001", "9999-12", "9999-12-31T23:59:59Z"]
)
def test_events_at_the_calendar_s_ends_are_no_error_of_the_program(far, tmp_path):
    odd = [
        psa("oa", far, 1),
        condition("oc", far),
        condition("od", None, recordedDate=far),
        adverse_event("oe", far),
        response("or", far, [1, 1, 1, 1, 1]),
        {**patient("p1"), "deceasedDateTime": far},
    ]
    for resource in odd:
        done = compute_resources([*EVERYTHING[1:], resource], as_of=date(2017, 12, 31))
        assert value(done.observations, "psa-nadir") is not None
    files = {"all.ndjson": lines(*EVERYTHING[1:], *odd)}
    assert cli("explain", folder(tmp_path / "in", files), "p1", "--as-of", "2017-12-31").code == 0


# ------------------------------------------------------------------ in parts, by several


def _cohort_files() -> dict[str, bytes]:
    """A folder of many patients with all kinds of trouble, the same at every call."""
    chance = random.Random(7)
    people = [f"p{number:02}" for number in range(40)]
    treated = people[:30]
    procedures = [procedure(f"x-{one}", "2016-01-10", one) for one in treated]
    # versions that differ in whether they are of use
    procedures += [
        procedure("x-p00", status="entered-in-error", of="p00", meta=meta("2017-01-01T00:00:00Z")),
        procedure("x-p31", of="p31", meta=meta("2017-01-01T00:00:00Z", "2")),
        procedure("x-p31", of="p31", code={"text": "?"}, meta=meta("2016-01-01T00:00:00Z", "1")),
    ]
    results: list[bytes] = []
    for number in range(600):
        one = chance.choice(people)
        month, day = chance.randint(1, 12), chance.randint(1, 28)
        amount = chance.choice([0.1, 0.4, 2.5, 3, 10**15, 4.25])
        result = psa(f"o{number % 450}", f"2016-{month:02}-{day:02}", amount, one)
        if chance.random() < 0.2:
            result["meta"] = meta(f"2017-01-{day:02}T00:00:00Z", str(chance.randint(1, 20)))
        if chance.random() < 0.2:
            result["code"] = {"coding": [{"system": "http://loinc.org", "code": "718-7"}]}
        if chance.random() < 0.05:
            result["note"] = [{"text": "é" * chance.randint(1, 900)}]
        text = line(result)
        if chance.random() < 0.04:
            text = text[: chance.randint(1, len(text) - 1)]
        if chance.random() < 0.03:
            text = text.replace(b'"final"', b'"fin\xffal"')
        results.append(text)
        if chance.random() < 0.1:
            results.append(chance.choice([b"", b"  ", b"\r"]))
    events = [adverse_event(f"e-{one}", "2016-02-01", one) for one in people[::3]]
    answers = [response(f"r-{one}", "2016-01-09", [1, 2, 3, 4, 5], one) for one in people]
    merges = [patient(one) for one in people[:-1]]
    merges.append(
        patient("p39", link=[{"other": {"reference": "Patient/p05"}, "type": "replaced-by"}])
    )
    return {
        "Patient.ndjson": lines(*merges),
        "Procedure.ndjson": lines(*procedures[::2]),
        "Observation.000.ndjson": b"\xef\xbb\xbf" + lines(*results[:300]),
        "Observation.001.ndjson": b"\r\n".join(results[300:]),
        "Observation.002.ndjson.gz": gzip.compress(lines(*results[::7]), mtime=0)[:-30],
        "mixed.ndjson": lines(*procedures[1::2], *answers, bundle([*events, None])),
        "Encounter.ndjson": b"",
    }


@pytest.fixture(scope="module")
def at_once(tmp_path_factory) -> Computed:
    path = tmp_path_factory.mktemp("parts")
    done = compute(folder(path / "in", _cohort_files()), path / "out", workers=1)
    assert done.summary.unreadable > 20
    assert len(patients_of(done.observations)) >= 29
    return done


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2, 3])
@pytest.mark.parametrize("size", [300, 97, 4096, 1 << 24])
def test_parts_and_workers_change_nothing(size, workers, at_once, tmp_path, monkeypatch):
    if workers > 1 and not sys.platform.startswith("linux"):
        pytest.skip("one process works where there is no fork")
    monkeypatch.setattr(folder_source, "PART_SIZE", size)
    monkeypatch.setattr(drivers, "_WORTH_SHARING", 0)
    monkeypatch.setattr(pipeline, "_PATIENTS_PER_WORKER", 1)
    done = compute(folder(tmp_path / "in", _cohort_files()), tmp_path / "out", workers=workers)
    assert done.unreadable == at_once.unreadable
    for name, content in at_once.files.items():
        assert done.files[name] == content, name


@pytest.mark.parametrize("number", ["1" + "0" * 25, "-" + "9" * 20, "1E400", "0.10", "1e-30"])
def test_numbers_of_any_size_go_from_process_to_process(number):
    """What a worker collected arrives as it was."""
    odd = [
        line(psa("a", "2016-05-01", 1)).replace(b'"value":1', f'"value":{number}'.encode()),
        line(response("r", "2016-01-09", [5, 5, 4, 4, 3])).replace(
            b'"valueInteger":5', f'"valueDecimal":{number}'.encode()
        ),
        *map(line, EVERYTHING),
    ]
    request = RunConfig.of(Settings(), AS_OF).read_request(drivers.OneProcess())
    collector = RecordCollector(request.retention())
    read(odd, collector, request.context(), 0)
    other = collector.empty_copy()
    other.merge(collector.encode())
    assert other.items == collector.items
    assert other.facts == collector.facts


def test_line_numbers_are_those_of_the_file(at_once):
    """Checked against the files themselves, by the simplest reading there is."""
    for name, content in _cohort_files().items():
        if name.endswith(".gz"):
            continue
        bad = []
        for number, text in enumerate(content.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
            try:
                if text.strip():
                    json.loads(text.decode("utf-8"))
            except ValueError:
                bad.append(f"{name}:{number}")
        told = [place for place in at_once.unreadable if place.startswith(f"{name}:")]
        assert told == bad


@pytest.mark.parametrize("batch", [1, 64, 1000])
def test_batches_change_nothing(batch, at_once, tmp_path, monkeypatch):
    from fhircryo.fhir import file_lines

    monkeypatch.setattr(file_lines, "_BATCH", batch)
    done = compute(folder(tmp_path / "in", _cohort_files()), tmp_path / "out", workers=1)
    assert done.files["issues.ndjson"] == at_once.files["issues.ndjson"]
    assert done.files["Observation.ndjson"] == at_once.files["Observation.ndjson"]
