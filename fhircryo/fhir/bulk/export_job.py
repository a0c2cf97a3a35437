"""An export as a job of the server's: asked for, waited for, cancelled."""

import logging
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from fhircryo.errors import SourceError
from fhircryo.fhir.bulk.export_manifest import BulkManifest, read_manifest
from fhircryo.fhir.client import Client, HttpError, joined, retry_after_of, without_query

LOG = logging.getLogger("fhircryo.bulk")

#: What servers answer to a parameter, or a type, that they do not take.
_NOT_TAKEN = frozenset({400, 404, 422, 501})
#: Types that are in nobody's compartment: https://hl7.org/fhir/R4/compartmentdefinition-patient.html
_OF_NO_PATIENT = frozenset({"Medication"})
_UNKNOWN = frozenset({404, 410})
_PENDING = 202
_FIRST_WAIT = 1.0
_LONGEST_WAIT = 60.0
_SHOWN = 80
_ASYNC = {"Prefer": "respond-async"}

#: Told how far the server says that it is.
Told = Callable[[str], None]


class ExportLostError(Exception):
    """The server no longer knows an export, or its files are gone."""


class Asked(NamedTuple):
    """What is exported. ``level``: ``system``, ``patient`` or ``Group/ID``.

    ``filters``: searches (``Observation?code=...``) that narrow a type; ``since``: only what
    changed since an instant.
    """

    level: str
    types: tuple[str, ...]
    filters: tuple[str, ...] = ()
    since: str | None = None

    @property
    def path(self) -> str:
        """The operation below the server's base."""
        if self.level == "system":
            return "$export"
        return "Patient/$export" if self.level == "patient" else f"{self.level}/$export"


def start(client: Client, asked: Asked) -> str:
    """Have an export begin; where its status is asked for.

    Servers differ in what they take: with filters first, then without; then without the types that
    are of no patient.

    Raises:
        SourceError: the server exports nothing of the kind.
    """
    refused: HttpError | None = None
    for ask in dict.fromkeys(_ways(asked)):
        try:
            return _kick_off(client, ask)
        except HttpError as error:
            if error.status not in _NOT_TAKEN:
                raise
            refused = refused or error
            LOG.info("%d for an export of %s; asking for less", error.status, ",".join(ask.types))
    raise SourceError(f"{refused}; does this server export ({asked.path})?")


def _ways(asked: Asked) -> Iterator[Asked]:
    """What to ask for, the most telling first."""
    yield asked
    yield asked._replace(filters=())
    if asked.level != "system":
        of_patients = tuple(kind for kind in asked.types if kind not in _OF_NO_PATIENT)
        yield asked._replace(types=of_patients)
        yield asked._replace(types=of_patients, filters=())


def _kick_off(client: Client, asked: Asked) -> str:
    params = {"_type": ",".join(asked.types)}
    if asked.filters:
        params["_typeFilter"] = ",".join(asked.filters)
    if asked.since is not None:
        params["_since"] = asked.since
    url = f"{client.base}/{asked.path}"
    response = client.request("GET", url, params=params, headers=_ASYNC)
    place = response.headers.get("Content-Location")
    if response.status_code != _PENDING or not place:
        raise SourceError(
            f"{url}: the server answered {response.status_code} and not that an export has begun"
        )
    return joined(url, place)


def wait_for(client: Client, status_url: str, tell: Told, patience: float) -> BulkManifest:
    """Wait until an export is done; ``patience``: for how many seconds at most.

    Raises:
        ExportLostError: the server does not know it any more.
        SourceError: it failed, or is not done in time.
    """
    end = time.monotonic() + patience
    wait = _FIRST_WAIT
    while True:
        try:
            response = client.request("GET", status_url)
        except HttpError as error:
            if error.status in _UNKNOWN:
                raise ExportLostError from None
            raise SourceError(f"the export failed: {error}") from None
        if response.status_code != _PENDING:
            return read_manifest(response.content, response.url)
        progress = response.headers.get("X-Progress", "")
        tell("".join(sign for sign in progress if sign.isprintable())[:_SHOWN])
        asked_to_wait = retry_after_of(response)
        pause = wait if asked_to_wait is None else asked_to_wait
        if time.monotonic() + pause > end:
            raise SourceError(
                f"{without_query(status_url)}: the export is not done after {patience:.0f} s"
                " (setting bulk_patience); run it again to go on waiting"
            )
        time.sleep(pause)
        wait = min(wait * 1.5, _LONGEST_WAIT)


def cancel(client: Client, status_url: str) -> None:
    """Have the server stop, or forget its files; it may not, and then does so by itself one day."""
    try:
        client.request("DELETE", status_url, budget=0)
    except SourceError as error:
        LOG.info("the export could not be cancelled: %s", error)
