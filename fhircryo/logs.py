"""Log lines on stderr (text or JSON); what is shown of secrets and of outside text.

Log lines contain ids and counts, never clinical values. A server may repeat a secret in an error
message, and a bug may print one. Code that reads a secret therefore registers it with
``keep_secret``, and ``masked`` masks it in what is shown.

Whatever comes from outside (a server's words, codes, units, ids, names of files) may contain
control characters that forge lines or command a terminal. ``escaped`` shows them as escape
sequences. Everything that is printed or logged is made by one of three functions: ``text_of`` (the
lines of an output), ``indented`` (a text of several lines) and ``json_text``.
"""

import json
import logging
import re
import sys
from collections import deque
from collections.abc import Iterable
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, NamedTuple

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

#: Characters that Python takes for printable and that show nothing, so that two texts look alike:
#: Default_Ignorable_Code_Point of https://www.unicode.org/Public/UNIDATA/DerivedCoreProperties.txt
#: outside the categories Cc, Cf and Cn; and the empty pattern of Braille.
_INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u2800\u3164\ufe00-\ufe0f\uffa0"
    "\U000e0100-\U000e01ef]"
)
#: A longer line is shortened where it is printed or logged (characters).
LONGEST_LINE = 4_000


def escaped(text: str) -> str:
    r"""Return a text in which every character that is not visible is an escape sequence.

    These are control characters, line breaks, characters that turn the direction of writing or
    have no width, halves of surrogate pairs, and blanks other than the space: ``\n``, ``\x1b``,
    ``\u202e``. YAML and Python read these sequences as the same characters.
    """
    if text.isprintable() and (text.isascii() or not _INVISIBLE.search(text)):
        return text
    return "".join(map(_escaped, text))


def line_of(text: str) -> str:
    """Return a text as one line to be shown: secrets masked, escaped, not overlong."""
    shown = escaped(masked(text))
    if len(shown) <= LONGEST_LINE:
        return shown
    return f"{shown[:LONGEST_LINE]}... ({len(shown)} characters)"


def text_of(lines: Iterable[str]) -> str:
    """Return lines as one text; each is made by ``line_of``, so that none contains another line."""
    return "\n".join(map(line_of, lines))


def indented(text: str) -> str:
    """Return a text of several lines, such as a traceback, with all but the first one indented.

    A line break in what such a text quotes therefore cannot forge a line of an output or a log.
    """
    first, *others = text.split("\n")
    return text_of([first, *(f"  {line}" for line in others)])


def json_text(content: Any, indent: int | None = None) -> str:
    """Return JSON in which characters that are not visible are escaped.

    Without ``indent`` it is one line. Secrets are not masked: see ``masked_values``.
    """
    return visible_json(json.dumps(content, indent=indent, ensure_ascii=False))


def visible_json(text: str) -> str:
    """Return the same JSON with characters that are not visible as escape sequences."""
    # The only line breaks are those of the indentation: within a string JSON has none.
    return "\n".join(map(_visible_line, text.split("\n")))


def _visible_line(line: str) -> str:
    if line.isprintable() and (line.isascii() or not _INVISIBLE.search(line)):
        return line
    return "".join(map(_escaped_in_json, line))


def masked_values(value: Any) -> Any:
    """Return a value for JSON with secrets masked in its texts."""
    if isinstance(value, str):
        return masked(value)
    if isinstance(value, dict):
        return {key: masked_values(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [masked_values(one) for one in value]
    return value


def _is_visible(letter: str) -> bool:
    return letter.isprintable() and not _INVISIBLE.match(letter)


def _escaped_in_json(letter: str) -> str:
    return letter if _is_visible(letter) else json.dumps(letter)[1:-1]


def _escaped(letter: str) -> str:
    if _is_visible(letter):
        return letter
    number = ord(letter)
    if number < 0x100:
        return _SHORT.get(letter, f"\\x{number:02x}")
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


_Raised = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


class _TextLines(logging.Formatter):
    """Formats a log record as a line of text, and its traceback as indented lines."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  the name of the base
        return line_of(super().formatMessage(record))

    def formatException(self, ei: _Raised) -> str:  # noqa: N802  the name of the base
        return "  " + indented(super().formatException(ei))

    def formatStack(self, stack_info: str) -> str:  # noqa: N802  the name of the base
        return "  " + indented(stack_info)


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
            "message": record.getMessage(),
        }
        if self._run:
            content["run"] = self._run
        if record.exc_info:
            content["exception"] = self.formatException(record.exc_info)
        return json_text(masked_values(content))


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
    # Warnings of Python and of libraries may quote outside text too.
    logging.captureWarnings(capture=True)
    logging.getLogger("py.warnings").handlers[:] = [handler]
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(handler.formatter)
