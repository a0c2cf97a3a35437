"""Recognises the lines of other patients by their text, so that they need not be decoded.

To explain one patient of many, most lines of a source need not be understood: they neither name the
patient nor say anything about what the source holds. What cannot be recognised with certainty is
decoded like everything else.
"""

import re
from collections.abc import Collection, Container, Iterable, Mapping, Sequence

from fhircryo.mapping.concepts import GRADINGS
from fhircryo.mapping.load import Mappings

_BETWEEN = b'","id":"'
#: The beginning of a line as almost every server writes it, of the types that are passed over.
#: Medications are not, because they show whether the source names drugs.
_BEGINNING = re.compile(
    rb'^\{"resourceType":"((?:Patient|Observation|QuestionnaireResponse|Condition|AdverseEvent'
    rb'|Procedure)","id":"[A-Za-z0-9.-]{1,64})"',
    re.MULTILINE,
)
_LONGEST_BEGINNING = 120
_ENDING = b"}\n"
#: Who was merged with whom has to be known of all.
_LINK = b'"link"'
#: The beginning of an escape as which JSON can write a character of an id or code.
_ESCAPE = b"\\u00"


class OtherPatients:
    """Recognises the lines that do not concern a person.

    ``ids``: all ids of the person. ``watched``: references of resources that concern the person
    although they need not name the person. ``gradings``: as :func:`grading_codes` returns them.
    """

    def __init__(
        self, ids: Collection[str], watched: Iterable[str], gradings: Mapping[str, str] | None
    ) -> None:
        self._wanted = [one.encode() for one in ids]
        self._watched = frozenset(ref.partition("#")[0] for ref in watched)
        self._gradings = (
            None
            if gradings is None
            else [(code.encode(), scale) for code, scale in gradings.items()]
        )

    def references_of(self, lines: Sequence[bytes], graded: Container[str] = ()) -> list[str]:
        """The references of the resources of lines that are all of other patients.

        Empty if one of the lines has to be read. Lines are recognised together, because that takes
        a fraction of the time that it takes one by one. ``graded``: the scales of which it is known
        already that the source grades by them.
        """
        text = b"".join(lines)
        if _has(text, _ESCAPE) or any(_has(text, name) for name in self._wanted):
            return []
        if [line[-len(_ENDING) :] for line in lines].count(_ENDING) != len(lines):
            return []
        found = _BEGINNING.findall(b"\n".join([line[:_LONGEST_BEGINNING] for line in lines]))
        if not found or len(found) != len(lines):
            return []
        named = b"\n".join(found).replace(_BETWEEN, b"/").decode()
        if "Patient/" in named and _has(text, _LINK):
            return []
        if "Observation/" in named and self._may_grade(text, graded):
            return []
        refs = named.split("\n")
        return refs if self._watched.isdisjoint(refs) else []

    def _may_grade(self, text: bytes, graded: Container[str]) -> bool:
        """Whether Observations may show that the source grades by a scale."""
        if self._gradings is None:
            return True
        return any(scale not in graded and _has(text, code) for code, scale in self._gradings)


def _has(text: bytes, part: bytes) -> bool:
    """Whether a text contains a part: ``part in text``, which takes twice as long."""
    return text.rfind(part) >= 0


def grading_codes(mappings: Mappings) -> dict[str, str] | None:
    """The codes of Observations that grade complications, each with its scale.

    The scale is empty where only the grade shows it. None where an Observation can grade without a
    code of its own: by a text, or by a code that is compared in a normal form or by its prefix.
    """
    index = mappings.index
    codes: dict[str, str] = {}
    for (system, code), entries in index.exact.items():
        for entry in entries:
            if entry.concept in GRADINGS:
                if system in index.systems.undotted or not code:
                    return None
                codes[code] = entry.of if codes.get(code, entry.of) == entry.of else ""
    for others in (index.texts, index.prefixes):
        if any(entry.concept in GRADINGS for found in others.values() for entry in found):
            return None
    return codes
