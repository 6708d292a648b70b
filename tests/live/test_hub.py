from __future__ import annotations

import asyncio
import random
from contextlib import aclosing
from uuid import UUID, uuid4

import pytest

from host.cache.client import RedisClient
from host.cache.embedded import EmbeddedRedis
from host.contracts import LiveChannel, LiveMessage
from host.errors import NotFound, Unavailable
from host.live.namespace import LARGEST
from tests.live.conftest import CHANNEL, NewProcess, Process, recovered, take


async def position_of(process: Process, tenant_id: UUID) -> str:
    """The position of somebody who has seen everything so far."""
    return (await take(process.live(tenant_id), 1))[0].id


async def published(process: Process, tenant_id: UUID, *numbers: int, channel: LiveChannel = CHANNEL) -> None:
    for number in numbers:
        await process.live(tenant_id, channel).publish("all", "note.changed", number)


async def test_follower_when_new_then_begins_with_a_position_and_hears_what_comes(
    new_process: NewProcess, tenant_id: UUID
) -> None:
    here, there = await new_process(), await new_process()
    await published(here, tenant_id, 1)
    following = asyncio.create_task(take(there.live(tenant_id), 3))
    await asyncio.sleep(0.5)
    await published(here, tenant_id, 2, 3)
    start, *messages = await following
    assert recovered(start) is False
    assert [(each.event, each.data) for each in messages] == [("note.changed", 2), ("note.changed", 3)]


async def test_follower_when_back_in_another_process_then_neither_gap_nor_double(
    new_process: NewProcess, tenant_id: UUID
) -> None:
    here, there = await new_process(), await new_process()
    await published(here, tenant_id, 1)
    begun = await position_of(here, tenant_id)
    await published(here, tenant_id, 2, 3, 4)
    start, first, second = await take(there.live(tenant_id), 3, begun)
    assert (recovered(start), start.id, first.data, second.data) == (True, begun, 2, 3)
    start, last = await take(here.live(tenant_id), 2, second.id)
    assert (recovered(start), last.data) == (True, 4)


async def test_follower_when_nothing_was_ever_sent_then_its_position_is_recovered(
    new_process: NewProcess, tenant_id: UUID
) -> None:
    here = await new_process()
    begun = await position_of(here, tenant_id)
    await published(here, tenant_id, 1)
    start, message = await take(here.live(tenant_id), 2, begun)
    assert (recovered(start), message.data) == (True, 1)


async def test_position_when_trimmed_then_not_recovered(new_process: NewProcess, tenant_id: UUID) -> None:
    small, here = LiveChannel("notes.changes", "…", history=10), await new_process()
    begun = await position_of(here, tenant_id)
    await published(here, tenant_id, *range(300), channel=small)
    [start] = await take(here.live(tenant_id), 1, begun)
    assert recovered(start) is False
    assert start.id != begun


@pytest.mark.parametrize(
    "position",
    ["99999999999999-0", f"{2**64}-0", f"{2**64 - 1}-{2**64 - 1}", "0-0", "rubbish", "-", "1", "1-1\n", "$", ">", "é"],
)
async def test_position_when_from_the_future_or_rubbish_then_not_recovered_and_what_comes_is_heard(
    new_process: NewProcess, tenant_id: UUID, position: str
) -> None:
    here = await new_process()
    await published(here, tenant_id, 1)
    async with asyncio.timeout(20), aclosing(here.live(tenant_id).follow("all", position)) as messages:
        assert recovered(await anext(messages)) is False
        await published(here, tenant_id, 2)
        assert (await anext(messages)).data == 2


async def test_position_when_of_another_tenant_then_not_recovered(new_process: NewProcess, tenant_id: UUID) -> None:
    here, other = await new_process(), uuid4()
    await published(here, other, 1)
    theirs = await position_of(here, other)
    await published(here, tenant_id, 2)
    [start] = await take(here.live(tenant_id), 1, theirs)
    assert recovered(start) is False


async def test_history_when_it_expires_then_not_recovered(new_process: NewProcess, tenant_id: UUID) -> None:
    brief, here = LiveChannel("notes.changes", "…", seconds=1), await new_process()
    await published(here, tenant_id, 1, channel=brief)
    begun = (await take(here.live(tenant_id, brief), 1))[0].id
    await asyncio.sleep(1.3)
    [start] = await take(here.live(tenant_id, brief), 1, begun)
    assert recovered(start) is False


async def test_history_when_somebody_follows_then_it_does_not_expire(new_process: NewProcess, tenant_id: UUID) -> None:
    brief, here = LiveChannel("notes.changes", "…", seconds=1), await new_process()
    async with asyncio.timeout(20), aclosing(here.live(tenant_id, brief).follow("all")) as messages:
        begun = (await anext(messages)).id
        waiting = asyncio.ensure_future(anext(messages))
        await asyncio.sleep(2.5)
        await published(here, tenant_id, 1, channel=brief)
        assert (await waiting).data == 1
    start, message = await take(here.live(tenant_id, brief), 2, begun)
    assert (recovered(start), message.data) == (True, 1)


async def test_redis_when_emptied_then_followers_are_told_that_something_may_be_lost(
    redis_server: EmbeddedRedis, redis_client: RedisClient, tenant_id: UUID
) -> None:
    here = Process(redis_client)
    here.hub.start()
    async with asyncio.timeout(20), aclosing(here.live(tenant_id).follow("all")) as messages:
        await anext(messages)
        await published(here, tenant_id, 1)
        assert (await anext(messages)).data == 1
        await redis_client.call("FLUSHALL")
        await published(here, tenant_id, 2)
        assert recovered(await anext(messages)) is False
        await published(here, tenant_id, 3)
        assert (await anext(messages)).data == 3
    await here.hub.close()


async def test_redis_when_restarted_then_followers_go_on_and_publishing_raises_meanwhile(
    redis_server: EmbeddedRedis, tenant_id: UUID
) -> None:
    here = Process(RedisClient(redis_server.url, timeout=0.5))
    here.hub.start()
    async with asyncio.timeout(30), aclosing(here.live(tenant_id).follow("all")) as messages:
        await anext(messages)
        await published(here, tenant_id, 1)
        assert (await anext(messages)).data == 1
        await redis_server.stop()
        waiting = asyncio.ensure_future(anext(messages))
        with pytest.raises(Unavailable):
            await published(here, tenant_id, 2)
        await redis_server.start()
        await asyncio.sleep(2)
        await published(here, tenant_id, 3)
        assert (await waiting).data == 3  # the server kept what it had, so nothing was lost
    await here.hub.close()
    await here.redis_client.close()


async def test_connection_when_only_the_listening_one_is_lost_then_nothing_is(
    new_process: NewProcess, tenant_id: UUID
) -> None:
    here, there = await new_process(), await new_process()
    async with asyncio.timeout(20), aclosing(there.live(tenant_id).follow("all")) as messages:
        await anext(messages)
        waiting = asyncio.ensure_future(anext(messages))
        await asyncio.sleep(0.1)
        connection = there.hub._subscriptions._connection
        assert connection is not None
        connection.abort(Unavailable("cut"))
        await published(here, tenant_id, *range(50))
        heard = [(await waiting).data, *[(await anext(messages)).data for _ in range(49)]]
    assert heard == list(range(50))


async def test_message_when_sent_between_the_first_look_and_the_subscription_then_heard(
    new_process: NewProcess, tenant_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = await new_process(), await new_process()
    add = there.hub._subscriptions.add
    monkeypatch.setattr(
        there.hub._subscriptions, "add", lambda name: asyncio.get_running_loop().call_later(0.5, add, name)
    )
    async with asyncio.timeout(10), aclosing(there.live(tenant_id).follow("all")) as messages:
        await anext(messages)
        coming = asyncio.ensure_future(anext(messages))
        await asyncio.sleep(0.1)
        await published(here, tenant_id, 1)
        assert (await coming).data == 1


async def test_follower_when_slow_then_memory_is_bounded_and_it_is_told_what_was_trimmed(
    new_process: NewProcess, tenant_id: UUID
) -> None:
    small, here = LiveChannel("notes.changes", "…", history=200), await new_process()
    async with asyncio.timeout(60), aclosing(here.live(tenant_id, small).follow("all")) as messages:
        await anext(messages)
        await published(here, tenant_id, 0, channel=small)
        assert (await anext(messages)).data == 0
        await published(here, tenant_id, *range(1, 150), channel=small)
        assert [(await anext(messages)).data for _ in range(149)] == list(range(1, 150))  # all of it is kept
        await published(here, tenant_id, *range(150, 800), channel=small)
        feed = next(iter(here.hub._feeds.values()))
        assert len(feed._entries) <= 256
        assert recovered(await anext(messages)) is False


async def test_fifty_followers_when_they_hop_between_processes_then_nothing_is_lost_or_doubled(
    new_process: NewProcess, tenant_id: UUID
) -> None:
    processes, total = [await new_process(), await new_process()], 400
    publisher = await new_process()
    begun = await position_of(publisher, tenant_id)

    async def follow(number: int) -> list[int]:
        random_ = random.Random(number)
        heard: list[int] = []
        position = begun
        while len(heard) < total:
            process, until = random_.choice(processes), len(heard) + random_.randint(1, 60)
            async with aclosing(process.live(tenant_id).follow("all", position)) as messages:
                async for message in messages:
                    if message.event == "live.start":
                        assert recovered(message) is True
                        continue
                    heard.append(message.data)
                    position = message.id
                    if len(heard) >= min(until, total):
                        break
        return heard

    async def publish() -> None:
        for number in range(total):
            await published(publisher, tenant_id, number)
            await asyncio.sleep(1 / 200)

    async with asyncio.timeout(90):
        *heard, _ = await asyncio.gather(*(follow(number) for number in range(50)), publish())
    assert heard == [list(range(total))] * 50


async def test_names_when_two_channels_keys_or_tenants_then_they_do_not_hear_each_other(
    new_process: NewProcess, tenant_id: UUID
) -> None:
    here = await new_process()
    async with asyncio.timeout(20), aclosing(here.live(tenant_id).follow("a")) as messages:
        await anext(messages)
        await here.live(tenant_id).publish("b", "x", 1)
        await here.live(uuid4()).publish("a", "x", 2)
        await here.live(tenant_id, LiveChannel("notes.other", "…")).publish("a", "x", 3)
        await here.live(tenant_id, LiveChannel("other.changes", "…")).publish("a", "x", 4)
        await here.live(tenant_id).publish("a", "x", 5)
        assert (await anext(messages)).data == 5


async def test_publish_when_what_is_sent_cannot_be_then_refused_before_anything_is(
    new_process: NewProcess, tenant_id: UUID
) -> None:
    live = (await new_process()).live(tenant_id)
    for key, event, data in (
        ("", "x", 1),
        ("x" * 201, "x", 1),
        ("a\nb", "x", 1),
        ("a", "live.start", 1),
        ("a", "X y", 1),
        ("a", "", 1),
        ("a", "x", "y" * LARGEST),
    ):
        with pytest.raises(ValueError):
            await live.publish(key, event, data)
    with pytest.raises(TypeError):
        await live.publish("a", "x", object())


async def test_follow_when_refused_then_not_found_and_when_refused_later_then_it_ends(
    new_process: NewProcess, tenant_id: UUID
) -> None:
    here, user_id = await new_process(), uuid4()
    versions = here.rights._versions
    async with asyncio.timeout(20), aclosing(here.live(tenant_id, user_id=user_id).follow("all")) as messages:
        await anext(messages)
        waiting = asyncio.ensure_future(anext(messages, LiveMessage("over", None)))
        await versions.touched([tenant_id], [])
        await asyncio.sleep(1)
        assert not waiting.done()
        here.allowed = False
        await versions.touched([], [user_id])
        async with asyncio.timeout(1):
            assert (await waiting).event == "over"
    with pytest.raises(NotFound):
        await take(here.live(tenant_id), 1)


async def test_drain_when_the_process_stops_then_every_stream_ends_and_later_ones_at_once(
    new_process: NewProcess, tenant_id: UUID
) -> None:
    here = await new_process()
    over = LiveMessage("over", None)
    async with asyncio.timeout(20), aclosing(here.live(tenant_id).follow("all")) as messages:
        await anext(messages)
        waiting = asyncio.ensure_future(anext(messages, over))
        await asyncio.sleep(0.05)
        here.rights.drain()
        assert await waiting is over
        assert await anext(here.live(tenant_id).follow("all"), over) is over


async def test_follower_when_gone_then_nothing_of_it_is_left(new_process: NewProcess, tenant_id: UUID) -> None:
    here = await new_process()
    await take(here.live(tenant_id), 1)
    assert here.hub._feeds == {}
    assert here.hub._subscriptions._names == set()
    assert here.rights._watched == set()
