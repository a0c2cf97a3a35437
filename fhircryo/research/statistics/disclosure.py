"""What may be published of a cohort so that nobody in it can be singled out by arithmetic.

Each published count is the size of a group of patients. Groups between which the definitions set a
relation (an event at 12 months is an event at 24 months) belong to linked topics; others are free
of each other (a prostate volume says nothing of a questionnaire). The groups of linked topics cut
the cohort into atoms: the patients who are in the same groups. A group is published only if
afterwards no atom has 1 patient up to, but not including, the threshold.

Then every count that a reader can compute is a sum of atoms, so that it is 0 or at least the
threshold; and every other count, whatever property of patients it is of, may still be anything
within a range that is at least as wide as the threshold, because at least that many patients of
some atom may or may not have the property. This is stricter than the cell suppression of the
handbook (Hundepool et al., Statistical Disclosure Control, Wiley 2012, chapter 4), which asks for
such a range of every suppressed cell of linked tables: here no linear program has to be solved.

Which topics are linked is said by people, who may have missed a relation. Therefore groups of
different topics, and what is left of one without another within it, are compared as well.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fhircryo.research.statistics.suppress import is_small

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Group = npt.NDArray[np.bool_]
    Atoms = npt.NDArray[np.intp]
    Numbers = npt.NDArray[np.int64]


@dataclass
class _Part:
    """The atoms of the topics that are linked with each other, by the number of each patient."""

    topics: set[str]
    atoms: "Atoms"


class Ledger:
    """The groups that are published of a cohort.

    ``patients``: how many the cohort has. ``linked``: whether the definitions set a relation
    between the groups of two topics.
    """

    def __init__(self, patients: int, threshold: int, linked: Callable[[str, str], bool]) -> None:
        import numpy as np

        self._threshold = threshold
        self._linked = linked
        self._everybody = np.ones(patients, dtype=bool)
        #: Groups that only make two topics related which otherwise are not, by their topic.
        self._shared: dict[str, Atoms] = {}
        self._parts: list[_Part] = []
        self._counted = _Counted.of_everybody(self._everybody)

    def admit(self, topic: str, known: "Group", *groups: "Group") -> bool:
        """Publish these groups together if that is safe beside what is published; say whether.

        ``known``: the patients in whom the topic is known; ``groups``: others, within them or not.
        That something is known in everybody, or that nobody is in a group, restricts nobody.
        """
        if is_small(len(self._everybody), self._threshold):
            return False
        new = [known] if 0 < known.sum() < len(known) else []
        new += [group for group in groups if group.any()]
        if not new:
            return True
        joined = [
            part for part in self._parts if any(self._linked(topic, other) for other in part.topics)
        ]
        bases = [base for name, base in self._shared.items() if self._linked(topic, name)]
        atoms = self._cut([*bases, *(part.atoms for part in joined)], new)
        # What can be read off besides: who is known and is not in a group.
        told = [*new, *(known & ~group for group in groups)]
        if atoms is None or not self._apart(told):
            return False
        topics = {topic}.union(*(part.topics for part in joined))
        self._parts = [part for part in self._parts if part not in joined]
        self._parts.append(_Part(topics, atoms))
        return True

    def admit_shared(self, topic: str, group: "Group") -> bool:
        """Publish a group whose linked topics are related by it alone; say whether.

        The groups of each topic linked with it must be safe within it and outside of it. They need
        not be safe together with those of the other topics: for the patients within it, and for
        those outside of it, they are free of each other. Shared groups of linked topics have to be
        safe together.
        """
        if is_small(len(self._everybody), self._threshold):
            return False
        if not 0 < group.sum() < len(group):
            return True
        bases = [atoms for name, atoms in self._shared.items() if self._linked(topic, name)]
        base = self._cut(bases, [group])
        if base is None:
            return False
        refined = []
        for part in self._parts:
            if any(self._linked(topic, other) for other in part.topics):
                atoms = self._cut([part.atoms], [group])
                if atoms is None:
                    return False
                refined.append((part, atoms))
        if not self._apart([group]):
            return False
        for part, atoms in refined:
            part.atoms = atoms
        self._shared[topic] = base
        return True

    def _cut(self, atoms: "list[Atoms]", groups: "list[Group]") -> "Atoms | None":
        """The atoms of all of these; None if one of them is small."""
        import numpy as np

        _, found = np.unique(np.stack([*atoms, *groups]), axis=1, return_inverse=True)
        sizes = np.bincount(found)
        return found if int(sizes.min()) >= self._threshold else None

    def _apart(self, groups: "list[Group]") -> bool:
        """Publish these groups if that is safe beside all others, of whatever topics; say whether.

        No group, or rest of the cohort, may hold another and few patients more, because a reader
        may guess that one lies within the other. That holds also for what is left of a group
        without another that lies within it, as a reader can subtract these.
        """
        found = self._counted.with_groups(groups)
        if found.has_small_rest(len(self._counted.groups), self._threshold):
            return False
        self._counted = found
        return True


@dataclass(frozen=True)
class _Counted:
    """Groups of patients, with the numbers of patients whom any two of them have in common.

    ``groups``: the first is everybody. ``common``: by the places of two groups. ``nested``: the
    places of two groups of which the second lies within the first.
    """

    groups: "list[Group]"
    common: "Numbers"
    nested: "Numbers"

    @classmethod
    def of_everybody(cls, everybody: "Group") -> "_Counted":
        import numpy as np

        size = np.array([[len(everybody)]])
        return cls([everybody], size, np.empty((0, 2), dtype=np.intp))

    def with_groups(self, more: "list[Group]") -> "_Counted":
        """These groups and others, each once."""
        import numpy as np

        known = {group.tobytes() for group in self.groups}
        new = {group.tobytes(): group for group in more if group.any()}
        groups = [*self.groups, *(group for name, group in new.items() if name not in known)]
        before = len(self.groups)
        # Numbers up to 2 ** 24 are exact in these floats, which are multiplied much faster.
        members = np.stack(groups).astype(np.float32)
        beside = np.rint(members @ members[before:].T).astype(np.int64)
        common = np.empty((len(groups), len(groups)), dtype=np.int64)
        common[:before, :before] = self.common
        common[:, before:] = beside
        common[before:, :] = beside.T
        size = common.diagonal()
        within = (common == size) & (size < size[:, np.newaxis])
        within[:before, :before] = within[0] = False
        return _Counted(groups, common, np.concatenate([self.nested, np.argwhere(within)]))

    def has_small_rest(self, before: int, threshold: int) -> bool:
        """Whether groups that come after the first ones leave few patients beside another.

        ``before``: how many groups and pairs of them are known to leave none.
        """
        size, added = self.common.diagonal(), self.common[:, before:]
        is_new = (self.nested >= before).any(axis=1)
        rests = [(added, size, size[before:])]
        for pairs, common, other in (
            (self.nested[~is_new], added, size[before:]),
            (self.nested[is_new], self.common, size),
        ):
            outer, inner = pairs.T
            rests.append((common[outer] - common[inner], size[outer] - size[inner], other))
        return any(
            _few_apart(common, one[:, None], other, int(size[0]), threshold)
            for common, one, other in rests
        )


def _few_apart(
    common: "Numbers", one: "Numbers", other: "Numbers", everybody: int, threshold: int
) -> bool:
    """Whether one of two groups, or the rest of everybody, holds the other and few patients more.

    ``common``: how many patients are in both, of groups with the sizes ``one`` and ``other``.
    """
    outside, alone, beside = one - common, other - common, everybody - one - other + common
    cases = ((alone, outside), (outside, alone), (common, beside), (beside, common))
    return any(bool(((nobody == 0) & (few > 0) & (few < threshold)).any()) for nobody, few in cases)


class SecretLedger:
    """What is published by group of a cohort whose reader knows all of each patient but the group.

    What is published cuts the cohort into cells of patients who are alike in it. It is safe if
    every cell has patients of several groups, and no small number of any: then the groups of any
    two of them could be exchanged, and every number would be the same.
    """

    def __init__(self, patients: int, threshold: int) -> None:
        import numpy as np

        self._threshold = threshold
        self._groups = np.zeros(patients, dtype=np.intp)
        self._cells = self._groups

    def admit_shared(self, _topic: str, group: "Group") -> bool:
        """Publish the size of a group if that is safe; say whether."""
        import numpy as np

        _, groups = np.unique(np.stack([self._groups, group]), axis=1, return_inverse=True)
        if is_small(int(np.bincount(groups).min(initial=self._threshold)), self._threshold):
            return False
        self._groups = groups
        return True

    def admit(self, _topic: str, known: "Group", *others: "Group") -> bool:
        """Publish how many of each group are known, and are in others, if that is safe."""
        import numpy as np

        _, cells = np.unique(np.stack([self._cells, known, *others]), axis=1, return_inverse=True)
        by_cell = np.zeros((cells.max(initial=0) + 1, self._groups.max(initial=0) + 1), dtype=int)
        np.add.at(by_cell, (cells, self._groups), 1)
        small = (by_cell > 0) & (by_cell < self._threshold)
        if small.any() or ((by_cell > 0).sum(axis=1) < 2).any():
            return False
        self._cells = cells
        return True
