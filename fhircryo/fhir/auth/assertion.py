"""How a client proves to a token endpoint who it is: by a secret, or by what its key signed.

Sources: RFC 6749 section 2.3.1, RFC 7523 section 3, and
https://hl7.org/fhir/smart-app-launch/client-confidential-asymmetric.html
"""

import secrets
import time
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol
from urllib.parse import quote_plus

from fhircryo.fhir.auth.credentials import basic
from fhircryo.fhir.auth.keys import SigningKey
from fhircryo.logs import keep_secret

#: An assertion may live for five minutes. A minute is left for a clock that is ahead of theirs, and
#: some seconds for those who take none that was "issued in the future".
_SECONDS = 240
_ISSUED_BEFORE = 10
_ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


class Proof(NamedTuple):
    """What a request for a token has in its form and its headers to prove who asks."""

    form: dict[str, str]
    headers: dict[str, str]


class ClientAuthentication(Protocol):
    """Proves who the client is, anew in every request."""

    @property
    def client_id(self) -> str:
        """What we are registered as."""

    @property
    def method(self) -> str:
        """Its name: ``client_secret_basic``, ``client_secret_post`` or ``private_key_jwt``."""

    def prove(self, endpoint: str, /) -> Proof:
        """The proof for a request to this endpoint."""


@dataclass(frozen=True)
class ClientSecret:
    """A secret that both sides know, in a header (``basic``) or in the form."""

    client_id: str
    secret: str
    in_header: bool = True

    def __post_init__(self) -> None:
        keep_secret(self.secret)
        keep_secret(quote_plus(self.secret))

    def __repr__(self) -> str:
        return f"ClientSecret({self.client_id!r})"

    @property
    def method(self) -> str:
        """Its name."""
        return "client_secret_basic" if self.in_header else "client_secret_post"

    def prove(self, _: str, /) -> Proof:
        """Name and secret, in the header each encoded as in a form."""
        if not self.in_header:
            return Proof({"client_id": self.client_id, "client_secret": self.secret}, {})
        header = basic(quote_plus(self.client_id), quote_plus(self.secret))
        return Proof({}, {"Authorization": header})


@dataclass(frozen=True)
class PrivateKeyJwt:
    """A signed assertion, another in every request.

    ``audience``: whom it is for, where that is not the token endpoint's URL.
    """

    client_id: str
    key: SigningKey
    audience: str | None = None

    @property
    def method(self) -> str:
        """Its name."""
        return "private_key_jwt"

    def prove(self, endpoint: str, /) -> Proof:
        """The assertion."""
        from joserfc import jwt

        header = {"alg": self.key.algorithm, "kid": self.key.kid}
        algorithms = [self.key.algorithm]
        signed = jwt.encode(header, self.claims(endpoint), self.key.key, algorithms=algorithms)
        form = {"client_assertion_type": _ASSERTION_TYPE, "client_assertion": signed}
        return Proof(form, {})

    def claims(self, endpoint: str) -> dict[str, Any]:
        """What a new assertion says; its ``jti`` is never used again."""
        now = int(time.time())
        return {
            "iss": self.client_id,
            "sub": self.client_id,
            "aud": self.audience or endpoint,
            "iat": now - _ISSUED_BEFORE,
            "exp": now + _SECONDS,
            "jti": secrets.token_urlsafe(24),
        }
