"""Judges the OperationOutcomes in the Bundles of searches: which say that results are withheld.

Which codes and texts say so is data, in ``mappings/withheld.yaml``.
Source: https://hl7.org/fhir/R4/search.html#errors
"""

import logging
from functools import cache
from typing import NamedTuple

import msgspec

from fhircryo.logs import escaped, masked
from fhircryo.storage.shipped_files import shipped

LOG = logging.getLogger("fhircryo.source")

OPERATION_OUTCOME = "OperationOutcome"
_ADVISORY = frozenset({"information", "warning"})
_LONGEST_TEXT = 300


class _Coding(msgspec.Struct):
    system: str | None = None
    code: str | None = None


class _Details(msgspec.Struct):
    coding: list[_Coding] | None = None
    text: str | None = None


class _Issue(msgspec.Struct):
    severity: str | None = None
    code: str | None = None
    details: _Details | None = None
    diagnostics: str | None = None


class _OperationOutcome(msgspec.Struct, rename="camel"):
    resource_type: str | None = None
    issue: list[_Issue] | None = None


class OutcomeIssue(NamedTuple):
    """An issue of an OperationOutcome; ``details``: the codings of its details, (system, code)."""

    severity: str
    code: str
    details: tuple[tuple[str, str], ...]
    text: str

    @property
    def name(self) -> str:
        """The codes by which the issue is known."""
        return " ".join(
            filter(None, (self.severity, self.code, *(code for _, code in self.details)))
        )

    @property
    def words(self) -> str:
        """The issue's codes and text for a message: shortened, and without secrets."""
        words = f"{self.name}: {self.text}" if self.text else self.name
        # Mask before shortening: half a token would not be recognised as a secret.
        return escaped(masked(words))[:_LONGEST_TEXT]


class _CodeRule(msgspec.Struct, forbid_unknown_fields=True):
    code: str
    verified: str


class _DetailRule(msgspec.Struct, forbid_unknown_fields=True):
    system_prefix: str
    code: str
    verified: str

    def is_met(self, issue: OutcomeIssue) -> bool:
        return any(
            code == self.code and system.startswith(self.system_prefix)
            for system, code in issue.details
        )


class _TextRule(msgspec.Struct, forbid_unknown_fields=True):
    text: str
    verified: str


class _Rules(msgspec.Struct, forbid_unknown_fields=True):
    severities: list[str]
    issue_codes: list[_CodeRule]
    details: list[_DetailRule]
    texts: list[_TextRule]
    harmless: list[_DetailRule]


@cache
def _rules() -> _Rules:
    path = shipped("mappings") / "withheld.yaml"
    return msgspec.yaml.decode(path.read_bytes(), type=_Rules)


def says_withheld(issue: OutcomeIssue) -> bool:
    """Whether an issue of a search's answer says that results are withheld."""
    rules = _rules()
    if issue.severity not in rules.severities:
        return False
    if any(rule.is_met(issue) for rule in rules.harmless):
        return False
    text = issue.text.lower()
    return (
        any(rule.code == issue.code for rule in rules.issue_codes)
        or any(rule.is_met(issue) for rule in rules.details)
        or any(rule.text in text for rule in rules.texts)
    )


def issues_of(content: bytes) -> list[OutcomeIssue] | None:
    """The issues of an OperationOutcome; None if the content is none."""
    try:
        outcome = msgspec.json.decode(content, type=_OperationOutcome)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    if outcome.resource_type != OPERATION_OUTCOME:
        return None
    return [_issue(issue) for issue in outcome.issue or ()]


def is_refusal(issue: OutcomeIssue) -> bool:
    """Whether an issue says that a request failed, and not only something about its answer."""
    return issue.severity not in _ADVISORY


def _issue(issue: _Issue) -> OutcomeIssue:
    details = issue.details or _Details()
    return OutcomeIssue(
        issue.severity or "",
        issue.code or "",
        tuple((one.system or "", one.code or "") for one in details.coding or ()),
        "; ".join(dict.fromkeys(filter(None, (issue.diagnostics, details.text)))),
    )


class Outcomes:
    """What the answers to searches say beside their matches.

    ``withheld``: by resource type, the server's words that say that results are withheld.
    """

    def __init__(self) -> None:
        self.withheld: dict[str, str] = {}
        self._logged: set[str] = set()

    def note(self, kind: str, outcome: bytes) -> None:
        """Judge an OperationOutcome in the answer to a search for a type.

        Each kind of issue is logged once.
        """
        for issue in issues_of(outcome) or ():
            withheld = says_withheld(issue)
            if withheld:
                self.withheld.setdefault(kind, issue.words)
            name = f"{kind} {issue.name}" if withheld else issue.name
            if name not in self._logged:
                self._logged.add(name)
                level = logging.WARNING if withheld else logging.INFO
                LOG.log(level, "%s: the server says: %s", kind, issue.words)
