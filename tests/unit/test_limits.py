"""What an answer may be: not too large, however it is packed; not too deep; JSON."""

import gzip
import struct
import tracemalloc
import zlib
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhircryo.errors import SourceError
from fhircryo.fhir.capability import capabilities
from fhircryo.fhir.connect import open_client
from fhircryo.fhir.limits import is_deeper
from fhircryo.settings import ServerSettings
from tests.unit.hospital import STATEMENT, Reply, Stub

MEGABYTE = 1 << 20
JSON = {"Content-Type": "application/fhir+json"}


@pytest.fixture
def server() -> Iterator[Stub]:
    with Stub() as stub:
        yield stub


def version(server: Stub, reply: Reply, **settings: Any) -> str:
    """What a server says of itself, in this reply."""
    server.routes["/fhir/metadata"] = lambda _: reply
    quick = {"retry_budget": 0.0, "read_timeout": 10.0, **settings}
    with open_client(f"{server.origin}/fhir", ServerSettings(**quick)) as client:
        return capabilities(client).fhir_version


def padded(size: int) -> bytes:
    return msgspec.json.encode({**STATEMENT, "description": "x" * size})


@pytest.mark.parametrize("packed", [None, "gzip", "deflate"])
def test_size(packed, server):
    """The limit counts what comes out, not what comes in."""

    def reply(size: int) -> Reply:
        content = padded(size)
        if packed is None:
            return Reply(content=content, headers=JSON)
        pack = gzip.compress if packed == "gzip" else zlib.compress
        return Reply(content=pack(content), headers={**JSON, "Content-Encoding": packed})

    assert version(server, reply(MEGABYTE - 1000), max_response_mb=1) == "4.0.1"
    with pytest.raises(SourceError, match=r"more than 1 MB.*page_size.*max_response_mb") as caught:
        version(server, reply(MEGABYTE), max_response_mb=1)
    assert caught.value.exit_code == 3
    assert version(server, reply(MEGABYTE), max_response_mb=2) == "4.0.1"


def packed_zeros(megabytes: int) -> bytes:
    """A gzip file of zeros; its blocks are all the same, so that it is made in no time."""
    block = zlib.compressobj(9, wbits=-15)
    first = block.compress(bytes(MEGABYTE)) + block.flush(zlib.Z_FULL_FLUSH)
    last = block.flush()
    check = 0
    for _ in range(megabytes):
        check = zlib.crc32(bytes(MEGABYTE), check)
    end = struct.pack("<II", check, megabytes * MEGABYTE)
    return gzip.compress(b"")[:10] + first * megabytes + last + end


def test_packed_zeros_are_a_gzip_file():
    assert gzip.decompress(packed_zeros(3)) == bytes(3 * MEGABYTE)


def test_a_bomb_goes_off_nowhere(server):
    """A gigabyte in a megabyte, twice packed: little of it is ever unpacked."""
    bomb = packed_zeros(1024)
    for content, encoding in ((bomb, "gzip"), (gzip.compress(bomb), "gzip, gzip")):
        headers = {**JSON, "Content-Encoding": encoding}
        tracemalloc.start()
        with pytest.raises(SourceError, match="more than 8 MB"):
            version(server, Reply(content=content, headers=headers), max_response_mb=8)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 64 * MEGABYTE


def test_a_bomb_in_a_redirect_or_a_refusal(server):
    bomb = packed_zeros(512)
    for status in (302, 400, 401):
        headers = {"Content-Encoding": "gzip", "Location": "/fhir/metadata"}
        tracemalloc.start()
        with pytest.raises(SourceError, match="more than 8 MB"):
            version(server, Reply(status, bomb, headers), max_response_mb=8)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 64 * MEGABYTE


def test_what_is_announced_too_large_is_not_read(server):
    headers = {**JSON, "Content-Length": str(2 << 40)}
    with pytest.raises(SourceError, match="more than 256 MB"):
        version(server, Reply(content=b"{", headers=headers))


def nested(levels: int, unit: str = "[]") -> bytes:
    half = len(unit) // 2
    inner = unit[:half] * levels + unit[half:] * levels
    return f'{{"resourceType":"CapabilityStatement","fhirVersion":"4.0.1","x":{inner}}}'.encode()


@pytest.mark.parametrize("content", [nested(100_000), nested(101), b"[" * 100_000, b'{"a":' * 500])
def test_depth(content, server):
    with pytest.raises(SourceError, match="nested more than 100 levels deep"):
        version(server, Reply(content=content, headers=JSON))


def test_the_depth_is_a_setting(server):
    assert version(server, Reply(content=nested(99), headers=JSON)) == "4.0.1"
    assert version(server, Reply(content=nested(150), headers=JSON), max_depth=200) == "4.0.1"
    with pytest.raises(SourceError, match="more than 50 levels"):
        version(server, Reply(content=nested(60), headers=JSON), max_depth=50)


def test_a_refusal_that_is_nested_deeply_is_a_refusal(server):
    """What explains an error may be anything."""
    outcome = b'{"issue":[{"details":{"text":' + b"[" * 100_000
    with pytest.raises(SourceError, match="400"):
        version(server, Reply(400, outcome, JSON))


@pytest.mark.parametrize(
    "content, kind",
    [
        (b"<CapabilityStatement/>", "application/fhir+xml"),
        (b"<CapabilityStatement/>", "text/xml; charset=utf-8"),
        (b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>', ""),
    ],
)
def test_xml_is_never_read(content, kind, server):
    with pytest.raises(SourceError, match="the response is XML, which is never read"):
        version(server, Reply(content=content, headers={"Content-Type": kind}))


def test_nothing_of_ours_can_read_xml():
    """No parser is loaded with what speaks to servers."""
    import subprocess
    import sys

    code = (
        "import fhircryo.runs.read_source, sys;"
        " print([m for m in sys.modules if 'etree' in m or 'sax' in m])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def depth(content: Any) -> int:
    if isinstance(content, dict):
        return 1 + max(map(depth, content.values()), default=0)
    if isinstance(content, list):
        return 1 + max(map(depth, content), default=0)
    return 0


TEXTS = st.text(alphabet='{}[]"\\a,:', max_size=6)
TREES = st.recursive(
    TEXTS | st.integers() | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=30,
)


@given(TREES, st.integers(1, 8))
def test_the_depth_is_counted_right(tree, limit):
    """Whatever brackets, quotes and backslashes stand in the texts."""
    assert is_deeper(msgspec.json.encode(tree), limit) == (depth(tree) > limit)


@given(st.binary(max_size=60), st.integers(1, 5))
def test_whatever_comes_is_counted(content, limit):
    assert is_deeper(content, limit) in (True, False)
