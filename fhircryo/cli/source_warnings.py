"""The warnings about a source with which the summary of a run begins."""

from collections.abc import Collection, Iterable, Mapping, Sequence

#: How many unreadable files are named.
_MOST_FILES = 20


def source_warnings(
    unreadable: int | None,
    advice: str,
    lacking: Iterable[str],
    never_stated: Sequence[str],
    unknown_patients: Iterable[str],
    unreadable_files: Sequence[str] = (),
) -> list[str]:
    """Return a line for each thing that is wrong with a source.

    ``unreadable``: the number of lines or files that could not be read, None if it may not be
    shown and is not 0; ``advice``: where they are
    listed; ``lacking``: the resource types of which the source holds nothing; ``never_stated``: the
    kinds of events that no resource is mapped to;
    ``unknown_patients``: those who were requested and are not in the source; ``unreadable_files``:
    the whole files among what could not be read, each with the reason.
    """
    lines = []
    if unreadable != 0:
        number = "some" if unreadable is None else unreadable
        lines.append(
            f"UNREADABLE: {number} lines or files could not be read, so the result is"
            f" incomplete; {advice}"
        )
        lines += [f"  {name}" for name in unreadable_files[:_MOST_FILES]]
        if len(unreadable_files) > _MOST_FILES:
            lines.append(f"  and {len(unreadable_files) - _MOST_FILES} more files")
    for kind in lacking:
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


def withheld_warnings(withheld: Mapping[str, str], lacking: Collection[str]) -> list[str]:
    """Return a line for each type of which a server says that it withholds results.

    ``withheld``: the server's words by type; ``lacking``: the resource types of which the source
    holds nothing, or not all.
    """
    effect = "; endpoints that depend on this type are absent (source-lacks-type)"
    return [
        f"WITHHELD: {kind}: not everything was read: {words}{effect if kind in lacking else ''}"
        for kind, words in withheld.items()
    ]
