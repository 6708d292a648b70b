"""Mail provider `sendgrid`: send messages through Twilio SendGrid's Mail Send API.

https://www.twilio.com/docs/sendgrid/api-reference/mail-send/mail-send
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ..addresses import Address
from ..outgoing import REFERENCE, Outgoing, check, header_value
from ..settings import SendGridSettings
from .contract import Kind, Receipt, Refused, refuse_smtputf8
from .http_api import Api, document_of, said

if TYPE_CHECKING:
    import httpx

ENDPOINTS = MappingProxyType({"us": "https://api.sendgrid.com", "eu": "https://api.eu.sendgrid.com"})
MOST_RECIPIENTS = 1000  # https://docs.sendgrid.com/api-reference/mail-send/limitations

_RECIPIENT = re.compile(r"personalizations\.(\d+)\.(to|cc|bcc)\.(\d+)")


class SendGridProvider:
    """SendGrid. It builds the message from its parts, with our Message-ID; `provider_id` is its X-Message-Id, with
    which the `sg_message_id` of its events begins. Our reference comes back in events as the custom argument
    `reference`. Its own tracking is switched off: the tenant decides about tracking, not the account."""

    name = "sendgrid"

    def __init__(self, settings: SendGridSettings) -> None:
        self._api = Api(
            self.name,
            settings.endpoint or ENDPOINTS[settings.region],
            timeout=settings.timeout,
            connections=settings.concurrency,
            headers={"Authorization": f"Bearer {settings.api_key.get_secret_value()}"},
        )

    async def deliver(self, outgoing: Outgoing) -> Receipt:
        """POST /v3/mail/send; 202 means taken."""
        refuse_smtputf8(outgoing, "SendGrid")
        if len(outgoing.recipients) > MOST_RECIPIENTS:
            raise Refused(f"SendGrid takes {MOST_RECIPIENTS} recipients at most", permanent=True, kind="content")
        try:
            check(outgoing)
        except ValueError as error:
            raise Refused(str(error), permanent=True, kind="content") from None
        content = _content(outgoing)
        answer = await self._api.post("/v3/mail/send", json=content)
        if not answer.is_success:
            raise _refused(answer, content)
        return Receipt(self.name, answer.headers.get("X-Message-Id", ""))

    async def check(self) -> str | None:
        """GET /v3/scopes: whether the key may send mail."""
        try:
            answer = await self._api.get("/v3/scopes")
        except Exception as error:
            return str(error)
        scopes = document_of(answer).get("scopes")
        return None if isinstance(scopes, list) and "mail.send" in scopes else "the SendGrid key may not send mail"

    async def close(self) -> None:
        """Close the connections."""
        await self._api.close()


def _content(outgoing: Outgoing) -> dict[str, Any]:
    content: dict[str, Any] = {
        "personalizations": list(_personalizations(outgoing)),
        "from": _mailbox(outgoing.sender),
        "subject": outgoing.subject,
        "content": [
            {"type": f"text/{subtype}", "value": text}
            for subtype, text in (("plain", outgoing.text), ("html", outgoing.html))
            if text
        ],
        # Message-ID is not one of the reserved headers: https://github.com/anymail/django-anymail/issues/108
        "headers": {
            "Message-ID": outgoing.message_id,
            **{name: header_value(value) for name, value in outgoing.headers},
        },
        "tracking_settings": {
            "click_tracking": {"enable": False, "enable_text": False},
            "open_tracking": {"enable": False},
        },
    }
    if outgoing.reply_to:
        content["reply_to_list"] = _mailboxes(outgoing.reply_to)
    if outgoing.category:
        content["categories"] = [outgoing.category]
    if outgoing.reference:
        content["custom_args"] = {REFERENCE: outgoing.reference}
    if outgoing.attachments:
        content["attachments"] = [
            {
                "content": base64.b64encode(attached.content).decode(),
                "type": attached.content_type,
                "filename": attached.filename,
                "disposition": "attachment",
            }
            for attached in outgoing.attachments
        ]
    return content


def _personalizations(outgoing: Outgoing) -> Iterator[dict[str, Any]]:
    """One envelope; without a recipient in To, one for each of the others, since SendGrid requires a To.

    An address may be in an envelope only once.
    """
    groups: dict[str, list[Address]] = {"to": [], "cc": [], "bcc": []}
    seen: set[str] = set()
    for kind, addresses in (("to", outgoing.to), ("cc", outgoing.cc), ("bcc", outgoing.bcc)):
        for address in addresses:
            if address.key not in seen:
                seen.add(address.key)
                groups[kind].append(address)
    if groups["to"]:
        yield {kind: _mailboxes(addresses) for kind, addresses in groups.items() if addresses}
    else:
        for address in (*groups["cc"], *groups["bcc"]):
            yield {"to": [_mailbox(address)]}


def _mailboxes(addresses: Sequence[Address]) -> list[dict[str, str]]:
    return [_mailbox(address) for address in addresses]


def _mailbox(address: Address) -> dict[str, str]:
    # Names of recipients cannot have ; or , in them: https://docs.sendgrid.com/api-reference/mail-send/limitations
    name = re.sub(r"\s*[,;]\s*", " ", address.name).strip()
    return {"email": address.email, "name": name} if name else {"email": address.email}


def _refused(answer: httpx.Response, content: dict[str, Any]) -> Refused:
    """A 400 or 413: https://www.twilio.com/docs/sendgrid/api-reference/how-to-use-the-sendgrid-v3-api/responses"""
    code, errors = str(answer.status_code), document_of(answer).get("errors")
    recipients: dict[str, Refused] = {}
    for error in errors if isinstance(errors, list) else ():
        match = _RECIPIENT.match(str(error.get("field"))) if isinstance(error, dict) else None
        if match:
            try:
                email = content["personalizations"][int(match[1])][match[2]][int(match[3])]["email"]
            except (KeyError, IndexError):
                continue
            recipients[email] = Refused(str(error.get("message"))[:500], permanent=True, kind="address", code=code)
    kind: Kind = "address" if recipients else "content"
    return Refused(said(answer), permanent=True, kind=kind, code=code, recipients=recipients)
