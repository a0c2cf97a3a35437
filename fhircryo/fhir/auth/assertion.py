"""Authentication of the client at a token endpoint: by a secret, or by a signed assertion.

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

#: Servers accept assertions that expire within five minutes. One minute is left for a clock of ours
#: that is ahead, and ``iat`` is set back some seconds because servers reject an assertion that was
#: "issued in the future".
_LIFETIME_SECONDS = 240
_BACKDATED_SECONDS = 10
_ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


class Proof(NamedTuple):
    """The form fields and headers that authenticate the client in a token request."""

    form: dict[str, str]
    headers: dict[str, str]


class ClientAuthentication(Protocol):
    """A method of client authentication at a token endpoint."""

    @property
    def client_id(self) -> str:
        """The id under which fhircryo is registered."""

    @property
    def method(self) -> str:
        """``client_secret_basic``, ``client_secret_post`` or ``private_key_jwt``."""

    def prove(self, endpoint: str, /) -> Proof:
        """Return a new proof for one request to the token endpoint with this URL."""


@dataclass(frozen=True)
class ClientSecret:
    """Authenticates by a client secret, in the Authorization header or in the form."""

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
        """The name of the method."""
        return "client_secret_basic" if self.in_header else "client_secret_post"

    def prove(self, _: str, /) -> Proof:
        """Return the client id and the secret; in the header both are form-encoded first."""
        if not self.in_header:
            return Proof({"client_id": self.client_id, "client_secret": self.secret}, {})
        header = basic(quote_plus(self.client_id), quote_plus(self.secret))
        return Proof({}, {"Authorization": header})


@dataclass(frozen=True)
class PrivateKeyJwt:
    """Authenticates by a signed assertion (JWT), a new one for every request.

    ``audience``: the assertion's ``aud``; None: the token endpoint's URL.
    """

    client_id: str
    key: SigningKey
    audience: str | None = None

    @property
    def method(self) -> str:
        """The name of the method."""
        return "private_key_jwt"

    def prove(self, endpoint: str, /) -> Proof:
        """Return a signed assertion."""
        from joserfc import jwt

        header = {"alg": self.key.algorithm, "kid": self.key.kid}
        algorithms = [self.key.algorithm]
        signed = jwt.encode(header, self.claims(endpoint), self.key.key, algorithms=algorithms)
        form = {"client_assertion_type": _ASSERTION_TYPE, "client_assertion": signed}
        return Proof(form, {})

    def claims(self, endpoint: str) -> dict[str, Any]:
        """Return the claims of a new assertion, with a ``jti`` that is used only once."""
        now = int(time.time())
        return {
            "iss": self.client_id,
            "sub": self.client_id,
            "aud": self.audience or endpoint,
            "iat": now - _BACKDATED_SECONDS,
            "exp": now + _LIFETIME_SECONDS,
            "jti": secrets.token_urlsafe(24),
        }
