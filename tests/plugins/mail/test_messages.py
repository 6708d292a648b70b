"""`/mail/messages`: what is accepted, what it costs, what is refused, and who may see it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from host.testing import Client, TwoTenants
from plugins.mail.models import Happening, Message, Status
from plugins.mail.service.suppressions import suppress
from tests.plugins.mail.conftest import MakeDue, Outbound, Within

PLAIN = {"to": ["ada@example.com"], "subject": "Hello", "text": "Hello Ada"}


async def send(client: Client, status: int = 202, **body: Any) -> dict[str, Any]:
    message: dict[str, Any] = await client.ask("POST", "/mail/messages", status, json={**PLAIN, **body})
    return message


async def used(client: Client) -> int:
    limits = await client.ask("GET", "/usage")
    return next(int(row["used"]) for row in limits if row["name"] == "mail.monthly")


async def limited(two_tenants: TwoTenants, limit: str, value: str) -> None:
    provisioning = two_tenants.application.inner.provisioning
    assert two_tenants.acme.tenant_id is not None
    with two_tenants.application.inner.bound():
        await provisioning.set_limit(two_tenants.acme.tenant_id, limit, value)


# -- the happy way ---------------------------------------------------------------------------------------


async def test_message_when_sent_then_it_leaves_and_its_time_line_tells(
    two_tenants: TwoTenants, outbound: Outbound
) -> None:
    acme = two_tenants.acme_member
    message = await send(
        acme,
        to=["Ada <ada@example.com>"],
        cc=["bob@example.com"],
        bcc=["eve@example.com"],
        reply_to=["help@acme.example"],
        html="<p>Hello Ada</p>",
    )
    assert (message["status"], message["to"]) == ("queued", ["Ada <ada@example.com>"])
    assert await two_tenants.application.run_jobs() == 1
    [outgoing] = outbound.taken
    assert outgoing.recipients == ("ada@example.com", "bob@example.com", "eve@example.com")
    assert (outgoing.subject, outgoing.text, outgoing.html) == ("Hello", "Hello Ada", "<p>Hello Ada</p>")
    assert outgoing.message_id == message["message_id"]
    found = await acme.ask("GET", f"/mail/messages/{message['id']}")
    assert (found["status"], found["provider"], found["provider_id"]) == ("sent", "played", "id-1")
    assert [each["kind"] for each in found["timeline"]] == ["accepted", "sent"]
    assert await used(two_tenants.acme) == 3


async def test_message_when_listed_then_found_by_recipient_sender_subject_and_status(
    two_tenants: TwoTenants, outbound: Outbound
) -> None:
    acme = two_tenants.acme
    first = await send(acme, subject="Your invoice")
    second = await send(acme, to=["bob@example.com"], cc=["ada@example.com"], send_at=soon())
    assert ids(await acme.ask("GET", "/mail/messages")) == [second["id"], first["id"]]
    for query, expected in {
        "to=bob@": [second],
        "to=ADA@example.com": [second, first],
        "from=no-reply": [second, first],
        "q=invoice": [first],
        "status=scheduled": [second],
        "status=sent,scheduled": [second],
        "category=newsletter": [],
        f"created_from={first['created_at'].replace('+', '%2B')}": [second, first],
    }.items():
        assert ids(await acme.ask("GET", f"/mail/messages?{query}")) == ids(expected), query
    assert "text" not in (await acme.ask("GET", "/mail/messages"))[0]


def ids(rows: list[dict[str, Any]]) -> list[str]:
    return [row["id"] for row in rows]


def soon(**distance: float) -> str:
    return (datetime.now(UTC) + timedelta(**(distance or {"hours": 1}))).isoformat()


async def test_message_when_for_later_then_it_waits_until_then(
    two_tenants: TwoTenants, outbound: Outbound, make_due: MakeDue
) -> None:
    message = await send(two_tenants.acme, send_at=soon())
    assert message["status"] == "scheduled"
    assert await two_tenants.application.run_jobs() == 0
    await make_due()
    assert outbound.recipients == ["ada@example.com"]


async def test_message_when_sent_twice_with_one_key_then_it_is_one(two_tenants: TwoTenants, outbound: Outbound) -> None:
    headers = {"Idempotency-Key": str(uuid4())}
    first = await two_tenants.acme.ask("POST", "/mail/messages", 202, json=PLAIN, headers=headers)
    again = await two_tenants.acme.ask("POST", "/mail/messages", 202, json=PLAIN, headers=headers)
    assert first["id"] == again["id"]
    await two_tenants.application.run_jobs()
    assert outbound.recipients == ["ada@example.com"]


# -- templates -------------------------------------------------------------------------------------------


async def test_message_when_made_of_a_template_then_rendered(two_tenants: TwoTenants, outbound: Outbound) -> None:
    message = await template(two_tenants.acme, 202, name="Ada")
    await two_tenants.application.run_jobs()
    [outgoing] = outbound.taken
    assert "Ada" in outgoing.html
    assert outgoing.subject == message["subject"] != ""


async def template(client: Client, status: int, **variables: Any) -> dict[str, Any]:
    body = {"to": ["ada@example.com"], "template": "welcome", "variables": variables}
    answer: dict[str, Any] = await client.ask("POST", "/mail/messages", status, json=body)
    return answer


async def test_message_when_variables_are_missing_then_they_are_named(two_tenants: TwoTenants) -> None:
    error = await template(two_tenants.acme, 422)
    assert error["details"] == {"variables": "missing: name"}


# -- what is refused -------------------------------------------------------------------------------------


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"to": []}, "to"),
    ({"to": ["no address"]}, "to.0"),
    ({"to": ["a@example.com\r\nBcc: eve@example.com"]}, "to.0"),
    ({"cc": ["=?utf-8?q?x?= <a@example.com>"]}, "cc.0"),
    ({"to": [f"a{number}@example.com" for number in range(1000)]}, "to"),
    ({"to": [f"a{n}@example.com" for n in range(26)], "bcc": [f"b{n}@example.com" for n in range(26)]}, "to"),
    ({"subject": "Hello\nBcc: eve@example.com"}, "subject"),
    ({"subject": "Hello\u2028you"}, "subject"),
    ({"subject": ""}, "subject"),
    ({"text": ""}, "text"),
    ({"template": "welcome"}, "template"),
    ({"text": "", "subject": "", "template": "no_such"}, "template"),
    ({"variables": {"name": "Ada"}}, "variables"),
    ({"reply_to": ["a@example.com\n"]}, "reply_to.0"),
    ({"category": "news\nletter"}, "category"),
    ({"category": "newsletter", "to": ["a@example.com", "b@example.com"]}, "to"),
    ({"from": "stranger@elsewhere.example"}, "from"),
    ({"send_at": "2199-01-01T00:00:00Z"}, "send_at"),
    ({"send_at": "2026-01-01T00:00:00"}, "send_at"),
    ({"when_limited": "never"}, "when_limited"),
    ({"sbject": "x"}, "sbject"),
]


async def test_message_when_something_in_it_is_wrong_then_the_field_is_named_and_nothing_sent(
    two_tenants: TwoTenants, outbound: Outbound
) -> None:
    for body, field in WRONG:
        error = await send(two_tenants.acme, 422, **body)
        assert field in error["details"], (body, error)
    await two_tenants.application.run_jobs()
    assert outbound.handed == []
    assert await used(two_tenants.acme) == 0


async def test_message_when_asked_for_by_others_then_there_is_no_such_message(
    two_tenants: TwoTenants, outbound: Outbound
) -> None:
    message = await send(two_tenants.acme)
    for method, path in (("GET", ""), ("POST", "/cancel"), ("POST", "/retry")):
        foreign = await two_tenants.globex.ask(method, f"/mail/messages/{message['id']}{path}", 404)
        unknown = await two_tenants.globex.ask(method, f"/mail/messages/{uuid4()}{path}", 404)
        assert foreign["code"] == unknown["code"] == "NOT_FOUND"
    assert await two_tenants.globex.ask("GET", "/mail/messages") == []
    await two_tenants.anonymous.ask("GET", "/mail/messages", 401)
    assert (await two_tenants.acme_viewer.ask("POST", "/mail/messages", 403, json=PLAIN))["code"] == "PERMISSION_DENIED"
    await two_tenants.acme_viewer.ask("GET", f"/mail/messages/{message['id']}")
    await two_tenants.acme_viewer.ask("POST", f"/mail/messages/{message['id']}/cancel", 403)


async def test_messages_when_mail_is_switched_off_then_not_to_be_found_and_parked_until_it_is_on(
    two_tenants: TwoTenants, outbound: Outbound
) -> None:
    await send(two_tenants.acme)
    await two_tenants.acme.ask("PUT", "/tenant/plugins/mail", json={"enabled": False})
    assert (await two_tenants.acme.ask("GET", "/mail/messages", 404))["code"] == "PLUGIN_DISABLED"
    await two_tenants.application.run_jobs()
    assert outbound.handed == []
    await two_tenants.acme.ask("PUT", "/tenant/plugins/mail", json={"enabled": True})
    await two_tenants.application.run_jobs()
    assert outbound.recipients == ["ada@example.com"]


# -- the plan --------------------------------------------------------------------------------------------


async def test_message_when_beyond_the_quota_then_402_and_nothing_is_spent(
    two_tenants: TwoTenants, outbound: Outbound
) -> None:
    await limited(two_tenants, "mail.monthly", "2/month")
    await send(two_tenants.acme)
    error = await send(two_tenants.acme, 402, cc=["bob@example.com"])
    assert (error["code"], error["details"]["limit"], error["details"]["used"]) == ("QUOTA_EXCEEDED", 2, 1)
    assert error["details"]["resets_at"]
    assert await used(two_tenants.acme) == 1


async def test_message_when_beyond_the_rate_then_429_or_waits(
    two_tenants: TwoTenants, outbound: Outbound, make_due: MakeDue
) -> None:
    await limited(two_tenants, "mail.rate", "2/hour")
    for _ in range(2):
        await send(two_tenants.acme)
    answer = await two_tenants.acme.post("/api/v1/mail/messages", json=PLAIN)
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) > 3000
    waiting = await send(two_tenants.acme, when_limited="wait", to=["patient@example.com"])
    assert waiting["status"] == "scheduled"
    await make_due()
    assert outbound.recipients == ["ada@example.com"] * 2
    found = await two_tenants.acme.ask("GET", f"/mail/messages/{waiting['id']}")
    assert (found["status"], found["attempts"]) == ("scheduled", 0)
    await limited(two_tenants, "mail.rate", "unlimited")
    await make_due()
    assert outbound.recipients[-1] == "patient@example.com"


async def test_message_when_recipients_are_suppressed_then_left_out_and_free(
    two_tenants: TwoTenants, outbound: Outbound, within: Within
) -> None:
    with within(two_tenants.acme):
        await suppress("ada@example.com", "bounce")
    message = await send(two_tenants.acme, cc=["bob@example.com"])
    nobody = await send(two_tenants.acme)
    assert (message["status"], nobody["status"]) == ("queued", "suppressed")
    assert await used(two_tenants.acme) == 1
    await two_tenants.application.run_jobs()
    assert outbound.recipients == ["bob@example.com"]
    found = await two_tenants.acme.ask("GET", f"/mail/messages/{nobody['id']}")
    assert [(each["kind"], each["recipient"]) for each in found["timeline"][1:]] == [("suppressed", "ada@example.com")]


# -- calling off and trying again ------------------------------------------------------------------------


async def test_message_when_cancelled_then_it_stays_and_costs_nothing(
    two_tenants: TwoTenants, outbound: Outbound, make_due: MakeDue
) -> None:
    message = await send(two_tenants.acme, send_at=soon())
    assert await used(two_tenants.acme) == 1
    gone = await two_tenants.acme.ask("POST", f"/mail/messages/{message['id']}/cancel")
    assert gone["status"] == "cancelled"
    assert await used(two_tenants.acme) == 0
    await make_due()
    assert outbound.handed == []
    await two_tenants.acme.ask("POST", f"/mail/messages/{message['id']}/cancel", 409)


async def test_message_when_sent_then_it_can_be_neither_cancelled_nor_retried(
    two_tenants: TwoTenants, outbound: Outbound
) -> None:
    message = await send(two_tenants.acme)
    await two_tenants.application.run_jobs()
    for verb in ("cancel", "retry"):
        await two_tenants.acme.ask("POST", f"/mail/messages/{message['id']}/{verb}", 409)
    assert await used(two_tenants.acme) == 1


async def test_message_when_retried_after_it_was_cancelled_then_it_leaves_and_costs_again(
    two_tenants: TwoTenants, outbound: Outbound
) -> None:
    message = await send(two_tenants.acme, send_at=soon())
    await two_tenants.acme.ask("POST", f"/mail/messages/{message['id']}/cancel")
    await two_tenants.acme.ask("POST", f"/mail/messages/{message['id']}/retry", 202)
    await two_tenants.application.run_jobs()
    assert outbound.taken[0].message_id == message["message_id"]
    assert await used(two_tenants.acme) == 1
    found = await two_tenants.acme.ask("GET", f"/mail/messages/{message['id']}")
    assert [each["kind"] for each in found["timeline"]] == ["accepted", "cancelled", "retried", "sent"]


async def test_message_when_charged_in_a_month_that_is_over_then_cancelling_gives_nothing_back(
    two_tenants: TwoTenants, outbound: Outbound, within: Within
) -> None:
    message = await send(two_tenants.acme, send_at=soon())
    with within(two_tenants.acme):
        await Message.filter(id=message["id"]).update(charged_at=datetime.now(UTC) - timedelta(days=32))
    await two_tenants.acme.ask("POST", f"/mail/messages/{message['id']}/cancel")
    assert await used(two_tenants.acme) == 1


async def test_message_when_accepted_then_recorded_without_its_content(
    two_tenants: TwoTenants, outbound: Outbound
) -> None:
    message = await send(two_tenants.acme, subject="secret subject", text="secret text")
    [entry] = await two_tenants.acme.ask("GET", "/audit/entries?action=mail.messages.create")
    assert entry["resource_id"] == message["id"]
    assert entry["after"]["to"] == ["ada@example.com"]
    assert "secret" not in str(entry)


async def test_time_line_when_removed_with_its_message_then_gone(
    two_tenants: TwoTenants, outbound: Outbound, within: Within
) -> None:
    message = await send(two_tenants.acme)
    await two_tenants.application.run_jobs()
    with within(two_tenants.acme):
        assert await Happening.filter(message_id=message["id"]).count() == 1
        await Message.filter(id=message["id"]).delete()
        assert await Happening.all().count() == 0
        assert Status.SENT in Status
