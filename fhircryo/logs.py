"""Log lines on stderr (text or JSON), and the masking of secrets in whatever people see.

Log lines carry ids and counts, never clinical values. A server may repeat a secret in an error
message, and a bug may print one. Whoever holds a secret therefore registers it with
``keep_secret``, and whoever writes text passes it through ``masked``.
"""

import json
import logging
import re
import sys
from collections import deque
from datetime import UTC, datetime
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


class _TextLines(logging.Formatter):
    """A line of text for each; what is secret is masked."""

    def format(self, record: logging.LogRecord) -> str:
        return masked(super().format(record))


class _JsonLines(logging.Formatter):
    """One JSON object per line; what is secret is masked."""

    def __init__(self, run: str) -> None:
        super().__init__()
        self._run = run

    def format(self, record: logging.LogRecord) -> str:
        content = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": masked(record.getMessage()),
        }
        if self._run:
            content["run"] = self._run
        if record.exc_info:
            content["exception"] = masked(self.formatException(record.exc_info))
        return json.dumps(content, ensure_ascii=False)


def set_up_logs(level: str | None, log_format: str, run: str = "") -> None:
    """Have our log lines written as the settings say; ``run`` tells runs apart.

    On a terminal, where a bar shows the progress, only warnings are, unless a level is set.
    """
    level = level or ("warning" if sys.stderr.isatty() else "info")
    handler = logging.StreamHandler(sys.stderr)
    if log_format == "json":
        handler.setFormatter(_JsonLines(run))
    else:
        named = f" {run}" if run else ""
        handler.setFormatter(_TextLines(f"%(asctime)s %(levelname)s{named} %(name)s: %(message)s"))
    logger = logging.getLogger("fhircryo")
    logger.handlers[:] = [handler]
    logger.setLevel(level.upper())
