"""Log lines on stderr (text or JSON); what is shown of secrets and of outside text.

Log lines contain ids and counts, never clinical values. A server may repeat a secret in an error
message, and a bug may print one. Code that reads a secret therefore registers it with
``keep_secret``, and code that writes text for people passes it through ``masked``.

Whatever comes from outside (a server's words, codes, units, ids) may contain control characters
that forge lines or command a terminal. ``escaped`` shows them as escape sequences; ``text_of``
makes the lines of an output of escaped text.
"""

import json
import logging
import re
import sys
from collections import deque
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import NamedTuple

MASK = "********"

#: Shorter secrets are not masked: they would be found in ordinary words.
_SHORTEST = 4
#: Any JSON Web Token, registered or not. https://www.rfc-editor.org/rfc/rfc7515#section-7.1
#: The expression also matches what only begins like a token, so that it is read once.
_TOKEN = re.compile(r"\beyJ[\w-]{8,}+(?P<rest>\.[\w-]++(?:\.[\w-]*+)?)?")


class _Secrets(NamedTuple):
    permanent: set[str]
    #: Tokens are renewed throughout a run; only the most recent ones are still valid.
    short_lived: deque[str]


_SECRETS = _Secrets(set(), deque(maxlen=64))


def keep_secret(secret: str, *, fleeting: bool = False) -> str:
    """Register a secret, so that ``masked`` masks it from now on; return the secret.

    ``fleeting``: the secret expires soon, as a token does; only the latest 64 of these are kept.
    """
    if len(secret) >= _SHORTEST:
        if fleeting:
            _SECRETS.short_lived.append(secret)
        else:
            _SECRETS.permanent.add(secret)
    return secret


def masked(text: str) -> str:
    """Return the text with every registered secret and every JSON Web Token masked."""
    # The longest first: a secret may be part of another one.
    for secret in sorted({*_SECRETS.permanent, *_SECRETS.short_lived}, key=len, reverse=True):
        if secret in text:
            text = text.replace(secret, MASK)
    return _TOKEN.sub(lambda found: MASK if found["rest"] else found[0], text)


_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def escaped(text: str) -> str:
    r"""Return a text in which every character that is not printable is an escape sequence.

    These are control characters, line breaks, characters that turn the direction of writing, and
    blanks other than the space: ``\n``, ``\x1b``, ``\u202e``. YAML and Python read these sequences
    as the same characters.
    """
    return text if text.isprintable() else "".join(map(_escaped, text))


def text_of(lines: Iterable[str]) -> str:
    """Return lines as one text; each is escaped, so that none can contain another line."""
    return "\n".join(map(escaped, lines))


def _escaped(letter: str) -> str:
    if letter.isprintable():
        return letter
    number = ord(letter)
    if number < 0x100:
        return _SHORT.get(letter, f"\\x{number:02x}")
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


class _TextLines(logging.Formatter):
    """Formats a log record as a line of text, with secrets masked and outside text escaped."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  the name of the base
        return escaped(super().formatMessage(record))

    def format(self, record: logging.LogRecord) -> str:
        return masked(super().format(record))


class _JsonLines(logging.Formatter):
    """Formats a log record as one line of JSON, with secrets masked."""

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
    """Configure the logger ``fhircryo`` to write to stderr.

    ``level``: the lowest level that is written. None: ``info``, or ``warning`` on a terminal,
    where a progress bar is shown. ``log_format``: ``text`` or ``json``. ``run``: an id that is
    added to each line to distinguish runs.
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
