"""What holds for every kind of test."""

import os
from collections.abc import Iterator
from unittest import mock

import pytest

from fhircryo.logs import _SECRETS
from tests.quick import shipped_files_read_once


@pytest.fixture(scope="session", autouse=True)
def shipped_files_are_read_once() -> Iterator[None]:
    """Read the shipped files once per process."""
    with shipped_files_read_once():
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
