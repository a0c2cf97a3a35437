"""Freedom from disease at the landmark under each rule for salvage therapy, side by side."""

from fhircryo.endpoints.catalogue import DISEASE_FREE
from fhircryo.endpoints.patient_endpoints import PatientEndpoints, compute
from fhircryo.endpoints.result import Result
from fhircryo.mapping.protocol import SalvageRule

#: The rules for salvage therapy, as the protocol's field ``salvage_therapy`` names them.
SALVAGE_RULES: tuple[SalvageRule, ...] = ("event", "censor", "report")


def disease_free_by_rule(computed: PatientEndpoints) -> dict[SalvageRule, Result]:
    """``disease-free-12-months`` of a patient under each rule, all else as in the protocol."""
    return {rule: _disease_free(_under(computed, rule)) for rule in SALVAGE_RULES}


def _under(computed: PatientEndpoints, rule: SalvageRule) -> PatientEndpoints:
    """The endpoints under a rule; as computed where the rule makes no difference."""
    course, line = computed.course, computed.line
    therapies = course.therapies
    any_therapy = therapies.precise or therapies.intervals or therapies.possible
    if rule == line.protocol.salvage_therapy or not (any_therapy or course.lacking.medications):
        return computed
    protocol = line.protocol.model_copy(update={"salvage_therapy": rule})
    other = compute(line.record, protocol, line.as_of, course.lacking, course.scales)
    if other is None:
        raise AssertionError("the index procedure does not depend on the rule")
    return other


def _disease_free(computed: PatientEndpoints) -> Result:
    return next(result for result in computed.results if result.endpoint is DISEASE_FREE)
