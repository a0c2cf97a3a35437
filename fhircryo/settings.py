"""Settings, read from fhircryo.toml, FHIRCRYO_... in the environment and the command line.

The environment overrides the file, and the command line overrides both.
"""

import difflib
import json
import os
import re
import tomllib
from contextlib import suppress
from decimal import Decimal
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, get_origin

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
from fhircryo.storage.ownership import read_settings_file

CONFIG_FILE = "fhircryo.toml"
#: The base URL of fhircryo's own canonicals and identifier systems.
DEFAULT_BASE = "https://w3id.org/fhircryo"
DEFAULT_PROTOCOL = "bomers-2020"

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


class ServerSettings(BaseModel):
    """How a FHIR server is reached. Times are in seconds.

    Except for ``headers``, settings name a file or an environment variable that holds a secret.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    auth: Annotated[
        Literal["none", "basic", "bearer", "oauth2", "smart-backend"],
        Field(description="How requests are authenticated"),
    ] = "none"
    user: Annotated[str | None, Field(description="User name, for auth = basic")] = None
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
        Field(
            description="Command and arguments that print the bearer token; run again after a 401"
        ),
    ] = ()
    client_id: Annotated[
        str | None, Field(description="Registered client id, for oauth2 and smart-backend")
    ] = None
    key_file: Annotated[
        Path | None,
        Field(description="File with the client's private key, as PEM or JWK; must have mode 0600"),
    ] = None
    key_id: Annotated[
        str | None,
        Field(description="Key id (kid) under which the key is registered; unset: its thumbprint"),
    ] = None
    client_secret_env: Annotated[
        str | None, Field(description="Environment variable that holds the client secret")
    ] = None
    client_secret_file: Annotated[Path | None, Field(description="File with the client secret")] = (
        None
    )
    client_authentication: Annotated[
        Literal["client_secret_basic", "client_secret_post", "private_key_jwt"] | None,
        Field(
            description="For oauth2: how the client authenticates at the token endpoint; unset:"
            " private_key_jwt if key_file is set, otherwise client_secret_basic"
        ),
    ] = None
    token_url: Annotated[
        str | None,
        Field(
            description="URL of the token endpoint; unset: smart-backend reads it from the server's"
            " SMART configuration"
        ),
    ] = None
    token_origins: Annotated[
        tuple[str, ...],
        Field(description="Other origins at which the server's token endpoint may be"),
    ] = ()
    scopes: Annotated[
        tuple[str, ...],
        Field(
            description="Scopes to request; unset: smart-backend requests those that the command"
            " needs"
        ),
    ] = ()
    assertion_audience: Annotated[
        str | None,
        Field(description="Audience (aud) of signed assertions; unset: the token endpoint's URL"),
    ] = None
    headers: Annotated[
        dict[str, SecretStr], Field(description="HTTP headers to send with every request")
    ] = {}
    connect_timeout: Annotated[
        float, Field(gt=0, description="Timeout for connecting to the server, in seconds")
    ] = 10.0
    read_timeout: Annotated[
        float,
        Field(gt=0, description="Longest wait between two bytes of a response, in seconds"),
    ] = 120.0
    request_deadline: Annotated[
        float, Field(gt=0, description="Longest time for a response as a whole, in seconds")
    ] = 600.0
    retry_budget: Annotated[
        float,
        Field(
            ge=0,
            description="How long requests are tried again while the server lets none pass, in"
            " seconds",
        ),
    ] = 300.0
    page_size: Annotated[
        int, Field(ge=1, description="Number of resources to request per page")
    ] = 500
    verify_tls: Annotated[
        bool,
        Field(
            description="Verify the server's TLS certificate; false is dangerous, and every run"
            " logs a warning"
        ),
    ] = True
    ca_bundle: Annotated[
        Path | None, Field(description="PEM file of trusted certificate authorities")
    ] = None
    client_certificate: Annotated[
        Path | None, Field(description="Client certificate for mutual TLS, as PEM or PKCS#12")
    ] = None
    client_key: Annotated[
        Path | None,
        Field(description="PEM file with the certificate's key, if the key is in a separate file"),
    ] = None
    client_key_password_env: Annotated[
        str | None, Field(description="Environment variable that holds the key's password")
    ] = None
    client_key_password_file: Annotated[
        Path | None,
        Field(description="File with the password of client_key or of the PKCS#12 file"),
    ] = None
    origins: Annotated[
        tuple[str, ...],
        Field(description="Other origins that links and redirects of the server may lead to"),
    ] = ()
    max_response_mb: Annotated[
        int,
        Field(ge=1, description="Largest response that is read, in megabytes after decompression"),
    ] = 256
    max_depth: Annotated[
        int, Field(ge=10, le=500, description="Deepest nesting of a response's JSON that is read")
    ] = 100

    max_file_gb: Annotated[
        int, Field(ge=1, description="Largest file of a bulk export that is read, in gigabytes")
    ] = 64
    max_line_mb: Annotated[
        int,
        Field(
            ge=1,
            description="Longest line, and largest JSON document, that is read from a file, in"
            " megabytes",
        ),
    ] = 512
    max_unpacked_gb: Annotated[
        int,
        Field(
            ge=1,
            description="Largest size of a compressed file after decompression, in gigabytes",
        ),
    ] = 1024
    bulk_patience: Annotated[
        float, Field(gt=0, description="Longest wait for a bulk export to finish, in seconds")
    ] = 24 * 3600.0

    @field_validator("token_command", mode="before")
    @classmethod
    def _check_command(cls, command: Any) -> Any:
        """Reject a command as one text, which only a shell could divide into its arguments."""
        if isinstance(command, str):
            raise ValueError(  # noqa: TRY004
                "write the program and each argument as an item of a list, such as"
                ' ["/usr/local/bin/give-token", "--account", "fhircryo"]; no shell is used'
            )
        return command

    @field_validator("headers")
    @classmethod
    def _check_headers(cls, headers: dict[str, SecretStr]) -> dict[str, SecretStr]:
        """Reject headers that requests would reject with the secret value in its message."""
        for name, value in headers.items():
            text = value.get_secret_value()
            if not _HEADER_NAME.fullmatch(name):
                raise ValueError("not a valid name of an HTTP header")
            if text != text.strip() or not text.isprintable():
                raise ValueError(
                    f"{name}: the value begins or ends with a space, or has several lines"
                )
        return headers


class WriteSettings(BaseModel):
    """How endpoints are written to a FHIR server."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    subject: Annotated[
        Literal["literal", "logical", "match"] | None,
        Field(
            description="How a patient is referred to: literal (by id), logical (by type and"
            " identifier) or match (as the target's own patient); unset: literal if TARGET is"
            " SOURCE, otherwise logical"
        ),
    ] = None
    subject_system: Annotated[
        str | None,
        Field(
            description="For subject = match: the identifier system by which both servers identify"
            " patients"
        ),
    ] = None
    evidence_references: Annotated[
        Literal["logical", "literal"],
        Field(
            description="How evidence is referred to; with literal references the server may refuse"
            " to delete the evidence"
        ),
    ] = "logical"
    source_base: Annotated[
        str | None,
        Field(
            pattern=r"^https?://\S+[^/\s]$",
            description="Base URL that logical references contain if SOURCE is a folder",
        ),
    ] = None
    bundle_size: Annotated[
        int,
        Field(
            ge=1,
            description="Entries per transaction; the entries of a patient are always in the same"
            " transaction",
        ),
    ] = 100
    provenance: Annotated[
        bool,
        Field(
            description="Write a Provenance for each patient whose endpoints changed; false for a"
            " TARGET that refuses Provenance (a Device that it refuses is then left out as well)"
        ),
    ] = True
    profile: Annotated[
        bool,
        Field(
            description="State the profile of what is written in meta.profile; a TARGET that does"
            " not keep or take it is found out by itself"
        ),
    ] = True
    index_patience: Annotated[
        float,
        Field(
            ge=0,
            description="How long what was written may take to appear in searches of TARGET, in"
            " seconds; after an answer was lost, nothing is created again within this time",
        ),
    ] = 60.0
    retraction_share: Annotated[
        Decimal,
        Field(
            ge=0,
            le=1,
            description="Largest share of patients whose endpoints are retracted without explicit"
            " permission",
        ),
    ] = Decimal("0.1")
    retraction_patients: Annotated[
        int,
        Field(
            ge=0,
            description="Number of patients whose endpoints may always be retracted, regardless of"
            " retraction_share",
        ),
    ] = 5


class SyncSettings(BaseModel):
    """What a scheduled run reads and writes, and how often it reads everything."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: Annotated[str | None, Field(description="Base URL of the FHIR server to read from")] = (
        None
    )
    target: Annotated[
        str | None, Field(description="Base URL of the FHIR server to write to; unset: the source")
    ] = None
    patients: Annotated[
        str | None,
        Field(
            description="Patients to follow: a file of ids, or Group/ID; unset: all patients with"
            " an index procedure"
        ),
    ] = None
    exclude: Annotated[
        Path | None, Field(description="File with the ids of patients who objected")
    ] = None
    bulk: Annotated[
        str | None,
        Field(description="Read by bulk export: system, patient or Group/ID; unset: by searches"),
    ] = None
    overlap: Annotated[
        float,
        Field(ge=0, description="How far before the last run reading starts again, in seconds"),
    ] = 300.0
    full_every_days: Annotated[
        int, Field(ge=1, description="Days between runs that read everything, not only changes")
    ] = 7
    accept_unreadable: Annotated[
        bool, Field(description="Write even if something in the source was unreadable")
    ] = False
    metrics_file: Annotated[
        Path | None, Field(description="Metrics file for Prometheus's textfile collector")
    ] = None


class _SettingsFile(TomlConfigSettingsSource):
    """The settings file, if nobody who is not trusted could have written it."""

    def _read_file(self, file_path: Path | Traversable) -> dict[str, Any]:
        return _read_toml(Path(str(file_path)), found=self.toml_file_path == CONFIG_FILE)


def _read_toml(file: Path, *, found: bool) -> dict[str, Any]:
    """Return the content of a settings file; ``found``: see ``read_settings_file``."""
    try:
        return tomllib.loads(read_settings_file(file, found=found))
    except OSError as error:
        raise UsageError(f"{file}: cannot be read: {error.strerror}") from None


class Settings(BaseSettings):
    """The settings of a site; the field names are the keys of fhircryo.toml."""

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
            description="Base URL of fhircryo's canonicals and identifier systems",
        ),
    ] = DEFAULT_BASE
    source_name: Annotated[
        str,
        Field(
            description="Name that distinguishes sources that write to the same target; part of"
            " every identifier"
        ),
    ] = ""
    timezone: Annotated[
        str | None,
        Field(
            description="IANA time zone to which times written in UTC are converted before their"
            " date is taken"
        ),
    ] = None
    complete_types: Annotated[
        tuple[str, ...],
        NoDecode,
        Field(description="Types whose absence from the source means that nothing happened"),
    ] = ()
    vital_status_complete: Annotated[
        bool,
        Field(
            description="Whether the source knows of every death, for example from a registry; then"
            " survival is censored at the cut-off date, not at the last contact"
        ),
    ] = False
    accept_withheld: Annotated[
        bool,
        Field(
            description="Compute although the server says that it withholds Patients, Procedures or"
            " Observations"
        ),
    ] = False
    test_data: Annotated[
        bool, Field(description="Process resources labelled HTEST as if they were real")
    ] = False
    protocol: Annotated[
        str, Field(description="Name of a shipped protocol, or path of a YAML file")
    ] = DEFAULT_PROTOCOL
    mappings: Annotated[
        tuple[Path, ...],
        NoDecode,
        Field(description="Site overlays, applied to the shipped mappings in this order"),
    ] = ()
    source: Annotated[
        ServerSettings, Field(description="How SOURCE is reached if it is a FHIR server")
    ] = ServerSettings()
    target: Annotated[
        ServerSettings | None,
        Field(
            description="How TARGET is reached if it is a FHIR server; unset: like SOURCE if both"
            " are the same server"
        ),
    ] = None
    write: Annotated[
        WriteSettings, Field(description="How endpoints are written to a FHIR server")
    ] = WriteSettings()
    smallest_group: Annotated[
        int,
        Field(ge=2, description="Smallest group whose figures are shown with --aggregate-only"),
    ] = 5
    least_at_risk: Annotated[
        int,
        Field(ge=1, description="Curves of the report end where fewer patients are at risk"),
    ] = 10
    sync: Annotated[SyncSettings, Field(description="What fhircryo sync does")] = SyncSettings()
    log_format: Annotated[
        Literal["text", "json"], Field(description="Format of log lines on stderr")
    ] = "text"
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"] | None,
        Field(description="Lowest level that is logged; unset: info, on a terminal warning"),
    ] = None
    state_folder: Annotated[
        Path | None,
        Field(description="Folder for locks and state; unset: the user's state folder"),
    ] = None

    @field_validator("complete_types", "mappings", mode="before")
    @classmethod
    def _parse_list(cls, value: Any) -> Any:
        """Parse a list from the environment: separated by commas, or as JSON."""
        if isinstance(value, str) and value.lstrip().startswith("["):
            try:
                return tuple(json.loads(value))
            except (ValueError, TypeError):
                raise ValueError("neither a list separated by commas nor a JSON list") from None
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
        """Return the sources of settings by precedence: the caller, the environment, the file."""
        return init_settings, env_settings, _SettingsFile(settings_cls)


_SECTIONS: dict[str, type[BaseModel]] = {
    "source": ServerSettings,
    "target": ServerSettings,
    "write": WriteSettings,
    "sync": SyncSettings,
}


def _check_environment() -> None:
    """Reject unknown FHIRCRYO_ variables: a misspelt one would otherwise be ignored silently.

    Raises:
        UsageError: a variable names no setting.
    """
    prefix = str(Settings.model_config["env_prefix"])
    known = {f"{prefix}{name}".upper() for name in Settings.model_fields}
    for section, model in _SECTIONS.items():
        known |= {f"{prefix}{section}__{name}".upper() for name in model.model_fields}
    for name in sorted(os.environ):
        if name.upper().startswith(prefix) and name.upper() not in known:
            near = difflib.get_close_matches(name.upper(), known, 1)
            advice = f"; did you mean {near[0]}?" if near else ""
            raise UsageError(f"environment variable {name}: no such setting{advice}")
        section, _, field = name.lower().removeprefix(prefix.lower()).partition("__")
        if field and get_origin(_SECTIONS[section].model_fields[field].annotation) is tuple:
            _check_list(name)


def _check_list(variable: str) -> None:
    """Check that a variable holds a list as JSON, without showing what it holds."""
    with suppress(ValueError):
        if isinstance(json.loads(os.environ[variable]), list):
            return
    raise UsageError(
        f'environment variable {variable}: write a list as JSON, such as ["first", "second"]'
    )


def load_settings(config: Path | None = None, **given: Any) -> Settings:
    """Return the settings in force.

    ``config``: the settings file; None: ``fhircryo.toml`` in the current folder, if it exists.
    ``given``: settings that override the environment and the file, unless their value is None.

    Raises:
        UsageError: a setting is wrong or unknown, or the file ``config`` does not exist.
    """
    _check_environment()
    if config is not None and not config.is_file():
        raise UsageError(f"{config}: no such settings file")

    class FileSettings(Settings):
        model_config = SettingsConfigDict(toml_file=config or CONFIG_FILE)

    try:
        return FileSettings(**{key: value for key, value in given.items() if value is not None})
    except ValidationError as error:
        lines = [
            f"setting {'.'.join(str(part) for part in detail['loc'])}: {detail['msg']}"
            f" ({config or CONFIG_FILE}, FHIRCRYO_... or the command line)"
            for detail in error.errors(include_url=False)
        ]
        raise UsageError("\n".join(lines)) from error
    except ValueError as error:
        raise UsageError(f"{config or CONFIG_FILE} or FHIRCRYO_...: {error}") from error
    except RecursionError:
        raise UsageError(f"{config or CONFIG_FILE}: it is nested too deeply") from None


class SettingInForce(NamedTuple):
    """A setting in force: its name, its value (masked if it may be secret) and its origin.

    ``origin``: the settings file, an environment variable or ``default``.
    """

    name: str
    value: str
    origin: str


#: Settings that hold secrets themselves; the others name a file or variable that holds one.
_SECRET = frozenset({"headers"})


def settings_in_force(config: Path | None = None) -> list[SettingInForce]:
    """Return every setting with its value and its origin.

    ``config``: the settings file; None: ``fhircryo.toml`` in the current folder, if it exists.

    Raises:
        UsageError: a setting is wrong or unknown.
    """
    settings = load_settings(config)
    file = config or Path(CONFIG_FILE)
    written = _flat(_read_toml(file, found=config is None)) if file.is_file() else {}
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
        found.append(SettingInForce(name, shown, origin))
    return found


def _flat(content: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return settings by dotted name (``source.auth``); the value of ``headers`` stays a table."""
    found: dict[str, Any] = {}
    for name, value in content.items():
        if isinstance(value, dict) and name not in _SECRET:
            found |= _flat(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = value
    return found


def commented_settings() -> str:
    """Return the text of a settings file with every setting, described and commented out."""
    lines = [
        "# Settings of fhircryo. FHIRCRYO_... in the environment overrides this file, and the",
        "# command line overrides both. Do not write secrets here: name a variable or a file.",
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
    """Return the lines of one setting: its description, and its default as TOML."""
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
