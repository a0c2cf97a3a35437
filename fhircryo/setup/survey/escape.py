"""Makes what a source says safe to show: invisible characters become escape sequences."""

_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def escaped(text: str) -> str:
    r"""Return a text in which every character that is not printable is an escape sequence.

    These are control characters, line breaks, characters that turn the direction of writing, and
    blanks other than the space: ``\n``, ``\x1b``, ``\u202e``. YAML and Python read these sequences
    as the same characters.
    """
    return text if text.isprintable() else "".join(map(_escaped, text))


def _escaped(letter: str) -> str:
    if letter.isprintable():
        return letter
    number = ord(letter)
    if number < 0x100:
        return _SHORT.get(letter, f"\\x{number:02x}")
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"
