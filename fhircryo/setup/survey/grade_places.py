"""The places in which grades are or may be recorded."""

from fhircryo.mapping.concepts import GRADINGS
from fhircryo.mapping.load import Mappings
from fhircryo.setup.survey.counts import GradePlaceCounts
from fhircryo.setup.survey.suggestions import Suggester
from fhircryo.setup.survey.survey_json import Candidate, GradeRow, PlaceRow

Value = tuple[str, str, str] | str


def place_rows(
    places: dict[tuple[str, str], GradePlaceCounts], mappings: Mappings, suggester: Suggester
) -> list[PlaceRow]:
    """Return a row for each place with its values; those that cannot be grades are only counted."""
    rows = []
    for (kind, name), place in sorted(places.items()):
        row = PlaceRow(
            f"{kind} {name}".strip(),
            place.count,
            len(place.patients),
            read=kind == "AdverseEvent",
        )
        may_be = ""
        if kind == "extension":
            row.read = name in mappings.extensions
            row.scale = mappings.extensions.get(name, "")
            may_be = "" if row.read else suggester.scale(name.partition("://")[2] or name)
            if may_be:
                row.candidate = Candidate(may_be, "are grades of this scale recorded here?")
        elif kind != "AdverseEvent":
            system, _, code = name.rpartition("|")
            for entry in mappings.meanings(system, code):
                if entry.concept in GRADINGS:
                    row.read, row.scale = True, entry.of
            may_be = "" if row.read else suggester.scale(code)
        for value, number in place.values.most_common():
            _add(row, value, number, row.scale or may_be, mappings, suggester)
        if kind == "extension" and not row.read and row.candidate is None:
            row.candidate = _by_values(row)
        rows.append(row)
    return rows


def _by_values(row: PlaceRow) -> Candidate | None:
    """The scale of which all grades in a place are that is not read; None if there are several."""
    stated = {one.scale or (one.candidate.of if one.candidate else "") for one in row.values}
    if len(stated) != 1:
        return None
    return Candidate(stated.pop(), "some of its values are grades of this scale")


def _add(
    row: PlaceRow,
    value: Value,
    number: int,
    scale: str,
    mappings: Mappings,
    suggester: Suggester,
) -> None:
    """Add a value that is or may be a grade to the row; count any other value."""
    made = GradeRow(row.place, number)
    if isinstance(value, tuple):
        made.system, made.code, made.display = value
        entry = mappings.grades.get(value[:2])
        made.candidate = None if entry else _known_grade(value, scale, mappings, suggester)
        texts = [text for text in (value[2], value[1]) if text]
    else:
        made.text = value
        # If the scale is known, the name of the grade alone is enough.
        entry = mappings.grade_index.of_text(value, scale)
        texts = [value]
    if entry is not None and scale in ("", entry.scale):
        made.scale, made.grade = entry.scale, entry.grade
    if not made.grade and made.candidate is None:
        made.candidate = _candidate(texts, scale, suggester)
    if made.grade or made.candidate is not None:
        row.values.append(made)
    else:
        row.others += number


def _known_grade(
    value: tuple[str, str, str], scale: str, mappings: Mappings, suggester: Suggester
) -> Candidate | None:
    """The grade of a code whose system the mappings know under another name.

    ``scale``: the only scale that it can be of (empty: any).
    """
    for code in suggester.known.same(*value[:2]):
        entry = mappings.grades.get(code)
        if entry is not None and scale in ("", entry.scale):
            words = f"it may be {code.system}|{code.code}"
            return Candidate(entry.scale, words, grade=entry.grade)
    return None


def _candidate(texts: list[str], known: str, suggester: Suggester) -> Candidate | None:
    """A grade whose scale is named in a text, or known from the place; ``known``: that scale."""
    for text in texts:
        scale = suggester.scale(text)
        if scale:
            grade = suggester.grade(text, scale)
            if grade:
                return Candidate(scale, grade=grade)
        elif known:
            grade = suggester.grade(text, known)
            if grade:
                return Candidate(known, grade=grade)
    return next(
        (
            Candidate(scale, "it names the scale; a person must say which grade it is")
            for scale in map(suggester.scale, texts)
            if scale
        ),
        None,
    )
