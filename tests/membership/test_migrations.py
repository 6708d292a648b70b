"""What `tenantry migrate` makes of the invitations and keys of an older version."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from uuid_utils.compat import uuid7

from host.data.migrations import Migrations
from host.identity.models import ApiKey, OAuthAccount
from tenants.context import bind
from tenants.models import Invitation, Membership, Role, Tenant, User
from tests.conftest import APPS, MakeDatabase

NOW, LATER = "2026-01-01 00:00:00+00:00", "2099-01-01 00:00:00+00:00"


async def test_tables_when_they_hold_doubles_and_orphans_then_one_invitation_and_only_members_keys_are_left(
    new_database: MakeDatabase,
) -> None:
    database = await new_database(APPS, {"tenants": "tenants.migrations", "host": "host.migrations"})
    with database.bind():
        acme = await Tenant.create(slug="acme", name="Acme", plan="free")
        with bind(acme.id):
            role, person = await Role.create(name="owner"), await User.create(email="ada@example.com", name="Ada")
            await Membership.create(user=person, role=role)
        await OAuthAccount.create(user=person, provider="github", subject="1")
        migrations = Migrations(database)
        await migrations.downgrade("host", "0005_use_by_time")
        await migrations.downgrade("tenants", "0001_initial")
        async with database.owner() as client:

            async def add(table: str, **values: Any) -> UUID:
                row = {"id": uuid7(), "tenant_id": acme.id, "created_at": NOW, **values}
                columns = ", ".join(f'"{name}"' for name in row)
                texts = ", ".join("NULL" if value is None else f"'{value}'" for value in row.values())
                await client.execute_script(f'INSERT INTO "{table}" ({columns}) VALUES ({texts})')
                return UUID(str(row["id"]))

            offer = {"email": "eve@example.com", "role_id": role.id, "expires_at": LATER}
            for number in range(2):
                newest = await add("invitations", **offer, token_hash=f"hash {number}")
            await add("invitations", **offer, token_hash="accepted", accepted_at=NOW)
            key = {"name": "CI", "prefix": "tk", "secret_hash": "x", "permissions": "[]"}
            kept = await add("api_keys", **key, made_by=person.id)
            orphan = await add("api_keys", **key, made_by=uuid7())
        await migrations.migrate()
        with bind(acme.id):
            assert [each.id for each in await Invitation.all()] == [newest]
            assert {each.id: each.revoked_at is not None for each in await ApiKey.all()} == {kept: False, orphan: True}
