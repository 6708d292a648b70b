"""Admit or refuse each request by credential, rate limit, tenant, plugin activation and permission.

The rates and the version tokens of the cached tenant and user snapshots come in one round trip to Redis, before any
database work. A snapshot whose token has not changed is taken from memory; a changed token makes it read again, so
what is revoked stops working at the very next request in every process.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from time import monotonic
from typing import NoReturn
from uuid import UUID

from host.cache.versions import EPOCH_KEY, Versions, tenant_version_key, user_version_key
from host.client_address import counted_as
from host.contracts import Actor, Origin, Route
from host.errors import (
    ApiError,
    BadRequest,
    NotFound,
    PermissionDenied,
    PlanRequired,
    PluginDisabled,
    PluginQuarantined,
    RateLimited,
    Unauthenticated,
)
from host.execution_context import NOBODY, ExecutionContext, enter_context, execution_context
from host.identity.api_keys import ApiKeySnapshot, api_key, record_refused_key
from host.identity.sessions import session_alive
from host.identity.tokens import AccessTokens, Claims
from host.instruments import tally
from host.limits.rates import Bucket, Taken
from host.registry.registry import Registry
from host.services import Services, refuse_closed
from host.web.admission.credentials import Credential, Credentials
from host.web.server.request import TenantryRequest
from host.web.server.request_state import ANONYMOUS, RequestState, request_state_of
from tenants.access import Grants
from tenants.context import bind
from tenants.limits import LimitValue
from tenants.resolver import Hint, choose
from tenants.snapshots import MemberSnapshot, TenantSnapshot, VersionedCache

_REFUSALS: Mapping[str, type[ApiError]] = {
    "PLUGIN_DISABLED": PluginDisabled,
    "PLAN_REQUIRED": PlanRequired,
    "PLUGIN_QUARANTINED": PluginQuarantined,
}


_REFUSED_KEY_SECONDS = 0.1
_STRANGER = frozenset[str]()

Identity = tuple[Actor, Grants, frozenset[str]]
"""Who somebody is, what they may do in the tenant, and what they stand for where something is shared."""


async def _nothing() -> None:
    """Placeholder handler of `_DOCUMENT`: the OpenAPI document is served by its own view."""


_DOCUMENT = Route("GET", "/openapi.json", _nothing, "platform.openapi", "The API as OpenAPI 3.1", signed_in=True)


class Admission:
    """Admits a request, with tenant, actor, grants and plugin bound to its context, or refuses it with an error."""

    def __init__(self, services: Services, registry: Registry, tokens: AccessTokens) -> None:
        self._services, self._registry = services, registry
        self._credentials = Credentials(tokens, registry.hook_calls)
        rates = services.settings.rates
        self._rates = {"public": rates.public, "authenticated": rates.authenticated, "signed": rates.signed}
        self._sessions: VersionedCache[UUID, bool] = VersionedCache()
        self._keys: VersionedCache[tuple[UUID, str], ApiKeySnapshot] = VersionedCache()

    async def has_credential(self, state: RequestState) -> bool:
        """Whether a request comes with anything that says who is asking, valid or not."""
        return await self._credentials.of(state) != Credential()

    async def readmit(self, route: Route, plugin: str, state: RequestState, path: Mapping[str, object]) -> None:
        """Check a request that was admitted once more, as long as it is being answered; it is not counted again.

        Raises:
            ApiError: as `admit`.
        """
        await self.admit(route, plugin, replace(state, response_headers=[]), path, counted=False)

    async def admit(
        self, route: Route, plugin: str, state: RequestState, path: Mapping[str, object], *, counted: bool = True
    ) -> None:
        """Check one request: credential, rate (unless it is not to be counted), tenant, plugin activation, permission.

        Raises:
            ApiError: the first check that fails: 401, 429, 404, 403, 402 or 503.
        """
        state.plugin, state.operation, state.route = plugin, f"{plugin}.{route.name}", route.path
        credential = await self._credentials.of(state)
        identified = credential.bucket is not None
        if not (identified or route.public):
            if counted:
                await self._charge_address(route, state)
            raise credential.refusal or Unauthenticated
        hint = self._hint(credential, state) if route.needs_tenant else Hint("none")
        tenant_id = self._services.directory.remembered(hint)
        whose = credential.user_id or self._maker(credential)
        versions = await self._throttle(route, credential, state, tenant_id, whose, counted=counted)
        tenant = await self._tenant_for(credential, hint, tenant_id, versions) if route.needs_tenant else None
        actor, grants, principals = ANONYMOUS, NOBODY, _STRANGER
        if identified:
            try:
                actor, grants, principals = await self._person(credential, tenant, versions, whose)
            except ApiError as refusal:
                if counted and isinstance(refusal, Unauthenticated) and credential.claims is not None:
                    await self._charge_address(route, state, instead_of=credential.bucket)
                if not route.public:  # what is open to anonymous callers is open to those with an old token too
                    raise
        state.actor = actor
        if tenant is not None:
            state.tenant_id, state.tenant = tenant.id, tenant.slug
        origin = Origin(state.request_id, actor, state.address, state.header(b"user-agent")[:300])
        context = ExecutionContext(origin, tenant, grants, plugin, principals)
        enter_context(context)
        if tenant is not None:
            refuse_closed(tenant)
            self._active(tenant, plugin)
        await self._permitted(route, context, path)

    async def active_for(self, request: TenantryRequest) -> Collection[str] | None:
        """The plugins that are active for the organisation named by X-Tenant; None when the header is not sent.

        Raises:
            ApiError: the caller does not belong to that organisation.
        """
        state = request_state_of(request)
        if b"x-tenant" not in state.headers:
            return None
        await self.admit(_DOCUMENT, "host", state, {})
        tenant = execution_context().tenant
        return self._registry.feature_gate.active(tenant) if tenant is not None else None

    # -- identity ----------------------------------------------------------------------------------------

    def _hint(self, credential: Credential, state: RequestState) -> Hint:
        base = self._services.settings.app.base_domain
        hint = choose(
            credential.key.tenant_id if credential.key else None,
            state.headers[b"x-tenant"].decode("latin-1") if b"x-tenant" in state.headers else None,
            state.header(b"host") if base else "",
            base,
            credential.claims.tenant_id if credential.claims else None,
            reserved=self._services.settings.tenants.reserved_slugs,
        )
        if hint.kind == "none":
            raise BadRequest("Say which organisation this is for: send `X-Tenant: <slug>`.")
        return hint

    async def _tenant_for(
        self, credential: Credential, hint: Hint, tenant_id: UUID | None, versions: list[bytes]
    ) -> TenantSnapshot:
        """The tenant asked for; an API key of an unknown tenant gets the same answer as a wrong key of a real one."""
        began = monotonic()
        try:
            return await self._tenant(hint, tenant_id, versions)
        except NotFound:
            if credential.key is None:
                raise
            with bind(None):
                await record_refused_key(credential.key.key_id, "unknown organisation")
            raise await _key_refusal(began) from None

    async def _tenant(self, hint: Hint, tenant_id: UUID | None, versions: list[bytes]) -> TenantSnapshot:
        if tenant_id is None:
            tenant_id = await self._services.directory.find(hint)
            if tenant_id is None:
                raise NotFound
            versions[0] = (await self._versions([], [tenant_version_key(tenant_id)]))[1][0]
        tenant = await self._services.snapshots.tenant(tenant_id, versions[0])
        if tenant is None:
            raise NotFound
        return tenant

    async def _person(
        self, credential: Credential, tenant: TenantSnapshot | None, versions: list[bytes], whose: UUID | None
    ) -> Identity:
        if credential.claims is not None:
            return await self._user(credential.claims, tenant, versions)
        if credential.key is not None:
            return await self._key(credential, tenant, versions, whose)
        assert credential.vouched is not None  # the only other kind of credential
        member = await self._member(tenant, credential.vouched.user_id, versions)
        return credential.vouched, member.grants or NOBODY, member.principals

    async def _user(self, claims: Claims, tenant: TenantSnapshot | None, versions: list[bytes]) -> Identity:
        person = await self._services.snapshots.person(claims.user_id, versions[1])
        if person is None or person.disabled or person.token_version != claims.token_version:
            raise Unauthenticated("This session has ended; sign in again.")
        if not await self._session_alive(claims.session_id, versions[1]):
            raise Unauthenticated("This session has ended; sign in again.")
        member = await self._member(tenant, claims.user_id, versions) if tenant is not None else None
        actor = Actor("user", claims.user_id, person.email, claims.user_id, claims.session_id, person.is_operator)
        return (actor, NOBODY, _STRANGER) if member is None else (actor, member.grants or NOBODY, member.principals)

    async def _key(
        self, credential: Credential, tenant: TenantSnapshot | None, versions: list[bytes], whose: UUID | None
    ) -> Identity:
        if tenant is None:
            raise PermissionDenied("An API key belongs to one organisation; sign in as a person for this.")
        began = monotonic()
        key = await self._key_facts(credential, versions[0])
        if key is None:
            raise await _key_refusal(began)
        if key.made_by != whose and key.made_by is not None:  # not seen before, so its maker's token was not read yet
            versions[1] = (await self._versions([], [user_version_key(key.made_by)]))[1][0]
        member = await self._services.snapshots.member(tenant.id, key.made_by, *versions[:2]) if key.made_by else None
        if member is None or member.disabled or member.grants is None:
            raise Unauthenticated("Whoever made this API key does not belong to the organisation any more.")
        actor = Actor("api_key", key.id, key.name, key.made_by)
        return actor, member.grants.narrowed(frozenset(key.permissions)), member.principals

    async def _member(
        self, tenant: TenantSnapshot | None, user_id: UUID | None, versions: list[bytes]
    ) -> MemberSnapshot:
        if tenant is None or user_id is None:
            raise Unauthenticated
        member = await self._services.snapshots.member(tenant.id, user_id, versions[0], versions[1])
        if member is None or member.grants is None:
            raise NotFound  # the same answer as for a tenant that does not exist
        return member

    def _maker(self, credential: Credential) -> UUID | None:
        """Who made the API key of a request, where the key was seen before."""
        if credential.key is None:
            return None
        snapshot = self._keys.peek((credential.key.key_id, credential.secret_digest))
        return snapshot.made_by if snapshot is not None else None

    async def _session_alive(self, session_id: UUID, version: bytes) -> bool:
        return await self._sessions.get(session_id, version, False, lambda: session_alive(session_id)) or False

    async def _key_facts(self, credential: Credential, version: bytes) -> ApiKeySnapshot | None:
        key_text = credential.key
        assert key_text is not None  # checked by _person

        async def read() -> ApiKeySnapshot | None:
            with bind(key_text.tenant_id):
                return await api_key(key_text.key_id, key_text.secret)

        snapshot = await self._keys.get((key_text.key_id, credential.secret_digest), version, False, read)
        if snapshot is None or (snapshot.expires_at is not None and snapshot.expires_at <= datetime.now(UTC)):
            return None
        return snapshot

    # -- rates -------------------------------------------------------------------------------------------

    async def _throttle(
        self,
        route: Route,
        credential: Credential,
        state: RequestState,
        tenant_id: UUID | None,
        whose: UUID | None,
        *,
        counted: bool,
    ) -> list[bytes]:
        """Count the request, and read the version tokens of tenant and user in the same round trip."""
        kind = _rate_class(route, credential.bucket)
        value = self._rates[kind]
        buckets = _bucket(value, f"{kind}:{credential.bucket or counted_as(state.address)}")
        if credential.key is not None and (credential.key.key_id, credential.secret_digest) not in self._keys:
            # A key that was not seen before may be a guess: it counts against the address too.
            buckets += _bucket(self._rates["public"], f"public:{counted_as(state.address)}")
        keys = [
            tenant_version_key(tenant_id) if tenant_id else "v:-",
            user_version_key(whose) if whose else "v:-",
        ]
        taken, versions = await self._versions(buckets if counted else [], keys)
        if buckets:
            headers = {
                "RateLimit-Limit": str(value.amount),
                "RateLimit-Remaining": str(taken.remaining),
                "RateLimit-Reset": str(taken.reset_seconds),
            }
            state.response_headers += [(name.lower().encode(), text.encode()) for name, text in headers.items()]
        if not taken.allowed:
            tally("tenantry_rate_refusals_total", kind)
            raise RateLimited(headers={"Retry-After": str(max(1, taken.reset_seconds))})
        return versions

    async def _charge_address(self, route: Route, state: RequestState, instead_of: str | None = None) -> None:
        """Count a missing, invalid or outdated credential against the client's address.

        instead_of: the bucket in which it was counted while it looked valid. That count is taken back, so that nobody
        uses up a person's rate with an old token of theirs.

        Raises:
            RateLimited: too many from this address.
        """
        kind = _rate_class(route, instead_of or "")
        value = self._rates[kind]
        if instead_of is not None:
            await self._services.rates.take(
                [replace(bucket, cost=-1) for bucket in _bucket(value, f"{kind}:{instead_of}")]
            )
        taken = await self._services.rates.take(_bucket(value, f"{kind}:{state.address}"))
        if not taken.allowed:
            tally("tenantry_rate_refusals_total", kind)
            raise RateLimited(headers={"Retry-After": str(max(1, taken.reset_seconds))})

    async def _versions(self, buckets: Sequence[Bucket], keys: Sequence[str]) -> tuple[Taken, list[bytes]]:
        """Count in the buckets, and read the versions stored under the keys, in one round trip."""
        taken = await self._services.rates.take(buckets, [EPOCH_KEY, *keys])
        epoch, *stored = taken.versions
        return taken, await Versions(self._services.redis_client).read(epoch, stored)

    # -- plugin, permission -----------------------------------------------------------------------------

    def _active(self, tenant: TenantSnapshot, plugin: str) -> None:
        if plugin == "host":
            return
        decision = self._registry.feature_gate.decide(tenant, plugin)
        if not decision.allowed:
            raise _REFUSALS.get(decision.code, NotFound)(decision.reason, details={"plugin": plugin})

    async def _permitted(self, route: Route, context: ExecutionContext, path: Mapping[str, object]) -> None:
        actor = context.origin.actor
        if route.operator and not actor.is_operator:
            _deny("operator", "only operators of this deployment may do this")
        if route.permission is None:
            return
        resource = {name: str(value) for name, value in path.items()}
        decision = await self._services.access.decide(actor, context.grants, context.tenant, route.permission, resource)
        if not decision.allowed:
            _deny(route.permission, decision.reason)


def _rate_class(route: Route, whose: str | None) -> str:
    if route.limit_class in ("public", "signed"):
        return route.limit_class
    return "public" if whose is None else "authenticated"


async def _key_refusal(began: float) -> Unauthenticated:
    """The same refusal after the same time for every invalid key: nobody learns which organisation or key exists."""
    await asyncio.sleep(max(0.0, began + _REFUSED_KEY_SECONDS - monotonic()))
    return Unauthenticated("This API key does not exist, has expired or was ended.")


def _bucket(value: LimitValue, key: str) -> list[Bucket]:
    if value.amount is None or value.seconds is None:
        return []
    return [Bucket(key, value.amount, value.seconds)]


def _deny(permission: str, reason: str) -> NoReturn:
    raise PermissionDenied(f"You lack the permission {permission}: {reason}.", details={"permission": permission})
