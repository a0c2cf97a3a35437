"""Checks published resources against the R4B models of fhir.resources."""

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


def validate(content: Json) -> None:
    """Check one published resource.

    Raises:
        InvalidShape: with the resource's id and what is wrong.
    """
    # Imported where it is used: the models take a second to load.
    from fhir.resources.R4B import get_fhir_model_class
    from pydantic import ValidationError

    model = get_fhir_model_class(content["resourceType"])
    try:
        model.model_validate(content)
    except ValidationError as error:
        name = f"{content['resourceType']}/{content.get('id', '')}"
        raise InvalidShape(f"{name} is not valid FHIR R4B: {error}") from error
