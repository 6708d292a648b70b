"""List the data held about a person in the host and all plugins, erase it, and check that none is left.

A person is searched for in the bound tenant; with none bound, in every tenant, in rows that belong to none, and in the
account itself. First each kind that the host or a plugin has declared is erased by its own function. Then the address
is replaced in every other text column of the database. At last every table is searched again.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import cast
from uuid import UUID

from tortoise.models import Model

from host.contracts import Person, PersonalData
from host.data.mentions import count_mentions, replace_mentions
from host.errors import Conflict, Unavailable, ValidationFailed
from host.execution_context import as_plugin, in_tenant
from host.identity.addresses import normalise
from host.identity.models import ApiKey, OAuthAccount, OneTimeToken, Session
from host.membership.members import owner_ids
from host.provisioning import provisioning
from host.registry.kinds import PERSONAL_DATA
from host.services import services, tenant
from tenants.context import SYSTEM_TENANT, bind, cross_tenant, current_or_none
from tenants.models import Tenant, User

_ROUNDS = 3  # a request under way may write again what the round before has just removed
_MENTIONS = "Rows that mention the address"
_WHY = "rows about a person whose data is listed or erased"


@dataclass(frozen=True, slots=True)
class Holding:
    """What one organisation ("" for what belongs to none) holds of a person: rows of a declared kind, or of a table."""

    tenant: str
    kind: str
    rows: int
    summary: str = ""
    kept: str = ""


async def person_of(*, email: str | None = None, user_id: UUID | None = None) -> Person:
    """The person with this address or account; an unknown address or id is searched for all the same.

    Asked in a tenant, nothing is added that the tenant need not know, such as the other addresses of an account.

    Raises:
        ValidationFailed: it is no address, or not exactly one of the two is given.
    """
    if (email is None) == (user_id is None):
        raise ValidationFailed(details={"email": "give either email or user_id"})
    address = (normalise(email),) if email is not None else ()
    with bind(None):
        user = await (User.get_or_none(email=address[0]) if address else User.get_or_none(id=user_id))
    if user is None:
        return Person(address, user_id, frozenset({user_id} if user_id else ()))
    addresses = [*address, user.email]
    ids = {user.id, *await _ids(ApiKey, made_by=user.id), *await _ids(Session, user_id=user.id)}
    if current_or_none() is None:
        addresses += await _addresses(OAuthAccount, user_id=user.id)
        addresses += await _addresses(OneTimeToken, user_id=user.id, used_at__isnull=False)
    return Person(tuple(dict.fromkeys(each for each in addresses if "@" in each)), user.id, frozenset(ids))


async def find(person: Person) -> list[Holding]:
    """Everything that is held of the person, by organisation: declared kinds, then tables that mention the address."""
    holdings: list[Holding] = []
    for slug, scope, kinds in await _scopes():
        with scope:
            for owner, kind in kinds:
                with as_plugin(owner):
                    holdings += _holding(slug, owner, kind, await kind.find(person))
            named = {table for _, kind in kinds for table in kind.tables}
            for table, rows in (await count_mentions(services().database, person)).items():
                holdings += [Holding(slug, table, rows, _MENTIONS)] if table not in named else []
    return holdings


async def erase(person: Person) -> list[Holding]:
    """Erase everything once; what was changed, as `find` lists it. Safe to repeat."""
    changed: list[Holding] = []
    own = [table for _, kind in _declared() for table in kind.tables]
    for slug, scope, kinds in await _scopes():
        with scope:
            for owner, kind in kinds:
                with as_plugin(owner):
                    changed += _holding(slug, owner, kind, await kind.erase(person))
            for table, rows in (await replace_mentions(services().database, person, leave=own)).items():
                changed.append(Holding(slug, table, rows, _MENTIONS))
    return changed


async def left(person: Person) -> list[Holding]:
    """Search every table again: those that mention an address of the person; empty when all of it was erased."""
    holdings = []
    for slug, scope, _ in await _scopes():
        with scope:
            mentions = await count_mentions(services().database, person)
            holdings += [Holding(slug, table, rows, _MENTIONS) for table, rows in mentions.items()]
    return holdings


async def refuse_last_owner(person: Person) -> None:
    """Refuse to erase somebody without whom an organisation would have no owner.

    Raises:
        Conflict: names the organisations.
    """
    slugs = []
    for slug, scope, _ in await _scopes():
        with scope:
            if current_or_none() not in {None, SYSTEM_TENANT} and person.user_id is not None:
                slugs += [slug] if await owner_ids() == [person.user_id] else []
    if slugs:
        raise Conflict(f"This is the last owner of {', '.join(slugs)}: make somebody else owner there first.")


async def erase_and_prove(person: Person) -> list[Holding]:
    """Erase until the search through every table finds nothing; what was erased.

    Raises:
        Conflict: this is the last owner of an organisation; nothing was changed.
        Unavailable: the address was written again meanwhile; the message names the tables.
    """
    await refuse_last_owner(person)
    erased, remaining = list[Holding](), list[Holding]()
    for _ in range(_ROUNDS):
        erased += await erase(person)
        if not (remaining := await left(person)):
            return erased
    tables = ", ".join(sorted({each.kind for each in remaining}))
    raise Unavailable(f"The address is still in {tables}: it was written again meanwhile. Erase once more.")


def _holding(slug: str, owner: str, kind: PersonalData, rows: int) -> list[Holding]:
    return [Holding(slug, f"{owner}.{kind.name}", rows, kind.summary, kind.retained)] if rows else []


def _declared() -> list[tuple[str, PersonalData]]:
    """(plugin, kind) of all declared personal data, plugins before the host: they may need to read the account."""
    declared = provisioning().registry.catalog.all(PERSONAL_DATA)
    return sorted(declared, key=lambda each: each[0] == "host")


async def _scopes() -> list[tuple[str, AbstractContextManager[None], list[tuple[str, PersonalData]]]]:
    """The scopes to search: the organisation's slug, the context manager that binds it, and the kinds to ask for."""
    kinds = [each for each in _declared() if not each[1].of_account]
    if (tenant_id := current_or_none()) is not None:
        return [("" if tenant_id == SYSTEM_TENANT else (await tenant()).slug, nullcontext(), kinds)]
    scopes: list[tuple[str, AbstractContextManager[None], list[tuple[str, PersonalData]]]] = [
        ("", bind(SYSTEM_TENANT), kinds)
    ]
    for each in await Tenant.all().order_by("slug"):
        snapshot = await services().snapshots.tenant(each.id, None)
        scopes += [(each.slug, in_tenant(snapshot), kinds)] if snapshot is not None else []
    return [*scopes, ("", bind(None), [each for each in _declared() if each[1].of_account])]


async def _ids(model: type[Model], **where: object) -> list[UUID]:
    with nullcontext() if current_or_none() is not None or model is Session else cross_tenant(_WHY):
        return cast(list[UUID], await model.filter(**where).values_list("id", flat=True))


async def _addresses(model: type[Model], **where: object) -> list[str]:
    return cast(list[str], await model.filter(**where).values_list("email", flat=True))
