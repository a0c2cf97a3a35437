"""An export into a folder: begun or picked up, waited for, its files downloaded and counted."""

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
from fhircryo.fhir.bulk.interrupts import remembered_interrupts
from fhircryo.fhir.client import Client
from fhircryo.fhir.resource_names import KNOWN_TYPES
from fhircryo.storage.atomic import PRIVATE, write_whole

LOG = logging.getLogger("fhircryo.bulk")

_MARK = "export.json"
_FILES = "files"
_ERRORS = "errors"
_DELETED = "deleted"
_AT_ONCE = 3
_SHOWN = 300
_CHUNK = 1 << 20
_MEGABYTE = 1 << 20
_GIGABYTE = 1 << 30
_OTHER_TYPE = "Other"


@dataclass(frozen=True)
class Exported:
    """An export that is whole on disk. ``files``: the folder of its NDJSON.

    ``deleted``: references (``Type/id``) that are gone since; ``errors``: what the server says went
    wrong; ``at``: the server's time of the export; ``status_url``: where the server knows it.
    """

    files: Path
    at: str | None
    status_url: str
    deleted: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


class _Mark(msgspec.Struct):
    """What is remembered of an export while it is under way."""

    server: str
    asked: str
    status_url: str
    manifest: BulkManifest | None = None


@dataclass(frozen=True)
class Watch:
    """Who watches: told what is being done and how far it is; asked whether to stop."""

    tell: Told = lambda _: None
    progress: Callable[[int, int], None] = lambda _done, _all: None
    stopped: Callable[[], bool] = lambda: False


def export(client: Client, asked: Asked, work: Path, patience: float, watch: Watch) -> Exported:
    """Export into a private folder; one that an earlier run began is picked up there.

    Raises:
        SourceError: the server does not export, or not all that it says.
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
        self._mark = self._known()

    def run(self) -> Exported:
        if self._mark is None:
            self.begin_again()  # what lies here is of another export
            self._watch.tell("asking for an export")
            self._mark = _Mark(self._client.base, self._digest(), start(self._client, self._asked))
            self._remember()
        if self._mark.manifest is None:
            self._watch.tell("exporting")
            self._mark.manifest = wait_for(
                self._client, self._mark.status_url, self._say, self._patience
            )
            self._remember()
        self._watch.tell("downloading")
        return self._download(self._mark.manifest, self._mark.status_url)

    def begin_again(self) -> None:
        """Forget what there is."""
        for name in (_FILES, _ERRORS, _DELETED):
            shutil.rmtree(self._work / name, ignore_errors=True)
        (self._work / _MARK).unlink(missing_ok=True)
        self._mark = None

    def cancel(self) -> None:
        """Have the server stop."""
        if self._mark is not None:
            cancel(self._client, self._mark.status_url)
            self.begin_again()

    def _say(self, words: str) -> None:
        if self._watch.stopped():
            raise KeyboardInterrupt
        self._watch.tell(f"exporting, {words}" if words else "exporting")

    def _digest(self) -> str:
        return hashlib.sha256(json.dumps(self._asked).encode()).hexdigest()

    def _known(self) -> _Mark | None:
        """What an earlier run began of the same."""
        try:
            found = msgspec.json.decode((self._work / _MARK).read_bytes(), type=_Mark)
        except (OSError, msgspec.MsgspecError):
            return None
        same = (found.server, found.asked) == (self._client.base, self._digest())
        return found if same else None

    def _remember(self) -> None:
        write_whole(self._work / _MARK, msgspec.json.encode(self._mark), PRIVATE)

    def _download(self, manifest: BulkManifest, status_url: str) -> Exported:
        # Where nothing is said, nothing is lost by sending it: to the server's own origin alone.
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
            # The name is ours: a server's could lead anywhere.
            kind = file.type if file.type in KNOWN_TYPES else _OTHER_TYPE
            path = self._work / folder / f"{kind}.{number:04d}.ndjson"
            if not _is_there(path):
                part = path.with_name(f"new-{path.name}")
                got = downloader.fetch(file.url, part, stopped)
                if self._check(got, file):
                    got.rename(path.with_name(got.name.removeprefix("new-")))
                else:
                    got.unlink()  # nothing of this type: no file of it is needed
            self._watch.progress(next(done), len(wanted))

        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="fhircryo-bulk") as pool:
            running = [
                pool.submit(fetch, number, folder, file)
                for number, (folder, file) in enumerate(wanted, 1)
            ]
            try:
                for one in running:
                    one.result()
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
        """Whether a file holds anything; as many resources as the manifest states, where it does.

        Raises:
            SourceError: it does not, or is more than is read.
        """
        try:
            self._check_size(path)
            filled = (line for line in lines(path) if line.strip())
            found = sum(1 for _ in (filled if file.count is not None else islice(filled, 1)))
        except (OSError, EOFError, zlib.error) as error:
            path.unlink(missing_ok=True)
            raise SourceError(f"a file of the export cannot be unpacked: {error}") from None
        except SourceError:
            path.unlink(missing_ok=True)
            raise
        if file.count is not None and found != file.count:
            path.unlink(missing_ok=True)
            raise SourceError(
                f"{self._client.base}: the export's manifest says {file.count} {file.type} in a"
                f" file, and {found} are in it"
            )
        return found > 0

    def _check_size(self, path: Path) -> None:
        """A packed file may unpack to anything, and a line is read as a whole."""
        limits = self._client.connection.limits
        size = line = 0
        with unpacked(path) as file:
            while chunk := file.read(_CHUNK):
                size += len(chunk)
                end = chunk.rfind(b"\n")
                line = line + len(chunk) if end < 0 else len(chunk) - end - 1
                if size > limits.file_gigabytes * _GIGABYTE:
                    raise SourceError(
                        f"a file of the export has more than {limits.file_gigabytes} GB unpacked,"
                        " and is not read; raise max_file_gb if it is right"
                    )
                if line > limits.megabytes * _MEGABYTE:
                    raise SourceError(
                        f"a line of the export has more than {limits.megabytes} MB, and is not"
                        " read; raise max_response_mb if it is right"
                    )


def _is_there(path: Path) -> bool:
    return path.exists() or path.with_name(f"{path.name}.gz").exists()


def lines(path: Path) -> Iterator[bytes]:
    """The lines of a file of an export, unpacked."""
    with unpacked(path) as file:
        yield from file


def unpacked(path: Path) -> IO[bytes]:
    """A file of an export, opened so that it reads as it is unpacked."""
    if path.suffix == ".gz":
        return cast("IO[bytes]", gzip.open(path, "rb"))
    return path.open("rb")


class _Issue(msgspec.Struct):
    diagnostics: str | None = None
    details: dict[str, object] | None = None
    severity: str | None = None


class _Outcome(msgspec.Struct):
    issue: list[_Issue] = []


class _Request(msgspec.Struct):
    method: str | None = None
    url: str | None = None


class _Entry(msgspec.Struct):
    request: _Request | None = None


class _Bundle(msgspec.Struct):
    entry: list[_Entry] = []


def _records(folder: Path) -> Iterator[bytes]:
    """All lines of a folder's files that hold something."""
    for path in sorted(folder.iterdir()):
        yield from (line for line in lines(path) if line.strip())


def _deleted(folder: Path) -> list[str]:
    """The references that the Bundles of deletions name.

    Raises:
        SourceError: one of them cannot be read: what it says would be missed.
    """
    found: list[str] = []
    for line in _records(folder):
        try:
            bundle = msgspec.json.decode(line, type=_Bundle)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise SourceError(f"the export's list of deletions cannot be read: {error}") from None
        for entry in bundle.entry:
            request = entry.request
            if request is not None and request.method == "DELETE" and request.url:
                found.append("/".join(request.url.split("/")[-2:]))
    return found


def _errors(folder: Path) -> list[str]:
    """What the server says went wrong, a line each."""
    found: list[str] = []
    for line in _records(folder):
        try:
            outcome = msgspec.json.decode(line, type=_Outcome)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            found.append("(cannot be read)")
            continue
        for issue in outcome.issue:
            text = issue.diagnostics or (issue.details or {}).get("text") or "(no words)"
            words = "".join(sign for sign in str(text) if sign.isprintable())
            found.append(words[:_SHOWN])
    return found
