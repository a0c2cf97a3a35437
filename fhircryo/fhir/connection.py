"""How a server is reached, and the HTTP session that comes of it."""

import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.poolmanager import PoolManager, ProxyManager

from fhircryo import __version__
from fhircryo.fhir.auth.credentials import Auth, NoAuth
from fhircryo.fhir.limits import Limits

FHIR_JSON = "application/fhir+json"


@dataclass(frozen=True)
class Connection:
    """How a server is reached. Times in seconds.

    ``budget``: how long one request may be tried again in all; ``origins``: besides the server's
    own, where links and redirects may lead; ``client_context``: holds a client certificate.
    """

    url: str
    auth: Auth = field(default_factory=NoAuth, repr=False)
    headers: dict[str, str] = field(default_factory=dict, repr=False)
    connect_timeout: float = 10.0
    read_timeout: float = 120.0
    budget: float = 300.0
    page_size: int = 500
    verify_tls: bool = True
    ca_bundle: Path | None = None
    client_context: ssl.SSLContext | None = field(default=None, repr=False)
    origins: frozenset[str] = frozenset()
    limits: Limits = field(default_factory=Limits)


class _SilentHTTP(HTTPConnection):
    """Shows no headers, whatever debug level http.client was set to: a token is among them."""

    debuglevel = 0


class _SilentHTTPS(HTTPSConnection):
    debuglevel = 0


class _SilentHTTPPool(HTTPConnectionPool):
    ConnectionCls = _SilentHTTP


class _SilentHTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _SilentHTTPS


_POOLS = {"http": _SilentHTTPPool, "https": _SilentHTTPSPool}


class _Adapter(HTTPAdapter):
    """Silent connections, with a client certificate where there is one."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self._context = context
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Make the pools of a session."""
        if self._context is not None:
            kwargs["ssl_context"] = self._context
        super().init_poolmanager(*args, **kwargs)
        _silence(self.poolmanager)

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> ProxyManager:
        """Make the pools of a proxy."""
        if self._context is not None:
            kwargs["ssl_context"] = self._context
        manager: ProxyManager = super().proxy_manager_for(proxy, **kwargs)
        _silence(manager)
        return manager


def _silence(manager: PoolManager) -> None:
    manager.pool_classes_by_scheme = dict(_POOLS)


class _Session(requests.Session):
    """Leaves redirects to the client; requests would read all of their bodies to look ahead."""

    def get_redirect_target(self, _: requests.Response, /) -> None:
        """Nowhere."""
        return


def session(connection: Connection) -> requests.Session:
    """A session by a connection's settings; no credentials are in it."""
    made = _Session()
    # A proxy of the environment stays in use; credentials of a .netrc file never are.
    made.auth = _no_netrc
    made.verify = (
        str(connection.ca_bundle)
        if connection.ca_bundle and connection.verify_tls
        else connection.verify_tls
    )
    made.mount("http://", _Adapter())
    made.mount("https://", _Adapter(connection.client_context))
    made.headers.update(
        {"Accept": FHIR_JSON, "User-Agent": f"fhircryo/{__version__}", **connection.headers}
    )
    return made


def _no_netrc(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request
