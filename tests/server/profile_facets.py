"""What a profile demands, one demand at a time, and published resources that fail just one.

The demands are read from the differentials, so that each new one is broken in a test, or the test
fails because it does not know how.
"""

import copy
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from fhircryo.publish.observation_maker import DATA_ABSENT
from fhircryo.setup.conformance.profile import Profile
from fhircryo.setup.conformance.releases import Release, base_definition

Resource = dict[str, Any]

#: A coding that every server knows, and that nothing of ours is bound to.
_FOREIGN = {
    "system": "http://terminology.hl7.org/CodeSystem/observation-category",
    "code": "imaging",
}
#: By element: a type that FHIR lets it refer to, and the profile does not.
OTHER_TYPES = {
    "Observation.subject": "Group",
    "Observation.partOf": "Immunization",
    "Observation.device": "DeviceMetric",
    "Observation.derivedFrom": "ImagingStudy",
    "Provenance.target": "Patient",
    "Provenance.agent.who": "Practitioner",
}
#: The id of the resources of these types.
OTHER = "other"


class Demand(NamedTuple):
    """One demand: the profile that makes it, the element, the kind, and what it demands."""

    profile: Profile
    element: str
    kind: str
    value: Any

    @property
    def name(self) -> str:
        key = self.value["key"] if self.kind == "constraint" else self.kind
        return f"{self.profile.key} {self.element} {key}"


def demands(profile: Profile, release: Release) -> Iterator[Demand]:
    """The demands of a differential beyond those of FHIR, and of its parent."""
    before = {one["id"]: one for one in base_definition(profile.kind, release).elements}
    for one in profile.elements:
        name = one["id"]
        base = before.get(".".join(part.partition(":")[0] for part in name.split(".")), {})
        if one.get("min", 0) > (0 if ":" in name.rpartition(".")[2] else base.get("min", 0)):
            yield Demand(profile, name, "min", one["min"])
        if one.get("max", "*") != "*" and base.get("max") != one["max"]:
            yield Demand(profile, name, "max", one["max"])
        if "type" in one and _types(one) != _types(base):
            yield Demand(profile, name, "type", one["type"])
        if "binding" in one:
            yield Demand(profile, name, "binding", one["binding"])
        for key, value in one.items():
            if key.startswith("pattern") and not _tells_slices_apart(name):
                yield Demand(profile, name, "pattern", value)
        for rule in one.get("constraint", ()):
            yield Demand(profile, name, "constraint", rule)


def _types(element: Resource) -> set[str]:
    return {
        code
        for one in element.get("type", ())
        for code in (
            [one["code"], *one["targetProfile"]] if "targetProfile" in one else [one["code"]]
        )
    }


def _tells_slices_apart(name: str) -> bool:
    """Whether a pattern says which slice an element is in, so that no element there breaks it."""
    return ".category:" in name or name.endswith(".code")


def broken(demand: Demand, resources: list[Resource]) -> Resource:
    """A published resource that fails a demand and no other."""
    breaker = _RULES[demand.value["key"]] if demand.kind == "constraint" else _BREAKERS[demand.kind]
    for resource in resources:
        place = _place(resource, demand.element)
        if place is None:
            continue
        changed = copy.deepcopy(resource)
        place = _place(changed, demand.element)
        assert place is not None
        if breaker(place, demand):
            return changed
    raise AssertionError(f"{demand.name}: no published resource has this element")


class _Place(NamedTuple):
    """Where an element stands: the element that holds it, and its key there."""

    resource: Resource
    holder: Resource
    key: str
    slice: str

    @property
    def value(self) -> Any:
        """The element; of a list the entry of the slice, else the first one."""
        found = self.holder[self.key]
        return _entry(found, self.slice) if isinstance(found, list) else found


def _place(resource: Resource, element: str) -> _Place | None:
    parts = [part.partition(":") for part in element.split(".")][1:]
    if not parts:
        return _Place(resource, {"": resource}, "", "")
    holder: Any = resource
    for number, (name, _, slice_) in enumerate(parts):
        key = name
        if name.endswith("[x]"):
            prefix = slice_ or name.removesuffix("[x]")
            key = next((one for one in holder if one.startswith(prefix)), "")
        if number == len(parts) - 1:
            place = _Place(resource, holder, key, slice_)
            absent = key not in holder or (holder[key] and place.value is None)
            return place if key == "issued" or not absent else None
        if key not in holder:
            return None
        holder = _Place(resource, holder, key, slice_).value
        if holder is None:
            return None
    raise AssertionError(element)


def _entry(entries: list[Any], slice_: str) -> Any:
    """The entry of a slice: a component by its code, a category by its code."""
    if not slice_:
        return entries[0]
    wanted = {"derived": "derived-endpoint"}.get(slice_, slice_)
    for entry in entries:
        (coding, *_) = (entry.get("code") or entry)["coding"]
        if coding["code"] == wanted:
            return entry
    return None


# --- the kinds of demand


def _drop(place: _Place, demand: Demand) -> bool:
    found = place.holder[place.key]
    if isinstance(found, list) and len(found) > 1:
        found.remove(place.value)
    else:
        del place.holder[place.key]
    return True


def _double(place: _Place, demand: Demand) -> bool:
    if demand.value == "0":
        place.holder[place.key] = "2020-01-01T00:00:00Z"
        return True
    another = copy.deepcopy(place.value)
    if demand.element.endswith(".identifier"):
        another["value"] = f"e{'0' * 32}"
    place.holder[place.key].append(another)
    return True


def _other_type(place: _Place, demand: Demand) -> bool:
    if demand.element in OTHER_TYPES:
        place.value.clear()
        place.value["reference"] = f"{OTHER_TYPES[demand.element]}/{OTHER}"
        return True
    name = demand.element.rpartition(".")[2].partition("[x]")[0]
    del place.holder[place.key]
    if name == "value":
        place.holder["valueString"] = "text"
    else:
        place.holder[f"{name}Timing" if name == "effective" else f"{name}Period"] = (
            {"event": ["2020-01-01"]} if name == "effective" else {"start": "2020-01-01"}
        )
    return True


def _unbound(place: _Place, demand: Demand) -> bool:
    if isinstance(place.value, str):
        place.holder[place.key] = "registered"
    elif "coding" in place.value:
        place.value["coding"][:] = [_FOREIGN]
    else:
        return False  # the value is of another type
    return True


def _unlike(place: _Place, demand: Demand) -> bool:
    if isinstance(place.value, str):
        place.holder[place.key] = "quotation"
    elif "code" in demand.value:
        if "code" not in place.value:
            return False
        place.value["code"] = place.value["unit"] = "kg"
    else:
        place.value["system"] = "urn:example:other"
    return True


_Breaker = Callable[[_Place, Demand], bool]
_BREAKERS: dict[str, _Breaker] = {
    "min": _drop,
    "max": _double,
    "type": _other_type,
    "binding": _unbound,
    "pattern": _unlike,
}


# --- the rules in FHIRPath


def _no_value(place: _Place, demand: Demand) -> bool:
    names = [one for one in place.resource if one.startswith(("value", "dataAbsent"))]
    for name in names:
        del place.resource[name]
    return True


def _no_tag(place: _Place, demand: Demand) -> bool:
    del place.resource["meta"]["tag"]
    return True


def _other_identifier(place: _Place, demand: Demand) -> bool:
    place.value["value"] = "1"
    return True


def _without_coding(system: str | None) -> _Breaker:
    def drop(place: _Place, demand: Demand) -> bool:
        codings = place.value["coding"]
        codings[:] = [
            one for one in codings if (one["system"] == DATA_ABSENT) != (system is not None)
        ]
        return True

    return drop


def _other_bounds(place: _Place, demand: Demand) -> bool:
    for bound in ("low", "high"):
        place.value[bound]["code"] = place.value[bound]["unit"] = "mo"
    return True


def _comparator(place: _Place, demand: Demand) -> bool:
    if "valueQuantity" not in place.resource:
        return False
    place.resource["valueQuantity"]["comparator"] = ">"
    return True


def _fraction(place: _Place, demand: Demand) -> bool:
    if "valueQuantity" not in place.resource:
        return False
    place.resource["valueQuantity"]["value"] = 1.5
    return True


def _negative(place: _Place, demand: Demand) -> bool:
    place.resource["valueInteger"] = -1
    return True


def _no_event(place: _Place, demand: Demand) -> bool:
    if "valueQuantity" not in place.resource:
        return False
    del place.resource["component"]
    return True


def _other_scale(place: _Place, demand: Demand) -> bool:
    """A grade of another scale, which the value set of all grades holds."""
    key = place.resource["code"]["coding"][0]["code"]
    if f"'{key}'" not in demand.value["expression"] or "valueCodeableConcept" not in place.resource:
        return False
    base = place.resource["code"]["coding"][0]["system"].removesuffix("/endpoint")
    grade = ("sir-2003", "B") if "clavien" in key else ("clavien-dindo", "II")
    place.resource["valueCodeableConcept"] = {
        "coding": [{"system": f"{base}/{grade[0]}", "code": grade[1]}]
    }
    return True


_RULES: dict[str, _Breaker] = {
    "fhircryo-value": _no_value,
    "fhircryo-tag": _no_tag,
    "fhircryo-identifier": _other_identifier,
    "fhircryo-absent": _without_coding(DATA_ABSENT),
    "fhircryo-reason": _without_coding(None),
    "fhircryo-bounds": _other_bounds,
    "fhircryo-comparator": _comparator,
    "fhircryo-whole": _fraction,
    "fhircryo-count": _negative,
    "fhircryo-event": _no_event,
    "fhircryo-scale-clavien-dindo": _other_scale,
    "fhircryo-scale-sir-2003": _other_scale,
    "fhircryo-scale-ctcae-grade": _other_scale,
}
