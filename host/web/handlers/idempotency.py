"""Run a request with an Idempotency-Key only once, and replay its first answer to repetitions for 24 hours."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from tortoise.exceptions import IntegrityError

from host.contracts import Actor, Person, PersonalData, Route
from host.errors import BadRequest, Conflict, IdempotencyMismatch, RateLimited
from host.web.models import IdempotencyRecord, PersonalIdempotencyRecord
from host.web.responses.reply import Reply
from host.web.server.request import TenantryRequest
from tenants.context import current_or_none

KEPT = timedelta(hours=24)
"""How long a key is remembered."""

MAX_KEPT_BODY = 8 * 1024
"""Largest answer that is kept, in bytes; of a longer one only its status is, and a repetition is a conflict."""

MAX_KEYS = 10_000
"""How many keys are remembered at a time for one actor in one organisation."""

MAX_RAW_BODY = 16 * 1024 * 1024
"""Largest raw body with a key, in bytes: it is held in memory, to be compared before the handler runs."""

_COMPARED = (b"accept", b"accept-language", b"content-encoding", b"content-type", b"if-match", b"if-none-match")
"""Request headers that an answer may depend on; the key itself is bound to the actor and the organisation."""

_GRACE = timedelta(seconds=5)
_NONCE = 12  # bytes, as AES-GCM wants


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request with a key: by whom, on which route, asking what. `key` is as the client sent it, never stored."""

    key: str = field(repr=False)
    actor: str
    route: str
    request_hash: str


async def attempt_of(request: TenantryRequest, route: Route, actor: Actor) -> Attempt | None:
    """The attempt to record for a request with a key; None without a key, on other routes, or if anonymous.

    Keys are for POST routes declared to answer 201 or 202. Public ones take none: they answer to what the body or a
    cookie shows rather than to an authenticated caller.

    Raises:
        BadRequest: the key is not 1 to 255 printable ASCII characters.
        PayloadTooLarge: the body, which is part of the comparison, is larger than allowed.
    """
    key = request.header(b"idempotency-key")
    if key is None or not takes_key(route) or actor.id is None:
        return None
    if not (0 < len(key) <= 255 and key.isascii() and key.isprintable()):
        raise BadRequest("Idempotency-Key takes 1 to 255 printable ASCII characters, such as a UUID.")
    return Attempt(key, f"{actor.kind}:{actor.id}", f"{route.method} {route.path}", await _fingerprint(request, route))


def takes_key(route: Route) -> bool:
    """Whether a route takes an Idempotency-Key."""
    return route.method == "POST" and route.status in {201, 202} and not route.public


async def _fingerprint(request: TenantryRequest, route: Route) -> str:
    """SHA-256 of all that the answer may depend on: path, query, headers and body, however the body is framed."""
    body = request.body
    if route.body is None and (body.limit is None or body.limit > MAX_RAW_BODY):
        body.limit = MAX_RAW_BODY
    headers = request.raw_headers
    parts = [request.path.encode("utf-8", "surrogateescape"), request.query_string]
    parts += [headers.get(name, b"") for name in _COMPARED]
    digest = hashlib.sha256(_joined(parts))
    digest.update(await body.read())
    return digest.hexdigest()


def _joined(parts: Sequence[bytes]) -> bytes:
    """The parts in one, each after its length, so that different parts never give the same bytes."""
    return b"".join(b"%d:%s" % (len(part), part) for part in parts)


class IdempotencyKeys:
    """Runs each key's request once per tenant (or, outside any, per person), actor and route.

    An attempt is recorded before it runs, so that of two at once one runs and the other is refused. Should the process
    die in between, the key is free again after `timeout`. Stored answers are kept for 24 hours.

    Keys are stored as digests. Answers are stored encrypted, as one may hold a secret that is shown only once; the
    encryption key is derived from the deployment's secret and the client's key together.

    timeout: seconds an attempt may run; after them it is cancelled, and its key may be taken over. secret: the
    deployment's.
    """

    def __init__(self, timeout: float, secret: bytes) -> None:
        self._timeout, self._secret = timeout, secret
        self._running: set[asyncio.Task[Reply]] = set()

    async def once(self, attempt: Attempt, run: Callable[[], Awaitable[Reply]]) -> Reply:
        """The answer of `run`, or the stored answer of the first attempt.

        A client that disconnects does not stop an attempt: it runs to its end, and its answer is stored for the next.
        Answers other than 2xx are not stored: nothing was done, and the key may be used again.

        Raises:
            IdempotencyMismatch: the key was used for another request.
            Conflict: the first request is still running, or was done and its answer may not be kept.
        """
        model = _model()
        name, cipher = self._derived(b"name", attempt), AESGCM(self._derived(b"seal", attempt))
        where = {"key": name.hex(), "actor": attempt.actor, "route": attempt.route}
        claim = uuid4()
        record = await self._claim(model, where, attempt, claim)
        if record is not None:
            return _kept(record, attempt, cipher)
        task = asyncio.create_task(self._run(model.filter(**where, claim=claim), cipher, run))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return await asyncio.shield(task)

    def _derived(self, purpose: bytes, attempt: Attempt) -> bytes:
        parts = [part.encode() for part in (attempt.actor, attempt.route, attempt.key)]
        return hmac.digest(self._secret, _joined([b"idempotency", purpose, *parts]), "sha256")

    async def _claim(self, model: Any, where: dict[str, str], attempt: Attempt, claim: UUID) -> dict[str, Any] | None:
        """The record that exists under the key; None when this attempt has claimed the key."""
        now = datetime.now(UTC)
        values = {
            "request_hash": attempt.request_hash,
            "claim": claim,
            "claimed_at": now,
            "status": None,
            "headers": [],
            "body": None,
            "expires_at": now + KEPT,
        }
        try:
            await model.create(**where, **values)
        except IntegrityError:
            records: list[dict[str, Any]] = await model.filter(**where).values()
        else:
            await _check_number(model, where)
            return None
        if not records:  # deleted between our two statements
            raise _still_running()
        record = records[0]
        stale = record["status"] is None and record["claimed_at"] < now - timedelta(seconds=self._timeout) - _GRACE
        if not stale and record["expires_at"] >= now:
            return record
        # Of two attempts that would take it over, only one still finds the old claim.
        if await model.filter(**where, claim=record["claim"]).update(**values):
            return None
        raise _still_running()

    async def _run(self, attempts: Any, cipher: AESGCM, run: Callable[[], Awaitable[Reply]]) -> Reply:
        try:
            async with asyncio.timeout(self._timeout):
                reply = await run()
        except Exception:
            await attempts.delete()
            raise
        if 200 <= reply.status < 300:
            await attempts.update(
                status=reply.status, headers=_headers_kept(reply), body=_encrypted_body(reply, cipher)
            )
        else:
            await attempts.delete()
        return reply


def _model() -> Any:
    return IdempotencyRecord if current_or_none() is not None else PersonalIdempotencyRecord


def _kept(record: dict[str, Any], attempt: Attempt, cipher: AESGCM) -> Reply:
    if not hmac.compare_digest(record["request_hash"], attempt.request_hash):
        raise IdempotencyMismatch
    if record["status"] is None:
        raise _still_running()
    if record["body"] is None:
        location = {name: value for name, value in record["headers"] if name == "location"}
        raise Conflict(
            "This was done already; its answer was streamed or too large to be kept.",
            details={"status": record["status"], **location},
        )
    stored = bytes(record["body"])
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in record["headers"]]
    headers.append((b"idempotency-replayed", b"true"))
    return Reply(record["status"], headers, cipher.decrypt(stored[:_NONCE], stored[_NONCE:], None))


async def _check_number(model: Any, where: dict[str, str]) -> None:
    """Delete the key that was just recorded when its actor has too many.

    Raises:
        RateLimited: MAX_KEYS are remembered already.
    """
    if await model.filter(actor=where["actor"]).count() > MAX_KEYS:
        await model.filter(**where).delete()
        raise RateLimited(
            f"{MAX_KEYS} Idempotency-Keys of yours are remembered, each for {KEPT // timedelta(hours=1)} hours; "
            "wait, or send this without one.",
            headers={"Retry-After": "3600"},
        )


def _still_running() -> Conflict:
    return Conflict("The first request with this Idempotency-Key is still running.", headers={"Retry-After": "1"})


def _headers_kept(reply: Reply) -> list[list[str]]:
    kept = [(name, value) for name, value in reply.headers if name != b"set-cookie"]
    return [[name.decode("latin-1"), value.decode("latin-1")] for name, value in kept]


def _encrypted_body(reply: Reply, cipher: AESGCM) -> bytes | None:
    """The body encrypted for storage; None for a stream, or one too long."""
    if not isinstance(reply.body, bytes) or len(reply.body) > MAX_KEPT_BODY:
        return None
    nonce = os.urandom(_NONCE)
    return nonce + cipher.encrypt(nonce, reply.body, None)


async def forget_expired() -> int:
    """Delete the bound tenant's expired records, or the personal ones when no tenant is bound; returns how many."""
    deleted: int = await _model().filter(expires_at__lt=datetime.now(UTC)).delete()
    return deleted


# -- personal data -----------------------------------------------------------------------------------------


async def _find_answers(person: Person) -> int:
    count: int = await _model().filter(actor__in=_actors(person)).count()
    return count


async def _erase_answers(person: Person) -> int:
    deleted: int = await _model().filter(actor__in=_actors(person)).delete()
    return deleted


def _actors(person: Person) -> list[str]:
    return [f"{kind}:{each}" for each in sorted(person.ids) for kind in ("user", "api_key")]


_ANSWERS = "Answers kept for repeated requests"
_OTHERS = "Answers to other people's requests may name the person; they are encrypted and kept for a day at most."
PERSONAL_DATA = (
    PersonalData("answers", _ANSWERS, _find_answers, _erase_answers, retained=_OTHERS),
    PersonalData("own_answers", _ANSWERS, _find_answers, _erase_answers, of_account=True),
)
"""The kinds of personal data in stored answers, with how to find and erase them."""
