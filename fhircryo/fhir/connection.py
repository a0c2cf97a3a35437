"""How a server is reached, and the HTTP session for it."""

import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.poolmanager import ProxyManager

from fhircryo import __version__
from fhircryo.fhir.auth.credentials import Auth, NoAuth
from fhircryo.fhir.deadline import Deadline, timed_response
from fhircryo.fhir.limits import ACCEPTED_ENCODINGS, Limits
from fhircryo.fhir.outage import Outage

FHIR_JSON = "application/fhir+json"


@dataclass(frozen=True)
class Connection:
    """How a server is reached. Times are in seconds.

    ``deadline``: within how many seconds a response has to arrive as a whole; ``budget``: for how
    long requests are tried again while the server lets none pass, which ``outage`` counts for all
    that use the connection; ``origins``: where links and redirects may lead, besides the
    server's own origin; ``client_context``: a TLS context with a client certificate.
    """

    url: str
    auth: Auth = field(default_factory=NoAuth, repr=False)
    headers: dict[str, str] = field(default_factory=dict, repr=False)
    connect_timeout: float = 10.0
    read_timeout: float = 120.0
    deadline: float = 600.0
    budget: float = 300.0
    outage: Outage = field(default_factory=Outage, repr=False, compare=False)
    page_size: int = 500
    verify_tls: bool = True
    ca_bundle: Path | None = None
    client_context: ssl.SSLContext | None = field(default=None, repr=False)
    origins: frozenset[str] = frozenset()
    limits: Limits = field(default_factory=Limits)


def _pool_classes(deadline: Deadline) -> dict[str, Any]:
    """Return the classes of connection pools, by scheme.

    Their connections read responses within the deadline, and never print headers, which contain
    tokens, even if http.client's debug level is set.
    """

    def respond(_: object, *args: Any, **kwargs: Any) -> Any:
        return timed_response(deadline, *args, **kwargs)

    members = {"debuglevel": 0, "response_class": respond}
    http = type("_HTTP", (HTTPConnection,), members)
    https = type("_HTTPS", (HTTPSConnection,), members)
    return {
        "http": type("_HTTPPool", (HTTPConnectionPool,), {"ConnectionCls": http}),
        "https": type("_HTTPSPool", (HTTPSConnectionPool,), {"ConnectionCls": https}),
    }


class _Adapter(HTTPAdapter):
    """Makes connections that print no headers, keep the deadline and present the certificate."""

    def __init__(self, deadline: Deadline, context: ssl.SSLContext | None = None) -> None:
        self._context = context
        self._pool_classes = _pool_classes(deadline)
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Create the connection pools of a session."""
        if self._context is not None:
            kwargs["ssl_context"] = self._context
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = dict(self._pool_classes)

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> ProxyManager:
        """Create the connection pools of a proxy."""
        if self._context is not None:
            kwargs["ssl_context"] = self._context
        manager: ProxyManager = super().proxy_manager_for(proxy, **kwargs)
        manager.pool_classes_by_scheme = dict(self._pool_classes)
        return manager


class _Session(requests.Session):
    """Leaves redirects to the client.

    The library would read the whole body of a redirect, without a limit, to find its target.
    """

    def get_redirect_target(self, _: requests.Response, /) -> None:
        """Return None: the library follows no redirect."""
        return


def session(connection: Connection, renewed_by: int | None = None) -> requests.Session:
    """Return a new session for a connection; it holds no credentials.

    ``renewed_by``: the number of bytes whose arrival starts the deadline of a response again.
    """
    made = _Session()
    # Proxies of the environment are used, but credentials of a .netrc file are not.
    made.auth = _no_netrc
    made.verify = (
        str(connection.ca_bundle)
        if connection.ca_bundle and connection.verify_tls
        else connection.verify_tls
    )
    deadline = Deadline(connection.deadline, renewed_by)
    made.mount("http://", _Adapter(deadline))
    made.mount("https://", _Adapter(deadline, connection.client_context))
    made.headers.update(
        {
            "Accept": FHIR_JSON,
            "Accept-Encoding": ", ".join(ACCEPTED_ENCODINGS),
            "User-Agent": f"fhircryo/{__version__}",
            **connection.headers,
        }
    )
    return made


def send_settings(session: requests.Session, url: str) -> dict[str, Any]:
    """Return the arguments of ``session.send`` for a URL: proxies, TLS verification, streaming.

    The environment may name a bundle of certificate authorities; the session's own setting takes
    precedence.
    """
    settings = dict(session.merge_environment_settings(url, {}, None, None, None))
    settings["stream"] = True
    if session.verify is not True:
        settings["verify"] = session.verify
    return settings


def _no_netrc(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request
