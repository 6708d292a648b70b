"""TenantModel, the base class of models whose rows belong to one tenant; it requires a bound tenant."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from inspect import getattr_static
from typing import Any, ClassVar, Self, cast
from uuid import UUID

from tortoise import fields
from tortoise.backends.base.client import BaseDBAsyncClient
from tortoise.exceptions import OperationalError
from tortoise.manager import Manager
from tortoise.models import Model
from uuid_utils.compat import uuid7

from tenants.context import CrossTenant, Unscoped, WrongTenant, current, scope
from tenants.isolation import check_links, check_rows
from tenants.scoped_queries import ScopedManager
from tenants.scoped_tables import TENANT, Link, ScopedMeta, refuse_many_to_many
from tenants.text_columns import with_key_names


class TenantModel(Model):
    """Base of every model whose rows belong to one tenant: `id` (UUIDv7) and `tenant_id`, always scoped.

    A new instance belongs to the bound tenant. An instance remembers the ids it was read with, so that
    an ordinary save needs no extra query and one with a forged tenant or id is detected.

    Raises:
        TenantMissing: an instance or a query is made with no tenant bound.
        WrongTenant: a row or a link belongs to another tenant.
        Unscoped: a subclass, a relation or a query that tenant isolation cannot scope.

    Example:
        class Note(TenantModel):
            text = fields.CharField(max_length=200)

            class Meta:
                table = "notes_notes"
    """

    id = fields.UUIDField(primary_key=True, default=uuid7)
    tenant_id = fields.UUIDField()

    _identity: ClassVar[Callable[[Any], tuple[Any, ...]]]  # (id, tenant_id, *keys of links), set by ScopedMeta
    _stored: tuple[Any, ...] | None = None  # that identity as the database has it; None: not known to be there

    class Meta:
        abstract = True

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        meta = cls._meta
        if hasattr(cls.Meta, "manager"):
            raise Unscoped(f"{cls.__name__}.Meta.manager would bypass tenant isolation: leave it out")
        for name in dir(cls):
            if isinstance(getattr_static(cls, name), Manager):
                raise Unscoped(f"{cls.__name__}.{name} is a manager that would bypass tenant isolation: leave it out")
        for name in meta.m2m_fields:
            refuse_many_to_many(cls, name)
        key = meta.fields_map.get(TENANT)
        if meta.pk_attr != "id" or not isinstance(key, fields.UUIDField) or key.null or key.source_field:
            raise Unscoped(f"{cls.__name__} must keep the fields id and {TENANT} as TenantModel has them")
        meta.__class__ = ScopedMeta  # Tortoise makes the MetaInfo itself; same slots, with tenant checks
        meta.manager = ScopedManager(cls)

    def __init__(self, **kwargs: Any) -> None:
        tenant_id = current()
        kwargs.setdefault(TENANT, tenant_id)
        super().__init__(**kwargs)
        check_rows((self,), tenant_id)

    @classmethod
    def _init_from_db(cls, **kwargs: Any) -> Self:
        row = super()._init_from_db(**kwargs)
        try:
            row._stored = stored = cls._identity(row)
        except AttributeError:
            return row  # fetched with .only(): the query was scoped, but this instance cannot prove it
        bound = scope()
        if not isinstance(bound, CrossTenant) and stored[1] != bound:
            raise WrongTenant(f"a {cls.__name__} of tenant {stored[1]} was read for tenant {bound}")
        return row

    def _check_readable(self) -> None:
        """Check that this row may be read with the current binding."""
        bound = scope()
        if not isinstance(bound, CrossTenant):
            self._check_own(bound)

    def _check_own(self, tenant_id: UUID) -> None:
        if not (self._partial and not hasattr(self, TENANT)):
            check_rows((self,), tenant_id)

    async def _check_there(self, tenant_id: UUID, db: BaseDBAsyncClient) -> None:
        """Check that this instance's row belongs to the tenant; with a query only if that is not known yet."""
        if self._stored is not None and self._stored[:2] == (self.pk, tenant_id):
            return
        if not await type(self).filter(pk=self.pk).using_db(db).exists():
            raise WrongTenant(f"the bound tenant has no {type(self).__name__} {self.pk}")

    async def _check_links(self, updated: Iterable[str] | None, db: BaseDBAsyncClient) -> None:
        """Check that changed foreign keys link to rows of the tenant."""
        links = cast(ScopedMeta, self._meta).links()
        stored_keys = self._stored[2:] if self._stored is not None and self._stored[1] == current() else None
        changed: dict[Link, list[object]] = {}
        for position, link in enumerate(links):
            if (updated is not None and link.key not in updated) or not hasattr(self, link.key):
                continue
            value = getattr(self, link.key)
            if stored_keys is None or stored_keys[position] != value:
                changed[link] = [value]
        await check_links(changed, db)

    async def save(
        self,
        using_db: BaseDBAsyncClient | None = None,
        update_fields: Iterable[str] | None = None,
        force_create: bool = False,
        force_update: bool = False,
    ) -> None:
        """As Tortoise's, in the bound tenant.

        Raises:
            TenantMissing: no tenant is bound, or `cross_tenant` is in force.
            WrongTenant: the row is not the tenant's, or a foreign key leads out of the tenant.
        """
        tenant_id = current()
        self._check_own(tenant_id)
        db = using_db or self._choose_db(True)
        updated = None if update_fields is None else with_key_names(type(self), update_fields)
        updating = not force_create and (force_update or self._saved_in_db or bool(updated))
        if updating and self.pk is not None:
            await self._check_there(tenant_id, db)
        await self._check_links(updated if updating else None, db)
        await super().save(db, updated, force_create, force_update)
        if not self._partial:
            self._stored = type(self)._identity(self)

    async def delete(self, using_db: BaseDBAsyncClient | None = None) -> None:
        """As Tortoise's, in the bound tenant; raises as `save` does."""
        tenant_id = current()
        self._check_own(tenant_id)
        db = using_db or self._choose_db(True)
        if self._saved_in_db:
            await self._check_there(tenant_id, db)
        await super().delete(db)

    async def refresh_from_db(
        self, fields: Iterable[str] | None = None, using_db: BaseDBAsyncClient | None = None
    ) -> None:
        """As Tortoise's, scoped: another tenant's row does not exist.

        Raises:
            DoesNotExist: the bound tenant has no such row.
        """
        self._check_readable()
        if not self._saved_in_db:
            raise OperationalError("Can't refresh unpersisted record")
        names = list(fields or self._meta.fields_db_projection)
        query = type(self).all(using_db)
        row = await (query.only(*names) if fields else query).get(pk=self.pk)
        for name in names:
            setattr(self, name, getattr(row, name, None))
        if not fields:
            self._stored = row._stored

    async def fetch_related(self, *args: Any, using_db: BaseDBAsyncClient | None = None) -> None:
        """As Tortoise's, for a row of the bound tenant."""
        self._check_readable()
        await super().fetch_related(*args, using_db=using_db)

    @classmethod
    async def fetch_for_list(
        cls, instance_list: Iterable[Model], *args: Any, using_db: BaseDBAsyncClient | None = None
    ) -> None:
        """As Tortoise's, for rows of the bound tenant."""
        rows = list(instance_list)
        for row in rows:
            if isinstance(row, TenantModel):
                row._check_readable()
        await super().fetch_for_list(rows, *args, using_db=using_db)
