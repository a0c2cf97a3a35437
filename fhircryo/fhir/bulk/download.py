"""Downloads the files of an export, and resumes a download whose connection broke."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import requests
import urllib3

from fhircryo.errors import SourceError, TargetError
from fhircryo.fhir import refusals
from fhircryo.fhir.auth.credentials import NoAuth
from fhircryo.fhir.bulk.export_job import ExportLostError
from fhircryo.fhir.client import PASSING, Client, HttpError, backoff, innermost
from fhircryo.fhir.connection import session
from fhircryo.fhir.deadline import DeadlineError
from fhircryo.fhir.urls import is_loopback, joined, without_query

LOG = logging.getLogger("fhircryo.bulk")

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MOST_REDIRECTS = 5
_PARTIAL = 206
_UNSATISFIABLE = 416
_CHUNK = 1 << 20
_GIGABYTE = 1 << 30
_GZIP = b"\x1f\x8b"
_NDJSON = "application/fhir+ndjson"


class _Download(NamedTuple):
    """A streamed response, and the offset in the file at which its content begins."""

    response: requests.Response
    offset: int


class Downloader:
    """Downloads files; each thread that uses it has its own connections.

    ``with_token``: whether to send the server's credentials. The site's credentials, headers and
    client certificate are sent only to the server's own origin and to origins that the settings
    allow.
    """

    def __init__(self, client: Client, *, with_token: bool) -> None:
        self._client = client
        self._with_token = with_token
        self._local = threading.local()

    def fetch(self, url: str, path: Path, stopped: Callable[[], bool]) -> Path:
        """Download a file, and return its path: ``path``, with ``.gz`` added if it is compressed.

        ``stopped``: whether to stop the download.

        Raises:
            ExportLostError: the server has deleted the file.
            SourceError: the file cannot be downloaded, or is too large.
            TargetError: the file cannot be written.
            KeyboardInterrupt: ``stopped`` returned true.
        """
        budget = self._client.connection.budget
        deadline = time.monotonic() + budget
        attempt = 0
        part = path.with_name(f"{path.name}.part")
        tag: str | None = None
        while True:
            attempt += 1
            before = part.stat().st_size if part.exists() else 0
            try:
                download = self._request(url, before if tag else 0, tag)
                tag = download.response.headers.get("ETag", "") or None
                if tag is not None and tag.startswith("W/"):
                    tag = None
                with download.response:
                    self._write(download, part, stopped)
                return _rename_whole(part, path)
            except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
                if isinstance(innermost(error), DeadlineError):
                    raise SourceError(
                        f"{without_query(url)}: less than a megabyte arrived within"
                        f" {self._client.connection.deadline:g} s (setting request_deadline)"
                    ) from None
                problem = type(error).__name__
            except HttpError as error:
                if refusals.gone(error):
                    raise ExportLostError from None
                if error.status not in PASSING:
                    raise
                problem = str(error.status)
            after = part.stat().st_size if part.exists() else 0
            if after > before:
                attempt, deadline = 1, time.monotonic() + budget
            wait = backoff(attempt)
            if time.monotonic() + wait > deadline:
                raise SourceError(f"{without_query(url)}: cannot be downloaded: {problem}")
            LOG.info("a download was interrupted (%s); continuing in %.1f s", problem, wait)
            time.sleep(wait)

    def _request(self, url: str, offset: int, tag: str | None) -> _Download:
        """Request a file from an offset on; the server may send it from its beginning instead."""
        headers = {"Accept": _NDJSON, "Accept-Encoding": "gzip"}
        if offset and tag:
            headers |= {"Range": f"bytes={offset}-", "If-Range": tag}
        renewed = False
        for _ in range(_MOST_REDIRECTS):
            response = self._send(url, headers)
            status = response.status_code
            location = response.headers.get("Location")
            if status in _REDIRECTS and location:
                response.close()
                url = joined(url, location)
                continue
            if (
                status == 401
                and not renewed
                and self._client.connection.auth.renew(response.request)
            ):
                response.close()
                renewed = True
                continue
            if status == _UNSATISFIABLE:
                response.close()
                headers = {"Accept": _NDJSON, "Accept-Encoding": "gzip"}
                continue
            if status >= 400:
                response.close()
                raise HttpError("GET", without_query(url), status, "")
            return _Download(response, offset if status == _PARTIAL else 0)
        raise SourceError(f"{without_query(url)}: too many redirects")

    def _send(self, url: str, headers: dict[str, str]) -> requests.Response:
        connection = self._client.connection
        own = self._client.allowed(url)
        if not own:
            self._check_foreign(url)
        used = self._session(own=own)
        request = used.prepare_request(requests.Request("GET", url, headers=headers))
        # The library connects to the URL as it normalises it, which may have another origin.
        if self._client.allowed(request.url or "") != own:
            raise SourceError(f"{without_query(url)}: the URL is ambiguous; not followed")
        if own and self._with_token:
            connection.auth.apply(request)
        self._client.requests_made += 1
        settings = used.merge_environment_settings(request.url or url, {}, None, None, None)
        settings["stream"] = True
        if used.verify is not True:
            settings["verify"] = used.verify
        return used.send(
            request,
            timeout=(connection.connect_timeout, connection.read_timeout),
            allow_redirects=False,
            **settings,
        )

    def _check_foreign(self, url: str) -> None:
        """Check that a file at another origin needs no token and is transferred encrypted."""
        parts = urlsplit(url)
        if self._with_token:
            raise SourceError(
                f"{without_query(url)}: a file of the export is at another origin that requires the"
                " token; not followed (setting origins allows it)"
            )
        if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.hostname)):
            raise SourceError(
                f"{without_query(url)}: a file of the export is at another origin, unencrypted; not"
                " followed (setting origins allows it)"
            )

    def _session(self, *, own: bool) -> requests.Session:
        name = "own" if own else "foreign"
        found: requests.Session | None = getattr(self._local, name, None)
        if found is None:
            connection = self._client.connection
            if not own:
                connection = replace(connection, headers={}, auth=NoAuth(), client_context=None)
            found = session(connection, renewed_by=_CHUNK)
            setattr(self._local, name, found)
        return found

    def _write(self, download: _Download, part: Path, stopped: Callable[[], bool]) -> None:
        limit = self._client.connection.limits.file_gigabytes
        size = download.offset
        try:
            with part.open("ab" if download.offset else "wb") as file:
                part.chmod(0o600)
                for chunk in download.response.raw.stream(_CHUNK, decode_content=False):
                    size += len(chunk)
                    if size > limit * _GIGABYTE:
                        raise SourceError(
                            f"a file of the export has more than {limit} GB and is not read; raise"
                            " max_file_gb if the size is legitimate"
                        )
                    file.write(chunk)
                    if stopped():
                        raise KeyboardInterrupt
        except OSError as error:
            if isinstance(error, requests.RequestException):
                raise
            raise TargetError(f"{part}: cannot be written: {error.strerror or error}") from error


def _rename_whole(part: Path, path: Path) -> Path:
    """Rename a complete file, with ``.gz`` if its content is gzip, whatever the headers say."""
    with part.open("rb") as file:
        compressed = file.read(2) == _GZIP
    found = path.with_name(f"{path.name}.gz") if compressed else path
    part.rename(found)
    return found
