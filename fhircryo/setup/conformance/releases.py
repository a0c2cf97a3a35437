"""The releases of FHIR for which packages are made, and HL7's definitions in each of them."""

import json
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path

from fhircryo.setup.terminology.canonical import Resource

_DEFINITIONS = Path(__file__).parent / "definitions"


class Release(StrEnum):
    """A release of FHIR, by its short name."""

    R4 = "R4"
    R5 = "R5"

    @property
    def version(self) -> str:
        """The number of the release, see https://hl7.org/fhir/versions.html ."""
        return "4.0.1" if self is Release.R4 else "5.0.0"

    @property
    def dependencies(self) -> dict[str, str]:
        """The packages that hold what ours refers to, see https://hl7.org/fhir/packages.html .

        The base specification of R4 holds HL7's older code systems, such as that of yes and no; for
        R5 they are in the package of HL7 Terminology.
        """
        core = {f"hl7.fhir.{self.lower()}.core": self.version}
        return core if self is Release.R4 else core | {"hl7.terminology.r5": "7.0.1"}


@dataclass(frozen=True)
class BaseDefinition:
    """The definition of a resource type: its URL, and the elements of its snapshot."""

    url: str
    elements: list[Resource]


@cache
def base_definition(kind: str, release: Release) -> BaseDefinition:
    """HL7's definition of a resource type, as tests/server/base_definitions.py wrote it."""
    content = json.loads((_DEFINITIONS / f"{kind}-{release}.json").read_text(encoding="utf-8"))
    return BaseDefinition(content["url"], content["element"])
