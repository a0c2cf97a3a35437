"""The items of a patient's record in clinical terms, independent of FHIR and of the cut-off date.

Every item names the resource that it was read from (``ref``: ``Type/id``). Dates are spans of
calendar days, values are decimals, PSA is in ng/mL.

A new kind of item is registered here alone: a subclass of ``Item`` with its ``part``, and the field
of that name in ``PatientRecord``.
"""

from collections.abc import Iterator
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from typing import ClassVar

import msgspec

from fhircryo.calendar import Span


class Reason(StrEnum):
    """Why an endpoint is absent, or why a resource is not used."""

    STATUS = "status"
    NO_USABLE_DATE = "no-usable-date"
    IMPRECISE_DATE = "imprecise-date"
    UNIT = "unit"
    VALUE = "value"
    SUPERSEDED = "superseded"
    UNMAPPED_CODE = "unmapped-code"
    CONFLICTING_CODE = "conflicting-code"
    UNMAPPED_QUESTIONNAIRE = "unmapped-questionnaire"
    INVALID_ITEM = "invalid-item"
    INCOMPLETE = "incomplete"
    SCORE_MISMATCH = "score-mismatch"
    NO_SUBJECT = "no-subject"
    NOT_ATTRIBUTED = "not-attributed"
    UNREADABLE = "unreadable"
    PSA_NOT_CONVERTIBLE = "psa-not-convertible"
    EARLY_PSA = "early-psa"
    AFTER_SALVAGE_THERAPY = "after-salvage-therapy"
    INCONCLUSIVE_PSA = "inconclusive-psa"
    UNCLEAR_SITE = "unclear-site"
    AFTER_AS_OF = "after-as-of"
    NOT_IN_COHORT = "not-in-cohort"
    OUTSIDE_WINDOW = "outside-window"
    OTHER_PRIMARY = "other-primary"
    OWN_OUTPUT = "own-output"
    TEST_DATA = "test-data"
    SOURCE_LACKS_TYPE = "source-lacks-type"
    TOO_FEW_PSA = "too-few-psa"
    UNCONFIRMED = "unconfirmed"
    INSUFFICIENT_PSA = "insufficient-psa"
    NO_PSA_RESPONSE = "no-psa-response"
    UNGRADED = "ungraded"
    PARTLY_GRADED = "partly-graded"
    GRADE_NOT_SPECIFIED = "grade-not-specified"
    NO_FOLLOW_UP = "no-follow-up"
    CAUSE_UNKNOWN = "cause-unknown"
    AFTER_DEATH = "after-death"
    METASTATIC_AT_BASELINE = "metastatic-at-baseline"
    LANDMARK_NOT_REACHED = "landmark-not-reached"
    DIED_BEFORE_LANDMARK = "died-before-landmark"


class EventKind(StrEnum):
    """The kinds of clinical events, as tables and evidence name them."""

    METASTASIS = "metastasis"
    NODAL_RECURRENCE = "nodal-recurrence"
    LOCAL_RECURRENCE = "local-recurrence"
    PROGRESSION = "progression"
    BIOCHEMICAL_FAILURE = "biochemical-failure"
    DEATH = "death"
    SALVAGE_THERAPY = "salvage-therapy"


class TherapyKind(StrEnum):
    """The kinds of salvage therapy."""

    HORMONE = "hormone"
    LOCAL = "local"
    SYSTEMIC = "systemic"


class Malignancy(StrEnum):
    """What a Condition says of a primary cancer; also the concept that its code maps to."""

    PROSTATE_CANCER = "prostate-cancer"
    OTHER = "other-malignancy"


class Cause(StrEnum):
    """A cause of death; of several causes the first in this order counts."""

    PROSTATE_CANCER = "prostate-cancer"
    OTHER = "other"
    UNKNOWN = "unknown"


class CharacteristicKind(StrEnum):
    """The baseline characteristics that Observations state; also the concept of their codes."""

    ISUP_GRADE_GROUP = "isup-grade-group"
    GLEASON_SCORE = "gleason-score"
    CLINICAL_T_CATEGORY = "clinical-t-category"
    PROSTATE_VOLUME = "prostate-volume"


class Item(msgspec.Struct, gc=False, tag_field="t", array_like=True, kw_only=True):
    """What one resource contributes to a patient's record.

    ``patient`` is the id of the subject, empty without one. ``code`` is the label under which the
    resource is counted. ``updated`` and ``version`` are ``meta.lastUpdated`` and
    ``meta.versionId``. ``sequence`` is the order of reading: the later item wins where versions do
    not decide. ``part`` is the field of ``PatientRecord`` that holds items of the kind; it is empty
    for kinds that are not part of a record.
    """

    part: ClassVar[str] = ""

    ref: str
    patient: str
    code: str
    updated: str | None = None
    version: str | None = None
    sequence: int = 0

    @property
    def span(self) -> Span | None:
        """The days on which what the item states may have happened; None where none is known."""
        return getattr(self, "when", None)


class Dropped(Item, tag="x"):
    """A resource that is only counted: its code is not mapped, or it is our own output."""

    reason: Reason


class NotUsed(Item, tag="n"):
    """A resource that is mapped but cannot be used, with the reason."""

    part: ClassVar[str] = "not_used"

    reason: Reason
    detail: str = ""


class PatientFacts(Item, tag="pt"):
    """A Patient resource: birth, death and merging.

    ``died`` is the date of death; ``died_undated`` says that the patient died on an unknown day.
    ``replaced_by`` is the id of the patient that this one was merged into. ``identifier`` is the
    value by which another server identifies the patient, where a setting asks for it.
    """

    part: ClassVar[str] = "former"

    died: Span | None = None
    died_undated: bool = False
    replaced_by: str = ""
    test_data: bool = False
    identifier: str = ""
    born: Span | None = None

    @property
    def span(self) -> Span | None:
        """The days on which the patient may have died; None where no date is known."""
        return self.died


class Treatment(Item, tag="tr"):
    """A candidate for the index procedure.

    ``completed``: its status is ``completed``; otherwise it was stopped. ``successful``: no outcome
    says that it was unsuccessful. ``sessions``: the Procedures that it is part of.
    """

    part: ClassVar[str] = "treatments"

    when: Span
    completed: bool
    successful: bool
    sessions: tuple[str, ...] = ()


class VagueTreatment(NotUsed, tag="vt", kw_only=True):
    """A cryoablation without a precise date: never the index, possibly a repeat treatment."""

    when: Span


class Therapy(Item, tag="th"):
    """A salvage therapy or radiotherapy, dated by its start (None: no date is known).

    ``end`` is the end of its period, where one is recorded. ``ongoing``: it has a status that goes
    on. ``order``: it is a MedicationRequest, which is no contact with the patient. ``modality`` is
    set for radiotherapy of the prostate (``external-beam``, ``brachytherapy``, ``unspecified``).
    ``medication`` is the reference to the Medication that names the drug, where the resource itself
    does not; then ``kind`` is that of the Medication. ``problem`` is the reason for which the
    therapy does not count.
    """

    part: ClassVar[str] = "therapies"

    when: Span | None
    kind: TherapyKind = TherapyKind.LOCAL
    end: Span | None = None
    ongoing: bool = False
    order: bool = False
    modality: str = ""
    medication: str = ""
    problem: Reason | None = None
    detail: str = ""


class Drug(Item, tag="dr"):
    """A Medication resource with a drug of salvage therapy; it belongs to no patient."""

    kind: TherapyKind = TherapyKind.HORMONE


class PsaResult(Item, tag="psa"):
    """A PSA result with a precise date; ``problem`` is the reason its value cannot be used.

    ``value`` is in ng/mL: the measured value, or the limit that ``comparator`` (``<``, ``<=``,
    ``>``, ``>=``, empty) refers to. ``rank`` orders results of the same moment by status; 0 wins.
    ``measured``, ``unit`` and ``text`` are the result as recorded: a number with its unit, or text.
    """

    part: ClassVar[str] = "psa"

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
    """A metastasis, recurrence or progression; ``when`` is None where no date is known.

    ``kinds``: all events that the resource states; an Observation may state several by its
    components. ``recorded_only``: the date is that of recording, because no onset is stated.
    ``unclear_site``: the code may mean a regional, a local or a distant site. ``primaries``: the
    Conditions that the resource names as the primary cancer. ``of_prostate``: True where the
    resource names the prostate cancer as the primary, False where it names another cancer, None
    where it names none, or one that the source does not hold; set from ``primaries`` when the
    record is assembled. ``problem`` is the reason for which the finding does not count; it is
    retained all the same, because another resource may name it as its primary cancer.
    """

    part: ClassVar[str] = "findings"

    kinds: tuple[EventKind, ...]
    when: Span | None
    recorded_only: bool = False
    unclear_site: bool = False
    primaries: tuple[str, ...] = ()
    of_prostate: bool | None = None
    problem: Reason | None = None
    detail: str = ""


class Diagnosis(Item, tag="dg"):
    """A Condition that is the prostate cancer or another malignancy.

    ``when`` is None where no date is known. ``problem`` is the reason for which it does not count
    as a diagnosis of its own; it may still be named as the primary cancer of a metastasis.
    """

    part: ClassVar[str] = "diagnoses"

    malignancy: Malignancy
    when: Span | None
    problem: Reason | None = None
    detail: str = ""


class CauseOfDeath(Item, tag="cd"):
    """An Observation of the cause of death; ``when`` is None where it is undated."""

    part: ClassVar[str] = "causes"

    cause: Cause
    when: Span | None = None


class Characteristic(Item, tag="ch"):
    """An Observation of a baseline characteristic: ``number`` (a volume in mL), else ``text``.

    ``text``: the value as coded.
    """

    part: ClassVar[str] = "characteristics"

    kind: CharacteristicKind
    when: Span
    number: Decimal | int | None = None
    text: str = ""

    @property
    def value(self) -> Decimal | int | str:
        """The value: a number, or as coded."""
        return self.text if self.number is None else self.number


class AdverseEvent(Item, tag="ae"):
    """An adverse event with its grades, each a pair of scale and grade.

    ``when`` is None where no date is stated; ``recorded`` is then its ``recordedDate``.
    ``suspects`` are references to the suspected causes that could be resolved and that are not
    assessed as unrelated; ``has_suspects`` says that any are recorded. ``kinds``: what kind of
    complication it is, by the mapping of complication kinds. ``problem`` is the reason it is not
    used; it is retained all the same, because a grading of it is then not used either.
    ``taken_as_actual`` says that its actuality is not recorded.
    """

    part: ClassVar[str] = "adverse_events"

    when: Span | None
    has_suspects: bool
    suspects: tuple[str, ...]
    grades: tuple[tuple[str, str], ...]
    recorded: Span | None = None
    kinds: tuple[str, ...] = ()
    problem: Reason | None = None
    taken_as_actual: bool = False


class Grading(Item, tag="gr"):
    """An Observation that grades an adverse event or a procedure."""

    part: ClassVar[str] = "gradings"

    when: Span | None
    events: tuple[str, ...]
    procedures: tuple[str, ...]
    grades: tuple[tuple[str, str], ...]


class Score(msgspec.Struct, gc=False, array_like=True):
    """An instrument's score from one response, as a fraction, or the reason why there is none.

    ``mismatch`` says that the recorded total differs from the score of the items. ``marks``: the
    instrument's marks that the answers carry, such as ``no-intercourse``.
    """

    instrument: str
    numerator: int = 0
    denominator: int = 1
    problem: Reason | None = None
    detail: str = ""
    mismatch: bool = False
    marks: tuple[str, ...] = ()

    @property
    def value(self) -> int | Fraction:
        """The exact score."""
        if self.denominator == 1:
            return self.numerator
        return Fraction(self.numerator, self.denominator)


class Response(Item, tag="qr"):
    """An answered questionnaire, or an Observation that states only a score (``observed``).

    ``rank`` orders responses of the same moment by status; 0 wins. ``issued`` is that of an
    Observation.
    """

    part: ClassVar[str] = "responses"

    when: Span
    rank: int
    scores: tuple[Score, ...]
    observed: bool = False
    issued: str | None = None


def item_kinds() -> tuple[type[Item], ...]:
    """All kinds of items, those of plug-ins included."""

    def below(kind: type[Item]) -> Iterator[type[Item]]:
        for one in kind.__subclasses__():
            yield one
            yield from below(one)

    return tuple(below(Item))


class Issue(msgspec.Struct, gc=False, order=True):
    """What is reported about a resource: the reason it is not used, or a remark if it is used."""

    ref: str
    reason: Reason
    detail: str = ""
    used: bool = False


class PatientRecord(msgspec.Struct):
    """All items of one patient, in no particular order.

    ``facts`` is the Patient resource that counts, ``former`` the others of a merged patient.
    ``foreign_events`` are adverse events that the patient's gradings refer to and that belong to
    another patient or to none, with their dates: a grading of one of them is not used either.
    """

    patient: str
    facts: PatientFacts | None = None
    former: list[PatientFacts] = []
    treatments: list[Treatment] = []
    therapies: list[Therapy] = []
    psa: list[PsaResult] = []
    findings: list[Finding] = []
    diagnoses: list[Diagnosis] = []
    causes: list[CauseOfDeath] = []
    characteristics: list[Characteristic] = []
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

    def add(self, item: Item) -> None:
        """Add an item to its part of the record."""
        getattr(self, item.part).append(item)

    def spans(self) -> Iterator[Span]:
        """The dates of everything that the record holds."""
        yield from (item.span for item in self.items() if item.span is not None)
        yield from (span for span in self.foreign_events.values() if span is not None)


#: The fields of a record that hold items.
_PARTS = tuple(
    field.name for field in msgspec.structs.fields(PatientRecord) if field.default_factory is list
)


class Lacking(msgspec.Struct, frozen=True):
    """What the whole source does not hold, so that its absence means nothing.

    ``conditions``, ``adverse_events``, ``medications``: the source has no such resource at all.
    ``graded``: the scales of which it does hold Observations that grade. ``deaths``: the source may
    not know of every death; the setting ``vital_status_complete`` says that it does.
    """

    conditions: bool = False
    adverse_events: bool = False
    medications: bool = False
    graded: frozenset[str] = frozenset()
    deaths: bool = True
