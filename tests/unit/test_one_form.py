"""An endpoint is encoded once and decoded once on its way from computing to a target."""

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from fhircryo.fhir.capability import Capabilities
from fhircryo.publish.as_on_server import References
from fhircryo.publish.comparison import RetractionScope
from fhircryo.publish.computed_folder import read_computed
from fhircryo.publish.difference import Action
from fhircryo.publish.folder_target import OBSERVATIONS
from fhircryo.publish.target_connection import TargetConnection
from fhircryo.publish.target_server import Permissions, PushResult, TargetServer
from fhircryo.runs.in_memory import read_resources
from fhircryo.runs.run_config import RunConfig
from fhircryo.runs.to_folder import compute_folder
from fhircryo.runs.to_server import compute_outputs
from fhircryo.settings import Settings, WriteSettings
from tests.unit.inputs import AS_OF, folder, procedure, psa

BASE = "https://fhir.example/r4"
TYPES = ("Observation", "Provenance", "Device")
CAPABILITIES = Capabilities(
    fhir_version="4.0.1",
    types=dict.fromkeys(TYPES, frozenset()),
    interactions=dict.fromkeys(TYPES, frozenset({"create", "update"})),
    update_create=True,
    conditional_update=True,
    versioned_update=True,
    transaction=True,
)
CONFIG = RunConfig.of(Settings.model_construct(), AS_OF)
# Held here, because the tests replace them in the package.
_loads, _dumps, _encode = (
    json.loads,
    json.dumps,
    msgspec.json.Encoder(decimal_format="number").encode,
)


class Server:
    """A server in memory, as client and searcher."""

    base = BASE
    connection = SimpleNamespace(budget=1.0)

    def __init__(self) -> None:
        self.held: dict[str, dict[str, Any]] = {}

    def request(self, method: str, url: str, body: bytes = b"", **how: Any) -> SimpleNamespace:
        if method == "GET":
            return self._answer(self.held.get(url.removeprefix(f"{BASE}/"), {}))
        content = _loads(body, parse_float=Decimal)
        written = [content]
        if content["resourceType"] == "Bundle":
            written = [entry["resource"] for entry in content.get("entry", ())]
        for resource in written:
            self.held[f"{resource['resourceType']}/{resource['id']}"] = resource
        entries = [{"response": {"status": "201"}} for _ in written]
        return self._answer(
            {"resourceType": "Bundle", "type": "transaction-response", "entry": entries}
        )

    def _answer(self, content: dict[str, Any]) -> SimpleNamespace:
        return SimpleNamespace(content=_encode(content), headers={})

    def search(self, kind: str, params: dict[str, str]) -> Iterator[list[bytes]]:
        yield [_encode(one) for one in list(self.held.values()) if one["resourceType"] == kind]


def push(server: Server, outputs: list[Any], how: str = "logical") -> PushResult:
    connection: Any = TargetConnection(server, server, CAPABILITIES, CONFIG.origin)  # type: ignore[arg-type]
    references = References(how, how, "https://source.example")  # type: ignore[arg-type]
    target = TargetServer(connection, references, WriteSettings(), Permissions())
    return target.push(outputs, RetractionScope())


class Counts:
    """How often each endpoint was encoded and decoded, by identifier."""

    def __init__(self) -> None:
        self.encoded: Counter[str] = Counter()
        self.decoded: Counter[str] = Counter()

    def encoding(self, encode: Callable[..., Any]) -> Callable[..., Any]:
        def counted(value: Any, *args: Any, **how: Any) -> Any:
            self.encoded.update(_identifiers(value))
            return encode(value, *args, **how)

        return counted

    def decoding(self, decode: Callable[..., Any]) -> Callable[..., Any]:
        def counted(text: Any, *args: Any, **how: Any) -> Any:
            self.decoded.update(_identifiers(_loads(text)))
            return decode(text, *args, **how)

        return counted


def _identifiers(value: Any) -> Iterator[str]:
    """The identifiers of the Observations in a value, as objects; bytes are no objects."""
    if isinstance(value, msgspec.Struct):
        # The line of a folder's template has marks in place of what differs.
        if type(value).__name__ == "OutObservation" and isinstance(value.id, str):  # type: ignore[attr-defined]
            yield value.identifier[0].value  # type: ignore[attr-defined]
        return
    if isinstance(value, dict):
        if value.get("resourceType") == "Observation" and "identifier" in value:
            yield value["identifier"][0]["value"]
        value = list(value.values())
    if isinstance(value, list | tuple):
        for inner in value:
            yield from _identifiers(inner)


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> Counts:
    """Every encoder and decoder that the package has, wrapped."""
    counts = Counts()
    for name, module in list(sys.modules.items()):
        if not name.startswith("fhircryo."):
            continue
        for attribute, value in list(vars(module).items()):
            if isinstance(value, msgspec.json.Encoder):
                wrapped = SimpleNamespace(
                    encode=counts.encoding(value.encode),
                    encode_lines=counts.encoding(value.encode_lines),
                )
                monkeypatch.setattr(module, attribute, wrapped)
            elif isinstance(value, msgspec.json.Decoder):
                wrapped = SimpleNamespace(decode=counts.decoding(value.decode))
                monkeypatch.setattr(module, attribute, wrapped)
    monkeypatch.setattr(json, "loads", counts.decoding(_loads))
    monkeypatch.setattr(json, "dumps", counts.encoding(_dumps))
    monkeypatch.setattr(msgspec.json, "decode", counts.decoding(msgspec.json.decode))
    monkeypatch.setattr(msgspec.json, "encode", counts.encoding(msgspec.json.encode))
    return counts


def record(value: float) -> list[dict[str, Any]]:
    return [procedure(), psa("a", "2016-05-01", 0.2), psa("b", "2016-11-01", value)]


@pytest.mark.parametrize("how", ["logical", "literal"])
def test_a_changed_endpoint_on_its_way_to_a_server(how, counts):
    server = Server()
    before, _ = compute_outputs(read_resources(record(0.3), CONFIG), CONFIG)
    first = push(server, before, how)
    assert first.written.endpoints[Action.NEW] == len(before[0].observations)
    assert set(counts.encoded.values()) == {1}
    assert not counts.decoded
    counts.encoded.clear()

    after, _ = compute_outputs(read_resources(record(9.5), CONFIG), CONFIG)
    result = push(server, after, how)
    assert result.rejected == {}
    changed = [
        change.identifier
        for patient in result.difference.patients
        for change in patient.changes
        if change.action is Action.CHANGED
    ]
    assert changed
    assert counts.encoded == dict.fromkeys(changed, 1)
    # What the server holds is decoded once, changed or not.
    assert counts.decoded == dict.fromkeys(after[0].identifiers(), 1)
    assert push(server, after, how).written.endpoints.total() == 0


def test_a_changed_endpoint_on_its_way_from_a_folder_to_a_server(counts, tmp_path):
    source = folder(tmp_path / "in", {"all.ndjson": record(0.3)})
    compute_folder(source, tmp_path / "out", CONFIG)
    # The lines of a folder are filled into templates.
    assert not counts.encoded
    assert not counts.decoded

    patients = read_computed(tmp_path / "out").patients
    lines = (tmp_path / "out" / OBSERVATIONS).read_bytes().splitlines()
    assert len(counts.decoded) == len(lines)
    assert set(counts.decoded.values()) == {1}
    assert not counts.encoded

    push(Server(), patients)
    assert set(counts.encoded.values()) == {1}
    assert set(counts.decoded.values()) == {1}


def test_a_folder_gives_the_same_on_a_server_as_its_source(tmp_path):
    source = folder(tmp_path / "in", {"all.ndjson": record(0.3)})
    compute_folder(source, tmp_path / "out", CONFIG)
    from_source, from_folder = Server(), Server()
    outputs, _ = compute_outputs(read_resources(record(0.3), CONFIG), CONFIG)
    push(from_source, outputs)
    push(from_folder, read_computed(tmp_path / "out").patients)
    for resource in [*from_source.held.values(), *from_folder.held.values()]:
        resource.pop("recorded", None)
    assert from_folder.held == from_source.held
