"""Create and verify tokens: signed access tokens (JWT), refresh tokens, and random one-time tokens."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import struct
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections import OrderedDict
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

from host.crypto import derived
from host.errors import TokenExpired, Unauthenticated

_REFRESH = struct.Struct("!16sI32s")  # session id, generation, MAC


@dataclass(frozen=True, slots=True)
class Claims:
    """What an access token says. Times are seconds since 1970; `tenant_id` is the default tenant."""

    user_id: UUID
    session_id: UUID
    token_version: int
    tenant_id: UUID | None
    is_operator: bool
    issued_at: int
    expires_at: int


class AccessTokens:
    """Makes and reads access tokens (JWT, RFC 7519, HS256).

    secret: the deployment's signing secret. lifetime: how long a token is valid. remembered: how many verified tokens
    are cached, so that the signature is computed once; the expiry is checked every time.
    """

    def __init__(self, secret: str, lifetime: timedelta, remembered: int = 10_000) -> None:
        self._key = OctKey.import_key(derived(secret, "access token"))
        self._lifetime = int(lifetime.total_seconds())
        self._remembered = remembered
        self._known: OrderedDict[str, Claims] = OrderedDict()

    @property
    def lifetime(self) -> int:
        """Seconds for which a new token is valid."""
        return self._lifetime

    def issue(
        self, *, user_id: UUID, session_id: UUID, token_version: int, tenant_id: UUID | None, is_operator: bool
    ) -> str:
        """A new token; it holds no secret and nothing that only the database may say, such as roles."""
        now = int(time.time())
        claims: dict[str, Any] = {"sub": str(user_id), "sid": str(session_id), "tv": token_version}
        claims |= {"iat": now, "exp": now + self._lifetime}
        claims |= {"tid": str(tenant_id)} if tenant_id else {}
        claims |= {"op": True} if is_operator else {}
        return jwt.encode({"alg": "HS256", "typ": "at+jwt"}, claims, self._key)

    def read(self, token: str) -> Claims:
        """What a token says; the caller must check that its session and token version are still current.

        Raises:
            TokenExpired: it was valid once. Unauthenticated: it never was.
        """
        claims = self._known.get(token)
        if claims is None:
            claims = self._verified(token)
            self._known[token] = claims
            if len(self._known) > self._remembered:
                self._known.popitem(last=False)
        else:
            self._known.move_to_end(token)
        if time.time() >= claims.expires_at:
            self._known.pop(token, None)
            raise TokenExpired
        return claims

    def _verified(self, token: str) -> Claims:
        try:
            decoded = jwt.decode(token, self._key, algorithms=["HS256"])
            if decoded.header.get("typ") != "at+jwt":
                raise ValueError("no access token")
            return _claims(decoded.claims)
        except (JoseError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise Unauthenticated("This is no access token of this service; sign in again.") from error


def _claims(payload: dict[str, Any]) -> Claims:
    return Claims(
        user_id=UUID(payload["sub"]),
        session_id=UUID(payload["sid"]),
        token_version=int(payload["tv"]),
        tenant_id=UUID(payload["tid"]) if payload.get("tid") else None,
        is_operator=payload.get("op") is True,
        issued_at=int(payload["iat"]),
        expires_at=int(payload["exp"]),
    )


# -- refresh tokens --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """The parts of a refresh token, not yet verified."""

    session_id: UUID
    generation: int
    mac: bytes

    def is_genuine(self, secret: str, salt: str) -> bool:
        """Whether this service made it, for the session with this salt; an old generation is genuine too."""
        return hmac.compare_digest(self.mac, _mac(secret, self.session_id, self.generation, salt))


def refresh_token(secret: str, session_id: UUID, generation: int, salt: str) -> str:
    """The one refresh token of a session's generation.

    It is a MAC and not a random text so that it can be handed out a second time to a client whose two requests
    raced, and so that a replayed older token can be told from a forged one: a forged one must not end a session.
    """
    packed = _REFRESH.pack(session_id.bytes, generation, _mac(secret, session_id, generation, salt))
    return urlsafe_b64encode(packed).rstrip(b"=").decode()


def parse_refresh_token(text: str) -> RefreshToken | None:
    """Parse a refresh token; None if the text does not have the form of one."""
    try:
        raw = urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
        session_id, generation, mac = _REFRESH.unpack(raw)
    except (ValueError, struct.error):
        return None
    return RefreshToken(UUID(bytes=session_id), generation, mac)


def _mac(secret: str, session_id: UUID, generation: int, salt: str) -> bytes:
    said = session_id.bytes + generation.to_bytes(4, "big") + salt.encode()
    return hmac.digest(derived(secret, "refresh token"), said, "sha256")


# -- random ones -----------------------------------------------------------------------------------------


def random_token() -> str:
    """256 random bits as text that is safe in a URL."""
    return secrets.token_urlsafe(32)


def digest(token: str) -> str:
    """The SHA-256 of a random token in hexadecimal, to be stored in its place; no salt is needed for random tokens."""
    return hashlib.sha256(token.encode()).hexdigest()
