"""The snapshot of a profile: the elements of its base with the differential applied.

It does what our differentials need: it changes elements, and it slices elements with what is below
them. It does not walk into data types; a differential that would need it is an error.

Source: https://hl7.org/fhir/R4/profiling.html#snapshot
"""

import copy
from collections.abc import Iterable

from fhircryo.setup.terminology.canonical import Resource


def snapshot(
    base: Iterable[Resource], differential: Iterable[Resource], url: str
) -> list[Resource]:
    """The elements of the snapshot of a profile.

    ``base``: the elements of the snapshot of its base. ``url``: of the profile, which becomes the
    source of its constraints.

    Raises:
        ValueError: an element of the differential is not in the base.
    """
    found = copy.deepcopy(list(base))
    for changed in differential:
        position = _position(found, changed["id"])
        if position is None:
            position = _add_slice(found, changed)
        found[position] = _merged(found[position], changed, url)
    return found


def _position(elements: list[Resource], name: str) -> int | None:
    return next((at for at, one in enumerate(elements) if one["id"] == name), None)


def _add_slice(elements: list[Resource], changed: Resource) -> int:
    """Add a slice after its element and the slices before it; returns its position."""
    name = changed["id"]
    sliced, _, slice_name = name.rpartition(":")
    start = _position(elements, sliced)
    if start is None or slice_name != changed.get("sliceName"):
        raise ValueError(f"{name}: no such element in the base")
    whole = [one for one in elements if _is_below(one["id"], sliced)]
    end = next(
        (
            at
            for at in range(start, len(elements))
            if not _is_below(elements[at]["id"], sliced)
            and not elements[at]["id"].startswith(f"{sliced}:")
        ),
        len(elements),
    )
    added = copy.deepcopy(whole)
    for one in added:
        one["id"] = name + one["id"].removeprefix(sliced)
    added[0].pop("slicing", None)
    added[0]["min"] = 0
    elements[end:end] = added
    return end


def _is_below(name: str, element: str) -> bool:
    """Whether an id is that of an element or of what is below it, its slices aside."""
    return name == element or name.startswith(f"{element}.")


def _merged(element: Resource, changed: Resource, url: str) -> Resource:
    own = [{**one, "source": url} for one in changed.get("constraint", ())]
    merged = {**element, **changed}
    if own:
        merged["constraint"] = [*element.get("constraint", ()), *own]
    return merged
