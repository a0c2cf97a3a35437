"""What every extractor needs: the mappings, and reading of dates, references and codes."""

import re
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from fhircryo.calendar import Span
from fhircryo.extract.code_conditions import conditions_hold
from fhircryo.extract.scoring import InstrumentFinder
from fhircryo.fhir.dates import DateReader
from fhircryo.fhir.urls import relative
from fhircryo.fhir.wire import (
    TEST_LABEL,
    CodeableConcept,
    Identifier,
    Meta,
    Period,
    Reference,
)
from fhircryo.mapping.code_index import CodeCondition, CodeEntry
from fhircryo.mapping.complication_kinds import KindEntry
from fhircryo.mapping.load import Mappings
from fhircryo.mapping.normalise import folded, normal_unit
from fhircryo.mapping.tokens import Token
from fhircryo.record.items import Dropped, NotUsed, Reason

NO_CODE = "(no code)"

#: UCUM: what stands in braces has no meaning (https://ucum.org/ucum, section 12).
_ANNOTATION = re.compile(r"\{[^{}]*\}")
#: So many look-ups of each kind are cached, of texts of at most this length: what a source states
#: may all be different.
_CACHED = 50_000
_LONGEST_CACHED = 200


class Named:
    """The reference, patient, label and version of a resource, common to all items.

    ``patient``: the id of the subject (empty: unknown). ``code``: the label under which the
    resource is counted.
    """

    __slots__ = ("code", "meta", "patient", "ref", "updated", "version")

    def __init__(self, ref: str, meta: Meta | None, patient: str, code: str) -> None:
        self.ref = ref
        self.meta = meta
        self.patient = patient
        self.code = code
        self.updated = meta.last_updated if meta else None
        self.version = meta.version_id if meta else None

    def not_used(self, reason: Reason, detail: str = "") -> NotUsed:
        """Return the item of a resource that cannot be used."""
        return NotUsed(reason=reason, detail=detail, **self.fields())

    def dropped(self, reason: Reason) -> Dropped:
        """Return the item of a resource that is only counted."""
        return Dropped(reason=reason, **self.fields())

    def fields(self) -> dict[str, Any]:
        """Return the fields that all items have, as keyword arguments."""
        return {
            "ref": self.ref,
            "patient": self.patient,
            "code": self.code,
            "updated": self.updated,
            "version": self.version,
        }


class Context:
    """The mappings and settings of one run, with caches for looking them up.

    ``bundle``: the full URLs of the Bundle being read, each with its reference as ``Type/id``.
    ``traced``: patients; if there are any, resources that are merely counted are attributed, too.
    ``server``: the base URL of the source; an absolute reference to another server is unresolved.
    ``subject_system``: the system of the patient identifiers by which a target matches patients.
    ``overlays_met``: the numbers of the overlays of which something has occurred in the source.
    """

    def __init__(
        self,
        mappings: Mappings,
        dates: DateReader,
        *,
        test_data: bool = False,
        traced: frozenset[str] = frozenset(),
        server: str = "",
        subject_system: str = "",
    ) -> None:
        self.mappings = mappings
        self.dates = dates
        self.own_system = f"{mappings.base}/endpoint"
        self.bundle: dict[str, str] = {}
        self.traced = traced
        self.server = server
        self.subject_system = subject_system
        self._take_test_data = test_data
        self._units: dict[str, Decimal | None] = {}
        self._codes = mappings.codes
        self._texts = mappings.texts
        self._marks = mappings.overlay_keys
        self.overlays_met: set[int] = set()
        index = mappings.index
        # Of other systems a code that is not in ``_codes`` has no meaning.
        self._looked_up = frozenset(index.systems.undotted).union(index.prefix_lengths)
        self._contradictions: dict[tuple[tuple[str | None, str | None], ...], str] = {}
        self._meanings: dict[tuple[str | None, str | None], tuple[CodeEntry, ...]] = {}
        # The conditions that were checked of one resource, which may have many codes.
        self._checked: Any = None
        self._held: dict[tuple[CodeCondition, ...], bool] = {}
        self.instruments = InstrumentFinder(mappings, self.overlays_met)
        self.observation_ranks: dict[str | None, int] = {
            status: rank for rank, status in enumerate(mappings.statuses.observation)
        }

    def is_own(self, identifiers: list[Identifier] | Identifier | None) -> bool:
        """Return whether a resource is an endpoint that this program published."""
        if not identifiers:
            return False
        if isinstance(identifiers, Identifier):
            return identifiers.system == self.own_system
        return any(identifier.system == self.own_system for identifier in identifiers)

    def known_as(self, identifiers: list[Identifier] | None) -> str:
        """Return the only identifier of ``subject_system`` (empty: there is none, or several)."""
        if not self.subject_system:
            return ""
        values = {one.value for one in identifiers or () if one.system == self.subject_system}
        values.discard(None)
        return values.pop() or "" if len(values) == 1 else ""

    def is_test(self, meta: Meta | None) -> bool:
        """Return whether a resource is labelled as test data and test data is not used."""
        if meta is None or not meta.security or self._take_test_data:
            return False
        return any((label.system, label.code) == TEST_LABEL for label in meta.security)

    def entries(self, concept: CodeableConcept | None, resource: Any = None) -> list[CodeEntry]:
        """Return the meanings of a CodeableConcept.

        Its codings decide; its text is used only if it has no code. ``resource``: the resource that
        contains the concept, to check conditions; without it, a code with conditions never counts.
        """
        found: list[CodeEntry] = []
        if concept is None:
            return found
        for coding in concept.coding or ():
            entries = self._codes.get((coding.system, coding.code))
            if entries is None:
                if coding.system not in self._looked_up:
                    continue
                entries = self._looked(coding.system, coding.code)
            self._add(entries, resource, found)
        if self._texts and concept.text and not _is_coded(concept):
            self._add(self._texts.get(folded(concept.text), ()), resource, found)
        return found

    def _add(self, entries: tuple[CodeEntry, ...], resource: Any, found: list[CodeEntry]) -> None:
        for entry in entries:
            if entry.conditions and (
                resource is None or not self._hold(entry.conditions, resource)
            ):
                continue
            if entry.layer:
                self.overlays_met.add(entry.layer)
            found.append(entry)

    def _hold(self, conditions: tuple[CodeCondition, ...], resource: Any) -> bool:
        """Return whether the conditions of an entry hold; each is checked once per resource."""
        if resource is not self._checked:
            self._checked, self._held = resource, {}
        held = self._held.get(conditions)
        if held is None:
            held = self._held[conditions] = conditions_hold(conditions, resource)
        return held

    def _looked(self, system: str | None, code: str | None) -> tuple[CodeEntry, ...]:
        """Return the meanings of a code that is compared in a normal form, or by its prefix."""
        pair = system, code
        entries = self._meanings.get(pair)
        if entries is None:
            entries = self.mappings.meanings(system, code)
            if len(self._meanings) < _CACHED and len(code or "") <= _LONGEST_CACHED:
                self._meanings[pair] = entries
        return entries

    def contradiction(self, name: str, concept: CodeableConcept) -> str:
        """Return the coding that says that a CodeableConcept is not of the concept ``name``.

        Returns:
            ``system|code``; empty where no coding contradicts.
        """
        codings = tuple([(coding.system, coding.code) for coding in concept.coding or ()])
        found = self._contradictions.get(codings)
        if found is None:
            found = self.mappings.contradicting(name, codings)
            length = sum(len(code or "") for _, code in codings)
            if len(self._contradictions) < _CACHED and length <= _LONGEST_CACHED:
                self._contradictions[codings] = found
        return found

    def complication_kinds(self, concepts: Iterable[CodeableConcept | None]) -> tuple[str, ...]:
        """Return the kinds of complication that any of the concepts states, sorted.

        As in ``entries``, a text is used only if it has no code.
        """
        known = self.mappings.complication_kinds
        found: list[KindEntry | None] = []
        for concept in concepts:
            if concept is None:
                continue
            found += [known.find(one.system, one.code) for one in concept.coding or ()]
            if concept.text and not _is_coded(concept):
                found.append(known.find_text(concept.text))
        stated = [entry for entry in found if entry is not None]
        self.overlays_met.update(entry.layer for entry in stated if entry.layer)
        return tuple(sorted({entry.kind for entry in stated}))

    def meet(self, kind: str, name: str) -> None:
        """Record that a unit, extension or canonical has occurred in the source.

        ``kind``, ``name``: as in :data:`fhircryo.mapping.overlay_keys.OverlayKey`.
        """
        layer = self._marks.get((kind, name))
        if layer is not None:
            self.overlays_met.add(layer)

    def means(self, concept: CodeableConcept | None, name: str) -> bool:
        """Return whether a CodeableConcept means the concept ``name``."""
        return any(entry.concept == name for entry in self.entries(concept))

    def factor(self, unit: str) -> Decimal | None:
        """Return the factor of a unit to ng/mL; None for an unknown spelling."""
        try:
            return self._units[unit]
        except KeyError:
            normal = normal_unit(_ANNOTATION.sub("", unit))
            factor = self.mappings.units.get(normal)
            if len(self._units) < _CACHED and len(unit) <= _LONGEST_CACHED:
                self._units[unit] = factor
            self.meet("unit", normal)
            return factor

    def resolve(self, reference: Reference | None) -> str:
        """Return a reference as ``Type/id``; empty if it is absent or unresolved."""
        text = reference.reference if reference is not None else None
        if not text:
            return ""
        if text in self.bundle:
            return self.bundle[text]
        kind, slash, rest = text.partition("/")
        plain = "/" not in rest and "?" not in rest and "#" not in rest
        if slash and rest and plain and ":" not in kind:
            return text
        return self._resolve_rarer(text.strip())

    def _resolve_rarer(self, text: str) -> str:
        """Return a reference with a base, a version, a fragment or a URN as ``Type/id``."""
        whole = text.partition("#")[0].partition("/_history/")[0].rstrip("/")
        if whole in self.bundle:
            return self.bundle[whole]
        if not whole or whole.lower().startswith("urn:") or "?" in text:
            return ""
        if self.server and "://" in text and "://" in relative(text, self.server):
            return ""
        parts = whole.split("/")
        return "/".join(parts[-2:]) if len(parts) > 1 and parts[-1] else ""

    def patient(self, reference: Reference | None) -> str:
        """Return the id of the referenced patient; empty if the reference names no patient."""
        text = reference.reference if reference is not None else None
        if text and text[:8] == "Patient/" and not self.bundle:
            patient = text[8:]
            if patient and "/" not in patient and "?" not in patient and "#" not in patient:
                return patient
        resolved = self.resolve(reference)
        return resolved[8:] if resolved.startswith("Patient/") else ""

    def owner(self, reference: Reference | None) -> str:
        """Return the patient of a resource that is only counted (empty: no patient is traced)."""
        return self.patient(reference) if self.traced else ""

    def first_date(self, *texts: str | Period | None) -> tuple[str | None, Span | None]:
        """Return the first date that is present, as written and as read (None: not readable)."""
        for text in texts:
            written = text.start if isinstance(text, Period) else text
            if written:
                return written, self.dates.read(written)
        return None, None


def _is_coded(concept: CodeableConcept) -> bool:
    return any(coding.code for coding in concept.coding or ())


def is_present(concept: CodeableConcept | None) -> bool:
    """Return whether a concept states anything; one that holds only an extension is absent."""
    if concept is None:
        return False
    return bool(concept.text) or any(
        one.code or one.display or one.system for one in concept.coding or ()
    )


def tokens_of(concept: CodeableConcept | None) -> set[Token]:
    """Return the codes and the folded text of a concept, as conditions on values name them."""
    if concept is None:
        return set()
    found: set[Token] = {(one.system or "", one.code or "") for one in concept.coding or ()}
    if concept.text:
        found.add(folded(concept.text))
    return found


def only_counted(resource: Any, ref: str, context: Context, label: str, *, own: bool) -> Dropped:
    """Return the item of a resource that is our own output, or has no mapped code.

    ``label``: what the resource is counted as. ``own``: it is our own output.
    """
    reason = Reason.OWN_OUTPUT if own else Reason.UNMAPPED_CODE
    return Named(ref, resource.meta, context.owner(resource.subject), label).dropped(reason)


def label_of(concept: CodeableConcept | None) -> str:
    """Return the label under which an unmapped CodeableConcept is counted: its first coding."""
    for coding in (concept.coding if concept else None) or ():
        if coding.code:
            return f"{coding.system or ''}|{coding.code}"
    return NO_CODE


def resolved(
    context: Context, references: Iterable[Reference | None] | None, kind: str
) -> list[str]:
    """Return the references to resources of type ``kind``, as ``Type/id``."""
    found = (context.resolve(reference) for reference in references or ())
    return [reference for reference in found if reference.startswith(f"{kind}/")]


def date_problem(named: Named, written: str | None) -> NotUsed:
    """Return the item of a resource without a usable date.

    ``written``: the date as written (None: absent).
    """
    if written is None:
        return named.not_used(Reason.NO_USABLE_DATE, "no date")
    return named.not_used(Reason.NO_USABLE_DATE, "the date is not a FHIR date")
