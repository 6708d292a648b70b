from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from host.errors import NotFound
from host.storage.namespace import Storage, StorageNamespace


async def pieces(count: int, size: int = 1_000_000, *, fail: bool = False) -> AsyncIterator[bytes]:
    for number in range(count):
        yield bytes([number % 256]) * size
    if fail:
        raise RuntimeError("the sender went away")


async def read(storage: Storage, key: str) -> bytes:
    return b"".join([piece async for piece in await storage.get(key)])


async def keys(storage: Storage, prefix: str = "") -> set[str]:
    return {stored.key async for stored in storage.list(prefix)}


async def test_put_when_small_then_read_back_as_it_was(storage: Storage) -> None:
    assert await storage.put("a/b.txt", b"hello") == 5
    assert await read(storage, "a/b.txt") == b"hello"
    assert await storage.size("a/b.txt") == 5
    assert await storage.put("a/b.txt", b"") == 0
    assert await read(storage, "a/b.txt") == b""


@pytest.mark.parametrize("count", [0, 1, 3, 20])
async def test_put_when_streamed_then_read_back_as_it_was(storage: Storage, count: int) -> None:
    assert await storage.put("big", pieces(count)) == count * 1_000_000
    assert await read(storage, "big") == b"".join([piece async for piece in pieces(count)])
    assert await storage.size("big") == count * 1_000_000


@pytest.mark.parametrize("count", [0, 1, 20])
async def test_put_when_the_sender_fails_then_the_earlier_file_is_whole(storage: Storage, count: int) -> None:
    await storage.put("kept", b"earlier")
    for key in ("kept", "new"):
        with pytest.raises(RuntimeError, match="went away"):
            await storage.put(key, pieces(count, fail=True))
    assert await read(storage, "kept") == b"earlier"
    assert await keys(storage) == {"kept"}


async def test_absent_file_when_asked_for_then_not_found_and_deleting_it_is_fine(storage: Storage) -> None:
    with pytest.raises(NotFound):
        await storage.get("none")
    with pytest.raises(NotFound):
        await storage.size("none")
    await storage.delete("none")
    await storage.put("some", b"1")
    await storage.delete("some")
    with pytest.raises(NotFound):
        await storage.get("some")


@pytest.mark.parametrize(
    "key", ["ü/ß ä.txt", "50%.txt", "a%20b", "c#1", "d#f", "+&=?.txt", "e:f", "x" * 200, "-", "a.."]
)
async def test_key_when_odd_then_kept_as_it_is(storage: Storage, key: str) -> None:
    await storage.put(key, key.encode())
    assert await read(storage, key) == key.encode()
    assert await keys(storage) == {key}


@pytest.mark.parametrize("key", ["", "/a", "a/", "a//b", "../a", "a/../b", ".", "a\\b", "a\x00b", "a\nb", "x" * 901])
async def test_key_when_no_plain_path_then_refused(storage: Storage, key: str) -> None:
    for asking in (storage.put(key, b"x"), storage.get(key), storage.size(key), storage.delete(key)):
        with pytest.raises(ValueError, match="storage key"):
            await asking


async def test_list_when_prefix_is_given_then_only_what_is_below(storage: Storage) -> None:
    for key in ("t/1/a/x", "t/1/a/y", "t/1/ab/z", "t/11/a/x"):
        await storage.put(key, b"12")
    assert await keys(storage, "t/1/a/") == {"t/1/a/x", "t/1/a/y"}
    assert {stored.size async for stored in storage.list("t/")} == {2}
    assert await keys(storage, "none/") == set()


async def test_purge_when_prefix_is_given_then_all_of_it_and_nothing_else_goes(storage: Storage) -> None:
    for key in ("t/1/a/x", "t/1/b/y", "t/11/a/x"):
        await storage.put(key, b"1")
    assert await storage.purge_prefix("t/1/") == 2
    assert await storage.purge_prefix("t/1/") == 0
    assert await keys(storage) == {"t/11/a/x"}
    with pytest.raises(ValueError, match="storage key"):
        await storage.purge_prefix("")


async def test_put_when_cancelled_half_way_then_nothing_is_stored(storage: Storage) -> None:
    sent = asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        async for piece in pieces(20):
            yield piece
        sent.set()
        await asyncio.sleep(30)

    putting = asyncio.create_task(storage.put("half", slow()))
    async with asyncio.timeout(20):
        await sent.wait()
    putting.cancel()
    await asyncio.gather(putting, return_exceptions=True)
    assert putting.cancelled()
    assert await keys(storage) == set()


async def test_ping_when_all_is_well_then_says_nothing(storage: Storage) -> None:
    await storage.ping()


async def test_namespace_when_tenant_or_plugin_differs_then_files_are_apart(storage: Storage) -> None:
    here, there = uuid4(), uuid4()
    mine = StorageNamespace(storage, here, "files")
    await mine.put("docs/a.txt", b"mine")
    for other in (StorageNamespace(storage, there, "files"), StorageNamespace(storage, here, "mail")):
        with pytest.raises(NotFound):
            await other.get("docs/a.txt")
        assert [stored async for stored in other.list()] == []
    assert [stored.key async for stored in mine.list()] == ["docs/a.txt"]
    assert [stored.key async for stored in mine.list("docs")] == ["docs/a.txt"]
    assert await keys(storage) == {f"t/{here}/files/docs/a.txt"}
    with pytest.raises(ValueError, match="storage key"):
        await mine.get(f"../../{there}/files/docs/a.txt")
    with pytest.raises(ValueError, match="plugin"):
        StorageNamespace(storage, here, "../x")
