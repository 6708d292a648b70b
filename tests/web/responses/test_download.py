from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from host.contracts import Download, Route
from host.errors import NotFound, PreconditionFailed, RangeNotSatisfiable
from host.web.responses.serialization import shape
from host.web.routes import Routes

CONTENT = bytes(range(100))
MODIFIED = datetime(2026, 3, 1, 12, 0, 0, 500_000, tzinfo=UTC)
SAME, EARLIER, LATER = (
    "Sun, 01 Mar 2026 12:00:00 GMT",
    "Sun, 01 Mar 2026 11:59:59 GMT",
    "Sun, 01 Mar 2026 12:00:01 GMT",
)
TAG = '"v1"'
WHOLE = (200, 0, 100)

routes = Routes()
happened: dict[str, Any] = {}


class Source:
    """Bytes that note when they are closed."""

    def __init__(self, pieces: AsyncIterator[bytes]) -> None:
        self._pieces = pieces

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        return await anext(self._pieces)

    async def aclose(self) -> None:
        happened["closed"] = happened.get("closed", 0) + 1


def file(content: bytes = CONTENT, **said: Any) -> Download:
    async def pieces(start: int, stop: int) -> AsyncIterator[bytes]:
        for place in range(start, stop, 7):
            yield content[place : min(place + 7, stop)]

    async def open(start: int, stop: int) -> AsyncIterator[bytes]:
        happened["opened"] = (start, stop)
        return Source(pieces(start, stop))

    facts: dict[str, Any] = {
        "size": len(content),
        "etag": "v1",
        "modified": MODIFIED,
        "open": open,
        "filename": "a.bin",
    }
    return Download(**facts | said)


def answered(download: Download, method: str = "GET", **headers: str) -> Any:
    async def handler() -> None: ...

    pairs = {name.replace("_", "-").encode(): value.encode("latin-1") for name, value in headers.items()}
    return shape(download, pairs, Route("GET", "/x", handler, "x", "x", public=True, returns=Download), b"", method)


async def body_of(reply: Any) -> bytes:
    return reply.body if isinstance(reply.body, bytes) else b"".join([piece async for piece in reply.body])


RANGES = [
    ("", WHOLE),
    ("bytes=0-0", (206, 0, 1)),
    ("bytes=0-", (206, 0, 100)),
    ("bytes=5-9", (206, 5, 10)),
    ("Bytes=5-9", (206, 5, 10)),
    ("bytes=99-", (206, 99, 100)),
    ("bytes=98-200", (206, 98, 100)),
    ("bytes=0-99999999999999999999999999", (206, 0, 100)),
    ("bytes=000000000000000000000000001-2", (206, 1, 3)),
    ("bytes=-1", (206, 99, 100)),
    ("bytes=-100", (206, 0, 100)),
    ("bytes=-101", (206, 0, 100)),
    ("bytes=-" + "9" * 5000, (206, 0, 100)),
    ("bytes=-0", 416),
    ("bytes=100-", 416),
    ("bytes=100-200", 416),
    ("bytes=" + "9" * 5000 + "-", 416),
    ("bytes=9-5", WHOLE),
    ("bytes=-", WHOLE),
    ("bytes=", WHOLE),
    ("bytes", WHOLE),
    ("bytes=a-b", WHOLE),
    ("bytes=1-2-3", WHOLE),
    ("bytes=+1-2", WHOLE),
    ("bytes=--5", WHOLE),
    ("bytes=1.5-2", WHOLE),
    ("bytes=0x1-0x2", WHOLE),
    ("bytes=\xb2-\xb3", WHOLE),
    ("bytes =0-1", WHOLE),
    ("seconds=0-1", WHOLE),
    ("0-1", WHOLE),
    ("bytes=0-1,3-4", WHOLE),
    ("bytes=0-9,5-14", WHOLE),
    ("bytes=200-300,400-500", WHOLE),
    ("bytes=" + ",".join(["0-"] * 1000), WHOLE),
    ("bytes= ,\t5-9 , ", (206, 5, 10)),
]


@pytest.mark.parametrize(("asked", "expected"), RANGES, ids=[asked[:30] for asked, _ in RANGES])
async def test_range_when_asked_for_then_these_bytes_or_the_whole_or_416(web: Any, asked: str, expected: Any) -> None:
    if expected == 416:
        with pytest.raises(RangeNotSatisfiable) as refused:
            answered(file(), range=asked)
        assert refused.value.headers["Content-Range"] == "bytes */100"
        return
    status, start, stop = expected
    reply = answered(file(), **({"range": asked} if asked else {}))
    assert reply.status == status
    assert await body_of(reply) == CONTENT[start:stop]
    assert web.header(reply, b"content-length") == b"%d" % (stop - start)
    assert web.header(reply, b"content-range") == (b"bytes %d-%d/100" % (start, stop - 1) if status == 206 else None)
    assert (web.header(reply, b"accept-ranges"), happened["opened"]) == (b"bytes", (start, stop))


@pytest.mark.parametrize(
    ("asked", "status"), [("", 200), ("bytes=-5", 200), ("bytes=0-0", 416), ("bytes=0-", 416), ("bytes=-0", 416)]
)
async def test_empty_file_when_ranges_are_asked_for_then_only_its_end_is_there(asked: str, status: int) -> None:
    if status == 416:
        with pytest.raises(RangeNotSatisfiable):
            answered(file(b""), range=asked)
    else:
        reply = answered(file(b""), range=asked)
        assert (reply.status, await body_of(reply)) == (200, b"")


CONDITIONS: list[tuple[dict[str, str], int]] = [
    ({"if_none_match": TAG}, 304),
    ({"if_none_match": f"W/{TAG}"}, 304),
    ({"if_none_match": '"v0", W/"v9" ,"v1"'}, 304),
    ({"if_none_match": '"a,b", "v1"'}, 304),
    ({"if_none_match": "*"}, 304),
    ({"if_none_match": '"v0"'}, 200),
    ({"if_none_match": "v1"}, 200),
    ({"if_none_match": '"v0"', "if_modified_since": LATER}, 200),
    ({"if_none_match": TAG, "range": "bytes=0-1"}, 304),
    ({"if_modified_since": SAME}, 304),
    ({"if_modified_since": LATER}, 304),
    ({"if_modified_since": "Sunday, 01-Mar-26 12:00:00 GMT"}, 304),
    ({"if_modified_since": "Sun Mar  1 12:00:00 2026"}, 304),
    ({"if_modified_since": EARLIER}, 200),
    ({"if_modified_since": "yesterday"}, 200),
    ({"if_match": TAG}, 200),
    ({"if_match": "*"}, 200),
    ({"if_match": f'"v0", {TAG}'}, 200),
    ({"if_match": f"W/{TAG}"}, 412),
    ({"if_match": '"v0"'}, 412),
    ({"if_match": TAG, "if_unmodified_since": EARLIER}, 200),
    ({"if_match": TAG, "if_none_match": TAG}, 304),
    ({"if_match": '"v0"', "if_none_match": TAG}, 412),
    ({"if_unmodified_since": SAME}, 200),
    ({"if_unmodified_since": LATER}, 200),
    ({"if_unmodified_since": EARLIER}, 412),
    ({"if_unmodified_since": "never"}, 200),
    ({"if_match": '"v0"', "range": "bytes=500-"}, 412),
    ({"if_range": TAG, "range": "bytes=0-1"}, 206),
    ({"if_range": f"W/{TAG}", "range": "bytes=0-1"}, 200),
    ({"if_range": '"v0"', "range": "bytes=0-1"}, 200),
    ({"if_range": '"v0"', "range": "bytes=500-"}, 200),
    ({"if_range": SAME, "range": "bytes=0-1"}, 206),
    ({"if_range": LATER, "range": "bytes=0-1"}, 200),
    ({"if_range": EARLIER, "range": "bytes=0-1"}, 200),
    ({"if_range": "v1", "range": "bytes=0-1"}, 200),
    ({"if_range": TAG}, 200),
]


@pytest.mark.parametrize(("headers", "status"), CONDITIONS, ids=[str(sent) for sent, _ in CONDITIONS])
def test_condition_when_sent_then_answered_as_rfc_9110_says(web: Any, headers: dict[str, str], status: int) -> None:
    for method in ("GET", "HEAD"):
        if status == 412:
            with pytest.raises(PreconditionFailed):
                answered(file(), method, **headers)
            continue
        reply = answered(file(), method, **headers)
        assert reply.status == (200 if method == "HEAD" and status == 206 else status)
        assert web.header(reply, b"etag") == TAG.encode()
        if status == 304:
            assert (reply.body, web.header(reply, b"content-length")) == (b"", None)


def test_file_when_it_says_neither_tag_nor_time_then_only_the_star_matches() -> None:
    plain = file(etag="", modified=None)
    assert answered(plain, if_none_match=TAG, if_modified_since=LATER).status == 200
    assert answered(plain, if_unmodified_since=EARLIER).status == 200
    assert answered(plain, range="bytes=0-1", if_range=TAG).status == 200
    assert answered(plain, if_none_match="*").status == 304
    with pytest.raises(PreconditionFailed):
        answered(plain, if_match=TAG)


def test_if_range_when_the_file_changed_within_this_second_then_the_whole(web: Any) -> None:
    changing = file(modified=datetime.now(UTC))
    date = web.header(answered(changing), b"last-modified").decode()
    assert answered(changing, range="bytes=0-1", if_range=date).status == 200


def test_headers_when_a_file_is_answered_then_it_is_saved_not_run_and_not_kept(web: Any) -> None:
    reply = answered(file(media_type="text/html", inline=True, modified=datetime.now(UTC) + timedelta(days=1)))
    assert web.header(reply, b"content-disposition") == b'attachment; filename="a.bin"'
    assert web.header(reply, b"cache-control") == b"private, no-store"
    assert web.header(reply, b"content-security-policy") == b"default-src 'none'; sandbox"
    assert datetime.strptime(web.header(reply, b"last-modified").decode(), "%a, %d %b %Y %H:%M:%S GMT").replace(
        tzinfo=UTC
    ) <= datetime.now(UTC)
    kept = answered(file(cache_control="private, max-age=60", media_type="image/png", inline=True))
    assert web.header(kept, b"cache-control") == b"private, max-age=60"
    assert web.header(kept, b"content-disposition") == b'inline; filename="a.bin"'
    for said in ({"etag": 'a"b'}, {"etag": "a\r\nb"}, {"media_type": "a/b\r\nX: y"}, {"size": -1}):
        with pytest.raises(ValueError):
            answered(file(**said))


@pytest.mark.parametrize("size", [99, 101])
async def test_content_when_it_is_not_as_long_as_said_then_it_breaks_off(size: int) -> None:
    async def open(start: int, stop: int) -> AsyncIterator[bytes]:
        async def pieces() -> AsyncIterator[bytes]:
            yield b"x" * (size - 10)
            yield b"x" * 10

        return Source(pieces())

    happened.clear()
    sent = 0
    with pytest.raises(RuntimeError, match="than the 100 bytes announced"):
        async for piece in answered(file(open=open)).body:
            sent += len(piece)
    assert (sent <= 100, happened["closed"]) == (True, 1)


# -- over the network ------------------------------------------------------------------------------------


@routes.get("/file", name="file", summary="A file", public=True)
async def get_file() -> Download:
    return file()


@routes.get("/large", name="large", summary="A large file", public=True)
async def get_large() -> Download:
    async def pieces() -> AsyncIterator[bytes]:
        while True:
            happened["sent"] = happened.get("sent", 0) + 65_536
            yield b"x" * 65_536

    async def open(start: int, stop: int) -> AsyncIterator[bytes]:
        return Source(pieces())

    return file(open=open, size=10**9 // 65_536 * 65_536)


@routes.get("/gone", name="gone", summary="A file that is gone", public=True)
async def get_gone() -> Download:
    async def open(start: int, stop: int) -> AsyncIterator[bytes]:
        raise NotFound("The file is gone.")

    return file(open=open)


@asynccontextmanager
async def uvicorn_serves(app: Any) -> AsyncIterator[str]:
    import uvicorn

    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_config=None))
        running = asyncio.create_task(server.serve([listening]))
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        server.should_exit = True
        await running


@asynccontextmanager
async def granian_serves(app: Any) -> AsyncIterator[str]:
    from granian.constants import Interfaces
    from granian.server.embed import Server

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = Server(app, address="127.0.0.1", port=port, interface=Interfaces.ASGINL, log_enabled=False)
    running = asyncio.create_task(server.serve())
    for _ in range(200):
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.02)
        else:
            writer.close()
            break
    yield f"http://127.0.0.1:{port}"
    server.stop()
    await running


@pytest.fixture(params=["hypercorn", "uvicorn", "granian"])
async def address(web: Any, request: pytest.FixtureRequest) -> AsyncIterator[str]:
    happened.clear()
    serves = {"hypercorn": web.served, "uvicorn": uvicorn_serves, "granian": granian_serves}[request.param]
    async with serves(web.app(routes)) as served:
        yield served


async def test_file_when_served_then_whole_range_head_and_errors_are_right(address: str) -> None:
    async with httpx.AsyncClient(base_url=f"{address}/api/v1") as client:
        whole = await client.get("/file")
        assert (whole.status_code, whole.content) == (200, CONTENT)
        await closed()
        assert happened == {"opened": (0, 100), "closed": 1}
        part = await client.get("/file", headers={"Range": "bytes=-10", "If-Range": TAG})
        assert (part.status_code, part.content) == (206, CONTENT[90:])
        await closed()
        assert (part.headers["content-range"], part.headers["content-length"]) == ("bytes 90-99/100", "10")
        happened.clear()
        head = await client.head("/file", headers={"Range": "bytes=0-1"})
        assert (head.status_code, head.headers["content-length"], head.content) == (200, "100", b"")
        unchanged = await client.get("/file", headers={"If-None-Match": TAG})
        assert (unchanged.status_code, unchanged.content) == (304, b"")
        beyond = await client.get("/file", headers={"Range": "bytes=100-"})
        assert (beyond.status_code, beyond.headers["content-range"]) == (416, "bytes */100")
        assert beyond.json()["error"]["code"] == "RANGE_NOT_SATISFIABLE"
        assert happened == {}, "nothing was opened for an answer without content"
        assert (await client.get("/gone")).json()["error"]["message"] == "The file is gone."
        assert (await client.get("/file", headers={"Accept": "application/pdf"})).status_code == 200


async def test_file_when_its_reader_is_slow_and_leaves_then_the_source_waits_and_is_closed(address: str) -> None:
    host, port = address.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"GET /api/v1/large HTTP/1.1\r\nHost: x\r\n\r\n")
    await reader.read(1000)
    await asyncio.sleep(0.5)
    assert 0 < happened["sent"] < 60_000_000
    writer.transport.abort()
    await closed()
    assert happened["closed"] == 1


async def closed() -> None:
    for _ in range(200):
        if happened.get("closed"):
            break
        await asyncio.sleep(0.02)
