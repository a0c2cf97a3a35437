"""Recognises far more retractions than usual: without a person's word they are a fault."""

from fhircryo.publish.difference import Difference
from fhircryo.settings import WriteSettings


def too_many_retractions(difference: Difference, settings: WriteSettings) -> str:
    """Why a run retracts more than the settings permit, in words; empty if it does not."""
    retracted = difference.retracted_patients()
    if retracted <= settings.retraction_patients:
        return ""
    published = difference.count_published()
    if retracted <= settings.retraction_share * published:
        return ""
    return (
        f"endpoints of {retracted} of {published} patients would be retracted, which is more than"
        " usual"
    )
