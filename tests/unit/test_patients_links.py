"""Merged patients: chains and circles of links."""

from fhircryo.record.patients import Patients


def test_links_into_a_circle_are_one_person() -> None:
    patients = Patients({"a": "m", "m": "n", "n": "m"})
    assert [patients.current(one) for one in ("a", "m", "n", "b")] == ["m", "m", "m", "b"]


def test_a_chain_ends_at_its_last_patient() -> None:
    patients = Patients({"a": "b", "b": "c"})
    assert [patients.current(one) for one in ("b", "a", "c")] == ["c", "c", "c"]


def test_a_link_to_itself_is_no_other_person() -> None:
    assert Patients({"a": "a"}).current("a") == "a"


def test_a_long_chain_is_followed_once() -> None:
    length = 20_000
    patients = Patients({f"p{number}": f"p{number + 1}" for number in range(length)})
    assert {patients.current(f"p{number}") for number in range(length)} == {f"p{length}"}
