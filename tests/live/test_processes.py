"""Streams of server-sent events over real processes: hops between them, ends with the right, stops with the process."""

from __future__ import annotations

import asyncio
import os
import random
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from host.live_channels import live
from host.settings import load
from host.testing import Client, TestApplication, TwoTenants
from tenants.context import bind
from tests.live.served import Event, environment_of, following, prepare, served

pytestmark = pytest.mark.timeout(400)
MESSAGES, FOLLOWERS, A_SECOND = 600, 50, 200


def headers_of(client: Client) -> dict[str, str]:
    return {name: client.headers[name] for name in ("authorization", "x-tenant")}


async def test_streams_when_served_by_two_processes_then_as_promised(
    backend: str, new_place: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database_url = (await new_place())["url"] if backend == "postgres" else ""
    redis_url = os.environ["TEST_REDIS_URL"] if backend == "postgres" else ""
    prepare(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    environment = environment_of(tmp_path, database_url, redis_url)
    settings = load(tmp_path / "config" / "settings.toml", environment, plugin_ids=None)
    async with (
        TestApplication.open(settings) as application,
        TwoTenants.create(application) as both,
        served(tmp_path, environment) as one,
        served(tmp_path, environment, "uvicorn") as two,
    ):
        await followers_hop_and_nothing_is_lost_or_doubled(both, [one.address, two.address])
        await positions_that_are_not_known_are_not_recovered(both, one.address)
        await other_tenants_hear_nothing(both, one.address)
        await streams_end_within_a_second_after_the_right_is_gone(both, [one.address, two.address])
        async with following(one.address, headers_of(both.globex), "general") as events:
            await anext(events)
            began = time.monotonic()
            assert one.stop() == 0
            assert [event async for event in events] == []
            assert time.monotonic() - began < 10
        async with following(two.address, headers_of(both.globex), "general") as events:
            assert (await anext(events)).event == "live.start"


async def followers_hop_and_nothing_is_lost_or_doubled(both: TwoTenants, addresses: list[str]) -> None:
    async with following(addresses[0], headers_of(both.acme), "hops") as events:
        begun = (await anext(events)).id
    reconnections = 0

    async def follow(number: int) -> list[int]:
        nonlocal reconnections
        chance, heard, position = random.Random(number), list[int](), begun
        while len(heard) < MESSAGES:
            until = min(MESSAGES, len(heard) + chance.randint(50, 300))
            async with following(chance.choice(addresses), headers_of(both.acme), "hops", position) as events:
                reconnections += 1
                async for event in events:
                    if event.event == "live.start":
                        assert event.data == {"recovered": True}
                        continue
                    heard.append(event.data)
                    position = event.id
                    if len(heard) >= until:
                        break
        return heard

    async def publish() -> None:
        application = both.application.inner
        began = time.monotonic()
        with application.bound(), bind(both.acme.tenant_id):
            for number in range(MESSAGES):
                await live("board.lines").publish("hops", "line", number)
                await asyncio.sleep(max(0.0, began + number / A_SECOND - time.monotonic()))

    async with asyncio.timeout(200):
        *heard, _ = await asyncio.gather(*(follow(number) for number in range(FOLLOWERS)), publish())
    assert heard == [list(range(MESSAGES))] * FOLLOWERS
    assert reconnections >= 2 * FOLLOWERS


async def positions_that_are_not_known_are_not_recovered(both: TwoTenants, address: str) -> None:
    async with following(address, headers_of(both.globex), "general") as events:
        theirs = (await anext(events)).id
    for position in (theirs, "99999999999999-1", "rubbish", "1" * 5000, "-1"):
        async with following(address, headers_of(both.acme), "general", position) as events:
            assert (await anext(events)).data == {"recovered": False}


async def other_tenants_hear_nothing(both: TwoTenants, address: str) -> None:
    async with following(address, headers_of(both.globex), "secrets") as events:
        await anext(events)
        await both.acme.ask("POST", "/board/secrets/lines", 202, json={"text": "ours"})
        await both.globex.ask("POST", "/board/secrets/lines", 202, json={"text": "theirs"})
        assert (await anext(events)).data["text"] == "theirs"
    async with httpx.AsyncClient(base_url=address) as client:
        path = f"/api/v1/board/{both.acme.user_id}/events"
        assert (await client.get(path, headers=headers_of(both.acme_admin))).status_code == 404
        stolen = {**headers_of(both.globex), "x-tenant": "acme"}
        assert (await client.get("/api/v1/board/general/events", headers=stolen)).status_code == 404
        assert (await client.get("/api/v1/board/general/events")).status_code == 401


async def streams_end_within_a_second_after_the_right_is_gone(both: TwoTenants, addresses: list[str]) -> None:
    member, viewer = both.acme_member, both.acme_viewer
    bare = await both.acme.ask("POST", "/tenant/roles", 201, json={"name": "bare", "permissions": ["tenant.jobs.read"]})

    async def role_loses_it() -> None:
        await both.acme.ask("PATCH", f"/tenant/members/{member.user_id}", json={"role_id": bare["id"]})

    async def leaves() -> None:
        await both.acme.ask("DELETE", f"/tenant/members/{viewer.user_id}", 204)

    async def signs_out() -> None:
        await both.acme_admin.ask("POST", "/auth/logout", 204)

    async def is_switched_off() -> None:
        await both.acme.ask("PUT", "/tenant/plugins/board", json={"enabled": False})

    async def is_suspended() -> None:
        application = both.application.inner
        with application.bound():
            await application.provisioning.suspend(both.globex.tenant_id, "unpaid")

    async def is_resumed() -> None:
        application = both.application.inner
        with application.bound():
            await application.provisioning.resume(both.globex.tenant_id)

    for whose, change in (
        (member, role_loses_it),
        (viewer, leaves),
        (both.acme_admin, signs_out),
        (both.acme, is_switched_off),
        (both.globex, is_suspended),
    ):
        readers = [asyncio.create_task(_end_of(address, whose)) for address in addresses]
        await asyncio.sleep(2)
        assert not any(reader.done() for reader in readers), change.__name__
        await change()
        changed = time.monotonic()
        ends = await asyncio.wait_for(asyncio.gather(*readers), 20)
        assert max(ends) - changed <= 1.0, change.__name__
    await is_resumed()
    await both.acme.ask("PUT", "/tenant/plugins/board", json={"enabled": True})


async def _end_of(address: str, whose: Client) -> float:
    """When the stream of somebody ended."""
    async with following(address, headers_of(whose), "general") as events:
        heard: list[Event] = [event async for event in events]
    assert [each.event for each in heard] == ["live.start"]
    return time.monotonic()
