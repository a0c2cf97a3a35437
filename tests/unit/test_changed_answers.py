"""The changes of a dry run, counted by endpoint and value."""

from fhircryo.cli.published_text import changed_lines
from fhircryo.publish.changed_answers import changed_answers
from fhircryo.publish.difference import Action, Change, Difference, PatientChanges
from fhircryo.publish.published_endpoint import PublishedEndpoint


def change(name: str, before: str, after: str, status: tuple[str, str]) -> Change:
    there = PublishedEndpoint("e1", "e1", "1", status[0], b"", "p1", True, name, "", before)
    return Change(Action.CHANGED, "e1", name, published=there, status=status[1], answer=after)


def difference(*changes: Change) -> Difference:
    return Difference([PatientChanges("p1", None, [], list(changes))], lambda: 1)


FINAL = ("final", "final")
FOUND = difference(
    change("disease-free-12-months", "Y", "absent, no-psa-response", ("final", "amended")),
    change("disease-free-12-months", "Y", "absent, no-psa-response", ("final", "amended")),
    change("disease-free-12-months", "Y", "N", ("final", "amended")),
    change("psa-nadir", "0.4 ng/mL", "0.5 ng/mL", FINAL),
    change("psa-nadir", "0.4 ng/mL", "<2.4 ng/mL", FINAL),
    change("disease-free-survival", "143 d, censored", "143..235 d, event", FINAL),
    change("worst-ctcae", "3", "4", FINAL),
    change("prom-change-ipss 6-months", "-2.5 {score}", "3 {score}", FINAL),
    change("metastasis", "N", "N", ("preliminary", "final")),
    Change(Action.NEW, "e2", "overall-survival", answer="1 d, event"),
    Change(Action.RETRACTED, "e3", "metastasis"),
)


def test_changes_are_counted_by_endpoint_and_value():
    found = changed_answers(FOUND)
    assert dict(found.answers) == {
        ("disease-free-12-months", "Y", "absent, no-psa-response"): 2,
        ("disease-free-12-months", "Y", "N"): 1,
        ("psa-nadir", "a number", "a number"): 2,
        ("disease-free-survival", "a number, censored", "an interval, event"): 1,
        ("worst-ctcae", "3", "4"): 1,
        ("prom-change-ipss 6-months", "a number", "a number"): 1,
    }
    assert found.same_answer == 1
    assert dict(found.statuses) == {("final", "amended"): 3, ("preliminary", "final"): 1}


def test_a_dry_run_says_them():
    text = "\n".join(changed_lines(FOUND))
    assert "2   disease-free-12-months: Y -> absent, no-psa-response" in text
    assert "2   psa-nadir: a number -> another value" in text
    assert "3   status final -> amended" in text


def test_nothing_is_said_where_nothing_that_stands_there_changes():
    new = difference(Change(Action.NEW, "e2", "overall-survival", answer="1 d, event"))
    assert changed_lines(new) == []
