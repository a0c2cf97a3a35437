"""Which numbers of a cohort the definitions relate to each other.

Two topics are linked if a patient's place in the groups of one can rule out a place in those of the
other. A missing link would let small groups be computed; one too many costs numbers in small
cohorts. What lies in time ("an event by month 6") stands in a topic of its own, because it is
related to more than whether there ever was an event.
"""

from fhircryo.endpoints.catalogue import (
    BIOCHEMICAL_FAILURE,
    CANCER_SPECIFIC_SURVIVAL,
    DISEASE_FREE,
    DISEASE_FREE_SURVIVAL,
    FAILURE_FREE_SURVIVAL,
    LOCAL_RECURRENCE,
    METASTASIS,
    METASTASIS_FREE_SURVIVAL,
    OVERALL_SURVIVAL,
    PSA_NADIR,
    TIME_TO_FAILURE,
    TIME_TO_SALVAGE_THERAPY,
)
from fhircryo.research.endpoint_columns import TIMES_TO_EVENT

#: Disease-free under the other rules for salvage therapy, and with no PSA response as no.
RULES = "disease-free by rule"
WITHIN = "metastasis within months"
SALVAGE = "salvage therapy"
COMPLICATIONS = "complications"
#: The worst grades; the worst of all is a death.
GRADES = "worst grades"
EXPECTED = "expected to answer"
PSA = "psa at index"
DOUBLING = "psa doubling time"
HORMONE = "hormone therapy at index"
#: What divides the cohort into groups may be related to anything.
GROUPS = "groups"

_DISEASE_FREE, _FAILURE = DISEASE_FREE.key, BIOCHEMICAL_FAILURE.key
_DFS, _MFS, _FFS = (
    endpoint.key
    for endpoint in (DISEASE_FREE_SURVIVAL, METASTASIS_FREE_SURVIVAL, FAILURE_FREE_SURVIVAL)
)
_OS, _CSS = OVERALL_SURVIVAL.key, CANCER_SPECIFIC_SURVIVAL.key
#: Sets of topics that are all linked with each other.
_CLIQUES = (
    {PSA, DOUBLING},
    {DOUBLING, HORMONE},
    {PSA, _DISEASE_FREE, RULES},
    {_DISEASE_FREE, RULES, WITHIN, PSA_NADIR.key, _FAILURE, TIME_TO_FAILURE.key, _DFS},
    # In whom the rules differ, there was a salvage therapy.
    {RULES, SALVAGE, TIME_TO_SALVAGE_THERAPY.key, _FFS},
    {SALVAGE, TIME_TO_SALVAGE_THERAPY.key, _FFS, _DFS},
    {METASTASIS.key, WITHIN, _MFS, _FFS, _DFS},
    {LOCAL_RECURRENCE.key, _DFS},
    {GRADES, _OS, _CSS, _MFS, _FFS, _DFS},
    {COMPLICATIONS, GRADES},
)
#: Whatever happens after the index procedure, complications apart.
_COURSE = frozenset().union(*_CLIQUES[3:8], {_OS, _CSS})
#: The times that are censored at the last contact; an answered questionnaire is one.
_TO_CONTACT = frozenset({_MFS, _FFS, _OS, _CSS, TIME_TO_SALVAGE_THERAPY.key})
_QUESTIONNAIRE = "questionnaire "
_CHANGE = "change of "
_IN_TIME = " in time"
_TIMES = frozenset(endpoint.key + _IN_TIME for endpoint in TIMES_TO_EVENT)


def in_time(endpoint: str) -> str:
    """The topic of when a time to event ended."""
    return endpoint + _IN_TIME


def questionnaire(instrument: str) -> str:
    """The topic of who has scores of an instrument, by its key."""
    return _QUESTIONNAIRE + instrument


def change_of(instrument: str) -> str:
    """The topic of whose score of an instrument rose or fell."""
    return _CHANGE + instrument


def linked(one: str, other: str) -> bool:
    """Whether the definitions relate the groups of two topics."""
    if GROUPS in (one, other):
        return True
    if one == other or any(one in clique and other in clique for clique in _CLIQUES):
        return True
    return _linked_in_order(one, other) or _linked_in_order(other, one)


def _linked_in_order(one: str, other: str) -> bool:
    if one in _TIMES:
        contact = one.removesuffix(_IN_TIME) in _TO_CONTACT
        return other in _TIMES | _COURSE | {GRADES} or (contact and _is_questionnaire(other))
    if one.startswith(_CHANGE):
        return other == _QUESTIONNAIRE + one.removeprefix(_CHANGE)
    return one == EXPECTED and (other in _TIMES | _COURSE or _is_questionnaire(other))


def _is_questionnaire(topic: str) -> bool:
    return topic.startswith(_QUESTIONNAIRE)
