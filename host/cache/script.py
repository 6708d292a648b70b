"""Run a Lua script in Redis by its digest, and send its source when the server does not have it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from host.cache.client import Argument, RedisClient, Refused, Reply


class Script:
    """A Lua script that runs in one round trip; it is sent again when the server lost it (restart, failover)."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._digest = hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()

    async def run(self, redis_client: RedisClient, keys: Sequence[str], arguments: Sequence[Argument]) -> Reply:
        """Run the script with these keys and arguments, and return its result.

        Raises:
            Unavailable, Refused: as `RedisClient.call`.
        """
        try:
            return await redis_client.call("EVALSHA", self._digest, len(keys), *keys, *arguments)
        except Refused as refused:
            if refused.code != "NOSCRIPT":
                raise
        return await redis_client.call("EVAL", self._source, len(keys), *keys, *arguments)
