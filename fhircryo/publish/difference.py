"""What a run changes on a target: new, changed, retracted and unchanged endpoints, by patient."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import msgspec

from fhircryo.publish.as_on_server import answer_of, digest, name_of, value_of
from fhircryo.publish.known_ids import OwedProvenance, SentContent
from fhircryo.publish.patient_output import PatientOutput, identifier_of
from fhircryo.publish.published_endpoint import RETRACTED, PublishedByIdentifier, PublishedEndpoint
from fhircryo.publish.shapes import OutObservation, plain

_FINAL, _AMENDED = "final", "amended"


class Action(StrEnum):
    """What a run does with an endpoint on the target."""

    NEW = "new"
    CHANGED = "changed"
    RETRACTED = "retracted"
    UNCHANGED = "unchanged"


class Change(msgspec.Struct):
    """An endpoint that has to be written.

    ``published``: the endpoint that the target holds now, if it holds one. ``observation``: the
    endpoint as computed, in the form of the target; None for one that is retracted. ``status``: the
    status that it gets. ``name``, ``before``, ``after``: for people. ``answer``: the computed value
    alone, or why it is absent.
    """

    action: Action
    identifier: str
    name: str
    before: str = ""
    after: str = ""
    published: PublishedEndpoint | None = None
    status: str = RETRACTED
    observation: OutObservation | None = None
    answer: str = ""


@dataclass
class PatientChanges:
    """What has to be written of one patient.

    ``output``: the patient's resources as computed, in the form of the target; None for a patient
    who was not computed. ``outdated``: the identifiers of endpoints on the target that were not
    computed any more. ``altered``: the ids of endpoints that are as computed, but that the target
    keeps otherwise than they were written; ``misstated``: which of them say another value there, in
    words. ``problem``: why nothing of the patient can be written, if so. ``lacking``: unchanged
    endpoints whose Provenance is missing on the target; ``provenance``: the id of the Provenance
    that was not written, where the target holds changed or lacking endpoints of it.
    """

    patient: str
    output: PatientOutput | None
    outdated: list[str]
    changes: list[Change] = field(default_factory=list)
    unchanged: int = 0
    altered: list[str] = field(default_factory=list)
    misstated: list[str] = field(default_factory=list)
    problem: str = ""
    lacking: list[PublishedEndpoint] = field(default_factory=list)
    provenance: str = ""

    def identifiers(self) -> list[str]:
        """The identifiers of all endpoints of the patient, computed or outdated."""
        computed = self.output.identifiers() if self.output is not None else []
        return computed + self.outdated


def note_missing_provenance(
    changes: PatientChanges, published: PublishedByIdentifier, owed: Mapping[str, OwedProvenance]
) -> None:
    """Note which endpoints of a patient lack their Provenance on the target."""
    owing = [name for name in changes.identifiers() if name in owed]
    if changes.problem or not owing:
        return
    changes.provenance = min(owed[name].name for name in owing)
    changed = {change.identifier for change in changes.changes}
    changes.lacking = [
        endpoint for name in owing if name not in changed for endpoint in published.get(name, ())
    ]


def changes_of(
    patient: str,
    output: PatientOutput | None,
    outdated: Iterable[str],
    published: PublishedByIdentifier,
    base: str,
    sent: Callable[[str], SentContent | None] = lambda _: None,
) -> PatientChanges:
    """Compare a patient's endpoints with those that the server with this base URL holds.

    ``sent``: returns what was last written of an endpoint, where that is known.
    """
    found = PatientChanges(patient, output, sorted(outdated))
    found.problem = _duplicates(found.identifiers(), published)
    if found.problem:
        return found
    for observation in output.observations if output is not None else ():
        before = next(iter(published.get(identifier_of(observation), ())), None)
        _compare(found, observation, before, base, sent)
    for identifier in found.outdated:
        found.changes += [
            Change(
                Action.RETRACTED,
                identifier,
                endpoint.name,
                before=endpoint.value,
                published=endpoint,
            )
            for endpoint in published.get(identifier, ())
            if endpoint.status != RETRACTED
        ]
    return found


def _duplicates(identifiers: Iterable[str], published: PublishedByIdentifier) -> str:
    """A message that names the resources which share an identifier; empty if there are none."""
    duplicates = sorted(
        endpoint.id
        for identifier in identifiers
        if len(published.get(identifier, ())) > 1
        for endpoint in published[identifier]
    )
    if not duplicates:
        return ""
    names = ", ".join(f"Observation/{name}" for name in duplicates)
    return f"more than one resource has the same identifier: {names}; delete the wrong ones"


def _compare(
    found: PatientChanges,
    observation: OutObservation,
    published: PublishedEndpoint | None,
    base: str,
    sent: Callable[[str], SentContent | None],
) -> None:
    """Add the change that brings the target to what was computed, or count it as unchanged."""
    content = plain(observation)
    answer = answer_of(content)
    if published is None:
        action, status = Action.NEW, observation.status
    else:
        says = digest(content, base)
        altered = published.digest != says
        same = not altered or _is_kept_so(published, says, sent(published.identifier))
        action, status = Action.CHANGED, _status(observation.status, published, same=same)
        if same and status == published.status and _states_profile(observation, published):
            found.unchanged += 1
            if altered:
                found.altered.append(published.id)
            if altered and published.answer != answer:
                found.misstated.append(
                    f"Observation/{published.id} says {published.answer!r} there, not {answer!r}"
                )
            return
    found.changes.append(
        Change(
            action,
            identifier_of(observation),
            name_of(content),
            before=published.value if published is not None else "",
            after=value_of({**content, "status": status}),
            published=published,
            status=status,
            observation=observation,
            answer=answer,
        )
    )


def _is_kept_so(published: PublishedEndpoint, says: bytes, sent: SentContent | None) -> bool:
    """Whether a target changed by itself what was written, so that writing it again is no use.

    It holds the version that was written, or the same as after an earlier write of the same.
    """
    if sent is None or sent.sent != says or not published.digest:
        return False
    written = bool(sent.version) and published.version == sent.version
    return written or published.digest == sent.stood


def _states_profile(observation: OutObservation, published: PublishedEndpoint) -> bool:
    """Whether the target holds an endpoint with the profile that it is to state, if any.

    Earlier versions stated none. Which profile it is says nothing new of the patient, so that a
    final endpoint stays final when it is written again for the profile alone.
    """
    return set(observation.meta.profile or ()) <= set(published.profiles)


def _status(computed: str, published: PublishedEndpoint, *, same: bool) -> str:
    """The status to publish with.

    A final endpoint stays final while its content stays the same. Once that has changed, the
    endpoint is amended from then on.
    """
    if published.status == RETRACTED:
        # It was published and withdrawn before, so this is not the first final version.
        return _AMENDED if computed == _FINAL else computed
    if published.status == _AMENDED:
        return _AMENDED
    if published.status == _FINAL:
        return _FINAL if same and computed == _FINAL else _AMENDED
    return computed


@dataclass
class Difference:
    """All that a run would change on a target.

    ``count_published``: returns how many patients have endpoints of this source and protocol on
    the target now. ``of_unknown_source``: how many endpoints there, which were not computed, may be
    of this or of another source. ``renamed``: how many of the computed endpoints stand there under
    another name of the source as well, by that name.
    """

    patients: list[PatientChanges]
    count_published: Callable[[], int]
    of_unknown_source: int = 0
    renamed: Counter[str] = field(default_factory=Counter)

    def counts(self) -> Counter[Action]:
        """How many endpoints there are of each action."""
        found: Counter[Action] = Counter()
        for patient in self.patients:
            found[Action.UNCHANGED] += patient.unchanged
            for change in patient.changes:
                found[change.action] += 1
        return found

    def altered(self) -> list[str]:
        """The ids of endpoints that the target keeps otherwise than they were written."""
        return [name for patient in self.patients for name in patient.altered]

    def changed(self) -> Iterator[PatientChanges]:
        """The patients of whom something has to be written, if only a missing Provenance."""
        return (patient for patient in self.patients if patient.changes or patient.lacking)

    def retracted_patients(self) -> int:
        """How many patients have endpoints that would be retracted."""
        return sum(
            any(change.action is Action.RETRACTED for change in patient.changes)
            for patient in self.patients
        )
