"""Arranges resources in files: plainly, in every way that FHIR is stored, and damaged."""

import gzip
from random import Random
from typing import Any

try:
    from compression import zstd
except ImportError:
    from backports import zstd

from tests.fuzz import hostile
from tests.fuzz.json_text import PLAIN, Literal, Style, written
from tests.fuzz.mutate import unreadable

#: The content of each file by its name.
Files = dict[str, bytes]

_DEEPEST_PACKING = 4


def plainly(trees: list[Any]) -> Files:
    """One file of NDJSON with a line for each tree, without blanks."""
    return {"mutated.ndjson": "".join(f"{written(tree)}\n" for tree in trees).encode()}


def variously(trees: list[Any], rng: Random) -> Files:
    """The same in several files: as lines, in Bundles, Parameters and arrays, compressed."""
    order = list(trees)
    rng.shuffle(order)
    packed = [_line(one, rng) for one in _packed(order, rng, 0)]
    files: Files = {}
    count = rng.randint(1, 4)
    for number in range(count):
        mine = packed[number::count]
        if mine:
            name, content = _file(mine, number, rng)
            files[name] = content
    return files


def _packed(trees: list[Any], rng: Random, depth: int) -> list[Any]:
    """Put some of the trees into containers, and those into containers again."""
    found: list[Any] = []
    while trees:
        size = rng.choice((1, 1, 1, 1, 2, 5, 20))
        some, trees = trees[:size], trees[size:]
        if rng.random() < 0.7 or depth >= _DEEPEST_PACKING:
            found += some
        else:
            found.append(_container(_packed(some, rng, depth + 1), rng, depth))
    return found


def _container(trees: list[Any], rng: Random, depth: int) -> Any:
    kind = rng.choice(("Bundle", "Bundle", "Parameters", "array"))
    if kind == "Bundle":
        # In a history the newest version is first, which is of no matter where each has one.
        types = ("collection", "searchset", "transaction", "batch", "history", "document", None)
        return {"resourceType": "Bundle", "type": rng.choice(types), "entry": _entries(trees)}
    if kind == "Parameters":
        parts: list[Any] = [{"name": "resource", "resource": tree} for tree in trees]
        if rng.random() < 0.5:
            parts = [{"name": "outer", "part": parts}]
        return {"resourceType": "Parameters", "parameter": parts}
    # An array is read where a line begins, or within another array: not where FHIR has a resource.
    return trees if not depth else {"resourceType": "Bundle", "entry": _entries(trees)}


def _entries(trees: list[Any]) -> list[Any]:
    return [{"resource": tree} for tree in trees]


def _line(tree: Any, rng: Random) -> str:
    style = PLAIN
    if rng.random() < 0.3:
        style = Style(rng.random() < 0.5, rng.random() < 0.5, rng.random() < 0.5)
    return written(tree, style, rng)


def _file(lines: list[str], number: int, rng: Random) -> tuple[str, bytes]:
    end = rng.choice(("\n", "\n", "\r\n", "\n\n", " \n"))
    text = end.join(lines) + (end if rng.random() < 0.7 else "")
    content = text.encode()
    if rng.random() < 0.1:
        content = b"\xef\xbb\xbf" + content
    folder = rng.choice(("", "", "", "sub/", "Observation.ndjson/", "a/b/c/"))
    stem = rng.choice(("Observation", "Patient", "data", "x.y", "1.Procedure", "übung", "a b"))
    endings = [".ndjson", ".ndjson", ".jsonl", ".NDJSON"]
    if not any(line.startswith("[") for line in lines):
        endings.append(".json")  # A document that is an array has nothing beside it.
    ending = rng.choice(endings)
    packing = rng.choice(("", "", "", ".gz", ".zst"))
    if packing == ".gz":
        content = gzip.compress(content, 1, mtime=0)
    elif packing == ".zst":
        content = zstd.compress(content)
    return f"{folder}{stem}.{number}{ending}{packing}", content


def damaged(files: Files, rng: Random) -> Files:
    """The files with one of them damaged, or with something beside them that is no FHIR."""
    found = dict(files)
    name = rng.choice(list(found))
    content = found.pop(name)
    kind = rng.randrange(9)
    if kind == 0:
        content = content[: rng.randrange(len(content) + 1)]
    elif kind == 1:
        for _ in range(rng.choice((1, 3, 30))):
            where = rng.randrange(len(content) + 1)
            content = content[:where] + bytes([rng.randrange(256)]) + content[where + 1 :]
    elif kind == 2:
        where, length = rng.randrange(len(content) + 1), rng.choice((1, 10, 1000))
        content = content[:where] + content[where + length :]
    elif kind == 3:
        content = content.decode("latin-1").encode(rng.choice(("utf-16", "utf-16-le", "utf-32")))
    elif kind == 4:
        lines = content.split(b"\n")
        lines.insert(rng.randrange(len(lines) + 1), written(unreadable(rng)).encode())
        content = b"\n".join(lines)
    elif kind == 5:
        content = gzip.compress(content, mtime=0)[: rng.choice((2, 10, 30, -8, -1))]
        name = f"{name}.gz"
    elif kind == 6:
        name = rng.choice((f"{name}.xml", f"{name}.zip", "log.ndjson", "manifest.json", ".hidden"))
    elif kind == 7:
        content += content
    else:
        found[rng.choice(_BESIDE)] = hostile.text(rng).encode("utf-8", "surrogatepass")
    found[name] = content
    return found


_BESIDE = (
    *("manifest.json", "log.ndjson", "error.ndjson", "notes.txt", "Observation.xml"),
    *(
        "empty.ndjson",
        "deeper/x.json",
        "Observation.ndjson.bz2",
        "data.csv",
        "\u202egnosj.ndjson",
        "a\nb.ndjson",
    ),
)


def deletions(names: list[str], rng: Random) -> Any:
    """A Bundle that deletes resources (``Type/id``), in one of the ways in which it is stated."""
    entries = []
    for name in rng.sample(names, min(len(names), rng.randint(1, 3))):
        url = rng.choice((name, f"{name}/_history/3", f"https://other.example/fhir/{name}", "", 7))
        method = rng.choice(("DELETE", "DELETE", "DELETE", "delete", "GET", None))
        response = {"etag": rng.choice(('W/"3"', "3", 'W/"', '"' + "9" * 5000 + '"'))}
        response["lastModified"] = hostile.date(rng)
        entry = {"request": {"method": method, "url": url}, "response": response}
        entries.append(rng.choice((entry, entry, {"request": entry["request"]}, Literal("null"))))
    kind = rng.choice(("transaction", "history", "batch", None))
    return {"resourceType": "Bundle", "type": kind, "entry": entries}
