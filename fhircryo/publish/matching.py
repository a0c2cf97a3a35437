"""Who a source's patient is on another server: the one with the same identifier there."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import msgspec

from fhircryo.fhir.search import Searcher

_TOGETHER = 25


class _Identifier(msgspec.Struct):
    system: str | None = None
    value: str | None = None


class _Patient(msgspec.Struct):
    id: str
    identifier: list[_Identifier] | None = None


@dataclass
class Matched:
    """By the source's id: the target's id; or why there is none."""

    ids: dict[str, str] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)


def match_patients(searcher: Searcher, system: str, known_as: Mapping[str, str]) -> Matched:
    """Find patients by identifiers of a system; ``known_as``: by the source's id, empty: none."""
    found = _holders(searcher, system, {value for value in known_as.values() if value})
    matched = Matched()
    for patient, value in known_as.items():
        holders = sorted(found.get(value, ()))
        if not value:
            matched.problems[patient] = f"he has no identifier of {system}, or several"
        elif not holders:
            matched.problems[patient] = "no patient of the target has his identifier"
        elif len(holders) > 1:
            names = ", ".join(f"Patient/{one}" for one in holders)
            matched.problems[patient] = (
                f"several patients of the target have his identifier: {names}"
            )
        else:
            matched.ids[patient] = holders[0]
    _refuse_shared(matched)
    return matched


def _refuse_shared(matched: Matched) -> None:
    """Leave out those who are one on the target: whose endpoints would stand."""
    by_target: dict[str, list[str]] = {}
    for patient, target in matched.ids.items():
        by_target.setdefault(target, []).append(patient)
    for target, patients in by_target.items():
        if len(patients) > 1:
            for patient in patients:
                del matched.ids[patient]
                matched.problems[patient] = f"Patient/{target} of the target is others as well"


def _holders(searcher: Searcher, system: str, values: Iterable[str]) -> dict[str, set[str]]:
    wanted = sorted(values)
    found: dict[str, set[str]] = {}
    for start in range(0, len(wanted), _TOGETHER):
        tokens = [f"{system}|{value}" for value in wanted[start : start + _TOGETHER]]
        for page in searcher.search("Patient", {"identifier": ",".join(tokens)}):
            for line in page:
                patient = msgspec.json.decode(line, type=_Patient)
                for one in patient.identifier or ():
                    if one.system == system and one.value:
                        found.setdefault(one.value, set()).add(patient.id)
    return found
