"""The terminology resources, and a folder with one file for each resource."""

import json
from pathlib import Path

from fhircryo.errors import TargetError, UsageError
from fhircryo.mapping.load import Mappings, load_protocol, protocol_files
from fhircryo.mapping.protocol import Protocol
from fhircryo.setup.terminology.canonical import Resource
from fhircryo.setup.terminology.code_systems import code_systems
from fhircryo.setup.terminology.concept_maps import concept_maps
from fhircryo.setup.terminology.descriptions import load_terminology_words
from fhircryo.setup.terminology.value_sets import value_sets
from fhircryo.storage.atomic import PUBLIC, write_whole


def terminology(mappings: Mappings, protocol: Protocol | None = None) -> list[Resource]:
    """Return all resources; ``protocol``: one in addition to the shipped protocols."""
    words = load_terminology_words()
    protocols = [load_protocol(path) for path in protocol_files()]
    if protocol is not None:
        protocols.append(protocol)
    return [
        *code_systems(mappings, protocols, words),
        *value_sets(mappings, words),
        *concept_maps(mappings, words),
    ]


def write_resources(resources: list[Resource], folder: Path) -> list[Path]:
    """Write each resource to a file, and return the paths; other files in the folder are kept.

    Raises:
        UsageError: there is a file in place of the folder.
        TargetError: the folder cannot be written to.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder}: a file, not a folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TargetError(f"{folder}: cannot be written: {error.strerror}") from error
    paths = []
    for resource in resources:
        path = folder / f"{resource['resourceType']}-{resource['id']}.json"
        content = json.dumps(resource, ensure_ascii=False, indent=1) + "\n"
        write_whole(path, content.encode(), PUBLIC)
        paths.append(path)
    return paths
