"""Tables and model metadata that add the tenant to joins and refuse relations that cannot carry it."""

from __future__ import annotations

from dataclasses import dataclass
from operator import attrgetter
from typing import Any, NoReturn, cast

from pypika_tortoise.queries import Table
from pypika_tortoise.terms import Field as Column
from tortoise.fields import Field
from tortoise.fields.relational import BackwardFKRelation, ManyToManyFieldInstance, RelationalField
from tortoise.filters import get_backward_fk_filters
from tortoise.models import MetaInfo, Model

from tenants.context import CrossTenant, Unscoped, scope

TENANT = "tenant_id"


class ScopedColumn(Column):
    """A column of a tenant's table; compared with a column of another table, it also compares the tenants."""

    __hash__ = Column.__hash__  # a class that defines __eq__ loses it

    def __eq__(self, other: object) -> Any:
        equal = super().__eq__(other)
        if not isinstance(other, Column) or other.table is None or other.table == self.table:
            return equal  # a value, not a join; must not contain the tenant because Tortoise caches such SQL
        mine = Column(TENANT, table=self.table)
        if isinstance(other.table, ScopedTable):
            return equal & (mine == Column(TENANT, table=other.table))
        bound = scope()
        return equal if isinstance(bound, CrossTenant) else equal & (mine == str(bound))


class ScopedTable(Table):
    """The table of a TenantModel."""

    def field(self, name: str) -> Column:
        """The column called `name`."""
        return ScopedColumn(name, table=self)


@dataclass(frozen=True, slots=True)
class Link:
    """A foreign key from one TenantModel to another: attribute, key attribute, target and its column."""

    field: str
    key: str
    related: type[Model]
    to_field: str


class ScopedMeta(MetaInfo):
    """Tortoise's metadata of a TenantModel, with tenant isolation in its tables and relations."""

    __slots__ = ()

    @property
    def basetable(self) -> Table:
        """The table that queries are built on."""
        return cast(Table, _basetable.__get__(self))

    @basetable.setter
    def basetable(self, table: Table) -> None:
        # Tortoise assigns a plain Table each time a context is opened.
        scoped = ScopedTable(table._table_name, schema=table._schema, alias=table.alias)
        _basetable.__set__(self, scoped)

    def add_field(self, name: str, value: Field[Any]) -> None:
        """Add a field; a many-to-many relation to a tenant's rows is refused.

        Raises:
            Unscoped: the relation cannot carry the tenant.
        """
        if isinstance(value, ManyToManyFieldInstance):
            refuse_many_to_many(self._model, name)
        super().add_field(name, value)
        if isinstance(value, BackwardFKRelation) and is_scoped(value.related_model):
            for key in get_backward_fk_filters(name, value):
                self._filters[key]["table"] = ScopedTable(value.related_model._meta.db_table)

    def finalise_model(self) -> None:
        """Finish the model once its relations are known.

        Raises:
            Unscoped: a plain model would get a backward relation to tenants' rows.
        """
        for name in self.fk_fields | self.o2o_fields:
            relation = cast("Any", self.fields_map[name])
            if relation.related_name is not False and not is_scoped(relation.related_model):
                raise Unscoped(
                    f"{self._model.__name__}.{name} gives {relation.related_model.__name__} a backward relation to "
                    f"tenants' rows that tenant isolation cannot scope: add related_name=False"
                )
        super().finalise_model()
        keys = (link.key for link in self.links())
        self._model._identity = attrgetter("id", TENANT, *keys)  # type: ignore[attr-defined]

    def links(self) -> tuple[Link, ...]:
        """The foreign keys that lead to other TenantModels."""
        links = []
        for name in self.fk_fields | self.o2o_fields:
            relation = cast("RelationalField[Any]", self.fields_map[name])
            if is_scoped(relation.related_model):
                key = cast(str, relation.source_field)
                links.append(Link(name, key, relation.related_model, relation.to_field_instance.model_field_name))
        return tuple(links)


_basetable = cast("Any", vars(MetaInfo)["basetable"])  # the slot behind the property


def is_scoped(model: type[Model]) -> bool:
    """Whether the model is a TenantModel."""
    return type(model._meta) is ScopedMeta


def refuse_many_to_many(model: type[Model], name: str) -> NoReturn:
    """Raise Unscoped for a many-to-many relation; the message says what to write instead."""
    raise Unscoped(
        f"{model.__name__}.{name}: the table behind a ManyToManyField has no tenant; write the table in between as "
        f"a TenantModel with two foreign keys"
    )
