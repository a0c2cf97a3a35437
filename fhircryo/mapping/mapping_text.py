"""The merged mappings in words, each entry with the file and line that it comes from."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from fhircryo.errors import UsageError
from fhircryo.mapping.concepts import CONCEPTS
from fhircryo.mapping.forms import Fact, Form, shown
from fhircryo.mapping.layers import Layers
from fhircryo.mapping.places import Place
from fhircryo.mapping.schema import CONDITIONS, CodeRef, ConceptCode, Meaning, TextRef, WholeNumbers
from fhircryo.mapping.yamlfile import nearest
from fhircryo.storage.shipped_files import shipped

_WIDTH = 78
Lines = Iterator[str]


def sections(layers: Layers) -> dict[str, Callable[[], Lines]]:
    """What can be shown by itself: concepts, scales, instruments, units, statuses, protocol."""
    found: dict[str, Callable[[], Lines]] = {}
    for key in layers.concepts:
        found[key] = partial(_concept, key, layers)
    for key in layers.scales:
        found[key] = partial(_scale, key, layers)
    for key, form in layers.forms.by_key.items():
        found[key] = partial(_form, form)
    found["extensions"] = partial(_extensions, layers)
    found["units"] = partial(_units, layers)
    found["statuses"] = partial(_statuses, layers)
    found["protocol"] = partial(_protocol, layers)
    return found


def show(layers: Layers, name: str | None = None) -> Lines:
    """All sections, or the one of a name.

    Raises:
        UsageError: there is none of that name.
    """
    known = sections(layers)
    if name is not None and name not in known:
        raise UsageError(f"{name}: there is nothing of this name{nearest(name, known)}")
    for section in known.values() if name is None else [known[name]]:
        yield from section()


def _line(words: str, place: Place) -> str:
    return f"  {words:<{_WIDTH}}  {_shown(place)}"


def _shown(place: Place) -> str:
    """A shipped file by its name in ``mappings``, an overlay as it was given."""
    if place.layer:
        return str(place)
    return f"mappings/{Path(place.file).relative_to(shipped('mappings'))}:{place.line}"


def _concept(key: str, layers: Layers) -> Lines:
    concept = layers.concepts[key]
    known = CONCEPTS[key]
    yield f"{key}: {concept.words} ({known.resource}.{known.element})"
    for code, place in concept.codes:
        yield _line(_meaning(f"{code.system}|{code.code}", code), place)
    for text, place in concept.texts:
        yield _line(_meaning(f"text {text.text!r}", text), place)
    for withdrawn, place in concept.withdrawn:
        star = "*" if withdrawn.descendants else ""
        yield _line(f"not {withdrawn.system}|{withdrawn.code}{star}", place)


def _meaning(words: str, meaning: Meaning) -> str:
    if isinstance(meaning, ConceptCode) and meaning.descendants:
        words += "*"
    for element in CONDITIONS:
        values = getattr(meaning, element)
        if values:
            words += f" with {element} {' or '.join(map(_value, values))}"
    return f"{words} in {meaning.unit}" if meaning.unit else words


def _value(value: CodeRef | TextRef | str) -> str:
    if isinstance(value, CodeRef):
        return f"{value.system}|{value.code}"
    return repr(value.text) if isinstance(value, TextRef) else value


def _scale(key: str, layers: Layers) -> Lines:
    layered = layers.scales[key]
    yield f"{key}: {layered.scale.words}: {', '.join(layered.scale.order)}"
    yield _line(f"{layered.scale.system}|(the grade itself)", layered.place)
    for code, place in layered.codes:
        yield _line(f"{code.system}|{code.code} = {code.grade}", place)
    for text, place in layered.texts:
        yield _line(f"text {text.text!r} = {text.grade}", place)
    for url, place in layered.extensions:
        yield _line(f"extension {url}", place)


def _extensions(layers: Layers) -> Lines:
    yield "extensions: of AdverseEvents, that state a grade of any scale"
    for url, place in layers.extensions:
        yield _line(url, place)


def _form(form: Form) -> Lines:
    questionnaire = form.questionnaire
    yield f"{questionnaire.key}: {questionnaire.words}"
    for fact, place in form.facts.items():
        yield _line(f"{fact.part} {_fact(fact, form)}".strip(), place)
    for item in questionnaire.items:
        allowed = item.allowed
        numbers = (
            f"{allowed.minimum} to {allowed.maximum}"
            if isinstance(allowed, WholeNumbers)
            else ", ".join(map(str, allowed))
        )
        counts = f", counts as {', '.join(map(str, item.recode.values()))}" if item.recode else ""
        yield f"  {item.key}: {numbers}{counts}"
    for score in questionnaire.scores:
        yield (
            f"  {score.key}: {score.score.method} of {', '.join(score.items)};"
            f" at least {score.minimum_answered} answered; worse is {score.worse}"
        )


def _fact(fact: Fact, form: Form) -> str:
    words = {
        "canonicals": "canonical",
        "signatures": "signature",
        "link_ids": "linkId",
        "answers": "answer",
        "observations": "Observation",
    }[fact.what]
    words = f"{words} {shown(fact)}"
    if fact.what == "answers":
        item = next(item for item in form.questionnaire.items if item.key == fact.part)
        score = next(one.score for one in item.answers if (one.system, one.code) == fact.value)
        words += f" = {score}"
    return words


def _units(layers: Layers) -> Lines:
    yield "units: of PSA, in ng/mL"
    for (unit, factor), place in layers.units.values():
        yield _line(f"{unit} = {factor}", place)


def _statuses(layers: Layers) -> Lines:
    yield "statuses: those that count"
    chosen = layers.chosen_statuses()
    for name, place in layers.status_places.items():
        yield _line(f"{name}: {', '.join(getattr(chosen, name))}", place)


def _protocol(layers: Layers) -> Lines:
    yield "protocol: rules in the place of the protocol's own"
    if layers.detection_limit is not None:
        value, place = layers.detection_limit
        yield _line(f"psa.detection_limit: {value}", place)
