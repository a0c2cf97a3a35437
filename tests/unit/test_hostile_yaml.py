"""Overlays, protocols and settings that are slips or attacks: exit 2, at once, with the line."""

import re
from pathlib import Path

import pytest

from fhircryo.errors import UsageError
from fhircryo.mapping.load import load_mappings, load_protocol
from fhircryo.mapping.yamlfile import read_document
from fhircryo.settings import load_settings
from fhircryo.storage.shipped_files import shipped

BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{new}: &{new} [{','.join([f'*{old}'] * 9)}]\n"
    for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
HOSTILE = {
    "a bomb of aliases": (BOMB, "aliases repeat too much"),
    "itself": ("a: &a [*a]", "aliases repeat too much"),
    "a chain of merges": (
        "a0: &a0 {k: 1}\n"
        + "".join(f"a{n}: &a{n} {{<<: *a{n - 1}, k{n}: 1}}\n" for n in range(1, 2000)),
        "aliases repeat too much",
    ),
    # libyaml's composer overflows the stack from some 30,000 levels on, which ends the process.
    "lists": ("[" * 100_000, "nested too deeply"),
    "mappings": ("".join(" " * n + "a:\n" for n in range(2000)), "nested too deeply"),
    "dashes": ("- " * 5000 + "1", "nested too deeply"),
    "an integer": ("a:\n  b: " + "9" * 100_000, "a.b: not valid YAML: the number is too large"),
    "a hexadecimal": ("a: 0x" + "f" * 100_000, "the number is too"),
    "a sexagesimal": ("a: " + ":".join(["59"] * 20_000), "the number is too"),
    "an exponent": ("a: 1.5e+999999", "the number is too"),
    "a date": ("a:\n- b: 2020-02-30", "a.0.b: not valid YAML: '2020-02-30' is not a date"),
    "a key twice": ("a: 1\na: 2", "the key 'a' occurs twice"),
    "a tag of Python": ("a: !!python/object/apply:os.system [x]", "could not determine"),
    "a wrong tag": ("a: !!int x", "not a value of the type int"),
    "a wrong Boolean": ("a: !!bool x", "not a value of the type bool"),
    "a wrong mapping": ("a: !!map x", "not a value of the type map"),
    "a control character": ("a: \x07", "a character that YAML does not allow"),
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "own.yaml"


@pytest.mark.slow
@pytest.mark.parametrize("name", HOSTILE)
def test_is_refused_with_its_line(name, file):
    text, words = HOSTILE[name]
    file.write_text(text)
    for load in (read_document, load_protocol, lambda path: load_mappings([path])):
        with pytest.raises(UsageError, match=re.escape(words)) as caught:
            load(file)
        assert re.match(r".*own\.yaml:[0-9]+: ", str(caught.value))
        assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("content", [b"a: \xe9", "a: 1".encode("utf-16"), b"\x1f\x8b\x08\x00"])
def test_what_is_no_text_is_refused(content, file):
    file.write_bytes(content)
    with pytest.raises(UsageError, match=r"own\.yaml:1: cannot be read: it is not UTF-8"):
        read_document(file)


def test_a_byte_order_mark_is_passed_over(file):
    file.write_bytes(b"\xef\xbb\xbfa: 1")
    assert read_document(file).content == {"a": 1}


def test_a_file_without_end_is_refused():
    with pytest.raises(UsageError, match="more than 8 MB"):
        read_document(Path("/dev/zero"))


@pytest.mark.parametrize("value", ["1e999999", "1e-999999", "1e28", "'.inf'", "yes", "[]"])
def test_a_number_of_a_protocol_is_one_to_compute_with(value, file):
    text = (shipped("mappings") / "protocols" / "bomers-2020.yaml").read_text()
    changed = re.sub(r"(\n *rise:) [0-9.]+", rf"\1 {value}", text.replace("id: bomers", "id: own"))
    assert changed != text
    file.write_text(changed)
    with pytest.raises(UsageError, match=r"own\.yaml:[0-9]+: biochemical_failure\.rise: "):
        load_protocol(file)


@pytest.mark.slow
def test_thousands_of_wrong_keys_are_summed_up(file):
    file.write_text("".join(f"wrong{number}: 1\n" for number in range(20_000)))
    with pytest.raises(UsageError, match=r"more$") as caught:
        load_protocol(file)
    assert len(str(caught.value).splitlines()) == 21


def test_settings_that_are_nested_deeply_are_refused(tmp_path):
    config = tmp_path / "fhircryo.toml"
    config.write_text("a = " + "[" * 5000)
    with pytest.raises(UsageError, match="nested too deeply"):
        load_settings(config)
