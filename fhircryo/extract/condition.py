"""Extracts Conditions: metastases, recurrences, the prostate cancer and other malignancies."""

from fhircryo.calendar import Span
from fhircryo.extract.context import Context, Named, is_present, label_of, only_counted, resolved
from fhircryo.fhir.decode import decode_element
from fhircryo.fhir.wire import CANONICALS, EXTENSIONS, CodeableConcept, Condition, Extension
from fhircryo.mapping.code_index import CodeEntry
from fhircryo.record.items import Diagnosis, EventKind, Finding, Item, Malignancy, Reason

_METASTASIS, _UNCLEAR_SITE, _NODAL = "metastasis", "metastasis-unclear-site", "nodal-recurrence"
_LOCAL = "local-recurrence"
# The first of these concepts that a Condition has gives the label under which it is counted. An
# event decides before the cancer that it is an event of.
_PRECEDENCE = (
    *(_NODAL, _METASTASIS, _LOCAL, _UNCLEAR_SITE),
    str(Malignancy.PROSTATE_CANCER),
    str(Malignancy.OTHER),
)

#: https://terminology.hl7.org/CodeSystem-condition-ver-status.html
VERIFICATION = "http://terminology.hl7.org/CodeSystem/condition-ver-status"

_MCODE = "http://hl7.org/fhir/us/mcode/StructureDefinition"
#: mCODE STU1 and STU2: https://hl7.org/fhir/us/mcode/STU1/
RELATED_PRIMARY = f"{_MCODE}/mcode-related-primary-cancer-condition"
#: Since STU2.1 mCODE uses this extension, which may name anything outside of its profile of
#: secondary cancers: https://hl7.org/fhir/us/mcode/STU2.1/
RELATED = "http://hl7.org/fhir/StructureDefinition/condition-related"
SECONDARY_CANCER = f"{_MCODE}/mcode-secondary-cancer-condition"


def condition(resource: Condition, ref: str, context: Context) -> Item:
    """Return the item of a Condition."""
    meanings: dict[str, list[CodeEntry]] = {}
    for entry in context.entries(resource.code, resource):
        meanings.setdefault(entry.concept, []).append(entry)
    concept = next((one for one in _PRECEDENCE if one in meanings), None)
    own = resource.identifier is not None and context.is_own(resource.identifier)
    if concept is None or own:
        return only_counted(resource, ref, context, label_of(resource.code), own=own)
    label = meanings[concept][0].label
    named = Named(ref, resource.meta, context.patient(resource.subject), label)
    problem, detail = _problem(resource, named, context)
    when, recorded_only = _dated(resource, context)
    kinds, unclear = _kinds(meanings)
    if not kinds:
        return Diagnosis(
            malignancy=Malignancy(concept),
            when=when,
            problem=problem,
            detail=detail,
            **named.fields(),
        )
    names_prostate = any(one.names_prostate for found in meanings.values() for one in found)
    return Finding(
        kinds=kinds,
        when=when,
        recorded_only=recorded_only,
        unclear_site=unclear,
        primaries=_primaries(resource, context),
        of_prostate=True if names_prostate else None,
        problem=problem,
        detail=detail,
        **named.fields(),
    )


def _kinds(meanings: dict[str, list[CodeEntry]]) -> tuple[tuple[EventKind, ...], bool]:
    """Return the events that the codes state, and whether a metastasis is one of unclear site."""
    if _NODAL in meanings:
        return (EventKind.NODAL_RECURRENCE,), False
    metastasis = _METASTASIS in meanings or _UNCLEAR_SITE in meanings
    kinds = (EventKind.METASTASIS,) if metastasis else ()
    if _LOCAL in meanings:
        kinds = (*kinds, EventKind.LOCAL_RECURRENCE)
    return kinds, metastasis and _METASTASIS not in meanings


def _problem(resource: Condition, named: Named, context: Context) -> tuple[Reason | None, str]:
    """Return why a Condition does not count by itself, with the detail."""
    if context.is_test(resource.meta):
        return Reason.TEST_DATA, ""
    if not named.patient:
        return Reason.NO_SUBJECT, ""
    if _is_confirmed(resource.verification_status, context):
        return None, ""
    return Reason.STATUS, "verificationStatus is not confirmed"


def _is_confirmed(verification: CodeableConcept | None, context: Context) -> bool:
    """Return whether a verification status is absent, or one that counts."""
    if verification is None or not is_present(verification):
        return True
    known = context.mappings.statuses.condition_verification
    return any(
        coding.code in known and coding.system in (None, VERIFICATION)
        for coding in verification.coding or ()
    )


def _primaries(resource: Condition, context: Context) -> tuple[str, ...]:
    """Return the Conditions that the extensions name as the primary cancer."""
    extensions = decode_element(EXTENSIONS, resource.extension)
    named = [one for one in extensions if one.url == RELATED_PRIMARY]
    related: list[Extension] = [one for one in extensions if one.url == RELATED]
    if related and _is_secondary_cancer(resource):
        named += related
    return tuple(resolved(context, (one.value_reference for one in named), "Condition"))


def _is_secondary_cancer(resource: Condition) -> bool:
    """Return whether a Condition says that it follows mCODE's profile of secondary cancers."""
    profiles = decode_element(CANONICALS, resource.meta.profile) if resource.meta else []
    return any(profile.partition("|")[0] == SECONDARY_CANCER for profile in profiles)


def _dated(resource: Condition, context: Context) -> tuple[Span | None, bool]:
    """Return the interval of the onset, or of the recorded date if there is no onset.

    The second value tells whether it is that of the recorded date. An imprecise onset ends no later
    than a precise recorded date.
    """
    written, onset = context.first_date(resource.onset_date_time, resource.onset_period)
    recorded = context.dates.read(resource.recorded_date) if resource.recorded_date else None
    if written is None:
        return recorded, recorded is not None
    if onset is None or onset.precise or recorded is None or not recorded.precise:
        return onset, False
    if recorded.first < onset.first:
        return onset, False
    # A Condition that was recorded on a day had begun by that day.
    return Span(onset.first, min(onset.last, recorded.first)), False
