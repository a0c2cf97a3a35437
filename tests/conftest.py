"""What holds for every kind of test."""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from unittest import mock

import pytest

from fhircryo.logs import _SECRETS
from fhircryo.mapping import load
from fhircryo.mapping.yamlfile import Document, read_document
from fhircryo.setup.survey import search_words
from fhircryo.setup.terminology import descriptions
from fhircryo.storage.shipped_files import shipped

_read_once = cache(read_document)


def _read_shipped_once(path: Path) -> Document:
    return _read_once(path) if path.is_relative_to(shipped("mappings")) else read_document(path)


@pytest.fixture(scope="session", autouse=True)
def shipped_files_are_parsed_once() -> Iterator[None]:
    """Parse each shipped mapping file once per process: a test that computes needs all of them.

    Parsing takes most of the time of a test of one patient. The documents are never changed: what
    is made of them, and each file's digest, is made anew each time.
    """
    with ExitStack() as stack:
        for module in (load, search_words, descriptions):
            stack.enter_context(mock.patch.object(module, "read_document", _read_shipped_once))
        yield


@pytest.fixture(scope="session", autouse=True)
def no_wait_for_the_disk() -> Iterator[None]:
    """Do not wait until a file has reached the disk: no test is about a loss of power.

    A process that is killed loses nothing that it has written, with or without that wait.
    """
    with mock.patch.object(os, "fsync", return_value=None):
        yield


@pytest.fixture(autouse=True)
def secrets_of_one_test() -> Iterator[None]:
    """Forget the secrets that a test registered: they would be masked in the output of the next."""
    before = set(_SECRETS.permanent)
    yield
    _SECRETS.permanent.intersection_update(before)
    _SECRETS.short_lived.clear()
