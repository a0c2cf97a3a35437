"""Runs the program on one input in several ways, and compares what it says with itself."""

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from fhircryo.publish.folder_target import FILES, OBSERVATIONS, PROVENANCES
from tests.fuzz.arrange import plainly
from tests.fuzz.documents import Document
from tests.fuzz.inputs import SITE, Input
from tests.fuzz.mutate import with_noise
from tests.fuzz.oracles import (
    CODES,
    Finding,
    check_explanation,
    check_folder,
    check_not_used,
    check_page,
    check_run,
    check_table,
    expect,
    lines_of,
    of_bystanders,
    published_values,
)
from tests.fuzz.program import Run, run, shared_among_processes
from tests.fuzz.seeds import BYSTANDERS

#: CPU seconds of a command on the bystanders alone, and of computing a byte (measured).
_USUAL = {"compute": 0.04, "explain": 0.05, "mappings": 0.2, "cohort": 0.6, "review": 0.6}
_PER_BYTE = 0.5e-6
#: How somebody, or a spreadsheet, writes the id of a patient.
_FORMS_OF_IDS = (
    *("{}", "{}", "{}", "Patient/{}", " {} ", "\ufeff{}", "{}\u200b", "\u200e{}", "\u00a0{}\u00a0"),
    *('"{}"', "{};", "{}\x00", "{} # objected", "https://fhir.example/r4/Patient/{}", "{}\u00ad"),
)
#: The endpoints of the bystanders alone, by cut-off date and whether the overlay is applied.
REFERENCE: dict[tuple[str, bool], list[bytes]] = {}


@dataclass
class Checks:
    """The checks of one input in a folder; which of the slower ones are made follows its seed."""

    given: Input
    work: Path
    rng: Random = field(init=False)
    source: Path = field(init=False)

    def __post_init__(self) -> None:
        self.rng = Random(f"{self.given.name}/checks")
        self.source = self.given.write(self.work / "in")

    def all(self) -> None:
        """Make the checks.

        Raises:
            Finding: one of them failed.
        """
        out = self.work / "out"
        done = self._compute(self.source, out)
        check_folder(out, done)
        rarely = [
            (0.5, self._arrangement),
            (0.1, self._noise),
            (0.05, self._processes),
            (0.15, self._explanation),
            (0.02, self._table),
            (0.01, self._other_cohorts),
            (0.02, self._review),
            (0.06, self._survey),
            (0.03, self._shapes),
            (0.06, self._objection),
        ]
        # All are drawn, whatever the input: a smaller input that fails has the same checks.
        chosen = [check for share, check in rarely if self.rng.random() < share]
        if self.given.document is not None:
            self._document(self.given.document)
        if done.code not in (0, 4):
            return
        self._bystanders(out)
        for check in chosen:
            check(out)

    def _options(self, *more: str | Path) -> list[str | Path]:
        overlay: list[str | Path] = ["--mappings", SITE] if self.given.overlay else []
        return ["--as-of", self.given.as_of, *overlay, *more]

    def _compute(self, source: Path, out: Path, *more: str | Path) -> Run:
        return self._run("compute", source, out, *self._options(*more))

    def _run(self, *arguments: str | Path, codes: frozenset[int] = CODES) -> Run:
        size = sum(len(content) for content in self.given.files.values())
        usual = _USUAL.get(str(arguments[0]), 0.1) + _PER_BYTE * size
        done = run(*arguments)
        check_run(done, codes, usual=usual)
        return done

    def _bystanders(self, out: Path) -> None:
        """Nobody else's resources change what is published of a patient."""
        key = (self.given.as_of, self.given.overlay)
        if key not in REFERENCE:
            folder = self.work / "alone"
            alone = self.given.write(self.work / "alone-in", {})
            self._compute(alone, folder)
            REFERENCE[key] = of_bystanders(folder)
        found = of_bystanders(out)
        changed = set(found) ^ set(REFERENCE[key])
        expect(found == REFERENCE[key], "another patient's endpoints changed", sorted(changed)[:4])

    def _arrangement(self, out: Path) -> None:
        """The order and the files in which resources lie are of no matter."""
        if not self.given.others:
            return
        source = self.given.write(self.work / "others", self.given.others)
        other = self.work / "out-others"
        done = self._compute(source, other)
        check_folder(other, done)
        expect_same(out, other, "arrangement", {OBSERVATIONS, PROVENANCES})

    def _noise(self, out: Path) -> None:
        """Elements that FHIR does not define, and copies of a resource, are of no matter."""
        if not self.given.others:
            return
        noisy = [with_noise(one, self.rng) for one in self.given.trees if isinstance(one, dict)]
        files = plainly([*self.given.trees, *noisy])
        source = self.given.write(self.work / "noise", files)
        other = self.work / "out-noise"
        check_folder(other, self._compute(source, other))
        expect_same(out, other, "noise", {OBSERVATIONS})

    def _processes(self, out: Path) -> None:
        """Several processes write what one writes."""
        other = self.work / "out-processes"
        with shared_among_processes():
            one = self.work / "out-parts"
            self._compute(self.source, one, "--workers", "1")
            self._compute(self.source, other, "--workers", "2")
        expect_same(out, one, "parts", set(FILES))
        expect_same(out, other, "processes", set(FILES))

    def _explanation(self, out: Path) -> None:
        """What is explained of a patient is what was published of him."""
        patient = self.rng.choice([*self.given.victims, BYSTANDERS[0]])
        # A merged patient is explained under the id that remains.
        self._run("explain", self.source, patient, *self._options())
        done = self._run("explain", self.source, patient, *self._options("--json"))
        published = published_values(out, patient)
        if done.code == 2:
            expect(not published, "explain: refused although published", done.err)
            return
        story = json.loads(done.out)
        check_explanation(story, published_values(out, story["patient"]))

    def _table(self, out: Path) -> None:
        folder = self.work / "cohort"
        self._run(
            *("cohort", self.source, folder, *self._options()),
            *("--identified", "--yes", "--no-report", "--format", "csv"),
        )
        subjects = {one["subject"]["reference"] for one in lines_of(out / OBSERVATIONS)}
        published = {
            name.partition("/")[2]: published_values(out, name.partition("/")[2])
            for name in subjects
        }
        check_table(folder / "endpoints.csv", published)
        check_not_used(folder / "not_used.csv", out)

    def _other_cohorts(self, out: Path) -> None:
        kind = self.rng.choice(
            (
                ["--aggregate-only"],
                ["--format", "csv,parquet,redcap,omop"],
                ["--format", "stata,spss,omop", "--measure-report", "--by", "baseline_psa"],
                ["--identified", "--yes", "--format", "stata,spss,redcap", "--by", "index_year"],
            )
        )
        folder = self.work / "cohort-other"
        self._run("cohort", self.source, folder, *self._options(), *kind)

    def _review(self, out: Path) -> None:
        """The pages of reviewers show what records say as text."""
        pages = self.work / "review"
        self._run("review", self.source, pages, *self._options())
        for page in pages.rglob("*.html"):
            check_page(page.read_text("utf-8"), page.name)

    def _survey(self, out: Path) -> None:
        """A survey's draft is a valid overlay, and one that changes nothing."""
        options: list[str | Path] = ["--mappings", SITE] if self.given.overlay else []
        draft, told = self.work / "draft.yaml", self.work / "survey.json"
        self._run("mappings", "survey", self.source, "--out", told, "--draft", draft, *options)
        json.loads(told.read_text("utf-8"))
        checked = self._run("mappings", "check", draft, *(options[1:]))
        if "the file is empty" in checked.err:
            return  # Everything is mapped, so that the draft has only comments.
        expect(checked.code == 0, "the draft is not valid", checked.err)
        other = self.work / "out-draft"
        done = self._compute(self.source, other, "--mappings", draft)
        expect(done.code in (0, 4), "the draft is refused", done.err)
        expect_same(out, other, "draft", {OBSERVATIONS})

    def _shapes(self, out: Path) -> None:
        done = self._compute(self.source, self.work / "out-valid", "--validate")
        expect(done.code in (0, 4), "not valid FHIR", done.err)

    def _objection(self, out: Path) -> None:
        """Who objected is not computed, however the list is written, or the list is refused."""
        excluded = self.work / "objected.txt"
        form = self.rng.choice(_FORMS_OF_IDS)
        lines = [form.format(name) for name in self.given.victims]
        excluded.write_bytes(self.rng.choice((b"\n", b"\r\n")).join(map(str.encode, lines)))
        other = self.work / "out-objected"
        done = self._compute(self.source, other, "--exclude", excluded)
        if done.code == 2:
            return
        check_folder(other, done)
        subjects = {one["subject"]["reference"] for one in lines_of(other / OBSERVATIONS)}
        named = subjects & {f"Patient/{name}" for name in self.given.victims}
        expect(not named, "an excluded patient is computed", named)

    def _document(self, document: Document) -> None:
        """A document is used, or refused with its name by every command."""
        path = self.work / document.name
        path.write_bytes(document.content)
        refused = CODES & {0, 2}
        computed = self.work / "out-document"
        options = ["--as-of", self.given.as_of]
        if document.kind == "settings":
            told = self._run("config", "show", "--config", path, codes=refused)
        elif document.kind == "overlay":
            told = self._run("mappings", "check", path, codes=refused)
            self._run("mappings", "show", "--mappings", path, codes=refused)
            used = self._run("compute", self.source, computed, "--mappings", path, *options)
            expect(
                (told.code == 2) <= (used.code == 2), "an overlay is refused, and used", used.err
            )
        else:
            told = self._run("protocols", "show", path, codes=refused)
            used = self._run("compute", self.source, computed, "--protocol", path, *options)
            expect(
                (told.code == 2) <= (used.code == 2), "a protocol is refused, and used", used.err
            )
        if told.code == 2:
            expect(path.name in told.err, "an error does not name the file", told.err)


def expect_same(one: Path, other: Path, what: str, names: set[str]) -> None:
    """Raise a Finding if a file of one folder is not, byte by byte, that of another."""
    for name in sorted(names):
        before, after = (one / name).read_bytes(), (other / name).read_bytes()
        if before != after:
            changed = set(before.splitlines()) ^ set(after.splitlines())
            shown = b"\n".join(sorted(changed)[:6]).decode("utf-8", "replace")
            raise Finding(f"{what}: {name} differs", shown)


def check(given: Input, work: Path) -> Finding | None:
    """Make all checks of an input in a new folder, which is removed; return what was found."""
    try:
        Checks(given, work).all()
    except Finding as finding:
        return finding
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return None
