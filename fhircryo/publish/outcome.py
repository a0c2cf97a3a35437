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
    Reason.UNMAPPED_QUESTIONNAIRE: "code-invalid",
}

WORDS = {
    Reason.STATUS: "its status does not count",
    Reason.NO_USABLE_DATE: "no date that can be used",
    Reason.IMPRECISE_DATE: "its date is not known to the day",
    Reason.UNIT: "no unit, or one that is not known",
    Reason.VALUE: "no value that can be used",
    Reason.SUPERSEDED: "another one counts in its place",
    Reason.UNMAPPED_CODE: "its code is none of ours",
    Reason.UNMAPPED_QUESTIONNAIRE: "its questionnaire is none of ours",
    Reason.INVALID_ITEM: "an answer that the item does not allow",
    Reason.INCOMPLETE: "an answer is missing",
    Reason.SCORE_MISMATCH: "the recorded total is not what the items give",
    Reason.NO_SUBJECT: "it names no patient",
    Reason.NOT_ATTRIBUTED: "not attributed to the index procedure",
    Reason.UNREADABLE: "cannot be read",
    Reason.PSA_NOT_CONVERTIBLE: "a PSA in units that no factor turns into ng/mL",
    Reason.AFTER_AS_OF: "dated after as-of",
    Reason.NOT_IN_COHORT: "of a patient outside the cohort",
    Reason.OUTSIDE_WINDOW: "outside the time that counts",
    Reason.OWN_OUTPUT: "an endpoint that fhircryo published",
    Reason.TEST_DATA: "labelled as test data",
    Reason.AFTER_DEATH: "dated after his death",
    Reason.AFTER_SALVAGE_THERAPY: "a PSA after salvage therapy began",
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
