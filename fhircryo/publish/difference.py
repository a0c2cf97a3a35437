"""What a run changes on a target: new, changed, retracted and unchanged endpoints, by patient."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum

import msgspec

from fhircryo.publish.as_on_server import Json, digest, name_of, value_of
from fhircryo.publish.published_endpoint import RETRACTED, PublishedByIdentifier, PublishedEndpoint
from fhircryo.publish.shapes import DECODER

_FINAL, _AMENDED = "final", "amended"


class Action(StrEnum):
    """What becomes of an endpoint on the target."""

    NEW = "new"
    CHANGED = "changed"
    RETRACTED = "retracted"
    UNCHANGED = "unchanged"


class Change(msgspec.Struct):
    """An endpoint that is written: what stood there, and (but for one retracted) what shall.

    ``content`` is JSON, its status ``status``. ``name``, ``before``, ``after``: for people.
    """

    action: Action
    identifier: str
    name: str
    before: str = ""
    after: str = ""
    standing: PublishedEndpoint | None = None
    status: str = RETRACTED
    content: bytes = b""


@dataclass
class Fresh:
    """A patient's endpoints as a run computed them: JSON in the target's form, without ids.

    ``patient``: his id in the source; ``owner``: the id that the target knows him by;
    ``provenance``: as recorded in a folder, but for its references to evidence.
    """

    patient: str
    owner: str
    observations: list[tuple[str, bytes]]
    provenance: Json

    def identifiers(self) -> list[str]:
        """The identifiers of his endpoints."""
        return [identifier for identifier, _ in self.observations]


@dataclass
class PatientChanges:
    """What is written of one patient; nothing where ``problem`` says why it cannot be."""

    patient: str
    fresh: Fresh | None
    #: His endpoints that stand on the target and were not computed any more.
    left: list[str]
    changes: list[Change] = field(default_factory=list)
    unchanged: int = 0
    problem: str = ""


def changes_of(
    patient: str, fresh: Fresh | None, left: Iterable[str], stand: PublishedByIdentifier, base: str
) -> PatientChanges:
    """Compare a patient's endpoints with what stands on the server of this ``base``."""
    found = PatientChanges(patient, fresh, sorted(left))
    computed = fresh.observations if fresh is not None else []
    doubles = [
        one.id
        for identifier in [*(fresh.identifiers() if fresh is not None else ()), *found.left]
        if len(stand.get(identifier, ())) > 1
        for one in stand[identifier]
    ]
    if doubles:
        names = ", ".join(f"Observation/{one}" for one in sorted(doubles))
        found.problem = (
            f"the same identifier stands on more than one resource: {names}; delete the wrong ones"
        )
        return found
    for identifier, content in computed:
        standing = next(iter(stand.get(identifier, ())), None)
        change = _compared(identifier, content, standing, base)
        if change is None:
            found.unchanged += 1
        else:
            found.changes.append(change)
    for identifier in found.left:
        for standing in stand.get(identifier, ()):
            if standing.status != RETRACTED:
                found.changes.append(
                    Change(
                        Action.RETRACTED,
                        identifier,
                        standing.name,
                        before=standing.value,
                        standing=standing,
                    )
                )
    return found


def _compared(
    identifier: str, content: bytes, standing: PublishedEndpoint | None, base: str
) -> Change | None:
    """The change that brings the target to what was computed; None where it says so already."""
    resource = DECODER.decode(content)
    computed = resource["status"]
    if standing is None:
        action, status = Action.NEW, computed
    else:
        same = standing.digest == digest(resource, base)
        action, status = Action.CHANGED, _status(computed, standing, same=same)
        if same and status == standing.status:
            return None
    return Change(
        action,
        identifier,
        name_of(resource),
        before=standing.value if standing is not None else "",
        after=value_of({**resource, "status": status}),
        standing=standing,
        status=status,
        content=content,
    )


def _status(computed: str, standing: PublishedEndpoint, *, same: bool) -> str:
    """The status to publish with, seeing what stands there.

    What was final stays so while it says the same, and is amended ever after it did not.
    """
    if standing.status == RETRACTED:
        # Published once, withdrawn, and published again: not the first final version.
        return _AMENDED if computed == _FINAL else computed
    if standing.status == _AMENDED:
        return _AMENDED
    if standing.status == _FINAL:
        return _FINAL if same and computed == _FINAL else _AMENDED
    return computed


@dataclass
class Difference:
    """All that a run would change on a target."""

    patients: list[PatientChanges]
    #: Tells how many patients have endpoints of this source and protocol on the target now.
    standing: Callable[[], int]

    def counts(self) -> Counter[Action]:
        """How many endpoints, by what becomes of them."""
        found: Counter[Action] = Counter()
        for patient in self.patients:
            found[Action.UNCHANGED] += patient.unchanged
            for change in patient.changes:
                found[change.action] += 1
        return found

    def changed(self) -> Iterator[PatientChanges]:
        """The patients of whom something is written."""
        return (one for one in self.patients if one.changes)

    def retracted_patients(self) -> int:
        """Of how many patients something is retracted."""
        return sum(
            any(change.action is Action.RETRACTED for change in patient.changes)
            for patient in self.patients
        )
