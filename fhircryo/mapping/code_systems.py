"""Groups of code systems that are editions of one classification, such as those of ICD-10."""

from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar

from fhircryo.mapping.locations import Located
from fhircryo.mapping.normalise import undotted
from fhircryo.mapping.overlay import WithdrawnCode
from fhircryo.mapping.schema import (
    ListedCode,
)

ListedT = TypeVar("ListedT", bound=ListedCode)


class CodeSystems:
    """The groups by name; codes of their systems are compared without dots and in capitals."""

    def __init__(self, groups: Mapping[str, tuple[str, ...]] | None = None) -> None:
        self._groups = dict(groups or {})
        self.undotted = frozenset(one for systems in self._groups.values() for one in systems)
        #: The OIDs of systems that a group names by their URLs as well.
        self.oids = frozenset(one for one in self.undotted if one.startswith("urn:oid:"))

    def of(self, system: str) -> tuple[str, ...]:
        """Return the systems of a group, or the system itself where it names no group."""
        return self._groups.get(system, (system,))

    def normal_code(self, system: str | None, code: str) -> str:
        """Return a code in the form in which codes of its system are compared."""
        return undotted(code) if system in self.undotted else code

    def expanded(self, codes: Iterable[Located[ListedT]]) -> Iterator[Located[ListedT]]:
        """Yield an entry for each system of a group, and for each code that an entry lists."""
        for code, location in codes:
            for system in self.of(code.system):
                for listed, display in code.listed():
                    update: dict[str, object] = {"system": system, "code": listed}
                    update |= {"display": display, "to": None, "more": {}}
                    yield Located(code.model_copy(update=update), location)

    def withdraws(self, withdrawn: WithdrawnCode, system: str, code: str) -> bool:
        """Return whether a code is the withdrawn code or one of its withdrawn descendants."""
        if system != withdrawn.system:
            return False
        normal = self.normal_code(system, code)
        target = self.normal_code(system, withdrawn.code)
        return normal.startswith(target) if withdrawn.descendants else normal == target

    def covers(self, code: ListedCode, withdrawn: WithdrawnCode) -> bool:
        """Return whether a code is a prefix of the withdrawn code."""
        return (
            code.descendants is not None
            and code.system == withdrawn.system
            and self.normal_code(code.system, withdrawn.code).startswith(
                self.normal_code(code.system, code.code)
            )
        )
