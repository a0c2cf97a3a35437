"""What is said of our code systems: `mappings/terminology.yaml`."""

from fhircryo.mapping.schema import Key, Text
from fhircryo.mapping.yamlfile import StrictModel, read_document, validate
from fhircryo.storage.shipped_files import shipped


class SystemWords(StrictModel):
    """A code system's title, and what it is."""

    title: Text
    words: Text


class TerminologyWords(StrictModel):
    """All of it."""

    code_systems: dict[Key, SystemWords]
    components: dict[Key, Text]
    categories: dict[Key, Text]
    tags: dict[Key, Text]
    no_grade: Text
    notices: dict[Text, Text]


class _TerminologyFile(StrictModel):
    terminology: TerminologyWords


def load_terminology_words() -> TerminologyWords:
    """The shipped words."""
    document = read_document(shipped("mappings") / "terminology.yaml")
    return validate(_TerminologyFile, document.content, document).terminology
