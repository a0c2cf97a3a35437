"""``fhircryo explain``: how one patient's endpoints came about."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fhircryo.cli.options import AcceptWithheld, AsOf, Exclude, Json, Mappings, Protocol, Source
from fhircryo.cli.printing import say, say_json
from fhircryo.cli.reidentify import check_found, identified
from fhircryo.errors import DONE, UNREADABLE, UsageError

if TYPE_CHECKING:
    from fhircryo.setup.explanation import Story


def explain(
    source: Source,
    patient: Annotated[
        str | None,
        typer.Argument(metavar="[PATIENT]", help="A patient's id.", show_default=False),
    ] = None,
    endpoint: Annotated[
        str | None, typer.Option(metavar="KEY", help="Show the reasoning of this endpoint only.")
    ] = None,
    as_of: AsOf = None,
    protocol: Protocol = None,
    mappings: Mappings = None,
    patients: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|Group/ID", help="Explain these patients, one by one, instead of PATIENT."
        ),
    ] = None,
    exclude: Exclude = None,
    key: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="PATIENT is a pseudonym of this key.",
            show_default=False,
        ),
    ] = None,
    accept_withheld: AcceptWithheld = False,
    as_json: Json = False,
) -> None:
    """Show a patient's baseline, time line, the reasoning of each endpoint, and what was not used.

    \b
    Example:
      fhircryo explain examples/bomers-2020 2029487 --endpoint biochemical-failure
      fhircryo explain examples/bomers-2020 Pgxq5zv3k2m7hr4wt --key cohort.key
      fhircryo explain https://fhir.hospital.example/r4 --patients Group/cryo-trial --json
    """
    from fhircryo.cli.run_options import RunOptions
    from fhircryo.setup.explanation import explain_patients

    if (patient is None) == (patients is None):
        raise UsageError("name either one PATIENT or several with --patients")
    if patient is None and key is not None:
        raise UsageError("--key is for one PATIENT, and not for --patients, which names ids")
    config = RunOptions(
        source, as_of, protocol, mappings, patients, exclude, accept_withheld=accept_withheld
    ).config()
    if patient and key is not None:
        found = identified(source, config, key, [patient])
        check_found(found, [patient], source, key)
        requested = list(found.values())
    elif patient:
        requested = [patient.removeprefix("Patient/")]
    else:
        requested = sorted(config.selection.include or ())
    stories = explain_patients(source, requested, config, endpoint)
    if as_json:
        content = [story.as_dict() for story in stories]
        say_json(content[0] if patient else content)
    else:
        for number, story in enumerate(stories):
            say(*([""] if number else []), *_lines(story))
    unreadable = max(story.unreadable for story in stories)
    if unreadable:
        say(
            f"UNREADABLE: {unreadable} lines or files of the source could not be read; resources of"
            " the patient may be among them",
            err=True,
        )
    raise typer.Exit(UNREADABLE if unreadable else DONE)


def _lines(story: "Story") -> list[str]:
    from fhircryo.publish.outcome import WORDS
    from fhircryo.record.items import Reason

    lines = [f"Patient/{story.patient}  protocol {story.protocol}, as of {story.as_of}", ""]
    if story.index is None:
        lines.append("No index procedure: the patient is outside the cohort and has no endpoints.")
    else:
        lines += ["BASELINE", *_baseline(story), ""]
        lines += ["TIME LINE", *_moments(story), "", "ENDPOINTS", *_endpoints(story)]
    lines += ["", "NOT USED"]
    for unused in story.not_used:
        mark = "used, but " if unused.used else ""
        detail = unused.detail or WORDS.get(Reason(unused.reason), "")
        detail = f"  {detail}" if detail else ""
        lines.append(f"  {unused.resource:<40} {mark}{unused.reason}{detail}")
    if not story.not_used:
        lines.append(
            "  nothing: all of the patient's resources of the types that are read are used"
        )
    return lines


def _baseline(story: "Story") -> list[str]:
    lines = []
    for one in story.baseline:
        when = f", {one.date}" if one.date else ""
        refs = f"  [{', '.join(one.resources)}]" if one.resources else ""
        lines.append(f"  {one.name:<28} {one.value}{when}{refs}")
    return lines


def _moments(story: "Story") -> list[str]:
    width = max((len(moment.date) for moment in story.moments), default=10)
    lines = []
    for moment in story.moments:
        day = "" if moment.day is None else "D0" if moment.day == 0 else f"{moment.day:+d} d"
        ref = f"  [{moment.resource}]" if moment.resource else ""
        lines.append(f"  {moment.date:<{width}} {day:>8}  {moment.what}{ref}")
    return lines


def _endpoints(story: "Story") -> list[str]:
    lines = []
    for explained in story.endpoints:
        name = f"{explained.endpoint} {explained.time_point}".strip()
        lines.append(f"  {name}: {explained.value}  [{explained.status}, {explained.effective}]")
        lines += [f"      {because}" for because in explained.because]
    return lines
