"""Extracts Patients: birth, death, and the record that replaces a merged record."""

from fhircryo.extract.context import Context, Named
from fhircryo.fhir.decode import is_there
from fhircryo.fhir.wire import Patient
from fhircryo.record.items import Item, PatientFacts, Reason

_REPLACED_BY = "replaced-by"


def patient(resource: Patient, ref: str, context: Context) -> Item:
    """Return the item of a Patient."""
    named = Named(ref, resource.meta, ref.removeprefix("Patient/"), "Patient")
    if context.is_own(resource.identifier):
        return named.dropped(Reason.OWN_OUTPUT)
    died = None
    # Extensions alone say why the day of a death is not stated.
    undated = resource.deceased_boolean is True or is_there(resource.deceased_date_time_extensions)
    if resource.deceased_date_time:
        died = context.dates.read(resource.deceased_date_time)
        undated = died is None
    replaced_by = ""
    for link in resource.link or ():
        if link.type == _REPLACED_BY:
            replaced_by = context.patient(link.other) or replaced_by
    return PatientFacts(
        died=died,
        died_undated=undated,
        replaced_by="" if replaced_by == named.patient else replaced_by,
        test_data=context.is_test(resource.meta),
        identifier=context.known_as(resource.identifier),
        born=context.dates.read(resource.birth_date) if resource.birth_date else None,
        **named.fields(),
    )
