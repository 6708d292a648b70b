"""Find which tenant a request is for, by API key, header, domain or token."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from time import monotonic
from typing import Literal
from uuid import UUID

from tenants.models import Domain, Tenant

_SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_KEEP = 10_000  # answers of each kind
_FRESH = 60.0  # seconds: domains are removed, and a purged tenant's slug may be given out again


def is_slug(text: str) -> bool:
    """Whether the text may be a tenant's slug: a DNS label in lower case."""
    return _SLUG.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class Hint:
    """What a request says about its tenant. `value` is an id for "id", a slug for "slug", a host name for "domain".

    kind "none": the request names no tenant. otherwise: the hint to use when no tenant has this domain.
    """

    kind: Literal["id", "slug", "domain", "none"]
    value: UUID | str | None = None
    source: Literal["api_key", "header", "domain", "token", "nothing"] = "nothing"
    otherwise: Hint | None = None


def choose(
    api_key_tenant: UUID | None,
    header_slug: str | None,
    host: str,
    base_domain: str,
    token_tenant: UUID | None,
    *,
    reserved: Collection[str] = (),
) -> Hint:
    """The first hint in the order of precedence: API key, X-Tenant header, domain of the request, token's default.

    host: the Host header as it came. base_domain: "" when subdomains name no tenant. reserved: subdomains such as
    "www" that are not tenants. A header that is no slug stays the hint, so that no tenant is found for it.
    """
    if api_key_tenant is not None:
        return Hint("id", api_key_tenant, "api_key")
    if header_slug is not None:
        return Hint("slug", header_slug.strip().lower(), "header")
    token = Hint("id", token_tenant, "token") if token_tenant is not None else Hint("none")
    name, base = host_name(host), host_name(base_domain)
    if not name or name == base:
        return token
    if base and name.endswith(f".{base}"):
        label = name.removesuffix(f".{base}")
        if label in reserved:
            return token
        if is_slug(label):
            return Hint("slug", label, "domain")
    return Hint("domain", name, "domain", otherwise=token)


def host_name(host: str) -> str:
    """The host name in a Host header: lower case, without port and closing dot; "" for an address in brackets."""
    if host.startswith("["):
        return ""
    return host.strip().lower().partition(":")[0].rstrip(".")


class Directory:
    """Finds tenants by slug and by domain, and caches the answers; one per application."""

    def __init__(self, *, now: Callable[[], float] = monotonic) -> None:
        self._now = now
        self._slugs: OrderedDict[str, tuple[UUID, float]] = OrderedDict()
        self._domains: OrderedDict[str, tuple[UUID, float]] = OrderedDict()

    def remembered(self, hint: Hint) -> UUID | None:
        """The id of the tenant a hint names, if it is cached."""
        if isinstance(hint.value, UUID):
            return hint.value
        answers = self._slugs if hint.kind == "slug" else self._domains
        answer = answers.get(str(hint.value))
        return answer[0] if answer is not None and self._now() - answer[1] < _FRESH else None

    async def find(self, hint: Hint) -> UUID | None:
        """The id of the tenant a hint names; None when there is no such tenant."""
        if isinstance(hint.value, UUID):
            return hint.value
        if hint.kind == "slug":
            return await self.id_by_slug(str(hint.value))
        if hint.kind == "domain":
            tenant_id = await self.id_by_hostname(str(hint.value))
            return tenant_id if tenant_id is not None or hint.otherwise is None else await self.find(hint.otherwise)
        return None

    async def id_by_slug(self, slug: str) -> UUID | None:
        """The tenant with this slug; a text that is no slug is not looked up."""
        return await self._answer(self._slugs, slug, _by_slug) if is_slug(slug) else None

    async def id_by_hostname(self, hostname: str) -> UUID | None:
        """The tenant whose verified domain this is."""
        return await self._answer(self._domains, hostname, _by_hostname) if len(hostname) <= 253 else None

    def forget(self, tenant_id: UUID) -> None:
        """Drop every cached answer for this tenant, after it or one of its domains was removed."""
        for answers in (self._slugs, self._domains):
            for name in [name for name, (found, _) in answers.items() if found == tenant_id]:
                del answers[name]

    async def _answer(
        self,
        answers: OrderedDict[str, tuple[UUID, float]],
        name: str,
        look_up: Callable[[str], Awaitable[UUID | None]],
    ) -> UUID | None:
        answer = answers.get(name)
        if answer is not None and self._now() - answer[1] < _FRESH:
            answers.move_to_end(name)
            return answer[0]
        tenant_id = await look_up(name)
        answers.pop(name, None)
        if tenant_id is not None:  # only good answers are kept: anonymous callers could fill the memory with bad ones
            answers[name] = tenant_id, self._now()
            if len(answers) > _KEEP:
                answers.popitem(last=False)
        return tenant_id


async def _by_slug(slug: str) -> UUID | None:
    tenant = await Tenant.get_or_none(slug=slug)
    return tenant.id if tenant is not None else None


async def _by_hostname(hostname: str) -> UUID | None:
    domain = await Domain.get_or_none(hostname=hostname, verified_at__isnull=False)
    return domain.tenant_id if domain is not None else None  # type: ignore[attr-defined]
