"""Store files in a local folder, with presigned links to a route of our own."""

from __future__ import annotations

import asyncio
import heapq
import shutil
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import obstore
from obstore.store import LocalStore

from host.errors import NotFound, Unavailable
from host.storage.links import StorageLinks
from host.storage.namespace import Content, PresignedUpload, Stored, checked, checked_range, joined, nothing

_PIECE = 256 * 1024
# A file's name ends in this and no folder's does: "a" and "a/b" may both be keys, as they may on S3.
_MARK = "#f"


class LocalStorage:
    """Implements `Storage` in a folder; a file is written under a temporary name and renamed when complete."""

    def __init__(self, folder: Path, links: StorageLinks | None = None) -> None:
        """folder: created when missing. links: makes presigned addresses; None where nobody serves them."""
        self.links = links
        self._folder = folder.resolve()
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._store = LocalStore(prefix=self._folder, automatic_cleanup=True, mkdir=True)

    async def put(self, key: str, content: Content) -> int:
        """See `Storage.put`."""
        counter = _Counting(content)
        try:
            await obstore.put_async(self._store, _path(key), counter.content)
        except OSError as error:  # the disk is full, or the folder was removed
            raise Unavailable(f"The file could not be stored: {error.strerror or error}") from error
        return counter.size

    async def get(self, key: str, start: int = 0, stop: int | None = None) -> AsyncIterator[bytes]:
        """See `Storage.get`."""
        checked_range(start, stop)
        options: obstore.GetOptions = {}
        if start or stop is not None:
            size = (await self.stat(key)).size
            end = size if stop is None else min(stop, size)
            if start >= end:
                return nothing()
            options = {"range": (start, end)}
        try:
            result = await obstore.get_async(self._store, _path(key), options=options)
        except FileNotFoundError as error:
            raise NotFound() from error
        return _pieces(result.stream(min_chunk_size=_PIECE))

    async def stat(self, key: str) -> Stored:
        """See `Storage.stat`."""
        try:
            return _stored(key, await obstore.head_async(self._store, _path(key)))
        except FileNotFoundError as error:
            raise NotFound() from error

    async def compose(self, key: str, parts: Sequence[str]) -> int:
        """See `Storage.compose`."""
        if not parts:
            raise ValueError(f"{key}: a file composed of no parts")
        return await self.put(key, joined(self, parts))

    async def presign_get(self, key: str, *, seconds: int, filename: str, media_type: str, inline: bool) -> str:
        """See `Storage.presign_get`."""
        return self._signing().get(
            checked(key), seconds=seconds, filename=filename, media_type=media_type, inline=inline
        )

    async def presign_put(self, key: str, *, length: int, media_type: str, seconds: int) -> PresignedUpload:
        """See `Storage.presign_put`."""
        return self._signing().put(checked(key), length=length, media_type=media_type, seconds=seconds)

    def _signing(self) -> StorageLinks:
        if self.links is None:
            raise Unavailable("Presigned links need an application that serves them.")
        return self.links

    async def delete(self, key: str) -> None:
        """See `Storage.delete`."""
        try:
            await obstore.delete_async(self._store, _path(key))
        except FileNotFoundError:
            return

    async def list(self, prefix: str) -> AsyncIterator[Stored]:
        """See `Storage.list`."""
        folder = _escaped(prefix.rstrip("/"))
        async for batch in obstore.list(self._store, prefix=folder or None, chunk_size=500):
            for entry in batch:
                if entry["path"].endswith(_MARK):
                    yield _stored(_unescaped(entry["path"].removesuffix(_MARK)), entry)

    async def page(self, prefix: str, after: str, limit: int) -> Sequence[Stored]:
        """See `Storage.page`; a folder knows no order, so the whole of it is looked through for each page."""
        following = [stored async for stored in self.list(prefix) if stored.key.encode() > after.encode()]
        return heapq.nsmallest(limit, following, key=lambda stored: stored.key.encode())

    async def purge_prefix(self, prefix: str) -> int:
        """See `Storage.purge_prefix`."""
        folder = self._folder / _escaped(checked(prefix.rstrip("/")))
        count = 0
        async for _ in self.list(prefix):
            count += 1
        # the whole folder: incomplete files left by a crash go too
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
        return count

    async def ping(self) -> None:
        """See `Storage.ping`."""
        if not await asyncio.to_thread(self._folder.is_dir):
            raise Unavailable(f"The folder {self._folder} is gone.")

    async def close(self) -> None:
        """See `Storage.close`."""


class _Counting:
    """Content that counts its bytes as it is read."""

    def __init__(self, content: Content) -> None:
        self.size = len(content) if isinstance(content, bytes) else 0
        self.content: Content = content if isinstance(content, bytes) else self._counted(content)

    async def _counted(self, content: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for piece in content:
            self.size += len(piece)
            yield piece


async def _pieces(stream: obstore.BytesStream) -> AsyncIterator[bytes]:
    async for piece in stream:
        yield bytes(piece)


def _stored(key: str, entry: obstore.ObjectMeta) -> Stored:
    return Stored(key, entry["size"], entry["last_modified"], (entry["e_tag"] or "").strip('"'))


def _path(key: str) -> str:
    return _escaped(checked(key)) + _MARK


def _escaped(key: str) -> str:
    return key.replace("%", "%25").replace("#", "%23")


def _unescaped(path: str) -> str:
    return path.replace("%23", "#").replace("%25", "%")
