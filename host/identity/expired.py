"""What has expired: forgotten once a day, so that no table of sign-ins grows for ever."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from host.identity.models import OAuthState, OneTimeToken, Session

KEPT = timedelta(days=30)
"""How long ended sessions and spent links are kept, for whoever looks into what happened."""


async def forget_expired() -> int:
    """Delete sign-ins under way that were given up, and links and sessions over for `KEPT`; how many rows."""
    now = datetime.now(UTC)
    states = await OAuthState.filter(expires_at__lt=now).delete()
    links = await OneTimeToken.filter(expires_at__lt=now - KEPT).delete()
    over = await Session.filter(expires_at__lt=now - KEPT).delete()
    ended = await Session.filter(ended_at__lt=now - KEPT).delete()
    return states + links + over + ended
