"""What is read off a URL, without a network."""

import ipaddress
from contextlib import suppress
from urllib.parse import urljoin, urlsplit


def origin(url: str) -> str:
    """Return the scheme, host and port of a URL; empty if it is not a URL."""
    try:
        parts = urlsplit(url)
        port = parts.port or {"https": 443, "http": 80}.get(parts.scheme, 0)
    except ValueError:
        return ""
    return f"{parts.scheme}://{(parts.hostname or '').lower()}:{port}"


def joined(base: str, link: str) -> str:
    """Return a link as an absolute URL; it may be relative to ``base``. Empty if it is invalid."""
    try:
        return urljoin(base, link)
    except ValueError:
        return ""


def is_loopback(host: str | None) -> bool:
    """Whether a host is this machine, so that nothing sent to it crosses a network."""
    with suppress(ValueError):
        return ipaddress.ip_address(host or "").is_loopback
    return host == "localhost"


def without_query(url: str) -> str:
    """Return a URL as it may be shown: without query, fragment and user information."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "(no URL)"
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}"
