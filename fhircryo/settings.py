"""Settings: fhircryo.toml, then FHIRCRYO_... in the environment, then the command line."""

import difflib
import json
import os
import re
import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from fhircryo.errors import UsageError

CONFIG_FILE = "fhircryo.toml"
#: The base of our own canonicals and identifier systems.
DEFAULT_BASE = "https://w3id.org/fhircryo"
DEFAULT_PROTOCOL = "bomers-2020"

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


class ServerSettings(BaseModel):
    """How a FHIR server is reached; times in seconds. Secrets stand in files or the environment."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    auth: Annotated[
        Literal["none", "basic", "bearer", "oauth2", "smart-backend"],
        Field(description="How requests say who asks"),
    ] = "none"
    user: Annotated[str | None, Field(description="For auth = basic")] = None
    password_env: Annotated[
        str | None, Field(description="Environment variable that holds the password")
    ] = None
    password_file: Annotated[Path | None, Field(description="File with the password")] = None
    token_env: Annotated[
        str | None, Field(description="Environment variable that holds the bearer token")
    ] = None
    token_file: Annotated[
        Path | None, Field(description="File with the bearer token; read again after a 401")
    ] = None
    token_command: Annotated[
        tuple[str, ...],
        Field(description="Command and arguments that print the bearer token; run again likewise"),
    ] = ()
    client_id: Annotated[
        str | None, Field(description="For oauth2 and smart-backend: as we are registered")
    ] = None
    key_file: Annotated[
        Path | None, Field(description="Private key that signs us in: PEM or JWK, of mode 0600")
    ] = None
    key_id: Annotated[
        str | None, Field(description="What the key is registered as; unset: its thumbprint")
    ] = None
    client_secret_env: Annotated[
        str | None, Field(description="Environment variable that holds the client's secret")
    ] = None
    client_secret_file: Annotated[
        Path | None, Field(description="File with the client's secret")
    ] = None
    client_authentication: Annotated[
        Literal["client_secret_basic", "client_secret_post", "private_key_jwt"] | None,
        Field(
            description="For oauth2: how the client proves who it is; unset: private_key_jwt with"
            " key_file, else client_secret_basic"
        ),
    ] = None
    token_url: Annotated[
        str | None,
        Field(description="The token endpoint; for smart-backend unset: the server names it"),
    ] = None
    token_origins: Annotated[
        tuple[str, ...],
        Field(description="Other origins at which the server may name its token endpoint"),
    ] = ()
    scopes: Annotated[
        tuple[str, ...],
        Field(description="Scopes to ask for; for smart-backend unset: what the command needs"),
    ] = ()
    assertion_audience: Annotated[
        str | None, Field(description="Whom assertions are for; unset: the token endpoint's URL")
    ] = None
    headers: Annotated[dict[str, SecretStr], Field(description="Sent with every request")] = {}
    connect_timeout: Annotated[float, Field(gt=0, description="To reach the server")] = 10.0
    read_timeout: Annotated[float, Field(gt=0, description="Between two bytes of an answer")] = (
        120.0
    )
    retry_budget: Annotated[
        float, Field(ge=0, description="How long one request may be tried again in all")
    ] = 300.0
    page_size: Annotated[int, Field(ge=1, description="Resources asked for per page")] = 500
    verify_tls: Annotated[bool, Field(description="false is dangerous, and told in every run")] = (
        True
    )
    ca_bundle: Annotated[Path | None, Field(description="PEM file of trusted authorities")] = None
    client_certificate: Annotated[
        Path | None, Field(description="PEM or PKCS#12 file, for mutual TLS")
    ] = None
    client_key: Annotated[Path | None, Field(description="PEM file, where it is its own")] = None
    client_key_password_env: Annotated[
        str | None, Field(description="Environment variable that holds its password")
    ] = None
    client_key_password_file: Annotated[
        Path | None, Field(description="File with the password of client_key, or of PKCS#12")
    ] = None
    origins: Annotated[
        tuple[str, ...], Field(description="Other origins that links and redirects may lead to")
    ] = ()
    max_response_mb: Annotated[
        int, Field(ge=1, description="Megabytes of an answer, unpacked; more is refused")
    ] = 256
    max_depth: Annotated[
        int, Field(ge=10, le=500, description="Levels of an answer's JSON; more is refused")
    ] = 100

    max_file_gb: Annotated[
        int, Field(ge=1, description="Gigabytes of a file of a bulk export; more is refused")
    ] = 64
    bulk_patience: Annotated[
        float, Field(gt=0, description="How many seconds a bulk export may take in all")
    ] = 24 * 3600.0

    @field_validator("headers")
    @classmethod
    def _one_line_each(cls, headers: dict[str, SecretStr]) -> dict[str, SecretStr]:
        """What requests would refuse, with the value in its words."""
        for name, value in headers.items():
            text = value.get_secret_value()
            if not _HEADER_NAME.fullmatch(name):
                raise ValueError("not the name of a header")
            if text != text.strip() or not text.isprintable():
                raise ValueError(f"{name}: begins or ends with a space, or is of several lines")
        return headers


class WriteSettings(BaseModel):
    """How endpoints are written to a FHIR server."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    subject: Annotated[
        Literal["literal", "logical", "match"] | None,
        Field(
            description="How a patient is referred to: by his id, by type and identifier, or by the"
            " target's own patient; unset: literal where TARGET is SOURCE, else logical"
        ),
    ] = None
    subject_system: Annotated[
        str | None,
        Field(description="For subject = match: the identifier system that both servers know"),
    ] = None
    evidence_references: Annotated[
        Literal["logical", "literal"],
        Field(description="How evidence is referred to; literal keeps it from being deleted"),
    ] = "logical"
    source_base: Annotated[
        str | None,
        Field(
            pattern=r"^https?://\S+[^/\s]$",
            description="Base URL that logical references name, where SOURCE is a folder",
        ),
    ] = None
    bundle_size: Annotated[
        int, Field(ge=1, description="Entries of a transaction; a patient is never divided")
    ] = 100
    retraction_share: Annotated[
        Decimal,
        Field(ge=0, le=1, description="Share of patients that may be retracted without being told"),
    ] = Decimal("0.1")
    retraction_patients: Annotated[
        int, Field(ge=0, description="Number of patients that may be, whatever the share")
    ] = 5


class SyncSettings(BaseModel):
    """What a scheduled run reads and writes, and how often it looks at everything."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: Annotated[
        str | None, Field(description="The base URL of the FHIR server that is read")
    ] = None
    target: Annotated[
        str | None, Field(description="Of the one that is written to; unset: the same")
    ] = None
    patients: Annotated[
        str | None, Field(description="File or Group/ID: who is followed; unset: who has an index")
    ] = None
    exclude: Annotated[Path | None, Field(description="File of patients who objected")] = None
    bulk: Annotated[
        str | None,
        Field(description="Read by bulk export: system, patient or Group/ID; unset: by searches"),
    ] = None
    overlap: Annotated[
        float, Field(ge=0, description="Seconds before the last run that are read again")
    ] = 300.0
    full_every_days: Annotated[
        int, Field(ge=1, description="How often everything is read, whatever changed")
    ] = 7
    accept_unreadable: Annotated[
        bool, Field(description="Write though something of the source was unreadable")
    ] = False
    metrics_file: Annotated[
        Path | None, Field(description="File for Prometheus's textfile collector")
    ] = None


class Settings(BaseSettings):
    """What a site sets once; the names are those of fhircryo.toml."""

    model_config = SettingsConfigDict(
        env_prefix="FHIRCRYO_",
        env_nested_delimiter="__",
        toml_file=CONFIG_FILE,
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
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
        tuple[str, ...],
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
    source: Annotated[
        ServerSettings, Field(description="How SOURCE is reached where it is a FHIR server")
    ] = ServerSettings()
    target: Annotated[
        ServerSettings | None,
        Field(description="How TARGET is reached; unset: as SOURCE where both are one server"),
    ] = None
    write: Annotated[
        WriteSettings, Field(description="How endpoints are written to a FHIR server")
    ] = WriteSettings()
    smallest_group: Annotated[
        int,
        Field(ge=2, description="Groups smaller than this are not shown with --aggregate-only"),
    ] = 5
    sync: Annotated[SyncSettings, Field(description="What fhircryo sync does")] = SyncSettings()
    log_format: Annotated[
        Literal["text", "json"], Field(description="How log lines are written, on stderr")
    ] = "text"
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"] | None,
        Field(description="From which level on; unset: info, on a terminal warning"),
    ] = None
    state_folder: Annotated[
        Path | None,
        Field(description="Where locks and state are kept; unset: the user's state folder"),
    ] = None

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


_SECTIONS: dict[str, type[BaseModel]] = {
    "source": ServerSettings,
    "target": ServerSettings,
    "write": WriteSettings,
    "sync": SyncSettings,
}


def _check_environment() -> None:
    """A misspelt variable would otherwise be a setting that silently does nothing."""
    prefix = str(Settings.model_config["env_prefix"])
    known = {f"{prefix}{name}".upper() for name in Settings.model_fields}
    for section, model in _SECTIONS.items():
        known |= {f"{prefix}{section}__{name}".upper() for name in model.model_fields}
    for name in sorted(os.environ):
        if name.upper().startswith(prefix) and name.upper() not in known:
            near = difflib.get_close_matches(name.upper(), known, 1)
            advice = f"; did you mean {near[0]}?" if near else ""
            raise UsageError(f"environment variable {name}: no such setting{advice}")


def load_settings(config: Path | None = None, **given: Any) -> Settings:
    """The settings in force; ``given`` (those that are not None) are the strongest.

    ``config``: the file, where it is not ``fhircryo.toml`` in the current folder.

    Raises:
        UsageError: a setting is wrong or not known; the file named is not there.
    """
    _check_environment()
    if config is not None and not config.is_file():
        raise UsageError(f"{config}: no such settings file")

    class OfFile(Settings):
        model_config = SettingsConfigDict(toml_file=config or CONFIG_FILE)

    try:
        return OfFile(**{key: value for key, value in given.items() if value is not None})
    except ValidationError as error:
        lines = [
            f"setting {'.'.join(str(part) for part in detail['loc'])}: {detail['msg']}"
            f" ({config or CONFIG_FILE}, FHIRCRYO_... or the command line)"
            for detail in error.errors(include_url=False)
        ]
        raise UsageError("\n".join(lines)) from error
    except ValueError as error:
        raise UsageError(f"{config or CONFIG_FILE} or FHIRCRYO_...: {error}") from error


class InForce(NamedTuple):
    """A setting as it is in force: its name, its value as shown, and where it comes from."""

    name: str
    value: str
    origin: str


#: Settings that hold secrets themselves; all others name a place where one stands.
_SECRET = frozenset({"headers"})


def settings_in_force(config: Path | None = None) -> list[InForce]:
    """Every setting with its value, masked where it may be secret, and its origin.

    Raises:
        UsageError: a setting is wrong or not known.
    """
    settings = load_settings(config)
    file = config or Path(CONFIG_FILE)
    written = _flat(tomllib.loads(file.read_text("utf-8"))) if file.is_file() else {}
    prefix = str(Settings.model_config["env_prefix"])
    environment = {name.upper() for name in os.environ}
    found = []
    for name, value in _flat(settings.model_dump(mode="json")).items():
        variable = f"{prefix}{name.replace('.', '__')}".upper()
        section = f"{prefix}{name.partition('.')[0]}".upper()
        if variable in environment or section in environment:
            origin = variable if variable in environment else section
        else:
            origin = str(file) if name in written else "default"
        secret = name.rpartition(".")[2] in _SECRET and value
        shown = "********" if secret else json.dumps(value, ensure_ascii=False)
        found.append(InForce(name, shown, origin))
    return found


def _flat(content: dict[str, Any], before: str = "") -> dict[str, Any]:
    """Sections unfolded: ``source.auth``; a table that is a setting itself stays whole."""
    found: dict[str, Any] = {}
    for name, value in content.items():
        if isinstance(value, dict) and name not in _SECRET:
            found |= _flat(value, f"{before}{name}.")
        else:
            found[f"{before}{name}"] = value
    return found


def commented_settings() -> str:
    """A settings file with every setting, explained and commented out."""
    lines = [
        "# Settings of fhircryo. FHIRCRYO_... in the environment is stronger than this file, the",
        "# command line stronger than both. Secrets do not belong here: name a variable or a file.",
        "",
    ]
    sections = []
    for name, field in Settings.model_fields.items():
        if name in _SECTIONS:
            sections.append(name)
            continue
        lines += _commented(name, field)
    for section in sections:
        lines += ["", f"# {Settings.model_fields[section].description}", f"# [{section}]"]
        for name, field in _SECTIONS[section].model_fields.items():
            lines += _commented(name, field)
    return "\n".join(lines) + "\n"


def _commented(name: str, field: FieldInfo) -> list[str]:
    default = field.default
    if default is None:
        example = '""'
    elif isinstance(default, tuple):
        example = "[]"
    elif isinstance(default, dict):
        example = "{}"
    elif isinstance(default, bool):
        example = str(default).lower()
    elif isinstance(default, str):
        example = json.dumps(default)
    else:
        example = str(default)
    return [f"# {field.description}", f"# {name} = {example}"]
