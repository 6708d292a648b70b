"""The interface of file storage, and the part of it that holds one plugin's files in one tenant."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

Content = AsyncIterator[bytes] | bytes
"""The content of a file: whole, or in pieces."""

_LONGEST_KEY = 900  # bytes; S3 allows 1,024 for the whole
_LONGEST_PART = 200  # bytes; file systems allow 255 for a name, and ours are marked and escaped


@dataclass(frozen=True, slots=True)
class Stored:
    """One stored file: its key and its size in bytes."""

    key: str
    size: int
    modified_at: datetime


class Storage(Protocol):
    """A file store. Keys are `/`-separated paths; a file is stored completely or not at all.

    Every method raises `host.errors.Unavailable` when the storage cannot be reached.
    """

    async def put(self, key: str, content: Content) -> int:
        """Store a file in place of any of that key; returns its size in bytes. A failing `content` stores nothing."""
        ...

    async def get(self, key: str) -> AsyncIterator[bytes]:
        """The file in pieces.

        Raises:
            NotFound: there is none; raised by the call, before the first piece.
        """
        ...

    async def size(self, key: str) -> int:
        """How many bytes a file has.

        Raises:
            NotFound: there is none.
        """
        ...

    async def delete(self, key: str) -> None:
        """Remove a file; it is no error if there is none."""
        ...

    def list(self, prefix: str) -> AsyncIterator[Stored]:
        """Every file whose key begins with `prefix`, which ends in `/` or is empty; in any order."""
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
    """One plugin's files in one tenant; no key reaches other files."""

    __slots__ = ("_prefix", "_storage")

    def __init__(self, storage: Storage, tenant_id: UUID, plugin: str) -> None:
        if not plugin or "/" in plugin or plugin in {".", ".."}:
            raise ValueError(f"{plugin!r} is no plugin's id")
        self._storage = storage
        self._prefix = f"{tenant_prefix(tenant_id)}{plugin}/"

    async def put(self, key: str, content: Content) -> int:
        """Store a file in place of any of that key; returns its size in bytes."""
        return await self._storage.put(self._key(key), content)

    async def get(self, key: str) -> AsyncIterator[bytes]:
        """The file in pieces; raises NotFound."""
        return await self._storage.get(self._key(key))

    async def size(self, key: str) -> int:
        """How many bytes a file has; raises NotFound."""
        return await self._storage.size(self._key(key))

    async def delete(self, key: str) -> None:
        """Remove a file; it is no error if there is none."""
        await self._storage.delete(self._key(key))

    async def list(self, folder: str = "") -> AsyncIterator[Stored]:
        """The files below `folder`, "" for all; keys are relative to this namespace."""
        inside = self._key(folder.rstrip("/")) + "/" if folder else self._prefix
        async for stored in self._storage.list(inside):
            yield Stored(stored.key.removeprefix(self._prefix), stored.size, stored.modified_at)

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
