"""Recognise a browser from which a person has signed in before, by a signed cookie value.

Attempts from such a browser are counted separately, so anonymous callers cannot use up its owner's attempts
(https://owasp.org/www-community/Slow_Down_Online_Guessing_Attacks_with_Device_Cookies). The value grants no access.
"""

from __future__ import annotations

import hmac
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from uuid import UUID

from host.crypto import derived
from host.services import services

_ID, _MAC = 16, 32  # bytes


def device_token(user_id: UUID) -> str:
    """A new value for a browser in which `user_id` has just signed in, safe in a cookie."""
    device = secrets.token_bytes(_ID)
    return urlsafe_b64encode(device + _mac(user_id, device)).rstrip(b"=").decode()


def device_id(token: str, user_id: UUID) -> str:
    """The id of the browser, in hexadecimal; empty where this person has not signed in from it."""
    try:
        raw = urlsafe_b64decode(token.encode("ascii") + b"=" * (-len(token) % 4))
    except ValueError:
        return ""
    device, mac = raw[:_ID], raw[_ID:]
    return device.hex() if len(mac) == _MAC and hmac.compare_digest(mac, _mac(user_id, device)) else ""


def _mac(user_id: UUID, device: bytes) -> bytes:
    secret = services().settings.identity.secret.get_secret_value()
    return hmac.digest(derived(secret, "device"), user_id.bytes + device, "sha256")
