"""SendGrid's Event Webhook: signed with a key of our own making, with events as SendGrid documents them."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from host.settings import Settings
from host.testing import Client, TwoTenants
from plugins.mail.providers import feedback

PATH = "/api/v1/mail/webhooks/sendgrid"
KEY = ec.generate_private_key(ec.SECP256R1())
SIGNATURE, TIMESTAMP = "X-Twilio-Email-Event-Webhook-Signature", "X-Twilio-Email-Event-Webhook-Timestamp"


@pytest.fixture
async def app_settings(app_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    public = KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    monkeypatch.setenv("TENANTRY_MAIL__SENDGRID__WEBHOOK_KEY", base64.b64encode(public).decode())
    return app_settings


def signed(body: bytes, at: datetime | None = None, key: ec.EllipticCurvePrivateKey = KEY) -> dict[str, str]:
    timestamp = str(int((at or datetime.now(UTC)).timestamp()))
    signature = key.sign(timestamp.encode() + body, ec.ECDSA(SHA256()))
    return {SIGNATURE: base64.b64encode(signature).decode(), TIMESTAMP: timestamp, "Content-Type": "application/json"}


async def tell(two_tenants: TwoTenants, *events: Any, status: int = 200) -> Any:
    """Post events as SendGrid does: with `\r\n` between and after them, as its documentation warns."""
    body = b"[" + b",\r\n".join(json.dumps(event).encode() for event in events) + b"]\r\n"
    answer = await two_tenants.anonymous.post(PATH, content=body, headers=signed(body))
    assert answer.status_code == status, answer.text
    return answer.json()


def event(reference: str, name: str, number: str = "1", **fields: Any) -> dict[str, Any]:
    """An event as https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/event shows them."""
    return {
        "email": "ada@example.com",
        "timestamp": 1513299569,
        "smtp-id": "<14c5d75ce93.dfd.64b469@ismtpd-555>",
        "event": name,
        "category": ["cat facts"],
        "sg_event_id": f"sg_event_id_{number}",
        "sg_message_id": "14c5d75ce93.dfd.64b469.filter0001.16648.5515E0B88.0",
        "reference": reference,
        **fields,
    }


HARD: dict[str, Any] = {"reason": "500 unknown recipient", "status": "5.0.0", "type": "bounce"}
BLOCKED: dict[str, Any] = {"reason": "421 try later", "status": "4.7.1", "type": "blocked"}


async def suppressed(client: Client) -> dict[str, str]:
    return {row["address"]: row["reason"] for row in await client.ask("GET", "/mail/suppressions")}


CASES: list[tuple[str, dict[str, Any], str, str, str | None]] = [
    # what SendGrid says -> status, detail on the time line, why the address is suppressed
    ("delivered", {"response": "250 OK"}, "delivered", "250 OK", None),
    ("deferred", {"response": "400 try again later", "attempt": "5"}, "deferred", "400 try again later", None),
    ("bounce", HARD, "bounced", "500 unknown recipient", "bounce"),
    ("bounce", BLOCKED, "bounced", "421 try later", None),
    ("dropped", {"reason": "Bounced Address", "status": "5.0.0"}, "bounced", "dropped: Bounced Address", "bounce"),
    ("dropped", {"reason": "Spam Reporting Address"}, "bounced", "dropped: Spam Reporting Address", "complaint"),
    ("dropped", {"reason": "Unsubscribed Address"}, "bounced", "dropped: Unsubscribed Address", None),
    ("spamreport", {}, "complained", "", "complaint"),
]


async def test_sendgrid_event_when_told_then_status_time_line_and_suppressions_follow(
    two_tenants: TwoTenants, sent: Any
) -> None:
    for number, (name, fields, status, detail, _) in enumerate(CASES):
        person = f"person{number}@example.com"
        message = await sent(two_tenants.acme, person)
        told = event(message.reference, name, str(number), email=person.upper(), **fields)
        assert await tell(two_tenants, told) == {"success": True, "data": {"events": 1}}
        row = await message.look()
        assert row["status"] == status, name
        [happening] = [each for each in row["timeline"] if each["kind"] == status]
        assert (happening["recipient"], happening["detail"]) == (person, detail)
        assert (happening["provider"], happening["at"]) == ("sendgrid", "2017-12-15T00:59:29Z")
    wanted = {f"person{number}@example.com": reason for number, (*_, reason) in enumerate(CASES) if reason}
    assert await suppressed(two_tenants.acme) == wanted
    assert await suppressed(two_tenants.globex) == {}


async def test_sendgrid_events_when_they_tell_of_two_tenants_then_each_hears_its_own(
    two_tenants: TwoTenants, sent: Any
) -> None:
    ours, theirs = await sent(two_tenants.acme), await sent(two_tenants.globex, "bob@example.com")
    await tell(
        two_tenants,
        event(ours.reference, "delivered", "1"),
        event(theirs.reference, "bounce", "2", email="bob@example.com", **HARD),
    )
    assert (await ours.look())["status"] == "delivered"
    assert (await theirs.look())["status"] == "bounced"
    assert (await suppressed(two_tenants.acme), await suppressed(two_tenants.globex)) == (
        {},
        {"bob@example.com": "bounce"},
    )


async def test_sendgrid_events_when_some_are_odd_then_the_others_count(two_tenants: TwoTenants, sent: Any) -> None:
    message = await sent(two_tenants.acme)
    odd = [
        event("not a reference", "delivered", "2"),
        event("é" * 50, "delivered", "3"),
        event(message.reference[:-2], "bounce", "4", **HARD),
        event(message.reference, "processed", "5"),
        event(message.reference, "invented", "6"),
        {name: value for name, value in event(message.reference, "bounce", "7").items() if name != "sg_event_id"},
        {name: value for name, value in event("", "bounce", "8").items() if name != "reference"},
        event(message.reference, {"a": 1}, "9"),  # type: ignore[arg-type]
        [], None, 7, "text", {},
    ]  # fmt: skip
    assert (await tell(two_tenants, *odd, event(message.reference, "delivered", "1")))["data"] == {"events": 1}
    assert (await message.look())["status"] == "delivered"
    assert await suppressed(two_tenants.acme) == {}


async def test_sendgrid_event_when_its_time_is_odd_then_it_counts_as_now(two_tenants: TwoTenants, sent: Any) -> None:
    for number, timestamp in enumerate([1e300, -1e300, 10**25, "soon", None, [], True, 4102444800]):
        message, began = await sent(two_tenants.acme), datetime.now(UTC)
        await tell(two_tenants, event(message.reference, "delivered", str(number), timestamp=timestamp))
        [told] = [each for each in (await message.look())["timeline"] if each["kind"] == "delivered"]
        assert began <= datetime.fromisoformat(told["at"]) <= datetime.now(UTC), timestamp


async def test_sendgrid_event_when_its_text_is_odd_then_it_is_cut_and_cleaned(
    two_tenants: TwoTenants, sent: Any
) -> None:
    message = await sent(two_tenants.acme)
    reason = "550 \x00no\r\n such\x1b user " + "x" * 9000
    await tell(two_tenants, event(message.reference, "bounce", type="bounce", reason=reason, email="a b@@c\x00"))
    [told] = [each for each in (await message.look())["timeline"] if each["kind"] == "bounced"]
    assert told["detail"].startswith("550  no  such  user xxx")
    assert len(told["detail"]) == 500
    assert told["recipient"] == ""
    assert await suppressed(two_tenants.acme) == {}


async def test_sendgrid_events_when_order_is_mixed_then_the_status_only_rises(
    two_tenants: TwoTenants, sent: Any
) -> None:
    message = await sent(two_tenants.acme)
    for number, name in enumerate(["delivered", "deferred", "spamreport", "bounce", "delivered"]):
        await tell(two_tenants, event(message.reference, name, str(number), **(HARD if name == "bounce" else {})))
    row = await message.look()
    assert row["status"] == "complained"
    kinds = sorted(each["kind"] for each in row["timeline"])
    assert kinds == ["accepted", "bounced", "complained", "deferred", "delivered", "delivered"]


async def test_sendgrid_event_when_told_again_then_written_down_once_and_the_list_left_as_people_made_it(
    two_tenants: TwoTenants, sent: Any
) -> None:
    message = await sent(two_tenants.acme)
    bounce = event(message.reference, "bounce", **HARD)
    assert (await tell(two_tenants, bounce, bounce))["data"] == {"events": 1}
    await two_tenants.acme.ask("DELETE", "/mail/suppressions?address=ada@example.com", 204)
    assert (await tell(two_tenants, bounce))["data"] == {"events": 0}
    assert await suppressed(two_tenants.acme) == {}
    assert [each["kind"] for each in (await message.look())["timeline"]].count("bounced") == 1


async def test_sendgrid_unsubscribe_when_told_of_bulk_mail_then_its_category_ends_and_else_not(
    two_tenants: TwoTenants, sent: Any
) -> None:
    bulk = await sent(two_tenants.acme, category="newsletter", bulk=True)
    plain = await sent(two_tenants.acme, "bob@example.com")
    await tell(
        two_tenants,
        event(bulk.reference, "group_unsubscribe", "1", asm_group_id=10),
        event(plain.reference, "unsubscribe", "2", email="bob@example.com"),
    )
    ada = await two_tenants.acme.ask("GET", "/mail/subscriptions/ada@example.com")
    assert [(row["category"], row["subscribed"], row["source"]) for row in ada["categories"]] == [
        ("newsletter", False, "provider"),
        ("transactional", True, None),
    ]
    bob = await two_tenants.acme.ask("GET", "/mail/subscriptions/bob@example.com")
    assert bob["everything"]["subscribed"]
    assert len(bob["categories"]) == 1
    assert "unsubscribed" in [each["kind"] for each in (await plain.look())["timeline"]]


async def test_sendgrid_opens_and_clicks_when_not_switched_on_then_nobody_writes_them_down(
    two_tenants: TwoTenants, sent: Any
) -> None:
    message = await sent(two_tenants.acme)
    seen = [event(message.reference, "open", "1"), event(message.reference, "click", "2", url="https://a.example/")]
    assert (await tell(two_tenants, *seen))["data"] == {"events": 0}
    await two_tenants.acme.ask("PUT", "/tenant/plugins/mail/settings", json={"track_opens": True, "track_clicks": True})
    assert (await tell(two_tenants, *seen, *seen))["data"] == {"events": 2}
    row = await message.look()
    assert (row["opens"], row["clicks"], row["status"]) == (1, 1, "sent")
    [clicked] = [each for each in row["timeline"] if each["kind"] == "clicked"]
    assert clicked["detail"] == "https://a.example/"


# -- signatures ------------------------------------------------------------------------------------------


async def refused(two_tenants: TwoTenants, body: bytes, headers: dict[str, str]) -> str:
    answer: httpx.Response = await two_tenants.anonymous.post(PATH, content=body, headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "BAD_REQUEST"), answer.text
    return str(answer.json()["error"]["message"])


async def test_sendgrid_call_when_signature_is_wrong_then_400_and_nothing_changed(
    two_tenants: TwoTenants, sent: Any
) -> None:
    message = await sent(two_tenants.acme)
    body = json.dumps([event(message.reference, "bounce", **HARD)]).encode()
    good, other = signed(body), ec.generate_private_key(ec.SECP256R1())
    wrong = [
        good | {SIGNATURE: good[SIGNATURE][:-8]},
        good | {SIGNATURE: "not base64!"},
        good | {SIGNATURE: ""},
        good | {TIMESTAMP: str(int(good[TIMESTAMP]) + 1)},
        good | {TIMESTAMP: "soon"},
        signed(body, key=other),
        signed(b"[]"),
        {name: value for name, value in good.items() if name != SIGNATURE},
        {name: value for name, value in good.items() if name != TIMESTAMP},
    ]
    for headers in wrong:
        assert await refused(two_tenants, body, headers) == "The signature does not match this provider's key."
    await refused(two_tenants, body + b" ", good)
    assert (await message.look())["status"] == "sent"
    assert await suppressed(two_tenants.acme) == {}


async def test_sendgrid_call_when_signed_ten_years_away_then_400(two_tenants: TwoTenants, sent: Any) -> None:
    message, now = await sent(two_tenants.acme), datetime.now(UTC)
    body = json.dumps([event(message.reference, "bounce", **HARD)]).encode()
    for years in (-10, 10):
        said = await refused(two_tenants, body, signed(body, now.replace(year=now.year + years, day=1)))
        assert "1 day" in said
    assert (await message.look())["status"] == "sent"


async def test_sendgrid_call_when_signed_body_is_no_list_of_events_then_400(two_tenants: TwoTenants) -> None:
    for body in (b"", b"{}", b"null", b"[", b"\xff", b"[" * 5000, b'["\\ud800"]', b"[1e999]"):
        await refused(two_tenants, body, signed(body))


async def test_sendgrid_call_when_it_is_too_large_then_413(two_tenants: TwoTenants) -> None:
    many = json.dumps([1] * (feedback.MAX_EVENTS + 1)).encode()
    large = b"[" + b" " * feedback.MAX_BODY + b"]"
    for body in (many, large):
        answer = await two_tenants.anonymous.post(PATH, content=body, headers=signed(body))
        assert (answer.status_code, answer.json()["error"]["code"]) == (413, "PAYLOAD_TOO_LARGE")
