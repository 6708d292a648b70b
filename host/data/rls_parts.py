"""Links between tenant tables and findings with remedies, shared by row-level security on both databases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import cast

from tortoise.fields.data import UUIDField
from tortoise.fields.relational import ForeignKeyFieldInstance
from tortoise.models import Model

from tenants.models import Tenant
from tenants.scoped_tables import TENANT
from tenants.scoping import TenantModel

DEPLOYMENT_WIDE = {
    "jobs": "workers take the jobs of all tenants in turn, before any tenant is bound",
    "domains": "a request's host name is looked up before its tenant is known",
}
"""Table -> why the host reads its rows with no tenant bound, although it has a tenant column.

While a tenant is bound, only that tenant's rows are visible, as in every other table.
"""


@dataclass(frozen=True, slots=True)
class Finding:
    """A gap in row-level security as a sentence, with the SQL that closes it (None: a person must decide)."""

    complaint: str
    remedy: str | None = None


@dataclass(frozen=True, slots=True)
class Link:
    """A foreign key from one tenant table to another: columns, not fields."""

    table: str
    column: str
    parent: str
    parent_column: str

    @property
    def name(self) -> str:
        """The name of this link's constraint, within PostgreSQL's 63 characters."""
        return constraint_name(self.table, self.column)


def constraint_name(*parts: str) -> str:
    """`isolation_<parts>`, shortened with a digest where it would be too long for PostgreSQL."""
    name = "_".join(("isolation", *parts))
    return name if len(name) <= 55 else f"{name[:46]}_{sha256(name.encode()).hexdigest()[:8]}"


def existing_parts(
    models: Sequence[type[Model]], columns: set[tuple[str, str]]
) -> tuple[list[Finding], list[str], list[Link]]:
    """Compare the models with the (table, column) pairs of a database.

    Returns:
        gaps for missing tables and columns, the tenant tables, and the links between them that can be isolated. A model
        that holds tenants' rows and is no TenantModel is a gap; its table is isolated all the same.
    """
    tables = {table for table, _ in columns}
    gaps: list[Finding] = []
    isolated: list[str] = []
    links: list[Link] = []
    for model in models:
        table = model._meta.db_table
        if table not in tables:
            gaps.append(Finding(f"table {table} does not exist: run the migrations"))
        elif not issubclass(model, TenantModel):
            if table not in DEPLOYMENT_WIDE and (column := _tenant_column(model)):
                gaps.append(Finding(f"{table}.{column} names a row's tenant, but its model is not a TenantModel"))
                isolated += [table] if isinstance(model._meta.fields_map.get(TENANT), UUIDField) else []
        else:
            isolated.append(table)
            for link in _links(model):
                if {(table, link.column), (link.parent, link.parent_column)} <= columns:
                    links.append(link)
                else:
                    gaps.append(
                        Finding(f"{table}.{link.column} or what it links to does not exist: run the migrations")
                    )
    return gaps, isolated, links


def _tenant_column(model: type[Model]) -> str | None:
    """The column that holds a row's tenant; None when there is none."""
    links = (model._meta.fields_map[name] for name in model._meta.fk_fields | model._meta.o2o_fields)
    keys = [str(link.source_field) for link in links if getattr(link, "related_model", None) is Tenant]
    names = {TENANT} & set(model._meta.fields_db_projection)
    return min((model._meta.fields_db_projection[name] for name in [*names, *keys]), default=None)


def _links(model: type[TenantModel]) -> list[Link]:
    """The model's foreign keys to tenant tables, including its own table."""
    links = []
    for name in sorted(model._meta.fk_fields | model._meta.o2o_fields):
        field = cast("ForeignKeyFieldInstance[Model]", model._meta.fields_map[name])
        parent = field.related_model
        if parent is not None and issubclass(parent, TenantModel):
            column = model._meta.fields_db_projection[str(field.source_field)]
            parent_column = parent._meta.fields_db_projection[str(field.to_field)]
            links.append(Link(model._meta.db_table, column, parent._meta.db_table, parent_column))
    return links
