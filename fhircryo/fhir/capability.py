"""Reads what a server supports from its CapabilityStatement.

Source: https://hl7.org/fhir/R4/capabilitystatement.html, and the same page of R5.
"""

from dataclasses import dataclass

import msgspec

from fhircryo.errors import SourceError
from fhircryo.fhir.client import Client, HttpError
from fhircryo.fhir.unexpected import described
from fhircryo.fhir.urls import without_query

#: This request is retried only briefly, so that an unreachable server is reported soon.
_BUDGET_SECONDS = 15.0
#: Versions of FHIR that are read and written: R4, R4B and R5.
_VERSIONS = ("4.0.", "4.3.", "5.0.")
_R5 = "5.0."


class _Interaction(msgspec.Struct):
    code: str | None = None


class _SearchParameter(msgspec.Struct):
    name: str | None = None


class _RestResource(msgspec.Struct, rename="camel"):
    type: str | None = None
    interaction: list[_Interaction] | None = None
    search_param: list[_SearchParameter] | None = None
    versioning: str | None = None
    update_create: bool | None = None
    conditional_update: bool | None = None
    conditional_create: bool | None = None


class _Rest(msgspec.Struct):
    mode: str | None = None
    resource: list[_RestResource] | None = None
    interaction: list[_Interaction] | None = None


class _Statement(msgspec.Struct, rename="camel"):
    resource_type: str | None = None
    fhir_version: str | None = None
    rest: list[_Rest] | None = None


@dataclass(frozen=True)
class Capabilities:
    """What a server supports, according to its CapabilityStatement.

    ``types``: the search parameters of each resource type (empty: none are listed);
    ``interactions``: the interactions of each type, likewise; ``update_create``,
    ``conditional_update`` and ``conditional_create``: whether Observations can be created by an
    update, updated conditionally, and created conditionally (``If-None-Exist``);
    ``versioned_update``: whether ``If-Match`` is honoured for Observations; ``transaction``:
    whether transactions are supported.
    """

    fhir_version: str
    types: dict[str, frozenset[str]]
    interactions: dict[str, frozenset[str]]
    update_create: bool
    conditional_update: bool
    versioned_update: bool
    transaction: bool
    conditional_create: bool = False

    def allows(self, kind: str, interaction: str) -> bool:
        """Whether a type supports an interaction; True if the statement lists none."""
        listed = self.interactions.get(kind)
        if listed is None:
            return not self.types
        return not listed or interaction in listed

    @property
    def is_r5(self) -> bool:
        """Whether what is written has to have the form of R5, not that of R4 and R4B."""
        return self.fhir_version.startswith(_R5)

    def searches(self, kind: str, parameter: str) -> bool:
        """Whether a type supports a search parameter; True if it is listed without parameters."""
        listed = self.types.get(kind)
        return listed is not None and (not listed or parameter in listed)


def capabilities(client: Client) -> Capabilities:
    """Read a server's CapabilityStatement.

    Raises:
        SourceError: the server cannot be reached, is not a FHIR server, or supports none of
            R4, R4B and R5.
    """
    statement = _read_statement(client)
    rests = [rest for rest in statement.rest or () if rest.mode in (None, "server")]
    resources = [res for rest in rests for res in rest.resource or () if res.type]
    observation = next((res for res in resources if res.type == "Observation"), _RestResource())
    system = {interaction.code for rest in rests for interaction in rest.interaction or ()}
    return Capabilities(
        fhir_version=statement.fhir_version or "",
        types={
            str(res.type): frozenset(str(param.name) for param in res.search_param or ())
            for res in resources
        },
        interactions={
            str(res.type): frozenset(str(item.code) for item in res.interaction or ())
            for res in resources
        },
        update_create=bool(observation.update_create),
        conditional_update=bool(observation.conditional_update),
        versioned_update=observation.versioning == "versioned-update",
        transaction="transaction" in system,
        conditional_create=bool(observation.conditional_create),
    )


def _read_statement(client: Client) -> _Statement:
    """Return the CapabilityStatement, after checking its FHIR version."""
    url = f"{client.base}/metadata"
    try:
        budget = min(client.connection.budget, _BUDGET_SECONDS)
        content = client.request("GET", url, budget=budget).content
        statement = msgspec.json.decode(content, type=_Statement)
    except HttpError as error:
        raise SourceError(f"{error}; SOURCE and TARGET must be base URLs of FHIR servers") from None
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise SourceError(
            f"{without_query(url)}: not a FHIR server: the response is not a CapabilityStatement in"
            f" JSON but {described(content)}; is the base URL right?"
        ) from None
    if statement.resource_type != "CapabilityStatement":
        raise SourceError(
            f"{without_query(url)}: not a FHIR server: the response is not a CapabilityStatement"
            f" but {described(content)}; is the base URL right?"
        )
    version = statement.fhir_version or ""
    if not version.startswith(_VERSIONS):
        raise SourceError(
            f"{client.base}: FHIR {version or 'of no stated version'} is not supported; supported"
            " are R4 (4.0.1), R4B (4.3.0) and R5 (5.0.0)"
        )
    return statement
