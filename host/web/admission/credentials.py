"""Read a request's credential (access token, API key or a plugin's answer) without asking the database."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from host.contracts import Actor
from host.errors import Unauthenticated
from host.identity.api_keys import KeyText, parse_key
from host.identity.tokens import AccessTokens, Claims, digest
from host.registry.hook_calls import Calling
from host.web.server.request_state import RequestState


@dataclass(frozen=True, slots=True)
class Credential:
    """What a request authenticates with: a token's claims, an API key, an actor named by a plugin, or nothing."""

    claims: Claims | None = None
    key: KeyText | None = None
    vouched: Actor | None = None
    refusal: Unauthenticated | None = None

    @property
    def bucket(self) -> str | None:
        """The rate bucket that the request counts against; None: the client address's."""
        if self.claims is not None:
            return f"user:{self.claims.user_id}"
        if self.key is not None:
            return f"key:{self.key.key_id}:{self.secret_digest}"  # guesses do not use up the real key's rate
        return f"actor:{self.vouched.id}" if self.vouched is not None else None

    @property
    def secret_digest(self) -> str:
        """A digest of the API key's secret; empty without a key."""
        return digest(self.key.secret) if self.key is not None else ""

    @property
    def user_id(self) -> UUID | None:
        """The id of the person who asks, if it is one."""
        if self.claims is not None:
            return self.claims.user_id
        return self.vouched.user_id if self.vouched is not None else None


class Credentials:
    """Reads a request's credential: bearer token, API key, or what a plugin's `authenticate` hook answers."""

    def __init__(self, tokens: AccessTokens, hook_calls: Calling) -> None:
        self._tokens, self._hook_calls = tokens, hook_calls
        self._vouching = bool(hook_calls.implementers("authenticate"))

    async def of(self, state: RequestState) -> Credential:
        """The credential of a request; a refusal is returned in it, not raised, as public routes ignore it."""
        header = state.header(b"authorization")
        scheme, _, text = header.partition(" ")
        if scheme.lower() == "bearer" and text:
            try:
                key = parse_key(text)
                return Credential(key=key) if key is not None else Credential(claims=self._tokens.read(text))
            except Unauthenticated as error:
                return await self._vouched(state) or Credential(refusal=error)
        if header or self._vouching:
            vouched = await self._vouched(state)
            if vouched is not None:
                return vouched
            if header:
                return Credential(refusal=Unauthenticated("Send `Authorization: Bearer <token or key>`."))
        return Credential()

    async def _vouched(self, state: RequestState) -> Credential | None:
        if not self._vouching:
            return None
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in state.headers.items()}
        answer = await self._hook_calls.ask_first("authenticate", headers)
        return Credential(vouched=answer[1]) if answer is not None and isinstance(answer[1], Actor) else None
