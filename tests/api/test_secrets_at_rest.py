"""Tokens that open something stand nowhere in the database, neither while their messages wait nor afterwards."""

from __future__ import annotations

from host.contracts import Event
from host.identity.events import EmailVerificationRequested, InvitationCreated, PasswordResetRequested
from host.redaction import HIDDEN
from host.registry.kinds import MODELS
from host.testing import TestApplication, TwoTenants


async def everything(application: TestApplication) -> str:
    """Every row of every table, as text."""
    found: list[str] = []
    database = application.inner.services.database
    models = [model for _, model in application.inner.registry.catalog.all(MODELS)]
    async with database.owner() as client:
        for model in models:
            rows = await client.execute_query_dict(f'SELECT * FROM "{model._meta.db_table}"')
            found += [f"{model._meta.db_table}: {dict(row)}" for row in rows]
    return "\n".join(found)


async def test_tokens_when_sent_then_nowhere_in_the_database_and_in_nobodys_list_of_jobs(
    two_tenants: TwoTenants, heard: list[Event]
) -> None:
    anonymous, acme, application = two_tenants.anonymous, two_tenants.acme, two_tenants.application
    person = {"email": "new@example.com", "password": "a long enough passphrase", "name": "Nina"}
    await anonymous.ask("POST", "/auth/register", 201, json=person)
    await anonymous.ask("POST", "/auth/password/forgot", 202, json={"email": "new@example.com"})
    roles = {each["name"]: each["id"] for each in await acme.ask("GET", "/tenant/roles")}
    invited = {"email": "guest@example.com", "role_id": roles["member"]}
    key = {"Idempotency-Key": "invite-1"}
    await acme.ask("POST", "/tenant/invitations", 201, json=invited, headers=key)
    made = await acme.ask("POST", "/tenant/api-keys", 201, json={"name": "CI", "permissions": ["tenant.roles.read"]})
    secrets = [made["key"].rpartition("_")[2], anonymous.cookies["tenantry_refresh"]]
    for event in heard:
        if isinstance(event, EmailVerificationRequested | PasswordResetRequested):
            secrets.append(event.link.partition("token=")[2])
            assert secrets[-1] not in repr(event)
        elif isinstance(event, InvitationCreated):
            secrets += [event.token, event.token.partition(".")[2]]
    assert len(secrets) == 6

    waiting = await everything(application)
    assert "guest@example.com" in waiting
    jobs = [each for each in await acme.ask("GET", "/jobs") if "Invitation" in each["task"]]
    shown = await acme.ask("GET", f"/jobs/{jobs[0]['id']}")
    assert shown["arguments"]["event"]["token"] == HIDDEN
    await application.run_jobs()
    afterwards = await everything(application)
    for secret in secrets:
        assert secret not in waiting
        assert secret not in afterwards
