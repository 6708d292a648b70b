"""Answer with a file: conditional requests, ranges, safe names, and its bytes at the client's pace."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Protocol, cast

from werkzeug.http import http_date

from host.contracts import Download
from host.errors import PreconditionFailed, RangeNotSatisfiable
from host.storage.content_disposition import content_disposition
from host.web.responses.conditions import Validators, judge, wanted_range
from host.web.responses.reply import HeaderPairs, Reply, header_value

INERT = (b"content-security-policy", b"default-src 'none'; sandbox")
"""Uploaded content must not run as a page here."""

_VARY = (b"vary", b"Authorization, X-Tenant")
_ETAG = re.compile(r"[\x21\x23-\x7e]+")


class _Closable(Protocol):
    async def aclose(self) -> None: ...


def download_reply(download: Download, headers: Mapping[bytes, bytes], method: str) -> Reply:
    """The reply to a request for a file; headers: the request's, by lower-case name.

    Raises:
        PreconditionFailed: If-Match or If-Unmodified-Since is about another version.
        RangeNotSatisfiable: nothing of the file is in the range.
        ValueError: the size is negative, or the tag or media type cannot be sent in a header.
    """
    current = _validators(download)
    pairs: HeaderPairs = [(b"cache-control", header_value("cache-control", download.cache_control)), _VARY]
    if current.etag is not None:
        pairs.append((b"etag", current.etag))
    if current.modified is not None:
        pairs.append((b"last-modified", http_date(current.modified).encode("ascii")))
    asked = None
    if method in {"GET", "HEAD"}:
        verdict = judge(headers, current)
        if verdict == "failed":
            raise PreconditionFailed("The file is another than the one that the request is about.")
        if verdict == "not modified":
            return Reply(304, pairs)
    if method == "GET":  # the only method that ranges are defined for (RFC 9110, section 14.2)
        asked = wanted_range(headers, current, download.size)
    if asked == "unsatisfiable":
        raise RangeNotSatisfiable(headers={"Content-Range": f"bytes */{download.size}", "Accept-Ranges": "bytes"})
    start, stop = asked or (0, download.size)
    pairs += [
        (b"content-type", header_value("content-type", download.media_type)),
        (b"content-length", b"%d" % (stop - start)),
        (b"content-disposition", _disposition(download)),
        (b"accept-ranges", b"bytes"),
        INERT,
    ]
    if asked is not None:
        pairs.append((b"content-range", b"bytes %d-%d/%d" % (start, stop - 1, download.size)))
    return Reply(200 if asked is None else 206, pairs, _content(download, start, stop) if stop > start else b"")


def _disposition(download: Download) -> bytes:
    text = content_disposition(download.filename, inline=download.inline, media_type=download.media_type)
    return text.encode("ascii")


def _validators(download: Download) -> Validators:
    if download.size < 0:
        raise ValueError(f"a Download of {download.size} bytes")
    if download.etag and not _ETAG.fullmatch(download.etag):
        raise ValueError(f"Download.etag {download.etag!r}: visible ASCII characters without quotation marks")
    modified = download.modified
    if modified is not None:
        moment = modified.replace(tzinfo=UTC) if modified.tzinfo is None else modified.astimezone(UTC)
        modified = min(moment, datetime.now(UTC)).replace(microsecond=0)  # never in the future: RFC 9110, 8.8.2.1
    return Validators(f'"{download.etag}"'.encode("ascii") if download.etag else None, modified)


async def _content(download: Download, start: int, stop: int) -> AsyncIterator[bytes]:
    """Exactly the announced bytes; the source is closed whatever happens.

    Raises:
        RuntimeError: the source gave fewer or more; the connection breaks off, so that nobody takes it for the file.
    """
    remaining = stop - start
    async with AsyncExitStack() as closing:
        source = await download.open(start, stop)
        if hasattr(source, "aclose"):
            closing.push_async_callback(cast(_Closable, source).aclose)
        async for piece in source:
            remaining -= len(piece)
            if remaining < 0:
                break
            yield piece
    if remaining:
        more = "more" if remaining < 0 else f"{remaining} bytes less"
        raise RuntimeError(f"the content of {download.filename!r} is {more} than the {stop - start} bytes announced")
