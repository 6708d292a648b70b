"""The services of the running application, and the functions by which requests, jobs and commands use them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar, cast
from uuid import UUID

from prometheus_client.registry import Collector
from pydantic import BaseModel

from host.app_context import app_context
from host.cache.client import RedisClient
from host.cache.computed import ComputedValues
from host.cache.namespace import CacheNamespace
from host.contracts import API_BASE, Action, Actor, Decision, Limit, LiveChannel, TakenUse, Task, TenantInfo
from host.crypto import Encryption, Signatures, SignedTokens
from host.data.database import Database
from host.data.transactions import Transactions, UnitOfWork
from host.errors import NotFound, PermissionDenied, TenantSuspended
from host.execution_context import NOBODY, actor, execution_context, in_tenant, origin, plugin, use_context
from host.jobs.job_store import JobStore
from host.jobs.paused_tasks import PausedTasks
from host.limits.quotas import Quotas
from host.limits.rates import Rates
from host.live.hub import LiveHub
from host.live.open_streams import OpenStreams
from host.live.rights import RightsWatch
from host.metrics import use
from host.metrics.metering import Metering
from host.outbound.addresses import MAX_BYTES, REDIRECTS, SECONDS
from host.secret_settings import decrypted
from host.settings import Settings
from host.settings.private import private_folder
from host.storage.namespace import Storage, StorageNamespace
from host.subprocesses.pool import SubprocessPool
from host.times import zone
from tenants import context, lifecycle
from tenants.access import Grants
from tenants.models import Membership, Tenant
from tenants.plans import Plans
from tenants.resolver import Directory
from tenants.snapshots import Snapshots, TenantSnapshot
from tenants.text import address_key

if TYPE_CHECKING:
    from host.outbound.client import PublicClient

AnyModel = TypeVar("AnyModel", bound=BaseModel)
Singleton = TypeVar("Singleton")
Result = TypeVar("Result")


class MemberAccess(Protocol):
    """What the services ask about members' rights without knowing plugins; `host.member_access` answers."""

    async def decide(
        self, actor: Actor, grants: Grants, tenant: TenantSnapshot | None, permission: str, resource: Mapping[str, str]
    ) -> Decision:
        """Whether the actor may use a permission."""

    async def people_of(self, tenant: TenantSnapshot, principals: Collection[str]) -> frozenset[UUID]:
        """The people who stand for any of these principals of plugins."""

    async def names_of(self, tenant: TenantSnapshot, principals: Collection[str]) -> dict[str, str]:
        """The names, for people to read, of those of these principals that a plugin knows."""


@dataclass(frozen=True, slots=True)
class Services:
    """The services of one application, as plain objects; made by `host.app`."""

    settings: Settings
    database: Database
    transactions: Transactions
    redis_client: RedisClient
    computed: ComputedValues
    rates: Rates
    quotas: Quotas
    job_store: JobStore
    paused_tasks: PausedTasks
    tasks: Mapping[str, Task]
    storage: Storage
    metering: Metering
    plans: Plans
    snapshots: Snapshots
    directory: Directory
    limits: Mapping[str, Limit]
    permissions: frozenset[str]  # every name that the host or a loaded plugin declares
    role_permissions: Mapping[str, frozenset[str]]  # built-in role -> what the loaded plugins give it
    plugin_settings: Mapping[str, BaseModel]
    tenant_settings: Mapping[str, type[BaseModel]]
    signed_tokens: SignedTokens
    signatures: Signatures
    encryption: Encryption
    enter: Callable[[UUID, str, bool], Awaitable[TenantSnapshot | None]]
    access: MemberAccess
    live: LiveHub
    open_streams: OpenStreams
    live_channels: Mapping[str, LiveChannel]
    rights: RightsWatch
    subprocesses: SubprocessPool
    singletons: dict[Callable[[], Any], Any] = field(default_factory=dict)


def services() -> Services:
    """The services of the application that handles this request, job or command.

    Raises:
        LookupError: called outside all of them.
    """
    bound = app_context().services
    if bound is None:
        raise LookupError("no application is bound here: wrap the call in `with application.bound():`")
    return cast(Services, bound)


async def tenant_snapshot() -> TenantSnapshot:
    """The snapshot of the bound tenant.

    Raises:
        TenantMissing: no tenant is bound.
    """
    tenant_id, bound = context.current(), execution_context().tenant
    if bound is not None and bound.id == tenant_id:
        return bound
    snapshot = await services().snapshots.tenant(tenant_id, None)
    if snapshot is None:
        raise context.TenantMissing(f"tenant {tenant_id} does not exist")
    return snapshot


async def tenant() -> TenantInfo:
    """The bound tenant.

    Example:
        name = (await tenant()).name
    """
    facts = await tenant_snapshot()
    return _info(facts)


def refuse_closed(tenant: Tenant | TenantSnapshot) -> None:
    """Refuse access to a tenant that is not open; every way into a tenant calls this.

    Raises:
        TenantSuspended: it is suspended or being deleted.
    """
    if state := lifecycle.closed(tenant.status):
        raise TenantSuspended(
            f"This organisation is {state}.", details={"status": str(tenant.status), "reason": tenant.status_reason}
        )


def unit_of_work() -> AbstractAsyncContextManager[UnitOfWork]:
    """One transaction around one action; a nested one joins the outer.

    Never wait for anything outside the database inside it (a mail server, Stripe, a model): it holds a pooled
    connection. Enqueue a job instead.

    Example:
        async with unit_of_work() as work:
            note = await NOTES.insert(text=text)
            work.record("notes.notes.create", "note", str(note["id"]), after=note)
    """
    return services().transactions.begin()


async def record_failure(
    name: str,
    reason: str,
    *,
    outcome: Literal["denied", "failed"] = "failed",
    resource_type: str = "",
    resource_id: str = "",
) -> None:
    """Record an action that was denied or failed, in a transaction of its own.

    Example:
        await record_failure("notes.notes.create", "the file is no CSV")
    """
    action = Action(
        name=name,
        resource_type=resource_type,
        resource_id=resource_id,
        outcome=outcome,
        before={},
        after={},
        origin=origin(),
        at=datetime.now(UTC),
        tenant_id=context.current_or_none(),
        reason=reason,
    )
    await services().transactions.tell_alone(action)


async def tenant_now() -> datetime:
    """The time in the bound tenant's time zone: which day it is there says `(await tenant_now()).date()`.

    Example:
        today = (await tenant_now()).date()
    """
    return datetime.now(zone((await tenant_snapshot()).timezone))


def cache() -> CacheNamespace:
    """Redis, limited to the keys of the bound tenant and the running plugin.

    Example:
        await cache().set("count", str(count), ttl=60)
        count = await cache().get("count")
    """
    return CacheNamespace(services().redis_client, context.current(), plugin())


def storage() -> StorageNamespace:
    """Object storage, limited to the files of the bound tenant and the running plugin.

    `put`, `get(key, start, stop)` for ranges, `stat`, `delete`, `list` and, in the order of keys, `page`; `compose`
    joins files, in the store itself where it can; `presign_get` and `presign_put` give addresses that work without a
    sign-in until they expire. Keys are `/`-separated paths; one with `..`, a control character or a leading `/` is a
    ValueError.

    Example:
        await storage().put(f"notes/{note_id}.pdf", content)
    """
    return StorageNamespace(services().storage, context.current(), plugin())


async def in_subprocess(function: Callable[..., Result], *args: object, seconds: float, memory: int) -> Result:
    """What `function(*args)` gives in a spawned process of its own limits: for decoding images, PDF and the like.

    A file that makes a decoder hang, crash or grow harms that process only. `function` stands at the top of a module,
    is not async, and gets and gives plain values (numbers, text, bytes, lists, dicts); nothing of the host is bound in
    it. seconds: that it may take, after its module is imported; waiting for one of the few processes does not count.
    memory: bytes of address space, the interpreter's and its libraries' (100 MB and more) included. POSIX only.

    Raises:
        SubprocessError: it raised, took too long, needed too much, or its process crashed; `reason` says which.

    Example:
        size = await in_subprocess(measure, content, seconds=20, memory=1024**3)
    """
    return await services().subprocesses.run(function, args, seconds, memory)


def public_client(*, seconds: float = SECONDS, max_bytes: int = MAX_BYTES, redirects: int = REDIRECTS) -> PublicClient:
    """An HTTP client for untrusted addresses: webhooks, push endpoints, pages to fetch. Close it after use.

    It is an `httpx2.AsyncClient` that connects to the public internet only, however an address is written, resolves or
    is redirected; an operator may add networks of theirs (`outbound.inner_networks`). Its failures are OutboundErrors.

    seconds: for a whole request, with its redirects and its answer. max_bytes: of an answer's body, unpacked.
    redirects: how many are followed; 0 gives the answer that redirects.

    Example:
        async with public_client(seconds=5, redirects=0) as web:
            try:
                answer = await web.post(hook.url, json={"event": "task.done"})
            except OutboundError as error:
                raise ValidationFailed(details={"url": str(error)}) from error
    """
    from host.outbound.client import PublicClient  # not at the start: httpx2 takes 17 ms and 2 MB

    networks = services().settings.outbound.inner_networks
    return PublicClient(seconds=seconds, max_bytes=max_bytes, redirects=redirects, inner_networks=networks)


def sign_token(purpose: str, **claims: str) -> str:
    """A signed, unencrypted token of this plugin in the bound tenant, for links that work without a sign-in.

    `open_token` opens it. Whoever holds it can read the claims, and it never expires: a claim must say until when or
    for what it is good, if it is to end.

    Example:
        token = sign_token("share", note_id=str(note_id))
    """
    return services().signed_tokens.sign(context.current(), plugin(), purpose, claims)


@asynccontextmanager
async def open_token(token: str, purpose: str, *, any_tenant_state: bool = False) -> AsyncIterator[Mapping[str, str]]:
    """Bind the tenant that a token was signed in for the block, with no permissions; yields the token's claims.

    any_tenant_state: also where the tenant is suspended, leaving or has the plugin switched off, for routes that are
    declared so.

    Raises:
        NotFound: the token was not signed by this plugin for this purpose, or the tenant is not active, or has the
            plugin switched off; the caller cannot tell which.
        PluginQuarantined: with any_tenant_state, the plugin is in quarantine; the caller may try again.

    Example:
        async with open_token(token, "share") as claims:
            return await NOTES.get(UUID(claims["note_id"]))
    """
    verified = services().signed_tokens.verify(token, plugin(), purpose)
    facts = await services().enter(verified[0], plugin(), any_tenant_state) if verified else None
    if verified is None or facts is None:
        raise NotFound
    with use_context(replace(execution_context(), tenant=facts, grants=NOBODY, principals=frozenset())):
        yield verified[1]


def encrypt(text: str) -> str:
    """Encrypt a secret of the bound tenant for this plugin to store; `decrypt` reads it. It does not expire.

    Example:
        row = await ACCOUNTS.insert(password=encrypt(password))
    """
    return services().encryption.encrypt(text, context.current(), plugin())


def decrypt(encrypted: str) -> str:
    """The text that `encrypt` encrypted.

    Raises:
        ValueError: another plugin or tenant encrypted it, or the deployment's secret has changed.

    Example:
        password = decrypt(row["password"])
    """
    return services().encryption.decrypt(encrypted, context.current(), plugin())


def absolute_url(path: str) -> str:
    """The whole address of a path of the API, for links in messages: "/mail/…" -> "https://host/api/v1/mail/…".

    Example:
        link = absolute_url(f"/notes/shared?token={sign_token('share', note_id=str(note_id))}")
    """
    return f"{services().settings.public_url}{API_BASE}{path}"


def settings(model: type[AnyModel]) -> AnyModel:
    """This deployment's settings of the plugin that registered `model`.

    Raises:
        LookupError: no loaded plugin registered it.

    Example:
        longest = settings(NotesSettings).longest
    """
    for value in services().plugin_settings.values():
        if type(value) is model or isinstance(value, model):  # isinstance alone is slow on pydantic models
            return value
    raise LookupError(f"no loaded plugin returned {model.__name__} from register_settings()")


def plain_settings(stored: Mapping[str, Any], plugin_id: str) -> dict[str, Any]:
    """What the bound tenant has set for a plugin, as it is stored, with its secrets in plain: never to be shown."""
    tenant_id = context.current()
    return dict(decrypted(stored, lambda text: services().encryption.decrypt(text, tenant_id, plugin_id)))


async def tenant_settings(model: type[AnyModel]) -> AnyModel:
    """What the bound tenant has set for the plugin that registered `model`, defaults filled in.

    Example:
        colour = (await tenant_settings(TenantSettings)).colour
    """
    for plugin_id, registered in services().tenant_settings.items():
        if registered is model:
            stored = (await tenant_snapshot()).plugin_settings.get(plugin_id, {})
            return model.model_validate(plain_settings(stored, plugin_id))
    raise LookupError(f"no loaded plugin returned {model.__name__} from register_tenant_settings()")


def app_singleton(make: Callable[[], Singleton]) -> Singleton:
    """The object that `make` builds, made once per application: for connections and caches that live as long as it.

    Close what must be closed in `on_stop`.

    Example:
        client = app_singleton(httpx.AsyncClient)
    """
    singletons = services().singletons
    if make not in singletons:
        singletons[make] = make()
    singleton: Singleton = singletons[make]
    return singleton


def data_folder() -> Path:
    """The running plugin's own folder in the host's data folder, made when it is missing; on this machine only.

    Example:
        file = data_folder() / "model.bin"
    """
    folder = services().settings.data.dir / "plugins" / plugin()
    private_folder(folder)
    return folder


async def measured() -> Collector:
    """Every metric that the host or a plugin declares, over all processes of this machine, for prometheus_client.

    Encode it in a thread (`prometheus_client.exposition.choose_encoder`): with many series that takes 100 ms.

    Example:
        families = list((await measured()).collect())
    """
    return await services().metering.measured()


def taken_use() -> AbstractAsyncContextManager[TakenUse]:
    """The bound tenant's use since it was last taken, to be stored; removed from Redis when the block ends well.

    At least once: after a crash in the block the same batch comes again, with the same name. Raises `Unavailable` when
    Redis is away.

    Example:
        async with taken_use() as use:
            for day in use.days:
                await DAYS.insert(day=day.day, requests=day.succeeded)
    """
    return use.taken(services().redis_client, context.current())


async def is_member(user_id: UUID) -> bool:
    """Whether a person belongs to the bound tenant.

    Example:
        if not await is_member(user_id):
            raise ValidationFailed(details={"user_id": "does not belong to this organisation"})
    """
    return await Membership.filter(user_id=user_id).exists()


async def member_locale(email: str) -> str | None:
    """The language of the member of the bound tenant who has this address, "" where they chose none.

    None: no member has it. `await member_locale("ada@example.com")` is `"de-AT"`.

    Example:
        locale = await member_locale("ada@example.com") or "en"
    """
    try:
        address = address_key(email)
    except ValueError:
        return None
    locales = await Membership.filter(user__email=address).limit(1).values_list("user__locale", flat=True)
    return str(locales[0]) if locales else None


def signature(data: bytes, *, secret: str = "") -> bytes:
    """A signature that only this plugin can make, and only in the bound tenant: keyed BLAKE2b (RFC 7693), 32 bytes.

    secret: another secret than the deployment's own, such as the one it had when something was signed.

    Example:
        proof = signature(note["text"].encode()).hex()
    """
    return services().signatures.make(data, context.current(), plugin(), secret)


# -- from one tenant to another --------------------------------------------------------------------------


@asynccontextmanager
async def operator_access(slug: str, reason: str) -> AsyncIterator[TenantInfo]:
    """Bind a tenant for the block so that the acting operator may read it; the access is recorded there first.

    Raises:
        PermissionDenied: the actor is no operator. NotFound: there is no such tenant.

    Example:
        async with operator_access("acme", "ticket 4711"):
            notes = await NOTES.page(query)
    """
    if not actor().is_operator:
        raise PermissionDenied("Only operators of this deployment may look into other organisations.")
    row = await Tenant.get_or_none(slug=slug)
    facts = await services().snapshots.tenant(row.id, None) if row is not None else None
    if facts is None:
        raise NotFound("There is no such tenant.")
    with in_tenant(facts):
        async with unit_of_work() as work:
            work.record(f"operator.{plugin()}.read", "tenant", facts.id, after={"reason": reason})
        yield _info(facts)


async def for_each_tenant(work: Callable[[TenantInfo], Awaitable[None]], slug: str = "") -> None:
    """For commands: await `work` in each tenant in turn, by slug, with the tenant bound; slug: in that one only.

    Raises:
        PermissionDenied: a request or a job calls it. NotFound: there is no tenant of that name.

    Example:
        await for_each_tenant(recount)  # async def recount(tenant: TenantInfo) -> None
    """
    if actor().kind != "system" or context.current_or_none() is not None:
        raise PermissionDenied("Only a command of this deployment's command line may go through all organisations.")
    rows = await (Tenant.filter(slug=slug) if slug else Tenant.all()).order_by("slug")
    if slug and not rows:
        raise NotFound(f"There is no tenant {slug!r}.")
    for row in rows:
        facts = await services().snapshots.tenant(row.id, None)
        if facts is not None:
            with in_tenant(facts):
                await work(_info(facts))


def _info(facts: TenantSnapshot) -> TenantInfo:
    return TenantInfo(id=facts.id, slug=facts.slug, name=facts.name, plan=facts.plan, timezone=facts.timezone)
