"""Lines about answered questionnaires."""

from decimal import Decimal
from functools import cache
from typing import Any

from fhircryo.setup.expectations.fhir_values import (
    BASE,
    Resource,
    moment,
    shipped_content,
    subject,
    updated,
)
from fhircryo.setup.expectations.shorthand_line import Line, ShorthandError, named
from fhircryo.storage.shipped_files import shipped

ORDINAL = "http://hl7.org/fhir/StructureDefinition/ordinalValue"
ITEM_WEIGHT = "http://hl7.org/fhir/StructureDefinition/itemWeight"


def shipped_instruments() -> list[Any]:
    """The contents of the shipped instruments."""
    paths = sorted((shipped("mappings") / "instruments").glob("*.yaml"))
    return [shipped_content(f"instruments/{path.name}")["instrument"] for path in paths]


@cache
def shipped_marks() -> frozenset[str]:
    """The keys of the marks of all shipped instruments."""
    return frozenset(mark["key"] for one in shipped_instruments() for mark in one.get("marks", ()))


@cache
def questionnaire_items() -> dict[str, list[str]]:
    """By questionnaire its linkIds, as the shipped instruments have them.

    Of instruments that share a questionnaire, the one of its name comes first.
    """
    found: dict[str, list[tuple[bool, list[str]]]] = {}
    for instrument in shipped_instruments():
        links = [item["link_ids"][0] for item in instrument["items"]]
        for canonical in instrument.get("canonicals", ()):
            name = canonical.rpartition("/")[2]
            found.setdefault(name, []).append((name != instrument["key"], links))
    return {
        name: [link for _, links in sorted(parts) for link in links]
        for name, parts in found.items()
    }


def answer_as(kind: str, value: str) -> dict[str, Any]:
    """An answer that holds a number in one of FHIR's ways."""
    if kind == "integer":
        return {"valueInteger": int(value)}
    if kind == "decimal":
        return {"valueDecimal": Decimal(value)}
    if kind == "quantity":
        return {"valueQuantity": {"value": Decimal(value)}}
    if kind == "string":
        return {"valueString": value}
    if kind == "boolean":
        return {"valueBoolean": value != "0"}
    if kind == "code":
        return {"valueCoding": {"code": value}}
    coding: dict[str, Any] = {"system": "http://example.org/answers", "code": f"answer-{value}"}
    answer: dict[str, Any] = {"valueCoding": coding}
    if kind in ("ordinal", "weight"):
        url = ORDINAL if kind == "ordinal" else ITEM_WEIGHT
        coding["extension"] = [{"url": url, "valueDecimal": int(value)}]
    elif kind in ("answer-ordinal", "answer-weight"):
        url = ORDINAL if kind == "answer-ordinal" else ITEM_WEIGHT
        answer["extension"] = [{"url": url, "valueDecimal": int(value)}]
    elif kind != "coding":
        raise ShorthandError(f"no such answer: {kind}")
    return answer


def answers(text: str, links: list[str], kind: str) -> list[dict[str, Any]]:
    """The items of ``3,3,_,2``; ``_`` is an item without an answer, ``kind:value`` another kind."""
    values = [] if text == "-" else text.split(",")
    if len(values) > len(links):
        raise ShorthandError(f"{text!r}: more answers than items")
    items: list[dict[str, Any]] = []
    for link, value in zip(links, values, strict=False):
        one, colon, number = value.rpartition(":")
        if value == "_":
            items.append({"linkId": link})
        else:
            items.append({"linkId": link, "answer": [answer_as(one if colon else kind, number)]})
    return items


def response(text: str, number: int) -> Resource:
    """``DATE INSTRUMENT ANSWERS [STATUS]``; ids q1, q2 ...

    ``total=``: the instrument's total item. ``twice=LINK:VALUE``: that item once more.
    ``nest=item|answer``: items below another item, or below its answer. ``as=``: kind of answer.
    ``canonical=``: the whole canonical; ``contained=URL``: ``#q``, a contained Questionnaire of
    that canonical. ``links=``: other linkIds than ours; ``sum=``: that of the
    total. An answer ``code:X`` is a coding without system.
    """
    line = Line(text)
    resource: Resource = {"resourceType": "QuestionnaireResponse"}
    resource["id"] = line.get("id", f"q{number + 1}")
    updated(line, resource)
    when, instrument = line.next(), line.next()
    canonical = line.get("canonical", f"{BASE}/Questionnaire/{instrument}")
    inside = line.get("contained")
    if inside:
        contained = {"resourceType": "Questionnaire", "id": "q", "url": inside, "status": "active"}
        resource["contained"], canonical = [contained], "#q"
    if canonical:
        resource["questionnaire"] = canonical
    statuses = ("in-progress", "completed", "amended", "entered-in-error", "stopped")
    resource["status"] = line.flag(statuses, "completed")
    resource["subject"] = subject(line)
    if when != "-":
        resource["authored"] = moment(when)
    links = (line.get("links") or "").split(",")
    if links == [""]:
        items_of = questionnaire_items()
        links = named(items_of, instrument, "questionnaire; give links= and canonical=")
    items = answers(line.next("-"), links, line.get("as", "integer"))
    total, link = line.get("total"), line.get("sum", "total")
    if total:
        items.append({"linkId": link, "answer": [answer_as("integer", total)]})
    for again in line.all("twice"):
        link, _, value = again.partition(":")
        items.append({"linkId": link, "answer": [answer_as("integer", value)]})
    nest = line.get("nest")
    if nest == "item":
        items = [{"linkId": "page", "item": [{"linkId": "part", "item": items}]}]
    elif nest == "answer":
        items = [{"linkId": "gate", "answer": [{"valueBoolean": True, "item": items}]}]
    elif nest:
        raise ShorthandError(f"nest={nest}")
    if items:
        resource["item"] = items
    line.done()
    return resource
