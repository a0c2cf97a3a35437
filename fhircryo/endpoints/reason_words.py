"""What the reasons for an absent endpoint mean, in words."""

from fhircryo.record.items import Reason

#: What the reasons for an absent endpoint mean.
WHY = {
    Reason.TOO_FEW_PSA: "too few PSA results: failure needs a result with one before it to judge it"
    " by; the nadir needs a result with an upper bound",
    Reason.INCONCLUSIVE_PSA: "a PSA that is only a limit, or follows one that is, may or may not be"
    " a failure",
    Reason.UNCONFIRMED: "a failing PSA that no later result confirms or contradicts",
    Reason.INSUFFICIENT_PSA: "no clear PSA close enough to the landmark, or later",
    Reason.NO_PSA_RESPONSE: "the PSA never fell below the baseline PSA: no sign of control",
    Reason.NO_FOLLOW_UP: "nothing dated after the index procedure shows how long the follow-up was",
    Reason.CAUSE_UNKNOWN: "the patient died, and the cause of death is not known",
    Reason.LANDMARK_NOT_REACHED: "the cut-off date is before the landmark",
    Reason.DIED_BEFORE_LANDMARK: "the patient died on or before the landmark",
    Reason.METASTATIC_AT_BASELINE: "the patient had a metastasis on or before D0",
    Reason.IMPRECISE_DATE: "the date of an event is not precise enough to decide",
    Reason.NO_USABLE_DATE: "an event has no date, or only the date of its recording",
    Reason.OTHER_PRIMARY: "a metastasis or nodal recurrence may belong to another cancer",
    Reason.UNCLEAR_SITE: "a code that may mean a regional, a local or a distant site",
    Reason.SOURCE_LACKS_TYPE: "the source has no resource of a type that is needed, which does not"
    " mean that nothing happened",
    Reason.UNGRADED: "no complication has a grade of this scale",
    Reason.PARTLY_GRADED: "some complications have no grade of this scale",
    Reason.GRADE_NOT_SPECIFIED: "the worst grade may be minor or major",
}
