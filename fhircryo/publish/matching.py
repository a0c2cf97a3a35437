"""Finds the patients of a source on another server, by an identifier that both know."""

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from fhircryo.fhir.search import Searcher
from fhircryo.publish.shapes import json_object, objects_in

LOG = logging.getLogger("fhircryo.target")

_IDENTIFIERS_PER_SEARCH = 25


@dataclass
class Matched:
    """The target's ids of patients, or why there is none, by the id in the source."""

    ids: dict[str, str] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)


class _Holder(NamedTuple):
    """A patient of the target with one of the identifiers; ``is_fhir``: whether it is valid."""

    id: str
    is_fhir: bool


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
            names = ", ".join(f"Patient/{holder.id}" for holder in holders)
            matched.problems[patient] = (
                f"several patients of the target have the identifier of this patient: {names}"
            )
        elif not holders[0].is_fhir:
            matched.problems[patient] = (
                f"Patient/{holders[0].id} of the target has the identifier of this patient in a"
                " form that is not FHIR, such as a number instead of a text; have it corrected"
            )
        else:
            matched.ids[patient] = holders[0].id
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


def _holders(searcher: Searcher, system: str, values: Iterable[str]) -> dict[str, set[_Holder]]:
    """The target's patients with each of some identifiers."""
    wanted = sorted(values)
    found: dict[str, set[_Holder]] = {}
    for start in range(0, len(wanted), _IDENTIFIERS_PER_SEARCH):
        tokens = [f"{system}|{value}" for value in wanted[start : start + _IDENTIFIERS_PER_SEARCH]]
        for page in searcher.search("Patient", {"identifier": ",".join(tokens)}):
            for line in page:
                for value, holder in _identified(line, system):
                    found.setdefault(value, set()).add(holder)
    return found


def _identified(line: bytes, system: str) -> Iterator[tuple[str, _Holder]]:
    """The identifiers of a system that a Patient has, also where they have not the types of FHIR.

    A patient whom it may be is no other patient's match, so that nothing of it is left out.
    """
    patient = json_object(line)
    name, stated = patient.get("id"), patient.get("identifier")
    if not name or not isinstance(name, str | int):
        LOG.warning("TARGET gives a Patient without an id; it is matched with nobody")
        return
    sound = isinstance(name, str) and isinstance(stated, list)
    listed = patient if isinstance(stated, list) else {"identifier": [stated]}
    for identifier in objects_in(listed, "identifier"):
        value = identifier.get("value")
        if identifier.get("system") == system and value not in (None, ""):
            yield str(value), _Holder(str(name), sound and isinstance(value, str))
