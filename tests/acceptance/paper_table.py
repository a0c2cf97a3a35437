"""The example cohort, and the published table from its published Observations.

The table is made here a second time, from the Observations alone, so that it checks the program's.
"""

import calendar
import gzip
import json
from collections.abc import Callable, Iterable, Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from scipy.stats import wilcoxon

from fhircryo.mapping.load import load_protocol
from fhircryo.runs.in_memory import compute_resources

FOLDER = Path(__file__).parents[2] / "examples" / "bomers-2020"
AS_OF = date(2017, 12, 31)
BASE = "https://w3id.org/fhircryo"

Json = dict[str, Any]


class Table(NamedTuple):
    """The published figures."""

    patients: int
    technical_success: int
    major_clavien: int
    major_sir: int
    metastases: int
    disease_free: int
    evaluable: int
    not_evaluable: int
    incontinence: str
    erectile_function: str
    quality_of_life: str


PAPER = Table(62, 62, 2, 1, 6, 36, 57, 5, "worse, P < .001", "worse, P = .001", "no change")


def read_cohort(folder: Path = FOLDER) -> list[Json]:
    """All resources of a folder in the order of its files; a Bundle is one of them."""
    resources = []
    for path in sorted(folder.iterdir()):
        if path.name.endswith((".ndjson", ".json")):
            text = path.read_text(encoding="utf-8")
        elif path.name.endswith(".gz"):
            text = gzip.decompress(path.read_bytes()).decode()
        else:
            continue
        resources += [json.loads(line, parse_float=Decimal) for line in text.splitlines()]
    return resources


def each(resources: Iterable[Json]) -> Iterator[Json]:
    """The resources one by one, those of Bundles too."""
    for resource in resources:
        if resource["resourceType"] == "Bundle":
            for entry in resource["entry"]:
                yield entry["resource"]
        else:
            yield resource


def without(resources: Iterable[Json], unwanted: Callable[[Json], bool]) -> list[Json]:
    """The resources but for the unwanted, in Bundles too."""
    kept = []
    for resource in resources:
        if resource["resourceType"] == "Bundle":
            entries = [one for one in resource["entry"] if not unwanted(one["resource"])]
            kept.append(resource | {"entry": entries})
        elif not unwanted(resource):
            kept.append(resource)
    return kept


class Endpoints:
    """Published Observations by code, time point and patient."""

    def __init__(self, observations: Iterable[Json]) -> None:
        self._found: dict[tuple[str, str], dict[str, Json]] = {}
        for observation in observations:
            code = observation["code"]["coding"][0]["code"]
            patient = observation["subject"]["reference"].removeprefix("Patient/")
            found = self._found.setdefault((code, _time_point(observation)), {})
            assert patient not in found
            found[patient] = observation

    def of(self, code: str, time_point: str = "") -> dict[str, Json]:
        """By patient the Observations of an endpoint."""
        return self._found.get((code, time_point), {})

    def patients(self, code: str, value: str) -> list[str]:
        """Who has this value of an endpoint."""
        return [patient for patient, one in self.of(code).items() if value_of(one) == value]

    def numbers(self, code: str, time_point: str) -> list[float]:
        """The numbers of an endpoint."""
        found = self.of(code, time_point).values()
        return [float(one["valueQuantity"]["value"]) for one in found]


def _time_point(observation: Json) -> str:
    for component in observation.get("component", ()):
        if component["code"]["coding"][0]["code"] == "time-point":
            return str(component["valueCodeableConcept"]["coding"][0]["code"])
    return ""


def value_of(observation: Json | None) -> str:
    """An Observation's value as text: Y, N, a grade, a number, or the reason of its absence."""
    if observation is None:
        return ""
    if "valueCodeableConcept" in observation:
        return str(observation["valueCodeableConcept"]["coding"][0]["code"])
    if "valueQuantity" in observation:
        quantity = observation["valueQuantity"]
        return f"{quantity.get('comparator', '')}{quantity['value']}"
    if "valueInteger" in observation:
        return str(observation["valueInteger"])
    codings = observation["dataAbsentReason"]["coding"]
    return str(next(one["code"] for one in codings if one["system"] == f"{BASE}/CodeSystem/reason"))


def date_of(observation: Json) -> str:
    """An Observation's date, or its period as ``first/last``."""
    if "effectiveDateTime" in observation:
        return str(observation["effectiveDateTime"])
    period = observation["effectivePeriod"]
    return f"{period['start']}/{period['end']}" if "end" in period else str(period["start"])


def compute(resources: Iterable[Json], changed: Json | None = None) -> Endpoints:
    """The endpoints of resources; ``changed``: fields of the protocol, or of its sections."""
    protocol = load_protocol("bomers-2020")
    if changed:
        content = protocol.model_dump(by_alias=True, exclude_none=True)
        for section, fields in changed.items():
            content[section] = content[section] | fields if isinstance(fields, dict) else fields
        protocol = load_protocol(content)
    return Endpoints(compute_resources(resources, AS_OF, protocol).observations)


def table(endpoints: Endpoints, metastasis_months: int = 6) -> Table:
    """The published table."""
    free = len(endpoints.patients("disease-free-12-months", "Y"))
    diseased = len(endpoints.patients("disease-free-12-months", "N"))
    everybody = endpoints.of("technical-success")
    return Table(
        patients=len(everybody),
        technical_success=len(endpoints.patients("technical-success", "Y")),
        major_clavien=len(endpoints.patients("major-complication-clavien", "Y")),
        major_sir=len(endpoints.patients("major-complication-sir", "Y")),
        metastases=_metastases(endpoints, metastasis_months),
        disease_free=free,
        evaluable=free + diseased,
        not_evaluable=len(everybody) - free - diseased,
        incontinence=verdict(endpoints, "iciq-ui-sf", worse=1),
        erectile_function=verdict(endpoints, "iief-5", worse=-1),
        quality_of_life=verdict(endpoints, "qlq-c30-ql2", worse=-1),
    )


def _metastases(endpoints: Endpoints, months: int) -> int:
    """How many men had a metastasis within so many months of the index procedure."""
    begun = day_zero(endpoints)
    count = 0
    for patient in endpoints.patients("metastasis", "Y"):
        last = date.fromisoformat(date_of(endpoints.of("metastasis")[patient])[-10:])
        count += last <= _months_later(begun[patient], months)
    return count


def day_zero(endpoints: Endpoints) -> dict[str, date]:
    """Day 0 by patient: where the period of the complications begins."""
    found = endpoints.of("adverse-event-count").items()
    return {patient: date.fromisoformat(one["effectivePeriod"]["start"]) for patient, one in found}


def _months_later(day: date, months: int) -> date:
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    last = calendar.monthrange(year, month + 1)[1]
    return date(year, month + 1, min(day.day, last))


def verdict(endpoints: Endpoints, instrument: str, worse: int) -> str:
    """What the paired test says of the change at twelve months, as the paper prints it."""
    changes = endpoints.numbers(f"prom-change-{instrument}", "12-months")
    if not any(changes):
        return "no change"
    p = float(wilcoxon(changes).pvalue)
    if p >= 0.05:
        return "no change"
    direction = "worse" if sum(changes) * worse > 0 else "better"
    return (
        f"{direction}, P < .001" if p < 0.0005 else f"{direction}, P = {p:.3f}".replace("0.", ".")
    )
