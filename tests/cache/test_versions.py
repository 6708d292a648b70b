from __future__ import annotations

from uuid import uuid4

from host.cache.client import RedisClient
from host.cache.versions import Versions, tenant_version_key, user_version_key


async def test_touched_when_called_then_each_token_is_new_and_expires(redis_client: RedisClient) -> None:
    tenant, user, other = uuid4(), uuid4(), uuid4()
    keys = (tenant_version_key(tenant), user_version_key(user))
    await Versions(redis_client).touched({tenant}, {user})
    before = await redis_client.call("MGET", *keys)
    await Versions(redis_client).touched({tenant}, {user})
    after = await redis_client.call("MGET", *keys)
    assert all(before + after)
    assert not set(before) & set(after)
    assert await redis_client.call("GET", tenant_version_key(other)) is None
    assert 60 < await redis_client.call("TTL", keys[0]) <= 3600
