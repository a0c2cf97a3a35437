"""What a patient's record says, in the clinicians' words: no FHIR here, no as-of yet.

Every item names the resource it came from (``ref``: ``Type/id``). Dates are spans of calendar days,
values decimals, PSA in ng/mL.
"""

from collections.abc import Iterator
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction

import msgspec

from fhircryo.calendar import Span


class Reason(StrEnum):
    """Why something is absent, or a resource is not used."""

    STATUS = "status"
    NO_USABLE_DATE = "no-usable-date"
    IMPRECISE_DATE = "imprecise-date"
    UNIT = "unit"
    VALUE = "value"
    SUPERSEDED = "superseded"
    UNMAPPED_CODE = "unmapped-code"
    UNMAPPED_QUESTIONNAIRE = "unmapped-questionnaire"
    INVALID_ITEM = "invalid-item"
    INCOMPLETE = "incomplete"
    SCORE_MISMATCH = "score-mismatch"
    NO_SUBJECT = "no-subject"
    NOT_ATTRIBUTED = "not-attributed"
    UNREADABLE = "unreadable"
    PSA_NOT_CONVERTIBLE = "psa-not-convertible"
    AFTER_AS_OF = "after-as-of"
    NOT_IN_COHORT = "not-in-cohort"
    OUTSIDE_WINDOW = "outside-window"
    OWN_OUTPUT = "own-output"
    TEST_DATA = "test-data"
    SOURCE_LACKS_TYPE = "source-lacks-type"
    TOO_FEW_PSA = "too-few-psa"
    INSUFFICIENT_PSA = "insufficient-psa"
    UNGRADED = "ungraded"
    PARTLY_GRADED = "partly-graded"
    GRADE_NOT_SPECIFIED = "grade-not-specified"
    NO_FOLLOW_UP = "no-follow-up"
    AFTER_DEATH = "after-death"
    METASTATIC_AT_BASELINE = "metastatic-at-baseline"
    LANDMARK_NOT_REACHED = "landmark-not-reached"
    DIED_BEFORE_LANDMARK = "died-before-landmark"
    AFTER_SALVAGE_THERAPY = "after-salvage-therapy"


class Kind(StrEnum):
    """The kinds of clinical event, as tables and evidence name them."""

    METASTASIS = "metastasis"
    LOCAL_RECURRENCE = "local-recurrence"
    PROGRESSION = "progression"
    BIOCHEMICAL_FAILURE = "biochemical-failure"
    DEATH = "death"
    SALVAGE_THERAPY = "salvage-therapy"


class Item(msgspec.Struct, gc=False, tag_field="t", array_like=True, kw_only=True):
    """One resource, as far as it is of use.

    ``code`` labels what it is coded as, for counting; ``patient`` is the id of its subject, empty
    without one; ``updated`` and ``version`` are the resource's ``meta``; ``sequence`` orders what
    was read (the later wins where versions do not decide).
    """

    ref: str
    patient: str
    code: str
    updated: str | None = None
    version: str | None = None
    sequence: int = 0


class Dropped(Item, tag="x"):
    """A resource that only counts: its code is none of ours, or it is our own output."""

    reason: Reason


class NotUsed(Item, tag="n"):
    """A resource that is ours to read and cannot be used, and why."""

    reason: Reason
    detail: str = ""


class PatientFacts(Item, tag="pt"):
    """When he was born, whether and when he died; ``replaced_by``: whom his resources pass to.

    ``identifier``: what another server knows him by, where a setting asks for it.
    """

    died: Span | None = None
    died_undated: bool = False
    replaced_by: str = ""
    test_data: bool = False
    identifier: str = ""
    born: Span | None = None


class Treatment(Item, tag="tr"):
    """A candidate for the index procedure."""

    when: Span
    completed: bool
    successful: bool


class VagueTreatment(NotUsed, tag="vt", kw_only=True):
    """A cryoablation of no known day: it cannot be the index, and may be a repeat treatment."""

    when: Span


class Therapy(Item, tag="th"):
    """A salvage therapy by its beginning; ``when`` is None where no date is known.

    ``medication``: the Medication resource that says what it is, where the resource itself does
    not. ``problem``: why it does not count.
    """

    when: Span | None
    medication: str = ""
    problem: Reason | None = None
    detail: str = ""


class Drug(Item, tag="dr"):
    """A Medication resource that is a salvage therapy's; of no patient."""


class PsaResult(Item, tag="psa"):
    """A PSA result on a known day; ``problem`` says why its value cannot be used.

    ``value`` is in ng/mL: the measured value, or the stated limit of ``comparator`` (``<``, ``>``,
    empty). ``rank``: 0 is the status that wins among results of the same moment. ``measured``,
    ``unit`` and ``text``: what was recorded, as a number with its unit or as text.
    """

    when: Span
    rank: int
    value: Decimal | None
    comparator: str
    issued: str | None = None
    problem: Reason | None = None
    measured: Decimal | int | None = None
    unit: str = ""
    text: str = ""

    @property
    def recorded(self) -> str:
        """The result as recorded."""
        if self.measured is None:
            return self.text.strip()
        return f"{self.comparator}{self.measured} {self.unit}".strip()


class Finding(Item, tag="fi"):
    """A metastasis, local recurrence or progression; ``when`` is None where no date is known.

    ``recorded_only``: dated by when it was recorded, for want of an onset.
    """

    kind: Kind
    when: Span | None
    recorded_only: bool = False


class AdverseEvent(Item, tag="ae"):
    """An adverse event with its grades, each (scale, grade).

    ``suspects``: what it may be due to, as references; ``has_suspects``: some are recorded, though
    perhaps none can be resolved. ``problem``: why it is not used (it is kept all the same, for a
    grading of it shares its fate). ``taken_as_actual``: its actuality is not recorded.
    """

    when: Span | None
    has_suspects: bool
    suspects: tuple[str, ...]
    grades: tuple[tuple[str, str], ...]
    problem: Reason | None = None
    taken_as_actual: bool = False


class Grading(Item, tag="gr"):
    """An Observation that grades an adverse event or a procedure."""

    when: Span | None
    events: tuple[str, ...]
    procedures: tuple[str, ...]
    grades: tuple[tuple[str, str], ...]


class Score(msgspec.Struct, gc=False, array_like=True):
    """An instrument's score from one response, or why there is none. The score is n / d.

    ``mismatch``: the recorded total is another number than the items give.
    """

    instrument: str
    numerator: int = 0
    denominator: int = 1
    problem: Reason | None = None
    detail: str = ""
    mismatch: bool = False

    @property
    def value(self) -> int | Fraction:
        """The exact score."""
        if self.denominator == 1:
            return self.numerator
        return Fraction(self.numerator, self.denominator)


class Response(Item, tag="qr"):
    """An answered questionnaire, or an Observation of a score alone (``observed``).

    ``rank``: 0 is the status that wins; ``issued``: of an Observation.
    """

    when: Span
    rank: int
    scores: tuple[Score, ...]
    observed: bool = False
    issued: str | None = None


AnyItem = (
    Dropped
    | NotUsed
    | PatientFacts
    | Treatment
    | VagueTreatment
    | Therapy
    | Drug
    | PsaResult
    | Finding
    | AdverseEvent
    | Grading
    | Response
)


class Issue(msgspec.Struct, gc=False, order=True):
    """Something to tell of a resource: not used and why, or used all the same (``used``)."""

    ref: str
    reason: Reason
    detail: str = ""
    used: bool = False


class PatientRecord(msgspec.Struct):
    """All that is known of one patient, in no order.

    ``former``: what other resources of the same person say, where records were merged.
    ``foreign_events``: adverse events that his gradings refer to and that the source holds as
    another's or nobody's, with their dates: a grading of one of them shares its fate.
    """

    patient: str
    facts: PatientFacts | None = None
    former: list[PatientFacts] = []
    treatments: list[Treatment] = []
    therapies: list[Therapy] = []
    psa: list[PsaResult] = []
    findings: list[Finding] = []
    adverse_events: list[AdverseEvent] = []
    gradings: list[Grading] = []
    responses: list[Response] = []
    not_used: list[NotUsed] = []
    foreign_events: dict[str, Span | None] = {}

    def items(self) -> Iterator[Item]:
        """All items of the record."""
        if self.facts is not None:
            yield self.facts
        for part in _PARTS:
            yield from getattr(self, part)


#: The fields of a record that hold items.
_PARTS = tuple(
    field.name for field in msgspec.structs.fields(PatientRecord) if field.default_factory is list
)


class Lacking(msgspec.Struct, frozen=True):
    """What the whole source does not hold: no such resource means nothing, not "no event"."""

    conditions: bool = False
    adverse_events: bool = False
    medications: bool = False
    #: The scales of which it does hold Observations that grade.
    graded: frozenset[str] = frozenset()
