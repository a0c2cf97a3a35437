"""What every extraction needs: the mappings, the dates, how references and codes are read."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from fhircryo.calendar import Span
from fhircryo.errors import UnreadableResource
from fhircryo.extract.code_conditions import hold
from fhircryo.extract.scoring import Instruments
from fhircryo.fhir.dates import DateReader
from fhircryo.fhir.wire import (
    CodeableConcept,
    Coding,
    Identifier,
    Meta,
    Period,
    Reference,
)
from fhircryo.mapping.code_index import CodeEntry
from fhircryo.mapping.load import Mappings
from fhircryo.mapping.normalise import folded, normal_unit
from fhircryo.record.items import Dropped, NotUsed, Reason

#: Security label of test data: https://terminology.hl7.org/CodeSystem-v3-ActReason.html
TEST_LABEL = ("http://terminology.hl7.org/CodeSystem/v3-ActReason", "HTEST")
NO_CODE = "(no code)"


class Named:
    """Of which resource is spoken: its reference, versions and label, as keyword arguments."""

    __slots__ = ("code", "meta", "patient", "ref", "updated", "version")

    def __init__(self, ref: str, meta: Meta | None, patient: str, code: str) -> None:
        self.ref = ref
        self.meta = meta
        self.patient = patient
        self.code = code
        self.updated = meta.last_updated if meta else None
        self.version = meta.version_id if meta else None

    def not_used(self, reason: Reason, detail: str = "") -> NotUsed:
        """The item of a resource that cannot be used."""
        return NotUsed(reason=reason, detail=detail, **self.fields())

    def dropped(self, reason: Reason) -> Dropped:
        """The item of a resource that only counts."""
        return Dropped(reason=reason, **self.fields())

    def fields(self) -> dict[str, Any]:
        """What every item says of its resource."""
        return {
            "ref": self.ref,
            "patient": self.patient,
            "code": self.code,
            "updated": self.updated,
            "version": self.version,
        }


class Context:
    """The mappings and settings of one run, with what speeds up looking them up.

    ``bundle``: full URLs of the Bundle being read, each with the reference it stands for.
    ``trace_patient``: a patient of whom also what only counts is kept. ``server``: the base of the
    server that is read; what an absolute reference of another base names is not known there.
    ``subject_system``: of the patient identifiers by which a target matches.
    ``overlays_met``: the numbers of the overlays of which something was met.
    """

    def __init__(
        self,
        mappings: Mappings,
        dates: DateReader,
        *,
        test_data: bool = False,
        trace_patient: str = "",
        server: str = "",
        subject_system: str = "",
    ) -> None:
        self.mappings = mappings
        self.dates = dates
        self.own_system = f"{mappings.base}/endpoint"
        self.bundle: dict[str, str] = {}
        self.trace_patient = trace_patient
        self.server = server
        self.subject_system = subject_system
        self._take_test_data = test_data
        self._units: dict[str, Decimal | None] = {}
        self._codes = mappings.codes
        self._texts = mappings.texts
        self._marks = mappings.overlay_keys
        self.overlays_met: set[int] = set()
        self._prefixed = frozenset(prefix.system for prefix in mappings.prefixes)
        self.instruments = Instruments(mappings, self.overlays_met)
        self.observation_ranks: dict[str | None, int] = {
            status: rank for rank, status in enumerate(mappings.statuses.observation)
        }

    def is_own(self, identifiers: list[Identifier] | Identifier | None) -> bool:
        """Whether a resource is an endpoint that we published."""
        if not identifiers:
            return False
        if isinstance(identifiers, Identifier):
            return identifiers.system == self.own_system
        return any(identifier.system == self.own_system for identifier in identifiers)

    def known_as(self, identifiers: list[Identifier] | None) -> str:
        """A patient's identifier of the system that a target matches by, if there is just one."""
        if not self.subject_system:
            return ""
        values = {one.value for one in identifiers or () if one.system == self.subject_system}
        values.discard(None)
        return values.pop() or "" if len(values) == 1 else ""

    def is_test(self, meta: Meta | None) -> bool:
        """Whether a resource is labelled as test data, and test data is not wanted."""
        if meta is None or not meta.security or self._take_test_data:
            return False
        return any((label.system, label.code) == TEST_LABEL for label in meta.security)

    def entries(self, concept: CodeableConcept | None, resource: Any = None) -> list[CodeEntry]:
        """What a concept means to us: by its codings, or by its text where nothing is coded.

        ``resource``: what the concept stands in, for codes that count under conditions only.
        """
        found: list[CodeEntry] = []
        if concept is None:
            return found
        for coding in concept.coding or ():
            entries = self._codes.get((coding.system, coding.code))
            if entries is None:
                if coding.system not in self._prefixed:
                    continue
                entries = self._by_prefix(coding)
            self._add(entries, resource, found)
        if self._texts and concept.text and not _is_coded(concept):
            self._add(self._texts.get(folded(concept.text), ()), resource, found)
        return found

    def _add(self, entries: tuple[CodeEntry, ...], resource: Any, found: list[CodeEntry]) -> None:
        for entry in entries:
            if entry.conditions and (resource is None or not hold(entry.conditions, resource)):
                continue
            if entry.layer:
                self.overlays_met.add(entry.layer)
            found.append(entry)

    def _by_prefix(self, coding: Coding) -> tuple[CodeEntry, ...]:
        """The entries of the longest prefix."""
        for prefix in self.mappings.prefixes:
            if prefix.system == coding.system and (coding.code or "").startswith(prefix.code):
                label = f"{coding.system}|{coding.code}"
                return tuple([entry._replace(label=label) for entry in prefix.entries])
        return ()

    def meet(self, kind: str, name: str) -> None:
        """Note that something was met that an overlay may name."""
        layer = self._marks.get((kind, name))
        if layer is not None:
            self.overlays_met.add(layer)

    def means(self, concept: CodeableConcept | None, name: str) -> bool:
        """Whether a concept has a coding of ours with this meaning."""
        return any(entry.concept == name for entry in self.entries(concept))

    def factor(self, unit: str) -> Decimal | None:
        """How many ng/mL one of a unit is; None for an unknown spelling."""
        try:
            return self._units[unit]
        except KeyError:
            normal = normal_unit(unit)
            factor = self._units[unit] = self.mappings.units.get(normal)
            self.meet("unit", normal)
            return factor

    def resolve(self, reference: Reference | None) -> str:
        """A reference as ``Type/id``; empty where it names no resource."""
        text = reference.reference if reference is not None else None
        if not text:
            return ""
        if text in self.bundle:
            return self.bundle[text]
        kind, slash, rest = text.partition("/")
        if slash and rest and "/" not in rest and ":" not in kind and "?" not in text:
            return text
        if text.startswith(("urn:", "#")) or "?" in text:
            return ""
        if self.server and "://" in text and not text.startswith(f"{self.server}/"):
            return ""
        parts = text.split("#", 1)[0].split("/")
        if "_history" in parts:
            parts = parts[: parts.index("_history")]
        return "/".join(parts[-2:]) if len(parts) > 1 and parts[-1] else ""

    def patient(self, reference: Reference | None) -> str:
        """The id of the patient that a reference names; empty where it names none."""
        text = reference.reference if reference is not None else None
        if text and text[:8] == "Patient/" and not self.bundle:
            patient = text[8:]
            if patient and "/" not in patient and "?" not in patient:
                return patient
        resolved = self.resolve(reference)
        return resolved[8:] if resolved.startswith("Patient/") else ""

    def owner(self, reference: Reference | None) -> str:
        """Whose a resource is that only counts; looked up where somebody is told in full."""
        return self.patient(reference) if self.trace_patient else ""

    def first_date(self, *texts: str | Period | None) -> tuple[str | None, Span | None]:
        """The first of the date elements that is there, as written and as read."""
        for text in texts:
            written = text.start if isinstance(text, Period) else text
            if written:
                return written, self.dates.read(written)
        return None, None


def _is_coded(concept: CodeableConcept) -> bool:
    return any(coding.code for coding in concept.coding or ())


def label_of(concept: CodeableConcept | None) -> str:
    """How a code that is none of ours is counted: its first coding."""
    for coding in (concept.coding if concept else None) or ():
        if coding.code:
            return f"{coding.system or ''}|{coding.code}"
    return NO_CODE


def resolved(context: Context, references: Iterable[Reference] | None, kind: str) -> list[str]:
    """The references of one type, as ``Type/id``."""
    found = (context.resolve(reference) for reference in references or ())
    return [reference for reference in found if reference.startswith(f"{kind}/")]


def number(value: Any, element: str) -> Decimal | int:
    """A JSON number.

    Raises:
        UnreadableResource: something else stands in its place.
    """
    if type(value) is int or type(value) is Decimal:
        return value
    raise UnreadableResource(f"{element}: a number is needed")


def date_problem(named: Named, written: str | None) -> NotUsed:
    """The item of a resource that needs a precise date and has none."""
    if written is None:
        return named.not_used(Reason.NO_USABLE_DATE, "no date")
    return named.not_used(Reason.NO_USABLE_DATE, "the date is not a FHIR date")
