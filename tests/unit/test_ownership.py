"""Whose files are used: settings, state, locks, work folders, keys and lists of patients."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from fhircryo.errors import LockedError, UsageError
from fhircryo.publish.target_lock import target_lock
from fhircryo.record.patient_list import read_patient_list
from fhircryo.research.pseudonyms import Pseudonyms, read_key, write_key
from fhircryo.runs.run_config import RunConfig
from fhircryo.runs.sync.state_file import open_state, state_path, status_path
from fhircryo.runs.sync.status_file import read_status
from fhircryo.settings import load_settings, settings_in_force
from fhircryo.storage import ownership
from fhircryo.storage.private_files import read_secret
from fhircryo.storage.work_folder import work_folder, work_folder_of
from tests.unit.bulk_server import BulkServer, files_of
from tests.unit.inputs import AS_OF, cli, patient, procedure
from tests.unit.stub_fhir import StubFhir

pytestmark = pytest.mark.skipif(os.name != "posix", reason="POSIX permissions")

TARGET = "https://fhir.hospital.example/r4"
NOBODY = 65534
AS_ROOT = pytest.mark.skipif(os.name == "posix" and os.geteuid() != 0, reason="needs root")

Give = Callable[[Path], None]


@pytest.fixture
def give(monkeypatch) -> Give:
    """Gives a file to another user: as root really, otherwise we act as somebody else."""

    def to_another(path: Path) -> None:
        if os.geteuid() == 0:
            os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
        else:
            other = os.geteuid() + 1
            monkeypatch.setattr(os, "geteuid", lambda: other)

    return to_another


# ------------------------------------------------------------------ settings found and named


@pytest.fixture
def found(tmp_path, monkeypatch) -> Path:
    """A settings file in the current folder."""
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "fhircryo.toml"
    file.write_text('source_name = "urology"\n')
    file.chmod(0o644)
    return file


def test_settings_of_our_own_are_found(found):
    assert load_settings().source_name == "urology"
    link = found.rename(found.with_name("shared.toml"))
    found.symlink_to(link)
    assert load_settings().source_name == "urology"


@pytest.mark.parametrize("mode", [0o646, 0o666, 0o622])
def test_settings_that_others_can_write_are_not_found(mode, found):
    found.chmod(mode)
    for read in (load_settings, settings_in_force):
        with pytest.raises(UsageError, match=rf"mode 0{mode:o}.*chmod go-w fhircryo\.toml"):
            read()
    assert cli("config", "show").code == 2


def test_settings_of_another_user_are_not_found(found, give):
    give(found)
    for read in (load_settings, settings_in_force):
        with pytest.raises(UsageError, match=r"belongs to user .*chown .*--config fhircryo\.toml"):
            read()
    # Who names the file trusts its owner.
    assert load_settings(found).source_name == "urology"


@AS_ROOT
def test_a_link_of_another_user_to_settings_of_ours_is_not_followed(found, give):
    kept = found.rename(found.with_name("kept.toml"))
    found.symlink_to(kept)
    give(found)
    with pytest.raises(UsageError, match="belongs to user"):
        load_settings()


def test_a_group_may_write_settings_that_are_named_but_nobody_else(found, monkeypatch):
    monkeypatch.setattr(ownership, "_is_private_group", lambda _: False)
    found.chmod(0o664)
    with pytest.raises(UsageError, match="its group can change it"):
        load_settings()
    assert load_settings(found).source_name == "urology"
    found.chmod(0o666)
    with pytest.raises(UsageError, match="every user of this machine can change"):
        load_settings(found)


def test_a_group_of_ones_own_is_nobody_else(found):
    if not ownership._is_private_group(found.stat().st_gid):
        pytest.skip("this user has no group of its own")
    found.chmod(0o664)
    assert load_settings().source_name == "urology"


def test_a_private_group_with_an_access_list_is_somebody_else(found, monkeypatch):
    monkeypatch.setattr(ownership, "_is_private_group", lambda _: True)
    monkeypatch.setattr(ownership, "_has_acl", lambda _: True)
    found.chmod(0o664)
    with pytest.raises(UsageError, match="its group can change it"):
        load_settings()


def test_the_file_that_init_writes_is_found_whatever_the_umask(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(ownership, "_is_private_group", lambda _: False)
    before = os.umask(0)
    try:
        assert cli("config", "init").code == 0
    finally:
        os.umask(before)
    load_settings()


# ------------------------------------------------------------------ state and locks


def use_lock(folder: Path) -> None:
    with target_lock(TARGET, folder):
        pass


def use_state(folder: Path) -> None:
    with open_state(folder / "sync-1.sqlite"):
        pass


USES = pytest.mark.parametrize("use", [use_lock, use_state])


@USES
@pytest.mark.parametrize("mode", [0o777, 0o703, 0o1777])
def test_a_state_folder_that_others_can_write_is_refused(use, mode, tmp_path):
    folder = tmp_path / "state"
    folder.mkdir()
    folder.chmod(mode)
    with pytest.raises(UsageError, match=r"state_folder.*every user .*mode.*(chmod|folder of its)"):
        use(folder)
    assert list(folder.iterdir()) == []


@USES
def test_a_state_folder_of_another_user_is_refused(use, tmp_path, give):
    folder = tmp_path / "state"
    folder.mkdir(mode=0o700)
    give(folder)
    with pytest.raises(UsageError, match=r"state_folder.*belongs to user .*run as user"):
        use(folder)
    assert list(folder.iterdir()) == []


@USES
def test_a_state_folder_that_a_group_can_write_is_refused(use, tmp_path, monkeypatch):
    monkeypatch.setattr(ownership, "_is_private_group", lambda _: False)
    folder = tmp_path / "state"
    folder.mkdir()
    folder.chmod(0o770)
    with pytest.raises(UsageError, match="its group can change it"):
        use(folder)
    # A folder of its own within it is as good as any.
    use(folder / "own")


@USES
def test_a_folder_on_the_way_that_everybody_can_write_is_refused(use, tmp_path):
    above = tmp_path / "above"
    above.mkdir()
    above.chmod(0o777)
    with pytest.raises(UsageError, match=r"on the way to it, .*above is not safe"):
        use(above / "state")
    above.chmod(0o1777)  # as /tmp
    use(above / "state")


@USES
@AS_ROOT
def test_a_link_on_the_way_must_be_ours(use, tmp_path, give):
    (tmp_path / "private" / "fhircryo").mkdir(parents=True, mode=0o700)
    link = tmp_path / "fhircryo"
    link.symlink_to("private/fhircryo")  # as systemd does for a dynamic user
    use(link)
    give(link)
    with pytest.raises(UsageError, match="on the way to it"):
        use(link)
    with pytest.raises(UsageError, match="on the way to it"):
        use(link / "below")


@USES
def test_a_planted_link_or_second_name_is_not_used(use, tmp_path):
    folder = tmp_path / "state"
    use(folder)
    victim = tmp_path / "victim"
    for path in [one for one in folder.iterdir() if one.suffix in {".lock", ".sqlite"}]:
        path.unlink()
        victim.write_text("precious")
        path.symlink_to(victim)
        with pytest.raises(UsageError, match="symbolic link"):
            use(folder)
        path.unlink()
        path.hardlink_to(victim)
        with pytest.raises(UsageError, match="hard links"):
            use(folder)
        assert victim.read_text() == "precious"
        path.unlink()
        victim.unlink()
        use(folder)


@USES
@AS_ROOT
def test_a_planted_file_of_another_user_is_not_used(use, tmp_path, give):
    folder = tmp_path / "state"
    use(folder)
    (path,) = (one for one in folder.iterdir() if one.suffix in {".lock", ".sqlite"})
    give(path)
    with pytest.raises(UsageError, match="belongs to user"):
        use(folder)


def test_a_planted_link_in_the_place_of_the_write_ahead_log_is_not_used(tmp_path):
    use_state(tmp_path)
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "sync-1.sqlite-wal").symlink_to(victim)
    with pytest.raises(UsageError, match="symbolic link"):
        use_state(tmp_path)
    assert victim.read_text() == "precious"


def test_the_holder_of_a_lock_is_not_written_through_a_link(tmp_path):
    folder, victim = tmp_path / "state", tmp_path / "victim"
    with target_lock(TARGET, folder):
        (holder,) = folder.glob("*.holder")
    victim.write_text("precious")
    holder.symlink_to(victim)
    # The name under which it was written before it got its own, in earlier versions.
    holder.with_suffix(f".{os.getpid()}.tmp").symlink_to(victim)
    use_lock(folder)
    assert victim.read_text() == "precious"


@pytest.mark.parametrize("plant", [Path.mkdir, os.mkfifo], ids=["folder", "pipe"])
def test_what_names_the_holder_of_a_lock_stops_no_run(plant, tmp_path):
    with target_lock(TARGET, tmp_path):
        (holder,) = tmp_path.glob("*.holder")
        holder.unlink()
        plant(holder)
        with pytest.raises(LockedError, match="another run"), target_lock(TARGET, tmp_path):
            pass
    with target_lock(TARGET, tmp_path):
        pass


@pytest.mark.parametrize("plant", ["pipe", "link"])
def test_status_is_read_from_a_file_only(plant, tmp_path):
    """Whoever waits for a pipe waits for ever."""
    status = tmp_path / "status.json"
    if plant == "pipe":
        os.mkfifo(status)
    else:
        (tmp_path / "other").write_text('{"exit_code": 0}')
        status.symlink_to(tmp_path / "other")
    with pytest.raises(UsageError, match="cannot be read"):
        read_status(status)


def test_a_link_to_nowhere_in_the_place_of_the_state_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv("FHIRCRYO_SYNC__SOURCE", TARGET)
    monkeypatch.setenv("FHIRCRYO_STATE_FOLDER", str(tmp_path))
    config = RunConfig.of(load_settings(), AS_OF)
    state_path(config, TARGET, TARGET).symlink_to(tmp_path / "nowhere")
    for command in ("show", "check"):
        ran = cli("state", command)
        assert ran.code == 2
        assert "it is a symbolic link" in ran.err


def test_status_is_not_read_from_a_folder_that_others_can_write(tmp_path, monkeypatch):
    monkeypatch.setenv("FHIRCRYO_STATE_FOLDER", str(tmp_path / "state"))
    monkeypatch.setenv("FHIRCRYO_SYNC__SOURCE", TARGET)
    (tmp_path / "state").mkdir()
    (tmp_path / "state").chmod(0o777)
    for command in (("sync", "--status"), ("state", "show"), ("state", "check")):
        ran = cli(*command)
        assert ran.code == 2, command
        assert "every user of this machine" in ran.err


@AS_ROOT
def test_root_reads_the_status_of_a_service_and_nothing_more(tmp_path, monkeypatch, give):
    monkeypatch.setenv("FHIRCRYO_STATE_FOLDER", str(tmp_path / "state"))
    monkeypatch.setenv("FHIRCRYO_SYNC__SOURCE", TARGET)
    config = RunConfig.of(load_settings(), AS_OF)
    state = state_path(config, TARGET, TARGET)
    with open_state(state):
        pass
    status_path(state).write_text('{"run": "r1", "exit_code": 5}')
    for path in (tmp_path / "state", *(tmp_path / "state").iterdir()):
        give(path)
    ran = cli("sync", "--status")
    assert (ran.code, '"run": "r1"' in ran.out) == (5, True), ran.err
    for command in (("state", "show"), ("state", "check"), ("state", "reset", "--yes")):
        ran = cli(*command)
        assert ran.code == 2, command
        assert "run as user" in ran.err
    (tmp_path / "state").chmod(0o720)
    assert cli("sync", "--status").code == 2


def test_an_export_does_not_lie_in_a_folder_that_others_can_write(tmp_path, monkeypatch):
    """A dry run holds no lock, but keeps the files of an export beside the states."""
    monkeypatch.setenv("FHIRCRYO_STATE_FOLDER", str(tmp_path / "state"))
    (tmp_path / "state").mkdir()
    (tmp_path / "state").chmod(0o777)
    files = files_of([patient("p1"), procedure("x1", "2016-01-10")])
    with BulkServer(files) as source, StubFhir() as target:
        run = ("compute", source.url, target.base, "--as-of", AS_OF, "--bulk", "system")
        ran = cli(*run, "--dry-run")
        assert ran.code == 2, ran.err
        assert "every user of this machine can change it" in ran.err
        (tmp_path / "state").chmod(0o700)
        assert cli(*run, "--dry-run").code == 0


# ------------------------------------------------------------------ work folders


def use_work(folder: Path) -> None:
    with work_folder(folder, TARGET) as work:
        (work / "page").write_text("read")


def break_off(target: Path) -> None:
    with work_folder(target, TARGET) as work:
        (work / "page").write_text("read")
        raise ZeroDivisionError


def broken_off(target: Path) -> Path:
    with pytest.raises(ZeroDivisionError):
        break_off(target)
    return work_folder_of(target)


def test_a_work_folder_of_another_user_is_refused(tmp_path, give):
    left = broken_off(tmp_path / "out")
    give(left)
    with pytest.raises(UsageError, match="belongs to user"):
        use_work(tmp_path / "out")
    assert (left / "page").exists()


def test_a_work_folder_that_others_could_write_is_refused(tmp_path):
    left = broken_off(tmp_path / "out")
    left.chmod(0o777)
    with pytest.raises(UsageError, match="every user of this machine can change it"):
        use_work(tmp_path / "out")


def test_a_work_folder_that_others_could_read_is_made_private(tmp_path):
    left = broken_off(tmp_path / "out")
    left.chmod(0o755)
    broken_off(tmp_path / "out")
    assert left.stat().st_mode & 0o777 == 0o700


# ------------------------------------------------------------------ keys, secrets, lists


def test_a_key_of_another_user_is_refused(tmp_path, give):
    key = tmp_path / "key"
    write_key(key, Pseudonyms.at_random())
    read_key(key)
    give(key)
    with pytest.raises(UsageError, match="belongs to user"):
        read_key(key)


def test_a_key_is_not_written_through_a_link(tmp_path):
    (tmp_path / "key").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="cannot be written"):
        write_key(tmp_path / "key", Pseudonyms.at_random())
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("read", [read_patient_list, lambda path: read_secret(path, "password")])
def test_what_everybody_can_change_is_not_used(read, tmp_path):
    file = tmp_path / "file"
    file.write_text("p1\n")
    file.chmod(0o640)
    assert "p1" in read(file)
    file.chmod(0o646)
    with pytest.raises(UsageError, match="every user of this machine can change this file"):
        read(file)


def test_no_list_can_be_said_by_the_empty_device():
    assert read_patient_list(Path("/dev/null")) == frozenset()


@AS_ROOT
def test_systemd_may_pass_the_folder_of_a_dynamic_user(tmp_path, monkeypatch):
    """As /var/lib/fhircryo of the shipped unit: a link of root's to a folder of the service's."""
    private = tmp_path / "private" / "fhircryo"
    private.mkdir(parents=True, mode=0o700)
    os.chown(private, NOBODY, NOBODY)
    (tmp_path / "fhircryo").symlink_to("private/fhircryo")
    with pytest.raises(UsageError, match="belongs to user"):  # by hand, as root
        ownership.check_own_folder(tmp_path / "fhircryo", "state folder")
    monkeypatch.setattr(os, "geteuid", lambda: NOBODY)  # as the service
    ownership.check_own_folder(tmp_path / "fhircryo", "state folder")


def test_folders_on_the_way_are_private_whatever_the_umask(tmp_path):
    before = os.umask(0)
    try:
        with target_lock(TARGET, tmp_path / "a" / "b" / "state"):
            pass
    finally:
        os.umask(before)
    for made in ("a", "a/b", "a/b/state"):
        assert (tmp_path / made).stat().st_mode & 0o777 == 0o700


@AS_ROOT
def test_root_makes_no_folder_where_another_user_could_lead_it(tmp_path, give):
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (tmp_path / "elsewhere").mkdir()
    (theirs / "link").symlink_to(tmp_path / "elsewhere")
    give(theirs)
    for place in (theirs, theirs / "link"):
        with pytest.raises(UsageError, match="not safe"), target_lock(TARGET, place / "state"):
            pass
        assert not (place / "state").exists()


@AS_ROOT
def test_root_reports_nothing_for_the_runs_of_another_user(tmp_path, monkeypatch, give):
    """Else the service could not read its own status any more, nor the time of its last success."""
    folder, metrics = tmp_path / "state", tmp_path / "metrics.prom"
    monkeypatch.setenv("FHIRCRYO_SYNC__SOURCE", "http://127.0.0.1:9/fhir")
    monkeypatch.setenv("FHIRCRYO_SYNC__METRICS_FILE", str(metrics))
    monkeypatch.setenv("FHIRCRYO_STATE_FOLDER", str(folder))
    monkeypatch.setenv("FHIRCRYO_TARGET__RETRY_BUDGET", "0")
    assert cli("sync").code == 5
    (status,) = folder.glob("*.status.json")
    content = status.read_bytes()
    metrics.unlink()
    for path in (folder, *folder.iterdir()):
        give(path)
    assert cli("sync").code == 2
    assert status.read_bytes() == content
    assert status.stat().st_uid == NOBODY
    assert not metrics.exists()
