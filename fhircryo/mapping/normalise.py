"""Normal forms in which texts, and spellings of units, are compared."""

import unicodedata


def folded(text: str) -> str:
    """Return a text without differences of case, white space and Unicode composition."""
    return " ".join(unicodedata.normalize("NFC", text).casefold().split())


def normal_unit(text: str) -> str:
    """Return the spelling of a unit with ``u`` for both micro signs and ``L`` for the litre."""
    return text.strip().replace("µ", "u").replace("μ", "u").replace("l", "L")


def undotted(code: str) -> str:
    """Return a code without dots and in capitals, as codes of ICD-10 are compared."""
    return code.replace(".", "").upper()
