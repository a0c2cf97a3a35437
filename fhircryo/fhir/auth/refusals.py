"""What a token endpoint's refusal means, and what to do about it.

Source: RFC 6749 section 5.2. Servers say more in ``error_description``, each in its own words.
"""

import re
from collections.abc import Callable
from typing import NamedTuple

#: Seconds by which two clocks may differ before that is the likeliest reason.
CLOCK_SECONDS = 60.0


class Refusal(NamedTuple):
    """A refusal as it came. ``clock``: seconds that our clock is ahead; None: not known."""

    status: int
    error: str
    description: str
    clock: float | None


class Asked(NamedTuple):
    """What was asked for, and by whom. ``kid``: of the key that signed, empty without one."""

    client_id: str
    method: str
    kid: str
    scopes: tuple[str, ...]
    audience: str
    #: Whether this client was let in before, in the same run.
    before: bool


_TIME = re.compile(r"\b(not active|expired?|future|not.?before|nbf|iat|exp|clock|time)\b", re.I)
_SIGNATURE = re.compile(r"signature|signed", re.I)
_KEY = re.compile(r"public key|\bkid\b|jwks?\b|key set", re.I)
_AUDIENCE = re.compile(r"audience|\baud\b", re.I)
_REPLAY = re.compile(r"reuse|replay|already used|\bjti\b", re.I)
#: What a clock that is wrong looks like.
_CLOCK_ERRORS = frozenset({"invalid_client", "invalid_grant", "invalid_request"})


def meaning(refusal: Refusal, asked: Asked) -> str:
    """What a refusal means and what to do, without what the server says."""
    if asked.kid and refusal.error in _CLOCK_ERRORS:
        if refusal.clock is not None and abs(refusal.clock) > CLOCK_SECONDS:
            return _clock(refusal.clock)
        if _TIME.search(refusal.description) and not _AUDIENCE.search(refusal.description):
            return (
                "it takes our assertion for expired or not yet valid: is this machine's clock"
                " right? Set it by NTP"
            )
    known = _BY_ERROR.get(refusal.error)
    if known is not None:
        return known(refusal, asked)
    if refusal.status == 404:
        return "there is no token endpoint: is its URL right?"
    return "it gives no token"


def _clock(ahead: float) -> str:
    words = "ahead of" if ahead > 0 else "behind"
    return (
        f"this machine's clock is {_duration(abs(ahead))} {words} the server's, so our assertion is"
        f" {'not valid yet' if ahead > 0 else 'expired'} there: set the clock by NTP"
    )


def _duration(seconds: float) -> str:
    return f"{seconds / 60:.0f} minutes" if seconds >= 120 else f"{seconds:.0f} seconds"


def _invalid_client(refusal: Refusal, asked: Asked) -> str:
    client, said = f"client {asked.client_id!r}", refusal.description
    if asked.before:
        return (
            f"{client} was let in before in this run and is not any more: it was revoked, or its"
            " key or secret was exchanged"
        )
    if not asked.kid:
        return f"{client} is not known, or is disabled, or its secret is wrong"
    if _REPLAY.search(said):
        return (
            "it has seen the jti of our assertion before, and we never use one twice: is there a"
            " proxy that sends requests again?"
        )
    if _AUDIENCE.search(said):
        return (
            f"our assertion is for {asked.audience}, and it wants another audience: ask the"
            " server's team which, and set assertion_audience"
        )
    if _KEY.search(said):
        return (
            f"it has no public key {asked.kid} of {client}: register the JWKS that belongs to"
            " key_file (after a change of keys: the new one), or set key_id to the name under"
            " which it is registered"
        )
    if _SIGNATURE.search(said):
        return (
            f"the public key that it has of {client} as {asked.kid} is not that of our key_file:"
            " register the JWKS that belongs to it, or use the key that is registered"
        )
    return (
        f"{client} is not known there, or is disabled or revoked; or its public key {asked.kid} is"
        " not the one that is registered"
    )


def _unauthorized_client(_: Refusal, asked: Asked) -> str:
    client = f"client {asked.client_id!r}"
    if asked.before:
        return f"{client} was let in before in this run and is not any more: it was revoked"
    more = "" if asked.kid else "; or its secret is wrong"
    return (
        f"{client} may not sign in by itself: have the grant client_credentials (a service account,"
        f" a backend service) allowed for it{more}"
    )


def _invalid_scope(_: Refusal, asked: Asked) -> str:
    return (
        f"it does not grant client {asked.client_id!r} all of the scopes: have them registered, or"
        f" list in the setting scopes those that are. Asked for: {' '.join(asked.scopes) or 'none'}"
    )


def _unsupported_grant(_: Refusal, __: Asked) -> str:
    return "it does not know the grant client_credentials: is it the right token endpoint?"


def _invalid_grant(_: Refusal, asked: Asked) -> str:
    return f"it does not take the proof of client {asked.client_id!r}"


def _invalid_request(_: Refusal, asked: Asked) -> str:
    return f"it does not understand the request; does it support {asked.method}?"


_BY_ERROR: dict[str, Callable[[Refusal, Asked], str]] = {
    "invalid_client": _invalid_client,
    "unauthorized_client": _unauthorized_client,
    "invalid_scope": _invalid_scope,
    "unsupported_grant_type": _unsupported_grant,
    "invalid_grant": _invalid_grant,
    "invalid_request": _invalid_request,
}
