"""Unpacks lines: the resources of Bundles, Parameters, DiagnosticReports and arrays, one by one."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import msgspec

from fhircryo.errors import UnreadableResource
from fhircryo.fhir.contained_results import results_of
from fhircryo.fhir.decode import (
    BUNDLE_TYPE,
    CONTAINERS,
    NESTED_TOO_DEEPLY,
    PARAMETERS_TYPE,
    REPORT_TYPE,
    decode,
    is_there,
    kind_of,
)
from fhircryo.fhir.deletions import (
    Deletion,
    deletes,
    deletion,
    in_order,
    is_list_of_deletions,
    time_of,
)
from fhircryo.fhir.wire import HEAD, Bundle, DiagnosticReport, Meta, ParametersPart, Reference

#: So many containers may be within one another.
_DEEPEST = 50
_URNS = ("urn:uuid:", "urn:oid:")

#: Called with each deletion, when it is its turn among the resources, and with the subject of what
#: is deleted, where that is stated.
OnDeletion = Callable[[Deletion, Reference | None], None]


class Found(NamedTuple):
    """A decoded resource, or an error.

    ``resource``: None if the type is not read, or after an error; ``error``: what is wrong, empty
    if nothing is; ``place``: where in the line the resource is, such as ``entry[3].``. ``ref``: the
    reference of a contained resource; empty for all others, which are ``Type/id``.
    """

    kind: str
    resource: Any
    error: str
    place: str
    ref: str = ""


def resources(
    line: bytes, bundle: dict[str, str], place: str = "", on_deletion: OnDeletion | None = None
) -> Iterator[Found]:
    """Yield the resource of a line, or each resource of a container; unreadable ones with an error.

    Parameters and DiagnosticReports are yielded before what they contain, as types not read.

    ``bundle``: a dictionary of the caller's. While a Bundle's resources are yielded, it maps the
    Bundle's full URLs to references (``Type/id``). ``place``: the position in an outer container.
    """
    try:
        kind, resource = decode(line)
    except UnreadableResource as error:
        yield Found(kind_of(line), None, str(error), place)
        return
    if resource is None or kind not in CONTAINERS:
        yield Found(kind, resource, "", place)
    elif place.count("[") >= _DEEPEST:
        yield Found(kind, None, NESTED_TOO_DEEPLY, place)
    elif kind == BUNDLE_TYPE:
        yield from _of_bundle(resource, bundle, place, on_deletion)
    elif kind == REPORT_TYPE:
        yield from _of_report(resource, place, on_deletion)
    else:
        of_parameters = kind == PARAMETERS_TYPE
        if of_parameters:
            yield Found(kind, None, "", place)  # Its values are not read.
        inner = _parameters(resource.parameter) if of_parameters else _elements(resource)
        for within, content in inner:
            yield from resources(content, bundle, f"{place}{within}.", on_deletion)


def _of_report(
    report: DiagnosticReport, place: str, on_deletion: OnDeletion | None
) -> Iterator[Found]:
    yield Found(REPORT_TYPE, None, "", place)
    ref, meta = f"{REPORT_TYPE}/{report.id}", report.meta or Meta()
    if on_deletion is not None and report.id:
        # A result that this version does not contain is no longer there.
        on_deletion(Deletion(ref, meta.version_id, meta.last_updated), report.subject)
    for number, result, problem in results_of(report):
        name = f"{ref}#{result.id}" if result is not None else ""
        yield Found("Observation", result, problem, f"{place}contained[{number}].", name)


def _of_bundle(
    bundle: Bundle, urls: dict[str, str], place: str, on_deletion: OnDeletion | None
) -> Iterator[Found]:
    own = _targets(bundle)
    outer = {url: urls.get(url) for url in own}
    urls.update(own)
    listed, when = is_list_of_deletions(bundle), time_of(bundle)
    for number, entry in in_order(bundle):
        here = f"{place}entry[{number}]."
        try:
            if deletes(entry):
                deleted = deletion(entry, listed, when)
                if on_deletion is not None:
                    on_deletion(deleted, None)
                continue
        except UnreadableResource as error:
            yield Found("", None, str(error), here)
            continue
        if not is_there(entry.resource):
            continue
        # A nested Bundle adds its own full URLs to these, and removes them at its end.
        for found in resources(bytes(entry.resource), urls, here, on_deletion):
            if found.resource is not None and not found.resource.id and not found.ref:
                found.resource.id = _id_in(entry.full_url, found.kind)
            yield found
    for url, ref in outer.items():
        if ref is None:
            del urls[url]
        else:
            urls[url] = ref


def _targets(bundle: Bundle) -> dict[str, str]:
    """Return for each full URL of a Bundle the reference of its resource, as ``Type/id``."""
    found = {}
    for entry in bundle.entry or ():
        url = entry.full_url
        if not url or not is_there(entry.resource):
            continue
        try:
            head = HEAD.decode(bytes(entry.resource))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            continue
        name = head.id or _id_in(url, head.resource_type)
        if head.resource_type and name:
            found[url] = f"{head.resource_type}/{name}"
    return found


def _id_in(url: str | None, kind: str | None) -> str | None:
    """Return the id that a full URL gives to a resource that states none.

    A URN is the id without its prefix; another URL has to name the type as well.
    """
    if not url:
        return None
    for prefix in _URNS:
        if url.lower().startswith(prefix):
            return url[len(prefix) :]
    parts = url.partition("/_history/")[0].split("/")
    return parts[-1] if len(parts) > 1 and parts[-2] == kind else None


def _parameters(parts: list[ParametersPart] | None) -> Iterator[tuple[str, bytes]]:
    """Yield the resources of Parameters, with their places."""
    waiting = [(f"parameter[{number}]", part) for number, part in enumerate(parts or ())][::-1]
    while waiting:
        place, part = waiting.pop()
        if is_there(part.resource):
            yield place, bytes(part.resource)
        inner = [(f"{place}.part[{number}]", one) for number, one in enumerate(part.part or ())]
        waiting += inner[::-1]


def _elements(array: list[msgspec.Raw]) -> Iterator[tuple[str, bytes]]:
    for number, element in enumerate(array):
        yield f"[{number}]", bytes(element)
