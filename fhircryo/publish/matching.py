"""Finds the patients of a source on another server, by an identifier that both know."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import msgspec

from fhircryo.fhir.search import Searcher

_IDENTIFIERS_PER_SEARCH = 25


class _Identifier(msgspec.Struct):
    system: str | None = None
    value: str | None = None


class _Patient(msgspec.Struct):
    id: str
    identifier: list[_Identifier] | None = None


@dataclass
class Matched:
    """The target's ids of patients, or why there is none, by the id in the source."""

    ids: dict[str, str] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)


def match_patients(searcher: Searcher, system: str, known_as: Mapping[str, str]) -> Matched:
    """Find patients by their identifiers of a system.

    ``known_as``: the identifiers by the patient's id in the source; empty where there is none.
    """
    found = _holders(searcher, system, {value for value in known_as.values() if value})
    matched = Matched()
    for patient, value in known_as.items():
        holders = sorted(found.get(value, ()))
        if not value:
            matched.problems[patient] = (
                f"the patient has no identifier of {system}, or more than one"
            )
        elif not holders:
            matched.problems[patient] = (
                "no patient of the target has the identifier of this patient"
            )
        elif len(holders) > 1:
            names = ", ".join(f"Patient/{holder}" for holder in holders)
            matched.problems[patient] = (
                f"several patients of the target have the identifier of this patient: {names}"
            )
        else:
            matched.ids[patient] = holders[0]
    _refuse_shared(matched)
    return matched


def _refuse_shared(matched: Matched) -> None:
    """Leave out patients who match the same patient: their endpoints would overwrite each other."""
    by_target: dict[str, list[str]] = {}
    for patient, target in matched.ids.items():
        by_target.setdefault(target, []).append(patient)
    for target, patients in by_target.items():
        if len(patients) > 1:
            for patient in patients:
                del matched.ids[patient]
                matched.problems[patient] = (
                    f"Patient/{target} of the target matches other patients of the source as well"
                )


def _holders(searcher: Searcher, system: str, values: Iterable[str]) -> dict[str, set[str]]:
    """The ids of the target's patients with each of some identifiers."""
    wanted = sorted(values)
    found: dict[str, set[str]] = {}
    for start in range(0, len(wanted), _IDENTIFIERS_PER_SEARCH):
        tokens = [f"{system}|{value}" for value in wanted[start : start + _IDENTIFIERS_PER_SEARCH]]
        for page in searcher.search("Patient", {"identifier": ",".join(tokens)}):
            for line in page:
                patient = msgspec.json.decode(line, type=_Patient)
                for identifier in patient.identifier or ():
                    if identifier.system == system and identifier.value:
                        found.setdefault(identifier.value, set()).add(patient.id)
    return found
