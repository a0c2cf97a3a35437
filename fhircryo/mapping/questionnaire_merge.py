"""Merges a site's changes into the questionnaires and records the location of every value."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from fhircryo.mapping.instrument_schema import (
    AnswerCode,
    Domain,
    Questionnaire,
    QuestionnaireItem,
)
from fhircryo.mapping.locations import Layer, Located, Location
from fhircryo.mapping.overlay import (
    InstrumentAddition,
    ItemAddition,
    ScoreAddition,
    TotalAddition,
)
from fhircryo.mapping.schema import (
    CodeRef,
)
from fhircryo.mapping.yamlfile import Loc, nearest

TOTAL = "total"


class Declaration(NamedTuple):
    """A value that the mapping files declare for a questionnaire.

    ``part``: an item, a domain or a total (empty: the questionnaire itself). ``field``: the list
    that contains the value, such as ``link_ids``. ``value``: a linkId or canonical; the linkIds of
    a signature; or system and code.
    """

    part: str
    field: str
    value: tuple[str | None, ...]


@dataclass
class MergedQuestionnaire:
    """A questionnaire with all changes applied, and the location of each declared value."""

    questionnaire: Questionnaire
    location: Location
    declarations: dict[Declaration, Location] = field(default_factory=dict)

    def declare(self, layer: Layer, part: str, loc: Loc, values: Sequence[Any]) -> None:
        """Record the location of each value of the list at ``loc``.

        Raises:
            UsageError: a value is declared already.
        """
        name = str(loc[-1])
        for number, value in enumerate(values):
            declaration = Declaration(part, name, _value(value))
            other = next((one for one in self.declarations if _conflict(one, declaration)), None)
            if other is not None:
                words = f"{shown(declaration)} is already defined at {self.declarations[other]}"
                raise layer.error((*loc, number), words)
            self.declarations[declaration] = layer.location(*loc, number)

    def withdraw(self, layer: Layer, part: str, name: str, loc: Loc, values: Sequence[Any]) -> None:
        """Remove values that earlier layers declared.

        Raises:
            UsageError: a value is not declared.
        """
        for number, value in enumerate(values):
            declaration = Declaration(part, name, _value(value))
            if self.declarations.pop(declaration, None) is None:
                there = [shown(one) for one in self.declarations if one[:2] == (part, name)]
                text = shown(declaration)
                words = f"there is no {text} to withdraw{nearest(text, there)}"
                raise layer.error((*loc, "withdraw", number), words)

    def declared(self, part: str, name: str) -> tuple[Located[tuple[str | None, ...]], ...]:
        """Return the declared values of one list of a part, in order, with their locations."""
        return tuple(
            Located(declaration.value, location)
            for declaration, location in self.declarations.items()
            if (declaration.part, declaration.field) == (part, name)
        )


def _value(value: Any) -> tuple[str | None, ...]:
    if isinstance(value, CodeRef | AnswerCode):
        return (value.system, value.code)
    return value if isinstance(value, tuple) else (value,)


def _conflict(one: Declaration, other: Declaration) -> bool:
    """Return whether two declarations conflict.

    The same answer code may score differently in different items; any other value may occur only
    once in a questionnaire.
    """
    if one.field == "answers" and one.part != other.part:
        return False
    return one[1:] == other[1:]


def shown(declaration: Declaration) -> str:
    """Return the value of a declaration as text."""
    if declaration.field in ("answers", "observations"):
        return "|".join(part or "" for part in declaration.value)
    return ", ".join(part or "" for part in declaration.value)


@dataclass
class MergedQuestionnaires:
    """All questionnaires by key."""

    by_key: dict[str, MergedQuestionnaire] = field(default_factory=dict)

    def add(self, layer: Layer, new: Questionnaire, loc: Loc) -> None:
        """Add a questionnaire, shipped or the site's own.

        Raises:
            UsageError: a questionnaire or domain of this key exists already.
        """
        taken = {
            key: form.location
            for form in self.by_key.values()
            for key in (form.questionnaire.key, *(one.key for one in form.questionnaire.scores))
        }
        for key in (new.key, *(score.key for score in new.scores)):
            if key in taken:
                raise layer.error((*loc, "key"), f"{key} is already defined at {taken[key]}")
        form = MergedQuestionnaire(new, layer.location(*loc, "key"))
        for name in ("canonicals", "signatures"):
            form.declare(layer, "", (*loc, name), getattr(new, name))
        for number, item in enumerate(new.items):
            for name in ("link_ids", "answers"):
                form.declare(layer, item.key, (*loc, "items", number, name), getattr(item, name))
        for number, score in enumerate(new.scores):
            inner = (*loc, "domains", number) if new.domains else loc
            part = score.key if new.domains else ""
            if score.total is not None:
                links = score.total.link_ids
                form.declare(layer, _total(part), (*inner, TOTAL, "link_ids"), links)
            form.declare(layer, part, (*inner, "observations"), score.observations)
        self.by_key[new.key] = form

    def change(self, layer: Layer, key: str, addition: InstrumentAddition) -> None:
        """Apply a site's changes to a questionnaire that exists already.

        Raises:
            UsageError: there is no such questionnaire, item or domain, or a value conflicts.
        """
        loc: Loc = ("instruments", key)
        form = self.by_key.get(key)
        if form is None:
            raise layer.error(loc, f"no such instrument{nearest(key, self.by_key)}")
        old = form.questionnaire
        for name in ("canonicals", "signatures"):
            form.declare(layer, "", (*loc, name), getattr(addition, name))
        if old.domains and {"total", "withdraw", "observations"} & addition.model_fields_set:
            raise layer.error(loc, f"{key} has domains: move this under one of them")
        items = _items(form, layer, (*loc, "items"), addition.items)
        domains = _domains(form, layer, (*loc, "domains"), addition.domains)
        changes = _score(form, layer, "", loc, old, addition)
        changes |= {"items": items, "domains": domains}
        changes["canonicals"] = (*old.canonicals, *addition.canonicals)
        changes["signatures"] = (*old.signatures, *addition.signatures)
        form.questionnaire = old.model_copy(update=changes)


def _items(
    form: MergedQuestionnaire, layer: Layer, loc: Loc, additions: Mapping[str, ItemAddition]
) -> tuple[QuestionnaireItem, ...]:
    items = {item.key: item for item in form.questionnaire.items}
    # All withdrawals come first, so that a linkId can move from one item to another.
    for key, addition in additions.items():
        if key not in items:
            raise layer.error((*loc, key), f"no such item{nearest(key, items)}")
        form.withdraw(layer, key, "link_ids", (*loc, key), addition.withdraw)
    for key, addition in additions.items():
        form.declare(layer, key, (*loc, key, "link_ids"), addition.link_ids)
        form.declare(layer, key, (*loc, key, "answers"), addition.answers)
        links = tuple(value[0] for value, _ in form.declared(key, "link_ids"))
        if not links:
            raise layer.error((*loc, key), "no linkId is left for this item")
        answers = (*items[key].answers, *addition.answers)
        items[key] = items[key].model_copy(update={"link_ids": links, "answers": answers})
    return tuple(items.values())


def _domains(
    form: MergedQuestionnaire, layer: Layer, loc: Loc, additions: Mapping[str, ScoreAddition]
) -> tuple[Domain, ...]:
    domains = {domain.key: domain for domain in form.questionnaire.domains}
    for key, addition in additions.items():
        if key not in domains:
            raise layer.error((*loc, key), f"no such domain{nearest(key, domains)}")
        changes = _score(form, layer, key, (*loc, key), domains[key], addition)
        domains[key] = domains[key].model_copy(update=changes)
    return tuple(domains.values())


def _score(
    form: MergedQuestionnaire,
    layer: Layer,
    part: str,
    loc: Loc,
    old: Questionnaire | Domain,
    addition: ScoreAddition,
) -> dict[str, Any]:
    """Return the changed fields of a score: its total and its Observation codes."""
    changes: dict[str, Any] = {}
    if addition.total is not None:
        changes["total"] = _with_links(form, layer, part, loc, old, addition.total)
    withdrawn = {(code.system, code.code) for code in addition.withdraw}
    form.withdraw(layer, part, "observations", loc, addition.withdraw)
    form.declare(layer, part, (*loc, "observations"), addition.observations)
    kept = [code for code in old.observations if (code.system, code.code) not in withdrawn]
    changes["observations"] = (*kept, *addition.observations)
    if addition.observations and old.total is None:
        words = "the instrument has no total, so the valid range of scores is not known"
        raise layer.error((*loc, "observations"), words)
    return changes


def _with_links(
    form: MergedQuestionnaire,
    layer: Layer,
    part: str,
    loc: Loc,
    old: Questionnaire | Domain,
    addition: TotalAddition,
) -> Any:
    inner = (*loc, TOTAL)
    if old.total is None:
        raise layer.error(inner, "the instrument has no total")
    form.withdraw(layer, _total(part), "link_ids", inner, addition.withdraw)
    form.declare(layer, _total(part), (*inner, "link_ids"), addition.link_ids)
    links = tuple(value[0] for value, _ in form.declared(_total(part), "link_ids"))
    return old.total.model_copy(update={"link_ids": links})


def _total(part: str) -> str:
    return f"{part} {TOTAL}".strip()
