"""Register accounts, sign in with a password, and change a person's profile and settings."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from tortoise.exceptions import IntegrityError

from host.contracts import Actor
from host.data.transactions import UnitOfWork
from host.errors import Conflict, PermissionDenied, PreconditionFailed, Unauthenticated, ValidationFailed
from host.execution_context import acting, origin
from host.identity import passwords, sessions
from host.identity.addresses import normalise
from host.identity.devices import device_id
from host.identity.events import RegistrationRepeated, UserRegistered
from host.identity.login_throttle import allow_attempt, equal_time
from host.identity.models import OAuthAccount
from host.identity.recovery import ask_for_verification, is_taken
from host.identity.revocation import end_unproven, unlink
from host.identity.sessions import SignedIn
from host.instruments import tally
from host.services import record_failure, services, unit_of_work
from tenants.models import Tenant, User

MakeTenant = Callable[[str, User], Awaitable[Tenant]]
"""Creates a tenant for its owner; passed in by callers, as this package must not import provisioning."""


async def register(
    *, email: str, password: str, name: str, tenant_name: str | None, make_tenant: MakeTenant, locale: str = ""
) -> SignedIn | None:
    """Make an account, with a tenant of its own if named, and sign in.

    Returns:
        None where `[identity] require_verified_email` is on: whether the address was new is then told only by a
        mail to that address.

    Raises:
        PermissionDenied: this deployment takes no registrations. ValidationFailed: address, password or tenant name.
        Conflict: the address has an account (only where verification is not required: the answer is a sign-in, so it
        must differ). RateLimited.
    """
    config = services().settings.identity
    address = normalise(email)
    await allow_attempt("register", address)
    if not config.registration:
        await record_failure("auth.user.create", "registration is closed", outcome="denied", resource_type="user")
        raise PermissionDenied("This deployment takes no registrations; ask for an invitation.")
    passwords.check(password, email=address)
    hashed = await passwords.hashed(password)
    person = User(email=address, name=name, password_hash=hashed, locale=locale or config.default_locale)
    if config.require_verified_email:
        async with equal_time():
            await _register_unseen(person, tenant_name, make_tenant)
        return None
    taken = Conflict("This e-mail address has an account; sign in.", details={"email": "taken"})
    if await is_taken(address):
        raise taken
    try:
        async with unit_of_work() as work:
            tenant = await _create(work, person, tenant_name, make_tenant)
            return await sessions.start(person, method="password", tenant_id=tenant.id if tenant else None)
    except IntegrityError:
        if not await is_taken(address):
            raise
        raise taken from None


async def sign_in(*, email: str, password: str, device: str = "") -> SignedIn:
    """Begin a session with an address and its password.

    device: what the browser keeps from an earlier sign-in (see host.identity.devices).

    Raises:
        Unauthenticated: unknown address or wrong password, indistinguishable by message and by time; or the account is
        disabled. PermissionDenied: the address has to be verified first. RateLimited.
    """
    address = normalise(email)
    user = await User.get_or_none(email=address)
    browser = device_id(device, user.id) if user else ""
    # with the token version, so that a new password starts a new count of wrong guesses
    attempt = await allow_attempt("sign_in", f"{address} {user.token_version if user else 1}", device=browser)
    matches = await passwords.matches(password, user.password_hash if user else None)
    if user is None or not matches:
        reason = "wrong password" if user else "unknown address"
        await _record_refused(reason, user)
        raise Unauthenticated("The e-mail address or the password is wrong.")
    await attempt.succeeded()
    if user.disabled_at is not None:
        await _record_refused("account disabled", user)
        raise Unauthenticated("This account is disabled.")
    if services().settings.identity.require_verified_email and user.email_verified_at is None:
        await _record_refused("address not verified", user)
        raise PermissionDenied("Verify your e-mail address first.", details={"email": "unverified"})
    await _strengthen(user, password)
    tenant_id = await sessions.default_tenant(user.id)
    return await sessions.start(user, method="password", tenant_id=tenant_id)


async def update_profile(
    user_id: UUID,
    *,
    name: str | None = None,
    locale: str | None = None,
    email: str | None = None,
    current_password: str | None = None,
    version: int | None = None,
) -> User:
    """Change a person's name or language, or ask for another e-mail address, which takes effect once it is verified.

    Raises:
        PreconditionFailed: `version` is not the profile's. ValidationFailed: the address is not valid, or the password,
        needed for another address, is wrong. Unauthenticated: there is no such person any more.
    """
    new_email = normalise(email) if email is not None else None
    if new_email is not None:
        await _refuse_wrong_password(user_id, current_password)
    async with unit_of_work() as work:
        user = await User.select_for_update().get_or_none(id=user_id)
        if user is None:
            raise Unauthenticated
        if version is not None and version != user.version:
            raise PreconditionFailed
        changes = {"name": name, "locale": locale}
        for field, value in changes.items():
            before = getattr(user, field)
            if value is not None and value != before:
                setattr(user, field, value)
                work.record("auth.user.update", "user", str(user.id), before={field: before}, after={field: value})
                await _save(user, field)
                work.touch(user=user.id)
        if new_email is not None and new_email != user.email:
            await ask_for_verification(work, user, new_email)
    return user


async def replace_settings(user_id: UUID, values: dict[str, Any]) -> dict[str, Any]:
    """Replace the settings that client programs store for a person."""
    async with unit_of_work() as work:
        user = await User.select_for_update().get(id=user_id)
        names = values.keys() | user.settings.keys()
        changed = sorted(name for name in names if values.get(name) != user.settings.get(name))
        user.settings = values
        await _save(user, "settings")
        if changed:
            work.record("auth.user.update", "user", str(user.id), after={"settings": changed})
    return values


async def ensure_operator(email: str, password: str) -> User:
    """Create the deployment's operator. An existing operator is not changed, nor is their password.

    An account that somebody registered with this address before is taken over: it gets this password, and all
    earlier sessions, links and keys of it end.

    Raises:
        ValidationFailed: address or password.
    """
    address = normalise(email)
    user = await User.get_or_none(email=address)
    if user is not None and user.is_operator:
        return user
    passwords.check(password, email=address)
    password_hash = await passwords.hashed(password)
    async with unit_of_work() as work:
        now = datetime.now(UTC)
        defaults = {"name": "Operator", "password_hash": password_hash, "email_verified_at": now, "is_operator": True}
        _, created = await User.get_or_create(defaults=defaults, email=address)
        user = await User.select_for_update().get(email=address)
        if not created and not user.is_operator:  # else another process was faster
            await _take_over(work, user, password_hash)
        verb = "create" if created else "update"
        work.record(f"auth.user.{verb}", "user", str(user.id), after={"email": address, "is_operator": True})
        work.touch(user=user.id)
    return user


async def _take_over(work: UnitOfWork, user: User, password_hash: str) -> None:
    await end_unproven(work, user, reason="made operator")
    for linked in await OAuthAccount.filter(user_id=user.id):
        await unlink(work, user, linked)
    user.password_hash, user.is_operator, user.email_verified_at = password_hash, True, datetime.now(UTC)
    user.token_version, user.version = user.token_version + 1, user.version + 1
    await user.save(
        update_fields=["password_hash", "is_operator", "email_verified_at", "token_version", "version", "updated_at"]
    )


# -- steps -----------------------------------------------------------------------------------------------


class _RehearsedError(Exception):
    """Rolls back a registration that was only simulated."""


async def _create(
    work: UnitOfWork, person: User, tenant_name: str | None, make_tenant: MakeTenant, *, verify: bool = True
) -> Tenant | None:
    await person.save(force_create=True)
    work.record("auth.user.create", "user", str(person.id), after={"email": person.email, "name": person.name})
    work.announce(UserRegistered(user_id=person.id, email=person.email, name=person.name, locale=person.locale))
    if verify:
        await ask_for_verification(work, person)
    with acting(replace(origin(), actor=Actor("user", person.id, person.email, person.id))):
        return await make_tenant(tenant_name, person) if tenant_name else None


async def _register_unseen(person: User, tenant_name: str | None, make_tenant: MakeTenant) -> None:
    """Register a new address; for a known one do the same work and roll it back, so that both look the same."""
    address = person.email
    taken = await is_taken(address)
    try:
        async with unit_of_work() as work:
            if taken:
                person.email = f"{person.id.hex}@rehearsal.invalid"
            await _create(work, person, tenant_name, make_tenant, verify=not taken)
            if taken:
                raise _RehearsedError
            return
    except _RehearsedError:
        pass
    except IntegrityError:
        if not await is_taken(address):
            raise
    owner = await User.get_or_none(email=address)
    if owner is not None:
        async with unit_of_work() as work:
            work.announce(
                RegistrationRepeated(user_id=owner.id, email=owner.email, name=owner.name, locale=owner.locale)
            )


async def _save(user: User, field: str) -> None:
    user.version += 1
    await user.save(update_fields=[field, "version", "updated_at"])


async def _refuse_wrong_password(user_id: UUID, password: str | None) -> None:
    attempt = await allow_attempt("password", str(user_id))
    user = await User.get(id=user_id)
    if user.password_hash is None:
        raise ValidationFailed(details={"current_password": "set a password first: ask for a reset link"})
    if not await passwords.matches(password or "", user.password_hash):
        await record_failure("auth.user.update", "wrong password", resource_type="user", resource_id=str(user_id))
        raise ValidationFailed(details={"current_password": "needed, and must be right, for another address"})
    await attempt.succeeded()


async def _record_refused(reason: str, user: User | None) -> None:
    """Record a refused sign-in, without the address entered: people sometimes enter their password there."""
    who = str(user.id) if user else ""
    tally("tenantry_sign_ins_total", "password", reason)
    await record_failure("auth.session.create", reason, resource_type="user", resource_id=who)


async def _strengthen(user: User, password: str) -> None:
    """Hash the password anew if the cost settings have changed, unless it was replaced meanwhile."""
    old = user.password_hash
    if old is not None and passwords.is_outdated(old):
        await User.filter(id=user.id, password_hash=old).update(password_hash=await passwords.hashed(password))
