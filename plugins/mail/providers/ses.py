"""Mail provider `ses`: Amazon Simple Email Service, API v2, and its events as SNS notifications.

https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html
https://docs.aws.amazon.com/ses/latest/dg/event-publishing-retrieving-sns-contents.html
https://docs.aws.amazon.com/ses/latest/dg/notification-contents.html
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Collection, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from types import MappingProxyType
from typing import Annotated, Any

from pydantic import Field, SecretStr

from host.sdk import TextForm, Webhook, WebhookCall, app_singleton

from ..outgoing import REFERENCE, REFERENCE_HEADER, Outgoing
from . import feedback, sns
from .contract import ProviderUnavailable, Receipt, Refused, written
from .feedback import Feedback, Unwanted, iso_time, items, part, text
from .spec import Account, ApiSettings, MailProvider, Secret

LONGEST_TAG = 256
KEPT_MESSAGE_ID = "Original-Message-ID"
"""SES overrides Message-ID (https://docs.aws.amazon.com/ses/latest/dg/header-fields.html); this header keeps ours."""

CONTENT = frozenset({"MessageRejected", "BadRequestException"})
"""Errors about the message; LATER: try again later; all others: about the account, its key or its settings."""

LATER = frozenset({"TooManyRequestsException", "Throttling", "ThrottlingException", "LimitExceededException"})

_TAG = re.compile(r"[A-Za-z0-9_.@-]+")


Region = Annotated[str, TextForm(r"[a-z]{2}(-[a-z]{1,16}){1,2}-[0-9]{1,2}", "a region such as eu-central-1")]
Topic = Annotated[
    str,
    TextForm(
        r"arn:aws[a-z-]{0,10}:sns:[a-z0-9-]{1,30}:[0-9]{12}:[A-Za-z0-9_-]{1,256}(\.fifo)?",
        "the ARN of an SNS topic",
    ),
]
ConfigurationSet = Annotated[str, TextForm(r"[A-Za-z0-9_-]{0,64}", "at most 64 letters, digits, - and _")]


class SesSettings(ApiSettings):
    region: Region = "us-east-1"
    access_key: SecretStr = Field(
        default=SecretStr(""), description="AWS access key id; empty: the machine's own role."
    )
    secret_key: SecretStr = SecretStr("")
    configuration_set: ConfigurationSet = ""
    topics: tuple[Topic, ...] = Field(
        default=(), description="ARNs of the SNS topics whose notifications are accepted; empty: none."
    )


class SesAccount(Account):
    access_key: Secret
    secret_key: Secret
    region: Region
    configuration_set: ConfigurationSet = ""
    topics: list[Topic] = Field(default=[], max_length=10)


class SesProvider:
    """Amazon SES. `provider_id` is its message id, which its notifications name and which, at the region's domain,
    becomes the Message-ID that the recipient sees. Our reference comes back as the tag `reference`, and in a header."""

    name = "ses"

    def __init__(self, settings: SesSettings) -> None:
        self._settings = settings
        self._client: Any = None
        self._opening = asyncio.Lock()
        self._open = AsyncExitStack()

    async def deliver(self, outgoing: Outgoing) -> Receipt:
        """SendEmail with the raw message; an answer with a MessageId means taken."""
        PROVIDER.check(outgoing)
        headers = [*outgoing.headers, (KEPT_MESSAGE_ID, outgoing.message_id)]
        if outgoing.reference:
            headers.append((REFERENCE_HEADER, outgoing.reference))
        request: dict[str, Any] = {
            "FromEmailAddress": outgoing.sender.email,
            "Destination": _destination(outgoing),
            "Content": {"Raw": {"Data": written(replace(outgoing, headers=tuple(headers)))}},
            "EmailTags": _tags(outgoing),
        }
        if self._settings.configuration_set:
            request["ConfigurationSetName"] = self._settings.configuration_set
        answer = await self._ask("send_email", **request)
        return Receipt(self.name, str(answer.get("MessageId", "")))

    async def check(self) -> str | None:
        """GetAccount: whether the account may send."""
        try:
            account = await self._ask("get_account")
        except (Refused, ProviderUnavailable) as error:
            return str(error)
        return None if account.get("SendingEnabled") else "the SES account's sending is switched off"

    async def close(self) -> None:
        """Close the connections."""
        self._client = None
        await self._open.aclose()

    async def _ask(self, operation: str, **request: Any) -> dict[str, Any]:
        # Imported here: it takes 100 ms and 30 MB, which only deployments with SES should pay for.
        from botocore.exceptions import (  # type: ignore[import-untyped]
            BotoCoreError,
            ClientError,
            ConnectionClosedError,
            NoCredentialsError,
            ParamValidationError,
            ReadTimeoutError,
        )

        try:
            client = self._client or await self._opened()
            answer: dict[str, Any] = await getattr(client, operation)(**request)
        except ClientError as error:
            raise _verdict(error.response) from None
        except ParamValidationError as error:
            raise Refused(str(error)[:500], permanent=True, kind="content") from None
        except NoCredentialsError as error:
            raise Refused(str(error), permanent=True, kind="provider") from None
        except (BotoCoreError, OSError) as error:
            uncertain = isinstance(error, ReadTimeoutError | ConnectionClosedError)
            raise ProviderUnavailable(f"Amazon SES cannot be reached: {error}", uncertain=uncertain) from None
        return answer

    async def _opened(self) -> Any:
        import aioboto3  # type: ignore[import-untyped]
        from botocore.config import Config  # type: ignore[import-untyped]

        async with self._opening:
            if self._client is None:
                settings = self._settings
                key = settings.access_key.get_secret_value()
                session = aioboto3.Session(
                    aws_access_key_id=key or None,
                    aws_secret_access_key=settings.secret_key.get_secret_value() if key else None,
                    region_name=settings.region,
                )
                config = Config(
                    connect_timeout=settings.timeout,
                    read_timeout=settings.timeout,
                    max_pool_connections=settings.concurrency,
                    # A retry inside the library could send twice unnoticed: the dispatcher decides about retries.
                    retries={"total_max_attempts": 1},
                )
                opening = session.client("sesv2", endpoint_url=settings.endpoint or None, config=config)
                self._client = await self._open.enter_async_context(opening)
            return self._client


def _destination(outgoing: Outgoing) -> dict[str, list[str]]:
    groups = {"ToAddresses": outgoing.to, "CcAddresses": outgoing.cc, "BccAddresses": outgoing.bcc}
    return {kind: [address.email for address in addresses] for kind, addresses in groups.items() if addresses}


def _tags(outgoing: Outgoing) -> list[dict[str, str]]:
    """https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_MessageTag.html"""
    tags = {REFERENCE: outgoing.reference, "category": outgoing.category}
    return [
        {"Name": name, "Value": value}
        for name, value in tags.items()
        if _TAG.fullmatch(value) and len(value) < LONGEST_TAG
    ]


def _verdict(response: Any) -> Refused | ProviderUnavailable:
    """https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html#API_SendEmail_Errors"""
    error = MappingProxyType(response.get("Error", {}))
    code, reason = str(error.get("Code", "")), str(error.get("Message", ""))[:500]
    status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if code in LATER or status in (408, 429) or status >= 500:
        return ProviderUnavailable(f"Amazon SES answers {code}: {reason}")
    if code in CONTENT and "not verified" not in reason:
        return Refused(reason, permanent=True, kind="content", code=code)
    reason = f"Amazon SES refuses the account's key or settings: {reason}"
    return Refused(reason, permanent=True, kind="provider", code=code)


# -- its webhooks ----------------------------------------------------------------------------------------

# Event type -> our kind, the object with details, and in it the list of recipients.
_KINDS: Mapping[str, tuple[feedback.Kind, str, str]] = {
    "Bounce": ("bounced", "bounce", "bouncedRecipients"),
    "Complaint": ("complained", "complaint", "complainedRecipients"),
    "Delivery": ("delivered", "delivery", "recipients"),
    "DeliveryDelay": ("deferred", "deliveryDelay", "delayedRecipients"),
    "Reject": ("bounced", "reject", ""),
    "Open": ("opened", "open", ""),
    "Click": ("clicked", "click", ""),
    "Subscription": ("unsubscribed", "subscription", ""),
}


async def read(call: WebhookCall, topics: Collection[str], tolerance: timedelta) -> list[Feedback]:
    """Verify a call and return its events, one for each recipient; [] where it was about an SNS subscription.

    Raises:
        BadRequest: see `sns.read`; or the notification is not JSON.
        PayloadTooLarge: it is about too many recipients.
        Unavailable: Amazon could not be reached.
    """
    notification = await sns.read(call, topics, tolerance, app_singleton(sns.Certificates), sns.fetch)
    if notification is None:
        return []
    event = feedback.json_of(notification["Message"].encode())
    name = text(part(event, "eventType")) or text(part(event, "notificationType"))
    reference = _reference(event)
    if name not in _KINDS or not reference:
        return []
    kind, details_name, recipients_name = _KINDS[name]
    details = part(event, details_name)
    recipients = _recipients(event, details, recipients_name)
    feedback.check_number(recipients)
    at = feedback.happened_at(iso_time(part(details, "timestamp")) or iso_time(notification["Timestamp"]))
    number = feedback.event_id(notification["MessageId"])
    return [
        Feedback(
            reference=reference,
            kind=kind,
            at=at,
            recipient=feedback.address(part(each, "emailAddress") or each),
            event=number if position == 0 else f"{number}/{position}",
            detail=_detail(each, details),
            suppress=_suppress(name, details),
            # SES reports out-of-office notes like this: /dg/notification-contents.html#bounce-types
            perhaps_answer=part(details, "bounceType") == "Transient" and part(details, "bounceSubType") == "General",
        )
        for position, each in enumerate(recipients)
    ]


def _reference(event: object) -> str:
    """Our reference, from the tags where SES passes them on, else from the message's header."""
    for value in items(part(event, "mail", "tags", REFERENCE)):
        if found := text(value, 2_000):
            return found
    for header in items(part(event, "mail", "headers")):
        if text(part(header, "name")).lower() == REFERENCE_HEADER.lower():
            return text(part(header, "value"), 2_000)
    return ""


def _recipients(event: object, details: object, recipients_name: str) -> list[object]:
    """The recipients of an event; where SES names none, the message's only recipient, else [""]."""
    if recipients_name:
        return items(part(details, recipients_name))
    sent_to = items(part(event, "mail", "destination"))
    return sent_to if len(sent_to) == 1 else [""]


def _detail(recipient: object, details: object) -> str:
    said = (
        text(part(recipient, "diagnosticCode")) or text(part(details, "smtpResponse")) or text(part(details, "reason"))
    )
    kinds = [part(details, "bounceType"), part(details, "bounceSubType"), part(details, "delayType")]
    named = " ".join(text(each) for each in (*kinds, part(details, "complaintFeedbackType")) if text(each))
    return ": ".join(each for each in (named, said) if each)[:500] or text(part(details, "link"))


def _suppress(name: str, details: object) -> Unwanted | None:
    if name == "Complaint":
        return "complaint"
    return "bounce" if name == "Bounce" and part(details, "bounceType") == "Permanent" else None


PROVIDER = MailProvider(
    name="ses",
    title="Amazon SES",
    settings=SesSettings,
    account=SesAccount,
    create=lambda settings, _: SesProvider(settings),
    most_recipients=50,
    smtputf8=False,
    webhook=Webhook(lambda settings: settings.topics, read),
)
