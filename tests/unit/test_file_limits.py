"""How much of a file is read: long lines, bombs, documents, files that grow; memory is bounded."""

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fhircryo.fhir import file_lines
from fhircryo.fhir.file_lines import FileLimits, UnreadLine
from fhircryo.fhir.input_files import input_files, parts, read_batches
from tests.unit.inputs import AS_OF, cli, compute, folder, line, lines, patient, procedure, psa

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MEGABYTE = 1 << 20
SMALL = FileLimits(line_megabytes=1, unpacked_gigabytes=1)
COURSE = [
    patient("p1"),
    procedure(),
    psa("a1", "2016-03-01", 0.2),
    psa("a2", "2016-09-01", 0.5),
    psa("a3", "2017-03-01", 3.5),
]
LONG = b'{"resourceType":"Basic","id":"' + b"x" * (2 * MEGABYTE) + b'"}\n'
PACKED = {"": bytes, ".gz": gzip.compress, ".zst": zstd.compress}


def read(source: Path, limits: FileLimits = SMALL, size: int = 16 << 20) -> list[bytes]:
    files, _ = input_files(source, limits)
    return [one for part in parts(files, size) for batch in read_batches(part) for one in batch]


def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FHIRCRYO_SOURCE__MAX_LINE_MB", "1")
    monkeypatch.setenv("FHIRCRYO_SOURCE__MAX_UNPACKED_GB", "1")


@pytest.mark.parametrize("ending", PACKED)
@pytest.mark.parametrize(
    "long", [LONG, b" " * (3 * MEGABYTE) + b"\n", b"{" * (3 * MEGABYTE) + b"\n"]
)
def test_a_long_line_is_reported_and_the_others_are_read(long, ending, monkeypatch, tmp_path):
    """The line, the setting and exit code 4; the same endpoints as without it."""
    small(monkeypatch)
    alone = compute(folder(tmp_path / "alone", {"a.ndjson": COURSE}), tmp_path / "expected")
    content = lines(*COURSE[:2]) + long + lines(*COURSE[2:])
    source = folder(
        tmp_path / "in",
        {f"a.ndjson{ending}": PACKED[ending](content), "b.ndjson": lines(psa("b", None, 1))},
    )
    ran = cli("compute", source, tmp_path / "out", "--as-of", AS_OF)
    assert ran.code == 4, ran.err
    issues = (tmp_path / "out" / "issues.ndjson").read_text()
    assert (
        f"a.ndjson{ending}:3: the line has more than 1 MB and is not read; raise max_line_mb"
        in (issues)
    )
    made = (tmp_path / "out" / "Observation.ndjson").read_bytes()
    assert made == alone.files["Observation.ndjson"]
    surveyed = cli("mappings", "survey", source)
    assert surveyed.code == 4, surveyed.err


@pytest.mark.parametrize("piece", [1, 7, 1 << 20])
@pytest.mark.parametrize("size", [1, 40, 1 << 20])
def test_every_line_is_read_once_by_whichever_part(piece, size, monkeypatch, tmp_path):
    """Whatever the sizes of parts, pieces and batches are."""
    monkeypatch.setattr(file_lines, "_PIECE", piece)
    monkeypatch.setattr(file_lines, "_BATCH", 16)
    monkeypatch.setattr(file_lines, "_MEGABYTE", 60)
    short = [b"{%d}\n" % number for number in range(20)]
    content = b"\xef\xbb\xbf" + b"".join(short[:9]) + b"y" * 300 + b"\n" + b"".join(short[9:])
    found = read(folder(tmp_path / "in", {"a.ndjson": content + b"last"}), size=size)
    assert [one for one in found if not isinstance(one, UnreadLine)] == [*short, b"last"]
    assert [type(one) for one in found].index(UnreadLine) == 9
    assert sum(isinstance(one, UnreadLine) for one in found) == 1


def test_a_line_of_the_longest_length_is_read(tmp_path):
    exact = b"x" * (MEGABYTE - 1) + b"\n"
    assert read(folder(tmp_path / "in", {"a.ndjson": exact + b"{}\n"})) == [exact, b"{}\n"]


def test_a_long_line_is_searched_by_the_part_in_which_it_begins_alone(monkeypatch, tmp_path):
    """Many parts within one line read no more than the line together."""
    source = folder(tmp_path / "in", {"a.ndjson": b" " * (20 * MEGABYTE) + b"\n{}\n"})
    sizes: list[int] = []
    unwatched = file_lines.pieces_of_lines_from

    class Watched:
        def __init__(self, file):
            self._file = file
            self.seek = file.seek

        def read(self, size):
            piece = self._file.read(size)
            sizes.append(len(piece))
            return piece

    monkeypatch.setattr(
        "fhircryo.fhir.input_files.pieces_of_lines_from",
        lambda file, *where: unwatched(Watched(file), *where),
    )
    found = read(source, size=MEGABYTE)
    assert [bytes(one) for one in found] == [b"(not read)", b"{}\n"]
    assert sum(sizes) < 3 * 20 * MEGABYTE


@pytest.mark.parametrize("ending", [".gz", ".zst"])
@pytest.mark.parametrize("name", ["a.ndjson", "a.json"])
def test_what_unpacks_to_too_much_is_not_read_further(name, ending, monkeypatch, tmp_path):
    """What comes before the limit is read, and so are the other files."""
    monkeypatch.setattr(file_lines, "_GIGABYTE", 4 * MEGABYTE)
    small(monkeypatch)
    content = lines(*COURSE[:2]) + (lines(COURSE[3]) * 40_000)
    source = folder(
        tmp_path / "in",
        {f"{name}{ending}": PACKED[ending](content), "z.ndjson": [COURSE[2], COURSE[4]]},
    )
    ran = cli("compute", source, tmp_path / "out", "--as-of", AS_OF, "--workers", "1")
    assert ran.code == 4, ran.err
    issues = (tmp_path / "out" / "issues.ndjson").read_text()
    assert f"{name}{ending}: the file unpacks to more than 1 GB" in issues
    assert "raise max_unpacked_gb" in issues
    made = map(json.loads, (tmp_path / "out" / "Observation.ndjson").read_text().splitlines())
    codes = {one["code"]["coding"][0]["code"]: one for one in made}
    assert codes["biochemical-failure"]["valueCodeableConcept"]["coding"][0]["code"] == "Y"


@pytest.mark.parametrize("ending", PACKED)
def test_a_document_is_not_larger_than_a_line_may_be(ending, monkeypatch, tmp_path):
    small(monkeypatch)
    pretty = json.dumps({"resourceType": "Bundle", "entry": [{}] * 200_000}, indent=1).encode()
    source = folder(
        tmp_path / "in", {f"a.json{ending}": PACKED[ending](pretty), "b.ndjson": COURSE}
    )
    ran = cli("compute", source, tmp_path / "out", "--as-of", AS_OF)
    assert ran.code == 4, ran.err
    issues = (tmp_path / "out" / "issues.ndjson").read_text()
    assert f"a.json{ending}: the JSON document has more than 1 MB and is not read" in issues


@pytest.mark.parametrize("ending", PACKED)
def test_lines_in_a_file_that_is_named_json_may_be_as_many_as_they_are(ending, tmp_path):
    content = line(COURSE[2]) + b"\n"
    source = folder(tmp_path / "in", {f"a.json{ending}": PACKED[ending](content * 10_000)})
    assert read(source) == [content] * 10_000


def test_several_members_of_a_gzip_file_are_read(tmp_path):
    source = folder(
        tmp_path / "in",
        {"a.ndjson.gz": b"".join(map(gzip.compress, map(line, [b"{1}\n", b"{2}", b"\n{3}\n"])))},
    )
    assert read(source) == [b"{1}\n", b"{2}\n", b"{3}\n"]


def test_a_window_that_takes_gigabytes_is_refused(tmp_path):
    """A Zstandard frame may ask for a window of 3.75 TB."""
    frame = b"\x28\xb5\x2f\xfd\x00\xff" + b"\x01\x00\x00"
    source = folder(tmp_path / "in", {"a.ndjson.zst": frame, "b.ndjson": COURSE})
    done = compute(source, tmp_path / "out")
    assert done.unreadable == ["a.ndjson.zst"]
    assert done.value("biochemical-failure") == "Y"


def test_what_is_appended_while_a_file_is_read_is_not_read(tmp_path):
    """A file that grows as fast as it is read would never end."""
    source = folder(tmp_path / "in", {"a.ndjson": b"{1}\n{2}\n"})
    files, _ = input_files(source)
    (part,) = parts(files, 1 << 20)
    with files[0].path.open("ab") as file:
        file.write(b"{3}\n")
    assert [one for batch in read_batches(part) for one in batch] == [b"{1}\n", b"{2}\n"]


@pytest.mark.parametrize("name", ["a.ndjson", "log.ndjson", "manifest.json", "notes.txt"])
def test_a_pipe_is_not_waited_for(name, tmp_path):
    """In any folder: reading a pipe waits for somebody who writes to it."""
    source = folder(tmp_path / "in", {"a/a.ndjson": COURSE, "z/z.ndjson": COURSE})
    for place in (source, source / "z"):
        os.mkfifo(place / name)
    done = compute(source, tmp_path / "out")
    assert done.value("biochemical-failure") == "Y"
    pipes = [name, f"z/{name}"] if name != "notes.txt" else []
    assert done.unreadable == pipes


def test_a_document_of_very_many_short_lines_takes_no_more_memory(tmp_path):
    """Each line would take ten times its length as an object."""
    source = folder(tmp_path / "in", {"a.json.gz": gzip.compress(b"{}\n" * (7 * MEGABYTE // 3))})
    count, kilobytes = measured(source)
    assert count == 1
    assert kilobytes < 60_000


@pytest.mark.slow
def test_folders_may_be_nested_deeply(tmp_path):
    """More deeply than functions may call each other."""
    inner = tmp_path / "in"
    inner.mkdir()
    for _ in range(1300):
        inner /= "d"
        inner.mkdir()
    (inner / "a.ndjson").write_bytes(lines(*COURSE))
    try:
        files, _ = input_files(tmp_path / "in")
        assert [file.path for file in files] == [inner / "a.ndjson"]
    finally:
        # What removes temporary folders descends by functions that call each other.
        (inner / "a.ndjson").unlink()
        while inner != tmp_path:
            inner.rmdir()
            inner = inner.parent


_MEASURED = """
import resource, sys
from pathlib import Path
from fhircryo.fhir.file_lines import FileLimits
from fhircryo.fhir.input_files import input_files, parts, read_batches
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
count = 0
files, _ = input_files(Path(sys.argv[1]), FileLimits(8, 1))
for part in parts(files, 16 << 20):
    try:
        for batch in read_batches(part):
            count += len(batch)
    except Exception as error:
        assert "is not read" in str(error), error
print(count, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def measured(source: Path) -> tuple[int, int]:
    """How many lines a folder has, and by how many kilobytes the memory grows."""
    done = subprocess.run(
        [sys.executable, "-c", _MEASURED, source], capture_output=True, text=True, check=True
    )
    count, kilobytes = map(int, done.stdout.split())
    return count, kilobytes


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a.ndjson", "a.json", "a.ndjson.gz", "a.json.gz", "a.ndjson.zst"])
def test_memory_does_not_grow_with_a_line(name, tmp_path):
    """A line of 300 MB, with a limit of 8 MB, takes less than 60 MB; its file ends with another."""
    source = tmp_path / "in"
    source.mkdir()
    opened = {"": open, ".gz": gzip.open, ".zst": zstd.open}[
        name.removeprefix("a.ndjson").removeprefix("a.json")
    ]
    with opened(source / name, "wb") as file:
        for _ in range(300):
            file.write(b" " * MEGABYTE)
        file.write(b"\n{}\n")
    count, kilobytes = measured(source)
    assert count == (0 if ".json" in name else 2)
    assert kilobytes < 60_000


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_file_that_is_no_fhir_is_summed_up(workers, tmp_path):
    """Its first lines are listed, the others of each type are counted: all are unreadable."""
    wrong = b"{}\n" * 5000 + b'{"resourceType":"Procedure","status":1}\n' * 3000 + b"[\n" * 2000
    content = {"a.ndjson": COURSE, "wrong.ndjson": wrong, "z.ndjson": b"{}\n"}
    done = compute(folder(tmp_path / "in", content), tmp_path / "out", workers=workers)
    assert done.value("biochemical-failure") == "Y"
    assert done.summary.unreadable == 10_001
    assert len(done.unreadable) < 1100
    told = done.told("unreadable")
    assert "wrong.ndjson:1: not a FHIR resource: no resourceType" in told
    assert any(
        one.startswith("wrong.ndjson:5001: ") and one.endswith("; and 2999 more after it")
        for one in told
    )
    further = [int(one.split("; and ")[1].split()[0]) for one in told if "; and " in one]
    assert len(told) + sum(further) == 10_001
