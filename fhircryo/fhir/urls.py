"""What is read off a URL, without a network."""

import ipaddress
from contextlib import suppress
from urllib.parse import urljoin, urlsplit

_DEFAULT_PORTS = {"https": 443, "http": 80}


def origin(url: str) -> str:
    """Return the scheme, host and port of a URL; empty if it is not a URL."""
    try:
        parts = urlsplit(url)
        port = parts.port or _DEFAULT_PORTS.get(parts.scheme, 0)
    except ValueError:
        return ""
    return f"{parts.scheme}://{(parts.hostname or '').lower()}:{port}"


def base_url(url: str) -> str:
    """Return the base URL of a server in one spelling, so that what belongs to it has one name.

    Scheme and host are in lower case, the default port, dot segments and slashes at the end are
    dropped, and characters that need no percent-encoding have none: the request is the same.
    What is not a URL is returned as it is.

    Source: RFC 3986, section 6.2.2 and 6.2.3
    """
    # Imported here, because importing it takes longer than computing a small folder.
    from requests.exceptions import InvalidURL
    from requests.utils import unquote_unreserved
    from urllib3.exceptions import LocationParseError
    from urllib3.util import parse_url

    try:
        parts = parse_url(unquote_unreserved(url))
    except (InvalidURL, LocationParseError, ValueError):
        return url
    if not (parts.scheme and parts.host):
        return url
    port = None if parts.port == _DEFAULT_PORTS.get(parts.scheme) else parts.port
    return parts._replace(port=port, path=(parts.path or "").rstrip("/") or None).url


def relative(reference: str, base: str) -> str:
    """Return a reference without the base URL of a server, however each is spelled.

    A reference to another server is returned as it is.
    """
    if reference.startswith(f"{base}/"):
        return reference[len(base) + 1 :]
    if "://" not in reference or origin(reference) != origin(base):
        return reference
    prefix = f"{base_url(base)}/"
    one_spelling = base_url(reference)
    return one_spelling[len(prefix) :] if one_spelling.startswith(prefix) else reference


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
