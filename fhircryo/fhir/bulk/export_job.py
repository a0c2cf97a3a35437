"""An export as a job on the server: starting it, waiting for it, cancelling it."""

import logging
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from fhircryo.errors import SourceError
from fhircryo.fhir import refusals
from fhircryo.fhir.bulk.export_manifest import BulkManifest, read_manifest
from fhircryo.fhir.client import Client, HttpError, retry_after_of
from fhircryo.fhir.urls import joined, without_query

LOG = logging.getLogger("fhircryo.bulk")

#: The types that are not in the Patient compartment.
#: Source: https://hl7.org/fhir/R4/compartmentdefinition-patient.html
_OUTSIDE_COMPARTMENT = frozenset({"Medication"})
_PENDING = 202
_FIRST_WAIT = 1.0
_LONGEST_WAIT = 60.0
_LONGEST_PROGRESS = 80
_ASYNC = {"Prefer": "respond-async"}

#: A function that reports the server's own description of the progress.
Told = Callable[[str], None]


class ExportLostError(Exception):
    """The server no longer knows an export, or has deleted its files."""


class Asked(NamedTuple):
    """An export to request.

    ``level``: ``system``, ``patient`` or ``Group/ID``; ``types``: the resource types; ``filters``:
    searches (``Observation?code=...``) that restrict a type; ``since``: an instant, to export only
    what has changed since then.
    """

    level: str
    types: tuple[str, ...]
    filters: tuple[str, ...] = ()
    since: str | None = None

    @property
    def path(self) -> str:
        """The path of the operation, relative to the server's base URL."""
        if self.level == "system":
            return "$export"
        return "Patient/$export" if self.level == "patient" else f"{self.level}/$export"


def start(client: Client, asked: Asked) -> str:
    """Start an export and return its status URL.

    Servers support different parameters, so the export is requested with filters, then without
    them, and then without the types outside the Patient compartment.

    Raises:
        SourceError: the server does not support the export.
    """
    first_error: HttpError | None = None
    for variant in dict.fromkeys(_variants(asked)):
        try:
            return _kick_off(client, variant)
        except HttpError as error:
            if not refusals.export_unsupported(error):
                raise
            first_error = first_error or error
            types = ",".join(variant.types)
            LOG.info("status %d for an export of %s; requesting less", error.status, types)
    raise SourceError(f"{first_error}; does this server export ({asked.path})?")


def _variants(asked: Asked) -> Iterator[Asked]:
    """Yield the variants of an export to request, the most specific first."""
    yield asked
    yield asked._replace(filters=())
    if asked.level != "system":
        types = tuple(kind for kind in asked.types if kind not in _OUTSIDE_COMPARTMENT)
        yield asked._replace(types=types)
        yield asked._replace(types=types, filters=())


def _kick_off(client: Client, asked: Asked) -> str:
    params = {"_type": ",".join(asked.types)}
    if asked.filters:
        params["_typeFilter"] = ",".join(asked.filters)
    if asked.since is not None:
        params["_since"] = asked.since
    url = f"{client.base}/{asked.path}"
    response = client.request("GET", url, params=params, headers=_ASYNC)
    location = response.headers.get("Content-Location")
    if response.status_code != _PENDING or not location:
        raise SourceError(
            f"{url}: the server did not start an export: status {response.status_code}, expected"
            f" {_PENDING} with Content-Location"
        )
    return joined(url, location)


def wait_for(client: Client, status_url: str, tell: Told, patience: float) -> BulkManifest:
    """Wait until an export is finished, and return its manifest.

    ``tell``: reports the progress that the server states; ``patience``: the longest wait, in
    seconds.

    Raises:
        ExportLostError: the server no longer knows the export.
        SourceError: the export failed, or did not finish in time.
    """
    end = time.monotonic() + patience
    wait = _FIRST_WAIT
    while True:
        try:
            response = client.request("GET", status_url)
        except HttpError as error:
            if refusals.gone(error):
                raise ExportLostError from None
            raise SourceError(f"the export failed: {error}") from None
        if response.status_code != _PENDING:
            return read_manifest(response.content, response.url)
        progress = response.headers.get("X-Progress", "")
        tell("".join(char for char in progress if char.isprintable())[:_LONGEST_PROGRESS])
        retry_after = retry_after_of(response)
        pause = wait if retry_after is None else retry_after
        if time.monotonic() + pause > end:
            raise SourceError(
                f"{without_query(status_url)}: the export is not finished after {patience:.0f} s"
                " (setting bulk_patience); run the command again to continue waiting"
            )
        time.sleep(pause)
        wait = min(wait * 1.5, _LONGEST_WAIT)


def cancel(client: Client, status_url: str) -> None:
    """Ask the server to cancel an export and delete its files.

    A failure is logged and ignored: the server deletes the files itself when they expire.
    """
    try:
        client.request("DELETE", status_url, budget=0)
    except SourceError as error:
        LOG.info("the export could not be cancelled: %s", error)
