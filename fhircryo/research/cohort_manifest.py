"""The manifest of a cohort's folder: versions, definitions and inputs, no patient."""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

from fhircryo import __version__
from fhircryo.fhir.input_files import InputFile
from fhircryo.fhir.urls import without_query
from fhircryo.mapping.protocol import Protocol
from fhircryo.research.flow import Flow
from fhircryo.research.folder_options import CohortKind, FolderOptions
from fhircryo.research.pseudonyms import Pseudonyms
from fhircryo.runs.read_source import ReadResult
from fhircryo.runs.run_config import RunConfig


def manifest(
    read: ReadResult,
    config: RunConfig,
    options: FolderOptions,
    flow: Flow,
    pseudonyms: Pseudonyms,
    hashes: Mapping[str, str | None],
) -> dict[str, Any]:
    """The manifest as data for JSON; ``hashes``: of the files that were read, by name.

    Only the manifest of an identified cohort has the names of files and servers, because they may
    contain the names of people.
    """
    identified, between = options.kind == "identified", options.between
    server = without_query(read.name) if identified and read.server is not None else None
    return {
        "fhircryo": __version__,
        "tables": options.kind,
        "formats": list(options.formats),
        "as_of": config.as_of.isoformat(),
        "index_from": None if between.first is None else between.first.isoformat(),
        "index_to": None if between.last is None else between.last.isoformat(),
        "protocol": protocol_identity(config.protocol),
        "mappings": {"overlays": len(config.mappings.overlays), "sha256": config.mappings.sha256},
        "settings": {
            "timezone": config.settings.timezone,
            "complete_types": sorted(config.settings.complete_types),
            "test_data": config.settings.test_data,
        },
        "server": server,
        "from_server": read.server is not None,
        "inputs": _inputs(read.collected.files, hashes, options.kind, pseudonyms),
        "lacking": flow.lacking,
    }


def protocol_identity(protocol: Protocol) -> dict[str, str]:
    """What tells a protocol from every other: its id, its version and the hash of its content."""
    content = protocol.model_dump_json(by_alias=True).encode()
    digest = hashlib.sha256(content).hexdigest()
    return {"id": protocol.id, "version": protocol.version, "sha256": digest}


def _inputs(
    files: Iterable[InputFile],
    hashes: Mapping[str, str | None],
    kind: CohortKind,
    pseudonyms: Pseudonyms,
) -> list[dict[str, Any]]:
    """What identifies each input file, as far as readers of a cohort of this kind may know it.

    Whoever holds a file could recognise it by its hash, its name or its exact size, and would know
    that its patients were read. In a pseudonymised cohort hash and name are therefore keyed, and
    the size is left out; an aggregate-only cohort has no inputs, as it has no key.
    """
    if kind == "aggregate-only":
        return []
    if kind == "identified":
        found = [
            {"name": file.name, "size": file.size, "sha256": hashes[file.name]} for file in files
        ]
        return sorted(found, key=lambda one: str(one["sha256"]))
    keyed = [
        {
            "name_hmac": pseudonyms.of_input("name", file.name),
            "sha256_hmac": None if sha256 is None else pseudonyms.of_input("sha256", sha256),
        }
        for file in files
        for sha256 in (hashes[file.name],)
    ]
    return sorted(keyed, key=lambda one: (str(one["sha256_hmac"]), str(one["name_hmac"])))
