"""The format of a site overlay, as pydantic models.

``mappings/overlay.schema.json`` is generated from these models.
"""

import json
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from fhircryo.mapping.grade_schema import (
    GradeCode,
    GradeText,
)
from fhircryo.mapping.instrument_schema import (
    AnswerCode,
    Canonical,
    Questionnaire,
    ScoreCode,
)
from fhircryo.mapping.schema import (
    CodeRef,
    ConceptCode,
    ConceptText,
    Descendants,
    Factors,
    Key,
    KindText,
    ListedCode,
    Text,
)
from fhircryo.mapping.status_schema import (
    Actualities,
    AdministrationStatuses,
    Intents,
    ObservationStatuses,
    OngoingStatuses,
    ProcedureStatuses,
    RequestStatuses,
    ResponseStatuses,
    StatementStatuses,
    Verifications,
)
from fhircryo.mapping.yamlfile import StrictModel


class WithdrawnCode(CodeRef):
    """A code of an earlier layer that no longer counts."""

    descendants: Descendants = None


class ConceptAddition(StrictModel):
    """A site's changes to a concept; codes are withdrawn before others are added."""

    withdraw: Annotated[
        tuple[WithdrawnCode, ...] | Literal["all"],
        Field(description="Codes of earlier layers that no longer count; all: all codes and texts"),
    ] = ()
    codes: Annotated[tuple[ConceptCode, ...], Field(description="Additional codes")] = ()
    texts: Annotated[
        tuple[ConceptText, ...], Field(description="Texts that count where nothing is coded")
    ] = ()


class StatusChoices(StrictModel):
    """Which statuses count; a list here replaces the shipped list."""

    observation: Annotated[
        ObservationStatuses | None, Field(description="In order of precedence")
    ] = None
    procedure: Annotated[
        ProcedureStatuses | None,
        Field(description="Statuses of candidates for the index procedure"),
    ] = None
    procedure_complete: Annotated[
        ProcedureStatuses | None, Field(description="Statuses that are a technical success")
    ] = None
    questionnaire_response: Annotated[
        ResponseStatuses | None, Field(description="In order of precedence")
    ] = None
    condition_verification: Verifications | None = None
    adverse_event_actuality: Actualities | None = None
    salvage_procedure: Annotated[
        ProcedureStatuses | None, Field(description="Of Procedures that are salvage therapy")
    ] = None
    medication_request: RequestStatuses | None = None
    medication_request_intent: Intents | None = None
    medication_statement: StatementStatuses | None = None
    medication_administration: AdministrationStatuses | None = None
    therapy_ongoing: Annotated[
        OngoingStatuses | None, Field(description="Of therapies that may still be given")
    ] = None


class UnitAddition(StrictModel):
    """Additional spellings of units, with their factor to the target unit."""

    withdraw: Annotated[tuple[Text, ...], Field(description="Spellings that no longer count")] = ()
    factors: Annotated[Factors, Field(description="Factor of each unit to ng/mL")] = {}


class UnitAdditions(StrictModel):
    """Additional units, by kind of result."""

    psa: UnitAddition


class ScaleAddition(StrictModel):
    """How a site records the grades of one scale."""

    withdraw: Annotated[
        tuple[CodeRef, ...], Field(description="Codes of earlier layers that no longer count")
    ] = ()
    codes: Annotated[tuple[GradeCode, ...], Field(description="Codings of grades")] = ()
    texts: Annotated[tuple[GradeText, ...], Field(description="Texts that state a grade")] = ()
    extensions: Annotated[
        tuple[Text, ...],
        Field(description="URLs of AdverseEvent extensions that state a grade of this scale"),
    ] = ()


class GradeAdditions(StrictModel):
    """How and where a site records grades."""

    withdraw: Annotated[
        tuple[Text, ...],
        Field(description="Extension URLs of earlier layers that no longer count"),
    ] = ()
    extensions: Annotated[
        tuple[Text, ...],
        Field(description="URLs of AdverseEvent extensions that state a grade of any scale"),
    ] = ()
    scales: dict[Key, ScaleAddition] = {}


class KindAddition(StrictModel):
    """How a site records one kind of complication, or a kind of its own."""

    words: Annotated[Text | None, Field(description="What a kind of the site's own is")] = None
    withdraw: Annotated[
        tuple[WithdrawnCode, ...], Field(description="Codes of earlier layers that no longer count")
    ] = ()
    codes: Annotated[tuple[ListedCode, ...], Field(description="Additional codes")] = ()
    texts: Annotated[
        tuple[KindText, ...], Field(description="Texts that count where nothing is coded")
    ] = ()


class ItemAddition(StrictModel):
    """Additional linkIds of an item, and scores of coded answers."""

    withdraw: Annotated[
        tuple[Text, ...], Field(description="linkIds of earlier layers that are not this item")
    ] = ()
    link_ids: tuple[Text, ...] = ()
    answers: tuple[AnswerCode, ...] = ()


class TotalAddition(StrictModel):
    """Additional linkIds of the total."""

    withdraw: tuple[Text, ...] = ()
    link_ids: tuple[Text, ...] = ()


class ScoreAddition(StrictModel):
    """How a site records one score as a single value."""

    total: TotalAddition | None = None
    withdraw: Annotated[
        tuple[CodeRef, ...], Field(description="Observation codes that no longer count")
    ] = ()
    observations: Annotated[
        tuple[ScoreCode, ...], Field(description="Codes of Observations that hold the score")
    ] = ()


class InstrumentAddition(ScoreAddition):
    """How a site records a questionnaire that is already known."""

    canonicals: Annotated[
        tuple[Canonical, ...],
        Field(description="Canonical URLs of the site's questionnaire, without version"),
    ] = ()
    signatures: Annotated[
        tuple[Annotated[tuple[Text, ...], Field(min_length=1)], ...],
        Field(
            description="Sets of linkIds; a response that answers all of a set is recognised by it"
        ),
    ] = ()
    items: Annotated[dict[Text, ItemAddition], Field(description="By the item's key")] = {}
    domains: Annotated[dict[Key, ScoreAddition], Field(description="By the domain's key")] = {}


class PsaRuleOverrides(StrictModel):
    """Rules of the section psa of the protocol."""

    detection_limit: Annotated[
        Literal["limit", "half", "zero"],
        Field(description="The value used for a result below detection"),
    ]


class ProtocolOverrides(StrictModel):
    """Rules that replace those of the protocol because of the site's laboratory.

    Every result states that they apply.
    """

    psa: PsaRuleOverrides


class OverlayFile(StrictModel):
    """A site's own codes, units, grades and questionnaires, in addition to the shipped ones."""

    concepts: Annotated[
        dict[Key, ConceptAddition], Field(description="Codes and texts, by concept")
    ] = {}
    statuses: Annotated[StatusChoices | None, Field(description="Which statuses count")] = None
    units: Annotated[UnitAdditions | None, Field(description="Spellings of units")] = None
    grades: Annotated[GradeAdditions | None, Field(description="Grades of complications")] = None
    complication_kinds: Annotated[
        dict[Key, KindAddition], Field(description="Kinds of complications")
    ] = {}
    instruments: Annotated[
        dict[Key, InstrumentAddition],
        Field(description="Changes to questionnaires that are already known"),
    ] = {}
    new_instruments: Annotated[
        tuple[Questionnaire, ...], Field(description="The site's own questionnaires")
    ] = ()
    protocol: Annotated[
        ProtocolOverrides | None, Field(description="Rules that replace those of the protocol")
    ] = None

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not self.model_fields_set:
            raise ValueError(
                f"the file is empty; possible keys: {', '.join(type(self).model_fields)}"
            )
        return self


def json_schema() -> str:
    """Return the JSON Schema of an overlay, for editors."""
    content: dict[str, Any] = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "fhircryo site overlay",
    }
    schema = OverlayFile.model_json_schema()
    content |= {key: value for key, value in schema.items() if key != "title"}
    return json.dumps(content, indent=1) + "\n"
