"""However the URL of a server is spelled, it is one server: one state, one lock, one set of ids."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from fhircryo.errors import LockedError
from fhircryo.extract.context import Context
from fhircryo.fhir.dates import DateReader
from fhircryo.fhir.urls import base_url, relative
from fhircryo.fhir.wire import Reference
from fhircryo.mapping.load import load_mappings
from fhircryo.publish.known_ids import known_ids_path, open_known_ids
from fhircryo.publish.target_lock import target_lock
from fhircryo.publish.target_server import same_server
from fhircryo.runs.to_server import bulk_place
from fhircryo.settings import Settings
from tests.unit import inputs
from tests.unit.inputs import Ran, cli
from tests.unit.stub_target import StubTarget, neither

PLAIN = "https://host.example/r4"
SPELLINGS = [
    PLAIN,
    f"{PLAIN}/",
    f"{PLAIN}//",
    "https://HOST.example/r4",
    "HTTPS://host.example:443/r4",
    "https://host.example:/r4",
    "https://host.example/./a/../r4",
    "https://host.example/r%34",
    "https://host.example/%72%34/",
]
OTHERS = [
    "http://host.example/r4",
    "https://host.example:8443/r4",
    "https://host.example/R4",
    "https://host.example/r4b",
    "https://host.example/r4/a",
    "https://host.example/r4%2Fa",
    "https://host.example",
    "https://host.example.org/r4",
]


@pytest.mark.parametrize("url", SPELLINGS)
def test_one_server_has_one_name(url, tmp_path):
    assert base_url(url) == PLAIN
    assert same_server(url, PLAIN)
    assert known_ids_path(url, tmp_path) == known_ids_path(PLAIN, tmp_path)
    settings = Settings.model_construct(state_folder=tmp_path)
    assert bulk_place(settings, url, PLAIN) == bulk_place(settings, PLAIN, url)
    with target_lock(url, tmp_path), pytest.raises(LockedError), target_lock(PLAIN, tmp_path):
        pass


@pytest.mark.parametrize("url", OTHERS)
def test_other_servers_have_other_names(url, tmp_path):
    assert base_url(url) != PLAIN
    assert not same_server(url, PLAIN)
    with target_lock(url, tmp_path), target_lock(PLAIN, tmp_path):
        pass


@pytest.mark.parametrize(
    "url", ["", "folder", "C:\\records", "https://", "https://h:x/r4", "https://[::1/r4", "%zz"]
)
def test_what_is_no_url_stays_as_it_is(url):
    assert base_url(url) == url


def test_one_spelling_is_spelled_the_same_again():
    for url in (*SPELLINGS, *OTHERS, "https://[::1]:443/r4", "http://H:80"):
        assert base_url(base_url(url)) == base_url(url)
    assert base_url("https://[::1]:443/r4/") == "https://[::1]/r4"


def test_a_reference_of_the_server_is_known_as_such():
    mappings = load_mappings()
    for base in SPELLINGS:
        context = Context(mappings, DateReader(), server=base.rstrip("/"))
        for url in SPELLINGS:
            reference = f"{url.rstrip('/')}/Patient/p1"
            assert relative(reference, base.rstrip("/")) == "Patient/p1"
            assert context.resolve(Reference(reference=reference)) == "Patient/p1"
            elsewhere = reference.replace("host", "other").replace("HOST", "other")
            assert context.resolve(Reference(reference=elsewhere)) == ""


@pytest.mark.parametrize("url", OTHERS)
def test_a_reference_of_another_server_stays_one(url):
    assert relative(f"{url}/Patient/p1", f"{PLAIN}x") == f"{url}/Patient/p1"
    if url != f"{PLAIN}/a":
        assert relative(f"{url}/Patient/p1", PLAIN) == f"{url}/Patient/p1"


# ------------------------------------------------------------------ runs


class Site:
    """A server that is source and target, chooses the ids, and is named in several spellings."""

    def __init__(self, folder: Path, server: StubTarget) -> None:
        self.server, self.folder = server, folder
        self.config = folder / "fhircryo.toml"
        self.state = folder / "state"

    def odd(self) -> str:
        return self.server.base.replace("http://127", "HTTP://127") + "/./"

    def run(self, url: str, *arguments: str) -> Ran:
        self.config.write_text(
            f'state_folder = "{self.state}"\n[sync]\nsource = "{url}"\n[write]\n'
            'index_patience = 0\nsubject = "literal"\n'
        )
        return cli(*(arguments or ("sync",)), "--config", self.config)

    def status(self, url: str) -> dict[str, object]:
        return json.loads(self.run(url, "sync", "--status").out)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with StubTarget(neither()) as server:
        server.put(
            inputs.patient("p1"),
            inputs.procedure("x1", "2016-01-10"),
            inputs.psa("a1", "2016-03-01", 0.4),
        )
        yield Site(tmp_path, server)


@pytest.mark.slow
def test_another_spelling_in_the_settings_is_the_same_run(site):
    assert site.run(site.server.base).code == 0
    names = {path.name for path in site.state.iterdir()}
    written = len(site.server.writes())
    for url in (site.odd(), f"{site.server.base}/"):
        assert site.run(url).code == 0
        assert site.status(url)["full"] == ""
    assert {path.name for path in site.state.iterdir()} == names
    assert len(site.server.writes()) == written
    assert site.server.doubles() == []


@pytest.mark.slow
def test_what_stands_under_a_spelling_goes_on_to_be_found(site, monkeypatch):
    """Before version 0.2 the names followed the spelling of the URLs."""
    modules = ("publish.target_lock", "publish.known_ids", "runs.sync.state_file")
    with monkeypatch.context() as former:
        for module in modules:
            former.setattr(f"fhircryo.{module}.base_url", lambda url: url.rstrip("/"))
        assert site.run(site.odd()).code == 0
    before = {path.name for path in site.state.iterdir() if "lock" not in path.name}
    site.server.habits.finds_identifiers = False  # only what is remembered tells what is there
    run = site.status(site.odd())["run"]
    assert "last full    none" not in site.run(site.odd(), "state", "show").out
    assert {path.name for path in site.state.iterdir() if "lock" not in path.name} == before
    assert site.run(site.odd()).code == 0
    status = site.status(site.odd())
    assert status["run"] != run
    assert status["full"] == ""
    after = {path.name for path in site.state.iterdir() if "lock" not in path.name}
    assert len(after) == len(before)
    assert not after & before
    assert site.run(site.server.base).code == 0
    assert site.status(site.server.base)["full"] == ""
    assert site.server.doubles() == []


@pytest.mark.slow
def test_a_dry_run_reads_what_stands_under_a_spelling(site, tmp_path):
    odd = site.odd()
    with open_known_ids(odd, tmp_path, dry_run=False) as known:
        known.written({"a": ("1", "1")})
    path = known_ids_path(odd, tmp_path)
    digest = hashlib.sha256(odd.rstrip("/").encode()).hexdigest()[:16]
    path.rename(tmp_path / f"target-{digest}.ids.sqlite")
    with open_known_ids(odd, tmp_path, dry_run=True) as known:
        assert known.of().keys() == {"a"}
    assert not path.exists()
    with open_known_ids(odd, tmp_path, dry_run=False) as known:
        assert known.of().keys() == {"a"}
    assert path.exists()
