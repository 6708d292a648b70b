"""Presigned links to locally stored files: `/storage/{token}` gives or takes one file until the link expires."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from functools import partial
from typing import Literal

from host.contracts import Download
from host.errors import NotFound, PayloadTooLarge, PermissionDenied
from host.services import services
from host.storage.links import PATH, StorageLink
from host.storage.local import LocalStorage
from host.web.handlers.binding import RequestFacts
from host.web.routes import Routes

routes = Routes()

MAX_BODY = 5 * 1024**3
"""Bytes of an upload, at most, as S3 takes them in one request; the link says how many exactly."""


@routes.get(
    f"{PATH}/<token>", name="storage.read", public=True, needs_tenant=False, limit_class="signed", refusals=(403,)
)
async def read_file(token: str) -> Download:
    """Give the file that a presigned link names."""
    storage, link = await _opened(token, "get")
    stored = await storage.stat(link.key)
    content = partial(storage.get, link.key)
    name, kind = link.filename, link.media_type
    return Download(stored.size, stored.etag, stored.modified_at, content, name, kind, link.inline)


@routes.put(
    f"{PATH}/<token>",
    name="storage.write",
    public=True,
    needs_tenant=False,
    limit_class="signed",
    refusals=(403, 408, 413),
    max_body=MAX_BODY,
)
async def write_file(token: str, facts: RequestFacts) -> None:
    """Store the body as the file that a presigned link names; length and type must be the signed ones."""
    storage, link = await _opened(token, "put")
    _check_signed(link, facts.headers)
    await storage.put(link.key, _exactly(facts.chunks(), link.length))


async def _opened(token: str, way: Literal["get", "put"]) -> tuple[LocalStorage, StorageLink]:
    storage = services().storage
    if not isinstance(storage, LocalStorage) or storage.links is None:  # others serve their links themselves
        raise NotFound
    link = storage.links.open(token, way)
    if await services().enter(link.tenant_id, link.plugin, False) is None:
        raise NotFound
    return storage, link


def _check_signed(link: StorageLink, headers: Mapping[str, str]) -> None:
    if headers.get("content-type", "") != link.media_type:
        raise PermissionDenied(f"This link takes a file of the type {link.media_type}.")
    if headers.get("content-length", str(link.length)) != str(link.length):
        raise PermissionDenied(f"This link takes a file of {link.length} bytes.")


async def _exactly(chunks: AsyncIterator[bytes], length: int) -> AsyncIterator[bytes]:
    """The body, if it has this many bytes, chunked or not.

    Raises:
        PayloadTooLarge, PermissionDenied: it has more; or fewer. Nothing is stored.
    """
    received = 0
    async for chunk in chunks:
        received += len(chunk)
        if received > length:
            raise PayloadTooLarge(f"This link takes a file of {length} bytes.", details={"max_body": length})
        yield chunk
    if received < length:
        raise PermissionDenied(f"This link takes a file of {length} bytes, and {received} came.")
