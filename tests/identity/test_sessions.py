"""Sessions: refresh tokens rotate, races are forgiven, replays are not."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
import time_machine

from host.errors import NotFound, Unauthenticated
from host.identity import sessions
from host.identity.models import Session
from host.identity.tokens import parse_refresh_token, refresh_token
from tenants.context import bind
from tenants.models import Tenant, User

NOON = datetime(2030, 5, 1, 12, tzinfo=UTC)


async def start(ada: User) -> sessions.SignedIn:
    return await sessions.start(ada, method="password", tenant_id=None)


async def test_session_when_started_then_alive_recorded_and_its_token_says_so(application: Any, ada: User) -> None:
    signed_in = await start(ada)

    assert await sessions.session_alive(signed_in.session_id)
    claims = sessions.access_tokens().read(signed_in.access_token)
    assert (claims.user_id, claims.session_id, claims.token_version) == (ada.id, signed_in.session_id, 1)
    assert signed_in.expires_in == 15 * 60
    [session] = await sessions.sessions_of(ada.id)
    assert (session.user_agent, session.address) == ("Firefox", "192.0.2.1")
    assert application.names() == ["auth.session.create"]


async def test_refresh_when_used_in_turn_then_each_token_is_another_and_the_session_the_same(
    application: Any, ada: User
) -> None:
    first = await start(ada)
    second = await sessions.rotate(first.refresh_token)
    third = await sessions.rotate(second.refresh_token)

    assert len({first.refresh_token, second.refresh_token, third.refresh_token}) == 3
    assert {first.session_id, second.session_id, third.session_id} == {first.session_id}


async def test_refresh_when_one_client_races_then_every_answer_holds_the_same_successor(
    application: Any, ada: User
) -> None:
    first = await start(ada)

    answers = await asyncio.gather(*(sessions.rotate(first.refresh_token) for _ in range(8)))

    assert len({each.refresh_token for each in answers}) == 1
    assert (await Session.get(id=first.session_id)).generation == 2
    await sessions.rotate(answers[0].refresh_token)
    assert await sessions.session_alive(first.session_id)


async def test_refresh_when_an_old_token_comes_after_the_grace_then_the_family_ends(
    application: Any, ada: User
) -> None:
    first = await start(ada)
    with time_machine.travel(NOON, tick=False):
        await Session.filter(id=first.session_id).update(expires_at=NOON + timedelta(days=30))
        second = await sessions.rotate(first.refresh_token)
    with time_machine.travel(NOON + timedelta(seconds=9), tick=False):
        again = await sessions.rotate(first.refresh_token)
        assert again.refresh_token == second.refresh_token
    application.touched.clear()
    with time_machine.travel(NOON + timedelta(seconds=11), tick=False):
        with pytest.raises(Unauthenticated):
            await sessions.rotate(first.refresh_token)
        with pytest.raises(Unauthenticated):
            await sessions.rotate(second.refresh_token)
        assert not await sessions.session_alive(first.session_id)

    assert (await Session.get(id=first.session_id)).end_reason == "replayed"
    assert ada.id in application.touched
    assert application.names("failed") == ["auth.session.refresh"]


async def test_refresh_when_the_successor_was_used_then_the_grace_is_over(application: Any, ada: User) -> None:
    first = await start(ada)
    second = await sessions.rotate(first.refresh_token)
    await sessions.rotate(second.refresh_token)

    with pytest.raises(Unauthenticated):
        await sessions.rotate(first.refresh_token)
    assert not await sessions.session_alive(first.session_id)


async def test_refresh_when_overtaken_by_two_rotations_then_the_newest_generation_stands(
    application: Any, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, found = await start(ada), sessions.default_tenant

    async def overtaken(*args: Any) -> Any:
        monkeypatch.setattr(sessions, "default_tenant", found)
        second = await sessions.rotate(first.refresh_token)
        await sessions.rotate(second.refresh_token)
        return await found(*args)

    monkeypatch.setattr(sessions, "default_tenant", overtaken)
    with pytest.raises(Unauthenticated):
        await sessions.rotate(first.refresh_token)
    assert (await Session.get(id=first.session_id)).generation == 3


async def test_refresh_when_another_program_races_then_the_family_ends(
    application: Any, ada: User, client: Any
) -> None:
    first = await start(ada)
    await sessions.rotate(first.refresh_token)

    with client(user_agent="curl"), pytest.raises(Unauthenticated):
        await sessions.rotate(first.refresh_token)
    assert not await sessions.session_alive(first.session_id)


async def test_refresh_when_the_token_is_forged_then_refused_and_the_session_lives(application: Any, ada: User) -> None:
    first = await start(ada)
    forged = refresh_token("another secret of forty characters length", first.session_id, 1, "salt")
    taken_apart = parse_refresh_token(forged)
    assert taken_apart is not None

    for text in (forged, forged[:-1], "", "é", "x" * 70, refresh_token("s" * 40, uuid4(), 1, "salt")):
        with pytest.raises(Unauthenticated):
            await sessions.rotate(text)
    assert await sessions.session_alive(first.session_id)


async def test_session_when_unused_for_its_days_then_over_and_when_used_then_longer(
    application: Any, ada: User
) -> None:
    first = await start(ada)
    soon, late = (datetime.now(UTC) + timedelta(days=days) for days in (29, 31))
    with time_machine.travel(soon, tick=False):
        second = await sessions.rotate(first.refresh_token)
    with time_machine.travel(late, tick=False):
        assert await sessions.session_alive(first.session_id)
        await sessions.rotate(second.refresh_token)
    with time_machine.travel(late + timedelta(days=30, seconds=1), tick=False):
        assert not await sessions.session_alive(first.session_id)
        with pytest.raises(Unauthenticated):
            await sessions.rotate(second.refresh_token)


async def test_refresh_when_the_token_version_rose_or_the_account_was_disabled_then_refused(
    application: Any, ada: User
) -> None:
    first, second = await start(ada), await start(ada)
    await User.filter(id=ada.id).update(disabled_at=NOON)
    with pytest.raises(Unauthenticated):
        await sessions.rotate(first.refresh_token)
    await User.filter(id=ada.id).update(disabled_at=None, token_version=2)
    with pytest.raises(Unauthenticated):
        await sessions.rotate(second.refresh_token)


async def test_session_when_ended_then_gone_and_facts_touched(application: Any, ada: User) -> None:
    first, second = await start(ada), await start(ada)
    await sessions.end(first.session_id, user_id=ada.id)

    assert not await sessions.session_alive(first.session_id)
    assert await sessions.session_alive(second.session_id)
    assert application.touched == {ada.id}
    with pytest.raises(Unauthenticated):
        await sessions.rotate(first.refresh_token)
    with pytest.raises(NotFound):
        await sessions.end(first.session_id, user_id=ada.id)
    with pytest.raises(NotFound):
        await sessions.end(second.session_id, user_id=uuid4())


async def test_sessions_when_all_but_one_end_then_that_one_lives(application: Any, ada: User) -> None:
    first, second, third = await start(ada), await start(ada), await start(ada)

    assert await sessions.end_all(ada.id, reason="test", but=second.session_id) == 2

    alive = [await sessions.session_alive(each.session_id) for each in (first, second, third)]
    assert alive == [False, True, False]


async def test_default_tenant_when_the_preferred_one_closed_then_the_oldest_open_one(
    application: Any, ada: User, tenant_for: Any
) -> None:
    acme, globex, initech = [await tenant_for(name, ada) for name in ("Acme", "Globex", "Initech")]
    anonymous = await Tenant.create(slug="strange", name="Strange", plan="free")

    assert await sessions.default_tenant(ada.id) == acme.id
    assert await sessions.default_tenant(ada.id, globex.id) == globex.id
    assert await sessions.default_tenant(ada.id, anonymous.id) == acme.id
    with bind(initech.id):
        assert await sessions.default_tenant(ada.id) == initech.id
    await Tenant.filter(id=acme.id).update(status="suspended")
    assert await sessions.default_tenant(ada.id, acme.id) == globex.id
    assert await sessions.default_tenant(uuid4()) is None
