"""The Device on a server that endpoints name as the software that computed them."""

import logging
from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import urlencode

from msgspec import structs

from fhircryo.errors import TargetError
from fhircryo.fhir.client import HttpError
from fhircryo.publish.identifier_search import search_refused
from fhircryo.publish.known_ids import DEVICE
from fhircryo.publish.newer_version import is_newer
from fhircryo.publish.observation_maker import DEVICE_ID
from fhircryo.publish.one_resource import OneResource
from fhircryo.publish.profiles import DEVICE as DEVICE_PROFILE
from fhircryo.publish.profiles import profile_url
from fhircryo.publish.provenance import device
from fhircryo.publish.reading_back import PublishedReader
from fhircryo.publish.refused_write import FORBIDDEN, INVALID, type_refused, way_refused
from fhircryo.publish.shapes import (
    ENCODER,
    Json,
    OutReference,
    json_object,
    object_in,
    objects_in,
    plain,
)
from fhircryo.publish.target_connection import TargetConnection
from fhircryo.publish.target_kind import (
    Creation,
    TargetKind,
    creations,
    remember_creation,
    remember_profiles,
)
from fhircryo.publish.transaction import WriteRequest

LOG = logging.getLogger("fhircryo.target")

#: The search by the name that the Device has in R4 and in R5.
_BY_NAME = {"device-name": "fhircryo"}
_URN = f"urn:fhircryo:{DEVICE_ID}"


class TargetDevice:
    """Finds and writes the Device, in the way in which endpoints are created.

    ``kind``: of the target; where a claimed way of creating is refused, the next one is noted.
    ``required``: whether a target that refuses the Device is refused.
    """

    def __init__(self, connection: TargetConnection, kind: TargetKind, *, required: bool) -> None:
        capabilities = connection.capabilities
        self._r5 = capabilities.is_r5
        self._connection = connection
        self._kind = kind
        self._required = required
        self._accepted = any(capabilities.allows("Device", how) for how in ("update", "create"))
        base = connection.origin.base
        self.condition = {"identifier": f"{base}/device|{DEVICE_ID}"}
        self.held = OneResource(connection, DEVICE, "Device", self.condition)
        self._profile = profile_url(DEVICE_PROFILE, base)
        self._before: Json | None = None

    def find(self) -> OutReference | None:
        """The reference to the Device; None where the server accepts none, or holds none yet."""
        if not self._accepted:
            return None
        if self._kind.creation is Creation.OWN_ID:
            return OutReference(f"Device/{DEVICE_ID}")
        found = self.held.find()
        return OutReference(f"Device/{found}") if found else None

    def establish(self) -> OutReference | None:
        """Create the Device unless the server holds it; None where it accepts none.

        Raises:
            TargetError: the server refuses the Device.
            SourceError: the server fails.
        """
        found = self.find()
        if not self._accepted:
            self._kind.profiles = False  # whether it keeps them cannot be tried
            return None
        there = None if found is None else self._read_before(found)
        if found is not None and there is not None:
            self._try_profile(found, there)
            return found
        self._refuse_if_hidden()
        refusal: HttpError | None = None
        ways = list(creations(self._connection.capabilities))
        for how in ways[ways.index(self._kind.creation) :]:
            try:
                name = self._with_profile(partial(self._create, how))
            except HttpError as error:
                if not (way_refused(error) or type_refused(error)):
                    raise
                refusal = refusal or error
                if error.status == FORBIDDEN:
                    break
            else:
                created = OutReference(f"Device/{name}")
                if how is Creation.OWN_ID and self._read(str(created.reference)) is None:
                    continue  # it is somewhere else
                if how is Creation.OWN_ID and name != DEVICE_ID:
                    how = ways[ways.index(how) + 1]
                self._note(how)
                self._see_profile(created)
                return created
        if refusal is not None:
            self._refused(refusal)
        self._accepted = False
        self._kind.profiles = False
        return None

    def update(self, found: OutReference) -> None:
        """Write the Device of this version, unless the server holds it.

        Raises:
            TargetError: the server refuses the Device.
            SourceError: the server fails.
        """
        ref = str(found.reference)
        there = self._read(ref) or {}
        content = {**self._content(), "id": ref.partition("/")[2]}
        if all(_holds(there.get(key), content[key]) for key in content.keys() - {"meta"}):
            return
        try:
            self._with_profile(partial(self._put, ref))
        except HttpError as error:
            if not type_refused(error):
                raise
            self._refused(error)

    def newer_version(self, found: OutReference) -> str:
        """The version that the Device names, if it is newer than this program; else empty."""
        there = self._before or self._read_before(found) or {}
        named = [one.get("value") for one in objects_in(there, "version")]
        return next((one for one in named if isinstance(one, str) and is_newer(one)), "")

    def request(self, how: Creation) -> WriteRequest:
        """The request that creates the Device in one of the ways of creating."""
        if how is Creation.OWN_ID:
            ref = f"Device/{DEVICE_ID}"
            return WriteRequest("PUT", ref, ref, ENCODER.encode(self._content()))
        content = ENCODER.encode({k: v for k, v in self._content().items() if k != "id"})
        search = urlencode(self.condition)
        if how is Creation.CONDITIONAL_UPDATE:
            return WriteRequest("PUT", f"Device?{search}", _URN, content)
        condition = search if how is Creation.CONDITIONAL_CREATE else None
        return WriteRequest("POST", "Device", _URN, content, if_none_exist=condition)

    def _content(self) -> Json:
        """The Device as it is written to this target, with our id."""
        made = device(self._connection.origin.base, r5=self._r5)
        return plain(made if self._kind.profiles else structs.replace(made, meta=None))

    def _refuse_if_hidden(self) -> None:
        """Refuse a target that holds the Device, but whose search by identifier does not find it.

        Raises:
            TargetError: a second one would be created.
            SourceError: the server fails.
        """
        if self._kind.creation is Creation.OWN_ID:
            return
        identifier = (f"{self._connection.origin.base}/device", DEVICE_ID)
        try:
            sample = self._connection.searcher.sample("Device", _BY_NAME, 1)
        except HttpError as error:
            LOG.info("Devices were not searched by their name: %s", error)
            return
        for resource in map(json_object, sample.lines):
            stated = objects_in(resource, "identifier")
            if any((one.get("system"), one.get("value")) == identifier for one in stated):
                words = f"Device/{resource.get('id')} is there and was not found"
                raise search_refused(self._connection, "Device", words)

    def _put(self, ref: str) -> str:
        content = {**self._content(), "id": ref.partition("/")[2]}
        return self.held.create(WriteRequest("PUT", ref, ref, ENCODER.encode(content)))

    # --- whether the target keeps profiles

    def _try_profile(self, found: OutReference, there: Json) -> None:
        """Write a Device of an earlier version again, to see whether its profile is kept."""
        if not self._kind.profiles or self._states_profile(there) or self.newer_version(found):
            return
        try:
            self._with_profile(partial(self._put, str(found.reference)))
        except HttpError as error:
            if not type_refused(error):
                raise
            self._kind.profiles = False
            LOG.info("%s: profiles were not tried: %s", self._connection.base, error)
        else:
            self._see_profile(found)

    def _with_profile(self, write: Callable[[], str]) -> str:
        """Write the Device; without its profile where it is refused with the profile only."""
        try:
            return write()
        except HttpError as refusal:
            if not self._kind.profiles or refusal.status not in INVALID:
                raise
            self._kind.profiles = False
            try:
                written = write()
            except HttpError:
                self._kind.profiles = True
                raise refusal from None
            self._profile_refused(refusal)
            return written

    def _see_profile(self, written: OutReference) -> None:
        """See whether the Device that was just written states its profile."""
        if not self._kind.profiles:
            return
        kept = self._states_profile(self._read(str(written.reference)) or {})
        if not kept:
            LOG.info("%s: the server does not keep meta.profile", self._connection.base)
        self._kind.profiles = kept
        remember_profiles(self._connection.known, kept=kept)

    def _states_profile(self, there: Json) -> bool:
        profiles = object_in(there, "meta").get("profile")
        return isinstance(profiles, list) and self._profile in profiles

    def _profile_refused(self, refusal: HttpError) -> None:
        LOG.warning(
            "%s: the server refuses what states a profile of fhircryo, so that meta.profile is left"
            " out: %s; load the package that `fhircryo terminology package` writes, or set"
            " write.profile = false",
            self._connection.base,
            refusal,
        )
        remember_profiles(self._connection.known, kept=False)

    # --- how it is created

    def _create(self, how: Creation) -> str:
        """Create the Device in one of the ways; its id."""
        found = "" if how is Creation.OWN_ID else self.held.find()
        return found or self.held.create(self.request(how))

    def _read_before(self, found: OutReference) -> Json | None:
        """The Device as it was before this run wrote anything."""
        self._before = self._read(str(found.reference))
        return self._before

    def _read(self, ref: str) -> Json | None:
        return PublishedReader(self._connection).read(ref)

    def _note(self, how: Creation) -> None:
        if how is not self._kind.creation:
            LOG.warning(
                "%s: the CapabilityStatement claims %s, but the server does not do it; endpoints"
                " are created by %s",
                self._connection.base,
                self._kind.creation,
                how,
            )
            self._kind.creation = how
            remember_creation(self._connection.capabilities, self._connection.known, how)

    def _refused(self, refusal: HttpError) -> None:
        """Refuse a target that does not take the Device, unless it may be left out."""
        if self._required:
            raise TargetError(
                f"{self._connection.base}: the server does not take a Device, so nothing was"
                f" written: {refusal}; have it permitted, or set write.provenance = false, which"
                " leaves Device and Provenance out"
            )
        LOG.warning("%s: the Device is left out: %s", self._connection.base, refusal)


def _holds(there: Any, ours: Any) -> bool:
    """Whether a value holds what ours says; a server may have added to it."""
    if isinstance(ours, dict):
        return isinstance(there, dict) and all(_holds(there.get(key), ours[key]) for key in ours)
    if isinstance(ours, list):
        return isinstance(there, list) and all(
            any(_holds(one, value) for one in there) for value in ours
        )
    return bool(there == ours)
