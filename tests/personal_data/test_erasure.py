"""A person who did everything is erased: listed first, gone from every text column of the database after."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from host.contracts import Person
from host.data.mentions import is_mentioned, without
from host.jobs.models import Job
from host.testing import Client, TwoTenants
from plugins.audit.verification import verify
from plugins.mail.models import Suppression
from plugins.mail.service.suppressions import suppressed
from tenants.context import bind
from tenants.models import Tenant, User

EVE, PASSWORD, BROWSER = "eve.adams@example.net", "correct horse battery", "EveBrowser/7.1"
NOBODY = "reader@elsewhere.example"


async def trail(two_tenants: TwoTenants) -> tuple[UUID, Client]:
    """Eve registers, is invited, joins, works, is refused, makes a key, invites, is mailed; her id and her client."""
    application, acme = two_tenants.application, two_tenants.acme
    anonymous = application.client(**{"User-Agent": BROWSER})
    await anonymous.ask("POST", "/auth/register", 201, json={"email": EVE, "password": PASSWORD, "name": "Eve Adams"})
    await anonymous.ask("POST", "/auth/login", 401, json={"email": EVE, "password": "wrong"})
    role = next(each["id"] for each in await acme.ask("GET", "/tenant/roles") if each["name"] == "admin")
    invited = await acme.ask("POST", "/tenant/invitations", 201, json={"email": EVE.title(), "role_id": role})
    with application.inner.bound():
        user, tenant = await User.get(email=EVE), await Tenant.get(slug="acme")
    eve = await application.sign_in(user, tenant)
    eve.headers["User-Agent"] = BROWSER
    eve.headers["X-Request-ID"] = f"from-{EVE}"
    await eve.ask("POST", "/invitations/accept", json={"token": invited["token"]})
    await eve.ask("POST", "/tenant/invitations", 201, json={"email": "more@example.net", "role_id": role})
    project = await eve.ask("POST", "/projects", 201, json={"name": f"{EVE}'s", "description": f"ask <{EVE}>"})
    named = {"title": f"Call {EVE.upper()}", "tags": [EVE], "assignee_id": str(user.id)}
    await eve.ask("POST", f"/projects/{project['id']}/tasks", 201, json=named, headers={"Idempotency-Key": EVE})
    await eve.ask("DELETE", "/tenant", 403, json={"confirm": "acme"})
    key = {"name": f"key of {EVE}", "permissions": ["projects.projects.read"]}
    await eve.ask("POST", "/tenant/api-keys", 201, json=key)
    for to, more in (
        ([EVE], {}),
        (["Eve <Eve.Adams@example.net>", "ada@acme.example"], {"category": "transactional"}),
        ([NOBODY], {}),
    ):
        body = {"to": to, "subject": f"For {to[0]}", "text": f"Dear {to[0]}", "category": "news", **more}
        await acme.ask("POST", "/mail/messages", 202, json=body)
    later = {
        "to": [EVE],
        "subject": "Later",
        "text": "Later",
        "send_at": str(datetime.now(UTC) + timedelta(days=9)),
        "category": "news",
    }
    await acme.ask("POST", "/mail/messages", 202, json=later)
    await application.run_jobs()
    for address in (EVE, NOBODY):
        await acme.ask("POST", "/mail/suppressions", 201, json={"address": address, "detail": f"said {address}"})
    return user.id, eve


async def traces(two_tenants: TwoTenants, *said: str) -> list[str]:
    """Where, in which column of which table, any of these stands; read as the database's owner, all tenants."""
    database, found = two_tenants.application.inner.services.database, []
    async with database.owner() as client:
        if database.dialect == "sqlite":
            tables = [
                row["name"]
                for row in await client.execute_query_dict("SELECT name FROM sqlite_master WHERE type = 'table'")
            ]
        else:
            sql = "SELECT tablename AS name FROM pg_tables WHERE schemaname = current_schema()"
            tables = [row["name"] for row in await client.execute_query_dict(sql)]
        for table in tables:
            for row in await client.execute_query_dict(f'SELECT * FROM "{table}"'):
                found += [
                    f"{table}.{column}: {value!r}"
                    for column, value in row.items()
                    if any(each.lower() in str(value).lower() for each in said)
                ]
    return found


async def operator(two_tenants: TwoTenants) -> Client:
    with two_tenants.application.inner.bound():
        user = await User.create(email="ops@host.example", name="Ops", is_operator=True)
        return await two_tenants.application.sign_in(user, await Tenant.get(slug="globex"))


async def test_person_when_erased_everywhere_then_no_table_names_them_and_the_log_is_whole(
    two_tenants: TwoTenants,
) -> None:
    user_id, eve = await trail(two_tenants)
    ops = await operator(two_tenants)
    assert await traces(two_tenants, EVE)
    held = await ops.ask("POST", "/operator/personal-data/search", json={"email": EVE})
    kinds = {(each["tenant"], each["kind"]) for each in held}
    assert kinds >= {
        *(("acme", f"host.{kind}") for kind in ("memberships", "api_keys", "answers")),
        *(("acme", kind) for kind in ("audit.entries", "mail.messages", "mail.lists", "projects.places")),
        *(("", "host.account"), ("", "audit.entries"), ("acme", "projects_tasks")),
    }
    assert await traces(two_tenants, EVE), "looking changes nothing"
    erase = {"email": EVE, "reason": f"{EVE} asked us to"}
    accepted = await ops.ask("POST", "/operator/personal-data/erase", 202, json=erase)
    await two_tenants.application.run_jobs()
    with two_tenants.application.inner.bound():
        job = await Job.get(id=accepted["job_id"])
    assert (job.state, job.error) == ("done", "")
    assert await traces(two_tenants, EVE, BROWSER, "Eve Adams") == []
    assert await ops.ask("POST", "/operator/personal-data/search", json={"email": EVE}) == []
    await eve.ask("GET", "/me", 401)
    assert await traces(two_tenants, NOBODY), "others stay"
    for slug in ("acme", "globex"):
        with two_tenants.application.inner.bound():
            tenant = await Tenant.get(slug=slug)
            with bind(tenant.id), as_audit():
                verdict = await verify()
        assert verdict.ok, verdict.finding
    [task] = await two_tenants.acme.ask("GET", "/tasks")
    assert task["assignee_id"] is None
    assert task["title"].startswith("Call erased-")
    [asked] = await ops.ask("GET", "/operator/audit?action=operator.erasures.create")
    assert (asked["resource_id"], "erased-" in asked["after"]["reason"]) == (str(user_id), True)
    [finished] = await ops.ask("GET", "/operator/audit?action=operator.erasures.finish")
    assert finished["after"]["erased"]["host.account"] >= 1


def as_audit() -> Any:
    from host.execution_context import as_plugin

    return as_plugin("audit")


async def test_recipient_without_an_account_when_erased_by_an_organisation_then_gone_and_never_mailed_again(
    two_tenants: TwoTenants,
) -> None:
    await trail(two_tenants)
    acme = two_tenants.acme
    erase = {"email": NOBODY, "reason": "asked by telephone"}
    await two_tenants.acme_admin.ask("POST", "/tenant/personal-data/erase", 403, json=erase)
    await acme.ask("POST", "/tenant/personal-data/erase", 202, json=erase)
    await two_tenants.application.run_jobs()
    assert await traces(two_tenants, NOBODY) == []
    assert await traces(two_tenants, EVE), "others stay"
    body = {"to": [NOBODY], "subject": "Again", "text": "Again", "category": "news"}
    sent = await acme.ask("POST", "/mail/messages", 202, json=body)
    assert sent["status"] == "suppressed"
    with two_tenants.application.inner.bound(), bind(acme.tenant_id):
        from host.execution_context import as_plugin

        with as_plugin("mail"):
            assert await suppressed([NOBODY.upper(), EVE, "ada@x.example"]) == {NOBODY.upper(), EVE}
        assert await Suppression.all().count() == 2
    [finished] = await acme.ask("GET", "/audit/entries?action=tenant.erasures.finish")
    assert finished["after"]["erased"]["mail.lists"] == 1


async def test_person_when_the_last_owner_then_not_erased_and_the_organisation_is_named(
    two_tenants: TwoTenants,
) -> None:
    ops = await operator(two_tenants)
    body = {"user_id": str(two_tenants.acme.user_id), "reason": "x"}
    refused = await ops.ask("POST", "/operator/personal-data/erase", 409, json=body)
    assert "acme" in refused["message"]
    assert await two_tenants.acme.ask("GET", "/me")


@pytest.mark.parametrize("body", [{}, {"email": EVE, "user_id": str(UUID(int=1))}, {"email": "no address"}])
async def test_search_when_nobody_or_two_are_named_then_refused(two_tenants: TwoTenants, body: dict[str, str]) -> None:
    await two_tenants.acme.ask("POST", "/tenant/personal-data/search", 422, json=body)


async def test_search_when_the_person_is_another_organisations_then_nothing_is_told(two_tenants: TwoTenants) -> None:
    await trail(two_tenants)
    assert await two_tenants.globex.ask("POST", "/tenant/personal-data/search", json={"email": EVE}) == []
    await two_tenants.acme_member.ask("POST", "/tenant/personal-data/search", 403, json={"email": EVE})


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("write to Eve.Adams@Example.net.", "write to ."),
        ("<eve.adams@example.net>,", "<>,"),
        ("?to=eve.adams%40example.net&x=1", "?to=&x=1"),
        ("steve.adams@example.net", None),
        ("the-eve.adams@example.net", None),
        ("eve.adams@example.net.evil.example", None),
        ("eve.adams@example.network", None),
        ("eve.adams@example.org", None),
    ],
)
def test_text_when_it_names_the_address_whole_then_only_that_is_replaced(text: str, left: str | None) -> None:
    person = Person((EVE,))
    assert is_mentioned(person, {"a": [text]}) is (left is not None)
    instead = without(person, text)
    if left is None:
        assert instead == text
    else:
        marker = instead.partition("erased-")[2].partition("@")[0]
        assert instead.replace(f"erased-{marker}@erased.invalid", "") == left
