"""Keeps secrets out of what people see: logs, errors, tracebacks, what servers say back to us.

Secrets are handed to nobody who writes text. But a server may repeat one in an error, and a bug may
print one; so whoever holds a secret names it here, and whoever writes text has it masked.
"""

import re
from collections import deque
from typing import NamedTuple

MASK = "********"

#: Shorter ones would be found in ordinary words.
_SHORTEST = 4
#: A JSON Web Token, whosever it is. https://www.rfc-editor.org/rfc/rfc7515#section-7.1
_TOKEN = re.compile(r"\beyJ[\w-]{8,}\.[\w-]+(?:\.[\w-]*)?")


class _Kept(NamedTuple):
    lasting: set[str]
    #: Tokens are renewed for as long as a run lasts; the old ones are worth nothing.
    fleeting: deque[str]


_KEPT = _Kept(set(), deque(maxlen=64))


def keep_secret(secret: str, *, fleeting: bool = False) -> str:
    """Have a secret masked from now on; ``fleeting``: it is worth nothing soon. Gives it back."""
    if len(secret) >= _SHORTEST:
        if fleeting:
            _KEPT.fleeting.append(secret)
        else:
            _KEPT.lasting.add(secret)
    return secret


def masked(text: str) -> str:
    """A text with every secret in it masked."""
    # The longest first: one may be a part of another.
    for secret in sorted({*_KEPT.lasting, *_KEPT.fleeting}, key=len, reverse=True):
        if secret in text:
            text = text.replace(secret, MASK)
    return _TOKEN.sub(MASK, text)
