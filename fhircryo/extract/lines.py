"""Reads lines of FHIR JSON: ``scan`` finds the candidates, ``read`` collects the items.

Both work on any lines, wherever they come from, so that a driver only has to move data: one
process, several, or another engine.
"""

from collections.abc import Iterable, Iterator

from fhircryo.errors import UnreadableResource
from fhircryo.extract.context import Context
from fhircryo.extract.extractor import extract
from fhircryo.fhir.content_version import content_version
from fhircryo.fhir.decode import BUNDLE_TYPE, PARAMETERS_TYPE, decode, kind_of
from fhircryo.fhir.deletions import Deletion
from fhircryo.fhir.unpack import resources
from fhircryo.fhir.wire import DECODERS, Reference
from fhircryo.mapping.concepts import GRADINGS
from fhircryo.mapping.load import Mappings
from fhircryo.record.collector import RecordCollector, Unreadable, add_counts
from fhircryo.record.items import Item, PatientFacts, Treatment
from fhircryo.record.known import Known

#: The types that say who is a candidate and who was merged with whom.
SCANNED_TYPES = frozenset({"Procedure", "Patient"})
#: The containers that can hold resources of these types.
SCANNED_CONTAINERS = frozenset({BUNDLE_TYPE, PARAMETERS_TYPE})
_UNPACKED_TYPES = SCANNED_TYPES | SCANNED_CONTAINERS


def scan(lines: Iterable[bytes], known: Known, context: Context) -> None:
    """Add to ``known`` the candidates for the index procedure and the links of merged patients.

    Lines that cannot be read are passed over: reading them later reports them.
    """
    for line in lines:
        for item in _scanned(line, context):
            if type(item) is Treatment:
                known.candidates.add(item.patient)
            elif type(item) is PatientFacts and item.replaced_by:
                known.links[item.patient] = item.replaced_by


def _scanned(line: bytes, context: Context) -> Iterator[Item]:
    kind = kind_of(line)
    # An array has no type.
    if kind not in _UNPACKED_TYPES and (kind or not line.lstrip().startswith(b"[")):
        return
    for found in resources(line, context.bundle):
        if found.resource is None or found.kind not in SCANNED_TYPES:
            continue
        try:
            yield extract(found.kind, found.resource, context)
        except UnreadableResource:
            continue


def read(
    lines: Iterable[bytes],
    collector: RecordCollector,
    context: Context,
    part: int,
    *,
    first: int = 1,
) -> int:
    """Collect the items of lines; returns how many of the lines hold something.

    ``part``: the number of the part of the input that the lines belong to. ``first``: the number of
    the first line within it, from 1.
    """
    filled = 0
    seen = dict.fromkeys(DECODERS, 0)
    facts, take = collector.facts, collector.take
    # Scheduled runs compare versions; a resource without any has its content as its version.
    of_server = bool(context.server)
    for number, line in enumerate(lines, first):
        try:
            if not line.isascii():
                line.decode("utf-8")  # What is passed over has to be UTF-8 as well.
            kind, resource = decode(line)
            if resource is None:
                facts.seen[kind] = facts.seen.get(kind, 0) + 1
            elif kind in seen:
                item = extract(kind, resource, context)
                if of_server and not item.version and not item.updated:
                    item.version = content_version(line)
                take(item)
                seen[kind] += 1
            else:
                _read_container(line, collector, context, part, number)
        except UnreadableResource as error:
            if not line.strip():
                continue
            detail = _why_unreadable(line) or str(error)
            facts.note_unreadable(Unreadable(part, number, "", detail, kind_of(line)))
        except UnicodeDecodeError:
            facts.note_unreadable(Unreadable(part, number, "", "not UTF-8", kind_of(line)))
        filled += 1
    add_counts(facts.seen, {kind: count for kind, count in seen.items() if count})
    facts.overlays_met |= context.overlays_met
    return filled


def _why_unreadable(line: bytes) -> str:
    """Why the text of a line cannot be decoded; empty if it can, or if the line was not read.

    Some readers give a line with its end and others without it: the words are the same.
    """
    if type(line) is bytes:
        try:
            decode(line.rstrip(b"\r\n"))
        except UnreadableResource as error:
            return str(error)
    return ""


def _read_container(
    line: bytes, collector: RecordCollector, context: Context, part: int, number: int
) -> None:
    facts = collector.facts

    def on_deletion(deletion: Deletion, subject: Reference | None) -> None:
        if subject is None or collector.is_wanted(context.patient(subject)):
            collector.delete(deletion)

    for found in resources(line, context.bundle, on_deletion=on_deletion):
        error = found.error
        if found.resource is not None:
            try:
                item = extract(found.kind, found.resource, context, found.ref)
            except UnreadableResource as problem:
                error = str(problem)
            else:
                collector.take(item)
        if error:
            place = found.place.rstrip(".")
            facts.note_unreadable(Unreadable(part, number, place, error, found.kind))
        else:
            facts.seen[found.kind] = facts.seen.get(found.kind, 0) + 1


def grading_labels(mappings: Mappings) -> dict[str, str]:
    """The labels of Observations that grade complications, each with its scale."""
    found = {}
    for index in (mappings.codes, mappings.texts):
        for entries in index.values():
            found.update({one.label: one.of for one in entries if one.concept in GRADINGS})
    return found
