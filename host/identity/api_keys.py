"""Create, check and revoke API keys: secrets for programs, of one tenant, stored hashed."""

from __future__ import annotations

import hmac
import secrets
from base64 import b32decode, b32encode
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from tortoise.expressions import Q
from uuid_utils.compat import uuid7

from host.contracts import Row
from host.data.records import Records
from host.data.transactions import UnitOfWork
from host.errors import NotFound, PermissionDenied, Unauthenticated, ValidationFailed
from host.execution_context import actor, grants
from host.identity.events import ApiKeyCreated
from host.identity.models import ApiKey
from host.identity.tokens import digest
from host.plan_limits import spend
from host.services import record_failure, unit_of_work
from tenants.context import bind, cross_tenant, current
from tenants.models import User

LIMIT = "tenant.api_keys"
DELEGATE = "tenant.api_keys.delegate"
"""The permission that a key needs to make further keys."""

SCHEME = "tk"
USED_EVERY = timedelta(minutes=1)
"""How exact `last_used_at` is: it is written at most this often."""

KEYS = Records(
    ApiKey,
    fields=("id", "name", "prefix", "permissions", "made_by", "parent_id", "expires_at", "last_used_at", "created_at"),
    filters=("name", "made_by"),
    sorts=("created_at", "name"),
)


@dataclass(frozen=True, slots=True)
class KeyText:
    """The parts of an API key; they name its tenant before the database is read."""

    tenant_id: UUID
    key_id: UUID
    secret: str


@dataclass(frozen=True, slots=True)
class ApiKeySnapshot:
    """A valid key's data. `permissions` were within the maker's when it was made; whoever checks access narrows them to
    what `made_by` may do now."""

    id: UUID
    tenant_id: UUID
    name: str
    permissions: frozenset[str]
    made_by: UUID | None
    expires_at: datetime | None


def parse_key(text: str) -> KeyText | None:
    """Parse an API key; None if the text does not have the form of one."""
    parts = text.split("_")
    if len(parts) != 4 or parts[0] != SCHEME or len(parts[3]) != 52:
        return None
    try:
        return KeyText(_unpacked(parts[1]), _unpacked(parts[2]), parts[3])
    except ValueError:
        return None


async def api_key(key_id: UUID, secret: str) -> ApiKeySnapshot | None:
    """Check a key of the bound tenant; None if it is unknown, revoked or expired, or the secret is wrong."""
    row = await ApiKey.get_or_none(id=key_id)
    genuine = hmac.compare_digest(digest(secret), row.secret_hash if row else "")
    now = datetime.now(UTC)
    reason = _unfit(row, genuine, now) if row is not None else "unknown"
    if row is None or reason:
        await record_refused_key(key_id, reason)
        return None
    await ApiKey.filter(Q(last_used_at=None) | Q(last_used_at__lt=now - USED_EVERY), id=row.id).update(last_used_at=now)
    return ApiKeySnapshot(row.id, row.tenant_id, row.name, frozenset(row.permissions), row.made_by, row.expires_at)


async def record_refused_key(key_id: UUID, reason: str) -> None:
    """Record in the audit log that an invalid key was used."""
    await record_failure(
        "tenant.api_keys.use", reason, outcome="denied", resource_type="api_key", resource_id=str(key_id)
    )


async def make_key(
    *, name: str, permissions: Collection[str], expires_at: datetime | None, made_by: UUID | None
) -> tuple[Row, str]:
    """Make a key in the bound tenant; its row, and its text that nobody can read again.

    The caller has checked that the maker holds `permissions`. A key made with another expires no later than that one
    (at the same time where `expires_at` is None) and is revoked with it.

    Raises:
        ValidationFailed: `expires_at` is in the past, or later than that of the key that makes it.
        PermissionDenied: the request's key may not make keys. QuotaExceeded: the plan allows no more keys.
    """
    if expires_at is not None and expires_at <= datetime.now(UTC):
        raise ValidationFailed(details={"expires_at": "lies in the past"})
    key_id, secret = uuid7(), _packed(secrets.token_bytes(32))
    prefix = f"{SCHEME}_{_packed(current().bytes)}_{_packed(key_id.bytes)}"
    async with unit_of_work() as work:
        parent = await _making_key()
        if parent is not None:
            expires_at = _within(parent, expires_at)
        await spend(LIMIT)
        await ApiKey.create(
            id=key_id,
            name=name,
            prefix=prefix,
            secret_hash=digest(secret),
            permissions=sorted(set(permissions)),
            made_by=made_by,
            parent_id=parent.id if parent else None,
            expires_at=expires_at,
        )
        row = await KEYS.get(key_id)
        after = {"name": name, "permissions": row["permissions"], "expires_at": expires_at}
        work.record("tenant.api_keys.create", "api_key", str(key_id), after=after)
        await _announce(work, key_id, name, made_by)
    return row, f"{prefix}_{secret}"


async def revoke_key(key_id: UUID) -> None:
    """Revoke a key of the bound tenant, and the keys made with it; their rows are kept.

    Raises:
        NotFound: there is none, or it was revoked before.
    """
    async with unit_of_work() as work:
        if not await _end(work, [key_id]):
            raise NotFound("There is no such API key.")


async def end_keys_of(user_id: UUID) -> None:
    """Revoke every key of the bound tenant that a person made, because they left it."""
    async with unit_of_work() as work:
        keys = await ApiKey.filter(made_by=user_id, revoked_at=None)
        await _end(work, [each.id for each in keys])
        work.touch(tenant=current())


async def end_keys_everywhere(work: UnitOfWork, user_id: UUID) -> None:
    """Revoke the keys that a person made in any tenant, and the keys made with those."""
    with cross_tenant("the API keys that a person made"):
        keys = await ApiKey.filter(made_by=user_id, revoked_at=None)
    for tenant_id in sorted({each.tenant_id for each in keys}):
        with bind(tenant_id):
            await _end(work, [each.id for each in keys if each.tenant_id == tenant_id])


# -- steps -----------------------------------------------------------------------------------------------


async def _making_key() -> ApiKey | None:
    """The request's API key, its row locked until the transaction ends; None if a person makes the request."""
    if actor().kind != "api_key":
        return None
    if not grants().allows(DELEGATE):
        raise PermissionDenied(
            f"An API key makes further keys only if it holds {DELEGATE}.", details={"permission": DELEGATE}
        )
    key = await ApiKey.select_for_update().get_or_none(id=actor().id, revoked_at=None)
    if key is None:
        raise Unauthenticated("This API key does not exist, has expired or was ended.")
    return key


def _within(parent: ApiKey, expires_at: datetime | None) -> datetime | None:
    if parent.expires_at is not None and expires_at is not None and expires_at > parent.expires_at:
        last = parent.expires_at.isoformat()
        raise ValidationFailed(details={"expires_at": f"the key that makes it ends before: {last} at the latest"})
    return expires_at or parent.expires_at


async def _announce(work: UnitOfWork, key_id: UUID, key_name: str, made_by: UUID | None) -> None:
    user = await User.get_or_none(id=made_by) if made_by else None
    if user is not None:
        work.announce(
            ApiKeyCreated(
                key_id=key_id,
                key_name=key_name,
                user_id=user.id,
                email=user.email,
                name=user.name,
                locale=user.locale,
            )
        )


async def _end(work: UnitOfWork, ids: Collection[UUID]) -> int:
    """Revoke keys of the bound tenant and the keys made with them; how many were revoked."""
    count, now = 0, datetime.now(UTC)
    while ids:
        ending = await ApiKey.select_for_update().filter(id__in=list(ids), revoked_at=None)
        for key in ending:
            await ApiKey.filter(id=key.id).update(revoked_at=now)
            work.record("tenant.api_keys.delete", "api_key", str(key.id), before={"name": key.name})
            count += 1
        made_with = await ApiKey.filter(parent_id__in=[key.id for key in ending], revoked_at=None) if ending else []
        ids = [key.id for key in made_with]
    if count:
        work.touch(tenant=current())
    return count


async def count_keys() -> int:
    """How many keys of the bound tenant are valid: neither revoked nor expired."""
    now = datetime.now(UTC)
    return await ApiKey.filter(Q(expires_at=None) | Q(expires_at__gt=now), revoked_at=None).count()


def _unfit(row: ApiKey, genuine: bool, now: datetime) -> str:
    if not genuine:
        return "wrong secret"
    if row.revoked_at is not None:
        return "revoked"
    return "expired" if row.expires_at is not None and row.expires_at <= now else ""


def _packed(raw: bytes) -> str:
    return b32encode(raw).decode().rstrip("=").lower()


def _unpacked(text: str) -> UUID:
    return UUID(bytes=b32decode(text.upper() + "=" * (-len(text) % 8)))
