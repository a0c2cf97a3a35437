"""The questionnaires, and what a site says of how it records them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from fhircryo.mapping.overlay import (
    InstrumentAddition,
    ItemAddition,
    ScoreAddition,
    TotalAddition,
)
from fhircryo.mapping.places import Layer, Place, Placed
from fhircryo.mapping.schema import AnswerCode, CodeRef, Domain, Item, Questionnaire
from fhircryo.mapping.yamlfile import Loc, nearest

TOTAL = "total"


class Fact(NamedTuple):
    """Something said of a questionnaire: of which part (empty: the whole), what, and the value.

    ``value``: a linkId or canonical; the linkIds of a signature; system and code.
    """

    part: str
    what: str
    value: tuple[str | None, ...]


@dataclass
class Form:
    """A questionnaire, and where each thing that is said of it stands."""

    questionnaire: Questionnaire
    place: Place
    facts: dict[Fact, Place] = field(default_factory=dict)

    def say(self, layer: Layer, part: str, loc: Loc, values: Sequence[Any]) -> None:
        """Remember where each value of a list stands; one that stands already is an error."""
        what = str(loc[-1])
        for number, value in enumerate(values):
            fact = Fact(part, what, _value(value))
            other = next((one for one in self.facts if _same(one, fact)), None)
            if other is not None:
                words = f"{shown(fact)} stands already at {self.facts[other]}"
                raise layer.error((*loc, number), words)
            self.facts[fact] = layer.place(*loc, number)

    def unsay(self, layer: Layer, part: str, what: str, loc: Loc, values: Sequence[Any]) -> None:
        """Forget values of earlier layers; one that is not there is an error."""
        for number, value in enumerate(values):
            fact = Fact(part, what, _value(value))
            if self.facts.pop(fact, None) is None:
                there = [shown(one) for one in self.facts if one[:2] == (part, what)]
                words = f"there is no {shown(fact)} to withdraw{nearest(shown(fact), there)}"
                raise layer.error((*loc, "withdraw", number), words)

    def said(self, part: str, what: str) -> tuple[Placed[tuple[str | None, ...]], ...]:
        """The values of a part, in order, with their places."""
        return tuple(
            Placed(fact.value, place)
            for fact, place in self.facts.items()
            if (fact.part, fact.what) == (part, what)
        )


def _value(value: Any) -> tuple[str | None, ...]:
    if isinstance(value, CodeRef | AnswerCode):
        return (value.system, value.code)
    return value if isinstance(value, tuple) else (value,)


def _same(one: Fact, other: Fact) -> bool:
    """Answers are told apart by item; everything else stands once in a questionnaire."""
    if one.what == "answers" and one.part != other.part:
        return False
    return one[1:] == other[1:]


def shown(fact: Fact) -> str:
    """The value of a fact in words."""
    if fact.what in ("answers", "observations"):
        return "|".join(part or "" for part in fact.value)
    return ", ".join(part or "" for part in fact.value)


@dataclass
class Forms:
    """All questionnaires by key."""

    by_key: dict[str, Form] = field(default_factory=dict)

    def add(self, layer: Layer, new: Questionnaire, loc: Loc) -> None:
        """A whole questionnaire, shipped or the site's own."""
        taken = {
            key: form.place
            for form in self.by_key.values()
            for key in (form.questionnaire.key, *(one.key for one in form.questionnaire.scores))
        }
        for key in (new.key, *(score.key for score in new.scores)):
            if key in taken:
                raise layer.error((*loc, "key"), f"{key} stands already at {taken[key]}")
        form = Form(new, layer.place(*loc, "key"))
        for what in ("canonicals", "signatures"):
            form.say(layer, "", (*loc, what), getattr(new, what))
        for number, item in enumerate(new.items):
            for what in ("link_ids", "answers"):
                form.say(layer, item.key, (*loc, "items", number, what), getattr(item, what))
        for number, score in enumerate(new.scores):
            inner = (*loc, "domains", number) if new.domains else loc
            part = score.key if new.domains else ""
            if score.total is not None:
                links = score.total.link_ids
                form.say(layer, _total(part), (*inner, TOTAL, "link_ids"), links)
            form.say(layer, part, (*inner, "observations"), score.observations)
        self.by_key[new.key] = form

    def change(self, layer: Layer, key: str, addition: InstrumentAddition) -> None:
        """What a site says of a questionnaire that is known."""
        loc: Loc = ("instruments", key)
        form = self.by_key.get(key)
        if form is None:
            raise layer.error(loc, f"no such instrument{nearest(key, self.by_key)}")
        old = form.questionnaire
        for what in ("canonicals", "signatures"):
            form.say(layer, "", (*loc, what), getattr(addition, what))
        if old.domains and {"total", "withdraw", "observations"} & addition.model_fields_set:
            raise layer.error(loc, f"{key} has domains: say it of one of these")
        items = _items(form, layer, (*loc, "items"), addition.items)
        domains = _domains(form, layer, (*loc, "domains"), addition.domains)
        changes = _score(form, layer, "", loc, old, addition)
        changes |= {"items": items, "domains": domains}
        changes["canonicals"] = (*old.canonicals, *addition.canonicals)
        changes["signatures"] = (*old.signatures, *addition.signatures)
        form.questionnaire = old.model_copy(update=changes)


def _items(
    form: Form, layer: Layer, loc: Loc, additions: Mapping[str, ItemAddition]
) -> tuple[Item, ...]:
    items = {item.key: item for item in form.questionnaire.items}
    # All that is withdrawn first: a linkId may pass from one item to another.
    for key, addition in additions.items():
        if key not in items:
            raise layer.error((*loc, key), f"no such item{nearest(key, items)}")
        form.unsay(layer, key, "link_ids", (*loc, key), addition.withdraw)
    for key, addition in additions.items():
        form.say(layer, key, (*loc, key, "link_ids"), addition.link_ids)
        form.say(layer, key, (*loc, key, "answers"), addition.answers)
        links = tuple(value[0] for value, _ in form.said(key, "link_ids"))
        if not links:
            raise layer.error((*loc, key), "no linkId is left")
        answers = (*items[key].answers, *addition.answers)
        items[key] = items[key].model_copy(update={"link_ids": links, "answers": answers})
    return tuple(items.values())


def _domains(
    form: Form, layer: Layer, loc: Loc, additions: Mapping[str, ScoreAddition]
) -> tuple[Domain, ...]:
    domains = {domain.key: domain for domain in form.questionnaire.domains}
    for key, addition in additions.items():
        if key not in domains:
            raise layer.error((*loc, key), f"no such domain{nearest(key, domains)}")
        changes = _score(form, layer, key, (*loc, key), domains[key], addition)
        domains[key] = domains[key].model_copy(update=changes)
    return tuple(domains.values())


def _score(
    form: Form,
    layer: Layer,
    part: str,
    loc: Loc,
    old: Questionnaire | Domain,
    addition: ScoreAddition,
) -> dict[str, Any]:
    """What changes of how a score is recorded as a whole."""
    changes: dict[str, Any] = {}
    if addition.total is not None:
        changes["total"] = _with_links(form, layer, part, loc, old, addition.total)
    withdrawn = {(code.system, code.code) for code in addition.withdraw}
    form.unsay(layer, part, "observations", loc, addition.withdraw)
    form.say(layer, part, (*loc, "observations"), addition.observations)
    kept = [code for code in old.observations if (code.system, code.code) not in withdrawn]
    changes["observations"] = (*kept, *addition.observations)
    if addition.observations and old.total is None:
        words = "it is not known which numbers are scores: the instrument has no total"
        raise layer.error((*loc, "observations"), words)
    return changes


def _with_links(
    form: Form,
    layer: Layer,
    part: str,
    loc: Loc,
    old: Questionnaire | Domain,
    addition: TotalAddition,
) -> Any:
    inner = (*loc, TOTAL)
    if old.total is None:
        raise layer.error(inner, "the instrument has no total")
    form.unsay(layer, _total(part), "link_ids", inner, addition.withdraw)
    form.say(layer, _total(part), (*inner, "link_ids"), addition.link_ids)
    links = tuple(value[0] for value, _ in form.said(_total(part), "link_ids"))
    return old.total.model_copy(update={"link_ids": links})


def _total(part: str) -> str:
    return f"{part} {TOTAL}".strip()
