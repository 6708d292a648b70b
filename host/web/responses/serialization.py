"""Turn what a handler returned into a response: envelope, ETag, pagination link, location and cookies."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

from pydantic import BaseModel

from host.contracts import API_BASE, Accepted, Answer, Created, Download, Page, Route, Stream
from host.web.responses.download import INERT, download_reply
from host.web.responses.error_documents import refusal
from host.web.responses.reply import JSON, NO_STORE, HeaderPairs, Reply, dumps, header_value, json_reply

__all__ = ["Reply", "shape"]

_REVALIDATE = (b"cache-control", b"private, no-cache")
_VARY = (b"vary", b"Authorization, X-Tenant, Accept")
_LOCATION_SAFE = "/:?#[]@!$&'()*+,;=%-._~"


def shape(
    result: Any, headers: Mapping[bytes, bytes], route: Route, query_string: bytes = b"", method: str = ""
) -> Reply:
    """The reply to what a handler returned.

    headers: the request's, by lower-case name; If-None-Match counts for GET. query_string: the request's, kept
    in a list's link to its next page. method: the request's, where it is not the route's: HEAD.

    Raises:
        PreconditionFailed, RangeNotSatisfiable: see `download_reply`.
        TypeError: something in the result cannot be encoded as JSON.
        ValueError: a header's value holds a line break.
    """
    reply = _shaped(result, headers, route, query_string, method or route.method)
    if route.cache is not None and reply.status in {200, 304}:
        _put(reply.headers, "cache-control", b"public, max-age=%d" % route.cache.seconds)
        _put(reply.headers, "vary", b"X-Tenant, Accept")
        if route.cache.tags:
            _put(reply.headers, "cache-tag", header_value("cache-tag", ",".join(route.cache.tags)))
    return reply


def _shaped(result: Any, headers: Mapping[bytes, bytes], route: Route, query_string: bytes, method: str) -> Reply:
    if isinstance(result, dict):
        return _resource(result, 200 if route.status in {201, 202, 204} else route.status, headers, route)
    if isinstance(result, Page):
        return _page(result, route, query_string)
    if result is None:
        return Reply(204, [NO_STORE])
    if isinstance(result, Created):
        reply = _resource(_plain(result.data), 201, headers, route)
        reply.headers.append((b"location", _location(result.location)))
        return reply
    return _rarer(result, headers, route, method)


def _rarer(result: Any, headers: Mapping[bytes, bytes], route: Route, method: str) -> Reply:
    if isinstance(result, Accepted):
        reply = envelope(result.data, 202)
        if result.location is not None:
            reply.headers.append((b"location", _location(result.location)))
        return reply
    if isinstance(result, Stream):
        return _stream(result)
    if isinstance(result, Download):
        return download_reply(result, headers, method)
    if isinstance(result, Answer):
        return _answer(result, headers, route)
    if isinstance(result, BaseModel):
        return _resource(result.model_dump(), 200, headers, route)
    if isinstance(result, list | tuple):
        meta = {"limit": len(result), "next_cursor": None}
        return json_reply({"success": True, "data": result, "meta": meta}, 200)
    return envelope(result, 200)


def envelope(data: Any, status: int) -> Reply:
    """`{"success": true, "data": …}` with this status."""
    return json_reply({"success": True, "data": data}, status)


def _plain(data: Any) -> Any:
    return data.model_dump() if isinstance(data, BaseModel) else data


def _resource(data: Any, status: int, headers: Mapping[bytes, bytes], route: Route) -> Reply:
    """The envelope, with an ETag when the resource has a version."""
    version = data.get("version") if isinstance(data, dict) else None
    if type(version) is not int:
        return envelope(data, status)
    body = dumps({"success": True, "data": data})
    etag = _validator(version, body)
    if route.method == "GET" and b"if-none-match" in headers and _matches(headers[b"if-none-match"], etag):
        return Reply(304, [(b"etag", etag), _REVALIDATE, _VARY])
    pairs = [JSON, (b"content-length", b"%d" % len(body)), (b"etag", etag), _REVALIDATE, _VARY]
    return Reply(status, pairs, body)


def _validator(version: int, body: bytes) -> bytes:
    """The ETag: the version, which If-Match compares, and a digest of the body, which shows more than the version."""
    return b'"%d-%s"' % (version, blake2b(body, digest_size=8).hexdigest().encode())


def _matches(if_none_match: bytes, etag: bytes) -> bool:
    """The weak comparison of RFC 9110, section 13.1.2."""
    tags = [tag.strip().removeprefix(b"W/") for tag in if_none_match.split(b",")]
    return b"*" in tags or etag in tags


def _page(page: Page, route: Route, query_string: bytes) -> Reply:
    meta = {"limit": page.limit, "next_cursor": page.next_cursor}
    reply = json_reply({"success": True, "data": page.items, "meta": meta}, 200)
    if page.next_cursor is not None:
        kept = [pair for pair in parse_qsl(query_string.decode("latin-1"), True) if pair[0] != "cursor"]
        query = urlencode([*kept, ("cursor", page.next_cursor)])
        # A query alone is a reference to the same path (RFC 3986, section 5.2.2), so it is right behind any proxy.
        reply.headers.append((b"link", f'<?{query}>; rel="next"'.encode("ascii")))
    return reply


def _answer(answer: Answer, headers: Mapping[bytes, bytes], route: Route) -> Reply:
    if answer.status >= 400:
        reply = refusal(answer.status, answer.data, headers.get(b"accept"))
    elif answer.status in {204, 205, 304}:
        reply = Reply(answer.status, [NO_STORE])
    else:
        reply = _resource(_plain(answer.data), answer.status, headers, route)
    for name, value in answer.headers.items():
        _put(reply.headers, name, _location(value) if name.lower() == "location" else header_value(name, value))
    for cookie in answer.cookies:
        reply.headers.append((b"set-cookie", header_value("set-cookie", cookie)))
    return reply


def _stream(stream: Stream) -> Reply:
    pairs: HeaderPairs = [(b"content-type", header_value("content-type", stream.content_type)), NO_STORE, INERT]
    if isinstance(stream.body, bytes):
        pairs.append((b"content-length", b"%d" % len(stream.body)))
    for name, value in stream.headers.items():
        _put(pairs, name, header_value(name, value))
    return Reply(stream.status, pairs, stream.body)


def _put(pairs: HeaderPairs, name: str, value: bytes) -> None:
    """Set a header, replacing one of the same name."""
    key = header_value("a header's name", name).lower()
    pairs[:] = [pair for pair in pairs if pair[0] != key]
    pairs.append((key, value))


def _location(location: str) -> bytes:
    """A location below `/api/v1` as an absolute path; full addresses stay as they are."""
    full = location if "://" in location or location.startswith(API_BASE + "/") else API_BASE + location
    return quote(full, safe=_LOCATION_SAFE).encode("ascii")
