"""Says once that a source server does not restrict its answers by time, and remembers it."""

import logging

from fhircryo.runs.sync.state_database import State

LOG = logging.getLogger("fhircryo.sync")

_IGNORES_TIME = "ignores-time"


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
