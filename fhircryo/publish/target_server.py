"""Writes computed endpoints to a FHIR server, where they differ from those that it holds."""

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import platformdirs

from fhircryo.errors import SourceError, TargetError, UsageError
from fhircryo.fhir.capability import Capabilities, capabilities
from fhircryo.fhir.client import Client
from fhircryo.fhir.connect import COMPARING, MATCHING, WRITING, open_client
from fhircryo.fhir.search import Searcher
from fhircryo.fhir.urls import base_url
from fhircryo.publish.as_on_server import References
from fhircryo.publish.comparison import Comparison, RetractionScope
from fhircryo.publish.difference import Action, Difference
from fhircryo.publish.known_ids import open_known_ids
from fhircryo.publish.newer_version import downgrade_refusal
from fhircryo.publish.origin import Origin
from fhircryo.publish.patient_output import PatientOutput
from fhircryo.publish.retraction_limit import too_many_retractions
from fhircryo.publish.server_writer import Progress, ServerWriter, Stopped, WriteResult
from fhircryo.publish.target_connection import TargetConnection
from fhircryo.publish.target_kind import Creation, honoured_creation
from fhircryo.publish.target_lock import target_lock
from fhircryo.publish.target_trial import TargetTrial
from fhircryo.publish.target_warnings import misstated_words, target_warnings
from fhircryo.settings import ServerSettings, Settings, WriteSettings

LOG = logging.getLogger("fhircryo.target")


@dataclass(frozen=True)
class Permissions:
    """What a run may do: only compare (``dry_run``); retract the endpoints of many patients.

    ``allow_downgrade``: write to a target to which a newer version of the program has written.
    """

    dry_run: bool = False
    allow_retractions: bool = False
    allow_downgrade: bool = False


@dataclass
class PushResult:
    """What a run changed on a server or, as a dry run, would change.

    ``refusal``: of a dry run: why the real run would write nothing; empty if it would write.
    ``warnings``: of what a person has to look at on the target.
    """

    difference: Difference
    written: WriteResult
    dry_run: bool
    refusal: str = ""
    warnings: list[str] = field(default_factory=list)

    def unsent(self) -> set[str]:
        """Patients of whom something differs but was not sent, because the run was asked to end."""
        done = self.written.landed | self.rejected.keys()
        return {patient.patient for patient in self.difference.changed()} - done

    @property
    def rejected(self) -> dict[str, str]:
        """Patients that were not written, or in a dry run would not be, and why.

        Those of whom the target keeps another value than was written are among them.
        """
        problems = {
            patient.patient: why
            for patient in self.difference.patients
            if (why := patient.problem or misstated_words(patient.misstated))
        }
        return problems | self.written.rejected


def same_server(first: str | None, second: str) -> bool:
    """Whether two base URLs are of the same server; ``first``: None for a folder."""
    return first is not None and base_url(first) == base_url(second)


def target_settings(source: str | None, target: str, settings: Settings) -> ServerSettings:
    """The settings of the connection to TARGET; it never gets the credentials of another server."""
    if settings.target is not None:
        return settings.target
    return settings.source if same_server(source, target) else ServerSettings()


@contextmanager
def open_target(
    source: str | None,
    target: str,
    origin: Origin,
    settings: Settings,
    allowed: Permissions,
    *,
    alone: bool = False,
) -> Iterator["TargetServer"]:
    """A server that is ready to be written to, and locked if it cannot prevent duplicates.

    ``source``: the base URL of the server that is the source; None for a folder. ``alone``: lock
    the target in any case.

    Raises:
        TargetError: the target cannot be reached, or refuses.
        LockedError: another run is writing to the target.
        UsageError: the settings contradict each other.
    """
    references = _references(source, target, origin, settings)
    with ExitStack() as stack:
        server = target_settings(source, target, settings)
        if alone:
            stack.enter_context(target_lock(target, state_folder(settings)))
        with _as_target():
            needs = dict(COMPARING if allowed.dry_run else WRITING)
            if references.subject == "match":
                needs |= MATCHING
            client = stack.enter_context(open_client(target, server, needs))
            found = _writable(client)
        folder = state_folder(settings)
        known = stack.enter_context(open_known_ids(target, folder, dry_run=allowed.dry_run))
        own_ids = honoured_creation(found, known) is Creation.OWN_ID
        if not (own_ids or allowed.dry_run or alone):
            stack.enter_context(target_lock(client.base, folder))
        searcher = Searcher(client)
        stack.callback(searcher.close)
        patience = settings.write.index_patience
        connection = TargetConnection(client, searcher, found, origin, known, patience)
        yield TargetServer(connection, references, settings.write, allowed)


@contextmanager
def _as_target() -> Iterator[None]:
    """Report the errors of the server that is TARGET as errors of the target, not of the source."""
    try:
        yield
    except SourceError as error:
        raise TargetError(f"TARGET: {error}") from error


def state_folder(settings: Settings) -> Path:
    """The folder of locks and of the states of scheduled runs."""
    return settings.state_folder or platformdirs.user_state_path("fhircryo")


def _references(source: str | None, target: str, origin: Origin, settings: Settings) -> References:
    write = settings.write
    subject = write.subject or ("literal" if same_server(source, target) else "logical")
    if subject == "match" and not write.subject_system:
        raise UsageError(
            "setting write.subject = match: the setting write.subject_system is required"
        )
    named = f"/{origin.source_name}" if origin.source_name else ""
    system = base_url(source) if source else write.source_base or f"{origin.base}/source{named}"
    return References(subject, write.evidence_references, system)


def _writable(client: Client) -> Capabilities:
    """What the server can do, if it lets Observations be written."""
    found = capabilities(client)
    if not found.allows("Observation", "update") and not found.allows("Observation", "create"):
        raise TargetError(
            f"{client.base}: this server does not let Observations be written; its"
            " CapabilityStatement lists neither create nor update"
        )
    return found


class TargetServer:
    """A server that is open for one run."""

    def __init__(
        self,
        connection: TargetConnection,
        references: References,
        settings: WriteSettings,
        allowed: Permissions,
    ) -> None:
        self._connection = connection
        self._settings = settings
        self._allowed = allowed
        self._trial = TargetTrial(connection, settings)
        kind = None if allowed.dry_run else self._trial.kind
        self._comparison = Comparison(connection, kind, references, settings.subject_system or "")

    @property
    def requests_made(self) -> int:
        """How many requests were sent to the target."""
        return self._connection.client.requests_made

    def push(
        self,
        patients: list[PatientOutput],
        scope: RetractionScope,
        progress: Progress | None = None,
        stopped: Stopped | None = None,
    ) -> PushResult:
        """Compare with the endpoints that the target holds, and write those that differ.

        Raises:
            TargetError: the server fails or refuses, or too many endpoints would be retracted.
        """
        with _as_target():
            dry_run, trial = self._allowed.dry_run, self._trial
            if dry_run or not patients:
                trial.find_device()
            else:
                trial.establish_device()
            difference = self._comparison.difference(
                patients, scope, trial.device, profiles=trial.kind.profiles
            )
            warnings = self._warn(difference)
            changed = list(difference.changed())
            if dry_run or not changed:
                refusal = self._refusal(difference) if dry_run and changed else ""
                return PushResult(difference, WriteResult(), dry_run, refusal, warnings)
            self._check_version()
            self._check_retractions(difference)
            hidden = self._hidden(difference)
            if hidden:
                raise TargetError(f"{self._connection.base}: {hidden}; nothing was written")
            trial.run()
            writer = ServerWriter(self._connection, trial, self._settings.bundle_size)
            written = writer.write(changed, len(changed), progress, stopped)
            return PushResult(difference, written, dry_run=False, warnings=warnings)

    def _warn(self, difference: Difference) -> list[str]:
        """Warn of what a person has to look at on the target; the words."""
        found = list(target_warnings(difference))
        for words in found:
            LOG.warning("%s: %s", self._connection.base, words)
        return found

    def _refusal(self, difference: Difference) -> str:
        """Why the real run would write nothing; empty if it would write."""
        retractions = self._too_many_retractions(difference)
        advice = "if they are right, use --allow-retractions"
        too_many = f"{retractions}; {advice}" if retractions else ""
        return self._downgrade() or too_many or self._hidden(difference)

    def _hidden(self, difference: Difference) -> str:
        """Why endpoints to create may be there already, unseen; empty if that is not known."""
        creates = any(
            change.action is Action.NEW
            for patient in difference.changed()
            for change in patient.changes
        )
        return self._trial.search_refusal() if creates else ""

    def _downgrade(self) -> str:
        """The words for a target to which a newer version has written; empty if it is allowed."""
        newer = "" if self._allowed.allow_downgrade else self._trial.newer_version()
        return newer and downgrade_refusal(newer, "the endpoints there were written")

    def _check_version(self) -> None:
        """Refuse to set a target back to older definitions without a person's word."""
        words = self._downgrade()
        if words:
            raise TargetError(f"{self._connection.base}: {words}; nothing was written")

    def _too_many_retractions(self, difference: Difference) -> str:
        if self._allowed.allow_retractions:
            return ""
        return too_many_retractions(difference, self._settings)

    def _check_retractions(self, difference: Difference) -> None:
        """Refuse far more retractions than usual: without a person's word they are an error."""
        refusal = self._too_many_retractions(difference)
        if refusal:
            raise TargetError(
                f"{self._connection.base}: {refusal}, so nothing was written; check them with"
                " --dry-run, then use --allow-retractions if they are right"
            )
