"""Waits until a search finds what was written, as long as the target's index may lag behind."""

import time
from collections.abc import Callable, Iterable

_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 5.0


def wait_until_found(
    search: Callable[[set[str]], Iterable[str]],
    wanted: Iterable[str],
    sent: float,
    patience: float,
) -> set[str]:
    """Search again and again until everything is found or the time is over; what is not found.

    ``search``: is given what is not found yet, and returns what of it is found. ``sent``: when it
    was last written, in seconds since 1970. ``patience``: how long it is searched from then on, in
    seconds; there is always one search.
    """
    # A clock that was set back since then does not make a run wait for longer.
    until = min(sent, time.time()) + patience
    missing = set(wanted)
    pause = _FIRST_PAUSE
    while missing:
        missing.difference_update(search(missing))
        left = until - time.time()
        if not missing or left <= 0:
            break
        time.sleep(min(pause, left))
        pause = min(2 * pause, _LONGEST_PAUSE)
    return missing
