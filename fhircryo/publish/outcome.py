"""Makes an OperationOutcome of what was not used, or is to be noted, and why."""

from fhircryo.publish.shapes import (
    OutCoding,
    OutConcept,
    OutIssue,
    OutOperationOutcome,
)
from fhircryo.record.items import Reason

# https://hl7.org/fhir/R4/valueset-issue-type.html
_TYPES = {
    Reason.UNREADABLE: "structure",
    Reason.SUPERSEDED: "duplicate",
    Reason.UNIT: "value",
    Reason.VALUE: "value",
    Reason.NO_USABLE_DATE: "incomplete",
    Reason.IMPRECISE_DATE: "incomplete",
    Reason.INCOMPLETE: "incomplete",
    Reason.INVALID_ITEM: "value",
    Reason.NO_SUBJECT: "required",
    Reason.UNMAPPED_CODE: "code-invalid",
    Reason.CONFLICTING_CODE: "code-invalid",
    Reason.UNMAPPED_QUESTIONNAIRE: "code-invalid",
}

#: Why a resource is not used.
WORDS = {
    Reason.STATUS: "resources of its status are not used",
    Reason.NO_USABLE_DATE: "it has no usable date",
    Reason.IMPRECISE_DATE: "its date is not precise to the day",
    Reason.UNIT: "its unit is missing or unknown",
    Reason.VALUE: "it has no usable value",
    Reason.SUPERSEDED: "another resource replaces it",
    Reason.UNMAPPED_CODE: "its code is not mapped to a concept",
    Reason.CONFLICTING_CODE: "one of its codes means something other than the mapped code",
    Reason.UNMAPPED_QUESTIONNAIRE: "its questionnaire is not mapped to an instrument",
    Reason.INVALID_ITEM: "an answer is not among the item's allowed values",
    Reason.INCOMPLETE: "an answer that the score needs is missing",
    Reason.SCORE_MISMATCH: "the recorded total differs from the score of the items",
    Reason.NO_SUBJECT: "it has no resolvable reference to a patient",
    Reason.NOT_ATTRIBUTED: "it is not attributed to the index procedure",
    Reason.UNREADABLE: "it cannot be read",
    Reason.PSA_NOT_CONVERTIBLE: "its PSA unit cannot be converted to ng/mL",
    Reason.EARLY_PSA: "a PSA too soon after the index procedure: freezing releases PSA",
    Reason.AFTER_SALVAGE_THERAPY: "a PSA dated after the start of salvage therapy",
    Reason.AFTER_AS_OF: "it is dated after the cut-off date",
    Reason.NOT_IN_COHORT: "its patient is not in the cohort",
    Reason.OUTSIDE_WINDOW: "it is dated outside the time that the endpoints look at",
    Reason.OTHER_PRIMARY: "it belongs, or may belong, to another cancer",
    Reason.UNCLEAR_SITE: "its code does not say whether the site is distant",
    Reason.OWN_OUTPUT: "it is an endpoint that fhircryo published",
    Reason.TEST_DATA: "it is labelled as test data",
    Reason.AFTER_DEATH: "it is dated after the patient's death",
}


def outcome(
    reason: Reason, what: str, base: str, *, detail: str = "", note: bool = False
) -> OutOperationOutcome:
    """An OperationOutcome with one issue.

    ``what``: the resource, or what was counted. ``note``: the resource was used nevertheless.
    """
    severity = "error" if reason is Reason.UNREADABLE else "information" if note else "warning"
    words = WORDS.get(reason, reason)
    coding = OutCoding(f"{base}/CodeSystem/reason", reason)
    issue = OutIssue(
        severity=severity,
        code=_TYPES.get(reason, "business-rule"),
        details=OutConcept([coding], f"used; but {words}" if note else f"not used: {words}"),
        diagnostics=f"{what}: {detail}" if detail else what,
    )
    return OutOperationOutcome([issue])
