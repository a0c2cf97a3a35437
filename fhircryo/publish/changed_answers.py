"""Counts the changes of a run by endpoint, value and status, as a dry run shows them."""

import re
from collections import Counter
from dataclasses import dataclass, field

from fhircryo.publish.difference import Action, Difference

#: A number with its unit, or an interval of numbers; and the words after it.
_QUANTITY = re.compile(r"[<>]?=?-?(?P<number>[0-9.]++) [^ ,]++(?P<rest>, .*)?")


@dataclass
class ChangedAnswers:
    """How many endpoints that stand on a target change, and how.

    ``answers``: by endpoint, value before and value after, where the value or the reason of its
    absence changes; numbers are not told apart. ``same_answer``: how many others change, in their
    date, evidence, components, status, profile or protocol version alone. ``statuses``: by status
    before and after, where it changes.
    """

    answers: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    same_answer: int = 0
    statuses: Counter[tuple[str, str]] = field(default_factory=Counter)


def changed_answers(difference: Difference) -> ChangedAnswers:
    """The changes of a run by endpoint; new and retracted endpoints aside."""
    found = ChangedAnswers()
    for patient in difference.changed():
        for change in patient.changes:
            if change.action is not Action.CHANGED or change.published is None:
                continue
            before, after = change.published.answer, change.answer
            if before == after:
                found.same_answer += 1
            else:
                found.answers[change.name, _kind(before), _kind(after)] += 1
            if change.published.status != change.status:
                found.statuses[change.published.status, change.status] += 1
    return found


def _kind(answer: str) -> str:
    """A quantity without its number: ``a number``, ``an interval``; other values as they are."""
    quantity = _QUANTITY.fullmatch(answer)
    if quantity is None:
        return answer
    return ("an interval" if ".." in quantity["number"] else "a number") + (quantity["rest"] or "")
