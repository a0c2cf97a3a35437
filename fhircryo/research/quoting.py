"""Outside text in files for people: cells that no spreadsheet computes, text that is no Markdown.

A spreadsheet takes a cell that begins with ``=``, ``+``, ``-`` or ``@`` for a formula, which can
fetch web pages and start programs. An apostrophe before it makes it a text.
Source: OWASP, "CSV Injection", https://owasp.org/www-community/attacks/CSV_Injection
"""

import re

import pyarrow as pa

from fhircryo.logs import escaped

_APOSTROPHE = "'"
#: What spreadsheets drop before they look for a formula: blanks, control characters, quotes.
_DROPPED = '[\x00-\x20\x7f-\xa0\u2000-\u200f\u2028-\u202f\u3000\ufeff"`\u2018\u2019\u201c\u201d]*'
#: The signs of a formula, also as letters of full width.
_SIGNS = "[=+\\-@\uff1d\uff0b\uff0d\uff20]"
#: A cell that gets an apostrophe. One that begins with an apostrophe gets another one, so that a
#: reader can take the first apostrophe of every cell away.
_UNSAFE = f"^(?:'|[\t\r\n]|{_DROPPED}{_SIGNS})"
#: A number is no formula, whatever its sign.
_NUMBER = "^[+-]?[0-9]+(?:\\.[0-9]+)?$"
_UNSAFE_CELL = re.compile(_UNSAFE)
_NUMBER_CELL = re.compile(_NUMBER)

#: What Markdown gives a meaning within a line, also with the extensions of GitHub and Pandoc.
_MARKDOWN = re.compile(r"([\\`*_\[\]<>{}|&~$^@#])")


def cell(text: str) -> str:
    """Return a text as a cell that a spreadsheet shows and does not compute."""
    if _UNSAFE_CELL.search(text) and not _NUMBER_CELL.fullmatch(text):
        return _APOSTROPHE + text
    return text


def cells(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a column of texts as ``cell`` returns each of them."""
    from pyarrow import compute

    unsafe = compute.and_not(
        compute.match_substring_regex(texts, _UNSAFE),
        compute.match_substring_regex(texts, _NUMBER),
    )
    return compute.if_else(unsafe, compute.binary_join_element_wise(_APOSTROPHE, texts, ""), texts)


def markdown(text: str) -> str:
    """Return an outside text for a line of Markdown that shows it, and nothing else."""
    return _MARKDOWN.sub(r"\\\1", plain(text))


def plain(text: str) -> str:
    """Return an outside text as part of one line: its blanks are spaces, the rest is escaped."""
    return escaped(" ".join(text.split()))
