"""Admission: who asks, how often, in which tenant, is the plugin on, may they; asked once for every request.

Rates and the version tokens of what is known about tenant and person come in one trip to Redis, before any
database work; facts whose token has not changed are taken from memory, so what is revoked stops working at the
very next request on every process.
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
from tenants.plans import LimitValue, parse_limit
from tenants.resolver import Hint, choose
from tenants.snapshots import MemberSnapshot, TenantSnapshot, VersionedCache

_REFUSALS: Mapping[str, type[ApiError]] = {
    "PLUGIN_DISABLED": PluginDisabled,
    "PLAN_REQUIRED": PlanRequired,
    "PLUGIN_QUARANTINED": PluginQuarantined,
}


_REFUSED_KEY_SECONDS = 0.1


async def _nothing() -> None:
    """The document is made by its own view."""


_DOCUMENT = Route("GET", "/openapi.json", _nothing, "platform.openapi", "The API as OpenAPI 3.1", signed_in=True)


class Admission:
    """Lets a request in, or says why not; afterwards tenant, actor, grants and plugin are bound."""

    def __init__(self, services: Services, registry: Registry, tokens: AccessTokens) -> None:
        self._services, self._registry = services, registry
        self._credentials = Credentials(tokens, registry.hook_calls)
        rates = services.settings.rates
        named = {"public": rates.public, "authenticated": rates.authenticated, "signed": rates.signed}
        self._rates = {name: parse_limit(rate) for name, rate in named.items()}
        self._sessions: VersionedCache[UUID, bool] = VersionedCache()
        self._keys: VersionedCache[tuple[UUID, str], ApiKeySnapshot] = VersionedCache()
        self._vetoing = bool(registry.hook_calls.implementers("authorize"))

    async def admit(self, route: Route, plugin: str, state: RequestState, path: Mapping[str, object]) -> None:
        """Take one request through all the questions.

        Raises:
            ApiError: the first "no": 401, 429, 404, 403, 402 or 503.
        """
        state.plugin, state.operation, state.route = plugin, f"{plugin}.{route.name}", route.path
        credential = await self._credentials.of(state)
        known = credential.bucket is not None
        if not (known or route.public):
            await self._charge_address(route, state)
            raise credential.refusal or Unauthenticated
        hint = self._hint(credential, state) if route.needs_tenant else Hint("none")
        tenant_id = self._services.directory.remembered(hint)
        versions = await self._throttle(route, credential, state, tenant_id)
        facts = await self._tenant_for(credential, hint, tenant_id, versions) if route.needs_tenant else None
        actor, grants = ANONYMOUS, NOBODY
        if known:
            try:
                actor, grants = await self._person(credential, facts, versions)
            except ApiError as refusal:
                if isinstance(refusal, Unauthenticated) and credential.claims is not None:
                    await self._charge_address(route, state, instead_of=credential.bucket)
                if not route.public:  # what is open to anonymous callers is open to those with an old token too
                    raise
        state.actor = actor
        if facts is not None:
            state.tenant_id, state.tenant = facts.id, facts.slug
        origin = Origin(state.request_id, actor, state.address, state.header(b"user-agent")[:300])
        enter_context(ExecutionContext(origin, facts, grants, plugin))
        if facts is not None:
            refuse_closed(facts)
            self._active(facts, plugin)
        await self._permitted(route, ExecutionContext(origin, facts, grants, plugin), path)

    async def active_for(self, request: TenantryRequest) -> Collection[str] | None:
        """The plugins that are on for the organisation that X-Tenant names; None when it is not sent.

        Raises:
            ApiError: whoever asks does not belong to it.
        """
        state = request_state_of(request)
        if b"x-tenant" not in state.headers:
            return None
        await self.admit(_DOCUMENT, "host", state, {})
        facts = execution_context().tenant
        return self._registry.feature_gate.active(facts) if facts is not None else None

    # -- who ---------------------------------------------------------------------------------------------

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
        """A key of an organisation that never existed is answered as a wrong one of an organisation that does."""
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
        facts = await self._services.snapshots.tenant(tenant_id, versions[0])
        if facts is None:
            raise NotFound
        return facts

    async def _person(
        self, credential: Credential, facts: TenantSnapshot | None, versions: list[bytes]
    ) -> tuple[Actor, Grants]:
        if credential.claims is not None:
            return await self._user(credential.claims, facts, versions)
        if credential.key is not None:
            return await self._key(credential, facts, versions)
        assert credential.vouched is not None  # the only other way to be known
        member = await self._member(facts, credential.vouched.user_id, versions)
        return credential.vouched, self._grants(member)

    async def _user(self, claims: Claims, facts: TenantSnapshot | None, versions: list[bytes]) -> tuple[Actor, Grants]:
        person = await self._services.snapshots.person(claims.user_id, versions[1])
        if person is None or person.disabled or person.token_version != claims.token_version:
            raise Unauthenticated("This session has ended; sign in again.")
        if not await self._session_alive(claims.session_id, versions[1]):
            raise Unauthenticated("This session has ended; sign in again.")
        member = await self._member(facts, claims.user_id, versions) if facts is not None else None
        actor = Actor("user", claims.user_id, person.email, claims.user_id, claims.session_id, person.is_operator)
        return actor, self._grants(member)

    async def _key(
        self, credential: Credential, facts: TenantSnapshot | None, versions: list[bytes]
    ) -> tuple[Actor, Grants]:
        if facts is None:
            raise PermissionDenied("An API key belongs to one organisation; sign in as a person for this.")
        began = monotonic()
        key = await self._key_facts(credential, versions[0])
        if key is None:
            raise await _key_refusal(began)
        member = await self._services.snapshots.member(facts.id, key.made_by, versions[0], b"") if key.made_by else None
        if member is None or member.disabled or member.grants is None:
            raise Unauthenticated("Whoever made this API key does not belong to the organisation any more.")
        actor = Actor("api_key", key.id, key.name, key.made_by)
        return actor, self._grants(member).narrowed(frozenset(key.permissions))

    async def _member(
        self, facts: TenantSnapshot | None, user_id: UUID | None, versions: list[bytes]
    ) -> MemberSnapshot:
        if facts is None or user_id is None:
            raise Unauthenticated
        member = await self._services.snapshots.member(facts.id, user_id, versions[0], versions[1])
        if member is None or member.grants is None:
            raise NotFound  # exactly what a tenant that never existed answers
        return member

    def _grants(self, member: MemberSnapshot | None) -> Grants:
        """What a member's role holds, with what the loaded plugins give the built-in ones."""
        if member is None or member.grants is None:
            return NOBODY
        held = member.grants
        given = self._services.role_permissions.get(held.role) if member.built_in_role else None
        return Grants(held.permissions | given, held.all_permission, held.role) if given else held

    async def _session_alive(self, session_id: UUID, version: bytes) -> bool:
        return await self._sessions.get(session_id, version, False, lambda: session_alive(session_id)) or False

    async def _key_facts(self, credential: Credential, version: bytes) -> ApiKeySnapshot | None:
        shown = credential.key
        assert shown is not None  # _person has looked

        async def read() -> ApiKeySnapshot | None:
            with bind(shown.tenant_id):
                return await api_key(shown.key_id, shown.secret)

        found = await self._keys.get((shown.key_id, credential.secret_digest), version, False, read)
        if found is None or (found.expires_at is not None and found.expires_at <= datetime.now(UTC)):
            return None
        return found

    # -- how often ---------------------------------------------------------------------------------------

    async def _throttle(
        self, route: Route, credential: Credential, state: RequestState, tenant_id: UUID | None
    ) -> list[bytes]:
        """Count the request; the version tokens of tenant and person come back on the same trip."""
        kind = _rate_class(route, credential.bucket)
        value: LimitValue = self._rates[kind]
        buckets = _bucket(value, f"{kind}:{credential.bucket or counted_as(state.address)}")
        if credential.key is not None and (credential.key.key_id, credential.secret_digest) not in self._keys:
            buckets += _bucket(self._rates["public"], f"public:{counted_as(state.address)}")  # perhaps somebody guesses
        keys = [
            tenant_version_key(tenant_id) if tenant_id else "v:-",
            user_version_key(credential.user_id) if credential.user_id else "v:-",
        ]
        taken, versions = await self._versions(buckets, keys)
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
        """Count a credential that is good for nothing (any more) against where it comes from.

        instead_of: whose rate it was counted against, when it looked good: whoever holds on to somebody's old token
        must not use up that person's rate.

        Raises:
            RateLimited: too many from there.
        """
        kind = _rate_class(route, instead_of or "")
        value = self._rates[kind]
        if instead_of is not None:
            await self._services.rates.take([replace(each, cost=-1) for each in _bucket(value, f"{kind}:{instead_of}")])
        taken = await self._services.rates.take(_bucket(value, f"{kind}:{state.address}"))
        if not taken.allowed:
            tally("tenantry_rate_refusals_total", kind)
            raise RateLimited(headers={"Retry-After": str(max(1, taken.reset_seconds))})

    async def _versions(self, buckets: Sequence[Bucket], keys: Sequence[str]) -> tuple[Taken, list[bytes]]:
        """Count in the buckets, and read the versions that keys hold."""
        taken = await self._services.rates.take(buckets, [EPOCH_KEY, *keys])
        epoch, *found = taken.versions
        return taken, await Versions(self._services.redis_client).read(epoch, found)

    # -- may they ----------------------------------------------------------------------------------------

    def _active(self, facts: TenantSnapshot, plugin: str) -> None:
        if plugin == "host":
            return
        decision = self._registry.feature_gate.decide(facts, plugin)
        if not decision.allowed:
            raise _REFUSALS.get(decision.code, NotFound)(decision.reason, details={"plugin": plugin})

    async def _permitted(self, route: Route, here: ExecutionContext, path: Mapping[str, object]) -> None:
        actor = here.origin.actor
        if route.operator and not actor.is_operator:
            _deny("operator", "only operators of this deployment may do this")
        if route.permission is None:
            return
        if not here.grants.allows(route.permission):
            _deny(route.permission, f"the role {here.grants.role or 'held here'} does not hold it")
        if self._vetoing and here.tenant is not None:
            resource = {name: str(value) for name, value in path.items()}
            asked = self._registry.feature_gate.switched_on(here.tenant)
            veto = await self._registry.hook_calls.ask_veto(
                "authorize", actor, route.permission, resource, plugins=asked
            )
            if not veto.allowed:
                _deny(route.permission, veto.reason)


def _rate_class(route: Route, whose: str | None) -> str:
    if route.limit_class in ("public", "signed"):
        return route.limit_class
    return "public" if whose is None else "authenticated"


async def _key_refusal(began: float) -> Unauthenticated:
    """One answer, after one time, for keys that open nothing: nobody learns which organisation or key exists."""
    await asyncio.sleep(max(0.0, began + _REFUSED_KEY_SECONDS - monotonic()))
    return Unauthenticated("This API key does not exist, has expired or was ended.")


def _bucket(value: LimitValue, key: str) -> list[Bucket]:
    if value.amount is None or value.seconds is None:
        return []
    return [Bucket(key, value.amount, value.seconds)]


def _deny(permission: str, reason: str) -> NoReturn:
    raise PermissionDenied(f"You lack the permission {permission}: {reason}.", details={"permission": permission})
