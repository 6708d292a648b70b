"""Read an answer's body, unpacked, within limits of size and time."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import contextmanager

import httpcore2
import httpx2

from host.outbound.errors import SERVER, OutboundError, too_long


class Body(httpx2.AsyncByteStream):
    """An answer's body, unpacked as far as it is not longer than allowed, until the time is over."""

    def __init__(self, answer: httpcore2.Response, where: str, until: float, max_bytes: int, is_packed: bool) -> None:
        self._answer, self._where, self._until, self._max_bytes = answer, where, until, max_bytes
        self.is_packed = is_packed

    async def __aiter__(self) -> AsyncIterator[bytes]:
        unpacking = Unpacking() if self.is_packed else None
        received = given = 0
        async for piece in self._pieces():
            received += len(piece)
            try:
                part = unpacking.feed(piece, self._max_bytes - given) if unpacking else piece
            except zlib.error:
                raise OutboundError("answer", "its packed answer is damaged", self._where, SERVER) from None
            given += len(part)
            if max(received, given) > self._max_bytes:
                raise too_long(self._where, self._max_bytes)
            if part:
                yield part
        if unpacking and not unpacking.is_whole:
            raise OutboundError("answer", "its packed answer is damaged", self._where, SERVER)

    async def _pieces(self) -> AsyncIterator[bytes]:
        assert not isinstance(self._answer.stream, Iterable)
        pieces = aiter(self._answer.stream)
        while True:
            with told(self._where):
                async with asyncio.timeout_at(self._until):
                    piece = await anext(pieces, None)
            if piece is None:
                return
            yield piece

    async def aclose(self) -> None:
        await self._answer.aclose()


class Unpacking:
    """gzip (RFC 1952, also of several members) and deflate (RFC 1950)."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(47)  # 32 + 15: the header says which of the two
        self._began = False

    def feed(self, data: bytes, most: int) -> bytes:
        """What the data unpacks to; not much more than `most` bytes of it, however much there would be."""
        unpacked = b""
        while data and len(unpacked) <= most:
            self._began = True
            if self._member.eof:
                self._member = zlib.decompressobj(47)
            unpacked += self._member.decompress(data, most + 1 - len(unpacked))
            data = self._member.unused_data if self._member.eof else b""
        return unpacked

    @property
    def is_whole(self) -> bool:
        return self._member.eof or not self._began


@contextmanager
def told(where: str) -> Iterator[None]:
    """Say every failure of the libraries as an OutboundError."""
    try:
        yield
    except OutboundError:
        raise
    except (TimeoutError, httpcore2.TimeoutException, httpx2.TimeoutException):
        raise OutboundError("time", "it did not answer in time", where, "try again later") from None
    except httpx2.TooManyRedirects:
        raise OutboundError("redirects", "it leads on and on", where, "name the address that it leads to") from None
    except (httpcore2.NetworkError, httpx2.NetworkError) as error:
        what = f"there is no connection ({error})" if str(error) else "there is no connection"
        raise OutboundError("connection", what, where, "try again later") from None
    except (httpcore2.ProtocolError, httpcore2.UnsupportedProtocol, httpx2.HTTPError, httpx2.InvalidURL):
        raise OutboundError("answer", "its answer is not as HTTP asks", where, SERVER) from None
