"""Checks published shapes against the R4B models of fhir.resources."""

import json
from typing import Any

from fhircryo.errors import FhircryoError


class InvalidShape(FhircryoError):
    """A published resource is not valid FHIR: a bug of this program."""


def validate_line(line: bytes) -> None:
    """Check one published resource.

    Raises:
        InvalidShape: with the resource's id and what is wrong.
    """
    # Imported where it is used: the models take a second to load.
    from fhir.resources.R4B import get_fhir_model_class
    from pydantic import ValidationError

    content: dict[str, Any] = json.loads(line)
    model = get_fhir_model_class(content["resourceType"])
    try:
        model.model_validate(content)
    except ValidationError as error:
        name = f"{content['resourceType']}/{content.get('id', '')}"
        raise InvalidShape(f"{name} is not valid FHIR R4B: {error}") from error
