"""What holds for every kind of test."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from unittest import mock

import pytest

from fhircryo.mapping import load
from fhircryo.mapping.yamlfile import Document, read_document
from fhircryo.storage.shipped_files import shipped

_read_once = cache(read_document)


def _read_shipped_once(path: Path) -> Document:
    return _read_once(path) if path.is_relative_to(shipped("mappings")) else read_document(path)


@pytest.fixture(scope="session", autouse=True)
def shipped_mappings_are_parsed_once() -> Iterator[None]:
    """Parse each shipped mapping file once per process: a test that computes needs all of them.

    Parsing takes most of the time of a test of one patient. The documents are never changed: what
    is made of them, and each file's digest, is made anew each time.
    """
    with mock.patch.object(load, "read_document", _read_shipped_once):
        yield
