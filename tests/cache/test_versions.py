from __future__ import annotations

from uuid import uuid4

from host.cache.versions import Versions, tenant_version_key, user_version_key
from host.cache.wire import Wire


async def test_touched_when_called_then_each_token_is_new_and_expires(wire: Wire) -> None:
    tenant, user, other = uuid4(), uuid4(), uuid4()
    keys = (tenant_version_key(tenant), user_version_key(user))
    await Versions(wire).touched({tenant}, {user})
    before = await wire.call("MGET", *keys)
    await Versions(wire).touched({tenant}, {user})
    after = await wire.call("MGET", *keys)
    assert all(before + after)
    assert not set(before) & set(after)
    assert await wire.call("GET", tenant_version_key(other)) is None
    assert 60 < await wire.call("TTL", keys[0]) <= 3600
