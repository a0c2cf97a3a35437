"""The format of the statuses that count, as pydantic models."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from fhircryo.mapping.yamlfile import StrictModel


def _each_once(values: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(values)) != len(values):
        raise ValueError("a status occurs twice")
    return values


_Once = AfterValidator(_each_once)
_Some = Field(min_length=1)
# The statuses of FHIR R4: https://hl7.org/fhir/R4/valueset-observation-status.html and, likewise,
# event-status, questionnaire-answers-status, condition-ver-status, condition-clinical,
# adverse-event-actuality, medicationrequest-status, medicationrequest-intent,
# medication-statement-status (with ``recorded`` of R5), medication-admin-status.
ObservationStatus = Literal[
    "registered",
    "preliminary",
    "final",
    "amended",
    "corrected",
    "cancelled",
    "entered-in-error",
    "unknown",
]
ProcedureStatus = Literal[
    "preparation",
    "in-progress",
    "not-done",
    "on-hold",
    "stopped",
    "completed",
    "entered-in-error",
    "unknown",
]
ResponseStatus = Literal["in-progress", "completed", "amended", "entered-in-error", "stopped"]
Verification = Literal[
    "unconfirmed", "provisional", "differential", "confirmed", "refuted", "entered-in-error"
]
ClinicalStatus = Literal["active", "recurrence", "relapse", "inactive", "remission", "resolved"]
Actuality = Literal["actual", "potential"]
RequestStatus = Literal[
    "active",
    "on-hold",
    "cancelled",
    "completed",
    "entered-in-error",
    "stopped",
    "draft",
    "unknown",
]
Intent = Literal[
    "proposal",
    "plan",
    "order",
    "original-order",
    "reflex-order",
    "filler-order",
    "instance-order",
    "option",
]
StatementStatus = Literal[
    "active",
    "completed",
    "entered-in-error",
    "intended",
    "stopped",
    "on-hold",
    "unknown",
    "not-taken",
    "recorded",
]
AdministrationStatus = Literal[
    "in-progress", "not-done", "on-hold", "completed", "entered-in-error", "stopped", "unknown"
]

OngoingStatus = Literal["active", "on-hold", "in-progress"]

ObservationStatuses = Annotated[tuple[ObservationStatus, ...], _Some, _Once]
ProcedureStatuses = Annotated[tuple[ProcedureStatus, ...], _Some, _Once]
ResponseStatuses = Annotated[tuple[ResponseStatus, ...], _Some, _Once]
Verifications = Annotated[tuple[Verification, ...], _Some, _Once]
Actualities = Annotated[tuple[Actuality, ...], _Some, _Once]
RequestStatuses = Annotated[tuple[RequestStatus, ...], _Some, _Once]
Intents = Annotated[tuple[Intent, ...], _Some, _Once]
StatementStatuses = Annotated[tuple[StatementStatus, ...], _Some, _Once]
AdministrationStatuses = Annotated[tuple[AdministrationStatus, ...], _Some, _Once]
OngoingStatuses = Annotated[tuple[OngoingStatus, ...], _Some, _Once]


class Statuses(StrictModel):
    """Which statuses count.

    Those of Observations and QuestionnaireResponses are in order of precedence.
    """

    observation: ObservationStatuses
    procedure: ProcedureStatuses
    procedure_complete: ProcedureStatuses
    questionnaire_response: ResponseStatuses
    condition_verification: Verifications
    adverse_event_actuality: Actualities
    salvage_procedure: ProcedureStatuses
    medication_request: RequestStatuses
    medication_request_intent: Intents
    medication_statement: StatementStatuses
    medication_administration: AdministrationStatuses
    therapy_ongoing: OngoingStatuses


class StatusesFile(StrictModel):
    """The file of the statuses that count."""

    statuses: Statuses
