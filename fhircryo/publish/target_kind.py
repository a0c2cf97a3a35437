"""How a target lets endpoints be created, and what is known of it during a run.

Source: https://hl7.org/fhir/R4/http.html, sections update as create, conditional update and
conditional create.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import StrEnum

from fhircryo import __version__
from fhircryo.fhir.capability import Capabilities
from fhircryo.publish.known_ids import CREATION, NO_PROFILES, NO_TRANSACTIONS, KnownIds

#: What writing by single requests means.
NOT_PROMISED = (
    "every endpoint is written by a request of its own, and this target does not promise that the"
    " endpoints of a patient are written together or not at all"
)

#: Days after which it is tried again whether a target keeps profiles.
_TRIED_AGAIN_DAYS = 7


class Creation(StrEnum):
    """How an endpoint that a target does not hold is created, the safest first.

    ``OWN_ID``: by an update under our own id, which no race and no repetition can double.
    ``CONDITIONAL_UPDATE`` and ``CONDITIONAL_CREATE``: the server searches our identifier before it
    creates. ``SEARCH``: the server protects nothing; the lock of the target, the remembered ids and
    reading back do.
    """

    OWN_ID = "own-id"
    CONDITIONAL_UPDATE = "conditional-update"
    CONDITIONAL_CREATE = "conditional-create"
    SEARCH = "search"


def creations(capabilities: Capabilities) -> Iterator[Creation]:
    """The ways of creating that a CapabilityStatement claims, the safest first."""
    if capabilities.update_create:
        yield Creation.OWN_ID
    if capabilities.conditional_update:
        yield Creation.CONDITIONAL_UPDATE
    if capabilities.conditional_create:
        yield Creation.CONDITIONAL_CREATE
    yield Creation.SEARCH


def creation(capabilities: Capabilities) -> Creation:
    """The safest way of creating that a CapabilityStatement claims."""
    return next(creations(capabilities))


@dataclass
class TargetKind:
    """What a target can do: at first what it claims, later what it was seen to do.

    ``transactions``: whether it carries out a transaction as a whole. ``most_entries``: the number
    of entries that it was seen to refuse as too many, less one; None if it refused none.
    ``provenances``: whether Provenances are written. ``profiles``: whether what is written states
    its profile.
    """

    creation: Creation
    transactions: bool
    provenances: bool
    profiles: bool
    most_entries: int | None = None

    @classmethod
    def of(
        cls, capabilities: Capabilities, known: KnownIds, *, provenances: bool, profiles: bool
    ) -> "TargetKind":
        """What a CapabilityStatement claims, and what an earlier run saw to be otherwise.

        ``provenances``, ``profiles``: whether they are wanted.
        """
        stored = any(capabilities.allows("Provenance", how) for how in ("create", "update"))
        how = honoured_creation(capabilities, known)
        transactions = capabilities.transaction and not known.of([NO_TRANSACTIONS])
        kept = profiles and not _keeps_no_profiles(known)
        return cls(how, transactions, provenances and stored, kept)


def honoured_creation(capabilities: Capabilities, known: KnownIds) -> Creation:
    """The safest way of creating that is claimed, or that an earlier run saw to be honoured."""
    claimed = creation(capabilities)
    remembered = known.of([CREATION]).get(CREATION)
    if remembered is None or remembered.version != claimed:
        return claimed
    return Creation(remembered.id)


def remember_creation(capabilities: Capabilities, known: KnownIds, how: Creation) -> None:
    """Remember that a target honours less than it claims."""
    known.written({CREATION: (how, creation(capabilities))})


def remember_profiles(known: KnownIds, *, kept: bool) -> None:
    """Remember whether a target keeps the profiles that are stated."""
    if kept:
        known.forget([NO_PROFILES])
    else:
        known.written({NO_PROFILES: (__version__, _today().isoformat())})


def _keeps_no_profiles(known: KnownIds) -> bool:
    """Whether an earlier run of this version saw that, and not too long ago."""
    seen = known.of([NO_PROFILES]).get(NO_PROFILES)
    if seen is None or seen.id != __version__:
        return False
    return (_today() - date.fromisoformat(seen.version)).days < _TRIED_AGAIN_DAYS


def _today() -> date:
    return datetime.now(UTC).date()
