"""Downloads a server's bulk export as a folder from which a run can compute."""

import json
from dataclasses import dataclass
from pathlib import Path

from fhircryo import __version__
from fhircryo.fhir.bulk.export_job import cancel
from fhircryo.fhir.bulk.exporting import Exported, Watch, export
from fhircryo.fhir.capability import capabilities
from fhircryo.fhir.connect import open_client
from fhircryo.fhir.urls import without_query
from fhircryo.publish.folder_target import MANIFEST, check_target, writing_to
from fhircryo.runs.run_config import RunConfig
from fhircryo.sources.bulk_source import asked_for, level_of, needs_of
from fhircryo.storage.work_folder import work_folder


@dataclass(frozen=True)
class Downloaded:
    """A downloaded export.

    ``files``: the size of each file in bytes, by name; ``at``: the server's time of the export, if
    it states one; ``errors``: the errors that the server reported for parts of the export.
    """

    files: dict[str, int]
    at: str | None
    errors: list[str]


def download(server: str, folder: Path, level: str, config: RunConfig, watch: Watch) -> Downloaded:
    """Export the resource types that a run reads, and write them to a new folder.

    ``level``: ``system``, ``patient`` or ``Group/ID``; ``watch``: shows the progress.

    Raises:
        UsageError: the level is unknown, or the folder exists and is not empty.
        SourceError: the server cannot be reached, or refuses the export.
        TargetError: the folder cannot be written.
    """
    check_target(folder, None, own=frozenset())
    level = level_of(level)
    connection = config.settings.source
    with (
        work_folder(folder, without_query(server)) as work,
        open_client(server, connection, needs_of(level)) as client,
    ):
        requested = asked_for(level, config.mappings, capabilities(client))
        exported = export(client, requested, work, connection.bulk_patience, watch)
        done = _write_folder(exported, folder, without_query(client.base), level)
        cancel(client, exported.status_url)
    return done


def _write_folder(exported: Exported, folder: Path, server: str, level: str) -> Downloaded:
    """Move the exported files to the folder, with a manifest that says where they come from."""
    files = sorted(exported.files.iterdir())
    sizes = {file.name: file.stat().st_size for file in files}
    manifest = {
        "fhircryo": __version__,
        "server": server,
        "level": level,
        "at": exported.at,
        "files": sizes,
        "errors": exported.errors,
    }
    with writing_to(folder, frozenset()) as made:
        for file in files:
            file.rename(made / file.name)
        text = json.dumps(manifest, indent=2, ensure_ascii=False) + "\n"
        (made / MANIFEST).write_text(text, encoding="utf-8")
    return Downloaded(sizes, exported.at, exported.errors)
