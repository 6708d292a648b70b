"""The tenant condition that starts every scoped query, and the checks that rows and foreign keys must pass."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from uuid import UUID

from pypika_tortoise.queries import QueryBuilder
from pypika_tortoise.terms import Term
from tortoise.backends.base.client import BaseDBAsyncClient
from tortoise.expressions import Expression, Q, RawSQL, ResolveContext
from tortoise.models import Model
from tortoise.query_utils import QueryModifier

from tenants.context import CrossTenant, Unscoped, WrongTenant, scope
from tenants.scoped_tables import TENANT, Link


def same_scope(built: UUID | CrossTenant) -> UUID | CrossTenant:
    """The scope bound now, which must be the one a query was built in.

    Raises:
        TenantMissing: nothing is bound.
        WrongTenant: something else is bound than when the query was built.
    """
    bound = scope()
    if bound == built or (isinstance(bound, CrossTenant) and isinstance(built, CrossTenant)):
        return bound
    raise WrongTenant(f"a query built for {_name(built)} was run for {_name(bound)}")


def _name(bound: UUID | CrossTenant) -> str:
    return "all tenants" if isinstance(bound, CrossTenant) else f"tenant {bound}"


class TenantCondition(Q):
    """The condition every scoped query starts with."""

    __slots__ = ("scope",)

    def __init__(self, bound: UUID | CrossTenant) -> None:
        super().__init__()
        self.scope = bound

    def resolve(self, resolve_context: ResolveContext) -> QueryModifier:
        """`tenant_id = …` for one tenant, no condition inside `cross_tenant`."""
        bound = same_scope(self.scope)
        if isinstance(bound, CrossTenant):
            return QueryModifier()
        return QueryModifier(where_criterion=resolve_context.table[TENANT] == str(bound))


async def check_links(wanted: Mapping[Link, Collection[object]], db: BaseDBAsyncClient) -> None:
    """Check that every linked row exists in the bound tenant; one small query per foreign key.

    Raises:
        WrongTenant: a row is another tenant's or does not exist; a tenant cannot tell the two apart.
        Unscoped: a key is an expression that the database computes, so it cannot be checked beforehand.
    """
    for link, values in wanted.items():
        if any(isinstance(value, Expression | Term) for value in values):
            raise Unscoped(f"{link.key} must be an id, not an expression: the tenant of its row cannot be checked")
        convert = link.related._meta.fields_map[link.to_field].to_python_value
        keys = {convert(value) for value in values if value is not None}
        if not keys:
            continue
        count = await link.related.filter(**{f"{link.to_field}__in": list(keys)}).using_db(db).count()
        if count != len(keys):
            raise WrongTenant(f"{link.key} leads to a {link.related.__name__} that the bound tenant does not have")


def check_rows(rows: Iterable[Model], tenant_id: UUID) -> None:
    """Check that every instance has the bound tenant's id.

    Raises:
        WrongTenant: one does not.
    """
    for row in rows:
        if getattr(row, TENANT, None) != tenant_id:
            raise WrongTenant(
                f"a {type(row).__name__} of tenant {getattr(row, TENANT, None)} was used while {tenant_id} was bound"
            )


def refuse_moving(names: Collection[str]) -> None:
    """Raise WrongTenant when `tenant_id` is among the columns to change."""
    if TENANT in names:
        raise WrongTenant(f"a row cannot change its tenant: {TENANT} cannot be updated")


def refuse_sql(values: Iterable[object]) -> None:
    """Raise Unscoped when a value is SQL written by hand."""
    for value in values:
        if isinstance(value, RawSQL | QueryBuilder):
            raise Unscoped("raw SQL inside a scoped query has no tenant isolation: use Tortoise's expressions")


def refuse_sql_within(condition: Q) -> None:
    """Raise Unscoped when a value anywhere inside a condition is SQL written by hand."""
    if isinstance(condition, Q):  # anything else is refused by Tortoise
        refuse_sql(condition.filters.values())
        for child in condition.children:
            refuse_sql_within(child)
