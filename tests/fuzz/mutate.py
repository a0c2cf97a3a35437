"""Mutates resources by their structure: elements, values, references, nesting."""

import copy
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

from tests.fuzz import hostile
from tests.fuzz.json_text import Literal, Twice, written
from tests.fuzz.seeds import Resource, Seeds

_DATE = re.compile(r"\d{4}(-\d\d(-\d\d(T.*)?)?)?")
_REFERENCE = re.compile(r"[A-Z][A-Za-z]+/[A-Za-z0-9.-]+")
_CHOICES = (
    *("valueQuantity", "valueString", "valueCodeableConcept", "valueInteger", "valueDateTime"),
    *("valueRange", "valueRatio", "valueBoolean", "valueDecimal", "valueCoding"),
)
_TIMES = (
    *("performedDateTime", "performedPeriod", "performedString", "occurrenceDateTime"),
    *("effectiveDateTime", "effectivePeriod", "effectiveInstant", "onsetDateTime", "onsetPeriod"),
    *("onsetAge", "deceasedDateTime", "deceasedBoolean", "abatementDateTime", "authored"),
)
#: The characters that the copies of an element may have in all.
_LARGEST = 500_000
#: The extension that says why an element is absent.
_ABSENT = [{"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason"}]


@dataclass(frozen=True)
class Place:
    """A part of a tree: what holds it, and its key or index there."""

    holder: Any
    key: Any

    @property
    def value(self) -> Any:
        """The part itself."""
        return self.holder[self.key]

    def put(self, value: Any) -> None:
        """Replace the part."""
        self.holder[self.key] = value

    def drop(self) -> None:
        """Remove the part."""
        del self.holder[self.key]


def places(tree: Any) -> list[Place]:
    """All parts of a tree of objects and arrays, itself aside."""
    return list(_places(tree))


def _places(tree: Any) -> Iterator[Place]:
    keys: Any = ()
    if isinstance(tree, dict):
        keys = list(tree)
    elif isinstance(tree, list):
        keys = range(len(tree))
    for key in keys:
        yield Place(tree, key)
        yield from _places(tree[key])


def _copies(tree: Any) -> int:
    """How many copies of a tree an input may get: the program is tested, not its machine."""
    return max(1, _LARGEST // len(written(tree)))


class Mutator:
    """Mutates resources at random; ``ids``: the resources that references may lead to."""

    def __init__(self, rng: Random, seeds: Seeds, ids: list[str]) -> None:
        self._rng = rng
        self._seeds = seeds
        self._ids = ids
        self._kinds: list[tuple[int, Callable[[Resource], None]]] = [
            (6, self._fit_value),
            (3, self._any_value),
            (3, self._known_value),
            (3, self._drop),
            (2, self._repeat),
            (2, self._wrap),
            (2, self._add),
            (2, self._retype),
            (1, self._absent),
            (1, self._twice),
            (1, self._nest),
            (1, self._meta),
            (1, self._contain),
        ]

    def mutated(self, resource: Resource, times: int) -> Resource:
        """Return a copy of a resource with some mutations."""
        copied = copy.deepcopy(resource)
        for _ in range(times):
            weights = [weight for weight, _ in self._kinds]
            mutation = self._rng.choices([kind for _, kind in self._kinds], weights)[0]
            mutation(copied)
        return copied

    def _place(self, resource: Resource) -> Place | None:
        found = [
            place
            for place in places(resource)
            # Most mutations of these two make the whole resource unreadable, which is soon known.
            if place.key not in ("resourceType", "id") or self._rng.random() < 0.05
        ]
        return self._rng.choice(found) if found else None

    def _fit_value(self, resource: Resource) -> None:
        """Replace a value by one of its own kind."""
        leaves = [one for one in places(resource) if not isinstance(one.value, (dict, list))]
        leaves = [one for one in leaves if one.key not in ("resourceType", "id")]
        if not leaves:
            return
        place = self._rng.choice(leaves)
        place.put(self._like(place.key, place.value))

    def _like(self, key: Any, value: Any) -> Any:
        rng = self._rng
        if isinstance(value, bool):
            return rng.choice((not value, None, "true", 1))
        if isinstance(value, (int, float)):
            return hostile.number(rng)
        if not isinstance(value, str):
            return hostile.anything(rng)
        if _DATE.fullmatch(value):
            return hostile.date(rng)
        if key == "system":
            return hostile.system(rng)
        if _REFERENCE.fullmatch(value):
            return hostile.reference(rng, self._ids)
        if rng.random() < 0.4 and key in self._seeds.by_key:
            return copy.deepcopy(rng.choice(self._seeds.by_key[key]))
        if rng.random() < 0.3:
            return value + rng.choice(("\x00", " ", "\n", "\u202e", "|1", "/", "#", "\u200b"))
        return hostile.text(rng)

    def _any_value(self, resource: Resource) -> None:
        place = self._place(resource)
        if place is not None:
            place.put(hostile.anything(self._rng))

    def _known_value(self, resource: Resource) -> None:
        """Replace a value by one that stands under the same key somewhere else."""
        place = self._place(resource)
        if place is not None and place.key in self._seeds.by_key:
            place.put(copy.deepcopy(self._rng.choice(self._seeds.by_key[place.key])))

    def _drop(self, resource: Resource) -> None:
        place = self._place(resource)
        if place is not None:
            place.drop()

    def _repeat(self, resource: Resource) -> None:
        arrays = [one for one in places(resource) if isinstance(one.value, list) and one.value]
        if not arrays:
            return
        array = self._rng.choice(arrays).value
        one = self._rng.choice(array)
        times = min(self._rng.choice((1, 1, 1, 2, 50, 1000)), _copies(one))
        array += [copy.deepcopy(one) for _ in range(times)]
        self._rng.shuffle(array)

    def _wrap(self, resource: Resource) -> None:
        """Put a value into an array, or take one out of it."""
        place = self._place(resource)
        if place is None:
            return
        value = place.value
        if isinstance(value, list) and value:
            place.put(self._rng.choice(value))
        else:
            key = str(place.key)
            place.put(self._rng.choice(([value], {key: value}, [value, value], [[value]])))

    def _add(self, resource: Resource) -> None:
        """Add an element that exists somewhere else, or one that nobody knows."""
        objects = [resource, *(one.value for one in places(resource))]
        holder = self._rng.choice([one for one in objects if isinstance(one, dict)])
        if self._rng.random() < 0.1:
            holder[hostile.text(self._rng)] = hostile.anything(self._rng)
            return
        key = self._rng.choice(list(self._seeds.by_key))
        holder[key] = copy.deepcopy(self._rng.choice(self._seeds.by_key[key]))

    def _retype(self, resource: Resource) -> None:
        """Give an element of several types another type, with or without a value of that type."""
        names = self._rng.choice((_CHOICES, _TIMES))
        found = [one for one in places(resource) if one.key in names]
        if not found:
            return
        place = self._rng.choice(found)
        other = self._rng.choice(names)
        value = place.value
        if self._rng.random() < 0.8:
            place.drop()
        known = self._seeds.by_key.get(other)
        place.holder[other] = copy.deepcopy(self._rng.choice(known)) if known else value
        if other.endswith(("DateTime", "Instant")) and self._rng.random() < 0.5:
            place.holder[other] = hostile.date(self._rng)

    def _absent(self, resource: Resource) -> None:
        """Leave only the statement that an element is absent."""
        objects = [one for one in places(resource) if isinstance(one.holder, dict)]
        if objects:
            place = self._rng.choice(objects)
            place.holder[f"_{place.key}"] = {"extension": copy.deepcopy(_ABSENT)}
            if self._rng.random() < 0.8 and place.key in place.holder:
                place.drop()

    def _twice(self, resource: Resource) -> None:
        """Let a key occur twice in an object."""
        found = [one for one in places(resource) if isinstance(one.value, dict) and one.value]
        if found:
            place = self._rng.choice(found)
            key = self._rng.choice(list(place.value))
            place.put(Twice(place.value, key, hostile.anything(self._rng)))

    def _nest(self, resource: Resource) -> None:
        """Put an element into copies of itself."""
        found = [one for one in places(resource) if isinstance(one.value, dict)]
        if not found:
            return
        if self._rng.random() < 0.3:
            self._rng.choice(found).put(hostile.nesting(self._rng))
            return
        place = self._rng.choice(found)
        key = self._rng.choice(("item", "extension", "component", "answer", "contained", "part"))
        tree: Any = copy.deepcopy(place.value)
        for _ in range(min(self._rng.choice((1, 2, 5, 25)), _copies(place.value))):
            tree = {**place.value, key: [tree]}
        place.put(tree)

    def _meta(self, resource: Resource) -> None:
        rng = self._rng
        version = rng.choice(("1", "2", "10", "x", "", "9" * 5000, "٣", "²", "-1", "1e9", 7, None))
        resource["meta"] = rng.choice(
            (
                {"versionId": version, "lastUpdated": hostile.date(rng)},
                {"versionId": version},
                {"lastUpdated": hostile.date(rng)},
                {"security": [{"system": hostile.system(rng), "code": "HTEST"}]},
                {"tag": [{"code": hostile.text(rng)}], "profile": [hostile.text(rng)]},
                hostile.anything(rng),
            )
        )

    def _contain(self, resource: Resource) -> None:
        """Contain a resource, and perhaps refer to it."""
        kinds = list(self._seeds.strangers[:50])
        inner = copy.deepcopy(self._rng.choice(kinds))
        inner["id"] = self._rng.choice(("c", "1", "", "#c", "a/b"))
        resource["contained"] = [inner]
        found = [one for one in places(resource) if one.key == "reference"]
        if found and self._rng.random() < 0.7:
            self._rng.choice(found).put(f"#{inner['id']}")


_NOISE: list[Any] = [
    *(None, True, 1, "x", [], {}, [1, {"a": None}], "\u202e", "2016-01-01"),
    {"coding": [{"system": "http://loinc.org", "code": "2857-1"}]},
    Literal("1e5000"),
]


def with_noise(tree: Resource, rng: Random) -> Resource:
    """Return a copy of a resource with elements that FHIR does not define, and another text."""
    copied = copy.deepcopy(tree)
    objects = [copied, *(one.value for one in places(copied) if isinstance(one.value, dict))]
    for holder in rng.sample(objects, min(3, len(objects))):
        holder[rng.choice(("xUnknown", "note2", "_x", "zzz", ""))] = rng.choice(_NOISE)
    copied["text"] = {"status": "generated", "div": "<div>PSA 99 ng/mL 2857-1</div>"}
    return copied


def unreadable(rng: Random) -> Literal:
    """Return a line that is no resource."""
    texts = (
        *("", "   ", "null", "[]", "{}", "[[]]", "[null]", '""', "0", "{", "}", '{"resourceType":'),
        *('{"resourceType":"Observation"', '{"resourceType":"Nonsense","id":"1"}', "\x00" * 20),
        *('{"resourceType":null}', '{"resourceType":"Observation"}}', "<Bundle/>", "id;value"),
        *('{"resourceType":"Observation"}{"resourceType":"Patient"}', '{"resourceType":"patient"}'),
        *('{"resourceType":["Patient"]}', '{"resourceType":"Observation","id":{"a":1}}', "NaN"),
    )
    return Literal(rng.choice(texts)) if rng.random() < 0.8 else hostile.nesting(rng)
