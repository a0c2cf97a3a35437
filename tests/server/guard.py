"""In front of a FHIR server: lets in who has a token of Keycloak, for what its scopes allow.

with FaultProxy(hapi.url, Guard(keycloak)) as guarded: ...
"""

import json
import re
import threading
import time
from dataclasses import dataclass
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError

from fhircryo.fhir.auth.scopes import missing
from tests.server.keycloak import Keycloak
from tests.server.proxy import Answer, Asked, Fault, outcome

_PLACE = "/.well-known/smart-configuration"
_LETTERS = {"PUT": "u", "DELETE": "d", "PATCH": "u"}


@dataclass
class Passed:
    """A request that was let in, or not: by which token, which client, which scopes."""

    asked: Asked
    token: str
    client: str
    scopes: tuple[str, ...]
    status: int


class Guard(Fault):
    """``configuration``: what the server says of signing in; None: it says nothing."""

    def __init__(self, keycloak: Keycloak) -> None:
        super().__init__()
        self._keycloak = keycloak
        self._lock = threading.Lock()
        self.configuration: dict[str, Any] | None = {
            "token_endpoint": keycloak.token_url,
            "grant_types_supported": ["client_credentials"],
            "token_endpoint_auth_methods_supported": ["private_key_jwt"],
            "token_endpoint_auth_signing_alg_values_supported": ["RS384", "ES384"],
            "capabilities": ["client-confidential-asymmetric", "permission-v2"],
        }
        #: Tokens that are not good any more, whatever they say.
        self.revoked: set[str] = set()
        self.passed: list[Passed] = []

    def instead(self, asked: Asked, base: str) -> Answer | None:
        if asked.path == _PLACE:
            if self.configuration is None:
                return outcome(404, "no such thing")
            body = json.dumps(self.configuration).encode()
            return Answer(200, {"Content-Type": "application/json"}, body)
        if asked.path == "/metadata":
            return None
        token = asked.header("authorization").removeprefix("Bearer ")
        answer, client, scopes = self._judged(asked, token)
        status = answer.status if answer is not None else 200
        with self._lock:
            self.passed.append(Passed(asked, token, client, scopes, status))
        return answer

    def _judged(self, asked: Asked, token: str) -> tuple[Answer | None, str, tuple[str, ...]]:
        refused = 'Bearer error="invalid_token"'
        try:
            claims = jwt.decode(token, self._keycloak.certs(), algorithms=["RS256"]).claims
        except (JoseError, ValueError):
            return outcome(401, "no token, or none of ours", WWW_Authenticate=refused), "", ()
        client, scopes = str(claims["azp"]), tuple(str(claims["scope"]).split())
        if token in self.revoked or claims["exp"] <= time.time():
            return outcome(401, "the token has expired", WWW_Authenticate=refused), client, scopes
        lacking = missing(needed(asked), scopes)
        if lacking:
            told = " ".join(f"system/{kind}.{letters}" for kind, letters in lacking.items())
            challenge = f'Bearer error="insufficient_scope", scope="{told}"'
            return outcome(403, "", WWW_Authenticate=challenge), client, scopes
        return None, client, scopes

    @property
    def tokens(self) -> set[str]:
        """All that were seen."""
        return {one.token for one in self.passed if one.token}

    def scopes_of(self, client: str) -> set[str]:
        """All scopes that a client's tokens had."""
        return {scope for one in self.passed if one.client == client for scope in one.scopes}


def needed(asked: Asked) -> dict[str, str]:
    """What a request does, by type, in the letters of SMART's scopes."""
    if not asked.kind and asked.method == "POST":
        found: dict[str, str] = {}
        for entry in json.loads(asked.body).get("entry", ()):
            request = entry["request"]
            kind = re.split(r"[/?]", request["url"])[0]
            found[kind] = found.get(kind, "") + _LETTERS.get(request["method"], "c")
        return found
    if asked.method == "GET" and not asked.kind:
        return {}  # the next page of a search, that was let in
    if "$export" in asked.path or asked.kind == "Binary":
        return {}  # what an export may hold is for the server to judge; a token is needed
    rest = asked.path.strip("/").split("/")[1:]
    if asked.method in _LETTERS:
        letter = _LETTERS[asked.method]
    elif asked.method == "POST":
        letter = "s" if rest == ["_search"] else "c"
    else:
        letter = "r" if rest and not rest[0].startswith("_") else "s"
    return {asked.kind: letter}
