"""What a finished export says that it has: its manifest.

Source: https://hl7.org/fhir/uv/bulkdata/export.html#response---complete-status
"""

import msgspec

from fhircryo.calendar import moment
from fhircryo.errors import SourceError
from fhircryo.fhir.client import joined, without_query


class OutputFile(msgspec.Struct):
    """A file: what type it holds, where it is, and how many resources are in it."""

    url: str
    type: str | None = None
    count: int | None = None


class BulkManifest(msgspec.Struct, rename="camel"):
    """A finished export. ``requires_access_token`` None: it does not say."""

    transaction_time: str | None = None
    requires_access_token: bool | None = None
    output: list[OutputFile] = []
    deleted: list[OutputFile] = []
    error: list[OutputFile] = []


def read_manifest(content: bytes, url: str) -> BulkManifest:
    """Decode a manifest; ``url``: where it is from, to which its links may be relative.

    Raises:
        SourceError: it is none.
    """
    try:
        found = msgspec.json.decode(content, type=BulkManifest)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise SourceError(f"{without_query(url)}: no manifest of an export: {error}") from None
    if found.transaction_time and moment(found.transaction_time).year == 1:
        found.transaction_time = None  # no time that can be read: nothing can go on from it
    for files in (found.output, found.deleted, found.error):
        for file in files:
            file.url = joined(url, file.url)
    return found
