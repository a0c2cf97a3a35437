"""Log lines on stderr, where nobody watches: text or JSON. Ids and counts, never values."""

import json
import logging
import sys
from datetime import UTC, datetime

from fhircryo.masking import masked
from fhircryo.settings import Settings


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


def set_up_logs(settings: Settings, run: str = "") -> None:
    """Have our log lines written as the settings say; ``run`` tells runs apart.

    On a terminal, where a bar shows the progress, only warnings are, unless a level is set.
    """
    level = settings.log_level or ("warning" if sys.stderr.isatty() else "info")
    handler = logging.StreamHandler(sys.stderr)
    if settings.log_format == "json":
        handler.setFormatter(_JsonLines(run))
    else:
        named = f" {run}" if run else ""
        handler.setFormatter(_TextLines(f"%(asctime)s %(levelname)s{named} %(name)s: %(message)s"))
    logger = logging.getLogger("fhircryo")
    logger.handlers[:] = [handler]
    logger.setLevel(level.upper())
