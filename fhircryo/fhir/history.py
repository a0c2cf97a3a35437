"""Reads a resource type's history: which resources changed or were deleted since an instant.

Source: https://hl7.org/fhir/R4/http.html#history
"""

from collections.abc import Iterator

import msgspec

from fhircryo.calendar import moment
from fhircryo.fhir.content_version import content_version
from fhircryo.fhir.search import Head, Searcher, head_of


class ResourceChange(msgspec.Struct, frozen=True):
    """The latest change of a resource in a history: an update, or its deletion.

    ``ref``: its reference (``Type/id``); ``version``: see ``version_of``, empty if it was deleted;
    ``when``: the instant of the change, empty if the server does not state it.
    """

    ref: str
    deleted: bool
    version: str
    when: str


def latest_of(searcher: Searcher, kind: str, since: str) -> dict[str, ResourceChange]:
    """Return the latest change of each resource of a type that changed since an instant.

    The result is keyed by reference (``Type/id``).

    Raises:
        HttpError: the server has no history of the type.
    """
    found: dict[str, ResourceChange] = {}
    for change in _entries(searcher, kind, since):
        known = found.get(change.ref)
        # Servers return the newest entry first; a later one counts if its time is more recent.
        if known is None or (
            change.when and known.when and moment(change.when) > moment(known.when)
        ):
            found[change.ref] = change
    return found


def _entries(searcher: Searcher, kind: str, since: str) -> Iterator[ResourceChange]:
    for entry in searcher.history(kind, since):
        request = entry.request
        modified = (entry.response.last_modified if entry.response else None) or ""
        if request is not None and request.method == "DELETE":
            url = (request.url or "").partition("/_history/")[0]
            name = "/".join(url.rstrip("/").split("/")[-2:])
            if name.startswith(f"{kind}/"):
                yield ResourceChange(name, True, "", modified)
        elif entry.resource:
            head = head_of(bytes(entry.resource))
            if head is not None and head.id:
                updated = head.meta.last_updated if head.meta else None
                version = version_of_resource(head, bytes(entry.resource))
                yield ResourceChange(f"{kind}/{head.id}", False, version, updated or modified)


def version_of(version: str | None, updated: str | None) -> str:
    """Return a text that is equal for equal versions of a resource.

    ``version`` and ``updated``: its ``meta.versionId`` and ``meta.lastUpdated``.
    """
    return f"{version or ''}@{updated or ''}"


def version_of_resource(head: Head, line: bytes) -> str:
    """Return ``version_of`` a resource; without version and time, its content is the version."""
    version, updated = (head.meta.version_id, head.meta.last_updated) if head.meta else (None, None)
    if not version and not updated:
        version = content_version(line)
    return version_of(version, updated)
