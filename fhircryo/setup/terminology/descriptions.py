"""The descriptions of the code systems (`mappings/terminology.yaml`), and copyright notices."""

from collections.abc import Iterable
from typing import Any

from fhircryo.mapping.schema import (
    Key,
    Text,
)
from fhircryo.mapping.yamlfile import StrictModel, read_document, validate
from fhircryo.storage.shipped_files import shipped


class SystemWords(StrictModel):
    """The title and the description of a code system."""

    title: Text
    words: Text


class TerminologyWords(StrictModel):
    """The whole file; ``notices``: the copyright notice to show by code system."""

    code_systems: dict[Key, SystemWords]
    components: dict[Key, Text]
    categories: dict[Key, Text]
    tags: dict[Key, Text]
    no_grade: Text
    notices: dict[Text, Text]


class _TerminologyFile(StrictModel):
    terminology: TerminologyWords


def load_terminology_words() -> TerminologyWords:
    """Return the shipped descriptions.

    Raises:
        UsageError: the file is damaged.
    """
    document = read_document(shipped("mappings") / "terminology.yaml")
    return validate(_TerminologyFile, document.content, document).terminology


def with_notices(
    resource: dict[str, Any], words: TerminologyWords, systems: Iterable[str]
) -> dict[str, Any]:
    """Return a resource with the copyright notices of the code systems that it uses."""
    used = set(systems)
    notices = [notice for system, notice in words.notices.items() if system in used]
    return {**resource, "copyright": " ".join(notices)} if notices else resource
