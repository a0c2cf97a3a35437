"""A folder that is computed by ranges of patients gives what computing it in memory gives."""

import errno
import gzip
import json
import os
import random
import signal
import time
import weakref
from pathlib import Path

import pytest

from fhircryo.errors import TargetError
from fhircryo.fhir.input_files import InputFile
from fhircryo.record import ranges as record_ranges
from fhircryo.record.patients import ALL_PATIENTS
from fhircryo.runs import by_ranges, drivers, to_folder
from fhircryo.runs.execution import Execution
from fhircryo.runs.processes import CAN_FORK, WorkerError
from fhircryo.runs.run_config import RunConfig
from fhircryo.runs.workload import ranges_for
from fhircryo.settings import Settings
from tests.unit.inputs import AS_OF, COHORT, cli, concept, folder, merged, patient, procedure, psa

CANCER = concept("http://snomed.info/sct", "399068003")
BOWEL = concept("http://hl7.org/fhir/sid/icd-10", "C18.7")
METASTASIS = concept("http://snomed.info/sct", "314994000")
HORMONE = concept("http://www.whocc.no/atc", "L02AE02")
OTHER_DRUG = concept("http://www.whocc.no/atc", "N02BE01")
CLAVIEN = "https://w3id.org/fhircryo/CodeSystem/clavien-dindo"
PRIMARY = "http://hl7.org/fhir/us/mcode/StructureDefinition/mcode-related-primary-cancer-condition"
PEOPLE = [f"p{number:02d}" for number in range(12)]


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Several processes, and several writes of each, though the inputs are small."""
    monkeypatch.setattr(drivers, "_WORTH_SHARING", 0)
    monkeypatch.setattr(record_ranges, "_ITEMS_AT_A_TIME", 3)


@pytest.fixture
def used(monkeypatch):
    """Whether each computation by ranges gave a result."""
    found = []
    whole = to_folder.write_ranges

    def noted(*arguments):
        written = whole(*arguments)
        found.append(written is not None)
        return written

    monkeypatch.setattr(to_folder, "write_ranges", noted)
    return found


def files_of(source: Path, target: Path, how: Execution, selection=ALL_PATIENTS) -> dict:
    config = RunConfig.of(Settings.model_construct(), AS_OF, selection)
    to_folder.compute_folder(source, target, config, how)
    return {path.name: path.read_bytes() for path in target.iterdir()}


def check(source: Path, place: Path) -> None:
    expected = files_of(source, place / "plain", Execution(ranges=1))
    for workers in (1, 2) if CAN_FORK else (1,):
        for count in (2, 3, 7):
            how = Execution(workers=workers, ranges=count)
            found = files_of(source, place / f"{workers}-{count}", how)
            assert found.keys() == expected.keys()
            for name, content in expected.items():
                assert found[name] == content, (workers, count, name)
    assert not [path for path in place.iterdir() if path.name.startswith(".")]


@pytest.mark.slow
def test_the_example_cohort(tmp_path, used):
    check(COHORT, tmp_path)
    assert all(used)


def of(kind: str, name: str, person: str | None, **more) -> dict:
    made = {"resourceType": kind, "id": name, **more}
    return made | ({"subject": {"reference": f"Patient/{person}"}} if person else {})


def everybody() -> list[dict]:
    found = [patient(person) for person in PEOPLE]
    found += [procedure(f"x-{person}", of=person) for person in PEOPLE[:10]]
    for person in PEOPLE:
        found += [psa(f"{person}-{n}", f"2016-0{n}-01", n / 10, of=person) for n in range(3, 9)]
    return found


def version(resource: dict, number: int) -> dict:
    return {**resource, "meta": {"versionId": str(number)}}


def messy(seed: int) -> dict[str, list]:
    """Files with all that a range cannot decide alone, distributed at random."""
    dice = random.Random(seed)
    some = lambda: dice.choice(PEOPLE)  # noqa: E731
    lines: list = everybody()
    for n in range(6):
        moved = psa(f"moved-{n}", "2016-10-01", 1, of=some())
        lines += [
            version(moved, 1),
            version({**moved, "subject": {"reference": f"Patient/{some()}"}}, 2),
        ]
    unmapped = psa("unmapped", "2016-11-01", 2, of=some())
    lines += [version(unmapped, 1), version({**unmapped, "code": BOWEL}, 2)]
    lines += [merged(PEOPLE[10], PEOPLE[dice.randrange(10)])]
    if seed % 2:
        lines += [merged(PEOPLE[3], PEOPLE[8])]
    if seed % 3 == 0:
        first = merged(PEOPLE[2], PEOPLE[7])
        lines += [version(first, 1), version(patient(PEOPLE[2]), 2)]
    for n in range(8):
        lines += [of("AdverseEvent", f"ae-{n}", some(), date="2016-02-01", actuality="actual")]
        lines += [
            of(
                "Observation",
                f"grade-{n}",
                some(),
                status="final",
                code=concept("https://w3id.org/fhircryo/CodeSystem/concept", "clavien-dindo-grade"),
                valueCodeableConcept=concept(CLAVIEN, "III"),
                effectiveDateTime="2016-02-02",
                focus=[{"reference": f"AdverseEvent/ae-{dice.randrange(9)}"}],
            )
        ]
    lines += [
        of("Condition", "cancer", some(), code=CANCER),
        of("Condition", "bowel", some(), code=BOWEL),
    ]
    for n in range(6):
        name = dice.choice(["cancer", "bowel", "nowhere"])
        primary = {"url": PRIMARY, "valueReference": {"reference": f"Condition/{name}"}}
        lines += [
            of(
                "Condition",
                f"meta-{n}",
                some(),
                code=METASTASIS,
                onsetDateTime="2016-09-01",
                extension=[primary],
            )
        ]
    if seed % 4 != 1:
        lines += [
            of("Medication", "m1", None, code=HORMONE),
            of("Medication", "m2", None, code=OTHER_DRUG),
        ]
        lines += [
            version(of("Medication", "m3", None, code=one), n)
            for n, one in enumerate((HORMONE, OTHER_DRUG))
        ]
    for n in range(8):
        drug = dice.choice(
            [{"medicationReference": {"reference": f"Medication/m{dice.randrange(1, 5)}"}}] * 3
            + [{"medicationCodeableConcept": HORMONE}]
        )
        lines += [
            of(
                "MedicationStatement",
                f"drug-{n}",
                some(),
                status="active",
                effectiveDateTime="2016-07-01",
                **drug,
            )
        ]
    lines += [
        psa("nobody", "2016-10-01", 1, of=None),
        b'{"resourceType": "Observation", "id": ',
        b"\xff",
    ]
    if seed % 5 == 0:
        gone = [
            f"Patient/{PEOPLE[4]}",
            "Observation/moved-1",
            "AdverseEvent/ae-1",
            "Observation/p05-3",
        ]
        entries = [{"request": {"method": "DELETE", "url": one}} for one in gone]
        lines += [{"resourceType": "Bundle", "type": "transaction", "entry": entries}]
    dice.shuffle(lines)
    return {f"data-{n}.ndjson": lines[n::3] for n in range(3)}


def written(place: Path, files: dict[str, list]) -> Path:
    place.mkdir()
    for name, lines in files.items():
        encoded = [one if isinstance(one, bytes) else json.dumps(one).encode() for one in lines]
        (place / name).write_bytes(b"\n".join(encoded) + b"\n")
    return place


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12))
def test_messy_cohorts(seed, tmp_path, used):
    source = written(tmp_path / "in", messy(seed))
    (tmp_path / "out").mkdir()
    check(source, tmp_path / "out")
    assert all(used) or seed % 4 == 1  # without Medications and with versions: in memory


def test_nobody_in_the_cohort_is_computed_in_memory(tmp_path, used):
    source = folder(tmp_path / "in", {"a.ndjson": [patient("p1"), psa("a", "2016-05-01", 1)]})
    (tmp_path / "out").mkdir()
    check(source, tmp_path / "out")
    assert not any(used)


def packed(place: Path, seed: int) -> Path:
    """A messy cohort with a compressed file and a Bundle as a document."""
    lines, document, packed_lines = messy(seed).values()
    place.mkdir()
    rows = [one if isinstance(one, bytes) else json.dumps(one).encode() for one in lines]
    (place / "data-0.ndjson").write_bytes(b"\n".join(rows))
    entries = [{"resource": one} for one in document if not isinstance(one, bytes)]
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": entries}
    (place / "bundle.json").write_text(json.dumps(bundle, indent=1))
    with gzip.open(place / "data-2.ndjson.gz", "wb") as file:
        for one in packed_lines:
            file.write((one if isinstance(one, bytes) else json.dumps(one).encode()) + b"\n")
    return place


@pytest.mark.slow
@pytest.mark.parametrize("seed", [2, 3, 7])
def test_compressed_files_and_documents(seed, tmp_path, used):
    source = packed(tmp_path / "in", seed)
    (tmp_path / "out").mkdir()
    check(source, tmp_path / "out")
    assert used
    assert all(used)


@pytest.mark.slow
@pytest.mark.skipif(not CAN_FORK, reason="needs several processes")
def test_a_killed_worker_leaves_no_target(tmp_path, monkeypatch):
    parent, whole = os.getpid(), by_ranges.read_range

    def killed(*arguments):
        if os.getpid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.05)  # the other process gets a range
        return whole(*arguments)

    monkeypatch.setattr(by_ranges, "read_range", killed)
    with pytest.raises(WorkerError, match="-9"):
        files_of(COHORT, tmp_path / "out", Execution(workers=2, ranges=20))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("workers", [1, 2] if CAN_FORK else [1])
def test_a_full_disk_leaves_no_target(workers, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(record_ranges.FileStore, "append", full)
    with pytest.raises(TargetError, match="No space left"):
        files_of(COHORT, tmp_path / "out", Execution(workers=workers, ranges=3))
    assert not list(tmp_path.iterdir())


def test_one_range_is_held_at_a_time(tmp_path, monkeypatch):
    """What is held does not grow with the patients if the ranges grow in number with them."""
    most = {}
    for people in (40, 160):
        source = folder(
            tmp_path / f"in-{people}",
            {
                "p.ndjson": [patient(f"p{n:03}") for n in range(people)],
                "x.ndjson": [procedure(f"x{n:03}", of=f"p{n:03}") for n in range(people)],
                "o.ndjson": [
                    psa(f"{n:03}-{month}", f"2016-0{month}-01", 1, of=f"p{n:03}")
                    for n in range(people)
                    for month in range(2, 9)
                ],
            },
        )
        held: list[weakref.ref] = []
        counts: list[int] = []
        whole = by_ranges.read_range

        def noted(*arguments, whole=whole, held=held, counts=counts):
            counts.append(sum(len(one()) for one in held if one() is not None))
            read = whole(*arguments)
            records = Held(read.records.records)
            held.append(weakref.ref(records))
            read.records.records = records
            counts.append(sum(len(one()) for one in held if one() is not None))
            return read

        with monkeypatch.context() as patched:
            patched.setattr(by_ranges, "read_range", noted)
            files_of(source, tmp_path / f"out-{people}", Execution(ranges=people // 10))
        most[people] = max(counts)
        assert len(held) == people // 10
    assert most == {40: 10, 160: 10}


class Held(dict):
    """A dict to which a weak reference can refer."""


MIB = 1 << 20


@pytest.mark.parametrize(
    ("size", "workers", "memory", "count"),
    [
        (300 * MIB, 1, None, 1),
        (300 * MIB, 2, None, 8),
        (300 * MIB, 1, 2000 * MIB, 1),
        (300 * MIB, 1, 260 * MIB, 4),
        (300 * MIB, 2, 520 * MIB, 8),
        (9000 * MIB, 1, None, 13),
        (9000 * MIB, 1, 1 * MIB, 250),
    ],
)
def test_the_number_of_ranges_follows_size_processes_and_memory(size, workers, memory, count):
    file = InputFile(Path("a.ndjson"), "a.ndjson", size, None)
    assert ranges_for([file], Execution(workers=workers, memory=memory)) == count


@pytest.mark.parametrize("size", ["500", "MB", "0MB", "-1GB", "half GB"])
def test_a_memory_that_is_no_size_is_refused(size, tmp_path):
    ran = cli("compute", COHORT, tmp_path / "out", "--memory", size)
    assert ran.code == 2
    assert "500MB" in ran.err


@pytest.mark.parametrize(
    ("options", "least"), [(["--memory", "100MB"], 200), (["--memory=500MB", "--workers=4"], 800)]
)
def test_a_memory_that_is_too_small_is_refused(options, least, tmp_path):
    ran = cli("compute", COHORT, tmp_path / "out", *options)
    assert ran.code == 2
    assert f"at least {least}MB" in ran.err
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_the_option_gives_the_same_files(tmp_path):
    for name, more in (("plain", []), ("bounded", ["--memory", "200MB"])):
        run = cli("compute", COHORT, tmp_path / name, "--as-of", "2017-12-31", *more)
        assert run.code == 0
    for path in (tmp_path / "plain").iterdir():
        assert path.read_bytes() == (tmp_path / "bounded" / path.name).read_bytes()
