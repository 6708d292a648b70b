"""End an account's pending and unproven sessions, links, sign-ins and keys after its owner is proven.

Whoever held an account before, or registered somebody's address first, must not find a way back in after the owner has
proved the address, set a new password or changed the address (https://arxiv.org/abs/2205.10174 lists the ways).
"""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from host.data.transactions import UnitOfWork
from host.identity import sessions
from host.identity.api_keys import end_keys_everywhere
from host.identity.events import SignInUnlinked
from host.identity.models import OAuthAccount, OneTimeToken
from tenants.models import User


async def end_unproven(
    work: UnitOfWork, user: User, *, reason: str, keep_session: UUID | None = None, keep_keys: bool = False
) -> None:
    """End sessions, one-time links (a pending change of the address with them), unproven sign-ins and API keys.

    An API key belongs to an organisation but acts in the name of the person who made it, so it ends with the rest: an
    intruder may have made it to come back later. A sign-in at another provider is proven while that provider
    vouches for the address that the account has now.

    reason: for the record and for `SessionEnded`. keep_session: goes on, because it is where the owner showed who they
    are. keep_keys: for an owner who says so, with the old password.
    """
    await OneTimeToken.filter(user_id=user.id, used_at=None).update(used_at=datetime.now(UTC))
    await sessions.end_all(user.id, reason=reason, but=keep_session)
    for linked in await OAuthAccount.filter(user_id=user.id):
        if not (linked.email_verified and linked.email == user.email):
            await unlink(work, user, linked)
    if not keep_keys:
        await end_keys_everywhere(work, user.id)


async def unlink(work: UnitOfWork, user: User, linked: OAuthAccount) -> None:
    """Make a sign-in at another provider open the account no more."""
    await linked.delete()
    work.record("auth.oauth_account.delete", "user", str(user.id), before={"provider": linked.provider})
    work.announce(
        SignInUnlinked(user_id=user.id, email=user.email, name=user.name, provider=linked.provider, locale=user.locale)
    )
