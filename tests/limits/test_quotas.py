from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from host.core_plugin import MIGRATIONS
from host.data.database import Database
from host.data.migrations import Migrations
from host.errors import QuotaExceeded
from host.limits.models import QuotaUse, Reservation
from host.limits.quotas import Quotas
from tenants.context import TenantMissing, bind
from tenants.limits import LimitValue, parse_limit

TENANT = UUID("0192f000-0000-7000-8000-000000000001")
HUNDRED, MONTHLY, UNLIMITED = parse_limit("100"), parse_limit("5/month"), parse_limit("unlimited")


class Clock:
    def __init__(self) -> None:
        self.time = datetime(2026, 1, 31, 23, 59, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.time


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def quotas(database: Database, clock: Clock) -> AsyncIterator[Quotas]:
    with bind(TENANT):
        yield Quotas(now=clock)


async def accepted(
    quotas: Quotas,
    value: LimitValue,
    amount: int = 1,
    database: Database | None = None,
    name: str = "projects.projects",
) -> bool:
    try:
        if database is None:
            await quotas.spend(name, amount, value)
        else:
            async with database.transaction():
                await quotas.spend(name, amount, value)
                await asyncio.sleep(0)
    except QuotaExceeded:
        return False
    return True


async def test_spend_when_200_ask_at_once_with_100_allowed_then_exactly_100_get_it(quotas: Quotas) -> None:
    ends = await asyncio.gather(*(accepted(quotas, HUNDRED) for _ in range(200)))
    assert sum(ends) == 100
    assert await quotas.used("projects.projects", HUNDRED) == 100


async def test_spend_when_200_transactions_ask_at_once_then_exactly_100_get_it(
    quotas: Quotas, database: Database
) -> None:
    ends = await asyncio.gather(*(accepted(quotas, HUNDRED, database=database) for _ in range(200)))
    assert sum(ends) == 100
    assert await quotas.used("projects.projects", HUNDRED) == 100


async def test_spend_when_transaction_rolls_back_then_nothing_was_spent(quotas: Quotas, database: Database) -> None:
    await quotas.spend("projects.projects", 1, HUNDRED)
    with pytest.raises(RuntimeError, match="boom"):
        async with database.transaction():
            await quotas.spend("projects.projects", 50, HUNDRED)
            assert await quotas.used("projects.projects", HUNDRED) == 51
            raise RuntimeError("boom")
    assert await quotas.used("projects.projects", HUNDRED) == 1


async def test_spend_when_exceeded_in_a_transaction_then_the_transaction_can_go_on(
    quotas: Quotas, database: Database
) -> None:
    async with database.transaction():
        assert await quotas.spend("projects.projects", 99, HUNDRED) == 99
        assert not await accepted(quotas, HUNDRED, 2)
        assert await quotas.spend("projects.projects", 1, HUNDRED) == 100


async def test_spend_when_exceeded_then_details_say_limit_used_and_renewal(quotas: Quotas) -> None:
    await quotas.spend("mail.messages", 5, MONTHLY)
    with pytest.raises(QuotaExceeded) as exceeded:
        await quotas.spend("mail.messages", 1, MONTHLY)
    assert exceeded.value.details == {
        "name": "mail.messages",
        "limit": 5,
        "used": 5,
        "resets_at": "2026-02-01T00:00:00Z",
    }


async def test_spend_when_more_than_the_whole_limit_at_once_then_refused(quotas: Quotas) -> None:
    assert not await accepted(quotas, parse_limit("5"), 6)
    assert not await accepted(quotas, parse_limit("0"), 1)
    assert await QuotaUse.all().count() == 0


async def test_spend_when_month_turns_then_begins_anew_and_lasting_ones_do_not(quotas: Quotas, clock: Clock) -> None:
    await quotas.spend("mail.messages", 5, MONTHLY)
    await quotas.spend("projects.projects", 100, HUNDRED)
    clock.time += timedelta(minutes=1)
    assert await quotas.spend("mail.messages", 1, MONTHLY) == 1
    assert not await accepted(quotas, HUNDRED)


async def test_spend_when_unlimited_then_counted_all_the_same(quotas: Quotas) -> None:
    assert await quotas.spend("projects.projects", 101, UNLIMITED) == 101
    assert await quotas.spend("projects.projects", 1, UNLIMITED) == 102
    assert not await accepted(quotas, HUNDRED), "a smaller plan begins with the truth"


@pytest.mark.parametrize("before", ["unlimited", "500/day", "9/hour", "500/year", "500", "500/36 hours"])
async def test_spend_when_the_plan_had_another_period_then_what_was_used_counts(
    quotas: Quotas, clock: Clock, before: str
) -> None:
    await quotas.spend("mail.messages", 2, parse_limit(before))
    clock.time -= timedelta(days=8)
    await quotas.spend("mail.messages", 2, parse_limit(before))
    assert await quotas.used("mail.messages", MONTHLY) == 4
    assert await quotas.spend("mail.messages", 1, MONTHLY) == 5
    assert not await accepted(quotas, MONTHLY, name="mail.messages")


async def test_spend_when_the_period_becomes_shorter_then_only_what_was_used_in_it_counts(
    quotas: Quotas, clock: Clock
) -> None:
    await quotas.spend("mail.messages", 3, MONTHLY)
    clock.time -= timedelta(days=1)
    await quotas.spend("mail.messages", 2, MONTHLY)
    clock.time += timedelta(days=1)
    assert await quotas.used("mail.messages", parse_limit("5/day")) == 3
    assert await quotas.used("mail.messages", parse_limit("5/7 days")) == 5


async def test_spend_when_the_window_is_shorter_than_an_hour_then_it_renews_within_it(
    quotas: Quotas, clock: Clock
) -> None:
    value = parse_limit("5/15 minutes")
    await quotas.spend("mail.messages", 5, value)
    assert not await accepted(quotas, value, name="mail.messages")
    clock.time += timedelta(minutes=1)
    assert await quotas.spend("mail.messages", 4, value) == 4
    assert await quotas.used("mail.messages", MONTHLY) == 4


async def test_spend_when_the_hour_turns_among_many_then_exactly_as_many_get_it(
    quotas: Quotas, database: Database, clock: Clock
) -> None:
    clock.time = datetime(2026, 1, 31, 22, 59, 59, tzinfo=UTC)

    async def one(number: int) -> bool:
        late = Quotas(now=lambda: clock.time + timedelta(seconds=number % 3))
        return await accepted(late, parse_limit("20/month"), database=database)

    assert sum(await asyncio.gather(*(one(number) for number in range(60)))) == 20


async def test_give_back_when_the_month_has_turned_then_it_goes_where_it_was_spent(
    quotas: Quotas, clock: Clock
) -> None:
    spent_at = clock.time
    await quotas.spend("mail.messages", 5, UNLIMITED)
    clock.time += timedelta(hours=1)
    await quotas.spend("mail.messages", 5, MONTHLY)
    assert await quotas.give_back("mail.messages", 3, MONTHLY, spent_at) == 2
    assert await quotas.used("mail.messages", MONTHLY) == 5
    assert await quotas.used("mail.messages", MONTHLY, spent_at) == 2
    assert await quotas.give_back("mail.messages", 9, MONTHLY, spent_at) == 0, "never below 0"
    assert await quotas.give_back("mail.messages", 1, MONTHLY) == 4


async def test_compact_when_use_is_old_then_fewer_rows_say_the_same(
    quotas: Quotas, database: Database, clock: Clock
) -> None:
    today = clock.time
    for days, hours in ((500, 0), (450, 0), (20, 0), (20, 1), (20, 2), (1, 0), (1, 1)):
        clock.time = today - timedelta(days=days, hours=hours)
        await quotas.spend("mail.messages", 1, UNLIMITED)
    clock.time = today
    windows = [parse_limit(text) for text in ("9", "9/month", "9/week", "9/year")]
    before = [await quotas.used("mail.messages", value) for value in windows]
    async with database.transaction():
        assert await quotas.compact() > 0
    assert [await quotas.used("mail.messages", value) for value in windows] == before
    assert await QuotaUse.filter(used__gt=0).count() == 4
    async with database.transaction():
        assert await quotas.compact() == 0


async def test_spend_when_tenant_differs_then_counted_apart(quotas: Quotas) -> None:
    await quotas.spend("projects.projects", 100, HUNDRED)
    with bind(uuid4()):
        assert await quotas.used("projects.projects", HUNDRED) == 0
        assert await quotas.spend("projects.projects", 100, HUNDRED) == 100
    assert await quotas.used("projects.projects", HUNDRED) == 100


async def test_spend_when_no_tenant_is_bound_then_tenant_missing(quotas: Quotas) -> None:
    with bind(None), pytest.raises(TenantMissing):
        await quotas.spend("projects.projects", 1, HUNDRED)


async def test_give_back_when_more_than_spent_then_stops_at_zero(quotas: Quotas) -> None:
    assert await quotas.give_back("projects.projects", 1, HUNDRED) == 0
    await quotas.spend("projects.projects", 3, HUNDRED)
    assert await quotas.give_back("projects.projects", 2, HUNDRED) == 1
    assert await quotas.give_back("projects.projects", 5, HUNDRED) == 0
    assert await quotas.spend("projects.projects", 100, HUNDRED) == 100


async def test_reconcile_when_count_was_off_then_set_and_says_by_how_much(quotas: Quotas) -> None:
    await quotas.spend("projects.projects", 10, HUNDRED)
    assert await quotas.reconcile("projects.projects", HUNDRED, 7) == -3
    assert await quotas.reconcile("never.used", HUNDRED, 4) == 4
    assert await quotas.used("projects.projects", HUNDRED) == 7
    assert await quotas.used("never.used", HUNDRED) == 4


async def test_amount_when_negative_then_refused(quotas: Quotas) -> None:
    with pytest.raises(ValueError, match="give_back"):
        await quotas.spend("projects.projects", -1, HUNDRED)
    with pytest.raises(ValueError, match="0 or more"):
        await quotas.give_back("projects.projects", -1, HUNDRED)


async def test_use_when_counted_by_window_before_the_upgrade_then_it_still_counts(
    new_database: Callable[..., Awaitable[Database]],
) -> None:
    database = await new_database(migrations=MIGRATIONS)
    migrations = Migrations(database)
    await migrations.downgrade("host", "0003_paused_tasks")
    rows = ", ".join(
        f"('{uuid4()}', '{TENANT}', '{name}', '{since}', {used})"
        for name, since, used in (
            ("mail.messages", "2026-01-01 00:00:00+00:00", 4),
            ("projects.projects", "1970-01-01 00:00:00+00:00", 99),
        )
    )
    async with database.owner() as client:
        columns = '"id", "tenant_id", "limit_name", "window_start", "used"'
        await client.execute_script(f'INSERT INTO "quota_uses" ({columns}) VALUES {rows}')
    await migrations.migrate()
    quotas = Quotas(now=Clock())
    with database.bind(), bind(TENANT):
        assert await quotas.used("mail.messages", MONTHLY) == 4
        assert await quotas.spend("projects.projects", 1, HUNDRED) == 100
        assert not await accepted(quotas, HUNDRED)


# -- reserved first, settled later -----------------------------------------------------------------------


async def test_reservation_when_settled_then_counts_what_was_used_once(quotas: Quotas) -> None:
    reservation = await quotas.reserve("ai.tokens", 60, HUNDRED, None)
    assert await quotas.used("ai.tokens", HUNDRED) == 60
    assert not await accepted(quotas, HUNDRED, 41, name="ai.tokens")
    assert await quotas.settle(reservation, 25)
    assert not await quotas.settle(reservation, 25)
    assert await quotas.used("ai.tokens", HUNDRED) == 25


async def test_reservation_when_more_was_used_then_above_the_limit_and_shown(quotas: Quotas) -> None:
    reservation = await quotas.reserve("ai.tokens", 100, HUNDRED, None)
    assert await quotas.settle(reservation, 130)
    assert await quotas.used("ai.tokens", HUNDRED) == 130
    assert not await accepted(quotas, HUNDRED, 1, name="ai.tokens")


async def test_reservation_when_the_window_has_turned_then_settled_in_its_own(quotas: Quotas, clock: Clock) -> None:
    reservation = await quotas.reserve("ai.tokens", 5, MONTHLY, None)
    clock.time += timedelta(minutes=2)
    await quotas.spend("ai.tokens", 4, MONTHLY)
    assert await quotas.settle(reservation, 2)
    assert await quotas.used("ai.tokens", MONTHLY) == 4
    assert await quotas.used("ai.tokens", MONTHLY, clock.time - timedelta(minutes=2)) == 2


async def test_reservation_when_refused_or_rolled_back_then_there_is_none(quotas: Quotas, database: Database) -> None:
    with pytest.raises(QuotaExceeded):
        await quotas.reserve("ai.tokens", 101, HUNDRED, None)
    with pytest.raises(RuntimeError, match="boom"):
        async with database.transaction():
            await quotas.reserve("ai.tokens", 50, HUNDRED, None)
            raise RuntimeError("boom")
    assert await Reservation.all().count() == 0
    assert await quotas.used("ai.tokens", HUNDRED) == 0


async def test_reservation_when_it_lapses_then_given_back_once(quotas: Quotas, clock: Clock) -> None:
    lapsing = await quotas.reserve("drive.bytes", 10, HUNDRED, timedelta(hours=1))
    lasting = await quotas.reserve("drive.bytes", 10, HUNDRED, None)
    assert await quotas.release_lapsed() == 0
    clock.time += timedelta(hours=1)
    assert await quotas.release_lapsed() == 1
    assert await quotas.release_lapsed() == 0
    assert not await quotas.settle(lapsing, 10)
    assert await quotas.settle(lasting, 7)
    assert await quotas.used("drive.bytes", HUNDRED) == 7


async def test_reservation_when_of_another_tenant_then_there_is_none(quotas: Quotas) -> None:
    reservation = await quotas.reserve("ai.tokens", 10, HUNDRED, None)
    with bind(uuid4()):
        assert not await quotas.settle(reservation, 0)
    assert await quotas.used("ai.tokens", HUNDRED) == 10


async def test_true_count_when_set_then_reservations_are_added(quotas: Quotas, database: Database) -> None:
    await quotas.spend("drive.bytes", 30, HUNDRED)
    reservation = await quotas.reserve("drive.bytes", 10, HUNDRED, None)
    async with database.transaction():
        assert await quotas.reconcile("drive.bytes", HUNDRED, 50) == 20
    await quotas.settle(reservation, 10)
    assert await quotas.used("drive.bytes", HUNDRED) == 60


async def test_reservations_when_200_at_once_with_room_for_37_then_exactly_37_and_settled_exactly(
    quotas: Quotas, database: Database
) -> None:
    room = parse_limit("370")

    async def reserved(name: str) -> UUID | None:
        try:
            async with database.transaction():
                return await quotas.reserve(name, 10, room, None)
        except QuotaExceeded:
            return None

    async def settled(reservation: UUID, amount: int) -> None:
        async with database.transaction():
            assert await quotas.settle(reservation, amount)

    for number in range(int(os.environ.get("QUOTA_ROUNDS", "2"))):
        name = f"drive.round_{number}"
        given = [each for each in await asyncio.gather(*(reserved(name) for _ in range(200))) if each]
        assert len(given) == 37
        await asyncio.gather(*(settled(each, place % 12) for place, each in enumerate(given)))
        assert await quotas.used(name, room) == sum(place % 12 for place in range(37))
    assert await Reservation.all().count() == 0
