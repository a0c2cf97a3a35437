"""What a person has to look at on a target, in words: a run can neither change nor explain it."""

from collections.abc import Iterator, Sequence

from fhircryo.publish.difference import Difference
from fhircryo.publish.renamed_source import renamed_words


def target_warnings(difference: Difference) -> Iterator[str]:
    """The warnings of a run that compared with a target."""
    yield from renamed_words(difference.renamed)
    if difference.of_unknown_source:
        yield (
            f"of {difference.of_unknown_source} endpoints it is not known which source_name they"
            " are of, because the target does not keep meta.tag: they are not retracted when they"
            " lose their basis; have meta.tag kept, or retract these by hand"
        )
    altered = difference.altered()
    if altered:
        yield (
            f"{len(altered)} endpoints stand there otherwise than they were written, such as"
            f" Observation/{altered[0]}: the server, or another program, changes them whenever they"
            " are written; they are not written again as long as nothing new is computed; compare"
            " one with what fhircryo computes, and have that corrected"
        )


def misstated_words(misstated: Sequence[str]) -> str:
    """Why a patient is not written as computed: values that the target changes; empty if none."""
    if not misstated:
        return ""
    more = f", and {len(misstated) - 1} others likewise" if len(misstated) > 1 else ""
    return (
        f"{misstated[0]}{more}: the server, or another program, changes the value whenever it is"
        " written; have that corrected, because whoever reads it there reads a wrong endpoint"
    )
