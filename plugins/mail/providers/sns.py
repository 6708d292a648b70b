"""Verify Amazon SNS messages, fetch their certificates and confirm subscriptions.

Sources: https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html
and https://docs.aws.amazon.com/sns/latest/dg/sns-message-and-json-formats.html
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Awaitable, Callable, Collection, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from host.sdk import BadRequest, OutboundError, Unavailable, WebhookCall, public_client

from .feedback import check_age, iso_time, json_of, refused_signature

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

Fetch = Callable[[str], Awaitable[bytes]]

_NOTIFICATION = ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type")
_CONFIRMATION = ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")
_SIGNED: Mapping[str, tuple[str, ...]] = {
    "Notification": _NOTIFICATION,
    "SubscriptionConfirmation": _CONFIRMATION,
    "UnsubscribeConfirmation": _CONFIRMATION,
}
# Strictly Amazon's region names: sns.s3-us-west-2.amazonaws.com could be anybody's bucket.
_HOST = re.compile(r"sns\.[a-z]{2}(?:-[a-z]+)+-[0-9]{1,2}\.amazonaws\.com(?:\.cn)?")
_MAX_ANSWER, _TIMEOUT = 64 * 1024, 5.0  # bytes, seconds
_MAX_CERTIFICATES = 64


async def fetch(url: str) -> bytes:
    """Fetch a URL of Amazon, 64 KB at most; no redirect is followed.

    Raises:
        Unavailable: there was no answer, an error, or too long an answer.
    """
    try:
        async with public_client(seconds=_TIMEOUT, max_bytes=_MAX_ANSWER, redirects=0) as web:
            answer = await web.get(url)
    except OutboundError as error:
        raise Unavailable(f"Amazon did not answer as it should ({error.what}); SNS will send this again.") from error
    if not answer.is_success:
        raise Unavailable(f"Amazon answered {answer.status_code}; SNS will send this again.")
    return answer.content


class Certificates:
    """Cache of the certificates that SNS signs with; the content of a certificate's URL never changes."""

    def __init__(self) -> None:
        self._known: dict[str, Certificate] = {}

    async def get(self, url: str, fetch: Fetch) -> Certificate:
        """The certificate at a URL of Amazon.

        Raises:
            BadRequest: the URL is not Amazon's, or there is no currently valid certificate.
            Unavailable: it could not be fetched.
        """
        certificate = self._known.get(url)
        if certificate is None:
            certificate = await self._fetched(url, fetch)
        now = datetime.now(UTC)
        if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
            raise refused_signature()
        if len(self._known) >= _MAX_CERTIFICATES:
            self._known.clear()
        self._known[url] = certificate
        return certificate

    async def _fetched(self, url: str, fetch: Fetch) -> Certificate:
        from cryptography.x509 import load_pem_x509_certificate

        if not (is_amazons(url) and urlsplit(url).path.endswith(".pem")):
            raise refused_signature()
        try:
            return load_pem_x509_certificate(await fetch(url))
        except ValueError:
            raise refused_signature() from None


def is_amazons(url: str) -> bool:
    """Whether a URL is one of SNS: https, the service's host in a region, no port, user or fragment."""
    try:
        parts = urlsplit(url)
        usual = parts.scheme == "https" and parts.netloc == parts.hostname and not parts.fragment
    except ValueError:
        return False
    return usual and _HOST.fullmatch(parts.netloc) is not None and url.isascii() and url.isprintable()


async def read(
    call: WebhookCall, topics: Collection[str], tolerance: timedelta, certificates: Certificates, fetch: Fetch
) -> Mapping[str, str] | None:
    """Verify a call and return its notification (MessageId, Message, Timestamp, …); None for subscription messages.

    A subscription to one of `topics` is confirmed.

    Raises:
        BadRequest: signature, topic, time or shape is wrong.
        Unavailable: Amazon could not be reached for its certificate, or to confirm.
    """
    message = _strings(json_of(call.body))
    if message.get("TopicArn") not in topics:
        raise BadRequest("This topic is not among the configured SNS topics.")
    await _verify(message, certificates, fetch)
    sent_at = iso_time(message.get("Timestamp"))
    if sent_at is None:
        raise refused_signature()
    check_age(sent_at, tolerance)
    if message["Type"] == "Notification":
        return message
    if message["Type"] == "SubscriptionConfirmation":
        url = message["SubscribeURL"]
        if not is_amazons(url):
            raise BadRequest("The SubscribeURL is not one of Amazon's.")
        await fetch(url)
    return None


def _strings(document: object) -> Mapping[str, str]:
    if not isinstance(document, dict):
        raise BadRequest("SNS sends a JSON object.")
    return {name: value for name, value in document.items() if isinstance(value, str)}


async def _verify(message: Mapping[str, str], certificates: Certificates, fetch: Fetch) -> None:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from cryptography.hazmat.primitives.hashes import SHA1, SHA256

    version = message.get("SignatureVersion")
    # SNS signs with SHA-1 unless the topic is configured otherwise.
    algorithm = {"1": SHA1(), "2": SHA256()}.get(version or "")  # noqa: S303
    if algorithm is None:
        raise refused_signature()
    signed = _signed(message)
    key = (await certificates.get(message.get("SigningCertURL", ""), fetch)).public_key()
    if not isinstance(key, RSAPublicKey):
        raise refused_signature()
    try:
        key.verify(base64.b64decode(message.get("Signature", ""), validate=True), signed, PKCS1v15(), algorithm)
    except (InvalidSignature, binascii.Error, ValueError):
        raise refused_signature() from None


def _signed(message: Mapping[str, str]) -> bytes:
    """The signed text: names and values of certain fields, each on a line, sorted by name."""
    names = _SIGNED.get(message.get("Type", ""))
    if names is None or any(name not in message for name in names if name != "Subject"):
        raise refused_signature()
    return "".join(f"{name}\n{message[name]}\n" for name in names if name in message).encode()
