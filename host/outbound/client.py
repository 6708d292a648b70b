"""HTTP client for untrusted addresses: public ones only, pinned, with limits of time, size and redirects."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Collection, Iterable, Sequence
from functools import cache
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import httpcore2
import httpx2

from host.outbound.addresses import MAX_BYTES, REDIRECTS, SECONDS, Network, public_addresses
from host.outbound.body import Body, told
from host.outbound.errors import SERVER, OutboundError, named, too_long, where_of

_TRIED, _CONNECT_SECONDS = 4, 5.0  # addresses of a host that are tried, and how long each if there are several
_DEADLINE = "tenantry.deadline"  # the request's extension that says until when, by the loop's clock


class PublicClient(httpx2.AsyncClient):
    """An `httpx2.AsyncClient` for untrusted addresses; `host.sdk.public_client` makes it.

    Every failure is an OutboundError. The limits hold for streamed answers too. Cookies are not kept, and proxies,
    .netrc and certificates that the environment names are not used.
    """

    def __init__(
        self,
        *,
        seconds: float = SECONDS,
        max_bytes: int = MAX_BYTES,
        redirects: int = REDIRECTS,
        inner_networks: Sequence[Network] = (),
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        """See `host.sdk.public_client`. inner_networks: that may be reached although they are not public."""
        transport = PublicTransport(
            seconds=seconds, max_bytes=max_bytes, inner_networks=inner_networks, ssl_context=ssl_context
        )
        super().__init__(
            transport=transport,
            timeout=None,  # the transport has one limit for the whole time
            follow_redirects=redirects > 0,
            max_redirects=redirects,
            trust_env=False,
            headers={"User-Agent": "Tenantry"},
        )
        self.cookies.jar.set_policy(DefaultCookiePolicy(allowed_domains=()))
        self._seconds = seconds

    def build_request(self, *args: Any, **options: Any) -> httpx2.Request:
        """As httpx2 does; raises OutboundError for what is no address."""
        try:
            return super().build_request(*args, **options)
        except (httpx2.InvalidURL, UnicodeError):
            raise OutboundError("address", "this is no web address", "the address", "write https://host/path") from None

    async def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        """As httpx2 does; raises OutboundError only."""
        deadline = asyncio.get_running_loop().time() + self._seconds
        request.extensions = {**request.extensions, _DEADLINE: deadline}
        with told(where_of(request.url)):
            return await super().send(request, **options)


class PublicTransport(httpx2.AsyncBaseTransport):
    """Connects to public addresses only, those that it checked itself, and ends answers that are too long or too slow.

    The name of the host goes to the resolver once, and the connection to what it said, while TLS and the Host header
    name the host. Each request is checked, so each redirect is too.

    seconds: for the whole of a request, unless PublicClient says until when. max_bytes: of an answer's body, unpacked.
    trusted: hosts that an operator named, which may be anywhere.
    """

    def __init__(
        self,
        *,
        seconds: float = SECONDS,
        max_bytes: int = MAX_BYTES,
        inner_networks: Sequence[Network] = (),
        trusted: Collection[str] = (),
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._seconds, self._max_bytes = seconds, max_bytes
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=ssl_context or _ssl_context(),
            max_connections=100,
            max_keepalive_connections=10,
            keepalive_expiry=5.0,
            network_backend=_PublicBackend(inner_networks, trusted),
        )

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Raises OutboundError."""
        where = _checked(request.url)
        until = request.extensions.get(_DEADLINE) or asyncio.get_running_loop().time() + self._seconds
        request.headers["Accept-Encoding"] = "gzip"
        with told(where):
            async with asyncio.timeout_at(until):
                answer = await self._pool.handle_async_request(_for_httpcore(request))
        try:
            body = self._body(request, answer, where, until)
        except BaseException:
            await answer.aclose()
            raise
        unpacked = (b"content-encoding", b"content-length") if body.is_packed else ()
        headers = [(name, value) for name, value in answer.headers if name.lower() not in unpacked]
        return httpx2.Response(answer.status, headers=headers, stream=body, extensions=answer.extensions)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._pool.aclose()

    def _body(self, request: httpx2.Request, answer: httpcore2.Response, where: str, until: float) -> Body:
        headers = httpx2.Headers(answer.headers)
        packings = [each.lower() for each in headers.get_list("content-encoding", split_commas=True)]
        packed = [each for each in packings if each != "identity"]
        if len(packed) > 1 or not {"gzip", "x-gzip", "deflate"}.issuperset(packed):
            raise OutboundError("answer", "it packs its answer in a way that was not asked for", where, SERVER)
        if request.method != "HEAD" and int(headers.get("content-length", 0)) > self._max_bytes:
            raise too_long(where, self._max_bytes)
        return Body(answer, where, until, self._max_bytes, bool(packed))


class _PublicBackend(httpcore2.AsyncNetworkBackend):
    """Resolves, checks and connects in one step, so that a name cannot lead elsewhere in between (DNS rebinding)."""

    def __init__(self, inner_networks: Sequence[Network], trusted: Collection[str]) -> None:
        self._inner_networks, self._trusted = inner_networks, trusted
        self._tcp = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's name
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        addresses = [host] if host in self._trusted else await self._addresses(host, port)
        if len(addresses) > 1:
            timeout = _CONNECT_SECONDS
        failure: Exception = httpcore2.ConnectError("it has no address")
        for address in addresses[:_TRIED]:
            try:
                return await self._tcp.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failure = error
        raise failure

    async def _addresses(self, host: str, port: int) -> Sequence[str]:
        try:
            addresses = await public_addresses(host, port, self._inner_networks)
        except OSError:
            addresses = ()
        if not addresses:
            remedy = "name a server that everybody can reach, or have an operator allow it (outbound.inner_networks)"
            raise OutboundError(
                "address", "this does not lead to a server on the public internet", named(host, port), remedy
            )
        return addresses

    async def sleep(self, seconds: float) -> None:
        await self._tcp.sleep(seconds)


def _checked(url: httpx2.URL) -> str:
    where = where_of(url)
    if url.scheme not in ("http", "https") or not url.host:
        raise OutboundError(
            "address", "only http:// and https:// lead to web servers", where, "write https://host/path"
        )
    if url.userinfo:
        raise OutboundError(
            "address", "an address may not hold a name or a password", where, "leave out what is before @"
        )
    return where


def _for_httpcore(request: httpx2.Request) -> httpcore2.Request:
    url = request.url
    assert isinstance(request.stream, httpx2.AsyncByteStream)
    return httpcore2.Request(
        request.method,
        httpcore2.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
        headers=request.headers.raw,
        content=request.stream,
        extensions=request.extensions,
    )


@cache
def _ssl_context() -> ssl.SSLContext:
    return httpx2.create_ssl_context(trust_env=False)
