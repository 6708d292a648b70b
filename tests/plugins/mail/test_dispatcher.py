"""The dispatcher: which provider is asked, in which order, how much, and who is paused."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import replace
from datetime import timedelta

import pytest

from host.sdk import Channel
from plugins.mail.addresses import Address
from plugins.mail.outgoing import Outgoing
from plugins.mail.providers import circuit
from plugins.mail.providers.channel import ProviderChannel
from plugins.mail.providers.circuit import Busy, Circuit, Pace
from plugins.mail.providers.contract import ProviderUnavailable, Receipt, Refused
from plugins.mail.providers.spec import Pacing
from plugins.mail.service.dispatcher import Dispatcher

MESSAGE = Outgoing("<m@acme.example>", Address("", "a@acme.example"), (Address("", "b@example.com"),), "Hi", "Hi")
BAD_KEY = Refused("no such key", permanent=True, kind="provider", code="401")


class Played:
    """A provider that answers as told."""

    def __init__(self, name: str, answer: Exception | None = None) -> None:
        self.name, self.answer = name, answer
        self.asked = self.most = self.now = self.closed = 0
        self.seconds = 0.0

    async def deliver(self, outgoing: Outgoing) -> Receipt:
        self.asked += 1
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await asyncio.sleep(self.seconds)
            if self.answer is not None:
                raise self.answer
        finally:
            self.now -= 1
        return Receipt(self.name, str(self.asked))

    async def check(self) -> str | None:
        return str(self.answer) if self.answer else None

    async def close(self) -> None:
        self.closed += 1


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def relay_of(*providers: Played, pacing: Pacing | None = None, clock: Clock | None = None) -> Dispatcher:
    dispatcher = Dispatcher([ProviderChannel(provider, pacing or Pacing()) for provider in providers])
    for channel in dispatcher.channels:
        channel.circuit = Circuit(clock or Clock())
    return dispatcher


async def failing(dispatcher: Dispatcher, times: int = 1) -> ProviderUnavailable:
    for _ in range(times):
        with pytest.raises(ProviderUnavailable) as away:
            await dispatcher.deliver(MESSAGE)
    return away.value


# -- failover --------------------------------------------------------------------------------------------


async def test_message_when_the_first_provider_is_away_then_the_next_takes_it() -> None:
    first, second, third = Played("smtp", ProviderUnavailable("gone")), Played("sendgrid"), Played("ses")
    assert (await relay_of(first, second, third).deliver(MESSAGE)).provider == "sendgrid"
    assert (first.asked, second.asked, third.asked) == (1, 1, 0)


@pytest.mark.parametrize("kind", ["address", "content"])
@pytest.mark.parametrize("permanent", [True, False])
async def test_message_when_its_address_or_content_is_refused_then_no_other_provider_is_asked(
    kind: str, permanent: bool
) -> None:
    refusal = Refused("no", permanent=permanent, kind=kind)  # type: ignore[arg-type]
    first, second = Played("smtp", refusal), Played("sendgrid")
    dispatcher = relay_of(first, second)
    for _ in range(10):
        with pytest.raises(Refused) as refused:
            await dispatcher.deliver(MESSAGE)
        assert refused.value is refusal
    assert (first.asked, second.asked) == (10, 0)  # and its circuit stays closed


async def test_message_when_nobody_takes_it_then_away_with_every_reason_and_the_shortest_wait() -> None:
    first = Played("smtp", ProviderUnavailable("gone", wait=timedelta(seconds=40)))
    second = Played("sendgrid", ProviderUnavailable("busy", wait=timedelta(seconds=20)))
    away = await failing(relay_of(first, second))
    assert (away.reason, away.wait, away.tried) == ("smtp: gone; sendgrid: busy", timedelta(seconds=20), True)


async def test_key_when_wrong_then_the_circuit_opens_at_once_with_a_clear_line_and_the_next_takes_over(
    caplog: pytest.LogCaptureFixture,
) -> None:
    first, second = Played("sendgrid", BAD_KEY), Played("smtp")
    dispatcher = relay_of(first, second)
    for _ in range(3):
        assert (await dispatcher.deliver(MESSAGE)).provider == "smtp"
    assert first.asked == 1
    [line] = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert line.getMessage() == "mail provider sendgrid is paused: 401: no such key"


async def test_provider_when_it_refuses_for_now_then_the_next_is_asked_and_its_circuit_stays_closed() -> None:
    first = Played("smtp", Refused("mailbox store is full", permanent=False, kind="provider", code="452"))
    second = Played("sendgrid")
    dispatcher = relay_of(first, second)
    for _ in range(10):
        await dispatcher.deliver(MESSAGE)
    assert (first.asked, second.asked) == (10, 10)


# -- the circuit -----------------------------------------------------------------------------------------


async def test_circuit_when_five_in_a_row_fail_then_open_and_later_messages_are_not_even_tried() -> None:
    provider = Played("smtp", ProviderUnavailable("gone"))
    dispatcher = relay_of(provider)
    away = await failing(dispatcher, 5)
    assert away.tried
    assert await dispatcher.check() == "smtp is paused: gone"
    away = await failing(dispatcher, 10)
    assert (provider.asked, away.tried, away.wait) == (5, False, timedelta(seconds=circuit.FIRST_REST))


async def test_circuit_when_one_in_between_succeeds_then_stays_closed() -> None:
    provider = Played("smtp")
    dispatcher = relay_of(provider)
    for _ in range(5):
        provider.answer = ProviderUnavailable("gone")
        await failing(dispatcher, 4)
        provider.answer = None
        await dispatcher.deliver(MESSAGE)
    assert provider.asked == 25


async def test_circuit_when_half_open_then_one_probes_and_its_failure_doubles_the_rest_up_to_five_minutes() -> None:
    clock, provider = Clock(), Played("smtp", ProviderUnavailable("gone"))
    dispatcher = relay_of(provider, clock=clock)
    await failing(dispatcher, 5)
    rests = []
    for _ in range(9):
        rest = (await failing(dispatcher)).wait
        assert rest is not None
        rests.append(rest.total_seconds())
        clock.now += rests[-1]
        asked = provider.asked
        provider.seconds = 0.02
        results = await asyncio.gather(*(dispatcher.deliver(MESSAGE) for _ in range(5)), return_exceptions=True)
        assert provider.asked == asked + 1
        assert sorted(result.tried for result in results if isinstance(result, ProviderUnavailable)) == [False] * 4 + [
            True
        ]
    assert rests == [5, 10, 20, 40, 80, 160, 300, 300, 300]
    clock.now += 300
    provider.answer = None
    assert (await dispatcher.deliver(MESSAGE)).provider == "smtp"
    assert await dispatcher.check() is None
    await dispatcher.deliver(MESSAGE)


async def test_circuit_when_the_provider_says_how_long_then_left_alone_that_long_at_once() -> None:
    clock, provider = Clock(), Played("ses", ProviderUnavailable("slow down", wait=timedelta(seconds=90)))
    dispatcher = relay_of(provider, clock=clock)
    await failing(dispatcher)
    clock.now += 89
    assert (await failing(dispatcher)).wait == timedelta(seconds=1)
    clock.now += 1
    provider.answer = None
    await dispatcher.deliver(MESSAGE)
    assert provider.asked == 2


async def test_circuit_when_the_probe_is_cancelled_then_another_may_probe() -> None:
    clock, provider = Clock(), Played("smtp", BAD_KEY)
    dispatcher = relay_of(provider, clock=clock)
    await failing(dispatcher)
    clock.now += circuit.FIRST_REST
    provider.answer, provider.seconds = None, 60
    probe = asyncio.create_task(dispatcher.deliver(MESSAGE))
    await asyncio.sleep(0)
    probe.cancel()
    await asyncio.gather(probe, return_exceptions=True)
    provider.seconds = 0
    assert (await dispatcher.deliver(MESSAGE)).provider == "smtp"


def test_circuit_when_those_that_were_under_way_fail_after_it_opened_then_the_rest_does_not_double() -> None:
    clock = Clock()
    opened = Circuit(clock)
    assert [opened.failed() for _ in range(20)] == [False] * 4 + [True] + [False] * 15
    assert opened.wait() == timedelta(seconds=circuit.FIRST_REST)


# -- concurrency and rate --------------------------------------------------------------------------------


async def test_provider_when_many_come_at_once_then_asked_by_no_more_than_its_concurrency() -> None:
    provider = Played("smtp")
    provider.seconds = 0.01
    dispatcher = relay_of(provider, pacing=Pacing(concurrency=3))
    await asyncio.gather(*(dispatcher.deliver(MESSAGE) for _ in range(20)))
    assert (provider.asked, provider.most) == (20, 3)


@pytest.mark.parametrize("concurrency", [1, 3])
async def test_message_when_bulk_has_taken_every_place_it_may_then_handed_over_next(concurrency: int) -> None:
    provider = Played("smtp")
    provider.seconds = 0.02
    dispatcher = relay_of(provider, pacing=Pacing(concurrency=concurrency))
    letters = [asyncio.create_task(dispatcher.deliver(replace(MESSAGE, priority=10))) for _ in range(30)]
    await asyncio.sleep(0.005)
    receipt = await dispatcher.deliver(MESSAGE)
    assert int(receipt.provider_id) <= 2 * concurrency
    await asyncio.gather(*letters)
    assert (provider.asked, provider.most) == (31, concurrency)


async def test_channel_when_messages_went_through_then_tells_how_long_one_takes_and_rests_with_the_circuit() -> None:
    provider = Played("smtp")
    dispatcher = relay_of(provider, pacing=Pacing(concurrency=3, rate="10/second"))
    assert dispatcher.channel("own") == Channel("own", 3, 0.1)
    for seconds in (0.05, 0.3):
        provider.seconds = seconds
        await dispatcher.deliver(MESSAGE)
    assert 0.05 <= dispatcher.channel().seconds < 0.3
    provider.answer = BAD_KEY
    await failing(dispatcher)
    assert dispatcher.channel().rest == timedelta(seconds=circuit.FIRST_REST)


async def test_channel_when_a_busy_machine_delays_hand_overs_then_tells_what_the_provider_takes() -> None:
    provider = Played("one")
    channel = ProviderChannel(provider, Pacing())
    for seconds, answer in [
        (0.02, None),
        (0.2, None),
        (0.2, None),
        (0.0, Refused("no", permanent=True, kind="content")),
    ]:
        provider.seconds, provider.answer = seconds, answer
        if answer is None:
            await channel.deliver(MESSAGE)
        else:
            with pytest.raises(Refused):
                await channel.deliver(MESSAGE)
    assert 0.02 <= channel.seconds < 0.15


async def test_provider_when_it_has_a_rate_then_asked_no_faster() -> None:
    dispatcher = relay_of(Played("ses"), pacing=Pacing(concurrency=50, rate="20/second"))
    started = time.monotonic()
    await asyncio.gather(*(dispatcher.deliver(MESSAGE) for _ in range(11)))
    assert time.monotonic() - started >= 0.5


async def test_message_when_the_rate_is_used_up_for_long_then_away_untried_and_nobody_else_is_asked() -> None:
    first, second = Played("ses"), Played("sendgrid")
    dispatcher = relay_of(first, second, pacing=Pacing(rate="1/minute"))
    await dispatcher.deliver(MESSAGE)
    with pytest.raises(Busy) as busy:
        await dispatcher.deliver(MESSAGE)
    assert not busy.value.tried
    assert busy.value.wait is not None
    assert timedelta(seconds=55) < busy.value.wait <= timedelta(seconds=60)
    assert (first.asked, second.asked) == (1, 0)


async def test_pace_when_unused_for_long_then_no_turns_are_saved_up(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, waited = Clock(), []

    async def sleep(seconds: float) -> None:
        waited.append(round(seconds, 3))

    monkeypatch.setattr(asyncio, "sleep", sleep)
    pace = Pace(0.5, clock)
    for pause in (0.0, 0.0, 100.0, 0.0):
        clock.now += pause
        await pace.turn()
    assert waited == [0, 0.5, 0, 0.5]


# -- closing ---------------------------------------------------------------------------------------------


async def test_relay_when_closed_then_messages_on_their_way_get_there_first(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    provider = Played("smtp")
    provider.seconds = 0.1
    dispatcher = relay_of(provider)
    under_way = asyncio.create_task(dispatcher.deliver(MESSAGE))
    await asyncio.sleep(0.02)
    await dispatcher.close()
    assert under_way.done()
    assert (await under_way).provider == "smtp"
    assert provider.closed == 1


async def test_relay_when_it_has_no_provider_then_says_why() -> None:
    away = await failing(Dispatcher([], without="set it again"))
    assert (away.reason, away.tried) == ("set it again", True)
    assert await Dispatcher([], without="set it again").ask() == "set it again"
