"""Two tenants for isolation tests, with signed-in HTTP clients for their owners, members and viewers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import httpx

from host.app import Application
from host.execution_context import in_tenant
from host.identity.sessions import start
from host.jobs.models import JobState
from host.services import unit_of_work
from host.settings import Settings
from tenants.context import bind
from tenants.models import Membership, Role, Tenant, User

ROLES = ("owner", "admin", "member", "viewer")


class Client(httpx.AsyncClient):
    """One person, signed in, talking to the application over ASGI in this process.

    Attributes:
        user_id: the person; None for an anonymous client.
        tenant_id: the organisation their requests are for.
    """

    user_id: UUID | None = None
    tenant_id: UUID | None = None

    async def ask(self, method: str, path: str, status: int = 200, **options: Any) -> Any:
        """The `data` of a success or the `error` of a refusal, after checking the status; `path` below /api/v1."""
        answer = await self.request(method, f"/api/v1{path}", **options)
        assert answer.status_code == status, f"{method} {path}: {answer.status_code} {answer.text}"
        if not answer.content:
            return None
        body = answer.json()
        return body["data"] if body["success"] else body["error"]


@dataclass(frozen=True)
class TestApplication:
    """A running application for tests."""

    __test__ = False
    inner: Application
    app: Any

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: Settings) -> AsyncIterator[TestApplication]:
        """Open an application, with its tables made; closed after the block."""
        async with Application.open(settings, migrate=True) as opened:
            yield cls(opened, opened.asgi())

    def client(self, **headers: str) -> Client:
        """A client of the application; anonymous without an Authorization header."""
        transport = httpx.ASGITransport(app=self.app, client=("127.0.0.1", 50000))
        return Client(transport=transport, base_url="http://testserver", headers=headers)

    async def sign_in(self, user: User, tenant: Tenant) -> Client:
        """A client in which `user` is signed in at `tenant`."""
        with self.inner.bound():
            signed_in = await start(user, method="test", tenant_id=tenant.id)
        client = self.client(**{"Authorization": f"Bearer {signed_in.access_token}", "X-Tenant": tenant.slug})
        client.user_id, client.tenant_id = user.id, tenant.id
        return client

    async def run_task(self, task: str, tenant: Client | UUID | None = None, /, **arguments: Any) -> None:
        """Run one task as a job, to its end: `await application.run_task("notes.sweep", two_tenants.acme, days=30)`.

        tenant: whose it is, as a client signed in there or an id; None: of no tenant.

        Raises:
            AssertionError: the job did not end well; its error is in the message.
        """
        tenant_id = tenant.tenant_id if isinstance(tenant, Client) else tenant
        facts = await self.inner.callbacks.snapshot_of(tenant_id) if tenant_id is not None else None
        with self.inner.bound(), in_tenant(facts):
            async with unit_of_work() as work:
                job_id = await work.enqueue(task, **arguments)
        await self.run_jobs()
        with self.inner.bound(), bind(None):
            job = await self.inner.services.job_store.get(job_id)
        assert job is not None, f"{task}: its job is gone"
        assert job.state == JobState.DONE, f"{task}: {job.state}: {job.error}"

    async def run_jobs(self) -> int:
        """Run every job that is due, one after another; how many there were."""
        with self.inner.bound(), bind(None):
            return await self.inner.runner.drain()


@dataclass(frozen=True)
class TwoTenants:
    """The people of two tenants: `acme` and `globex` are the owners' clients, the others are by role.

    `anonymous` sends no token.

    Example:
        async def test_notes_when_read_from_another_tenant_then_not_found(two_tenants: TwoTenants) -> None:
            note = await two_tenants.acme.ask("POST", "/notes", 201, json={"text": "ours"})
            await two_tenants.globex.ask("GET", f"/notes/{note['id']}", 404)
    """

    application: TestApplication
    acme: Client
    globex: Client
    acme_admin: Client
    acme_member: Client
    acme_viewer: Client
    globex_admin: Client
    globex_member: Client
    globex_viewer: Client
    anonymous: Client

    @classmethod
    @asynccontextmanager
    async def create(cls, application: TestApplication) -> AsyncIterator[TwoTenants]:
        """Make both tenants and sign everybody in."""
        async with AsyncExitStack() as stack:
            people: dict[str, Client] = {"anonymous": application.client()}
            for slug in ("acme", "globex"):
                people |= await _furnish(application, slug)
            for client in people.values():
                stack.push_async_callback(client.aclose)
            await application.run_jobs()
            yield cls(
                application=application,
                acme=people["acme_owner"],
                globex=people["globex_owner"],
                **{name: client for name, client in people.items() if not name.endswith("_owner")},
            )


async def _furnish(application: TestApplication, slug: str) -> dict[str, Client]:
    with application.inner.bound():
        users = {
            role: await User.create(
                email=f"{role}@{slug}.example",
                name=f"{role.title()} of {slug.title()}",
                email_verified_at=datetime.now(UTC),
            )
            for role in ROLES
        }
        plan = application.inner.services.plans.ids[-1]
        tenant = await application.inner.provisioning.create(slug.title(), slug=slug, plan=plan, owner=users["owner"])
        with bind(tenant.id):
            for role in ROLES[1:]:
                await Membership.create(user_id=users[role].id, role_id=(await Role.get(name=role)).id)
    return {f"{slug}_{role}": await application.sign_in(user, tenant) for role, user in users.items()}
