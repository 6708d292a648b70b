"""SendGrid's Mail Send API as documented, and nothing beyond it.

https://www.twilio.com/docs/sendgrid/api-reference/mail-send/mail-send
"""

from __future__ import annotations

import base64
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from .http import HttpPeer, fields_of, serving
from .taken import NOBODY, SPAM, Taken

KEY = "SG.key-of-the-test"
RESERVED = {
    *("x-sg-id", "x-sg-eid", "received", "dkim-signature", "content-type", "content-transfer-encoding"),
    *("to", "from", "subject", "reply-to", "cc", "bcc"),
}


class SendGridPeer(HttpPeer):
    async def send(self, request: web.Request) -> web.Response:
        """POST /v3/mail/send"""
        self.requests += 1
        if refusal := self._refusal(request):
            return refusal
        self.expect(request.headers.get("Content-Type") == "application/json", "Content-Type")
        if int(request.headers.get("Content-Length", 0)) > 30_000_000:
            return errors(413, "Payload too large. The JSON payload you have included in your request is too large.")
        document = await request.json()
        self._check(document)
        for number, envelope in enumerate(document["personalizations"]):
            for kind in ("to", "cc", "bcc"):
                for place, each in enumerate(envelope.get(kind, [])):
                    if each["email"].startswith(NOBODY):
                        field = f"personalizations.{number}.{kind}.{place}.email"
                        return errors(400, "Does not contain a valid address.", field)
        if document["subject"] == SPAM:
            return errors(400, "The content is not wanted here.", "content")
        if not document["subject"]:
            return errors(400, "The subject is required.", "subject")
        self.taken += [self._taken(document, envelope) for envelope in document["personalizations"]]
        return web.Response(status=202, headers={"X-Message-Id": f"sg{len(self.taken)}"})

    async def scopes(self, request: web.Request) -> web.Response:
        """GET /v3/scopes"""
        return self._refusal(request) or web.json_response({"scopes": ["mail.send", "alerts.read"]})

    def _refusal(self, request: web.Request) -> web.Response | None:
        if self.answer is not None:
            return self.answer
        if self.mood == "away":
            return web.Response(status=503, text="upstream connect error")
        if self.mood == "throttled":
            headers = {"X-RateLimit-Limit": "600", "X-RateLimit-Remaining": "0"}
            return errors(
                429, "too many requests", headers={**headers, "X-RateLimit-Reset": str(int(time.time()) + 30)}
            )
        if self.mood == "locked" or request.headers.get("Authorization") != f"Bearer {KEY}":
            return errors(401, "The provided authorization grant is invalid, expired, or revoked")
        return None

    def _check(self, document: dict[str, Any]) -> None:
        known: dict[str, type | tuple[type, ...]] = {
            **dict.fromkeys(("personalizations", "content", "attachments", "categories", "reply_to_list"), list),
            **dict.fromkeys(("from", "headers", "custom_args", "tracking_settings"), dict),
            "subject": str,
        }
        fields_of(document, "", self, known)
        everybody: list[str] = []
        for envelope in document["personalizations"]:
            fields_of(envelope, "personalizations", self, {"to": list, "cc": list, "bcc": list})
            self.expect(bool(envelope.get("to")), "personalizations.to is required")
            people = [each for kind in ("to", "cc", "bcc") for each in envelope.get(kind, [])]
            for each in people:
                fields_of(each, "recipient", self, {"email": str, "name": str})
                self.expect(not set(each.get("name", "")) & set(",;"), "a name has , or ; in it")
            emails = [each["email"].lower() for each in people]
            self.expect(len(set(emails)) == len(emails), "an address is in an envelope twice")
            everybody += emails
        self.expect(len(everybody) <= 1000, "too many recipients")
        fields_of(document["from"], "from", self, {"email": str, "name": str})
        self.expect("content" in document and len(document["content"]) > 0, "content is required")
        for part in document["content"]:
            fields_of(part, "content", self, {"type": str, "value": str})
            self.expect(bool(part["value"]), "content.value is empty")
        types = [part["type"] for part in document["content"]]
        self.expect(types == sorted(types, key=["text/plain", "text/html"].index), "text/plain comes first")
        for name, value in document.get("headers", {}).items():
            self.expect(name.lower() not in RESERVED, f"the header {name} is reserved")
            self.expect(isinstance(value, str) and value.isascii() and "\n" not in value, f"the header {name}")
        for attachment in document.get("attachments", []):
            fields_of(
                attachment, "attachments", self, dict.fromkeys(("content", "type", "filename", "disposition"), str)
            )
        categories = document.get("categories", [])
        self.expect(len(categories) <= 10 and all(len(each) <= 255 for each in categories), "categories")
        arguments = document.get("custom_args", {})
        self.expect(all(isinstance(each, str) for each in arguments.values()), "custom_args holds text")
        self.expect(len(str(arguments)) < 10_000, "custom_args is too large")

    def _taken(self, document: dict[str, Any], envelope: dict[str, Any]) -> Taken:
        content = {part["type"]: part["value"].strip() for part in document["content"]}
        shown = {name: value for name, value in document.items() if name not in ("personalizations", "custom_args")}
        return Taken(
            envelope=[each["email"] for kind in ("to", "cc", "bcc") for each in envelope.get(kind, [])],
            sender=document["from"]["email"],
            message_id=document["headers"]["Message-ID"],
            subject=document["subject"],
            text=content.get("text/plain", ""),
            html=content.get("text/html", ""),
            headers=document["headers"],
            files=[
                (each["filename"], each["type"], base64.b64decode(each["content"], validate=True))
                for each in document.get("attachments", [])
            ],
            reference=document.get("custom_args", {}).get("reference", ""),
            shown=f"{shown} {envelope.get('to')} {envelope.get('cc')}",
        )


def errors(status: int, message: str, field: str | None = None, headers: dict[str, str] | None = None) -> web.Response:
    """https://www.twilio.com/docs/sendgrid/api-reference/how-to-use-the-sendgrid-v3-api/responses"""
    document = {"errors": [{"message": message, "field": field, "help": None}]}
    return web.json_response(document, status=status, headers=headers)


@asynccontextmanager
async def sendgrid_server() -> AsyncIterator[SendGridPeer]:
    """On a port of its own."""
    peer = SendGridPeer()
    async with serving(peer, [web.post("/v3/mail/send", peer.send), web.get("/v3/scopes", peer.scopes)]):
        yield peer
