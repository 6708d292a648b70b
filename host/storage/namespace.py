"""The interface of file storage, and the part of it that holds one plugin's files in one tenant."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Protocol
from uuid import UUID

Content = AsyncIterator[bytes] | bytes
"""The content of a file: whole, or in pieces."""

LONGEST_LINK = 7 * 24 * 3600
"""How many seconds a presigned link may be good for: as long as S3 and GCS allow."""

_LONGEST_KEY = 900  # bytes; S3 allows 1,024 for the whole
_LONGEST_PART = 200  # bytes; file systems allow 255 for a name, and ours are marked and escaped


@dataclass(frozen=True, slots=True)
class Stored:
    """One stored file: its key, its size in bytes, and a tag that changes when the file does.

    Example:
        stored: Stored = await storage().stat(key)
        return Download(stored.size, stored.etag, stored.modified_at, content, "report.pdf")
    """

    key: str
    size: int
    modified_at: datetime
    etag: str = ""


@dataclass(frozen=True, slots=True)
class PresignedUpload:
    """Where a client may PUT exactly one file, and the headers that it has to send as they are.

    Example:
        put = storage().presign_put("direct/1", length=size, media_type="image/png", seconds=600)
        upload: PresignedUpload = await put
        return Accepted({"url": upload.url, "headers": dict(upload.headers)})
    """

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)


class Storage(Protocol):
    """A file store. Keys are `/`-separated paths; a file is stored completely or not at all.

    Every method raises `host.errors.Unavailable` when the storage cannot be reached.
    """

    async def put(self, key: str, content: Content) -> int:
        """Store a file in place of any of that key; returns its size in bytes. A failing `content` stores nothing."""
        ...

    async def get(self, key: str, start: int = 0, stop: int | None = None) -> AsyncIterator[bytes]:
        """The file in pieces, from byte `start` up to, without, `stop`; what lies past its end is left out.

        Raises:
            NotFound: there is none; raised by the call, before the first piece.
            ValueError: `start` is below 0 or beyond `stop`.
        """
        ...

    async def stat(self, key: str) -> Stored:
        """A file's size, time and tag.

        Raises:
            NotFound: there is none.
        """
        ...

    async def compose(self, key: str, parts: Sequence[str]) -> int:
        """Store these files, one after the other, as one; returns its size in bytes. The parts stay.

        The bytes do not come through this process where the store can join files itself.

        Raises:
            NotFound: a part is missing; nothing is stored.
            ValueError: there are no parts.
        """
        ...

    async def presign_get(self, key: str, *, seconds: int, filename: str, media_type: str, inline: bool) -> str:
        """An address that gives the file to whoever knows it, for so long; not checked to be there."""
        ...

    async def presign_put(self, key: str, *, length: int, media_type: str, seconds: int) -> PresignedUpload:
        """An address that takes one file of just this length and type, for so long."""
        ...

    async def delete(self, key: str) -> None:
        """Remove a file; it is no error if there is none."""
        ...

    def list(self, prefix: str) -> AsyncIterator[Stored]:
        """Every file whose key begins with `prefix`, which ends in `/` or is empty; in any order."""
        ...

    async def page(self, prefix: str, after: str, limit: int) -> Sequence[Stored]:
        """The first files whose key begins with `prefix` and comes after `after`, in the order of keys as UTF-8.

        `prefix` ends in `/` or is empty.
        """
        ...

    async def purge_prefix(self, prefix: str) -> int:
        """Remove every file whose key begins with `prefix`, which ends in `/`; returns how many."""
        ...

    async def ping(self) -> None:
        """Check that the storage can be reached."""
        ...

    async def close(self) -> None:
        """Release connections and other resources."""
        ...


class StorageNamespace:
    """One plugin's files in one tenant; no key reaches other files.

    Raises:
        ValueError: from every method, for a key that is no plain path: see `checked`.
    """

    __slots__ = ("_prefix", "_storage")

    def __init__(self, storage: Storage, tenant_id: UUID, plugin: str) -> None:
        if not plugin or "/" in plugin or plugin in {".", ".."}:
            raise ValueError(f"{plugin!r} is no plugin's id")
        self._storage = storage
        self._prefix = f"{tenant_prefix(tenant_id)}{plugin}/"

    async def put(self, key: str, content: Content) -> int:
        """Store a file in place of any of that key; returns its size in bytes."""
        return await self._storage.put(self._key(key), content)

    async def get(self, key: str, start: int = 0, stop: int | None = None) -> AsyncIterator[bytes]:
        """The file in pieces, from byte `start` up to, without, `stop`; raises NotFound."""
        return await self._storage.get(self._key(key), start, stop)

    async def stat(self, key: str) -> Stored:
        """A file's size in bytes, time and tag; raises NotFound."""
        return self._own(await self._storage.stat(self._key(key)))

    async def compose(self, key: str, parts: Sequence[str]) -> int:
        """Store these files, one after the other, as one; returns its size. The parts stay; raises NotFound."""
        return await self._storage.compose(self._key(key), [self._key(part) for part in parts])

    async def presign_get(
        self,
        key: str,
        *,
        seconds: int,
        filename: str,
        media_type: str = "application/octet-stream",
        inline: bool = False,
    ) -> str:
        """An address that gives the file to whoever knows it, for at most seven days; see `Download` for the rest."""
        return await self._storage.presign_get(
            self._key(key), seconds=_lifetime(seconds), filename=filename, media_type=media_type, inline=inline
        )

    async def presign_put(self, key: str, *, length: int, media_type: str, seconds: int) -> PresignedUpload:
        """An address that takes one file of just this length and type, for at most seven days."""
        if length < 0:
            raise ValueError(f"a presigned upload of {length} bytes")
        return await self._storage.presign_put(
            self._key(key), length=length, media_type=media_type, seconds=_lifetime(seconds)
        )

    async def delete(self, key: str) -> None:
        """Remove a file; it is no error if there is none."""
        await self._storage.delete(self._key(key))

    async def list(self, folder: str = "") -> AsyncIterator[Stored]:
        """The files below `folder`, "" for all; keys are relative to this namespace."""
        async for stored in self._storage.list(self._folder(folder)):
            yield self._own(stored)

    async def page(self, folder: str = "", *, after: str = "", limit: int = 1000) -> Sequence[Stored]:
        """The first files below `folder` after the key `after`, in the order of keys; fewer than `limit`: the last."""
        if limit < 1:
            raise ValueError(f"a page of {limit} files")
        found = await self._storage.page(self._folder(folder), self._key(after) if after else "", limit)
        return [self._own(stored) for stored in found]

    def _folder(self, folder: str) -> str:
        return self._key(folder.rstrip("/")) + "/" if folder else self._prefix

    def _own(self, stored: Stored) -> Stored:
        return replace(stored, key=stored.key.removeprefix(self._prefix))

    def _key(self, key: str) -> str:
        return self._prefix + checked(key)


def tenant_prefix(tenant_id: UUID) -> str:
    """The prefix of the keys of a tenant's files."""
    return f"t/{tenant_id}/"


def checked(key: str) -> str:
    """The key, if it is a plain path.

    Raises:
        ValueError: it is empty, too long, has an empty, `.` or `..` part, a backslash or a control character.
    """
    if not key or len(key.encode()) > _LONGEST_KEY:
        raise ValueError(f"a storage key has 1 to {_LONGEST_KEY} bytes")
    if "\\" in key or any(ord(letter) < 32 or ord(letter) == 127 for letter in key):
        raise ValueError(f"storage key {key!r}: no backslash and no control character")
    if any(part in {"", ".", ".."} or len(part.encode()) > _LONGEST_PART for part in key.split("/")):
        raise ValueError(f"storage key {key!r}: parts are 1 to {_LONGEST_PART} bytes long, and neither '.' nor '..'")
    return key


def checked_range(start: int, stop: int | None) -> None:
    """Refuse bounds that are no range.

    Raises:
        ValueError: `start` is below 0 or beyond `stop`.
    """
    if start < 0 or (stop is not None and stop < start):
        raise ValueError(f"no range of bytes: {start} to {stop}")


async def joined(storage: Storage, parts: Sequence[str]) -> AsyncIterator[bytes]:
    """The bytes of these files, one after the other, for stores that cannot join files themselves."""
    for part in parts:
        async for piece in await storage.get(part):
            yield piece


async def nothing() -> AsyncIterator[bytes]:
    """The content of a range past a file's end."""
    empty: tuple[bytes, ...] = ()
    for piece in empty:
        yield piece


def _lifetime(seconds: int) -> int:
    if not 1 <= seconds <= LONGEST_LINK:
        raise ValueError(f"a link good for {seconds} seconds: 1 to {LONGEST_LINK} are possible")
    return seconds
