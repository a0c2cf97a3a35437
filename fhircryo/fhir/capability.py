"""What a server says that it can do: its CapabilityStatement.

Source: https://hl7.org/fhir/R4/capabilitystatement.html
"""

from dataclasses import dataclass

import msgspec

from fhircryo.errors import SourceError
from fhircryo.fhir.client import Client, HttpError, without_query

# A server that does not answer at all is told of soon; one that fails later is waited for.
_FIRST_BUDGET = 15.0
_SUPPORTED = ("4.0.", "4.3.")


class _Coded(msgspec.Struct):
    code: str | None = None
    name: str | None = None


class _Resource(msgspec.Struct, rename="camel"):
    type: str | None = None
    interaction: list[_Coded] | None = None
    search_param: list[_Coded] | None = None
    versioning: str | None = None
    update_create: bool | None = None
    conditional_update: bool | None = None


class _Rest(msgspec.Struct):
    mode: str | None = None
    resource: list[_Resource] | None = None
    interaction: list[_Coded] | None = None


class _Statement(msgspec.Struct, rename="camel"):
    resource_type: str | None = None
    fhir_version: str | None = None
    rest: list[_Rest] | None = None


@dataclass(frozen=True)
class Capabilities:
    """What the server's statement says.

    ``types``: with their search parameters (none listed: empty); ``interactions``: of each type
    likewise; ``update_create``, ``conditional_update``, ``versioned_update``: of Observations, the
    last whether ``If-Match`` is heeded; ``transaction``: the system interaction.
    """

    fhir_version: str
    types: dict[str, frozenset[str]]
    interactions: dict[str, frozenset[str]]
    update_create: bool
    conditional_update: bool
    versioned_update: bool
    transaction: bool

    def allows(self, kind: str, interaction: str) -> bool:
        """Whether an interaction is there, as far as the statement lists them at all."""
        listed = self.interactions.get(kind)
        if listed is None:
            return not self.types
        return not listed or interaction in listed

    def searches(self, kind: str, parameter: str) -> bool:
        """Whether a search parameter is there, as far as the statement lists them at all."""
        listed = self.types.get(kind)
        return listed is not None and (not listed or parameter in listed)


def capabilities(client: Client) -> Capabilities:
    """Read the CapabilityStatement.

    Raises:
        SourceError: it is no FHIR server, or one of a version that is not supported.
    """
    url = f"{client.base}/metadata"
    try:
        budget = min(client.connection.budget, _FIRST_BUDGET)
        content = client.request("GET", url, budget=budget).content
        statement = msgspec.json.decode(content, type=_Statement)
    except HttpError as error:
        raise SourceError(f"{error}; SOURCE and TARGET are base URLs of FHIR servers") from None
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise SourceError(
            f"{without_query(url)}: not a FHIR server: no CapabilityStatement in JSON there; is the"
            " base URL right?"
        ) from None
    if statement.resource_type != "CapabilityStatement":
        raise SourceError(f"{without_query(url)}: not a FHIR server: no CapabilityStatement there")
    version = statement.fhir_version or ""
    if not version.startswith(_SUPPORTED):
        raise SourceError(
            f"{client.base}: FHIR {version or 'of no stated version'} is not supported: R4 (4.0.1)"
            " and R4B (4.3.0) are"
        )
    rests = [rest for rest in statement.rest or () if rest.mode in (None, "server")]
    resources = [one for rest in rests for one in rest.resource or () if one.type]
    observation = next((one for one in resources if one.type == "Observation"), _Resource())
    interactions = {one.code for rest in rests for one in rest.interaction or ()}
    return Capabilities(
        fhir_version=version,
        types={
            str(one.type): frozenset(str(param.name) for param in one.search_param or ())
            for one in resources
        },
        interactions={
            str(one.type): frozenset(str(coded.code) for coded in one.interaction or ())
            for one in resources
        },
        update_create=bool(observation.update_create),
        conditional_update=bool(observation.conditional_update),
        versioned_update=observation.versioning == "versioned-update",
        transaction="transaction" in interactions,
    )
