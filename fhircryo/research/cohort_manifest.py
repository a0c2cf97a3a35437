"""The manifest of a cohort's folder: versions, definitions and inputs, no patient."""

import hashlib
from typing import Any

from fhircryo import __version__
from fhircryo.fhir.urls import without_query
from fhircryo.research.flow import Flow
from fhircryo.research.folder_options import FolderOptions
from fhircryo.runs.read_source import ReadResult
from fhircryo.runs.run_config import RunConfig


def manifest(
    read: ReadResult,
    config: RunConfig,
    options: FolderOptions,
    flow: Flow,
) -> dict[str, Any]:
    """The manifest as data for JSON.

    Only the manifest of an identified cohort has the names of files and servers, because they may
    contain the names of people.
    """
    identified, between = options.kind == "identified", options.between
    inputs: list[dict[str, Any]] = [
        ({"name": file.name} if identified else {}) | {"size": file.size, "sha256": file.sha256()}
        for file in read.collected.files
    ]
    inputs.sort(key=lambda file: str(file["sha256"]))
    server = without_query(read.name) if identified and read.server is not None else None
    return {
        "fhircryo": __version__,
        "tables": options.kind,
        "formats": list(options.formats),
        "as_of": config.as_of.isoformat(),
        "index_from": None if between.first is None else between.first.isoformat(),
        "index_to": None if between.last is None else between.last.isoformat(),
        "protocol": {
            "id": config.protocol.id,
            "version": config.protocol.version,
            "sha256": hashlib.sha256(
                config.protocol.model_dump_json(by_alias=True).encode()
            ).hexdigest(),
        },
        "mappings": {"overlays": len(config.mappings.overlays), "sha256": config.mappings.sha256},
        "settings": {
            "timezone": config.settings.timezone,
            "complete_types": sorted(config.settings.complete_types),
            "test_data": config.settings.test_data,
        },
        "server": server,
        "from_server": read.server is not None,
        "inputs": inputs if options.kind != "aggregate-only" else [],
        "lacking": flow.lacking,
    }
