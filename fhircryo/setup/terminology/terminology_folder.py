"""Our terminology, each resource a file."""

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
    """All resources; ``protocol``: one besides those that are shipped."""
    words = load_terminology_words()
    protocols = [load_protocol(path) for path in protocol_files()]
    if protocol is not None:
        protocols.append(protocol)
    return [
        *code_systems(mappings, protocols, words),
        *value_sets(mappings, words),
        *concept_maps(mappings, words),
    ]


def export(resources: list[Resource], folder: Path) -> list[Path]:
    """Write each to a file of its own; what else the folder holds stays.

    Raises:
        UsageError: the folder is a file.
        TargetError: it cannot be written.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--fhir {folder}: a file, not a folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TargetError(f"{folder}: cannot be written: {error.strerror}") from error
    paths = []
    for one in resources:
        path = folder / f"{one['resourceType']}-{one['id']}.json"
        content = json.dumps(one, ensure_ascii=False, indent=1) + "\n"
        write_whole(path, content.encode(), PUBLIC)
        paths.append(path)
    return paths
