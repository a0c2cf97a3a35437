"""The endpoints: key, words, value type, window. Publishing, tables and docs follow from it."""

from enum import StrEnum

import msgspec


class ValueType(StrEnum):
    """What kind of value an endpoint has."""

    YES_NO = "yes or no"
    PSA = "ng/mL"
    DAYS = "days, event or censored"
    COUNT = "count"
    GRADE = "grade"
    SCORE = "score"


#: UCUM units of the values that have one.
UNITS = {ValueType.PSA: "ng/mL", ValueType.DAYS: "d", ValueType.SCORE: "{score}"}


class Endpoint(msgspec.Struct, frozen=True, gc=False):
    """An entry of the catalogue; ``scale``: the grading scale that it is about."""

    key: str
    words: str
    value_type: ValueType
    window: str
    scale: str = ""
    order: int = 0


TECHNICAL_SUCCESS = Endpoint(
    "technical-success",
    "The index treatment was completed and is not recorded as unsuccessful",
    ValueType.YES_NO,
    "index treatment",
)
PSA_NADIR = Endpoint(
    "psa-nadir",
    "Lowest PSA after the index procedure, up to a biochemical failure",
    ValueType.PSA,
    "after D0",
)
BIOCHEMICAL_FAILURE = Endpoint(
    "biochemical-failure",
    "PSA at or above the nadir plus the protocol's rise, dated at call",
    ValueType.YES_NO,
    "after D0",
)
TIME_TO_FAILURE = Endpoint(
    "time-to-biochemical-failure",
    "Days to biochemical failure, else censored at the last clear PSA",
    ValueType.DAYS,
    "after D0",
)
LOCAL_RECURRENCE = Endpoint(
    "local-recurrence",
    "A confirmed local recurrence after the index procedure",
    ValueType.YES_NO,
    "after D0",
)
METASTASIS = Endpoint(
    "metastasis",
    "A confirmed metastasis after the index procedure",
    ValueType.YES_NO,
    "after D0",
)
DISEASE_FREE = Endpoint(
    "disease-free-12-months",
    "No biochemical failure and no clinical evidence of disease up to the landmark",
    ValueType.YES_NO,
    "D0 to the landmark",
)
DISEASE_FREE_SURVIVAL = Endpoint(
    "disease-free-survival",
    "Days to failure, recurrence, metastasis, progression or death",
    ValueType.DAYS,
    "after D0",
)
METASTASIS_FREE_SURVIVAL = Endpoint(
    "metastasis-free-survival",
    "Days to metastasis or death",
    ValueType.DAYS,
    "after D0",
)
ADVERSE_EVENT_COUNT = Endpoint(
    "adverse-event-count",
    "Adverse events attributed to the index procedure",
    ValueType.COUNT,
    "complications",
)
WORST_CLAVIEN = Endpoint(
    "worst-clavien-dindo",
    "Worst Clavien-Dindo grade of the attributed complications",
    ValueType.GRADE,
    "complications",
    "clavien-dindo",
)
WORST_SIR = Endpoint(
    "worst-sir",
    "Worst SIR grade of the attributed complications",
    ValueType.GRADE,
    "complications",
    "sir-2003",
)
WORST_CTCAE = Endpoint(
    "worst-ctcae",
    "Worst CTCAE grade of the attributed complications",
    ValueType.GRADE,
    "complications",
    "ctcae-grade",
)
MAJOR_CLAVIEN = Endpoint(
    "major-complication-clavien",
    "A complication of the protocol's major Clavien-Dindo grade or worse",
    ValueType.YES_NO,
    "complications",
    "clavien-dindo",
)
MAJOR_SIR = Endpoint(
    "major-complication-sir",
    "A complication of the protocol's major SIR grade or worse",
    ValueType.YES_NO,
    "complications",
    "sir-2003",
)
PROM_SCORE = Endpoint(
    "prom-score",
    "Score of a questionnaire at a time point, one endpoint per instrument",
    ValueType.SCORE,
    "time point",
)
PROM_CHANGE = Endpoint(
    "prom-change",
    "Score at a time point less the baseline score, one endpoint per instrument",
    ValueType.SCORE,
    "time point",
)

_IN_ORDER = (
    TECHNICAL_SUCCESS,
    PSA_NADIR,
    BIOCHEMICAL_FAILURE,
    TIME_TO_FAILURE,
    LOCAL_RECURRENCE,
    METASTASIS,
    DISEASE_FREE,
    DISEASE_FREE_SURVIVAL,
    METASTASIS_FREE_SURVIVAL,
    ADVERSE_EVENT_COUNT,
    WORST_CLAVIEN,
    WORST_SIR,
    WORST_CTCAE,
    MAJOR_CLAVIEN,
    MAJOR_SIR,
    PROM_SCORE,
    PROM_CHANGE,
)
for _number, _endpoint in enumerate(_IN_ORDER):
    msgspec.structs.force_setattr(_endpoint, "order", _number)

#: All endpoints in the order of publishing.
CATALOGUE: tuple[Endpoint, ...] = _IN_ORDER
