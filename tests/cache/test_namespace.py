from __future__ import annotations

import asyncio
from datetime import timedelta
from uuid import uuid4

import pytest

from host.cache.client import RedisClient
from host.cache.namespace import CacheNamespace, forget_tenant


async def test_values_when_tenant_or_plugin_differs_then_not_seen(redis_client: RedisClient) -> None:
    here, there = uuid4(), uuid4()
    await CacheNamespace(redis_client, here, "mail").set("key", "value", 60)
    assert await CacheNamespace(redis_client, here, "mail").get("key") == b"value"
    assert await CacheNamespace(redis_client, there, "mail").get("key") is None
    assert await CacheNamespace(redis_client, here, "audit").get("key") is None
    assert await redis_client.call("KEYS", "*") == [f"t:{here}:mail:key".encode()]


async def test_value_when_its_time_is_up_then_gone(redis_client: RedisClient) -> None:
    namespace = CacheNamespace(redis_client, uuid4(), "mail")
    await namespace.set("key", b"value", timedelta(milliseconds=30))
    assert await namespace.get("key") == b"value"
    await asyncio.sleep(0.06)
    assert await namespace.get("key") is None


async def test_add_when_many_try_at_once_then_one_wins(redis_client: RedisClient) -> None:
    namespace = CacheNamespace(redis_client, uuid4(), "mail")
    assert sum(await asyncio.gather(*(namespace.add("lock", str(n), 60) for n in range(50)))) == 1


async def test_delete_when_called_then_only_named_keys_go(redis_client: RedisClient) -> None:
    namespace = CacheNamespace(redis_client, uuid4(), "mail")
    await namespace.set("a", "1", 60)
    await namespace.set("b", "2", 60)
    assert await namespace.delete("a", "never") == 1
    assert await namespace.delete() == 0
    assert await namespace.get("b") == b"2"


async def test_forget_tenant_when_purged_then_no_key_of_it_is_left_and_others_stay(redis_client: RedisClient) -> None:
    gone, stays = uuid4(), uuid4()
    for number in range(1200):
        await CacheNamespace(redis_client, gone, "mail").set(str(number), "x", 60)
    await CacheNamespace(redis_client, stays, "mail").set("a", "x", 60)
    assert await forget_tenant(redis_client, gone) == 1200
    assert await redis_client.call("DBSIZE") == 1


async def test_namespace_when_misused_then_refuses(redis_client: RedisClient) -> None:
    with pytest.raises(ValueError, match="plugin"):
        CacheNamespace(redis_client, uuid4(), "a:b")
    namespace = CacheNamespace(redis_client, uuid4(), "mail")
    with pytest.raises(ValueError, match="key"):
        await namespace.get("")
    with pytest.raises(ValueError, match="ttl"):
        await namespace.set("a", "b", 0)
