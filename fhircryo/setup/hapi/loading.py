"""Folders and lists of resources onto a server, in transactions, as fast as it takes them.

A folder can hold what a server refuses: references to nothing, absolute references to the base it
was exported from, Bundles with ``urn:uuid``, several versions of a resource. Here that becomes what
the hospital's own server would have held.
"""

import gzip
import hashlib
import json
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import requests

from fhircryo.errors import TargetError
from fhircryo.setup.hapi.hapi_server import switched

Resource = dict[str, Any]
Name = tuple[str, str]

_FHIR_JSON = "application/fhir+json"
_ENCODER = msgspec.json.Encoder(decimal_format="number")
#: Entries of a transaction.
BATCH = 100
#: What others refer to goes first: HAPI finds by a reference only what stood there before it.
_FIRST = ("Organization", "Practitioner", "Device", "Patient", "Medication", "Encounter")
_THEN = ("Procedure", "Condition", "AdverseEvent", "QuestionnaireResponse", "Observation")
_LAST = "Provenance"
_NEVER = datetime.min.replace(tzinfo=UTC)


class RefusedLoad(TargetError):
    """The server does not take a resource."""


@dataclass
class Loaded:
    """What was put: how many per type, the stand-ins made, the lines that are no resources.

    ``refused``: what a lenient load could not put, with what the server says of it.
    """

    counts: dict[str, int] = field(default_factory=dict)
    stubs: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def total(self) -> int:
        """All of them, stand-ins among them."""
        return sum(self.counts.values())


def read_folder(folder: Path, left_out: list[str] | None = None) -> Iterator[Resource]:
    """The resources of a folder, Bundles unpacked, by file name and line; numbers as Decimal."""
    for path in sorted(folder.iterdir()):
        for number, text in _documents(path):
            try:
                resource = json.loads(text, parse_float=Decimal)
                kind = resource["resourceType"]
            except (ValueError, KeyError, TypeError):
                if left_out is not None:
                    left_out.append(f"{path.name}:{number}")
                continue
            yield from _unpacked(resource) if kind == "Bundle" else (resource,)


def _documents(path: Path) -> Iterator[tuple[int, bytes]]:
    if path.name.endswith(".json") and path.name != "manifest.json":
        yield 1, path.read_bytes()
    elif path.name.endswith((".ndjson", ".ndjson.gz")):
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield number, line


def _unpacked(bundle: Resource) -> list[Resource]:
    """A Bundle's resources; what refers to a full URL of it refers to the resource itself."""
    found = []
    targets = {}
    for entry in bundle.get("entry", ()):
        resource = entry.get("resource")
        if not isinstance(resource, dict) or "resourceType" not in resource:
            continue
        url = entry.get("fullUrl", "")
        if "id" not in resource:
            resource["id"] = url.removeprefix("urn:uuid:") if url.startswith("urn:uuid:") else None
        name_it(resource)
        targets[url] = f"{resource['resourceType']}/{resource['id']}"
        found.append(resource)
    for resource in found:
        for holder in references(resource):
            holder["reference"] = targets.get(holder["reference"], holder["reference"])
    return [inner for one in found for inner in (_unpacked(one) if is_bundle(one) else (one,))]


def is_bundle(resource: Resource) -> bool:
    """Whether it is a Bundle."""
    return bool(resource["resourceType"] == "Bundle")


def name_it(resource: Resource) -> Resource:
    """Give it an id, from its content, where it has none."""
    if not resource.get("id"):
        resource.pop("id", None)
        resource["id"] = hashlib.sha256(_ENCODER.encode(resource)).hexdigest()[:32]
    return resource


def references(node: Any) -> Iterator[Resource]:
    """Each element that holds a literal reference."""
    if isinstance(node, dict):
        if isinstance(node.get("reference"), str):
            yield node
        for inner in node.values():
            yield from references(inner)
    elif isinstance(node, list):
        for inner in node:
            yield from references(inner)


def latest(resources: Iterable[Resource]) -> dict[Name, Resource]:
    """Of each resource the version that a folder would have held last."""
    found: dict[Name, Resource] = {}
    for resource in resources:
        name = (resource["resourceType"], resource["id"])
        if name not in found or _age(resource) >= _age(found[name]):
            found[name] = resource
    return found


def _age(resource: Resource) -> tuple[datetime, int]:
    meta = resource.get("meta") or {}
    try:
        updated = datetime.fromisoformat(meta.get("lastUpdated", ""))
    except (TypeError, ValueError):
        updated = _NEVER
    version = str(meta.get("versionId", ""))
    return updated, int(version) if version.isdecimal() else 0


def _target(reference: str) -> tuple[str, Name] | None:
    """Base (empty: relative), type and id of a literal reference; None where it is none."""
    parts = reference.split("/_history/")[0].split("/")
    if len(parts) < 2 or reference.startswith(("#", "urn:")):
        return None
    return "/".join(parts[:-2]), (parts[-2], parts[-1])


def _settle(resources: dict[Name, Resource]) -> tuple[list[str], bool]:
    """Make absolute references to what is loaded relative; make up the patients that are missing.

    Gives the stand-ins, and whether references lead where HAPI would not have them lead.
    """
    stubs: list[str] = []
    loose = False
    for resource in list(resources.values()):
        for holder in references(resource):
            target = _target(holder["reference"])
            if target is None:
                continue
            base, name = target
            if name in resources:
                holder["reference"] = "/".join(name) if base else holder["reference"]
            elif not base and name[0] == "Patient":
                # By a patient who is not there HAPI finds nothing, so he must be.
                resources[name] = {"resourceType": "Patient", "id": name[1]}
                stubs.append("/".join(name))
            else:
                loose = True
    return stubs, loose


def _stage(kind: str) -> int:
    if kind in _FIRST:
        return _FIRST.index(kind)
    if kind == _LAST:
        return 999
    return len(_FIRST) + (_THEN.index(kind) if kind in _THEN else len(_THEN))


def _batches(resources: list[Resource]) -> Iterator[list[Resource]]:
    for start in range(0, len(resources), BATCH):
        yield resources[start : start + BATCH]


def transaction(resources: Iterable[Resource]) -> Resource:
    """A transaction that puts each resource where its id says."""
    entries = []
    for one in resources:
        name = f"{one['resourceType']}/{one['id']}"
        entries.append({"resource": one, "request": {"method": "PUT", "url": name}})
    return {"resourceType": "Bundle", "type": "transaction", "entry": entries}


def post(url: str, resource: Resource) -> Resource:
    """Post a resource and give the answer.

    Raises:
        RefusedLoad: with what the server says, where it refuses.
    """
    response = requests.post(
        url, _ENCODER.encode(resource), headers={"Content-Type": _FHIR_JSON}, timeout=300
    )
    if not response.ok:
        raise RefusedLoad(f"{url}: {response.status_code}: {response.text[:2000]}")
    return dict(response.json())


@contextmanager
def _permissive(url: str, loose: bool) -> Iterator[None]:
    """Ids of our own, and references to nothing where there are any, only while loading."""
    changes = {"update_as_create": True}
    if loose:
        changes |= {"integrity_on_write": False, "external_references": True}
    with switched(url, **changes):
        yield


def _put(url: str, batch: list[Resource], refused: dict[str, str] | None) -> None:
    """Put a batch; with ``refused``, by halves until what the server refuses stands alone."""
    try:
        post(url, transaction(batch))
    except RefusedLoad as error:
        if refused is None:
            raise
        if len(batch) == 1:
            refused[f"{batch[0]['resourceType']}/{batch[0]['id']}"] = str(error)
            return
        middle = len(batch) // 2
        _put(url, batch[:middle], refused)
        _put(url, batch[middle:], refused)


def load(url: str, resources: Path | Iterable[Resource], *, lenient: bool = False) -> Loaded:
    """Put resources, or a folder of them, onto a server of ours by its FHIR base.

    Of several versions of a resource the latest is put. Resources without an id get one from their
    content. The server's ``meta`` replaces theirs: ``lastUpdated`` is the time of the load.
    HAPI takes no bad dates, ids or required codes: ``lenient`` leaves those out and says which.
    """
    started = time.monotonic()
    result = Loaded()
    if isinstance(resources, Path):
        resources = read_folder(resources, result.left_out)
    # Through JSON, so that the caller's resources stay as they are.
    copies = (json.loads(_ENCODER.encode(one), parse_float=Decimal) for one in resources)
    named = latest(name_it(one) for one in copies)
    result.stubs, loose = _settle(named)
    stages: dict[int, list[Resource]] = {}
    for (kind, _), resource in named.items():
        stages.setdefault(_stage(kind), []).append(resource)
        result.counts[kind] = result.counts.get(kind, 0) + 1
    # One after another: two at a time gain a tenth, and HAPI's parallel writes can collide.
    with _permissive(url, loose):
        for stage in sorted(stages):
            for batch in _batches(stages[stage]):
                _put(url, batch, result.refused if lenient else None)
    for name in result.refused:
        result.counts[name.partition("/")[0]] -= 1
    result.seconds = time.monotonic() - started
    return result
