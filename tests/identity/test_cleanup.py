"""What has expired: goes; what is still good or fresh in memory stays."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from host.identity import recovery, sessions
from host.identity.cleanup import KEPT, forget_expired
from host.identity.models import OAuthState, OneTimeToken, Session
from tenants.models import User


async def test_expired_rows_when_forgotten_then_what_is_good_stays(application: Any, ada: User) -> None:
    now = datetime.now(UTC)
    good, over, ended = [await sessions.start(ada, method="password", tenant_id=None) for _ in range(3)]
    await Session.filter(id=over.session_id).update(expires_at=now - KEPT - timedelta(minutes=1))
    await Session.filter(id=ended.session_id).update(ended_at=now - KEPT - timedelta(minutes=1))
    await recovery.send_reset("ada@example.com")
    for name, minutes in (("late", -1), ("good", 1)):
        await OAuthState.create(
            provider=name,
            state_hash=name,
            browser_hash="",
            nonce="",
            code_verifier="",
            expires_at=now + timedelta(minutes=minutes),
        )

    assert await forget_expired() == 3

    assert [each.id for each in await Session.all()] == [good.session_id]
    assert [each.provider for each in await OAuthState.all()] == ["good"]
    assert await OneTimeToken.all().count() == 1
    await OneTimeToken.all().update(expires_at=now - KEPT - timedelta(minutes=1))
    assert await forget_expired() == 1
