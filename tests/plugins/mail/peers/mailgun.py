"""Mailgun's messages.mime as documented, and nothing beyond it.

https://documentation.mailgun.com/docs/mailgun/api-reference/send/mailgun/messages/post-v3--domain-name--messages-mime
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from .http import HttpPeer, serving
from .taken import NOBODY, SPAM, from_mime

KEY, DOMAIN = "key-of-the-test", "mg.acme.example"
BASIC = f"Basic {b64encode(f'api:{KEY}'.encode()).decode()}"
FIELDS = {"to", "message", "o:tag", "o:tracking", "v:reference"}


class MailgunPeer(HttpPeer):
    async def send(self, request: web.Request) -> web.Response:
        """POST /v3/{domain}/messages.mime"""
        self.requests += 1
        if refusal := self._refusal(request):
            return refusal
        self.expect(request.content_type == "multipart/form-data", "Content-Type")
        form = await request.post()
        self.expect(set(form) <= FIELDS, f"unknown fields {set(form) - FIELDS}")
        if "to" not in form:
            return message(400, "to parameter is missing")
        uploaded = form["message"]
        assert isinstance(uploaded, web.FileField), "message is uploaded as a file"
        raw = uploaded.file.read()
        if len(raw) > 25 * 2**20:
            return message(413, "Message exceeds the maximum size")
        options = [str(value) for name, value in form.items() if name[:2] in ("o:", "h:", "v:", "t:")]
        self.expect(sum(map(len, options)) <= 16_000, "options are too large")
        self.expect(form.get("o:tracking", "no") in ("yes", "no", "true", "false", "htmlonly"), "o:tracking")
        envelope = [address.strip() for value in form.getall("to") for address in str(value).split(",")]
        self.expect(len(envelope) <= 1000, "too many recipients")
        if any(address.startswith(NOBODY) or not address.isascii() for address in envelope):
            return message(400, "to parameter is not a valid address. please check documentation")
        taken = from_mime(raw, envelope, str(form.get("v:reference", "")))
        if taken.subject == SPAM:
            return message(400, "message is not wanted here")
        self.taken.append(taken)
        return web.json_response({"id": taken.message_id, "message": "Queued. Thank you."})

    async def incomplete(self, request: web.Request) -> web.Response:
        """POST /v3/{domain}/messages, with nothing in it"""
        self.expect(await request.read() == b"", "nothing is sent to this address")
        return self._refusal(request) or message(400, "from parameter is missing")

    def _refusal(self, request: web.Request) -> web.Response | None:
        if self.answer is not None:
            return self.answer
        if self.mood == "away":
            return web.Response(status=500, text="Internal Server Error")
        if self.mood == "throttled":
            return web.json_response({"message": "rate limit exceeded"}, status=429, headers={"Retry-After": "30"})
        if self.mood == "locked" or request.headers.get("Authorization") != BASIC:
            return web.Response(status=401, text="Forbidden")
        if request.match_info["domain"] != DOMAIN:
            return message(404, f"Domain not found: {request.match_info['domain']}")
        return None


def message(status: int, text: str) -> web.Response:
    """https://documentation.mailgun.com/docs/mailgun/quickstart-guide/responses"""
    return web.json_response({"message": text}, status=status)


@asynccontextmanager
async def mailgun_server() -> AsyncIterator[MailgunPeer]:
    """On a port of its own."""
    peer = MailgunPeer()
    routes = [
        web.post("/v3/{domain}/messages.mime", peer.send),
        web.post("/v3/{domain}/messages", peer.incomplete),
    ]
    async with serving(peer, routes):
        yield peer
