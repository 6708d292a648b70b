"""Verify e-mail addresses, reset forgotten passwords and change known ones."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from urllib.parse import quote
from uuid import UUID

from tortoise.exceptions import IntegrityError
from tortoise.expressions import F
from tortoise.queryset import QuerySet

from host.data.transactions import UnitOfWork
from host.errors import BadRequest, Conflict, ValidationFailed
from host.identity import passwords, sessions
from host.identity.addresses import normalise
from host.identity.events import EmailChanged, EmailVerificationRequested, PasswordChanged, PasswordResetRequested
from host.identity.login_throttle import allow_attempt, equal_time
from host.identity.models import OAuthAccount, OneTimeToken, Session, TokenPurpose
from host.identity.revocation import end_unproven
from host.identity.sessions import SignedIn
from host.identity.tokens import digest, random_token
from host.services import record_failure, services, unit_of_work
from tenants.models import User

_log = logging.getLogger("host.identity.links")


async def ask_for_verification(work: UnitOfWork, user: User, email: str | None = None) -> None:
    """Send a link that proves `email`; None: the person's own address. Another one replaces that once proved."""
    hours = services().settings.identity.verification_hours
    address = email or user.email
    token = await _make(user, TokenPurpose.VERIFY_EMAIL, address, timedelta(hours=hours))
    link = _link("verify-email", token)
    work.announce(
        EmailVerificationRequested(
            user_id=user.id, email=address, name=user.name, link=link, hours=hours, locale=user.locale
        )
    )


async def is_taken(address: str) -> bool:
    """Whether a normalised address has an account or is reserved for the operator named in the settings."""
    configured = services().settings.operator.email
    return (bool(configured) and address == normalise(configured)) or await User.filter(email=address).exists()


async def send_verification(email: str) -> None:
    """Send the link again to whoever has not proved this address yet; the caller cannot tell whether anybody has."""
    address = normalise(email)
    await allow_attempt("message", address)
    async with equal_time():
        user = await User.get_or_none(email=address)
        if user is not None and user.email_verified_at is None and user.disabled_at is None:
            async with unit_of_work() as work:
                await ask_for_verification(work, user)


async def verify_email(token: str, session_id: UUID | None = None) -> str:
    """Prove an address with the token that was sent to it; the address proved.

    session_id: of the browser in which the link was opened. Where it is signed in to the account, who reads the mail
    and who holds the account are one, and only other sessions and links end. Else whoever held the account until now
    may be somebody else: everything that is not proven ends (see `end_unproven`).

    Raises:
        BadRequest: the token is unknown, used or too old. Conflict: the address has another account by now.
    """
    try:
        async with unit_of_work() as work:
            user, address = await _consume(token, TokenPurpose.VERIFY_EMAIL)
            if user.disabled_at is not None:
                raise _invalid_link()
            if address != user.email and await is_taken(address):
                raise _taken()
            before = {"email": user.email, "email_verified_at": user.email_verified_at}
            user.email, user.email_verified_at, user.version = address, datetime.now(UTC), user.version + 1
            await user.save(update_fields=["email", "email_verified_at", "version", "updated_at"])
            after = {"email": user.email, "email_verified_at": user.email_verified_at}
            work.record("auth.user.verify", "user", str(user.id), before=before, after=after)
            await _end_after_proof(work, user, session_id)
            if address != before["email"]:
                _announce_change(work, user, str(before["email"]))
            work.touch(user=user.id)
    except IntegrityError as error:
        raise _taken() from error
    return address


async def send_reset(email: str) -> None:
    """Send a link for a new password to whoever has this address; nobody learns here whether anybody has."""
    address = normalise(email)
    await allow_attempt("message", address)
    async with equal_time():
        user = await User.get_or_none(email=address)
        if user is not None and user.disabled_at is None:
            minutes = services().settings.identity.reset_minutes
            async with unit_of_work() as work:
                token = await _make(user, TokenPurpose.RESET_PASSWORD, user.email, timedelta(minutes=minutes))
                link = _link("reset-password", token)
                work.record("auth.password_reset.create", "user", str(user.id))
                work.announce(
                    PasswordResetRequested(
                        user_id=user.id,
                        email=user.email,
                        name=user.name,
                        link=link,
                        minutes=minutes,
                        locale=user.locale,
                    )
                )
        else:
            reason, who = ("account disabled", str(user.id)) if user else ("unknown address", "")
            await record_failure("auth.password_reset.create", reason, resource_type="user", resource_id=who)


async def reset_password(token: str, password: str) -> None:
    """Set a new password with the token that was sent; this proves the address, and everything unproven ends.

    Raises:
        BadRequest: the token is unknown, used or too old. ValidationFailed: the password.
    """
    stored = await _open_tokens(token, TokenPurpose.RESET_PASSWORD).first()
    if stored is None:
        raise _invalid_link()
    passwords.check(password, email=stored.email)
    password_hash = await passwords.hashed(password)  # before the transaction: it takes long
    async with unit_of_work() as work:
        user, address = await _consume(token, TokenPurpose.RESET_PASSWORD)
        if address != user.email or user.disabled_at is not None:
            raise _invalid_link()
        await _replace_password(work, user, password_hash)
        await User.filter(id=user.id, email_verified_at=None).update(email_verified_at=datetime.now(UTC))
        await end_unproven(work, user, reason="password reset")


async def change_password(
    user_id: UUID, session_id: UUID, *, current: str, new: str, keep_keys: bool = False
) -> SignedIn:
    """Replace a known password; all that is pending and every other session end, and this one gets new tokens.

    keep_keys: the API keys that the person made go on.

    Raises:
        ValidationFailed: the current password is wrong or the new one not acceptable. RateLimited.
    """
    attempt = await allow_attempt("password", str(user_id))
    user = await User.get(id=user_id)
    if not await passwords.matches(current, user.password_hash):
        await record_failure("auth.user.update", "wrong password", resource_type="user", resource_id=str(user_id))
        raise ValidationFailed(details={"current_password": "is not your password"})
    await attempt.succeeded()
    passwords.check(new, email=user.email, field="new_password")
    if new == current:
        raise ValidationFailed(details={"new_password": "is the same as the old one"})
    password_hash = await passwords.hashed(new)
    async with unit_of_work() as work:
        user = await User.select_for_update().get(id=user_id, password_hash=user.password_hash)
        await _replace_password(work, user, password_hash)
        await end_unproven(work, user, reason="password changed", keep_session=session_id, keep_keys=keep_keys)
        await Session.filter(id=session_id, user_id=user_id).update(token_version=user.token_version + 1)
    return await sessions.renewed(session_id)


# -- steps -----------------------------------------------------------------------------------------------


async def _end_after_proof(work: UnitOfWork, user: User, session_id: UUID | None) -> None:
    reason = "address proved"
    if session_id is None or not await Session.filter(id=session_id, user_id=user.id, ended_at=None).exists():
        return await end_unproven(work, user, reason=reason)
    await OneTimeToken.filter(user_id=user.id, used_at=None).update(used_at=datetime.now(UTC))
    await sessions.end_all(user.id, reason=reason, but=session_id)
    await OAuthAccount.filter(user_id=user.id).update(email=user.email, email_verified=True)


def _announce_change(work: UnitOfWork, user: User, old: str) -> None:
    work.announce(EmailChanged(user_id=user.id, email=old, name=user.name, new_email=user.email, locale=user.locale))


async def _replace_password(work: UnitOfWork, user: User, password_hash: str) -> None:
    """Store a new password hash; the higher token version makes every earlier access token invalid at once."""
    await User.filter(id=user.id).update(
        password_hash=password_hash, token_version=F("token_version") + 1, version=F("version") + 1
    )
    work.record("auth.user.update", "user", str(user.id), after={"password": "replaced"})
    work.announce(PasswordChanged(user_id=user.id, email=user.email, name=user.name, locale=user.locale))
    work.touch(user=user.id)


async def _make(user: User, purpose: TokenPurpose, email: str, lifetime: timedelta) -> str:
    token = random_token()
    await OneTimeToken.create(
        user_id=user.id,
        purpose=purpose,
        token_hash=digest(token),
        email=email,
        expires_at=datetime.now(UTC) + lifetime,
    )
    return token


def _open_tokens(token: str, purpose: TokenPurpose) -> QuerySet[OneTimeToken]:
    now = datetime.now(UTC)
    return OneTimeToken.filter(token_hash=digest(token), purpose=purpose, used_at=None, expires_at__gt=now)


async def _consume(token: str, purpose: TokenPurpose) -> tuple[User, str]:
    """Use a token up: its user and the address it was sent to. Of two requests at once, one succeeds."""
    if not await _open_tokens(token, purpose).update(used_at=datetime.now(UTC)):
        raise _invalid_link()
    stored = await OneTimeToken.get(token_hash=digest(token))
    user = await User.select_for_update().get(id=stored.user_id)
    await _invalidate_others(user, purpose)
    return user, stored.email


async def _invalidate_others(user: User, purpose: TokenPurpose) -> None:
    """Make other tokens for this purpose invalid: an older link must not undo what a newer one did."""
    await OneTimeToken.filter(user_id=user.id, purpose=purpose, used_at=None).update(used_at=datetime.now(UTC))


def _taken() -> Conflict:
    return Conflict("This address has another account.", details={"email": "taken"})


def _invalid_link() -> BadRequest:
    return BadRequest("This link was used, replaced, or is too old; ask for a new one.")


def _link(page: str, token: str) -> str:
    """A link to the front end at the public URL; also logged, in development only."""
    config = services().settings
    link = f"{config.public_url}/{page}?token={quote(token)}"
    if not config.app.production:
        _log.info("development: the link that would be sent is %s", link)
    return link
