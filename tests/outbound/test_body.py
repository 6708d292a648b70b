"""Answers over real sockets: how long they may take, how long they may be, unpacked, and what is none."""

from __future__ import annotations

import asyncio
import gzip
import time
import zlib

import pytest

from host.outbound.body import Unpacking
from host.outbound.client import PublicClient
from host.outbound.errors import OutboundError
from tests.outbound.conftest import HOME, Peer, answering, refused, reply


@pytest.mark.parametrize(
    "parts",
    [
        (b"",),
        tuple(bytes([each]) for each in reply("200 OK", b"", *(f"X-{number}: y" for number in range(60)))),
        (reply("200 OK", b"x" * 500)[:-500], *[b"x"] * 500),
        (b"HTTP/1.1 100 Continue\r\n\r\n",) * 500,
    ],
    ids=["silent", "head by the byte", "body by the byte", "for ever 100"],
)
async def test_answer_when_it_trickles_then_ended_after_the_whole_time(peer: Peer, parts: tuple[bytes, ...]) -> None:
    peer.handler = answering(*parts, pause=0.05 if len(parts) > 1 else 60)
    began = time.monotonic()
    assert (await refused(peer.url(), seconds=0.6)).kind == "time"
    assert time.monotonic() - began < 4


async def test_answers_when_each_redirect_takes_its_time_then_all_have_one_limit(peer: Peer) -> None:
    async def slow(peer: Peer, writer: asyncio.StreamWriter, path: str) -> None:
        await asyncio.sleep(0.4)
        writer.write(reply("302 Found", b"", "Location: /on"))

    peer.handler = slow
    assert (await refused(peer.url(), seconds=1.0)).kind == "time"
    assert len(peer.asked) <= 3


@pytest.mark.parametrize(
    "answer",
    [
        reply("200 OK", b"x" * 5000),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        + b"3e8\r\n"
        + b"x" * 1000
        + b"\r\n"
        + b"1\r\ny\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + b"x" * 5000,
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
        reply("200 OK", gzip.compress(bytes(1001)), "Content-Encoding: gzip"),
        reply("200 OK", gzip.compress(bytes(50_000_000)), "Content-Encoding: gzip"),
        reply("200 OK", gzip.compress(b"") * 100, "Content-Encoding: gzip"),
        reply("200 OK", zlib.compress(bytes(5_000_000)), "Content-Encoding: deflate"),
    ],
    ids=["long", "chunks", "until the end", "announced", "packed", "bomb", "empty members", "deflate"],
)
async def test_answer_when_it_is_too_long_then_ended(peer: Peer, answer: bytes) -> None:
    peer.handler = answering(answer)
    assert (await refused(peer.url(), max_bytes=1000)).kind == "size"
    async with PublicClient(inner_networks=HOME, max_bytes=1000) as client:
        with pytest.raises(OutboundError):
            async with client.stream("GET", peer.url()) as streamed:
                assert sum([len(piece) async for piece in streamed.aiter_bytes()]) <= 1000


def test_bomb_when_unpacked_then_no_more_than_there_is_room_for() -> None:
    assert len(Unpacking().feed(gzip.compress(bytes(50_000_000)), 1000)) == 1001
    assert len(Unpacking().feed(gzip.compress(bytes(700)) * 2, 1000)) == 1001


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (reply("200 OK", b"x" * 1000), "x" * 1000),
        (reply("200 OK", gzip.compress(b"x" * 1000), "Content-Encoding: gzip"), "x" * 1000),
        (reply("200 OK", gzip.compress(b"one ") + gzip.compress(b"two"), "Content-Encoding: X-GZIP"), "one two"),
        (reply("200 OK", zlib.compress(b"packed"), "Content-Encoding: deflate"), "packed"),
        (reply("200 OK", b"plain", "Content-Encoding: identity"), "plain"),
        (reply("204 No Content"), ""),
    ],
)
async def test_answer_when_it_is_as_long_as_allowed_then_read(peer: Peer, answer: bytes, text: str) -> None:
    peer.handler = answering(answer)
    async with PublicClient(inner_networks=HOME, max_bytes=1000) as client:
        assert (await client.get(peer.url())).text == text
        with_head = reply("200 OK", b"", "Content-Encoding: gzip").replace(
            b"Content-Length: 0", b"Content-Length: 5000"
        )
        peer.handler = answering(with_head)
        assert (await client.head(peer.url())).status_code == 200


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        reply("200 OK", b"no gzip", "Content-Encoding: gzip"),
        reply("200 OK", gzip.compress(b"x" * 500)[:-9], "Content-Encoding: gzip"),
        reply("200 OK", b"x", "Content-Encoding: br"),
        reply("200 OK", gzip.compress(gzip.compress(b"x")), "Content-Encoding: gzip, gzip"),
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\nConnection: close\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: " + b"y" * 200_000 + b"\r\n\r\n",
    ],
)
async def test_answer_when_it_is_not_as_it_should_be_then_said_so(peer: Peer, answer: bytes) -> None:
    async def broken(peer: Peer, writer: asyncio.StreamWriter, path: str) -> None:
        writer.write(answer)
        writer.close()

    peer.handler = broken
    error = await refused(peer.url("/secret-path"))
    assert error.kind in ("answer", "connection")
    assert (error.where, "secret-path" in str(error)) == (f"127.0.0.1:{peer.port}", False)
