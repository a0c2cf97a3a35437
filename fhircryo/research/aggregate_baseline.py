"""The baseline characteristics in an aggregate: rare levels of a category are pooled."""

import numpy as np
from msgspec.structs import replace

from fhircryo.research.baseline_summary import YES, BaselineRow, Level, characteristic
from fhircryo.research.disclosure_topics import DOUBLING, HORMONE, PSA
from fhircryo.research.shown_groups import ShownGroups, as_group
from fhircryo.research.statistics.proportions import proportion
from fhircryo.research.statistics.suppress import POOLED, pool_small

_RADIOTHERAPY = "radiotherapy"
_GRADE = "grade of the biopsy"
#: The topics of the characteristics that are not topics themselves.
_TOPICS = {
    "baseline_psa": PSA,
    "psa_doubling_time": DOUBLING,
    "psa_not_rising": DOUBLING,
    "hormone_therapy_at_index": HORMONE,
    "radiotherapy_interval": _RADIOTHERAPY,
    "prior_radiotherapy": _RADIOTHERAPY,
    "isup_grade_group": _GRADE,
    "gleason_score": _GRADE,
}


def shown_baseline(row: BaselineRow, groups: ShownGroups) -> BaselineRow:
    """A characteristic, without its levels or its quartiles where these may not be shown."""
    topic = _TOPICS.get(row.key, row.key)
    values = characteristic(groups.patients, row.key)
    known = as_group(values.notna()) & groups.everybody
    if not groups.admit(topic, known):
        return BaselineRow(row.key, row.words, None, None)
    if not row.levels:
        return replace(row, values=groups.quartiles(row.values))
    words = values.astype(object).where(values.notna(), None)
    names = sorted({str(word) for word in words[known]} | {level.words for level in row.levels})
    of_level = {name: as_group(words.map(str).eq(name)) & known for name in names}
    counts = pool_small({name: int(of_level[name].sum()) for name in names}, groups.threshold)
    shown_levels = [of_level[name] for name in names if name in counts]
    if POOLED in counts:
        shown_levels.append(known & ~np.logical_or.reduce(shown_levels))
    if set(counts) == {POOLED} or not groups.admit(topic, known, *shown_levels):
        return replace(row, values=None, levels=())
    binary = [level.words for level in row.levels] == [YES]
    shown = tuple(
        Level(name, proportion(count, int(known.sum())))
        for name, count in counts.items()
        if not binary or name == YES
    )
    return replace(row, values=None, levels=shown)
