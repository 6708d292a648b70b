"""Mailgun's webhooks: signed with a key of ours, with events as Mailgun documents them; and whose messages count."""

from __future__ import annotations

import hashlib
import hmac
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest

from host.sdk import sign_token
from host.settings import Settings
from host.testing import Client, TwoTenants

PATH = "/api/v1/mail/webhooks/mailgun"
KEY = "key-of-our-own-making"


@pytest.fixture
async def app_settings(app_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("TENANTRY_MAIL__MAILGUN__WEBHOOK_KEY", KEY)
    return app_settings


def signature(key: str = KEY, at: float | None = None, token: str | None = None) -> dict[str, str]:
    timestamp, token = str(int(at or datetime.now(UTC).timestamp())), token or uuid4().hex + uuid4().hex[:18]
    digest = hmac.new(key.encode(), (timestamp + token).encode(), hashlib.sha256).hexdigest()
    return {"timestamp": timestamp, "token": token, "signature": digest}


def document(reference: str, name: str, **fields: Any) -> dict[str, Any]:
    """A call as https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/webhook-payloads shows them."""
    event = {
        "event": name,
        "id": "CPgfbmQMTCKtHW6uIWtuVe",
        "timestamp": 1521472262.908181,
        "log-level": "info",
        "recipient": "ada@example.com",
        "recipient-domain": "example.com",
        "message": {
            "headers": {"message-id": "20130503182626.18666.16540@acme.example"},
            "attachments": [],
            "size": 111,
        },
        "tags": ["my_tag_1"],
        "user-variables": {"reference": reference},
        **fields,
    }
    return {"signature": signature(), "event-data": event}


async def tell(two_tenants: TwoTenants, called: Any, status: int = 200) -> Any:
    answer = await two_tenants.anonymous.post(PATH, json=called)
    assert answer.status_code == status, answer.text
    return answer.json()["data" if status == 200 else "error"]


PERMANENT: dict[str, Any] = {
    "severity": "permanent",
    "reason": "bounce",
    "delivery-status": {"code": 550, "message": "5.1.1 no such user", "description": "", "attempt-no": 1},
}


async def suppressed(client: Client) -> dict[str, str]:
    return {row["address"]: row["reason"] for row in await client.ask("GET", "/mail/suppressions")}


CASES: list[tuple[str, dict[str, Any], str, str, str | None]] = [
    # what Mailgun says -> status, detail on the time line, why the address is suppressed
    ("delivered", {"delivery-status": {"code": 250, "message": "OK"}}, "delivered", "OK", None),
    ("failed", PERMANENT, "bounced", "5.1.1 no such user", "bounce"),
    ("failed", PERMANENT | {"severity": "temporary", "reason": "generic"}, "deferred", "5.1.1 no such user", None),
    ("failed", PERMANENT | {"reason": "old"}, "bounced", "5.1.1 no such user", None),
    ("failed", {"severity": "permanent", "reason": "suppress-bounce"}, "bounced", "suppress-bounce", "bounce"),
    ("failed", {"severity": "permanent", "reason": "suppress-complaint"}, "bounced", "suppress-complaint", "complaint"),
    ("complained", {}, "complained", "", "complaint"),
]


async def test_mailgun_event_when_told_then_status_time_line_and_suppressions_follow(
    two_tenants: TwoTenants, sent: Any
) -> None:
    for number, (name, fields, status, detail, _) in enumerate(CASES):
        person = f"person{number}@example.com"
        message = await sent(two_tenants.acme, person)
        assert await tell(two_tenants, document(message.reference, name, recipient=person, **fields)) == {"events": 1}
        row = await message.look()
        assert row["status"] == status, fields
        [told] = [each for each in row["timeline"] if each["kind"] == status]
        assert (told["recipient"], told["detail"], told["provider"]) == (person, detail, "mailgun")
        assert told["at"] == "2018-03-19T15:11:02.908181Z"
    wanted = {f"person{number}@example.com": reason for number, (*_, reason) in enumerate(CASES) if reason}
    assert await suppressed(two_tenants.acme) == wanted


async def test_mailgun_call_when_its_token_was_used_then_it_brings_nothing_in_whatever_its_body_says(
    two_tenants: TwoTenants, sent: Any
) -> None:
    message = await sent(two_tenants.acme)
    first = document(message.reference, "delivered")
    await tell(two_tenants, first)
    forged = document(message.reference, "failed", **PERMANENT) | {"signature": first["signature"]}
    assert await tell(two_tenants, first) == await tell(two_tenants, forged) == {"events": 0}
    assert (await message.look())["status"] == "delivered"
    assert await suppressed(two_tenants.acme) == {}


async def test_mailgun_unsubscribe_when_told_of_bulk_mail_then_its_category_ends(
    two_tenants: TwoTenants, sent: Any
) -> None:
    message = await sent(two_tenants.acme, category="newsletter", bulk=True)
    await tell(two_tenants, document(message.reference, "unsubscribed"))
    known = await two_tenants.acme.ask("GET", "/mail/subscriptions/ada@example.com")
    assert [row["subscribed"] for row in known["categories"] if row["category"] == "newsletter"] == [False]


async def test_mailgun_event_when_we_do_not_follow_it_then_200_and_nothing(two_tenants: TwoTenants, sent: Any) -> None:
    message = await sent(two_tenants.acme)
    names: list[Any] = ["accepted", "stored", "invented", 7, None]
    for name in names:
        assert await tell(two_tenants, document(message.reference, name)) == {"events": 0}
    assert (await message.look())["status"] == "sent"


async def test_mailgun_call_when_signature_is_wrong_then_400_and_nothing_changed(
    two_tenants: TwoTenants, sent: Any
) -> None:
    message = await sent(two_tenants.acme)
    good = document(message.reference, "failed", **PERMANENT)
    signed = good["signature"]
    wrong: list[Any] = [
        signed | {"signature": signed["signature"][:-1] + "0"} if signed["signature"][-1] != "0" else None,
        signed | {"signature": "é" * 64},
        signed | {"token": signed["token"] + "0"},
        signed | {"timestamp": str(int(signed["timestamp"]) + 1)},
        signed | {"timestamp": None},
        signed | {"token": ""},
        signed | {"token": ["a"]},
        signature(key="another"),
        signature(key=""),
        None,
        "signature",
    ]
    for each in wrong:
        assert (await tell(two_tenants, good | {"signature": each}, 400))["code"] == "BAD_REQUEST"
    for body in ([], 7, None, "text", {}):
        assert (await tell(two_tenants, body, 400))["code"] == "BAD_REQUEST"
    assert (await message.look())["status"] == "sent"
    assert await suppressed(two_tenants.acme) == {}


async def test_mailgun_call_when_signed_more_than_a_day_away_then_400(two_tenants: TwoTenants, sent: Any) -> None:
    message = await sent(two_tenants.acme)
    called = document(message.reference, "failed", **PERMANENT)
    for seconds in (-86_500, 86_500, -315_360_000, 315_360_000):
        called["signature"] = signature(at=datetime.now(UTC).timestamp() + seconds)
        await tell(two_tenants, called, 400)
    assert (await message.look())["status"] == "sent"


# -- whose messages ----------------------------------------------------------------------------------------


async def test_feedback_when_reference_is_for_something_else_or_a_message_that_is_gone_then_skipped(
    two_tenants: TwoTenants, sent: Any, within: Any
) -> None:
    message = await sent(two_tenants.acme)
    with within(two_tenants.acme):
        gone = sign_token("feedback", message=str(uuid4()))
        other = sign_token("unsubscribe", message=str(message.id))
        odd = sign_token("feedback", message="no id")
        bare = sign_token("feedback")
    with within(two_tenants.globex):
        foreign = sign_token("feedback", message=str(message.id))
    for reference in (gone, other, odd, bare, foreign, "", "x" * 3000):
        assert await tell(two_tenants, document(reference, "failed", **PERMANENT)) == {"events": 0}
    assert (await message.look())["status"] == "sent"
    assert (await suppressed(two_tenants.acme), await suppressed(two_tenants.globex)) == ({}, {})


async def test_webhook_when_provider_is_unknown_or_has_no_key_here_then_404(two_tenants: TwoTenants) -> None:
    for provider in ("sendgrid", "ses", "smtp", "nobody"):
        await two_tenants.anonymous.ask("POST", f"/mail/webhooks/{provider}", 404, json=[])


async def test_feedback_when_the_message_was_opened_more_often_than_anybody_counts_then_left_out(
    two_tenants: TwoTenants, sent: Any
) -> None:
    await two_tenants.acme.ask("PUT", "/tenant/plugins/mail/settings", json={"track_opens": True})
    message = await sent(two_tenants.acme, opens=1000)
    assert await tell(two_tenants, document(message.reference, "opened")) == {"events": 0}
    assert (await message.look())["opens"] == 1000


# -- an organisation's own account -------------------------------------------------------------------------


async def own_account(client: Client, key: str) -> str:
    """Give a tenant its own Mailgun account; the path of its webhook."""
    account = {"api_key": "key-1", "domain": "mg.acme.example", "webhook_key": key}
    shown = await client.ask("PUT", "/mail/provider", 201, json={"mailgun": account})
    assert key not in str(shown)
    found = await client.ask("GET", "/mail/webhooks")
    assert found["provider"] == "mailgun"
    return urlsplit(found["url"]).path


async def test_own_webhook_when_signed_with_the_tenants_key_then_it_tells_of_that_tenants_messages_only(
    two_tenants: TwoTenants, sent: Any
) -> None:
    ours, theirs = await sent(two_tenants.acme), await sent(two_tenants.globex)
    path = await own_account(two_tenants.acme, "acme-key")
    for message, events in ((ours, 1), (theirs, 0)):
        called = document(message.reference, "failed", **PERMANENT) | {"signature": signature("acme-key")}
        answer = await two_tenants.anonymous.post(path, json=called)
        assert (answer.status_code, answer.json()["data"]) == (200, {"events": events})
    assert await suppressed(two_tenants.acme) == {"ada@example.com": "bounce"}
    assert await suppressed(two_tenants.globex) == {}
    assert (await theirs.look())["status"] == "sent"


async def test_own_webhook_when_key_path_or_provider_is_another_then_refused(
    two_tenants: TwoTenants, sent: Any
) -> None:
    message = await sent(two_tenants.acme)
    path = await own_account(two_tenants.acme, "acme-key")
    await own_account(two_tenants.globex, "globex-key")
    for key in (KEY, "globex-key", ""):
        called = document(message.reference, "failed", **PERMANENT) | {"signature": signature(key)}
        assert (await two_tenants.anonymous.post(path, json=called)).status_code == 400
    good = document(message.reference, "failed", **PERMANENT) | {"signature": signature("acme-key")}
    await tell(two_tenants, good, 400)  # the deployment's account has another key
    for wrong in (path[:-1], path.replace("/mailgun/", "/sendgrid/"), path + "A", PATH + "/" + message.reference):
        assert (await two_tenants.anonymous.post(wrong, json=good)).status_code == 404
    await two_tenants.acme.ask("DELETE", "/mail/provider", 204)
    assert (await two_tenants.anonymous.post(path, json=good)).status_code == 404
    await two_tenants.acme.ask("GET", "/mail/webhooks", 404)
    assert await suppressed(two_tenants.acme) == {}
    await two_tenants.acme_viewer.ask("GET", "/mail/webhooks", 403)


async def test_own_account_when_its_webhook_key_or_topic_is_none_then_422(acme: Client) -> None:
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"sendgrid": {"api_key": "SG.x", "webhook_key": "not a key"}}, "sendgrid.webhook_key"),
        ({"sendgrid": {"api_key": "SG.x", "webhook_key": "AAAA"}}, "sendgrid.webhook_key"),
        (
            {"ses": {"access_key": "a", "secret_key": "b", "region": "eu-west-1", "topics": ["everything"]}},
            "ses.topics.0",
        ),
    ]
    for body, field in wrong:
        assert field in (await acme.ask("PUT", "/mail/provider", 422, json=body))["details"]
