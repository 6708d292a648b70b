"""Amazon SES through SNS: messages signed with a certificate of our own making, which a local server hands out."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_network
from itertools import product
from typing import Any
from uuid import uuid4

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from host.sdk import Unavailable
from host.settings import OutboundSettings, Settings
from host.testing import Client, TwoTenants
from plugins.mail.providers import sns

PATH = "/api/v1/mail/webhooks/ses"
TOPIC = "arn:aws:sns:us-west-2:123456789012:mail-events"
AMAZON = "https://sns.us-west-2.amazonaws.com"
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def certificate(key: rsa.RSAPrivateKey = KEY, begins: timedelta = timedelta(days=-1), days: int = 30) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com")])
    begin = datetime.now(UTC) + begins
    built = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
    dated = built.not_valid_before(begin).not_valid_after(begin + timedelta(days=days))
    return dated.sign(key, SHA256()).public_bytes(Encoding.PEM)


class Amazon:
    """A local server that stands for SNS: certificates by path, and the confirmations that were asked for."""

    def __init__(self) -> None:
        self.files = {"/SimpleNotificationService-good.pem": certificate()}
        self.asked: list[str] = []
        amazon = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                amazon.asked.append(self.path)
                found = amazon.files.get(self.path)
                self.send_response(200 if found is not None else 404)
                self.end_headers()
                self.wfile.write(found or b"")

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def at_home(self, url: str) -> str:
        assert url.startswith(f"{AMAZON}/"), url  # nobody may be asked for anything elsewhere
        return f"http://127.0.0.1:{self.server.server_port}{url.removeprefix(AMAZON)}"


@pytest.fixture
def amazon(monkeypatch: pytest.MonkeyPatch) -> Iterator[Amazon]:
    made, fetch = Amazon(), sns.fetch
    monkeypatch.setattr(sns, "fetch", lambda url: fetch(made.at_home(url)))
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
async def app_settings(app_settings: Settings, amazon: Amazon, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("TENANTRY_MAIL__SES__TOPICS", f"{TOPIC},arn:aws:sns:us-west-2:123456789012:other")
    here = OutboundSettings(inner_networks=(ip_network("127.0.0.1/32"),))
    return app_settings.model_copy(update={"outbound": here})


def message(kind: str = "Notification", **fields: Any) -> dict[str, Any]:
    """As https://docs.aws.amazon.com/sns/latest/dg/http-notification-json.html and its neighbours show them."""
    made = {
        "Type": kind,
        "MessageId": str(uuid4()),
        "TopicArn": TOPIC,
        "Timestamp": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "SignatureVersion": "1",
        "SigningCertURL": f"{AMAZON}/SimpleNotificationService-good.pem",
        "Message": "",
    }
    if kind == "Notification":
        made["UnsubscribeURL"] = f"{AMAZON}/?Action=Unsubscribe&SubscriptionArn={TOPIC}:c9135db0"
    else:
        made["Token"] = "2336412f37"
        made["SubscribeURL"] = f"{AMAZON}/?Action=ConfirmSubscription&TopicArn={TOPIC}&Token=2336412f37"
    return made | fields


def signed(made: dict[str, Any], key: rsa.RSAPrivateKey = KEY) -> dict[str, Any]:
    """Signed as the documentation says, written here once more so that the two can disagree."""
    if made["Type"] == "Notification":
        names = ["Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"]
    else:
        names = ["Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"]
    text = ""
    for name in names:
        if name in made:
            text += name + "\n" + made[name] + "\n"
    algorithm = SHA1() if made["SignatureVersion"] == "1" else SHA256()
    signature = key.sign(text.encode(), PKCS1v15(), algorithm)
    return made | {"Signature": base64.b64encode(signature).decode()}


async def tell(two_tenants: TwoTenants, made: Any, status: int = 200) -> Any:
    headers = {"Content-Type": "text/plain; charset=UTF-8", "x-amz-sns-message-type": "Notification"}
    answer = await two_tenants.anonymous.post(PATH, content=json.dumps(made), headers=headers)
    assert answer.status_code == status, answer.text
    return answer.json()["data" if status == 200 else "error"]


def event(reference: str, name: str, by: str = "tags", **fields: Any) -> str:
    """As https://docs.aws.amazon.com/ses/latest/dg/event-publishing-retrieving-sns-examples.html shows them."""
    mail: dict[str, Any] = {
        "timestamp": "2017-08-05T00:40:02.012Z",
        "source": "Sender Name <sender@example.com>",
        "messageId": "EXAMPLE7c191be45-e9aedb9a-02f9-4d12-a87d-dd0099a07f8a-000000",
        "destination": ["ada@example.com"],
        "headersTruncated": False,
        "headers": [{"name": "From", "value": "Sender Name <sender@example.com>"}],
        "tags": {"ses:configuration-set": ["ConfigSet"]},
    }
    if by == "tags":
        mail["tags"]["reference"] = [reference]
    else:
        mail["headers"].append({"name": "x-tenantry-reference", "value": reference})
    return json.dumps({"eventType": name, "mail": mail, **fields})


def bounce(kind: str, *people: str) -> dict[str, Any]:
    recipients = [
        {"emailAddress": each, "action": "failed", "status": "5.1.1", "diagnosticCode": "smtp; 550 5.1.1 user unknown"}
        for each in people or ("ada@example.com",)
    ]
    return {
        "bounce": {
            "bounceType": kind,
            "bounceSubType": "General",
            "bouncedRecipients": recipients,
            "timestamp": "2017-08-05T00:41:02.669Z",
            "feedbackId": "01000157c44f053b-61b59c11-9236-11e6-8f96-7be8aexample-000000",
        }
    }


COMPLAINT = {
    "complaint": {
        "complainedRecipients": [{"emailAddress": "ada@example.com"}],
        "timestamp": "2017-08-05T00:41:02.669Z",
        "complaintFeedbackType": "abuse",
    }
}
DELIVERY = {
    "delivery": {
        "timestamp": "2016-10-19T23:21:04.133Z",
        "recipients": ["ada@example.com"],
        "smtpResponse": "250 2.6.0 Message received",
    }
}
DELAY = {
    "deliveryDelay": {
        "timestamp": "2020-06-16T00:25:40.095Z",
        "delayType": "TransientCommunicationFailure",
        "delayedRecipients": [
            {"emailAddress": "ada@example.com", "status": "4.4.1", "diagnosticCode": "smtp; 421 4.4.1"}
        ],
    }
}


async def suppressed(client: Client) -> dict[str, str]:
    return {row["address"]: row["reason"] for row in await client.ask("GET", "/mail/suppressions")}


CASES: list[tuple[str, dict[str, Any], str, str, str | None]] = [
    # what SES says -> status, detail on the time line, why the address is suppressed
    ("Bounce", bounce("Permanent"), "bounced", "Permanent General: smtp; 550 5.1.1 user unknown", "bounce"),
    ("Bounce", bounce("Transient"), "bounced", "Transient General: smtp; 550 5.1.1 user unknown", None),
    ("Complaint", COMPLAINT, "complained", "abuse", "complaint"),
    ("Delivery", DELIVERY, "delivered", "250 2.6.0 Message received", None),
    ("DeliveryDelay", DELAY, "deferred", "TransientCommunicationFailure: smtp; 421 4.4.1", None),
    ("Reject", {"reject": {"reason": "Bad content"}}, "bounced", "Bad content", None),
]


async def test_ses_event_when_told_in_either_version_then_status_time_line_and_suppressions_follow(
    two_tenants: TwoTenants, sent: Any
) -> None:
    for (name, fields, status, detail, reason), version in product(CASES, ("1", "2")):
        mail = await sent(two_tenants.acme)
        body = event(mail.reference, name, **fields)
        told = message(Message=body, SignatureVersion=version, Subject="Amazon SES Email Event Notification")
        assert await tell(two_tenants, signed(told)) == {"events": 1}
        row = await mail.look()
        assert row["status"] == status, name
        [happening] = [each for each in row["timeline"] if each["kind"] == status]
        assert (happening["recipient"], happening["detail"]) == ("ada@example.com", detail)
        assert await suppressed(two_tenants.acme) == ({"ada@example.com": reason} if reason else {})
        if reason:
            await two_tenants.acme.ask("DELETE", "/mail/suppressions?address=ada@example.com", 204)


async def test_ses_event_when_the_reference_is_in_a_header_and_people_are_many_then_each_is_suppressed_once(
    two_tenants: TwoTenants, sent: Any
) -> None:
    mail = await sent(two_tenants.acme, "Ada@example.com\nbob@example.com")
    body = event(mail.reference, "Bounce", by="headers", **bounce("Permanent", "ada@example.com", "bob@example.com"))
    told = signed(message(Message=body))
    assert await tell(two_tenants, told) == {"events": 2}
    assert await tell(two_tenants, told) == {"events": 0}
    assert await suppressed(two_tenants.acme) == {"ada@example.com": "bounce", "bob@example.com": "bounce"}


async def test_ses_bounce_when_an_out_of_office_note_follows_delivery_then_the_message_stays_delivered(
    two_tenants: TwoTenants, sent: Any
) -> None:
    mail = await sent(two_tenants.acme)
    for name, fields in (("Delivery", DELIVERY), ("Bounce", bounce("Transient"))):
        await tell(two_tenants, signed(message(Message=event(mail.reference, name, **fields))))
    row = await mail.look()
    assert row["status"] == "delivered"
    assert sorted(each["kind"] for each in row["timeline"]) == ["accepted", "answered", "delivered"]
    await tell(two_tenants, signed(message(Message=event(mail.reference, "Bounce", **bounce("Permanent")))))
    assert (await mail.look())["status"] == "bounced"


async def test_ses_complaint_when_the_message_was_not_to_that_address_then_it_is_named_nowhere(
    two_tenants: TwoTenants, sent: Any
) -> None:
    mail = await sent(two_tenants.acme, "bob@example.com", category="newsletter", bulk=True)
    await tell(two_tenants, signed(message(Message=event(mail.reference, "Complaint", **COMPLAINT))))
    row = await mail.look()
    assert (row["status"], await suppressed(two_tenants.acme)) == ("complained", {})
    assert "ada@example.com" not in str(row)


async def test_ses_click_when_switched_on_then_counted_with_its_link(two_tenants: TwoTenants, sent: Any) -> None:
    await two_tenants.acme.ask("PUT", "/tenant/plugins/mail/settings", json={"track_clicks": True})
    mail = await sent(two_tenants.acme)
    click = {
        "click": {"link": "https://a.example/x", "timestamp": "2017-08-09T23:51:25.570Z", "ipAddress": "192.0.2.1"}
    }
    await tell(two_tenants, signed(message(Message=event(mail.reference, "Click", **click))))
    row = await mail.look()
    [clicked] = [each for each in row["timeline"] if each["kind"] == "clicked"]
    assert (row["clicks"], clicked["detail"], clicked["recipient"]) == (1, "https://a.example/x", "ada@example.com")


async def test_ses_certificate_when_used_again_then_fetched_once(
    two_tenants: TwoTenants, sent: Any, amazon: Amazon
) -> None:
    mail = await sent(two_tenants.acme)
    for _ in range(3):
        await tell(two_tenants, signed(message(Message=event(mail.reference, "Delivery", **DELIVERY))))
    assert amazon.asked == ["/SimpleNotificationService-good.pem"]


# -- subscriptions ---------------------------------------------------------------------------------------


async def test_sns_subscription_when_to_be_confirmed_then_confirmed_at_amazon(
    two_tenants: TwoTenants, amazon: Amazon
) -> None:
    confirmation = message("SubscriptionConfirmation")
    confirm = confirmation["SubscribeURL"].removeprefix(AMAZON)
    amazon.files[confirm] = b"<ConfirmSubscriptionResponse/>"
    assert await tell(two_tenants, signed(confirmation)) == {"events": 0}
    assert amazon.asked[1:] == [confirm]
    assert await tell(two_tenants, signed(message("UnsubscribeConfirmation"))) == {"events": 0}
    assert amazon.asked[1:] == [confirm]


async def test_sns_subscription_when_its_address_is_not_amazons_then_400_and_nobody_asked(
    two_tenants: TwoTenants, amazon: Amazon
) -> None:
    for address in (
        "https://evil.example/?Action=ConfirmSubscription",
        "http://sns.us-west-2.amazonaws.com/?Action=ConfirmSubscription",
        "https://sns.us-west-2.amazonaws.com@evil.example/",
        "https://169.254.169.254/latest/meta-data",
    ):
        await tell(two_tenants, signed(message("SubscriptionConfirmation", SubscribeURL=address)), 400)
    assert amazon.asked == ["/SimpleNotificationService-good.pem"]


async def test_sns_subscription_when_amazon_does_not_answer_then_503_so_that_it_is_sent_again(
    two_tenants: TwoTenants, amazon: Amazon
) -> None:
    assert (await tell(two_tenants, signed(message("SubscriptionConfirmation")), 503))["code"] == "UNAVAILABLE"


# -- signatures ------------------------------------------------------------------------------------------


async def test_sns_message_when_signature_is_wrong_then_400_and_nothing_changed(
    two_tenants: TwoTenants, sent: Any, amazon: Amazon
) -> None:
    mail = await sent(two_tenants.acme)
    good = signed(message(Message=event(mail.reference, "Bounce", **bounce("Permanent"))))
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    wrong = [
        good | {"Message": good["Message"].replace("550", "551")},
        good | {"Subject": "added"},
        good | {"MessageId": str(uuid4())},
        good | {"TopicArn": "arn:aws:sns:us-west-2:123456789012:other"},
        good | {"Signature": "not base64!"},
        good | {"Signature": ""},
        good | {"Signature": good["Signature"][:-8]},
        good | {"SignatureVersion": "2"},
        good | {"SignatureVersion": "3"},
        good | {"SignatureVersion": 1},
        good | {"Type": "SubscriptionConfirmation"},
        good | {"Type": "Invented"},
        signed(good, other),
        {name: value for name, value in good.items() if name != "Signature"},
        {name: value for name, value in good.items() if name != "MessageId"},
        {name: value for name, value in good.items() if name != "SigningCertURL"},
    ]
    for each in wrong:
        assert (await tell(two_tenants, each, 400))["code"] == "BAD_REQUEST", each
    for body in ([], None, 7, {}):
        assert (await tell(two_tenants, body, 400))["code"] == "BAD_REQUEST"
    assert (await mail.look())["status"] == "sent"
    assert await suppressed(two_tenants.acme) == {}


async def test_sns_message_when_topic_is_not_ours_then_400_before_anything_is_fetched(
    two_tenants: TwoTenants, sent: Any, amazon: Amazon
) -> None:
    mail = await sent(two_tenants.acme)
    body = event(mail.reference, "Bounce", **bounce("Permanent"))
    anonymous = signed(message(Message=body, TopicArn="arn:aws:sns:us-west-2:666666666666:mail-events"))
    assert "topic" in (await tell(two_tenants, anonymous, 400))["message"]
    assert amazon.asked == []
    assert (await mail.look())["status"] == "sent"


async def test_sns_message_when_its_time_is_far_away_or_none_then_400(two_tenants: TwoTenants, sent: Any) -> None:
    mail, now = await sent(two_tenants.acme), datetime.now(UTC)
    far = [(now + timedelta(days=days)).isoformat() for days in (-3650, -2, 2, 3650)]
    for when in (*far, "soon", "", "9999-12-31T23:59:59-23:59"):
        told = message(Message=event(mail.reference, "Bounce", **bounce("Permanent")), Timestamp=when)
        await tell(two_tenants, signed(told), 400)
    assert (await mail.look())["status"] == "sent"


async def test_sns_message_when_its_certificate_is_no_good_then_400(two_tenants: TwoTenants, amazon: Amazon) -> None:
    amazon.files |= {
        "/old.pem": certificate(begins=timedelta(days=-30), days=20),
        "/early.pem": certificate(begins=timedelta(days=2)),
        "/broken.pem": b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        "/good.txt": certificate(),
    }
    for path in list(amazon.files)[1:]:
        await tell(two_tenants, signed(message(Message="{}", SigningCertURL=AMAZON + path)), 400)


async def test_sns_message_when_its_certificate_cannot_be_fetched_then_503(two_tenants: TwoTenants) -> None:
    missing = signed(message(Message="{}", SigningCertURL=f"{AMAZON}/gone.pem"))
    assert (await tell(two_tenants, missing, 503))["code"] == "UNAVAILABLE"


async def test_fetch_when_answer_is_too_large_then_it_is_not_read_to_its_end(
    two_tenants: TwoTenants, amazon: Amazon
) -> None:
    amazon.files["/large.pem"] = b"x" * 10_000_000
    with two_tenants.application.inner.bound(), pytest.raises(Unavailable, match="longer than 65,536 bytes"):
        await sns.fetch(f"{AMAZON}/large.pem")


@pytest.mark.parametrize(
    ("url", "amazons"),
    [
        ("https://sns.us-east-1.amazonaws.com/x.pem", True),
        ("https://sns.us-gov-west-1.amazonaws.com/x.pem", True),
        ("https://sns.cn-north-1.amazonaws.com.cn/x.pem", True),
        ("http://sns.us-east-1.amazonaws.com/x.pem", False),
        ("https://sns.us-east-1.amazonaws.com:8443/x.pem", False),
        ("https://user@sns.us-east-1.amazonaws.com/x.pem", False),
        ("https://sns.us-east-1.amazonaws.com.evil.example/x.pem", False),
        ("https://evil.example/sns.us-east-1.amazonaws.com/x.pem", False),
        ("https://sns.s3-us-west-2.amazonaws.com/x.pem", False),
        ("https://sns.s3.amazonaws.com/x.pem", False),
        ("https://xsns.us-east-1.amazonaws.com/x.pem", False),
        ("https://sns-us-east-1.amazonaws.com/x.pem", False),
        ("https://sns.us-east-1.amazonaws.com/x.pem#y", False),
        ("https://sns.us-east-1.amazonaws.com\\@evil.example/x.pem", False),
        ("https://sns.us-east-1.amazonaws.com/x\n.pem", False),
        ("https://[::1/x.pem", False),
        ("", False),
    ],
)
def test_address_when_it_may_be_amazons_then_only_sns_in_a_region_over_https_is(url: str, amazons: bool) -> None:
    assert sns.is_amazons(url) is amazons


async def test_ses_event_when_it_is_odd_then_200_and_nothing(two_tenants: TwoTenants, sent: Any) -> None:
    mail = await sent(two_tenants.acme)
    odd = ["{}", "[]", "null", event(mail.reference, "Send"), event(mail.reference, "Invented"), event("x", "Bounce")]
    odd += [event(mail.reference, "Bounce"), event(mail.reference, "Bounce", bounce=7)]
    odd += [event(mail.reference, "Delivery", delivery={"recipients": "ada"})]
    for each in odd:
        assert await tell(two_tenants, signed(message(Message=each))) == {"events": 0}
    await tell(
        two_tenants, signed(message(Message="Successfully validated SNS topic for Amazon SES event publishing.")), 400
    )
    assert (await mail.look())["status"] == "sent"
