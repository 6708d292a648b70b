"""Parse a Redis URL into host, port, socket path, credentials and TLS settings."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from urllib.parse import parse_qs, unquote, urlsplit

from host.errors import ConfigurationError

_SCHEMES = {"redis": False, "valkey": False, "rediss": True, "valkeys": True}


@dataclass(frozen=True, slots=True)
class Address:
    """A Redis server's host and port, or its unix socket's path, with credentials and TLS settings."""

    host: str = ""
    port: int = 6379
    path: str = ""
    username: str = ""
    password: str = ""
    database: int = 0
    tls: bool = False
    tls_verify: bool = True
    tls_ca: str = ""

    def __str__(self) -> str:
        """The address as shown in logs and messages, without the password."""
        return self.path or f"{self.host}:{self.port}"

    def tls_context(self) -> ssl.SSLContext | None:
        """The TLS context to connect with; None for a plain connection."""
        if not self.tls:
            return None
        context = ssl.create_default_context(cafile=self.tls_ca or None)
        if not self.tls_verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context


def parse(url: str) -> Address:
    """Read `redis://[user:password@]host:port/db`, `rediss://…` (TLS) or `unix:///path?db=0`.

    Raises:
        ConfigurationError: it is none of these.
    """
    parts = urlsplit(url)
    query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    username, password = unquote(parts.username or ""), unquote(parts.password or "")
    try:
        if parts.scheme == "unix" and parts.path:
            database = int(query.get("db", "0"))
            return Address(path=unquote(parts.path), username=username, password=password, database=database)
        if parts.scheme in _SCHEMES and parts.hostname:
            return Address(
                host=parts.hostname,
                port=parts.port or 6379,
                username=username,
                password=password,
                database=int(parts.path.strip("/") or query.get("db", "0")),
                tls=_SCHEMES[parts.scheme],
                tls_verify=query.get("ssl_cert_reqs", "required") != "none",
                tls_ca=query.get("ssl_ca_certs", ""),
            )
    except ValueError as error:
        raise ConfigurationError(f"Redis address ({parts.scheme}://…): {error}; {_REMEDY}") from error
    raise ConfigurationError(f"Redis address: {parts.scheme or 'nothing'}:// is not understood; {_REMEDY}")


_REMEDY = "write redis://host:6379/0, rediss://user:password@host:6379/0 or unix:///path/to/socket"
