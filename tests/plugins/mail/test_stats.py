"""Stats: what became of messages, in numbers, and the queue."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from host.testing import Client, TwoTenants
from plugins.mail.models import Message

DAY = datetime(2026, 3, 10, tzinfo=UTC)
ZERO = dict.fromkeys(
    ("accepted", "sent", "delivered", "bounced", "complained", "failed", "suppressed", "opens", "clicks"), 0
)


async def made(sent: Any, within: Any, client: Client, at: datetime, **columns: Any) -> None:
    """A message that was accepted at a time."""
    message = await sent(client, **columns)
    with within(client):
        await Message.filter(id=message.id).update(created_at=at)


@pytest.fixture
async def year(two_tenants: TwoTenants, sent: Any, within: Any) -> TwoTenants:
    """Two days of acme's mail, and one message of globex."""
    acme, edge = two_tenants.acme, timedelta(microseconds=1)
    first = [
        {"status": "delivered", "category": "newsletter", "template": "news", "opens": 3, "clicks": 1},
        {"status": "complained", "category": "newsletter", "template": "news"},
        {"status": "failed", "sent_at": None},
        {"status": "suppressed", "sent_at": None},
    ]
    for columns in first:
        await made(sent, within, acme, DAY, **columns)
    await made(sent, within, acme, DAY + timedelta(days=1) - edge, status="bounced")
    await made(sent, within, acme, DAY + timedelta(days=1), status="sent", opens=2)
    await made(sent, within, acme, DAY - edge, status="sent")
    await made(sent, within, two_tenants.globex, DAY, status="sent")
    return two_tenants


async def test_stats_when_grouped_by_day_then_each_day_in_utc_with_its_counts(year: TwoTenants) -> None:
    found = await year.acme.ask("GET", "/mail/stats?from=2026-03-10&to=2026-03-11")
    assert (found["from"], found["to"], found["by"]) == ("2026-03-10", "2026-03-11", "day")
    first = {"accepted": 5, "sent": 3, "delivered": 2, "bounced": 1, "complained": 1, "failed": 1, "suppressed": 1}
    assert found["rows"] == [
        ZERO | first | {"day": "2026-03-10", "opens": 3, "clicks": 1},
        ZERO | {"day": "2026-03-11", "accepted": 1, "sent": 1, "opens": 2},
    ]
    only = await year.acme.ask("GET", "/mail/stats?from=2026-03-11&to=2026-03-11")
    assert [row["day"] for row in only["rows"]] == ["2026-03-11"]


async def test_stats_when_the_organisation_has_a_time_zone_then_its_days_begin_there(year: TwoTenants) -> None:
    await year.acme.ask("PATCH", "/tenant", json={"timezone": "Asia/Kathmandu"})  # 5:45 ahead of UTC
    found = await year.acme.ask("GET", "/mail/stats?from=2026-03-10&to=2026-03-11")
    assert found["timezone"] == "Asia/Kathmandu"
    assert {row["day"]: row["accepted"] for row in found["rows"]} == {"2026-03-10": 5, "2026-03-11": 2}


async def test_stats_when_grouped_otherwise_then_the_same_messages(year: TwoTenants) -> None:
    for by, counts in (
        ("category", {"newsletter": 2, "transactional": 4}),
        ("template", {"": 4, "news": 2}),
    ):
        found = await year.acme.ask("GET", f"/mail/stats?from=2026-03-10&to=2026-03-11&by={by}")
        assert {row[by]: row["accepted"] for row in found["rows"]} == counts


async def test_stats_when_nothing_is_asked_then_the_last_thirty_days(two_tenants: TwoTenants, sent: Any) -> None:
    await sent(two_tenants.acme)
    found = await two_tenants.acme.ask("GET", "/mail/stats")
    today = datetime.now(UTC).date()
    assert found["to"] == str(today)
    assert found["from"] == str(today - timedelta(days=29))
    assert found["rows"] == [ZERO | {"day": str(today), "accepted": 1, "sent": 1}]


async def test_queue_when_messages_wait_then_those_that_are_due_are_counted_with_the_age_of_the_oldest(
    two_tenants: TwoTenants, sent: Any
) -> None:
    empty = await two_tenants.acme.ask("GET", "/mail/stats")
    assert empty["queue"] == {"length": 0, "oldest_seconds": 0.0}
    now = datetime.now(UTC)
    for status, due in (
        ("queued", now - timedelta(seconds=100)),
        ("deferred", now - timedelta(seconds=300)),
        ("scheduled", now + timedelta(days=1)),
        ("sent", now - timedelta(days=1)),
    ):
        await sent(two_tenants.acme, status=status, due_at=due)
    await sent(two_tenants.globex, status="queued", due_at=now - timedelta(days=2))
    queue = (await two_tenants.acme.ask("GET", "/mail/stats"))["queue"]
    assert queue["length"] == 2
    assert 300 <= queue["oldest_seconds"] < 400


async def test_stats_when_asked_wrongly_then_422_names_it(acme: Client) -> None:
    for query, field in (
        ("from=2026-03-11&to=2026-03-10", "from"),
        ("from=2024-01-01&to=2026-01-01", "from"),
        ("from=yesterday", "from"),
        ("to=9999-99-99", "to"),
        ("to=9999-12-31", "to"),
        ("from=0001-01-01", "from"),
        ("by=sender", "by"),
        ("first=2026-03-10", "first"),
    ):
        refused = await acme.ask("GET", f"/mail/stats?{query}", 422)
        assert field in refused["details"], query
    for query in ("from=2999-12-31&to=2999-12-31", "to=2000-01-01"):
        assert (await acme.ask("GET", f"/mail/stats?{query}"))["rows"] == []


async def test_stats_when_asked_by_others_then_by_permission_and_while_on(two_tenants: TwoTenants) -> None:
    await two_tenants.acme_viewer.ask("GET", "/mail/stats")
    await two_tenants.anonymous.ask("GET", "/mail/stats", 401)
    await two_tenants.acme.ask("PUT", "/tenant/plugins/mail", json={"enabled": False})
    assert (await two_tenants.acme.ask("GET", "/mail/stats", 404))["code"] == "PLUGIN_DISABLED"
