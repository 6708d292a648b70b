"""Start, refresh and end sign-in sessions; a refresh token used twice ends its session."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

from host.contracts import Actor
from host.data.transactions import UnitOfWork
from host.errors import NotFound, Unauthenticated
from host.execution_context import acting, origin
from host.identity.events import SessionEnded
from host.identity.models import Session
from host.identity.tokens import AccessTokens, RefreshToken, parse_refresh_token, random_token, refresh_token
from host.instruments import tally
from host.services import record_failure, services, unit_of_work
from tenants.context import bind, cross_tenant, current_or_none
from tenants.models import Membership, Tenant, TenantStatus, User

RACE = timedelta(seconds=10)
"""How long after a rotation the token before it is still accepted: for two requests at once, or a lost answer."""


@dataclass(frozen=True, slots=True)
class SignedIn:
    """What a client receives: `access_token` is valid for `expires_in` seconds, `refresh_token` once."""

    user: User
    tenant_id: UUID | None
    session_id: UUID
    access_token: str
    expires_in: int
    refresh_token: str


def access_tokens() -> AccessTokens:
    """An `AccessTokens` with the current settings; reuse it where many tokens are read, as it caches them."""
    config = services().settings.identity
    return AccessTokens(_secret(), timedelta(minutes=config.access_token_minutes))


async def session_alive(session_id: UUID) -> bool:
    """Whether a session is neither ended nor expired; one query."""
    return await Session.filter(id=session_id, ended_at=None, expires_at__gt=datetime.now(UTC)).exists()


async def start(user: User, *, method: str, tenant_id: UUID | None) -> SignedIn:
    """Begin a session of `user` on the device that the request comes from.

    method: "password", or the provider's name. tenant_id: the default tenant.
    """
    now = datetime.now(UTC)
    async with unit_of_work() as work:
        session = await Session.create(
            user_id=user.id,
            tenant_default=tenant_id,
            token_version=user.token_version,
            salt=random_token(),
            user_agent=_user_agent(),
            address=origin().address[:64],
            expires_at=now + _lifetime(),
        )
        after = {"user_id": str(user.id), "method": method}
        who = Actor("user", user.id, user.email, user.id, session.id, user.is_operator)
        with acting(replace(origin(), actor=who)):
            work.record("auth.session.create", "session", str(session.id), after=after)
    tally("tenantry_sign_ins_total", method, "succeeded")
    return _signed_in(user, session)


async def rotate(text: str) -> SignedIn:
    """Exchange a refresh token for an access token and the next refresh token.

    The same token again within `RACE`, from the same program, gets the same answer. Later, or after the next token was
    used, it counts as stolen: the session ends for both (RFC 9700, 4.14.2).

    Raises:
        Unauthenticated: no such token, the session has ended, or the token was replayed.
    """
    token = parse_refresh_token(text)
    session = await Session.get_or_none(id=token.session_id).select_related("user") if token else None
    if token is None or session is None or not token.is_genuine(_secret(), session.salt):
        raise _sign_in_again()
    if not _is_open(session):
        raise _sign_in_again()
    if not await _advance(session, token):
        await session.refresh_from_db()
        if not _is_race(session, token):
            await _end_replayed(session)
            raise _sign_in_again()
    return _signed_in(session.user, session)


async def renewed(session_id: UUID) -> SignedIn:
    """New tokens for an open session, after its data has changed.

    Raises:
        Unauthenticated: it is not open any more.
    """
    session = await Session.get_or_none(id=session_id).select_related("user")
    if session is None or not _is_open(session):
        raise _sign_in_again()
    return _signed_in(session.user, session)


async def session_of(text: str) -> Session | None:
    """The open session that a refresh token, of whatever generation, belongs to; None for any other text."""
    token = parse_refresh_token(text)
    session = await Session.get_or_none(id=token.session_id).select_related("user") if token else None
    if token is None or session is None or not token.is_genuine(_secret(), session.salt):
        return None
    return session if _is_open(session) else None


async def end(session_id: UUID, *, user_id: UUID, reason: str = "ended") -> None:
    """End one session of a person.

    Raises:
        NotFound: they have no such open session.
    """
    if not await _end(user_id, reason, id=session_id):
        raise NotFound("There is no such session.")


async def end_if_open(session_id: UUID, *, user_id: UUID, reason: str) -> None:
    """End one session of a person; nothing happens when it is over already."""
    await _end(user_id, reason, id=session_id)


async def end_all(user_id: UUID, *, reason: str, but: UUID | None = None) -> int:
    """End every open session of a person, `but` one; how many there were."""
    return await _end(user_id, reason, **({"id__not": but} if but else {}))


async def sessions_of(user_id: UUID) -> Sequence[Session]:
    """A person's open sessions, the last used one first."""
    now = datetime.now(UTC)
    return await Session.filter(user_id=user_id, ended_at=None, expires_at__gt=now).order_by("-last_used_at", "-id")


async def default_tenant(user_id: UUID, preferred: UUID | None = None) -> UUID | None:
    """The tenant of a person whose request names none: `preferred` or the bound tenant if they belong there, else the
    one they have belonged to longest. Not to be called inside a unit of work: it reads across tenants.
    """
    with cross_tenant("a person's own memberships"):
        memberships = await Membership.filter(user_id=user_id).order_by("created_at", "id")
    joined = [each.tenant_id for each in memberships]
    open_ids = {each.id for each in await Tenant.filter(id__in=joined, status=TenantStatus.ACTIVE)}
    candidates: list[UUID | None] = [preferred, current_or_none(), *joined]
    return next((each for each in candidates if each in open_ids), None)


# -- steps -----------------------------------------------------------------------------------------------


async def _advance(session: Session, token: RefreshToken) -> bool:
    """Make the next generation the valid one; of two requests at once, one succeeds."""
    if token.generation != session.generation:
        return False
    tenant_id = await default_tenant(session.user_id, session.tenant_default)
    now = datetime.now(UTC)
    values = {
        "generation": token.generation + 1,
        "rotated_at": now,
        "last_used_at": now,
        "expires_at": now + _lifetime(),
        "tenant_default": tenant_id,
        "user_agent": _user_agent(),
        "address": origin().address[:64],
    }
    still_good = Session.filter(id=session.id, generation=token.generation, ended_at=None)
    if not await still_good.update(**values):
        return False
    session.update_from_dict(values)
    return True


def _is_race(session: Session, token: RefreshToken) -> bool:
    recent = session.rotated_at is not None and datetime.now(UTC) - session.rotated_at <= RACE
    same_program = session.user_agent == _user_agent()
    return recent and same_program and session.ended_at is None and token.generation == session.generation - 1


async def _end_replayed(session: Session) -> None:
    """End a session whose token was replayed; committed before the error is raised, which would roll it back."""
    await _end(session.user_id, "replayed", id=session.id)
    reason = "an old refresh token was used again: it may have been copied"
    await record_failure("auth.session.refresh", reason, resource_type="session", resource_id=str(session.id))


async def _end(user_id: UUID, reason: str, **which: UUID) -> int:
    now = datetime.now(UTC)
    async with unit_of_work() as work:
        still_open = Session.filter(user_id=user_id, ended_at=None, expires_at__gt=now, **which)
        ended = await still_open.select_for_update()  # of two that end it at once, one announces it
        await Session.filter(id__in=[session.id for session in ended]).update(ended_at=now, end_reason=reason)
        for session in ended:
            work.record("auth.session.delete", "session", str(session.id), after={"reason": reason})
            announce_ended(work, session.id, user_id, reason)
        work.touch(user=user_id)
    return len(ended)


def announce_ended(work: UnitOfWork, session_id: UUID, user_id: UUID, reason: str) -> None:
    """Let plugins hear that a session is over; a session belongs to no organisation, whichever is bound."""
    with bind(None):
        work.announce(SessionEnded(session_id=session_id, user_id=user_id, reason=reason))


def _is_open(session: Session) -> bool:
    user = session.user
    unchanged = user.disabled_at is None and user.token_version == session.token_version
    return unchanged and session.ended_at is None and session.expires_at > datetime.now(UTC)


def _signed_in(user: User, session: Session) -> SignedIn:
    tokens = access_tokens()
    return SignedIn(
        user=user,
        tenant_id=session.tenant_default,
        session_id=session.id,
        access_token=tokens.issue(
            user_id=user.id,
            session_id=session.id,
            token_version=session.token_version,
            tenant_id=session.tenant_default,
            is_operator=user.is_operator,
        ),
        expires_in=tokens.lifetime,
        refresh_token=refresh_token(_secret(), session.id, session.generation, session.salt),
    )


def _sign_in_again() -> Unauthenticated:
    return Unauthenticated("The session has ended; sign in again.")


def _secret() -> str:
    return services().settings.identity.secret.get_secret_value()


def _lifetime() -> timedelta:
    return timedelta(days=services().settings.identity.session_days)


def _user_agent() -> str:
    return origin().user_agent[:400]
