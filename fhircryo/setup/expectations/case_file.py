"""Reads a file of cases."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar

from fhircryo.errors import UsageError
from fhircryo.mapping.yamlfile import Document, StrictModel, read_document, validate
from fhircryo.setup.expectations.case import Case
from fhircryo.setup.expectations.shorthand import SHORTHANDS

CaseT = TypeVar("CaseT", bound=Case)


class CaseFile(StrictModel, Generic[CaseT]):
    """The content of a file of cases.

    Attributes:
        title: a heading.
        about: what the cases are about.
        codes: names for ``system|code``, which lines use as ``{name}``.
        cases: the cases.
    """

    title: str = ""
    about: str = ""
    codes: dict[str, str] = {}
    cases: tuple[CaseT, ...]


class Cases(Generic[CaseT]):
    """The cases of a file, and their places in it."""

    def __init__(self, document: Document, content: CaseFile[CaseT]) -> None:
        self.document = document
        self.content = content

    def place(self, number: int) -> str:
        """``file:line`` of a case."""
        return f"{self.document.path}:{self.document.line(('cases', number))}"


def read_cases(path: Path, model: type[CaseFile[CaseT]]) -> Cases[CaseT]:
    """Read a file of cases; ``model``: ``CaseFile[Case]``, or that of another kind of case.

    Raises:
        UsageError: the file is not valid (with file, line and path), or two cases have one id.
    """
    document = read_document(path, dates_as_text=True)
    content = {} if document.content is None else document.content
    if isinstance(content, dict) and isinstance(content.get("codes"), dict):
        content = _with_codes(content, content["codes"])
    cases = Cases(document, validate(model, content, document))
    seen: dict[str, str] = {}
    for number, case in enumerate(cases.content.cases):
        if case.id in seen:
            raise UsageError(f"{cases.place(number)}: {case.id}: also the id of {seen[case.id]}")
        seen[case.id] = cases.place(number)
    return cases


def _with_codes(content: dict[str, Any], codes: Mapping[str, Any]) -> dict[str, Any]:
    """The content with every ``{name}`` in a line of shorthand replaced by its code."""

    def line(text: Any) -> Any:
        for name, code in codes.items() if isinstance(text, str) else ():
            text = text.replace(f"{{{name}}}", str(code))
        return text

    def case(given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        return {
            key: list(map(line, value)) if key in SHORTHANDS and isinstance(value, list) else value
            for key, value in given.items()
        }

    cases = content.get("cases")
    return content | {"cases": list(map(case, cases))} if isinstance(cases, list) else content
