"""The files of examples/operations fit together, and to the program: no path is out of reach."""

import os
import re
import shlex
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, get_args

import pytest
from pydantic import BaseModel

from fhircryo.settings import Settings, load_settings

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "examples" / "operations"
SERVICE = "fhircryo-sync.service"
CREDENTIALS = Path("/run/credentials") / SERVICE
CONFIG = "/etc/fhircryo/fhircryo.toml"

#: Every setting that holds the path of a file, and what the program does with the file. ``secret``:
#: only root and the program may read it.
PATHS = {
    "state_folder": "written",
    "sync.metrics_file": "written",
    "sync.exclude": "secret",
    "mappings": "read",
    **{
        f"{server}.{name}": "read" if name == "ca_bundle" else "secret"
        for server in ("source", "target")
        for name in (
            "password_file",
            "token_file",
            "key_file",
            "client_secret_file",
            "ca_bundle",
            "client_certificate",
            "client_key",
            "client_key_password_file",
        )
    },
}
#: What a service does not see: its own /tmp (PrivateTmp), and no homes (ProtectHome).
HIDDEN = ("/tmp", "/var/tmp", "/home", "/root", "/run/user")


def path_settings(model: type[BaseModel] = Settings, prefix: str = "") -> Iterator[str]:
    """The names of all settings that hold paths."""
    for name, field in model.model_fields.items():
        kinds = {field.annotation, *get_args(field.annotation)}
        if Path in kinds:
            yield prefix + name
        for kind in kinds:
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from path_settings(kind, f"{prefix}{name}.")


def paths_of(settings: Settings) -> dict[str, tuple[Path, ...]]:
    """Every path in force, by the name of its setting."""
    found = {}
    for name in PATHS:
        value: Any = settings
        for part in name.split("."):
            value = getattr(value, part, None)
        values = value if isinstance(value, tuple) else (value,)
        found[name] = tuple(one for one in values if one is not None)
    return found


class Unit(NamedTuple):
    """What a unit says, as far as it decides which files its service reaches."""

    text: str

    def values(self, key: str) -> list[str]:
        return re.findall(rf"^{key}=(.*)$", self.text, re.MULTILINE)

    def loaded(self) -> dict[str, str]:
        """The source of each credential, by its name."""
        return dict(one.split(":", 1) for one in self.values("LoadCredential"))

    def shared(self) -> list[Path]:
        """The folders beside its own that the service may write."""
        return [Path(one) for value in self.values("ReadWritePaths") for one in value.split()]

    def environment(self, credentials: str) -> dict[str, str]:
        pairs = (one.split("=", 1) for value in self.values("Environment") for one in value.split())
        return {name: value.replace("%d", credentials) for name, value in pairs}


def problems(text: str, toml: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What a service of this unit cannot reach or should not reach of its settings' files."""
    unit, config = Unit(text), tmp_path / "settings.toml"
    config.write_text(toml)
    for name in [one for one in os.environ if one.startswith("FHIRCRYO_")]:
        monkeypatch.delenv(name)
    by_hand = paths_of(load_settings(config))
    for name, value in unit.environment(str(CREDENTIALS)).items():
        monkeypatch.setenv(name, value)
    as_service = paths_of(load_settings(config))
    found = [f"{key} is not {value}" for key, value in SANDBOX.items() if unit.values(key) != value]
    found += [] if as_service["state_folder"] else ["state_folder is that of a user without home"]
    for name, values in as_service.items():
        for path in values:
            found += [f"{name}: {path} {why}" for why in faults(unit, name, path, by_hand[name])]
    passed = {path.name for paths in as_service.values() for path in paths}
    found += [f"credential {name} is not used" for name in unit.loaded() if name not in passed]
    written = [
        path for name, kind in PATHS.items() if kind == "written" for path in as_service[name]
    ]
    for place in unit.shared():
        if not any(path.is_relative_to(place) for path in written):
            found.append(f"{place} need not be written")
        elif not unit.values("SupplementaryGroups"):
            found.append(f"{place}: a dynamic user is in no group that may write it")
    return found


def faults(unit: Unit, name: str, path: Path, by_hand: tuple[Path, ...]) -> Iterator[str]:
    """Why a service of this unit cannot use the path of a setting, or should not."""
    if not path.is_absolute():
        yield "is not absolute"
    elif PATHS[name] == "written":
        own = [Path("/var/lib", one) for one in unit.values("StateDirectory")]
        if not any(path.is_relative_to(place) for place in (*own, *unit.shared())):
            yield "cannot be written"
    elif PATHS[name] == "secret":
        source = unit.loaded().get(path.name) if path.parent == CREDENTIALS else None
        if source is None:
            yield "is not passed to the service"
        elif by_hand != (Path(source),):
            yield f"is of {source}, and by hand another file is read"
    elif any(path.is_relative_to(place) for place in HIDDEN):
        yield "is hidden from the service"


SANDBOX = {
    "DynamicUser": ["yes"],
    "ProtectSystem": ["strict"],
    "ProtectHome": ["yes"],
    "PrivateTmp": ["yes"],
    "StateDirectoryMode": ["0700"],
    "UMask": ["0077"],
    "ExecStart": [f"/opt/fhircryo/bin/fhircryo sync --config {CONFIG}"],
}


def shipped(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")


def test_every_setting_with_a_path_is_known_here():
    assert set(path_settings()) == set(PATHS)


def test_the_service_reaches_what_its_settings_name(tmp_path, monkeypatch):
    toml = shipped("fhircryo.toml")
    assert problems(shipped(SERVICE), toml, tmp_path, monkeypatch) == []
    named = tomllib.loads(toml)
    assert named["source"]["token_file"] == "/etc/fhircryo/token"
    assert named["sync"]["exclude"]
    assert named["sync"]["metrics_file"]


UNIT_BREAKS = {
    "state elsewhere": ("STATE_FOLDER=/var/lib/fhircryo", "STATE_FOLDER=/srv/x", "cannot be writ"),
    "no state folder": ("Environment=FHIRCRYO_STATE_FOLDER", "#", "user without home"),
    "no state": ("StateDirectory=fhircryo\n", "", "state_folder: /var/lib/fhircryo cannot be"),
    "no metrics folder": ("ReadWritePaths=", "#", "sync.metrics_file: .* cannot be written"),
    "no group": ("SupplementaryGroups=", "#", "is in no group"),
    "more is writable": ("ReadWritePaths=", "ReadWritePaths=/etc ", "/etc need not be written"),
    "no token": ("LoadCredential=token:", "#", "source.token_file: .* is not passed"),
    "another token": ("token:/etc/fhircryo/token", "token:/etc/token", "by hand another file"),
    "token by its own path": ("Environment=FHIRCRYO_SOURCE__TOKEN", "#", "token_file: /etc/.* not"),
    "no list": ("LoadCredential=objected:", "#", "sync.exclude: .* is not passed"),
    "list by its own path": ("Environment=FHIRCRYO_SYNC__EXCL", "#", "exclude: /etc/.* not passed"),
    "wrong name": ("%d/objected", "%d/objections", "exclude: .* is not passed"),
    "a static user": ("DynamicUser=yes\n", "", "DynamicUser"),
    "everything writable": ("ProtectSystem=strict", "ProtectSystem=full", "ProtectSystem"),
    "another file of settings": (CONFIG, "/etc/fhircryo.toml", "ExecStart"),
}


@pytest.mark.parametrize("name", UNIT_BREAKS)
def test_a_broken_unit_is_found(name, tmp_path, monkeypatch):
    old, new, words = UNIT_BREAKS[name]
    assert old in shipped(SERVICE)
    broken = shipped(SERVICE).replace(old, new)
    found = problems(broken, shipped("fhircryo.toml"), tmp_path, monkeypatch)
    assert re.search(words, "\n".join(found)), found


@pytest.mark.parametrize(
    "more, words",
    [
        ('mappings = ["site.yaml"]\n', "mappings: site.yaml is not absolute"),
        ('mappings = ["/var/tmp/site.yaml"]\n', "is hidden from the service"),
        ('state_folder = "/srv"\n', None),  # the environment of the unit counts
    ],
)
def test_settings_that_do_not_fit_are_found(more, words, tmp_path, monkeypatch):
    found = problems(shipped(SERVICE), more + shipped("fhircryo.toml"), tmp_path, monkeypatch)
    assert [bool(re.search(words, one)) for one in found] == [True] if words else found == []


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_systemd_finds_nothing_to_complain_of(tmp_path):
    for unit in (SERVICE, "fhircryo-sync.timer"):
        text = shipped(unit).replace("/opt/fhircryo/bin/fhircryo", "/bin/true")
        (tmp_path / unit).write_text(text)
    units = sorted(map(str, tmp_path.iterdir()))
    verify = ["systemd-analyze", "verify", "--recursive-errors=no", "--man=no", *units]
    ran = subprocess.run(verify, capture_output=True, text=True, check=False)
    assert [line for line in ran.stderr.splitlines() if "fhircryo" in line] == []
    assert ran.returncode == 0
    (tmp_path / SERVICE).write_text(f"{(tmp_path / SERVICE).read_text()}ProtectHom=yes\n")
    ran = subprocess.run(verify, capture_output=True, text=True, check=False)
    assert "ProtectHom" in ran.stderr


def test_the_timer_starts_the_service_and_cron_runs_the_same():
    assert (FOLDER / "fhircryo-sync.timer").stem == SERVICE.removesuffix(".service")
    (line,) = (one for one in shipped("crontab").splitlines() if not one.startswith("#"))
    words = shlex.split(line.replace("2>&1", ""))
    assert words[5:7] == ["fhircryo", "FHIRCRYO_STATE_FOLDER=/var/lib/fhircryo"]
    assert " ".join(words[7:11]) == SANDBOX["ExecStart"][0]
    # A user may not make a file in /var/log; the shell would then not start the program.
    (log,) = (one.removeprefix(">>") for one in words if one.startswith(">>"))
    assert Path(log).parent.parent == Path("/var/log")


# ------------------------------------------------------------------ the container


def instructions(text: str) -> list[tuple[str, str]]:
    """The instructions of a container file, continued lines joined."""
    joined = re.sub(r"\\\n\s*", "", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE))
    return [tuple(line.split(maxsplit=1)) for line in joined.splitlines() if line]  # type: ignore[misc]


def container_problems(text: str) -> list[str]:
    """What in a container file is not pinned, not checked by hash, or runs as root."""
    found: list[str] = []
    steps = instructions(text)
    arguments = dict(value.split("=", 1) for name, value in steps if name == "ARG")
    release = r"docker\.io/library/python:3\.\d+\.\d+-slim-[a-z]+(@sha256:[0-9a-f]{64})?"
    for base in (value.split()[0] for name, value in steps if name == "FROM"):
        named = re.sub(r"\$\{(\w+)\}", lambda match: arguments[match[1]], base)
        if not re.fullmatch(release, named):
            found.append(f"FROM {named}: no release")
    for command in (part for name, value in steps if name == "RUN" for part in value.split("&&")):
        words = command.split()
        checked = {"--require-hashes"} <= set(words) or {"--no-index", "--no-deps"} <= set(words)
        if "install" in words and not checked:
            found.append(f"{command.strip()}: without hashes")
        if words[:2] == ["uv", "build"] and not {"--require-hashes", "--build-constraints"} <= set(
            words
        ):
            found.append(f"{command.strip()}: builds with what is not pinned")
        if words[:2] == ["uv", "sync"] and "--locked" not in words:
            found.append(f"{command.strip()}: not from the lock")
        if words[0] not in {"pip", "uv", "useradd", "chmod"}:
            found.append(f"{command.strip()}: not known here")
    last = [name for name, _ in steps][-1 - [name for name, _ in steps][::-1].index("FROM") :]
    users = [value for name, value in steps[-len(last) :] if name == "USER"]
    if not users or users[-1] in {"0", "root"} or not users[-1].isdecimal():
        found.append("runs as root, or as a name that a platform cannot check")
    return found


def test_the_container_is_pinned_and_not_roots():
    text = shipped("Containerfile")
    assert container_problems(text) == []
    assert len([name for name, _ in instructions(text) if name == "FROM"]) == 2


CONTAINER_BREAKS = {
    "no release": ("python:3.12.11-slim-bookworm\n\n", "python:3.12-slim\n\n", "no release"),
    "latest": ("python:3.12.11-slim-bookworm\n\n", "python:latest\n\n", "no release"),
    "uv unchecked": (" --require-hashes -r build-requirements.txt", " uv", "without hashes"),
    "not locked": ("uv sync --locked", "uv sync", "not from the lock"),
    "build unchecked": ("--require-hashes --out-dir", "--out-dir", "not pinned"),
    "wheel with the newest": ("--no-index --no-deps", "", "without hashes"),
    "root": ("USER 10001\n", "", "runs as root"),
    "root again": ("VOLUME", "USER 0\nVOLUME", "runs as root"),
}


@pytest.mark.parametrize("name", CONTAINER_BREAKS)
def test_a_broken_container_file_is_found(name):
    old, new, words = CONTAINER_BREAKS[name]
    assert old in shipped("Containerfile")
    found = container_problems(shipped("Containerfile").replace(old, new))
    assert re.search(words, "\n".join(found)), found


def test_the_container_reaches_what_the_shipped_settings_name(tmp_path, monkeypatch):
    text = shipped("Containerfile")
    values = dict(instructions(text))
    for pair in shlex.split(values["ENV"]):
        monkeypatch.setenv(*pair.split("=", 1))
    (tmp_path / "settings.toml").write_text(shipped("fhircryo.toml"))
    secrets = {Path("/run/secrets", one) for one in re.findall(r"--secret (\w+),uid=10001", text)}
    for name, paths in paths_of(load_settings(tmp_path / "settings.toml")).items():
        for path in paths:
            if PATHS[name] == "written":
                assert path.is_relative_to(values["VOLUME"]), name
            else:
                assert path in secrets, name
                secrets.remove(path)
    assert secrets == set()
    assert f'CMD ["sync", "--config", "{CONFIG}"]' in text
    assert f":{CONFIG}:ro" in text


def test_only_what_is_needed_is_sent_to_the_builder():
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    patterns = [line for line in lines if line and not line.startswith("#")]
    assert patterns[0] == "*"
    assert patterns[-4:] == ["**/__pycache__", "**/*.pyc", "**/*.key", "**/*.pem"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    needed = {"build-requirements.txt", "pyproject.toml", "uv.lock", project["project"]["readme"]}
    needed |= {*wheel["packages"], *wheel["force-include"], *project["project"]["license-files"]}
    assert set(patterns[1:-4]) == {f"!{name}" for name in needed}
    assert all((ROOT / name).exists() for name in needed)


def test_what_builds_is_that_of_the_lock_and_installed_by_hash():
    text = (ROOT / "build-requirements.txt").read_text(encoding="utf-8")
    lock = tomllib.loads((ROOT / "uv.lock").read_text(encoding="utf-8"))
    locked = {one["name"]: one for one in lock["package"]}
    pinned = re.findall(r"^([a-z-]+)==(\S+) \\\n((?:    --hash=\S+(?: \\)?\n)+)", text, re.M)
    assert {"uv", "hatchling"} <= {name for name, _, _ in pinned}
    assert "".join(f"{name}=={version} \\\n{hashes}" for name, version, hashes in pinned) == text
    for name, version, hashes in pinned:
        package = locked[name]
        files = [*package["wheels"], *([package["sdist"]] if "sdist" in package else [])]
        assert version == package["version"]
        assert set(re.findall(r"--hash=(\S+)", hashes)) == {file["hash"] for file in files}, name
    makefile = re.sub(r"\\\n\s*", "", (ROOT / "Makefile").read_text(encoding="utf-8"))
    installs = [line for line in makefile.splitlines() if "pip install" in line]
    assert installs
    assert all("--require-hashes -r build-requirements.txt" in line for line in installs)
