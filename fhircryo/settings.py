"""Settings: fhircryo.toml, then FHIRCRYO_... in the environment, then the command line."""

import difflib
import json
import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from fhircryo.errors import UsageError
from fhircryo.mapping.load import DEFAULT_BASE, DEFAULT_PROTOCOL

CONFIG_FILE = "fhircryo.toml"

ReadType = Literal[
    "Patient", "Observation", "Procedure", "Condition", "AdverseEvent", "QuestionnaireResponse"
]


class Settings(BaseSettings):
    """What a site sets once; the names are those of fhircryo.toml."""

    model_config = SettingsConfigDict(
        env_prefix="FHIRCRYO_", toml_file=CONFIG_FILE, extra="forbid", frozen=True
    )

    base: Annotated[
        str,
        Field(
            pattern=r"^https?://\S+[^/\s]$",
            description="Base of our canonicals and identifier systems",
        ),
    ] = DEFAULT_BASE
    source_name: Annotated[
        str,
        Field(description="Tells sources apart that write to one target; part of every identifier"),
    ] = ""
    timezone: Annotated[
        str | None,
        Field(description="IANA name; times written in UTC are converted to it before the date"),
    ] = None
    complete_types: Annotated[
        tuple[ReadType, ...],
        NoDecode,
        Field(description="Types whose absence from the source means that nothing happened"),
    ] = ()
    test_data: Annotated[
        bool, Field(description="Take resources labelled HTEST as if they were real")
    ] = False
    protocol: Annotated[str, Field(description="A shipped protocol's name, or a YAML file")] = (
        DEFAULT_PROTOCOL
    )
    mappings: Annotated[
        tuple[Path, ...],
        NoDecode,
        Field(description="Site overlays, laid over the shipped mappings in order"),
    ] = ()

    @field_validator("complete_types", "mappings", mode="before")
    @classmethod
    def _lists_of_the_environment(cls, value: Any) -> Any:
        """In the environment a list is written with commas, or as JSON."""
        if isinstance(value, str) and value.lstrip().startswith("["):
            try:
                return tuple(json.loads(value))
            except (ValueError, TypeError):
                raise ValueError("neither names with commas between nor a JSON list") from None
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The strongest first: given by the caller, environment, file."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)


def _check_environment() -> None:
    """A misspelt variable would otherwise be a setting that silently does nothing."""
    prefix = str(Settings.model_config["env_prefix"])
    known = {f"{prefix}{name}".upper() for name in Settings.model_fields}
    for name in sorted(os.environ):
        if name.upper().startswith(prefix) and name.upper() not in known:
            near = difflib.get_close_matches(name.upper(), known, 1)
            advice = f"; did you mean {near[0]}?" if near else ""
            raise UsageError(f"environment variable {name}: no such setting{advice}")


def load_settings(**given: Any) -> Settings:
    """The settings in force; ``given`` (those that are not None) are the strongest.

    Raises:
        UsageError: a setting is wrong or not known.
    """
    _check_environment()
    try:
        return Settings(**{key: value for key, value in given.items() if value is not None})
    except ValidationError as error:
        lines = [
            f"setting {'.'.join(str(part) for part in detail['loc'])}: {detail['msg']}"
            f" ({CONFIG_FILE}, FHIRCRYO_... or the command line)"
            for detail in error.errors(include_url=False)
        ]
        raise UsageError("\n".join(lines)) from error
    except ValueError as error:
        raise UsageError(f"{CONFIG_FILE} or FHIRCRYO_...: {error}") from error
