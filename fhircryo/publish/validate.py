"""Checks published resources against the R4B and the R5 models of fhir.resources."""

import json

from fhircryo.errors import FhircryoError
from fhircryo.publish.shapes import Json


class InvalidShape(FhircryoError):
    """A published resource is not valid FHIR: a bug of this program."""


def validate_line(line: bytes) -> None:
    """Check one published resource, a line of NDJSON.

    Raises:
        InvalidShape: with the resource's id and what is wrong.
    """
    validate(json.loads(line))


def validate(content: Json, *, r5: bool = False) -> None:
    """Check one published resource, as R4B or as R5.

    Raises:
        InvalidShape: with the resource's id and what is wrong.
    """
    # Imported where it is used: the models take a second to load.
    from pydantic import ValidationError

    if r5:
        from fhir.resources import get_fhir_model_class
    else:
        from fhir.resources.R4B import get_fhir_model_class
    model = get_fhir_model_class(content["resourceType"])
    try:
        model.model_validate(content)
    except ValidationError as error:
        name = f"{content['resourceType']}/{content.get('id', '')}"
        raise InvalidShape(f"{name} is not valid FHIR {'R5' if r5 else 'R4B'}: {error}") from error
