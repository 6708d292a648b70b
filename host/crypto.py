"""Derive keys from the deployment's secret: signed tokens, keyed signatures and AES-GCM encryption."""

from __future__ import annotations

import hmac
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections import OrderedDict
from collections.abc import Mapping
from hashlib import blake2b
from uuid import UUID

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_MAC, _NONCE = 16, 12  # bytes
_KEYS_KEPT = 10_000


def derived(secret: str, purpose: str) -> bytes:
    """A key of its own for each purpose, 32 bytes, from the deployment's one secret (HKDF-Expand, RFC 5869)."""
    return hmac.digest(secret.encode(), f"tenantry {purpose}".encode() + b"\x01", "sha256")


class SignedTokens:
    """Signed, unencrypted tokens scoped to tenant, plugin and purpose; they never expire.

    Whoever holds a token can read its claims, so it must hold no secret.
    """

    def __init__(self, secret: str) -> None:
        self._key = derived(secret, "passes")

    def sign(self, tenant_id: UUID, plugin: str, purpose: str, claims: Mapping[str, str]) -> str:
        """A token as text that fits into a URL."""
        payload = tenant_id.bytes + orjson.dumps(claims)
        return urlsafe_b64encode(self._mac(payload, plugin, purpose) + payload).rstrip(b"=").decode()

    def verify(self, token: str, plugin: str, purpose: str) -> tuple[UUID, dict[str, str]] | None:
        """The tenant and claims of a token; None if it was not signed here, by this plugin, for this purpose."""
        try:
            raw = urlsafe_b64decode(token.encode("ascii") + b"=" * (-len(token) % 4))
        except ValueError:
            return None
        payload = raw[_MAC:]
        if len(payload) < 16 or not hmac.compare_digest(raw[:_MAC], self._mac(payload, plugin, purpose)):
            return None
        if urlsafe_b64encode(raw).rstrip(b"=").decode() != token:  # base64 has several spellings; only one is accepted
            return None
        return UUID(bytes=payload[:16]), orjson.loads(payload[16:])

    def _mac(self, payload: bytes, plugin: str, purpose: str) -> bytes:
        return hmac.digest(self._key, f"{plugin}\0{purpose}\0".encode() + payload, "sha256")[:_MAC]


class Signatures:
    """Signatures by keyed BLAKE2b (RFC 7693), with a key of its own for each plugin in each tenant."""

    def __init__(self, secret: str) -> None:
        self._secret = secret
        self._keys: OrderedDict[tuple[UUID, str, str], bytes] = OrderedDict()

    def make(self, data: bytes, tenant_id: UUID, plugin: str, secret: str = "") -> bytes:
        """The signature, 32 bytes; secret: another one than the deployment's own."""
        key_id = (tenant_id, plugin, secret)
        key = self._keys.get(key_id)
        if key is None:
            key = self._keys[key_id] = derived(secret or self._secret, f"signature {plugin} {tenant_id}")
            if len(self._keys) > _KEYS_KEPT:
                self._keys.popitem(last=False)
        return blake2b(data, key=key, digest_size=32).digest()


class Encryption:
    """Encrypts what a plugin stores for a tenant and nobody else may read, such as a password (AES-256-GCM)."""

    def __init__(self, secret: str) -> None:
        self._cipher = AESGCM(derived(secret, "seals"))

    def encrypt(self, text: str, tenant_id: UUID, plugin: str) -> str:
        """The text, encrypted; only the same plugin in the same tenant can open it."""
        nonce = secrets.token_bytes(_NONCE)
        return urlsafe_b64encode(nonce + self._cipher.encrypt(nonce, text.encode(), _owner(tenant_id, plugin))).decode()

    def decrypt(self, encrypted: str, tenant_id: UUID, plugin: str) -> str:
        """The text that was encrypted.

        Raises:
            ValueError: it was not encrypted by this plugin in this tenant, or the deployment has another secret now.
        """
        try:
            raw = urlsafe_b64decode(encrypted.encode("ascii"))
            return self._cipher.decrypt(raw[:_NONCE], raw[_NONCE:], _owner(tenant_id, plugin)).decode()
        except (InvalidTag, ValueError) as error:
            raise ValueError(
                f"this was not encrypted by {plugin} in this organisation, or identity.secret has changed since"
            ) from error


def _owner(tenant_id: UUID, plugin: str) -> bytes:
    return tenant_id.bytes + plugin.encode()
