"""A changed protocol has an id of its own, and does not take over a publication's figures."""

from pathlib import Path

import pytest

from fhircryo.errors import UsageError
from fhircryo.mapping.load import find_protocol, load_protocol, protocol_files
from fhircryo.mapping.protocol import Protocol
from tests.unit.inputs import cli

SHIPPED = [path.stem for path in protocol_files()]


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def whole(name: str) -> str:
    return find_protocol(name).read_text(encoding="utf-8")


def numbers(protocol: Protocol) -> dict:
    return protocol.model_dump(exclude={"id", "source", "published"})


@pytest.mark.parametrize("name", SHIPPED)
def test_an_identical_file_may_keep_the_id(name, tmp_path):
    assert load_protocol(written(tmp_path, whole(name))) == load_protocol(name)
    assert load_protocol(written(tmp_path, "# mine\n" + whole(name))) == load_protocol(name)


@pytest.mark.parametrize(
    "old, new, named",
    [
        ("first_days: 28", "first_days: 14", r"psa\.first_days \(line 11\) is 14, not 28"),
        ("days_per_month: 30.4375", "days_per_month: 30", "is 30, not 30.4375"),
        ("from: 4, to", "from: 3, to", r"time_points \(line 38\) is .*from: 3"),
        ("salvage_therapy: event", "salvage_therapy: report", "is report, not event"),
        ("rise: 2.0 ", "rise: 2.0\n  confirm_days: 28 ", "confirm_days .* is 28, not none"),
        ('version: "2.0"', 'version: "2.1"', "version .* is 2.1, not 2.0"),
        ('{row: patients, figure: "62"}', '{row: patients, figure: "63"}', "published"),
    ],
)
def test_a_changed_file_with_a_shipped_id_is_refused(old, new, named, tmp_path):
    text = whole("bomers-2020")
    assert old in text
    path = written(tmp_path, text.replace(old, new))
    with pytest.raises(UsageError, match=named) as caught:
        load_protocol(path)
    assert str(caught.value).startswith(f"{path}:2: id: bomers-2020 is the id of a shipped")
    assert "an id of its own" in str(caught.value)
    renamed = path.read_text().replace("id: bomers-2020", "id: mine")
    assert load_protocol(written(tmp_path, renamed)).id == "mine"


def test_the_numbers_are_named_before_the_words(tmp_path):
    text = cli("protocols", "show", "bomers-2020").out.replace("window_days: 90", "window_days: 30")
    with pytest.raises(UsageError, match="window_days"):
        load_protocol(written(tmp_path, text))


def test_a_command_ends_with_a_usage_error(tmp_path):
    path = written(tmp_path, whole("bomers-2020").replace("first_days: 28", "first_days: 14"))
    ran = cli("protocols", "show", path)
    assert ran.code == 2
    assert "psa.first_days" in ran.err


@pytest.mark.parametrize("name", SHIPPED)
def test_show_edit_the_id_run(name, tmp_path):
    """What a user does: the copy works as soon as its id is changed."""
    shown = cli("protocols", "show", name).out
    with pytest.raises(UsageError, match="an id of its own"):
        load_protocol(written(tmp_path, shown))
    mine = load_protocol(written(tmp_path, shown.replace(f"id: {name}", "id: mine", 1)))
    assert numbers(mine) == numbers(load_protocol(name))
    assert mine.source == f"adapted from {name} 2.0"
    assert mine.published == ()
    assert "# " in shown.splitlines()[1], "the id line says that it must be changed"


@pytest.mark.parametrize("name", SHIPPED)
def test_with_published_it_is_the_file(name):
    assert cli("protocols", "show", name, "--with-published").out == whole(name)


def test_the_comments_stay():
    shown, text = cli("protocols", "show", "bomers-2020").out, whole("bomers-2020")
    for line in text.partition("index:")[2].partition("published:")[0].splitlines():
        assert line in shown
    assert shown.endswith("censor | report\n")


def test_a_file_of_your_own_is_shown_as_it_is(tmp_path):
    text = whole("bomers-2020").replace("id: bomers-2020", "id: mine")
    assert cli("protocols", "show", written(tmp_path, text)).out == text


def test_a_source_is_required(tmp_path):
    text = "".join(
        line
        for line in whole("oishi-2019").replace("id: oishi-2019", "id: mine").splitlines(True)
        if not line.startswith("source:")
    )
    with pytest.raises(UsageError, match="source"):
        load_protocol(written(tmp_path, text))
