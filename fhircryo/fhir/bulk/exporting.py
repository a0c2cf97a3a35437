"""Exports into a folder: starts or resumes an export, waits for it, downloads and counts files."""

import gzip
import hashlib
import json
import logging
import shutil
import threading
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import count, islice
from pathlib import Path
from typing import IO, cast

import msgspec

from fhircryo.errors import SourceError
from fhircryo.fhir.bulk.download import Downloader
from fhircryo.fhir.bulk.export_job import Asked, ExportLostError, Told, cancel, start, wait_for
from fhircryo.fhir.bulk.export_manifest import BulkManifest, OutputFile
from fhircryo.fhir.client import Client
from fhircryo.fhir.resource_names import KNOWN_TYPES
from fhircryo.interrupts import held, remembered_interrupts
from fhircryo.storage.atomic import PRIVATE, write_whole

LOG = logging.getLogger("fhircryo.bulk")

_STATE = "export.json"
_FILES = "files"
_ERRORS = "errors"
_DELETED = "deleted"
_AT_ONCE = 3
_LONGEST_TEXT = 300
_CHUNK = 1 << 20
_MEGABYTE = 1 << 20
_GIGABYTE = 1 << 30
_OTHER_TYPE = "Other"


@dataclass(frozen=True)
class Exported:
    """An export that is complete on disk.

    ``files``: the folder of its NDJSON files; ``at``: the server's time of the export;
    ``status_url``: its status URL on the server; ``deleted``: references (``Type/id``) of resources
    that were deleted; ``errors``: the errors that the server reports.
    """

    files: Path
    at: str | None
    status_url: str
    deleted: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


class _ExportState(msgspec.Struct):
    """The stored state of an export in progress; ``asked``: a digest of what is exported."""

    server: str
    asked: str
    status_url: str
    manifest: BulkManifest | None = None


@dataclass(frozen=True)
class Watch:
    """The caller's functions: ``tell`` reports the current step, ``progress`` counts files.

    ``progress`` is called with the number of finished files and of all files; ``stopped`` says
    whether to stop.
    """

    tell: Told = lambda _: None
    progress: Callable[[int, int], None] = lambda _done, _all: None
    stopped: Callable[[], bool] = lambda: False


def export(client: Client, asked: Asked, work: Path, patience: float, watch: Watch) -> Exported:
    """Export into a private folder, and resume an equal export that an earlier run started there.

    ``patience``: the longest wait for the server to finish the export, in seconds.

    Raises:
        SourceError: the server does not support the export, or its files are incomplete.
        TargetError: the folder cannot be written.
        KeyboardInterrupt: somebody asked to stop; the export is cancelled.
    """
    with remembered_interrupts() as interrupted:
        watch = replace(watch, stopped=_any(watch.stopped, interrupted))
        job = _Job(client, asked, work, patience, watch)
        try:
            return _completed(job, interrupted)
        except ExportLostError:
            raise SourceError(
                f"{client.base}: the server forgot the export, or its files, twice; does it keep"
                " them for too short a time?"
            ) from None
        except KeyboardInterrupt:
            with held():  # the interrupt may come again, where Python lost it first
                job.cancel()
            raise


def _any(*conditions: Callable[[], bool]) -> Callable[[], bool]:
    return lambda: any(condition() for condition in conditions)


def _completed(job: "_Job", interrupted: Callable[[], bool]) -> Exported:
    """Run an export, and once more where the server lost it."""
    try:
        exported = job.run()
    except ExportLostError:
        LOG.info("the server has forgotten the export, or its files: a new one, once")
        job.begin_again()
        exported = job.run()
    if interrupted():
        raise KeyboardInterrupt
    return exported


class _Job:
    def __init__(
        self, client: Client, asked: Asked, work: Path, patience: float, watch: Watch
    ) -> None:
        self._client = client
        self._asked = asked
        self._work = work
        self._patience = patience
        self._watch = watch
        self._state = self._load_state()

    def run(self) -> Exported:
        if self._state is None:
            self.begin_again()  # the folder may hold files of another export
            self._watch.tell("requesting an export")
            with held():  # an export that the server has begun can be cancelled
                status_url = start(self._client, self._asked)
                self._state = _ExportState(self._client.base, self._digest(), status_url)
                self._save_state()
        if self._state.manifest is None:
            self._watch.tell("exporting")
            self._state.manifest = wait_for(
                self._client, self._state.status_url, self._report, self._patience
            )
            self._save_state()
        self._watch.tell("downloading")
        return self._download(self._state.manifest, self._state.status_url)

    def begin_again(self) -> None:
        """Delete the files and the state of the export."""
        for name in (_FILES, _ERRORS, _DELETED):
            shutil.rmtree(self._work / name, ignore_errors=True)
        (self._work / _STATE).unlink(missing_ok=True)
        self._state = None

    def cancel(self) -> None:
        """Cancel the export on the server, and delete what was downloaded."""
        if self._state is not None:
            cancel(self._client, self._state.status_url)
            self.begin_again()

    def _report(self, words: str) -> None:
        if self._watch.stopped():
            raise KeyboardInterrupt
        self._watch.tell(f"exporting, {words}" if words else "exporting")

    def _digest(self) -> str:
        return hashlib.sha256(json.dumps(self._asked).encode()).hexdigest()

    def _load_state(self) -> _ExportState | None:
        """Return the state of an equal export that an earlier run started, if there is one."""
        try:
            found = msgspec.json.decode((self._work / _STATE).read_bytes(), type=_ExportState)
        except (OSError, msgspec.MsgspecError):
            return None
        same = (found.server, found.asked) == (self._client.base, self._digest())
        return found if same else None

    def _save_state(self) -> None:
        write_whole(self._work / _STATE, msgspec.json.encode(self._state), PRIVATE)

    def _download(self, manifest: BulkManifest, status_url: str) -> Exported:
        # If the manifest does not say whether a token is needed, it is sent, which is safe: the
        # downloader sends it to the server's own origin only.
        downloader = Downloader(
            self._client, with_token=manifest.requires_access_token is not False
        )
        wanted = [
            *((_FILES, file) for file in manifest.output),
            *((_DELETED, file) for file in manifest.deleted),
            *((_ERRORS, file) for file in manifest.error),
        ]
        for name in (_FILES, _DELETED, _ERRORS):
            (self._work / name).mkdir(mode=0o700, exist_ok=True)
        done = count(1)
        ending = threading.Event()

        def stopped() -> bool:
            return ending.is_set() or self._watch.stopped()

        def fetch(number: int, folder: str, file: OutputFile) -> None:
            if stopped():
                raise KeyboardInterrupt
            # The file name does not come from the server, whose name could be a path elsewhere.
            kind = file.type if file.type in KNOWN_TYPES else _OTHER_TYPE
            path = self._work / folder / f"{kind}.{number:04d}.ndjson"
            if not _is_there(path):
                part = path.with_name(f"new-{path.name}")
                got = downloader.fetch(file.url, part, stopped)
                if self._check(got, file):
                    got.rename(path.with_name(got.name.removeprefix("new-")))
                else:
                    got.unlink()  # the file is empty, and not needed
            self._watch.progress(next(done), len(wanted))

        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="fhircryo-bulk") as pool:
            running = [
                pool.submit(fetch, number, folder, file)
                for number, (folder, file) in enumerate(wanted, 1)
            ]
            try:
                for future in running:
                    future.result()
            except BaseException:
                ending.set()
                pool.shutdown(wait=True, cancel_futures=True)
                raise
        return Exported(
            self._work / _FILES,
            manifest.transaction_time,
            status_url,
            _deleted(self._work / _DELETED),
            _errors(self._work / _ERRORS),
        )

    def _check(self, path: Path, file: OutputFile) -> bool:
        """Whether a file contains any resource; check the number that the manifest states.

        Raises:
            SourceError: the number differs, or the file is damaged or too large.
        """
        try:
            self._check_size(path)
            filled = (line for line in lines(path) if line.strip())
            found = sum(1 for _ in (filled if file.count is not None else islice(filled, 1)))
        except (OSError, EOFError, zlib.error) as error:
            path.unlink(missing_ok=True)
            raise SourceError(f"a file of the export cannot be decompressed: {error}") from None
        except SourceError:
            path.unlink(missing_ok=True)
            raise
        if file.count is not None and found != file.count:
            path.unlink(missing_ok=True)
            raise SourceError(
                f"{self._client.base}: the export's manifest states {file.count} {file.type} in a"
                f" file, but the file contains {found}"
            )
        return found > 0

    def _check_size(self, path: Path) -> None:
        """Check the decompressed size of a file and of its lines, which are read as a whole.

        Raises:
            SourceError: the file or a line is too large.
        """
        limits = self._client.connection.limits
        size = line = 0
        with unpacked(path) as file:
            while chunk := file.read(_CHUNK):
                size += len(chunk)
                end = chunk.rfind(b"\n")
                line = line + len(chunk) if end < 0 else len(chunk) - end - 1
                if size > limits.file_gigabytes * _GIGABYTE:
                    raise SourceError(
                        f"a file of the export has more than {limits.file_gigabytes} GB after"
                        " decompression and is not read; raise max_file_gb if the size is"
                        " legitimate"
                    )
                if line > limits.megabytes * _MEGABYTE:
                    raise SourceError(
                        f"a line of the export has more than {limits.megabytes} MB and is not read;"
                        " raise max_response_mb if the size is legitimate"
                    )


def _is_there(path: Path) -> bool:
    return path.exists() or path.with_name(f"{path.name}.gz").exists()


def lines(path: Path) -> Iterator[bytes]:
    """Yield the lines of a file of an export, decompressed."""
    with unpacked(path) as file:
        yield from file


def unpacked(path: Path) -> IO[bytes]:
    """Open a file of an export so that its content is decompressed while it is read."""
    if path.suffix == ".gz":
        return cast("IO[bytes]", gzip.open(path, "rb"))
    return path.open("rb")


class _ErrorIssue(msgspec.Struct):
    diagnostics: str | None = None
    details: dict[str, object] | None = None
    severity: str | None = None


class _ErrorOutcome(msgspec.Struct):
    issue: list[_ErrorIssue] = []


class _DeletionRequest(msgspec.Struct):
    method: str | None = None
    url: str | None = None


class _DeletionEntry(msgspec.Struct):
    request: _DeletionRequest | None = None


class _DeletionBundle(msgspec.Struct):
    entry: list[_DeletionEntry] = []


def _filled_lines(folder: Path) -> Iterator[bytes]:
    """Yield the lines of a folder's files that are not empty."""
    for path in sorted(folder.iterdir()):
        yield from (line for line in lines(path) if line.strip())


def _deleted(folder: Path) -> list[str]:
    """Return the references (``Type/id``) in the Bundles of deletions.

    Raises:
        SourceError: a Bundle cannot be read, so that its deletions would be missed.
    """
    found: list[str] = []
    for line in _filled_lines(folder):
        try:
            bundle = msgspec.json.decode(line, type=_DeletionBundle)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise SourceError(f"the export's list of deletions cannot be read: {error}") from None
        for entry in bundle.entry:
            request = entry.request
            if request is not None and request.method == "DELETE" and request.url:
                found.append("/".join(request.url.split("/")[-2:]))
    return found


def _errors(folder: Path) -> list[str]:
    """Return the texts of the errors that the server reports, without control characters."""
    found: list[str] = []
    for line in _filled_lines(folder):
        try:
            outcome = msgspec.json.decode(line, type=_ErrorOutcome)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            found.append("(cannot be read)")
            continue
        for issue in outcome.issue:
            text = issue.diagnostics or (issue.details or {}).get("text") or "(no text)"
            printable = "".join(char for char in str(text) if char.isprintable())
            found.append(printable[:_LONGEST_TEXT])
    return found
