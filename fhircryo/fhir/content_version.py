"""The version of a resource by its content, for servers that state neither version nor time.

HL7 asks servers to give ``meta.versionId`` and ``meta.lastUpdated``, but not all of them do: Epic
gives neither.
"""

import hashlib
from contextlib import suppress

import msgspec

#: Numbers are kept as they are written.
_ANY_JSON = msgspec.json.Decoder(float_hook=str)
_SORTED = msgspec.json.Encoder(order="sorted")


def content_version(line: bytes) -> str:
    """Return a hash of a resource's content.

    The order of elements and the blanks between them do not matter. What cannot be decoded is
    hashed as it is.
    """
    with suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        line = _SORTED.encode(_ANY_JSON.decode(line))
    return f"sha256:{hashlib.sha256(line).hexdigest()}"
