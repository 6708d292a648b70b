"""Credentials: what a request shows of who sends it, read without asking the database."""

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
    """What the request showed: an access token's claims, an API key, a plugin's word, or nothing."""

    claims: Claims | None = None
    key: KeyText | None = None
    vouched: Actor | None = None
    refusal: Unauthenticated | None = None

    @property
    def bucket(self) -> str | None:
        """Whose rate it counts against; None: the address's."""
        if self.claims is not None:
            return f"user:{self.claims.user_id}"
        if self.key is not None:
            return f"key:{self.key.key_id}:{self.secret_digest}"  # a guesser uses up nobody else's rate
        return f"actor:{self.vouched.id}" if self.vouched is not None else None

    @property
    def secret_digest(self) -> str:
        """What the API key's secret is told apart by; empty where none was shown."""
        return digest(self.key.secret) if self.key is not None else ""

    @property
    def user_id(self) -> UUID | None:
        """The person, where it is one."""
        if self.claims is not None:
            return self.claims.user_id
        return self.vouched.user_id if self.vouched is not None else None


class Credentials:
    """Reads them: bearer token, API key, or what a plugin's `authenticate` says."""

    def __init__(self, tokens: AccessTokens, hook_calls: Calling) -> None:
        self._tokens, self._hook_calls = tokens, hook_calls
        self._vouching = bool(hook_calls.implementers("authenticate"))

    async def of(self, state: RequestState) -> Credential:
        """What a request shows; a refusal instead of an exception, as a public route does not mind."""
        shown = state.header(b"authorization")
        scheme, _, text = shown.partition(" ")
        if scheme.lower() == "bearer" and text:
            try:
                key = parse_key(text)
                return Credential(key=key) if key is not None else Credential(claims=self._tokens.read(text))
            except Unauthenticated as error:
                return await self._vouched(state) or Credential(refusal=error)
        if shown or self._vouching:
            found = await self._vouched(state)
            if found is not None:
                return found
            if shown:
                return Credential(refusal=Unauthenticated("Send `Authorization: Bearer <token or key>`."))
        return Credential()

    async def _vouched(self, state: RequestState) -> Credential | None:
        if not self._vouching:
            return None
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in state.headers.items()}
        heard = await self._hook_calls.ask_first("authenticate", headers)
        return Credential(vouched=heard[1]) if heard is not None and isinstance(heard[1], Actor) else None
