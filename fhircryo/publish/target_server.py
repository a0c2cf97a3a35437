"""Computed endpoints to a FHIR server: what differs there is written, and nothing else."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import platformdirs

from fhircryo.errors import SourceError, TargetError, UsageError
from fhircryo.fhir.capability import Capabilities, capabilities
from fhircryo.fhir.client import Client
from fhircryo.fhir.client import origin as origin_of
from fhircryo.fhir.connect import COMPARING, MATCHING, WRITING, open_client
from fhircryo.fhir.search import Searcher
from fhircryo.publish.as_on_server import Json, References, as_on_server
from fhircryo.publish.computed import Computed, identifiers_of
from fhircryo.publish.difference import Difference, Fresh, PatientChanges, changes_of
from fhircryo.publish.matching import Matched, match_patients
from fhircryo.publish.origin import Origin
from fhircryo.publish.published_endpoint import (
    RETRACTED,
    PublishedByIdentifier,
    all_published,
    published_with,
)
from fhircryo.publish.server_writer import Progress, ServerWriter, Stopped, Written
from fhircryo.publish.shapes import DECODER, ENCODER
from fhircryo.publish.target_device import TargetDevice
from fhircryo.publish.target_lock import target_lock
from fhircryo.publish.transaction import creation
from fhircryo.settings import ServerSettings, Settings


@dataclass(frozen=True)
class Scope:
    """Of whom a run speaks: what stands of them and was not computed is retracted.

    ``patients``: ids of the source (None: all); ``known_as``: their identifiers, to match them;
    ``identifiers``: what was published of them, where that is known (None: all that stands on the
    target is read); ``standing``: tells of how many patients something stands there, likewise.
    """

    patients: frozenset[str] | None = None
    known_as: Mapping[str, str] = field(default_factory=dict)
    identifiers: frozenset[str] | None = None
    standing: Callable[[], int] | None = None


@dataclass(frozen=True)
class Permissions:
    """What a person allows or wants: only to look; many retractions at once."""

    dry_run: bool = False
    allow_retractions: bool = False


@dataclass
class Pushed:
    """What a push would change or did; ``rejected``: patients that were not written, and why."""

    difference: Difference
    written: Written
    dry_run: bool

    def unsent(self) -> set[str]:
        """Patients of whom something differs and was not sent: the run was asked to end."""
        done = self.written.landed | self.rejected.keys()
        return {one.patient for one in self.difference.changed()} - done

    @property
    def rejected(self) -> dict[str, str]:
        """Patients that were (or will be) not written, and why."""
        problems = {one.patient: one.problem for one in self.difference.patients if one.problem}
        return problems | self.written.rejected


def same_server(one: str | None, other: str) -> bool:
    """Whether two URLs are the base of the same server."""
    if one is None:
        return False
    return _normal(one) == _normal(other)


def _normal(url: str) -> tuple[str, str]:
    return origin_of(url), urlsplit(url).path.rstrip("/")


def target_settings(source: str | None, target: str, settings: Settings) -> ServerSettings:
    """How TARGET is reached; the credentials of another server never go to it."""
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
    """A server, ready to be written to: reached, known, and locked where it must be.

    ``source``: the base URL of the server that is computed from, None of a folder. ``alone``: it
    is locked in any case.

    Raises:
        TargetError: the target cannot be reached, or refuses.
        LockedError: another run writes to it.
        UsageError: the settings do not fit together.
    """
    references = _references(source, target, origin, settings)
    with ExitStack() as stack:
        connection = target_settings(source, target, settings)
        if alone:
            stack.enter_context(target_lock(target.rstrip("/"), state_folder(settings)))
        with _as_target():
            needs = dict(COMPARING if allowed.dry_run else WRITING)
            if references.subject == "match":
                needs |= MATCHING
            client = stack.enter_context(open_client(target, connection, needs))
            known = _writable(client)
        if creation(known) != "own-id" and not allowed.dry_run and not alone:
            stack.enter_context(target_lock(client.base, state_folder(settings)))
        searcher = Searcher(client)
        stack.callback(searcher.close)
        yield TargetServer(client, searcher, known, origin, references, settings, allowed)


@contextmanager
def _as_target() -> Iterator[None]:
    """What the server of TARGET does not do is no fault of the source."""
    try:
        yield
    except SourceError as error:
        raise TargetError(f"TARGET: {error}") from error


def state_folder(settings: Settings) -> Path:
    """Where locks are kept."""
    return settings.state_folder or platformdirs.user_state_path("fhircryo")


def _references(source: str | None, target: str, origin: Origin, settings: Settings) -> References:
    write = settings.write
    subject = write.subject or ("literal" if same_server(source, target) else "logical")
    if subject == "match" and not write.subject_system:
        raise UsageError("setting write.subject = match: write.subject_system is needed")
    named = f"/{origin.source_name}" if origin.source_name else ""
    system = source.rstrip("/") if source else write.source_base or f"{origin.base}/source{named}"
    return References(subject, write.evidence_references, system)


def _writable(client: Client) -> Capabilities:
    known = capabilities(client)
    if not known.allows("Observation", "update") and not known.allows("Observation", "create"):
        raise TargetError(
            f"{client.base}: this server does not let Observations be written; its"
            " CapabilityStatement lists neither create nor update"
        )
    return known


class TargetServer:
    """One server, open for one run."""

    def __init__(
        self,
        client: Client,
        searcher: Searcher,
        known: Capabilities,
        origin: Origin,
        references: References,
        settings: Settings,
        allowed: Permissions,
    ) -> None:
        self._client = client
        self._searcher = searcher
        self._known = known
        self._origin = origin
        self._references = references
        self._settings = settings
        self._allowed = allowed
        self._device = TargetDevice(client, searcher, known, origin.base)

    @property
    def requests_made(self) -> int:
        """How many requests the target has had."""
        return self._client.requests_made

    def push(
        self,
        patients: list[Computed],
        scope: Scope,
        progress: Progress | None = None,
        stopped: Stopped | None = None,
    ) -> Pushed:
        """Compare with what stands there, and write what differs.

        Raises:
            TargetError: the server fails or refuses; too much would be retracted.
        """
        with _as_target():
            dry_run = self._allowed.dry_run
            device = self._device.find()
            if device is None and patients and not dry_run:
                device = self._device.write()
            difference = self._compare(patients, scope, device)
            changed = list(difference.changed())
            if dry_run or not changed:
                return Pushed(difference, Written(), dry_run)
            self._check_retractions(difference)
            self._device.write()
            writer = ServerWriter(
                self._client,
                self._searcher,
                self._known,
                self._origin,
                device,
                self._settings.write.bundle_size,
            )
            written = writer.write(changed, len(changed), progress, stopped)
            return Pushed(difference, written, dry_run=False)

    def _compare(self, patients: list[Computed], scope: Scope, device: Json | None) -> Difference:
        matched = self._match(patients, scope)
        stand = self._stand(patients, scope)
        by_owner: dict[str, list[str]] = {}
        for standings in stand.values():
            for one in standings:
                if one.ours:
                    by_owner.setdefault(one.patient, []).append(one.identifier)
        found: list[PatientChanges] = []
        done: set[str] = set()
        for computed in patients:
            problem = matched.problems.get(computed.patient)
            owner = self._owner(computed.patient, matched)
            fresh = self._fresh(computed, owner, device)
            if problem:
                found.append(PatientChanges(computed.patient, None, [], problem=problem))
                # What stands of him stays: he is only not recognised.
                done |= {one.patient for name in fresh.identifiers() for one in stand.get(name, ())}
                continue
            done.add(owner)
            left = set(by_owner.get(owner, ())).difference(fresh.identifiers())
            changes = changes_of(computed.patient, fresh, left, stand, self._client.base)
            if not changes.changes:
                changes.fresh = None  # it is not needed any more
            found.append(changes)
        for owner in sorted(by_owner.keys() - done):
            if self._speaks_of(owner, scope, matched):
                left = set(by_owner[owner])
                found.append(changes_of(self._name(owner), None, left, stand, self._client.base))
        return Difference(found, scope.standing or (lambda: _active(stand)))

    def _stand(self, patients: list[Computed], scope: Scope) -> PublishedByIdentifier:
        """What stands on the target; only what this run speaks of, where that is known."""
        if scope.identifiers is None:
            return all_published(self._searcher, self._origin, self._client.base)
        wanted = set(scope.identifiers)
        for computed in patients:
            wanted.update(identifiers_of(computed))
        return published_with(self._searcher, wanted, self._origin, self._client.base)

    def _match(self, patients: list[Computed], scope: Scope) -> Matched:
        if self._references.subject != "match":
            return Matched()
        known_as = dict(scope.known_as)
        for computed in patients:
            subject = DECODER.decode(computed.observations[0])["subject"]
            known_as[computed.patient] = (subject.get("identifier") or {}).get("value") or ""
        system = self._settings.write.subject_system or ""
        return match_patients(self._searcher, system, known_as)

    def _owner(self, patient: str, matched: Matched) -> str:
        return matched.ids.get(patient, "") if self._references.subject == "match" else patient

    def _name(self, owner: str) -> str:
        """How one is called who was not computed: only the target knows a matched one."""
        return f"{owner} of the target" if self._references.subject == "match" else owner

    def _fresh(self, computed: Computed, owner: str, device: Json | None) -> Fresh:
        references = self._references
        subject = references.to_subject(f"Patient/{computed.patient}", owner)
        observations = []
        for line in computed.observations:
            resource = DECODER.decode(line)
            content = ENCODER.encode(as_on_server(resource, references, subject, device))
            observations.append((str(resource["id"]), content))
        provenance = DECODER.decode(computed.provenance)
        for entity in provenance.get("entity", ()):
            entity["what"] = references.to_evidence(entity["what"]["reference"])
        return Fresh(computed.patient, owner, observations, provenance)

    def _speaks_of(self, owner: str, scope: Scope, matched: Matched) -> bool:
        if scope.patients is None:
            return True
        if self._references.subject == "match":
            return owner in {matched.ids.get(patient) for patient in scope.patients}
        return owner in scope.patients

    def _check_retractions(self, difference: Difference) -> None:
        """Far more retractions than usual are a fault of the source until a person says not."""
        limits = self._settings.write
        retracted = difference.retracted_patients()
        if self._allowed.allow_retractions or retracted <= limits.retraction_patients:
            return
        standing = difference.standing()
        if retracted > limits.retraction_share * standing:
            raise TargetError(
                f"{self._client.base}: endpoints of {retracted} of {standing} patients"
                " would be retracted, more than usual, so nothing was written; look with --dry-run,"
                " then --allow-retractions if it is right"
            )


def _active(stand: PublishedByIdentifier) -> int:
    """How many patients have endpoints of ours that are not retracted."""
    return len(
        {
            one.patient
            for standings in stand.values()
            for one in standings
            if one.ours and one.status != RETRACTED
        }
    )
