"""What signing in costs: the share of a pull's time that goes into tokens.

Tokens of five seconds, as short as they come; an RS384 signature earns each of them.
"""

import tempfile
import time
from pathlib import Path

import requests

from benchmarks import pull
from fhircryo.fhir.auth import keys, oauth2
from fhircryo.runs.run_config import RunConfig
from fhircryo.settings import ServerSettings
from tests.unit.hospital import Hospital

#: Of a pull's time.
GOAL = 0.01
_LASTS = 5


def share(url: str, job: RunConfig, query: pull.Params) -> tuple[float, float, int]:
    """Pull once with tokens: seconds in all, seconds for tokens, and how many there were."""
    with tempfile.TemporaryDirectory() as folder, Hospital() as issuer:
        issuer.granted["expires_in"] = _LASTS
        key = Path(folder) / "key.pem"
        key.touch(mode=0o600)
        key.write_bytes(keys.generate("RS384").key.as_pem(private=True))
        settings = ServerSettings(
            auth="smart-backend",
            client_id="bench",
            key_file=key,
            token_url=issuer.token_url,
            scopes=("system/*.rs",),
        )
        spent = 0.0
        apply = oauth2.OAuth2.apply

        def timed(auth: oauth2.OAuth2, request: requests.PreparedRequest) -> None:
            nonlocal spent
            begun = time.perf_counter()
            apply(auth, request)
            spent += time.perf_counter() - begun

        oauth2.OAuth2.apply = timed
        try:
            begun = time.perf_counter()
            pull.ours(url, job, query, settings)
            return time.perf_counter() - begun, spent, issuer.given
        finally:
            oauth2.OAuth2.apply = apply


def print_share(url: str, job: RunConfig, query: pull.Params) -> None:
    """The share, and whether it is as small as it shall be."""
    share(url, job, query)  # what is imported once is no cost of a token
    seconds, spent, tokens = share(url, job, query)
    met = "met" if spent / seconds < GOAL else "MISSED"
    print(
        f"\nSigning in: {tokens} tokens took {spent:.3f} s of a pull of {seconds:.1f} s,"
        f" {spent / seconds:.2%} (goal < {GOAL:.0%}: {met})"
    )
