"""Build the application from settings and plugins: every service is created and connected here."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import cast

from host import core_plugin
from host.app_context import AppContext, enter_app
from host.cache.client import RedisClient
from host.cache.computed import ComputedValues
from host.cache.embedded import EmbeddedRedis
from host.cache.invalidations import Invalidations
from host.cache.versions import Versions
from host.callbacks import PluginCallbacks, all_tenants
from host.contracts import API_BASE
from host.crypto import Encryption, Signatures, SignedTokens, derived
from host.data.database import Database
from host.data.deferred_insert import insert_new
from host.data.migrations import Migrations
from host.data.transactions import Transactions
from host.error_reporting import ErrorReporting
from host.errors import ConfigurationError, refuse
from host.events.announce import Announcer
from host.identity.accounts import ensure_operator
from host.identity.sessions import access_tokens
from host.input_errors import nearest
from host.instruments import Meter
from host.jobs.arguments import StoredArguments
from host.jobs.catalog import TaskCatalog
from host.jobs.executor import Executor
from host.jobs.job_store import JobStore
from host.jobs.paused_tasks import PausedTasks
from host.jobs.reconciler import Reconciler
from host.jobs.runner import Runner
from host.jobs.wakeups import Wakeups
from host.limits.quotas import Quotas
from host.limits.rates import Rates
from host.live.hub import LiveHub
from host.live.open_streams import OpenStreams
from host.live.rights import RightsWatch
from host.log import logger
from host.metrics.metering import Metering
from host.plugin_states import PluginStates
from host.provisioning import Provisioning
from host.registry.kinds import (
    EVENTS,
    LIMITS,
    LISTENERS,
    LIVE_CHANNELS,
    METRICS,
    MODELS,
    PERMISSIONS,
    ROUTES,
    TASKS,
    TENANT_SETTINGS,
)
from host.registry.registry import Registry
from host.services import Services
from host.settings import Settings, secrets
from host.settings.plans import read_plans, read_roles
from host.settings.private import private_folder
from host.settings.sections import StorageSettings
from host.storage.links import StorageLinks
from host.storage.local import LocalStorage
from host.storage.namespace import Storage
from host.subprocesses.pool import SubprocessPool
from host.tracing import Tracing
from host.web.admission.admission import Admission
from host.web.handlers.binding import compile
from host.web.handlers.dispatch import Dispatcher
from host.web.handlers.event_streams import EventStreams
from host.web.handlers.sockets import Sockets
from host.web.jobs_page import jobs_page
from host.web.openapi.document import pages
from host.web.server.application import build_quart
from host.web.server.headers import HeaderRules
from host.web.server.pipeline import AsgiApp, Pipeline
from tenants.lifecycle import RoleSeed
from tenants.plans import Plans
from tenants.resolver import Directory
from tenants.scoping import TenantModel

_log = logger("host")


@dataclass(frozen=True)
class Application:
    """One application with all its parts. Any number may live in one process."""

    settings: Settings
    registry: Registry
    services: Services
    provisioning: Provisioning
    migrations: Migrations
    callbacks: PluginCallbacks
    runner: Runner
    reconciler: Reconciler
    wakeups: Wakeups
    invalidations: Invalidations
    plugin_states: PluginStates
    redis: EmbeddedRedis | None
    tracing: Tracing | None
    error_reporting: ErrorReporting | None
    context: AppContext

    @classmethod
    def build(cls, loaded_settings: Settings) -> Application:
        """Build an application; nothing is opened or started yet.

        Raises:
            ConfigurationError: settings, plugins, plans or roles are not as they should be.
        """
        settings = secrets(loaded_settings)
        plans = _plans(settings)
        registry = Registry.load(
            settings.plugins_file, plans=plans, host_plugin=core_plugin, strict=settings.app.strict, check_route=compile
        )
        redis = None if settings.redis.url else EmbeddedRedis(settings.data.dir / "redis")
        url, timeout = redis.url if redis else settings.redis.url, settings.redis.timeout
        redis_client = RedisClient(url, timeout=timeout, revive=redis.start if redis else None)
        wakeups, versions = Wakeups(url, timeout=timeout), Versions(redis_client)
        callbacks, invalidations = PluginCallbacks(registry, versions, PausedTasks()), Invalidations(versions)
        announcer = Announcer(registry.catalog.named(EVENTS), registry.catalog.all(LISTENERS), callbacks.hears)
        tasks = TaskCatalog({**registry.catalog.named(TASKS), **announcer.tasks()})
        lease = timedelta(seconds=settings.jobs.lease)
        stored = StoredArguments(Encryption(settings.identity.secret.get_secret_value()))
        job_store = JobStore(lease=lease, insert=insert_new, channel_of=tasks.channel_of, stored=stored)
        services = _services(
            settings, plans, registry, callbacks, announcer, tasks, job_store, redis_client, wakeups, invalidations
        )
        models = [model for _, model in registry.catalog.all(MODELS) if issubclass(model, TenantModel)]
        execute, jobs, may_run = Executor(job_store, callbacks.snapshot_of), settings.jobs, callbacks.may_run
        runner = Runner(
            job_store, execute, wakeups, tasks, may_run, concurrency=jobs.concurrency, failed=callbacks.job_failed
        )
        every, keep = jobs.reconcile_every, timedelta(days=jobs.keep_days)
        provisioning = Provisioning(registry, _roles(settings, registry), models)
        tracing = Tracing(settings.tracing) if settings.tracing.exporter != "off" else None
        error_reporting = ErrorReporting(settings) if settings.sentry.dsn.get_secret_value() else None
        return cls(
            settings=settings,
            registry=registry,
            services=services,
            provisioning=provisioning,
            migrations=Migrations(services.database),
            callbacks=callbacks,
            runner=runner,
            reconciler=Reconciler(
                job_store, wakeups, tasks, may_run, all_tenants, every=every, keep=keep, fail=runner.fail
            ),
            wakeups=wakeups,
            invalidations=invalidations,
            plugin_states=PluginStates(registry, redis_client),
            redis=redis,
            tracing=tracing,
            error_reporting=error_reporting,
            context=AppContext(
                database=services.database,
                meter=services.metering.meter,
                tracing=tracing,
                error_reporting=error_reporting,
                services=services,
                provisioning=provisioning,
            ),
        )

    @property
    def packages(self) -> dict[str, str]:
        """The plugins' ids by their import package."""
        return {plugin.package: plugin.id for plugin in self.registry.plugins}

    def bound(self) -> AbstractContextManager[None]:
        """Bind this application's parts for the block."""
        return enter_app(self.context)

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: Settings, *, jobs: bool = False, migrate: bool = False) -> AsyncIterator[Application]:
        """A running application, bound for the block and stopped after it.

        jobs: also run background jobs. migrate: bring the tables up to date first.

        Raises:
            ConfigurationError: something is not as it should be, such as tables behind the code.
        """
        application = cls.build(settings)
        if jobs:
            application.check_production()
        async with AsyncExitStack() as stack:
            application._telling(stack)
            if application.redis is not None:
                await application.redis.start()
                stack.push_async_callback(application.redis.stop)
            stack.push_async_callback(application.services.redis_client.close)
            stack.push_async_callback(application.services.storage.close)
            stack.push_async_callback(application.services.subprocesses.close)
            stack.push_async_callback(application.services.computed.close)
            stack.push_async_callback(application.wakeups.close)
            await application.services.database.open()
            stack.push_async_callback(application.services.database.close)
            await application._tables(migrate)
            await application.services.database.ping()
            stack.enter_context(application.bound())
            operator = settings.operator
            if operator.email and operator.password.get_secret_value():
                await ensure_operator(operator.email, operator.password.get_secret_value())
            await application.invalidations.start()
            stack.push_async_callback(application.invalidations.stop)
            await application.services.metering.start()
            stack.push_async_callback(application.services.metering.stop)
            application._live(stack)
            await application.plugin_states.start()
            stack.push_async_callback(application.plugin_states.stop)
            await application.registry.start()
            stack.push_async_callback(application.registry.stop)
            if jobs:
                await application.runner.start()
                stack.push_async_callback(application.runner.stop)
                await application.reconciler.start()
                stack.push_async_callback(application.reconciler.stop)
            yield application

    def _telling(self, stack: AsyncExitStack) -> None:
        """Keep tracing and error reporting open from before the first part starts until after the last has stopped."""
        if self.tracing is not None:
            stack.push_async_callback(self.tracing.close)
        if self.error_reporting is not None:
            stack.push_async_callback(self.error_reporting.close_client)
            stack.enter_context(self.error_reporting.listening())

    def _live(self, stack: AsyncExitStack) -> None:
        live, open_streams, rights = self.services.live, self.services.open_streams, self.services.rights
        for part, stop in ((live, live.close), (open_streams, open_streams.stop), (rights, rights.stop)):
            part.start()
            stack.push_async_callback(stop)

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
        if self.settings.app.production and (wrong := self.registry.unfit_for_production()):
            raise ConfigurationError("; ".join(wrong))

    def asgi(self) -> Pipeline:
        """The ASGI application of this deployment; whoever opened the application starts and stops it."""
        settings, routes = self.settings, self.registry.catalog.all(ROUTES)
        secret = settings.identity.secret.get_secret_value()
        with self.bound():
            admission = Admission(self.services, self.registry, access_tokens())
        cors = settings.cors
        served = [route for _, route in routes]
        rules = HeaderRules(cors.origins, cors.max_age, public_url=settings.public_url, routes=served)
        open_streams, timeout = self.services.open_streams, settings.server.request_timeout
        app = build_quart(
            routes,
            Dispatcher(
                admission,
                routes,
                timeout,
                derived(secret, "idempotency"),
                EventStreams(admission, self.services.rights, open_streams),
            ),
            Sockets(
                admission, routes, rules=rules, rights=self.services.rights, open_streams=open_streams, timeout=timeout
            ),
            max_body=settings.server.max_body,
            body_timeout=settings.server.body_timeout,
            min_body_rate=settings.server.min_body_rate,
            pages=pages(routes, self.registry.plugins, admission.active_for) | jobs_page(),
            missing=self.callbacks.missing,
        )
        return Pipeline(cast(AsgiApp, app), rules, self.bound, settings.server.trusted_proxies, self.tracing)


def _services(  # noqa: PLR0917 - one argument for each part, passed at one place only
    settings: Settings,
    plans: Plans,
    registry: Registry,
    callbacks: PluginCallbacks,
    announcer: Announcer,
    tasks: TaskCatalog,
    job_store: JobStore,
    redis_client: RedisClient,
    wakeups: Wakeups,
    invalidations: Invalidations,
) -> Services:
    database = _database(settings, registry)
    secret = settings.identity.secret.get_secret_value()
    transactions = Transactions(
        database,
        tell=callbacks.tell,
        jobs_for=announcer.jobs_for,
        store_jobs=job_store.store,
        push=wakeups.push,
        touched=invalidations.store,
        announced=announcer.announced,
    )
    metrics = registry.catalog.all(METRICS)
    owners = {metric.name: owner for owner, metric in metrics}
    return Services(
        settings=settings,
        database=database,
        transactions=transactions,
        redis_client=redis_client,
        computed=ComputedValues(redis_client),
        rates=Rates(redis_client),
        quotas=Quotas(),
        job_store=job_store,
        paused_tasks=callbacks.paused_tasks,
        tasks=tasks,
        storage=_storage(settings),
        subprocesses=SubprocessPool(),
        metering=Metering(redis_client, Meter([metric for _, metric in metrics]), owners),
        plans=plans,
        snapshots=callbacks.snapshots,
        directory=Directory(),
        limits=registry.catalog.named(LIMITS),
        permissions=frozenset(registry.catalog.named(PERMISSIONS)),
        role_permissions=registry.catalog.role_permissions,
        access=callbacks.access,
        plugin_settings=registry.settings,
        tenant_settings=dict(registry.catalog.all(TENANT_SETTINGS)),
        signed_tokens=SignedTokens(secret),
        signatures=Signatures(secret),
        encryption=Encryption(secret),
        enter=callbacks.enter,
        live=LiveHub(redis_client),
        open_streams=OpenStreams(redis_client, settings.rates.open_streams),
        live_channels=registry.catalog.named(LIVE_CHANNELS),
        rights=RightsWatch(redis_client, callbacks.versions, lambda: registry.quarantine.changes),
    )


def _plans(settings: Settings) -> Plans:
    plans = read_plans(settings.plans_file)
    if settings.app.default_plan not in plans.ids:
        raise ConfigurationError(
            f"[app] default_plan is {settings.app.default_plan!r}, which {settings.plans_file} does not name: "
            f"write one of {', '.join(plans.ids)}"
        )
    return plans


def _roles(settings: Settings, registry: Registry) -> tuple[RoleSeed, ...]:
    roles = read_roles(settings.roles_file)
    role_names = {role.name for role in roles}
    refuse(
        [
            f'plugin "{owner}": permission "{permission.name}" is given to the role "{role}", which '
            f"{settings.roles_file} does not name{nearest(role, role_names)}"
            for owner, permission in registry.catalog.all(PERMISSIONS)
            for role in permission.roles
            if role not in role_names
        ]
    )
    return roles


def _storage(settings: Settings) -> Storage:
    config = settings.storage
    if config.kind == "local":
        tokens = SignedTokens(settings.identity.secret.get_secret_value())
        links = StorageLinks(tokens, f"{settings.public_url}{API_BASE}")
        return LocalStorage(settings.data.dir / "files", links)
    if config.kind == "gcs":
        return _gcs(config)
    from host.storage.s3 import S3Storage  # a deployment without S3 saves its 15 MB and half a second

    return S3Storage(
        config.bucket,
        endpoint=config.endpoint,
        region=config.region,
        access_key=config.access_key.get_secret_value(),
        secret_key=config.secret_key.get_secret_value(),
    )


def _gcs(config: StorageSettings) -> Storage:
    try:
        from host.storage.gcs import GcsStorage
    except ImportError as error:
        raise ConfigurationError(
            "storage.kind is \"gcs\" but its library is not installed: pip install 'tenantry[gcs]'"
        ) from error
    return GcsStorage(config.bucket, endpoint=config.endpoint, credentials_file=config.credentials_file)


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
        apps={**core_plugin.APPS, **plugins},
        migrations={**core_plugin.MIGRATIONS, **packages},
        cursor_key=derived(settings.identity.secret.get_secret_value(), "cursors"),
    )


def freeze() -> None:
    """Exclude what was made at the start from garbage collection, and collect less often.

    What lives as long as the process (plugins, models, routes) would be scanned again and again, in time taken from
    requests and jobs. For entry points, whose process serves one application.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)
