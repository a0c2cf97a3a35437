"""Words for what a run could not use of its source: whole files, and every index procedure."""

from collections import Counter
from datetime import date

from fhircryo.record.items import NotUsed, Treatment
from fhircryo.runs.read_source import ReadResult

_NO_COHORT = "No patient has an index procedure"


def unreadable_files(read: ReadResult) -> list[str]:
    """Return the files that could not be read as a whole, each with the reason."""
    collected = read.collected
    return [
        f"{collected.place(one)}: {one.detail}"
        for one in sorted(collected.facts.unreadable)
        if not one.line
    ]


def why_no_cohort(read: ReadResult, as_of: date) -> str:
    """Return why no patient is in the cohort, as far as the source shows it.

    That the site's codes are not mapped is only one reason: procedures of mapped codes may all be
    unusable, or later than the cut-off date.
    """
    facts = read.collected.facts
    items = read.collected.items.values()
    unusable = Counter(
        str(item.reason)
        for item in items
        if isinstance(item, NotUsed) and item.ref.startswith("Procedure/")
    )
    later = sum(type(item) is Treatment and item.when.first > as_of for item in items)
    others = sum(type(item) is Treatment for item in items) - later
    broken = sum(1 + one.further for one in facts.all_unreadable if one.kind == "Procedure")
    found = [f"{number} {reason}" for reason, number in sorted(unusable.items())]
    if later:
        found.append(f"{later} after {as_of} (--as-of)")
    if others:
        found.append(f"{others} of patients who are left out")
    if broken:
        found.append(f"{broken} unreadable")
    if found:
        return f"{_NO_COHORT}: procedures that may be one are not used: {', '.join(found)}"
    if not facts.seen.get("Procedure"):
        number = facts.number_unreadable
        but = f"; {number} lines or files are unreadable" if number else ""
        needed = "one with a mapped code (--mappings) is needed"
        return f"{_NO_COHORT}: the source holds no Procedure; {needed}{but}"
    return f"{_NO_COHORT}: are the site's codes mapped (--mappings)?"
