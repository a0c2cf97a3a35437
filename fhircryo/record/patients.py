"""Which records belong to the same person, and which patients may be computed."""

from collections.abc import Iterable
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Selection:
    """The patients who may be computed.

    ``include``: the patients asked for by id (None: all). ``exclude``: the patients who objected.
    Both apply to every record of the same person.
    """

    include: frozenset[str] | None = None
    exclude: frozenset[str] = frozenset()

    def without(self, deleted: frozenset[str]) -> "Selection":
        """Return the selection without patients whose Patient was deleted, as if they objected."""
        return replace(self, exclude=self.exclude | deleted) if deleted else self


#: Every patient of the source.
ALL_PATIENTS = Selection()


class Patients:
    """Resolves merged patients and applies a selection.

    ``links``: for each replaced patient id, the id that replaces it (``Patient.link``).
    """

    def __init__(self, links: dict[str, str], selection: Selection = ALL_PATIENTS) -> None:
        self._links = links
        # What each replaced id resolves to, so that a long chain of links is followed once.
        self._current: dict[str, str] = {}
        include = selection.include
        self._include = None if include is None else frozenset(map(self.current, include))
        self._exclude = frozenset(map(self.current, selection.exclude))

    def current(self, patient: str) -> str:
        """The id that a patient's resources belong to after merging; unmerged ids stay as is.

        Ids whose links lead into a circle are all one person, named by the least id of the circle.
        """
        if patient not in self._links:
            return patient
        path: dict[str, int] = {}
        current = patient
        while current in self._links and current not in self._current:
            if current in path:
                current = min(list(path)[path[current] :])
                break
            path[current] = len(path)
            current = self._links[current]
        current = self._current.get(current, current)
        self._current.update(dict.fromkeys(path, current))
        return current

    def allowed(self, current: str) -> bool:
        """Whether a patient, given by the current id, may be computed."""
        if current in self._exclude:
            return False
        return self._include is None or current in self._include

    def same_persons(self, patients: frozenset[str]) -> frozenset[str]:
        """All ids of the persons whom patient ids belong to."""
        if not patients:
            return patients
        current = set(map(self.current, patients))
        replaced = {old for old in self._links if self.current(old) in current}
        return patients | current | replaced

    def wanted(self, candidates: Iterable[str]) -> frozenset[str]:
        """All ids, replaced ones included, of the candidates who may be computed."""
        found = {current for one in candidates if self.allowed(current := self.current(one))}
        replaced = {old for old in self._links if self.current(old) in found}
        return frozenset(found | replaced)
