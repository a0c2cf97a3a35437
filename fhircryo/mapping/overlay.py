"""The format of a site overlay, as pydantic models; ``mappings/overlay.schema.json`` is of them."""

import json
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from fhircryo.mapping.schema import (
    Actualities,
    AnswerCode,
    Canonical,
    CodeRef,
    ConceptCode,
    ConceptText,
    Descendants,
    Factors,
    GradeCode,
    GradeText,
    Key,
    ObservationStatuses,
    ProcedureStatuses,
    Questionnaire,
    ResponseStatuses,
    ScoreCode,
    Text,
    Verifications,
)
from fhircryo.mapping.yamlfile import Written


class WithdrawnCode(CodeRef):
    """A code of an earlier layer that shall not count any more."""

    descendants: Descendants = None


class ConceptAddition(Written):
    """What a site changes of a concept: codes taken away first, then those it adds."""

    withdraw: Annotated[
        tuple[WithdrawnCode, ...] | Literal["all"],
        Field(description="Codes of earlier layers that shall not count; all: none of them"),
    ] = ()
    codes: Annotated[tuple[ConceptCode, ...], Field(description="Codes that count as well")] = ()
    texts: Annotated[
        tuple[ConceptText, ...], Field(description="Texts that count where nothing is coded")
    ] = ()


class StatusChoices(Written):
    """Which statuses count; a list stands in the place of the shipped one."""

    observation: Annotated[
        ObservationStatuses | None, Field(description="In order of precedence")
    ] = None
    procedure: Annotated[
        ProcedureStatuses | None, Field(description="Of candidates for the index procedure")
    ] = None
    procedure_complete: Annotated[
        ProcedureStatuses | None, Field(description="Those that are a technical success")
    ] = None
    questionnaire_response: Annotated[
        ResponseStatuses | None, Field(description="In order of precedence")
    ] = None
    condition_verification: Verifications | None = None
    adverse_event_actuality: Actualities | None = None


class UnitAddition(Written):
    """Spellings of units: what one of each is in the target unit."""

    withdraw: Annotated[tuple[Text, ...], Field(description="Spellings that shall not count")] = ()
    factors: Annotated[Factors, Field(description="What one of the unit is in ng/mL")] = {}


class UnitAdditions(Written):
    """The units of one kind of result."""

    psa: UnitAddition


class ScaleAddition(Written):
    """How a site records the grades of one scale."""

    withdraw: Annotated[
        tuple[CodeRef, ...], Field(description="Codes of earlier layers that shall not count")
    ] = ()
    codes: Annotated[tuple[GradeCode, ...], Field(description="Codings of grades")] = ()
    texts: Annotated[tuple[GradeText, ...], Field(description="Texts that state a grade")] = ()
    extensions: Annotated[
        tuple[Text, ...],
        Field(description="URLs of AdverseEvent extensions that state a grade of this scale"),
    ] = ()


class GradeAdditions(Written):
    """How and where a site records grades."""

    withdraw: Annotated[
        tuple[Text, ...],
        Field(description="URLs of extensions of earlier layers that shall not count"),
    ] = ()
    extensions: Annotated[
        tuple[Text, ...],
        Field(description="URLs of AdverseEvent extensions that state a grade of any scale"),
    ] = ()
    scales: dict[Key, ScaleAddition] = {}


class ItemAddition(Written):
    """Where else an item's answer stands, and what coded answers score."""

    withdraw: Annotated[
        tuple[Text, ...], Field(description="linkIds of earlier layers that are not this item")
    ] = ()
    link_ids: tuple[Text, ...] = ()
    answers: tuple[AnswerCode, ...] = ()


class TotalAddition(Written):
    """Where else the total stands."""

    withdraw: tuple[Text, ...] = ()
    link_ids: tuple[Text, ...] = ()


class ScoreAddition(Written):
    """How a site records one score as a whole."""

    total: TotalAddition | None = None
    withdraw: Annotated[
        tuple[CodeRef, ...], Field(description="Observation codes that shall not count")
    ] = ()
    observations: Annotated[
        tuple[ScoreCode, ...], Field(description="Codes of Observations that hold the score")
    ] = ()


class InstrumentAddition(ScoreAddition):
    """How a site records a questionnaire that is known already."""

    canonicals: Annotated[
        tuple[Canonical, ...], Field(description="Canonicals of the site's form, without version")
    ] = ()
    signatures: Annotated[
        tuple[Annotated[tuple[Text, ...], Field(min_length=1)], ...],
        Field(description="linkIds by whose being answered the form is known"),
    ] = ()
    items: Annotated[dict[Text, ItemAddition], Field(description="By the item's key")] = {}
    domains: Annotated[dict[Key, ScoreAddition], Field(description="By the domain's key")] = {}


class PsaRules(Written):
    """Rules of the protocol's section psa."""

    detection_limit: Annotated[
        Literal["limit", "half", "zero"],
        Field(description="The value used for a result below detection"),
    ]


class ProtocolRules(Written):
    """What the site's laboratory makes different from the protocol; told with every result."""

    psa: PsaRules


class OverlayFile(Written):
    """A site's own codes, units, grades and questionnaires, laid over the shipped ones."""

    concepts: Annotated[
        dict[Key, ConceptAddition], Field(description="Codes and texts, by concept")
    ] = {}
    statuses: Annotated[StatusChoices | None, Field(description="Which statuses count")] = None
    units: Annotated[UnitAdditions | None, Field(description="Spellings of units")] = None
    grades: Annotated[GradeAdditions | None, Field(description="Grades of complications")] = None
    instruments: Annotated[
        dict[Key, InstrumentAddition], Field(description="Questionnaires that are known already")
    ] = {}
    new_instruments: Annotated[
        tuple[Questionnaire, ...], Field(description="Questionnaires of the site's own")
    ] = ()
    protocol: Annotated[
        ProtocolRules | None, Field(description="Rules that differ from the protocol's")
    ] = None

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not self.model_fields_set:
            raise ValueError(f"nothing in it; there may be: {', '.join(type(self).model_fields)}")
        return self

    @property
    def can_be_met(self) -> bool:
        """Whether it names something that a source may hold."""
        parts: list[object] = [self.instruments, self.new_instruments]
        for concept in self.concepts.values():
            parts += [concept.codes, concept.texts]
        if self.units is not None:
            parts.append(self.units.psa.factors)
        if self.grades is not None:
            parts.append(self.grades.extensions)
            for scale in self.grades.scales.values():
                parts += [scale.codes, scale.texts, scale.extensions]
        return any(parts)


def json_schema() -> str:
    """The JSON Schema of an overlay, for editors."""
    content: dict[str, Any] = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "fhircryo site overlay",
    }
    schema = OverlayFile.model_json_schema()
    content |= {key: value for key, value in schema.items() if key != "title"}
    return json.dumps(content, indent=1) + "\n"
