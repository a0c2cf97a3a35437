"""Whether a source server ignores ``_lastUpdated``; a run says so once, and remembers it.

FHIR asks servers to ignore parameters that they do not support
(https://hl7.org/fhir/R4/search.html#errors).
"""

import logging
from collections.abc import Mapping

from fhircryo.calendar import moment
from fhircryo.fhir.search import Searcher, head_of
from fhircryo.runs.sync.state_database import State

LOG = logging.getLogger("fhircryo.sync")

#: Nothing was updated after this: a server that looks at the time finds nothing.
_FAR_FUTURE = "2200-01-01T00:00:00Z"
_IGNORES_TIME = "ignores-time"


def ignores_time(searcher: Searcher, kind: str, search: Mapping[str, str]) -> bool:
    """Whether a search for what was updated in the far future finds something all the same.

    Raises:
        HttpError: the server refuses the search.
    """
    params = {**search, "_lastUpdated": f"ge{_FAR_FUTURE}", "_count": "1"}
    heads = [head_of(line) for line in searcher.sample(kind, params, 1).lines]
    stamps = [head.meta.last_updated if head.meta else None for head in heads if head]
    # A resource that was loaded with a wrong stamp is found rightly.
    return any(moment(stamp) < moment(_FAR_FUTURE) for stamp in stamps)


def say_once(state: State, words: str) -> None:
    """Warn, unless an earlier run has said it; ``remember_time_ignored`` makes this one remember.

    ``words``: what was noticed.
    """
    if not was_ignored(state):
        LOG.warning(
            "%s: what changed is found by comparing everything that is read, in every run;"
            " this is said once",
            words,
        )


def was_ignored(state: State) -> bool:
    """Whether the last run noticed it."""
    return state.fact(_IGNORES_TIME) == "yes"


def remember_time_ignored(state: State, ignored: bool) -> None:
    """Save whether the server ignores times; in the caller's transaction."""
    state.set_fact(_IGNORES_TIME, "yes" if ignored else "no")
