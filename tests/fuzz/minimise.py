"""Makes the input of a finding as small as it can quickly be."""

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from tests.fuzz import arrange
from tests.fuzz.inputs import Input, other_files
from tests.fuzz.mutate import Place, places

#: So many smaller inputs are tried.
_TRIALS = 150


def minimised(given: Input, fails: Callable[[Input], bool]) -> Input:
    """Return an input with as few resources and elements as still fail in the same way."""
    trials = _TRIALS

    def still(trees: list[Any]) -> Input | None:
        nonlocal trials
        if not trials:
            return None
        trials -= 1
        smaller = _with(given, trees)
        return smaller if fails(smaller) else None

    plain = given.files == arrange.plainly(given.trees)
    if not plain or still(given.trees) is None:
        return given
    trees = _fewer(given.trees, still)
    for tree in trees:
        _strip(tree, lambda: still(trees) is not None)
    return _with(given, trees)


def _with(given: Input, trees: list[Any]) -> Input:
    return replace(
        given, trees=trees, files=arrange.plainly(trees), others=other_files(given.name, trees)
    )


def _fewer(trees: list[Any], still: Callable[[list[Any]], Input | None]) -> list[Any]:
    size = max(1, len(trees) // 2)
    while size:
        start = 0
        while start < len(trees):
            fewer = trees[:start] + trees[start + size :]
            if still(fewer) is not None:
                trees = fewer
            else:
                start += size
        size //= 2
    return copy.deepcopy(trees)


def _strip(tree: Any, still: Callable[[], bool]) -> None:
    """Remove the parts of a tree that are not needed, the largest first."""
    waiting: list[Place] = [one for one in places(tree) if isinstance(one.holder, dict)]
    for place in waiting:
        if place.key in ("resourceType", "id") or place.key not in place.holder:
            continue
        value = place.holder.pop(place.key)
        if not still():
            place.holder[place.key] = value
