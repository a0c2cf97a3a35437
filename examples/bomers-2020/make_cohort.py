"""Makes the example cohort: 62 synthetic men whose endpoints are those of the published cohort.

    python make_cohort.py                writes the files beside this script
    python make_cohort.py --check        says whether they are what it would write
    python make_cohort.py --truth FILE   writes the endpoints that were intended, as CSV

No patient stands behind any of it. What happens to each man is decided in the tables below; chance
only fills in days and values. Nothing here computes an endpoint from the resources: the truth is
what the tables say. A PSA is a whole number of hundredths of ng/mL throughout.
"""

import argparse
import calendar
import csv
import gzip
import hashlib
import io
import json
import random
import re
import sys
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any, TypeVar

FOLDER = Path(__file__).resolve().parent
#: The day that the published figures hold for, and the later day of the hospital's export.
AS_OF = date(2017, 12, 31)
EXPORTED = date(2018, 3, 12)
MEN = 62

BASE = "https://w3id.org/fhircryo"
LOINC = "http://loinc.org"
SNOMED = "http://snomed.info/sct"
ATC = "http://www.whocc.no/atc"
CPT = "http://www.ama-assn.org/go/cpt"
UCUM = "http://unitsofmeasure.org"
ICD_10 = "http://hl7.org/fhir/sid/icd-10"
ICD_10_CM = "http://hl7.org/fhir/sid/icd-10-cm"
HOSPITAL = "https://fhir.ziekenhuis.example/r4"
TERMS = "http://terminology.hl7.org/CodeSystem"
AE_GRADE = "http://hl7.org/fhir/uv/ae-research-ig/StructureDefinition/ae-grade"
ORDINAL = "http://hl7.org/fhir/StructureDefinition/ordinalValue"
TEST_LABEL = {"system": f"{TERMS}/v3-ActReason", "code": "HTEST"}

Json = dict[str, Any]
T = TypeVar("T")

# --------------------------------------------------------------------------------------------
# What happens to each man
# --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Role:
    """A man's course: his PSA by the months after treatment, and what is known of his disease.

    ``story``: in words; ``disease_free``: Y, N or why it cannot be said; ``fails_at``: months of
    the PSA visit that is the failure; ``visits``: months of the PSA visits, where not the usual;
    ``nadir``: hundredths of ng/mL, ``nadir_sign``: "<" where it is only a limit; ``nadir_at``:
    months; ``rise``: of the failure above it; ``failure``: why it cannot be said whether PSA
    failed.
    """

    story: str
    disease_free: str = "Y"
    fails_at: int | None = None
    visits: tuple[int, ...] = ()
    nadir: int | None = None
    nadir_at: int | None = None
    nadir_sign: str = ""
    rise: int | None = None
    failure: str = ""


METASTASIS = "metastasis within six months"
ROLES: dict[int, Role] = {
    1: Role(f"{METASTASIS}, failure before it", "N", fails_at=6, nadir_at=3),
    2: Role(
        f"{METASTASIS}, failure after a nadir below 1.0",
        "N",
        fails_at=9,
        nadir=100,
        nadir_sign="<",
        nadir_at=3,
        rise=300,
    ),
    3: Role(f"{METASTASIS}, died of the cancer", "N", visits=(3, 6)),
    4: Role(f"{METASTASIS}, of which only the month is known", "N"),
    5: Role(f"{METASTASIS}, on the last day of them", "N", fails_at=9),
    6: Role(f"{METASTASIS}, dated by its recording alone", "N"),
    7: Role("failure, then metastasis at ten months", "N", fails_at=6, nadir_at=3),
    8: Role("failure, a metastasis that may be of another cancer", "N", fails_at=6, nadir_at=3),
    9: Role("a second ablation after eleven months", "N"),
    10: Role("failure by exactly 2.0 ng/mL", "N", fails_at=9, nadir=14, nadir_at=3, rise=200),
    11: Role("failure on the landmark itself", "N", fails_at=12, nadir_at=6),
    12: Role(
        "failure, nadir in another unit; a grade of the session",
        "N",
        fails_at=9,
        nadir=40,
        nadir_at=3,
    ),
    13: Role("failure that was first reported as low", "N", fails_at=12, nadir_at=6),
    14: Role(
        "failure above the assay's range, perhaps earlier",
        "N",
        fails_at=9,
        nadir=60,
        nadir_sign="<",
        nadir_at=3,
        rise=4800,
    ),
    15: Role("failure sent as text", "N", fails_at=12, nadir_at=6),
    16: Role("failure, low again under hormones", "N", fails_at=6, nadir_at=3),
    17: Role("local recurrence", "N"),
    18: Role("local recurrence, of which only the month is known", "N"),
    19: Role("hormone therapy before PSA failed", "N"),
    20: Role("progression on imaging, an amended statement", "N"),
    21: Role("recurrence in the pelvic lymph nodes", "N"),
    22: Role("failure after the landmark", fails_at=18),
    23: Role("failure after the landmark, a second ablation", fails_at=24),
    24: Role("failure after the landmark", fails_at=18),
    25: Role("failure after the landmark, record transferred as a Bundle", fails_at=18),
    26: Role("failure after the landmark, died, only the month is known", fails_at=30),
    27: Role("failure a month after the landmark", fails_at=13, visits=(3, 6, 9, 11, 13, 19)),
    28: Role("metastasis after the landmark, chemotherapy"),
    29: Role("metastasis after the landmark, of which only the month is known"),
    30: Role("local recurrence after the landmark"),
    31: Role("died of another cause after the landmark, a result came later"),
    32: Role("recurrence coded at discharge: the indication"),
    33: Role("recurrence with an onset of which only the year is known: the indication"),
    34: Role("suspected metastasis, refuted", nadir=50),
    35: Role("suspected metastasis, provisional"),
    36: Role("a bounce just below failure, a recurrence entered in error", nadir=30, nadir_at=3),
    37: Role("a high preliminary result"),
    38: Role("a high result entered in error; hormone therapy that went on from before treatment"),
    39: Role("a high result of a cancelled order"),
    40: Role("a result in pg/mL; a metastasis of lymph nodes that are not named"),
    41: Role("a result in ng/dL", nadir=45),
    42: Role("a result in ng/L; high and rising in the first days"),
    43: Role("a coarse assay: below 2.3, exactly the nadir and 2.0", nadir=30, nadir_at=3),
    44: Role("a coarse assay, as text: below 2.3", nadir=30, nadir_at=3),
    45: Role(
        "an uncertain result after the landmark: below 3", nadir=20, failure="inconclusive-psa"
    ),
    46: Role("a decimal point corrected at the same moment; hormone therapy again after years"),
    47: Role("a decimal point corrected at the same moment"),
    48: Role("a decimal point corrected in a later version"),
    49: Role("two records merged into one"),
    50: Role("no Patient resource"),
    51: Role("died, nobody knows when"),
    55: Role("record transferred as a Bundle"),
    58: Role("PSA never fell", "no-psa-response", visits=(3, 6, 9, 12, 18), nadir=900),
    59: Role(
        "nobody looked around the landmark", "insufficient-psa", 16, (3, 6, 8, 16, 19), nadir_at=3
    ),
    60: Role("treated in 2017", "landmark-not-reached", visits=(3, 6, 9)),
    61: Role("a metastasis known before treatment", "metastatic-at-baseline"),
    62: Role("metastasis, of which only the year is known", "imprecise-date"),
}
PLAIN = Role("no evidence of disease")
# What happens to them takes years to be seen: treated early.
LATE = range(22, 32)
BUNDLED = (25, 55)
MERGED, NO_PATIENT, UNDATED_DEATH = 49, 50, 51
#: Days after treatment on which men died.
DEATHS = {3: 214, 31: 905}
#: Months after treatment in which a man died: the day is not known.
VAGUE_DEATHS = {26: 46}
#: The recorded cause of death (ICD-10).
CAUSES = {3: "C61", 31: "I21.9"}
#: Months after treatment of a second ablation.
REPEATS = {9: 11, 23: 28}

#: (man, months of the visit): how the result was sent where not as his laboratory does.
FORMS = {
    (12, 3): "ng/dL",
    (12, 6): "ng/dL",
    (14, 9): "greater",
    (15, 12): "text",
    (23, 6): "text",
    (33, 24): "ng/dL",
    (40, 6): "pg/mL",
    (41, 9): "ng/dL",
    (42, 12): "ng/L",
    (57, 18): "pg/mL",
}
#: (man, months of the visit): what the laboratory reported first; corrected at the same moment.
CORRECTED = {(13, 12): 31, (46, 6): 3100, (47, 9): 620, (53, 18): 1180, (26, 12): 540}
#: The same, but as versions of one resource.
VERSIONED = {(48, 9): 410, (54, 12): 870, (9, 3): 9, (56, 6): 505, (52, 24): 66}
#: (man, months, days, status, hundredths): never to be used for their status.
STRAYS = (
    (37, 5, 0, "preliminary", 620),
    (38, 8, 4, "entered-in-error", 990),
    (39, 10, 11, "cancelled", 480),
    (56, 7, 3, "entered-in-error", 1210),
    (20, 5, 9, "entered-in-error", 2),
    (8, 4, 2, "preliminary", 1),
    (44, 2, 5, "registered", None),
    (17, 13, 20, "unknown", 333),
)
#: (man, months, days, form, limit in hundredths): a coarse assay. Below 2.3 is no failure after a
#: nadir of 0.3; below 3 after 0.2 may be one.
COARSE = (
    (43, 11, 0, "quantity", 230),
    (44, 10, 15, "text", 230),
    (45, 14, 6, "quantity", 300),
)
#: (man, months of the visit): hundredths that are neither a failure nor none.
UNCERTAIN = {(14, 6): 230}
#: (man, days, hundredths): freezing releases PSA; what is measured in the first weeks is not used.
EARLY = ((42, 3, 1180), (42, 12, 15500), (12, 9, 3110), (57, 20, 640))
#: (man, months, what is odd): results that cannot be used, whatever their value.
ODD = (
    (4, 8, "no-unit"),
    (10, 2, "unknown-unit"),
    (22, 10, "no-unit"),
    (24, 10, "absent"),
    (27, 5, "comment"),
    (29, 4, "arbitrary"),
    (30, 7, "urine"),
    (32, 4, "month-only"),
    (35, 8, "test"),
    (41, 4, "no-subject"),
    (46, 10, "comment"),
    (49, 7, "urine"),
    (52, 5, "month-only"),
    (53, 7, "arbitrary"),
    (57, 8, "free-of-total"),
    (62, 5, "absent"),
)

#: (man, months, days, value, status): statements of the disease's course; worsened is progression.
DISEASE_STATUS = (
    (20, 9, 12, "271299001", "amended"),
    (37, 12, 9, "359746009", "final"),
    (39, 6, 4, "268910001", "final"),
    (40, 8, 2, "271299001", "entered-in-error"),
    (28, 20, 5, "271299001", "final"),
    (47, 12, 1, "359746009", "final"),
    (52, 11, 17, "709137006", "final"),
    (54, 6, 2, "271299001", "preliminary"),
)


@dataclass(frozen=True)
class Disease:
    """A metastasis or recurrence, so many months and days after treatment.

    ``dated``: how its date is written, or why it is none of the confirmed.
    """

    man: int
    kind: str
    code: str
    months: int
    days: int
    dated: str = "day"


#: Metastases of which it cannot be said whether they count, and why.
UNKNOWN = {(8, "metastasis"): "other-primary", (40, "metastasis"): "unclear-site"}
VERIFICATIONS = ("refuted", "provisional", "entered-in-error")
DISEASES = (
    Disease(1, "metastasis", "spread", 4, 5),
    Disease(2, "metastasis", "bone-snomed", 5, 3, "zoned"),
    Disease(3, "metastasis", "bone-cm", 2, 8, "period"),
    Disease(4, "metastasis", "nodes", 4, 0, "month"),
    Disease(5, "metastasis", "spread", 6, 0),
    Disease(6, "metastasis", "bone", 5, -11, "recorded"),
    Disease(7, "metastasis", "spread", 10, 2),
    Disease(17, "local_recurrence", "local", 8, 6),
    Disease(18, "local_recurrence", "local", 7, 0, "month"),
    Disease(8, "metastasis", "liver", 5, 6),
    Disease(21, "nodal_recurrence", "pelvic", 5, 4),
    Disease(28, "metastasis", "spread", 20, 0, "zoned"),
    Disease(29, "metastasis", "bone", 26, 0, "month"),
    Disease(30, "local_recurrence", "local", 30, -9),
    Disease(34, "metastasis", "spread", 5, 0, "refuted"),
    Disease(35, "metastasis", "bone", 4, 0, "provisional"),
    Disease(36, "local_recurrence", "local", 8, 0, "entered-in-error"),
    Disease(40, "metastasis", "unnamed-nodes", 20, 3),
    Disease(61, "metastasis", "nodes", 0, -25),
    Disease(62, "metastasis", "bone", 12, 0, "year"),
)


@dataclass(frozen=True)
class Therapy:
    """A drug against the cancer, so many days after treatment (negative: before).

    ``kind``: the type of resource; ``code``: the drug (ATC); ``salvage``: it is salvage therapy,
    and not the continuation of what was given before treatment; ``status``: of the resource.
    """

    man: int
    kind: str
    code: str
    months: int
    days: int = 0
    salvage: bool = True
    status: str = "completed"

    def day(self, d0: date) -> date:
        """The day on which it was given or ordered."""
        return after(add_months(d0, self.months), self.days)


#: Months after treatment at which a man had hormones before his PSA failed.
HORMONES_AT = 10
GOSERELIN, LEUPRORELIN, DOCETAXEL = "L02AE03", "L02AE02", "L01CD02"
THERAPIES = (
    Therapy(16, "MedicationRequest", LEUPRORELIN, 7, 2, status="active"),
    Therapy(19, "MedicationRequest", GOSERELIN, HORMONES_AT, status="active"),
    Therapy(28, "MedicationAdministration", DOCETAXEL, 22),
    # A depot of six months before treatment, and the next ones: one course.
    Therapy(38, "MedicationRequest", LEUPRORELIN, -3, salvage=False),
    Therapy(38, "MedicationRequest", LEUPRORELIN, 3, salvage=False),
    Therapy(38, "MedicationRequest", LEUPRORELIN, 9, 5, salvage=False),
    # Before treatment, and again long after it had ended.
    Therapy(46, "MedicationStatement", GOSERELIN, -4, salvage=False),
    Therapy(46, "MedicationStatement", GOSERELIN, 29, status="active"),
    # Ordered in error.
    Therapy(33, "MedicationRequest", GOSERELIN, 8, salvage=False, status="entered-in-error"),
)


@dataclass(frozen=True)
class Complication:
    """An adverse event, or with no ``what`` a grading that stands by itself.

    ``clavien``, ``sir``, ``ctcae``: the grades, each with where it stands; ``due_to``: what the
    record holds to be the cause, and whether that is unlikely; ``counts``: it is a complication of
    the treatment.
    """

    man: int
    days: int
    what: str
    clavien: tuple[str, str]
    sir: tuple[str, str]
    due_to: str = "index"
    ctcae: tuple[str, str] = ("", "")
    counts: bool = True
    actuality: str = "actual"
    dated: str = "date"


#: What happened, in SNOMED CT or in words.
RETENTION, INFECTION, HAEMATURIA = "267064002", "68566005", "34436003"
FISTULA, STRICTURE, PAIN = "14981000", "76618002", "Perineal pain"
# Two men have a major complication by Clavien-Dindo (30, 12), one of them by SIR (30). The grade
# that makes it major in 12 refers to the session of which the ablation is part. All that count
# carry both scales: a complication without a grade would leave "major" unknown.
COMPLICATIONS = (
    Complication(30, 41, FISTULA, ("IIIb", "event"), ("D", "severity"), ctcae=("3", "extension")),
    Complication(12, 9, "Bladder clot", ("III", "severity"), ("C", "extension")),
    Complication(12, 9, "", ("IIIb", "session"), ("C", "session"), due_to="none"),
    Complication(2, 1, RETENTION, ("I", "extension"), ("A", "extension")),
    Complication(5, 2, RETENTION, ("II", "severity"), ("B", "severity"), due_to="none"),
    Complication(8, 6, INFECTION, ("II", "event"), ("B", "event")),
    Complication(11, 1, HAEMATURIA, ("I", "seriousness"), ("A", "category")),
    Complication(16, 3, INFECTION, ("II", "category"), ("B", "seriousness"), dated="detected"),
    Complication(19, 5, PAIN, ("I", "severity"), ("A", "category"), ctcae=("1", "extension")),
    Complication(21, 12, INFECTION, ("II", "observation"), ("C", "severity"), due_to="none"),
    Complication(23, 0, "", ("I", "part"), ("A", "part")),
    Complication(25, 4, RETENTION, ("I", "extension"), ("A", "severity")),
    Complication(28, 60, "", ("II", "loose"), ("B", "loose"), due_to="none"),
    Complication(33, 488, STRICTURE, ("IIIa", "severity"), ("C", "extension")),
    Complication(36, 30, HAEMATURIA, ("I", "extension"), ("A", "event"), due_to="billing"),
    Complication(36, 75, PAIN, ("II", "extension"), ("B", "extension")),
    Complication(40, 2, RETENTION, ("II", "focus"), ("B", "category"), ctcae=("2", "severity")),
    Complication(
        47, 1, PAIN, ("I", "severity"), ("A", "severity"), due_to="none", dated="recorded"
    ),
    Complication(50, 8, INFECTION, ("II", "extension"), ("B", "category"), dated="time"),
    Complication(54, 20, RETENTION, ("I", "observation"), ("A", "extension")),
    Complication(57, 3, HAEMATURIA, ("I", "category"), ("B", "extension")),
    Complication(60, 14, INFECTION, ("II", "severity"), ("B", "severity")),
    # What is no complication of the treatment, however grave.
    Complication(
        17, 610, "Myocardial infarction", ("IVa", "extension"), ("E", "extension"), "none",
        counts=False,
    ),
    Complication(
        26, 95, "Fall", ("IIIb", "severity"), ("D", "extension"), "medication", counts=False
    ),
    Complication(
        29, -20, "Urosepsis", ("IVa", "event"), ("D", "event"), "none", counts=False
    ),
    Complication(
        34, 33, "Fistula, suspected", ("IIIb", "severity"), ("D", "severity"), "index",
        counts=False, actuality="potential",
    ),
    Complication(
        38, 120, "Bleeding after biopsy", ("IIIb", "extension"), ("D", "severity"), "biopsy",
        counts=False,
    ),
    Complication(
        43, -3, PAIN, ("IIIb", "severity"), ("D", "severity"), "index", counts=False
    ),
    Complication(
        45, 363, STRICTURE, ("IIIb", "event"), ("D", "severity"), "none", counts=False
    ),
    Complication(
        27, 30, "Hip fracture", ("IVa", "extension"), ("D", "severity"), "index, unlikely",
        counts=False,
    ),
    Complication(
        48, 402, "Bowel obstruction", ("IIIb", "severity"), ("D", "category"), "none",
        counts=False,
    ),
    Complication(
        51, 10, "", ("V", "part in error"), ("F", "part in error"), counts=False
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Instrument:
    """A questionnaire: its items with their allowed numbers, and what men usually score.

    ``changes``: change from baseline at twelve months, in raw points, and of how many men; it is
    what the published tests are about.
    """

    key: str
    items: tuple[tuple[str, tuple[int, ...]], ...]
    usual: tuple[int, int]
    changes: dict[int, int]
    later: tuple[int, int]
    has_total: bool = True

    @property
    def lowest(self) -> int:
        """The lowest sum of the items."""
        return sum(allowed[0] for _, allowed in self.items)

    @property
    def highest(self) -> int:
        """The highest sum of the items."""
        return sum(allowed[-1] for _, allowed in self.items)


def span(low: int, high: int) -> tuple[int, ...]:
    """All whole numbers from low to high."""
    return tuple(range(low, high + 1))


INSTRUMENTS = (
    Instrument(
        "iciq-ui-sf",
        (("amount", (0, 2, 4, 6)), ("frequency", span(0, 5)), ("interference", span(0, 10))),
        (0, 7),
        {-2: 1, -1: 3, 0: 12, 1: 4, 2: 6, 3: 7, 4: 5, 5: 4, 6: 3, 8: 2},
        (-4, 1),
    ),
    Instrument(
        "iief-5",
        (("q1", span(1, 5)), *((f"q{number}", span(0, 5)) for number in range(2, 6))),
        (6, 19),
        {-8: 1, -6: 2, -5: 3, -4: 3, -3: 5, -2: 6, -1: 5, 0: 9, 1: 3, 2: 3, 3: 2},
        (-6, -2),
    ),
    Instrument(
        "qlq-c30-ql2",
        (("q29", span(1, 7)), ("q30", span(1, 7))),
        (8, 13),
        {-3: 3, -2: 6, -1: 8, 0: 14, 1: 8, 2: 6, 3: 2},
        (-2, 1),
        has_total=False,
    ),
    Instrument(
        "ipss",
        tuple((f"q{number}", span(0, 5)) for number in range(1, 8)),
        (4, 17),
        {-4: 3, -2: 6, 0: 8, 1: 7, 2: 6, 3: 4, 5: 4},
        (-2, 3),
    ),
)
#: Too late or dead: no twelve-month questionnaire.
NO_TWELVE_MONTHS = (3, 60)

# --------------------------------------------------------------------------------------------
# Chance, dates, JSON
# --------------------------------------------------------------------------------------------


class Chance:
    """Reproducible everywhere: built on ``Random.random`` of a text seed alone."""

    def __init__(self, seed: object) -> None:
        self._random = random.Random(f"bomers-2020/{seed}").random

    def whole(self, low: int, high: int) -> int:
        """A whole number, both ends included."""
        return low + int(self._random() * (high - low + 1))

    def one_of(self, things: Sequence[T]) -> T:
        """One of some things."""
        return things[self.whole(0, len(things) - 1)]

    def happens(self, percent: int) -> bool:
        """True that often in a hundred times."""
        return self.whole(1, 100) <= percent

    def shuffled(self, things: Iterable[T]) -> list[T]:
        """The things in another order."""
        order = list(things)
        for last in range(len(order) - 1, 0, -1):
            other = self.whole(0, last)
            order[last], order[other] = order[other], order[last]
        return order


def add_months(day: date, months: int) -> date:
    """Calendar months later, clamped to the month's end."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))


def after(day: date, days: int) -> date:
    """Days later."""
    return day + timedelta(days=days)


def offset(day: date) -> str:
    """The offset of Dutch time on a day (by noon)."""

    def last_sunday(month: int) -> date:
        last = date(day.year, month, 31)
        return after(last, -((last.weekday() + 1) % 7))

    return "+02:00" if last_sunday(3) <= day < last_sunday(10) else "+01:00"


def local(day: date, clock: str) -> str:
    """A dateTime in Dutch time."""
    return f"{day}T{clock}{offset(day)}"


def number(text: str) -> str:
    """A number as it is to be written in the JSON, digit for digit."""
    return f"@{text}@"


def ng_per_ml(hundredths: int, *, short: bool = False) -> str:
    """Hundredths as a decimal text; ``short``: without trailing zeros."""
    text = f"{hundredths // 100}.{hundredths % 100:02}"
    return text.rstrip("0").rstrip(".") if short else text


def to_json(resource: Json) -> str:
    """One line of JSON."""
    text = json.dumps(resource, ensure_ascii=False, separators=(",", ":"))
    return re.sub(r'"@(-?[0-9.]+)@"', r"\1", text)


def concept(system: str, code: str, display: str = "") -> Json:
    """A CodeableConcept of one coding."""
    return {"coding": [coding(system, code, display)]}


def coding(system: str, code: str, display: str = "") -> Json:
    """A Coding."""
    made = {"system": system, "code": code}
    return made | {"display": display} if display else made


# --------------------------------------------------------------------------------------------
# The cohort as it grows
# --------------------------------------------------------------------------------------------

_PREFIX = {
    "Observation": "lab-",
    "Procedure": "ok-",
    "AdverseEvent": "cmp-",
    "Condition": "prb-",
    "QuestionnaireResponse": "prom-",
    "MedicationRequest": "rx-",
    "MedicationStatement": "med-",
    "MedicationAdministration": "adm-",
}


@dataclass
class Result:
    """A planned PSA result: hundredths of ng/mL; ``sign``: "<", ">" or none."""

    months: int
    day: date
    value: int
    sign: str = ""


@dataclass
class Man:
    """A patient of the hospital; ``number`` is his row in the tables, 0 for others."""

    number: int
    id: str
    d0: date
    chance: Chance
    role: Role = PLAIN
    index: str = ""
    session: str = ""
    billing: str = ""
    old_id: str = ""
    course: list[Result] = field(default_factory=list)
    grades: dict[str, list[str]] = field(default_factory=dict)
    events: int = 0
    truth: dict[str, str] = field(default_factory=dict)
    named: int = 0
    before: tuple[date, int] = (date.min, 0)

    @property
    def bundled(self) -> bool:
        """Whether his record came as a Bundle from elsewhere."""
        return self.number in BUNDLED

    @property
    def died(self) -> date | None:
        """The day of his death, if it is known."""
        days = DEATHS.get(self.number)
        return after(self.d0, days) if days else None

    @property
    def salvage(self) -> date | None:
        """The day of the first salvage therapy, which ends the PSA series."""
        days = [add_months(self.d0, REPEATS[self.number])] if self.number in REPEATS else []
        days += [row.day(self.d0) for row in THERAPIES if row.man == self.number and row.salvage]
        return min(days, default=None)

    def exists(self, day: date) -> bool:
        """Whether what is measured on a day counts: by the cut-off, and in his lifetime."""
        return day <= AS_OF and (self.died is None or day <= self.died)

    def new_id(self, kind: str) -> str:
        """An id for another of his resources."""
        self.named += 1
        digest = hashlib.sha256(f"{self.id}/{kind}/{self.named}".encode()).hexdigest()
        return f"{_PREFIX.get(kind, '')}{int(digest[:12], 16) % 10**9:09}"

    def refer(self, kind: str, identifier: str) -> Json:
        """A reference in one of the ways that a hospital's systems write them."""
        if self.bundled:
            return {"reference": full_url(kind, identifier)}
        name = f"{kind}/{identifier}"
        forms = [name] * 12 + [f"{HOSPITAL}/{name}", f"{name}/_history/2"]
        return {"reference": self.chance.one_of(forms)}

    def subject(self) -> Json:
        """A reference to him."""
        return self.refer("Patient", self.id)


def full_url(kind: str, identifier: str) -> str:
    """What a Bundle calls a resource."""
    return f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, f'{HOSPITAL}/{kind}/{identifier}')}"


@dataclass
class Cohort:
    """The resources by file, and the men."""

    files: dict[str, list[Json]] = field(default_factory=dict)
    men: list[Man] = field(default_factory=list)

    def add(self, man: Man, resource: Json, *, later: bool = False) -> None:
        """File a resource; ``later``: it came with an update of the export."""
        kind = resource["resourceType"]
        if man.bundled:
            name = "transfer-2017.json"
        elif kind != "Observation":
            name = f"{kind}.ndjson"
        elif later:
            name = "Observation.002.ndjson"
        else:
            early = self._when(resource) < "2014-07"
            name = "Observation.000.ndjson" if early else "Observation.001.ndjson.gz"
        self.files.setdefault(name, []).append(resource)

    @staticmethod
    def _when(observation: Json) -> str:
        period = observation.get("effectivePeriod", {})
        for key in ("effectiveDateTime", "effectiveInstant"):
            if key in observation:
                return str(observation[key])
        return str(period.get("start", "2015"))


def meta(man: Man, day: date, version: int = 1) -> Json:
    """Version and time of a resource, as servers give them."""
    clock = f"{man.chance.whole(7, 18):02}:{man.chance.whole(0, 59):02}:11.000"
    return {"versionId": str(version), "lastUpdated": local(day, clock)}


def start(man: Man, kind: str, day: date) -> Json:
    """The beginning of a resource."""
    resource: Json = {"resourceType": kind, "id": man.new_id(kind)}
    if man.chance.happens(60):
        resource["meta"] = meta(man, after(day, 1))
    return resource


# --------------------------------------------------------------------------------------------
# Laboratory
# --------------------------------------------------------------------------------------------

_LAB = [concept(f"{TERMS}/observation-category", "laboratory")]
#: unit as written, UCUM code, and the number for hundredths of ng/mL.
_UNITS: dict[str, tuple[str, str]] = {
    "ng/mL": ("ng/mL", "ng/mL"),
    "ug/L": ("ug/L", "ug/L"),
    "µg/L": ("µg/L", "ug/L"),
    "μg/l": ("μg/l", ""),
    "ng/ml": ("ng/ml", ""),
    "ng/dL": ("ng/dL", "ng/dL"),
    "pg/mL": ("pg/mL", "pg/mL"),
    "ng/L": ("ng/L", "ng/L"),
}
_USUAL_UNITS = ("ng/mL", "ng/mL", "ug/L", "µg/L", "μg/l", "ng/ml")
_PSA_CODES = ("2857-1", "2857-1", "2857-1", "35741-8", "83112-3")


def effective(man: Man, day: date) -> Json:
    """When a sample was taken, in one of the ways it is recorded."""
    clock = f"{man.chance.whole(7, 16):02}:{man.chance.whole(0, 59):02}:00"
    way = man.chance.whole(1, 20)
    if way <= 7:
        return {"effectiveDateTime": str(day)}
    if way <= 14:
        return {"effectiveDateTime": local(day, clock)}
    if way <= 17:
        return {"effectiveDateTime": f"{day}T{clock}Z"}
    if way == 18:
        return {"effectiveInstant": local(day, clock)}
    return {"effectivePeriod": {"start": local(day, clock), "end": local(day, "17:00:00")}}


def quantity(hundredths: int, unit: str, sign: str = "") -> Json:
    """A PSA as a Quantity."""
    text, code = _UNITS[unit]
    if unit == "ng/dL":
        value = str(hundredths)
    elif unit in ("pg/mL", "ng/L"):
        value = str(hundredths * 10)
    else:
        value = ng_per_ml(hundredths, short=hundredths % 10 == 0 and hundredths > 100)
    made: Json = {"value": number(value)}
    if sign:
        made["comparator"] = sign
    made["unit"] = text
    return made | {"system": UCUM, "code": code} if code else made


def as_text(hundredths: int, sign: str = "", unit: str = " ng/mL") -> str:
    """A PSA as laboratories write it in words, with a comma."""
    return f"{sign}{ng_per_ml(hundredths, short=True).replace('.', ',')}{unit}"


def psa(man: Man, day: date, value: Json, status: str = "final", when: Json | None = None) -> Json:
    """A PSA Observation; ``value``: its value element."""
    resource = start(man, "Observation", day)
    codings = [coding(LOINC, man.chance.one_of(_PSA_CODES))]
    if man.chance.happens(30):
        codings.insert(0, coding(f"{HOSPITAL}/CodeSystem/lab", "PSA", "PSA totaal"))
    resource |= {
        "status": status,
        "category": _LAB,
        "code": {"coding": codings, "text": "PSA"},
        "subject": man.subject(),
        **(when or effective(man, day)),
    }
    if man.chance.happens(40):
        resource["issued"] = local(day, "18:20:00")
    resource |= value
    if man.chance.happens(25):
        high = {"value": number("4.0"), "unit": "ng/mL", "system": UCUM, "code": "ng/mL"}
        resource["referenceRange"] = [{"high": high}]
    return resource


def value_of(man: Man, result: Result, hundredths: int | None = None) -> Json:
    """A planned result's value element, in the form in which it was sent."""
    form = FORMS.get((man.number, result.months), "")
    value = result.value if hundredths is None else hundredths
    sign = result.sign if hundredths is None else ""
    if form == "text" or (sign == "<" and man.chance.happens(40)):
        return {"valueString": as_text(value, sign)}
    if form == "greater":
        return {"valueQuantity": quantity(value, "ug/L", ">")}
    unit = form or _USUAL_UNITS[man.number % len(_USUAL_UNITS)]
    return {"valueQuantity": quantity(value, unit, sign)}


def plan_course(man: Man) -> None:
    """Decide his PSA results after treatment."""
    chance, role = man.chance, man.role
    undetectable = role.nadir is None and role.fails_at is None and chance.happens(35)
    nadir = 10 if undetectable else role.nadir or chance.whole(12, 95)
    nadir_at = role.nadir_at or chance.one_of((3, 6))
    visits = list(role.visits or (3, 6, 9, 12, *range(18, 61, 6)))
    last = min(EXPORTED, man.died or EXPORTED)
    days = {months: visit_day(man, months) for months in visits}
    visits = [months for months in visits if days[months] <= last]
    if role.fails_at:
        visits = [months for months in visits if months <= role.fails_at + 12]
    value = nadir
    for months in visits:
        value = next_value(man, months, nadir, nadir_at, value)
        sign = "<" if undetectable and value <= 10 else ""
        if months == nadir_at and role.nadir_sign:
            sign = role.nadir_sign
        if FORMS.get((man.number, months)) == "greater":
            sign, value = ">", 5000
        man.course.append(Result(months, days[months], value, sign))
    note_psa_truth(man, nadir)


def visit_day(man: Man, months: int) -> date:
    """The day of a visit, some days off the appointed one."""
    early, late = (-9, 12) if months != 12 else (-14, 20)
    if man.number == 11 and months == 12:
        early = late = 0
    elif months == man.role.fails_at == 12 or months == 8:
        early, late = -14, -2
    return after(add_months(man.d0, months), man.chance.whole(early, late))


def next_value(man: Man, months: int, nadir: int, nadir_at: int, before: int) -> int:
    """The value of a visit, given the one before it."""
    chance, fails_at = man.chance, man.role.fails_at
    if (man.number, months) in UNCERTAIN:
        return UNCERTAIN[man.number, months]
    if months < nadir_at:
        return nadir + chance.whole(5, 60)
    if months == nadir_at:
        return nadir
    if fails_at is None:
        if man.number == 19 and months >= HORMONES_AT:
            return 4
        if man.number == 36 and months == 9:
            return nadir + 199
        drift = nadir if before == nadir + 199 else before
        return min(drift + chance.whole(0, 9), nadir + 150)
    if months < fails_at:
        return nadir + 120 * (months - nadir_at) // (fails_at - nadir_at) + chance.whole(0, 30)
    if months == fails_at:
        return nadir + (man.role.rise or chance.whole(205, 420))
    if man.number == 16:
        return 31
    return before + chance.whole(40, 260)


def note_psa_truth(man: Man, nadir: int) -> None:
    """What is intended: the nadir, and whether and when the PSA fails."""
    failure = next((one for one in man.course if one.months == man.role.fails_at), None)
    counting = [one for one in man.course if man.exists(one.day)]
    until = min(failure.day if failure else AS_OF, man.salvage or AS_OF)
    lowest = min(one.value for one in counting if one.day <= until)
    if lowest != nadir or (failure is not None and not man.exists(failure.day)):
        raise ValueError(f"man {man.number}: the course is not the one meant")
    man.truth["psa_nadir"] = man.role.nadir_sign + ng_per_ml(nadir, short=True)
    man.truth["biochemical_failure"] = man.role.failure or ("Y" if failure else "N")
    man.truth["biochemical_failure_date"] = str(failure.day) if failure else ""


def write_psa(cohort: Cohort, man: Man) -> None:
    """All his PSA: before treatment, after it, and what must not be used."""
    chance = man.chance
    before = chance.whole(22, 149) * 10
    if man.number == 58:
        before = 450
    day = man.d0 if man.number % 7 == 0 else after(man.d0, -chance.whole(5, 120))
    man.before = (day, before)
    sent: Json = {"valueQuantity": quantity(before, _USUAL_UNITS[man.number % 6])}
    cohort.add(man, psa(man, day, sent))
    if chance.happens(50):
        older = {"valueQuantity": quantity(before - chance.whole(5, 15) * 10, "ng/mL")}
        cohort.add(man, psa(man, after(man.d0, -chance.whole(200, 420)), older))
    for result in man.course:
        write_result(cohort, man, result)
    for number_, months, days, status, value in STRAYS:
        if number_ == man.number:
            sent = {} if value is None else {"valueQuantity": quantity(value, "ng/mL")}
            day = after(add_months(man.d0, months), days)
            cohort.add(man, psa(man, day, sent, status))
    for number_, months, days, form, limit in COARSE:
        if number_ == man.number:
            sent = {"valueQuantity": quantity(limit, "ug/L", "<")}
            if form == "text":
                sent = {"valueString": as_text(limit, "< ", " µg/L")}
            cohort.add(man, psa(man, after(add_months(man.d0, months), days), sent))
    for number_, months, what in ODD:
        if number_ == man.number:
            write_odd(cohort, man, after(add_months(man.d0, months), 2), what)
    if man.number == 31 and man.died:
        late = {"valueQuantity": quantity(990, "ng/mL")}
        cohort.add(man, psa(man, after(man.died, 2), late))


def write_result(cohort: Cohort, man: Man, result: Result) -> None:
    """One planned result, with what the laboratory had reported before it."""
    sent = value_of(man, result)
    key = (man.number, result.months)
    if key in CORRECTED:
        when = {"effectiveDateTime": local(result.day, "08:45:00")}
        wrong = value_of(man, result, CORRECTED[key])
        cohort.add(man, psa(man, result.day, wrong, "final", when))
        cohort.add(man, psa(man, result.day, sent, "corrected", when))
        return
    status = man.chance.one_of(("final",) * 16 + ("amended", "corrected"))
    made = psa(man, result.day, sent, status)
    if key not in VERSIONED:
        cohort.add(man, made)
        return
    element = next(name for name in made if name.startswith("value"))
    wrong = value_of(man, Result(result.months, result.day, VERSIONED[key]))
    first = {name: element_ for name, element_ in made.items() if name != element} | wrong
    cohort.add(man, first | {"meta": meta(man, after(result.day, 1)), "status": "final"})
    second = {"meta": meta(man, after(result.day, 6), 2), "status": "corrected"}
    cohort.add(man, made | second, later=True)


def write_odd(cohort: Cohort, man: Man, day: date, what: str) -> None:
    """A result that cannot be used; its value would change an endpoint."""
    high = quantity(1234, "ng/mL")
    made = psa(man, day, {"valueQuantity": high})
    if what == "no-unit":
        made["valueQuantity"] = {"value": number("8.7")}
    elif what == "unknown-unit":
        made["valueQuantity"] = {"value": number("0.01"), "unit": "E/l", "code": "E/l"}
        made["valueQuantity"]["system"] = UCUM
    elif what == "absent":
        del made["valueQuantity"]
        made["dataAbsentReason"] = concept(f"{TERMS}/data-absent-reason", "error")
    elif what == "comment":
        del made["valueQuantity"]
        made["valueString"] = man.chance.one_of(("niet bepaald", "zie opmerking", "hemolytisch"))
    elif what == "arbitrary":
        made["code"] = concept(LOINC, "19195-7")
        made["valueQuantity"] = {"value": number("11.4"), "unit": "[iU]/mL", "code": "[iU]/mL"}
        made["valueQuantity"]["system"] = UCUM
    elif what == "urine":
        made["code"] = concept(LOINC, "34611-4")
    elif what == "free-of-total":
        made["code"] = {"coding": [coding(LOINC, "2857-1"), coding(LOINC, "10886-0")]}
    elif what == "test":
        made["meta"] = {"security": [TEST_LABEL]}
    elif what == "no-subject":
        made["subject"] = {"identifier": {"system": f"{HOSPITAL}/mrn", "value": man.id}}
    elif what == "month-only":
        for name in ("effectiveInstant", "effectivePeriod"):
            made.pop(name, None)
        made["effectiveDateTime"] = f"{day:%Y-%m}"
    cohort.add(man, made)


def write_other_labs(cohort: Cohort, man: Man, days: Iterable[date]) -> None:
    """What else a laboratory measures."""
    chance = man.chance
    for day in days:
        for code, low, high, unit in (
            ("718-7", 118, 168, "g/L"),
            ("2160-0", 62, 128, "umol/L"),
            ("10886-0", 5, 60, "ng/mL"),
            ("12841-3", 6, 31, "%"),
            ("2986-8", 60, 190, "ng/dL"),
        ):
            if not chance.happens(22):
                continue
            value = chance.whole(low, high)
            text = ng_per_ml(value) if code == "10886-0" else str(value)
            resource = start(man, "Observation", day) | {
                "status": "final",
                "category": _LAB,
                "code": concept(LOINC, code),
                "subject": man.subject(),
                **effective(man, day),
                "valueQuantity": {
                    "value": number(text), "unit": unit, "system": UCUM, "code": unit
                },
            }  # fmt: skip
            cohort.add(man, resource)


# --------------------------------------------------------------------------------------------
# Patient, procedures, conditions
# --------------------------------------------------------------------------------------------


def write_patient(cohort: Cohort, man: Man) -> None:
    """His Patient resource; of a merged one also the old record."""
    if man.number == NO_PATIENT:
        return
    resource: Json = {"resourceType": "Patient", "id": man.id}
    resource["meta"] = meta(man, after(EXPORTED, -man.chance.whole(1, 90)))
    resource["identifier"] = [{"system": f"{HOSPITAL}/mrn", "value": man.id}]
    resource["gender"] = "male"
    resource["birthDate"] = birth_date(man, man.d0.year - man.chance.whole(58, 79))
    if man.number in VAGUE_DEATHS:
        died = add_months(man.d0, VAGUE_DEATHS[man.number])
        resource["deceasedDateTime"] = f"{died:%Y-%m}"
    elif man.died:
        precise = man.number == 3
        resource["deceasedDateTime"] = local(man.died, "04:10:00") if precise else str(man.died)
    elif man.number == UNDATED_DEATH:
        resource["deceasedBoolean"] = True
    elif man.chance.happens(30):
        resource["deceasedBoolean"] = False
    cohort.add(man, resource)
    if man.number == MERGED:
        man.old_id = str(int(man.id) + 7)
        link = {"other": {"reference": f"Patient/{man.id}"}, "type": "replaced-by"}
        old = {"resourceType": "Patient", "id": man.old_id, "active": False, "link": [link]}
        cohort.add(man, old)


def birth_date(man: Man, year: int) -> str:
    """A birth date; of some men only the year is known."""
    chance = Chance(f"born {man.id}")
    if chance.happens(10):
        return str(year)
    return str(after(date(year, 1, 1), chance.whole(0, 364)))


def procedure(man: Man, day: date, code: Json, status: str = "completed") -> Json:
    """A Procedure, dated in one of the usual ways."""
    resource = start(man, "Procedure", day) | {
        "status": status, "code": code, "subject": man.subject()
    }  # fmt: skip
    way = man.chance.whole(1, 3)
    if way == 1:
        resource["performedDateTime"] = str(day)
    elif way == 2:
        resource["performedDateTime"] = local(day, "09:15:00")
    else:
        period = {"start": local(day, "08:40:00"), "end": local(day, "11:55:00")}
        resource["performedPeriod"] = period
    return resource


def cryoablation(man: Man, day: date, status: str = "completed", *, billed: bool = False) -> Json:
    """A cryoablation of the prostate, as billing or as the theatre records it."""
    if billed:
        return procedure(man, day, concept(CPT, "55873"), status)
    made = procedure(man, day, concept(SNOMED, "26782000", "Cryotherapy"), status)
    return made | {"bodySite": [concept(SNOMED, "41216001", "Prostatic structure")]}


def write_procedures(cohort: Cohort, man: Man) -> None:
    """The index treatment and other procedures."""
    chance = man.chance
    broken_off = man.number == 44
    made = cryoablation(
        man, man.d0, "stopped" if broken_off else "completed", billed=man.number % 3 == 0
    )
    if chance.happens(60) and not broken_off:
        made["outcome"] = concept(SNOMED, "385669000", "Successful")
    man.index = made["id"]
    if man.number == 12:
        man.session = f"ok-session-{man.id}"
        made["partOf"] = [{"reference": f"Procedure/{man.session}"}]
    cohort.add(man, made)
    if man.number % 6 == 0 or broken_off:
        # Theatre and billing each keep their own; a treatment broken off was finished next day.
        second = cryoablation(man, after(man.d0, 1), billed=not broken_off)
        man.billing = second["id"]
        cohort.add(man, second)
    if man.number in REPEATS:
        cohort.add(man, cryoablation(man, add_months(man.d0, REPEATS[man.number])))
    if man.number in (15, 41, 52):
        cancelled = cryoablation(man, after(man.d0, -140), "not-done")
        cohort.add(man, cancelled)
    if man.number == 43:
        skin = procedure(man, after(man.d0, -300), concept(SNOMED, "26782000", "Cryotherapy"))
        cohort.add(man, skin | {"bodySite": [concept(SNOMED, "39937001", "Skin structure")]})
    write_diagnostics(cohort, man)
    man.truth["technical_success"] = "Y"


def write_diagnostics(cohort: Cohort, man: Man) -> None:
    """Biopsy and imaging before treatment, some after."""
    biopsy = concept(SNOMED, "65575008", "Biopsy of prostate")
    scan = concept(SNOMED, "113091000", "Magnetic resonance imaging")
    cohort.add(man, procedure(man, after(man.d0, -man.chance.whole(20, 120)), biopsy))
    if man.chance.happens(70):
        cohort.add(man, procedure(man, after(man.d0, -man.chance.whole(20, 120)), scan))
    if man.chance.happens(50):
        cohort.add(man, procedure(man, add_months(man.d0, 6), scan))


def condition(man: Man, recorded: date | None, code: Json, verification: str = "") -> Json:
    """A Condition."""
    resource = start(man, "Condition", recorded or man.d0)
    resource["clinicalStatus"] = concept(f"{TERMS}/condition-clinical", "active")
    if verification:
        status = concept(f"{TERMS}/condition-ver-status", verification)
        resource["verificationStatus"] = status
    resource |= {"code": code, "subject": man.subject()}
    if recorded:
        resource["recordedDate"] = str(recorded)
    return resource


CODES = {
    "local": {
        "coding": [coding(ICD_10, "C61"), coding(f"{BASE}/CodeSystem/concept", "local-recurrence")]
    },
    "bone": concept(ICD_10, "C79.5"),
    "bone-cm": concept(ICD_10_CM, "C79.51"),
    "bone-snomed": concept(SNOMED, "94222008", "Secondary malignant neoplasm of bone"),
    "liver": concept(ICD_10, "C78.7"),
    "nodes": concept(ICD_10_CM, "C77.2"),
    "pelvic": concept(ICD_10, "C77.5"),
    "unnamed-nodes": concept(ICD_10, "C77.9"),
    "spread": concept(SNOMED, "314994000"),
}


def write_conditions(cohort: Cohort, man: Man) -> None:
    """The cancer, the recurrence that was treated, what came after, and other illnesses."""
    chance = man.chance
    years = chance.whole(3, 11)
    cancer = condition(
        man,
        after(add_months(man.d0, -12 * years), 20),
        concept(SNOMED, "399068003", "Malignant tumor of prostate"),
        "confirmed",
    )
    cohort.add(man, cancer | {"onsetDateTime": str(man.d0.year - years)})
    write_indication(cohort, man)
    for code, display in (("38341003", "Hypertension"), ("44054006", "Diabetes mellitus type 2")):
        if chance.happens(25):
            known = add_months(man.d0, -chance.whole(10, 90))
            cohort.add(man, condition(man, known, concept(SNOMED, code, display), "confirmed"))
    write_diseases(cohort, man)


def write_indication(cohort: Cohort, man: Man) -> None:
    """The recurrence for which he was treated: no event, however it is dated."""
    if man.number == 32:
        cohort.add(man, condition(man, after(man.d0, 12), CODES["local"], "confirmed"))
        return
    known = after(man.d0, -man.chance.whole(30, 170))
    made = condition(man, known, CODES["local"], "confirmed" if man.chance.happens(80) else "")
    if man.number == 33:
        made["onsetDateTime"] = str(known.year)
    elif man.chance.happens(60):
        made["onsetDateTime"] = str(after(known, -man.chance.whole(0, 30)))
    cohort.add(man, made)


def write_diseases(cohort: Cohort, man: Man) -> None:
    """Metastases and recurrences, and what is intended of them."""
    for kind in ("metastasis", "local_recurrence"):
        man.truth |= {kind: "N", f"{kind}_date": ""}
    man.truth["metastasis_within_6_months"] = "Y" if METASTASIS in man.role.story else "N"
    for row in DISEASES:
        if row.man == man.number:
            cohort.add(man, disease(man, row))


def disease(man: Man, row: Disease) -> Json:
    """A metastasis or recurrence, dated as the table says."""
    day = after(add_months(man.d0, row.months), row.days)
    verification = row.dated if row.dated in VERIFICATIONS else "confirmed"
    made = condition(man, after(day, 9), CODES[row.code], verification)
    first = last = day
    match row.dated:
        case "zoned":
            made["onsetDateTime"] = local(day, "13:30:00")
        case "period":
            made["onsetPeriod"] = {"start": str(day)}
        case "recorded":
            made["recordedDate"] = str(day)
        case "month":
            first = day.replace(day=1)
            last = after(add_months(first, 1), -1)
            made |= {"onsetDateTime": f"{day:%Y-%m}", "recordedDate": str(after(last, 16))}
        case "year":
            first, last = date(day.year, 1, 1), date(day.year, 12, 31)
            made |= {"onsetDateTime": str(day.year), "recordedDate": str(after(last, 20))}
        case _:
            made["onsetDateTime"] = str(day)
    if last <= man.d0:
        man.truth[row.kind] = "metastatic-at-baseline"
    elif (man.number, row.kind) in UNKNOWN:
        man.truth[row.kind] = UNKNOWN[man.number, row.kind]
    elif row.kind == "nodal_recurrence":
        pass
    elif verification == "confirmed":
        interval = str(first) if first == last else f"{first}/{last}"
        man.truth |= {row.kind: "Y", f"{row.kind}_date": interval}
    return made


def write_disease_status(cohort: Cohort, man: Man) -> None:
    """Statements of how the cancer does."""
    for number_, months, days, value, status in DISEASE_STATUS:
        if number_ != man.number:
            continue
        day = after(add_months(man.d0, months), days)
        resource = start(man, "Observation", day) | {
            "status": status,
            "code": concept(LOINC, "97509-4"),
            "subject": man.subject(),
            **effective(man, day),
            "valueCodeableConcept": concept(SNOMED, value),
        }
        cohort.add(man, resource)


# --------------------------------------------------------------------------------------------
# Complications
# --------------------------------------------------------------------------------------------

_CLAVIEN = ("I", "II", "IIIa", "III", "IIIb", "IVa", "IV", "IVb", "V")
_CLAVIEN_SNOMED = {
    "I": "1367519000", "II": "1367520006", "III": "1367521005", "IIIa": "1367522003",
    "IIIb": "1367523008", "IV": "1367524002", "IVa": "1367525001", "IVb": "1367526000",
    "V": "1367527009",
}  # fmt: skip
_ORDER = {"clavien-dindo": _CLAVIEN, "sir-2003": tuple("ABCDEF"), "ctcae-grade": tuple("12345")}
_DISPLAY = {
    RETENTION: "Retention of urine",
    INFECTION: "Urinary tract infection",
    HAEMATURIA: "Blood in urine",
    FISTULA: "Urethral fistula",
    STRICTURE: "Urethral stricture",
}


def graded(man: Man, scale: str, grade: str) -> Json:
    """The coding of a grade: SNOMED CT's or our own."""
    if scale == "clavien-dindo" and man.chance.happens(50):
        return coding(SNOMED, _CLAVIEN_SNOMED[grade])
    return coding(f"{BASE}/CodeSystem/{scale}", grade)


def placed(row: Complication) -> list[tuple[str, str, str]]:
    """The grades of a row: scale, grade, place."""
    rows = zip(_ORDER, (row.clavien, row.sir, row.ctcae), strict=True)
    return [(scale, grade, place) for scale, (grade, place) in rows if grade]


def write_complications(cohort: Cohort, man: Man) -> None:
    """Adverse events and gradings, and what they are meant to come to."""
    for row in (row for row in COMPLICATIONS if row.man == man.number):
        if row.what:
            write_event(cohort, man, row)
        else:
            write_grading(cohort, man, row)
        if row.counts:
            for scale, grade, _ in placed(row):
                man.grades.setdefault(scale, []).append(grade)
            man.events += bool(row.what)
    note_complication_truth(man)


def write_event(cohort: Cohort, man: Man, row: Complication) -> None:
    """An AdverseEvent with its grades."""
    day = after(man.d0, row.days)
    resource = start(man, "AdverseEvent", day)
    resource |= {"actuality": row.actuality, "subject": man.subject()}
    known = _DISPLAY.get(row.what)
    event = concept(SNOMED, row.what, known) if known else {"text": row.what, "coding": []}
    elements: dict[str, Json] = {"event": event}
    for scale, grade, place in placed(row):
        made = graded(man, scale, grade)
        if place == "extension":
            value = {"valueCodeableConcept": {"coding": [made]}}
            resource.setdefault("extension", []).append({"url": AE_GRADE, **value})
        elif place in ("severity", "event", "seriousness", "category"):
            elements.setdefault(place, first_coding(place, row))["coding"].append(made)
        elif place in ("observation", "focus"):
            write_grading(cohort, man, row, resource["id"])
    if not event["coding"]:
        del event["coding"]
    category = elements.pop("category", None)
    if category:
        resource["category"] = [category]
    resource |= elements
    clock = local(day, "21:05:00")
    if row.dated == "recorded":
        resource["recordedDate"] = str(after(day, 6))
    else:
        dated = {"date": str(day), "detected": str(day), "time": clock}
        resource["detected" if row.dated == "detected" else "date"] = dated[row.dated]
    cause = suspect(man, row)
    if cause:
        resource["suspectEntity"] = [cause]
    cohort.add(man, resource)


def first_coding(place: str, row: Complication) -> Json:
    """What a place holds beside a grade."""
    rank = _CLAVIEN.index(row.clavien[0])
    if place == "severity":
        severity = "mild" if rank == 0 else "moderate" if rank < 4 else "severe"
        return concept(f"{TERMS}/adverse-event-severity", severity)
    if place == "seriousness":
        serious = "non-serious" if rank < 4 else "serious"
        return concept(f"{TERMS}/adverse-event-seriousness", serious)
    return {"coding": []}


def suspect(man: Man, row: Complication) -> Json | None:
    """What the record holds to be the cause, as a suspect entity."""
    cause, _, assessed = row.due_to.partition(", ")
    match cause:
        case "index":
            instance = man.refer("Procedure", man.index)
        case "billing":
            instance = man.refer("Procedure", man.billing)
        case "medication":
            instance = {"reference": "Medication/med-000412"}
        case "biopsy":
            instance = man.refer("Procedure", "ok-118000277")
        case _:
            return None
    entity: Json = {"instance": instance}
    if assessed:
        assessment = concept(f"{TERMS}/adverse-event-causality-assess", assessed)
        entity["causality"] = [{"assessment": assessment}]
    return entity


def write_grading(cohort: Cohort, man: Man, row: Complication, event: str = "") -> None:
    """An Observation that grades: an adverse event, the treatment, its session, or none."""
    day = after(man.d0, max(row.days, 1))
    place = row.clavien[1]
    status = "entered-in-error" if place.endswith("in error") else "final"
    codings = [graded(man, scale, grade) for scale, grade, at in placed(row) if at == place]
    resource = start(man, "Observation", day) | {
        "status": status,
        "code": concept(SNOMED, "789279006"),
        "subject": man.subject(),
        "effectiveDateTime": str(day),
        "valueCodeableConcept": {"coding": codings},
    }
    if event:
        resource["focus"] = [man.refer("AdverseEvent", event)]
    if place == "observation" or place.startswith("part"):
        resource["partOf"] = [man.refer("Procedure", man.index)]
    if place == "session":
        resource["partOf"] = [man.refer("Procedure", man.session)]
    cohort.add(man, resource)


def note_complication_truth(man: Man) -> None:
    """What is intended: worst grades, major or not, how many adverse events."""
    anything = bool(man.grades)
    for scale, order in _ORDER.items():
        grades = man.grades.get(scale, [])
        worst = max(grades, key=order.index) if grades else "ungraded" if anything else "none"
        man.truth[f"worst_{scale}"] = worst
    for key, scale, limit in (("clavien", "clavien-dindo", "IIIb"), ("sir", "sir-2003", "D")):
        order = _ORDER[scale]
        grades = man.grades.get(scale, [])
        major = any(order.index(grade) >= order.index(limit) for grade in grades)
        man.truth[f"major_{key}"] = "Y" if major else "N"
    man.truth["adverse_events"] = str(man.events)


# --------------------------------------------------------------------------------------------
# Before treatment and beside it: history, drugs, early PSA, causes of death
# --------------------------------------------------------------------------------------------


def write_more(cohort: Cohort, man: Man) -> None:
    """History, drugs, PSA of the first weeks, the session of the treatment, the cause of death."""
    man.chance = Chance(f"more {man.number}")
    write_history(cohort, man)
    write_therapies(cohort, man)
    for number_, days, value in EARLY:
        if number_ == man.number:
            sent = {"valueQuantity": quantity(value, "ug/L")}
            cohort.add(man, psa(man, after(man.d0, days), sent))
    if man.session:
        done = procedure(man, man.d0, concept(SNOMED, "387713003", "Surgical procedure"))
        cohort.add(man, done | {"id": man.session})
    if man.number == 8:
        colon = condition(man, add_months(man.d0, -50), concept(ICD_10, "C18.7"), "confirmed")
        cohort.add(man, colon | {"onsetDateTime": str(man.d0.year - 5)})
    if man.number in CAUSES and man.died:
        code = concept(LOINC, "69453-9", "Cause of death")
        cause = {"valueCodeableConcept": concept(ICD_10, CAUSES[man.number])}
        cohort.add(man, finding(man, after(man.died, 1), code, cause))


def write_therapies(cohort: Cohort, man: Man) -> None:
    """Drugs against the cancer, as they are ordered, stated and given."""
    for row in THERAPIES:
        if row.man != man.number:
            continue
        day = str(row.day(man.d0))
        made = start(man, row.kind, row.day(man.d0)) | {
            "status": row.status,
            "medicationCodeableConcept": concept(ATC, row.code),
            "subject": man.subject(),
        }
        match row.kind:
            case "MedicationRequest":
                made |= {"intent": "order", "authoredOn": day}
            case "MedicationStatement":
                made["effectivePeriod"] = {"start": day}
                if row.status == "completed":
                    made["effectivePeriod"]["end"] = str(after(row.day(man.d0), 90))
            case _:
                made["effectiveDateTime"] = day
        cohort.add(man, made)


#: By ISUP grade group: its SNOMED CT code and the Gleason score.
_GRADE_GROUPS = {
    1: ("1279715000", 6),
    2: ("1279714001", 7),
    3: ("1279716004", 7),
    4: ("1279717008", 8),
    5: ("1279720000", 9),
}
_EXTERNAL_BEAM = concept(SNOMED, "1156506007", "External beam radiation therapy using photons")
_SEEDS = concept(SNOMED, "425767004", "Implantation of radioactive seed into prostate")


def write_history(cohort: Cohort, man: Man) -> None:
    """Radiotherapy, PSA of the year before, grade, stage and volume; not of every man."""
    chance = man.chance
    if chance.happens(85):
        write_radiotherapy(cohort, man)
    if chance.happens(60):
        write_rise(cohort, man)
    day = after(man.d0, -chance.whole(20, 100))
    group, score = _GRADE_GROUPS[chance.one_of((1, 2, 2, 3, 3, 4, 5))]
    if chance.happens(80):
        code = chance.one_of((concept(LOINC, "94734-1"), concept(SNOMED, "385377005")))
        value = {"valueCodeableConcept": concept(SNOMED, group)}
        cohort.add(man, finding(man, day, code, value))
    if chance.happens(75):
        code = concept(LOINC, "35266-6", "Gleason score in Specimen Qualitative")
        cohort.add(man, finding(man, day, code, {"valueInteger": score}))
    if chance.happens(80):
        code = concept(LOINC, "21905-5", "Primary tumor.clinical [Class] Cancer")
        category = chance.one_of(("cT1c", "cT2a", "cT2b", "cT2c", "cT3a", "cT3b"))
        value = {"valueCodeableConcept": concept("http://cancerstaging.org", category)}
        cohort.add(man, finding(man, day, code, value))
    if chance.happens(80):
        volume = {"value": chance.whole(14, 52), "unit": "mL", "system": UCUM, "code": "mL"}
        code = concept(SNOMED, "1297142007", "Volume of prostate")
        cohort.add(man, finding(man, day, code, {"valueQuantity": volume}))


def write_radiotherapy(cohort: Cohort, man: Man) -> None:
    """The radiotherapy after which the cancer recurred: external beam, or seeds."""
    chance = man.chance
    begun = after(add_months(man.d0, -12 * chance.whole(2, 10)), chance.whole(-200, 60))
    if chance.happens(30):
        seeds = procedure(man, begun, _SEEDS)
        cohort.add(man, seeds)
        return
    made = procedure(man, begun, _EXTERNAL_BEAM)
    made.pop("performedDateTime", None)
    made["performedPeriod"] = {"start": str(begun), "end": str(after(begun, 49))}
    cohort.add(man, made | {"bodySite": [concept(SNOMED, "41216001", "Prostatic structure")]})


def write_rise(cohort: Cohort, man: Man) -> None:
    """Two results before the last one before treatment, both lower: PSA was rising."""
    day, value = man.before
    for days, percent in ((-190, 48), (-95, 70)):
        sent = {"valueQuantity": quantity(value * percent // 100, "ng/mL")}
        cohort.add(man, psa(man, after(day, days), sent))


def finding(man: Man, day: date, code: Json, value: Json) -> Json:
    """An Observation that is no laboratory result."""
    made = start(man, "Observation", day)
    made |= {"status": "final", "code": code, "subject": man.subject()}
    return made | {"effectiveDateTime": str(day)} | value


# --------------------------------------------------------------------------------------------
# Questionnaires
# --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Answers:
    """What a man answered at the time points (raw points); None: nothing in that window."""

    baseline: int | None
    six: int | None
    twelve: int | None
    place: int = 0


def plan_answers(instrument: Instrument, men: list[Man]) -> dict[int, Answers]:
    """Who answers what: the changes at twelve months are dealt out as the table says."""
    chance = Chance(instrument.key)
    changes = [change for change, men_ in instrument.changes.items() for _ in range(men_)]
    order = chance.shuffled(man.number for man in men if man.number not in NO_TWELVE_MONTHS)
    plan: dict[int, Answers] = {}
    for place, (number_, change) in enumerate(zip(order, chance.shuffled(changes), strict=False)):
        then = change + chance.whole(-1, 1) if chance.happens(78) else None
        first = base(instrument, chance, (0, change, then or 0))
        six = None if then is None else first + then
        plan[number_] = Answers(first, six, first + change, place)
    for number_ in (*order[len(changes) :], *NO_TWELVE_MONTHS):
        first = base(instrument, chance, (0,))
        if chance.happens(60):
            plan[number_] = Answers(first, first if chance.happens(40) else None, None)
        elif chance.happens(50) and number_ not in NO_TWELVE_MONTHS:
            plan[number_] = Answers(None, None, first)
    return plan


def base(instrument: Instrument, chance: Chance, changes: Sequence[int]) -> int:
    """A baseline that leaves room for the changes."""
    low = max(instrument.lowest - min(changes), instrument.usual[0])
    high = min(instrument.highest - max(changes), instrument.usual[1])
    return chance.whole(low, max(low, high))


def split(instrument: Instrument, total: int, chance: Chance, *, zeros: bool) -> dict[str, int]:
    """Answers to the items that add up to a total; ``zeros``: an answer may be 0."""
    answers = {}
    rest = list(instrument.items)
    if not zeros and total >= len(rest):
        rest = [(link, tuple(value for value in allowed if value)) for link, allowed in rest]
    while rest:
        link, allowed = rest.pop(0)
        low = sum(other[0] for _, other in rest)
        high = sum(other[-1] for _, other in rest)
        fitting = [value for value in allowed if low <= total - value <= high]
        answers[link] = chance.one_of(fitting)
        total -= answers[link]
    return answers


_SHAPES = ("plain", "plain", "group", "coded", "decimal", "text", "gated", "total", "both")


def answer(value: int, shape: str) -> Json:
    """One answer, in one of the ways forms record them."""
    if shape == "decimal":
        return {"valueDecimal": number(f"{value}.0")}
    if shape == "text":
        return {"valueString": str(value)}
    if shape == "coded":
        made = coding(f"{HOSPITAL}/CodeSystem/prom-answers", f"a{value}")
        made["extension"] = [{"url": ORDINAL, "valueDecimal": value}]
        return {"valueCoding": made}
    return {"valueInteger": value}


def items(answers: dict[str, int], shape: str) -> list[Json]:
    """The items of a response, nested as the form has them."""
    flat = [{"linkId": link, "answer": [answer(value, shape)]} for link, value in answers.items()]
    if shape == "group":
        return [{"linkId": "page-1", "item": [{"linkId": "block", "item": flat}]}]
    if shape == "gated":
        return [{"linkId": "willing", "answer": [{"valueBoolean": True, "item": flat}]}]
    return flat


def response(man: Man, instrument: Instrument, day: date, total: int, shape: str) -> Json:
    """A QuestionnaireResponse with this total."""
    chance = man.chance
    if shape in ("total", "both", "mismatch") and not instrument.has_total:
        shape = "plain"
    # A 0 in the IIEF-5 means that there was no attempt: of few men.
    zeros = instrument.key != "iief-5" or man.number % 7 == 3
    answers = split(instrument, total, chance, zeros=zeros)
    content = [] if shape == "total" else items(answers, shape)
    if shape in ("total", "both", "mismatch"):
        told = total + 1 if shape == "mismatch" and total < instrument.highest else total
        content.append({"linkId": "total", "answer": [{"valueInteger": told}]})
    if instrument.key == "ipss":
        content.append({"linkId": "qol", "answer": [{"valueInteger": quality(total)}]})
    version = chance.one_of(("", "", "|1.0", "|2012-03"))
    authored = str(day) if chance.happens(30) else local(day, "19:40:00")
    return start(man, "QuestionnaireResponse", day) | {
        "questionnaire": f"{BASE}/Questionnaire/{instrument.key}{version}",
        "status": "completed",
        "subject": man.subject(),
        "authored": authored,
        "item": content,
    }


def quality(total: int) -> int:
    """The quality-of-life item that goes with an IPSS."""
    return min(6, total // 5)


def write_answers(cohort: Cohort, man: Man, instrument: Instrument, plan: Answers) -> None:
    """The responses of one man to one instrument, with the truth of the time points."""
    chance = man.chance
    truth = {"baseline": plan.baseline, "6-months": plan.six, "12-months": plan.twelve}
    days = {
        "baseline": after(man.d0, -chance.whole(2, 70)),
        "6-months": after(add_months(man.d0, 6), chance.whole(-20, 20)),
        "12-months": after(add_months(man.d0, 12), chance.one_of((-15, -9, -4, 3, 6, 11))),
    }
    for point, total in truth.items():
        day = days[point]
        if total is None or (point != "baseline" and not man.exists(day)):
            truth[point] = None
            continue
        shape = chance.one_of(_SHAPES)
        if plan.place % 11 == 5 and point == "12-months":
            shape = "mismatch"
        made = response(man, instrument, day, total, shape)
        if point == "12-months" and plan.place % 7 == 2 and plan.baseline is not None:
            # The nurse's first entry, amended the same evening.
            wrong = response(man, instrument, day, plan.baseline, "plain")
            cohort.add(man, wrong | {"authored": made["authored"]})
            made["status"] = "amended"
        cohort.add(man, made)
    for made in misleading(man, instrument, plan):
        cohort.add(man, made)
    note_answer_truth(man, instrument, truth)


def misleading(man: Man, instrument: Instrument, plan: Answers) -> list[Json]:
    """Responses that no time point may take: their status, their day, or what is missing."""
    chance = man.chance
    first = plan.baseline
    if first is None:
        return []
    made = []
    twelve = add_months(man.d0, 12)
    if plan.twelve is not None and plan.place % 4 == 1:
        draft = response(man, instrument, twelve, first, "plain")
        made.append(draft | {"status": chance.one_of(("in-progress", "entered-in-error"))})
    if plan.twelve is not None and plan.place % 6 == 3:
        made.append(response(man, instrument, after(twelve, chance.whole(50, 75)), first, "plain"))
    if plan.twelve is not None and plan.place % 9 == 4 and len(instrument.items) > 2:
        broken = response(man, instrument, after(twelve, 1), first, "plain")
        made.append(broken | {"item": broken["item"][1:]})
    if plan.place % 5 == 0:
        made.append(response(man, instrument, after(man.d0, -260), first, "plain"))
    if plan.place % 8 == 6:
        made.append(response(man, instrument, after(man.d0, 45), instrument.highest, "plain"))
    late = after(add_months(man.d0, 24), chance.whole(-25, 25))
    if chance.happens(75) and late <= EXPORTED and man.exists(min(late, AS_OF)):
        change = chance.whole(*instrument.later)
        total = (first if plan.twelve is None else plan.twelve) + change
        total = max(instrument.lowest, min(instrument.highest, total))
        made.append(response(man, instrument, late, total, chance.one_of(_SHAPES)))
    return made


def note_answer_truth(man: Man, instrument: Instrument, truth: dict[str, int | None]) -> None:
    """What is intended: the score at each time point."""
    for point, total in truth.items():
        shown = "" if total is None else str(total)
        if total is not None and instrument.key == "qlq-c30-ql2":
            score = Decimal(total - 2) * 100 / 12
            shown = f"{score.quantize(Decimal('0.01'), ROUND_HALF_UP).normalize():f}"
        man.truth[f"{instrument.key}_{point}"] = shown
        if instrument.key == "ipss":
            known = "" if total is None else str(quality(total))
            man.truth[f"ipss-qol_{point}"] = known


def write_other_forms(cohort: Cohort, man: Man) -> None:
    """Questionnaires that are none of ours."""
    if man.chance.happens(35):
        day = after(man.d0, -6)
        cohort.add(
            man,
            start(man, "QuestionnaireResponse", day)
            | {
                "questionnaire": f"{HOSPITAL}/Questionnaire/preoperative-screening",
                "status": "completed",
                "subject": man.subject(),
                "authored": local(day, "10:00:00"),
                "item": [
                    {"linkId": "smoker", "answer": [{"valueBoolean": man.chance.happens(20)}]}
                ],
            },
        )


# --------------------------------------------------------------------------------------------
# The men, and the hospital's other patients
# --------------------------------------------------------------------------------------------


def patient_id(place: int) -> str:
    """A patient number such as a hospital gives; it tells nothing of the tables' order."""
    return str(2_000_000 + place * 7919 * 13 % 999_983)


def day_zero(place: int) -> date:
    """The day of treatment: spread over 2011 to 2016, on a working day."""
    if place == 60:
        return date(2017, 5, 16)
    order = place * 23 % 61
    if place in LATE:
        order = order * 3 // 5
    day = date(2011, 2, 1) + timedelta(days=order * 34 + place % 9)
    return after(day, -max(0, day.weekday() - 4))


def make_man(place: int) -> Man:
    """A man of the cohort."""
    role = ROLES.get(place, PLAIN)
    return Man(place, patient_id(place), day_zero(place), Chance(place), role)


def write_man(cohort: Cohort, man: Man, plans: dict[str, dict[int, Answers]]) -> None:
    """Everything of a man of the cohort."""
    plan_course(man)
    write_patient(cohort, man)
    write_procedures(cohort, man)
    merged, man.id = man.id, man.old_id or man.id
    write_conditions(cohort, man)
    write_psa(cohort, man)
    man.id = merged
    write_disease_status(cohort, man)
    write_other_labs(cohort, man, [man.d0, *(result.day for result in man.course[:6])])
    write_complications(cohort, man)
    for instrument in INSTRUMENTS:
        plan = plans[instrument.key].get(man.number, Answers(None, None, None))
        write_answers(cohort, man, instrument, plan)
    write_other_forms(cohort, man)
    write_more(cohort, man)
    man.truth |= {"patient": man.id, "index_date": str(man.d0), "story": man.role.story}
    man.truth["disease_free_12_months"] = man.role.disease_free


def other_patient(cohort: Cohort, place: int) -> Man:
    """A patient outside the cohort, with PSA like anybody's."""
    man = Man(0, patient_id(100 + place), date(2012 + place % 5, 4, 9), Chance(f"other {place}"))
    write_patient(cohort, man)
    for months in (0, 6, 12, 18):
        day = after(add_months(man.d0, months), man.chance.whole(0, 20))
        value = {"valueQuantity": quantity(man.chance.whole(60, 900), "ug/L")}
        cohort.add(man, psa(man, day, value))
    write_other_labs(cohort, man, [man.d0, add_months(man.d0, 12)])
    return man


def write_others(cohort: Cohort) -> None:
    """Men whose record holds something like the index procedure, or nothing of it."""
    men = [other_patient(cohort, place) for place in range(12)]
    cryo = concept(SNOMED, "26782000", "Cryotherapy")
    for man in men[:2]:
        write_diagnostics(cohort, man)
    for man, status in zip(
        men[2:6], ("not-done", "in-progress", "entered-in-error", "preparation"), strict=True
    ):
        cohort.add(man, cryoablation(man, man.d0, status, billed=status == "not-done"))
    kidney = [concept(SNOMED, "64033007", "Kidney structure")]
    cohort.add(men[6], procedure(men[6], men[6].d0, cryo) | {"bodySite": kidney})
    cohort.add(men[7], procedure(men[7], men[7].d0, cryo))
    cohort.add(men[8], cryoablation(men[8], date(2018, 2, 6)))
    year_only = cryoablation(men[9], men[9].d0)
    year_only.pop("performedPeriod", None)
    cohort.add(men[9], year_only | {"performedDateTime": str(men[9].d0.year)})
    cohort.add(men[10], condition(men[10], men[10].d0, CODES["spread"], "confirmed"))
    label_as_test(cohort, men[11])


def label_as_test(cohort: Cohort, man: Man) -> None:
    """A patient that exists to try out the systems; all that is his says so."""
    cohort.add(man, cryoablation(man, man.d0))
    for resources in cohort.files.values():
        for resource in resources:
            own = resource.get("subject", {}).get("reference", "").split("/_history")[0]
            if own.endswith(f"Patient/{man.id}") or resource["id"] == man.id:
                resource["meta"] = {"security": [TEST_LABEL]}


def make() -> Cohort:
    """The whole cohort."""
    cohort = Cohort()
    cohort.men = [make_man(place) for place in range(1, MEN + 1)]
    plans = {instrument.key: plan_answers(instrument, cohort.men) for instrument in INSTRUMENTS}
    for man in sorted(cohort.men, key=lambda man: man.id):
        write_man(cohort, man, plans)
    write_others(cohort)
    check_ids(cohort)
    return cohort


def check_ids(cohort: Cohort) -> None:
    """No two resources share an id, but for the versions of one."""
    seen: set[tuple[str, str, str]] = set()
    for resource in (one for resources in cohort.files.values() for one in resources):
        version = resource.get("meta", {}).get("versionId", "1")
        key = (resource["resourceType"], resource["id"], version)
        if key in seen:
            raise ValueError(f"{key} stands twice")
        seen.add(key)


# --------------------------------------------------------------------------------------------
# Files
# --------------------------------------------------------------------------------------------


def contents(cohort: Cohort) -> dict[str, str]:
    """The text of each file."""
    made = {}
    for name, resources in sorted(cohort.files.items()):
        if name.endswith(".json"):
            entries = [
                {"fullUrl": full_url(one["resourceType"], one["id"]), "resource": one}
                for one in resources
            ]
            bundle = {"resourceType": "Bundle", "type": "collection", "entry": entries}
            made[name] = to_json(bundle) + "\n"
        else:
            made[name] = "".join(f"{to_json(one)}\n" for one in resources)
    return made


def write_file(path: Path, text: str) -> None:
    """Write a file, compressed where its name says so, with nothing in it of when or where."""
    content = text.encode()
    if path.name.endswith(".gz"):
        buffer = io.BytesIO()
        with gzip.GzipFile(filename="", mode="wb", fileobj=buffer, mtime=0) as zipped:
            zipped.write(content)
        content = buffer.getvalue()
    path.write_bytes(content)


def read_file(path: Path) -> str:
    """The text of a file; empty where there is none.

    Compressed files are compared by what is in them: the compressor is not ours.
    """
    if not path.exists():
        return ""
    content = path.read_bytes()
    return (gzip.decompress(content) if path.name.endswith(".gz") else content).decode()


def truth(cohort: Cohort) -> str:
    """The endpoints that were intended, as CSV, by patient."""
    columns = ["patient", "story", "index_date"]
    columns += [name for name in cohort.men[0].truth if name not in columns]
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, columns, lineterminator="\n")
    writer.writeheader()
    for man in sorted(cohort.men, key=lambda man: man.id):
        writer.writerow(man.truth)
    return buffer.getvalue()


def main() -> int:
    """Write the files, or check them; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else "")
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder to write to")
    parser.add_argument("--truth", type=Path, help="write the intended endpoints to this file")
    options = parser.parse_args()
    cohort = make()
    if options.truth:
        options.truth.write_text(truth(cohort), encoding="utf-8")
        return 0
    made = contents(cohort)
    if options.check:
        stale = [name for name, text in made.items() if read_file(options.out / name) != text]
        for name in stale:
            print(f"{name}: not what this script writes", file=sys.stderr)
        return 1 if stale else 0
    for name, text in made.items():
        write_file(options.out / name, text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
