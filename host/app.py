"""The composition root: settings and plugins become an application; read it from top to bottom like a list."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import cast

from host import itself
from host.cache.embedded import EmbeddedRedis
from host.cache.invalidations import Invalidations
from host.cache.versions import Versions
from host.cache.wire import Wire
from host.data.database import Database
from host.data.migrations import Migrations
from host.data.new_rows import insert_new
from host.data.transactions import Transactions
from host.errors import ConfigurationError
from host.events.announce import Announcer
from host.identity.accounts import ensure_operator
from host.identity.sessions import access_tokens
from host.incidents import Incidents, reported
from host.instruments import Meter
from host.jobs.arguments import StoredArguments
from host.jobs.bell import Bell
from host.jobs.catalog import TaskCatalog
from host.jobs.courier import Courier
from host.jobs.ledger import Ledger
from host.jobs.pauses import Pauses
from host.jobs.reconciler import Reconciler
from host.jobs.runner import Runner
from host.keys import Passes, Seals, Signatures, derived
from host.limits.quotas import Quotas
from host.limits.rates import Rates
from host.log import logger
from host.metering.metering import Metering
from host.ports import Ports, all_tenants
from host.provisioning import Provisioning, provided_by, read_roles
from host.registry.complaints import nearest, refuse
from host.registry.registry import Registry
from host.services import Services, offering
from host.settings import Settings, secrets
from host.settings.private import private_folder
from host.storage.local import LocalStorage
from host.storage.window import Storage
from host.tracing import Tracing, traced
from host.web.application import build_quart
from host.web.binding import compile
from host.web.checkpoint import Checkpoint
from host.web.handling import Handling
from host.web.headers import HeaderRules
from host.web.jobs_page import jobs_page
from host.web.openapi import pages
from host.web.pipeline import AsgiApp, Pipeline
from tenants.facts import Facts
from tenants.lifecycle import RoleSeed
from tenants.plans import PlanError, Plans
from tenants.resolver import Directory
from tenants.scoping import TenantModel

_log = logger("host")


@dataclass(frozen=True)
class House:
    """One application: everything put together. Any number may live in one process."""

    settings: Settings
    registry: Registry
    services: Services
    provisioning: Provisioning
    migrations: Migrations
    ports: Ports
    runner: Runner
    reconciler: Reconciler
    bell: Bell
    invalidations: Invalidations
    redis: EmbeddedRedis | None
    tracing: Tracing | None
    incidents: Incidents | None

    @classmethod
    def build(cls, given: Settings) -> House:
        """Put an application together; nothing is opened or started yet.

        Raises:
            ConfigurationError: settings, plugins, plans or roles are not as they should be.
        """
        settings = secrets(given)
        plans = _plans(settings)
        registry = Registry.load(
            settings.plugins_file, plans=plans, host_plugin=itself, strict=settings.house.strict, check_route=compile
        )
        redis = None if settings.redis.url else EmbeddedRedis(settings.data.dir / "redis")
        url, timeout = redis.url if redis else settings.redis.url, settings.redis.timeout
        wire, bell = Wire(url, timeout=timeout, revive=redis.start if redis else None), Bell(url, timeout=timeout)
        versions = Versions(wire)
        ports, invalidations = Ports(registry, Facts(), versions, Pauses()), Invalidations(versions)
        announcer = Announcer(registry.catalog.events, registry.catalog.listeners, ports.hears)
        tasks = TaskCatalog({**registry.catalog.tasks, **announcer.tasks()})
        lease = timedelta(seconds=settings.jobs.lease)
        stored = StoredArguments(Seals(settings.identity.secret.get_secret_value()))
        ledger = Ledger(lease=lease, insert=insert_new, channel_of=tasks.channel_of, stored=stored)
        services = _services(settings, plans, registry, ports, announcer, tasks, ledger, wire, bell, invalidations)
        models = [each for owned in registry.catalog.models.values() for each in owned if issubclass(each, TenantModel)]
        carry, jobs, may_run = Courier(ledger, ports.facts_of), settings.jobs, ports.may_run
        runner = Runner(ledger, carry, bell, tasks, may_run, concurrency=jobs.concurrency, failed=ports.job_failed)
        every, keep = jobs.reconcile_every, timedelta(days=jobs.keep_days)
        return cls(
            settings=settings,
            registry=registry,
            services=services,
            provisioning=Provisioning(registry, _roles(settings, registry), models),
            migrations=Migrations(services.database),
            ports=ports,
            runner=runner,
            reconciler=Reconciler(ledger, bell, tasks, may_run, all_tenants, every=every, keep=keep, fail=runner.fail),
            bell=bell,
            invalidations=invalidations,
            redis=redis,
            tracing=Tracing(settings.tracing) if settings.tracing.exporter != "off" else None,
            incidents=Incidents(settings) if settings.sentry.dsn.get_secret_value() else None,
        )

    @property
    def packages(self) -> dict[str, str]:
        """The plugins' ids by their import package."""
        return {plugin.package: plugin.id for plugin in self.registry.plugins}

    @contextmanager
    def bound(self) -> Iterator[None]:
        """Bind this application's services for the block."""
        with offering(self.services), provided_by(self.provisioning), traced(self.tracing), reported(self.incidents):
            yield

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: Settings, *, jobs: bool = False, migrate: bool = False) -> AsyncIterator[House]:
        """A running application, bound for the block and stopped after it.

        jobs: also run background jobs. migrate: bring the tables up to date first.

        Raises:
            ConfigurationError: something is not as it should be, such as tables behind the code.
        """
        house = cls.build(settings)
        if jobs:
            house.check_production()
        async with AsyncExitStack() as stack:
            house._telling(stack)
            if house.redis is not None:
                await house.redis.start()
                stack.push_async_callback(house.redis.stop)
            stack.push_async_callback(house.services.wire.close)
            stack.push_async_callback(house.bell.close)
            await house.services.database.open()
            stack.push_async_callback(house.services.database.close)
            await house._tables(migrate)
            await house.services.database.ping()
            stack.enter_context(house.bound())
            operator = settings.operator
            if operator.email and operator.password.get_secret_value():
                await ensure_operator(operator.email, operator.password.get_secret_value())
            await house.invalidations.start()
            stack.push_async_callback(house.invalidations.stop)
            await house.services.metering.start()
            stack.push_async_callback(house.services.metering.stop)
            await house.registry.start()
            stack.push_async_callback(house.registry.stop)
            if jobs:
                await house.runner.start()
                stack.push_async_callback(house.runner.stop)
                await house.reconciler.start()
                stack.push_async_callback(house.reconciler.stop)
            yield house

    def _telling(self, stack: AsyncExitStack) -> None:
        """Traces and incidents, from before the first part starts until after the last has stopped."""
        if self.tracing is not None:
            stack.push_async_callback(self.tracing.close)
        if self.incidents is not None:
            stack.push_async_callback(self.incidents.close_client)
            stack.enter_context(self.incidents.listening())

    async def _tables(self, migrate: bool) -> None:
        if migrate:
            await self.migrations.migrate()
        elif pending := await self.migrations.pending():
            names = ", ".join(str(step) for step in pending[:5])
            raise ConfigurationError(f"the tables are behind the code ({names}): run `tenantry migrate` first")

    def check_production(self) -> None:
        """Refuse to serve production with settings that would lose something.

        Raises:
            ConfigurationError: names each of them, with its remedy.
        """
        if self.settings.house.production and (wrong := self.registry.unfit_for_production()):
            raise ConfigurationError("; ".join(wrong))

    def asgi(self) -> Pipeline:
        """The ASGI application of this house; start and stop are whoever opened it's."""
        settings, routes = self.settings, self.registry.catalog.routes
        secret = settings.identity.secret.get_secret_value()
        with self.bound():
            checkpoint = Checkpoint(self.services, self.registry, access_tokens())
        app = build_quart(
            routes,
            Handling(checkpoint, routes, settings.server.request_timeout, derived(secret, "idempotency")),
            max_body=settings.server.max_body,
            body_timeout=settings.server.body_timeout,
            pages=pages(self.registry, checkpoint.active_for) | jobs_page(),
            missing=self.ports.missing,
        )
        rules = HeaderRules(
            settings.cors.origins, settings.cors.max_age, secure=settings.public_url.startswith("https://")
        )
        return Pipeline(cast(AsgiApp, app), rules, self.bound, settings.server.trusted_proxies, self.tracing)


def _services(  # noqa: PLR0917 - the parts of one list, each named at the one place that gives them
    settings: Settings,
    plans: Plans,
    registry: Registry,
    ports: Ports,
    announcer: Announcer,
    tasks: TaskCatalog,
    ledger: Ledger,
    wire: Wire,
    bell: Bell,
    invalidations: Invalidations,
) -> Services:
    database = _database(settings, registry)
    secret = settings.identity.secret.get_secret_value()
    transactions = Transactions(
        database,
        tell=ports.tell,
        jobs_for=announcer.jobs_for,
        store_jobs=ledger.store,
        push=bell.push,
        touched=invalidations.store,
        announced=announcer.announced,
    )
    metrics = registry.catalog.metrics
    owners = {metric.name: owner for owner, metric in metrics}
    return Services(
        settings=settings,
        database=database,
        transactions=transactions,
        wire=wire,
        rates=Rates(wire),
        quotas=Quotas(),
        ledger=ledger,
        pauses=ports.pauses,
        tasks=tasks,
        storage=_storage(settings),
        metering=Metering(wire, Meter([metric for _, metric in metrics]), owners),
        plans=plans,
        facts=ports.facts,
        directory=Directory(),
        limits=registry.catalog.limits,
        role_permissions=registry.catalog.role_permissions,
        plugin_settings=registry.settings,
        tenant_settings=registry.catalog.tenant_settings,
        passes=Passes(secret),
        signatures=Signatures(secret),
        seals=Seals(secret),
        enter=ports.enter,
    )


def _plans(settings: Settings) -> Plans:
    try:
        plans = Plans.load(settings.plans_file)
    except PlanError as error:
        raise ConfigurationError(str(error)) from error
    if settings.house.default_plan not in plans.ids:
        raise ConfigurationError(
            f"[house] default_plan is {settings.house.default_plan!r}, which {settings.plans_file} does not name: "
            f"write one of {', '.join(plans.ids)}"
        )
    return plans


def _roles(settings: Settings, registry: Registry) -> tuple[RoleSeed, ...]:
    roles = read_roles(settings.roles_file)
    known = {role.name for role in roles}
    refuse(
        [
            f'permission "{permission.name}" is given to the role "{role}", which {settings.roles_file} does not name'
            f"{nearest(role, known)}"
            for permission in registry.catalog.permissions.values()
            for role in permission.roles
            if role not in known
        ]
    )
    return roles


def _storage(settings: Settings) -> Storage:
    config = settings.storage
    if config.kind == "local":
        return LocalStorage(settings.data.dir / "files")
    from host.storage.s3 import S3Storage  # a deployment without S3 saves its 15 MB and half a second

    return S3Storage(
        config.bucket,
        endpoint=config.endpoint,
        region=config.region,
        access_key=config.access_key.get_secret_value(),
        secret_key=config.secret_key.get_secret_value(),
    )


def _database(settings: Settings, registry: Registry) -> Database:
    plugins = {each: modules for each, modules in registry.model_modules.items() if each != "host"}
    packages = {plugin.id: f"{plugin.package}.migrations" for plugin in registry.plugins if plugin.id in plugins}
    config = settings.database
    if not config.url:
        private_folder(settings.data.dir)
    return Database(
        config.url,
        path=settings.data.dir / "tenantry.sqlite3",
        owner_url=config.owner_url,
        pool=config.pool,
        timeout=config.timeout,
        pooler=config.pooler,
        apps={**itself.APPS, **plugins},
        migrations={**itself.MIGRATIONS, **packages},
        cursor_key=derived(settings.identity.secret.get_secret_value(), "cursors"),
    )


def freeze() -> None:
    """Take what was made at the start out of the garbage collector's rounds, and let it come round less often.

    What lives as long as the process (plugins, models, routes) would be looked through again and again, in time taken
    from requests and jobs. For doors, whose process serves one house.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)
