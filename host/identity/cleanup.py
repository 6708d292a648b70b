"""Delete expired sign-in attempts, one-time links and sessions once a day."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from tortoise.expressions import F

from host.identity.models import OAuthState, OneTimeToken, Session
from host.identity.sessions import announce_ended
from host.services import unit_of_work

_BATCH = 200

KEPT = timedelta(days=30)
"""How long ended sessions and used links are kept, so that incidents can be investigated."""


async def forget_expired() -> int:
    """Delete abandoned provider sign-ins, and links and sessions that ended longer ago than `KEPT`; how many rows."""
    now = datetime.now(UTC)
    await _end_run_out(now)
    states = await OAuthState.filter(expires_at__lt=now).delete()
    links = await OneTimeToken.filter(expires_at__lt=now - KEPT).delete()
    expired = await Session.filter(expires_at__lt=now - KEPT).delete()
    ended = await Session.filter(ended_at__lt=now - KEPT).delete()
    return states + links + expired + ended


async def _end_run_out(now: datetime) -> None:
    """Mark expired sessions as ended and announce each once, one batch per transaction."""
    while True:
        async with unit_of_work() as work:
            expired = await Session.filter(ended_at=None, expires_at__lt=now).limit(_BATCH).select_for_update()
            for session in expired:
                announce_ended(work, session.id, session.user_id, "expired")
            batch = Session.filter(id__in=[session.id for session in expired])
            await batch.update(ended_at=F("expires_at"), end_reason="expired")
        if len(expired) < _BATCH:
            return
