"""Fixtures: the services that identity needs, over a real database, and what they were told."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID

import pytest
from pydantic import SecretStr

from host.app_context import AppContext, enter_app
from host.contracts import Action, Actor, Event, Origin
from host.data.database import Database
from host.data.transactions import AfterCommit, Transactions
from host.execution_context import acting
from host.instruments import Meter
from host.limits.rates import Bucket
from host.services import Services
from host.settings import IdentitySettings, RatesSettings, Settings
from tenants.context import bind
from tenants.models import Membership, Role, Tenant, User

PASSWORD = "a long enough passphrase"


@dataclass(slots=True)
class Taken:
    """What the counting below answers, as host.limits.rates does."""

    allowed: bool
    reset_seconds: int = 7


@dataclass(slots=True)
class Counting:
    """Rates counted in memory; what Redis does with them is tested under limits."""

    used: dict[str, int] = field(default_factory=dict)

    async def take(self, buckets: Sequence[Bucket], version_keys: Sequence[str]) -> Taken:
        if any(self.used.get(each.key, 0) >= each.limit for each in buckets):
            return Taken(False)
        for each in buckets:
            self.used[each.key] = self.used.get(each.key, 0) + each.cost
        return Taken(True)

    async def peek(self, bucket: Bucket) -> int:
        return self.used.get(bucket.key, 0)

    async def forget(self, *keys: str) -> None:
        for key in keys:
            self.used.pop(key, None)


@dataclass(slots=True)
class Application:
    """The services offered, and what came out of them."""

    settings: Settings
    database: Database
    rates: Counting = field(default_factory=Counting)
    actions: list[Action] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    touched: set[UUID] = field(default_factory=set)

    def offered(self) -> Services:
        given = dict.fromkeys([each.name for each in fields(Services)])
        transactions = Transactions(self.database, self._tell, _jobs_for, self._store, self._nothing, self._touch)
        given |= {"settings": self.settings, "database": self.database, "rates": self.rates}
        given |= {"metering": SimpleNamespace(meter=Meter())}
        return Services(**cast(Any, given | {"transactions": transactions}))

    def bound(self) -> enter_app:
        """Bind the services offered for the block."""
        services = self.offered()
        return enter_app(AppContext(database=self.database, meter=services.metering.meter, services=services))

    @contextmanager
    def with_identity(self, **changes: object) -> Iterator[None]:
        """Other identity settings for the block."""
        before = self.settings
        self.settings = before.model_copy(update={"identity": before.identity.model_copy(update=changes)})
        with self.bound():
            yield
        self.settings = before

    def sent(self, kind: type[Event]) -> Any:
        """The last event of a kind."""
        return [each for each in self.events if isinstance(each, kind)][-1]

    def token(self, kind: type[Event]) -> str:
        """The token in the link of the last event of a kind."""
        return str(self.sent(kind).link).partition("token=")[2]

    def names(self, outcome: str = "succeeded") -> list[str]:
        return [each.name for each in self.actions if each.outcome == outcome]

    async def _tell(self, action: Action) -> None:
        self.actions.append(action)

    async def _store(self, drafts: Sequence[Any]) -> None:
        self.events.extend(drafts)

    async def _touch(self, tenants: set[UUID], users: set[UUID], tags: set[str]) -> AfterCommit:
        async def tell() -> None:
            self.touched |= tenants | users

        return tell

    async def _nothing(self, drafts: object) -> None:
        return None


def _jobs_for(event: Event) -> list[Any]:
    """The event stands for its jobs: it is stored when they are."""
    return [event]


@pytest.fixture
def application(database: Database) -> Iterator[Application]:
    settings = Settings(
        identity=IdentitySettings(secret=SecretStr("s" * 40)), rates=RatesSettings(sign_in="1000/minute")
    )
    made = Application(settings, database)
    with made.bound(), acting(Origin("r1", Actor("anonymous"), "192.0.2.1", "Firefox")):
        yield made


@contextmanager
def coming_from(address: str = "192.0.2.1", user_agent: str = "Firefox") -> Iterator[None]:
    """Another client for the block."""
    with acting(Origin("r2", Actor("anonymous"), address, user_agent)):
        yield


@pytest.fixture
def client() -> Any:
    return coming_from


async def make_tenant(name: str, owner: User) -> Tenant:
    """A tenant with its owner, as provisioning makes one."""
    tenant = await Tenant.create(slug=name.lower(), name=name, plan="free")
    with bind(tenant.id):
        role = await Role.create(name="owner", all_permission=True)
        await Membership.create(user_id=owner.id, role=role)
    return tenant


@pytest.fixture
def tenant_for() -> Any:
    return make_tenant


@pytest.fixture
async def ada(application: Application) -> User:
    """A person with a password."""
    from host.identity import passwords

    return await User.create(email="ada@example.com", name="Ada", password_hash=await passwords.hashed(PASSWORD))
