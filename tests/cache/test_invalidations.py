"""What has changed is heard of by every process, whoever dies on the way."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from uuid import uuid4

from host.cache.client import RedisClient
from host.cache.embedded import EmbeddedRedis
from host.cache.invalidations import Invalidations
from host.cache.models import CacheInvalidation
from host.cache.versions import EPOCH_KEY, Versions, tenant_version_key, user_version_key
from host.data.database import Database
from host.settings import Settings
from host.testing import Client, TwoTenants

DYING = """
import asyncio, os, signal, sys
from host.cache.versions import Versions
from host.settings import load
from host.testing import TestApplication

async def die(self, tenants, users, tags):
    if [*tenants, *users]:
        os.kill(os.getpid(), signal.SIGKILL)

async def main(file, authorization, method, path):
    async with TestApplication.open(load(file, os.environ, plugin_ids=None)) as application:
        Versions.touched = die
        async with application.client(**{"Authorization": authorization, "X-Tenant": "acme"}) as owner:
            await owner.request(method, f"/api/v1{path}")

asyncio.run(main(*sys.argv[1:]))
"""


async def dies_doing(settings: Settings, two_tenants: TwoTenants, method: str, path: str) -> None:
    """Another process of the same deployment is killed between its commit and telling anybody."""
    environment = os.environ | {
        "TENANTRY_DATA__DIR": str(settings.data.dir),
        "DATABASE_URL": settings.database.url,
    }
    file, who = (
        str(settings.plugins_file.parent / "config" / "settings.toml"),
        two_tenants.acme.headers["Authorization"],
    )
    command = [sys.executable, "-c", DYING, file, who, method, path]
    ended = await asyncio.to_thread(subprocess.run, command, env=environment, capture_output=True, check=False)
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()


async def becomes_true(look: Callable[[], Awaitable[bool]], within: float = 1.0) -> None:
    async with asyncio.timeout(within):
        while True:
            if await look():
                return
            await asyncio.sleep(0.02)


def refuses(person: Client) -> Callable[[], Awaitable[bool]]:
    async def look() -> bool:
        return (await person.get("/api/v1/projects")).status_code in {401, 404}

    return look


async def nothing_is_left_to_tell() -> bool:
    return not await CacheInvalidation.all().exists()


async def test_member_when_removed_by_a_process_killed_after_its_commit_then_refused_within_a_second(
    two_tenants: TwoTenants, app_settings: Settings
) -> None:
    member = two_tenants.acme_member
    await member.ask("GET", "/projects")
    await dies_doing(app_settings, two_tenants, "DELETE", f"/tenant/members/{member.user_id}")
    await becomes_true(refuses(member))
    with two_tenants.application.inner.bound():
        await becomes_true(nothing_is_left_to_tell)


async def test_session_when_ended_by_a_killed_process_and_redis_restarted_then_refused_within_a_second(
    two_tenants: TwoTenants, app_settings: Settings
) -> None:
    await two_tenants.acme.ask("GET", "/projects")
    (session,) = await two_tenants.acme.ask("GET", "/me/sessions")
    await dies_doing(app_settings, two_tenants, "DELETE", f"/me/sessions/{session['id']}")
    await two_tenants.application.inner.services.redis_client.call("FLUSHALL")
    if two_tenants.application.inner.redis and (pid := two_tenants.application.inner.redis.pid()):
        os.kill(pid, signal.SIGKILL)
    await becomes_true(refuses(two_tenants.acme))


async def test_change_when_redis_is_away_then_told_once_it_is_back(
    database: Database, redis_client: RedisClient, redis_server: EmbeddedRedis
) -> None:
    tenant, person, anybody = uuid4(), uuid4(), Invalidations(Versions(redis_client))
    tell = await Invalidations(Versions(redis_client)).store({tenant}, {person}, set())
    await redis_server.stop()
    await tell()  # says nothing: the change is committed, whatever becomes of its telling
    assert await CacheInvalidation.all().count() == 1
    await redis_server.start()
    await anybody.start()
    await becomes_true(nothing_is_left_to_tell, within=10)
    await anybody.stop()
    assert await redis_client.call("GET", tenant_version_key(tenant))
    assert await redis_client.call("GET", user_version_key(person))


async def test_change_when_told_at_once_then_not_told_again_and_forgotten(
    database: Database, redis_client: RedisClient
) -> None:
    tenant, invalidations = uuid4(), Invalidations(Versions(redis_client))
    await (await invalidations.store({tenant}, set(), set()))()
    told = await redis_client.call("GET", tenant_version_key(tenant))
    assert await invalidations.deliver() == 0
    assert await redis_client.call("GET", tenant_version_key(tenant)) == told
    assert not await CacheInvalidation.all().exists()


async def test_version_when_redis_comes_back_with_what_it_held_before_then_another_one_all_the_same(
    redis_client: RedisClient, redis_server: EmbeddedRedis
) -> None:
    tenant, versions = uuid4(), Versions(redis_client)
    await versions.touched({tenant}, set())
    before = await versions.of_tenant(tenant)
    assert await versions.of_tenant(tenant) == before
    await redis_server.stop()
    await redis_server.start()
    epoch = await redis_client.call("GET", EPOCH_KEY)
    after = await versions.of_tenant(tenant)
    assert epoch in before
    assert epoch in after  # nothing was lost here; but who could tell
    assert after != before
