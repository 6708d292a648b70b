"""Query sets that add the bound tenant to every SELECT, UPDATE and DELETE, and refuse queries without it.

How it works: a `TenantCondition` is the first condition of every query set and travels with it into every query made
from it; when the query is run it compares the tenant bound then with the one bound when it was built, and renders
`tenant_id = …`. Tenant tables are `ScopedTable`s, so a join to one carries the tenant too. Queries that were not
built by a `ScopedManager` are refused: Tortoise offers no hook for that, so `AwaitableQuery` gets two guards.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from functools import wraps
from typing import Any, TypeVar, cast
from uuid import UUID

from pypika_tortoise.terms import Term
from tortoise.expressions import Expression, Q
from tortoise.manager import Manager
from tortoise.models import Model
from tortoise.queryset import (
    AwaitableQuery,
    BulkCreateQuery,
    BulkUpdateQuery,
    ContainsQuery,
    CountQuery,
    DeleteQuery,
    ExistsQuery,
    QuerySet,
    RawSQLQuery,
    UnionCountQuery,
    UpdateQuery,
    ValuesListQuery,
    ValuesQuery,
)

from tenants.context import Unscoped, WrongTenant, current, scope
from tenants.isolation import (
    TenantCondition,
    check_links,
    check_rows,
    refuse_moving,
    refuse_sql,
    refuse_sql_within,
    same_scope,
)
from tenants.scoped_tables import TENANT, Link, ScopedMeta, is_scoped
from tenants.text_columns import with_key_names, with_keys

MODEL = TypeVar("MODEL", bound=Model)


class LockLost(TypeError):
    """Rows were locked, and then read by a query that does not hold the lock."""


class ScopedUpdateQuery(UpdateQuery):
    """UPDATE that checks the tenant of the rows that its foreign keys link to."""

    async def _execute(self) -> int:
        targets: dict[Link, list[object]] = {}
        for link in cast(ScopedMeta, self.model._meta).links():
            if (row := self.update_kwargs.get(link.field)) is not None:
                targets[link] = [getattr(row, link.to_field)]
            elif link.key in self.update_kwargs:
                targets[link] = [self.update_kwargs[link.key]]
        await check_links(targets, self._db)
        return await super()._execute()


class ScopedBulkUpdateQuery(BulkUpdateQuery[MODEL]):
    """UPDATE of many rows at once, each of the bound tenant."""

    async def _execute_many(self, queries_with_params: list[tuple[str, list[Any]]]) -> int:
        check_rows(self._objects, current())
        links = cast(ScopedMeta, self.model._meta).links()
        touched = [link for link in links if link.key in self.fields]
        await check_links({link: [getattr(row, link.key) for row in self._objects] for link in touched}, self._db)
        return await super()._execute_many(queries_with_params)


class ScopedBulkCreateQuery(BulkCreateQuery[MODEL]):
    """INSERT of many rows at once, each of the bound tenant."""

    async def _execute_many(self, *statements: Any) -> None:
        check_rows(self._objects, current())
        links = cast(ScopedMeta, self.model._meta).links()
        await check_links({link: [getattr(row, link.key) for row in self._objects] for link in links}, self._db)
        await super()._execute_many(*statements)


class ScopedQuerySet(QuerySet[MODEL]):
    """A query set whose first condition is the bound tenant.

    Raises:
        TenantMissing: it is built with nothing bound.
    """

    def __init__(self, model: type[MODEL]) -> None:
        condition = TenantCondition(scope())
        super().__init__(model)
        self._q_objects.append(condition)

    def _writing(self) -> UUID:
        """The tenant to write for, which must be the one the query set was built for, not `cross_tenant`."""
        tenant_id = current()
        same_scope(cast(TenantCondition, self._q_objects[0]).scope)
        return tenant_id

    def _filter_or_exclude(self, *args: Q, negate: bool, **kwargs: Any) -> QuerySet[MODEL]:
        refuse_sql(kwargs.values())
        for condition in args:
            refuse_sql_within(condition)
        return super()._filter_or_exclude(*args, negate=negate, **kwargs)

    def annotate(self, **kwargs: Expression | Term) -> QuerySet[MODEL]:
        """As Tortoise's, without raw SQL."""
        refuse_sql(kwargs.values())
        return super().annotate(**kwargs)

    def raw(self, sql: str) -> RawSQLQuery:
        """Refused: tenant isolation cannot be added to raw SQL.

        Raises:
            Unscoped: always.
        """
        raise Unscoped(f"raw SQL on {self.model.__name__} has no tenant: write it as a query")

    def select_for_update(
        self,
        nowait: bool = False,
        skip_locked: bool = False,
        of: tuple[str, ...] = (),
        no_key: bool = False,
    ) -> QuerySet[MODEL]:
        """As Tortoise's; a lock is the first half of a write, so it needs one tenant."""
        self._writing()
        return super().select_for_update(nowait, skip_locked, of, no_key)

    def delete(self) -> DeleteQuery:
        """As Tortoise's, in one tenant.

        Raises:
            TenantMissing: inside `cross_tenant`.
        """
        self._writing()
        return super().delete()

    def update(self, **kwargs: Any) -> UpdateQuery:
        """As Tortoise's, in one tenant.

        Raises:
            TenantMissing: inside `cross_tenant`.
            WrongTenant: `tenant_id` is among the values; when run, if a foreign key leads out of the tenant.
        """
        self._writing()
        refuse_moving(kwargs)
        kwargs = with_keys(self.model, kwargs)
        return ScopedUpdateQuery(
            db=self._db,
            model=self.model,
            update_kwargs=kwargs,
            q_objects=self._q_objects,
            annotations=self._annotations,
            custom_filters=self._custom_filters,
            limit=self._limit,
            orderings=self._orderings,
        )

    def bulk_update(
        self, objects: Iterable[MODEL], fields: Iterable[str], batch_size: int | None = None
    ) -> BulkUpdateQuery[MODEL]:
        """As Tortoise's, in one tenant; raises as `update` does."""
        rows, columns = list(objects), with_key_names(self.model, fields)
        check_rows(rows, self._writing())
        refuse_moving(columns)
        if any(row.pk is None for row in rows):
            raise ValueError("All bulk_update() objects must have a primary key set.")
        return ScopedBulkUpdateQuery(
            db=self._db,
            model=self.model,
            q_objects=self._q_objects,
            annotations=self._annotations,
            custom_filters=self._custom_filters,
            limit=self._limit,
            orderings=self._orderings,
            objects=rows,
            fields=columns,
            batch_size=batch_size,
        )

    def bulk_create(
        self,
        objects: Iterable[MODEL],
        batch_size: int | None = None,
        ignore_conflicts: bool = False,
        update_fields: Iterable[str] | None = None,
        on_conflict: Iterable[str] | None = None,
    ) -> BulkCreateQuery[MODEL]:
        """As Tortoise's, in one tenant; a conflict may only be looked for within the tenant.

        Raises:
            WrongTenant: an instance is another tenant's, or `on_conflict` could hit another tenant's row.
        """
        rows = list(objects)
        check_rows(rows, self._writing())
        target, changed = list(on_conflict or ()), with_key_names(self.model, update_fields or ())
        refuse_moving(changed)
        if target and TENANT not in target:
            raise WrongTenant(f"on_conflict={target} could overwrite another tenant's row: name {TENANT} in it too")
        if bool(target) != bool(changed) or (ignore_conflicts and changed):
            raise ValueError("on_conflict and update_fields belong together, and exclude ignore_conflicts")
        return ScopedBulkCreateQuery(
            db=self._db,
            model=self.model,
            objects=rows,
            batch_size=batch_size,
            ignore_conflicts=ignore_conflicts,
            update_fields=changed,
            on_conflict=target,
        )


class ScopedManager(Manager):
    """Where every query of a TenantModel begins."""

    def get_queryset(self) -> QuerySet[Any]:
        """A query set whose first condition is the bound tenant."""
        return ScopedQuerySet(self._model)


# -- guards: what was not built by the manager is refused ---------------------------------------------------

_ALLOWED = frozenset(
    {
        ScopedQuerySet,
        ScopedUpdateQuery,
        ScopedBulkUpdateQuery,
        ScopedBulkCreateQuery,
        # made from a ScopedQuerySet with its conditions, tenant isolation among them:
        DeleteQuery,
        ExistsQuery,
        ContainsQuery,
        CountQuery,
        ValuesQuery,
        ValuesListQuery,
        UnionCountQuery,
    }
)


def _guard_queries() -> None:
    """Refuse unknown kinds of query on a TenantModel, and conditions without tenant isolation."""
    construct, resolve = AwaitableQuery.__init__, AwaitableQuery.resolve_filters

    def guarded_init(self: AwaitableQuery[Any], model: type[Any]) -> None:
        if type(self) not in _ALLOWED and is_scoped(model):
            raise Unscoped(
                f"{type(self).__name__} bypasses the tenant isolation of {model.__name__}: use {model.__name__}.filter"
            )
        construct(self, model)

    def guarded_resolve(self: AwaitableQuery[Any], fields_for_select: Collection[str] | None = None) -> None:
        if is_scoped(self.model) and not (self._q_objects and type(self._q_objects[0]) is TenantCondition):
            raise Unscoped(
                f"a query on {self.model.__name__} without its tenant condition: use {self.model.__name__}.filter"
            )
        resolve(self, fields_for_select)

    AwaitableQuery.__init__ = guarded_init  # type: ignore[method-assign]
    AwaitableQuery.resolve_filters = guarded_resolve  # type: ignore[method-assign]


_guard_queries()


# -- locks: a query made from a locked one must not lose the lock silently ----------------------------------

_LOSING = ("values", "values_list", "count", "exists", "contains", "union")


def _guard_locks() -> None:
    """Refuse, on every model, the methods that Tortoise turns into another query without FOR UPDATE.

    The same on SQLite, which has one writer at a time and no row locks: mistakes show up in development.
    """
    lock = QuerySet.select_for_update

    @wraps(lock)
    def select_for_update(self: QuerySet[Any], *args: Any, **options: Any) -> QuerySet[Any]:
        locked = lock(self, *args, **options)
        if locked is self:
            locked = self._clone()
            locked._select_for_update_of = {"*"}  # ignored without row locks: only a mark for `_refusing`
        return locked

    QuerySet.select_for_update = select_for_update  # type: ignore[method-assign]
    for name in _LOSING:
        setattr(QuerySet, name, _refusing(name, getattr(QuerySet, name)))


def _refusing(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def refusing(self: QuerySet[Any], *args: Any, **options: Any) -> Any:
        if self._select_for_update or self._select_for_update_of:
            raise LockLost(
                f"{self.model.__name__}: {name}() after select_for_update() reads without the lock; await the rows "
                "themselves, or lock the tenant with lock_tenant() first and read as you like"
            )
        return method(self, *args, **options)

    return refusing


_guard_locks()
