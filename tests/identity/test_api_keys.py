"""API keys: shown once, good in one tenant, until revoked or past their time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
import time_machine

from host.contracts import Query
from host.errors import NotFound, ValidationFailed
from host.identity import api_keys
from host.identity.api_keys import KEYS, api_key, count_keys, make_key, parse_key, revoke_key
from host.identity.models import ApiKey
from tenants.context import TenantMissing, bind
from tenants.models import Tenant, User

MAY = ("projects.projects.read", "projects.tasks.read")


@pytest.fixture
def spent(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The quota's book; the quota itself is tested under limits."""
    book: list[int] = []

    async def spend(limit: str, amount: int = 1) -> None:
        book.append(amount)

    monkeypatch.setattr(api_keys, "spend", spend)
    return book


@pytest.fixture
async def acme(application: Any, ada: User, tenant_for: Any, spent: list[int]) -> AsyncIterator[Tenant]:
    tenant = await tenant_for("Acme", ada)
    with bind(tenant.id):
        yield tenant


async def test_key_when_made_then_its_text_opens_its_tenant_and_only_a_hash_is_kept(
    application: Any, acme: Tenant, ada: User, spent: list[int]
) -> None:
    row, text = await make_key(name="CI", permissions=MAY, expires_at=None, made_by=ada.id)
    taken_apart = parse_key(text)

    assert taken_apart is not None
    assert (taken_apart.tenant_id, taken_apart.key_id) == (acme.id, row["id"])
    facts = await api_key(taken_apart.key_id, taken_apart.secret)
    assert facts is not None
    assert (facts.tenant_id, facts.name, facts.permissions, facts.made_by) == (acme.id, "CI", frozenset(MAY), ada.id)
    assert text.startswith(row["prefix"])
    assert "secret_hash" not in row
    assert taken_apart.secret not in str(await ApiKey.all().values())
    assert application.names() == ["tenant.api_keys.create"]
    assert taken_apart.secret not in str(application.actions)
    assert spent == [1]


async def test_key_when_the_secret_or_the_tenant_is_another_then_unknown(
    application: Any, acme: Tenant, ada: User, tenant_for: Any
) -> None:
    row, text = await make_key(name="CI", permissions=MAY, expires_at=None, made_by=ada.id)
    secret = text.rpartition("_")[2]
    other = await tenant_for("Globex", ada)

    assert await api_key(row["id"], "a" * 52) is None
    assert await api_key(uuid4(), secret) is None
    with bind(other.id):
        assert await api_key(row["id"], secret) is None
        with pytest.raises(NotFound):
            await revoke_key(row["id"])
        assert (await KEYS.page(Query(), revoked_at=None)).items == []
    with bind(None), pytest.raises(TenantMissing):
        await api_key(row["id"], secret)


async def test_key_when_past_its_time_then_unknown(application: Any, acme: Tenant, ada: User) -> None:
    soon = datetime.now(UTC) + timedelta(hours=1)
    row, text = await make_key(name="CI", permissions=MAY, expires_at=soon, made_by=ada.id)
    secret = text.rpartition("_")[2]

    assert await api_key(row["id"], secret) is not None
    with time_machine.travel(soon, tick=False):
        assert await api_key(row["id"], secret) is None
        with pytest.raises(ValidationFailed):
            await make_key(name="Late", permissions=MAY, expires_at=soon, made_by=ada.id)


async def test_key_when_revoked_then_unknown_unlisted_and_counted_no_more(
    application: Any, acme: Tenant, ada: User
) -> None:
    row, text = await make_key(name="CI", permissions=MAY, expires_at=None, made_by=ada.id)
    assert [each["id"] for each in (await KEYS.page(Query(), revoked_at=None)).items] == [row["id"]]

    await revoke_key(row["id"])

    assert await api_key(row["id"], text.rpartition("_")[2]) is None
    assert (await KEYS.page(Query(), revoked_at=None)).items == []
    assert await count_keys() == 0
    assert acme.id in application.touched
    with pytest.raises(NotFound):
        await revoke_key(row["id"])


async def test_key_when_used_often_then_the_last_use_is_written_once_a_minute(
    application: Any, acme: Tenant, ada: User
) -> None:
    row, text = await make_key(name="CI", permissions=MAY, expires_at=None, made_by=ada.id)
    secret, noon = text.rpartition("_")[2], datetime(2030, 5, 1, 12, tzinfo=UTC)
    seen = []
    for seconds in (0, 59, 61):
        with time_machine.travel(noon + timedelta(seconds=seconds), tick=False):
            await api_key(row["id"], secret)
            seen.append((await KEYS.get(row["id"]))["last_used_at"])
    assert seen == [noon, noon, noon + timedelta(seconds=61)]


@pytest.mark.parametrize("text", ["", "tk", "tk_a_b_c", "tk_" + "a" * 26 + "_" + "1" * 26 + "_" + "a" * 52, "xx_a_b_c"])
def test_key_when_of_another_shape_then_none(text: str) -> None:
    assert parse_key(text) is None
