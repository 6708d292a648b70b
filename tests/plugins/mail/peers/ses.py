"""Amazon SES v2 as documented: signatures checked, limits kept. moto knows neither, nor any of the errors.

https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html
"""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256
from typing import Any

from aiohttp import web

from .http import HttpPeer, fields_of, serving
from .taken import SPAM, from_mime

KEY, SECRET, REGION = "AKIDOFTHETEST", "secret-of-the-test", "eu-central-1"
_TAG = re.compile(r"[A-Za-z0-9_.@-]{1,255}")


class SesPeer(HttpPeer):
    async def send(self, request: web.Request) -> web.Response:
        """POST /v2/email/outbound-emails"""
        self.requests += 1
        body = await request.read()
        if refusal := self._refusal(request, body):
            return refusal
        document: dict[str, Any] = await request.json()
        known: dict[str, type | tuple[type, ...]] = {
            "FromEmailAddress": str,
            "Destination": dict,
            "Content": dict,
            "EmailTags": list,
            "ConfigurationSetName": str,
        }
        fields_of(document, "", self, known)
        groups = dict.fromkeys(("ToAddresses", "CcAddresses", "BccAddresses"), list)
        fields_of(document["Destination"], "Destination", self, groups)
        envelope = [each for group in document["Destination"].values() for each in group]
        if not 1 <= len(envelope) <= 50:
            return error(400, "BadRequestException", "Recipient count exceeds 50.")
        self.expect(all(each.isascii() for each in envelope), "an address leaves ASCII")
        for tag in document.get("EmailTags", []):
            fields_of(tag, "EmailTags", self, {"Name": str, "Value": str})
            self.expect(bool(_TAG.fullmatch(tag["Name"]) and _TAG.fullmatch(tag["Value"])), f"the tag {tag}")
        self.expect(list(document["Content"]) == ["Raw"], "Content")
        raw = base64.b64decode(document["Content"]["Raw"]["Data"], validate=True)
        if len(raw) > 40 * 2**20:
            return error(400, "BadRequestException", "Message length is more than 41943040 bytes long.")
        self.expect(max(map(len, raw.split(b"\r\n"))) <= 998, "a line is too long")
        tags = {tag["Name"]: tag["Value"] for tag in document.get("EmailTags", [])}
        taken = from_mime(raw, envelope, tags.get("reference", ""))
        if taken.subject == SPAM:
            return error(400, "MessageRejected", "Message was rejected: content.")
        message_id = f"0107{len(self.taken):04}-000000"
        # As the real one does: https://docs.aws.amazon.com/ses/latest/dg/header-fields.html
        taken.message_id = f"<{message_id}@{REGION}.amazonses.com>"
        self.taken.append(taken)
        return web.json_response({"MessageId": message_id})

    async def account(self, request: web.Request) -> web.Response:
        """GET /v2/email/account"""
        return self._refusal(request, b"") or web.json_response({"SendingEnabled": True})

    def _refusal(self, request: web.Request, body: bytes) -> web.Response | None:
        if self.answer is not None:
            return self.answer
        if self.mood == "away":
            return error(503, "ServiceUnavailable", "try again")
        if self.mood == "throttled":
            return error(429, "TooManyRequestsException", "Maximum sending rate exceeded.")
        if self.mood == "locked":
            return error(403, "UnrecognizedClientException", "The security token included in the request is invalid.")
        if not signed(request, body):
            return error(403, "SignatureDoesNotMatch", "The request signature we calculated does not match.")
        return None


def signed(request: web.Request, body: bytes) -> bool:
    """https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html"""
    header = request.headers.get("Authorization", "")
    found = re.fullmatch(
        r"AWS4-HMAC-SHA256 Credential=([^,]+), SignedHeaders=([^,]+), Signature=([0-9a-f]{64})", header
    )
    if found is None:
        return False
    key, day, region, service, end = found[1].split("/")
    if (key, region, service, end) != (KEY, REGION, "ses", "aws4_request"):
        return False
    names = found[2].split(";")
    if not {"host", "x-amz-date"} <= set(names):
        return False
    headers = "".join(f"{name}:{request.headers[name].strip()}\n" for name in names)
    canonical = "\n".join(
        [request.method, request.path, request.query_string, headers, found[2], sha256(body).hexdigest()]
    )
    scope = f"{day}/{region}/{service}/{end}"
    text = "\n".join(["AWS4-HMAC-SHA256", request.headers["X-Amz-Date"], scope, sha256(canonical.encode()).hexdigest()])
    secret = f"AWS4{SECRET}".encode()
    for part in (day, region, service, end):
        secret = hmac.digest(secret, part.encode(), "sha256")
    return hmac.compare_digest(hmac.digest(secret, text.encode(), "sha256").hex(), found[3])


def error(status: int, code: str, text: str) -> web.Response:
    """https://docs.aws.amazon.com/ses/latest/APIReference-V2/CommonErrors.html"""
    headers = {"x-amzn-ErrorType": code}
    return web.json_response({"message": text}, status=status, headers=headers)


@asynccontextmanager
async def ses_server() -> AsyncIterator[SesPeer]:
    """On a port of its own."""
    peer = SesPeer()
    routes = [web.post("/v2/email/outbound-emails", peer.send), web.get("/v2/email/account", peer.account)]
    async with serving(peer, routes):
        yield peer
