"""Cut a stream of bytes into parts of one size, as multipart uploads need them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator


async def in_parts(content: AsyncIterator[bytes], size: int) -> AsyncGenerator[bytes, None]:
    """The same bytes in parts of `size` bytes; the last one may be smaller, and an empty stream has none."""
    waiting = bytearray()
    async for piece in content:
        waiting += piece
        while len(waiting) >= size:
            yield bytes(waiting[:size])
            del waiting[:size]
    if waiting:
        yield bytes(waiting)
