"""Encode and decode signed pagination cursors, bound to the tenant and the list they came from."""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error
from collections.abc import Sequence
from hashlib import sha256

import orjson

from host.errors import BadRequest

_SIGNATURE = 16  # bytes


def encode(key: bytes, scope: Sequence[str], position: Sequence[object]) -> str:
    """A cursor for `position`; it is valid only for `scope`: tenant, list, order and filters."""
    payload = orjson.dumps(list(position))
    return urlsafe_b64encode(_sign(key, scope, payload) + payload).rstrip(b"=").decode()


def decode(key: bytes, scope: Sequence[str], cursor: str) -> list[object]:
    """The position in a cursor.

    Raises:
        BadRequest: it was made for another tenant, list, order or filter, or by somebody else.
    """
    try:
        raw = urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4))
    except (Error, ValueError) as exc:
        raise BadRequest("The cursor is not valid: use the one that this list returned.") from exc
    signature, payload = raw[:_SIGNATURE], raw[_SIGNATURE:]
    if not hmac.compare_digest(signature, _sign(key, scope, payload)):
        raise BadRequest("The cursor does not belong to this list; begin again without it.")
    position: list[object] = orjson.loads(payload)
    return position


def _sign(key: bytes, scope: Sequence[str], payload: bytes) -> bytes:
    return hmac.digest(key, orjson.dumps(list(scope)) + b"\n" + payload, sha256)[:_SIGNATURE]
