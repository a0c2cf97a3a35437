"""The warnings about a source with which the summary of a run begins."""

from collections.abc import Iterable, Mapping, Sequence


def source_warnings(
    unreadable: int,
    advice: str,
    lacking: Iterable[str],
    withheld: Mapping[str, str],
    never_stated: Sequence[str],
    unknown_patients: Iterable[str],
) -> list[str]:
    """Return a line for each thing that is wrong with a source.

    ``unreadable``: the number of lines or files that could not be read; ``advice``: where they are
    listed; ``lacking``: the resource types of which the source holds nothing, or not all;
    ``withheld``: the types of which a server withholds results, with its words; ``never_stated``:
    the kinds of events that no resource is mapped to;
    ``unknown_patients``: those who were requested and are not in the source.
    """
    lines = []
    if unreadable:
        lines.append(
            f"UNREADABLE: {unreadable} lines or files could not be read, so the result is"
            f" incomplete; {advice}"
        )
    missing = list(lacking)
    for kind, words in withheld.items():
        effect = "; endpoints that depend on this type are absent (source-lacks-type)"
        lines.append(
            f"WITHHELD: {kind}: not everything was read: {words}{effect if kind in missing else ''}"
        )
    for kind in missing:
        if kind in withheld:
            continue
        lines.append(
            f"LACKING: no {kind} in the whole source; endpoints that depend on this type are"
            " absent (source-lacks-type)"
        )
    if never_stated:
        lines.append(
            f"NEVER SEEN: no resource is mapped to {', '.join(never_stated)}; that there was none"
            " may mean that it is not recorded"
        )
    for patient in unknown_patients:
        lines.append(f"UNKNOWN: Patient/{patient} was requested but is not in the source")
    return lines
