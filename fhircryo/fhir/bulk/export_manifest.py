"""Reads the manifest of a finished export, which lists its files.

Source: https://hl7.org/fhir/uv/bulkdata/export.html#response---complete-status
"""

import msgspec

from fhircryo.calendar import moment
from fhircryo.errors import SourceError
from fhircryo.fhir.urls import joined, without_query


class OutputFile(msgspec.Struct):
    """A file of an export: its URL, its resource type and the number of its resources."""

    url: str
    type: str | None = None
    count: int | None = None


class BulkManifest(msgspec.Struct, rename="camel"):
    """The manifest of a finished export.

    ``requires_access_token``: None if the server does not state it.
    """

    transaction_time: str | None = None
    requires_access_token: bool | None = None
    output: list[OutputFile] = []
    deleted: list[OutputFile] = []
    error: list[OutputFile] = []


def read_manifest(content: bytes, url: str) -> BulkManifest:
    """Decode a manifest. ``url``: its URL, to which links in it may be relative.

    Raises:
        SourceError: the content is not a manifest.
    """
    try:
        found = msgspec.json.decode(content, type=BulkManifest)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise SourceError(
            f"{without_query(url)}: the response is not the manifest of an export: {error}"
        ) from None
    if found.transaction_time and moment(found.transaction_time).year == 1:
        found.transaction_time = None  # unreadable: the next export cannot start from this time
    for files in (found.output, found.deleted, found.error):
        for file in files:
            file.url = joined(url, file.url)
    return found
