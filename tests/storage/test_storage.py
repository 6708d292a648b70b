from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
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
    assert (await storage.stat("a/b.txt")).size == 5
    assert await storage.put("a/b.txt", b"") == 0
    assert await read(storage, "a/b.txt") == b""


@pytest.mark.parametrize("count", [0, 1, 3, 20])
async def test_put_when_streamed_then_read_back_as_it_was(storage: Storage, count: int) -> None:
    assert await storage.put("big", pieces(count)) == count * 1_000_000
    assert await read(storage, "big") == b"".join([piece async for piece in pieces(count)])
    assert (await storage.stat("big")).size == count * 1_000_000


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
        await storage.stat("none")
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
    for asking in (storage.put(key, b"x"), storage.get(key), storage.stat(key), storage.delete(key)):
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


@pytest.mark.parametrize(
    ("start", "stop"),
    [(0, None), (0, 1), (0, 10), (3, 7), (9, 10), (9, 11), (3, None), (0, 99), (5, 5), (0, 0), (10, None), (10, 20),
     (99, None), (99, 200), (2**40, 2**41)],
)  # fmt: skip
async def test_range_when_asked_for_then_these_bytes_and_nothing_past_the_end(
    storage: Storage, start: int, stop: int | None
) -> None:
    await storage.put("ten", b"0123456789")
    assert b"".join([piece async for piece in await storage.get("ten", start, stop)]) == b"0123456789"[start:stop]


@pytest.mark.parametrize(("start", "stop"), [(-1, None), (-1, 5), (5, 4), (0, -1)])
async def test_range_when_it_is_none_then_refused(storage: Storage, start: int, stop: int | None) -> None:
    await storage.put("ten", b"0123456789")
    with pytest.raises(ValueError, match="no range"):
        await storage.get("ten", start, stop)


@pytest.mark.parametrize(("start", "stop"), [(0, 1), (5, 5), (99, None)])
async def test_range_when_the_file_is_absent_then_not_found(storage: Storage, start: int, stop: int | None) -> None:
    with pytest.raises(NotFound):
        await storage.get("none", start, stop)


async def test_range_when_the_file_is_empty_then_nothing(storage: Storage) -> None:
    await storage.put("empty", b"")
    for start, stop in ((0, None), (0, 5), (5, None)):
        assert [piece async for piece in await storage.get("empty", start, stop)] in ([], [b""])


async def test_range_when_the_file_is_large_then_in_pieces(storage: Storage) -> None:
    await storage.put("big", pieces(20))
    taken = [piece async for piece in await storage.get("big", 500_000, 15_500_000)]
    assert len(taken) > 5
    assert b"".join(taken) == b"".join([piece async for piece in pieces(20)])[500_000:15_500_000]


async def test_stat_when_a_file_changes_then_size_time_and_tag_do(storage: Storage) -> None:
    await storage.put("a", b"one")
    first = await storage.stat("a")
    assert (first.key, first.size, bool(first.etag), '"' in first.etag) == ("a", 3, True, False)
    assert abs((datetime.now(UTC) - first.modified_at).total_seconds()) < 60
    await storage.put("a", b"other")
    second = await storage.stat("a")
    assert (second.size, second.etag != first.etag) == (5, True)


@pytest.mark.parametrize("count", [1, 2, 70])
async def test_compose_when_parts_are_given_then_one_after_the_other_and_the_parts_stay(
    storage: Storage, count: int
) -> None:
    for number in range(count):
        await storage.put(f"parts/{number}", f"{number},".encode())
    await storage.put("whole", b"earlier")
    expected = b"".join(b"%d," % number for number in range(count))
    assert await storage.compose("whole", [f"parts/{number}" for number in range(count)]) == len(expected)
    assert await read(storage, "whole") == expected
    assert await keys(storage) == {"whole", *(f"parts/{number}" for number in range(count))}


async def test_compose_when_parts_are_large_or_empty_then_joined_all_the_same(storage: Storage) -> None:
    await storage.put("large", pieces(6))
    await storage.put("small", b"end")
    await storage.put("empty", b"")
    once = await read(storage, "large")
    assert await storage.compose("whole", ["large", "large", "small"]) == 12_000_003
    assert await read(storage, "whole") == once + once + b"end"
    assert await storage.compose("whole", ["empty", "small", "empty"]) == 3
    assert await read(storage, "whole") == b"end"
    assert await storage.compose("small", ["small", "small"]) == 6
    assert await read(storage, "small") == b"endend"


async def test_compose_when_a_part_is_missing_or_none_is_given_then_nothing_is_stored(storage: Storage) -> None:
    await storage.put("here", b"1")
    with pytest.raises(NotFound):
        await storage.compose("whole", ["here", "gone"])
    with pytest.raises(ValueError, match="no parts"):
        await storage.compose("whole", [])
    assert await keys(storage) == {"here"}


async def test_page_when_asked_for_then_in_the_order_of_keys_after_the_one_given(storage: Storage) -> None:
    names = sorted((f"p/{name}" for name in ("a0", "a/b", "a-b", "a.b", "B", "b", "é", "z", "10", "9")), key=str.encode)
    for name in (*names, "q/other", "o"):
        await storage.put(name, b"1")
    found: list[str] = []
    while page := await storage.page("p/", found[-1] if found else "", 3):
        assert len(page) == min(3, len(names) - len(found))
        found += [stored.key for stored in page]
    assert found == names
    assert [stored.key for stored in await storage.page("p/", "p/a0a", 2)] == names[names.index("p/b") :][:2]
    assert [stored.key for stored in await storage.page("", "", 1)] == ["o"]
    assert await storage.page("p/", "p/é", 3) == []


async def test_namespace_when_a_key_would_leave_it_then_refused_everywhere(storage: Storage) -> None:
    mine = StorageNamespace(storage, uuid4(), "files")
    await mine.put("ok", b"1")
    for key in ("", "..", "../mail/a", "a/../../b", "/etc/passwd", "a\x00b", "./a", "a//b", "..\\a"):
        for asking in (
            mine.put(key, b"x"),
            mine.get(key, 0, 1),
            mine.stat(key),
            mine.delete(key),
            mine.compose(key, ["ok"]),
            mine.compose("to", ["ok", key]),
            mine.presign_get(key, seconds=60, filename="a"),
            mine.presign_put(key, length=1, media_type="text/plain", seconds=60),
        ):
            with pytest.raises(ValueError, match="storage key"):
                await asking
    with pytest.raises(ValueError, match="storage key"):
        await mine.page("../mail")
    with pytest.raises(ValueError, match="storage key"):
        await mine.page(after="../mail/a")
    assert [stored.key async for stored in mine.list()] == ["ok"]


async def test_namespace_when_composing_and_paging_then_keys_are_its_own(storage: Storage) -> None:
    tenant = uuid4()
    mine, other = StorageNamespace(storage, tenant, "files"), StorageNamespace(storage, tenant, "mail")
    await other.put("a", b"not mine")
    for key in ("parts/1", "parts/2"):
        await mine.put(key, key.encode())
    assert await mine.compose("whole", ["parts/1", "parts/2"]) == 14
    with pytest.raises(NotFound):
        await mine.compose("whole", ["a"])
    assert (await mine.stat("whole")).key == "whole"
    assert [stored.key for stored in await mine.page(limit=2)] == ["parts/1", "parts/2"]
    assert [stored.key for stored in await mine.page("parts", after="parts/1")] == ["parts/2"]
    assert [stored.key for stored in await mine.page(after="parts/2")] == ["whole"]


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
