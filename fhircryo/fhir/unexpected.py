"""Describes the body of a response that is not the resource that was requested.

Servers and the gateways before them send errors with status 200: an OperationOutcome, JSON with an
error in it, or a page of HTML.
"""

import re

import msgspec

from fhircryo.fhir.outcomes import is_refusal, issues_of
from fhircryo.logs import escaped, masked

_LONGEST_TEXT = 200
#: Enough to find the title of a page of HTML.
_HEAD_OF_PAGE = 4096
_TITLE = re.compile(rb"<title[^<>]*>([^<]{0,200})", re.IGNORECASE)
#: The members in which gateways put what is wrong.
#: Source: https://discuss.google.dev/t/customize-faults/14110 (fault),
#: https://www.rfc-editor.org/rfc/rfc6749#section-5.2 (error, error_description),
#: https://www.rfc-editor.org/rfc/rfc9457#section-3.1 (title, detail).
_ERROR_MEMBERS = ("error", "errors", "fault", "error_description", "faultstring")
_TEXT_MEMBERS = ("code", "status", "message", "error_description", "faultstring", "title", "detail")


def described(content: bytes) -> str:
    """What a body is that is not the requested resource, with what it says is wrong.

    The text is shortened, on one line and without secrets.
    """
    issues = issues_of(content)
    if issues is not None:
        worst = next((one for one in issues if is_refusal(one)), issues[0] if issues else None)
        return "an OperationOutcome" + (f": {worst.words}" if worst is not None else "")
    start = content[:_HEAD_OF_PAGE].lstrip().lower()
    if start.startswith((b"<!doctype html", b"<html")):
        title = _TITLE.search(content[:_HEAD_OF_PAGE])
        named = f" with the title {_short(title[1].decode(errors='replace'))!r}" if title else ""
        return f"a page of HTML{named}: is there a sign-in page or a gateway before the server?"
    try:
        decoded = msgspec.json.decode(content)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return "no JSON" if content.strip() else "an empty body"
    return _described_json(decoded)


def _described_json(decoded: object) -> str:
    if not isinstance(decoded, dict):
        return "JSON that is no resource"
    for name in _ERROR_MEMBERS:
        if name in decoded:
            return f"an error in JSON: {_short(_text_of(decoded[name]))}"
    kind = decoded.get("resourceType")
    return f"a {_short(kind)}" if isinstance(kind, str) else "JSON without a resourceType"


def _text_of(error: object) -> str:
    """The texts of an error, which is a text, an object with texts, or a list of these."""
    if isinstance(error, list):
        error = error[0] if error else ""
    if isinstance(error, dict):
        texts = [str(error[name]) for name in _TEXT_MEMBERS if error.get(name)]
        return ": ".join(texts) or "unnamed"
    return str(error)


def _short(text: str) -> str:
    return escaped(masked(" ".join(text.split())))[:_LONGEST_TEXT]
