"""What made a cohort's folder: versions, definitions, inputs; nothing that names a patient."""

import hashlib
from typing import Any

from fhircryo import __version__
from fhircryo.fhir.client import without_query
from fhircryo.research.build import Between
from fhircryo.research.flow import Flow
from fhircryo.runs.read_source import ReadResult
from fhircryo.runs.run_config import RunConfig


def manifest(
    read: ReadResult,
    job: RunConfig,
    between: Between,
    flow: Flow,
    *,
    kind: str,
    formats: list[str],
) -> dict[str, Any]:
    """The manifest as JSON-able data; ``kind``: identified, pseudonymised or aggregate-only.

    Names of files and servers are only in an identified one: they may be those of people.
    """
    identified = kind == "identified"
    inputs: list[dict[str, Any]] = [
        ({"name": file.name} if identified else {}) | {"size": file.size, "sha256": file.sha256()}
        for file in read.collected.files
    ]
    inputs.sort(key=lambda one: str(one["sha256"]))
    server = without_query(read.name) if identified and read.server is not None else None
    return {
        "fhircryo": __version__,
        "tables": kind,
        "formats": formats,
        "as_of": job.as_of.isoformat(),
        "index_from": None if between.first is None else between.first.isoformat(),
        "index_to": None if between.last is None else between.last.isoformat(),
        "protocol": {
            "id": job.protocol.id,
            "version": job.protocol.version,
            "sha256": hashlib.sha256(
                job.protocol.model_dump_json(by_alias=True).encode()
            ).hexdigest(),
        },
        "mappings": {"overlays": len(job.mappings.overlays), "sha256": job.mappings.sha256},
        "settings": {
            "timezone": job.settings.timezone,
            "complete_types": sorted(job.settings.complete_types),
            "test_data": job.settings.test_data,
        },
        "server": server,
        "from_server": read.server is not None,
        "inputs": inputs if kind != "aggregate-only" else [],
        "lacking": flow.lacking,
    }
