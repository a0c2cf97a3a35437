"""When two texts, or two spellings of a unit, are the same."""

import unicodedata


def folded(text: str) -> str:
    """A text as it is compared: whatever its case, its white space and its Unicode form."""
    return " ".join(unicodedata.normalize("NFC", text).casefold().split())


def normal_unit(text: str) -> str:
    """A unit's spelling with one micro sign (``u``) and one litre (``L``)."""
    return text.strip().replace("µ", "u").replace("μ", "u").replace("l", "L")
