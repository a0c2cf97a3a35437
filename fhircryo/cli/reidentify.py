"""``fhircryo reidentify``: the patients behind pseudonyms."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fhircryo.cli.options import AcceptWithheld, Exclude, Mappings, Source
from fhircryo.cli.printing import say
from fhircryo.cli.run_options import RunOptions
from fhircryo.errors import UsageError

if TYPE_CHECKING:
    from fhircryo.runs.run_config import RunConfig

Key = Annotated[
    Path,
    typer.Option(metavar="FILE", help="Key of the pseudonyms, which cohort created."),
]


def reidentify(
    source: Source,
    pseudonyms: Annotated[
        list[str],
        typer.Argument(metavar="PSEUDONYM...", help="Pseudonyms of a cohort's tables."),
    ],
    key: Key,
    mappings: Mappings = None,
    exclude: Exclude = None,
    accept_withheld: AcceptWithheld = False,
) -> None:
    """Print the ids of the patients in SOURCE who have these pseudonyms.

    \b
    Example:
      fhircryo reidentify export/ Pgxq5zv3k2m7hr4wt --key cohort.key
    """
    options = RunOptions(
        source, mappings=mappings, exclude=exclude, accept_withheld=accept_withheld
    )
    found = identified(source, options.config(), key, pseudonyms)
    for pseudonym, patient in found.items():
        say(f"{pseudonym}  Patient/{patient}")
    check_found(found, pseudonyms, source, key)


def identified(
    source: str, config: "RunConfig", key: Path, pseudonyms: Sequence[str]
) -> dict[str, str]:
    """The ids of the patients by pseudonym; those that are not found are missing.

    Raises:
        UsageError: the key cannot be read.
        SourceError: the source cannot be read.
    """
    from fhircryo.research.pseudonyms import read_key
    from fhircryo.research.reidentification import patients_behind

    return patients_behind(source, config, read_key(key), pseudonyms)


def check_found(found: dict[str, str], pseudonyms: Sequence[str], source: str, key: Path) -> None:
    """Raise a UsageError that names the pseudonyms that were not found."""
    lacking = [one for one in pseudonyms if one not in found]
    if lacking:
        raise UsageError(
            f"{', '.join(lacking)}: no patient in {source} has this pseudonym under {key}; is it"
            " the key of that cohort, and does the source still hold the patient?"
        )
