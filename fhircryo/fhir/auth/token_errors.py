"""Explains the error response of a token endpoint, and says what to do about it.

Source: RFC 6749 section 5.2. Servers say more in ``error_description``, each in its own words.
"""

import re
from collections.abc import Callable
from typing import NamedTuple

#: If our clock and the server's differ by more seconds than this, that is the most likely cause.
CLOCK_SECONDS = 60.0


class ErrorResponse(NamedTuple):
    """An error response of a token endpoint.

    ``clock_ahead``: by how many seconds our clock is ahead of the server's; None: not known.
    """

    status: int
    error: str
    description: str
    clock_ahead: float | None


class TokenRequest(NamedTuple):
    """The token request that was refused.

    ``kid``: the id of the key that signed the assertion, empty if none was signed;
    ``succeeded_before``: whether the client obtained a token earlier in the same run.
    """

    client_id: str
    method: str
    kid: str
    scopes: tuple[str, ...]
    audience: str
    succeeded_before: bool


_TIME = re.compile(r"\b(not active|expired?|future|not.?before|nbf|iat|exp|clock|time)\b", re.I)
_SIGNATURE = re.compile(r"signature|signed", re.I)
_KEY = re.compile(r"public key|\bkid\b|jwks?\b|key set", re.I)
_AUDIENCE = re.compile(r"audience|\baud\b", re.I)
_REPLAY = re.compile(r"reuse|replay|already used|\bjti\b", re.I)
#: The errors with which servers answer if our clock is wrong.
_CLOCK_ERRORS = frozenset({"invalid_client", "invalid_grant", "invalid_request"})


def explain(response: ErrorResponse, request: TokenRequest) -> str:
    """Return what an error response means and what to do, without the server's own words."""
    if request.kid and response.error in _CLOCK_ERRORS:
        if response.clock_ahead is not None and abs(response.clock_ahead) > CLOCK_SECONDS:
            return _clock(response.clock_ahead)
        if _TIME.search(response.description) and not _AUDIENCE.search(response.description):
            return (
                "the server considers our assertion expired or not yet valid: is this machine's"
                " clock right? Set it by NTP"
            )
    known = _BY_ERROR.get(response.error)
    if known is not None:
        return known(response, request)
    if response.status == 404:
        return "there is no token endpoint at this URL: is the URL right?"
    return "the server issues no token"


def _clock(ahead: float) -> str:
    direction = "ahead of" if ahead > 0 else "behind"
    return (
        f"this machine's clock is {_duration(abs(ahead))} {direction} the server's, so our"
        f" assertion is {'not valid yet' if ahead > 0 else 'expired'} there: set the clock by NTP"
    )


def _duration(seconds: float) -> str:
    return f"{seconds / 60:.0f} minutes" if seconds >= 120 else f"{seconds:.0f} seconds"


def _invalid_client(response: ErrorResponse, request: TokenRequest) -> str:
    client, description = f"client {request.client_id!r}", response.description
    if request.succeeded_before:
        return (
            f"{client} obtained a token earlier in this run and is now refused: it was revoked, or"
            " its key or secret was replaced"
        )
    if not request.kid:
        return f"{client} is not known there, or is disabled, or its secret is wrong"
    if _REPLAY.search(description):
        return (
            "the server has seen the jti of our assertion before, although every assertion has a"
            " new one: is there a proxy that repeats requests?"
        )
    if _AUDIENCE.search(description):
        return (
            f"our assertion is for the audience {request.audience}, and the server expects another"
            " audience: ask its team which one, and set assertion_audience"
        )
    if _KEY.search(description):
        return (
            f"the server has no public key {request.kid} of {client}: register the JWKS that"
            " belongs to key_file (after a change of keys: the new one), or set key_id to the key"
            " id under which it is registered"
        )
    if _SIGNATURE.search(description):
        return (
            f"the public key that the server has of {client} as {request.kid} does not match our"
            " key_file: register the JWKS that belongs to it, or use the key that is registered"
        )
    return (
        f"{client} is not known there, or is disabled or revoked; or its public key {request.kid}"
        " is not the one that is registered"
    )


def _unauthorized_client(_: ErrorResponse, request: TokenRequest) -> str:
    client = f"client {request.client_id!r}"
    if request.succeeded_before:
        return f"{client} obtained a token earlier in this run and is now refused: it was revoked"
    secret = "" if request.kid else "; or its secret is wrong"
    return (
        f"{client} may not use the grant client_credentials: ask the server's team to allow it (as"
        f" a service account or backend service){secret}"
    )


def _invalid_scope(_: ErrorResponse, request: TokenRequest) -> str:
    return (
        f"the server does not grant client {request.client_id!r} all of the scopes: have them"
        " registered, or list those that are registered in the setting scopes. Requested:"
        f" {' '.join(request.scopes) or 'none'}"
    )


def _unsupported_grant(_: ErrorResponse, __: TokenRequest) -> str:
    return "the server does not support the grant client_credentials: is the token URL right?"


def _invalid_grant(_: ErrorResponse, request: TokenRequest) -> str:
    return f"the server does not accept the authentication of client {request.client_id!r}"


def _invalid_request(_: ErrorResponse, request: TokenRequest) -> str:
    return f"the server does not understand the request; does it support {request.method}?"


_BY_ERROR: dict[str, Callable[[ErrorResponse, TokenRequest], str]] = {
    "invalid_client": _invalid_client,
    "unauthorized_client": _unauthorized_client,
    "invalid_scope": _invalid_scope,
    "unsupported_grant_type": _unsupported_grant,
    "invalid_grant": _invalid_grant,
    "invalid_request": _invalid_request,
}
