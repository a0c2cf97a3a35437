"""The catalogue of endpoints; publishing, the cohort's tables and the reference follow from it.

A new endpoint is an entry here and in ``CATALOGUE``, a module that computes it, and a line in
``patient_endpoints.COMPUTATIONS``.
"""

from collections.abc import Iterable

import msgspec

from fhircryo.endpoints.value_types import (
    COUNT,
    GRADE,
    PSA,
    SCORE,
    TIME_TO_EVENT,
    YES_NO,
    ValueType,
)


class Endpoint(msgspec.Struct, frozen=True, gc=False):
    """An endpoint of the catalogue.

    ``words``: what it says under any protocol, in a sentence. ``window``: the time that it is
    about. ``scale``: the grading scale that it rests on. ``per_instrument``: it exists once for
    each instrument, whose key follows its own in the published code. ``order``: its position in
    the catalogue. ``title``: its name for people; ``labels.label`` fills in the protocol's numbers,
    which stand in braces.
    """

    key: str
    words: str
    value_type: ValueType
    window: str
    scale: str = ""
    per_instrument: bool = False
    order: int = 0
    title: str = ""

    def code(self, instrument: str = "") -> str:
        """The published code: the key, followed by the instrument's key where there is one."""
        return f"{self.key}-{instrument}" if instrument else self.key


TECHNICAL_SUCCESS = Endpoint(
    "technical-success",
    "The index treatment was completed and is not recorded as unsuccessful",
    YES_NO,
    "index treatment",
    title="Technical success",
)
PSA_NADIR = Endpoint(
    "psa-nadir",
    "Lowest PSA after the index procedure, up to a biochemical failure",
    PSA,
    "after D0",
    title="PSA nadir",
)
BIOCHEMICAL_FAILURE = Endpoint(
    "biochemical-failure",
    "PSA at or above the nadir plus the protocol's rise, dated at call",
    YES_NO,
    "after D0",
    title="Biochemical failure (nadir + {rise} ng/mL)",
)
TIME_TO_FAILURE = Endpoint(
    "time-to-biochemical-failure",
    "Days to biochemical failure, else censored at the last clear PSA",
    TIME_TO_EVENT,
    "after D0",
    title="Time to biochemical failure (nadir + {rise} ng/mL)",
)
LOCAL_RECURRENCE = Endpoint(
    "local-recurrence",
    "A confirmed local recurrence after the index procedure",
    YES_NO,
    "after D0",
    title="Local recurrence",
)
METASTASIS = Endpoint(
    "metastasis",
    "A confirmed metastasis after the index procedure",
    YES_NO,
    "after D0",
    title="Metastasis",
)
DISEASE_FREE = Endpoint(
    "disease-free-12-months",
    "No biochemical failure and no clinical evidence of disease up to the landmark",
    YES_NO,
    "D0 to the landmark",
    title="Disease-free at {landmark} months",
)
DISEASE_FREE_SURVIVAL = Endpoint(
    "disease-free-survival",
    "Days to failure, recurrence, metastasis, progression, salvage therapy or death",
    TIME_TO_EVENT,
    "after D0",
    title="Disease-free survival",
)
METASTASIS_FREE_SURVIVAL = Endpoint(
    "metastasis-free-survival",
    "Days to metastasis or death",
    TIME_TO_EVENT,
    "after D0",
    title="Metastasis-free survival",
)
FAILURE_FREE_SURVIVAL = Endpoint(
    "failure-free-survival",
    "Days to salvage therapy, metastasis or death of prostate cancer",
    TIME_TO_EVENT,
    "after D0",
    title="Failure-free survival",
)
TIME_TO_SALVAGE_THERAPY = Endpoint(
    "time-to-salvage-therapy",
    "Days to the first salvage therapy",
    TIME_TO_EVENT,
    "after D0",
    title="Time to salvage therapy",
)
OVERALL_SURVIVAL = Endpoint(
    "overall-survival",
    "Days to death",
    TIME_TO_EVENT,
    "after D0",
    title="Overall survival",
)
CANCER_SPECIFIC_SURVIVAL = Endpoint(
    "cancer-specific-survival",
    "Days to death of prostate cancer",
    TIME_TO_EVENT,
    "after D0",
    title="Cancer-specific survival",
)
ADVERSE_EVENT_COUNT = Endpoint(
    "adverse-event-count",
    "Adverse events attributed to the index procedure",
    COUNT,
    "complications",
    title="Attributed adverse events",
)
WORST_CLAVIEN = Endpoint(
    "worst-clavien-dindo",
    "Worst Clavien-Dindo grade of the attributed complications",
    GRADE,
    "complications",
    "clavien-dindo",
    title="Worst complication, Clavien-Dindo",
)
WORST_SIR = Endpoint(
    "worst-sir",
    "Worst SIR grade of the attributed complications",
    GRADE,
    "complications",
    "sir-2003",
    title="Worst complication, SIR",
)
WORST_CTCAE = Endpoint(
    "worst-ctcae",
    "Worst CTCAE grade of the attributed complications",
    GRADE,
    "complications",
    "ctcae-grade",
    title="Worst complication, CTCAE",
)
MAJOR_CLAVIEN = Endpoint(
    "major-complication-clavien",
    "A complication of the protocol's major Clavien-Dindo grade or worse",
    YES_NO,
    "complications",
    "clavien-dindo",
    title="Complication of Clavien-Dindo {major} or worse",
)
MAJOR_SIR = Endpoint(
    "major-complication-sir",
    "A complication of the protocol's major SIR grade or worse",
    YES_NO,
    "complications",
    "sir-2003",
    title="Complication of SIR {major} or worse",
)
PROM_SCORE = Endpoint(
    "prom-score",
    "Score of a questionnaire at a time point, one endpoint per instrument",
    SCORE,
    "time point",
    per_instrument=True,
    title="Questionnaire score",
)
PROM_CHANGE = Endpoint(
    "prom-change",
    "Score at a time point less the baseline score, one endpoint per instrument",
    SCORE,
    "time point",
    per_instrument=True,
    title="Change of the questionnaire score from baseline",
)

#: All endpoints in the order of publishing.
CATALOGUE: tuple[Endpoint, ...] = (
    TECHNICAL_SUCCESS,
    PSA_NADIR,
    BIOCHEMICAL_FAILURE,
    TIME_TO_FAILURE,
    LOCAL_RECURRENCE,
    METASTASIS,
    DISEASE_FREE,
    DISEASE_FREE_SURVIVAL,
    METASTASIS_FREE_SURVIVAL,
    FAILURE_FREE_SURVIVAL,
    TIME_TO_SALVAGE_THERAPY,
    OVERALL_SURVIVAL,
    CANCER_SPECIFIC_SURVIVAL,
    ADVERSE_EVENT_COUNT,
    WORST_CLAVIEN,
    WORST_SIR,
    WORST_CTCAE,
    MAJOR_CLAVIEN,
    MAJOR_SIR,
    PROM_SCORE,
    PROM_CHANGE,
)
for _position, _endpoint in enumerate(CATALOGUE):
    msgspec.structs.force_setattr(_endpoint, "order", _position)


def published_codes(instruments: Iterable[str]) -> tuple[str, ...]:
    """The codes of all endpoints in catalogue order; ``instruments``: keys, in their order."""
    keys = list(instruments)
    return tuple(
        endpoint.code(instrument)
        for endpoint in CATALOGUE
        for instrument in (keys if endpoint.per_instrument else [""])
    )
