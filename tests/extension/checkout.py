"""A copy of the package that a test extends, and that is run by itself."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from tests.unit import inputs

ROOT = Path(__file__).parents[2]
#: What a run and its spec rows need. Bytecode is copied, so that nothing is compiled again; the
#: tables of the other rows are not, so that only the new rows are run.
COPIED = ("fhircryo", "mappings", "tests/spec")
FILES = ("pyproject.toml", "tests/__init__.py")
AS_OF = "2019-12-31"


class Checkout:
    """A copy of the package; ``touched``: the files that were added or changed in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.touched: set[str] = set()
        for name in COPIED:
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("tables"))
        (folder / "tests/spec/tables").mkdir()
        for name in FILES:
            shutil.copy2(ROOT / name, folder / name)

    def add(self, name: str, text: str) -> None:
        """Add a file."""
        path = self.folder / name
        assert not path.exists(), name
        path.write_text(text, encoding="utf-8")
        self.touched.add(name)

    def change(self, name: str, *changes: tuple[str, str]) -> None:
        """Replace texts of a file, each of which it holds once."""
        path = self.folder / name
        text = path.read_text(encoding="utf-8")
        for old, new in changes:
            assert text.count(old) == 1, f"{name}: {old!r} stands {text.count(old)} times"
            text = text.replace(old, new)
        path.write_text(text, encoding="utf-8")
        self.touched.add(name)

    def run(self, *arguments: object) -> str:
        """Run ``python -m ARGUMENTS`` on the copy; what it wrote to stdout."""
        ran = subprocess.run(
            [sys.executable, "-m", *map(str, arguments)],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(self.folder)},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert ran.returncode == 0, f"{ran.stdout[-3000:]}\n{ran.stderr[-3000:]}"
        return ran.stdout

    def check_rows(self) -> None:
        """Run the spec rows that were added."""
        self.run("pytest", "-q", "-p", "no:cacheprovider", "tests/spec/test_spec.py::test_row")

    def compute(self, source: Path) -> list[dict[str, Any]]:
        """The Observations that ``compute`` publishes."""
        target = self.folder / "computed"
        self.run("fhircryo", "compute", source, target, "--as-of", AS_OF)
        lines = (target / "Observation.ndjson").read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines]

    def explain(self, source: Path, patient: str, key: str) -> list[dict[str, Any]]:
        """The endpoints of a key that ``explain`` explains."""
        text = self.run("fhircryo", "explain", source, patient, "--endpoint", key,
                        "--as-of", AS_OF, "--json")  # fmt: skip
        found: list[dict[str, Any]] = json.loads(text)["endpoints"]
        return found

    def cohort(self, source: Path, *options: object) -> Path:
        """The folder of tables that ``cohort`` writes."""
        target = self.folder / "cohort"
        self.run("fhircryo", "cohort", source, target, "--as-of", AS_OF, "--identified",
                 "--yes", "--format", "csv,parquet,redcap,omop", *options)  # fmt: skip
        return target


def only(observations: Iterable[dict[str, Any]], code: str) -> list[dict[str, Any]]:
    """The Observations of a code."""
    return [one for one in observations if one["code"]["coding"][0]["code"] == code]


def patients(folder: Path) -> pd.DataFrame:
    """The table of patients of a cohort, by id."""
    return pd.read_parquet(folder / "patients.parquet").set_index("patient")


def hospital(folder: Path, *responses: inputs.Resource) -> Path:
    """Two patients, of whom the second has too few results."""
    files: dict[str, bytes | list[inputs.Resource]] = {
        "Patient.ndjson": [inputs.patient("p1"), inputs.patient("p2")],
        "Procedure.ndjson": [
            inputs.procedure("x1", "2016-01-10", "p1"),
            inputs.procedure("x2", "2016-01-10", "p2"),
        ],
        "Observation.ndjson": [
            inputs.psa("a1", "2016-03-01", 0.5),
            inputs.psa("a2", "2016-08-31", 1.0),
            inputs.psa("a3", "2017-03-02", 2.0),
            inputs.psa("b1", "2016-03-01", 0.5, "p2"),
        ],
    }
    if responses:
        files["QuestionnaireResponse.ndjson"] = list(responses)
    return inputs.folder(folder, files)
