"""What has expired: forgotten once a day, so that no table of sign-ins grows for ever."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from tortoise.expressions import F

from host.identity.models import OAuthState, OneTimeToken, Session
from host.identity.sessions import announce_ended
from host.services import unit_of_work

_BATCH = 200

KEPT = timedelta(days=30)
"""How long ended sessions and spent links are kept, for whoever looks into what happened."""


async def forget_expired() -> int:
    """Delete sign-ins under way that were given up, and links and sessions over for `KEPT`; how many rows."""
    now = datetime.now(UTC)
    await _end_run_out(now)
    states = await OAuthState.filter(expires_at__lt=now).delete()
    links = await OneTimeToken.filter(expires_at__lt=now - KEPT).delete()
    over = await Session.filter(expires_at__lt=now - KEPT).delete()
    ended = await Session.filter(ended_at__lt=now - KEPT).delete()
    return states + links + over + ended


async def _end_run_out(now: datetime) -> None:
    """Sessions that nobody ended are over when their time is: announced once, a batch in each transaction."""
    while True:
        async with unit_of_work() as work:
            over = await Session.filter(ended_at=None, expires_at__lt=now).limit(_BATCH).select_for_update()
            for each in over:
                announce_ended(work, each.id, each.user_id, "expired")
            run_out = Session.filter(id__in=[each.id for each in over])
            await run_out.update(ended_at=F("expires_at"), end_reason="expired")
        if len(over) < _BATCH:
            return
