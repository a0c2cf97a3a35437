"""One input of the fuzzer: who is in it, which of their resources are mutated, in which files."""

import re
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import msgspec

from tests.fuzz import arrange, hostile
from tests.fuzz.documents import Document, document
from tests.fuzz.json_text import written
from tests.fuzz.mutate import Mutator, unreadable
from tests.fuzz.seeds import EXAMPLES, Seeds, seeds

SITE = EXAMPLES / "site-overlay" / "site.yaml"
BYSTANDERS_FILE = "bystanders.ndjson"
_DAYS = (hostile.AS_OF, hostile.AS_OF, hostile.AS_OF, "2016-02-29", "2012-01-01", "9999-12-31")
_TOKEN = re.compile(r'[\[\]{}]|"(?:\\.|[^"\\])*"', re.DOTALL)
#: Less than what decoders and containers can nest.
_DEEP = 50


@dataclass
class Input:
    """An input; its files and options follow from its seed alone.

    ``trees``: the resources that are mutated. ``files``: the files that hold them; ``others``: the
    same resources in other files and another order, empty where the order is of matter.
    ``overlay``: whether the example's overlay is applied. ``document``: a mutated document.
    """

    name: str
    as_of: str
    victims: list[str]
    trees: list[Any]
    files: arrange.Files
    others: arrange.Files = field(default_factory=dict)
    overlay: bool = False
    document: Document | None = None

    def write(self, folder: Path, files: arrange.Files | None = None) -> Path:
        """Write the files, and those of the bystanders, into a new folder; return it."""
        for name, content in {**(self.files if files is None else files), **_bystanders()}.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return folder


def _bystanders() -> arrange.Files:
    return {BYSTANDERS_FILE: _text_of(seeds().bystanders)}


def _text_of(trees: list[Any]) -> bytes:
    return "".join(f"{written(tree)}\n" for tree in trees).encode()


def made(name: str) -> Input:
    """The input of a name, which is its seed."""
    rng = Random(name)
    found = seeds()
    overlay = rng.random() < 0.25
    group = found.site if overlay and rng.random() < 0.7 else found.patients
    victims = rng.sample(sorted(group), rng.choice((1, 1, 2)))
    trees = _trees([one for victim in victims for one in group[victim]], victims, found, rng)
    plain = arrange.plainly(trees)
    result = Input(name, rng.choice(_DAYS), victims, trees, plain, overlay=overlay)
    result.others = other_files(name, trees)
    if rng.random() < 0.25:
        result.files = arrange.damaged(result.files, rng)
        result.others = {}
    if rng.random() < 0.2:
        kind = rng.choice(("overlay", "overlay", "protocol", "settings"))
        result.document = document(kind, re.sub(r"\W", "-", name), rng)
    return result


def other_files(name: str, trees: list[Any]) -> arrange.Files:
    """The resources in other files and another order; empty where these are of matter."""
    return arrange.variously(trees, Random(f"{name}/others")) if _is_unordered(trees) else {}


def _trees(resources: list[Any], victims: list[str], found: Seeds, rng: Random) -> list[Any]:
    """The resources of the victims, some of them mutated, and some of others."""
    if rng.random() < 0.3:
        resources = [one for one in resources if rng.random() < 0.5] or resources[:1]
    ids = [f"{one['resourceType']}/{one['id']}" for one in resources if "id" in one]
    mutator = Mutator(rng, found, ids)
    trees: list[Any] = list(resources)
    for _ in range(rng.choice((1, 1, 2, 4, 10, 40))):
        number = rng.randrange(len(trees))
        if isinstance(trees[number], dict):
            trees[number] = mutator.mutated(trees[number], rng.choice((1, 1, 1, 2, 4)))
    for number in range(rng.choice((0, 0, 0, 0, 20, 300))):
        copied = rng.choice(resources)
        if copied["resourceType"] != "Patient":
            trees.append(mutator.mutated(copied | {"id": f"copy-{number}"}, rng.choice((1, 1, 3))))
    for number in range(rng.choice((0, 0, 1, 5))):
        stranger = dict(rng.choice(found.strangers)) | {"id": f"stranger-{number}"}
        if rng.random() < 0.7:
            stranger["subject"] = {"reference": f"Patient/{rng.choice(victims)}"}
        if "birthDate" not in stranger:
            trees.append(mutator.mutated(stranger, rng.choice((0, 1, 2))))
    trees += _special(ids, victims, rng)
    rng.shuffle(trees)
    return trees


def _special(ids: list[str], victims: list[str], rng: Random) -> list[Any]:
    """Deletions, merged patients (in loops, too), and lines that are no resource."""
    trees: list[Any] = []
    if rng.random() < 0.1:
        trees.append(arrange.deletions(ids, rng))
    if rng.random() < 0.1:
        trees.append(unreadable(rng))
    if rng.random() < 0.15:
        chain = [*victims, *(f"merged-{n}" for n in range(rng.choice((1, 3, 300))))]
        if rng.random() < 0.5:
            rng.shuffle(chain)
        if rng.random() < 0.3:
            chain.append(chain[0])
        for one, other in pairwise(chain):
            link = {"other": {"reference": f"Patient/{other}"}, "type": "replaced-by"}
            trees.append({"resourceType": "Patient", "id": one, "link": [link]})
    return trees


def _is_unordered(trees: list[Any]) -> bool:
    """Whether the order and the files of resources are of no matter.

    They are where a resource has several versions, is deleted, has no id of its own, or where
    what is written is no JSON.
    """
    names = set()
    for tree in trees:
        text = written(tree)
        try:
            content = msgspec.json.decode(text)
        except (msgspec.MsgspecError, UnicodeError, RecursionError, ValueError):
            return False
        if not isinstance(content, dict) or not isinstance(content.get("id"), str):
            return False
        kind = content.get("resourceType")
        name = (str(kind), content["id"])
        if name in names or kind in ("Bundle", "Parameters") or not content["id"]:
            return False
        if kind == "DiagnosticReport" or depth(text) > _DEEP:
            return False
        names.add(name)
    return True


def depth(text: str) -> int:
    """How deep the objects and arrays of a JSON text are within one another."""
    deepest = now = 0
    for found in _TOKEN.finditer(text):
        if found[0] in "[{":
            now += 1
            deepest = max(deepest, now)
        elif found[0] in "]}":
            now -= 1
    return deepest
